//! What the daemon did in the last minutes: a sample every two seconds, so that a page that is opened
//! late, or was hidden, has no gap.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use perfecta_jobs::{Event, Status};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};
use utoipa::ToSchema;

use crate::daemon::{Control, MachineReport};
use crate::wire::Ping;

/// Between two samples.
const EVERY: Duration = Duration::from_secs(2);

/// Ten minutes of them.
const SAMPLES_MAX: usize = 300;

/// The last samples, and the counts that they are taken of.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Items that settled since the daemon began, those left out that were cancelled: nothing was done
    /// for most of these, and they come all at once.
    tables: AtomicU64,
    /// Keys of these.
    keys: AtomicU64,
    samples: Mutex<VecDeque<Sample>>,
}

/// What the daemon was at.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Sample {
    /// Samples of a daemon are counted from 1.
    pub(crate) number: u64,
    uptime_seconds: f64,
    tables: u64,
    keys: u64,
    items_running: u64,
    items_queued: u64,
    requests_outstanding: usize,
    memory_reserved_bytes: u64,
    buffers_in_use_bytes: u64,
}

/// Samples that a reader has not seen.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Samples {
    every_ms: u64,
    samples: Vec<Sample>,
}

impl History {
    /// Counts what settles.
    pub(crate) fn observe(&self, event: &Event<'_>) {
        if let Event::Settled { report, .. } = event
            && report.status != Status::Cancelled
        {
            self.tables.fetch_add(1, Ordering::Relaxed);
            self.keys.fetch_add(report.keys, Ordering::Relaxed);
        }
    }

    /// The samples behind that of a number.
    pub(crate) fn after(&self, number: u64) -> Samples {
        let samples = self.samples.lock();
        let unseen = samples.iter().filter(|sample| sample.number > number).cloned();
        Samples { every_ms: EVERY.as_millis() as u64, samples: unseen.collect() }
    }

    fn take(&self, load: &Ping, machine: &MachineReport) {
        let mut samples = self.samples.lock();
        let number = samples.back().map_or(1, |last| last.number + 1);
        if samples.len() == SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(Sample {
            number,
            uptime_seconds: load.uptime_seconds,
            tables: self.tables.load(Ordering::Relaxed),
            keys: self.keys.load(Ordering::Relaxed),
            items_running: load.items_running,
            items_queued: load.items_queued,
            requests_outstanding: load.requests_outstanding,
            memory_reserved_bytes: machine.session.memory_reserved_bytes,
            buffers_in_use_bytes: machine.pools.iter().map(|pool| pool.in_use_bytes).sum(),
        });
    }
}

/// Takes samples as long as the daemon serves, and forgets in time what need not be kept.
pub(crate) async fn keep(control: Arc<Control>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let machine = control.machine_report().await;
        control.history.take(&control.ping(), &machine);
        control.sweep();
    }
}

#[cfg(test)]
mod tests {
    use perfecta_jobs::{ItemReport, Progress};

    use super::*;

    fn load() -> Ping {
        Ping {
            version: "".into(),
            protocol: 1,
            build: "".into(),
            process: 1,
            uptime_seconds: 0.0,
            requests_outstanding: 0,
            items_running: 0,
            items_queued: 0,
            is_draining: false,
        }
    }

    #[test]
    fn a_reader_gets_what_it_has_not_seen_and_the_oldest_samples_go() {
        let history = History::default();
        for _ in 0..SAMPLES_MAX + 5 {
            history.take(&load(), &MachineReport::default());
        }
        let numbers = |after: u64| {
            let samples = history.after(after).samples;
            (samples.len(), samples.first().map(|sample| sample.number))
        };
        assert_eq!(numbers(0), (SAMPLES_MAX, Some(6)));
        assert_eq!(numbers(303), (2, Some(304)));
        assert_eq!(numbers(305), (0, None));
    }

    #[test]
    fn what_settles_is_counted_with_its_keys_unless_it_was_cancelled() {
        let history = History::default();
        let item = ItemReport::new("/a".into(), "a".to_owned(), Status::Ok);
        let report = ItemReport { keys: 7, ..item };
        let progress = Progress::default();
        history.observe(&Event::Planned(&progress));
        history.observe(&Event::Settled { report: &report, progress: &progress });
        history.observe(&Event::Settled { report: &report, progress: &progress });
        let cancelled = ItemReport { status: Status::Cancelled, ..report.clone() };
        history.observe(&Event::Settled { report: &cancelled, progress: &progress });
        history.take(&load(), &MachineReport::default());
        let sample = history.after(0).samples.pop().unwrap();
        assert_eq!((sample.tables, sample.keys), (2, 14));
    }
}
