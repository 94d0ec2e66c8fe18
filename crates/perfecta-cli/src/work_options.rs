//! The options that say who does the work, workers and nodes, and what of these a job may have.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use clap::{Args, ValueEnum};
use perfecta_io::Backend;
use perfecta_io::pool::GuardPages;
use perfecta_io::topology::NodeSelection;
use perfecta_jobs::{MachineOptions, NodePolicy, Ramp, Share};

use crate::{machine, options};

/// Who does the work.
#[derive(Debug, Args)]
#[command(next_help_heading = "Work")]
pub(crate) struct WorkOptions {
    #[command(flatten)]
    threads: ThreadOptions,
    /// Who waits for disks
    #[arg(long, value_enum, default_value_t = BackendChoice::Auto)]
    io_backend: BackendChoice,
    /// Key files that a worker reads at once, where it has to wait for them
    #[arg(long, value_name = "N", default_value = "32", value_parser = parse_depth)]
    io_depth: NonZeroUsize,
    /// NUMA nodes to work on: all, or a list such as 0,2-3
    #[arg(long, value_name = "NODES", default_value = "all", value_parser = parse_nodes)]
    numa: NodeSelection,
    /// End the program on a write past the end of a buffer
    #[arg(long)]
    guard_pages: bool,
}

/// How many threads work.
#[derive(Debug, Args)]
pub(crate) struct ThreadOptions {
    /// Worker threads [default: as many as there are CPUs, of the nodes of --numa, or time of them for this
    /// process]
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    jobs: Option<NonZeroUsize>,
}

impl ThreadOptions {
    /// What the user says of it, or one for each CPU of these nodes.
    pub(crate) fn count(&self, nodes: &NodeSelection) -> NonZeroUsize {
        self.jobs.unwrap_or_else(|| machine::cpus(nodes))
    }
}

/// How many key files are in flight, of a job or of all jobs of a daemon.
#[derive(Debug, Args)]
pub(crate) struct FilesOptions {
    /// Key files that are begun and not done at once [default: 64, or twice the worker threads]
    #[arg(long, value_name = "N", value_parser = parse_files)]
    max_files: Option<NonZeroUsize>,
}

impl FilesOptions {
    /// What the user says of it.
    pub(crate) const fn max(&self) -> Option<NonZeroUsize> {
        self.max_files
    }
}

/// How much memory work takes, of a job or of all jobs of a daemon.
#[derive(Debug, Args)]
pub(crate) struct MemoryOptions {
    /// Memory for key files, graphs and artifacts together, such as 512M [default: three quarters of what there is]
    #[arg(long, value_name = "BYTES", value_parser = options::parse_bytes)]
    memory: Option<u64>,
}

impl MemoryOptions {
    /// What the user says of it.
    pub(crate) const fn given(&self) -> Option<u64> {
        self.memory
    }

    /// The same, or what the machine has for it.
    pub(crate) fn bytes_max(&self) -> u64 {
        self.memory.unwrap_or_else(machine::memory_bytes)
    }
}

/// What a job may have of the workers.
#[derive(Debug, Args)]
#[command(next_help_heading = "Share")]
pub(crate) struct ShareOptions {
    #[command(flatten)]
    files: FilesOptions,
    /// Attempts of one search that are made at once, at first
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_at_once)]
    per_file_initial: NonZeroU32,
    /// Attempts of one search that are made at once, at most [default: as there are worker threads]
    #[arg(long, value_name = "N", value_parser = parse_at_once)]
    per_file_max: Option<NonZeroU32>,
    /// Allow one more attempt at once after every so many milliseconds; 0 allows none beyond the first
    #[arg(long, value_name = "MS", default_value = "1", value_parser = options::parse_number)]
    ramp_ms: u64,
    /// Which node takes a key file: least-loaded, round-robin, or node:N (counted among those of --numa)
    #[arg(long, value_name = "POLICY", default_value_t)]
    node_policy: NodePolicy,
}

/// Who waits for disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BackendChoice {
    /// The kernel by `io_uring`, where it may be used, else a few threads
    Auto,
    /// The kernel by `io_uring`
    #[value(name = "io_uring", alias = "io-uring", alias = "uring")]
    Uring,
    /// A few threads
    #[value(alias = "threads")]
    Blocking,
}

