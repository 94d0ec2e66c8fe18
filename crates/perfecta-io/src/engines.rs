//! Which backend a run has, chosen once, and an engine of it for every worker.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

use rustix::io::Errno;

use crate::blocking::BlockingEngine;
use crate::engine::Engine;
use crate::host::Host;
use crate::io_threads::IoThreads;
use crate::roots::Roots;
use crate::uring::UringEngine;

/// Who waits for devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// The ring where there is one, else plain calls.
    #[default]
    Auto,
    /// The kernel, by `io_uring`; nothing else will do.
    Uring,
    /// A few threads that make plain calls.
    Blocking,
}

/// Why there is no ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RingRefusal {
    /// `ENOSYS`.
    #[error("this kernel has no io_uring, or a seccomp filter hides it")]
    Absent,
    /// The system's setting.
    #[error("the system forbids it (kernel.io_uring_disabled = {0})")]
    Disabled(u8),
    /// `EPERM` or `EACCES` for another reason, as in most containers.
    #[error("a seccomp filter or security module forbids it")]
    Forbidden,
    /// `ENOMEM`.
    #[error("too little memory may be locked")]
    LockedMemory,
    /// `EMFILE` or `ENFILE`.
    #[error("too many files are open")]
    OpenFiles,
    /// It lacks what Linux 5.15 has.
    #[error("this kernel's io_uring is older than that of Linux 5.15")]
    Old,
    /// Not Linux.
    #[error("only Linux has io_uring")]
    OtherSystem,
    /// Another answer of the system's.
    #[error("{0}")]
    System(Errno),
}

impl RingRefusal {
    #[cfg_attr(not(ring), allow(dead_code, reason = "only a ring refuses"))]
    pub(crate) fn of(errno: Errno) -> Self {
        match errno {
            Errno::NOSYS => Self::Absent,
            Errno::PERM | Errno::ACCESS => match disabled() {
                Some(setting) => Self::Disabled(setting),
                None => Self::Forbidden,
            },
            Errno::NOMEM => Self::LockedMemory,
            Errno::MFILE | Errno::NFILE => Self::OpenFiles,
            Errno::INVAL => Self::Old,
            errno => Self::System(errno),
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::Disabled(_) => "set kernel.io_uring_disabled to 0, or choose another backend",
            Self::Forbidden | Self::Absent => {
                "allow io_uring in the container's seccomp profile, or choose another backend"
            }
            Self::LockedMemory => {
                "raise the limit of locked memory (ulimit -l), or use fewer threads"
            }
            Self::OpenFiles => "raise the limit of open files (ulimit -n), or use fewer threads",
            Self::Old | Self::OtherSystem | Self::System(_) => "choose another backend",
        }
    }
}

/// The setting that forbids rings, unless it allows them.
fn disabled() -> Option<u8> {
    let setting = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?;
    setting.trim().parse().ok().filter(|&setting| setting != 0)
}

/// A backend that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// A ring was asked for.
    #[error("io_uring cannot be used: {0}")]
    Ring(RingRefusal),
    /// Not even one thread.
    #[error("no thread can be started for I/O: {0}")]
    Threads(io::Error),
}

impl BackendError {
    /// What the user can do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Ring(refusal) => refusal.remedy(),
            Self::Threads(_) => {
                "raise the limits of processes (ulimit -u), and of addresses and data, where their stacks lie (ulimit -v, ulimit -d)"
            }
        }
    }
}

/// Makes an engine for every worker of the process, and owns the threads that they share.
#[derive(Debug)]
pub struct Engines {
    host: Host,
    choice: Choice,
    io_threads: Arc<IoThreads>,
}

/// How a backend was chosen.
#[derive(Debug, Clone, Copy)]
enum Choice {
    Ring,
    Blocking,
    BlockingForWant(RingRefusal),
}

impl Engines {
    /// Chooses a backend, by trying whether a ring can be had, and starts threads for what waits
    /// outside of it.
    ///
    /// # Errors
    /// If a ring was asked for and cannot be had, or not even one thread.
    pub fn start(backend: Backend, num_io_threads: NonZeroUsize) -> Result<Self, BackendError> {
        let choice = match backend {
            Backend::Blocking => Choice::Blocking,
            Backend::Auto | Backend::Uring => match UringEngine::new(None) {
                Ok(_) => Choice::Ring,
                Err(refusal) if backend == Backend::Auto => Choice::BlockingForWant(refusal),
                Err(refusal) => return Err(BackendError::Ring(refusal)),
            },
        };
        let io_threads = IoThreads::start(num_io_threads).map_err(BackendError::Threads)?;
        Ok(Self { host: Host::default(), choice, io_threads: Arc::new(io_threads) })
    }

    /// Confines all engines that are made from now on to what lies below `roots`.
    #[must_use]
    pub fn within(self, roots: Option<Arc<Roots>>) -> Self {
        Self { host: Host::within(roots), ..self }
    }

    /// The backend that was chosen; never [`Backend::Auto`].
    #[must_use]
    pub const fn backend(&self) -> Backend {
        match self.choice {
            Choice::Ring => Backend::Uring,
            Choice::Blocking | Choice::BlockingForWant(_) => Backend::Blocking,
        }
    }

    /// What to tell the user, once, if the better backend could not be had.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        match self.choice {
            // There never was one to be had.
            Choice::Ring | Choice::Blocking | Choice::BlockingForWant(RingRefusal::OtherSystem) => {
                None
            }
            Choice::BlockingForWant(refusal) => {
                Some(format!("io_uring is not used: {refusal}; plain calls take its place"))
            }
        }
    }

    /// An engine for the calling thread. A worker for which there is no ring any more gets one that
    /// makes plain calls.
    #[must_use]
    pub fn engine(&self) -> Box<dyn Engine> {
        let (host, io_threads) = (self.host.clone(), Some(Arc::clone(&self.io_threads)));
        match self.choice {
            Choice::Ring => match UringEngine::on(host.clone(), io_threads.clone()) {
                Ok(engine) => Box::new(engine),
                Err(_) => Box::new(BlockingEngine::on(host, io_threads)),
            },
            Choice::Blocking | Choice::BlockingForWant(_) => {
                Box::new(BlockingEngine::on(host, io_threads))
            }
        }
    }

    /// An engine whose own thread waits for everything.
    #[must_use]
    pub fn plain_engine(&self) -> Box<dyn Engine> {
        Box::new(BlockingEngine::on(self.host.clone(), None))
    }

    /// The most threads that so many workers and what works for them are: the threads for I/O, and
    /// one of the kernel's for every ring.
    #[must_use]
    pub fn threads_max(&self, num_workers: usize) -> usize {
        let num_kernel_threads = match self.choice {
            Choice::Ring => num_workers * UringEngine::KERNEL_THREADS_MAX,
            Choice::Blocking | Choice::BlockingForWant(_) => 0,
        };
        num_workers + num_kernel_threads + self.io_threads.count()
    }
}
