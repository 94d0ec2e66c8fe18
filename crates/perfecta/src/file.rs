//! [`Table`] and [`Pack`]: views together with the bytes they look into, read or mapped.

use std::fmt;
use std::fs::{File, FileType};
use std::io::{ErrorKind, Read as _};
#[cfg(unix)]
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use memmap2::{Mmap, MmapMut};
use perfecta_core::format::pack::PackView;
use perfecta_core::format::{self, FormatError};
use perfecta_core::key::Key;
use perfecta_core::table::{Lookup, Parameters, TableView};

/// A table that holds its file.
///
/// # Mapped files
///
/// A mapped file costs nothing to open, and its pages are shared by all processes that use it. To map
/// one is `unsafe`, because it must stay as it is for as long as it is mapped, and no program can hold
/// others to that; the bytes are given out as `&[u8]`, which nobody may change.
///
/// * A file that is **replaced by renaming** another one over it, or removed, is safe: a mapping keeps
///   the file that it was made of. So perfecta publishes tables and packs, and never writes to one that
///   is published.
/// * A file that is **overwritten in place**, by whomever (`cp` onto it, an editor, a second
///   `std::fs::write`), is undefined behaviour. What is done against the worst of it: what look-ups rely on to stay
///   within the array is copied out when the file is opened, so that wrong indexes are still below the
///   edge capacity, and a name or a place that a pack's index says is checked whenever it is used.
/// * A file that is **cut shorter** ends the process when a missing page is reached (`SIGBUS`; Windows
///   refuses the cut in the first place).
///
/// Where that cannot be relied on, use [`Table::load`].
#[derive(Debug)]
pub struct Table {
    /// Looks into `storage`; given out for no longer than a borrow of it.
    view: TableView<'static>,
    storage: Storage,
}

impl Table {
    /// Reads a table file into memory and checks all of it. A large one is read into huge pages where
    /// the system has them (Linux): look-ups in a table of 134 MB are then quicker than in a mapped
    /// one.
    ///
    /// # Errors
    /// [`LoadError`] with the path, and what is wrong with the file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        Self::open(path.as_ref(), Storage::read, format::decode)
    }

    /// Maps a table file and checks all of it, which reads it once.
    ///
    /// # Safety
    /// Nobody changes the file while it is mapped; see [mapped files](#mapped-files). One that is
    /// replaced by a rename, as perfecta publishes, is not changed.
    ///
    /// # Errors
    /// [`LoadError`] with the path, and what is wrong with the file.
    pub unsafe fn map(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        // SAFETY: the caller's.
        let map = |path: &Path| unsafe { Storage::map(path) };
        Self::open(path.as_ref(), map, format::decode)
    }

    /// Maps a table file and checks its header, but reads none of the array: for tables of gigabytes
    /// of which few pages will be used. Damage shows as wrong indexes.
    ///
    /// # Safety
    /// As of [`Self::map`].
    ///
    /// # Errors
    /// [`LoadError`] with the path, and what is wrong with the header.
    pub unsafe fn map_trusting_sections(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        // SAFETY: the caller's.
        let map = |path: &Path| unsafe { Storage::map(path) };
        Self::open(path.as_ref(), map, format::decode_trusting_sections)
    }

    /// A table of the bytes of its file.
    ///
    /// # Errors
    /// [`FormatError`], as of [`decode`](crate::decode).
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, FormatError> {
        Self::of_storage(Storage::Read(bytes), format::decode)
    }

    fn open(
        path: &Path,
        storage: fn(&Path) -> std::io::Result<Storage>,
        decode: Decode,
    ) -> Result<Self, LoadError> {
        let storage = storage(path).map_err(|error| LoadError::new(path, error.into()))?;
        Self::of_storage(storage, decode).map_err(|error| LoadError::new(path, error.into()))
    }

    fn of_storage(storage: Storage, decode: Decode) -> Result<Self, FormatError> {
        // SAFETY: the view is dropped with the storage, and only given out for a borrow of both.
        let bytes = unsafe { storage.bytes_for_ever() };
        Ok(Self { view: decode(bytes)?, storage })
    }

    /// The table as a view, for functions that take tables of any origin.
    #[inline]
    #[must_use]
    pub const fn view(&self) -> TableView<'_> {
        self.view
    }

    /// All but the array: sizes, seeds, first and last key.
    #[must_use]
    pub const fn parameters(&self) -> &Parameters {
        self.view.parameters()
    }

    /// Number of keys; their indexes are 0 to `len() - 1`.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a table has one key at least")]
    pub const fn len(&self) -> usize {
        self.view.parameters().num_keys as usize
    }

    /// The rank of `key` if it is a key of the set, and some number below the edge capacity if not.
    ///
    /// Quickest if `key` has the type of the table's keys. Of a table of 32-bit keys, only the low 32
    /// bits of a wider key count.
    #[inline]
    #[must_use]
    pub fn index<K: Key>(&self, key: K) -> u32 {
        self.view.index(key)
    }

    /// Writes the index of `keys[i]` to `indexes[i]`, for all keys; quicker than a loop.
    ///
    /// # Panics
    /// If the slices are not of one length.
    pub fn index_batch<K: Key>(&self, keys: &[K], indexes: &mut [u32]) {
        self.view.index_batch(keys, indexes);
    }

    /// A copyable look-up for loops in which nothing is left to decide; `None` unless the table is of
    /// 32-bit keys and of the default family.
    #[must_use]
    pub fn lookup_u32(&self) -> Option<Lookup<'_, u32>> {
        self.view.lookup()
    }

    /// As [`Self::lookup_u32`], for tables of 64-bit keys that use more than 32 bits.
    #[must_use]
    pub fn lookup_u64(&self) -> Option<Lookup<'_, u64>> {
        self.view.lookup()
    }

    /// The bytes of the table file.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.storage.bytes()
    }
}

