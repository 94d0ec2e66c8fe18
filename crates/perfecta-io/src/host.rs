//! The host's calls. What only one system has stands here and nowhere else.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::roots::{Roots, Spot};
use crate::system::{
    At, FileKind, Links, Named, Opening, Removal, Rename, Stat, System, Told, Wait,
};

/// Of every file that is created.
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);
/// Of every directory that is made.
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);

/// Bytes of directory entries that are read at once, as the C library does.
#[cfg(target_os = "linux")]
const NAMES_BYTES: usize = 32 << 10;

/// The machine that this runs on, or what of it lies below some roots. No user names it, but it is in
/// the types of engines.
#[derive(Debug, Clone, Default)]
pub struct Host {
    roots: Option<Arc<Roots>>,
}

impl Host {
    pub(crate) const fn within(roots: Option<Arc<Roots>>) -> Self {
        Self { roots }
    }

    /// Where a name is made, moved or removed: below a root, its directory is opened first.
    fn spot<'a>(&self, at: At<'a, OwnedFd>) -> Result<Spot<'a>, Errno> {
        if let Some(roots) = &self.roots {
            return roots.spot(at);
        }
        let (directory, name) = at.split();
        Ok(Spot::Given { directory, name })
    }
}

impl<'a> At<'a, OwnedFd> {
    fn split(self) -> (BorrowedFd<'a>, &'a Path) {
        match self {
            Self::Path(path) => (CWD, path),
            Self::In(directory, name) => (directory.as_fd(), name),
        }
    }
}

impl System for Host {
    type File = OwnedFd;

    fn open(&self, at: At<'_, OwnedFd>, how: Opening) -> Result<OwnedFd, Errno> {
        let flags = match how {
            // Without waiting for anybody: a FIFO without writer or a device does not block.
            Opening::Read(links) => {
                no_follow(links) | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY
            }
            Opening::Directory(links) => no_follow(links) | OFlags::RDONLY | OFlags::DIRECTORY,
            Opening::CreateNew | Opening::CreateLock => {
                OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW
            }
            Opening::Extend => OFlags::WRONLY | OFlags::NOFOLLOW,
            Opening::Lock => OFlags::RDWR | OFlags::NOFOLLOW,
        };
        if let Some(roots) = &self.roots {
            return roots.open_file(at, flags | OFlags::CLOEXEC, FILE_MODE);
        }
        let (directory, path) = at.split();
        rustix::fs::openat(directory, path, flags | OFlags::CLOEXEC, FILE_MODE)
    }

    fn inspect(&self, file: &OwnedFd) -> Result<Stat, Errno> {
        rustix::fs::fstat(file).map(|stat| of_host(&stat))
    }

    fn inspect_at(&self, at: At<'_, OwnedFd>, links: Links) -> Result<Stat, Errno> {
        if let Some(roots) = &self.roots {
            return roots.inspect(at, links).map(|stat| of_host(&stat));
        }
        let flags = match links {
            Links::Follow => AtFlags::empty(),
            Links::Refuse => AtFlags::SYMLINK_NOFOLLOW,
        };
        let (directory, path) = at.split();
        rustix::fs::statat(directory, path, flags).map(|stat| of_host(&stat))
    }

    fn names(&self, directory: &OwnedFd) -> Result<Vec<Named>, Errno> {
        let mut names = Vec::new();
        for_every_name(directory, |name, kind| {
            if name != b"." && name != b".." {
                let name = OsString::from_vec(name.to_vec());
                let told = match kind {
                    FileType::RegularFile => Told::Regular,
                    FileType::Directory => Told::Directory,
                    _ => Told::Nothing,
                };
                names.push(Named { name, told });
            }
        })?;
        Ok(names)
    }

    fn read(
        &self,
        file: &OwnedFd,
        into: &mut [u8],
        offset: u64,
        wait: Wait,
    ) -> Result<usize, Errno> {
        match wait {
            Wait::ForDevice => rustix::io::pread(file, into, offset),
            Wait::Never => read_cached(file, into, offset),
        }
    }

    fn write(&self, file: &OwnedFd, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        rustix::io::pwrite(file, bytes, offset)
    }

    fn close(&self, file: OwnedFd) -> Result<(), Errno> {
        // SAFETY: the descriptor was owned, and is nobody's from here on.
        unsafe { rustix::io::try_close(file.into_raw_fd()) }
    }

    fn make_directory(&self, at: At<'_, OwnedFd>) -> Result<(), Errno> {
        let spot = self.spot(at)?;
        rustix::fs::mkdirat(spot.directory(), spot.name(), DIRECTORY_MODE)
    }

    fn scatter(&self, directory: &OwnedFd) -> Result<u64, Errno> {
        scatter(directory)
    }

    fn rename(&self, from: &Path, to: &Path, how: Rename) -> Result<(), Errno> {
        let (from, to) = (self.spot(At::Path(from))?, self.spot(At::Path(to))?);
        match how {
            Rename::Plain => {
                rustix::fs::renameat(from.directory(), from.name(), to.directory(), to.name())
            }
            Rename::NoReplace | Rename::Exchange => rename_with(&from, &to, how),
        }
    }

