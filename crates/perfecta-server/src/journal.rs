//! What a daemon has promised, on disk: requests that were accepted, and how they ended.
//!
//! ```text
//!  control, workers ---lines---> journal thread ---one write a line---> DIR/journal
//!                                     `---then(written or not)
//! ```
//!
//! A request is promised when its line is written, which a death of the daemon does not undo. One whose
//! tables are to survive a power cut is promised when its line does: lines that wait are synced
//! together. Only this thread waits for the disk.

mod entry;
mod file;
#[cfg(any(test, feature = "fuzzing"))]
mod hostile;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;

pub(crate) use self::entry::{AcceptedRequest, Entry};
pub(crate) use self::file::{Earlier, JournalFile, KeepBounds, Left};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::hostile::{check, with_checksums};

/// Lines that are synced together, at most.
const BATCH_MAX: usize = 1_024;

/// Between two looks whether there is room again for lines that found none: nobody tells of it.
const PAY_EVERY: Duration = Duration::from_secs(1);

/// Between two looks how much room there is while nothing is written.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What a daemon has to find room for before it takes its first request: more than most of them have.
const ROOM_BYTES_MIN: usize = 4 << 10;

/// Why there is no journal, or a line of it was not written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It was written by another version.
    #[error("{}: a journal of another version", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl JournalError {
    /// What the user can do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Version { .. } => {
                "let the daemon that wrote it end what it has, or move the file away"
            }
            Self::Io { error, .. } => match error.kind() {
                io::ErrorKind::IsADirectory | io::ErrorKind::AlreadyExists => {
                    "move what is there away, or choose another --state-dir, or give --no-journal"
                }
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge => {
                    "make room, or choose another --state-dir, or give --no-journal"
                }
                _ => {
                    "have it be a file that the daemon can read and write, or choose another --state-dir, \
                     or give --no-journal"
                }
            },
        }
    }
}

/// Whether a line has to survive a power cut before it counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Survives {
    Death,
    PowerCut,
}

/// Is told, on the journal's thread, what came of a line; also where a bug ends that thread.
struct Then(Option<OnWritten>);

type OnWritten = Box<dyn FnOnce(Result<(), io::Error>) + Send>;

impl Then {
    fn tell(mut self, written: Result<(), io::Error>) {
        if let Some(then) = self.0.take() {
            then(written);
        }
    }
}

impl Drop for Then {
    fn drop(&mut self) {
        if let Some(then) = self.0.take() {
            then(Err(io::Error::other("the journal's thread is gone")));
        }
    }
}

struct JournalLine {
    text: String,
    effect: Effect,
    survives: Survives,
    then: Then,
}

/// What a line means to the lines of its request.
enum Effect {
    /// They are kept from now on, it before all.
    Begins(String),
    /// It is kept as long as they are.
    Joins(String),
    /// They are waste, and it as well.
    Forgets(String),
    Stops,
}

/// How a journal is, as it was seen last.
#[derive(Debug, Clone, Default)]
pub(crate) struct JournalReport {
    /// Of its file.
    pub(crate) bytes: u64,
    /// What its file system has left, if that tells.
    pub(crate) room_bytes: Option<u64>,
    /// Why it takes no requests, if it does not.
    pub(crate) refuses: Option<String>,
}

type SharedReport = Arc<Mutex<JournalReport>>;

/// Where lines are handed in. Without a file behind it, every line counts as written.
pub(crate) struct Journal {
    lines: Mutex<Option<Sender<JournalLine>>>,
    report: Option<SharedReport>,
}

impl Journal {
    /// A journal that keeps nothing.
    pub(crate) const fn none() -> Self {
        Self { lines: Mutex::new(None), report: None }
    }

    /// A journal, and what is to run on a thread of its own.
    pub(crate) fn of(file: JournalFile) -> (Self, Writer) {
        let (sender, lines) = channel();
        let report = SharedReport::default();
        let (owed, shared) = (Vec::new(), Arc::clone(&report));
        let writer = Writer { file, lines, owed, bytes_missing: 0, report: shared };
        (Self { lines: Mutex::new(Some(sender)), report: Some(report) }, writer)
    }

