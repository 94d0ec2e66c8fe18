//! What there is to check: the tables that are published, and the key files that should have one.

use std::collections::{BTreeMap, HashMap, btree_map};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use perfecta_emit::source;
use perfecta_io::{
    Buffer, Engine, Entry, EntryKind, IoError, IoErrorKind, Lengths, Listing, Op, Payload, Symlinks,
};

use super::Verification;
use super::pack::{self, Fault, TableOfPack};
use crate::activity;
use crate::call::call;
use crate::config::{Job, Output};
use crate::error::{ItemError, JobError};
use crate::inputs::{list_inputs, list_tree};
use crate::lookout::Lookout;
use crate::packed::PART_BYTES;
use crate::places::{MANIFEST, PACKED_DIRECTORY, PACKED_FILE, STAGE_PREFIX};
use crate::planned::Planned;
use crate::prepare::place_of;
use crate::runtime::CancelFlag;
use crate::schedule;

/// All checks of a verification.
pub(super) struct Plan {
    pub(super) checks: Vec<Check>,
    /// Bytes of packs that are no table's.
    pub(super) bytes: u64,
    /// Files of packs, which are no single table's.
    pub(super) files: u64,
}

/// A table to check: what is published at `path`, and the key file that belongs to it.
#[derive(Clone)]
pub(super) struct Check {
    pub(super) path: PathBuf,
    pub(super) identifier: String,
    pub(super) keys: Option<KeyFile>,
    pub(super) subject: Subject,
    /// Bytes of what is published, when it was listed.
    pub(super) bytes: u64,
    /// The file by which its directory was taken for that of a table: its manifest if there is one.
    pub(super) claim: Option<PathBuf>,
}

/// A key file, as it was listed.
#[derive(Clone)]
pub(super) struct KeyFile {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// Bytes of memory that it takes to read it, and to keep its keys.
    memory_bytes: u64,
    /// Why no run builds a table of it, if that is so beside the other key files.
    pub(super) refusal: Option<ItemError>,
}

/// What a check looks at.
#[derive(Clone)]
pub(super) enum Subject {
    /// A directory of a table, which it reads itself.
    Directory,
    /// A table of the packed file at its path.
    Packed(TableOfPack),
    /// A table of a pack that cannot be relied on, or all of that.
    Failed(ItemError),
}

/// What is published, by where it lies below the directory, in the order of bytes: to compare paths
/// part by part takes long. A table may be there twice: in a directory and in a pack.
type Published = BTreeMap<Vec<u8>, Vec<Check>>;

