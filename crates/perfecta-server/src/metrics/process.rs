//! The process as the system sees it, by the names that dashboards know.

use std::fs;
use std::time::Duration;

use perfecta_jobs::{Clock, SystemClock};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// The time when it began is told as it was read then: a scraper takes another one for a restart.
pub(super) fn register(registry: &mut Registry, began: Duration) {
    let cpu = ConstCounter::new(SystemClock.cpu().as_secs_f64());
    registry.register("cpu_seconds", "CPU time, user and system", cpu);
    let start = ConstGauge::new(began.as_secs_f64());
    registry.register("start_time_seconds", "When it began, since 1970", start);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let gauges = [
        ("resident_memory_bytes", "Memory resident", resident_memory_bytes()),
        ("threads", "Threads", entries("/proc/self/task")),
        ("open_fds", "Open descriptors", entries("/proc/self/fd")),
        ("max_fds", "The limit of open descriptors", limit),
    ];
    for (name, help, value) in gauges {
        // A system without such a count tells none.
        if let Some(value) = value {
            super::register_gauge(registry, name, help, value);
        }
    }
}

fn resident_memory_bytes() -> Option<u64> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let resident: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    Some(resident * rustix::param::page_size() as u64)
}

fn entries(directory: &str) -> Option<u64> {
    Some(fs::read_dir(directory).ok()?.count() as u64)
}
