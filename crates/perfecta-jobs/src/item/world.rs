//! What an item works with: its job, the place of its table, the memory of its worker.

use std::path::PathBuf;
use std::sync::Arc;

use perfecta_io::Buffer;

use crate::config::{Durability, Job, Output};
use crate::manifest;
use crate::render::Renderer;
use crate::runtime::CancelFlag;

/// What items share and do not change.
pub(crate) struct World<'a> {
    pub(crate) job: Arc<Job>,
    pub(crate) target: Target<'a>,
    /// What is computed of many keys looks at it.
    pub(crate) cancel: CancelFlag,
}

/// Where tables go.
pub(crate) enum Target<'a> {
    /// Nowhere: they are built and verified in memory.
    Memory,
    /// Each to its own directory.
    Dirs(Publication<'a>),
    /// All into one file.
    Pack,
}

impl<'a> World<'a> {
    pub(crate) fn publication(&self) -> Option<&Publication<'a>> {
        match &self.target {
            Target::Memory | Target::Pack => None,
            Target::Dirs(publication) => Some(publication),
        }
    }

    pub(super) fn durability(&self) -> Durability {
        self.publication().map_or(Durability::Process, |to| to.output.durability)
    }
}

/// Where directories of tables go, and all that takes.
pub(crate) struct Publication<'a> {
    pub(crate) output: Output,
    pub(crate) renderer: Arc<dyn Renderer + 'a>,
    /// Where items are staged: for each worker one, as far as they go.
    pub(crate) rooms: Vec<PathBuf>,
    /// Hash of everything but the keys that shapes the bytes.
    pub(crate) options_blake3: manifest::Digest,
}

/// What goes from item to item of one worker.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// Which worker it is.
    pub(crate) worker: usize,
    /// For key files.
    pub(crate) buffer: Buffer,
}
