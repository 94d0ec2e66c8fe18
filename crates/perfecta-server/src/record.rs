//! One request: what was asked, and everything that was told of it since.
//!
//! ```text
//!  Queued --Planned--> Running --told the end--> Done | Cancelled | Expired | Failed
//!     `----------------------told the end-----------------^
//! ```

use std::cmp::Ordering;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use perfecta_jobs::{CancelFlag, Event, ExitClass, ItemReport, Job, JobError, Status, Summary};
use tokio::sync::watch;

use crate::access::Caller;
use crate::clock::{SharedClock, WallClock};
use crate::problem::Problem;
use crate::report::{ErrorLine, ProcessUse, SummaryLine, TableLine};
use crate::spec::JobSpec;
use crate::wire::{Items, ProgressLine, RequestState, RequestStatus};

/// A request and what came of it so far.
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) owner: Caller,
    pub(crate) spec: JobSpec,
    pub(crate) cancel: CancelFlag,
    clock: SharedClock,
    accepted_unix_ms: u64,
    ended_unix_ms: OnceLock<u64>,
    /// Where its tables are published, once that is decided.
    output: OnceLock<String>,
    told: Mutex<Told>,
    /// Something was told.
    changed: watch::Sender<()>,
    /// The end was told, and when.
    ended: watch::Sender<Option<Duration>>,
    /// Whether it is in the journal, or why it cannot be.
    kept: watch::Sender<Option<Result<(), Problem>>>,
}

#[derive(Default)]
struct Told {
    progress: Option<ProgressLine>,
    /// Where its items are counted with those of all requests that have not ended.
    counts: Option<Arc<ItemCounts>>,
    reports: Vec<ItemReport>,
    /// Positions of failures among the reports.
    failures: Vec<usize>,
    notices: Vec<String>,
    outcome: Option<Outcome>,
    /// Why it was cancelled, if nobody asked for that.
    reason: Option<String>,
    /// Whether it ended because nobody would work on it.
    is_unworked: bool,
}

impl Told {
    fn go_on(&mut self, progress: ProgressLine) {
        let before = self.progress.replace(progress);
        if let Some(counts) = &self.counts {
            counts.replace(before.as_ref(), self.progress.as_ref());
        }
    }
}

/// How many items of several requests wait and run, kept as it changes: a sum over all requests, at
/// each look, would cost as many locks.
#[derive(Debug, Default)]
pub(crate) struct ItemCounts {
    queued: AtomicU64,
    running: AtomicU64,
}

impl ItemCounts {
    /// Items that are known and not begun.
    pub(crate) fn queued(&self) -> u64 {
        self.queued.load(Relaxed)
    }

    /// Items that have begun and not settled.
    pub(crate) fn running(&self) -> u64 {
        self.running.load(Relaxed)
    }

    /// Takes in where the items of a request are, in place of where they were.
    fn replace(&self, before: Option<&ProgressLine>, after: Option<&ProgressLine>) {
        let queued =
            |progress: Option<&ProgressLine>| progress.map_or(0, |told| told.queued.into());
        let running =
            |progress: Option<&ProgressLine>| progress.map_or(0, |told| told.running.into());
        // What comes is added first: no count is ever below zero.
        self.queued.fetch_add(queued(after), Relaxed);
        self.queued.fetch_sub(queued(before), Relaxed);
        self.running.fetch_add(running(after), Relaxed);
        self.running.fetch_sub(running(before), Relaxed);
    }
}

#[derive(Clone)]
enum Outcome {
    Ran(SummaryLine, ExitClass),
    Refused(ErrorLine, ExitClass),
    /// What an earlier daemon told of it.
    Earlier(Box<RequestStatus>),
}

/// Which tables a reader wants to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TablesWanted {
    /// All of them.
    #[default]
    All,
    /// Those that there are not.
    Failed,
    /// None of them.
    None,
}

/// How far a reader has read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cursor {
    pub(crate) tables: usize,
    pub(crate) notices: usize,
}

/// What a reader has not read yet.
pub(crate) struct Unread {
    pub(crate) tables: Vec<TableLine>,
    pub(crate) notices: Vec<String>,
    pub(crate) status: RequestStatus,
    /// Whether there is more already.
    pub(crate) is_cut: bool,
}

impl Record {
    /// A request that is accepted now.
    pub(crate) fn new(id: String, owner: Caller, spec: JobSpec, clock: SharedClock) -> Self {
        Self {
            accepted_unix_ms: unix_ms(&*clock),
            clock,
            id,
            owner,
            spec,
            cancel: CancelFlag::default(),
            ended_unix_ms: OnceLock::new(),
            output: OnceLock::new(),
            told: Mutex::default(),
            changed: watch::Sender::new(()),
            ended: watch::Sender::new(None),
            kept: watch::Sender::new(None),
        }
    }

