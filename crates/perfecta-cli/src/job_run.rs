//! Runs a job and shows what it tells: the part that `create`, `bulk-create` and `verify` share.

use std::path::{Path, PathBuf};

use clap::Args;
use perfecta_jobs::{
    Artifacts, CancelFlag, DryRun, Event, ExitClass, ItemError, ItemReport, Job, JobError, Machine,
    MachineError, MachineOptions, Observer, Runtime, Status, Summary, Tracer,
};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::job_options::JobOptions;
use crate::json;
use crate::progress::{Display, ProgressChoice};
use crate::signals::Signals;
use crate::terminal::Terminal;
use crate::text;
use crate::trace::TraceFile;

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
    /// Write what every worker did, and when, to FILE, for chrome://tracing or ui.perfetto.dev
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// A job with everything that it runs with.
pub(crate) struct JobRun<'a> {
    job: &'a Job,
    artifacts: Artifacts,
    machine: MachineOptions,
    display: &'a DisplayOptions,
}

impl<'a> JobRun<'a> {
    /// A run of `job` by `options`.
    pub(crate) fn new(job: &'a Job, options: &'a JobOptions) -> Self {
        Self {
            job,
            artifacts: options.artifacts(),
            machine: options.machine(job),
            display: &options.display,
        }
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// [`Failure`] if the job as a whole could not run.
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Finished, Failure> {
        let signals = Signals::catch()?;
        let machine = Machine::start(&self.machine).map_err(|error| machine_failure(&error))?;
        let trace = self.display.trace.as_deref().map(TraceFile::create).transpose()?;
        let mut reporter = Reporter::new(terminal, self.display);
        for notice in machine.notices() {
            reporter.observe(&Event::Notice(notice));
        }
        let runtime = Runtime {
            engines: &machine,
            tracer: trace.as_ref().map(|trace| trace as &dyn Tracer),
            ..runtime(&self.artifacts, &signals)
        };
        let threads_max = threads_max(machine.threads_max(self.machine.workers.get()));
        let outcome = perfecta_jobs::run(self.job, &runtime, &mut reporter);
        let finished = reporter.finish(outcome, threads_max, &signals)?;
        trace.map_or(Ok(()), TraceFile::close)?;
        Ok(finished)
    }

    /// What it would do.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(crate) fn dry_run(&self) -> Result<DryRun, Failure> {
        let runtime = Runtime::new(Some(&self.artifacts), CancelFlag::default());
        perfecta_jobs::dry_run(self.job, &runtime).map_err(|error| job_failure(&error))
    }
}

/// The most threads that the process has, the kernel's for it included, where `for_work` of them
/// work: the one of `main` waits for them.
pub(crate) const fn threads_max(for_work: usize) -> usize {
    1 + Signals::THREADS + for_work
}

/// What jobs run with here, beside a machine: the system's clock, and signals that cancel.
pub(crate) fn runtime<'a>(artifacts: &'a Artifacts, signals: &Signals) -> Runtime<'a> {
    Runtime::new(Some(artifacts), signals.cancel_flag())
}

/// What a run came to.
pub(crate) struct Finished {
    /// The whole of it.
    pub(crate) summary: Summary,
    /// How the program ends.
    pub(crate) exit: Exit,
    /// The item's report, if it was just one.
    pub(crate) only_report: Option<ItemReport>,
}

impl Finished {
    /// The program's end after its result was `said`: a reader that has gone away takes nothing
    /// from what came of the tables.
    ///
    /// # Errors
    /// [`Failure`] if standard output takes nothing.
    pub(crate) fn after(&self, said: Result<(), Failure>) -> Result<Exit, Failure> {
        match said {
            Err(failure) if failure.exit() != Exit::SUCCESS => Err(failure),
            Ok(()) | Err(_) => Ok(self.exit),
        }
    }
}

/// Shows events as they come.
pub(crate) struct Reporter<'a> {
    terminal: &'a Terminal,
    json: bool,
    display: Display,
    only_report: Option<ItemReport>,
    /// The error that was told last, if others may share it, and for how many tables it was not
    /// told again.
    shared: Option<(ItemError, u64)>,
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
        Self {
            terminal,
            json: options.json,
            display,
            only_report: None,
            shared: None,
            broken: None,
        }
    }

    fn report(&mut self, report: &ItemReport) {
        if self.json {
            self.say(&json::table_line(report));
        }
        if report.status == Status::Failed
            && let Some(error) = &report.error
        {
            self.complain(&report.keys_file, error);
        }
    }

    /// Prints an error; one that many tables share, with the first of them.
    fn complain(&mut self, keys_file: &Path, error: &ItemError) {
        if self.shared.as_ref().is_some_and(|(shared, _)| shared == error) {
            self.shared = self.shared.take().map(|(shared, count)| (shared, count + 1));
            return;
        }
        self.tell_repeated();
        if is_shared(error) {
            self.shared = Some((error.clone(), 0));
        }
        let subject = match error {
            ItemError::Input(error) if error.path == keys_file => String::new(),
            _ => format!("{}: ", keys_file.display()),
        };
        let remedy = error.remedy().map(|remedy| format!("\n  help: {remedy}"));
        self.display.note(&format!("error: {subject}{error}{}", remedy.unwrap_or_default()));
    }

    /// Says how many tables more failed for the reason that was told last.
    fn tell_repeated(&mut self) {
        if let Some((_, count @ 1..)) = self.shared.take() {
            let tables = text::counted(count, "table");
            self.display.note(&format!("error: {tables} more for the same reason"));
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
        threads_max: usize,
        signals: &Signals,
    ) -> Result<Finished, Failure> {
        self.tell_repeated();
        self.display.clear();
        let summary = outcome.map_err(|error| job_failure(&error))?;
        let exit = signals.exit(summary.exit_class());
        if self.json {
            self.say(&json::summary_line(&summary, threads_max, exit));
        }
        let finished = Finished { summary, exit, only_report: self.only_report };
        finished.after(self.broken.map_or(Ok(()), Err))?;
        Ok(finished)
    }
}

/// Whether an error is the output's, not the key file's: then others may have it word by word.
const fn is_shared(error: &ItemError) -> bool {
    matches!(error, ItemError::Output(_) | ItemError::DiskFull(_) | ItemError::Damaged { .. })
}

fn machine_failure(error: &MachineError) -> Failure {
    let exit = match error {
        MachineError::Nodes(_) => Exit::Usage,
        MachineError::Backend(_) | MachineError::Pool(_) => Exit::Work(ExitClass::Io),
    };
    Failure::new(exit, error.to_string()).with_remedy(error.remedy())
}

fn job_failure(error: &JobError) -> Failure {
    let failure = Failure::new(error.exit_class(), error.to_string());
    match error.remedy() {
        Some(remedy) => failure.with_remedy(remedy),
        None => failure,
    }
}
