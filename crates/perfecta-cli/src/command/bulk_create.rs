//! `perfecta bulk-create`: tables for all key files of a directory.

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use clap::Args;
use perfecta_jobs::{DryRun, ExitClass, Inputs, Job, NameFilter};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::job_options::JobOptions;
use crate::job_run::{DirectOptions, JobRun};
use crate::progress::thousands;
use crate::reporter::Finished;
use crate::terminal::Terminal;
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
    /// Say what would be built and written, and do nothing
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
    /// Take only files of this name; can be given again [default: *.keys]
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// Leave out files of this name; can be given again
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Take the key files listed in FILE, one a line; - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["include", "exclude"])]
    files_from: Option<PathBuf>,
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
        if self.request.options.display.json {
            terminal.say(&json::dry_run_line(plan))?;
        } else {
            for (path, error) in &plan.refused {
                terminal.note(&format!("{}: {error}", path.display()));
            }
            terminal.say(&format!(
                "{} tables, {} keys; about {} files, {} bytes",
                thousands(u64::from(plan.tables)),
                thousands(plan.keys),
                thousands(plan.files),
                thousands(plan.bytes)
            ))?;
        }
        let refused = !plan.refused.is_empty();
        Ok(if refused { ExitClass::SomeFailed.into() } else { Exit::SUCCESS })
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
        if self.options.display.json {
            return Ok(finished.exit);
        }
        finished.after(text::summary(terminal, &finished.summary, "written"))
    }

    /// The key files, and the output directory.
    fn inputs(&self) -> Result<(Inputs, Option<PathBuf>), Failure> {
        if let Some(list) = &self.files_from {
            if self.out.is_some() {
                return Err(Failure::usage(
                    "with --files-from, only the output directory is given",
                ));
            }
            return Ok((Inputs::Files(read_list(list)?), self.keys.clone()));
        }
        let root = self.keys.clone().expect("clap requires it without --files-from");
        Ok((Inputs::Tree { root, names: self.name_filter()? }, self.out.clone()))
    }

    fn name_filter(&self) -> Result<NameFilter, Failure> {
        let filter = if self.include.is_empty() {
            NameFilter::new(self.options.input.default_patterns(), &to_strs(&self.exclude))
        } else {
            NameFilter::new(&self.include, &self.exclude)
        };
        filter.map_err(|error| Failure::usage(error.to_string()))
    }
}

fn to_strs(patterns: &[String]) -> Vec<&str> {
    patterns.iter().map(String::as_str).collect()
}

fn read_list(list: &Path) -> Result<Vec<PathBuf>, Failure> {
    let lines: io::Result<Vec<Vec<u8>>> = if list == Path::new("-") {
        io::stdin().lock().split(b'\n').collect()
    } else {
        std::fs::File::open(list).and_then(|file| io::BufReader::new(file).split(b'\n').collect())
    };
    let lines = lines.map_err(|error| Failure::io("read the list of key files", list, &error))?;
    let lines = lines.into_iter().map(without_carriage_return);
    let paths = lines.filter(|line| !line.is_empty()).map(path_of_bytes);
    let paths: Vec<PathBuf> = paths.collect();
    if paths.is_empty() {
        let message = format!("{}: the list names no key file", list.display());
        return Err(Failure::new(ExitClass::NothingMatched, message));
    }
    Ok(paths)
}

/// Lists also come from systems that end a line with two bytes.
fn without_carriage_return(mut line: Vec<u8>) -> Vec<u8> {
    line.pop_if(|last| *last == b'\r');
    line
}

#[cfg(unix)]
fn path_of_bytes(line: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    PathBuf::from(std::ffi::OsString::from_vec(line))
}

#[cfg(not(unix))]
fn path_of_bytes(line: Vec<u8>) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(&line))
}
