//! The calls of a simulated machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::MutexGuard;

use super::content::Content;
use super::disk::{Body, Disk, NodeId, Place, ROOT};
use super::{Inner, State};
use crate::system::{At, Errno, Links, Named, Opening, Removal, Rename, Stat, System, Told, Wait};

/// What a process on a simulated machine can do, until the power is cut.
#[derive(Debug, Clone)]
pub(super) struct SimulatedSystem {
    inner: Arc<Inner>,
    num_cuts: u64,
}

/// An open file of a simulated machine.
#[derive(Debug)]
pub(super) struct OpenFile {
    system: SimulatedSystem,
    node: NodeId,
    number: u64,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let Ok(mut state) = self.system.state() else { return };
        state.num_open -= 1;
        let node = state.disk.node_mut(self.node);
        node.num_open -= 1;
        if node.locked_by == Some(self.number) {
            node.locked_by = None;
        }
        state.disk.release(self.node);
    }
}

impl SimulatedSystem {
    pub(super) fn new(inner: &Arc<Inner>) -> Self {
        let num_cuts = inner.state.lock().num_cuts;
        Self { inner: Arc::clone(inner), num_cuts }
    }

    /// The machine, unless its power was cut since.
    fn state(&self) -> Result<MutexGuard<'_, State>, Errno> {
        let state = self.inner.state.lock();
        if state.num_cuts == self.num_cuts { Ok(state) } else { Err(Errno::IO) }
    }

    fn opened(&self, mut state: MutexGuard<'_, State>, node: NodeId) -> OpenFile {
        let number = state.num_opened;
        state.num_opened += 1;
        state.num_open += 1;
        state.disk.node_mut(node).num_open += 1;
        OpenFile { system: self.clone(), node, number }
    }
}

fn walk(disk: &Disk, at: At<'_, OpenFile>, links: Links) -> Result<Place, Errno> {
    match at {
        At::Path(path) => disk.walk(ROOT, path, links),
        At::In(directory, name) => disk.walk(directory.node, name, links),
    }
}

/// Opens what is there.
fn find(disk: &Disk, at: At<'_, OpenFile>, how: Opening) -> Result<NodeId, Errno> {
    let links = match how {
        Opening::Read(links) | Opening::Directory(links) => links,
        Opening::CreateNew | Opening::CreateLock | Opening::Extend | Opening::Lock => Links::Refuse,
    };
    let node = walk(disk, at, links)?.node()?;
    match (&disk.node(node).body, how) {
        (Body::Directory { .. }, Opening::Read(_) | Opening::Directory(_)) => Ok(node),
        (_, Opening::Directory(_)) => Err(Errno::NOTDIR),
        (Body::Directory { .. }, _) => Err(Errno::ISDIR),
        (Body::Link(_), _) => Err(Errno::LOOP),
        (Body::Special("socket"), _) => Err(Errno::NXIO),
        (Body::Special(_) | Body::File(_), _) => Ok(node),
    }
}

impl System for SimulatedSystem {
    type File = OpenFile;

    fn open(&self, at: At<'_, OpenFile>, how: Opening) -> Result<OpenFile, Errno> {
        let mut state = self.state()?;
        let node = match how {
            Opening::CreateNew | Opening::CreateLock => {
                let place = walk(&state.disk, at, Links::Refuse)?;
                state.disk.create(place, Body::File(Content::default()))?
            }
            Opening::Read(_) | Opening::Directory(_) | Opening::Extend | Opening::Lock => {
                find(&state.disk, at, how)?
            }
        };
        Ok(self.opened(state, node))
    }

    fn inspect(&self, file: &OpenFile) -> Result<Stat, Errno> {
        Ok(self.state()?.disk.stat(file.node))
    }

    fn inspect_at(&self, at: At<'_, OpenFile>, links: Links) -> Result<Stat, Errno> {
        let disk = &self.state()?.disk;
        Ok(disk.stat(walk(disk, at, links)?.node()?))
    }

