//! Whole files, directories of them, and parts: nothing is waited for, and what changes meanwhile is
//! an error.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

use super::list::names;
use super::{inspect, open_directory, special_kind};
use crate::error::{IoError, IoErrorKind, Operation};
use crate::op::{FileContent, Symlinks};

/// Reads a regular file that stays the same meanwhile.
pub(crate) fn read_file(
    path: &Path,
    buffer: &mut Vec<u8>,
    bytes_max: u64,
    symlinks: Symlinks,
) -> Result<(), IoError> {
    let flags = match symlinks {
        Symlinks::Follow => OFlags::empty(),
        Symlinks::Refuse => OFlags::NOFOLLOW,
    };
    let file = open_to_read(CWD, path, path, flags)?;
    read_open_file(&file, path, buffer, bytes_max)
}

/// Opens without waiting for anybody: a FIFO without writer or a device does not block.
fn open_to_read(
    directory: impl AsFd,
    name: &Path,
    path: &Path,
    flags: OFlags,
) -> Result<OwnedFd, IoError> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = retry_on_intr(|| rustix::fs::openat(&directory, name, flags, Mode::empty()));
    opened.map_err(|errno| match errno {
        Errno::NXIO => IoError::new(Operation::Open, path, IoErrorKind::NotAFile("socket")),
        errno => IoError::system(Operation::Open, path, errno),
    })
}

fn read_open_file(
    file: &OwnedFd,
    path: &Path,
    buffer: &mut Vec<u8>,
    bytes_max: u64,
) -> Result<(), IoError> {
    let before = inspect(file, path)?;
    if let Some(kind) = special_kind(FileType::from_raw_mode(before.st_mode)) {
        return Err(IoError::new(Operation::Read, path, IoErrorKind::NotAFile(kind)));
    }
    let bytes = before.st_size as u64;
    if bytes > bytes_max {
        let kind = IoErrorKind::TooLarge { bytes, bytes_max };
        return Err(IoError::new(Operation::Read, path, kind));
    }
    let bytes = bytes as usize;
    buffer.clear();
    // One byte more than expected, so that a file that grew is seen.
    buffer.reserve(bytes + 1);
    loop {
        let count = retry_on_intr(|| rustix::io::read(file, spare_capacity(buffer)))
            .map_err(|errno| IoError::system(Operation::Read, path, errno))?;
        if count == 0 || buffer.len() >= bytes {
            break;
        }
    }
    let after = inspect(file, path)?;
    if buffer.len() != bytes || version(&before) != version(&after) {
        return Err(IoError::new(Operation::Read, path, IoErrorKind::Changed));
    }
    Ok(())
}

/// What changes when a file is written, cut, or replaced.
fn version(stat: &Stat) -> impl PartialEq + use<> {
    let times = (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
    (stat.st_dev, stat.st_ino, stat.st_size, times)
}

/// Reads every file of a directory.
pub(crate) fn read_directory(path: &Path, bytes_max: u64) -> Result<Vec<FileContent>, IoError> {
    let directory = open_directory(CWD, path, path, OFlags::NOFOLLOW)?;
    let mut left = bytes_max;
    let mut files = Vec::new();
    for name in names(&directory, path)? {
        let file_path = path.join(&name);
        let file = open_to_read(&directory, Path::new(&name), &file_path, OFlags::NOFOLLOW)?;
        let mut bytes = Vec::new();
        read_open_file(&file, &file_path, &mut bytes, left)?;
        left -= bytes.len() as u64;
        files.push(FileContent { name, bytes });
    }
    Ok(files)
}

/// Reads back a part of a file.
pub(crate) fn read_range(
    path: &Path,
    offset: u64,
    bytes: usize,
    buffer: &mut Vec<u8>,
) -> Result<(), IoError> {
    let file = open_to_read(CWD, path, path, OFlags::NOFOLLOW)?;
    buffer.clear();
    buffer.resize(bytes, 0);
    let mut filled = 0;
    while filled < bytes {
        let rest = &mut buffer[filled..];
        let count = retry_on_intr(|| rustix::io::pread(&file, &mut *rest, offset + filled as u64))
            .map_err(|errno| IoError::system(Operation::Read, path, errno))?;
        if count == 0 {
            let (bytes, expected) = (offset + filled as u64, offset + bytes as u64);
            let kind = IoErrorKind::WrongLength { bytes, expected };
            return Err(IoError::new(Operation::Read, path, kind));
        }
        filled += count;
    }
    Ok(())
}
