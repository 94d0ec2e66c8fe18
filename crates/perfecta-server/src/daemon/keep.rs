//! Requests that outlive the daemon: none is accepted before it is in the journal, and what an earlier
//! daemon left is taken over before anybody is answered.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use perfecta_jobs::{ExitClass, Request};
use tokio::sync::oneshot;
use tracing::info;

use super::{Control, ENDED_MAX, Order, Phase, ServeError};
use crate::access::Placed;
use crate::crash;
use crate::journal::{
    AcceptedRequest, Earlier, Entry, Journal, JournalFile, KeepBounds, Left, Survives, Writer,
};
use crate::problem::Problem;
use crate::record::Record;
use crate::report::ErrorLine;
use crate::state::StateDirectory;
use crate::wire::RequestStatus;

/// A request that more daemons died with is not begun once more: they may have died of it.
const DEATHS_MAX: u32 = 10;

/// What there is of earlier daemons, and where this one keeps its own.
pub(super) struct Keeping {
    pub(super) journal: Journal,
    pub(super) writer: Option<Writer>,
    pub(super) left: Left,
}

impl Keeping {
    /// Takes over what is in the directory, if there is one, which is the daemon's by its lock.
    pub(super) fn open(
        state: Option<&StateDirectory>,
        keep: Duration,
        since_1970: Duration,
    ) -> Result<Self, ServeError> {
        let Some(state) = state else {
            let (journal, left) = (Journal::none(), Left::default());
            return Ok(Self { journal, writer: None, left });
        };
        let ended_since = since_1970.as_secs().saturating_sub(keep.as_secs());
        let bounds = KeepBounds { ended_since, ended_max: ENDED_MAX };
        let (file, left) = JournalFile::open(state.path(), bounds)?;
        let (journal, writer) = Journal::of(file);
        Ok(Self { journal, writer: Some(writer), left })
    }
}

impl Control {
    /// Has a request begin when it is in the journal, or end where it cannot be.
    pub(super) fn keep(
        self: &Arc<Self>,
        request: Request<'static>,
        record: &Arc<Record>,
        idempotency_key: Option<String>,
    ) {
        let forgotten = self.registry.lock().take_forgotten();
        self.note_forgotten(forgotten);
        let is_durable = record.spec.output.as_ref().is_some_and(|output| output.durable);
        let survives = if is_durable { Survives::PowerCut } else { Survives::Death };
        let entry = Entry::Accepted(AcceptedRequest {
            id: record.id.clone(),
            at_unix_ms: record.accepted_unix_ms(),
            owner: record.owner,
            key: idempotency_key,
            deaths: 0,
            spec: Cow::Borrowed(&record.spec),
        });
        let (control, kept) = (Arc::clone(self), Arc::clone(record));
        self.journal.append(&entry, survives, move |written| match written {
            Ok(()) => {
                control.begin(request, &kept);
                kept.keep(Ok(()));
            }
            Err(error) => {
                let detail = format!("the request cannot be kept: {error}");
                control.registry.lock().withdraw(&kept.id);
                let refused = Problem::no_room(&detail);
                let error = ErrorLine::new(ExitClass::Io, detail, None);
                // There was no room for its line, and there is none of its end.
                kept.end_unworked(error, control.clock.now(), drop);
                control.note_end(&kept);
                kept.keep(Err(refused));
            }
        });
    }

    fn begin(&self, request: Request<'static>, record: &Record) {
        self.counts.accepted();
        info!(request = record.id, "accepted");
        let order = Order::Submit(Box::new(request));
        let orders = self.orders.lock().clone();
        if orders.is_none_or(|orders| orders.send(order).is_err()) {
            // The next daemon runs it.
            record.end_unworked(lost("a worker"), self.clock.now(), drop);
            self.note_end(record);
        }
    }

    /// Ends a request that nobody works on, if it has not ended.
    fn end_unworked(&self, record: &Record, error: ErrorLine) {
        record.end_unworked(error, self.clock.now(), |status| self.keep_end(status));
        self.note_end(record);
    }

    /// A thread is gone by a bug: nothing will be done any more, and nobody should wait for it.
    pub(super) fn lost(&self, thread: &str) {
        self.advance(Phase::Ending);
        let records: Vec<Arc<Record>> = self.registry.lock().outstanding().cloned().collect();
        for record in records {
            // A worker that is deep in a search hears of nothing else.
            record.cancel.cancel();
            self.end_unworked(&record, lost(thread));
        }
        self.journal.close();
    }

    /// Hands a request's end to the journal. Nobody knows of it yet, so that the line that forgets the
    /// request comes later. A daemon that dies before it is written runs the request again, which finds
    /// its tables unchanged.
    pub(super) fn keep_end(&self, status: RequestStatus) {
        self.journal.note(&Entry::Ended { at: self.clock.since_1970().as_secs(), status });
    }

