//! `perfecta bulk-create`: tables for all key files of a directory.

use std::path::{Path, PathBuf};

use clap::Args;
use perfecta_jobs::{Inputs, Job};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::job_options::JobOptions;
use crate::job_run::{DirectOptions, JobRun};
use crate::reporter::Finished;
use crate::selection::SelectionOptions;
use crate::terminal::{Terminal, printable};
use crate::text;
use crate::work_options::WorkOptions;

/// Build a table for every key file below a directory, and publish them below OUT.
///
/// One bad or unsolvable key file does not stop the others. An interrupted run is resumed by
/// running it again: tables that are there and would come out the same are left alone.
#[derive(Debug, Args)]
pub(crate) struct BulkCreate {
    #[command(flatten)]
    request: BulkRequest,
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
        if self.direct.dry_run {
            return job_run.say_plan(terminal);
        }
        self.request.tell(terminal, &job_run.run(terminal)?)
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
        finished.after(text::summary(terminal, &finished.summary, "written").and_then(|()| {
            let is_there = finished.summary.ok + finished.summary.unchanged > 0;
            let place = finished.elsewhere(self.directory()).filter(|_| is_there);
            place.map_or(Ok(()), |place| {
                terminal.say(&format!("path: {}", printable(&place.display().to_string())))
            })
        }))
    }

    /// The output directory, as it was named.
    fn directory(&self) -> Option<&Path> {
        let directory = if self.selection.is_list() { &self.keys } else { &self.out };
        directory.as_deref()
    }

    /// The key files, and the output directory.
    fn inputs(&self) -> Result<(Inputs, Option<PathBuf>), Failure> {
        let directory = self.directory().map(Path::to_owned);
        if let Some(listed) = self.selection.listed()? {
            if self.out.is_some() {
                return Err(Failure::usage(
                    "with --files-from, only the output directory is given",
                ));
            }
            return Ok((listed, directory));
        }
        let root = self.keys.clone().expect("clap requires it without --files-from");
        let names = self.selection.names(&self.options.input)?;
        Ok((Inputs::Tree { root, names }, directory))
    }
}
