//! `perfecta bulk-create`: tables for all key files of a directory.

use std::path::PathBuf;

use clap::Args;
use perfecta_jobs::{DryRun, Inputs, Job};

use crate::complaints::Complaints;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job_options::JobOptions;
use crate::job_run::{DirectOptions, JobRun};
use crate::progress::thousands;
use crate::reporter::Finished;
use crate::selection::SelectionOptions;
use crate::terminal::Terminal;
use crate::text::counted;
use crate::work_options::WorkOptions;
use crate::{json, text};

/// Build a table for every key file below a directory, and publish them below OUT.
///
/// One bad or unsolvable key file does not stop the others. An interrupted run is resumed by
/// running it again: tables that are there and would come out the same are left alone.
#[derive(Debug, Args)]
pub(crate) struct BulkCreate {
    #[command(flatten)]
    request: BulkRequest,
    /// Say what would be built and written, and do nothing; keys, and what lies in the places of tables, are not
    /// looked at, nor whether --max-output-bytes or --deadline would end it
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    direct: DirectOptions,
}

/// What is asked for, of whoever does it.
#[derive(Debug, Args)]
pub(crate) struct BulkRequest {
    /// The directory of key files; with --files-from, just OUT is given
    #[arg(required_unless_present = "files_from")]
    keys: Option<PathBuf>,
    /// Directory to publish into
    out: Option<PathBuf>,
    #[command(flatten)]
    selection: SelectionOptions,
    #[command(flatten)]
    pub(crate) options: JobOptions,
}

impl BulkCreate {
    /// Runs the job.
    ///
    /// # Errors
    /// [`Failure`] if it could not be begun.
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let job = self.request.job(Some(&self.direct.work))?;
        let job_run = JobRun::new(&job, &self.request.options, &self.direct);
        if self.dry_run {
            return self.say_plan(terminal, &job_run.dry_run()?);
        }
        self.request.tell(terminal, &job_run.run(terminal)?)
    }

    fn say_plan(&self, terminal: &Terminal, plan: &DryRun) -> Result<Exit, Failure> {
        let (exit, display) = (plan.exit_class().into(), &self.request.options.display);
        let mut complaints = Complaints::up_to(display.errors);
        let refused = plan.refused.iter();
        let lines = refused
            .flat_map(|(path, error)| complaints.of(&path.to_string_lossy(), &error.into()))
            .collect::<Vec<_>>();
        let rest = complaints.rest(display.where_all_errors());
        plan.notices.iter().chain(&lines).chain(&rest).for_each(|line| terminal.note(line));
        if display.json {
            terminal.say(&json::dry_run_line(plan, exit))?;
        } else {
            terminal.say(&format!(
                "{}, {}; about {}, {} bytes",
                counted(u64::from(plan.tables), "table"),
                counted(plan.keys, "key"),
                counted(plan.files, "file"),
                thousands(plan.bytes)
            ))?;
        }
        Ok(exit)
    }
}

impl BulkRequest {
    /// The job, for these workers or for a daemon.
    ///
    /// # Errors
    /// [`Failure`] where options contradict each other.
    pub(crate) fn job(&self, work: Option<&WorkOptions>) -> Result<Job, Failure> {
        let (inputs, directory) = self.inputs()?;
        self.options.job(inputs, directory, work)
    }

    /// Tells people of the end.
    ///
    /// # Errors
    /// [`Failure`] if standard output takes nothing.
    pub(crate) fn tell(&self, terminal: &Terminal, finished: &Finished) -> Result<Exit, Failure> {
        finished.tell_undone(terminal);
        if self.options.display.json {
            return Ok(finished.exit);
        }
        finished.after(text::summary(terminal, &finished.summary, "written"))
    }

    /// The key files, and the output directory.
    fn inputs(&self) -> Result<(Inputs, Option<PathBuf>), Failure> {
        if let Some(listed) = self.selection.listed()? {
            if self.out.is_some() {
                return Err(Failure::usage(
                    "with --files-from, only the output directory is given",
                ));
            }
            return Ok((listed, self.keys.clone()));
        }
        let root = self.keys.clone().expect("clap requires it without --files-from");
        let names = self.selection.names(&self.options.input)?;
        Ok((Inputs::Tree { root, names }, self.out.clone()))
    }
}
