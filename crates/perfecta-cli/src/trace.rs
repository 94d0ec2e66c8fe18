//! `--trace FILE`: what workers did, and when, as Chrome and Perfetto show it.
//!
//! A JSON array of complete events (`ph: X`), times in microseconds since the run began. A worker has
//! a track for each item that it has in hand at once, so that events of a track never overlap.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use perfecta_io::{Clock, SystemClock};
use perfecta_jobs::{ExitClass, Inputs, Span, Tracer};
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
    /// A new file, in place of an earlier trace if one is there, for a job on `inputs`.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be made, lies in what is read, or something else is in its place.
    pub(crate) fn create(path: &Path, inputs: &Inputs) -> Result<Self, Failure> {
        check_apart(path, inputs)?;
        let failed = |error| Failure::io("create the trace", path, &error);
        let file = match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => replaced(path)?,
            Ok(_) | Err(_) => File::create(path).map_err(failed)?,
        };
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

/// How every trace begins: the first event, up to what differs between runs. A run without events
/// leaves [`EMPTY`]; one that was killed early, nothing.
const BEGINNING: &[u8] = b"[\n{\"name\":\"";
/// What follows the name of the first event.
const AFTER_NAME: &[u8] = b"\",\"cat\":\"item\",\"ph\":\"X\",\"ts\":";
const EMPTY: &[u8] = b"[\n]\n";
/// Names of events are shorter.
const HEAD_BYTES: u64 = 256;

/// Inputs are never written to, nor are files put among them.
fn check_apart(path: &Path, inputs: &Inputs) -> Result<(), Failure> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let place = match (path.canonicalize(), parent.unwrap_or(Path::new(".")).canonicalize()) {
        (Ok(place), _) | (Err(_), Ok(place)) => place,
        (Err(_), Err(_)) => return Ok(()),
    };
    let is_at = |input: &PathBuf| input.canonicalize().is_ok_and(|input| place.starts_with(input));
    let (input, relation) = match inputs {
        Inputs::Files(files) => (files.iter().find(|file| is_at(file)), "it is a key file"),
        Inputs::Tree { root, .. } => {
            (Some(root).filter(|root| is_at(root)), "it lies among the key files")
        }
    };
    if input.is_none() {
        return Ok(());
    }
    let message = format!("{}: {relation}, and those are never written to", path.display());
    Err(Failure::new(ExitClass::Conflict, message).with_remedy("name a file elsewhere for --trace"))
}

/// An earlier trace, made empty.
fn replaced(path: &Path) -> Result<File, Failure> {
    let failed = |error| Failure::io("create the trace", path, &error);
    let mut file = File::options().read(true).write(true).open(path).map_err(failed)?;
    let mut head = Vec::new();
    (&file).take(HEAD_BYTES).read_to_end(&mut head).map_err(failed)?;
    if !is_trace(&head) {
        let message = format!("{}: it is there and is no trace of ours", path.display());
        return Err(Failure::new(ExitClass::Conflict, message)
            .with_remedy("name another file for --trace, or remove this one"));
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
    Ok(file)
}

fn is_trace(head: &[u8]) -> bool {
    let name = head.strip_prefix(BEGINNING);
    let after_name =
        name.and_then(|name| name.iter().position(|&byte| byte == b'"').map(|end| &name[end..]));
    head.is_empty() || head == EMPTY || after_name.is_some_and(|rest| rest.starts_with(AFTER_NAME))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_known_by_its_beginning_and_nothing_else_is_taken_for_one() {
        let check = |head: &[u8], expected| assert_eq!(is_trace(head), expected, "{head:?}");
        check(b"", true);
        check(b"[\n]\n", true);
        check(b"[\n{\"name\":\"read\",\"cat\":\"item\",\"ph\":\"X\",\"ts\":1.5,\"dur\":2.0", true);
        check(b"[\n{\"name\":\"read\",\"cat\":\"gpu\",\"ph\":\"X\",\"ts\":1.5,\"dur\":2.0", false);
        check(b"[\n{\"name\":\"read", false);
        check(b"[1, 2]", false);
        check(&[1, 0, 0, 0, 5, 0, 0, 0], false);
    }
}
