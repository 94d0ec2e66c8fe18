//! Threads of a session come to its locks in many orders: nobody sleeps where there is something to
//! do, nothing ends twice, and what one alone comes to is what they come to.
//!
//! `cargo test -p perfecta-jobs --features schedules --test schedules`; a schedule that fails is
//! printed, for `shuttle::replay`.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use common::{PlainRenderer, job, keys};
use perfecta_core::family::Family;
use perfecta_core::search::FamilyChoice;
use perfecta_io::{Clock, Completion, Engine, Op, SimulatedEngine, SimulatedMachine, Token};
use perfecta_jobs::{
    CancelFlag, Durability, EngineSource, Event, Inputs, Job, JobError, Layout, Ramp, Request,
    Session, SessionLimits, SessionRuntime, Status, Summary, Worker,
};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::{Condvar, Mutex};
use shuttle::{Config, Runner};

/// Schedules that are tried.
const SCHEDULES: usize = 1500;

/// Ends a wait.
#[derive(Default)]
struct Bell {
    is_rung: Mutex<bool>,
    rings: Condvar,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.is_rung.lock().unwrap() = true;
        self.rings.notify_one();
    }
}

/// An engine whose thread sleeps where no operation is in flight on the machine, until it is woken:
/// no time does that.
struct Sleeping {
    engine: SimulatedEngine,
    machine: SimulatedMachine,
    bell: Arc<Bell>,
}

impl Engine for Sleeping {
    fn submit(&mut self, token: Token, op: Op) {
        self.engine.submit(token, op);
    }

    fn poll(&mut self) -> Option<Completion> {
        self.engine.poll()
    }

    fn wait(&mut self, timeout: Option<Duration>) {
        assert_eq!(timeout, None, "there are no timers");
        loop {
            let mut is_rung = self.bell.is_rung.lock().unwrap();
            if std::mem::take(&mut *is_rung) || self.engine.is_ready() {
                return;
            }
            match self.machine.next_due() {
                Some(due) => {
                    drop(is_rung);
                    self.machine.advance_to(due);
                }
                None => drop(self.bell.rings.wait(is_rung).unwrap()),
            }
        }
    }

    fn waker(&self) -> Waker {
        Arc::clone(&self.bell).into()
    }

    fn cancel(&mut self, token: Token) {
        self.engine.cancel(token);
    }

    fn num_in_flight(&self) -> usize {
        self.engine.num_in_flight()
    }

    fn capacity(&self) -> usize {
        self.engine.capacity()
    }
}

struct Process(SimulatedMachine);

impl EngineSource for Process {
    fn engine(&self) -> Box<dyn Engine> {
        let (engine, machine) = (self.0.engine(&Arc::default()), self.0.clone());
        Box::new(Sleeping { engine, machine, bell: Arc::default() })
    }

    fn desk(&self) -> Box<dyn Engine> {
        Box::new(self.0.engine(&Arc::default()))
    }
}

/// What a job told.
#[derive(Default)]
struct Account {
    statuses: BTreeMap<PathBuf, Status>,
    settled: u32,
    ended: Option<Result<Summary, JobError>>,
}

/// Jobs that were planned and have items that are not settled.
#[derive(Default)]
struct Active(Mutex<usize>);

#[derive(Clone)]
struct Told {
    account: Arc<Mutex<Account>>,
    active: Arc<Active>,
    active_max: usize,
}

impl Told {
    fn request(&self, job: Job, cancel: CancelFlag) -> Request<'static> {
        let (observed, ended) = (self.clone(), self.clone());
        Request {
            job,
            renderer: Some(Arc::new(PlainRenderer { version: 1 })),
            cancel,
            observer: Box::new(move |event: &Event<'_>| observed.observe(event)),
            on_end: Box::new(move |outcome| {
                let before = ended.account.lock().unwrap().ended.replace(outcome);
                assert!(before.is_none(), "a job ends twice");
            }),
        }
    }

