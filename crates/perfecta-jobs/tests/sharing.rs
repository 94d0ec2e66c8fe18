//! Hard searches on workers that have other things to do as well.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::keys;
use perfecta_core::family::Family;
use perfecta_core::search::FamilyChoice;
use perfecta_io::{BlockingEngine, Clock, Engine, Random, SystemClock};
use perfecta_jobs::{
    CancelFlag, EngineSource, Event, Inputs, ItemError, Job, Request, Runtime, Session,
    SessionLimits, SessionRuntime, Status, Stepped, Worker, dry_run, run,
};

/// Keys that differ in their high bits only have one vertex under a plain product: every attempt is
/// in vain.
fn in_vain(input: &Path, name: &str) {
    std::fs::write(input.join(name), keys(5000, 1 << 18)).unwrap();
}

fn job(inputs: Inputs, attempts_max: u64) -> Job {
    let mut job = Job::new(inputs);
    job.search.family = FamilyChoice::Named(Family::from_name("Multiply").unwrap());
    job.search.attempts_max = attempts_max;
    job
}

#[test]
fn searches_in_vain_on_every_worker_stop_nothing_else() {
    let input = tempfile::tempdir().unwrap();
    // The largest begin first: there is one for every worker.
    (0..3).for_each(|number| in_vain(input.path(), &format!("{number}.keys")));
    for number in 0..50 {
        std::fs::write(input.path().join(format!("small{number}.keys")), keys(5, 3)).unwrap();
    }
    for threads in 1..=3 {
        let mut job = job(Inputs::tree(input.path()), 10_000_000);
        job.limits.threads = threads.try_into().unwrap();
        let mut statuses = Vec::new();
        run(&job, &Runtime::new(None, CancelFlag::default()), &mut |event: &Event<'_>| {
            if let Event::Settled { report, .. } = event {
                statuses.push(report.status);
            }
        })
        .unwrap();
        assert!(statuses[..50].iter().all(|status| *status == Status::Ok), "{statuses:?}");
        assert!(statuses[50..].iter().all(|status| *status == Status::Failed), "{statuses:?}");
    }
}

struct Plain;

impl EngineSource for Plain {
    fn engine(&self) -> Box<dyn Engine> {
        Box::new(BlockingEngine::default())
    }
}

#[test]
fn two_searches_of_one_worker_take_turns() {
    let input = tempfile::tempdir().unwrap();
    in_vain(input.path(), "a.keys");
    let limits = SessionLimits {
        workers: 1.try_into().unwrap(),
        files_in_flight_max: 2.try_into().unwrap(),
        io_depth: 1.try_into().unwrap(),
        memory_bytes_max: 1 << 30,
        jobs_active_max: 2.try_into().unwrap(),
    };
    let runtime = SessionRuntime { engines: &Plain, clock: &SystemClock, tracer: None };
    let session = Session::new(runtime, limits);
    let ended = Arc::new(Mutex::new(Vec::new()));
    let submit = |name, attempts_max, gives_up: bool| {
        let (ended, cancel) = (Arc::clone(&ended), CancelFlag::default());
        session.submit(Request {
            job: job(Inputs::Files(vec![input.path().join("a.keys")]), attempts_max),
            renderer: None,
            cancel: cancel.clone(),
            observer: Box::new(move |event: &Event<'_>| {
                if gives_up && matches!(event, Event::Searching(_)) {
                    cancel.cancel();
                }
            }),
            on_end: Box::new(move |_| ended.lock().unwrap().push(name)),
        });
    };
    submit("tries often", 10_000_000, false);
    submit("gives up when it is led", u64::MAX >> 1, true);
    session.close();
    Worker::new(&session, 0).work();
    session.assert_quiet();
    assert_eq!(*ended.lock().unwrap(), ["gives up when it is led", "tries often"]);
}

