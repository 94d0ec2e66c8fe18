//! What the daemon tells while it serves, and how.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use tracing::{Level, warn};
use tracing_subscriber::fmt;

use crate::terminal::{Terminal, printable};

/// Writes events, each of which is a line, whatever names of files are in it.
struct Lines;

impl Write for Lines {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = printable(text.trim_end_matches('\n')) + "\n";
        io::stderr().lock().write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is told on standard error.
#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct LogOptions {
    /// What is told on standard error; off leaves what somebody should look at
    #[arg(long, value_enum, default_value_t = LogLevel::Off)]
    log: LogLevel,
    /// Lines for people, or JSON objects
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogLevel {
    /// Nothing but notices
    Off,
    /// What cannot go on
    Error,
    /// Also what went wrong, and notices
    Warn,
    /// Also requests: accepted, begun, ended
    Info,
    /// Also key files and answers
    Debug,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Lines for people
    Text,
    /// JSON objects, one a line
    Json,
}

impl LogOptions {
    /// Tells events of the program from now on.
    ///
    /// # Panics
    /// If it was called before.
    pub(crate) fn begin(&self) {
        let Some(level) = self.level() else { return };
        let lines = fmt().with_max_level(level).with_writer(|| Lines).with_target(false);
        // They are told by `eprintln!`, which panics where standard error takes nothing.
        let lines = lines.log_internal_errors(false);
        match self.log_format {
            LogFormat::Text => lines.with_ansi(false).init(),
            LogFormat::Json => lines.json().flatten_event(true).init(),
        }
    }

    /// Tells something that somebody should look at: as a line of the log, where there is one.
    pub(crate) fn notice(&self, terminal: &Terminal, notice: &str) {
        match self.level() {
            None => terminal.note(notice),
            Some(_) => warn!("{notice}"),
        }
    }

    const fn level(&self) -> Option<Level> {
        match self.log {
            LogLevel::Off => None,
            LogLevel::Error => Some(Level::ERROR),
            LogLevel::Warn => Some(Level::WARN),
            LogLevel::Info => Some(Level::INFO),
            LogLevel::Debug => Some(Level::DEBUG),
        }
    }
}
