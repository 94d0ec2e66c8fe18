//! New directories and files, and appending: short writes go on, nothing that exists is overwritten.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::{FILE_MODE, inspect, open_directory};
use crate::error::{IoError, IoErrorKind, Operation};
use crate::op::FileContent;

const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);

/// Makes a directory and those above it that are missing.
pub(crate) fn make_directories(path: &Path) -> Result<(), IoError> {
    let made = retry_on_intr(|| rustix::fs::mkdirat(CWD, path, DIRECTORY_MODE));
    match made {
        Ok(()) => Ok(()),
        Err(Errno::NOENT) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let absent = || IoError::system(Operation::MakeDirectory, path, Errno::NOENT);
            make_directories(parent.ok_or_else(absent)?)?;
            match rustix::fs::mkdirat(CWD, path, DIRECTORY_MODE) {
                Ok(()) | Err(Errno::EXIST) => Ok(()),
                Err(errno) => Err(IoError::system(Operation::MakeDirectory, path, errno)),
            }
        }
        Err(Errno::EXIST) => open_directory(CWD, path, path, OFlags::empty()).map(drop),
        Err(errno) => Err(IoError::system(Operation::MakeDirectory, path, errno)),
    }
}

/// Makes `parent/name` and writes `files` into it.
pub(crate) fn write_directory(
    parent: &Path,
    name: &OsStr,
    files: &[FileContent],
) -> Result<(), IoError> {
    let path = parent.join(name);
    rustix::fs::mkdirat(CWD, &path, DIRECTORY_MODE)
        .map_err(|errno| IoError::system(Operation::MakeDirectory, &path, errno))?;
    let directory = open_directory(CWD, &path, &path, OFlags::NOFOLLOW)?;
    files.iter().try_for_each(|file| create_file(&directory, &path, file))
}

/// Writes one more file into a directory.
pub(crate) fn write_file(directory: &Path, file: &FileContent) -> Result<(), IoError> {
    let opened = open_directory(CWD, directory, directory, OFlags::NOFOLLOW)?;
    create_file(&opened, directory, file)
}

fn create_file(directory: &OwnedFd, path: &Path, file: &FileContent) -> Result<(), IoError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let created = retry_on_intr(|| rustix::fs::openat(directory, &*file.name, flags, FILE_MODE))
        .map_err(|errno| IoError::system(Operation::Create, &path.join(&file.name), errno))?;
    write_all(&file.bytes, |rest, _| rustix::io::write(&created, rest))
        .map_err(|errno| IoError::system(Operation::Write, &path.join(&file.name), errno))
}

/// Writes all of `bytes`: short writes go on where they ended. `write` gets what is left and its
/// offset in `bytes`.
fn write_all(
    bytes: &[u8],
    mut write: impl FnMut(&[u8], usize) -> Result<usize, Errno>,
) -> Result<(), Errno> {
    let mut written = 0;
    while written < bytes.len() {
        match retry_on_intr(|| write(&bytes[written..], written))? {
            // A regular file that takes nothing and gives no reason has no room.
            0 => return Err(Errno::NOSPC),
            count => written += count,
        }
    }
    Ok(())
}

/// Appends to a file that ends at `offset`.
pub(crate) fn append(path: &Path, offset: u64, bytes: &[u8]) -> Result<(), IoError> {
    let create = if offset == 0 { OFlags::CREATE | OFlags::EXCL } else { OFlags::empty() };
    let flags = create | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = retry_on_intr(|| rustix::fs::openat(CWD, path, flags, FILE_MODE))
        .map_err(|errno| IoError::system(Operation::Open, path, errno))?;
    let length = inspect(&file, path)?.st_size as u64;
    if length != offset {
        let kind = IoErrorKind::WrongLength { bytes: length, expected: offset };
        return Err(IoError::new(Operation::Write, path, kind));
    }
    write_all(bytes, |rest, written| rustix::io::pwrite(&file, rest, offset + written as u64))
        .map_err(|errno| IoError::system(Operation::Write, path, errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_write_goes_on_where_it_ended() {
        let mut taken = Vec::new();
        let written = write_all(b"perfect hash", |rest, offset| {
            assert_eq!(offset, taken.len());
            let count = rest.len().min(5);
            taken.extend_from_slice(&rest[..count]);
            Ok(count)
        });
        assert_eq!((written, &taken[..]), (Ok(()), &b"perfect hash"[..]));
    }

    #[test]
    fn an_interrupted_write_is_made_again_and_a_full_disk_ends_it() {
        let mut answers = [Err(Errno::INTR), Ok(3), Err(Errno::NOSPC)].into_iter();
        let written = write_all(b"perfect", |_, _| answers.next().unwrap());
        assert_eq!(written, Err(Errno::NOSPC));
        assert_eq!(answers.next(), None);
        assert_eq!(write_all(b"x", |_, _| Ok(0)), Err(Errno::NOSPC));
    }
}