/// The memory that a search for this key file is admitted with.
fn memory_of(keys_file: PathBuf) -> u64 {
    let mut job = job(Inputs::Files(vec![keys_file]), 1);
    job.limits.memory_bytes_max = 1;
    let refused = dry_run(&job, &Runtime::new(None, CancelFlag::default())).unwrap().refused;
    match &refused[..] {
        [(_, ItemError::Memory { needed, .. })] => *needed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn searches_without_end_leave_files_and_memory_to_jobs_that_come_later() {
    let input = tempfile::tempdir().unwrap();
    (0..20).for_each(|number| in_vain(input.path(), &format!("{number}.keys")));
    let others = tempfile::tempdir().unwrap();
    std::fs::write(others.path().join("small.keys"), keys(5, 3)).unwrap();
    let memory_of_eight = 8 * memory_of(input.path().join("0.keys"));
    for (files, memory_bytes_max) in [(8, 1 << 30), (100, memory_of_eight)] {
        let limits = SessionLimits {
            workers: 1.try_into().unwrap(),
            files_in_flight_max: files.try_into().unwrap(),
            io_depth: 2.try_into().unwrap(),
            memory_bytes_max,
            jobs_active_max: 8.try_into().unwrap(),
        };
        let runtime = SessionRuntime { engines: &Plain, clock: &SystemClock, tracer: None };
        let session = Session::new(runtime, limits);
        let ended = Arc::new(Mutex::new(Vec::new()));
        let submit = |name, inputs, attempts_max| {
            let (ended, cancel) = (Arc::clone(&ended), CancelFlag::default());
            session.submit(Request {
                job: job(inputs, attempts_max),
                renderer: None,
                cancel: cancel.clone(),
                observer: Box::new(|_: &Event<'_>| {}),
                on_end: Box::new(move |_| ended.lock().unwrap().push(name)),
            });
            cancel
        };
        let mut worker = Worker::new(&session, 0);
        let mut step = || {
            if let Stepped::Idle(until) = worker.step() {
                worker.wait(until);
            }
        };
        let cancel = submit("without end", Inputs::tree(input.path()), 10_000_000);
        // Each step begins a file, or gives a search its turn.
        (0..100).for_each(|_| step());
        assert_eq!(session.statistics().files_in_flight, 6, "of eight, two are kept");
        for _ in 0..2 {
            submit("comes later", Inputs::tree(others.path()), 1000);
        }
        while ended.lock().unwrap().len() < 2 {
            step();
        }
        cancel.cancel();
        session.close();
        while !ended.lock().unwrap().contains(&"without end") {
            step();
        }
        assert_eq!(*ended.lock().unwrap(), ["comes later", "comes later", "without end"]);
        worker.work();
        session.assert_quiet();
    }
}

#[test]
fn a_large_item_is_not_kept_waiting_by_small_ones_that_come_and_go() {
    let input = tempfile::tempdir().unwrap();
    for number in 0..200 {
        std::fs::write(input.path().join(format!("{number}.keys")), keys(5000, 3)).unwrap();
    }
    let others = tempfile::tempdir().unwrap();
    let large = others.path().join("large.keys");
    std::fs::write(&large, keys(100_000, 3)).unwrap();
    let limits = SessionLimits {
        workers: 4.try_into().unwrap(),
        files_in_flight_max: 8.try_into().unwrap(),
        io_depth: 4.try_into().unwrap(),
        // The large one runs alone.
        memory_bytes_max: memory_of(large),
        jobs_active_max: 2.try_into().unwrap(),
    };
    let runtime = SessionRuntime { engines: &Plain, clock: &SystemClock, tracer: None };
    let session = Session::new(runtime, limits);
    let settled = Arc::new(Mutex::new(Vec::new()));
    for inputs in [input.path(), others.path()] {
        let settled = Arc::clone(&settled);
        session.submit(Request {
            job: Job::new(Inputs::tree(inputs)),
            renderer: None,
            cancel: CancelFlag::default(),
            observer: Box::new(move |event: &Event<'_>| {
                if let Event::Settled { report, .. } = event {
                    assert_eq!(report.status, Status::Ok);
                    settled.lock().unwrap().push(report.keys);
                }
            }),
            on_end: Box::new(|_| {}),
        });
    }
    session.close();
    // They step in a drawn order, so that one or another always has a small item in hand.
    let mut workers = [0, 1, 2, 3].map(|number| Worker::new(&session, number));
    let mut random = Random::new(1);
    let mut left = [false; 4];
    while left != [true; 4] {
        let number = random.index(4);
        left[number] = left[number] || workers[number].step() == Stepped::Left;
    }
    drop(workers);
    session.assert_quiet();
    let settled = settled.lock().unwrap();
    let before = settled.iter().position(|keys| *keys == 100_000).unwrap();
    // As many keys as it has, those that had begun, and what the first lap gives.
    assert!((10..60).contains(&before), "{before} small ones were built before it");
}

/// Long enough for any machine: only a fault waits so long, and then for ever.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_search_without_end_is_not_waited_for() {
    let input = tempfile::tempdir().unwrap();
    let files = |range: std::ops::Range<u32>, num_keys| -> Vec<PathBuf> {
        let paths = range.map(|number| input.path().join(format!("{number}.keys")));
        paths.inspect(|path| std::fs::write(path, keys(num_keys, 3)).unwrap()).collect()
    };
    // They have more keys together than the large one, whose turn comes between them.
    let (large, small) = (files(0..1, 100_000), files(1..60, 5000));
    in_vain(input.path(), "endless.keys");
    let limits = SessionLimits {
        workers: 1.try_into().unwrap(),
        files_in_flight_max: 8.try_into().unwrap(),
        io_depth: 2.try_into().unwrap(),
        memory_bytes_max: memory_of(large[0].clone()),
        jobs_active_max: 4.try_into().unwrap(),
    };
    let runtime = SessionRuntime { engines: &Plain, clock: &SystemClock, tracer: None };
    let session = Session::new(runtime, limits);
    let ended = Arc::new(Mutex::new(Vec::new()));
    let submit = |name, job, cancel| {
        let ended = Arc::clone(&ended);
        session.submit(Request {
            job,
            renderer: None,
            cancel,
            observer: Box::new(|_: &Event<'_>| {}),
            on_end: Box::new(move |_| ended.lock().unwrap().push(name)),
        });
    };
    let mut worker = Worker::new(&session, 0);
    let mut step = || {
        if let Stepped::Idle(until) = worker.step() {
            worker.wait(until);
        }
    };
    let endless = Inputs::Files(vec![input.path().join("endless.keys")]);
    let cancel = CancelFlag::default();
    submit("endless", job(endless, u64::MAX >> 1), cancel.clone());
    (0..20).for_each(|_| step());
    assert_eq!(session.statistics().files_in_flight, 1);
    submit("large", Job::new(Inputs::Files(large)), CancelFlag::default());
    submit("small", Job::new(Inputs::Files(small)), CancelFlag::default());
    let begun = SystemClock.now();
    while ended.lock().unwrap().is_empty() {
        assert!(SystemClock.now() - begun < PATIENCE, "the small ones wait for it");
        step();
    }
    cancel.cancel();
    session.close();
    worker.work();
    session.assert_quiet();
    assert_eq!(*ended.lock().unwrap(), ["small", "endless", "large"]);
}
