//! Keeps tables off the key files: input directories are never written to, and never replaced.
//!
//! An output below the input is refused as a whole. An output above it is usual (`perfecta
//! bulk-create keys .`), but then a table's place may be a directory of key files, or above one, or
//! below the input: such an item is refused, whatever conflicts are allowed to do. Paths are
//! compared with their links followed, and where links in the input lead is input, too.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use perfecta_io::{Engine, EntryKind, IoError, Op, Payload};

use crate::call::call;
use crate::config::{Inputs, Job, Layout, Output};
use crate::error::{ItemError, JobError};
use crate::places::{MANIFEST, PACKED_DIRECTORY};
use crate::planned::Planned;
use crate::runtime::CancelFlag;

/// Where key files lie, links followed.
struct Sources {
    /// Nothing is written here or below: the root of an input tree, and where links in it lead.
    closed: HashSet<PathBuf>,
    /// Key files that links lead to, the directories of key files, and all above them: they are not
    /// replaced. What is closed is among them.
    kept: HashSet<PathBuf>,
}

/// Where tables of one directory of key files go.
struct Place {
    /// Links followed.
    parent: PathBuf,
    /// Nothing is written there.
    is_closed: bool,
    /// The published table in which that lies, if it does.
    table: Option<PathBuf>,
}

/// Refuses what would write into an input, or replace one.
///
/// # Errors
/// If the whole output would.
pub(crate) fn keep_apart(
    engine: &mut dyn Engine,
    job: &Job,
    output: &Output,
    links: &[PathBuf],
    items: &mut [Planned],
    cancel: &CancelFlag,
) -> Result<(), JobError> {
    let sources = Sources::of(engine, job, links, cancel)?;
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
        Layout::Dirs => refuse_items(engine, output, &sources, items, cancel),
    }
}

fn refuse_items(
    engine: &mut dyn Engine,
    output: &Output,
    sources: &Sources,
    items: &mut [Planned],
    cancel: &CancelFlag,
) -> Result<(), JobError> {
    let mut places: HashMap<PathBuf, Result<Place, IoError>> = HashMap::new();
    let mut tables: HashMap<PathBuf, bool> = HashMap::new();
    for item in items.iter_mut().filter(|item| item.refusal.is_none()) {
        cancel.check()?;
        if !places.contains_key(&item.below) {
            let place = place_of(engine, output, sources, &item.below, &mut tables);
            places.insert(item.below.clone(), place);
        }
        let refusal = match &places[&item.below] {
            Ok(Place { table: Some(table), .. }) => {
                Some(ItemError::InTable { table: output.directory.join(table) })
            }
            Ok(Place { parent, is_closed, table: None }) => {
                let is_kept = || sources.kept.contains(&parent.join(item.identifier.as_str()));
                let in_the_way = || {
                    let target = output.directory.join(item.target());
                    ItemError::InputInTheWay { target }
                };
                (*is_closed || is_kept()).then(in_the_way)
            }
            // Nothing can be published there, and others are none the worse for it.
            Err(error) => Some(ItemError::Output(error.clone())),
        };
        item.refusal = refusal.map(Box::new);
    }
    Ok(())
}

/// Where tables of a directory of key files go. `tables` are the directories that were looked at.
fn place_of(
    engine: &mut dyn Engine,
    output: &Output,
    sources: &Sources,
    below: &Path,
    tables: &mut HashMap<PathBuf, bool>,
) -> Result<Place, IoError> {
    let parent = resolve(engine, &output.directory.join(below))?;
    let table = table_around(engine, output, below, tables)?;
    Ok(Place { is_closed: sources.has_below(&parent), parent, table })
}

/// The published table in which a directory below the output lies, or that it is. `tables` are the
/// directories that were looked at.
fn table_around(
    engine: &mut dyn Engine,
    output: &Output,
    below: &Path,
    tables: &mut HashMap<PathBuf, bool>,
) -> Result<Option<PathBuf>, IoError> {
    let directories = below.ancestors().filter(|directory| !directory.as_os_str().is_empty());
    for directory in directories {
        if !tables.contains_key(directory) {
            let path = output.directory.join(directory);
            tables.insert(directory.to_owned(), is_table(engine, &path)?);
        }
        if tables[directory] {
            return Ok(Some(directory.to_owned()));
        }
    }
    Ok(None)
}

/// Whether a table, or a pack, is published at a path.
fn is_table(engine: &mut dyn Engine, path: &Path) -> Result<bool, IoError> {
    let kind = call(engine, Op::Inspect { path: path.join(MANIFEST) })?.into_kind();
    match kind {
        EntryKind::File { .. } => Ok(true),
        EntryKind::Unreadable(error) if !(error.is_absent() || error.is_not_a_directory()) => {
            Err(error)
        }
        _ => Ok(false),
    }
}

impl Sources {
    fn of(
        engine: &mut dyn Engine,
        job: &Job,
        links: &[PathBuf],
        cancel: &CancelFlag,
    ) -> Result<Self, JobError> {
        let mut sources = Self { closed: HashSet::new(), kept: HashSet::new() };
        let root = match &job.inputs {
            Inputs::Tree { root, .. } => {
                sources.close(resolve(engine, root).map_err(JobError::Input)?);
                Some(root)
            }
            Inputs::Files(files) => {
                let parents: BTreeSet<&Path> =
                    files.iter().filter_map(|file| file.parent()).collect();
                // One that cannot be resolved holds no file that can be read, and says so there.
                let there = parents.iter().filter_map(|parent| resolve(engine, parent).ok());
                there.for_each(|parent| sources.keep(&parent));
                None
            }
        };
        for link in links {
            cancel.check()?;
            let path = root.map_or_else(|| link.clone(), |root| root.join(link));
            // What cannot be resolved holds no keys that can be read, and says so there.
            let Ok(there) = resolve(engine, &path) else { continue };
            match root {
                Some(_) => sources.close(there),
                None => sources.keep(&there),
            }
        }
        Ok(sources)
    }

    fn close(&mut self, directory: PathBuf) {
        self.keep(&directory);
        self.closed.insert(directory);
    }

    fn keep(&mut self, path: &Path) {
        // Whatever is above something that is kept is kept already.
        let new = path.ancestors().take_while(|above| !self.kept.contains(*above));
        let new: Vec<PathBuf> = new.map(Path::to_owned).collect();
        self.kept.extend(new);
    }

    fn has_below(&self, path: &Path) -> bool {
        path.ancestors().any(|above| self.closed.contains(above))
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
