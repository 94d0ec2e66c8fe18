//! What becomes of a request in the session: its job, and how it is stopped.

use std::sync::Arc;

use perfecta_jobs::{Artifacts, Event, ItemReport, Job, Request};
use tracing::{debug, info, warn};

use super::{Control, Order};
use crate::crash;
use crate::metrics::Running;
use crate::record::Record;
use crate::report::SummaryLine;
use crate::wire::RequestStatus;

/// A line of what happens in a request. There are paths in it, never keys, which the words of some
/// errors name.
fn tell(request: &str, event: &Event<'_>) {
    match event {
        Event::Planned(progress) => {
            let (tables, keys) = (progress.ledger.admitted(), progress.keys_total);
            info!(request, tables, keys, "begins");
        }
        Event::Started { keys_file, .. } => debug!(request, ?keys_file, "key file begun"),
        Event::Settled { report, .. } => tell_table(request, report),
        Event::Searching(_) => {}
        Event::Notice(notice) => warn!(request, "{notice}"),
    }
}

fn tell_table(request: &str, report: &ItemReport) {
    let (keys_file, status) = (&report.keys_file, report.status.name());
    match &report.error {
        Some(error) => {
            let class = error.exit_class().name();
            warn!(request, ?keys_file, status, class, "no table");
        }
        None => debug!(request, ?keys_file, status, "settled"),
    }
}

fn tell_end(status: &RequestStatus) {
    let (request, state) = (&status.id, status.state.name());
    match (&status.summary, &status.error) {
        (Some(summary), _) => {
            let SummaryLine { tables, ok, unchanged, failed, cancelled, .. } = *summary;
            let seconds = summary.wall_seconds;
            info!(request, state, tables, ok, unchanged, failed, cancelled, seconds, "ended");
        }
        (None, Some(error)) => {
            let class = &error.class;
            warn!(request, state, class, "ended: {}", error.message);
        }
        (None, None) => info!(request, state, "ended"),
    }
}

