//! The system calls, each with the name of its operation in its errors. What only Linux has stands
//! here and nowhere else.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

use crate::error::{IoError, IoErrorKind, Operation};
use crate::op::{Entry, EntryKind, FileContent, Listing, Replace, Symlinks};

const FILE_MODE: Mode = Mode::from_raw_mode(0o644);
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);

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

fn inspect(file: &OwnedFd, path: &Path) -> Result<Stat, IoError> {
    rustix::fs::fstat(file).map_err(|errno| IoError::system(Operation::Inspect, path, errno))
}

/// What changes when a file is written, cut, or replaced.
fn version(stat: &Stat) -> impl PartialEq + use<> {
    let times = (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
    (stat.st_dev, stat.st_ino, stat.st_size, times)
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

/// What is at a path, links followed.
pub(crate) fn inspect_path(path: &Path) -> EntryKind {
    match rustix::fs::statat(CWD, path, AtFlags::empty()) {
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => EntryKind::Directory,
            kind => file_or_special(kind, &stat),
        },
        Err(errno) => EntryKind::Unreadable(IoError::system(Operation::Inspect, path, errno)),
    }
}

/// Where a path leads, absolute and without links. The part that is not there is taken by its
/// letters, as it will be once its directories are made.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, IoError> {
    let failed = |error: std::io::Error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        IoError::system(Operation::Inspect, path, errno)
    };
    let absolute = std::path::absolute(path).map_err(failed)?;
    let parts: Vec<Component<'_>> = absolute.components().collect();
    for num_there in (0..=parts.len()).rev() {
        let there: PathBuf = parts[..num_there].iter().collect();
        match there.canonicalize() {
            Ok(mut resolved) => {
                for part in &parts[num_there..] {
                    match part {
                        Component::ParentDir => drop(resolved.pop()),
                        part => resolved.push(part),
                    }
                }
                return Ok(resolved);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && num_there > 1 => {}
            Err(error) => return Err(failed(error)),
        }
    }
    unreachable!("the root is always there, or an error")
}

fn file_or_special(kind: FileType, stat: &Stat) -> EntryKind {
    match special_kind(kind) {
        None => EntryKind::File { bytes: stat.st_size as u64 },
        Some(special) => EntryKind::Special(special),
    }
}

/// Bounds of a listing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListingLimits {
    pub(crate) entries_max: usize,
    pub(crate) depth_max: usize,
}

/// All entries below `root`, in the order of their paths' bytes.
pub(crate) fn list_tree(root: &Path, limits: ListingLimits) -> Result<Listing, IoError> {
    let directory = open_directory(CWD, root, root, OFlags::empty())?;
    let mut walk = Walk { root, limits, ancestors: Vec::new(), entries: Vec::new() };
    walk.enter(&directory, Path::new(""))?;
    let mut entries = walk.entries;
    entries.sort_unstable_by(|left, right| {
        left.path.as_os_str().as_bytes().cmp(right.path.as_os_str().as_bytes())
    });
    Ok(Listing { entries })
}

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

/// A walk through a directory tree. `ancestors` are the directories that it stands in.
struct Walk<'a> {
    root: &'a Path,
    limits: ListingLimits,
    ancestors: Vec<(u64, u64)>,
    entries: Vec<Entry>,
}

impl Walk<'_> {
    fn enter(&mut self, directory: &OwnedFd, below: &Path) -> Result<(), IoError> {
        let path = self.root.join(below);
        let stat = inspect(directory, &path)?;
        self.ancestors.push(identity(&stat));
        for name in names(directory, &path)? {
            if self.entries.len() == self.limits.entries_max {
                let kind = IoErrorKind::TooManyEntries(self.limits.entries_max);
                return Err(IoError::new(Operation::List, self.root, kind));
            }
            self.visit(directory, below.join(&name), Path::new(&name))?;
        }
        self.ancestors.pop();
        Ok(())
    }

    fn visit(&mut self, parent: &OwnedFd, below: PathBuf, name: &Path) -> Result<(), IoError> {
        let stat = match rustix::fs::statat(parent, name, AtFlags::empty()) {
            Ok(stat) => stat,
            Err(errno) => {
                let kind = match errno {
                    Errno::NOENT | Errno::LOOP => EntryKind::BrokenLink,
                    errno => {
                        let path = self.root.join(&below);
                        EntryKind::Unreadable(IoError::system(Operation::Inspect, &path, errno))
                    }
                };
                self.entries.push(Entry { path: below, kind });
                return Ok(());
            }
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.descend(parent, below, name, &stat),
            kind => {
                let kind = file_or_special(kind, &stat);
                self.entries.push(Entry { path: below, kind });
                Ok(())
            }
        }
    }

    fn descend(
        &mut self,
        parent: &OwnedFd,
        below: PathBuf,
        name: &Path,
        stat: &Stat,
    ) -> Result<(), IoError> {
        if self.ancestors.contains(&identity(stat)) {
            self.entries.push(Entry { path: below, kind: EntryKind::BrokenLink });
            return Ok(());
        }
        let path = self.root.join(&below);
        if self.ancestors.len() == self.limits.depth_max {
            let kind = IoErrorKind::TooDeep(self.limits.depth_max);
            return Err(IoError::new(Operation::List, &path, kind));
        }
        match open_directory(parent, name, &path, OFlags::empty()) {
            Ok(directory) => {
                self.entries.push(Entry { path: below.clone(), kind: EntryKind::Directory });
                self.enter(&directory, &below)
            }
            Err(error) => {
                self.entries.push(Entry { path: below, kind: EntryKind::Unreadable(error) });
                Ok(())
            }
        }
    }
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// Names in the directory `path`, in the order of their bytes.
pub(crate) fn list_directory(path: &Path) -> Result<Vec<OsString>, IoError> {
    names(&open_directory(CWD, path, path, OFlags::empty())?, path)
}