    /// The same, accepted by an earlier daemon.
    pub(crate) fn since(self, accepted_unix_ms: u64) -> Self {
        Self { accepted_unix_ms, ..self }
    }

    pub(crate) const fn accepted_unix_ms(&self) -> u64 {
        self.accepted_unix_ms
    }

    /// A request of an earlier daemon that ended there, so long ago as `ended_at` says.
    pub(crate) fn earlier(
        owner: Caller,
        spec: JobSpec,
        status: RequestStatus,
        ended_at: Duration,
        clock: SharedClock,
    ) -> Self {
        let record = Self::new(status.id.clone(), owner, spec, clock);
        record.told.lock().outcome = Some(Outcome::Earlier(Box::new(status)));
        record.ended.send_replace(Some(ended_at));
        record
    }

    /// Tells from now on where the job's tables are published.
    pub(crate) fn tell_output(&self, job: &Job) {
        if let Some(output) = &job.output {
            // A request is for one job.
            let _ = self.output.set(output.directory.display().to_string());
        }
    }

    /// Counts its items there from now on, and nowhere else.
    pub(crate) fn count_items_in(&self, counts: Option<Arc<ItemCounts>>) {
        let told = &mut *self.told.lock();
        if let Some(counts) = &counts {
            counts.replace(None, told.progress.as_ref());
        }
        if let Some(counts) = std::mem::replace(&mut told.counts, counts) {
            counts.replace(told.progress.as_ref(), None);
        }
    }

    /// Has so many of its items known and not begun, and so many begun.
    #[cfg(test)]
    pub(crate) fn place(&self, queued: u32, running: u32) {
        self.told.lock().go_on(ProgressLine { queued, running, ..ProgressLine::default() });
    }

    /// Takes in what a worker tells.
    pub(crate) fn observe(&self, event: &Event<'_>) {
        {
            let mut told = self.told.lock();
            match event {
                Event::Planned(progress) | Event::Searching(progress) => {
                    told.go_on((*progress).into());
                }
                Event::Started { .. } => return,
                Event::Settled { report, progress } => {
                    if report.status == Status::Failed {
                        let position = told.reports.len();
                        told.failures.push(position);
                    }
                    told.reports.push((*report).clone());
                    told.go_on((*progress).into());
                }
                Event::Notice(notice) => told.notices.push((*notice).to_owned()),
            }
        }
        self.changed.send_replace(());
    }

    /// Cancels it for a reason that is not its client's, which is told; unless somebody cancelled it before.
    pub(crate) fn cancel_because(&self, reason: &str) {
        {
            let mut told = self.told.lock();
            if told.outcome.is_none() && !self.cancel.is_cancelled() {
                told.reason = Some(reason.to_owned());
                told.notices.push(reason.to_owned());
            }
        }
        self.cancel.cancel();
        self.changed.send_replace(());
    }

    /// Takes in the end; nothing, if nobody worked on it any more and that was told. `keep` is given
    /// it before anybody else sees it.
    ///
    /// # Panics
    /// If it was told before.
    pub(crate) fn end(
        &self,
        outcome: Result<Summary, JobError>,
        process: ProcessUse,
        now: Duration,
        keep: impl FnOnce(RequestStatus),
    ) {
        let outcome = match outcome {
            Ok(summary) => {
                let class = summary.exit_class();
                Outcome::Ran(SummaryLine::of(&summary, process, class.code()), class)
            }
            Err(mut error) => {
                error.paths_mut().into_iter().for_each(|path| self.spec.rename(path));
                Outcome::Refused(ErrorLine::from(&error), error.exit_class())
            }
        };
        {
            let mut told = self.told.lock();
            if told.is_unworked {
                return;
            }
            self.note_end();
            let before = told.outcome.replace(outcome);
            assert!(before.is_none(), "request {} ends twice", self.id);
            keep(self.status_of(&told));
        }
        self.ended.send_replace(Some(now));
    }

    /// The end of a request that nobody works on; nothing, if it has ended. `keep` is given it before
    /// anybody else sees it.
    pub(crate) fn end_unworked(
        &self,
        error: ErrorLine,
        now: Duration,
        keep: impl FnOnce(RequestStatus),
    ) {
        let mut told = self.told.lock();
        if told.outcome.is_some() {
            return;
        }
        self.note_end();
        told.outcome = Some(Outcome::Refused(error, ExitClass::Internal));
        told.is_unworked = true;
        keep(self.status_of(&told));
        drop(told);
        self.ended.send_replace(Some(now));
    }

    /// Tells whether it is in the journal.
    pub(crate) fn keep(&self, kept: Result<(), Problem>) {
        self.kept.send_replace(Some(kept));
    }

