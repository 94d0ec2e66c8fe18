//! Workers of a session that take turns on one thread, on a simulated machine.
//!
//! Whoever has something to do steps, in a drawn order. Only when nobody has does time pass, and if
//! nothing would ever be due, somebody waits for a wake-up that never comes.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use perfecta_io::pool::BufferPool;
use perfecta_io::{
    Clock, Completion, Engine, FaultPlan, Op, Random, SimulatedEngine, SimulatedMachine, Token,
};
use perfecta_jobs::{
    EngineSource, Job, Renderer, Session, SessionLimits, SessionRuntime, Stepped, Worker,
};

use crate::told::{Telling, Told};

/// A process on a simulated machine.
pub(crate) struct Process {
    pub(crate) machine: SimulatedMachine,
    pub(crate) plan: Arc<FaultPlan>,
    pub(crate) pool: Option<BufferPool>,
    /// Workers go round them.
    pub(crate) num_nodes: usize,
    /// Of its workers, in the order of their numbers.
    engines: Mutex<Vec<Shared>>,
}

/// An engine of a worker that can be asked whether it would end a wait.
#[derive(Clone)]
struct Shared(Arc<Mutex<SimulatedEngine>>);

/// What it took to come to the end.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) taken: u64,
    /// Worker that said until when it would wait, though nothing might come until then.
    pub(crate) timed: u64,
}

/// A worker between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Awake,
    Asleep(Option<Duration>),
    Left,
}

impl Process {
    pub(crate) fn new(seed: u64) -> Self {
        let machine = SimulatedMachine::new(seed);
        machine.make_directories(Path::new("/in"));
        Self { machine, plan: Arc::default(), pool: None, num_nodes: 1, engines: Mutex::default() }
    }

    pub(crate) fn write_keys(&self, name: &str, bytes: &[u8]) {
        self.machine.write_file(&Path::new("/in").join(name), bytes);
    }

    pub(crate) fn session<'a>(&'a self, limits: SessionLimits) -> Session<'a> {
        let runtime = SessionRuntime { engines: self, clock: &self.machine, tracer: None };
        Session::new(runtime, limits)
    }

    /// Runs jobs side by side to their ends, and says what was told of each.
    pub(crate) fn run(
        &self,
        jobs: Vec<Job>,
        renderer: &Arc<dyn Renderer>,
        limits: SessionLimits,
    ) -> (Vec<Told>, Steps) {
        let session = self.session(limits);
        let tellings: Vec<Telling> = jobs.iter().map(|_| Telling::default()).collect();
        for (job, telling) in jobs.into_iter().zip(&tellings) {
            session.submit(telling.request(job, Some(Arc::clone(renderer))));
        }
        session.close();
        let steps = Turns::new(self, &session, limits).drain();
        session.assert_quiet();
        assert_eq!(self.machine.num_open(), 0, "files are open");
        (tellings.iter().map(Telling::told).collect(), steps)
    }
}

impl EngineSource for Process {
    fn engine(&self) -> Box<dyn Engine> {
        let engine = Shared(Arc::new(Mutex::new(self.machine.engine(&self.plan))));
        self.engines.lock().unwrap().push(engine.clone());
        Box::new(engine)
    }

    fn desk(&self) -> Box<dyn Engine> {
        Box::new(self.machine.engine(&self.plan))
    }

    fn num_nodes(&self) -> NonZeroUsize {
        self.num_nodes.try_into().unwrap()
    }

    fn node_of(&self, worker: usize) -> usize {
        worker % self.num_nodes
    }

    fn pool(&self, _node: usize) -> Option<&BufferPool> {
        self.pool.as_ref()
    }
}

/// Bounds that nothing meets.
pub(crate) fn limits(workers: usize) -> SessionLimits {
    SessionLimits {
        workers: workers.try_into().unwrap(),
        files_in_flight_max: 64.try_into().unwrap(),
        io_depth: 8.try_into().unwrap(),
        memory_bytes_max: 1 << 30,
        jobs_active_max: 8.try_into().unwrap(),
    }
}

/// The workers of a session, and whose turn it is.
pub(crate) struct Turns<'s, 'a> {
    process: &'s Process,
    engines: Vec<Shared>,
    workers: Vec<Worker<'s, 'a>>,
    turns: Vec<Turn>,
    random: Random,
    steps: Steps,
}