    /// How it is; `None` if it keeps nothing.
    pub(crate) fn report(&self) -> Option<JournalReport> {
        self.report.as_ref().map(|report| report.lock().clone())
    }

    /// Hands a line in. `then` is called once, here or on the journal's thread.
    pub(crate) fn append(
        &self,
        entry: &Entry<'_>,
        survives: Survives,
        then: impl FnOnce(Result<(), io::Error>) + Send + 'static,
    ) {
        let effect = match entry {
            Entry::Accepted(AcceptedRequest { id, .. }) => Effect::Begins(id.clone()),
            Entry::Cancelled { id } => Effect::Joins(id.clone()),
            Entry::Ended { status, .. } => Effect::Joins(status.id.clone()),
            Entry::Forgotten { id } => Effect::Forgets(id.clone()),
            Entry::Stopped {} => Effect::Stops,
            Entry::Journal { .. } => panic!("the first line is written with the file"),
        };
        let text = entry.to_line();
        // Under this lock, so that there is no line behind the last when it is closed.
        let sender = self.lines.lock();
        let Some(lines) = &*sender else {
            drop(sender);
            return then(Ok(()));
        };
        let line = JournalLine { text, effect, survives, then: Then(Some(Box::new(then))) };
        let unsent = lines.send(line);
        drop(sender);
        // The thread is gone only where the daemon is lost by a bug, and who waits is told so.
        drop(unsent);
    }

    /// Hands a line in of which nobody waits to be told.
    pub(crate) fn note(&self, entry: &Entry<'_>) {
        self.append(entry, Survives::Death, drop);
    }

    /// Takes no more lines.
    pub(crate) fn close(&self) {
        self.lines.lock().take();
    }
}

/// Writes lines to a file.
pub(crate) struct Writer {
    file: JournalFile,
    lines: Receiver<JournalLine>,
    /// Lines of requests that are kept, which found no room: they are written before any other. Of a
    /// request there are three at most.
    owed: Vec<(Effect, String)>,
    /// Bytes of requests that have to find room before it is told that there is some: as many as the longest
    /// that was refused has, less those that were kept since. 0 unless it was told that there is none.
    bytes_missing: usize,
    /// Read by those who do not wait for the disk.
    report: SharedReport,
}

