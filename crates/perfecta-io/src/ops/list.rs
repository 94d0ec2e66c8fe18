//! What lies at a path and below it, in the order of the bytes of names.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::{inspect, open_directory, persist, special_kind};
use crate::error::{IoError, IoErrorKind, Operation};
use crate::op::{Entry, EntryKind, Interrupt, Lengths, Listing};
use crate::system::{At, Errno, FileKind, Links, Named, Stat, System, Told};

/// What is at a path, links followed; of a link to nothing, where it points.
pub(super) fn inspect_path<S: System>(system: &S, path: &Path) -> EntryKind {
    let failed = |errno| IoError::system(Operation::Inspect, path, errno);
    let unreadable = match persist(|| system.inspect_at(At::Path(path), Links::Follow)) {
        Ok(stat) => return kind_of(&stat),
        Err(Errno::NOENT) => dangling(system, path),
        Err(errno) => failed(errno),
    };
    EntryKind::Unreadable(unreadable)
}

/// Why nothing is at a path.
fn dangling<S: System>(system: &S, path: &Path) -> IoError {
    match persist(|| system.link_target(path)) {
        Ok(to) => IoError::new(Operation::Open, path, IoErrorKind::Dangling(to)),
        // Something else was put there meanwhile.
        Err(Errno::INVAL) => IoError::system(Operation::Inspect, path, Errno::NOENT),
        Err(errno) => IoError::system(Operation::Inspect, path, errno),
    }
}

/// Where a path leads, absolute and without links. The part that is not there is taken by its
/// letters, as it will be once its directories are made.
pub(super) fn resolve<S: System>(system: &S, path: &Path) -> Result<PathBuf, IoError> {
    let failed = |errno| IoError::system(Operation::Inspect, path, errno);
    let absolute = std::path::absolute(path)
        .map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    let parts: Vec<Component<'_>> = absolute.components().collect();
    for num_there in (0..=parts.len()).rev() {
        let there: PathBuf = parts[..num_there].iter().collect();
        match persist(|| system.canonical(&there)) {
            Ok(mut resolved) => {
                for part in &parts[num_there..] {
                    match part {
                        Component::ParentDir => drop(resolved.pop()),
                        part => resolved.push(part),
                    }
                }
                return Ok(resolved);
            }
            Err(Errno::NOENT) if num_there > 1 => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    unreachable!("the root is always there, or an error")
}

fn kind_of(stat: &Stat) -> EntryKind {
    match stat.kind {
        FileKind::Directory => EntryKind::Directory,
        kind => match special_kind(kind) {
            None => EntryKind::File { bytes: stat.bytes },
            Some(special) => EntryKind::Special(special),
        },
    }
}

/// Bounds of a listing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits<'a> {
    pub(super) entries_max: usize,
    pub(super) depth_max: usize,
    pub(super) interrupt: &'a Interrupt,
}

/// All entries below `root`, in the order of their paths' bytes.
pub(super) fn tree<S: System>(
    system: &S,
    root: &Path,
    lengths: Lengths,
    limits: Limits<'_>,
) -> Result<Listing, IoError> {
    let directory = open_directory(system, At::Path(root), root, Links::Follow)?;
    let (ancestors, entries, links) = (Vec::new(), Vec::new(), Vec::new());
    let mut walk = Walk { system, root, lengths, limits, ancestors, entries, links };
    let inside = inside(system, &directory, root)?;
    walk.enter(&directory, Path::new(""), inside)?;
    let Walk { mut entries, links, .. } = walk;
    entries.sort_unstable_by(|left, right| {
        let (left, right) = (left.path.as_os_str(), right.path.as_os_str());
        left.as_encoded_bytes().cmp(right.as_encoded_bytes())
    });
    Ok(Listing { entries, links })
}

/// A walk through a directory tree. `ancestors` are the directories that it stands in.
struct Walk<'a, S> {
    system: &'a S,
    root: &'a Path,
    lengths: Lengths,
    limits: Limits<'a>,
    ancestors: Vec<(u64, u64)>,
    entries: Vec<Entry>,
    links: Vec<PathBuf>,
}

