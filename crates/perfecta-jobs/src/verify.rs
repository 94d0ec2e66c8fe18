//! Checks what was published: manifests, hashes, and the index of every key.
//!
//! Every directory with a manifest is an item, and so is every key file that has no such directory.
//! Nothing is written.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use perfecta_core::key::KeySet;
use perfecta_emit::ContentHash;
use perfecta_io::{Buffer, Engine, Entry, EntryKind, IoError, IoErrorKind, Lengths, Op, Symlinks};

use crate::call::{call, read_file};
use crate::config::{Inputs, Job, KeyOptions, Limits};
use crate::error::{ExitClass, ItemError, JobError};
use crate::event::{Event, ItemReport, Observer, Progress, Summary};
use crate::inputs::{list_inputs, list_tree};
use crate::ledger::{Ledger, Running, Status};
use crate::manifest::{self, Manifest, PackManifest, PackedEntry};
use crate::packed;
use crate::places::{MANIFEST, PACKED_DIRECTORY, PACKED_FILE, STAGE_PREFIX};
use crate::render::{Renderer, check_image};
use crate::runtime::{CancelFlag, Runtime};
use crate::schedule::{self, Planned};

/// A request to check an output.
#[derive(Debug, Clone)]
pub struct Verification {
    /// The output directory of a job, or the directory of one table.
    pub directory: PathBuf,
    /// The key files, one of every table; without them only manifests, hashes and forms are checked.
    pub keys: Option<Inputs>,
    /// How a key file is read.
    pub key_options: KeyOptions,
    /// Bounds.
    pub limits: Limits,
}

impl Verification {
    /// A check of `directory` against its manifests.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            keys: None,
            key_options: KeyOptions::default(),
            limits: Limits::default(),
        }
    }
}

/// A table to check: what is published at `path`, and the key file that belongs to it.
struct Check {
    path: PathBuf,
    identifier: String,
    keys_file: Option<PathBuf>,
    subject: Subject,
}

/// What a check looks at.
enum Subject {
    /// A directory with a manifest, which it reads itself.
    Directory,
    /// One entry of a packed file that is, as a whole, what its manifest says.
    Entry(PackedEntry),
    /// A packed file that is not, and why.
    DamagedPack(&'static str),
}

/// The checks by where their tables lie below the directory, in the order of bytes: to compare paths
/// part by part takes long.
type Checks = BTreeMap<OsString, Check>;

/// What is published. A table may be there twice: in a directory and in a pack.
#[derive(Default)]
struct Published {
    directories: Checks,
    packed: Checks,
}

/// What the threads share.
struct Shared<'a> {
    verification: &'a Verification,
    runtime: &'a Runtime<'a>,
    renderer: &'a dyn Renderer,
    checks: &'a [Check],
    begun: Duration,
    tally: Mutex<Tally<'a>>,
}

struct Tally<'a> {
    next: usize,
    ledger: Ledger,
    summary: Summary,
    first_failure: Option<(usize, ExitClass)>,
    observer: &'a mut dyn Observer,
}

/// Checks a published output; its tables are the items.
///
/// # Errors
/// [`JobError`] if there is nothing to check, or it cannot be listed.
///
/// # Panics
/// If the observer does.
pub fn verify(
    verification: &Verification,
    runtime: &Runtime<'_>,
    observer: &mut dyn Observer,
) -> Result<Summary, JobError> {
    let (begun, cpu_begun) = (runtime.clock.now(), runtime.clock.cpu());
    let renderer = runtime.renderer.ok_or(JobError::Unsupported("verifying without a renderer"))?;
    let mut engine = runtime.engines.engine();
    let checks = plan(verification, engine.as_mut(), &runtime.cancel)?;
    let mut ledger = Ledger::default();
    ledger.admit(u32::try_from(checks.len()).expect("the entries' limit keeps items countable"));
    observer.observe(&Event::Planned(&Progress { ledger: ledger.clone(), ..Progress::default() }));
    let tally =
        Tally { next: 0, ledger, summary: Summary::default(), first_failure: None, observer };
    let shared = Shared {
        verification,
        runtime,
        renderer,
        checks: &checks,
        begun,
        tally: Mutex::new(tally),
    };
    std::thread::scope(|scope| {
        for _ in 1..verification.limits.threads.get() {
            // The system has no more to give: those that are there do all of the work.
            if std::thread::Builder::new().spawn_scoped(scope, || shared.work()).is_err() {
                break;
            }
        }
        shared.work();
    });
    let Tally { ledger, summary, first_failure, .. } = shared.tally.into_inner();
    assert!(ledger.is_settled(), "{ledger:?} at the end of a verification");
    Ok(Summary {
        tables: ledger.admitted(),
        ok: ledger.ok(),
        failed: ledger.failed(),
        cancelled: ledger.cancelled(),
        wall_seconds: (runtime.clock.now() - begun).as_secs_f64(),
        cpu_seconds: (runtime.clock.cpu() - cpu_begun).as_secs_f64(),
        first_failure: first_failure.map(|(_, class)| class),
        ..summary
    })
}

