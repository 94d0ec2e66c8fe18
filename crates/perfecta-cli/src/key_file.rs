//! Key files for commands that look at one without a job.

use std::fs::{self, File, FileType};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use perfecta_core::geometry::Geometry;
use perfecta_core::key::{KeyError, KeySet};
use perfecta_io::{IoError, IoErrorKind, Operation};
use perfecta_jobs::{ItemError, KeyEncoding, Limits};
use rustix::io::Errno;

use crate::failure::Failure;
use crate::job_options::InputOptions;
use crate::machine;
use crate::terminal::Terminal;

/// The key set of a file.
///
/// # Errors
/// [`Failure`] if the file cannot be read, or holds none.
pub(crate) fn load(
    path: &Path,
    options: &InputOptions,
    terminal: &Terminal,
) -> Result<KeySet, Failure> {
    let (mut file, file_bytes) = open(path)?;
    check_length(path, file_bytes, options)?;
    parse(path, &read(path, &mut file)?, options, terminal)
}

/// The key set in the bytes of a file; what else they may be is told, as a job would.
///
/// # Errors
/// [`Failure`] if they hold none.
pub(crate) fn parse(
    path: &Path,
    bytes: &[u8],
    options: &InputOptions,
    terminal: &Terminal,
) -> Result<KeySet, Failure> {
    let options = options.checked();
    let keys = options.parse(path, bytes).map_err(|error| invalid(path, &error))?;
    if let Some(doubt) = options.doubt(path, bytes) {
        terminal.note(&format!("{}: {doubt}", path.display()));
    }
    Ok(keys)
}

/// All bytes of a file of keys, or of one that begins with one of `magics`.
///
/// # Errors
/// [`Failure`] if it is no regular file, is too large, or cannot be read.
pub(crate) fn read_any(
    path: &Path,
    magics: &[[u8; 8]],
    options: &InputOptions,
) -> Result<Vec<u8>, Failure> {
    let (mut file, file_bytes) = open(path)?;
    let mut head = Vec::new();
    let mut begun = || {
        file.by_ref().take(8).read_to_end(&mut head)?;
        file.rewind()
    };
    begun().map_err(|error| failed(Operation::Read, path, &error))?;
    if magics.iter().any(|magic| head == magic) {
        check_memory(path, file_bytes)?;
    } else {
        check_length(path, file_bytes, options)?;
    }
    read(path, &mut file)
}

/// A regular file, and its length.
fn open(path: &Path) -> Result<(File, u64), Failure> {
    // A FIFO would be waited for without end, a device never ends.
    let metadata = fs::metadata(path).map_err(|error| match path.read_link() {
        Ok(to) if error.kind() == io::ErrorKind::NotFound => {
            let kind = IoErrorKind::Dangling(to);
            refused(&ItemError::Input(IoError::new(Operation::Open, path, kind)), None)
        }
        _ => failed(Operation::Inspect, path, &error),
    })?;
    if let Some(kind) = special_kind(metadata.file_type()) {
        let kind = IoErrorKind::NotAFile(kind);
        return Err(refused(&ItemError::Input(IoError::new(Operation::Open, path, kind)), None));
    }
    let file = File::open(path).map_err(|error| failed(Operation::Open, path, &error))?;
    Ok((file, metadata.len()))
}

/// What stands where a regular file belongs, in the words of a job.
fn special_kind(kind: FileType) -> Option<&'static str> {
    let kinds = [
        (kind.is_dir(), "directory"),
        (kind.is_fifo(), "FIFO"),
        (kind.is_socket(), "socket"),
        (kind.is_char_device(), "character device"),
        (kind.is_block_device(), "block device"),
    ];
    kinds.into_iter().find(|(is_kind, _)| *is_kind).map(|(_, name)| name)
}

/// What a job would say if the system said this to it.
fn failed(operation: Operation, path: &Path, error: &io::Error) -> Failure {
    // What Rust's own allocations say has no number.
    let errno = match error.kind() {
        io::ErrorKind::OutOfMemory => Errno::NOMEM,
        _ => Errno::from_io_error(error).unwrap_or(Errno::IO),
    };
    refused(&ItemError::Input(IoError::system(operation, path, errno)), None)
}

/// Refuses, by its length alone, what a job would refuse: nothing of it is read.
fn check_length(path: &Path, file_bytes: u64, options: &InputOptions) -> Result<(), Failure> {
    let bytes_max = Limits::default().input_bytes_max;
    if file_bytes > bytes_max {
        let kind = IoErrorKind::TooLarge { bytes: file_bytes, bytes_max };
        return Err(refused(&ItemError::Input(IoError::new(Operation::Read, path, kind)), None));
    }
    let options = options.checked();
    let keys = file_bytes as usize / options.width.of(path).bytes();
    let is_each_counted = options.encoding == KeyEncoding::Binary && !options.repair.dedupe;
    if is_each_counted && keys > Geometry::KEYS_MAX {
        return Err(invalid(path, &KeyError::TooMany { keys, max: Geometry::KEYS_MAX }));
    }
    // The file, its keys, and what is hashed of them: of a text, two bytes may be a key.
    let copies = match options.encoding {
        KeyEncoding::Binary => 3,
        KeyEncoding::Text => 7,
    };
    check_memory(path, copies * file_bytes)
}

/// Refuses what takes more memory than there is.
///
/// # Errors
/// [`Failure`], which names the file.
pub(crate) fn check_memory(path: &Path, needed: u64) -> Result<(), Failure> {
    let limit = machine::memory_bytes();
    if needed <= limit {
        return Ok(());
    }
    let failure = refused(&ItemError::Memory { needed, limit }, Some(path));
    Err(failure.with_remedy("do it where there is more memory, or split the set"))
}

fn read(path: &Path, file: &mut File) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| failed(Operation::Read, path, &error))?;
    Ok(bytes)
}

/// A file that holds no key set.
fn invalid(path: &Path, error: &KeyError) -> Failure {
    refused(&ItemError::Keys(error.clone()), Some(path))
}

/// What a job would say of a file, which is named here if the error does not name it.
fn refused(error: &ItemError, path: Option<&Path>) -> Failure {
    let message = path.map_or(error.to_string(), |path| format!("{}: {error}", path.display()));
    let failure = Failure::new(error.exit_class(), message);
    match error.remedy() {
        Some(remedy) => failure.with_remedy(remedy),
        None => failure,
    }
}