/// The tables below the directory, and the key files that should have one.
///
/// # Errors
/// [`JobError`] if there are none, or they cannot be listed.
pub(super) fn plan(
    verification: &Verification,
    engine: &mut dyn Engine,
    cancel: &CancelFlag,
    lookout: &Lookout<'_>,
) -> Result<Plan, JobError> {
    let root = &verification.directory;
    lookout.note(0, root, activity::LIST_TABLES);
    let limits = &verification.limits;
    let entries = list_tree(root, Lengths::Wanted, &limits.of_published(), engine, cancel);
    let entries = listed(entries, JobError::Published)?.entries;
    let parent = |entry: &'_ Entry| entry.path.parent().unwrap_or(Path::new("")).to_owned();
    let name = |entry: &Entry| entry.path.file_name().map(PathBuf::from);
    let mut directories: BTreeMap<PathBuf, Option<PathBuf>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| is_published(entry)) {
        let claim = directories.entry(parent(entry)).or_default();
        if claim.is_none() || entry.path.ends_with(MANIFEST) {
            *claim = name(entry);
        }
    }
    for entry in entries.iter().filter(|entry| may_be_source(entry, root)) {
        cancel.check()?;
        if !directories.contains_key(&parent(entry)) && is_source(&root.join(&entry.path), engine) {
            directories.insert(parent(entry), name(entry));
        }
    }
    let mut plan = Plan { checks: Vec::new(), bytes: 0, files: 0 };
    let mut tables = Published::new();
    for (below, claim) in directories {
        cancel.check()?;
        let path = if below.as_os_str().is_empty() { root.clone() } else { root.join(&below) };
        let path = named(path, engine)?;
        if path.file_name().is_some_and(|name| name == PACKED_DIRECTORY) {
            let pack = pack::look(&path, limits.memory_bytes_max, engine, cancel);
            plan.take_in(pack, &path, &below, &mut tables);
        } else {
            let check = Check { claim, ..Check::new(path, Subject::Directory) };
            publish(&mut tables, &below, check);
        }
    }
    cancel.check()?;
    for entry in &entries {
        // It may hide tables.
        if let EntryKind::Unreadable(error) = &entry.kind {
            let subject = Subject::Failed(ItemError::Output(error.clone()));
            publish(&mut tables, &entry.path, Check::new(root.join(&entry.path), subject));
        }
    }
    if let Some(keys) = &verification.keys {
        let job = Job {
            keys: verification.key_options,
            limits: limits.clone(),
            output: Some(Output::new(root)),
            ..Job::new(keys.clone())
        };
        lookout.note(0, place_of(keys), activity::LIST_KEYS);
        let entries = listed(list_inputs(&job, engine, cancel), JobError::KeysOfPublished)?.entries;
        let items = schedule::plan(&job, None, entries);
        let key_file = |item: &Planned| KeyFile::new(item, &job);
        match only(&mut tables) {
            Some(only) => {
                only.keys = own_key_file(items, root, engine)?.as_ref().map(key_file);
            }
            None => assign_key_files(&mut tables, &items, root, key_file),
        }
    }
    if tables.is_empty() {
        return Err(JobError::NothingPublished { root: root.clone() });
    }
    measure_directories(&mut tables, &entries);
    plan.checks = tables.into_values().flatten().collect();
    Ok(plan)
}

/// What cannot be listed here is no input of a job.
fn listed(
    listed: Result<Listing, JobError>,
    failed: fn(IoError) -> JobError,
) -> Result<Listing, JobError> {
    listed.map_err(|error| match error {
        JobError::Input(error) => failed(error),
        other => other,
    })
}

/// What lies in the directories of tables, and what others have in the place of one.
fn measure_directories(tables: &mut Published, entries: &[Entry]) {
    let mut bytes_in: HashMap<&[u8], u64> = HashMap::new();
    for entry in entries {
        if let EntryKind::File { bytes } = entry.kind {
            let directory = entry.path.parent().unwrap_or(Path::new(""));
            let sum = bytes_in.entry(directory.as_os_str().as_encoded_bytes()).or_default();
            // Sparse files may have any length: more than all that there is does not fit either way.
            *sum = sum.saturating_add(bytes);
        }
    }
    for (target, checks) in tables {
        for check in checks.iter_mut().filter(|check| matches!(check.subject, Subject::Directory)) {
            check.bytes = bytes_in.get(&**target).copied().unwrap_or(0);
        }
    }
}

/// The same directory by a path that ends with its name: `.` has none.
fn named(path: PathBuf, engine: &mut dyn Engine) -> Result<PathBuf, JobError> {
    if path.file_name().is_some() {
        return Ok(path);
    }
    call(engine, Op::Resolve { path }).map(Payload::into_path).map_err(JobError::Output)
}

/// Whether an entry says that something was published beside it: a manifest, or a table file or a pack
/// that has lost its own.
fn is_published(entry: &Entry) -> bool {
    let is_table = entry.path.extension().is_some_and(|extension| extension == "pht");
    let is_named = |name: &OsStr| name == MANIFEST || name == PACKED_FILE;
    (is_table || entry.path.file_name().is_some_and(is_named)) && is_file(entry)
}

/// Whether an entry is called as source code of the table whose directory it lies in.
fn may_be_source(entry: &Entry, root: &Path) -> bool {
    let directory = entry.path.parent().and_then(Path::file_name).or(root.file_name());
    let directory = directory.unwrap_or_default();
    let name = entry.path.file_name().unwrap_or_default().as_encoded_bytes();
    let suffix = name.strip_prefix(directory.as_encoded_bytes());
    suffix.is_some_and(source::is_suffix) && is_file(entry)
}

