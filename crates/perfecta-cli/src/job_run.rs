//! Runs a job and shows what it tells: the part that `create`, `bulk-create` and `verify` share.

use std::path::{Path, PathBuf};

use clap::Args;
use perfecta_jobs::{
    Artifacts, DryRun, Event, ExitClass, Job, JobError, Machine, MachineError, MachineOptions,
    Runtime, Tracer,
};

use crate::complaints::{Complaints, ErrorsTold};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job_options::JobOptions;
use crate::progress::ProgressChoice;
use crate::reporter::{Finished, Reporter};
use crate::signals::Signals;
use crate::terminal::Terminal;
use crate::trace::TraceFile;
use crate::work_options::WorkOptions;
use crate::{json, text};

/// What is shown while work goes on.
#[derive(Debug, Args)]
#[command(next_help_heading = "Display")]
pub(crate) struct DisplayOptions {
    /// One JSON object a line on standard output, for every table and for the end
    #[arg(long)]
    pub(crate) json: bool,
    /// Progress on standard error
    #[arg(long, value_enum, default_value_t = ProgressChoice::Auto)]
    pub(crate) progress: ProgressChoice,
    /// Errors of tables that are told on standard error; the others are counted
    #[arg(long, value_name = "N|all", default_value = "20", value_parser = ErrorsTold::parse)]
    pub(crate) errors: ErrorsTold,
}

impl DisplayOptions {
    /// Where all errors of tables are told, in a sentence.
    pub(crate) const fn where_all_errors(&self) -> &'static str {
        if self.json {
            "the lines on standard output tell of each"
        } else {
            "--errors all tells of each, as do the lines of --json"
        }
    }
}

/// What a run has that this program does itself.
#[derive(Debug, Args)]
pub(crate) struct DirectOptions {
    /// Say what would be built and written, and do nothing; keys, and what lies in the places of tables, are not
    /// looked at, nor whether --max-output-bytes or --deadline would end it
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) work: WorkOptions,
    /// Write what every worker did, and when, to FILE, for chrome://tracing or ui.perfetto.dev;
    /// an earlier trace there is replaced, anything else is not
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// A job with everything that it runs with.
pub(crate) struct JobRun<'a> {
    job: &'a Job,
    artifacts: Artifacts,
    notice: Option<&'static str>,
    machine: MachineOptions,
    display: &'a DisplayOptions,
    trace: Option<&'a Path>,
}

impl<'a> JobRun<'a> {
    /// A run of `job` by `options`.
    pub(crate) fn new(job: &'a Job, options: &'a JobOptions, direct: &'a DirectOptions) -> Self {
        Self {
            job,
            artifacts: options.artifacts(),
            notice: options.notice(),
            machine: direct.work.machine(job.limits.memory_bytes_max),
            display: &options.display,
            trace: direct.trace.as_deref(),
        }
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// [`Failure`] if the job as a whole could not run.
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Finished, Failure> {
        let signals = Signals::catch()?;
        let machine = Machine::start(&self.machine).map_err(|error| machine_failure(&error))?;
        let trace = self.trace.map(|file| TraceFile::create(file, &self.job.inputs)).transpose()?;
        let mut reporter = Reporter::new(terminal, self.display);
        let notices = machine.notices().iter().map(String::as_str);
        notices.chain(self.notice).for_each(|notice| reporter.notice(notice));
        let runtime = Runtime {
            engines: &machine,
            tracer: trace.as_ref().map(|trace| trace as &dyn Tracer),
            ..runtime(&self.artifacts, &signals)
        };
        let threads_max = threads_max(machine.threads_max(self.machine.workers.get()));
        let outcome = perfecta_jobs::run(self.job, &runtime, &mut reporter);
        // Whole, whatever becomes of the run.
        let closed = trace.map_or(Ok(()), TraceFile::close);
        let finished = reporter.finish(outcome, threads_max, &signals)?;
        closed.map(|()| finished)
    }

    /// Says what it would do, on a machine that it could be done on.
    ///
    /// # Errors
    /// As [`Self::run`], or if standard output takes nothing.
    pub(crate) fn say_plan(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let plan = self.dry_run(terminal)?;
        let exit = plan.exit_class().into();
        let mut complaints = Complaints::up_to(self.display.errors);
        let refused = plan.refused.iter();
        let lines = refused
            .flat_map(|(path, error)| complaints.of(&path.to_string_lossy(), &error.into()))
            .collect::<Vec<_>>();
        let rest = complaints.rest(self.display.where_all_errors());
        plan.notices.iter().chain(&lines).chain(&rest).for_each(|line| terminal.note(line));
        if self.display.json {
            terminal.say(&json::dry_run_line(&plan, exit))?;
        } else {
            terminal.say(&text::plan(&plan))?;
        }
        Ok(exit)
    }

    fn dry_run(&self, terminal: &Terminal) -> Result<DryRun, Failure> {
        let signals = Signals::catch()?;
        let machine = Machine::start(&self.machine).map_err(|error| machine_failure(&error))?;
        let runtime = Runtime { engines: &machine, ..runtime(&self.artifacts, &signals) };
        let mut observer = |event: &Event<'_>| {
            if let Event::Notice(notice) = event {
                terminal.note(notice);
            }
        };
        let plan = perfecta_jobs::dry_run(self.job, &runtime, &mut observer);
        let plan = plan.map_err(|error| job_failure(&error, &signals))?;
        let notices = machine.notices().iter().cloned().chain(self.notice.map(str::to_owned));
        Ok(DryRun { notices: notices.chain(plan.notices).collect(), ..plan })
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

pub(crate) fn machine_failure(error: &MachineError) -> Failure {
    let exit = match error {
        MachineError::Nodes(_) => Exit::USAGE,
        MachineError::Backend(_) | MachineError::Pool(_) => Exit::Work(ExitClass::Io),
    };
    Failure::new(exit, error.to_string()).with_remedy(error.remedy())
}

pub(crate) fn job_failure(error: &JobError, signals: &Signals) -> Failure {
    let failure = Failure::new(signals.exit(error.exit_class()), error.to_string());
    match error.remedy() {
        Some(remedy) => failure.with_remedy(remedy),
        None => failure,
    }
}