    /// Puts a request among those that have ended.
    pub(super) fn note_end(&self, record: &Record) {
        let forgotten = {
            let mut registry = self.registry.lock();
            registry.note_end(&record.id);
            registry.take_forgotten()
        };
        self.note_forgotten(forgotten);
        self.num_ended.send_modify(|count| *count += 1);
    }

    /// Forgets what was kept long enough.
    pub(crate) fn sweep(&self) {
        let forgotten = {
            let mut registry = self.registry.lock();
            registry.sweep(self.clock.now());
            registry.take_forgotten()
        };
        self.note_forgotten(forgotten);
    }

    /// These ended before they were forgotten, and so do their lines.
    fn note_forgotten(&self, ids: Vec<String>) {
        ids.into_iter().for_each(|id| self.journal.note(&Entry::Forgotten { id }));
    }

    /// Cancels a request, also for daemons to come.
    pub(crate) async fn cancel(&self, record: &Record) {
        self.stop(record);
        if record.ended_at().is_none() {
            self.write(&Entry::Cancelled { id: record.id.clone() }).await;
        }
    }

    /// Forgets a request that has ended.
    ///
    /// # Errors
    /// [`Problem`] if there is none, or it has not.
    pub(crate) async fn forget(&self, id: &str) -> Result<(), Problem> {
        self.registry.lock().forget(id)?;
        self.write(&Entry::Forgotten { id: id.to_owned() }).await;
        Ok(())
    }

    /// Returns when the line is written, or cannot be, which the journal tells of.
    async fn write(&self, entry: &Entry<'_>) {
        let (written, waiting) = oneshot::channel();
        // Who waited may be gone.
        self.journal.append(entry, Survives::Death, move |_| {
            let _ = written.send(());
        });
        let _ = waiting.await;
    }

    /// Takes over what an earlier daemon left: what had not ended is run again.
    pub(super) fn restore(
        self: &Arc<Self>,
        left: Left,
        crash_directory: Option<&Path>,
        notice: &(dyn Fn(&str) + Sync),
    ) {
        let is_open = |earlier: &&Earlier| earlier.ended.is_none();
        let outstanding = left.requests.iter().filter(is_open);
        let outstanding: Vec<String> =
            outstanding.map(|earlier| earlier.accepted.id.clone()).collect();
        left.requests.into_iter().for_each(|earlier| self.take_over(earlier));
        if left.died {
            let again = match outstanding.len() {
                0 => "no request is run again".to_owned(),
                1 => "1 request is run again".to_owned(),
                number => format!("{number} requests are run again"),
            };
            notice(&format!("the daemon before this one died; {again}"));
            let reported =
                crash_directory.map(|directory| crash::report_death(directory, &outstanding));
            if let Some(Err(error)) = reported {
                notice(&format!("that it died cannot be reported: {error}"));
            }
        }
        if let Some(error) = &left.rewrite_error {
            notice(&format!(
                "the journal cannot be rewritten, and is gone on with as it is: {error}"
            ));
        }
        if let Some(told) = damage(&left.damaged, left.aside_error.as_ref()) {
            notice(&told);
        }
    }

    fn take_over(self: &Arc<Self>, earlier: Earlier) {
        let AcceptedRequest { id, at_unix_ms, owner, key, deaths, spec } = earlier.accepted;
        let (spec, now) = (spec.into_owned(), self.clock.now());
        let clock = Arc::clone(&self.clock);
        let record = match earlier.ended {
            Some((at, status)) => {
                let age = Duration::from_secs(self.clock.since_1970().as_secs().saturating_sub(at));
                Record::earlier(owner, spec, status, now.saturating_sub(age), clock)
            }
            None => Record::new(id, owner, spec, clock).since(at_unix_ms),
        };
        let record = Arc::new(record);
        record.keep(Ok(()));
        self.registry.lock().insert(Arc::clone(&record), key);
        if record.ended_at().is_some() {
            return;
        }
        if earlier.is_cancelled {
            record.cancel.cancel();
        }
        if let Err(error) = self.resume(&record, deaths) {
            self.end_unworked(&record, error);
        }
    }

    fn resume(self: &Arc<Self>, record: &Arc<Record>, deaths: u32) -> Result<(), ErrorLine> {
        if deaths > DEATHS_MAX {
            return Err(interrupted(format!("{deaths} daemons died before it had ended")));
        }
        let placed = self.place_again(record).map_err(|problem| interrupted(problem.detail))?;
        let (job, artifacts) = placed.of_request(&record.id);
        self.begin(self.request(job, artifacts, record), record);
        Ok(())
    }

    /// What an earlier daemon accepted, with the time that is left of what it was given.
    fn place_again(&self, record: &Record) -> Result<Placed, Problem> {
        let mut spec = record.spec.clone();
        spec.limits = spec.limits.since(record.accepted_unix_ms());
        self.terms.place(&spec, self.clock.since_1970())
    }
}