    fn remove(&self, at: At<'_, OwnedFd>, what: Removal) -> Result<(), Errno> {
        let flags = match what {
            Removal::File => AtFlags::empty(),
            Removal::Directory => AtFlags::REMOVEDIR,
        };
        let spot = self.spot(at)?;
        rustix::fs::unlinkat(spot.directory(), spot.name(), flags)
    }

    fn sync(&self, file: &OwnedFd) -> Result<(), Errno> {
        rustix::fs::fsync(file)
    }

    fn sync_filesystem(&self, file: &OwnedFd) -> Result<(), Errno> {
        sync_all(file)
    }

    fn lock(&self, file: &OwnedFd) -> Result<(), Errno> {
        rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)
    }

    fn canonical(&self, path: &Path) -> Result<PathBuf, Errno> {
        if let Some(roots) = &self.roots {
            return roots.canonical(path);
        }
        let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        path.canonicalize().map_err(errno)
    }

    fn link_target(&self, path: &Path) -> Result<PathBuf, Errno> {
        // Below roots no link is followed, and none is looked into.
        if self.roots.is_some() {
            return Err(Errno::NOENT);
        }
        path.read_link().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}

const fn no_follow(links: Links) -> OFlags {
    match links {
        Links::Follow => OFlags::empty(),
        Links::Refuse => OFlags::NOFOLLOW,
    }
}

#[allow(clippy::unnecessary_cast, reason = "the widths of these fields are each system's own")]
fn of_host(stat: &rustix::fs::Stat) -> Stat {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::Fifo => FileKind::Special("FIFO"),
        FileType::Socket => FileKind::Special("socket"),
        FileType::CharacterDevice => FileKind::Special("character device"),
        FileType::BlockDevice => FileKind::Special("block device"),
        FileType::Symlink => FileKind::Special("symbolic link"),
        FileType::Unknown => FileKind::Special("file of unknown kind"),
    };
    Stat {
        kind,
        bytes: stat.st_size as u64,
        links: stat.st_nlink as u64,
        identity: (stat.st_dev as u64, stat.st_ino as u64),
        changed: [
            stat.st_mtime as i64,
            stat.st_mtime_nsec as i64,
            stat.st_ctime as i64,
            stat.st_ctime_nsec as i64,
        ],
    }
}

/// Reads the entries by the descriptor itself: to open the directory once more would fail where as
/// many files are open as may be.
#[cfg(target_os = "linux")]
fn for_every_name(directory: &OwnedFd, mut act: impl FnMut(&[u8], FileType)) -> Result<(), Errno> {
    rustix::fs::seek(directory, rustix::fs::SeekFrom::Start(0))?;
    let mut buffer = Vec::with_capacity(NAMES_BYTES);
    let mut entries = rustix::fs::RawDir::new(directory, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        act(entry.file_name().to_bytes(), entry.file_type());
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn for_every_name(directory: &OwnedFd, mut act: impl FnMut(&[u8], FileType)) -> Result<(), Errno> {
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        act(entry.file_name().to_bytes(), entry.file_type());
    }
    Ok(())
}

/// Reads what is in memory. File systems that cannot tell are read as usual.
#[cfg(target_os = "linux")]
fn read_cached(file: &OwnedFd, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
    use rustix::io::ReadWriteFlags;
    let mut slices = [std::io::IoSliceMut::new(into)];
    match rustix::io::preadv2(file, &mut slices, offset, ReadWriteFlags::NOWAIT) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
            rustix::io::pread(file, into, offset)
        }
        read => read,
    }
}

#[cfg(not(target_os = "linux"))]
fn read_cached(file: &OwnedFd, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
    rustix::io::pread(file, into, offset)
}

#[cfg(target_os = "linux")]
fn rename_with(from: &Spot<'_>, to: &Spot<'_>, how: Rename) -> Result<(), Errno> {
    use rustix::fs::RenameFlags;
    let flags = match how {
        Rename::Plain => RenameFlags::empty(),
        Rename::NoReplace => RenameFlags::NOREPLACE,
        Rename::Exchange => RenameFlags::EXCHANGE,
    };
    rustix::fs::renameat_with(from.directory(), from.name(), to.directory(), to.name(), flags)
}

#[cfg(not(target_os = "linux"))]
fn rename_with(_from: &Spot<'_>, _to: &Spot<'_>, _how: Rename) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

/// ext4 places the directories in one with this flag like those in its root: each where there is room,
/// instead of near its parent.
#[cfg(target_os = "linux")]
fn scatter(directory: &OwnedFd) -> Result<u64, Errno> {
    use rustix::fs::{IFlags, fstatvfs, ioctl_getflags, ioctl_setflags};
    ioctl_setflags(directory, ioctl_getflags(directory)? | IFlags::TOPDIR)?;
    Ok(fstatvfs(directory)?.f_files)
}

#[cfg(not(target_os = "linux"))]
fn scatter(_directory: &OwnedFd) -> Result<u64, Errno> {
    Err(Errno::NOSYS)
}

#[cfg(target_os = "linux")]
fn sync_all(file: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::syncfs(file)
}

#[cfg(not(target_os = "linux"))]
fn sync_all(_file: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::sync();
    Ok(())
}
