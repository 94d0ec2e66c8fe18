//! A file system in memory: what Linux says to each call, and what of it is on the device.
//!
//! Content and names are kept apart, as file systems do. A file's bytes are on the device as far as
//! they were synced ([`Content`]); names are there as far as the journal was committed
//! ([`Device`]).

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use super::content::Content;
use super::device::{Device, Edit};
use crate::system::{Errno, FileKind, Links, Removal, Rename, Stat};

/// Names a node for ever.
pub(super) type NodeId = u64;

/// The directory that all paths begin in.
pub(super) const ROOT: NodeId = 1;

/// Links that are followed on one path.
const LINKS_MAX: usize = 40;

/// Files, directories, and what leads to them.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) device: Device,
    next_node: NodeId,
    /// Counts changes: the nanoseconds of all times.
    num_changes: i64,
    pub(super) bytes_max: Option<u64>,
}

/// A file, a directory, or anything else that has a name.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) body: Body,
    /// Names that lead to it; of a directory also those in it.
    pub(super) links: u64,
    /// Change of its content, and of anything about it.
    written: i64,
    changed: i64,
    /// Open files of it.
    pub(super) num_open: u64,
    /// The open file that locked it.
    pub(super) locked_by: Option<u64>,
}

#[derive(Debug)]
pub(super) enum Body {
    File(Content),
    Directory { entries: BTreeMap<OsString, NodeId>, parent: NodeId },
    Link(PathBuf),
    Special(&'static str),
}

/// Where a path leads.
#[derive(Debug)]
pub(super) struct Place {
    /// The directory and the name in it; a root, `.` or `..` has none.
    name: Option<(NodeId, OsString)>,
    /// What is there.
    node: Option<NodeId>,
}

impl Place {
    const fn of(node: NodeId) -> Self {
        Self { name: None, node: Some(node) }
    }

    pub(super) fn node(&self) -> Result<NodeId, Errno> {
        self.node.ok_or(Errno::NOENT)
    }
}

impl Node {
    pub(super) const fn new(body: Body, links: u64) -> Self {
        Self { body, links, written: 0, changed: 0, num_open: 0, locked_by: None }
    }

    const fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory { .. })
    }

    pub(super) const fn is_live(&self) -> bool {
        self.links > 0 || self.num_open > 0
    }
}

impl Disk {
    pub(super) fn new() -> Self {
        let root = Body::Directory { entries: BTreeMap::new(), parent: ROOT };
        let nodes = BTreeMap::from([(ROOT, Node::new(root, 2))]);
        let device = Device::default();
        Self { nodes, device, next_node: ROOT + 1, num_changes: 0, bytes_max: None }
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[&id]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("a node stays as long as anything leads to it")
    }

    pub(super) fn entries(&self, id: NodeId) -> Result<&BTreeMap<OsString, NodeId>, Errno> {
        match &self.node(id).body {
            Body::Directory { entries, .. } => Ok(entries),
            Body::File(_) | Body::Link(_) | Body::Special(_) => Err(Errno::NOTDIR),
        }
    }

    fn entries_mut(&mut self, id: NodeId) -> &mut BTreeMap<OsString, NodeId> {
        match &mut self.node_mut(id).body {
            Body::Directory { entries, .. } => entries,
            Body::File(_) | Body::Link(_) | Body::Special(_) => {
                panic!("names stand in directories")
            }
        }
    }

    /// Where `path` leads from a directory.
    pub(super) fn walk(&self, from: NodeId, path: &Path, links: Links) -> Result<Place, Errno> {
        let mut rest: VecDeque<Component<'_>> = path.components().collect();
        let (mut place, mut num_links) = (Place::of(from), 0);
        if rest.is_empty() {
            return Err(Errno::NOENT);
        }
        while let Some(part) = rest.pop_front() {
            let directory = place.node()?;
            let name = match part {
                Component::RootDir | Component::Prefix(_) => {
                    place = Place::of(ROOT);
                    continue;
                }
                Component::CurDir => {
                    self.entries(directory)?;
                    continue;
                }
                Component::ParentDir => {
                    place = Place::of(self.parent(directory)?);
                    continue;
                }
                Component::Normal(name) => name,
            };
            let node = self.entries(directory)?.get(name).copied();
            match node.map(|node| &self.node(node).body) {
                Some(Body::Link(target)) if !rest.is_empty() || links == Links::Follow => {
                    num_links += 1;
                    if num_links > LINKS_MAX {
                        return Err(Errno::LOOP);
                    }
                    target.components().rev().for_each(|part| rest.push_front(part));
                    place = Place::of(directory);
                }
                _ => place = Place { name: Some((directory, name.to_owned())), node },
            }
        }
        Ok(place)
    }

