//! How long things take: counts by bounds, taken in without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use perfecta_jobs::{Span, Tracer, activity};
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Upper bounds of the counts, in seconds; the last count has none.
const BOUNDS: [f64; 14] =
    [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0];

/// Times of one kind. On lines of memory of its own, so that workers that have one each do not share
/// them.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Histogram {
    counts: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    pub(crate) fn observe(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let place = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }
}

/// Several histograms of one kind, seen as one.
#[derive(Default)]
struct Sum {
    counts: [u64; BOUNDS.len() + 1],
    seconds: f64,
}

impl Sum {
    fn of<'h>(histograms: impl Iterator<Item = &'h Histogram>) -> Self {
        let mut sum = Self::default();
        for histogram in histograms {
            for (total, count) in sum.counts.iter_mut().zip(&histogram.counts) {
                *total += count.load(Ordering::Relaxed);
            }
            let nanoseconds = histogram.nanoseconds.load(Ordering::Relaxed);
            sum.seconds += Duration::from_nanos(nanoseconds).as_secs_f64();
        }
        sum
    }

    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let bounds = BOUNDS.into_iter().chain([f64::MAX]);
        let buckets: Vec<(f64, u64)> = bounds.zip(self.counts).collect();
        let count = self.counts.iter().sum();
        encoder.encode_histogram::<NoLabelSet>(self.seconds, count, &buckets, None)
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        Sum::of(std::iter::once(self)).encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// A metric that is written to while it is registered.
#[derive(Debug)]
pub(crate) struct Shared<T>(pub(crate) Arc<T>);

impl<T: EncodeMetric> EncodeMetric for Shared<T> {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        self.0.metric_type()
    }
}

/// What an item is at, as far as it is timed: the word for machines, and those of spans.
const STAGES: [(&str, &[&str]); 7] = [
    ("buffer", &[activity::AWAIT_BUFFER]),
    ("read", &[activity::READ_KEYS]),
    ("compare", &[activity::COMPARE]),
    ("search", &[activity::SEARCH]),
    ("write", &[activity::STAGE]),
    ("sync", &[activity::AWAIT_SYNC, activity::AWAIT_NAME_SYNC]),
    ("publish", &[activity::PUBLISH]),
];

/// How long items are at each stage, by worker: nobody writes where another does.
#[derive(Debug)]
pub(crate) struct StageTimes(Vec<[Histogram; STAGES.len()]>);

impl StageTimes {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Default::default()).collect())
    }
}

impl Tracer for StageTimes {
    fn span(&self, span: &Span<'_>) {
        let stage = STAGES.iter().position(|(_, names)| names.contains(&span.name));
        if let Some(stage) = stage {
            self.0[span.worker][stage].observe(span.ended.saturating_sub(span.begun));
        }
    }
}

impl EncodeMetric for StageTimes {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (stage, (name, _)) in STAGES.iter().enumerate() {
            let label = [("stage", *name)];
            let sum = Sum::of(self.0.iter().map(|worker| &worker[stage]));
            sum.encode(encoder.encode_family(&label)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    fn page_of(times: StageTimes) -> String {
        let mut registry = Registry::default();
        registry.register("t", "t", Shared(Arc::new(times)));
        let mut page = String::new();
        encode(&mut page, &registry).unwrap();
        page
    }

    #[test]
    fn a_span_is_counted_under_its_stage_whichever_worker_it_is_of() {
        let times = StageTimes::new(2);
        let span = |worker, name, milliseconds| Span {
            worker,
            slot: 0,
            name,
            keys_file: Path::new("a"),
            begun: Duration::from_secs(1),
            ended: Duration::from_secs(1) + Duration::from_millis(milliseconds),
        };
        times.span(&span(0, activity::READ_KEYS, 2));
        times.span(&span(1, activity::READ_KEYS, 200_000));
        times.span(&span(1, activity::ABANDON, 1));
        let page = page_of(times);
        let has = |line: &str| assert!(page.lines().any(|told| told == line), "{line}\n{page}");
        has("t_sum{stage=\"read\"} 200.002");
        has("t_count{stage=\"read\"} 2");
        has("t_bucket{le=\"0.001\",stage=\"read\"} 0");
        has("t_bucket{le=\"0.003\",stage=\"read\"} 1");
        has("t_bucket{le=\"100.0\",stage=\"read\"} 1");
        has("t_bucket{le=\"+Inf\",stage=\"read\"} 2");
        has("t_count{stage=\"write\"} 0");
    }
}
