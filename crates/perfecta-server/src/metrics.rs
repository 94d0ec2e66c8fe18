//! What Prometheus reads; `docs/operations.md` lists it.
//!
//! What only grows is counted when it happens; everything else is derived when it is asked for.

mod histogram;
mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use perfecta_jobs::{Event, ItemReport};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub(crate) use self::histogram::StageTimes;
use self::histogram::{Histogram, Shared};
use crate::daemon::{MachineReport, PoolReport};
use crate::journal::JournalReport;
use crate::problem::ProblemKind;
use crate::report::ErrorLine;
use crate::wire::{PROTOCOL, Ping, RequestStatus};

type ByStatus = Family<[(&'static str, u16); 1], Counter>;
type ByWord = Family<[(&'static str, String); 1], Counter>;

/// Counts and times, told by the control thread and by workers.
#[derive(Debug)]
pub(crate) struct Counts {
    /// When the daemon began, since 1970.
    began: Duration,
    accepted: Counter,
    ended: ByWord,
    answers: ByStatus,
    problems: ByWord,
    tables: ByWord,
    errors: ByWord,
    attempts: Counter,
    read_bytes: Counter,
    written_bytes: Counter,
    request_queue: Arc<Histogram>,
    request: Arc<Histogram>,
    item_queue: Arc<Histogram>,
    solve: Arc<Histogram>,
    stages: Arc<StageTimes>,
}

/// What was counted of one request while it ran.
pub(crate) struct Running {
    accepted: Duration,
    written_bytes: AtomicU64,
}

impl Running {
    pub(crate) const fn since(now: Duration) -> Self {
        Self { accepted: now, written_bytes: AtomicU64::new(0) }
    }
}

impl Counts {
    /// Counts of a daemon that begins at this time since 1970.
    pub(crate) fn new(began: Duration, stages: Arc<StageTimes>) -> Self {
        Self {
            began,
            accepted: Counter::default(),
            ended: Family::default(),
            answers: Family::default(),
            problems: Family::default(),
            tables: Family::default(),
            errors: Family::default(),
            attempts: Counter::default(),
            read_bytes: Counter::default(),
            written_bytes: Counter::default(),
            request_queue: Arc::default(),
            request: Arc::default(),
            item_queue: Arc::default(),
            solve: Arc::default(),
            stages,
        }
    }

    /// A request was accepted.
    pub(crate) fn accepted(&self) {
        self.accepted.inc();
    }

    /// A connection was answered.
    pub(crate) fn answered(&self, status: u16, problem: Option<ProblemKind>) {
        self.answers.get_or_create(&[("status", status)]).inc();
        if let Some(kind) = problem {
            count(&self.problems, "type", kind.name());
        }
    }

    /// Refusals of a kind so far.
    #[cfg(test)]
    pub(crate) fn num_problems(&self, kind: ProblemKind) -> u64 {
        self.problems.get_or_create(&[("type", kind.name().to_owned())]).get()
    }

    /// Something happened in a request.
    pub(crate) fn observe(&self, running: &Running, event: &Event<'_>, now: Duration) {
        let since_accepted = now.saturating_sub(running.accepted);
        match event {
            Event::Planned(_) => self.request_queue.observe(since_accepted),
            Event::Started { .. } => self.item_queue.observe(since_accepted),
            Event::Settled { report, .. } => self.settled(running, report),
            Event::Searching(_) | Event::Notice(_) => {}
        }
    }

    fn settled(&self, running: &Running, report: &ItemReport) {
        count(&self.tables, "status", report.status.name());
        self.read_bytes.inc_by(report.keys_bytes);
        self.written_bytes.inc_by(report.bytes);
        running.written_bytes.fetch_add(report.bytes, Ordering::Relaxed);
        if let Some(search) = &report.search {
            self.attempts.inc_by(search.attempts);
            self.solve.observe(Duration::try_from_secs_f64(search.seconds).unwrap_or_default());
        }
        if let Some(error) = &report.error {
            count(&self.errors, "class", ErrorLine::from(error).class);
        }
    }

    /// A request ended so.
    pub(crate) fn ended(&self, running: &Running, status: &RequestStatus, now: Duration) {
        assert!(status.state.is_final(), "{} has not ended", status.id);
        count(&self.ended, "state", status.state.name());
        self.request.observe(now.saturating_sub(running.accepted));
        if let Some(error) = &status.error {
            count(&self.errors, "class", error.class.clone());
        }
        if let Some(summary) = &status.summary {
            // What belongs to no table alone, such as the index of a packed file.
            self.written_bytes
                .inc_by(summary.bytes - running.written_bytes.load(Ordering::Relaxed));
        }
    }

    /// The page.
    pub(crate) fn page(
        &self,
        ping: &Ping,
        ledger_difference: i64,
        machine: &MachineReport,
        journal: Option<&JournalReport>,
    ) -> String {
        let mut root = Registry::default();
        self.register_counts(root.sub_registry_with_prefix("perfecta"));
        self.register_times(root.sub_registry_with_prefix("perfecta"));
        let own = root.sub_registry_with_prefix("perfecta");
        register_load(own, ping, ledger_difference, machine);
        register_pools(own, &machine.pools);
        if let Some(journal) = journal {
            register_journal(own, journal);
        }
        process::register(root.sub_registry_with_prefix("process"), self.began);
        let mut page = String::new();
        encode(&mut page, &root).expect("a string takes everything");
        page
    }

    fn register_counts(&self, registry: &mut Registry) {
        let mut family = |name: &str, help: &str, family: &ByWord| {
            registry.register(name, help, family.clone());
        };
        family("requests_ended", "Requests that ended, by state", &self.ended);
        family("problems", "Refusals, by type", &self.problems);
        family("tables", "Tables that settled, by status", &self.tables);
        family("errors", "Tables and requests that failed, by class", &self.errors);
        registry.register(
            "answers",
            "Answers to connections, by HTTP status",
            self.answers.clone(),
        );
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        counter("requests_accepted", "Requests accepted", &self.accepted);
        counter("attempts", "Attempts of searches that are over", &self.attempts);
        counter("read_bytes", "Bytes of key files read", &self.read_bytes);
        counter("written_bytes", "Bytes published", &self.written_bytes);
    }

    fn register_times(&self, registry: &mut Registry) {
        let mut times = |name: &str, help: &str, times: &Arc<Histogram>| {
            registry.register(name, help, Shared(Arc::clone(times)));
        };
        times(
            "request_queue_seconds",
            "From acceptance until the key files are known",
            &self.request_queue,
        );
        times("request_seconds", "From acceptance to the end", &self.request);
        times("item_queue_seconds", "From acceptance until a key file is begun", &self.item_queue);
        times("solve_seconds", "Searches that are over", &self.solve);
        let stages = Shared(Arc::clone(&self.stages));
        registry.register("item_stage_seconds", "Key files at each stage", stages);
    }
}

fn count(family: &ByWord, label: &'static str, word: impl Into<String>) {
    family.get_or_create(&[(label, word.into())]).inc();
}

fn register_load(
    registry: &mut Registry,
    ping: &Ping,
    ledger_difference: i64,
    machine: &MachineReport,
) {
    let build = [
        ("version", ping.version.to_string()),
        ("build", ping.build.to_string()),
        ("protocol", PROTOCOL.to_string()),
        ("backend", machine.backend.clone()),
    ];
    registry.register("build", "What runs, and on which I/O backend", Info::new(build));
    let session = &machine.session;
    let mut gauge =
        |name: &str, help: &str, value: u64| register_gauge(registry, name, help, value);
    gauge("requests_outstanding", "Requests not ended", ping.requests_outstanding as u64);
    gauge("items_running", "Key files in hand", ping.items_running);
    gauge("items_queued", "Key files that wait", ping.items_queued);
    gauge("jobs_waiting", "Requests whose key files are not listed yet", session.jobs_waiting);
    gauge("jobs_active", "Requests whose key files are known", session.jobs_active);
    gauge("files_in_flight", "Key files begun that wait for no others", session.files_in_flight);
    gauge("memory_reserved_bytes", "Memory that key files hold", session.memory_reserved_bytes);
    gauge("workers", "Worker threads", session.workers);
    gauge("workers_idle", "Worker threads with nothing to do", session.workers_idle);
    gauge("draining", "1 once it takes no more requests", u64::from(ping.is_draining));
    gauge(
        "ledger_difference",
        "Key files in no state, or in two: 0, or the accounts are wrong",
        ledger_difference.unsigned_abs(),
    );
}

fn register_pools(registry: &mut Registry, pools: &[PoolReport]) {
    /// A number of a pool.
    type Of = fn(&PoolReport) -> u64;
    let kinds: [(&str, &str, Of); 5] = [
        ("pool_budget_bytes", "Limit of buffers", |pool| pool.budget_bytes),
        ("pool_in_use_bytes", "Buffers in use", |pool| pool.in_use_bytes),
        ("pool_cached_bytes", "Buffers kept for the next user", |pool| pool.cached_bytes),
        ("pool_high_water_bytes", "The most in use at once", |pool| pool.high_water_bytes),
        ("pool_waiting", "Items that wait for a buffer", |pool| pool.waiting),
    ];
    for (name, help, of) in kinds {
        let family: Family<[(&'static str, String); 1], Gauge> = Family::default();
        for (node, pool) in pools.iter().enumerate() {
            family.get_or_create(&[("node", node.to_string())]).set(signed(of(pool)));
        }
        registry.register(name, help, family);
    }
}

fn register_journal(registry: &mut Registry, journal: &JournalReport) {
    let JournalReport { bytes, room_bytes, refuses } = journal;
    register_gauge(registry, "journal_bytes", "Length of the journal", *bytes);
    if let Some(bytes) = room_bytes {
        register_gauge(registry, "journal_room_bytes", "What its file system has left", *bytes);
    }
    let help = "1 while requests are refused for want of room";
    register_gauge(registry, "journal_full", help, u64::from(refuses.is_some()));
}

fn register_gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge: Gauge = Gauge::default();
    gauge.set(signed(value));
    registry.register(name, help, gauge);
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Shared by the control thread and the workers.
pub(crate) type SharedCounts = Arc<Counts>;