/// The tables below the directory, and the key files that should have one.
fn plan(
    verification: &Verification,
    engine: &mut dyn Engine,
    cancel: &CancelFlag,
) -> Result<Vec<Check>, JobError> {
    let root = &verification.directory;
    let limits = &verification.limits;
    let entries = list_tree(root, Lengths::Unwanted, limits, engine, cancel)?.entries;
    let mut tables = Published::default();
    let manifests = entries.iter().filter(|entry| is_published(entry));
    for below in manifests.map(|entry| entry.path.parent().unwrap_or(Path::new(""))) {
        let path = if below.as_os_str().is_empty() { root.clone() } else { root.join(below) };
        if path.file_name().is_some_and(|name| name == PACKED_DIRECTORY) {
            plan_pack(&path, below, engine, cancel, &mut tables)?;
        } else {
            tables.directories.insert(below.into(), Check::new(path, Subject::Directory));
        }
    }
    if let Some(keys) = &verification.keys {
        let job = Job {
            keys: verification.key_options,
            limits: limits.clone(),
            ..Job::new(keys.clone())
        };
        let items = schedule::plan(&job, list_inputs(&job, engine, cancel)?.entries);
        match tables.only() {
            Some(only) => only.keys_file = own_key_file(items, root, engine)?,
            None => tables.assign_key_files(items, root),
        }
    }
    let Published { directories, packed } = tables;
    if directories.is_empty() && packed.is_empty() {
        return Err(JobError::NothingPublished { root: root.clone() });
    }
    Ok(directories.into_values().chain(packed.into_values()).collect())
}

impl Published {
    /// The one table that there is, if the directory that is checked is its own.
    fn only(&mut self) -> Option<&mut Check> {
        let is_one_table = self.directories.len() == 1 && self.packed.is_empty();
        self.directories.get_mut(OsStr::new("")).filter(|_| is_one_table)
    }

    /// Gives each table its key file; a key file without one is an item, too.
    fn assign_key_files(&mut self, items: Vec<Planned>, root: &Path) {
        for item in items {
            let target = item.target();
            let check = Check::new(root.join(&target), Subject::Directory);
            let target = target.into_os_string();
            if !self.packed.contains_key(&target) {
                self.directories.entry(target.clone()).or_insert(check);
            }
            for tables in [&mut self.directories, &mut self.packed] {
                if let Some(check) = tables.get_mut(&target) {
                    check.keys_file = Some(item.keys_file.clone());
                }
            }
        }
    }
}

/// The key file of the one table in `root`: the only one, or that whose table would be published at
/// a place of this name.
fn own_key_file(
    items: Vec<Planned>,
    root: &Path,
    engine: &mut dyn Engine,
) -> Result<Option<PathBuf>, JobError> {
    if let [only] = &items[..] {
        return Ok(Some(only.keys_file.clone()));
    }
    let root = call(engine, Op::Resolve { path: root.to_owned() }).map_err(JobError::Output)?;
    let root = root.into_path();
    let fitting = items.into_iter().filter(|item| root.ends_with(item.target()));
    let nearest = fitting.max_by_key(|item| item.target().components().count());
    Ok(nearest.map(|item| item.keys_file))
}

