//! A machine of which everything is known: one seed, a virtual clock, a file system in memory, and
//! a device that forgets what was not synced.
//!
//! ```text
//!  SimulatedEngine (one for each simulated worker) --submit--> agenda (what is due when)
//!       `-> ops -> Faulty (numbers calls, lets them go wrong) -> SimulatedSystem -> Disk
//!                                                                names and content | in memory
//!                                                                                  | on the device
//! ```
//!
//! Driven from one thread, the same seed and the same calls give the same history, byte for byte.
//! Time passes only when an engine waits, or by [`SimulatedMachine::advance_to`].

mod agenda;
mod engine;
mod system;

mod content;
mod device;
mod disk;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use self::agenda::Agenda;
use self::content::Content;
pub use self::device::PowerCut;
use self::disk::{Body, Disk, Place, ROOT};
pub use self::engine::SimulatedEngine;
use crate::clock::Clock;
use crate::faults::FaultPlan;
use crate::op::EntryKind;
use crate::random::Random;
use crate::system::{Errno, Links, Removal, Rename};

/// A simulated machine. A clone is the same machine.
#[derive(Debug, Clone)]
pub struct SimulatedMachine {
    inner: Arc<Inner>,
}

/// What a machine's engines share. Locks are taken in the order turn, state.
#[derive(Debug)]
struct Inner {
    /// Held by who lets time pass: steps run one after another.
    turn: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: Random,
    now: Duration,
    /// Time that calls took by faults, until the step that made them takes it over.
    lag: Duration,
    disk: Disk,
    /// How often the power was cut: what was opened before is gone.
    num_cuts: u64,
    /// Open files so far, and now.
    num_opened: u64,
    num_open: u64,
    agenda: Agenda,
    history: Vec<String>,
}

impl SimulatedMachine {
    /// A machine with an empty file system, at time 0.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: Random::new(seed),
            now: Duration::ZERO,
            lag: Duration::ZERO,
            disk: Disk::new(),
            num_cuts: 0,
            num_opened: 0,
            num_open: 0,
            agenda: Agenda::default(),
            history: vec![format!("seed {seed}")],
        };
        Self { inner: Arc::new(Inner { turn: Mutex::new(()), state: Mutex::new(state) }) }
    }

    /// An engine of a process on this machine. The engines that share a plan are one process: its
    /// calls are numbered over all of them.
    #[must_use]
    pub fn engine(&self, plan: &Arc<FaultPlan>) -> SimulatedEngine {
        SimulatedEngine::new(&self.inner, Arc::clone(plan))
    }

    /// When the next step of any operation of any engine is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.inner.state.lock().agenda.next_due()
    }

    /// Lets time pass: whatever is due until then happens, in order. A time that is over changes
    /// nothing.
    pub fn advance_to(&self, time: Duration) {
        let turn = self.inner.turn.lock();
        self.inner.advance_to(time, &turn);
    }

    /// Cuts the power. What engines from before still have in flight, and whatever they are asked
    /// later, fails without a trace; engines made from now on find what the device has.
    pub fn power_cut(&self, cut: PowerCut) {
        let _turn = self.inner.turn.lock();
        let mut state = self.inner.state.lock();
        let State { disk, random, .. } = &mut *state;
        disk.cut_power(cut, random);
        state.num_cuts += 1;
        state.num_open = 0;
        state.tell(format!("power cut: {cut:?}"));
    }

    /// What happened, one line each: submissions, calls, completions.
    #[must_use]
    pub fn history(&self) -> String {
        self.inner.state.lock().history.join("\n")
    }

    /// Files that are open now, locks among them.
    #[must_use]
    pub fn num_open(&self) -> u64 {
        self.inner.state.lock().num_open
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes_used(&self) -> u64 {
        self.inner.state.lock().disk.bytes_used()
    }

    /// Lets the device have room for so many bytes in files, at least for those that are there.
    pub fn limit_bytes(&self, bytes_max: u64) {
        let mut state = self.inner.state.lock();
        let used = state.disk.bytes_used();
        state.disk.bytes_max = Some(bytes_max.max(used));
    }
}

