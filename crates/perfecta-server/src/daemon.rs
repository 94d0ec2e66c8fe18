//! The daemon's threads: workers, control, and this one, which takes orders and watches.
//!
//! ```text
//!  Serving --drain--> Draining --all ended, or grace is over--> Ending --all ended--> gone
//!     `------------------------------shutdown---------------------^
//! ```

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use parking_lot::Mutex;
use perfecta_jobs::{
    Artifacts, Clock, Event, Job, Machine, MachineError, MachineOptions, Request, Session,
    SessionLimits, SessionRuntime, SystemClock, start_workers,
};
use serde::Serialize;
use tokio::sync::{oneshot, watch};

use self::control::Listeners;
use crate::access::{Access, Bodies, Caller, OUTSTANDING_USER_MAX};
use crate::endpoint::{Endpoint, EndpointError};
use crate::metrics::SharedCounts;
use crate::problem::{Problem, ProblemKind};
use crate::record::Record;
use crate::registry::{Admission, Registry, RegistryLimits};
use crate::report::ProcessUse;
use crate::spec::{Bounds, JobSpec};
use crate::wire::{PROTOCOL, Ping};

mod conduct;
mod control;
mod doors;

pub(crate) use self::conduct::{HEAD_TIME_MAX, STALL_TIME_MAX};

/// After so long without anything happening to it, an item is called stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// Between two looks for stuck items.
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// Requests that have not ended.
pub(crate) const OUTSTANDING_MAX: usize = 10_000;

/// Requests that have, and are kept: their reports take some 300 bytes a table.
const ENDED_MAX: usize = 1_000;

/// Requests whose items are known at once; others wait to be listed.
const JOBS_ACTIVE_MAX: NonZeroUsize = NonZeroUsize::new(64).expect("it is not zero");

/// How a daemon is to be.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// What it works with.
    pub machine: MachineOptions,
    /// What jobs may have of that.
    pub bounds: Bounds,
    /// Who may ask for what.
    pub access: Access,
    /// How long requests may go on when it is asked to end.
    pub grace: Duration,
    /// How long requests that have ended are kept.
    pub keep: Duration,
    /// The most threads that the process has beside those for the work.
    pub threads_beside: usize,
    /// Says how much memory the process ever had resident.
    pub memory_peak_bytes: fn() -> Option<u64>,
}

/// Why there is no daemon.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its place cannot be had.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The machine is not as it was wanted.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Its address cannot be had.
    #[error("{address}: cannot listen: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The system gives no threads, or no event queue for sockets.
    #[error("cannot start: {0}")]
    Start(io::Error),
}

/// Serves until it is asked to end, and everything has.
///
/// # Errors
/// [`ServeError`] if it cannot begin.
///
/// # Panics
/// If a worker was lost by a bug, or the accounts do not add up at the end.
pub fn serve(options: &ServeOptions, notice: &(dyn Fn(&str) + Sync)) -> Result<(), ServeError> {
    let mut place = options.endpoint.listen(&options.access.users)?;
    let listeners = Listeners::open(place.take_listener(), &options.access, notice)?;
    let machine = Machine::start(&options.machine)?;
    machine.notices().iter().for_each(|told| notice(told));
    let (orders, incoming) = mpsc::channel();
    let threads_max = options.threads_beside + machine.threads_max(options.bounds.threads.get());
    let control = Arc::new(Control::new(options, threads_max, orders));
    let session = Session::new(
        SessionRuntime { engines: &machine, clock: &SystemClock, tracer: None },
        SessionLimits {
            workers: options.bounds.threads,
            files_in_flight_max: options.bounds.files_in_flight_max,
            io_depth: options.bounds.io_depth,
            memory_bytes_max: options.bounds.memory_bytes_max,
            jobs_active_max: JOBS_ACTIVE_MAX,
        },
    );
    let lost = || control.lost();
    std::thread::scope(|scope| {
        let control_thread = start_workers(scope, &session, &lost, notice).and_then(|_| {
            let builder = std::thread::Builder::new().name("control".to_owned());
            let control = Arc::clone(&control);
            builder.spawn_scoped(scope, move || control_thread(listeners, &control, options.grace))
        });
        let control_thread = control_thread.map_err(|error| {
            session.close();
            ServeError::Start(error)
        })?;
        take_orders(&session, &machine, &incoming, notice);
        session.close();
        let ended = control_thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ended.map_err(ServeError::Start)
    })?;
    session.assert_quiet();
    Ok(())
}