    fn observe(&self, event: &Event<'_>) {
        let mut account = self.account.lock().unwrap();
        assert!(account.ended.is_none(), "{event:?} after the end");
        match event {
            Event::Planned(_) => {
                let mut active = self.active.0.lock().unwrap();
                *active += 1;
                assert!(*active <= self.active_max, "{active} jobs at once");
            }
            Event::Settled { report, progress } => {
                let before = account.statuses.insert(report.keys_file.clone(), report.status);
                assert!(before.is_none(), "settled twice");
                let settled = progress.ledger.settled();
                assert!(account.settled <= settled, "a count goes back");
                account.settled = settled;
                if account.statuses.len() as u32 == progress.ledger.admitted() {
                    *self.active.0.lock().unwrap() -= 1;
                }
            }
            Event::Started { .. } | Event::Searching(_) | Event::Notice(_) => {}
        }
    }
}

fn machine() -> SimulatedMachine {
    let machine = SimulatedMachine::new(thread_rng().r#gen());
    machine.make_directories(Path::new("/in/below"));
    machine.write_file(Path::new("/in/small.keys"), &keys(3, 77));
    machine.write_file(Path::new("/in/odd.keys"), &[1, 2, 3]);
    machine.write_file(Path::new("/in/below/middle.keys"), &keys(20, 7919));
    machine.make_directories(Path::new("/hard"));
    // They differ in high bits only, which a plain product makes nothing of.
    machine.write_file(Path::new("/hard/hopeless.keys"), &keys(12, 1 << 28));
    machine.write_file(Path::new("/hard/small.keys"), &keys(3, 5));
    machine
}

/// One search that is helped, one job of directories with common syncs, one pack.
fn jobs() -> [Job; 3] {
    let mut hard = Job::new(Inputs::tree("/hard"));
    hard.search.family = FamilyChoice::Named(Family::from_name("Multiply").unwrap());
    hard.search.fixed_attempts = Some(1024 * 3);
    let initial = NonZeroU32::MIN.saturating_add(2);
    hard.ramp = Ramp { initial, every: None, ..Ramp::default() };
    let mut durable = job(Path::new("/in"), Path::new("/out/tables"));
    durable.output.as_mut().unwrap().durability = Durability::Power;
    let mut packed = job(Path::new("/in"), Path::new("/out/packed"));
    packed.output.as_mut().unwrap().layout = Layout::Packed;
    [hard, durable, packed]
}

/// What happens from outside while jobs run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    /// One of them is cancelled.
    Cancel,
    /// They are told again and again what workers are at.
    Watch,
}

/// Runs jobs in a session, and says what each came to.
fn run_session(process: &Process, jobs: &[Job], meanwhile: Meanwhile) -> Vec<Account> {
    let clock: &dyn Clock = &process.0;
    let count = |max: usize| NonZeroUsize::new(thread_rng().gen_range(1..=max)).unwrap();
    let workers = NonZeroUsize::new(3).unwrap();
    let limits = SessionLimits {
        workers,
        files_in_flight_max: count(3),
        io_depth: count(3),
        memory_bytes_max: 1 << 30,
        jobs_active_max: count(2),
    };
    let runtime = SessionRuntime { engines: process, clock, tracer: None };
    let session = Session::new(runtime, limits);
    let active_max = limits.jobs_active_max.get();
    let active = Arc::<Active>::default();
    let told = || Told { account: Arc::default(), active: Arc::clone(&active), active_max };
    let told: Vec<_> = jobs.iter().map(|job| (told(), job, CancelFlag::default())).collect();
    shuttle::thread::scope(|scope| {
        for number in 0..workers.get() {
            let session = &session;
            scope.spawn(move || Worker::new(session, number).work());
        }
        for (told, job, cancel) in &told {
            session.submit(told.request((*job).clone(), cancel.clone()));
        }
        session.close();
        match meanwhile {
            Meanwhile::Nothing => {}
            Meanwhile::Cancel => told[thread_rng().gen_range(0..told.len())].2.cancel(),
            Meanwhile::Watch => {
                while session.num_jobs() > 0 {
                    session.tell_stuck(Duration::ZERO);
                    shuttle::thread::yield_now();
                }
            }
        }
    });
    session.assert_quiet();
    let account = |told: &Told| std::mem::take(&mut *told.account.lock().unwrap());
    told.iter().map(|(told, _, _)| account(told)).collect()
}

