//! The backends under test, and the machine that each of them works on: a directory of the host's,
//! or a simulated machine.

#![allow(dead_code, reason = "every test file takes a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

#[cfg(target_os = "linux")]
use perfecta_io::UringEngine;
use perfecta_io::{
    Backend as Choice, BlockingEngine, Clock, Engine, Engines, EntryKind, FaultPlan, IoThreads,
    SimulatedMachine, SystemClock,
};

/// A backend, by name.
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    pub(crate) start: fn(Option<&Arc<FaultPlan>>) -> Started,
}

/// An engine, and the machine that it works on.
pub(crate) type Started = (Box<dyn Engine>, Arc<dyn World>);

/// Every backend, and what users have who choose none.
pub(crate) fn backends() -> Vec<Backend> {
    let mut backends = backends_with_faults();
    backends.push(Backend {
        name: "chosen",
        start: |plan| {
            assert!(plan.is_none(), "what is chosen is another backend, which takes a plan");
            on_host(Engines::start(Choice::Auto, NonZeroUsize::MIN).unwrap().engine())
        },
    });
    backends
}

/// Every backend; each starts as users have it, or with calls that go wrong by a plan.
pub(crate) fn backends_with_faults() -> Vec<Backend> {
    let mut backends = vec![
        Backend { name: "blocking", start: |plan| on_host(blocking(None, plan)) },
        Backend {
            name: "blocking with threads",
            start: |plan| on_host(blocking(Some(io_threads()), plan)),
        },
        Backend { name: "simulated, seed 1", start: |plan| simulated(1, plan) },
        Backend { name: "simulated, seed 2", start: |plan| simulated(2, plan) },
    ];
    #[cfg(target_os = "linux")]
    if UringEngine::new(None).is_ok() {
        backends.push(Backend { name: "ring", start: |plan| on_host(ring(None, plan)) });
        backends.push(Backend {
            name: "ring with threads",
            start: |plan| on_host(ring(Some(io_threads()), plan)),
        });
    }
    backends
}

#[cfg(target_os = "linux")]
fn ring(threads: Option<Arc<IoThreads>>, plan: Option<&Arc<FaultPlan>>) -> Box<dyn Engine> {
    match plan {
        None => Box::new(UringEngine::new(threads).unwrap()),
        Some(plan) => Box::new(UringEngine::with_faults(threads, Arc::clone(plan)).unwrap()),
    }
}

fn blocking(threads: Option<Arc<IoThreads>>, plan: Option<&Arc<FaultPlan>>) -> Box<dyn Engine> {
    match plan {
        None => Box::new(BlockingEngine::new(threads)),
        Some(plan) => Box::new(BlockingEngine::with_faults(threads, Arc::clone(plan))),
    }
}

fn io_threads() -> Arc<IoThreads> {
    static THREADS: LazyLock<Arc<IoThreads>> =
        LazyLock::new(|| Arc::new(IoThreads::start(NonZeroUsize::new(2).unwrap()).unwrap()));
    Arc::clone(&THREADS)
}

fn on_host(engine: Box<dyn Engine>) -> Started {
    (engine, Arc::new(tempfile::tempdir().unwrap()))
}

fn simulated(seed: u64, plan: Option<&Arc<FaultPlan>>) -> Started {
    let machine = SimulatedMachine::new(seed);
    machine.make_directories(Path::new(SIMULATED_ROOT));
    let engine = machine.engine(&plan.map(Arc::clone).unwrap_or_default());
    (Box::new(engine), Arc::new(machine))
}

const SIMULATED_ROOT: &str = "/root";

/// A machine, as seen by no engine. Names are those below [`World::root`].
pub(crate) trait World: Send + Sync {
    /// An empty directory.
    fn root(&self) -> &Path;
    fn write_at(&self, path: &Path, bytes: &[u8]);
    fn write(&self, name: &str, bytes: &[u8]) {
        self.write_at(&self.root().join(name), bytes);
    }
    fn make_directories(&self, name: &str);
    fn make_link(&self, name: &str, target: &str);
    fn rename(&self, from: &str, to: &str);
    /// An empty one.
    fn remove_directory(&self, name: &str);
    fn make_fifo(&self, name: &str);
    fn make_socket(&self, name: &str);
    /// A character device.
    fn device(&self) -> PathBuf;
    /// A file that says that it is empty and is not.
    fn file_without_length(&self) -> PathBuf;
    fn read(&self, name: &str) -> Option<Vec<u8>>;
    /// What is there, links followed.
    fn inspect(&self, name: &str) -> Option<EntryKind>;
    /// Has files on the device.
    fn sync(&self, paths: &[PathBuf]);
    /// Lets go of what is in memory of files, where their file system does so.
    fn evict(&self, paths: &[PathBuf]);
    /// By which engines wait.
    fn clock(&self) -> &dyn Clock;
}

