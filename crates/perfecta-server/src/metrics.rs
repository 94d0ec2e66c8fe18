//! What Prometheus reads.
//!
//! Everything is derived from the records when it is asked for, but what outlives these: how requests
//! and tables ended.

use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::daemon::MachineReport;
use crate::wire::{Ping, RequestState, RequestStatus};

/// Counts that only grow.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    accepted: Counter,
    ended: Family<[(&'static str, &'static str); 1], Counter>,
    tables: Family<[(&'static str, &'static str); 1], Counter>,
    bytes: Counter,
}

impl Counts {
    pub(crate) fn accepted(&self) {
        self.accepted.inc();
    }

    /// A request ended so.
    pub(crate) fn ended(&self, status: &RequestStatus) {
        let state = match status.state {
            RequestState::Done => "done",
            RequestState::Cancelled => "cancelled",
            RequestState::Failed => "failed",
            RequestState::Queued | RequestState::Running => panic!("{} has not ended", status.id),
        };
        self.ended.get_or_create(&[("state", state)]).inc();
        let Some(summary) = &status.summary else { return };
        let tables = [
            ("ok", summary.ok),
            ("unchanged", summary.unchanged),
            ("failed", summary.failed),
            ("cancelled", summary.cancelled),
        ];
        for (name, count) in tables {
            self.tables.get_or_create(&[("status", name)]).inc_by(u64::from(count));
        }
        self.bytes.inc_by(summary.bytes);
    }

    /// The page.
    pub(crate) fn page(&self, ping: &Ping, machine: &MachineReport) -> String {
        let mut registry = Registry::with_prefix("perfecta");
        registry.register("requests_accepted", "Requests accepted", self.accepted.clone());
        registry.register("requests_ended", "Requests that ended, by how", self.ended.clone());
        registry.register(
            "tables",
            "Tables of requests that ended, by status",
            self.tables.clone(),
        );
        registry.register("written_bytes", "Bytes published", self.bytes.clone());
        let mut gauge = |name: &str, help: &str, value: u64| {
            let gauge: Gauge = Gauge::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            registry.register(name, help, gauge);
        };
        gauge("requests_outstanding", "Requests not ended", ping.requests_outstanding as u64);
        gauge("items_running", "Key files in hand", ping.items_running);
        gauge("items_queued", "Key files that wait", ping.items_queued);
        let sum = |of: fn(&crate::daemon::PoolReport) -> u64| machine.pools.iter().map(of).sum();
        gauge("pool_budget_bytes", "Limit of buffers", sum(|pool| pool.budget_bytes));
        gauge("pool_in_use_bytes", "Buffers in use", sum(|pool| pool.in_use_bytes));
        gauge("pool_waiting", "Items that wait for a buffer", sum(|pool| pool.waiting));
        let mut page = String::new();
        encode(&mut page, &registry).expect("a string takes everything");
        page
    }
}

/// Shared by the control thread and the workers.
pub(crate) type SharedCounts = Arc<Counts>;