impl<'s, 'a> Turns<'s, 'a> {
    pub(crate) fn new(
        process: &'s Process,
        session: &'s Session<'a>,
        limits: SessionLimits,
    ) -> Self {
        process.engines.lock().unwrap().clear();
        let num_workers = limits.workers.get();
        Self {
            process,
            workers: (0..num_workers).map(|number| Worker::new(session, number)).collect(),
            engines: process.engines.lock().unwrap().clone(),
            turns: vec![Turn::Awake; num_workers],
            random: Random::new(process.machine.bytes_used()),
            steps: Steps::default(),
        }
    }

    /// Lets workers step until all have left.
    pub(crate) fn drain(mut self) -> Steps {
        while self.next() {}
        let has_left = self.turns.iter().all(|turn| *turn == Turn::Left);
        assert!(has_left, "nobody would ever wake who sleeps: {:?}", self.turns);
        self.steps
    }

    /// Lets workers step until nothing happens for so long, unless something from elsewhere does.
    pub(crate) fn until_a_pause_of(&mut self, pause: Duration) {
        let is_soon = |turns: &Self| {
            let now = turns.process.machine.now();
            let due = turns.process.machine.next_due();
            (0..turns.workers.len()).any(|number| turns.is_ready(number, now))
                || due.is_some_and(|due| due < now + pause)
        };
        while is_soon(self) {
            self.next();
        }
    }

    /// Lets workers step until all sleep for good, or have left.
    pub(crate) fn until_all_sleep(&mut self) {
        while self.next() {}
        assert!(self.turns.iter().all(|turn| *turn == Turn::Asleep(None)), "{:?}", self.turns);
    }

    /// Workers that sleep until something comes to them.
    pub(crate) fn num_asleep(&self) -> usize {
        let now = self.process.machine.now();
        (0..self.workers.len()).filter(|&number| !self.is_ready(number, now)).count()
    }

    /// Lets somebody step, or time pass. False if nobody will ever have anything to do.
    pub(crate) fn next(&mut self) -> bool {
        let now = self.process.machine.now();
        let ready: Vec<usize> =
            (0..self.workers.len()).filter(|&number| self.is_ready(number, now)).collect();
        if ready.is_empty() {
            return self.let_time_pass();
        }
        let number = ready[self.random.index(ready.len())];
        self.step(number, now);
        true
    }

    fn is_ready(&self, number: usize, now: Duration) -> bool {
        match self.turns[number] {
            Turn::Awake => true,
            Turn::Asleep(until) => {
                until.is_some_and(|until| until <= now)
                    || self.engines[number].0.lock().unwrap().is_ready()
            }
            Turn::Left => false,
        }
    }

    fn step(&mut self, number: usize, now: Duration) {
        let worker = &mut self.workers[number];
        if let Turn::Asleep(_) = self.turns[number] {
            worker.wait(Some(now));
        }
        self.steps.taken += 1;
        self.turns[number] = match worker.step() {
            Stepped::Worked => Turn::Awake,
            Stepped::Idle(until) => {
                self.steps.timed += u64::from(until.is_some());
                Turn::Asleep(until)
            }
            Stepped::Left => Turn::Left,
        };
    }

    fn let_time_pass(&self) -> bool {
        let timers = self.turns.iter().filter_map(|turn| match turn {
            Turn::Asleep(until) => *until,
            Turn::Awake | Turn::Left => None,
        });
        let next = timers.chain(self.process.machine.next_due()).min();
        next.inspect(|&next| self.process.machine.advance_to(next)).is_some()
    }
}

impl Engine for Shared {
    fn submit(&mut self, token: Token, op: Op) {
        self.0.lock().unwrap().submit(token, op);
    }

    fn poll(&mut self) -> Option<Completion> {
        self.0.lock().unwrap().poll()
    }

    fn wait(&mut self, timeout: Option<Duration>) {
        self.0.lock().unwrap().wait(timeout);
    }

    fn waker(&self) -> std::task::Waker {
        self.0.lock().unwrap().waker()
    }

    fn cancel(&mut self, token: Token) {
        self.0.lock().unwrap().cancel(token);
    }

    fn num_in_flight(&self) -> usize {
        self.0.lock().unwrap().num_in_flight()
    }

    fn capacity(&self) -> usize {
        self.0.lock().unwrap().capacity()
    }
}
