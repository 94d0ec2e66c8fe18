//! New directories and files, and appending: short writes go on, nothing that exists is overwritten.

use std::ffi::OsStr;
use std::path::Path;

use super::{inspect, open_directory, persist};
use crate::error::{IoError, IoErrorKind, Operation};
use crate::op::FileContent;
use crate::system::{At, Errno, Links, Opening, System};

/// Makes a directory and those above it that are missing.
pub(super) fn make_directories<S: System>(system: &S, path: &Path) -> Result<(), IoError> {
    let failed = |errno| IoError::system(Operation::MakeDirectory, path, errno);
    let make = || persist(|| system.make_directory(At::Path(path)));
    match make() {
        Ok(()) => Ok(()),
        Err(Errno::NOENT) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            make_directories(system, parent.ok_or_else(|| failed(Errno::NOENT))?)?;
            match make() {
                Ok(()) | Err(Errno::EXIST) => Ok(()),
                Err(errno) => Err(failed(errno)),
            }
        }
        Err(Errno::EXIST) => open_directory(system, At::Path(path), path, Links::Follow).map(drop),
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
    files.iter().try_for_each(|file| create_file(system, &directory, &path, file))
}

/// Writes one more file into a directory.
pub(super) fn file<S: System>(
    system: &S,
    directory: &Path,
    file: &FileContent,
) -> Result<(), IoError> {
    let opened = open_directory(system, At::Path(directory), directory, Links::Refuse)?;
    create_file(system, &opened, directory, file)
}

fn create_file<S: System>(
    system: &S,
    directory: &S::File,
    path: &Path,
    file: &FileContent,
) -> Result<(), IoError> {
    let at = At::In(directory, Path::new(&file.name));
    let created = persist(|| system.open(at, Opening::CreateNew))
        .map_err(|errno| IoError::system(Operation::Create, &path.join(&file.name), errno))?;
    write_all(system, &created, &file.bytes, 0)
        .map_err(|errno| IoError::system(Operation::Write, &path.join(&file.name), errno))
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
        .map_err(|errno| IoError::system(Operation::Write, path, errno))
}
