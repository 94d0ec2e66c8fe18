//! This machine: engines of one backend, workers on their nodes, and buffers beside them.

use std::num::NonZeroUsize;
use std::sync::Arc;

use perfecta_io::pool::{BufferPool, GuardPages, PoolError, PoolOptions, PoolStatistics};
use perfecta_io::topology::{NodeSelection, Place, SelectionError, Topology, pin_current_thread};
use perfecta_io::{Backend, BackendError, Engine, Engines, Roots};

use crate::runtime::EngineSource;

/// What is wanted of a machine.
#[derive(Debug, Clone)]
pub struct MachineOptions {
    /// Who waits for devices.
    pub backend: Backend,
    /// Workers that there will be.
    pub workers: NonZeroUsize,
    /// Threads that wait for devices where no ring does, and for syncs.
    pub io_threads: NonZeroUsize,
    /// Nodes that are used.
    pub nodes: NodeSelection,
    /// Bytes of memory of all work; buffers take a part of it.
    pub memory_bytes_max: u64,
    /// Whether a write past the end of a buffer ends the process.
    pub guards: GuardPages,
    /// Where alone files are read and written, if not everywhere.
    pub roots: Option<Arc<Roots>>,
}

/// A machine that is not as it was wanted.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The backend cannot be had.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A node that was named cannot be used.
    #[error(transparent)]
    Nodes(#[from] SelectionError),
    /// The memory is too little for buffers, or the system gives none.
    #[error("no memory for buffers: {0}")]
    Pool(#[from] PoolError),
}

impl MachineError {
    /// What the user can do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Backend(error) => error.remedy(),
            Self::Nodes(_) => "name nodes that there are, or all",
            Self::Pool(PoolError::Arena(_)) => {
                "give less to --memory, or raise the limits of addresses and data (ulimit -v, ulimit -d)"
            }
            Self::Pool(_) => "give more memory",
        }
    }
}

/// This machine, or the nodes of it that are used.
#[derive(Debug)]
pub struct Machine {
    engines: Engines,
    /// Of every worker, as far as they were foreseen.
    places: Vec<Place>,
    /// Whether workers are put to their nodes: with one node there is nothing to choose.
    is_placed: bool,
    /// By node.
    pools: Vec<BufferPool>,
    notices: Vec<String>,
}

impl Machine {
    /// The part of the memory that buffers take at most.
    const POOL_SHARE: u64 = 4;
    /// More is of no use for buffers: what is larger is read into memory of its own.
    const POOL_BYTES_MAX: u64 = 256 << 20;
    /// Less holds too few chunks.
    const POOL_BYTES_MIN: u64 = 4 << 20;

    /// Looks at the machine, chooses a backend, starts its threads, and lays out buffers.
    ///
    /// # Errors
    /// [`MachineError`] if something that was asked for cannot be had. What is only worse than it
    /// could be is a notice.
    pub fn start(options: &MachineOptions) -> Result<Self, MachineError> {
        let mut notices = Vec::new();
        let topology = Topology::of_this_machine().unwrap_or_else(|error| {
            notices.push(format!("{error}; the machine is taken for one node"));
            Topology::single(perfecta_io::topology::processors_of_current_thread(), 0)
        });
        let engines = Engines::start(options.backend, options.io_threads)?;
        let engines = engines.within(options.roots.clone());
        notices.extend(engines.notice());
        let selected = topology.select(&options.nodes)?;
        let places = selected.places(options.workers.get());
        let num_nodes = selected.nodes().len();
        let budget_bytes = (options.memory_bytes_max / Self::POOL_SHARE)
            .clamp(Self::POOL_BYTES_MIN, Self::POOL_BYTES_MAX);
        let mut pools = Vec::with_capacity(num_nodes);
        for node in selected.nodes() {
            let pool = BufferPool::reserve(&PoolOptions {
                budget_bytes: (budget_bytes / num_nodes as u64).max(Self::POOL_BYTES_MIN) as usize,
                node: if num_nodes > 1 { node.memory_node() } else { None },
                guards: options.guards,
            })?;
            notices.extend(pool.warnings().iter().map(ToString::to_string));
            pools.push(pool);
        }
        let is_placed = num_nodes > 1 || options.nodes != NodeSelection::All;
        Ok(Self { engines, places, is_placed, pools, notices })
    }

    /// The backend; never [`Backend::Auto`].
    #[must_use]
    pub const fn backend(&self) -> Backend {
        self.engines.backend()
    }

    /// What the user should know of the machine, once.
    #[must_use]
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The most threads that so many workers and what works for them are.
    #[must_use]
    pub fn threads_max(&self, num_workers: usize) -> usize {
        self.engines.threads_max(num_workers)
    }

    /// What the buffers of every node were used for.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolStatistics> {
        self.pools.iter().map(BufferPool::statistics).collect()
    }
}

impl EngineSource for Machine {
    fn engine(&self) -> Box<dyn Engine> {
        self.engines.engine()
    }

    fn desk(&self) -> Box<dyn Engine> {
        self.engines.plain_engine()
    }

    fn num_nodes(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.pools.len()).expect("a machine has a node")
    }

    fn node_of(&self, worker: usize) -> usize {
        self.places[worker % self.places.len()].node_index
    }

    fn place(&self, worker: usize) -> Result<(), String> {
        if !self.is_placed {
            return Ok(());
        }
        let processors = &self.places[worker % self.places.len()].processors;
        pin_current_thread(processors).map_err(|error| error.to_string())
    }

    fn pool(&self, node: usize) -> Option<&BufferPool> {
        self.pools.get(node)
    }
}
