//! What each operation does, call by call, on any [`System`].
//!
//! ```text
//!            begin                      finish (waits)
//!  Op ----------------> Done(Outcome) <--------------- Paused
//!      `------------------------------------------------^
//!          would wait for a device                 a reading also takes what a ring read for it
//! ```
//!
//! Everything that does not wait for a device is done at once: creating files is synchronous in the
//! kernel whatever the interface, and plain calls are its cheapest form. A read of pages that are not
//! in memory, and every sync, pause: the backend decides who waits for them.

mod read;
mod write;

mod apart;
mod list;
mod publish;
mod sync;

use std::path::Path;

#[cfg(ring)]
pub(crate) use self::read::ReadRequest;
pub(crate) use self::read::Reading;
pub(crate) use self::sync::Syncing;
use crate::error::{IoError, IoErrorKind, Operation};
use crate::op::{Failure, Op, Outcome, Payload};
use crate::system::{At, Errno, FileKind, Links, Opening, Stat, System};

/// How far an operation came.
pub(crate) enum Progress<S: System> {
    /// To its end.
    Done(Outcome),
    /// To where it would wait.
    Paused(Paused<S>),
}

/// An operation that waits for a device before it goes on.
pub(crate) enum Paused<S: System> {
    /// For pages of a file.
    Read(Box<Reading<S>>),
    /// For dirty pages to be written.
    Sync(Syncing),
}

impl<S: System> Paused<S> {
    /// Ends it where it is; a buffer comes back.
    pub(crate) fn cancelled(self) -> Outcome {
        match self {
            Self::Read(reading) => {
                let error = reading.error(IoErrorKind::Cancelled);
                reading.fail(error)
            }
            Self::Sync(syncing) => Err(syncing.error(IoErrorKind::Cancelled).into()),
        }
    }

    /// Goes on to the end, and waits meanwhile.
    pub(crate) fn finish(self, system: &S) -> Outcome {
        match self {
            Self::Read(reading) => reading.finish(system),
            Self::Sync(syncing) => syncing.finish(system),
        }
    }
}

/// Begins an operation, and does all of it that need not wait for a device.
pub(crate) fn begin<S: System>(system: &S, op: Op) -> Progress<S> {
    let outcome = match op {
        Op::ReadFile { path, buffer, bytes_max, symlinks, interrupt } => {
            return read::file(system, path, buffer, bytes_max, symlinks.into(), interrupt);
        }
        Op::ReadRange { path, offset, bytes, buffer, symlinks } => {
            return read::range(system, path, offset, bytes, buffer, symlinks.into());
        }
        Op::ReadDirectory { path, bytes_max, interrupt } => {
            return read::directory(system, path, bytes_max, interrupt);
        }
        Op::SyncFilesystem { filesystem, path } => {
            return Progress::Paused(Paused::Sync(Syncing::Filesystem { filesystem, path }));
        }
        Op::SyncDirectory { path } => {
            return Progress::Paused(Paused::Sync(Syncing::Directory { path }));
        }
        Op::Append { path, offset, bytes } => {
            let appended = write::append(system, &path, offset, &bytes);
            finish(appended.map(|()| Payload::Written(bytes)))
        }
        Op::WriteDirectory { parent, name, files } => {
            let written = write::directory(system, &parent, &name, &files);
            finish(written.map(|()| Payload::Files(files)))
        }
        Op::ListTree { root, lengths, entries_max, depth_max, interrupt } => {
            let limits = list::Limits { entries_max, depth_max, interrupt: &interrupt };
            finish(list::tree(system, &root, lengths, limits).map(Payload::Listing))
        }
        Op::Inspect { path } => Ok(Payload::Kind(list::inspect_path(system, &path))),
        Op::Resolve { path } => finish(list::resolve(system, &path).map(Payload::Path)),
        Op::ListDirectory { path } => finish(list::directory(system, &path).map(Payload::Names)),
        Op::MakeDirectories { path } => {
            finish(write::make_directories(system, &path).map(Payload::Made))
        }
        Op::MakeDirectoriesApart { parent, count, files } => {
            finish(apart::make_directories(system, &parent, count, files).map(Payload::Names))
        }
        Op::WriteFile { directory, file } => done(write::file(system, &directory, &file)),
        Op::Publish { staged, target, replace } => {
            done(publish::publish(system, &staged, &target, replace))
        }
        Op::RemoveTree { path } => done(publish::remove_tree(system, &path)),
        Op::RemoveDirectory { path } => done(publish::remove_directory(system, &path)),
        Op::OpenFilesystem { path } => finish(sync::open_filesystem(system, &path)),
        Op::CreateLock { path } => finish(sync::lock(system, &path, Opening::CreateLock)),
        Op::TryLock { path } => finish(sync::lock(system, &path, Opening::Lock)),
    };
    Progress::Done(outcome)
}

fn done(result: Result<(), IoError>) -> Outcome {
    finish(result.map(|()| Payload::Done))
}

fn finish(result: Result<Payload, IoError>) -> Outcome {
    result.map_err(Failure::from)
}

/// How often a call is made again that was interrupted, or told to come again.
const TRIES_MAX: usize = 100;

/// Makes a call, again if it was interrupted or told to come again: some file systems say so for no
/// lasting reason.
fn persist<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 1..TRIES_MAX {
        match call() {
            Err(Errno::INTR | Errno::AGAIN) => {}
            called => return called,
        }
    }
    call()
}

/// Makes a call, again if it was interrupted; "come again" is its answer.
fn uninterrupted<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 1..TRIES_MAX {
        match call() {
            Err(Errno::INTR) => {}
            called => return called,
        }
    }
    call()
}

/// Opens a directory; `path` is how errors call it.
fn open_directory<S: System>(
    system: &S,
    at: At<'_, S::File>,
    path: &Path,
    links: Links,
) -> Result<S::File, IoError> {
    persist(|| system.open(at, Opening::Directory(links)))
        .map_err(|errno| IoError::system(Operation::Open, path, errno))
}

fn inspect<S: System>(system: &S, file: &S::File, path: &Path) -> Result<Stat, IoError> {
    persist(|| system.inspect(file))
        .map_err(|errno| IoError::system(Operation::Inspect, path, errno))
}

/// The kind's name, unless it is a regular file.
const fn special_kind(kind: FileKind) -> Option<&'static str> {
    match kind {
        FileKind::Regular => None,
        FileKind::Directory => Some("directory"),
        FileKind::Special(name) => Some(name),
    }
}
