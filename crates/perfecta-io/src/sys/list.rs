//! What lies at a path and below it, in the order of the bytes of names.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, OFlags, Stat};
use rustix::io::Errno;

use super::{inspect, open_directory, special_kind};
use crate::error::{IoError, IoErrorKind, Operation};
use crate::op::{Entry, EntryKind, Listing};

/// What is at a path, links followed.
pub(crate) fn inspect_path(path: &Path) -> EntryKind {
    match rustix::fs::statat(CWD, path, AtFlags::empty()) {
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => EntryKind::Directory,
            kind => file_or_special(kind, &stat),
        },
        Err(errno) => EntryKind::Unreadable(IoError::system(Operation::Inspect, path, errno)),
    }
}

/// Where a path leads, absolute and without links. The part that is not there is taken by its
/// letters, as it will be once its directories are made.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, IoError> {
    let failed = |error: std::io::Error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        IoError::system(Operation::Inspect, path, errno)
    };
    let absolute = std::path::absolute(path).map_err(failed)?;
    let parts: Vec<Component<'_>> = absolute.components().collect();
    for num_there in (0..=parts.len()).rev() {
        let there: PathBuf = parts[..num_there].iter().collect();
        match there.canonicalize() {
            Ok(mut resolved) => {
                for part in &parts[num_there..] {
                    match part {
                        Component::ParentDir => drop(resolved.pop()),
                        part => resolved.push(part),
                    }
                }
                return Ok(resolved);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && num_there > 1 => {}
            Err(error) => return Err(failed(error)),
        }
    }
    unreachable!("the root is always there, or an error")
}

fn file_or_special(kind: FileType, stat: &Stat) -> EntryKind {
    match special_kind(kind) {
        None => EntryKind::File { bytes: stat.st_size as u64 },
        Some(special) => EntryKind::Special(special),
    }
}

/// Bounds of a listing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListingLimits {
    pub(crate) entries_max: usize,
    pub(crate) depth_max: usize,
}

/// All entries below `root`, in the order of their paths' bytes.
pub(crate) fn list_tree(root: &Path, limits: ListingLimits) -> Result<Listing, IoError> {
    let directory = open_directory(CWD, root, root, OFlags::empty())?;
    let mut walk = Walk { root, limits, ancestors: Vec::new(), entries: Vec::new() };
    walk.enter(&directory, Path::new(""))?;
    let mut entries = walk.entries;
    entries.sort_unstable_by(|left, right| {
        left.path.as_os_str().as_bytes().cmp(right.path.as_os_str().as_bytes())
    });
    Ok(Listing { entries })
}

/// A walk through a directory tree. `ancestors` are the directories that it stands in.
struct Walk<'a> {
    root: &'a Path,
    limits: ListingLimits,
    ancestors: Vec<(u64, u64)>,
    entries: Vec<Entry>,
}

impl Walk<'_> {
    fn enter(&mut self, directory: &OwnedFd, below: &Path) -> Result<(), IoError> {
        let path = self.root.join(below);
        let stat = inspect(directory, &path)?;
        self.ancestors.push(identity(&stat));
        for name in names(directory, &path)? {
            if self.entries.len() == self.limits.entries_max {
                let kind = IoErrorKind::TooManyEntries(self.limits.entries_max);
                return Err(IoError::new(Operation::List, self.root, kind));
            }
            self.visit(directory, below.join(&name), Path::new(&name))?;
        }
        self.ancestors.pop();
        Ok(())
    }

    fn visit(&mut self, parent: &OwnedFd, below: PathBuf, name: &Path) -> Result<(), IoError> {
        let stat = match rustix::fs::statat(parent, name, AtFlags::empty()) {
            Ok(stat) => stat,
            Err(errno) => {
                let kind = match errno {
                    Errno::NOENT | Errno::LOOP => EntryKind::BrokenLink,
                    errno => {
                        let path = self.root.join(&below);
                        EntryKind::Unreadable(IoError::system(Operation::Inspect, &path, errno))
                    }
                };
                self.entries.push(Entry { path: below, kind });
                return Ok(());
            }
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.descend(parent, below, name, &stat),
            kind => {
                let kind = file_or_special(kind, &stat);
                self.entries.push(Entry { path: below, kind });
                Ok(())
            }
        }
    }

    fn descend(
        &mut self,
        parent: &OwnedFd,
        below: PathBuf,
        name: &Path,
        stat: &Stat,
    ) -> Result<(), IoError> {
        if self.ancestors.contains(&identity(stat)) {
            self.entries.push(Entry { path: below, kind: EntryKind::BrokenLink });
            return Ok(());
        }
        let path = self.root.join(&below);
        if self.ancestors.len() == self.limits.depth_max {
            let kind = IoErrorKind::TooDeep(self.limits.depth_max);
            return Err(IoError::new(Operation::List, &path, kind));
        }
        match open_directory(parent, name, &path, OFlags::empty()) {
            Ok(directory) => {
                self.entries.push(Entry { path: below.clone(), kind: EntryKind::Directory });
                self.enter(&directory, &below)
            }
            Err(error) => {
                self.entries.push(Entry { path: below, kind: EntryKind::Unreadable(error) });
                Ok(())
            }
        }
    }
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// Names in the directory `path`, in the order of their bytes.
pub(crate) fn list_directory(path: &Path) -> Result<Vec<OsString>, IoError> {
    names(&open_directory(CWD, path, path, OFlags::empty())?, path)
}

/// Names in a directory, in the order of their bytes.
pub(super) fn names(directory: &OwnedFd, path: &Path) -> Result<Vec<OsString>, IoError> {
    let failed = |errno| IoError::system(Operation::List, path, errno);
    let mut names = Vec::new();
    for entry in Dir::read_from(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    names.sort_unstable();
    Ok(names)
}
