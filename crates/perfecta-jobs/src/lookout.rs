//! Who tells of what is stuck where there is no session: in a verification, and in a dry run.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use perfecta_io::Clock;

use crate::event::{Event, Observer};
use crate::watch::{Doing, Named, STUCK_AFTER, Station, WATCH_EVERY, Watch};
use crate::work::{JobObserver, SharedObserver};

/// What threads are at, and who is told of it.
pub(crate) struct Lookout<'a> {
    watch: Watch<'a>,
    clock: &'a dyn Clock,
    observer: SharedObserver<'a>,
}

impl<'a> Lookout<'a> {
    /// For threads that are numbered from 0.
    pub(crate) fn new(
        num_threads: usize,
        clock: &'a dyn Clock,
        observer: &'a mut dyn Observer,
    ) -> Self {
        let observer = Box::new(|event: &Event<'_>| observer.observe(event));
        let observer = Arc::new(crate::sync::Mutex::new(JobObserver::new(observer)));
        Self { watch: Watch::new(num_threads), clock, observer }
    }

    /// Tells of something that happened.
    pub(crate) fn observe(&self, event: &Event<'_>) {
        self.observer.lock().observe(event);
    }

    /// A thread is at this now, and at what it was no more.
    pub(crate) fn note(&self, thread: usize, path: &Path, activity: &'static str) {
        let doing = Doing {
            station: Station::Desk,
            observer: Arc::clone(&self.observer),
            named: Named::Path(path.to_owned()),
            activity,
            since: self.clock.now(),
            is_told: false,
        };
        self.watch.note(thread, doing, None);
    }

    /// A thread is at nothing more.
    pub(crate) fn note_left(&self, thread: usize) {
        self.watch.note_left(thread, Station::Desk, self.clock.now(), None);
    }

    /// Has a thread of its own tell of what is stuck while `work` is done here. Where the system has no
    /// thread for it, nobody does.
    pub(crate) fn look_after<T>(&self, work: impl FnOnce() -> T) -> T {
        self.look_every(WATCH_EVERY, work)
    }

    fn look_every<T>(&self, every: Duration, work: impl FnOnce() -> T) -> T {
        let over = Over::default();
        std::thread::scope(|scope| {
            let look = || {
                while !over.is_told_within(every) {
                    self.watch.tell_stuck(self.clock.now(), STUCK_AFTER);
                }
            };
            let _ = std::thread::Builder::new().name("lookout".into()).spawn_scoped(scope, look);
            let _told = TellsOver(&over);
            work()
        })
    }
}

/// Whether the work is done.
#[derive(Default)]
struct Over {
    is_over: Mutex<bool>,
    changed: Condvar,
}

impl Over {
    fn is_told_within(&self, time: Duration) -> bool {
        let mut is_over = self.is_over.lock();
        self.changed.wait_while_for(&mut is_over, |is_over| !*is_over, time);
        *is_over
    }
}

/// Tells when it is dropped: also of work that panics, or the scope would wait for ever.
struct TellsOver<'o>(&'o Over);

impl Drop for TellsOver<'_> {
    fn drop(&mut self) {
        *self.0.is_over.lock() = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;

    use super::*;
    use crate::activity;

    /// Every look at it takes ten seconds.
    #[derive(Default)]
    struct QuickClock(AtomicU64);

    impl Clock for QuickClock {
        fn now(&self) -> Duration {
            Duration::from_secs(self.0.fetch_add(10, Ordering::SeqCst))
        }

        fn cpu(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn what_is_stuck_is_told_while_it_is() {
        let (tells, told) = mpsc::channel();
        let mut observer = |event: &Event<'_>| {
            let Event::Notice(notice) = event else { unreachable!("nothing else is told") };
            tells.send((*notice).to_owned()).unwrap();
        };
        let clock = QuickClock::default();
        let lookout = Lookout::new(2, &clock, &mut observer);
        let notice = lookout.look_every(Duration::from_millis(1), || {
            lookout.note(0, Path::new("a"), activity::VERIFY);
            lookout.note_left(0);
            lookout.note(1, Path::new("b"), activity::VERIFY);
            told.recv().unwrap()
        });
        assert!(notice.starts_with(r#"b: worker 1 is still at "verify" after "#), "{notice}");
        assert!(told.try_recv().is_err(), "it is told once");
    }

    #[test]
    fn work_that_panics_is_not_waited_for() {
        let (clock, mut observer) = (QuickClock::default(), |_: &Event<'_>| {});
        let lookout = Lookout::new(1, &clock, &mut observer);
        let work = || lookout.look_every(Duration::MAX, || panic!("by a bug"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
    }
}
