//! The system calls, each with the name of its operation in its errors. What only Linux has stands
//! in these files and nowhere else.

mod read;
mod write;

mod list;
mod publish;
mod sync;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::retry_on_intr;

pub(crate) use self::list::{ListingLimits, inspect_path, list_directory, list_tree, resolve};
pub(crate) use self::publish::{publish, remove_tree};
pub(crate) use self::read::{read_directory, read_file, read_range};
pub(crate) use self::sync::{
    create_lock, open_filesystem, sync_directory, sync_filesystem, try_lock,
};
pub(crate) use self::write::{append, make_directories, write_directory, write_file};
use crate::error::{IoError, Operation};

/// Of every file that is created.
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);

/// Opens a directory; `path` is how errors call it.
fn open_directory(
    parent: impl AsFd,
    name: &Path,
    path: &Path,
    flags: OFlags,
) -> Result<OwnedFd, IoError> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
    retry_on_intr(|| rustix::fs::openat(&parent, name, flags, Mode::empty()))
        .map_err(|errno| IoError::system(Operation::Open, path, errno))
}

fn inspect(file: &OwnedFd, path: &Path) -> Result<Stat, IoError> {
    rustix::fs::fstat(file).map_err(|errno| IoError::system(Operation::Inspect, path, errno))
}

/// The kind's name, unless it is a regular file.
fn special_kind(kind: FileType) -> Option<&'static str> {
    match kind {
        FileType::RegularFile => None,
        FileType::Directory => Some("directory"),
        FileType::Fifo => Some("FIFO"),
        FileType::Socket => Some("socket"),
        FileType::CharacterDevice => Some("character device"),
        FileType::BlockDevice => Some("block device"),
        FileType::Symlink => Some("symbolic link"),
        FileType::Unknown => Some("file of unknown kind"),
    }
}