fn check(accounts: &[Account], is_cancelled: bool) {
    for account in accounts {
        let summary = match account.ended.as_ref().expect("every job ends") {
            Ok(summary) => summary,
            Err(error) => {
                assert!(is_cancelled && matches!(error, JobError::Cancelled), "{error}");
                assert!(account.statuses.is_empty(), "an end before the first item, and items");
                continue;
            }
        };
        assert_eq!(account.statuses.len() as u32, summary.tables);
        let ends = summary.ok + summary.failed + summary.cancelled;
        assert_eq!((ends, summary.unchanged), (summary.tables, 0));
        assert!(is_cancelled || (summary.failed, summary.cancelled) == (1, 0), "{summary:?}");
    }
}

fn in_random_orders(check: impl Fn() + Send + Sync + 'static) {
    Runner::new(RandomScheduler::new(SCHEDULES), config()).run(check);
}

/// Threads of the model have small stacks, which code that is not optimised overflows.
fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    config
}

#[test]
fn sessions_end_in_whatever_order_their_threads_come_to_the_locks() {
    in_random_orders(|| {
        check(&run_session(&Process(machine()), &jobs(), Meanwhile::Nothing), false)
    });
}

/// A pack of two tables, and the job that made it.
fn packed_already() -> (Process, Job) {
    let process = Process(SimulatedMachine::new(thread_rng().r#gen()));
    process.0.make_directories(Path::new("/in"));
    process.0.write_file(Path::new("/in/small.keys"), &keys(3, 77));
    process.0.write_file(Path::new("/in/middle.keys"), &keys(20, 7919));
    let mut job = job(Path::new("/in"), Path::new("/out"));
    let output = job.output.as_mut().unwrap();
    (output.layout, output.durability) = (Layout::Packed, Durability::Power);
    let accounts = run_session(&process, std::slice::from_ref(&job), Meanwhile::Nothing);
    assert_eq!(accounts[0].ended.as_ref().unwrap().as_ref().unwrap().ok, 2);
    (process, job)
}

#[test]
fn a_pack_that_is_there_is_compared_in_whatever_order() {
    in_random_orders(|| {
        let (process, job) = packed_already();
        let is_changed = thread_rng().r#gen();
        if is_changed {
            process.0.write_file(Path::new("/in/small.keys"), &keys(3, 78));
        }
        let accounts = run_session(&process, &[job], Meanwhile::Nothing);
        let summary = accounts[0].ended.as_ref().unwrap().as_ref().unwrap();
        let expected = if is_changed { (2, 0) } else { (0, 2) };
        assert_eq!((summary.ok, summary.unchanged), expected);
    });
}

#[test]
fn a_cancel_ends_a_comparison_in_whatever_order() {
    in_random_orders(|| {
        let (process, job) = packed_already();
        match run_session(&process, &[job], Meanwhile::Cancel)[0].ended.as_ref().unwrap() {
            Ok(summary) => assert_eq!(summary.unchanged + summary.cancelled, 2, "{summary:?}"),
            Err(error) => assert!(matches!(error, JobError::Cancelled), "{error}"),
        }
    });
}

#[test]
fn a_cancel_in_whatever_order_ends_its_job_and_no_other() {
    in_random_orders(|| {
        let accounts = run_session(&Process(machine()), &jobs(), Meanwhile::Cancel);
        check(&accounts, true);
        let is_cancelled = |account: &&Account| {
            account.statuses.values().any(|status| *status == Status::Cancelled)
        };
        assert!(accounts.iter().filter(is_cancelled).count() <= 1);
    });
}

#[test]
fn what_is_stuck_is_told_before_the_end_in_whatever_order() {
    in_random_orders(|| check(&run_session(&Process(machine()), &jobs(), Meanwhile::Watch), false));
}

#[test]
fn a_rare_order_of_few_switches_is_tried_too() {
    let scheduler = PctScheduler::new(3, SCHEDULES);
    Runner::new(scheduler, config())
        .run(|| check(&run_session(&Process(machine()), &jobs(), Meanwhile::Nothing), false));
}
