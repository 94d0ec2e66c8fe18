//! `perfecta create`: one table from one key file.

use std::path::PathBuf;

use clap::Args;
use perfecta_jobs::Inputs;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::job_options::JobOptions;
use crate::job_run::JobRun;
use crate::terminal::Terminal;
use crate::text;

/// Build one table from one key file, and publish it as DIRECTORY/NAME/.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The key file
    keys: PathBuf,
    /// Directory that the table's directory is made in
    directory: Option<PathBuf>,
    #[command(flatten)]
    options: JobOptions,
}

impl Create {
    /// Runs a job of one item.
    ///
    /// # Errors
    /// [`Failure`] if it could not be begun, or there is no table.
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let job =
            self.options.job(Inputs::Files(vec![self.keys.clone()]), self.directory.clone())?;
        let finished = JobRun::new(&job, &self.options).run(terminal)?;
        match &finished.only_report {
            Some(report) if !self.options.display.json && report.error.is_none() => {
                finished.after(text::table_facts(terminal, report))
            }
            Some(_) | None => Ok(finished.exit),
        }
    }
}
