//! What went wrong, with which file, in which call, and what the user can do about it.

use std::ffi::c_int;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::system::{LINK_BELOW_ROOT, OUTSIDE_ROOTS};
use crate::thousands;

/// The call that failed, in the words of a message: "cannot *open* PATH".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Opening a file or directory.
    Open,
    /// Asking for a file's kind, identity and size.
    Inspect,
    /// Reading a file.
    Read,
    /// Listing a directory.
    List,
    /// Making a directory.
    MakeDirectory,
    /// Creating a file.
    Create,
    /// Writing a file.
    Write,
    /// Renaming a staged directory or file to its place.
    Publish,
    /// Removing a file or directory.
    Remove,
    /// Writing a file system's dirty pages to its device.
    SyncFilesystem,
    /// Writing a directory to its device.
    SyncDirectory,
    /// Taking a lock.
    Lock,
}

impl Operation {
    /// The verb of a message.
    #[must_use]
    pub(crate) const fn verb(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Inspect => "inspect",
            Self::Read => "read",
            Self::List => "list",
            Self::MakeDirectory => "make directory",
            Self::Create => "create",
            Self::Write => "write",
            Self::Publish => "publish",
            Self::Remove => "remove",
            Self::SyncFilesystem => "sync the file system of",
            Self::SyncDirectory => "sync directory",
            Self::Lock => "lock",
        }
    }
}

