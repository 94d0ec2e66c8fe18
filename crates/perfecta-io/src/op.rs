//! Operations and what they come to.

use std::any::Any;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::buffer::Buffer;
use crate::error::IoError;
use crate::system::Links;

/// Asked while an operation looks at many things, or reads a large one: if it says so, that ends as
/// [cancelled](crate::IoErrorKind::Cancelled). [`Engine::cancel`](crate::Engine::cancel) reaches only
/// what waits for a device.
#[derive(Clone)]
pub struct Interrupt(Arc<dyn Fn() -> bool + Send + Sync>);

impl Interrupt {
    /// It is `is_asked`, which should be quick.
    pub fn new(is_asked: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_asked))
    }

    pub(crate) fn is_asked(&self) -> bool {
        (self.0)()
    }
}

/// Nobody ever asks.
impl Default for Interrupt {
    fn default() -> Self {
        Self::new(|| false)
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Interrupt").field(&self.is_asked()).finish()
    }
}

/// One operation: an owned value, so that nothing it needs can go away before its completion.
#[derive(Debug)]
pub enum Op {
    /// Reads a whole regular file into `buffer`, whose content is replaced.
    ///
    /// Anything else is refused by its kind without waiting for it. A file that is replaced, grows
    /// or shrinks while it is read is an error.
    ReadFile {
        /// The file.
        path: PathBuf,
        /// Where its bytes go; given back by [`Payload::Bytes`].
        buffer: Buffer,
        /// The largest file that is taken.
        bytes_max: u64,
        /// What to do with a symbolic link.
        symlinks: Symlinks,
        /// Ends it between two parts of a large file.
        interrupt: Interrupt,
    },
    /// Lists all entries below a directory, in the order of their paths' bytes.
    ///
    /// Symbolic links are followed; one that leads to a directory above itself, or to nothing, is
    /// listed as [`EntryKind::BrokenLink`].
    ListTree {
        /// The directory.
        root: PathBuf,
        /// Whether the lengths of files are wanted.
        lengths: Lengths,
        /// The most entries that are taken.
        entries_max: usize,
        /// The most directories below one another that are taken.
        depth_max: usize,
        /// Ends it between two entries.
        interrupt: Interrupt,
    },
    /// Says what is at a path, links followed.
    Inspect {
        /// The path.
        path: PathBuf,
    },
    /// Says where a path leads once every link in it is followed. What is not there yet counts as
    /// the directory that it would become.
    Resolve {
        /// The path.
        path: PathBuf,
    },
    /// Lists the names in one directory, in the order of their bytes, without asking what they are.
    ListDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// Makes a directory and those above it that are missing; [`Payload::Made`] says which these were.
    MakeDirectories {
        /// The directory.
        path: PathBuf,
    },
    /// Makes new directories in one, so that what is written into each lies apart on the device, if
    /// the file system knows how: who writes into one then waits less for who writes into another.
    ///
    /// Their names are numbers, given back by [`Payload::Names`]. Fails if one exists; what a failure
    /// leaves behind, and directories that lay too near, are the caller's to remove.
    MakeDirectoriesApart {
        /// An existing directory, in which nothing else is made apart.
        parent: PathBuf,
        /// How many.
        count: usize,
        /// About so many files and directories will be made in each: for few of them, no great
        /// distance is looked for.
        files: u64,
    },
    /// Makes a new directory `name` in `parent` and writes `files` into it, in order. Each is read
    /// back and compared before the next is written.
    ///
    /// Fails if it exists; what a failure leaves behind is the caller's to remove.
    WriteDirectory {
        /// An existing directory.
        parent: PathBuf,
        /// Name of the new one.
        name: OsString,
        /// Its files; given back by [`Payload::Files`], which are then what can be read there.
        files: Vec<FileContent>,
    },
    /// Writes one more file into a directory, reads it back and compares. Fails if it exists.
    WriteFile {
        /// The directory.
        directory: PathBuf,
        /// The file.
        file: FileContent,
    },
    /// Reads every regular file of one directory, in the order of their names' bytes. Nothing in it
    /// is followed; what is no regular file is an error.
    ReadDirectory {
        /// The directory.
        path: PathBuf,
        /// The most bytes that are taken, all files together.
        bytes_max: u64,
        /// Ends it between two files, or two parts of a large one.
        interrupt: Interrupt,
    },
    /// Appends to a file that ends at `offset`; at offset 0 the file is created and must be absent.
    Append {
        /// The file.
        path: PathBuf,
        /// Where it ends now.
        offset: u64,
        /// What to append; given back by [`Payload::Written`].
        bytes: Vec<u8>,
    },
    /// Reads a part of a file into `buffer`, whose content is replaced; a file that ends before is an
    /// error.
    ReadRange {
        /// The file.
        path: PathBuf,
        /// Where the part begins.
        offset: u64,
        /// Its length.
        bytes: usize,
        /// Where its bytes go; given back by [`Payload::Bytes`].
        buffer: Buffer,
        /// What to do with a symbolic link.
        symlinks: Symlinks,
    },
    /// Moves a staged file or directory to its place at once. With [`Replace::Exchange`], what was
    /// there is at `staged` afterwards; if a file system without exchanges fails to move it there,
    /// beside that place.
    Publish {
        /// What was staged.
        staged: PathBuf,
        /// Its place.
        target: PathBuf,
        /// Whether something may be there.
        replace: Replace,
    },
    /// Removes a file, or a directory with all in it; absence is success. Links are not followed.
    RemoveTree {
        /// The file or directory.
        path: PathBuf,
    },
    /// Removes a directory that has nothing in it; one that has is an error.
    RemoveDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// Opens the file system of a directory for a later [`Op::SyncFilesystem`]: errors of writing
    /// back are told from this moment on.
    OpenFilesystem {
        /// A directory on it.
        path: PathBuf,
    },
    /// Writes all dirty pages of the file system to its device. After a failure, what was written
    /// since the last success is lost; trying again would lie.
    SyncFilesystem {
        /// From [`Op::OpenFilesystem`].
        filesystem: Arc<Held>,
        /// Its directory, for messages.
        path: PathBuf,
    },
    /// Writes a directory's entries to its device.
    SyncDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// Creates a new lock file and locks it until the [`Held`] is dropped.
    CreateLock {
        /// The file; must be absent.
        path: PathBuf,
    },
    /// Locks an existing lock file, without waiting for who may hold it.
    TryLock {
        /// The file.
        path: PathBuf,
    },
}