/// Set-up and inspection, by no process: nothing of it is numbered, and nothing goes wrong. What is
/// made is on the device at once, and with it every name that was made before.
#[expect(clippy::missing_panics_doc, reason = "a test that cannot be set up has failed")]
impl SimulatedMachine {
    /// Makes a directory and those above it that are missing.
    pub fn make_directories(&self, path: &Path) {
        let mut state = self.inner.state.lock();
        for path in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
            let place = state.disk.walk(ROOT, path, Links::Follow).expect("a place for it");
            match state.disk.make_directory(place) {
                Ok(_) | Err(Errno::EXIST) => {}
                Err(errno) => panic!("cannot make {}: {errno}", path.display()),
            }
        }
        state.disk.sync_names();
    }

    /// Makes a file, or gives one other bytes.
    pub fn write_file(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.inner.state.lock();
        let place = state.disk.walk(ROOT, path, Links::Follow).expect("a place for it");
        let content = Content::settled(bytes);
        match place.node() {
            Ok(node) => {
                *state.disk.content_mut(node).expect("a regular file") = content;
                state.disk.touch(node);
            }
            Err(_) => state.make(place, Body::File(content)),
        }
    }

    /// Makes a file that says that it is empty but has bytes, as those of `/proc` do.
    pub fn make_file_without_length(&self, path: &Path, bytes: &[u8]) {
        self.make_new(path, Body::File(Content::hidden(bytes)));
    }

    /// Makes a symbolic link.
    pub fn make_link(&self, path: &Path, target: &Path) {
        self.make_new(path, Body::Link(target.to_owned()));
    }

    /// Moves what is at a path to another, where nothing is.
    pub fn rename(&self, from: &Path, to: &Path) {
        let disk = &mut self.inner.state.lock().disk;
        let place = |path| disk.walk(ROOT, path, Links::Refuse).expect("a place for it");
        let (from, to) = (place(from), place(to));
        disk.rename(from, to, Rename::NoReplace).expect("nothing stands in its way");
        disk.sync_names();
    }

    /// Removes an empty directory.
    pub fn remove_directory(&self, path: &Path) {
        let disk = &mut self.inner.state.lock().disk;
        let place = disk.walk(ROOT, path, Links::Refuse).expect("a place for it");
        disk.remove(place, Removal::Directory).expect("an empty directory is there");
        disk.sync_names();
    }

    /// Makes a `FIFO`, `socket`, `character device` or `block device`.
    pub fn make_special(&self, path: &Path, kind: &'static str) {
        self.make_new(path, Body::Special(kind));
    }

    fn make_new(&self, path: &Path, body: Body) {
        let mut state = self.inner.state.lock();
        let place = state.disk.walk(ROOT, path, Links::Refuse).expect("a place for it");
        state.make(place, body);
    }

    /// What is at a path, links followed, if anything is.
    #[must_use]
    pub fn inspect(&self, path: &Path) -> Option<EntryKind> {
        let state = self.inner.state.lock();
        let node = state.disk.walk(ROOT, path, Links::Follow).ok()?.node().ok()?;
        Some(match &state.disk.node(node).body {
            Body::File(content) => EntryKind::File { bytes: content.told_bytes() },
            Body::Directory { .. } => EntryKind::Directory,
            Body::Special(kind) => EntryKind::Special(kind),
            Body::Link(_) => unreachable!("links are followed"),
        })
    }

    /// The bytes of a file, if it is one.
    #[must_use]
    pub fn read_file(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.inner.state.lock();
        let node = state.disk.walk(ROOT, path, Links::Follow).ok()?.node().ok()?;
        state.disk.content(node).ok().map(|content| content.bytes().to_vec())
    }

    /// Everything below a directory, by its path from there: files with their bytes, anything else
    /// without.
    #[must_use]
    pub fn tree(&self, root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let disk = &self.inner.state.lock().disk;
        let bytes = |node| disk.content(node).map_or_else(|_| Vec::new(), |c| c.bytes().to_vec());
        let below = |path: &Path| path.strip_prefix(root).map(Path::to_owned).ok();
        let paths = disk.paths().into_iter();
        let found = paths.filter_map(|(path, node)| Some((below(&path)?, bytes(node))));
        found.filter(|(path, _)| !path.as_os_str().is_empty()).collect()
    }
}

impl State {
    /// Makes something that has been there for long.
    fn make(&mut self, place: Place, body: Body) {
        self.disk.create(place, body).expect("nothing stands in its way");
        self.disk.sync_names();
    }

    fn tell(&mut self, what: impl std::fmt::Display) {
        let line = format!("{:>12.6} {what}", self.now.as_secs_f64());
        self.history.push(line);
    }
}

/// The machine's own time. Its processor takes none, so both clocks are one.
impl Clock for SimulatedMachine {
    fn now(&self) -> Duration {
        self.inner.state.lock().now
    }

    fn cpu(&self) -> Duration {
        self.now()
    }
}