/// What is told of lines that are damaged, if there are any.
fn damage(lines: &[usize], aside_error: Option<&io::Error>) -> Option<String> {
    let skipped = match lines {
        [] => return None,
        [line] => format!("in line {line}, which was skipped"),
        [first, ..] => {
            let number = lines.len();
            format!("in {number} lines, the first of them line {first}, which were skipped")
        }
    };
    let kept = match aside_error {
        None => "is kept as journal.damaged".to_owned(),
        Some(error) => format!("cannot be kept as journal.damaged: {error}"),
    };
    Some(format!("the journal was damaged {skipped}; the file {kept}"))
}

/// The journal's thread. Where a bug ends it, everybody is told, and the daemon ends.
pub(super) fn write(writer: &mut Writer, control: &Control, notice: &(dyn Fn(&str) + Sync)) {
    let writing = Writing { writer, control };
    writing.writer.run(notice);
}

struct Writing<'w> {
    writer: &'w mut Writer,
    control: &'w Control,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.control.lost("the journal's thread");
            self.writer.give_up();
        }
    }
}

/// Whatever becomes of the threads, the journal's is not to wait for more.
pub(super) struct ClosingJournal<'j>(pub(super) &'j Journal);

impl ClosingJournal<'_> {
    /// The daemon ends, or does not begin, for a reason that is told: it does not die.
    pub(super) fn in_order(self) {
        self.0.note(&Entry::Stopped {});
    }
}

impl Drop for ClosingJournal<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Why a request of an earlier daemon is not gone on with.
fn interrupted(reason: String) -> ErrorLine {
    ErrorLine {
        class: "interrupted".to_owned(),
        exit_code: 10,
        message: format!("the daemon died meanwhile, and the request is not run again: {reason}"),
        remedy: Some("ask for it again: tables that are published are found unchanged".to_owned()),
    }
}