/// Every thread takes memory and some open files; no machine of today gains by more.
const THREADS_MAX: usize = 512;
/// Operations that a ring holds at once; each worker has one.
const DEPTH_MAX: usize = 256;
/// Each holds a buffer and an open file.
const FILES_MAX: usize = 65_536;
/// Threads that wait for disks where no ring does, and for syncs.
const IO_THREADS: NonZeroUsize = NonZeroUsize::new(2).expect("it is not zero");

fn parse_bounded(value: &str, max: usize, what: &str) -> Result<NonZeroUsize, String> {
    let number = options::parse_number(value)?;
    let number = usize::try_from(number).ok().filter(|&number| number <= max);
    number.and_then(NonZeroUsize::new).ok_or_else(|| format!("1 to {max} {what}"))
}

fn parse_threads(value: &str) -> Result<NonZeroUsize, String> {
    parse_bounded(value, THREADS_MAX, "threads")
}

fn parse_depth(value: &str) -> Result<NonZeroUsize, String> {
    parse_bounded(value, DEPTH_MAX, "reads at once")
}

fn parse_files(value: &str) -> Result<NonZeroUsize, String> {
    parse_bounded(value, FILES_MAX, "files")
}

fn parse_at_once(value: &str) -> Result<NonZeroU32, String> {
    let number = parse_bounded(value, THREADS_MAX, "attempts at once")?;
    Ok(NonZeroU32::new(number.get() as u32).expect("it is not zero"))
}

fn parse_nodes(value: &str) -> Result<NodeSelection, String> {
    NodeSelection::parse(value).map_err(|error| error.to_string())
}

impl WorkOptions {
    /// Worker threads.
    pub(crate) fn threads(&self) -> NonZeroUsize {
        self.threads.count(&self.numa)
    }

    /// CPUs that they run on.
    pub(crate) fn cpus(&self) -> NonZeroUsize {
        machine::cpus(&self.numa)
    }

    /// Key files that a worker reads at once.
    pub(crate) const fn io_depth(&self) -> NonZeroUsize {
        self.io_depth
    }

    /// Key files that so many workers have in flight at once, where the user says nothing.
    pub(crate) fn files_in_flight_default(&self) -> NonZeroUsize {
        let default = self.threads().saturating_mul(const { NonZeroUsize::new(2).unwrap() });
        default.max(const { NonZeroUsize::new(64).unwrap() })
    }

    /// What is wanted of the machine.
    pub(crate) fn machine(&self, memory_bytes_max: u64) -> MachineOptions {
        MachineOptions {
            backend: match self.io_backend {
                BackendChoice::Auto => Backend::Auto,
                BackendChoice::Uring => Backend::Uring,
                BackendChoice::Blocking => Backend::Blocking,
            },
            workers: self.threads(),
            io_threads: IO_THREADS,
            nodes: self.numa.clone(),
            memory_bytes_max,
            guards: if self.guard_pages { GuardPages::On } else { GuardPages::default() },
            roots: None,
        }
    }
}

impl ShareOptions {
    /// What it may have beside other jobs.
    pub(crate) fn share(&self) -> Share {
        let files_in_flight_max = self.files.max().unwrap_or(NonZeroUsize::MAX);
        Share { files_in_flight_max, ..Share::default() }
    }

    /// How many attempts of one search may be made at once, by so many workers.
    pub(crate) fn ramp(&self, threads: Option<NonZeroUsize>) -> Ramp {
        let threads = threads.and_then(|threads| NonZeroU32::try_from(threads).ok());
        let bounds = [self.per_file_max, threads].into_iter().flatten();
        let most = bounds.min().unwrap_or(NonZeroU32::MAX);
        Ramp {
            initial: self.per_file_initial,
            max: most.max(self.per_file_initial),
            every: (self.ramp_ms > 0).then(|| Duration::from_millis(self.ramp_ms)),
        }
    }

    /// Which nodes take items.
    pub(crate) const fn node_policy(&self) -> NodePolicy {
        self.node_policy
    }
}