impl Control {
    /// The job of a record, and who is told of it.
    pub(super) fn request(
        self: &Arc<Self>,
        job: Job,
        artifacts: Artifacts,
        record: &Arc<Record>,
    ) -> Request<'static> {
        let (observed, ended) = (Arc::clone(record), Arc::clone(record));
        let (watching, control) = (Arc::clone(self), Arc::clone(self));
        let running = Arc::new(Running::since(self.clock.now()));
        let counted = Arc::clone(&running);
        record.tell_output(&job);
        if let Some(notice) = record.spec.left_out() {
            let told = Event::Notice(notice);
            tell(&record.id, &told);
            record.observe(&told);
        }
        Request {
            job,
            renderer: Some(crash::renderer(artifacts)),
            cancel: record.cancel.clone(),
            observer: Box::new(move |event: &Event<'_>| {
                tell(&observed.id, event);
                watching.counts.observe(&counted, event, watching.clock.now());
                watching.history.observe(event);
                crash::observe(&observed, event);
                observed.observe(event);
            }),
            on_end: Box::new(move |outcome| {
                crash::forget(&ended);
                let now = control.clock.now();
                ended.end(outcome, control.process.used(), now, |status| control.keep_end(status));
                let status = ended.status();
                control.counts.ended(&running, &status, now);
                control.note_end(&ended);
                tell_end(&status);
            }),
        }
    }

    /// Items that are in no state, or in two, over all requests: 0, or the accounts are wrong.
    pub(crate) fn ledger_difference(&self) -> i64 {
        let records = self.registry.lock().all();
        records.iter().map(|record| record.ledger_difference().abs()).sum()
    }

    /// Asks a request to stop.
    pub(super) fn stop(&self, record: &Record) {
        record.cancel.cancel();
        self.order(Order::Look);
    }

    /// Asks all of them, at the end of the daemon.
    pub(super) fn cancel_all(&self) {
        let records: Vec<Arc<Record>> = self.registry.lock().outstanding().cloned().collect();
        for record in records {
            record.cancel_because(
                "the daemon ended before all was done: ask for it again, and what is published is found unchanged",
            );
            self.order(Order::Look);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::path::Path;
    use std::time::Duration;

    use perfecta_io::{BlockingEngine, Engine};
    use perfecta_jobs::{
        EngineSource, JobError, Session, SessionLimits, SessionRuntime, Stepped, SystemClock,
        Worker,
    };
    use serde_json::json;

    use super::*;
    use crate::access::Caller;
    use crate::api::tests::control;
    use crate::clock::tests::any;
    use crate::record::{Cursor, TablesWanted};
    use crate::spec::Bounds;

    /// What it has in hand would be told in reports of crashes to come.
    #[test]
    fn what_a_request_leaves_unsettled_is_in_hand_no_more_when_it_ends() {
        let control = control();
        let [(ending, one), (staying, other)] = ["jobs-1", "jobs-2"].map(|id| {
            let spec = json!({"inputs": {"files": ["/a.keys"]}, "output": null});
            let spec: crate::spec::JobSpec = serde_json::from_value(spec).unwrap();
            let placed = control.terms.place(&spec, Duration::ZERO).unwrap();
            let record = Arc::new(Record::new(id.to_owned(), Caller::Owner, spec, any()));
            let (job, artifacts) = placed.of_request(id);
            let mut request = control.request(job, artifacts, &record);
            let keys_file = Path::new("/a.keys");
            request.observer.observe(&Event::Started { keys_file, keys: 1 });
            (request, format!("request: {id}\nkey file: /a.keys\n"))
        });
        assert_eq!(crash::tests::in_hand_here(), format!("{other}{one}"));
        (ending.on_end)(Err(JobError::Panicked("a bug".to_owned())));
        assert_eq!(crash::tests::in_hand_here(), other);
        (staying.on_end)(Err(JobError::Cancelled));
        assert_eq!(crash::tests::in_hand_here(), "");
    }

    struct Plain;

    impl EngineSource for Plain {
        fn engine(&self) -> Box<dyn Engine> {
            Box::new(BlockingEngine::default())
        }
    }

    #[test]
    fn what_is_stuck_is_a_notice_of_its_request() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hopeless.keys");
        // They differ in high bits only, which a plain product makes nothing of.
        let keys: Vec<u8> = (1..200u32).flat_map(|key| (key << 20).to_le_bytes()).collect();
        std::fs::write(&file, keys).unwrap();
        let search = json!({"hash": "Multiply", "max_attempts": u64::MAX});
        let spec = json!({"inputs": {"files": [file]}, "output": null, "search": search});
        let spec: crate::spec::JobSpec = serde_json::from_value(spec).unwrap();
        let control = control();
        let placed = control.terms.place(&spec, Duration::ZERO).unwrap();
        let record = Arc::new(Record::new("1".to_owned(), Caller::Owner, spec, any()));
        let (job, artifacts) = placed.of_request(&record.id);
        let one = NonZeroUsize::MIN;
        let limits = SessionLimits {
            workers: one,
            files_in_flight_max: one,
            io_depth: one,
            memory_bytes_max: Bounds::SMALL.memory_bytes_max,
            jobs_active_max: one,
        };
        let runtime = SessionRuntime { engines: &Plain, clock: &SystemClock, tracer: None };
        let session = Session::new(runtime, limits);
        session.submit(control.request(job, artifacts, &record));
        let mut worker = Worker::new(&session, 0);
        let notices = || {
            session.tell_stuck(Duration::ZERO);
            record.news(&mut Cursor::default(), TablesWanted::All, 1).notices
        };
        let mut told = notices();
        while told.is_empty() {
            assert_eq!(worker.step(), Stepped::Worked);
            told = notices();
        }
        assert!(told[0].contains("hopeless.keys: worker 0 is still at"), "{told:?}");
    }
}
