//! What every worker is at, for those who watch: a watchdog that tells of what is stuck, and a trace.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::event::Event;
use crate::planned::Planned;
use crate::sync::Mutex;
use crate::work::SharedObserver;

/// After so long without anything happening to it, an item or a job is called stuck.
pub(crate) const STUCK_AFTER: Duration = Duration::from_secs(30);

/// Between two looks for what is stuck.
pub(crate) const WATCH_EVERY: Duration = Duration::from_secs(5);

/// Is told what workers did, and when.
pub trait Tracer: Sync {
    /// Called after every span, from the worker's thread.
    fn span(&self, span: &Span<'_>);
}

/// Something that a worker did for an item, or that an item waited for.
#[derive(Debug, Clone, Copy)]
pub struct Span<'s> {
    /// The worker's number.
    pub worker: usize,
    /// Which of the things that it has in hand at once.
    pub slot: usize,
    /// What it was, in a word or two.
    pub name: &'static str,
    /// The key file.
    pub keys_file: &'s Path,
    /// When it began, on the session's clock.
    pub begun: Duration,
    /// When it ended.
    pub ended: Duration,
}

/// Where a worker has something in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Station {
    /// Beside other things, in this slot.
    Slot(usize),
    /// Where it does for a job what is done in one go, before and after the items. A disk that hangs
    /// holds it up there as well.
    Desk,
}

/// What is named if nothing goes on.
pub(crate) enum Named {
    /// An item.
    Item(Arc<Planned>),
    /// What a job has at this path.
    Path(PathBuf),
}

/// What a worker is at.
pub(crate) struct Doing<'a> {
    pub(crate) station: Station,
    /// Who is told if it is stuck.
    pub(crate) observer: SharedObserver<'a>,
    pub(crate) named: Named,
    pub(crate) activity: &'static str,
    pub(crate) since: Duration,
    pub(crate) is_told: bool,
}

/// What every worker is at.
pub(crate) struct Watch<'a>(Vec<Mutex<Vec<Doing<'a>>>>);

impl<'a> Watch<'a> {
    pub(crate) fn new(num_workers: usize) -> Self {
        Self((0..num_workers).map(|_| Mutex::default()).collect())
    }

    /// A worker is at this now, and at what it was at this station no more: items that are
    /// published together follow each other in one slot.
    pub(crate) fn note(&self, worker: usize, doing: Doing<'a>, tracer: Option<&dyn Tracer>) {
        let (station, now) = (doing.station, doing.since);
        self.replace(worker, station, Some(doing), now, tracer);
    }

    /// A worker is at nothing more at a station.
    pub(crate) fn note_left(
        &self,
        worker: usize,
        station: Station,
        now: Duration,
        tracer: Option<&dyn Tracer>,
    ) {
        self.replace(worker, station, None, now, tracer);
    }

    fn replace(
        &self,
        worker: usize,
        station: Station,
        doing: Option<Doing<'a>>,
        now: Duration,
        tracer: Option<&dyn Tracer>,
    ) {
        let before = {
            let mut in_hand = self.0[worker].lock();
            let before = in_hand.iter().position(|doing| doing.station == station);
            let before = before.map(|before| in_hand.swap_remove(before));
            in_hand.extend(doing);
            before
        };
        // Whoever looks for what is stuck need not wait for a trace.
        if let Some(before) = before {
            before.trace(worker, now, tracer);
        }
    }

    /// Tells of what is at the same thing for `patience`, each once.
    pub(crate) fn tell_stuck(&self, now: Duration, patience: Duration) {
        for (worker, in_hand) in self.0.iter().enumerate() {
            let is_stuck = |doing: &&mut Doing<'a>| {
                !doing.is_told && now.saturating_sub(doing.since) >= patience
            };
            let told = |doing: &mut Doing<'a>| {
                doing.is_told = true;
                (Arc::clone(&doing.observer), doing.notice(worker, now))
            };
            // They are told when the worker need not wait for that.
            let stuck: Vec<_> = in_hand.lock().iter_mut().filter(is_stuck).map(told).collect();
            for (observer, notice) in stuck {
                observer.lock().observe_unless_over(&Event::Notice(&notice));
            }
        }
    }

    /// Whether no worker has anything in hand.
    pub(crate) fn is_quiet(&self) -> bool {
        self.0.iter().all(|in_hand| in_hand.lock().is_empty())
    }
}