impl Writer {
    /// Until nobody hands lines in any more.
    pub(crate) fn run(&mut self, notice: &(dyn Fn(&str) + Sync)) {
        if let Err(error) = self.file.find_room(ROOM_BYTES_MIN) {
            self.tell_full(&error, ROOM_BYTES_MIN, notice);
        }
        loop {
            self.measure();
            match self.next() {
                Ok(first) => {
                    let further = self.lines.try_iter().take(BATCH_MAX - 1);
                    let batch: Vec<JournalLine> = std::iter::once(first).chain(further).collect();
                    self.write(batch, notice);
                }
                Err(RecvTimeoutError::Timeout) => self.look_for_room(notice),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if let Err(error) = self.file.rewrite_if_due() {
                notice(&format!("the journal grows, and cannot be rewritten: {error}"));
            }
        }
        if let Err(error) = self.pay() {
            self.tell_full(&error, 1, notice);
        }
    }

    /// The next line, or nothing for a while.
    fn next(&self) -> Result<JournalLine, RecvTimeoutError> {
        let is_full = self.bytes_missing > 0 || !self.owed.is_empty();
        self.lines.recv_timeout(if is_full { PAY_EVERY } else { LOOK_EVERY })
    }

    /// Whether what was refused would find room by now: whoever asks first whether the daemon is ready hands
    /// in nothing before.
    fn look_for_room(&mut self, notice: &(dyn Fn(&str) + Sync)) {
        // It was told that there is none.
        let is_paid = self.pay().is_ok();
        if is_paid && self.bytes_missing > 0 && self.file.find_room(self.bytes_missing).is_ok() {
            self.tell_found(notice);
        }
    }

    fn measure(&self) {
        let (bytes, room_bytes) = (self.file.bytes(), self.file.room_bytes());
        let mut report = self.report.lock();
        *report = JournalReport { bytes, room_bytes, refuses: report.refuses.take() };
    }

    /// Tells everybody who waits for a line that it is not written.
    pub(crate) fn give_up(&mut self) {
        self.lines.try_iter().for_each(drop);
    }

    fn write(&mut self, batch: Vec<JournalLine>, notice: &(dyn Fn(&str) + Sync)) {
        let mut written = Vec::with_capacity(batch.len());
        for line in batch {
            let is_of_kept = self.take_in(&line.effect);
            match self.pay().and_then(|()| self.append(&line.effect, &line.text)) {
                Ok(()) => {
                    self.tell_room(&line, notice);
                    written.push(line);
                }
                Err(error) => {
                    // What is owed is no request, and is written before the next of them.
                    let bytes = if is_of_kept { 1 } else { line.text.len() };
                    self.tell_full(&error, bytes, notice);
                    if is_of_kept {
                        self.owed.push((line.effect, line.text));
                    }
                    line.then.tell(Err(error));
                }
            }
        }
        let is_durable = |line: &JournalLine| line.survives == Survives::PowerCut;
        let synced = written.iter().any(is_durable).then(|| self.file.sync());
        for line in written {
            match &synced {
                Some(Err(error)) if is_durable(&line) => {
                    // It may survive all the same, and nobody was promised that it does not.
                    if let Effect::Begins(id) = &line.effect {
                        self.file.forget(id);
                        let forgotten = Entry::Forgotten { id: id.clone() };
                        let _ = self.file.append(&forgotten.to_line());
                    }
                    line.then.tell(Err(io::Error::new(error.kind(), error.to_string())));
                }
                _ => line.then.tell(Ok(())),
            }
        }
    }

    /// Whether a line is of a request that is kept. What is forgotten is owed nothing else.
    fn take_in(&mut self, effect: &Effect) -> bool {
        match effect {
            Effect::Begins(_) | Effect::Stops => false,
            Effect::Joins(id) => self.file.keeps(id),
            Effect::Forgets(id) => {
                self.owed.retain(|(owed, _)| !matches!(owed, Effect::Joins(of) if of == id));
                self.file.forget(id)
            }
        }
    }

    fn append(&mut self, effect: &Effect, text: &str) -> io::Result<()> {
        match effect {
            Effect::Begins(id) => self.file.append_first(id, text),
            Effect::Joins(id) => self.file.append_for(id, text),
            Effect::Forgets(_) | Effect::Stops => self.file.append(text),
        }
    }

    /// Writes what is owed, as far as there is room.
    fn pay(&mut self) -> io::Result<()> {
        let owed = std::mem::take(&mut self.owed);
        let mut owed = owed.into_iter();
        while let Some((effect, text)) = owed.next() {
            if let Err(error) = self.append(&effect, &text) {
                self.owed = std::iter::once((effect, text)).chain(owed).collect();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Once, until it is told that there is room.
    fn tell_full(&mut self, error: &io::Error, bytes: usize, notice: &(dyn Fn(&str) + Sync)) {
        let was_told = self.bytes_missing > 0;
        self.bytes_missing = self.bytes_missing.max(bytes);
        self.report.lock().refuses = Some(error.to_string());
        if !was_told {
            notice(&format!(
                "the journal takes no more ({error}): requests are refused; what ends or is cancelled now \
                 is written when there is room again, and may be run again if the daemon dies before that"
            ));
        }
    }

    /// Requests found as much room as was refused, and so did all that was owed before them. Short lines may
    /// find some where long ones do not.
    fn tell_room(&mut self, line: &JournalLine, notice: &(dyn Fn(&str) + Sync)) {
        if self.bytes_missing == 0 || !matches!(line.effect, Effect::Begins(_)) {
            return;
        }
        // More than was missing may be there.
        self.bytes_missing = self.bytes_missing.saturating_sub(line.text.len());
        if self.bytes_missing == 0 {
            self.tell_found(notice);
        }
    }

    fn tell_found(&mut self, notice: &(dyn Fn(&str) + Sync)) {
        self.bytes_missing = 0;
        self.report.lock().refuses = None;
        notice(
            "the journal has room again: requests are accepted, and what ended or was cancelled \
             meanwhile is written",
        );
    }
}