/// An operation that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {} {}: {kind}", .operation.verb(), .path.display())]
pub struct IoError {
    /// The call.
    pub operation: Operation,
    /// The file or directory.
    pub path: PathBuf,
    /// The reason.
    pub kind: IoErrorKind,
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IoErrorKind {
    /// The system said no.
    #[error("{}", std::io::Error::from_raw_os_error(*.0))]
    System(c_int),
    /// A FIFO, device, socket or directory stands where a regular file belongs.
    #[error("it is a {0}, not a regular file")]
    NotAFile(&'static str),
    /// A symbolic link, where a file is meant, that leads to nothing.
    #[error("it is a symbolic link to {}, and leads to nothing", .0.display())]
    Dangling(PathBuf),
    /// A file is larger than the caller takes.
    #[error("it has {} bytes, the limit is {}", thousands(*.bytes), thousands(*.bytes_max))]
    TooLarge {
        /// Bytes of the file.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// The file was replaced, written or cut while it was read.
    #[error("it changed while it was read")]
    Changed,
    /// A tree has more entries than the caller takes.
    #[error("it holds more than {} entries", thousands(*.0 as u64))]
    TooManyEntries(usize),
    /// A directory tree is deeper than the limit.
    #[error("it is more than {0} directories deep")]
    TooDeep(usize),
    /// A file to append to does not end where the caller thinks.
    #[error("it has {} bytes where {} were expected", thousands(*.bytes), thousands(*.expected))]
    WrongLength {
        /// Bytes of the file.
        bytes: u64,
        /// Bytes that the caller expected.
        expected: u64,
    },
    /// What was read back is not what was written.
    #[error("byte {offset} is not what was written")]
    NotAsWritten {
        /// The first byte that differs, or is missing.
        offset: u64,
    },
    /// The target exists and was not to be replaced.
    #[error("it exists already")]
    Exists,
    /// It could not be moved to its place, and what was there, which had been moved aside, could not
    /// be put back.
    #[error("{}; what was there could not be put back, it lies at {}", std::io::Error::from_raw_os_error(*.errno), .to.display())]
    Displaced {
        /// Why the new one could not be moved to its place.
        errno: c_int,
        /// Where the earlier one lies.
        to: PathBuf,
    },
    /// Another process holds the lock.
    #[error("another run holds it")]
    Locked,
    /// The lock file was removed by another process before it was locked.
    #[error("another process removed it")]
    Vanished,
    /// The path lies below none of the roots that the engine is confined to.
    #[error("it lies below none of the directories that are allowed")]
    OutsideRoots,
    /// A symbolic link is at the place, or on the way to it below a root.
    #[error("a symbolic link is there or on the way, and none is followed")]
    LinkBelowRoot,
    /// It was cancelled before it was done.
    #[error("it was cancelled")]
    Cancelled,
    /// The kernel lost its answer, and keeps what it was to read into.
    #[error("the kernel lost its answer")]
    Lost,
}

impl IoError {
    /// The files and directories that it names, for whoever knows them by other names. Where a link leads is
    /// told as the link says it.
    pub fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        match &mut self.kind {
            IoErrorKind::Displaced { to, .. } => vec![&mut self.path, to],
            IoErrorKind::Dangling(_)
            | IoErrorKind::System(_)
            | IoErrorKind::NotAFile(_)
            | IoErrorKind::TooLarge { .. }
            | IoErrorKind::Changed
            | IoErrorKind::TooManyEntries(_)
            | IoErrorKind::TooDeep(_)
            | IoErrorKind::WrongLength { .. }
            | IoErrorKind::NotAsWritten { .. }
            | IoErrorKind::Exists
            | IoErrorKind::Locked
            | IoErrorKind::Vanished
            | IoErrorKind::OutsideRoots
            | IoErrorKind::LinkBelowRoot
            | IoErrorKind::Cancelled
            | IoErrorKind::Lost => vec![&mut self.path],
        }
    }

    /// An error of the system.
    #[must_use]
    pub fn system(operation: Operation, path: &Path, errno: Errno) -> Self {
        let kind = match errno {
            OUTSIDE_ROOTS => IoErrorKind::OutsideRoots,
            LINK_BELOW_ROOT => IoErrorKind::LinkBelowRoot,
            errno => IoErrorKind::System(errno.raw_os_error()),
        };
        Self { operation, path: path.to_owned(), kind }
    }

    /// An error of another kind.
    #[must_use]
    pub fn new(operation: Operation, path: &Path, kind: IoErrorKind) -> Self {
        Self { operation, path: path.to_owned(), kind }
    }

    /// The system's error number, if it was the system that said no.
    #[must_use]
    pub const fn errno(&self) -> Option<c_int> {
        match self.kind {
            IoErrorKind::System(errno) | IoErrorKind::Displaced { errno, .. } => Some(errno),
            IoErrorKind::Dangling(_) => Some(Errno::NOENT.raw_os_error()),
            IoErrorKind::NotAFile(_)
            | IoErrorKind::TooLarge { .. }
            | IoErrorKind::Changed
            | IoErrorKind::TooManyEntries(_)
            | IoErrorKind::TooDeep(_)
            | IoErrorKind::WrongLength { .. }
            | IoErrorKind::NotAsWritten { .. }
            | IoErrorKind::Exists
            | IoErrorKind::Locked
            | IoErrorKind::Vanished
            | IoErrorKind::OutsideRoots
            | IoErrorKind::LinkBelowRoot
            | IoErrorKind::Cancelled
            | IoErrorKind::Lost => None,
        }
    }

    /// Whether the disk, or the user's share of it, is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let full = [Errno::NOSPC, Errno::DQUOT].map(Errno::raw_os_error);
        self.errno().is_some_and(|errno| full.contains(&errno))
    }

    /// Whether the system refused for want of permission, or the engine is confined to elsewhere.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        let denied = [Errno::ACCESS, Errno::PERM].map(Errno::raw_os_error);
        let is_confined =
            matches!(self.kind, IoErrorKind::OutsideRoots | IoErrorKind::LinkBelowRoot);
        is_confined || self.errno().is_some_and(|errno| denied.contains(&errno))
    }

