//! Runs one job: a session of its own, its workers on threads, and this thread to watch them.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::config::Job;
use crate::error::JobError;
use crate::event::{Event, Observer, Summary};
use crate::render::Renderer;
use crate::runtime::Runtime;
use crate::session::{Request, Session, SessionLimits, SessionRuntime};
use crate::worker::Worker;

/// After so long without anything happening to it, an item is called stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// Between two looks for stuck items.
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// Runs a job to its end. Failures of items are reported, not returned.
///
/// # Errors
/// [`JobError`] if the job as a whole cannot run.
///
/// # Panics
/// If the observer does, or if the accounts do not add up at the end.
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
    let notice = |notice: &str| observer.lock().observe(&Event::Notice(notice));
    std::thread::scope(|scope| {
        let mut workers = 0;
        for number in 0..job.limits.threads.get() {
            match start(scope, &session, number, &ending, &notice) {
                Ok(()) => workers += 1,
                // The system has no more to give: those that are there do all of the work.
                Err(error) if workers > 0 => {
                    notice(&format!("only {number} worker threads could be started: {error}"));
                    break;
                }
                Err(_) => {
                    Worker::new(&session, 0).work();
                    break;
                }
            }
        }
        ending.watch(|| {
            for stuck in session.stuck_items(STUCK_AFTER) {
                notice(&format!(
                    "{}: nothing happened for {} s; worker {} has it at: {}",
                    stuck.keys_file.display(),
                    stuck.since.as_secs(),
                    stuck.worker,
                    stuck.activity
                ));
            }
        });
    });
    session.assert_quiet();
    ending.outcome()
}

fn start<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    session: &'scope Session<'_>,
    number: usize,
    ending: &'scope Ending,
    notice: &'scope (dyn Fn(&str) + Sync),
) -> io::Result<()> {
    let builder = std::thread::Builder::new().name(format!("worker-{number}"));
    let work = move || {
        let _leaving = Leaving { session, ending };
        if let Err(refused) = session.runtime.engines.place(number) {
            notice(&refused);
        }
        Worker::new(session, number).work();
    };
    builder.spawn_scoped(scope, work).map(drop)
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

/// Tells when a worker's thread ends by a panic: nobody should wait for it any more.
struct Leaving<'e, 'a> {
    session: &'e Session<'a>,
    ending: &'e Ending,
}

impl Drop for Leaving<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.session.break_off();
            self.ending.state.lock().is_broken = true;
            self.ending.changed.notify_all();
        }
    }
}

impl Ending {
    fn told(&self, outcome: Result<Summary, JobError>) {
        let before = self.state.lock().outcome.replace(outcome);
        assert!(before.is_none(), "a job ends twice");
        self.changed.notify_all();
    }

    /// Waits for the end, and looks after the workers meanwhile.
    fn watch(&self, look: impl Fn()) {
        let mut state = self.state.lock();
        while state.outcome.is_none() && !state.is_broken {
            if self.changed.wait_for(&mut state, WATCH_EVERY).timed_out() {
                drop(state);
                look();
                state = self.state.lock();
            }
        }
    }

    fn outcome(&self) -> Result<Summary, JobError> {
        self.state.lock().outcome.take().expect("workers leave when the job has ended")
    }
}