    pub(super) fn parent(&self, id: NodeId) -> Result<NodeId, Errno> {
        match &self.node(id).body {
            Body::Directory { parent, .. } => Ok(*parent),
            Body::File(_) | Body::Link(_) | Body::Special(_) => Err(Errno::NOTDIR),
        }
    }

    /// The path of a directory.
    pub(super) fn path_of(&self, id: NodeId) -> PathBuf {
        if id == ROOT {
            return PathBuf::from("/");
        }
        let parent = self.parent(id).expect("only directories are asked");
        let named = self.entries(parent).expect("a parent is a directory").iter();
        let name = named.filter(|(_, node)| **node == id).map(|(name, _)| name).next();
        self.path_of(parent).join(name.map_or(OsStr::new("(deleted)"), OsString::as_os_str))
    }

    /// The path of what is at a place, without links.
    pub(super) fn canonical(&self, path: &Path) -> Result<PathBuf, Errno> {
        let place = self.walk(ROOT, path, Links::Follow)?;
        let node = place.node()?;
        Ok(match place.name {
            Some((directory, name)) => self.path_of(directory).join(name),
            None => self.path_of(node),
        })
    }

    pub(super) fn stat(&self, id: NodeId) -> Stat {
        let node = self.node(id);
        let (kind, bytes) = match &node.body {
            Body::File(content) => (FileKind::Regular, content.told_bytes()),
            Body::Directory { .. } => (FileKind::Directory, 4096),
            Body::Link(target) => {
                (FileKind::Special("symbolic link"), target.as_os_str().len() as u64)
            }
            Body::Special(kind) => (FileKind::Special(kind), 0),
        };
        let changed = [0, node.written, 0, node.changed];
        Stat { kind, bytes, links: node.links, identity: (1, id), changed }
    }

    /// Makes what is not there yet, under a name.
    pub(super) fn create(&mut self, place: Place, body: Body) -> Result<NodeId, Errno> {
        if place.node.is_some() {
            return Err(Errno::EXIST);
        }
        let (directory, name) = place.name.expect("what has no name is there");
        if self.node(directory).links == 0 {
            return Err(Errno::NOENT);
        }
        let id = self.next_node;
        self.next_node += 1;
        self.device.know(id, &body);
        self.nodes.insert(id, Node::new(body, 0));
        self.touch(id);
        self.edit(vec![Edit { directory, name, node: Some(id) }]);
        Ok(id)
    }

    /// Makes a directory.
    pub(super) fn make_directory(&mut self, place: Place) -> Result<NodeId, Errno> {
        let parent = place.name.as_ref().map_or(ROOT, |(directory, _)| *directory);
        self.create(place, Body::Directory { entries: BTreeMap::new(), parent })
    }

    /// Removes a name.
    pub(super) fn remove(&mut self, place: Place, what: Removal) -> Result<(), Errno> {
        let id = place.node()?;
        let is_directory = self.node(id).is_directory();
        match what {
            Removal::File if is_directory => return Err(Errno::ISDIR),
            Removal::Directory if !is_directory => return Err(Errno::NOTDIR),
            Removal::File | Removal::Directory => {}
        }
        if is_directory && !self.entries(id)?.is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        let (directory, name) = place.name.ok_or(Errno::BUSY)?;
        self.edit(vec![Edit { directory, name, node: None }]);
        Ok(())
    }

    /// Moves a name; checks in the order in which Linux makes them.
    pub(super) fn rename(&mut self, from: Place, to: Place, how: Rename) -> Result<(), Errno> {
        let (Some((from_directory, from_name)), Some((to_directory, to_name))) =
            (from.name, to.name)
        else {
            return Err(Errno::BUSY);
        };
        let source = from.node.ok_or(Errno::NOENT)?;
        match (how, to.node) {
            (Rename::NoReplace, Some(_)) => return Err(Errno::EXIST),
            (Rename::Exchange, None) => return Err(Errno::NOENT),
            (Rename::Plain | Rename::NoReplace | Rename::Exchange, _) => {}
        }
        if self.is_at_or_above(source, to_directory) {
            return Err(Errno::INVAL);
        }
        if let Some(target) = to.node {
            if self.is_at_or_above(target, from_directory) {
                return Err(if how == Rename::Exchange { Errno::INVAL } else { Errno::NOTEMPTY });
            }
            if target == source {
                return Ok(());
            }
            if how != Rename::Exchange {
                self.check_replaceable(source, target)?;
            }
        }
        let left = if how == Rename::Exchange { to.node } else { None };
        self.edit(vec![
            Edit { directory: from_directory, name: from_name, node: left },
            Edit { directory: to_directory, name: to_name, node: Some(source) },
        ]);
        Ok(())
    }

