//! `perfecta create`: one table from one key file.

use std::path::PathBuf;

use clap::Args;
use perfecta_jobs::{Inputs, Job};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::job_options::JobOptions;
use crate::job_run::{DirectOptions, JobRun};
use crate::reporter::Finished;
use crate::terminal::Terminal;
use crate::text;
use crate::work_options::WorkOptions;

/// Build one table from one key file, and publish it as DIRECTORY/NAME/, or packed as
/// DIRECTORY/tables.packed/.
#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(flatten)]
    request: CreateRequest,
    #[command(flatten)]
    direct: DirectOptions,
}

/// What is asked for, of whoever does it.
#[derive(Debug, Args)]
pub(crate) struct CreateRequest {
    /// The key file: a regular one, no pipe and not standard input
    keys: PathBuf,
    /// Directory that the table's directory is made in
    directory: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) options: JobOptions,
}

impl Create {
    /// Runs a job of one item.
    ///
    /// # Errors
    /// [`Failure`] if it could not be begun, or there is no table.
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let job = self.request.job(Some(&self.direct.work))?;
        let run = JobRun::new(&job, &self.request.options, &self.direct);
        if self.direct.dry_run {
            return run.say_plan(terminal);
        }
        self.request.tell(terminal, &run.run(terminal)?)
    }
}

impl CreateRequest {
    /// The job, for these workers or for a daemon.
    ///
    /// # Errors
    /// [`Failure`] where options contradict each other.
    pub(crate) fn job(&self, work: Option<&WorkOptions>) -> Result<Job, Failure> {
        self.options.job(Inputs::Files(vec![self.keys.clone()]), self.directory.clone(), work)
    }

    /// Tells people of the table, if there is one.
    ///
    /// # Errors
    /// [`Failure`] if standard output takes nothing.
    pub(crate) fn tell(&self, terminal: &Terminal, finished: &Finished) -> Result<Exit, Failure> {
        let subject = format!("{}: ", self.keys.display());
        let early_end = finished.early_end(&subject, "there is no table, nothing was written");
        early_end.iter().for_each(|failure| terminal.complain(failure));
        match &finished.only_table {
            Some(table) if !self.options.display.json && table.error.is_none() => {
                let named = self.directory.as_deref();
                let directory = finished.elsewhere(named).or(named);
                let place = directory
                    .map(|directory| self.options.place_of(directory.to_owned(), &table.table));
                finished.after(text::table_facts(terminal, table, place.as_deref()))
            }
            Some(_) | None => Ok(finished.exit),
        }
    }
}