impl World for tempfile::TempDir {
    fn root(&self) -> &Path {
        self.path()
    }

    fn write_at(&self, path: &Path, bytes: &[u8]) {
        std::fs::write(path, bytes).unwrap();
    }

    fn make_directories(&self, name: &str) {
        std::fs::create_dir_all(self.path().join(name)).unwrap();
    }

    fn make_link(&self, name: &str, target: &str) {
        std::os::unix::fs::symlink(target, self.path().join(name)).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path().join(from), self.path().join(to)).unwrap();
    }

    fn remove_directory(&self, name: &str) {
        std::fs::remove_dir(self.path().join(name)).unwrap();
    }

    fn make_fifo(&self, name: &str) {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let (fifo, path) = (rustix::fs::FileType::Fifo, self.path().join(name));
        rustix::fs::mknodat(rustix::fs::CWD, path, fifo, mode, 0).unwrap();
    }

    fn make_socket(&self, name: &str) {
        // Its name stays when it is closed.
        drop(std::os::unix::net::UnixListener::bind(self.path().join(name)).unwrap());
    }

    fn device(&self) -> PathBuf {
        PathBuf::from("/dev/zero")
    }

    fn file_without_length(&self) -> PathBuf {
        PathBuf::from("/proc/self/stat")
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.path().join(name)).ok()
    }

    fn inspect(&self, name: &str) -> Option<EntryKind> {
        let metadata = std::fs::metadata(self.path().join(name)).ok()?;
        let is_directory = metadata.is_dir();
        let file = EntryKind::File { bytes: metadata.len() };
        Some(if is_directory { EntryKind::Directory } else { file })
    }

    fn sync(&self, paths: &[PathBuf]) {
        // Has all of them written at once before each is waited for.
        self.evict(paths);
        for path in paths {
            std::fs::File::open(path).unwrap().sync_all().unwrap();
        }
    }

    fn evict(&self, paths: &[PathBuf]) {
        for path in paths {
            let file = std::fs::File::open(path).unwrap();
            #[cfg(target_os = "linux")]
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            drop(file);
        }
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }
}

impl World for SimulatedMachine {
    fn root(&self) -> &Path {
        Path::new(SIMULATED_ROOT)
    }

    fn write_at(&self, path: &Path, bytes: &[u8]) {
        self.write_file(path, bytes);
    }

    fn make_directories(&self, name: &str) {
        Self::make_directories(self, &self.root().join(name));
    }

    fn make_link(&self, name: &str, target: &str) {
        Self::make_link(self, &self.root().join(name), Path::new(target));
    }

    fn rename(&self, from: &str, to: &str) {
        Self::rename(self, &self.root().join(from), &self.root().join(to));
    }

    fn remove_directory(&self, name: &str) {
        Self::remove_directory(self, &self.root().join(name));
    }

    fn make_fifo(&self, name: &str) {
        self.make_special(&self.root().join(name), "FIFO");
    }

    fn make_socket(&self, name: &str) {
        self.make_special(&self.root().join(name), "socket");
    }

    fn device(&self) -> PathBuf {
        let path = PathBuf::from("/zero");
        self.make_special(&path, "character device");
        path
    }

    fn file_without_length(&self) -> PathBuf {
        let path = PathBuf::from("/status");
        self.make_file_without_length(&path, b"1 (simulated) R");
        path
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.read_file(&self.root().join(name))
    }

    fn inspect(&self, name: &str) -> Option<EntryKind> {
        Self::inspect(self, &self.root().join(name))
    }

    fn sync(&self, _paths: &[PathBuf]) {}

    // What is in memory is drawn at each read.
    fn evict(&self, _paths: &[PathBuf]) {}

    fn clock(&self) -> &dyn Clock {
        self
    }
}
