//! The daemon's threads: workers, control, and this one, which takes orders and watches.
//!
//! ```text
//!  Serving --drain--> Draining --all ended, or grace is over--> Ending --all ended--> gone
//!     `------------------------------shutdown---------------------^
//! ```

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use parking_lot::Mutex;
use perfecta_jobs::{
    EngineSource, Machine, MachineError, MachineOptions, Request, Session, SessionLimits,
    SessionRuntime, SystemClock, start_workers,
};
use tokio::sync::{oneshot, watch};

use self::control::Listeners;
use crate::access::{Access, Caller, FILES_NAMED_USER_MAX, OUTSTANDING_USER_MAX};
use crate::clock::SharedClock;
use crate::crash;
use crate::endpoint::{Endpoint, EndpointError, Listening};
use crate::history::History;
use crate::journal::{Journal, JournalError, JournalReport};
use crate::metrics::{Counts, SharedCounts, StageTimes};
use crate::problem::{Problem, ProblemKind};
use crate::random;
use crate::record::Record;
use crate::registry::{Admission, Registry, RegistryLimits};
use crate::spec::{Bounds, FILES_MAX, JobSpec};
use crate::state::{StateDirectory, StateError};
use crate::wire::{PROTOCOL, Ping};

mod attention;
mod conduct;
mod control;
mod doors;
mod jobs;
mod keep;
mod machine_report;
mod stops;
mod supervise;
mod terms;
mod this_process;

pub(crate) use self::conduct::{HEAD_TIME_MAX, STALL_TIME_MAX};
use self::control::Ends;
pub(crate) use self::doors::CONNECTION_BYTES_MAX;
use self::doors::Connections;
use self::keep::{ClosingJournal, Keeping};
pub(crate) use self::machine_report::{MachineReport, PoolReport};
pub use self::stops::is_hang_up_ignored;
pub use self::supervise::{News, Supervisor};
use self::terms::Terms;
use self::this_process::ThisProcess;

/// After so long without anything happening to it, an item or a request is called stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// Between two looks for what is stuck.
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// Requests that have not ended.
pub(crate) const OUTSTANDING_MAX: usize = 10_000;

/// Requests that have, and are kept: twice as many, so that each is kept when all end at once.
pub(crate) const ENDED_MAX: usize = 2 * OUTSTANDING_MAX;

/// Key files that requests name that have not ended, at some 60 bytes and their names each: as many as
/// four requests may.
pub(crate) const FILES_NAMED_MAX: usize = 4 * FILES_MAX;

/// How long they are kept at least: a client that was told of its request asks for its end so soon.
const KEEP_MIN: Duration = Duration::from_secs(10);

/// Tables that these tell of, at some 300 bytes each, and key files that they name, together.
pub(crate) const TABLES_MAX: usize = 250_000;

/// Requests whose items are known at once; others wait to be listed.
pub(crate) const JOBS_ACTIVE_MAX: NonZeroUsize = NonZeroUsize::new(64).expect("it is not zero");

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
    /// Whether a signal did before it listens to signals itself.
    pub was_asked_to_end: Arc<AtomicBool>,
    /// After how long without anything to do it ends.
    pub idle_exit: Option<Duration>,
    /// How long requests that have ended are kept, if that is long enough for their clients.
    pub keep: Duration,
    /// Where requests are kept that outlive it.
    pub state: Option<StateDirectory>,
    /// Where it is reported what should not happen.
    pub crash_directory: Option<PathBuf>,
    /// The most threads that the process has beside those for the work.
    pub threads_beside: usize,
    /// Says how much memory the process ever had resident.
    pub memory_peak_bytes: fn() -> Option<u64>,
}

impl ServeOptions {
    fn kept(&self) -> Duration {
        self.keep.max(KEEP_MIN)
    }
}