    /// What a name is of is told of some of them.
    fn names(&self, directory: &OpenFile) -> Result<Vec<Named>, Errno> {
        let State { disk, random, .. } = &mut *self.state()?;
        let entries = disk.entries(directory.node)?;
        if disk.node(directory.node).links == 0 {
            return Err(Errno::NOENT);
        }
        let mut names: Vec<Named> = entries
            .iter()
            .map(|(name, node)| {
                let told = match disk.node(*node).body {
                    Body::File(_) if random.one_in(2) => Told::Regular,
                    Body::Directory { .. } if random.one_in(2) => Told::Directory,
                    _ => Told::Nothing,
                };
                Named { name: name.clone(), told }
            })
            .collect();
        random.shuffle(&mut names);
        Ok(names)
    }

    /// What is in memory is drawn anew each time, and how what is not is told: as an error, or as the
    /// end of the file, as Linux 5.9 and 5.10 do.
    fn read(
        &self,
        file: &OpenFile,
        into: &mut [u8],
        offset: u64,
        wait: Wait,
    ) -> Result<usize, Errno> {
        let State { disk, random, .. } = &mut *self.state()?;
        let content = disk.content(file.node)?;
        match wait {
            Wait::Never if random.one_in(4) => Ok(0),
            Wait::Never if random.one_in(2) => Err(Errno::AGAIN),
            Wait::Never | Wait::ForDevice => Ok(content.read(into, offset)),
        }
    }

    fn write(&self, file: &OpenFile, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        self.state()?.disk.write(file.node, bytes, offset)
    }

    fn close(&self, file: OpenFile) -> Result<(), Errno> {
        drop(file);
        self.state().map(drop)
    }

    fn make_directory(&self, at: At<'_, OpenFile>) -> Result<(), Errno> {
        let disk = &mut self.state()?.disk;
        let place = walk(disk, at, Links::Refuse)?;
        disk.make_directory(place).map(drop)
    }

    /// Files are numbered in the order in which they are made: it takes several to be far from one.
    fn scatter(&self, _directory: &OpenFile) -> Result<u64, Errno> {
        Ok(40)
    }

    fn rename(&self, from: &Path, to: &Path, how: Rename) -> Result<(), Errno> {
        let disk = &mut self.state()?.disk;
        let from = disk.walk(ROOT, from, Links::Refuse)?;
        let to = disk.walk(ROOT, to, Links::Refuse)?;
        disk.rename(from, to, how)
    }

    fn remove(&self, at: At<'_, OpenFile>, what: Removal) -> Result<(), Errno> {
        let disk = &mut self.state()?.disk;
        let place = walk(disk, at, Links::Refuse)?;
        disk.remove(place, what)
    }

    fn sync(&self, file: &OpenFile) -> Result<(), Errno> {
        let disk = &mut self.state()?.disk;
        match &mut disk.node_mut(file.node).body {
            Body::File(content) => content.sync(),
            Body::Directory { .. } => disk.sync_names(),
            Body::Link(_) | Body::Special(_) => return Err(Errno::INVAL),
        }
        Ok(())
    }

    fn sync_filesystem(&self, _file: &OpenFile) -> Result<(), Errno> {
        self.state()?.disk.sync_all();
        Ok(())
    }

    fn lock(&self, file: &OpenFile) -> Result<(), Errno> {
        let mut state = self.state()?;
        let locked_by = &mut state.disk.node_mut(file.node).locked_by;
        if locked_by.is_some_and(|number| number != file.number) {
            return Err(Errno::WOULDBLOCK);
        }
        *locked_by = Some(file.number);
        Ok(())
    }

    fn canonical(&self, path: &Path) -> Result<PathBuf, Errno> {
        self.state()?.disk.canonical(path)
    }

    fn link_target(&self, path: &Path) -> Result<PathBuf, Errno> {
        let disk = &self.state()?.disk;
        let place = disk.walk(ROOT, path, Links::Refuse)?;
        match &disk.node(place.node()?).body {
            Body::Link(target) => Ok(target.clone()),
            Body::File(_) | Body::Directory { .. } | Body::Special(_) => Err(Errno::INVAL),
        }
    }

    fn pass(&self, time: Duration) {
        self.inner.state.lock().lag += time;
    }

    fn lose(&self, file: &OpenFile) {
        let Ok(mut state) = self.state() else { return };
        if let Body::File(content) = &mut state.disk.node_mut(file.node).body {
            content.lose();
        }
    }

    fn lose_filesystem(&self, _file: &OpenFile) {
        if let Ok(mut state) = self.state() {
            state.disk.lose_all();
        }
    }
}