/// A pack of tables that holds its file: the tables of a whole bulk run, found by name.
#[derive(Debug)]
pub struct Pack {
    /// Looks into `storage`; given out for no longer than a borrow of it.
    view: PackView<'static>,
    /// Held for `view`.
    _storage: Storage,
}

impl Pack {
    /// Reads a pack into memory and checks its index.
    ///
    /// # Errors
    /// [`LoadError`] with the path, and what is wrong with the file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        Self::open(path.as_ref(), Storage::read)
    }

    /// Maps a pack and checks its index.
    ///
    /// # Safety
    /// Nobody changes the file while it is mapped; see [mapped files](Table#mapped-files). One that is
    /// replaced by a rename, as perfecta publishes, is not changed.
    ///
    /// # Errors
    /// [`LoadError`] with the path, and what is wrong with the file.
    pub unsafe fn map(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        // SAFETY: the caller's.
        Self::open(path.as_ref(), |path| unsafe { Storage::map(path) })
    }

    fn open(
        path: &Path,
        storage: fn(&Path) -> std::io::Result<Storage>,
    ) -> Result<Self, LoadError> {
        let storage = storage(path).map_err(|error| LoadError::new(path, error.into()))?;
        // SAFETY: the view is dropped with the storage, and only given out for a borrow of both.
        let bytes = unsafe { storage.bytes_for_ever() };
        let view = PackView::decode(bytes).map_err(|error| LoadError::new(path, error.into()))?;
        Ok(Self { view, _storage: storage })
    }

    /// The table of a name, all of its file checked; `None` if the pack has no such name.
    ///
    /// # Errors
    /// [`FormatError`] if the table's file is damaged; offsets count from its beginning.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Result<Option<TableView<'_>>, FormatError> {
        self.view().get(name.as_ref()).map(|entry| entry.table()).transpose()
    }

    /// Number of tables.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.view.len()
    }

    /// Whether there is no table.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.view.is_empty()
    }

    /// The pack as a view: entries by name, unchecked images, hashes of key files.
    #[must_use]
    pub const fn view(&self) -> PackView<'_> {
        self.view
    }
}

