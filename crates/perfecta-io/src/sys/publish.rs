//! What is staged goes to its place by one rename; what is not wanted any more goes away.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::list::names;
use super::open_directory;
use crate::error::{IoError, IoErrorKind, Operation};
use crate::op::Replace;

/// Moves `staged` to `target` at once.
pub(crate) fn publish(staged: &Path, target: &Path, replace: Replace) -> Result<(), IoError> {
    match rename(staged, target, replace) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST | Errno::NOTEMPTY) => {
            Err(IoError::new(Operation::Publish, target, IoErrorKind::Exists))
        }
        Err(errno) => Err(IoError::system(Operation::Publish, target, errno)),
    }
}

#[cfg(target_os = "linux")]
fn rename(staged: &Path, target: &Path, replace: Replace) -> Result<(), Errno> {
    use rustix::fs::RenameFlags;
    let flags = match replace {
        Replace::Never => RenameFlags::NOREPLACE,
        Replace::Exchange => RenameFlags::EXCHANGE,
    };
    match rustix::fs::renameat_with(CWD, staged, CWD, target, flags) {
        // NFS and some FUSE file systems know no flags.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            rename_in_steps(staged, target, replace)
        }
        renamed => renamed,
    }
}

#[cfg(not(target_os = "linux"))]
fn rename(staged: &Path, target: &Path, replace: Replace) -> Result<(), Errno> {
    rename_in_steps(staged, target, replace)
}

/// Without flags: a new target is checked for first; an exchange leaves a moment in which the
/// target is absent, never one in which it is partial, and puts the old one back if it fails.
fn rename_in_steps(staged: &Path, target: &Path, replace: Replace) -> Result<(), Errno> {
    match replace {
        Replace::Never => {
            match rustix::fs::statat(CWD, target, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => return Err(Errno::EXIST),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
            rustix::fs::renameat(CWD, staged, CWD, target)
        }
        Replace::Exchange => {
            let mut aside = staged.as_os_str().to_owned();
            aside.push(".old");
            rustix::fs::renameat(CWD, target, CWD, &*aside)?;
            if let Err(errno) = rustix::fs::renameat(CWD, staged, CWD, target) {
                rustix::fs::renameat(CWD, &*aside, CWD, target)?;
                return Err(errno);
            }
            rustix::fs::renameat(CWD, &*aside, CWD, staged)
        }
    }
}

/// Removes a file or a tree; absence is success.
pub(crate) fn remove_tree(path: &Path) -> Result<(), IoError> {
    match unlink(CWD, path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // Linux says the first of a directory, POSIX the second.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(IoError::system(Operation::Remove, path, errno)),
    }
    let directory = match open_directory(CWD, path, path, OFlags::NOFOLLOW) {
        Ok(directory) => directory,
        Err(error) if error.is_absent() => return Ok(()),
        Err(error) => return Err(error),
    };
    for name in names(&directory, path)? {
        match unlink(&directory, Path::new(&name), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) => remove_tree(&path.join(&name))?,
            Err(errno) => return Err(IoError::system(Operation::Remove, &path.join(&name), errno)),
        }
    }
    match unlink(CWD, path, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(IoError::system(Operation::Remove, path, errno)),
    }
}

fn unlink(directory: impl AsFd, name: &Path, flags: AtFlags) -> Result<(), Errno> {
    retry_on_intr(|| rustix::fs::unlinkat(&directory, name, flags))
}
