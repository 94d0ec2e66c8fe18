//! Names on the device, and what is left when the power is cut.
//!
//! Names change by transactions of a journal, in order, each at once: what is committed is always
//! the first part of what was done. Syncing a directory or the file system commits all of it.
//! Syncing a file does not: ext4 would, POSIX does not say so, and what is written for this device
//! has to sync its directories.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::disk::{Body, Disk, Node, NodeId, ROOT};
use crate::random::Random;

/// What of a machine's last moments reached the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerCut {
    /// Every name, and no byte that was not synced: files stand empty under their right names, as
    /// after a rename without a sync on ext4.
    JournalFlushed,
    /// Nothing that was not synced.
    NothingFlushed,
    /// The names up to some moment; of every file nothing, all, a first part, or zeros.
    Random,
}

/// A name that appears, changes what it leads to, or goes.
#[derive(Debug, Clone)]
pub(super) struct Edit {
    pub(super) directory: NodeId,
    pub(super) name: OsString,
    pub(super) node: Option<NodeId>,
}

/// Directories as they are on the device, and what is yet to be committed.
#[derive(Debug, Default)]
pub(super) struct Device {
    directories: BTreeMap<NodeId, BTreeMap<OsString, NodeId>>,
    journal: Vec<Vec<Edit>>,
}

impl Device {
    /// A node was made.
    pub(super) fn know(&mut self, node: NodeId, body: &Body) {
        if matches!(body, Body::Directory { .. }) {
            self.directories.insert(node, BTreeMap::new());
        }
    }

    /// Names changed in memory.
    pub(super) fn note(&mut self, transaction: Vec<Edit>) {
        self.journal.push(transaction);
    }

    pub(super) const fn num_pending(&self) -> usize {
        self.journal.len()
    }

    /// Commits the first `count` transactions.
    fn commit(&mut self, count: usize) {
        for edit in self.journal.drain(..count).flatten() {
            let entries = self.directories.entry(edit.directory).or_default();
            match edit.node {
                Some(node) => entries.insert(edit.name, node),
                None => entries.remove(&edit.name),
            };
        }
    }
}

impl Disk {
    /// Commits all names.
    pub(super) fn sync_names(&mut self) {
        self.device.commit(self.device.num_pending());
    }

    /// Writes all that is dirty.
    pub(super) fn sync_all(&mut self) {
        self.each_file(|_, content| content.sync());
        self.sync_names();
    }

    /// A sync of everything failed.
    pub(super) fn lose_all(&mut self) {
        self.each_file(|_, content| content.lose());
    }

    fn each_file(&mut self, mut visit: impl FnMut(NodeId, &mut super::content::Content)) {
        for (&id, node) in &mut self.nodes {
            match &mut node.body {
                Body::File(content) => visit(id, content),
                Body::Directory { .. } | Body::Link(_) | Body::Special(_) => {}
            }
        }
    }

    /// Leaves what is on the device.
    pub(super) fn cut_power(&mut self, cut: PowerCut, random: &mut Random) {
        let num_pending = self.device.num_pending();
        match cut {
            PowerCut::NothingFlushed => {}
            PowerCut::JournalFlushed => self.sync_names(),
            PowerCut::Random => {
                self.device.commit(random.index(num_pending + 1));
                self.each_file(|_, content| content.write_back_some(random));
            }
        }
        self.device.journal.clear();
        let mut before = std::mem::take(&mut self.nodes);
        self.nodes.insert(ROOT, Node::new(directory(ROOT), 2));
        self.bring_back(ROOT, &mut before);
        let nodes = &self.nodes;
        self.device.directories.retain(|id, _| nodes.contains_key(id));
    }

    /// Reads a directory from the device, with all below it.
    fn bring_back(&mut self, parent: NodeId, before: &mut BTreeMap<NodeId, Node>) {
        let entries = self.device.directories.get(&parent).cloned().unwrap_or_default();
        for (name, id) in entries {
            self.insert_name(parent, name, id);
            if let Some(there) = self.nodes.get_mut(&id) {
                there.links += 1;
                continue;
            }
            let body = before.remove(&id).expect("what has a name was made").body;
            let is_directory = matches!(body, Body::Directory { .. });
            let body = match body {
                Body::File(mut content) => {
                    content.revert();
                    Body::File(content)
                }
                Body::Directory { .. } => directory(parent),
                body @ (Body::Link(_) | Body::Special(_)) => body,
            };
            self.nodes.insert(id, Node::new(body, if is_directory { 2 } else { 1 }));
            self.touch(id);
            if is_directory {
                self.node_mut(parent).links += 1;
                self.bring_back(id, before);
            }
        }
    }

    fn insert_name(&mut self, directory: NodeId, name: OsString, node: NodeId) {
        match &mut self.node_mut(directory).body {
            Body::Directory { entries, .. } => drop(entries.insert(name, node)),
            Body::File(_) | Body::Link(_) | Body::Special(_) => unreachable!("it is a directory"),
        }
    }

    /// Every path of the tree, for whoever inspects it.
    pub(super) fn paths(&self) -> Vec<(PathBuf, NodeId)> {
        let mut found = Vec::new();
        let mut open = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, id)) = open.pop() {
            if let Ok(entries) = self.entries(id) {
                open.extend(entries.iter().map(|(name, &node)| (path.join(name), node)));
            }
            found.push((path, id));
        }
        found
    }
}

const fn directory(parent: NodeId) -> Body {
    Body::Directory { entries: BTreeMap::new(), parent }
}