    /// Returns when it is in the journal.
    ///
    /// # Errors
    /// [`Problem`] if it cannot be; it is not run then.
    pub(crate) async fn until_kept(&self) -> Result<(), Problem> {
        let mut kept = self.kept.subscribe();
        let kept = kept.wait_for(Option::is_some).await.expect("the sender is ours");
        kept.clone().expect("it was waited for")
    }

    pub(crate) fn ended_at(&self) -> Option<Duration> {
        *self.ended.borrow()
    }

    /// Returns when the request has ended.
    pub(crate) async fn until_ended(&self) {
        // The sender is ours, so there is no error.
        let _ = self.ended.subscribe().wait_for(Option::is_some).await;
    }

    /// A receiver that is told of every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(crate) fn status(&self) -> RequestStatus {
        self.status_of(&self.told.lock())
    }

    /// Where it is, and nothing else of it.
    pub(crate) fn state(&self) -> RequestState {
        self.told.lock().state()
    }

    /// How many tables it tells of.
    pub(crate) fn num_tables(&self) -> usize {
        self.told.lock().reports.len()
    }

    /// Items that are in no state, or in two: 0, or the counts are wrong.
    pub(crate) fn ledger_difference(&self) -> i64 {
        self.told.lock().progress.as_ref().map_or(0, ProgressLine::difference)
    }

    /// A page of the items that have settled.
    pub(crate) fn items(&self, wanted: TablesWanted, offset: usize, limit: usize) -> Items {
        let told = self.told.lock();
        let (items, settled) = self.page_of(&told, wanted, offset, limit);
        Items { settled, offset, items }
    }

    /// The items that were searched longest, the longest first.
    pub(crate) fn slowest(&self, limit: usize) -> Vec<TableLine> {
        let told = self.told.lock();
        let seconds = |report: &ItemReport| report.search.as_ref().map(|search| search.seconds);
        let mut searched: Vec<&ItemReport> =
            told.reports.iter().filter(|report| report.search.is_some()).collect();
        let longest_first = |one: &&ItemReport, other: &&ItemReport| {
            seconds(other).partial_cmp(&seconds(one)).unwrap_or(Ordering::Equal)
        };
        // Workers wait for this lock: no more is put in order than is told.
        if limit < searched.len() {
            searched.select_nth_unstable_by(limit, longest_first);
            searched.truncate(limit);
        }
        searched.sort_unstable_by(longest_first);
        searched.into_iter().map(|report| self.line_of(report)).collect()
    }

    /// What is new since `cursor`, at most so many tables of it, and puts the cursor behind it.
    pub(crate) fn news(&self, cursor: &mut Cursor, wanted: TablesWanted, limit: usize) -> Unread {
        let told = self.told.lock();
        let (tables, end) = self.page_of(&told, wanted, cursor.tables, limit);
        let notices = told.notices[cursor.notices..].iter();
        let notices: Vec<String> = notices.map(|notice| self.spec.in_its_words(notice)).collect();
        cursor.tables += tables.len();
        cursor.notices += notices.len();
        Unread { tables, notices, status: self.status_of(&told), is_cut: cursor.tables < end }
    }

    /// Some of the tables that are wanted, and how many of these there are.
    fn page_of(
        &self,
        told: &Told,
        wanted: TablesWanted,
        offset: usize,
        limit: usize,
    ) -> (Vec<TableLine>, usize) {
        match wanted {
            TablesWanted::All => {
                let page = told.reports.iter().skip(offset).take(limit);
                (page.map(|report| self.line_of(report)).collect(), told.reports.len())
            }
            TablesWanted::Failed => {
                let page = told.failures.iter().skip(offset).take(limit);
                let lines = page.map(|position| self.line_of(&told.reports[*position]));
                (lines.collect(), told.failures.len())
            }
            TablesWanted::None => (Vec::new(), 0),
        }
    }

    fn line_of(&self, report: &ItemReport) -> TableLine {
        let keys_file = self.spec.as_named(&report.keys_file);
        let line = TableLine::of(report, keys_file);
        let Some(mut error) = report.error.clone() else { return line };
        for path in error.paths_mut() {
            if *path == report.keys_file {
                keys_file.clone_into(path);
            } else {
                self.spec.rename(path);
            }
        }
        TableLine { error: Some(ErrorLine::from(&error)), ..line }
    }

    fn as_named(&self, mut progress: ProgressLine) -> ProgressLine {
        if let Some(hardest) = &mut progress.hardest {
            hardest.keys_file = self.spec.as_named(&hardest.keys_file).to_owned();
        }
        progress
    }

    fn status_of(&self, told: &Told) -> RequestStatus {
        let (summary, error) = match &told.outcome {
            Some(Outcome::Earlier(status)) => return (**status).clone(),
            None => (None, None),
            Some(Outcome::Ran(summary, _)) => (Some(summary.clone()), None),
            Some(Outcome::Refused(error, _)) => (None, Some(error.clone())),
        };
        RequestStatus {
            id: self.id.clone(),
            state: told.state(),
            accepted_unix_ms: self.accepted_unix_ms(),
            ended_unix_ms: self.ended_unix_ms.get().copied(),
            output: self.output.get().cloned(),
            progress: told.progress.clone().map(|progress| self.as_named(progress)),
            summary,
            error,
            reason: told.reason.clone().filter(|_| told.state() == RequestState::Cancelled),
        }
    }

    fn note_end(&self) {
        // Told twice, the first counts; whether that may be is the caller's to say.
        let _ = self.ended_unix_ms.set(unix_ms(&*self.clock));
    }
}