impl<S: System> Walk<'_, S> {
    fn enter(&mut self, directory: &S::File, below: &Path, inside: Inside) -> Result<(), IoError> {
        self.ancestors.push(inside.identity);
        for named in inside.names {
            if self.entries.len() == self.limits.entries_max {
                let kind = IoErrorKind::TooManyEntries(self.limits.entries_max);
                return Err(IoError::new(Operation::List, self.root, kind));
            }
            if self.limits.interrupt.is_asked() {
                return Err(IoError::new(Operation::List, self.root, IoErrorKind::Cancelled));
            }
            self.visit(directory, below.join(&named.name), &named)?;
        }
        self.ancestors.pop();
        Ok(())
    }

    fn visit(&mut self, parent: &S::File, below: PathBuf, named: &Named) -> Result<(), IoError> {
        if named.told == Told::Regular && self.lengths == Lengths::Unwanted {
            self.entries.push(Entry { path: below, kind: EntryKind::Unmeasured });
            return Ok(());
        }
        if named.told == Told::Nothing {
            self.links.push(below.clone());
        }
        let name = Path::new(&named.name);
        let at = At::In(parent, name);
        let kind = match persist(|| self.system.inspect_at(at, Links::Follow)) {
            Ok(stat) if stat.kind == FileKind::Directory => {
                return self.descend(parent, below, name, &stat);
            }
            Ok(stat) => kind_of(&stat),
            Err(Errno::NOENT) => {
                EntryKind::BrokenLink(dangling(self.system, &self.root.join(&below)))
            }
            Err(errno) => {
                let error = IoError::system(Operation::Inspect, &self.root.join(&below), errno);
                match errno {
                    Errno::LOOP => EntryKind::BrokenLink(error),
                    _ => EntryKind::Unreadable(error),
                }
            }
        };
        self.entries.push(Entry { path: below, kind });
        Ok(())
    }

    fn descend(
        &mut self,
        parent: &S::File,
        below: PathBuf,
        name: &Path,
        stat: &Stat,
    ) -> Result<(), IoError> {
        let path = self.root.join(&below);
        if self.ancestors.contains(&stat.identity) {
            let kind = IoErrorKind::NotAFile("link to a directory that it lies in");
            let kind = EntryKind::BrokenLink(IoError::new(Operation::Open, &path, kind));
            self.entries.push(Entry { path: below, kind });
            return Ok(());
        }
        if self.ancestors.len() == self.limits.depth_max {
            let kind = IoErrorKind::TooDeep(self.limits.depth_max);
            let error = IoError::new(Operation::List, &path, kind);
            self.entries.push(Entry { path: below, kind: EntryKind::Unreadable(error) });
            return Ok(());
        }
        let at = At::In(parent, name);
        let opened = open_directory(self.system, at, &path, Links::Follow).and_then(|directory| {
            let inside = inside(self.system, &directory, &path)?;
            Ok((directory, inside))
        });
        match opened {
            Ok((directory, inside)) => {
                self.entries.push(Entry { path: below.clone(), kind: EntryKind::Directory });
                self.enter(&directory, &below, inside)
            }
            Err(error) => {
                self.entries.push(Entry { path: below, kind: EntryKind::Unreadable(error) });
                Ok(())
            }
        }
    }
}

/// What is read of an open directory.
struct Inside {
    identity: (u64, u64),
    names: Vec<Named>,
}

fn inside<S: System>(system: &S, directory: &S::File, path: &Path) -> Result<Inside, IoError> {
    let identity = inspect(system, directory, path)?.identity;
    Ok(Inside { identity, names: names_told(system, directory, path)? })
}

/// Names in the directory `path`, in the order of their bytes.
pub(super) fn directory<S: System>(system: &S, path: &Path) -> Result<Vec<OsString>, IoError> {
    names(system, &open_directory(system, At::Path(path), path, Links::Follow)?, path)
}

/// Names in a directory, in the order of their bytes.
pub(super) fn names<S: System>(
    system: &S,
    directory: &S::File,
    path: &Path,
) -> Result<Vec<OsString>, IoError> {
    let names = names_told(system, directory, path)?;
    Ok(names.into_iter().map(|named| named.name).collect())
}

/// The same, with what the file system told of each.
fn names_told<S: System>(
    system: &S,
    directory: &S::File,
    path: &Path,
) -> Result<Vec<Named>, IoError> {
    let mut names = persist(|| system.names(directory))
        .map_err(|errno| IoError::system(Operation::List, path, errno))?;
    names.sort_unstable_by(|left, right| left.name.cmp(&right.name));
    Ok(names)
}