/// Whether a file has the head of source code of ours. Nobody else's project is a table that lost its manifest.
fn is_source(path: &Path, engine: &mut dyn Engine) -> bool {
    let (path, buffer, symlinks) = (path.to_owned(), Buffer::default(), Symlinks::Refuse);
    let op = Op::ReadRange { path, offset: 0, bytes: source::HEAD_BYTES, buffer, symlinks };
    let head = call(engine, op).map(Payload::into_bytes);
    head.is_ok_and(|head| source::is_head(&head))
}

fn is_file(entry: &Entry) -> bool {
    let is_stage = |part: &OsStr| part.as_encoded_bytes().starts_with(STAGE_PREFIX.as_bytes());
    matches!(entry.kind, EntryKind::File { .. } | EntryKind::Unmeasured)
        && !entry.path.iter().any(is_stage)
}

fn publish(tables: &mut Published, target: &Path, check: Check) {
    publish_at(tables, target.as_os_str().as_encoded_bytes().to_vec(), check);
}

/// With room for one check alone: nearly all places have no second, and there may be a million.
fn publish_at(tables: &mut Published, target: Vec<u8>, check: Check) {
    match tables.entry(target) {
        btree_map::Entry::Vacant(place) => drop(place.insert(vec![check])),
        btree_map::Entry::Occupied(mut place) => place.get_mut().push(check),
    }
}

impl Plan {
    /// Every table of the pack in the directory `path`; the pack itself where its tables are not known.
    fn take_in(&mut self, pack: pack::Pack, path: &Path, below: &Path, tables: &mut Published) {
        let file = path.join(PACKED_FILE);
        self.files += u64::from(pack.files);
        self.bytes += pack.bytes;
        // The names in a pack are those below the output directory, in which the pack lies.
        let parent = below.parent().unwrap_or(Path::new("")).as_os_str().as_encoded_bytes();
        let parent = if parent.is_empty() { Vec::new() } else { [parent, b"/"].concat() };
        let mut publish_packed = |name: &[u8], subject| {
            let check = Check::packed(file.clone(), name, subject);
            publish_at(tables, [&parent, name].concat(), check);
        };
        match pack.tables {
            Ok(packed) => {
                // In the order of their images, of which two may share bytes.
                let mut counted = 0;
                for table in packed {
                    let (begin, end) = (table.place.offset, table.place.offset + table.place.bytes);
                    self.bytes -= end - counted.clamp(begin, end);
                    counted = counted.max(end);
                    let name = table.name.clone();
                    publish_packed(&name, Subject::Packed(table));
                }
            }
            Err(Fault { error, names }) if names.is_empty() => {
                publish(tables, below, Check::new(path.to_owned(), Subject::Failed(error)));
            }
            Err(Fault { error, names }) => {
                for name in names {
                    publish_packed(&name, Subject::Failed(error.clone()));
                }
            }
        }
    }
}

impl Check {
    fn new(path: PathBuf, subject: Subject) -> Self {
        let identifier = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { path, identifier, keys: None, subject, bytes: 0, claim: None }
    }

    /// The same check, with another key file.
    fn of_key_file(&self, keys: KeyFile) -> Self {
        Self { keys: Some(keys), ..self.clone() }
    }

    /// Bytes of memory that it takes: all that is published, in a pack a part of it once more, and the key
    /// file with its keys.
    pub(super) fn memory_bytes(&self) -> u64 {
        let part = match &self.subject {
            Subject::Packed(table) if table.place.bytes > PART_BYTES => PART_BYTES,
            Subject::Packed(_) | Subject::Directory | Subject::Failed(_) => 0,
        };
        part.saturating_add(self.bytes)
            .saturating_add(self.keys.as_ref().map_or(0, |keys| keys.memory_bytes))
    }

    /// A check of the table of this name in the pack `file`.
    fn packed(file: PathBuf, name: &[u8], subject: Subject) -> Self {
        let start = name.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        let identifier = String::from_utf8_lossy(&name[start..]).into_owned();
        let bytes = match &subject {
            Subject::Packed(table) => table.place.bytes,
            Subject::Directory | Subject::Failed(_) => 0,
        };
        Self { path: file, identifier, keys: None, subject, bytes, claim: None }
    }
}

