//! What a job comes to if nothing comes between, and what may stand in its output if something did.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use perfecta_core::format::pack::PackView;
use perfecta_io::SimulatedMachine;
use perfecta_jobs::{ItemReport, Layout, Status};

use super::draw::{Drawn, Round};
use super::drive::run_session;

/// Paths with bytes, below an output directory.
type Tree = BTreeMap<PathBuf, Vec<u8>>;

/// What an undisturbed job comes to.
#[derive(Clone)]
pub(crate) struct Expected {
    pub(crate) job_error: Option<String>,
    pub(crate) reports: BTreeMap<PathBuf, ItemReport>,
    pub(crate) tree: Tree,
}

/// What has to stand in an output.
pub(crate) enum Standing<'p> {
    /// Nothing that is torn.
    Whole,
    /// The tables of these key files, of this job.
    Acknowledged(Vec<&'p Path>),
}

impl Expected {
    /// Runs a job alone, without the limits that make a difference between its items.
    pub(crate) fn by_running(machine: &SimulatedMachine, drawn: &Drawn) -> Self {
        let mut drawn = drawn.clone();
        drawn.job.limits.item_time_max = None;
        drawn.job.limits.output_bytes_max = u64::MAX;
        let told = run_session(machine, std::slice::from_ref(&drawn), &Round::quiet(1), false, 0);
        let output = drawn.job.output.as_ref();
        Self {
            job_error: told[0].job_error(),
            reports: told[0].reports(),
            tree: output.map(|output| machine.tree(&output.directory)).unwrap_or_default(),
        }
    }

    /// Checks what stands in an output: nothing but whole tables, of this job or of an older one.
    pub(crate) fn check_tree(
        &self,
        layout: Layout,
        found: &Tree,
        older: Option<&Self>,
        standing: Standing<'_>,
    ) {
        match (layout, standing) {
            (Layout::Dirs, Standing::Whole) => self.check_dirs(found, older),
            (Layout::Packed, Standing::Whole) => self.check_pack(found, older),
            (Layout::Dirs, Standing::Acknowledged(keys_files)) => {
                for keys_file in keys_files {
                    let table =
                        self.table_of(keys_file, |name| table_names(&self.tree).contains(name));
                    let is_there = files_in(found, &table) == files_in(&self.tree, &table);
                    assert!(is_there, "{} was acknowledged", table.display());
                }
            }
            (Layout::Packed, Standing::Acknowledged(keys_files)) => {
                let images = images(found);
                for keys_file in keys_files {
                    let table = self.table_of(keys_file, |name| images.contains_key(name));
                    let is_there = images.contains_key(&table);
                    assert!(is_there, "{} was acknowledged", keys_file.display());
                }
            }
        }
    }

    /// Where a key file's table is below the output: as deep as the key file, or, where files were
    /// named, at the top.
    fn table_of(&self, keys_file: &Path, is_table: impl Fn(&Path) -> bool) -> PathBuf {
        let identifier = &self.reports[keys_file].identifier;
        let below: PathBuf = keys_file.strip_prefix("/").unwrap().components().skip(1).collect();
        let nested = below.with_file_name(identifier);
        if is_table(&nested) { nested } else { identifier.into() }
    }

    fn check_dirs(&self, found: &Tree, older: Option<&Self>) {
        for (path, _) in found.iter().filter(|(path, _)| !is_staged(path)) {
            if path.extension().is_none() {
                continue;
            }
            let table = path.parent().expect("a file lies in a table");
            let files = files_in(found, table);
            let is_this = files == files_in(&self.tree, table);
            let is_older = older.is_some_and(|older| files == files_in(&older.tree, table));
            assert!(is_this || is_older, "{} is torn: {:?}", table.display(), files.keys());
        }
        for table in older.iter().flat_map(|older| table_names(&older.tree)) {
            assert!(!files_in(found, &table).is_empty(), "{} is gone", table.display());
        }
    }

    fn check_pack(&self, found: &Tree, older: Option<&Self>) {
        let (this, before) =
            (images(&self.tree), older.map(|it| images(&it.tree)).unwrap_or_default());
        let found = images(found);
        assert!(before.is_empty() || !found.is_empty(), "the pack is gone");
        let is_in = |images: &BTreeMap<PathBuf, Vec<u8>>| {
            found.iter().all(|(name, image)| images.get(name) == Some(image))
        };
        assert!(is_in(&this) || found == before, "the pack holds other tables");
    }
}

fn is_staged(path: &Path) -> bool {
    path.to_string_lossy().starts_with(".perfecta-stage-")
}

fn files_in<'t>(tree: &'t Tree, directory: &Path) -> BTreeMap<&'t Path, &'t [u8]> {
    let files = tree.iter().filter(|(path, _)| path.parent() == Some(directory));
    files.map(|(path, bytes)| (path.as_path(), bytes.as_slice())).collect()
}

/// Directories that hold a table.
fn table_names(tree: &Tree) -> BTreeSet<PathBuf> {
    let manifests = tree.keys().filter(|path| path.ends_with("manifest.json") && !is_staged(path));
    manifests.map(|path| path.parent().unwrap().to_owned()).collect()
}

/// The tables of a pack, by name; none where there is no pack.
fn images(tree: &Tree) -> BTreeMap<PathBuf, Vec<u8>> {
    let directory = Path::new("tables.packed");
    let files = files_in(tree, directory);
    if !tree.contains_key(directory) {
        assert!(files.is_empty());
        return BTreeMap::new();
    }
    assert_eq!(files.len(), 2, "a pack without its files: {:?}", files.keys());
    let pack = PackView::decode(files[&*directory.join("tables.phtpack")]).expect("a whole pack");
    let image = |entry: perfecta_core::format::pack::PackEntry<'_>| {
        entry.table().expect("a whole table");
        let name = String::from_utf8_lossy(entry.name).into_owned();
        (PathBuf::from(name), entry.image.to_vec())
    };
    pack.iter().map(image).collect()
}

/// Whether an item has a table.
pub(crate) fn is_there(report: &ItemReport) -> bool {
    matches!(report.status, Status::Ok | Status::Unchanged)
}