type Decode = fn(&'static [u8]) -> Result<TableView<'static>, FormatError>;

/// Bytes that stay where they are for as long as the storage lives, also when it is moved.
enum Storage {
    Read(Vec<u8>),
    Mapped(Mmap),
}

/// How the file is held, and its length.
impl fmt::Debug for Storage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (held, bytes) = match self {
            Self::Read(bytes) => ("Read", bytes.len()),
            Self::Mapped(map) => ("Mapped", map.len()),
        };
        write!(formatter, "{held}({bytes} bytes)")
    }
}

impl Storage {
    /// Files from this size on are read into pages that may be huge ones: each look-up would miss the
    /// TLB twice otherwise.
    const HUGE_FROM_BYTES: usize = 4 << 20;

    fn read(path: &Path) -> std::io::Result<Self> {
        let (mut file, length) = Self::open(path)?;
        let length = usize::try_from(length).map_err(std::io::Error::other)?;
        if length < Self::HUGE_FROM_BYTES {
            let mut bytes = Vec::with_capacity(length);
            return file.read_to_end(&mut bytes).map(|_| Self::Read(bytes));
        }
        let mut pages = MmapMut::map_anon(length)?;
        // Advice: where the system has no huge pages to give, small ones do.
        #[cfg(target_os = "linux")]
        let _refused = pages.advise(memmap2::Advice::HugePage);
        file.read_exact(&mut pages)?;
        pages.make_read_only().map(Self::Mapped)
    }

    /// # Safety
    /// Nobody changes the file while the storage lives.
    unsafe fn map(path: &Path) -> std::io::Result<Self> {
        let (file, _) = Self::open(path)?;
        // SAFETY: the caller's.
        unsafe { Mmap::map(&file) }.map(Self::Mapped)
    }

    /// A regular file, and its length.
    fn open(path: &Path) -> std::io::Result<(File, u64)> {
        let mut options = File::options();
        // Without waiting for anybody: a FIFO without writer or a device does not block.
        #[cfg(unix)]
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        let file = options.read(true).open(path)?;
        let metadata = file.metadata()?;
        match refusal(metadata.file_type()) {
            Some((kind, name)) => {
                Err(std::io::Error::new(kind, format!("it is a {name}, not a regular file")))
            }
            None => Ok((file, metadata.len())),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Read(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }

    /// # Safety
    /// The bytes are not used after the storage is dropped. (They are never changed, and they do not
    /// move with the storage: both kinds lie outside of it.)
    unsafe fn bytes_for_ever(&self) -> &'static [u8] {
        let bytes = self.bytes();
        // SAFETY: the same bytes; that they are not used for too long is the caller's promise.
        unsafe { core::slice::from_raw_parts(bytes.as_ptr(), bytes.len()) }
    }
}

/// Why what was opened is not read, and what it is; a regular file is.
fn refusal(kind: FileType) -> Option<(ErrorKind, &'static str)> {
    if kind.is_file() {
        return None;
    }
    if kind.is_dir() {
        return Some((ErrorKind::IsADirectory, "directory"));
    }
    #[cfg(unix)]
    let name = match kind {
        _ if kind.is_fifo() => "FIFO",
        _ if kind.is_char_device() => "character device",
        _ if kind.is_block_device() => "block device",
        _ => "special file",
    };
    #[cfg(not(unix))]
    let name = "special file";
    Some((ErrorKind::InvalidInput, name))
}

/// A file that is no table or no pack, or cannot be read. What is wrong is part of its text, and so no
/// source of it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {kind}", path.display())]
#[non_exhaustive]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub kind: LoadErrorKind,
}

impl LoadError {
    fn new(path: &Path, kind: LoadErrorKind) -> Self {
        Self { path: path.to_owned(), kind }
    }

    /// What can be done about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match &self.kind {
            LoadErrorKind::Format(error) => error.remedy(),
            LoadErrorKind::Io(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::IsADirectory => "check the path",
                ErrorKind::PermissionDenied => "check the permissions of the file",
                _ => "check the file, and the device that it is on",
            },
        }
    }
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadErrorKind {
    /// The system cannot read or map it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is not as it must be.
    #[error(transparent)]
    Format(#[from] FormatError),
}