impl KeyFile {
    fn new(item: &Planned, job: &Job) -> Self {
        let bytes = item.file_bytes;
        // Nothing is read of a larger one.
        let is_read = bytes <= job.limits.input_bytes_max;
        let memory_bytes = if is_read { item.keys_memory_bytes(job) } else { 0 };
        Self { path: item.keys_file.clone(), bytes, memory_bytes, refusal: misplaced(item) }
    }

    /// Why there is no table of it: what a run would say, or else `error`.
    pub(super) fn refusal_or(&self, error: ItemError) -> ItemError {
        self.refusal.clone().unwrap_or(error)
    }
}

/// The one table that there is, if the directory that is checked is its own.
fn only(tables: &mut Published) -> Option<&mut Check> {
    let is_one = tables.len() == 1;
    let [only] = &mut tables.get_mut(&[][..])?[..] else { return None };
    (is_one && matches!(only.subject, Subject::Directory)).then_some(only)
}

/// Gives each table its key file; a key file without one is an item, too. Where several have one place, no job
/// would build any of them: each is held against what is there, and one at most is the table's own.
fn assign_key_files(
    tables: &mut Published,
    items: &[Planned],
    root: &Path,
    key_file: impl Fn(&Planned) -> KeyFile,
) {
    let mut contested = Vec::new();
    for item in items {
        let target = item.target();
        let place = target.as_os_str().as_encoded_bytes().to_vec();
        if !tables.contains_key(&place) {
            let unknown = unlisted(item).or_else(|| unknown_pack(tables, &target));
            let subject = unknown.map_or(Subject::Directory, Subject::Failed);
            publish_at(tables, place.clone(), Check::new(root.join(&target), subject));
        }
        for check in tables.get_mut(&place).expect("it is there by now") {
            if check.keys.is_none() {
                check.keys = Some(key_file(item));
            } else {
                contested.push((place.clone(), check.of_key_file(key_file(item))));
            }
        }
    }
    for (place, check) in contested {
        publish_at(tables, place, check);
    }
}

/// Why it is not known what lies at a place among the key files: a directory of them, it may be.
fn unlisted(item: &Planned) -> Option<ItemError> {
    match item.refusal.as_deref() {
        Some(ItemError::Input(IoError {
            kind: IoErrorKind::NotAFile(_) | IoErrorKind::TooLarge { .. },
            ..
        })) => None,
        Some(error @ ItemError::Input(_)) => Some(error.clone()),
        _ => None,
    }
}

/// Why it is not known whether a pack holds the table of a place.
fn unknown_pack(tables: &Published, target: &Path) -> Option<ItemError> {
    target.ancestors().skip(1).find_map(|directory| {
        let pack = directory.join(PACKED_DIRECTORY);
        let checks = tables.get(pack.as_os_str().as_encoded_bytes())?;
        checks.iter().find_map(|check| match &check.subject {
            Subject::Failed(error) => Some(error.clone()),
            Subject::Directory | Subject::Packed(_) => None,
        })
    })
}

/// What a run would refuse a key file for by its place, whatever is in it.
fn misplaced(item: &Planned) -> Option<ItemError> {
    let is_of_place = |refusal: &&ItemError| {
        matches!(
            refusal,
            ItemError::Clash { .. }
                | ItemError::ClashByCase { .. }
                | ItemError::Nested { .. }
                | ItemError::NestedByCase { .. }
                | ItemError::ReservedName
        )
    };
    item.refusal.as_deref().filter(is_of_place).cloned()
}

/// The key file of the one table in `root`: the only one, or that whose table would be published at
/// a place of this name.
fn own_key_file(
    mut items: Vec<Planned>,
    root: &Path,
    engine: &mut dyn Engine,
) -> Result<Option<Planned>, JobError> {
    if items.len() == 1 {
        return Ok(items.pop());
    }
    let root = call(engine, Op::Resolve { path: root.to_owned() }).map_err(JobError::Output)?;
    let root = root.into_path();
    let fitting = items.into_iter().filter(|item| root.ends_with(item.target()));
    Ok(fitting.max_by_key(|item| item.target().components().count()))
}
