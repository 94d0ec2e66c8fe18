//! One request: what was asked, and everything that was told of it since.
//!
//! ```text
//!  Queued --Planned--> Running --told the end--> Done | Cancelled | Failed
//!     `----------------------told the end-----------------^
//! ```

use std::time::Duration;

use parking_lot::Mutex;
use perfecta_jobs::{CancelFlag, Event, ExitClass, ItemReport, JobError, Status, Summary};
use tokio::sync::watch;

use crate::access::Caller;
use crate::report::{ErrorLine, ProcessUse, SummaryLine, TableLine};
use crate::spec::JobSpec;
use crate::wire::{Items, ProgressLine, RequestState, RequestStatus};

/// A request and what came of it so far.
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) owner: Caller,
    pub(crate) spec: JobSpec,
    pub(crate) cancel: CancelFlag,
    told: Mutex<Told>,
    /// Something was told.
    changed: watch::Sender<()>,
    /// The end was told, and when.
    ended: watch::Sender<Option<Duration>>,
}

#[derive(Default)]
struct Told {
    progress: Option<ProgressLine>,
    reports: Vec<ItemReport>,
    /// Positions of failures among the reports.
    failures: Vec<usize>,
    notices: Vec<String>,
    outcome: Option<Outcome>,
}

#[derive(Clone)]
enum Outcome {
    Ran(SummaryLine, ExitClass),
    Refused(ErrorLine),
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
}

/// How far a reader has read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cursor {
    pub(crate) tables: usize,
    pub(crate) notices: usize,
}

/// What a reader has not read yet.
pub(crate) struct News {
    pub(crate) tables: Vec<TableLine>,
    pub(crate) notices: Vec<String>,
    pub(crate) status: RequestStatus,
    /// Whether there is more already.
    pub(crate) is_cut: bool,
}

impl Record {
    pub(crate) fn new(id: String, owner: Caller, spec: JobSpec) -> Self {
        Self {
            id,
            owner,
            spec,
            cancel: CancelFlag::default(),
            told: Mutex::default(),
            changed: watch::Sender::new(()),
            ended: watch::Sender::new(None),
        }
    }

    /// Items that are known and not begun.
    pub(crate) fn num_queued(&self) -> u32 {
        self.told.lock().progress.as_ref().map_or(0, |progress| progress.queued)
    }

    /// Has so many of its items known and not begun.
    #[cfg(test)]
    pub(crate) fn queue(&self, queued: u32) {
        self.told.lock().progress = Some(ProgressLine { queued, ..ProgressLine::default() });
    }

    /// Takes in what a worker tells.
    pub(crate) fn observe(&self, event: &Event<'_>) {
        {
            let mut told = self.told.lock();
            match event {
                Event::Planned(progress) | Event::Searching(progress) => {
                    told.progress = Some((*progress).into());
                }
                Event::Started { .. } => return,
                Event::Settled { report, progress } => {
                    if report.status == Status::Failed {
                        let position = told.reports.len();
                        told.failures.push(position);
                    }
                    told.reports.push((*report).clone());
                    told.progress = Some((*progress).into());
                }
                Event::Notice(notice) => told.notices.push((*notice).to_owned()),
            }
        }
        self.changed.send_replace(());
    }

    /// Takes in the end.
    ///
    /// # Panics
    /// If it was told before.
    pub(crate) fn end(
        &self,
        outcome: Result<Summary, JobError>,
        process: ProcessUse,
        now: Duration,
    ) {
        let outcome = match outcome {
            Ok(summary) => {
                let class = summary.exit_class();
                Outcome::Ran(SummaryLine::of(&summary, process, class.code()), class)
            }
            Err(error) => Outcome::Refused(ErrorLine::from(&error)),
        };
        let before = self.told.lock().outcome.replace(outcome);
        assert!(before.is_none(), "request {} ends twice", self.id);
        self.ended.send_replace(Some(now));
    }

    /// The end of a request that nobody works on any more, because of a bug; nothing if it has ended.
    pub(crate) fn end_lost(&self, now: Duration) {
        let message = "the daemon lost a worker by a bug".to_owned();
        let remedy = "please report it, with what the daemon printed";
        let error = ErrorLine::new(ExitClass::Internal, message, Some(remedy));
        let mut told = self.told.lock();
        if told.outcome.is_none() {
            told.outcome = Some(Outcome::Refused(error));
            drop(told);
            self.ended.send_replace(Some(now));
        }
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
        self.told.lock().status(&self.id)
    }

    /// A page of the items that have settled.
    pub(crate) fn items(&self, offset: usize, limit: usize) -> Items {
        let told = self.told.lock();
        let page = told.reports.iter().skip(offset).take(limit);
        let items = page.map(|report| self.line_of(report)).collect();
        Items { settled: told.reports.len(), offset, items }
    }

    /// What is new since `cursor`, at most so many tables of it, and puts the cursor behind it.
    pub(crate) fn news(&self, cursor: &mut Cursor, wanted: TablesWanted, limit: usize) -> News {
        let told = self.told.lock();
        let (tables, end): (Vec<TableLine>, usize) = match wanted {
            TablesWanted::All => {
                let new = told.reports.iter().skip(cursor.tables).take(limit);
                (new.map(|report| self.line_of(report)).collect(), told.reports.len())
            }
            TablesWanted::Failed => {
                let new = told.failures.iter().skip(cursor.tables).take(limit);
                let lines = new.map(|position| self.line_of(&told.reports[*position]));
                (lines.collect(), told.failures.len())
            }
        };
        let notices = told.notices[cursor.notices..].to_vec();
        cursor.tables += tables.len();
        cursor.notices += notices.len();
        News { tables, notices, status: told.status(&self.id), is_cut: cursor.tables < end }
    }

    fn line_of(&self, report: &ItemReport) -> TableLine {
        TableLine::of(report, self.spec.as_named(&report.keys_file))
    }
}

impl Told {
    fn status(&self, id: &str) -> RequestStatus {
        let (state, summary, error) = match &self.outcome {
            None if self.progress.is_none() => (RequestState::Queued, None, None),
            None => (RequestState::Running, None, None),
            Some(Outcome::Ran(summary, ExitClass::Cancelled)) => {
                (RequestState::Cancelled, Some(summary.clone()), None)
            }
            Some(Outcome::Ran(summary, _)) => (RequestState::Done, Some(summary.clone()), None),
            Some(Outcome::Refused(error)) => (RequestState::Failed, None, Some(error.clone())),
        };
        RequestStatus { id: id.to_owned(), state, progress: self.progress.clone(), summary, error }
    }
}
