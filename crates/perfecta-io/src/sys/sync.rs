//! What is kept open for a while: file systems to sync, and locks.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::{FILE_MODE, inspect, open_directory};
use crate::error::{IoError, IoErrorKind, Operation};

/// A descriptor by which later errors of writing back are told.
pub(crate) fn open_filesystem(path: &Path) -> Result<OwnedFd, IoError> {
    open_directory(CWD, path, path, OFlags::empty())
}

/// Writes all dirty pages of a file system.
pub(crate) fn sync_filesystem(filesystem: &OwnedFd, path: &Path) -> Result<(), IoError> {
    sync_all(filesystem).map_err(|errno| IoError::system(Operation::SyncFilesystem, path, errno))
}

#[cfg(target_os = "linux")]
fn sync_all(filesystem: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::syncfs(filesystem)
}

#[cfg(not(target_os = "linux"))]
fn sync_all(_filesystem: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::sync();
    Ok(())
}

/// Writes a directory's entries.
pub(crate) fn sync_directory(path: &Path) -> Result<(), IoError> {
    let directory = open_directory(CWD, path, path, OFlags::empty())?;
    rustix::fs::fsync(&directory)
        .map_err(|errno| IoError::system(Operation::SyncDirectory, path, errno))
}

/// Creates a lock file and locks it.
pub(crate) fn create_lock(path: &Path) -> Result<OwnedFd, IoError> {
    lock(path, OFlags::CREATE | OFlags::EXCL)
}

/// Locks a lock file that is there.
pub(crate) fn try_lock(path: &Path) -> Result<OwnedFd, IoError> {
    lock(path, OFlags::empty())
}

fn lock(path: &Path, flags: OFlags) -> Result<OwnedFd, IoError> {
    use rustix::fs::FlockOperation;
    let failed = |errno| IoError::system(Operation::Lock, path, errno);
    let flags = flags | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = retry_on_intr(|| rustix::fs::openat(CWD, path, flags, FILE_MODE)).map_err(failed)?;
    match retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            return Err(IoError::new(Operation::Lock, path, IoErrorKind::Locked));
        }
        Err(errno) => return Err(failed(errno)),
    }
    // Who held the lock before may have removed the file: a lock on it protects nothing.
    if inspect(&file, path)?.st_nlink == 0 {
        return Err(IoError::new(Operation::Lock, path, IoErrorKind::Vanished));
    }
    Ok(file)
}
