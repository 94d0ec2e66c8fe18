//! Any system, with faults.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Fault, FaultPlan};
use crate::system::{At, Errno, Links, Named, Opening, Removal, Rename, Stat, System, Wait};

/// A system whose calls are numbered, and go wrong by a plan.
#[derive(Debug, Clone)]
pub(crate) struct Faulty<S> {
    system: S,
    plan: Arc<FaultPlan>,
}

/// An open file that knows its path, for the log.
#[derive(Debug)]
pub(crate) struct FaultyFile<F> {
    file: F,
    path: PathBuf,
}

impl<F: AsFd> AsFd for FaultyFile<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl<'a, F> At<'a, FaultyFile<F>> {
    fn inner(self) -> At<'a, F> {
        match self {
            Self::Path(path) => At::Path(path),
            Self::In(directory, name) => At::In(&directory.file, name),
        }
    }

    fn path(self) -> PathBuf {
        match self {
            Self::Path(path) => path.to_owned(),
            Self::In(directory, name) => directory.path.join(name),
        }
    }
}

impl<S: System> Faulty<S> {
    pub(crate) const fn new(system: S, plan: Arc<FaultPlan>) -> Self {
        Self { system, plan }
    }

    pub(crate) const fn plan(&self) -> &Arc<FaultPlan> {
        &self.plan
    }

    /// Makes a call, or lets it go wrong.
    fn call<T>(
        &self,
        name: &'static str,
        path: &Path,
        make: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        self.counted(name, path, usize::MAX, |_| make(), |_| 0)
    }

    /// Makes a call for so many bytes, or for fewer, or lets it go wrong.
    fn counted<T>(
        &self,
        name: &'static str,
        path: &Path,
        bytes: usize,
        make: impl FnOnce(usize) -> Result<T, Errno>,
        count: impl FnOnce(&T) -> u64,
    ) -> Result<T, Errno> {
        let (number, fault) = self.plan.begin(name, path);
        let made = match fault {
            None => make(bytes),
            Some(Fault::Errno(errno)) => Err(Errno::from_raw_os_error(errno)),
            // Nothing at all would be the end of a file.
            Some(Fault::ShortByOne) => make(if bytes > 1 { bytes - 1 } else { bytes }),
            Some(Fault::ShortByHalf) => make(if bytes > 1 { bytes / 2 } else { bytes }),
            Some(Fault::Delay(time)) => {
                self.system.pass(time);
                make(bytes)
            }
        };
        let answer = made.as_ref().map(count).map_err(|errno| errno.raw_os_error());
        self.plan.end(number, answer);
        made
    }

    /// Makes a sync, which loses what it should have written if it goes wrong.
    fn synced(
        &self,
        name: &'static str,
        file: &FaultyFile<S::File>,
        make: impl FnOnce() -> Result<(), Errno>,
        lose: impl FnOnce(),
    ) -> Result<(), Errno> {
        let made = self.call(name, &file.path, make);
        if made.is_err_and(|errno| errno != Errno::INTR) {
            lose();
        }
        made
    }
}

impl<S: System> System for Faulty<S> {
    type File = FaultyFile<S::File>;

    fn open(&self, at: At<'_, Self::File>, how: Opening) -> Result<Self::File, Errno> {
        let path = at.path();
        let name = match how {
            Opening::Read(_) => "open",
            Opening::Directory(_) => "open directory",
            Opening::CreateNew | Opening::CreateLock => "create",
            Opening::Extend => "open to extend",
            Opening::Lock => "open to lock",
        };
        let file = self.call(name, &path, || self.system.open(at.inner(), how))?;
        Ok(FaultyFile { file, path })
    }

    fn inspect(&self, file: &Self::File) -> Result<Stat, Errno> {
        self.call("inspect", &file.path, || self.system.inspect(&file.file))
    }

    fn inspect_at(&self, at: At<'_, Self::File>, links: Links) -> Result<Stat, Errno> {
        self.call("inspect", &at.path(), || self.system.inspect_at(at.inner(), links))
    }

    fn names(&self, directory: &Self::File) -> Result<Vec<Named>, Errno> {
        self.call("list", &directory.path, || self.system.names(&directory.file))
    }

    fn read(
        &self,
        file: &Self::File,
        into: &mut [u8],
        offset: u64,
        wait: Wait,
    ) -> Result<usize, Errno> {
        let (name, asked) = match wait {
            Wait::Never => ("read what is in memory", into.len()),
            Wait::ForDevice => ("read", into.len()),
        };
        let read = |bytes: usize| self.system.read(&file.file, &mut into[..bytes], offset, wait);
        self.counted(name, &file.path, asked, read, |&count| count as u64)
    }

    fn before_read(&self, file: &Self::File, bytes: usize) -> Result<usize, Errno> {
        let allow = |bytes| self.system.before_read(&file.file, bytes);
        self.counted("read", &file.path, bytes, allow, |&count| count as u64)
    }

    fn write(&self, file: &Self::File, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        let write = |count: usize| self.system.write(&file.file, &bytes[..count], offset);
        self.counted("write", &file.path, bytes.len(), write, |&count| count as u64)
    }

    fn close(&self, file: Self::File) -> Result<(), Errno> {
        let FaultyFile { file, path } = file;
        self.call("close", &path, || self.system.close(file))
    }

    fn make_directory(&self, at: At<'_, Self::File>) -> Result<(), Errno> {
        self.call("make directory", &at.path(), || self.system.make_directory(at.inner()))
    }

    fn scatter(&self, directory: &Self::File) -> Result<u64, Errno> {
        self.call("scatter", &directory.path, || self.system.scatter(&directory.file))
    }

    fn rename(&self, from: &Path, to: &Path, how: Rename) -> Result<(), Errno> {
        let name = match how {
            Rename::Plain => "rename to",
            Rename::NoReplace => "rename without replacing to",
            Rename::Exchange => "exchange with",
        };
        self.call(name, to, || self.system.rename(from, to, how))
    }

    fn remove(&self, at: At<'_, Self::File>, what: Removal) -> Result<(), Errno> {
        let name = match what {
            Removal::File => "remove",
            Removal::Directory => "remove directory",
        };
        self.call(name, &at.path(), || self.system.remove(at.inner(), what))
    }

    fn sync(&self, file: &Self::File) -> Result<(), Errno> {
        let (make, lose) = (|| self.system.sync(&file.file), || self.system.lose(&file.file));
        self.synced("sync", file, make, lose)
    }

    fn sync_filesystem(&self, file: &Self::File) -> Result<(), Errno> {
        let make = || self.system.sync_filesystem(&file.file);
        self.synced("sync file system", file, make, || self.system.lose_filesystem(&file.file))
    }

    fn lock(&self, file: &Self::File) -> Result<(), Errno> {
        self.call("lock", &file.path, || self.system.lock(&file.file))
    }

    fn canonical(&self, path: &Path) -> Result<PathBuf, Errno> {
        self.call("resolve", path, || self.system.canonical(path))
    }

    fn link_target(&self, path: &Path) -> Result<PathBuf, Errno> {
        self.call("read link", path, || self.system.link_target(path))
    }
}
