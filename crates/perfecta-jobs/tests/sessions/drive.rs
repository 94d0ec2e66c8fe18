//! One process of a simulated machine: its workers are stepped one after another, in a drawn order,
//! and time passes when none of them has anything to do.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use perfecta_io::pool::{BufferPool, PoolOptions};
use perfecta_io::{
    Clock, Completion, Engine, FaultPlan, Op, Random, SimulatedEngine, SimulatedMachine, Token,
};
use perfecta_jobs::{EngineSource, Session, SessionRuntime, Stepped, Worker};

use super::draw::{Drawn, Round, When};
use super::told::Told;

/// Steps after which a session is one that does not end.
const STEPS_MAX: u64 = 1_000_000;

/// A process: engines that share a plan of faults.
pub(crate) struct Process {
    machine: SimulatedMachine,
    plan: Arc<FaultPlan>,
    /// The engines of workers, by their numbers.
    engines: Mutex<Vec<Arc<Mutex<SimulatedEngine>>>>,
    pools: Vec<BufferPool>,
    num_nodes: NonZeroUsize,
    random: Arc<Mutex<Random>>,
}

impl EngineSource for Process {
    fn engine(&self) -> Box<dyn Engine> {
        let engine = Arc::new(Mutex::new(self.machine.engine(&self.plan)));
        self.engines.lock().push(Arc::clone(&engine));
        let (machine, random) = (self.machine.clone(), Arc::clone(&self.random));
        Box::new(WorkerEngine { engine, machine, random })
    }

    fn desk(&self) -> Box<dyn Engine> {
        Box::new(self.machine.engine(&self.plan))
    }

    fn pool(&self, node: usize) -> Option<&BufferPool> {
        self.pools.get(node)
    }

    fn num_nodes(&self) -> NonZeroUsize {
        self.num_nodes
    }

    fn node_of(&self, worker: usize) -> usize {
        worker % self.num_nodes
    }
}

/// The engine of a worker, at which the driver looks, too. While its worker computes, time passes.
struct WorkerEngine {
    engine: Arc<Mutex<SimulatedEngine>>,
    machine: SimulatedMachine,
    random: Arc<Mutex<Random>>,
}

impl Engine for WorkerEngine {
    fn submit(&mut self, token: Token, op: Op) {
        self.engine.lock().submit(token, op);
    }

    fn poll(&mut self) -> Option<Completion> {
        let passes = {
            let mut random = self.random.lock();
            random.one_in(4).then(|| Duration::from_nanos(random.below(500_000)))
        };
        if let Some(time) = passes {
            self.machine.advance_to(self.machine.now() + time);
        }
        self.engine.lock().poll()
    }

    fn wait(&mut self, timeout: Option<Duration>) {
        assert_eq!(timeout, Some(Duration::ZERO), "a worker waits only where it is told to");
        self.engine.lock().wait(timeout);
    }

    fn waker(&self) -> Waker {
        self.engine.lock().waker()
    }

    fn cancel(&mut self, token: Token) {
        self.engine.lock().cancel(token);
    }

    fn num_in_flight(&self) -> usize {
        self.engine.lock().num_in_flight()
    }

    fn capacity(&self) -> usize {
        self.engine.lock().capacity()
    }
}

/// A clock that stands still.
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn cpu(&self) -> Duration {
        Duration::ZERO
    }
}

/// What a worker is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Awake,
    Idle(Option<Duration>),
    Left,
}

/// Runs a session to its end, or to the step at which its process is gone.
pub(crate) fn run_session(
    machine: &SimulatedMachine,
    jobs: &[Drawn],
    round: &Round,
    is_timeless: bool,
    seed: u64,
) -> Vec<Told> {
    let plan = fault_plan(round, seed);
    let random = Arc::new(Mutex::new(Random::new(seed)));
    let pool = |_| {
        round.pool_bytes.map(|bytes| BufferPool::reserve(&PoolOptions::with_budget(bytes)).unwrap())
    };
    let process = Process {
        machine: machine.clone(),
        plan: Arc::clone(&plan),
        engines: Mutex::default(),
        pools: (0..round.num_nodes).filter_map(pool).collect(),
        num_nodes: NonZeroUsize::new(round.num_nodes).unwrap(),
        random: Arc::clone(&random),
    };
    let clock: &dyn Clock = if is_timeless { &Stopped } else { machine };
    let runtime = SessionRuntime { engines: &process, clock, tracer: None };
    let session = Session::new(runtime, round.limits);
    let told: Vec<Told> =
        jobs.iter().zip(&round.cancel_at).map(|(drawn, when)| Told::new(drawn, *when)).collect();
    for told in &told {
        if let Some(When::Call(call)) = told.cancel_at {
            let cancel = told.cancel.clone();
            plan.meanwhile(call, move || cancel.cancel());
        }
    }
    let workers = (0..round.limits.workers.get()).map(|number| Worker::new(&session, number));
    let mut crew = Crew {
        states: vec![State::Awake; round.limits.workers.get()],
        workers: workers.collect(),
        process: &process,
        session: &session,
        round,
        is_timeless,
        clock,
        random,
        steps: 0,
        to_submit: (0..jobs.len()).collect(),
    };
    let has_ended = crew.work(jobs, &told);
    drop(crew);
    if has_ended {
        session.assert_quiet();
        assert_eq!(machine.next_due(), None, "operations in flight at the end");
        for told in &told {
            told.check_end();
        }
    }
    drop(session);
    process.engines.lock().clear();
    assert_eq!(machine.num_open(), 0, "files are open at the end");
    told
}