/// Nobody works any more, because of a bug.
fn lost(thread: &str) -> ErrorLine {
    let message = format!("the daemon lost {thread} by a bug");
    let remedy = "please report it, with what the daemon printed";
    ErrorLine::new(ExitClass::Internal, message, Some(remedy))
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use futures_util::FutureExt as _;

    use super::*;
    use crate::access::Caller;
    use crate::api::tests::{control, control_by, control_with};
    use crate::clock::tests::{Turned, any};
    use crate::daemon::TABLES_MAX;
    use crate::problem::ProblemKind;
    use crate::spec::{InputSpec, JobSpec};
    use crate::wire::RequestState;

    /// Of an hour after 1970.
    fn accepted(spec: &str) -> AcceptedRequest<'static> {
        AcceptedRequest {
            id: "5eb1-1".to_owned(),
            at_unix_ms: 3_600_000,
            owner: Caller::Owner,
            key: None,
            deaths: 1,
            spec: Cow::Owned(serde_json::from_str(spec).unwrap()),
        }
    }

    /// What the lines of a journal tell, by their words.
    fn words(directory: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(directory.join("journal")).unwrap();
        let word = |line: &str| line.split('"').nth(5).unwrap().to_owned();
        text.lines().skip(1).map(word).collect()
    }

    /// Whoever sees that a request has ended may forget it at once.
    #[test]
    fn in_the_journal_too_a_request_ends_before_it_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let bounds = KeepBounds { ended_since: 0, ended_max: 1_000 };
        let (file, _) = JournalFile::open(directory.path(), bounds).unwrap();
        let (journal, mut writer) = Journal::of(file);
        let control = control_with(journal);
        let spec: JobSpec =
            serde_json::from_str(r#"{"inputs": {"files": ["/a"]}, "output": null}"#).unwrap();
        for number in 0..300 {
            let record =
                Arc::new(Record::new(number.to_string(), Caller::Owner, spec.clone(), any()));
            control.registry.lock().insert(Arc::clone(&record), None);
            std::thread::scope(|scope| {
                scope.spawn(|| control.end_unworked(&record, lost("a worker")));
                while control.registry.lock().forget(&record.id).is_err() {
                    std::hint::spin_loop();
                }
                control.journal.note(&Entry::Forgotten { id: record.id.clone() });
            });
        }
        control.journal.close();
        writer.run(&|notice| panic!("{notice}"));
        let words = words(directory.path());
        assert_eq!(words.len(), 600);
        assert!(words.chunks(2).all(|pair| pair == ["ended", "forgotten"]), "{words:?}");
    }

    #[test]
    fn what_is_too_much_is_forgotten_in_the_journal_too_when_another_request_ends() {
        let directory = tempfile::tempdir().unwrap();
        let bounds = KeepBounds { ended_since: 0, ended_max: 1_000 };
        let (file, _) = JournalFile::open(directory.path(), bounds).unwrap();
        let (journal, mut writer) = Journal::of(file);
        let control = control_with(journal);
        let spec: JobSpec =
            serde_json::from_str(r#"{"inputs": {"files": ["/a"]}, "output": null}"#).unwrap();
        let inputs = InputSpec::Files(vec!["/a".into(); TABLES_MAX]);
        let spec = JobSpec { inputs, ..spec };
        for id in ["1", "2"] {
            let record = Arc::new(Record::new(id.to_owned(), Caller::Owner, spec.clone(), any()));
            control.registry.lock().insert(Arc::clone(&record), None);
            control.end_unworked(&record, lost("a worker"));
        }
        control.journal.close();
        writer.run(&|notice| panic!("{notice}"));
        assert_eq!(words(directory.path()), ["ended", "ended", "forgotten"]);
    }

    #[test]
    fn a_repeated_request_is_found_whatever_has_become_of_the_daemon_since() {
        let control = control();
        let submit = |key: &str| {
            let spec = r#"{"inputs": {"files": ["/a"]}, "output": null}"#;
            let spec = serde_json::from_str(spec).unwrap();
            control.submit(Caller::Owner, spec, Some(key.to_owned()))
        };
        let accepted = submit("k").unwrap();
        control.advance(Phase::Draining);
        assert_eq!(submit("k").unwrap().id, accepted.id);
        assert_eq!(submit("another").map(drop).unwrap_err().kind, ProblemKind::Draining);
    }

    #[test]
    fn whoever_waits_for_the_journal_is_told_that_its_thread_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let bounds = KeepBounds { ended_since: 0, ended_max: 1_000 };
        let (mut file, _) = JournalFile::open(directory.path(), bounds).unwrap();
        file.redirect(OpenOptions::new().write(true).open("/dev/full").unwrap());
        let (journal, mut writer) = Journal::of(file);
        let control = control_with(journal);
        let spec: JobSpec =
            serde_json::from_str(r#"{"inputs": {"files": ["/a"]}, "output": null}"#).unwrap();
        let submit = || control.submit(Caller::Owner, spec.clone(), None).unwrap();
        let records = [submit(), submit()];
        let write = || write(&mut writer, &control, &|_| panic!("a deliberate crash"));
        assert!(catch_unwind(AssertUnwindSafe(write)).is_err());
        for record in records {
            assert!(record.ended_at().is_some());
            let refused = record.until_kept().now_or_never().unwrap().unwrap_err();
            assert_eq!(refused.kind, ProblemKind::Storage);
        }
        assert_eq!(control.phase(), Phase::Ending);
        assert_eq!(control.registry.lock().len(), 0);
    }

    #[test]
    fn a_request_for_a_node_that_is_gone_is_not_waited_for() {
        let control = control();
        let spec = r#"{"inputs": {"files": ["/a"]}, "output": null,
            "share": {"node_policy": "node:9"}}"#;
        let accepted = accepted(spec);
        control.take_over(Earlier { accepted, is_cancelled: false, ended: None });
        let status = control.registry.lock().find("5eb1-1").unwrap().status();
        let error = status.error.unwrap();
        assert_eq!((status.state, error.class.as_str()), (RequestState::Failed, "interrupted"));
        assert!(error.message.contains("node 9"), "{}", error.message);
    }

    #[test]
    fn a_request_of_an_earlier_daemon_was_accepted_when_it_was_and_its_time_goes_on() {
        const MINUTE: Duration = Duration::from_secs(60);
        let clock = Arc::new(Turned::default());
        let control = control_by(Arc::<Turned>::clone(&clock));
        let spec = r#"{"inputs": {"files": ["/a"]}, "output": null,
            "limits": {"deadline_ms": 3600000}}"#;
        let accepted = accepted(spec);
        clock.set(80 * MINUTE);
        control.take_over(Earlier { accepted, is_cancelled: false, ended: None });
        let record = control.registry.lock().find("5eb1-1").unwrap();
        assert_eq!(record.status().accepted_unix_ms, 3_600_000);
        let left = || control.place_again(&record).unwrap().job.limits.job_time_max;
        assert_eq!(left(), Some(40 * MINUTE));
        clock.turn(50 * MINUTE);
        assert_eq!(left(), Some(Duration::ZERO));
        // As it was sent, so that a repeated one is known again.
        assert_eq!(record.spec.limits.deadline_ms, Some(3_600_000));
    }

    #[test]
    fn a_clock_that_is_set_changes_no_time_that_goes_by() {
        let clock = Arc::new(Turned::default());
        let control = control_by(Arc::<Turned>::clone(&clock));
        clock.turn(Duration::from_secs(9));
        clock.set(Duration::ZERO);
        assert_eq!(control.ping().uptime_seconds, 9.0);
    }
}
