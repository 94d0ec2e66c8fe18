//! `--trace FILE`: what workers did, and when, as Chrome and Perfetto show it.
//!
//! A JSON array of complete events (`ph: X`), times in microseconds since the run began. A worker has
//! a track for each item that it has in hand at once, so that events of a track never overlap.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use perfecta_io::{Clock, SystemClock};
use perfecta_jobs::{Span, Tracer};
use serde::Serialize;

use crate::failure::Failure;

/// Writes spans to a file.
pub(crate) struct TraceFile {
    path: PathBuf,
    begun: std::time::Duration,
    state: Mutex<State>,
}

struct State {
    file: BufWriter<File>,
    is_first: bool,
    /// The first thing that went wrong: the run goes on without a trace.
    broken: Option<io::Error>,
}

#[derive(Serialize)]
struct Event<'a> {
    name: &'a str,
    cat: &'a str,
    ph: &'a str,
    ts: f64,
    dur: f64,
    pid: usize,
    tid: usize,
    args: Arguments<'a>,
}

#[derive(Serialize)]
struct Arguments<'a> {
    keys_file: &'a str,
}

impl TraceFile {
    /// A new file, in place of one that is there.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be made.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let file =
            File::create(path).map_err(|error| Failure::io("create the trace", path, &error))?;
        let file = BufWriter::new(file);
        let state = Mutex::new(State { file, is_first: true, broken: None });
        Ok(Self { path: path.to_owned(), begun: SystemClock.now(), state })
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`Failure`] if not all of it could be written.
    pub(crate) fn close(self) -> Result<(), Failure> {
        let State { mut file, is_first, broken } =
            self.state.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let opening = if is_first { "[" } else { "" };
        let ended = broken.map_or(Ok(()), Err).and_then(|()| {
            writeln!(file, "{opening}\n]")?;
            file.flush()
        });
        ended.map_err(|error| Failure::io("write the trace", &self.path, &error))
    }
}

impl Tracer for TraceFile {
    fn span(&self, span: &Span<'_>) {
        let micros = |time: std::time::Duration| time.as_secs_f64() * 1e6;
        let event = Event {
            name: span.name,
            cat: "item",
            ph: "X",
            ts: micros(span.begun.saturating_sub(self.begun)),
            dur: micros(span.ended.saturating_sub(span.begun)),
            pid: 1,
            tid: span.worker * 1000 + span.slot,
            args: Arguments { keys_file: &span.keys_file.to_string_lossy() },
        };
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.broken.is_none()
            && let Err(error) = state.write(&event)
        {
            state.broken = Some(error);
        }
    }
}

impl State {
    fn write(&mut self, event: &Event<'_>) -> io::Result<()> {
        let separator: &[u8] = if self.is_first { b"[\n" } else { b",\n" };
        self.file.write_all(separator)?;
        self.is_first = false;
        serde_json::to_writer(&mut self.file, event).map_err(io::Error::from)
    }
}