/// What to do with a symbolic link at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symlinks {
    /// Follow it: the user's own input.
    Follow,
    /// Refuse it: a place that we wrote.
    Refuse,
}

impl From<Symlinks> for Links {
    fn from(symlinks: Symlinks) -> Self {
        match symlinks {
            Symlinks::Follow => Self::Follow,
            Symlinks::Refuse => Self::Refuse,
        }
    }
}

/// Whether a target may exist already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// It may not.
    Never,
    /// It must; it is exchanged.
    Exchange,
}

/// A file in memory: a name without directories, and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileContent {
    /// The name.
    pub name: OsString,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What a listing holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// In the order of the paths' bytes.
    pub entries: Vec<Entry>,
    /// Paths below the listing's root that may be links, and lead elsewhere.
    pub links: Vec<PathBuf>,
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The path below the listing's root.
    pub path: PathBuf,
    /// What it is, links followed.
    pub kind: EntryKind,
}

/// Whether a listing is to tell the lengths of files: each costs a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lengths {
    /// It is.
    Wanted,
    /// It need not.
    Unwanted,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Its length.
        bytes: u64,
    },
    /// A regular file whose length was not wanted.
    Unmeasured,
    /// A directory.
    Directory,
    /// A FIFO, device or socket.
    Special(&'static str),
    /// A symbolic link that leads to nothing, or back, and why it cannot be followed.
    BrokenLink(IoError),
    /// What the system would not tell about.
    Unreadable(IoError),
}

