//! What a job told, and whether it adds up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use perfecta_jobs::{
    CancelFlag, Event, ItemReport, Job, JobError, Ledger, Progress, Request, SearchReport, Status,
    Summary,
};

use super::common::PlainRenderer;
use super::draw::{Drawn, When};

/// What one job told so far.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) cancel: CancelFlag,
    pub(crate) cancel_at: Option<When>,
    account: Arc<Mutex<Account>>,
}

#[derive(Default)]
struct Account {
    /// Bounds what runs at once, where nothing is parked.
    running_max: Option<usize>,
    num_events: u64,
    ledger: Option<Ledger>,
    keys_done: u64,
    started: BTreeSet<PathBuf>,
    reports: BTreeMap<PathBuf, ItemReport>,
    is_disk_full: bool,
    ended: Option<Result<Summary, JobError>>,
}

impl Told {
    pub(crate) fn new(drawn: &Drawn, cancel_at: Option<When>) -> Self {
        let Job { output, share, .. } = &drawn.job;
        let running_max = output.is_none().then_some(share.files_in_flight_max.get());
        let account = Account { running_max, ..Account::default() };
        let account = Arc::new(Mutex::new(account));
        Self { cancel: CancelFlag::default(), cancel_at, account }
    }

    pub(crate) fn request(&self, job: &Job) -> Request<'static> {
        let (observed, ended) = (self.clone(), Arc::clone(&self.account));
        Request {
            job: job.clone(),
            renderer: Some(Arc::new(PlainRenderer { version: 1 })),
            cancel: self.cancel.clone(),
            observer: Box::new(move |event: &Event<'_>| observed.observe(event)),
            on_end: Box::new(move |outcome| {
                let before = ended.lock().ended.replace(outcome);
                assert!(before.is_none(), "a job ends twice");
            }),
        }
    }

    fn observe(&self, event: &Event<'_>) {
        let mut account = self.account.lock();
        account.observe(event, self.cancel.is_cancelled());
        if self.cancel_at == Some(When::Event(account.num_events)) {
            self.cancel.cancel();
        }
        account.num_events += 1;
    }

    /// The reports, by key file, without times.
    pub(crate) fn reports(&self) -> BTreeMap<PathBuf, ItemReport> {
        self.account.lock().reports.clone()
    }

    /// What ended it before its items.
    pub(crate) fn job_error(&self) -> Option<String> {
        let account = self.account.lock();
        let error = account.ended.as_ref().and_then(|ended| ended.as_ref().err());
        error.map(ToString::to_string)
    }

    /// Checks that a job that was asked for ended, and that its events are its summary.
    pub(crate) fn check_end(&self) {
        let account = self.account.lock();
        let Account { reports, started, ledger, ended, .. } = &*account;
        match ended.as_ref().expect("the job ended") {
            Err(_) => assert!(reports.is_empty() && started.is_empty(), "an error after items"),
            Ok(summary) => {
                let ledger = ledger.as_ref().expect("the items were told");
                assert_eq!(reports.len() as u32, ledger.admitted(), "items without an end");
                let count =
                    |status| reports.values().filter(|it| it.status == status).count() as u32;
                let told = (
                    reports.len() as u32,
                    count(Status::Ok),
                    count(Status::Unchanged),
                    count(Status::Failed),
                    count(Status::Cancelled),
                );
                let Summary { tables, ok, unchanged, failed, cancelled, .. } = *summary;
                assert_eq!(told, (tables, ok, unchanged, failed, cancelled));
                let is_there =
                    |it: &&ItemReport| matches!(it.status, Status::Ok | Status::Unchanged);
                let keys: u64 = reports.values().filter(is_there).map(|it| it.keys).sum();
                assert_eq!(keys, summary.keys);
                let bytes: u64 = reports.values().map(|it| it.bytes).sum();
                let files: u64 = reports.values().map(|it| u64::from(it.files)).sum();
                assert!(bytes <= summary.bytes, "{bytes} bytes in {summary:?}");
                assert!(summary.files == files || summary.files == 2, "{files} in {summary:?}");
                assert_eq!(summary.first_failure.is_some(), failed > 0);
            }
        }
    }
}

impl Account {
    fn observe(&mut self, event: &Event<'_>, is_cancelled: bool) {
        assert!(self.ended.is_none(), "{event:?} after the end");
        match event {
            Event::Planned(progress) => {
                assert!(self.ledger.is_none(), "planned twice");
                self.goes_on(progress);
            }
            Event::Started { keys_file, .. } => {
                assert!(self.ledger.is_some(), "begun before it was planned");
                assert!(self.started.insert((*keys_file).to_owned()), "begun twice");
                assert!(!self.reports.contains_key(*keys_file), "begun after its end");
                assert!(!is_cancelled, "{} was begun after a cancel", keys_file.display());
                assert!(!self.is_disk_full, "{} was begun on a full disk", keys_file.display());
                if let Some(running_max) = self.running_max {
                    let settled = |path: &&PathBuf| self.reports.contains_key(*path);
                    let running = self.started.len() - self.started.iter().filter(settled).count();
                    assert!(running <= running_max, "{running} at once");
                }
            }
            Event::Settled { report, progress } => {
                let mut report = (*report).clone();
                let timeless = |search| SearchReport { seconds: 0.0, ..search };
                report.search = report.search.map(timeless);
                // It tells of earlier jobs.
                report.replaces_other_options = false;
                assert_eq!(report.error.is_some(), report.status == Status::Failed, "{report:?}");
                let before = self.reports.insert(report.keys_file.clone(), report);
                assert!(before.is_none(), "settled twice");
                self.goes_on(progress);
                let ledger = &progress.ledger;
                assert!(ledger.settled() as usize >= self.reports.len(), "told and not counted");
            }
            Event::Searching(progress) => self.goes_on(progress),
            Event::Notice(notice) => {
                self.is_disk_full |= notice.starts_with("the disk is full");
                if let Some((path, _)) = notice.split_once(": worker ") {
                    self.check_open(Path::new(path));
                }
            }
        }
    }

    /// What is told to be stuck was begun and is not settled; what is no item is of the pack.
    fn check_open(&self, path: &Path) {
        let is_item = path.extension().is_some_and(|extension| extension != "phtpack");
        let is_open = self.started.contains(path) && !self.reports.contains_key(path);
        assert!(is_open || !is_item, "{} is not at work", path.display());
    }

    /// No count goes back.
    fn goes_on(&mut self, progress: &Progress) {
        let Progress { ledger, keys_done, keys_total, .. } = progress;
        assert_eq!(ledger.queued() + ledger.running() + ledger.settled(), ledger.admitted());
        assert!(self.keys_done <= *keys_done && keys_done <= keys_total, "{progress:?}");
        self.keys_done = *keys_done;
        let before = self.ledger.replace(ledger.clone());
        if let Some(before) = before {
            assert_eq!(before.admitted(), ledger.admitted());
            assert!(before.settled() <= ledger.settled(), "{before:?} became {ledger:?}");
            assert!(before.queued() >= ledger.queued(), "{before:?} became {ledger:?}");
        }
    }
}