    fn check_replaceable(&self, source: NodeId, target: NodeId) -> Result<(), Errno> {
        match (self.node(source).is_directory(), self.node(target).is_directory()) {
            (true, false) => Err(Errno::NOTDIR),
            (false, true) => Err(Errno::ISDIR),
            (true, true) if !self.entries(target)?.is_empty() => Err(Errno::NOTEMPTY),
            (true, true) | (false, false) => Ok(()),
        }
    }

    fn is_at_or_above(&self, node: NodeId, mut below: NodeId) -> bool {
        loop {
            if node == below {
                return true;
            }
            match self.parent(below) {
                Ok(parent) if parent != below => below = parent,
                Ok(_) | Err(_) => return false,
            }
        }
    }

    /// Changes names, all at once, in memory; the journal notes it for the device.
    fn edit(&mut self, edits: Vec<Edit>) {
        let mut left = Vec::new();
        for Edit { directory, name, .. } in &edits {
            if let Some(node) = self.entries_mut(*directory).remove(name) {
                self.count_link(*directory, node, -1);
                left.push(node);
            }
        }
        for Edit { directory, name, node } in &edits {
            self.touch_content(*directory);
            if let Some(node) = *node {
                self.entries_mut(*directory).insert(name.clone(), node);
                self.count_link(*directory, node, 1);
                if let Body::Directory { parent, .. } = &mut self.node_mut(node).body {
                    *parent = *directory;
                }
            }
        }
        for node in left {
            self.touch(node);
            self.release(node);
        }
        self.device.note(edits);
    }

    /// A directory has a link by its name and one by its `.`; its parent has one by its `..`.
    fn count_link(&mut self, directory: NodeId, node: NodeId, change: i64) {
        let add = |links: &mut u64, change: i64| {
            *links = links.checked_add_signed(change).expect("no link is lost that was not there");
        };
        if self.node(node).is_directory() {
            add(&mut self.node_mut(directory).links, change);
            add(&mut self.node_mut(node).links, 2 * change);
        } else {
            add(&mut self.node_mut(node).links, change);
        }
    }

    /// Notes that something about a node changed.
    pub(super) fn touch(&mut self, id: NodeId) {
        self.num_changes += 1;
        self.node_mut(id).changed = self.num_changes;
    }

    fn touch_content(&mut self, id: NodeId) {
        self.touch(id);
        let node = self.node_mut(id);
        node.written = node.changed;
    }

    pub(super) fn content(&self, id: NodeId) -> Result<&Content, Errno> {
        match &self.node(id).body {
            Body::File(content) => Ok(content),
            Body::Directory { .. } => Err(Errno::ISDIR),
            Body::Link(_) => Err(Errno::LOOP),
            Body::Special(_) => Err(Errno::SPIPE),
        }
    }

    pub(super) fn content_mut(&mut self, id: NodeId) -> Result<&mut Content, Errno> {
        self.content(id)?;
        match &mut self.node_mut(id).body {
            Body::File(content) => Ok(content),
            Body::Directory { .. } | Body::Link(_) | Body::Special(_) => Err(Errno::INVAL),
        }
    }

    /// Writes as much as there is room for.
    pub(super) fn write(&mut self, id: NodeId, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        let length = self.content(id)?.bytes().len() as u64;
        let room = match self.bytes_max {
            None => u64::MAX,
            Some(bytes_max) => {
                let free = bytes_max.checked_sub(self.bytes_used()).expect("room was checked");
                (length + free).checked_sub(offset).ok_or(Errno::NOSPC)?
            }
        };
        let count = room.min(bytes.len() as u64) as usize;
        if count == 0 && !bytes.is_empty() {
            return Err(Errno::NOSPC);
        }
        self.content_mut(id)?.write(&bytes[..count], offset as usize);
        self.touch_content(id);
        Ok(count)
    }

    pub(super) fn bytes_used(&self) -> u64 {
        let bytes = |node: &Node| match &node.body {
            Body::File(content) => content.bytes().len() as u64,
            Body::Directory { .. } | Body::Link(_) | Body::Special(_) => 0,
        };
        self.nodes.values().map(bytes).sum()
    }

    /// Frees what nothing leads to any more. The device may still have it.
    pub(super) fn release(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        if let (false, Body::File(content)) = (node.is_live(), &mut node.body) {
            content.forget();
        }
    }
}
