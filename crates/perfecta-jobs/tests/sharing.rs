//! Hard searches on workers that have other things to do as well.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{BLOCKING, Made, Overheard, PlainRenderer, keys};
use perfecta_core::family::Family;
use perfecta_core::search::FamilyChoice;
use perfecta_io::{Clock, Random, SystemClock};
use perfecta_jobs::{
    CancelFlag, Durability, Event, Inputs, ItemError, Job, Output, Ramp, Request, Runtime, Session,
    SessionLimits, SessionRuntime, Status, Stepped, Worker, dry_run, run,
};

/// Every attempt at these keys with Crc32 is in vain, and no two of them are to blame for all: each attempt
/// joins the vertices whose xor is its own, and of all 14-bit words there are two among the keys whose xor
/// becomes it.
fn in_vain(input: &Path, name: &str) {
    let words = (0..4500u32).chain((4608..1 << 14).step_by(128));
    let bytes: Vec<u8> = words.flat_map(|word| (word << 3).to_le_bytes()).collect();
    std::fs::write(input.join(name), bytes).unwrap();
}

fn job(inputs: Inputs, attempts_max: u64) -> Job {
    let mut job = Job::new(inputs);
    job.search.family = FamilyChoice::Named(Family::from_name("Crc32").unwrap());
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
        let mut job = job(Inputs::tree(input.path()), 20_000);
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
    let runtime = SessionRuntime { engines: &BLOCKING, clock: &SystemClock, tracer: None };
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
    submit("tries often", 100_000, false);
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
    let runtime = Runtime::new(None, CancelFlag::default());
    let refused = dry_run(&job, &runtime, &mut |_: &Event<'_>| {}).unwrap().refused;
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
        let runtime = SessionRuntime { engines: &BLOCKING, clock: &SystemClock, tracer: None };
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
    let runtime = SessionRuntime { engines: &BLOCKING, clock: &SystemClock, tracer: None };
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

/// After that, what is in flight is not waited for.
const LONG: Duration = Duration::from_secs(4);

/// More than any of these take: only a fault takes as many, and then without end.
const STEPS_MAX: usize = 1000;

/// The system's clock, from which time is left out: a search has its turn for as long as that says.
#[derive(Default)]
struct LeapingClock(AtomicU64);

impl LeapingClock {
    fn leap(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for LeapingClock {
    fn now(&self) -> Duration {
        SystemClock.now() + Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn cpu(&self) -> Duration {
        SystemClock.cpu()
    }
}

/// Submits a job whose name is in `ended` when it has.
fn submit(
    session: &Session<'_>,
    ended: &Arc<Mutex<Vec<&'static str>>>,
    name: &'static str,
    job: Job,
) -> CancelFlag {
    let (ended, cancel) = (Arc::clone(ended), CancelFlag::default());
    session.submit(Request {
        renderer: job.output.is_some().then(|| Arc::new(PlainRenderer { version: 1 }) as _),
        job,
        cancel: cancel.clone(),
        observer: Box::new(|_: &Event<'_>| {}),
        on_end: Box::new(move |_| ended.lock().unwrap().push(name)),
    });
    cancel
}

/// Jobs on workers that step when the test says so, on a clock that it moves.
struct Stage<'s, 'a> {
    session: &'s Session<'a>,
    workers: Vec<Worker<'s, 'a>>,
    ended: Arc<Mutex<Vec<&'static str>>>,
}

impl<'s, 'a> Stage<'s, 'a> {
    fn new(session: &'s Session<'a>, workers: usize) -> Self {
        let workers = (0..workers).map(|number| Worker::new(session, number)).collect();
        Self { session, workers, ended: Arc::default() }
    }

    fn submit(&self, name: &'static str, job: Job) -> CancelFlag {
        submit(self.session, &self.ended, name, job)
    }

    /// Steps these workers in turn.
    fn step_until(&mut self, workers: &[usize], is_done: impl Fn(&Self) -> bool) {
        for step in 0.. {
            if is_done(self) {
                return;
            }
            assert!(step < STEPS_MAX, "{:?}", self.session.statistics());
            for &number in workers {
                self.workers[number].step();
            }
        }
    }

    fn has_ended(&self, name: &str) -> bool {
        self.ended.lock().unwrap().contains(&name)
    }

    /// Steps all workers until all jobs have ended, and gives these in the order in which they did.
    fn close(mut self) -> Vec<&'static str> {
        self.session.close();
        let mut left = vec![false; self.workers.len()];
        while left.contains(&false) {
            for (worker, left) in self.workers.iter_mut().zip(&mut left) {
                *left = *left || worker.step() == Stepped::Left;
            }
        }
        drop(self.workers);
        self.session.assert_quiet();
        std::mem::take(&mut *self.ended.lock().unwrap())
    }
}

fn limits(workers: usize, memory_bytes_max: u64) -> SessionLimits {
    SessionLimits {
        workers: workers.try_into().unwrap(),
        files_in_flight_max: 8.try_into().unwrap(),
        io_depth: 2.try_into().unwrap(),
        memory_bytes_max,
        jobs_active_max: 4.try_into().unwrap(),
    }
}

/// Key files of so many keys.
fn files(input: &Path, range: std::ops::Range<u32>, num_keys: u32) -> Vec<PathBuf> {
    let paths = range.map(|number| input.join(format!("{number}.keys")));
    paths.inspect(|path| std::fs::write(path, keys(num_keys, 3)).unwrap()).collect()
}

#[test]
fn a_search_without_end_is_not_waited_for() {
    let input = tempfile::tempdir().unwrap();
    // They have more keys together than the large one, whose turn comes between them.
    let (large, small) = (files(input.path(), 0..1, 100_000), files(input.path(), 1..60, 5000));
    in_vain(input.path(), "endless.keys");
    let clock = LeapingClock::default();
    let runtime = SessionRuntime { engines: &BLOCKING, clock: &clock, tracer: None };
    let session = Session::new(runtime, limits(1, memory_of(large[0].clone())));
    let mut stage = Stage::new(&session, 1);
    let endless = Inputs::Files(vec![input.path().join("endless.keys")]);
    let cancel = stage.submit("endless", job(endless, u64::MAX >> 1));
    stage.step_until(&[0], |stage| stage.session.statistics().files_in_flight == 1);
    clock.leap(LONG);
    stage.submit("large", Job::new(Inputs::Files(large)));
    stage.submit("small", Job::new(Inputs::Files(small)));
    stage.step_until(&[0], |stage| stage.has_ended("small"));
    cancel.cancel();
    assert_eq!(stage.close(), ["small", "endless", "large"]);
}

/// Long enough for any machine: only a fault waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn helpers_of_a_search_without_end_make_room_for_a_large_item() {
    const WORKERS: usize = 8;
    let input = tempfile::tempdir().unwrap();
    let large = files(input.path(), 0..1, 100_000);
    in_vain(input.path(), "endless.keys");
    let endless = input.path().join("endless.keys");
    let searched = memory_of(endless.clone());
    let clock = LeapingClock::default();
    let runtime = SessionRuntime { engines: &BLOCKING, clock: &clock, tracer: None };
    // There is room for it beside the search, and none beside who helps with it.
    let memory_bytes_max = memory_of(large[0].clone()) + searched;
    let session = Session::new(runtime, limits(WORKERS, memory_bytes_max));
    let wait_until = |is_so: &dyn Fn() -> bool| {
        let begun = SystemClock.now();
        while !is_so() && SystemClock.now() - begun < PATIENCE {
            std::thread::yield_now();
        }
        is_so()
    };
    let (has_help, is_built) = std::thread::scope(|scope| {
        for number in 0..WORKERS {
            let session = &session;
            scope.spawn(move || Worker::new(session, number).work());
        }
        let mut job = job(Inputs::Files(vec![endless]), u64::MAX >> 1);
        job.ramp.initial = 8.try_into().unwrap();
        let ended = Arc::<Mutex<Vec<_>>>::default();
        let cancel = submit(&session, &ended, "endless", job);
        let has_help = wait_until(&|| session.statistics().memory_reserved_bytes > searched);
        clock.leap(LONG);
        submit(&session, &ended, "large", Job::new(Inputs::Files(large)));
        let is_built = wait_until(&|| ended.lock().unwrap().contains(&"large"));
        cancel.cancel();
        session.close();
        (has_help, is_built)
    });
    session.assert_quiet();
    assert!(has_help, "nobody helped");
    assert!(is_built, "those who help take turns");
}

#[test]
fn a_file_on_a_disk_that_hangs_is_not_waited_for() {
    let input = tempfile::tempdir().unwrap();
    let [hung, small] = [0..1, 1..60].map(|range| files(input.path(), range, 5000));
    let large = files(input.path(), 60..61, 100_000);
    let clock = LeapingClock::default();
    let runtime = SessionRuntime { engines: &BLOCKING, clock: &clock, tracer: None };
    let session = Session::new(runtime, limits(2, memory_of(large[0].clone())));
    let mut stage = Stage::new(&session, 2);
    stage.submit("hung", Job::new(Inputs::Files(hung)));
    // It takes no step any more before the end.
    stage.step_until(&[0], |stage| stage.session.statistics().files_in_flight == 1);
    stage.submit("large", Job::new(Inputs::Files(large)));
    stage.step_until(&[1], |stage| stage.session.statistics().jobs_active == 2);
    stage.submit("small", Job::new(Inputs::Files(small)));
    let waits = (0..STEPS_MAX).find_map(|_| match stage.workers[1].step() {
        Stepped::Idle(until) => Some(until),
        _ => None,
    });
    assert!(matches!(waits, Some(Some(_))), "it knows how long it waits at most");
    assert!(!stage.has_ended("small"), "the large one has its turn");
    clock.leap(LONG);
    stage.step_until(&[1], |stage| stage.has_ended("small"));
    assert_eq!(stage.close(), ["small", "hung", "large"]);
}

/// The first worker leads a search whose first helper is allowed after this time; the second went to sleep
/// before, and was woken to learn of that.
const RAMP: Duration = Duration::from_secs(100);

fn lead_and_sleep(stage: &mut Stage<'_, '_>, keys_file: &Path) -> CancelFlag {
    let mut job = job(Inputs::Files(vec![keys_file.to_owned()]), 100_000);
    job.ramp = Ramp { every: Some(RAMP), ..Ramp::default() };
    let cancel = stage.submit("led", job);
    stage.step_until(&[0], |stage| stage.session.statistics().files_in_flight == 1);
    assert_eq!(stage.workers[1].step(), Stepped::Idle(None));
    assert_eq!(stage.session.statistics().workers_idle, 1);
    stage.step_until(&[0], |stage| stage.session.statistics().workers_idle == 0);
    cancel
}

#[test]
fn who_sleeps_already_wakes_when_a_search_may_have_its_first_helper() {
    let input = tempfile::tempdir().unwrap();
    // Too many to be tried alone at first: nothing wakes anybody between two of its long ranges.
    std::fs::write(input.path().join("a.keys"), keys(20_000, 1 << 16)).unwrap();
    let clock = LeapingClock::default();
    let runtime = SessionRuntime { engines: &BLOCKING, clock: &clock, tracer: None };
    let session = Session::new(runtime, limits(2, 1 << 30));
    let mut stage = Stage::new(&session, 2);
    let cancel = lead_and_sleep(&mut stage, &input.path().join("a.keys"));
    let Stepped::Idle(Some(until)) = stage.workers[1].step() else {
        panic!("there is no help yet")
    };
    assert!(until <= clock.now() + RAMP);
    clock.leap(RAMP);
    assert_eq!(stage.workers[1].step(), Stepped::Worked, "it helps");
    cancel.cancel();
    assert_eq!(stage.close(), ["led"]);
}

#[test]
fn a_worker_does_not_wake_for_help_that_only_others_can_make_possible() {
    let input = tempfile::tempdir().unwrap();
    let file = input.path().join("a.keys");
    std::fs::write(&file, keys(20_000, 1 << 16)).unwrap();
    let clock = LeapingClock::default();
    let runtime = SessionRuntime { engines: &BLOCKING, clock: &clock, tracer: None };
    // There is no memory for a helper.
    let session = Session::new(runtime, limits(2, memory_of(file.clone())));
    let mut stage = Stage::new(&session, 2);
    let cancel = lead_and_sleep(&mut stage, &file);
    assert!(matches!(stage.workers[1].step(), Stepped::Idle(Some(_))));
    clock.leap(2 * RAMP);
    assert_eq!(stage.workers[1].step(), Stepped::Idle(None));
    cancel.cancel();
    assert_eq!(stage.close(), ["led"]);
}

#[test]
fn more_searches_than_an_engine_takes_operations_hold_up_nobody() {
    let input = tempfile::tempdir().unwrap();
    (0..20).for_each(|number| in_vain(input.path(), &format!("{number}.keys")));
    std::fs::write(input.path().join("solved.keys"), keys(5, 3)).unwrap();
    let others = tempfile::tempdir().unwrap();
    let small = files(others.path(), 0..1, 5000);
    let limits =
        SessionLimits { files_in_flight_max: 40.try_into().unwrap(), ..limits(1, 1 << 30) };
    for durability in [Durability::Process, Durability::Power] {
        let output = tempfile::tempdir().unwrap();
        let engines = Made::by(|| Box::new(Overheard::taking(4, |_| {})));
        let runtime = SessionRuntime { engines: &engines, clock: &SystemClock, tracer: None };
        let session = Session::new(runtime, limits);
        let mut stage = Stage::new(&session, 1);
        let mut without_end = job(Inputs::tree(input.path()), u64::MAX >> 1);
        without_end.output =
            Some(Output { durability, ..Output::new(output.path().join("tables")) });
        let cancel = stage.submit("without end", without_end);
        let solved = output.path().join("tables/solved");
        stage.step_until(&[0], |_| solved.exists());
        stage.submit("small", Job::new(Inputs::Files(small.clone())));
        stage.step_until(&[0], |stage| stage.has_ended("small"));
        cancel.cancel();
        assert_eq!(stage.close(), ["small", "without end"]);
    }
}