/// Why there is no daemon.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its place cannot be had.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// What it keeps cannot be where it was to be.
    #[error(transparent)]
    State(#[from] StateError),
    /// What it keeps cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
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

/// Serves until it is asked to end, and everything has; on a socket of its own, or on one that it
/// was started for.
///
/// # Errors
/// [`ServeError`] if it cannot begin.
///
/// # Panics
/// If a worker was lost by a bug, or the accounts do not add up at the end.
pub fn serve(
    options: &ServeOptions,
    activation: Option<UnixListener>,
    supervisor: &dyn Supervisor,
    notice: &(dyn Fn(&str) + Sync),
) -> Result<(), ServeError> {
    // Before any door is opened or replaced: behind the door of a daemon without its state is nobody.
    let take_state = || options.state.as_ref().map(StateDirectory::take).transpose();
    let (_lock, mut place) = match activation {
        Some(listener) => (take_state()?, Listening::adopt(listener)?),
        None => {
            let place = options.endpoint.take(&options.access.users)?;
            if let Some((directory, mode)) = place.barrier() {
                notice(&format!(
                    "{}: users who are allowed may not get through it to the socket (mode {mode:04o}): \
                     name another place with --endpoint",
                    directory.display()
                ));
            }
            (take_state()?, place.listen()?)
        }
    };
    let listeners = Listeners::open(place.take_listener(), &options.access, notice)?;
    if let Some(directory) = &options.crash_directory {
        crash::report_panics(directory)?;
    }
    let machine = Machine::start(&options.machine)?;
    let clock: SharedClock = Arc::new(SystemClock);
    // Whoever reads the journal counts a daemon that began: not before the machine is there.
    let Keeping { journal, mut writer, left } =
        Keeping::open(options.state.as_ref(), options.kept(), clock.since_1970())?;
    machine.notices().iter().for_each(|told| notice(told));
    let (orders, incoming) = mpsc::channel();
    let threads_beside = options.threads_beside + usize::from(writer.is_some());
    let threads_max = threads_beside + machine.threads_max(options.bounds.threads.get());
    let workers = 0..options.bounds.threads.get();
    let nodes = workers.map(|worker| machine.node_of(worker)).collect();
    let stages = Arc::new(StageTimes::new(options.bounds.threads.get()));
    let control = Control::new(
        options,
        threads_max,
        nodes,
        Arc::clone(&stages),
        orders,
        journal,
        Arc::clone(&clock),
    );
    let control = Arc::new(control);
    control.restore(left, options.crash_directory.as_deref(), notice);
    let session = Session::new(
        SessionRuntime { engines: &machine, clock: &SystemClock, tracer: Some(&*stages) },
        SessionLimits {
            workers: options.bounds.threads,
            files_in_flight_max: options.bounds.files_in_flight_max,
            io_depth: options.bounds.io_depth,
            memory_bytes_max: options.bounds.memory_bytes_max,
            jobs_active_max: JOBS_ACTIVE_MAX,
        },
    );
    let lost = || control.lost("a worker");
    let served = std::thread::scope(|scope| {
        let closing = ClosingJournal(&control.journal);
        let control_thread = start_workers(scope, &session, &lost, notice).and_then(|workers| {
            if let Some(writer) = &mut writer {
                let builder = std::thread::Builder::new().name("journal".to_owned());
                builder.spawn_scoped(scope, || keep::write(writer, &control, notice))?;
            }
            let builder = std::thread::Builder::new().name("control".to_owned());
            let control = Arc::clone(&control);
            let ends = Ends {
                grace: options.grace,
                was_asked: &options.was_asked_to_end,
                idle: options.idle_exit,
            };
            let serve = move || control::run(listeners, &control, ends, supervisor);
            Ok((builder.spawn_scoped(scope, serve)?, workers))
        });
        let served = control_thread.map(|(control_thread, workers)| {
            take_orders(&session, &machine, &incoming, workers);
            control_thread
        });
        session.close();
        let served = served.and_then(|control_thread| {
            control_thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        closing.in_order();
        served
    });
    if let Some(writer) = &mut writer {
        // There are lines left where there was no thread for them.
        writer.run(notice);
    }
    served.map_err(ServeError::Start)?;
    session.assert_quiet();
    Ok(())
}

/// What the control thread asks of the one that has the session.
pub(crate) enum Order {
    Submit(Box<Request<'static>>),
    /// Somebody was cancelled, who may have to be told at once.
    Look,
    Report(oneshot::Sender<MachineReport>),
}

/// Carries orders out until nobody gives any more, and tells requests of what is stuck.
fn take_orders(
    session: &Session<'_>,
    machine: &Machine,
    incoming: &Receiver<Order>,
    workers: NonZeroUsize,
) {
    loop {
        let until_next = session.end_overdue().map_or(WATCH_EVERY, |next| next.min(WATCH_EVERY));
        match incoming.recv_timeout(until_next) {
            Ok(Order::Submit(request)) => drop(session.submit(*request)),
            Ok(Order::Look) => {}
            // Who asked may have gone.
            Ok(Order::Report(answer)) => {
                drop(answer.send(MachineReport::of(session, machine, workers)))
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        session.tell_stuck(STUCK_AFTER);
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
    pub(crate) history: History,
    pub(crate) terms: Terms,
    pub(crate) connections: Connections,
    journal: Journal,
    phase: watch::Sender<Phase>,
    /// Requests that ended so far.
    num_ended: watch::Sender<u64>,
    orders: Mutex<Option<Sender<Order>>>,
    clock: SharedClock,
    process: ThisProcess,
}

impl Control {
    pub(crate) fn new(
        options: &ServeOptions,
        threads_max: usize,
        nodes: BTreeSet<usize>,
        stages: Arc<StageTimes>,
        orders: Sender<Order>,
        journal: Journal,
        clock: SharedClock,
    ) -> Self {
        let limits = RegistryLimits {
            outstanding_max: OUTSTANDING_MAX,
            outstanding_user_max: OUTSTANDING_USER_MAX,
            files_named_max: FILES_NAMED_MAX,
            files_named_user_max: FILES_NAMED_USER_MAX,
            items_queued_max: options.access.limits.items_queued_max,
            ended_max: ENDED_MAX,
            tables_max: TABLES_MAX,
            keep: options.kept(),
        };
        let incarnation = random::draw() as u32;
        Self {
            registry: Mutex::new(Registry::new(limits, incarnation, Arc::clone(&clock))),
            counts: Arc::new(Counts::new(clock.since_1970(), stages)),
            history: History::default(),
            terms: Terms { access: options.access.clone(), bounds: options.bounds, nodes },
            connections: Connections::none(),
            journal,
            phase: watch::Sender::new(Phase::Serving),
            num_ended: watch::Sender::new(0),
            orders: Mutex::new(Some(orders)),
            process: ThisProcess {
                id: std::process::id(),
                begun: clock.now(),
                threads_max,
                memory_peak_bytes: options.memory_peak_bytes,
            },
            clock,
        }
    }

    /// Takes a request, or finds it. It is accepted when it is kept.
    pub(crate) fn submit(
        self: &Arc<Self>,
        caller: Caller,
        spec: JobSpec,
        idempotency_key: Option<String>,
    ) -> Result<Arc<Record>, Problem> {
        let idempotency_key = idempotency_key.map(|key| caller.own_key(key));
        // It was accepted, whatever has become of the daemon and of its roots since.
        let repeated = self.registry.lock().find_repeated(&spec, idempotency_key.as_deref())?;
        if let Some(record) = repeated {
            return Ok(record);
        }
        let placed = self.terms.place(&spec, self.clock.since_1970())?;
        let key = idempotency_key.clone();
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
            registry.admit(caller, spec, idempotency_key, self.clock.now())?
        };
        match admission {
            Admission::Repeated(record) => Ok(record),
            Admission::Fresh(record) => {
                let (job, artifacts) = placed.of_request(&record.id);
                self.keep(self.request(job, artifacts, &record), &record, key);
                Ok(record)
            }
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
        Ping {
            version: env!("CARGO_PKG_VERSION").into(),
            protocol: PROTOCOL,
            build: if cfg!(debug_assertions) { "debug" } else { "release" }.into(),
            process: self.process.id,
            uptime_seconds: (self.clock.now() - self.process.begun).as_secs_f64(),
            requests_outstanding: registry.num_outstanding(),
            items_running: registry.items().running(),
            items_queued: registry.items().queued(),
            is_draining: self.phase() != Phase::Serving,
        }
    }

    /// How the journal is, if there is one.
    pub(crate) fn journal(&self) -> Option<JournalReport> {
        self.journal.report()
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

    async fn until_phase(&self, phase: Phase) {
        // The sender is ours, so there is no error.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    async fn until_idle(&self) {
        let _ = self.num_ended.subscribe().wait_for(|_| self.is_idle()).await;
    }

    fn is_idle(&self) -> bool {
        self.registry.lock().num_outstanding() == 0
    }
}
