//! Reads the topology from the kernel's files.
//!
//! What is absent is not asked for: a kernel without nodes, or a container that hides them, is one
//! node. What is there and cannot be read as expected is an error, and the caller can go on with
//! [`Topology::single`].

use std::fs;
use std::path::{Path, PathBuf};

use super::processors::ProcessorSet;
use super::{Node, Topology, limits, processors_of_current_thread};

/// A file of the kernel does not say what it says elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", .path.display())]
pub struct TopologyError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl Topology {
    /// This machine, as far as the calling thread may use it.
    ///
    /// # Errors
    /// [`TopologyError`] with the file that cannot be understood.
    pub fn of_this_machine() -> Result<Self, TopologyError> {
        Self::read(Path::new("/"), &processors_of_current_thread())
    }

    /// The machine whose `sys` and `proc` are below `root`, as far as we are `allowed` to use it:
    /// processors that are offline or outside the control group's set are left out, and so are
    /// nodes of which nothing is left. Memory that the control group forbids counts as none.
    ///
    /// # Errors
    /// [`TopologyError`] with the file that cannot be understood.
    ///
    /// # Panics
    /// If `allowed` is empty: somebody runs this.
    pub fn read(root: &Path, allowed: &ProcessorSet) -> Result<Self, TopologyError> {
        let usable = usable_processors(root, allowed)?;
        let mut nodes = nodes_of(root, &usable)?;
        give_strays_a_home(&mut nodes, &usable);
        nodes.retain(|node| !node.processors.is_empty() || node.memory_bytes > 0);
        if nodes.is_empty() {
            let memory_bytes = memory_bytes(&root.join("proc/meminfo"))?;
            nodes.push(Node { id: 0, processors: usable, memory_bytes });
        }
        Ok(Self::new(nodes, limits::num_processors(root)))
    }
}

/// Allowed by affinity and control group, and online. A set that contradicts all others (it can
/// change between two reads) is not believed: we do run somewhere.
fn usable_processors(root: &Path, allowed: &ProcessorSet) -> Result<ProcessorSet, TopologyError> {
    let mut usable = allowed.clone();
    let online = list_in(&root.join("sys/devices/system/cpu/online"))?;
    let of_group = list_in_status(root, "Cpus_allowed_list:")?;
    for limit in [online, of_group].into_iter().flatten() {
        let common = usable.intersection(&limit);
        if !common.is_empty() {
            usable = common;
        }
    }
    Ok(usable)
}

fn nodes_of(root: &Path, usable: &ProcessorSet) -> Result<Vec<Node>, TopologyError> {
    let directory = root.join("sys/devices/system/node");
    let online = list_in(&directory.join("online"))?.unwrap_or_default();
    let with_memory = list_in_status(root, "Mems_allowed_list:")?;
    let mut nodes = Vec::new();
    for id in online.iter() {
        let node = directory.join(format!("node{id}"));
        let processors = list_in(&node.join("cpulist"))?.unwrap_or_default();
        let allowed = with_memory.as_ref().is_none_or(|allowed| allowed.contains(id));
        let memory_bytes = if allowed { memory_bytes(&node.join("meminfo"))? } else { 0 };
        nodes.push(Node { id, processors: processors.intersection(usable), memory_bytes });
    }
    Ok(nodes)
}

/// A processor that no node lists would be lost: it goes to the first node.
fn give_strays_a_home(nodes: &mut [Node], usable: &ProcessorSet) {
    let listed = nodes.iter().flat_map(|node| node.processors.iter()).collect();
    if let Some(first) = nodes.first_mut() {
        usable.difference(&listed).iter().for_each(|stray| first.processors.insert(stray));
    }
}

/// `Node 0 MemTotal:       24689260 kB`; without the node for the whole machine.
fn memory_bytes(path: &Path) -> Result<u64, TopologyError> {
    let Some(text) = text_of(path)? else { return Ok(0) };
    let total = text.lines().find_map(|line| line.split_once("MemTotal:"));
    let kilobytes = total.and_then(|(_, rest)| rest.trim().strip_suffix("kB")?.trim().parse().ok());
    let bytes = kilobytes.and_then(|kilobytes: u64| kilobytes.checked_mul(1024));
    bytes.ok_or_else(|| TopologyError {
        path: path.to_owned(),
        reason: "it has no line \"MemTotal: NUMBER kB\"".to_owned(),
    })
}

fn list_in_status(root: &Path, name: &str) -> Result<Option<ProcessorSet>, TopologyError> {
    let path = root.join("proc/self/status");
    let text = text_of(&path)?.unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map(|list| parse(&path, list)).transpose()
}

fn list_in(path: &Path) -> Result<Option<ProcessorSet>, TopologyError> {
    text_of(path)?.map(|list| parse(path, &list)).transpose()
}

fn parse(path: &Path, list: &str) -> Result<ProcessorSet, TopologyError> {
    ProcessorSet::parse(list)
        .map_err(|error| TopologyError { path: path.to_owned(), reason: error.to_string() })
}

/// `None` if there is no such file.
fn text_of(path: &Path) -> Result<Option<String>, TopologyError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TopologyError { path: path.to_owned(), reason: error.to_string() }),
    }
}
