//! Runs a job and shows what it tells: the part that `create`, `bulk-create` and `verify` share.

use std::io;
use std::sync::Arc;

use clap::Args;
use perfecta_jobs::{
    Artifacts, CancelFlag, DryRun, Event, ItemReport, Job, JobError, Observer, Runtime, Status,
    Summary,
};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::failure::Failure;
use crate::job_options::OutputOptions;
use crate::json;
use crate::progress::{Display, ProgressChoice};
use crate::terminal::Terminal;

/// What is shown while work goes on.
#[derive(Debug, Args)]
#[command(next_help_heading = "Display")]
pub(crate) struct DisplayOptions {
    /// One JSON object a line on standard output, for every table and for the end
    #[arg(long)]
    pub(crate) json: bool,
    /// Progress on standard error
    #[arg(long, value_enum, default_value_t = ProgressChoice::Auto)]
    progress: ProgressChoice,
}

/// A job with everything that it runs with.
pub(crate) struct JobRun<'a> {
    job: &'a Job,
    artifacts: Artifacts,
    display: &'a DisplayOptions,
}

impl<'a> JobRun<'a> {
    /// A run of `job` that emits what `output` says.
    pub(crate) fn new(job: &'a Job, output: &OutputOptions, display: &'a DisplayOptions) -> Self {
        Self { job, artifacts: output.artifacts(), display }
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// [`Failure`] if the job as a whole could not run.
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Finished, Failure> {
        let runtime = runtime(&self.artifacts)?;
        let mut reporter = Reporter::new(terminal, self.display);
        let outcome = perfecta_jobs::run(self.job, &runtime, &mut reporter);
        reporter.finish(outcome)
    }

    /// What it would do.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(crate) fn dry_run(&self) -> Result<DryRun, Failure> {
        let runtime = runtime(&self.artifacts)?;
        perfecta_jobs::dry_run(self.job, &runtime).map_err(|error| job_failure(&error))
    }
}

/// What jobs run with here: blocking I/O, the system's clock, and signals that cancel.
///
/// The first Ctrl-C (or SIGTERM) asks the job to stop; the second ends the program at once.
///
/// # Errors
/// [`Failure`] if a signal cannot be caught.
pub(crate) fn runtime(artifacts: &Artifacts) -> Result<Runtime<'_>, Failure> {
    let cancel = CancelFlag::default();
    for signal in [SIGINT, SIGTERM] {
        register(signal, &cancel).map_err(|error| {
            Failure::new(perfecta_jobs::ExitClass::Internal, format!("signals: {error}"))
        })?;
    }
    Ok(Runtime::new(Some(artifacts), cancel))
}

fn register(signal: i32, cancel: &CancelFlag) -> io::Result<()> {
    let flag: Arc<std::sync::atomic::AtomicBool> = cancel.flag();
    signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&flag))?;
    signal_hook::flag::register(signal, flag)?;
    Ok(())
}

/// What a run came to.
pub(crate) struct Finished {
    /// The whole of it.
    pub(crate) summary: Summary,
    /// The item's report, if it was just one.
    pub(crate) only_report: Option<ItemReport>,
}

/// Shows events as they come.
pub(crate) struct Reporter<'a> {
    terminal: &'a Terminal,
    json: bool,
    display: Display,
    only_report: Option<ItemReport>,
    /// Why standard output takes no more, if it does not; the job goes on all the same.
    broken: Option<Failure>,
}

impl Observer for Reporter<'_> {
    fn observe(&mut self, event: &Event<'_>) {
        match event {
            Event::Planned(progress) | Event::Searching(progress) => self.display.show(progress),
            Event::Started { .. } => {}
            Event::Settled { report, progress } => {
                self.report(report);
                if progress.ledger.admitted() == 1 {
                    self.only_report = Some((*report).clone());
                }
                self.display.show(progress);
            }
            Event::Notice(notice) => self.display.note(notice),
        }
    }
}

impl<'a> Reporter<'a> {
    /// A reporter that follows `options`.
    pub(crate) fn new(terminal: &'a Terminal, options: &DisplayOptions) -> Self {
        let display = Display::new(options.progress);
        Self { terminal, json: options.json, display, only_report: None, broken: None }
    }

    fn report(&mut self, report: &ItemReport) {
        if self.json {
            self.say(&json::table_line(report));
        }
        if report.status == Status::Failed
            && let Some(error) = &report.error
        {
            let remedy = error.remedy().map(|remedy| format!("\n  help: {remedy}"));
            let path = report.keys_file.display();
            self.display.note(&format!("error: {path}: {error}{}", remedy.unwrap_or_default()));
        }
    }

    fn say(&mut self, line: &str) {
        if self.broken.is_none() {
            self.broken = self.terminal.say(line).err();
        }
    }

    /// Ends the display, and the lines of a run that came to its end.
    ///
    /// # Errors
    /// [`Failure`] if the job could not run, or standard output did not take all lines.
    pub(crate) fn finish(
        mut self,
        outcome: Result<Summary, JobError>,
    ) -> Result<Finished, Failure> {
        self.display.clear();
        let summary = outcome.map_err(|error| job_failure(&error))?;
        if self.json {
            self.say(&json::summary_line(&summary));
        }
        match self.broken {
            Some(failure) => Err(failure),
            None => Ok(Finished { summary, only_report: self.only_report }),
        }
    }
}

fn job_failure(error: &JobError) -> Failure {
    let failure = Failure::new(error.exit_class(), error.to_string());
    match error.remedy() {
        Some(remedy) => failure.with_remedy(remedy),
        None => failure,
    }
}