impl Doing<'_> {
    /// What is said of it when it is stuck. A search that goes on and on is as long at one thing as a
    /// disk that does not answer.
    fn notice(&self, worker: usize, now: Duration) -> String {
        let path = match &self.named {
            Named::Item(planned) => &planned.keys_file,
            Named::Path(path) => path,
        };
        let (path, activity) = (path.display(), self.activity);
        let seconds = now.saturating_sub(self.since).as_secs();
        format!("{path}: worker {worker} is still at \"{activity}\" after {seconds} s")
    }

    /// Tells what an item was at. What a job is at beside is in no trace.
    fn trace(&self, worker: usize, now: Duration, tracer: Option<&dyn Tracer>) {
        if let (Some(tracer), Named::Item(planned), Station::Slot(slot)) =
            (tracer, &self.named, self.station)
        {
            let (name, keys_file) = (self.activity, &*planned.keys_file);
            tracer.span(&Span { worker, slot, name, keys_file, begun: self.since, ended: now });
        }
    }
}

#[cfg(test)]
mod tests {
    use perfecta_io::{Entry, EntryKind};

    use super::*;
    use crate::activity;
    use crate::config::{Inputs, Job};
    use crate::schedule;
    use crate::work::JobObserver;

    const PATIENCE: Duration = Duration::from_secs(30);

    type Told = Arc<parking_lot::Mutex<Vec<String>>>;

    fn observer() -> (Told, SharedObserver<'static>) {
        let told = Told::default();
        let observed = Arc::clone(&told);
        let observer = Box::new(move |event: &Event<'_>| {
            let Event::Notice(notice) = event else { unreachable!("nothing else is told") };
            observed.lock().push((*notice).to_owned());
        });
        (told, Arc::new(Mutex::new(JobObserver::new(observer))))
    }

    fn doing(
        station: Station,
        observer: &SharedObserver<'static>,
        named: Named,
        activity: &'static str,
        since: u64,
    ) -> Doing<'static> {
        let (observer, since) = (Arc::clone(observer), Duration::from_secs(since));
        Doing { station, observer, named, activity, since, is_told: false }
    }

    #[test]
    fn what_is_at_one_thing_for_long_is_told_once() {
        let job = Job::new(Inputs::tree("in"));
        let entry = Entry { path: "a.keys".into(), kind: EntryKind::File { bytes: 4 } };
        let planned = Arc::new(schedule::plan(&job, None, vec![entry]).remove(0));
        let at = Duration::from_secs;
        let watch = Watch::new(2);
        let (told, observer) = observer();
        let told_by = |now| {
            watch.tell_stuck(at(now), PATIENCE);
            std::mem::take(&mut *told.lock())
        };
        let slot = Station::Slot(7);
        let note = |activity, since| {
            let named = Named::Item(Arc::clone(&planned));
            watch.note(1, doing(slot, &observer, named, activity, since), None);
        };
        note(activity::READ_KEYS, 5);
        assert!(told_by(34).is_empty());
        assert_eq!(told_by(36), [r#"in/a.keys: worker 1 is still at "read key file" after 31 s"#]);
        assert!(told_by(90).is_empty());
        note(activity::SEARCH, 100);
        assert_eq!(told_by(130), [r#"in/a.keys: worker 1 is still at "search" after 30 s"#]);
        watch.note_left(1, slot, at(131), None);
        assert!(told_by(200).is_empty() && watch.is_quiet());
    }

    #[test]
    fn a_job_is_told_of_its_own_until_its_end_is_told() {
        let watch = Watch::new(1);
        let [(told, observer), (other_told, other)] = [observer(), observer()];
        let note = |station, observer, path: &str, activity| {
            watch.note(0, doing(station, observer, Named::Path(path.into()), activity, 0), None);
        };
        note(Station::Desk, &observer, "out", activity::PREPARE_OUTPUT);
        note(Station::Slot(0), &other, "pack", activity::APPEND);
        other.lock().dismiss();
        watch.tell_stuck(PATIENCE, PATIENCE);
        let expected = r#"out: worker 0 is still at "prepare output" after 30 s"#;
        assert_eq!(*told.lock(), [expected]);
        assert!(other_told.lock().is_empty());
    }
}
