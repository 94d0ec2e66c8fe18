//! What is kept open for a while: file systems to sync, and locks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{finish, inspect, open_directory, persist, uninterrupted};
use crate::error::{IoError, IoErrorKind, Operation};
use crate::op::{Held, Outcome, Payload};
use crate::system::{At, Errno, Links, Opening, System};

/// An operation that writes what is dirty to a device.
///
/// A failed sync is never made again on the same file: the kernel may have dropped the pages, and
/// would then report success over their loss. Only an interruption is no answer.
pub(crate) enum Syncing {
    /// All of a file system.
    Filesystem {
        /// From [`open_filesystem`].
        filesystem: Arc<Held>,
        path: PathBuf,
    },
    /// The entries of a directory.
    Directory { path: PathBuf },
}

impl Syncing {
    /// An error of it.
    pub(crate) fn error(&self, kind: IoErrorKind) -> IoError {
        let (operation, path) = match self {
            Self::Filesystem { path, .. } => (Operation::SyncFilesystem, path),
            Self::Directory { path } => (Operation::SyncDirectory, path),
        };
        IoError::new(operation, path, kind)
    }

    /// Syncs, and waits for it.
    pub(super) fn finish<S: System>(self, system: &S) -> Outcome {
        let synced = match &self {
            Self::Filesystem { filesystem, .. } => {
                let file = filesystem.resource::<S::File>();
                let file = file.expect("an open file system belongs to its backend");
                uninterrupted(|| system.sync_filesystem(file))
            }
            Self::Directory { path } => {
                let directory = open_directory(system, At::Path(path), path, Links::Follow)?;
                uninterrupted(|| system.sync(&directory))
            }
        };
        self.outcome(synced)
    }

    /// What it came to.
    fn outcome(self, synced: Result<(), Errno>) -> Outcome {
        let failed = |errno: Errno| self.error(IoErrorKind::System(errno.raw_os_error()));
        finish(synced.map(|()| Payload::Done).map_err(failed))
    }
}

/// A descriptor by which later errors of writing back are told.
pub(super) fn open_filesystem<S: System>(system: &S, path: &Path) -> Result<Payload, IoError> {
    let directory = open_directory(system, At::Path(path), path, Links::Follow)?;
    Ok(Payload::Held(Held::new(directory)))
}

/// Opens a lock file and locks it.
pub(super) fn lock<S: System>(system: &S, path: &Path, how: Opening) -> Result<Payload, IoError> {
    let failed = |errno| IoError::system(Operation::Lock, path, errno);
    let file = persist(|| system.open(At::Path(path), how)).map_err(failed)?;
    match uninterrupted(|| system.lock(&file)) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            return Err(IoError::new(Operation::Lock, path, IoErrorKind::Locked));
        }
        Err(errno) => return Err(failed(errno)),
    }
    // Who held the lock before may have removed the file: a lock on it protects nothing.
    if inspect(system, &file, path)?.links == 0 {
        return Err(IoError::new(Operation::Lock, path, IoErrorKind::Vanished));
    }
    Ok(Payload::Held(Held::new(file)))
}