    /// Whether there is no such file or directory.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.errno() == Some(Errno::NOENT.raw_os_error())
    }

    /// Whether something is there already.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.kind == IoErrorKind::Exists || self.errno() == Some(Errno::EXIST.raw_os_error())
    }

    /// Whether what was to be replaced is neither replaced nor in its place.
    #[must_use]
    pub const fn is_displacing(&self) -> bool {
        matches!(self.kind, IoErrorKind::Displaced { .. })
    }

    /// Whether a symbolic link is there and is not to be followed, or there are too many of them.
    #[must_use]
    pub fn is_link(&self) -> bool {
        self.errno() == Some(Errno::LOOP.raw_os_error())
    }

    /// Whether a directory was expected and something else, or a symbolic link, is there.
    #[must_use]
    pub fn is_not_a_directory(&self) -> bool {
        let errnos = [Errno::NOTDIR, Errno::LOOP].map(Errno::raw_os_error);
        self.errno().is_some_and(|errno| errnos.contains(&errno))
    }

    /// What the user can do about it, for the usual errors.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match &self.kind {
            IoErrorKind::System(_) if has_zero_byte(&self.path) => Some(
                "no name holds a zero byte: give --null with a list of `find -print0`, or write one name a line",
            ),
            IoErrorKind::System(errno) => remedy_for_errno(*errno),
            IoErrorKind::Dangling(_) => Some("name the file itself, or make the link anew"),
            IoErrorKind::NotAFile(_) => Some("give regular files only"),
            IoErrorKind::TooLarge { .. } => Some("check that the file is what you mean"),
            IoErrorKind::Changed => Some("run again when nobody writes the file"),
            IoErrorKind::TooManyEntries(_) | IoErrorKind::TooDeep(_) => {
                Some("check the directory, or give a smaller one")
            }
            IoErrorKind::WrongLength { .. } => Some("let one run at a time write the output"),
            IoErrorKind::NotAsWritten { .. } => {
                Some("run again; if it persists, check disk and memory")
            }
            IoErrorKind::Exists => Some("choose another output directory or remove it"),
            IoErrorKind::Displaced { .. } => Some("move back what was there, or run again"),
            IoErrorKind::Locked => Some("wait for the other run to end"),
            IoErrorKind::OutsideRoots => Some("name a path below a directory that is allowed"),
            IoErrorKind::LinkBelowRoot => Some("name the place itself, without links and `..`"),
            IoErrorKind::Vanished | IoErrorKind::Cancelled | IoErrorKind::Lost => Some("run again"),
        }
    }
}

/// Whether the system can have no such path, which it says with a number that means many things.
fn has_zero_byte(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().contains(&0)
}

/// What a user can do about an error number of the operating system, if that is known.
#[must_use]
pub fn remedy_for_errno(errno: i32) -> Option<&'static str> {
    const REMEDIES: [(Errno, &str); 15] = [
        (Errno::NOSPC, "free space on the output's file system, or choose another"),
        (Errno::IO, "check the disk, the kernel's log names the device; then run again"),
        (Errno::DQUOT, "free some of your quota, or choose another file system"),
        (Errno::ACCESS, "check the permissions of the file and of the directories above it"),
        (Errno::PERM, "check owner and attributes of the file"),
        (Errno::NOENT, "check the path"),
        (Errno::NOTDIR, "a file is where a directory belongs: name another directory"),
        (Errno::ISDIR, "a directory is where a file belongs: name a file"),
        (Errno::MFILE, "raise the limit of open files (ulimit -n), or use fewer threads"),
        (Errno::NFILE, "the whole system has too many files open; close some programs"),
        (
            Errno::ROFS,
            "the file system is mounted read-only; choose another output directory, or have this one writable: \
             in a unit by ReadWritePaths=, in a container by a volume",
        ),
        (Errno::NAMETOOLONG, "shorten the name (255 bytes at most) or the whole path (4,095)"),
        (Errno::LOOP, "the symbolic link leads to itself; remove it"),
        (Errno::FBIG, "raise the limit of file sizes (ulimit -f)"),
        (Errno::NOMEM, "free memory, or give a smaller file"),
    ];
    REMEDIES.iter().find(|(known, _)| known.raw_os_error() == errno).map(|(_, remedy)| *remedy)
}