fn unix_ms(clock: &dyn WallClock) -> u64 {
    clock.since_1970().as_millis() as u64
}

/// The state of a request that was stopped, if it was.
const fn stopped(class: ExitClass) -> Option<RequestState> {
    match class {
        ExitClass::Cancelled => Some(RequestState::Cancelled),
        ExitClass::Expired => Some(RequestState::Expired),
        _ => None,
    }
}

impl Told {
    fn state(&self) -> RequestState {
        match &self.outcome {
            Some(Outcome::Earlier(status)) => status.state,
            None if self.progress.is_none() => RequestState::Queued,
            None => RequestState::Running,
            Some(Outcome::Ran(_, class)) => stopped(*class).unwrap_or(RequestState::Done),
            Some(Outcome::Refused(_, class)) => stopped(*class).unwrap_or(RequestState::Failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use perfecta_core::family::Family;
    use perfecta_core::seeds::Seeds;
    use perfecta_jobs::{Progress, SearchReport};

    use super::*;
    use crate::clock;
    use crate::clock::tests::Turned;

    fn record() -> Record {
        record_by(clock::tests::any())
    }

    fn record_by(clock: SharedClock) -> Record {
        let json = r#"{"inputs": {"files": ["/a"]}, "output": null}"#;
        Record::new("1".to_owned(), Caller::Owner, serde_json::from_str(json).unwrap(), clock)
    }

    fn settle(record: &Record, name: &str, status: Status, seconds: Option<f64>) {
        let search = seconds.map(|seconds| SearchReport {
            edge_capacity: 4,
            vertices: 8,
            hash: Family::from_name("Folded").unwrap(),
            seeds: Seeds::default(),
            attempts: 1,
            winning_attempt: Some(1),
            vertex_collisions: 0,
            cyclic: 0,
            grows: 0,
            seconds,
        });
        let (keys_file, identifier) = (PathBuf::from(name), name.to_owned());
        let report = ItemReport { search, ..ItemReport::new(keys_file, identifier, status) };
        record.observe(&Event::Settled { report: &report, progress: &Progress::default() });
    }

    fn names(lines: &[TableLine]) -> Vec<&str> {
        lines.iter().map(|line| line.keys_file.as_str()).collect()
    }

    #[test]
    fn the_longest_searches_come_first_and_what_was_not_searched_is_none() {
        let record = record();
        let seconds = [("/b", Some(0.2)), ("/c", None), ("/d", Some(3.0)), ("/e", Some(0.1))];
        for (name, seconds) in seconds {
            settle(&record, name, Status::Ok, seconds);
        }
        assert_eq!(names(&record.slowest(2)), ["/d", "/b"]);
        assert_eq!(names(&record.slowest(9)), ["/d", "/b", "/e"]);
        assert!(record.slowest(0).is_empty());
    }

    #[test]
    fn a_page_of_failures_counts_failures_alone() {
        let record = record();
        for (name, status) in [("/b", Status::Failed), ("/c", Status::Ok), ("/d", Status::Failed)] {
            settle(&record, name, status, None);
        }
        let page = |wanted, offset| {
            let page = record.items(wanted, offset, 1);
            (page.settled, names(&page.items).join(" "))
        };
        assert_eq!(page(TablesWanted::All, 1), (3, "/c".to_owned()));
        assert_eq!(page(TablesWanted::Failed, 1), (2, "/d".to_owned()));
        assert_eq!(page(TablesWanted::None, 0), (0, String::new()));
    }

    #[test]
    fn a_request_says_when_it_was_accepted_and_when_it_ended() {
        let clock = Arc::new(Turned::default());
        clock.set(Duration::from_millis(7_000));
        let record = record_by(Arc::<Turned>::clone(&clock));
        let told = || (record.status().accepted_unix_ms, record.status().ended_unix_ms);
        clock.turn(Duration::from_millis(500));
        assert_eq!(told(), (7_000, None));
        let process = ProcessUse { threads_max: 1, memory_peak_bytes: None };
        record.end(Ok(Summary::default()), process, Duration::ZERO, drop);
        clock.turn(Duration::from_millis(500));
        assert_eq!(told(), (7_000, Some(7_500)));
    }
}
