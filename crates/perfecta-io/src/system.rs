//! The calls that operations are made of.
//!
//! Operations are written once, over this trait: on the host's calls ([`Host`](crate::host::Host)),
//! on a simulated machine's, or on either with faults. Every call may be interrupted, may be short,
//! and may fail with any [`Errno`]; that an operation lives with it is tested by making them so.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
#[cfg(feature = "simulation")]
use std::time::Duration;

pub(crate) use rustix::io::Errno;

/// A path lies below none of the roots that a system is confined to. No kernel has this number.
pub(crate) const OUTSIDE_ROOTS: Errno = Errno::from_raw_os_error(4_000);

/// A symbolic link is on the way below a root. No kernel has this number.
pub(crate) const LINK_BELOW_ROOT: Errno = Errno::from_raw_os_error(4_001);

/// Files, directories, and what can be done with them.
///
/// A clone speaks to the same machine.
pub(crate) trait System: Clone + Send + Sync + 'static {
    /// An open file or directory; closed when dropped. What was written is closed by
    /// [`System::close`].
    type File: fmt::Debug + Send + Sync + 'static;

    /// Opens what is at a place.
    fn open(&self, at: At<'_, Self::File>, how: Opening) -> Result<Self::File, Errno>;

    /// What an open file is.
    fn inspect(&self, file: &Self::File) -> Result<Stat, Errno>;

    /// What is at a place.
    fn inspect_at(&self, at: At<'_, Self::File>, links: Links) -> Result<Stat, Errno>;

    /// Names in an open directory, in any order, without itself and its parent. [`Errno::NOENT`] says
    /// that it was removed; some systems take it for empty then.
    fn names(&self, directory: &Self::File) -> Result<Vec<Named>, Errno>;

    /// Reads at `offset` into the beginning of `into`; 0 is the end of the file. With
    /// [`Wait::Never`], [`Errno::AGAIN`] says that a device would be waited for.
    fn read(
        &self,
        file: &Self::File,
        into: &mut [u8],
        offset: u64,
        wait: Wait,
    ) -> Result<usize, Errno>;

    /// Writes the beginning of `bytes` at `offset`.
    fn write(&self, file: &Self::File, bytes: &[u8], offset: u64) -> Result<usize, Errno>;

    /// Closes a file, and says what became of what was written to it: some file systems only tell
    /// now. It is closed however this ends, so it is never done again.
    fn close(&self, file: Self::File) -> Result<(), Errno>;

    /// Makes a directory.
    fn make_directory(&self, at: At<'_, Self::File>) -> Result<(), Errno>;

    /// Asks the file system to place directories that are made in this one apart from one another. The
    /// answer is how many files it can hold: their numbers, up to that, tell where they lie.
    fn scatter(&self, directory: &Self::File) -> Result<u64, Errno>;

    /// Moves what is at `from` to `to`.
    fn rename(&self, from: &Path, to: &Path, how: Rename) -> Result<(), Errno>;

    /// Removes a file or an empty directory.
    fn remove(&self, at: At<'_, Self::File>, what: Removal) -> Result<(), Errno>;

    /// Writes a file, or a directory's entries, to the device.
    fn sync(&self, file: &Self::File) -> Result<(), Errno>;

    /// Writes all of the file system that `file` lies on to its device.
    fn sync_filesystem(&self, file: &Self::File) -> Result<(), Errno>;

    /// Locks a file for as long as it is open, without waiting for who may hold it.
    fn lock(&self, file: &Self::File) -> Result<(), Errno>;

    /// A path, absolute and without links; all of it must be there.
    fn canonical(&self, path: &Path) -> Result<PathBuf, Errno>;

    /// Where the symbolic link at a path points, as it says; [`Errno::INVAL`] of what is none.
    fn link_target(&self, path: &Path) -> Result<PathBuf, Errno>;

    /// Asked before somebody else reads for an operation, as a ring does: how much may be read, at
    /// most `bytes`, or what the read fails with instead.
    #[cfg_attr(not(ring), allow(dead_code, reason = "asked by rings alone"))]
    fn before_read(&self, _file: &Self::File, bytes: usize) -> Result<usize, Errno> {
        Ok(bytes)
    }

    /// For faults: lets time pass.
    #[cfg(feature = "simulation")]
    fn pass(&self, time: Duration) {
        #[expect(clippy::disallowed_methods, reason = "the event waited for is that time passed")]
        std::thread::sleep(time);
    }

    /// For faults: a sync of this file failed. A real system need not be told.
    #[cfg(feature = "simulation")]
    fn lose(&self, _file: &Self::File) {}

    /// For faults: a sync of the file system that this file lies on failed.
    #[cfg(feature = "simulation")]
    fn lose_filesystem(&self, _file: &Self::File) {}
}

/// A place: a path, or a name in an open directory.
pub(crate) enum At<'a, F> {
    /// From the working directory.
    Path(&'a Path),
    /// From an open directory.
    In(&'a F, &'a Path),
}

impl<F> Clone for At<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for At<'_, F> {}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// The name.
    pub(crate) name: OsString,
    /// What it is of, as far as the file system told with it: not every one does.
    pub(crate) told: Told,
}

/// What a file system tells of a name without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is a regular file's.
    Regular,
    /// It is a directory's.
    Directory,
    /// It may be anything's, also a link's.
    Nothing,
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// To be read; a FIFO, socket or device is not waited for.
    Read(Links),
    /// To be listed, to make files in, or to be synced.
    Directory(Links),
    /// To be written and read back; must be new.
    CreateNew,
    /// To be written; must be there.
    Extend,
    /// To be locked; must be new.
    CreateLock,
    /// To be locked; must be there.
    Lock,
}

/// What becomes of a symbolic link at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// It is followed.
    Follow,
    /// It is an error, or seen as what it is.
    Refuse,
}

/// Whether a read may wait for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Only what is in memory.
    Never,
    /// As long as it takes.
    ForDevice,
}

/// How a rename meets what is at its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rename {
    /// As plain `rename` does: it is replaced.
    Plain,
    /// It is an error.
    NoReplace,
    /// Both change places.
    Exchange,
}

/// What is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// Anything but a directory.
    File,
    /// An empty directory.
    Directory,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Its kind.
    pub(crate) kind: FileKind,
    /// Its length.
    pub(crate) bytes: u64,
    /// Names that lead to it.
    pub(crate) links: u64,
    /// Which file it is.
    pub(crate) identity: (u64, u64),
    /// Times of the last change of content and of anything: seconds and nanoseconds of each.
    pub(crate) changed: [i64; 4],
}

impl Stat {
    /// What changes when a file is written, cut, or replaced.
    pub(crate) fn version(&self) -> impl PartialEq + use<> {
        (self.identity, self.bytes, self.changed)
    }
}

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// Anything else, by name.
    Special(&'static str),
}
