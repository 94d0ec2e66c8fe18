//! New directories and files, and appending: short writes go on, nothing that exists is overwritten,
//! and what is new is read back.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{inspect, open_directory, persist};
use crate::error::{IoError, IoErrorKind, Operation};
use crate::op::FileContent;
use crate::system::{At, Errno, Links, Opening, System, Wait};

/// Makes a directory and those above it that are missing; the answer is which were made, each before
/// what lies in it.
pub(super) fn make_directories<S: System>(
    system: &S,
    path: &Path,
) -> Result<Vec<PathBuf>, IoError> {
    let failed = |errno| IoError::system(Operation::MakeDirectory, path, errno);
    let make = || persist(|| system.make_directory(At::Path(path)));
    match make() {
        Ok(()) => Ok(vec![path.to_owned()]),
        Err(Errno::NOENT) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let mut made = make_directories(system, parent.ok_or_else(|| failed(Errno::NOENT))?)?;
            match make() {
                Ok(()) => made.push(path.to_owned()),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed(errno)),
            }
            Ok(made)
        }
        Err(Errno::EXIST) => {
            open_directory(system, At::Path(path), path, Links::Follow)?;
            Ok(Vec::new())
        }
        Err(errno) => Err(failed(errno)),
    }
}

/// Makes `parent/name` and writes `files` into it.
pub(super) fn directory<S: System>(
    system: &S,
    parent: &Path,
    name: &OsStr,
    files: &[FileContent],
) -> Result<(), IoError> {
    let path = parent.join(name);
    persist(|| system.make_directory(At::Path(&path)))
        .map_err(|errno| IoError::system(Operation::MakeDirectory, &path, errno))?;
    let directory = open_directory(system, At::Path(&path), &path, Links::Refuse)?;
    let mut memory = Vec::new();
    files.iter().try_for_each(|file| create_file(system, &directory, &path, file, &mut memory))
}

/// Writes one more file into a directory.
pub(super) fn file<S: System>(
    system: &S,
    directory: &Path,
    file: &FileContent,
) -> Result<(), IoError> {
    let opened = open_directory(system, At::Path(directory), directory, Links::Refuse)?;
    create_file(system, &opened, directory, file, &mut Vec::new())
}

/// Writes a new file and reads it back while it is open: opening it again would take three calls
/// more, and show no other bytes.
fn create_file<S: System>(
    system: &S,
    directory: &S::File,
    path: &Path,
    file: &FileContent,
    memory: &mut Vec<u8>,
) -> Result<(), IoError> {
    let at = At::In(directory, Path::new(&file.name));
    let path = || path.join(&file.name);
    let created = persist(|| system.open(at, Opening::CreateNew))
        .map_err(|errno| IoError::system(Operation::Create, &path(), errno))?;
    write_all(system, &created, &file.bytes, 0)
        .map_err(|errno| IoError::system(Operation::Write, &path(), errno))?;
    match first_other_byte(system, &created, &file.bytes, memory) {
        Ok(None) => close(system, created, path),
        Ok(Some(offset)) => {
            Err(IoError::new(Operation::Read, &path(), IoErrorKind::NotAsWritten { offset }))
        }
        Err(errno) => Err(IoError::system(Operation::Read, &path(), errno)),
    }
}

/// So much is read back at once: it is compared while it is in the cache.
const READ_BACK_BYTES: usize = 64 << 10;

/// Where a file is not, or no longer, what was written.
fn first_other_byte<S: System>(
    system: &S,
    file: &S::File,
    written: &[u8],
    memory: &mut Vec<u8>,
) -> Result<Option<u64>, Errno> {
    let mut offset = 0;
    while offset < written.len() {
        let rest = &written[offset..];
        let room = rest.len().min(READ_BACK_BYTES);
        if memory.len() < room {
            memory.resize(room, 0);
        }
        let into = &mut memory[..room];
        let count = persist(|| system.read(file, into, offset as u64, Wait::ForDevice))?;
        if count == 0 || memory[..count] != rest[..count] {
            let same = memory[..count].iter().zip(rest).take_while(|(read, own)| read == own);
            return Ok(Some((offset + same.count()) as u64));
        }
        offset += count;
    }
    Ok(None)
}

/// Writes all of `bytes` from `offset` on: short writes go on where they ended.
fn write_all<S: System>(
    system: &S,
    file: &S::File,
    bytes: &[u8],
    offset: u64,
) -> Result<(), Errno> {
    let mut written = 0;
    while written < bytes.len() {
        match persist(|| system.write(file, &bytes[written..], offset + written as u64))? {
            // A regular file that takes nothing and gives no reason has no room.
            0 => return Err(Errno::NOSPC),
            count => written += count,
        }
    }
    Ok(())
}

/// Appends to a file that ends at `offset`.
pub(super) fn append<S: System>(
    system: &S,
    path: &Path,
    offset: u64,
    bytes: &[u8],
) -> Result<(), IoError> {
    let how = if offset == 0 { Opening::CreateNew } else { Opening::Extend };
    let file = persist(|| system.open(At::Path(path), how))
        .map_err(|errno| IoError::system(Operation::Open, path, errno))?;
    let length = inspect(system, &file, path)?.bytes;
    if length != offset {
        let kind = IoErrorKind::WrongLength { bytes: length, expected: offset };
        return Err(IoError::new(Operation::Write, path, kind));
    }
    write_all(system, &file, bytes, offset)
        .map_err(|errno| IoError::system(Operation::Write, path, errno))?;
    close(system, file, || path.to_owned())
}

/// Closes a file that was written. What a file system has not written until now, as one in a network
/// may not, fails here.
fn close<S: System>(
    system: &S,
    file: S::File,
    path: impl FnOnce() -> PathBuf,
) -> Result<(), IoError> {
    match system.close(file) {
        // It is closed by then, and its number may be another file's.
        Ok(()) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(IoError::system(Operation::Write, &path(), errno)),
    }
}
