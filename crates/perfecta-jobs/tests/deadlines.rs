//! Jobs that are not done in time, on a clock that the test moves.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{BLOCKING, ONE_AT_A_TIME};
use parking_lot::Mutex;
use perfecta_core::family::Family;
use perfecta_core::search::{FamilyChoice, Plan};
use perfecta_io::Clock;
use perfecta_jobs::{
    CancelFlag, Event, ExitClass, Inputs, Job, JobError, Limits, Request, Runtime, Session,
    SessionRuntime, Summary, Worker, run,
};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
struct MovedClock(AtomicU64);

impl MovedClock {
    fn move_to(&self, time: Duration) {
        self.0.store(time.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn cpu(&self) -> Duration {
        Duration::ZERO
    }
}

/// A millisecond passes with every look at it.
#[derive(Default)]
struct TickingClock(AtomicU64);

impl Clock for TickingClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.fetch_add(1, Ordering::SeqCst))
    }

    fn cpu(&self) -> Duration {
        Duration::ZERO
    }
}

fn session(clock: &dyn Clock) -> Session<'_> {
    Session::new(SessionRuntime { engines: &BLOCKING, clock, tracer: None }, ONE_AT_A_TIME)
}

/// How a job ended, once it has.
type End = Arc<Mutex<Option<Result<Summary, JobError>>>>;

fn submit(session: &Session<'_>, job: Job, cancel: &CancelFlag) -> End {
    let end = End::default();
    let told = Arc::clone(&end);
    session.submit(Request {
        job,
        renderer: None,
        cancel: cancel.clone(),
        observer: Box::new(|_: &Event<'_>| {}),
        on_end: Box::new(move |outcome| assert!(told.lock().replace(outcome).is_none())),
    });
    end
}

/// A job that is to be done in so many seconds.
fn job(file: &Path, seconds: Option<u32>) -> Job {
    let limits =
        Limits { job_time_max: seconds.map(|seconds| seconds * SECOND), ..Limits::default() };
    Job { limits, ..Job::new(Inputs::Files(vec![file.to_owned()])) }
}

#[test]
fn a_job_that_waits_past_its_deadline_ends_so_and_others_go_on_waiting() {
    let clock = MovedClock::default();
    let session = session(&clock);
    let end = |seconds| submit(&session, job(Path::new("a"), seconds), &CancelFlag::default());
    let (late, patient, later) = (end(Some(5)), end(None), end(Some(9)));
    assert_eq!(session.end_overdue(), Some(5 * SECOND));
    assert_eq!(*late.lock(), None);
    clock.move_to(5 * SECOND);
    assert_eq!(session.end_overdue(), Some(4 * SECOND));
    assert_eq!(*late.lock(), Some(Err(JobError::Expired)));
    assert_eq!((&*patient.lock(), &*later.lock()), (&None, &None));
    assert_eq!(JobError::Expired.exit_class(), ExitClass::Expired);
    assert_eq!(session.num_jobs(), 2);
}

#[test]
fn a_job_that_is_cancelled_while_it_waits_ends_at_once_and_keeps_no_deadline() {
    let clock = MovedClock::default();
    let session = session(&clock);
    let cancel = CancelFlag::default();
    let end = submit(&session, job(Path::new("a"), Some(5)), &cancel);
    cancel.cancel();
    assert_eq!(session.end_overdue(), Some(5 * SECOND));
    assert_eq!(*end.lock(), Some(Err(JobError::Cancelled)));
    assert_eq!(session.end_overdue(), None);
    session.assert_quiet();
}

/// A job with a deadline of 5 seconds that tries in vain without end.
fn hopeless(directory: &Path) -> Job {
    let file = directory.join("hopeless.keys");
    let hopeless: Vec<u8> = (1..200u32).flat_map(|key| (key << 20).to_le_bytes()).collect();
    std::fs::write(&file, hopeless).unwrap();
    let family = FamilyChoice::Named(Family::from_name("Multiply").unwrap());
    let search = Plan { family, attempts_max: u64::MAX, ..Plan::default() };
    Job { search, ..job(&file, Some(5)) }
}

#[test]
fn a_job_that_runs_past_its_deadline_is_cancelled_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let clock = MovedClock::default();
    let session = session(&clock);
    let end = submit(&session, hopeless(directory.path()), &CancelFlag::default());
    session.close();
    std::thread::scope(|scope| {
        scope.spawn(|| Worker::new(&session, 0).work());
        while session.statistics().files_in_flight == 0 {
            std::thread::yield_now();
        }
        clock.move_to(5 * SECOND);
        assert_eq!(session.end_overdue(), None);
    });
    let summary = end.lock().take().unwrap().unwrap();
    assert_eq!((summary.cancelled, summary.exit_class()), (1, ExitClass::Expired));
    session.assert_quiet();
}

#[test]
fn a_worker_without_threads_beside_it_looks_after_deadlines_itself() {
    let directory = tempfile::tempdir().unwrap();
    let clock = TickingClock::default();
    let session = session(&clock);
    let end = submit(&session, hopeless(directory.path()), &CancelFlag::default());
    session.close();
    let (looks, searches) = (AtomicU64::new(0), AtomicU64::new(0));
    Worker::new(&session, 0).work_and_look(|| {
        looks.fetch_add(1, Ordering::Relaxed);
        searches.fetch_add(session.statistics().files_in_flight as u64, Ordering::Relaxed);
        session.end_overdue().map_or(SECOND, |next| next.min(SECOND))
    });
    assert!(searches.into_inner() > 0, "it was looked while the search was on");
    assert!(looks.into_inner() < 20, "not at every step, and not after its end");
    let summary = end.lock().take().unwrap().unwrap();
    assert_eq!((summary.cancelled, summary.exit_class()), (1, ExitClass::Expired));
    session.assert_quiet();
}

#[test]
fn whoever_cancels_before_the_deadline_keeps_the_blame() {
    let clock = MovedClock::default();
    let session = session(&clock);
    let cancel = CancelFlag::default();
    let end = submit(&session, job(Path::new("a"), Some(5)), &cancel);
    cancel.cancel();
    clock.move_to(6 * SECOND);
    session.end_overdue();
    assert_eq!(*end.lock(), Some(Err(JobError::Cancelled)));
}

#[test]
fn a_job_without_time_is_not_begun() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.keys");
    std::fs::write(&file, [1, 0, 0, 0, 2, 0, 0, 0]).unwrap();
    let limits = Limits { job_time_max: Some(Duration::ZERO), ..Limits::default() };
    let job = Job { limits, ..Job::new(Inputs::Files(vec![file])) };
    for _ in 0..20 {
        let outcome =
            run(&job, &Runtime::new(None, CancelFlag::default()), &mut |_: &Event<'_>| {});
        assert!(matches!(outcome, Err(JobError::Expired)), "{outcome:?}");
    }
}
