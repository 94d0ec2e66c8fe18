//! What is staged goes to its place by one rename; what is not wanted any more goes away.

use std::path::Path;

use super::list::names;
use super::{TRIES_MAX, open_directory, persist};
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
    let how = match replace {
        Replace::Never => Rename::NoReplace,
        Replace::Exchange => Rename::Exchange,
    };
    match persist(|| system.rename(staged, target, how)) {
        // NFS and some FUSE file systems know no such ways.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match replace {
            Replace::Never => place(system, staged, target),
            Replace::Exchange => exchange(system, staged, target),
        },
        renamed => renamed.map_err(|errno| not_published(target, errno)),
    }
}

fn not_published(target: &Path, errno: Errno) -> IoError {
    match errno {
        Errno::EXIST | Errno::NOTEMPTY => {
            IoError::new(Operation::Publish, target, IoErrorKind::Exists)
        }
        errno => IoError::system(Operation::Publish, target, errno),
    }
}

/// A plain rename to where nothing is, which is looked at first.
fn place<S: System>(system: &S, staged: &Path, target: &Path) -> Result<(), IoError> {
    let placed = match persist(|| system.inspect_at(At::Path(target), Links::Refuse)) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => persist(|| system.rename(staged, target, Rename::Plain)),
        Err(errno) => Err(errno),
    };
    placed.map_err(|errno| not_published(target, errno))
}

/// An exchange by plain renames: it leaves a moment in which the target is absent, never one in which
/// it is partial. Once the new one is in its place, nothing is a failure any more: an old one that
/// cannot be moved to where the new one was staged stays beside that place. If the new one cannot be
/// moved to its place, the old one is put back; where it lies if that fails, too, is told.
fn exchange<S: System>(system: &S, staged: &Path, target: &Path) -> Result<(), IoError> {
    let plain = |from: &Path, to: &Path| persist(|| system.rename(from, to, Rename::Plain));
    let mut aside = staged.as_os_str().to_owned();
    aside.push(".old");
    let aside = Path::new(&aside);
    plain(target, aside).map_err(|errno| not_published(target, errno))?;
    let Err(errno) = plain(staged, target) else {
        let _ = plain(aside, staged);
        return Ok(());
    };
    // Whatever the system says: the only one that there is must not stay here.
    let is_back = (0..TRIES_MAX).any(|_| plain(aside, target).is_ok());
    if is_back {
        return Err(not_published(target, errno));
    }
    let kind = IoErrorKind::Displaced { errno: errno.raw_os_error(), to: aside.to_owned() };
    Err(IoError::new(Operation::Publish, target, kind))
}

/// Directories that are open at once while a tree is removed: one for each level of it. What lies
/// deeper was not made by us, and stays.
const LEVELS_MAX: usize = 128;

/// Removes a file or a tree; absence is success.
pub(super) fn remove_tree<S: System>(system: &S, path: &Path) -> Result<(), IoError> {
    remove_all(system, At::Path(path), path, 0)
}

/// Removes an empty directory.
pub(super) fn remove_directory<S: System>(system: &S, path: &Path) -> Result<(), IoError> {
    remove(system, At::Path(path), Removal::Directory)
        .map_err(|errno| IoError::system(Operation::Remove, path, errno))
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
    let opened = open_directory(system, at, path, Links::Refuse)
        .and_then(|directory| Ok((names(system, &directory, path)?, directory)));
    let (names, directory) = match opened {
        Ok(opened) => opened,
        Err(error) if error.is_absent() => return Ok(()),
        Err(error) => return Err(error),
    };
    for name in names {
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
