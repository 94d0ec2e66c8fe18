//! Shows what is told of a job, whoever does it: this program, or a daemon.

use std::path::{Path, PathBuf};

use perfecta_jobs::{Event, ExitClass, JobError, Observer, Summary};
use perfecta_server::{ProgressLine, SummaryLine, TableLine};

use crate::complaints::Complaints;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job_run::{DisplayOptions, job_failure};
use crate::progress::Display;
use crate::signals::Signals;
use crate::terminal::Terminal;
use crate::{json, text};

/// What a run came to.
pub(crate) struct Finished {
    /// The whole of it.
    pub(crate) summary: SummaryLine,
    /// How the program ends.
    pub(crate) exit: Exit,
    /// The item's line, if it was just one.
    pub(crate) only_table: Option<TableLine>,
    /// Where a daemon published it, absolute.
    pub(crate) output: Option<PathBuf>,
}

impl Finished {
    /// What is said where not all was done and that is no table's fault: time was over, or somebody
    /// asked for the end. `left` says what there is of `subject`.
    pub(crate) fn early_end(&self, subject: &str, left: &str) -> Option<Failure> {
        const CANCELLED: u8 = ExitClass::Cancelled.code();
        const EXPIRED: u8 = ExitClass::Expired.code();
        let (reason, remedy) = match self.exit {
            Exit::Work(ExitClass::Expired) | Exit::Told(EXPIRED) => {
                ("not done in time", Some("give it more time (--deadline)"))
            }
            Exit::Work(ExitClass::Cancelled) | Exit::Told(CANCELLED) => ("cancelled", None),
            Exit::Terminated => ("cancelled by SIGTERM", None),
            Exit::HungUp => ("cancelled by SIGHUP", None),
            Exit::NoServer
            | Exit::VersionMismatch
            | Exit::Silent
            | Exit::Told(_)
            | Exit::Work(_) => return None,
        };
        let failure = Failure::new(self.exit, format!("{subject}{reason}: {left}"));
        Some(match remedy {
            Some(remedy) => failure.with_remedy(remedy),
            None => failure,
        })
    }

    /// Where a daemon published, if that is not the directory that was `named`.
    pub(crate) fn elsewhere(&self, named: Option<&Path>) -> Option<&Path> {
        let named = named.and_then(|named| std::path::absolute(named).ok());
        self.output.as_deref().filter(|output| named.as_deref() != Some(*output))
    }

    /// Says why a run of several tables ended before all of them were done, if it did.
    pub(crate) fn tell_undone(&self, terminal: &Terminal) {
        let undone = text::counted(u64::from(self.summary.cancelled), "table");
        let early_end = self.early_end("", &format!("{undone} not done; what is published stays"));
        early_end.iter().for_each(|failure| terminal.complain(failure));
    }

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
    only_table: Option<TableLine>,
    complaints: Complaints,
    /// Where all errors are told, in a sentence.
    where_all: String,
    /// Why standard output takes no more, if it does not; the job goes on all the same.
    broken: Option<Failure>,
}

impl Observer for Reporter<'_> {
    fn observe(&mut self, event: &Event<'_>) {
        match event {
            Event::Planned(progress) | Event::Searching(progress) => {
                self.display.show(|| (*progress).into());
            }
            Event::Started { .. } => {}
            Event::Settled { report, progress } => {
                let is_only = progress.ledger.admitted() == 1;
                if self.json || is_only || report.error.is_some() {
                    let table = TableLine::of(report, &report.keys_file);
                    if self.json {
                        self.say(&json::table_line(&table));
                    }
                    self.table(table, is_only);
                }
                self.display.show(|| (*progress).into());
            }
            Event::Notice(notice) => self.notice(notice),
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
            only_table: None,
            complaints: Complaints::up_to(options.errors),
            where_all: options.where_all_errors().to_owned(),
            broken: None,
        }
    }

    /// The same, for a request of a daemon, which can be asked again.
    pub(crate) fn of_request(mut self, id: &str) -> Self {
        if !self.json {
            self.where_all = format!("`perfecta client wait {id} --errors all` tells of each");
        }
        self
    }

    /// Shows where the job is.
    pub(crate) fn progress(&self, progress: ProgressLine) {
        self.display.show(|| progress);
    }

    /// Shows something that the user should know.
    pub(crate) fn notice(&self, notice: &str) {
        self.display.note(notice);
    }

    /// Shows what came of a table, but its line.
    pub(crate) fn table(&mut self, table: TableLine, is_only: bool) {
        // What a later daemon calls a failure otherwise is one.
        let is_failed = !matches!(table.status.as_str(), "ok" | "unchanged" | "cancelled");
        if let Some(error) = table.error.as_ref().filter(|_| is_failed) {
            let lines = self.complaints.of(&table.keys_file, error);
            lines.iter().for_each(|line| self.display.note(line));
        }
        if is_only {
            self.only_table = Some(table);
        }
    }

    /// Prints a line of the result.
    pub(crate) fn say(&mut self, line: &str) {
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
        self.clear();
        let summary = outcome.map_err(|error| job_failure(&error, signals))?;
        let exit = signals.exit(summary.exit_class());
        self.end(SummaryLine::of(&summary, json::process_use(threads_max), exit.code()), exit)
    }

    /// Takes the display away, and tells what is left.
    pub(crate) fn clear(&mut self) {
        let rest = self.complaints.rest(&self.where_all);
        rest.iter().for_each(|line| self.display.note(line));
        self.display.clear();
    }

    /// Says the last line.
    ///
    /// # Errors
    /// [`Failure`] if standard output did not take all lines.
    pub(crate) fn end(mut self, summary: SummaryLine, exit: Exit) -> Result<Finished, Failure> {
        if self.json {
            self.say(&json::summary_line(&summary));
        }
        let finished = Finished { summary, exit, only_table: self.only_table, output: None };
        finished.after(self.broken.map_or(Ok(()), Err))?;
        Ok(finished)
    }
}
