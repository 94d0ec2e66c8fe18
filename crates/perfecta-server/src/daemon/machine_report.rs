//! What the machine and its session do, as it is told.

use std::num::NonZeroUsize;

use perfecta_jobs::{Machine, Session};
use serde::Serialize;
use utoipa::ToSchema;

/// What the machine is and does.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub(crate) struct MachineReport {
    pub(crate) backend: String,
    pub(crate) jobs: usize,
    pub(crate) session: SessionReport,
    pub(crate) pools: Vec<PoolReport>,
}

/// What there is to do, and who does it.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub(crate) struct SessionReport {
    pub(crate) workers: u64,
    pub(crate) workers_idle: u64,
    pub(crate) jobs_waiting: u64,
    pub(crate) jobs_active: u64,
    pub(crate) files_in_flight: u64,
    pub(crate) memory_reserved_bytes: u64,
}

/// The buffers of a node.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct PoolReport {
    pub(crate) budget_bytes: u64,
    pub(crate) in_use_bytes: u64,
    pub(crate) cached_bytes: u64,
    pub(crate) high_water_bytes: u64,
    pub(crate) waiting: u64,
}

impl MachineReport {
    pub(super) fn of(session: &Session<'_>, machine: &Machine, workers: NonZeroUsize) -> Self {
        let statistics = session.statistics();
        let pools = machine.pools().into_iter().map(|pool| PoolReport {
            budget_bytes: pool.budget_bytes as u64,
            in_use_bytes: pool.in_use_bytes as u64,
            cached_bytes: pool.cached_bytes as u64,
            high_water_bytes: pool.high_water_bytes as u64,
            waiting: pool.num_waiting as u64,
        });
        Self {
            backend: format!("{:?}", machine.backend()).to_lowercase(),
            jobs: session.num_jobs(),
            session: SessionReport {
                workers: workers.get() as u64,
                workers_idle: statistics.workers_idle as u64,
                jobs_waiting: statistics.jobs_waiting as u64,
                jobs_active: statistics.jobs_active as u64,
                files_in_flight: statistics.files_in_flight as u64,
                memory_reserved_bytes: statistics.memory_reserved_bytes,
            },
            pools: pools.collect(),
        }
    }
}
