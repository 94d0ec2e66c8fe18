//! Of the simulation itself: that it says what Linux says, that it forgets what Linux forgets, and
//! that it does so again for the same seed.

#[cfg(target_os = "linux")]
mod against_host;
mod apart;
mod power;
mod time;
mod turmoil;

use std::path::Path;
use std::sync::Arc;

use super::disk::{Body, ROOT};
use super::{SimulatedEngine, SimulatedMachine};
use crate::engine::call;
use crate::error::IoError;
use crate::faults::FaultPlan;
use crate::op::{FileContent, Op, Payload, Replace};

/// A machine with an empty directory `/out`, and an engine without faults.
fn machine(seed: u64) -> (SimulatedMachine, SimulatedEngine) {
    let machine = SimulatedMachine::new(seed);
    machine.make_directories(Path::new("/out"));
    let engine = machine.engine(&Arc::default());
    (machine, engine)
}

fn complete(engine: &mut SimulatedEngine, op: Op) -> Result<Payload, IoError> {
    call(engine, op).map_err(|failure| failure.error)
}

fn files(table: u8) -> Vec<FileContent> {
    let file = |number: u8| FileContent {
        name: format!("f{number}").into(),
        bytes: [table, number].repeat(700 + 100 * usize::from(number)),
    };
    (0..3).map(file).collect()
}

fn write(table: u8, name: &str) -> Op {
    Op::WriteDirectory { parent: "/out".into(), name: name.into(), files: files(table) }
}

fn publish(from: &str, to: &str) -> Op {
    let (staged, target) = (Path::new("/out").join(from), Path::new("/out").join(to));
    Op::Publish { staged, target, replace: Replace::Never }
}

fn start_again(machine: &SimulatedMachine) -> SimulatedEngine {
    machine.engine(&Arc::<FaultPlan>::default())
}

impl SimulatedMachine {
    /// Links are as many as there are names, and no file counts as open that is closed.
    fn check_links(&self) {
        let disk = &self.inner.state.lock().disk;
        let paths = disk.paths();
        for (path, id) in &paths {
            let node = disk.node(*id);
            let names = paths.iter().filter(|(_, found)| found == id).count() as u64;
            let expected = match &node.body {
                Body::Directory { entries, .. } => {
                    let is_directory = |id: &&u64| disk.entries(**id).is_ok();
                    2 + entries.values().filter(is_directory).count() as u64
                }
                Body::File(_) | Body::Link(_) | Body::Special(_) => names,
            };
            assert_eq!(node.links, expected, "{}", path.display());
            assert!(*id == ROOT || names == 1, "{}", path.display());
        }
    }
}
