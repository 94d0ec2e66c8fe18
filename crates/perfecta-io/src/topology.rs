//! The machine as data: which nodes have which processors and how much memory, and which of these
//! we may use.
//!
//! A [`Topology`] is read once, from a root directory that is an argument, so that every machine
//! that can be described by a few text files can be tested. What the process may not use (control
//! group, affinity) is not in it: no later stage has to ask again. Whoever wants less takes a
//! [`NodeSelection`]; workers get their [`Place`]s from what is left.

mod affinity;
mod limits;
mod places;
mod processors;
mod selection;
mod sysfs;
#[cfg(test)]
mod tests;

pub use self::affinity::{PlacementError, pin_current_thread, processors_of_current_thread};
pub use self::places::Place;
pub use self::processors::{ListError, ProcessorSet};
pub use self::selection::{NodeSelection, SelectionError};
pub use self::sysfs::TopologyError;

use std::path::Path;

/// Bytes of memory that the control groups of this process leave it; `None` if they limit nothing.
#[must_use]
pub fn memory_bytes_of_groups() -> Option<u64> {
    limits::memory_bytes(Path::new("/"))
}

/// Memory and the processors next to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The system's number for it.
    pub id: u32,
    /// Its processors that we may run on; none for a node of memory alone.
    pub processors: ProcessorSet,
    /// Its memory, 0 if it has none or we may not use it.
    pub memory_bytes: u64,
}

impl Node {
    /// The node to bind memory to for those who run here. `None` where there is nothing to bind to:
    /// then the system takes the nearest memory when a page is first touched.
    #[must_use]
    pub fn memory_node(&self) -> Option<u32> {
        (self.memory_bytes > 0).then_some(self.id)
    }
}

/// Nodes that we may use, in the order of their numbers.
///
/// Invariants: every processor belongs to one node; one node at least has processors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    nodes: Vec<Node>,
    /// From the control group's quota: so many processors' worth of time.
    quota: Option<usize>,
}

impl Topology {
    /// One node of all `processors`: for systems that say nothing of nodes.
    ///
    /// # Panics
    /// If there are no processors: somebody runs this.
    #[must_use]
    pub fn single(processors: ProcessorSet, memory_bytes: u64) -> Self {
        Self::new(vec![Node { id: 0, processors, memory_bytes }], None)
    }

    /// A machine that is not there, from `"NODESxPROCESSORS"`: `2x4` has two nodes of four
    /// processors each. Its nodes have no memory to bind to.
    ///
    /// # Errors
    /// [`ListError`] with the description, if it is not of that form or beyond the limits.
    #[cfg(test)]
    pub(crate) fn synthetic(description: &str) -> Result<Self, ListError> {
        let refused = || ListError::new(description, description);
        let (nodes, processors) = description.split_once('x').ok_or_else(refused)?;
        let nodes: u32 = nodes.parse().map_err(|_| refused())?;
        let processors: u32 = processors.parse().map_err(|_| refused())?;
        let total = nodes.checked_mul(processors).ok_or_else(refused)?;
        if total == 0 || total > ProcessorSet::PROCESSORS_MAX || nodes > Self::NODES_MAX {
            return Err(refused());
        }
        let node = |id: u32| Node {
            id,
            processors: (id * processors..(id + 1) * processors).collect(),
            memory_bytes: 0,
        };
        Ok(Self::new((0..nodes).map(node).collect(), None))
    }

    /// The most nodes that any system numbers (Linux: `CONFIG_NODES_SHIFT` is 10 at most).
    pub const NODES_MAX: u32 = 1024;

    fn new(nodes: Vec<Node>, quota: Option<usize>) -> Self {
        assert!(nodes.is_sorted_by_key(|node| node.id), "nodes are ordered by number");
        let topology = Self { nodes, quota };
        assert!(topology.num_processors() > 0, "a topology has processors");
        topology
    }

    /// The nodes, ordered by number.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Processors of all nodes.
    #[must_use]
    pub fn num_processors(&self) -> usize {
        self.nodes.iter().map(|node| node.processors.len()).sum()
    }

    /// How many processors' worth of time we get: as many as there are, or fewer where the control
    /// group has a quota. Parts count as a whole: one and a half keep two threads busy.
    #[must_use]
    pub fn num_useful_processors(&self) -> usize {
        self.quota.map_or(self.num_processors(), |quota| quota.min(self.num_processors()))
    }

    fn numbers(&self) -> ProcessorSet {
        self.nodes.iter().map(|node| node.id).collect()
    }
}