fn control_thread(listeners: Listeners, control: &Arc<Control>, grace: Duration) -> io::Result<()> {
    // Whatever becomes of this thread, the one that takes orders is not to wait for it.
    let _closing = Closing(control);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(control::serve(listeners, control, grace))
}

struct Closing<'c>(&'c Control);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.orders.lock().take();
    }
}

/// What the control thread asks of the one that has the session.
pub(crate) enum Order {
    Submit(Box<Request<'static>>),
    Report(oneshot::Sender<MachineReport>),
}

/// What the machine is and does.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct MachineReport {
    pub(crate) backend: String,
    pub(crate) jobs: usize,
    pub(crate) pools: Vec<PoolReport>,
}

/// The buffers of a node.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PoolReport {
    pub(crate) budget_bytes: u64,
    pub(crate) in_use_bytes: u64,
    pub(crate) cached_bytes: u64,
    pub(crate) high_water_bytes: u64,
    pub(crate) waiting: u64,
}

/// Carries orders out until nobody gives any more, and tells of stuck items.
fn take_orders(
    session: &Session<'_>,
    machine: &Machine,
    incoming: &Receiver<Order>,
    notice: &(dyn Fn(&str) + Sync),
) {
    loop {
        match incoming.recv_timeout(WATCH_EVERY) {
            Ok(Order::Submit(request)) => drop(session.submit(*request)),
            // Who asked may have gone.
            Ok(Order::Report(answer)) => drop(answer.send(report(session, machine))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        for stuck in session.stuck_items(STUCK_AFTER) {
            let (path, seconds) = (stuck.keys_file.display(), stuck.since.as_secs());
            let (worker, activity) = (stuck.worker, stuck.activity);
            notice(&format!(
                "{path}: nothing happened for {seconds} s; worker {worker}: {activity}"
            ));
        }
    }
}

fn report(session: &Session<'_>, machine: &Machine) -> MachineReport {
    let pools = machine.pools().into_iter().map(|pool| PoolReport {
        budget_bytes: pool.budget_bytes as u64,
        in_use_bytes: pool.in_use_bytes as u64,
        cached_bytes: pool.cached_bytes as u64,
        high_water_bytes: pool.high_water_bytes as u64,
        waiting: pool.num_waiting as u64,
    });
    MachineReport {
        backend: format!("{:?}", machine.backend()).to_lowercase(),
        jobs: session.num_jobs(),
        pools: pools.collect(),
    }
}

/// Whether the daemon takes requests, and whether it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It takes requests.
    Serving,
    /// It finishes those that it has.
    Draining,
    /// It cancels those that it has.
    Ending,
    /// All have ended, and connections are closed.
    Gone,
}

/// What the control thread knows, and workers tell.
pub(crate) struct Control {
    pub(crate) registry: Mutex<Registry>,
    pub(crate) counts: SharedCounts,
    pub(crate) bounds: Bounds,
    pub(crate) access: Access,
    pub(crate) bodies: Bodies,
    phase: watch::Sender<Phase>,
    /// Requests that ended so far.
    num_ended: watch::Sender<u64>,
    orders: Mutex<Option<Sender<Order>>>,
    begun: Duration,
    threads_max: usize,
    memory_peak_bytes: fn() -> Option<u64>,
}

impl Control {
    fn new(options: &ServeOptions, threads_max: usize, orders: Sender<Order>) -> Self {
        let limits = RegistryLimits {
            outstanding_max: OUTSTANDING_MAX,
            outstanding_user_max: OUTSTANDING_USER_MAX,
            items_queued_max: options.access.limits.items_queued_max,
            ended_max: ENDED_MAX,
            keep: options.keep,
        };
        let mut incarnation = [0; 4];
        // Nothing is secret in it, and a zero is as good as any where the system has none.
        let _ = rustix::rand::getrandom(&mut incarnation, rustix::rand::GetRandomFlags::NONBLOCK);
        Self {
            registry: Mutex::new(Registry::new(limits, u32::from_le_bytes(incarnation))),
            counts: SharedCounts::default(),
            bounds: options.bounds,
            access: options.access.clone(),
            bodies: Bodies::default(),
            phase: watch::Sender::new(Phase::Serving),
            num_ended: watch::Sender::new(0),
            orders: Mutex::new(Some(orders)),
            begun: SystemClock.now(),
            threads_max,
            memory_peak_bytes: options.memory_peak_bytes,
        }
    }

    /// Takes a request, or finds it.
    pub(crate) fn submit(
        self: &Arc<Self>,
        caller: Caller,
        spec: JobSpec,
        idempotency_key: Option<String>,
    ) -> Result<Arc<Record>, Problem> {
        let placed = self.access.place(&spec, &self.bounds)?;
        let idempotency_key = idempotency_key.map(|key| caller.own_key(key));
        let admission = {
            let mut registry = self.registry.lock();
            // Under this lock, so that a drain waits for all that were admitted.
            if *self.phase.borrow() != Phase::Serving {
                let detail = "the daemon ends, and takes no request any more";
                return Err(Problem::new(
                    ProblemKind::Draining,
                    detail,
                    "try again after its restart",
                ));
            }
            registry.admit(caller, spec, idempotency_key, SystemClock.now())?
        };
        match admission {
            Admission::Repeated(record) => Ok(record),
            Admission::Fresh(record) => {
                self.counts.accepted();
                let (job, artifacts) = placed.of_request(&record.id);
                self.order(Order::Submit(Box::new(self.request(job, artifacts, &record))));
                Ok(record)
            }
        }
    }

    fn request(
        self: &Arc<Self>,
        job: Job,
        artifacts: Artifacts,
        record: &Arc<Record>,
    ) -> Request<'static> {
        let (observed, ended) = (Arc::clone(record), Arc::clone(record));
        let control = Arc::clone(self);
        Request {
            job,
            renderer: Some(Arc::new(artifacts)),
            cancel: record.cancel.clone(),
            observer: Box::new(move |event: &Event<'_>| observed.observe(event)),
            on_end: Box::new(move |outcome| {
                ended.end(outcome, control.process_use(), SystemClock.now());
                control.counts.ended(&ended.status());
                control.num_ended.send_modify(|count| *count += 1);
            }),
        }
    }

    fn order(&self, order: Order) {
        let orders = self.orders.lock();
        let orders = orders.as_ref().expect("orders are given as long as connections are served");
        assert!(orders.send(order).is_ok(), "the thread that takes orders outlives this one");
    }

    /// What the machine does.
    pub(crate) async fn machine_report(&self) -> MachineReport {
        let (sender, receiver) = oneshot::channel();
        self.order(Order::Report(sender));
        receiver.await.expect("every order is carried out")
    }

    pub(crate) fn ping(&self) -> Ping {
        let registry = self.registry.lock();
        let (mut running, mut queued, mut outstanding) = (0, 0, 0);
        for record in registry.outstanding() {
            outstanding += 1;
            if let Some(progress) = record.status().progress {
                running += u64::from(progress.running);
                queued += u64::from(progress.queued);
            }
        }
        Ping {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
            process: std::process::id(),
            uptime_seconds: (SystemClock.now() - self.begun).as_secs_f64(),
            requests_outstanding: outstanding,
            items_running: running,
            items_queued: queued,
            is_draining: self.phase() != Phase::Serving,
        }
    }

    fn process_use(&self) -> ProcessUse {
        let memory_peak_bytes = (self.memory_peak_bytes)();
        ProcessUse { threads_max: self.threads_max, memory_peak_bytes }
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Goes on to a later phase; an earlier one is no news.
    pub(crate) fn advance(&self, phase: Phase) {
        let _registry = self.registry.lock();
        self.phase.send_if_modified(|now| {
            let is_later = phase > *now;
            *now = phase.max(*now);
            is_later
        });
    }

    /// A worker is gone by a bug: nothing will be done any more, and nobody should wait for it.
    fn lost(&self) {
        self.advance(Phase::Ending);
        for record in self.registry.lock().iter() {
            record.end_lost(SystemClock.now());
        }
        self.num_ended.send_modify(|count| *count += 1);
    }

    async fn until_phase(&self, phase: Phase) {
        // The sender is ours, so there is no error.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    async fn until_idle(&self) {
        let is_idle = |_: &u64| self.registry.lock().outstanding().next().is_none();
        let _ = self.num_ended.subscribe().wait_for(is_idle).await;
    }

    fn cancel_all(&self) {
        let records: Vec<Arc<Record>> = self.registry.lock().outstanding().cloned().collect();
        records.iter().for_each(|record| record.cancel.cancel());
    }
}