/// Whether an entry says that a table was published beside it: a manifest, or a table file that has
/// lost its own.
fn is_published(entry: &Entry) -> bool {
    let is_stage = |part: &OsStr| part.as_encoded_bytes().starts_with(STAGE_PREFIX.as_bytes());
    let is_table = entry.path.extension().is_some_and(|extension| extension == "pht");
    matches!(entry.kind, EntryKind::File { .. } | EntryKind::Unmeasured)
        && (is_table || entry.path.file_name().is_some_and(|name| name == MANIFEST))
        && !entry.path.iter().any(is_stage)
}

/// The pack in the directory `path`, and every table in it.
fn plan_pack(
    path: &Path,
    below: &Path,
    engine: &mut dyn Engine,
    cancel: &CancelFlag,
    tables: &mut Published,
) -> Result<(), JobError> {
    let manifest = read_file(engine, path.join(MANIFEST), u64::MAX, Symlinks::Refuse);
    let bytes = manifest.map_err(JobError::Input)?;
    let file = path.join(PACKED_FILE);
    let Some(manifest) = PackManifest::parse(&bytes) else {
        let reason = "it is torn, or of another version";
        let check = Check::new(path.join(MANIFEST), Subject::DamagedPack(reason));
        tables.directories.insert(below.into(), check);
        return Ok(());
    };
    // One that is gone or short has not these bytes either; its entries say what cannot be read.
    let hash = packed::hash_file(engine, &file, manifest.bytes(), cancel).unwrap_or(None);
    cancel.check()?;
    if hash.as_ref() != Some(manifest.blake3()) {
        let reason = "it has not the bytes that the manifest says";
        let check = Check::new(file.clone(), Subject::DamagedPack(reason));
        tables.directories.insert(below.into(), check);
    }
    // The names in a pack are those below the output directory, in which the pack lies.
    let parent = below.parent().unwrap_or(Path::new(""));
    for entry in manifest.tables {
        let name = parent.join(&entry.name);
        let mut check = Check::new(file.clone(), Subject::Entry(entry));
        check.identifier = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
        tables.packed.insert(name.into_os_string(), check);
    }
    Ok(())
}

impl Check {
    fn new(path: PathBuf, subject: Subject) -> Self {
        let identifier = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { path, identifier, keys_file: None, subject }
    }

    fn damaged(&self, file: &str, reason: &str) -> ItemError {
        let path = if file.is_empty() { self.path.clone() } else { self.path.join(file) };
        ItemError::Damaged { file: path.display().to_string(), reason: reason.to_owned() }
    }

    /// Why the directory cannot be read: nothing but regular files was ever published in one.
    fn unreadable(&self, error: IoError) -> ItemError {
        let reason = match error.kind {
            IoErrorKind::NotAFile(kind) => format!("it is a {kind}, and nobody here made it"),
            _ if error.is_not_a_directory() => "it is a symbolic link or a file".to_owned(),
            _ => return ItemError::Output(error),
        };
        ItemError::Damaged { file: error.path.display().to_string(), reason }
    }
}

