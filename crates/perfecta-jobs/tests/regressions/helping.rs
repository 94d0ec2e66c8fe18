//! Rows of searches that ended while somebody still tried attempts of them.
//!
//! Two workers on threads of their own, each stopped within its range of attempts by the clock that it
//! asks there, until the test lets it go on.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use perfecta_io::Clock;
use perfecta_jobs::{
    Inputs, Job, Ramp, Session, SessionLimits, SessionRuntime, Status, Stepped, Worker,
};

use crate::common::{BLOCKING, keys};
use crate::stepped::limits;
use crate::told::{Telling, to_its_end};

thread_local! {
    /// Looks at the clock until this thread is stopped, and its worker's number.
    static STOPS: Cell<Option<(u32, usize)>> = const { Cell::new(None) };
}

/// A clock that stands still, and stops who looks at it at a chosen moment.
#[derive(Default)]
struct Gate {
    stopped: Mutex<BTreeSet<usize>>,
    changed: Condvar,
}

impl Gate {
    /// Long enough for any machine: only a fault waits so long, and then for ever.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn wait_until(&self, is_so: impl Fn(&BTreeSet<usize>) -> bool) {
        let stopped = self.stopped.lock().unwrap();
        let waited = self.changed.wait_timeout_while(stopped, Self::PATIENCE, |it| !is_so(it));
        assert!(!waited.unwrap().1.timed_out(), "it never comes");
    }

    fn await_stopped(&self, number: usize) {
        self.wait_until(|stopped| stopped.contains(&number));
    }

    fn let_go(&self, number: usize) {
        assert!(self.stopped.lock().unwrap().remove(&number), "worker {number} is not stopped");
        self.changed.notify_all();
    }
}

impl Clock for Gate {
    fn now(&self) -> Duration {
        match STOPS.take() {
            Some((0, number)) => {
                self.stopped.lock().unwrap().insert(number);
                self.changed.notify_all();
                self.wait_until(|stopped| !stopped.contains(&number));
            }
            Some((looks, number)) => STOPS.set(Some((looks - 1, number))),
            None => {}
        }
        Duration::ZERO
    }

    fn cpu(&self) -> Duration {
        Duration::ZERO
    }
}

/// Large enough that others are asked at once, with a range of few attempts.
fn job(input: &std::path::Path, fixed_attempts: Option<u64>) -> Job {
    // The first attempt succeeds.
    std::fs::write(input.join("a.keys"), keys(20_000, STRIDE)).unwrap();
    let mut job = Job::new(Inputs::tree(input));
    job.ramp = Ramp { initial: 2.try_into().unwrap(), every: None, ..Ramp::default() };
    // With a limit of time every attempt looks at the clock.
    job.limits.item_time_max = Some(Duration::from_secs(1));
    job.search.fixed_attempts = fixed_attempts;
    job
}

const STRIDE: u32 = 7919;

fn steps_until_idle(worker: &mut Worker<'_, '_>) -> Stepped {
    loop {
        match worker.step() {
            Stepped::Worked => {}
            end @ (Stepped::Idle(_) | Stepped::Left) => return end,
        }
    }
}

/// Has worker 0 lead a search, and worker 1 help; both are within a range when `lead_on` is called.
/// Worker 1 goes on when it returns.
fn with_both_in_a_range(
    fixed_attempts: Option<u64>,
    lead_on: impl FnOnce(&Session<'_>, &Telling) + Send + 'static,
) -> Telling {
    to_its_end(move || both_in_a_range(fixed_attempts, lead_on))
}

fn both_in_a_range(
    fixed_attempts: Option<u64>,
    lead_on: impl FnOnce(&Session<'_>, &Telling),
) -> Telling {
    let input = tempfile::tempdir().unwrap();
    let (gate, telling) = (Gate::default(), Telling::default());
    let limits: SessionLimits = limits(2);
    let runtime = SessionRuntime { engines: &BLOCKING, clock: &gate, tracer: None };
    let session = Session::new(runtime, limits);
    session.submit(telling.request(job(input.path(), fixed_attempts), None));
    session.close();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut worker = Worker::new(&session, 0);
            // It is prepared, begun, and put where others find it.
            (0..3).for_each(|_| assert_eq!(worker.step(), Stepped::Worked));
            STOPS.set(Some((0, 0)));
            steps_until_idle(&mut worker);
            gate.stopped.lock().unwrap().insert(LED);
            gate.changed.notify_all();
            worker.work();
        });
        gate.await_stopped(0);
        scope.spawn(|| {
            // It looks once when it asks for something to do.
            STOPS.set(Some((1, 1)));
            Worker::new(&session, 1).work();
        });
        gate.await_stopped(1);
        gate.let_go(0);
        gate.await_stopped(LED);
        lead_on(&session, &telling);
        gate.let_go(1);
    });
    session.assert_quiet();
    telling
}

/// Stands for worker 0 that has nothing to do any more.
const LED: usize = 100;

#[test]
fn a11_b03_b04_a_job_is_not_over_while_somebody_tries_attempts_of_it() {
    let telling = with_both_in_a_range(None, |session, telling| {
        telling.with(|told| {
            assert_eq!(told.report("a.keys").status, Status::Ok, "the first attempt succeeds");
            assert!(told.end.is_none(), "the job is over, and a helper has a range of it");
        });
        assert_eq!(session.num_jobs(), 1);
    });
    let told = telling.told();
    assert_eq!(told.report("a.keys").search.unwrap().winning_attempt, Some(1));
    assert_eq!(told.summary().ok, 1);
}

#[test]
fn a19_who_leads_a_search_and_waits_for_a_report_is_woken_by_it() {
    let all_of_both = 2 * (1_000_000 / 20_000);
    let telling = with_both_in_a_range(Some(all_of_both), |_, telling| {
        telling.with(|told| assert!(told.reports.is_empty(), "half of the attempts are missing"));
    });
    assert_eq!(telling.told().report("a.keys").search.unwrap().attempts, all_of_both);
}
