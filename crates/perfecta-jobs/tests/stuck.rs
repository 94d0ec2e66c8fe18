//! Jobs that are held up, on a clock that the test moves.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::{Made, ONE_AT_A_TIME, Overheard, keys};
use parking_lot::Mutex;
use perfecta_core::family::Family;
use perfecta_core::search::{FamilyChoice, Plan};
use perfecta_emit::ArtifactKinds;
use perfecta_io::{Clock, Op};
use perfecta_jobs::{
    Artifacts, CancelFlag, Event, Inputs, Job, Layout, Observer, Output, Request, Runtime,
    SelfTest, Session, SessionRuntime, Verification, Worker, dry_run, run, verify,
};

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct MovedClock(AtomicU64);

impl Clock for MovedClock {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }

    fn cpu(&self) -> Duration {
        Duration::ZERO
    }
}

/// Hands a job in, and gives back what stops it, and what it is told.
fn submit(session: &Session<'_>, job: Job) -> (CancelFlag, Receiver<String>) {
    let cancel = CancelFlag::default();
    let (told, notices) = channel();
    session.submit(Request {
        job,
        renderer: None,
        cancel: cancel.clone(),
        observer: Box::new(move |event: &Event<'_>| {
            if let Event::Notice(notice) = event {
                told.send((*notice).to_owned()).unwrap();
            }
        }),
        on_end: Box::new(drop),
    });
    (cancel, notices)
}

/// What the first of two jobs is told when time passes, the disk hangs, and it is at `activity`; the
/// other one waits.
fn told_of(hangs_at: fn(&Op) -> bool, job: Job, other: Job, activity: &str) -> String {
    let gate = Arc::new(Mutex::new(()));
    let hangs = gate.lock();
    let engines = Made::by(|| {
        let gate = Arc::clone(&gate);
        Box::new(Overheard::by(move |op| {
            if hangs_at(op) {
                drop(gate.lock());
            }
        }))
    });
    let clock = MovedClock::default();
    let runtime = SessionRuntime { engines: &engines, clock: &clock, tracer: None };
    let session = Session::new(runtime, ONE_AT_A_TIME);
    let (held, waiting) = (submit(&session, job), submit(&session, other));
    session.close();
    let told = std::thread::scope(|scope| {
        scope.spawn(|| Worker::new(&session, 0).work());
        let told = (0..6_000).find_map(|_| {
            clock.0.fetch_add(PATIENCE.as_secs(), Ordering::SeqCst);
            session.tell_stuck(PATIENCE);
            let told = held.1.recv_timeout(Duration::from_millis(10)).ok();
            told.filter(|told| told.contains(&format!("\"{activity}\"")))
        });
        waiting.0.cancel();
        held.0.cancel();
        drop(hangs);
        told
    });
    session.assert_quiet();
    assert!(waiting.1.try_recv().is_err());
    told.unwrap()
}

/// A job that tries in vain without end.
fn hopeless(directory: &Path) -> Job {
    let file = directory.join("hopeless.keys");
    std::fs::write(&file, keys(199, 1 << 20)).unwrap();
    let family = FamilyChoice::Named(Family::from_name("Multiply").unwrap());
    let search = Plan { family, attempts_max: u64::MAX, ..Plan::default() };
    Job { search, ..Job::new(Inputs::Files(vec![file])) }
}

/// A job that packs one table.
fn packing(directory: &Path) -> Job {
    let file = directory.join("a.keys");
    std::fs::write(&file, keys(20, 77)).unwrap();
    let output = Output { layout: Layout::Packed, ..Output::new(directory.join("out")) };
    Job { output: Some(output), ..Job::new(Inputs::Files(vec![file])) }
}

/// What is told of work that the disk holds up there while time passes.
fn told_while(
    hangs_at: fn(&Op) -> bool,
    work: impl FnOnce(&Runtime<'_>, &mut dyn Observer) + Send,
) -> String {
    let gate = Arc::new(Mutex::new(()));
    let hangs = gate.lock();
    let engines = Made::by(|| {
        let gate = Arc::clone(&gate);
        Box::new(Overheard::by(move |op| {
            if hangs_at(op) {
                drop(gate.lock());
            }
        }))
    });
    let clock = MovedClock::default();
    let (tells, told) = channel();
    let told = std::thread::scope(|scope| {
        let (engines, clock) = (&engines, &clock);
        scope.spawn(move || {
            let artifacts = Artifacts::new(ArtifactKinds::default(), SelfTest::FromFile);
            let runtime = Runtime::new(Some(&artifacts), CancelFlag::default());
            let runtime = Runtime { engines, clock, ..runtime };
            work(&runtime, &mut |event: &Event<'_>| {
                if let Event::Notice(notice) = event {
                    tells.send((*notice).to_owned()).unwrap();
                }
            });
        });
        let told = (0..6_000).find_map(|_| {
            clock.0.fetch_add(PATIENCE.as_secs(), Ordering::SeqCst);
            told.recv_timeout(Duration::from_millis(10)).ok()
        });
        drop(hangs);
        told
    });
    told.unwrap()
}