impl Shared<'_> {
    fn work(&self) {
        let mut engine = self.runtime.engines.engine();
        while let Some((position, running)) = self.take() {
            let check = &self.checks[position];
            let keys_file = check.keys_file.clone().unwrap_or_else(|| check.path.clone());
            let mut report = ItemReport::new(keys_file, check.identifier.clone(), Status::Ok);
            if self.runtime.cancel.is_cancelled() {
                report.status = Status::Cancelled;
            } else if let Err(error) = self.check(check, engine.as_mut(), &mut report) {
                report.status = Status::Failed;
                report.error = Some(error);
            }
            self.settle(position, running, &report);
        }
    }

    fn take(&self) -> Option<(usize, Running)> {
        let mut tally = self.tally.lock();
        let position = tally.next;
        if position == self.checks.len() {
            return None;
        }
        tally.next += 1;
        Some((position, tally.ledger.start()))
    }

    fn settle(&self, position: usize, running: Running, report: &ItemReport) {
        let mut tally = self.tally.lock();
        tally.ledger.finish(running, report.status);
        if report.status == Status::Ok {
            tally.summary.keys += report.keys;
        }
        tally.summary.bytes += report.bytes;
        tally.summary.files += u64::from(report.files);
        if let Some(error) = &report.error
            && tally.first_failure.is_none_or(|(first, _)| position < first)
        {
            tally.first_failure = Some((position, error.exit_class()));
        }
        let progress = Progress {
            ledger: tally.ledger.clone(),
            wall_seconds: (self.runtime.clock.now() - self.begun).as_secs_f64(),
            ..Progress::default()
        };
        tally.observer.observe(&Event::Settled { report, progress: &progress });
    }

    fn check(
        &self,
        check: &Check,
        engine: &mut dyn Engine,
        report: &mut ItemReport,
    ) -> Result<(), ItemError> {
        match &check.subject {
            Subject::Directory => self.check_directory(check, engine, report),
            Subject::Entry(entry) => {
                report.keys = entry.num_keys;
                let keys = self.read_keys(check, &entry.keys_blake3, engine)?;
                let op = Op::ReadRange {
                    path: check.path.clone(),
                    offset: entry.offset,
                    bytes: entry.bytes as usize,
                    buffer: Buffer::default(),
                };
                let bytes = call(engine, op).map_err(ItemError::Output)?.into_bytes();
                report.bytes = entry.bytes;
                check_image(&check.path.display().to_string(), &bytes, keys.as_ref())
            }
            Subject::DamagedPack(reason) => Err(check.damaged("", reason)),
        }
    }

    fn check_directory(
        &self,
        check: &Check,
        engine: &mut dyn Engine,
        report: &mut ItemReport,
    ) -> Result<(), ItemError> {
        let op = Op::ReadDirectory {
            path: check.path.clone(),
            bytes_max: self.verification.limits.memory_bytes_max,
        };
        let files = call(engine, op).map_err(|error| {
            if error.path == check.path && error.is_absent() {
                return check.damaged("", "no table of the key file is there");
            }
            check.unreadable(error)
        })?;
        let files = files.into_files();
        report.files = files.len() as u32;
        report.bytes = files.iter().map(|file| file.bytes.len() as u64).sum();
        let manifest = files.iter().find(|file| file.name == MANIFEST);
        let manifest = manifest.ok_or_else(|| check.damaged(MANIFEST, "it is missing"))?;
        let manifest = Manifest::from_json(&manifest.bytes)
            .map_err(|error| check.damaged(MANIFEST, &error.to_string()))?;
        manifest::check(&manifest, &files)
            .map_err(|(file, reason)| check.damaged(&file, &reason))?;
        report.identifier.clone_from(&manifest.identifier);
        report.keys = u64::from(manifest.table.num_keys);
        let keys = self.read_keys(check, &manifest.key_file.blake3, engine)?;
        self.renderer.check(&files, keys.as_ref())
    }

    /// The keys that a table was made of, if key files were given.
    fn read_keys(
        &self,
        check: &Check,
        keys_blake3: &ContentHash,
        engine: &mut dyn Engine,
    ) -> Result<Option<KeySet>, ItemError> {
        let Some(path) = &check.keys_file else {
            // What is said of a table is said of its keys, too.
            let are_wanted = self.verification.keys.is_some();
            return if are_wanted { Err(ItemError::NoKeyFile) } else { Ok(None) };
        };
        let bytes_max = self.verification.limits.input_bytes_max;
        let bytes = read_file(engine, path.clone(), bytes_max, Symlinks::Follow)
            .map_err(ItemError::Input)?;
        if ContentHash::of(&bytes) != *keys_blake3 {
            return Err(ItemError::Damaged {
                file: path.display().to_string(),
                reason: "it is not the key file that the table was made of".to_owned(),
            });
        }
        let keys = self.verification.key_options.parse(path, &bytes)?;
        Ok(Some(keys))
    }
}