fn fault_plan(round: &Round, seed: u64) -> Arc<FaultPlan> {
    let plan = match &round.faults {
        Some((one_in, faults)) => FaultPlan::drawn(seed, *one_in, faults),
        None => FaultPlan::default(),
    };
    if let Some(call) = round.dies_at_call {
        // EIO
        plan.inject(call.., perfecta_io::Fault::Errno(5));
    }
    Arc::new(plan)
}

/// The workers of a session.
struct Crew<'c, 's, 'a> {
    workers: Vec<Worker<'s, 'a>>,
    states: Vec<State>,
    process: &'c Process,
    session: &'s Session<'a>,
    round: &'c Round,
    is_timeless: bool,
    clock: &'c dyn Clock,
    random: Arc<Mutex<Random>>,
    steps: u64,
    /// Jobs that are not submitted yet.
    to_submit: Vec<usize>,
}

impl Crew<'_, '_, '_> {
    /// Whether all came to its end.
    fn work(&mut self, jobs: &[Drawn], told: &[Told]) -> bool {
        loop {
            if self.round.ends_at_step == Some(self.steps) {
                return false;
            }
            self.act(jobs, told);
            let Some(number) = self.choose() else {
                if self.states.iter().all(|state| *state == State::Left) {
                    return true;
                }
                self.pass_time(jobs, told);
                continue;
            };
            self.step(number);
            self.steps += 1;
            assert!(self.steps < STEPS_MAX, "no end after {STEPS_MAX} steps");
        }
    }

    /// Does from outside what is due by now.
    fn act(&mut self, jobs: &[Drawn], told: &[Told]) {
        let due: Vec<usize> = self
            .to_submit
            .iter()
            .copied()
            .filter(|&job| self.round.submit_at[job] <= self.steps)
            .collect();
        for job in due {
            self.submit(job, jobs, told);
        }
        for told in told {
            if told.cancel_at == Some(When::Step(self.steps)) {
                told.cancel.cancel();
            }
        }
        if self.random.lock().one_in(16) {
            self.session.tell_stuck(Duration::ZERO);
        }
    }

    fn submit(&mut self, job: usize, jobs: &[Drawn], told: &[Told]) {
        self.session.submit(told[job].request(&jobs[job].job));
        self.to_submit.retain(|&other| other != job);
        if self.to_submit.is_empty() {
            self.session.close();
        }
    }

    /// A worker that may step.
    fn choose(&self) -> Option<usize> {
        let mut random = self.random.lock();
        let now = self.clock.now();
        let engines = self.process.engines.lock();
        let may_step: Vec<usize> = (0..self.workers.len())
            .filter(|&number| match self.states[number] {
                State::Awake => true,
                State::Left => false,
                State::Idle(until) => {
                    engines[number].lock().is_ready()
                        || until.is_some_and(|until| until <= now)
                        || self.round.is_restless && random.one_in(50)
                }
            })
            .collect();
        (!may_step.is_empty()).then(|| may_step[random.index(may_step.len())])
    }

    fn step(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        if self.states[number] != State::Awake {
            worker.wait(Some(Duration::ZERO));
        }
        self.states[number] = match worker.step() {
            Stepped::Worked => State::Awake,
            Stepped::Idle(until) => State::Idle(until),
            Stepped::Left => State::Left,
        };
    }

    /// Nobody has anything to do before the next thing happens.
    fn pass_time(&mut self, jobs: &[Drawn], told: &[Told]) {
        let machine = &self.process.machine;
        let timers = self.states.iter().filter_map(|state| match state {
            State::Idle(until) if !self.is_timeless => *until,
            State::Idle(_) | State::Awake | State::Left => None,
        });
        match machine.next_due().into_iter().chain(timers).min() {
            Some(time) => machine.advance_to(time),
            None => {
                let next = self.to_submit.iter().min_by_key(|&&job| self.round.submit_at[job]);
                let next = *next.expect("everybody waits, and nothing will ever happen");
                self.submit(next, jobs, told);
            }
        }
    }
}
