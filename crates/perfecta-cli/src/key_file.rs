//! Key files for commands that look at one without a job: read and refused as by one.

use std::path::Path;

use perfecta_core::key::KeySet;
use perfecta_io::{BlockingEngine, Buffer, EntryKind, Interrupt, Op, Payload, Symlinks};
use perfecta_jobs::{ItemError, KeyEncoding, Limits};

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
    check(path, inspect(path)?, options)?;
    parse(path, read(path)?.bytes(), options, terminal)
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
    let keys = options.parse(path, bytes).map_err(|error| refused(path, &error.into()))?;
    if let Some(doubt) = options.doubt(path, bytes) {
        terminal.note(&format!("{}: {doubt}", path.display()));
    }
    Ok(keys)
}

/// All bytes of a file of keys, or of one that is something else by its first eight bytes (none are
/// asked about if it has fewer).
///
/// # Errors
/// [`Failure`] if it is no regular file, is too large, or cannot be read.
pub(crate) fn read_any(
    path: &Path,
    is_something_else: impl Fn(&[u8]) -> bool,
    options: &InputOptions,
) -> Result<Buffer, Failure> {
    match inspect(path)? {
        EntryKind::File { bytes: file_bytes }
            if is_something_else(head(path, file_bytes)?.bytes()) =>
        {
            check_memory(path, file_bytes)?;
        }
        kind => check(path, kind, options)?,
    }
    read(path)
}

fn head(path: &Path, file_bytes: u64) -> Result<Buffer, Failure> {
    if file_bytes < 8 {
        return Ok(Buffer::default());
    }
    let (buffer, symlinks) = (Buffer::default(), Symlinks::Follow);
    let op = Op::ReadRange { path: path.to_owned(), offset: 0, bytes: 8, buffer, symlinks };
    call(path, op).map(Payload::into_bytes)
}

fn inspect(path: &Path) -> Result<EntryKind, Failure> {
    call(path, Op::Inspect { path: path.to_owned() }).map(Payload::into_kind)
}

fn read(path: &Path) -> Result<Buffer, Failure> {
    let op = Op::ReadFile {
        path: path.to_owned(),
        buffer: Buffer::default(),
        bytes_max: u64::MAX,
        symlinks: Symlinks::Follow,
        interrupt: Interrupt::default(),
    };
    call(path, op).map(Payload::into_bytes)
}

fn call(path: &Path, op: Op) -> Result<Payload, Failure> {
    perfecta_io::call(&mut BlockingEngine::default(), op)
        .map_err(|failure| refused(path, &ItemError::Input(failure.error)))
}

/// Refuses what is no file of keys by its kind or its length, or takes more memory than there is: nothing of
/// it is read.
fn check(path: &Path, kind: EntryKind, options: &InputOptions) -> Result<(), Failure> {
    let options = options.checked();
    let file_bytes = options
        .check_file(path, kind, Limits::default().input_bytes_max)
        .map_err(|error| refused(path, &error))?;
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
    let failure = refused(path, &ItemError::Memory { needed, limit });
    Err(failure.with_remedy("do it where there is more memory, or split the set"))
}

/// What a job would say of a file.
fn refused(path: &Path, error: &ItemError) -> Failure {
    let message = match error {
        // These name the file.
        ItemError::Input(error) => error.to_string(),
        error => format!("{}: {error}", path.display()),
    };
    let failure = Failure::new(error.exit_class(), message);
    match error.remedy() {
        Some(remedy) => failure.with_remedy(remedy),
        None => failure,
    }
}