/// Something that the system holds for us until this is dropped: a lock, an open file system.
pub struct Held(pub(crate) Box<dyn Any + Send + Sync>);

impl Held {
    /// For backends: keeps `resource` until this is dropped.
    #[must_use]
    pub fn new(resource: impl Any + Send + Sync) -> Self {
        Self(Box::new(resource))
    }

    /// For backends: what was kept.
    #[must_use]
    pub fn resource<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Held")
    }
}

/// What an operation came to, with every buffer it was given.
pub type Outcome = Result<Payload, Failure>;

/// What a successful operation gives back.
#[derive(Debug)]
pub enum Payload {
    /// Nothing but success.
    Done,
    /// Bytes read.
    Bytes(Buffer),
    /// Bytes that were written.
    Written(Vec<u8>),
    /// Files that were written, or read.
    Files(Vec<FileContent>),
    /// A listing.
    Listing(Listing),
    /// Names in a directory.
    Names(Vec<OsString>),
    /// Directories that were made, each before what lies in it.
    Made(Vec<PathBuf>),
    /// What is at a path.
    Kind(EntryKind),
    /// Where a path leads, absolute and without links.
    Path(PathBuf),
    /// A lock, or an open file system.
    Held(Held),
}

/// What the submitter of an operation knows to come back. Anything else is a bug of the engine, and
/// panics.
#[expect(clippy::missing_panics_doc, reason = "said once, above")]
impl Payload {
    /// Of what reads into a buffer.
    #[must_use]
    pub fn into_bytes(self) -> Buffer {
        match self {
            Self::Bytes(bytes) => bytes,
            other => panic!("a buffer comes back, not {other:?}"),
        }
    }

    /// Of [`Op::Append`].
    #[must_use]
    pub fn into_written(self) -> Vec<u8> {
        match self {
            Self::Written(bytes) => bytes,
            other => panic!("what was written comes back, not {other:?}"),
        }
    }

    /// Of what reads or writes a directory.
    #[must_use]
    pub fn into_files(self) -> Vec<FileContent> {
        match self {
            Self::Files(files) => files,
            other => panic!("files come back, not {other:?}"),
        }
    }

    /// Of [`Op::ListTree`].
    #[must_use]
    pub fn into_listing(self) -> Listing {
        match self {
            Self::Listing(listing) => listing,
            other => panic!("a listing comes back, not {other:?}"),
        }
    }

    /// Of [`Op::ListDirectory`].
    #[must_use]
    pub fn into_names(self) -> Vec<OsString> {
        match self {
            Self::Names(names) => names,
            other => panic!("names come back, not {other:?}"),
        }
    }

    /// Of [`Op::MakeDirectories`].
    #[must_use]
    pub fn into_made(self) -> Vec<PathBuf> {
        match self {
            Self::Made(directories) => directories,
            other => panic!("what was made comes back, not {other:?}"),
        }
    }

    /// Of [`Op::Inspect`].
    #[must_use]
    pub fn into_kind(self) -> EntryKind {
        match self {
            Self::Kind(kind) => kind,
            other => panic!("a kind comes back, not {other:?}"),
        }
    }

    /// Of [`Op::Resolve`].
    #[must_use]
    pub fn into_path(self) -> PathBuf {
        match self {
            Self::Path(path) => path,
            other => panic!("a path comes back, not {other:?}"),
        }
    }

    /// Of a lock, or an open file system.
    #[must_use]
    pub fn into_held(self) -> Held {
        match self {
            Self::Held(held) => held,
            other => panic!("what holds it comes back, not {other:?}"),
        }
    }
}

/// A failed operation. A buffer to read into comes back also from a failure.
#[derive(Debug)]
pub struct Failure {
    /// The reason.
    pub error: IoError,
    /// The buffer of the operation, if it had one.
    pub buffer: Option<Buffer>,
}

impl From<IoError> for Failure {
    fn from(error: IoError) -> Self {
        Self { error, buffer: None }
    }
}
