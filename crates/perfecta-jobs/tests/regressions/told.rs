//! What a job of a session tells, held against itself at every event; and whether it comes to its end.

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use perfecta_jobs::{
    CancelFlag, Event, ItemReport, Job, JobError, Ledger, Renderer, Request, Status, Summary,
};

/// Does something that ends, on a thread of its own: what waits for ever fails.
pub(crate) fn to_its_end<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    /// Long enough for any machine: only a fault waits so long, and then for ever.
    const PATIENCE: Duration = Duration::from_secs(60);
    let (ends, end) = mpsc::channel();
    let thread = std::thread::spawn(move || drop(ends.send(work())));
    match end.recv_timeout(PATIENCE) {
        Ok(end) => end,
        Err(RecvTimeoutError::Timeout) => panic!("it never ends"),
        Err(RecvTimeoutError::Disconnected) => {
            resume_unwind(thread.join().expect_err("it would have told of its end"))
        }
    }
}

/// What a job told so far.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) started: Vec<PathBuf>,
    pub(crate) reports: Vec<ItemReport>,
    pub(crate) notices: Vec<String>,
    pub(crate) end: Option<Result<Summary, JobError>>,
    ledger: Ledger,
}

/// Where a job's events go.
#[derive(Clone, Default)]
pub(crate) struct Telling {
    told: Arc<Mutex<Told>>,
    pub(crate) cancel: CancelFlag,
}

impl Telling {
    /// A request that tells here.
    pub(crate) fn request<'a>(
        &self,
        job: Job,
        renderer: Option<Arc<dyn Renderer + 'a>>,
    ) -> Request<'a> {
        let (observed, ended) = (Arc::clone(&self.told), Arc::clone(&self.told));
        Request {
            job,
            renderer,
            cancel: self.cancel.clone(),
            observer: Box::new(move |event: &Event<'_>| observed.lock().unwrap().take(event)),
            on_end: Box::new(move |end| ended.lock().unwrap().end(end)),
        }
    }

    pub(crate) fn with<R>(&self, look: impl FnOnce(&Told) -> R) -> R {
        look(&self.told.lock().unwrap())
    }

    /// Observers and ends that are still kept somewhere.
    pub(crate) fn num_listeners(&self) -> usize {
        Arc::strong_count(&self.told) - 1
    }

    pub(crate) fn told(&self) -> Told {
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

impl Told {
    pub(crate) fn summary(&self) -> &Summary {
        self.end.as_ref().expect("it ended").as_ref().expect("it ran")
    }

    pub(crate) fn report(&self, name: &str) -> &ItemReport {
        let found = self.reports.iter().find(|report| report.keys_file.ends_with(name));
        found.unwrap_or_else(|| panic!("nothing was told of {name}"))
    }

    fn take(&mut self, event: &Event<'_>) {
        assert!(self.end.is_none(), "told after the end: {event:?}");
        match event {
            Event::Planned(progress) | Event::Searching(progress) => self.counts(&progress.ledger),
            Event::Started { keys_file, .. } => self.started.push(keys_file.to_path_buf()),
            Event::Settled { report, progress } => {
                let is_new = self.reports.iter().all(|told| told.keys_file != report.keys_file);
                assert!(is_new, "{} settles twice", report.keys_file.display());
                self.reports.push((*report).clone());
                self.counts(&progress.ledger);
            }
            Event::Notice(notice) => self.notices.push((*notice).to_owned()),
        }
    }

    /// No count goes back, no item is in two places, and what is told is what is counted.
    fn counts(&mut self, ledger: &Ledger) {
        assert_eq!(ledger.queued() + ledger.running() + ledger.settled(), ledger.admitted());
        let before = std::mem::replace(&mut self.ledger, ledger.clone());
        for count in [Ledger::ok, Ledger::unchanged, Ledger::failed, Ledger::cancelled] {
            assert!(count(&before) <= count(ledger), "{before:?}, then {ledger:?}");
        }
        assert!(before.admitted() == 0 || before.admitted() == ledger.admitted());
        // Refused items are told one by one, and counted before.
        assert!(self.reports.len() <= ledger.settled() as usize, "{ledger:?}");
    }

    fn end(&mut self, end: Result<Summary, JobError>) {
        assert!(self.end.is_none(), "it ends twice");
        if let Ok(summary) = &end {
            let count = |status| {
                self.reports.iter().filter(|report| report.status == status).count() as u32
            };
            let counted = [summary.ok, summary.unchanged, summary.failed, summary.cancelled];
            let told = [Status::Ok, Status::Unchanged, Status::Failed, Status::Cancelled];
            assert_eq!(counted, told.map(count));
            assert_eq!(counted.iter().sum::<u32>(), summary.tables);
            assert!(
                self.reports.iter().all(|it| (it.status == Status::Failed) == it.error.is_some())
            );
        }
        self.end = Some(end);
    }
}