/// Names in a directory, in the order of their bytes.
fn names(directory: &OwnedFd, path: &Path) -> Result<Vec<OsString>, IoError> {
    let failed = |errno| IoError::system(Operation::List, path, errno);
    let mut names = Vec::new();
    for entry in Dir::read_from(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    names.sort_unstable();
    Ok(names)
}

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

/// Moves `staged` to `target` at once.
pub(crate) fn publish(staged: &Path, target: &Path, replace: Replace) -> Result<(), IoError> {
    match rename(staged, target, replace) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST | Errno::NOTEMPTY) => {
            Err(IoError::new(Operation::Publish, target, IoErrorKind::Exists))
        }
        Err(errno) => Err(IoError::system(Operation::Publish, target, errno)),
    }
}

#[cfg(target_os = "linux")]
fn rename(staged: &Path, target: &Path, replace: Replace) -> Result<(), Errno> {
    use rustix::fs::RenameFlags;
    let flags = match replace {
        Replace::Never => RenameFlags::NOREPLACE,
        Replace::Exchange => RenameFlags::EXCHANGE,
    };
    match rustix::fs::renameat_with(CWD, staged, CWD, target, flags) {
        // NFS and some FUSE file systems know no flags.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            rename_in_steps(staged, target, replace)
        }
        renamed => renamed,
    }
}

#[cfg(not(target_os = "linux"))]
fn rename(staged: &Path, target: &Path, replace: Replace) -> Result<(), Errno> {
    rename_in_steps(staged, target, replace)
}

/// Without flags: a new target is checked for first; an exchange leaves a moment in which the
/// target is absent, never one in which it is partial, and puts the old one back if it fails.
fn rename_in_steps(staged: &Path, target: &Path, replace: Replace) -> Result<(), Errno> {
    match replace {
        Replace::Never => {
            match rustix::fs::statat(CWD, target, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => return Err(Errno::EXIST),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
            rustix::fs::renameat(CWD, staged, CWD, target)
        }
        Replace::Exchange => {
            let mut aside = staged.as_os_str().to_owned();
            aside.push(".old");
            rustix::fs::renameat(CWD, target, CWD, &*aside)?;
            if let Err(errno) = rustix::fs::renameat(CWD, staged, CWD, target) {
                rustix::fs::renameat(CWD, &*aside, CWD, target)?;
                return Err(errno);
            }
            rustix::fs::renameat(CWD, &*aside, CWD, staged)
        }
    }
}

/// Removes a file or a tree; absence is success.
pub(crate) fn remove_tree(path: &Path) -> Result<(), IoError> {
    match unlink(CWD, path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // Linux says the first of a directory, POSIX the second.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(IoError::system(Operation::Remove, path, errno)),
    }
    let directory = match open_directory(CWD, path, path, OFlags::NOFOLLOW) {
        Ok(directory) => directory,
        Err(error) if error.is_absent() => return Ok(()),
        Err(error) => return Err(error),
    };
    for name in names(&directory, path)? {
        match unlink(&directory, Path::new(&name), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) => remove_tree(&path.join(&name))?,
            Err(errno) => return Err(IoError::system(Operation::Remove, &path.join(&name), errno)),
        }
    }
    match unlink(CWD, path, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(IoError::system(Operation::Remove, path, errno)),
    }
}

fn unlink(directory: impl AsFd, name: &Path, flags: AtFlags) -> Result<(), Errno> {
    retry_on_intr(|| rustix::fs::unlinkat(&directory, name, flags))
}

/// A descriptor by which later errors of writing back are told.
pub(crate) fn open_filesystem(path: &Path) -> Result<OwnedFd, IoError> {
    open_directory(CWD, path, path, OFlags::empty())
}

/// Writes all dirty pages of a file system.
pub(crate) fn sync_filesystem(filesystem: &OwnedFd, path: &Path) -> Result<(), IoError> {
    sync_all(filesystem).map_err(|errno| IoError::system(Operation::SyncFilesystem, path, errno))
}

#[cfg(target_os = "linux")]
fn sync_all(filesystem: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::syncfs(filesystem)
}

#[cfg(not(target_os = "linux"))]
fn sync_all(_filesystem: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::sync();
    Ok(())
}

/// Writes a directory's entries.
pub(crate) fn sync_directory(path: &Path) -> Result<(), IoError> {
    let directory = open_directory(CWD, path, path, OFlags::empty())?;
    rustix::fs::fsync(&directory)
        .map_err(|errno| IoError::system(Operation::SyncDirectory, path, errno))
}

/// Creates a lock file and locks it.
pub(crate) fn create_lock(path: &Path) -> Result<OwnedFd, IoError> {
    lock(path, OFlags::CREATE | OFlags::EXCL)
}

/// Locks a lock file that is there.
pub(crate) fn try_lock(path: &Path) -> Result<OwnedFd, IoError> {
    lock(path, OFlags::empty())
}

fn lock(path: &Path, flags: OFlags) -> Result<OwnedFd, IoError> {
    use rustix::fs::FlockOperation;
    let failed = |errno| IoError::system(Operation::Lock, path, errno);
    let flags = flags | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = retry_on_intr(|| rustix::fs::openat(CWD, path, flags, FILE_MODE)).map_err(failed)?;
    match retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            return Err(IoError::new(Operation::Lock, path, IoErrorKind::Locked));
        }
        Err(errno) => return Err(failed(errno)),
    }
    // Who held the lock before may have removed the file: a lock on it protects nothing.
    if inspect(&file, path)?.st_nlink == 0 {
        return Err(IoError::new(Operation::Lock, path, IoErrorKind::Vanished));
    }
    Ok(file)
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
