//! Directories beneath which alone files are opened, made, moved and removed.
//!
//! The kernel resolves every path, from the root's own descriptor, and follows no link on the way
//! (`openat2`): what is checked is what is used, whoever renames directories meanwhile. Where a name
//! is made or removed, the directory that it lies in is opened so first, and the last part of a path
//! is never followed. A path is taken by its parts: one with `..` is refused, since what it means
//! depends on the links before it.
//!
//! Not kept out: hard links to files elsewhere, and mounts below a root. Both take rights that whoever
//! has them could use directly.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::system::{At, LINK_BELOW_ROOT, Links, OUTSIDE_ROOTS};

/// Directories that engines can be confined to.
#[derive(Debug)]
pub struct Roots {
    roots: Vec<Root>,
}

/// One of them, open as long as it is used.
struct Root {
    directory: OwnedFd,
    /// As it was named, and with its links followed.
    names: [PathBuf; 2],
}

/// A root that cannot be one.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// It cannot be opened.
    #[error("{}: cannot be a root: {error}", .path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The kernel cannot confine paths, or may not.
    #[error("paths cannot be confined to roots: {}", .0.reason())]
    Unconfined(Unconfined),
}

/// Why paths cannot be confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unconfined {
    /// There is no `openat2`.
    Absent,
    /// It is forbidden, as in some containers.
    Forbidden,
}

impl Unconfined {
    const fn reason(self) -> &'static str {
        match self {
            Self::Absent => "this system has no openat2, or a seccomp filter hides it",
            Self::Forbidden => "a seccomp filter forbids openat2",
        }
    }
}

impl RootError {
    /// What the user can do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Open { .. } => "name a directory that is there",
            Self::Unconfined(_) => {
                "allow openat2 in the container's seccomp profile, drop RestrictSUIDSGID= from the unit, \
                 use Linux 5.6 or later, or give no roots"
            }
        }
    }
}

impl Roots {
    /// Opens the roots; their own links are followed, since who starts the program names them.
    ///
    /// # Errors
    /// [`RootError`], also if this kernel cannot confine paths to them.
    pub fn open(paths: &[PathBuf]) -> Result<Self, RootError> {
        Ok(Self { roots: paths.iter().map(|path| Root::open(path)).collect::<Result<_, _>>()? })
    }

    /// Whether a path lies below a root by its parts. Links are only seen where it is used.
    #[must_use]
    pub fn admit(&self, path: &Path) -> bool {
        self.locate(path).is_ok()
    }

    /// The roots, as they were named.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.roots.iter().map(|root| root.names[0].as_path())
    }

    /// The innermost root that a path lies below, and its place there.
    fn locate<'p>(&self, path: &'p Path) -> Result<(&Root, &'p Path), Errno> {
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(OUTSIDE_ROOTS);
        }
        let named =
            self.roots.iter().flat_map(|root| root.names.iter().map(move |name| (root, name)));
        let below =
            named.filter_map(|(root, name)| Some((root, name, path.strip_prefix(name).ok()?)));
        let innermost = below.max_by_key(|(_, name, _)| name.components().count());
        innermost.map(|(root, _, place)| (root, place)).ok_or(OUTSIDE_ROOTS)
    }

    fn place<'a>(&'a self, at: At<'a, OwnedFd>) -> Result<(BorrowedFd<'a>, &'a Path), Errno> {
        match at {
            At::Path(path) => {
                self.locate(path).map(|(root, place)| (root.directory.as_fd(), place))
            }
            // What is open was opened below a root.
            At::In(directory, name) => Ok((directory.as_fd(), name)),
        }
    }

    pub(crate) fn open_file(
        &self,
        at: At<'_, OwnedFd>,
        flags: OFlags,
        mode: Mode,
    ) -> Result<OwnedFd, Errno> {
        let (directory, place) = self.place(at)?;
        // No link is followed in any case; so told, the kernel says that it is one.
        let flags = flags - OFlags::NOFOLLOW;
        let mode = if flags.contains(OFlags::CREATE) { mode } else { Mode::empty() };
        open_beneath(directory, place, flags, mode)
    }

    pub(crate) fn inspect(&self, at: At<'_, OwnedFd>, links: Links) -> Result<Stat, Errno> {
        let (directory, place) = self.place(at)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let stat = rustix::fs::fstat(open_beneath(directory, place, flags, Mode::empty())?)?;
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        if is_link && links == Links::Follow { Err(LINK_BELOW_ROOT) } else { Ok(stat) }
    }

    /// Where a name is made, moved or removed.
    pub(crate) fn spot<'a>(&self, at: At<'a, OwnedFd>) -> Result<Spot<'a>, Errno> {
        let (directory, place) = match at {
            At::Path(path) => {
                let (root, place) = self.locate(path)?;
                (root.directory.as_fd(), place)
            }
            At::In(directory, name) => (directory.as_fd(), name),
        };
        let above = place.parent().unwrap_or(Path::new(""));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open_beneath(directory, above, flags, Mode::empty())?;
        Ok(Spot::Below { directory, name: place.file_name().map_or(Path::new("."), Path::new) })
    }

    /// The path, absolute and without links: below a root there are none.
    pub(crate) fn canonical(&self, path: &Path) -> Result<PathBuf, Errno> {
        let (root, place) = self.locate(path)?;
        self.inspect(At::Path(path), Links::Follow)?;
        Ok(if place.as_os_str().is_empty() {
            root.names[1].clone()
        } else {
            root.names[1].join(place)
        })
    }
}

impl Root {
    fn open(path: &Path) -> Result<Self, RootError> {
        let failed = |error| RootError::Open { path: path.to_owned(), error };
        let named = std::path::absolute(path).map_err(failed)?;
        let resolved = fs::canonicalize(path).map_err(failed)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(CWD, &resolved, flags, Mode::empty());
        let directory = directory.map_err(|errno| failed(errno.into()))?;
        match open_beneath(directory.as_fd(), Path::new(""), flags, Mode::empty()) {
            Ok(_) => Ok(Self { directory, names: [named, resolved] }),
            Err(Errno::NOSYS) => Err(RootError::Unconfined(Unconfined::Absent)),
            Err(Errno::PERM) => Err(RootError::Unconfined(Unconfined::Forbidden)),
            Err(errno) => Err(failed(errno.into())),
        }
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.names[0].fmt(formatter)
    }
}

/// Opens `path` below `directory`, and follows no link.
#[cfg(target_os = "linux")]
fn open_beneath(
    directory: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    use rustix::fs::ResolveFlags;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(directory, path, flags, mode, how).map_err(|errno| match errno {
        Errno::XDEV => OUTSIDE_ROOTS,
        Errno::LOOP => LINK_BELOW_ROOT,
        errno => errno,
    })
}

#[cfg(not(target_os = "linux"))]
fn open_beneath(
    _directory: BorrowedFd<'_>,
    _path: &Path,
    _flags: OFlags,
    _mode: Mode,
) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

/// A name in a directory.
pub(crate) enum Spot<'a> {
    /// As it was given.
    Given { directory: BorrowedFd<'a>, name: &'a Path },
    /// In a directory that was opened below a root.
    Below { directory: OwnedFd, name: &'a Path },
}

impl Spot<'_> {
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        match self {
            Self::Given { directory, .. } => *directory,
            Self::Below { directory, .. } => directory.as_fd(),
        }
    }

    pub(crate) const fn name(&self) -> &Path {
        match self {
            Self::Given { name, .. } | Self::Below { name, .. } => name,
        }
    }
}
