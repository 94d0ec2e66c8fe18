//! `perfecta create`: one table from one key file.

use std::path::PathBuf;

use clap::Args;
use perfecta_jobs::Inputs;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::job_options::{InputOptions, JobOptions, LimitOptions, OutputOptions, SearchOptions};
use crate::job_run::{DisplayOptions, JobRun};
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
    input: InputOptions,
    #[command(flatten)]
    search: SearchOptions,
    #[command(flatten)]
    output: OutputOptions,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    display: DisplayOptions,
}

impl Create {
    /// Runs a job of one item.
    ///
    /// # Errors
    /// [`Failure`] if it could not be begun, or there is no table.
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let options = JobOptions {
            input: &self.input,
            search: &self.search,
            output: &self.output,
            limits: &self.limits,
        };
        let job = options.job(Inputs::Files(vec![self.keys.clone()]), self.directory.clone())?;
        let finished = JobRun::new(&job, &self.output, &self.display).run(terminal)?;
        match &finished.only_report {
            Some(report) if !self.display.json && report.error.is_none() => {
                finished.after(text::table_facts(terminal, report))
            }
            Some(_) | None => Ok(finished.exit),
        }
    }
}
