//! Keeps tables off the key files: input directories are never written to, and never replaced.
//!
//! An output below the input is refused as a whole. An output above it is usual (`perfecta
//! bulk-create keys .`), but then a table's place may be a directory of key files, or above one, or
//! below the input: such an item is refused, whatever conflicts are allowed to do. Paths are
//! compared with their links followed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use perfecta_io::{Engine, IoError, Op, Payload};

use crate::call::call;
use crate::config::{Inputs, Job, Layout, Output};
use crate::error::{ItemError, JobError};
use crate::places::PACKED_DIRECTORY;
use crate::schedule::Planned;

/// Where key files lie, links followed.
struct Sources {
    /// Nothing is written here or below: the root of an input tree.
    root: Option<PathBuf>,
    /// The directories of key files and all above them: they are not replaced.
    kept: HashSet<PathBuf>,
}

/// Refuses what would write into an input, or replace one.
///
/// # Errors
/// If the whole output would.
pub(crate) fn keep_apart(
    engine: &mut dyn Engine,
    job: &Job,
    output: &Output,
    items: &mut [Planned],
) -> Result<(), JobError> {
    let sources = Sources::of(engine, job)?;
    let directory = resolve(engine, &output.directory).map_err(JobError::Output)?;
    let lies_in_input = || JobError::OutputInInput {
        output: output.directory.clone(),
        input: match &job.inputs {
            Inputs::Tree { root, .. } => root.clone(),
            Inputs::Files(_) => output.directory.join(PACKED_DIRECTORY),
        },
    };
    if sources.has_below(&directory) {
        return Err(lies_in_input());
    }
    match output.layout {
        Layout::Packed if sources.forbid(&directory.join(PACKED_DIRECTORY)) => Err(lies_in_input()),
        Layout::Packed => Ok(()),
        Layout::Dirs => refuse_items(engine, output, &sources, items),
    }
}

fn refuse_items(
    engine: &mut dyn Engine,
    output: &Output,
    sources: &Sources,
    items: &mut [Planned],
) -> Result<(), JobError> {
    let mut resolved: HashMap<PathBuf, PathBuf> = HashMap::new();
    for item in items.iter_mut().filter(|item| item.refusal.is_none()) {
        if !resolved.contains_key(&item.below) {
            let parent = output.directory.join(&item.below);
            let parent = resolve(engine, &parent).map_err(JobError::Output)?;
            resolved.insert(item.below.clone(), parent);
        }
        if sources.forbid(&resolved[&item.below].join(item.identifier.as_str())) {
            let target = output.directory.join(item.target());
            item.refusal = Some(ItemError::InputInTheWay { target });
        }
    }
    Ok(())
}

impl Sources {
    fn of(engine: &mut dyn Engine, job: &Job) -> Result<Self, JobError> {
        let (root, directories) = match &job.inputs {
            Inputs::Tree { root, .. } => {
                let root = resolve(engine, root).map_err(JobError::Input)?;
                (Some(root.clone()), vec![root])
            }
            Inputs::Files(files) => {
                let parents: BTreeSet<&Path> =
                    files.iter().filter_map(|file| file.parent()).collect();
                // One that cannot be resolved holds no file that can be read, and says so there.
                let there = |parent: &&Path| resolve(engine, parent).ok();
                (None, parents.iter().filter_map(there).collect())
            }
        };
        let above = directories.iter().flat_map(|directory| directory.ancestors());
        let kept = above.map(Path::to_owned).collect();
        Ok(Self { root, kept })
    }

    fn has_below(&self, path: &Path) -> bool {
        self.root.as_ref().is_some_and(|root| path.starts_with(root))
    }

    /// Whether nothing may be put in this place.
    fn forbid(&self, place: &Path) -> bool {
        self.has_below(place) || self.kept.contains(place)
    }
}

fn resolve(engine: &mut dyn Engine, path: &Path) -> Result<PathBuf, IoError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    call(engine, Op::Resolve { path: path.to_owned() }).map(Payload::into_path)
}