/// Who verified, or asked what would be built, of a disk that does not answer, was told nothing.
#[test]
fn who_has_no_session_is_told_of_what_is_stuck_too() {
    let directory = tempfile::tempdir().unwrap();
    let (keys_file, out) = (directory.path().join("a.keys"), directory.path().join("out"));
    let job = Job { output: Some(Output::new(&out)), ..packing(directory.path()) };
    let artifacts = Artifacts::new(ArtifactKinds::default(), SelfTest::FromFile);
    let runtime = Runtime::new(Some(&artifacts), CancelFlag::default());
    run(&job, &runtime, &mut |_: &Event<'_>| {}).unwrap();
    let verification = Verification { keys: Some(job.inputs.clone()), ..Verification::new(&out) };
    let check = |hangs_at: fn(&Op) -> bool, place: &Path, activity: &str| {
        let told = told_while(hangs_at, |runtime, observer| {
            assert_eq!(verify(&verification, runtime, observer).unwrap().ok, 1);
        });
        let beginning = format!("{}: worker ", place.display());
        let end = format!(" is still at \"{activity}\" after ");
        assert!(told.starts_with(&beginning) && told.contains(&end), "{told}");
    };
    std::thread::scope(|scope| {
        let check = &check;
        scope.spawn(|| check(|op| matches!(op, Op::ListTree { .. }), &out, "list tables"));
        scope.spawn(|| check(|op| matches!(op, Op::Inspect { .. }), &keys_file, "list key files"));
        scope.spawn(|| check(|op| matches!(op, Op::ReadDirectory { .. }), &keys_file, "verify"));
        let hangs_at: fn(&Op) -> bool = |op| matches!(op, Op::Inspect { .. });
        let told = told_while(hangs_at, |runtime, observer| {
            assert_eq!(dry_run(&job, runtime, observer).unwrap().tables, 1);
        });
        assert!(told.contains("a.keys: worker 0 is still at \"list key files\""), "{told}");
    });
}

#[test]
fn what_is_stuck_is_told_to_its_job_and_to_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let job = hopeless(directory.path());
    let told = told_of(|_| false, job.clone(), job, "search");
    assert!(told.contains("hopeless.keys: worker 0 is still at"), "{told}");
}

#[test]
fn a_job_that_the_disk_holds_up_before_or_behind_its_items_is_told_where() {
    let check = |hangs_at: fn(&Op) -> bool, activity, path: &str| {
        let directory = tempfile::tempdir().unwrap();
        let (job, other) = (packing(directory.path()), hopeless(directory.path()));
        let told = told_of(hangs_at, job, other, activity);
        let place = format!("{}: worker 0 is still at", directory.path().join(path).display());
        assert!(told.starts_with(&place), "{told}");
    };
    check(|op| matches!(op, Op::Inspect { .. }), "list key files", "a.keys");
    check(|op| matches!(op, Op::MakeDirectories { .. }), "prepare output", "out");
    check(|op| matches!(op, Op::Publish { .. }), "close output", "out");
}

#[test]
fn a_job_that_the_disk_holds_up_at_its_pack_is_told_where() {
    let directory = tempfile::tempdir().unwrap();
    let (job, other) = (packing(directory.path()), hopeless(directory.path()));
    let activity = "append to the pack and read it back";
    let appends = |op: &Op| matches!(op, Op::Append { .. });
    let told = told_of(appends, job.clone(), other.clone(), activity);
    assert!(told.contains("tables.packed/tables.phtpack: worker 0"), "{told}");
    run(&job, &Runtime::new(None, CancelFlag::default()), &mut |_: &Event<'_>| {}).unwrap();
    let told =
        told_of(|op| matches!(op, Op::ReadRange { .. }), job, other, "compare with published pack");
    assert!(told.contains("out/tables.packed: worker 0"), "{told}");
}
