//! What is staged goes to its place by one rename; what is not wanted any more goes away.

use std::path::Path;

use super::list::names;
use super::{open_directory, persist};
use crate::error::{IoError, IoErrorKind, Operation};
use crate::op::Replace;
use crate::system::{At, Errno, Links, Removal, Rename, System};

/// Moves `staged` to `target` at once.
pub(super) fn publish<S: System>(
    system: &S,
    staged: &Path,
    target: &Path,
    replace: Replace,
) -> Result<(), IoError> {
    match rename(system, staged, target, replace) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST | Errno::NOTEMPTY) => {
            Err(IoError::new(Operation::Publish, target, IoErrorKind::Exists))
        }
        Err(errno) => Err(IoError::system(Operation::Publish, target, errno)),
    }
}

fn rename<S: System>(
    system: &S,
    staged: &Path,
    target: &Path,
    replace: Replace,
) -> Result<(), Errno> {
    let how = match replace {
        Replace::Never => Rename::NoReplace,
        Replace::Exchange => Rename::Exchange,
    };
    match persist(|| system.rename(staged, target, how)) {
        // NFS and some FUSE file systems know no such ways.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            rename_in_steps(system, staged, target, replace)
        }
        renamed => renamed,
    }
}

/// By plain renames: a new target is checked for first; an exchange leaves a moment in which the
/// target is absent, never one in which it is partial, and puts the old one back if it fails. Once
/// the new one is in its place, nothing is a failure any more: an old one that cannot be moved to
/// where the new one was staged stays beside that place.
fn rename_in_steps<S: System>(
    system: &S,
    staged: &Path,
    target: &Path,
    replace: Replace,
) -> Result<(), Errno> {
    let plain = |from: &Path, to: &Path| persist(|| system.rename(from, to, Rename::Plain));
    match replace {
        Replace::Never => {
            match persist(|| system.inspect_at(At::Path(target), Links::Refuse)) {
                Ok(_) => return Err(Errno::EXIST),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
            plain(staged, target)
        }
        Replace::Exchange => {
            let mut aside = staged.as_os_str().to_owned();
            aside.push(".old");
            let aside = Path::new(&aside);
            plain(target, aside)?;
            if let Err(errno) = plain(staged, target) {
                plain(aside, target)?;
                return Err(errno);
            }
            let _ = plain(aside, staged);
            Ok(())
        }
    }
}

/// Directories that are open at once while a tree is removed: one for each level of it. What lies
/// deeper was not made by us, and stays.
const LEVELS_MAX: usize = 128;

/// Removes a file or a tree; absence is success.
pub(super) fn remove_tree<S: System>(system: &S, path: &Path) -> Result<(), IoError> {
    remove_all(system, At::Path(path), path, 0)
}

/// Removes what is at a place; `path` is how errors call it.
///
/// A directory stays open until it is removed, and names below it are looked up in it alone. Whoever
/// puts a link in its place meanwhile leads this nowhere: a path that is resolved anew would be followed.
fn remove_all<S: System>(
    system: &S,
    at: At<'_, S::File>,
    path: &Path,
    num_levels: usize,
) -> Result<(), IoError> {
    let failed = |errno| IoError::system(Operation::Remove, path, errno);
    let refusal = match remove(system, at, Removal::File) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // Linux says the first of a directory, POSIX the second.
        Err(errno @ (Errno::ISDIR | Errno::PERM)) => errno,
        Err(errno) => return Err(failed(errno)),
    };
    // One that is empty need not be opened, which may be what can no more be done.
    match remove(system, at, Removal::Directory) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        // It is a file that may not be removed: immutable, or somebody else's in a sticky directory.
        Err(Errno::NOTDIR) => return Err(failed(refusal)),
        Err(errno) => return Err(failed(errno)),
    }
    if num_levels == LEVELS_MAX {
        return Err(IoError::new(Operation::Remove, path, IoErrorKind::TooDeep(LEVELS_MAX)));
    }
    let directory = match open_directory(system, at, path, Links::Refuse) {
        Ok(directory) => directory,
        Err(error) if error.is_absent() => return Ok(()),
        Err(error) => return Err(error),
    };
    for name in names(system, &directory, path)? {
        let below = At::In(&directory, Path::new(&name));
        remove_all(system, below, &path.join(&name), num_levels + 1)?;
    }
    match remove(system, at, Removal::Directory) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(failed(errno)),
    }
}

fn remove<S: System>(system: &S, at: At<'_, S::File>, what: Removal) -> Result<(), Errno> {
    persist(|| system.remove(at, what))
}
