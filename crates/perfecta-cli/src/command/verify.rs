//! `perfecta verify`: are published tables what they should be?

use std::path::PathBuf;

use clap::Args;
use perfecta_emit::ArtifactKinds;
use perfecta_io::topology::NodeSelection;
use perfecta_jobs::{Artifacts, Inputs, Limits, SelfTest, Verification, verify};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::job_options::InputOptions;
use crate::job_run::{self, DisplayOptions};
use crate::reporter::Reporter;
use crate::selection::SelectionOptions;
use crate::signals::Signals;
use crate::terminal::Terminal;
use crate::work_options::{MemoryOptions, ThreadOptions};
use crate::{machine, text};

/// Check published tables: manifests, content hashes and, with --keys, the index of every key in a table
/// file or a pack. Source alone is checked by its hashes.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A directory that tables were published into, or that of one table
    directory: PathBuf,
    /// The directory of key files (or the key file) that they were built from: every table needs its own
    #[arg(long, value_name = "DIR", conflicts_with = "files_from")]
    keys: Option<PathBuf>,
    #[command(flatten)]
    selection: SelectionOptions,
    #[command(flatten)]
    input: InputOptions,
    #[command(flatten, next_help_heading = "Work")]
    threads: ThreadOptions,
    #[command(flatten, next_help_heading = "Limits")]
    memory: MemoryOptions,
    #[command(flatten)]
    display: DisplayOptions,
}

impl Verify {
    /// Checks.
    ///
    /// # Errors
    /// [`Failure`] if there is nothing to check.
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let verification = Verification {
            directory: self.directory.clone(),
            keys: self.key_files()?,
            key_options: self.input.checked(),
            limits: Limits {
                threads: self.threads.count(&NodeSelection::All),
                cpus: machine::cpus(&NodeSelection::All),
                memory_bytes_max: self.memory.bytes_max(),
                ..Limits::default()
            },
        };
        let artifacts = Artifacts::new(ArtifactKinds::all(), SelfTest::FromFile);
        let signals = Signals::catch()?;
        let runtime = job_run::runtime(&artifacts, &signals);
        let mut reporter = Reporter::new(terminal, &self.display);
        let outcome = verify(&verification, &runtime, &mut reporter);
        let threads_max = job_run::threads_max(verification.limits.threads.get());
        let finished = reporter.finish(outcome, threads_max, &signals)?;
        if self.display.json {
            return Ok(finished.exit);
        }
        finished.after(text::summary(terminal, &finished.summary, "checked"))
    }

    fn key_files(&self) -> Result<Option<Inputs>, Failure> {
        let is_directory = self.keys.as_ref().is_some_and(|keys| !keys.is_file());
        if self.selection.has_names() && !is_directory {
            let message =
                "--include and --exclude choose among the files of a directory, which --keys names";
            return Err(Failure::usage(message));
        }
        match &self.keys {
            None => self.selection.listed(),
            Some(root) if is_directory => {
                let names = self.selection.names(&self.input)?;
                Ok(Some(Inputs::Tree { root: root.clone(), names }))
            }
            Some(file) => Ok(Some(Inputs::Files(vec![file.clone()]))),
        }
    }
}
