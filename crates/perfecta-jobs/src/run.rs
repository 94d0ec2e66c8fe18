//! Runs one job: a session of its own, its workers on threads, and this thread to watch them.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::config::Job;
use crate::crew::start_workers;
use crate::error::JobError;
use crate::event::{Event, Observer, Summary};
use crate::render::Renderer;
use crate::runtime::Runtime;
use crate::session::{Request, Session, SessionLimits, SessionRuntime};
use crate::watch::{STUCK_AFTER, WATCH_EVERY};
use crate::worker::Worker;

/// Runs a job to its end. Failures of items are reported, not returned.
///
/// # Errors
/// [`JobError`] if the job as a whole cannot run.
///
/// # Panics
/// If the observer does, or if something of a job is left at the end.
pub fn run(
    job: &Job,
    runtime: &Runtime<'_>,
    observer: &mut dyn Observer,
) -> Result<Summary, JobError> {
    let ending = Ending::default();
    let observer = Mutex::new(observer);
    let session = Session::new(
        SessionRuntime { engines: runtime.engines, clock: runtime.clock, tracer: runtime.tracer },
        SessionLimits::of_job(job),
    );
    let renderer = runtime.renderer.map(|renderer| Arc::new(renderer) as Arc<dyn Renderer + '_>);
    session.submit(Request {
        job: job.clone(),
        renderer,
        cancel: runtime.cancel.clone(),
        observer: Box::new(|event: &Event<'_>| observer.lock().observe(event)),
        on_end: Box::new(|outcome| ending.told(outcome)),
    });
    session.close();
    // Who has no time is told so, however quick the workers are.
    session.end_overdue();
    let notice = |notice: &str| observer.lock().observe(&Event::Notice(notice));
    let lost = || ending.lost();
    // Ends what is overdue, tells of what is stuck; the answer is when to look again.
    let look = || {
        let next = session.end_overdue();
        session.tell_stuck(STUCK_AFTER);
        next.map_or(WATCH_EVERY, |next| next.min(WATCH_EVERY))
    };
    std::thread::scope(|scope| match start_workers(scope, &session, &lost, &notice) {
        Ok(_) => ending.watch(look),
        Err(error) => {
            notice(&format!("no worker thread could be started, the main one works: {error}"));
            session.set_num_workers(NonZeroUsize::MIN);
            Worker::new(&session, 0).work_and_look(look);
        }
    });
    session.assert_quiet();
    ending.outcome()
}

impl SessionLimits {
    /// The bounds of a session that has just this job.
    fn of_job(job: &Job) -> Self {
        Self {
            workers: job.limits.threads,
            files_in_flight_max: job.limits.files_in_flight_max,
            io_depth: job.limits.io_depth,
            memory_bytes_max: job.limits.memory_bytes_max,
            jobs_active_max: NonZeroUsize::MIN,
        }
    }
}

/// The end of a job, waited for.
#[derive(Default)]
struct Ending {
    state: Mutex<EndState>,
    changed: Condvar,
}

#[derive(Default)]
struct EndState {
    outcome: Option<Result<Summary, JobError>>,
    /// A worker is gone that should not be.
    is_broken: bool,
}

impl Ending {
    fn told(&self, outcome: Result<Summary, JobError>) {
        let before = self.state.lock().outcome.replace(outcome);
        assert!(before.is_none(), "a job ends twice");
        self.changed.notify_all();
    }

    /// A worker is gone: nobody should wait for it any more.
    fn lost(&self) {
        self.state.lock().is_broken = true;
        self.changed.notify_all();
    }

    /// Waits for the end, and looks after the workers meanwhile, as often as `look` says.
    fn watch(&self, look: impl Fn() -> Duration) {
        loop {
            let until_next = look();
            let mut state = self.state.lock();
            let is_over = |state: &EndState| state.outcome.is_some() || state.is_broken;
            if !is_over(&state) {
                self.changed.wait_for(&mut state, until_next);
            }
            if is_over(&state) {
                return;
            }
        }
    }

    fn outcome(&self) -> Result<Summary, JobError> {
        self.state.lock().outcome.take().expect("workers leave when the job has ended")
    }
}
