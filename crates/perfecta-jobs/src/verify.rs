//! Checks what was published: manifests, hashes, and the index of every key.
//!
//! Every table is an item, in a directory of its own or in a pack, and so is every key file that has
//! none. A pack of which nothing is known is one item.
//! Nothing is written.

mod admission;
mod pack;
mod plan;

use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;
use perfecta_core::format::pack::ImagePlace;
use perfecta_core::key::KeySet;
use perfecta_emit::ContentHash;
use perfecta_io::{Buffer, Engine, FileContent, IoError, IoErrorKind, Op, Symlinks};

use self::admission::{Admission, Turn};
use self::pack::{TableOfPack, damaged, read_part, unreadable};
use self::plan::{Check, KeyFile, Plan, Subject, plan};
use crate::activity;
use crate::call::{call, read_file};
use crate::config::{Inputs, KeyOptions, Limits};
use crate::error::{ExitClass, ItemError, JobError, Stop};
use crate::event::{Event, ItemReport, Observer, Progress, Summary};
use crate::guard::guarded;
use crate::ledger::{Ledger, Running, Status};
use crate::lookout::Lookout;
use crate::manifest::{self, Manifest};
use crate::packed::PART_BYTES;
use crate::places::MANIFEST;
use crate::render::Renderer;
use crate::runtime::Runtime;

/// A request to check an output.
#[derive(Debug, Clone)]
pub struct Verification {
    /// The output directory of a job, or the directory of one table.
    pub directory: PathBuf,
    /// The key files, one of every table; without them only manifests, hashes and forms are checked.
    pub keys: Option<Inputs>,
    /// How a key file is read.
    pub key_options: KeyOptions,
    /// Bounds; the memory is that of all threads together.
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

/// What the threads share.
struct Shared<'a, 'o> {
    verification: &'a Verification,
    runtime: &'a Runtime<'a>,
    renderer: &'a dyn Renderer,
    checks: &'a [Check],
    admission: Admission,
    begun: Duration,
    tally: Mutex<Tally>,
    lookout: &'a Lookout<'o>,
}

struct Tally {
    ledger: Ledger,
    summary: Summary,
    first_failure: Option<(usize, ExitClass)>,
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
    let num_threads = verification.limits.threads.get();
    let lookout = Lookout::new(num_threads, runtime.clock, observer);
    lookout.look_after(|| verify_watched(verification, runtime, &lookout))
}

fn verify_watched(
    verification: &Verification,
    runtime: &Runtime<'_>,
    lookout: &Lookout<'_>,
) -> Result<Summary, JobError> {
    let (begun, cpu_begun) = (runtime.clock.now(), runtime.clock.cpu());
    let renderer = runtime.renderer.ok_or(JobError::Unsupported("verifying without a renderer"))?;
    let mut engine = runtime.engines.engine();
    let Plan { checks, bytes, files } =
        plan(verification, engine.as_mut(), &runtime.cancel, lookout)?;
    let mut ledger = Ledger::default();
    ledger.admit(u32::try_from(checks.len()).expect("the entries' limit keeps items countable"));
    lookout.observe(&Event::Planned(&Progress { ledger: ledger.clone(), ..Progress::default() }));
    let summary = Summary { bytes, files, ..Summary::default() };
    let tally = Tally { ledger, summary, first_failure: None };
    let needs = checks.iter().map(Check::memory_bytes).collect();
    let memory_bytes_max = verification.limits.memory_bytes_max;
    let shared = Shared {
        verification,
        runtime,
        renderer,
        checks: &checks,
        admission: Admission::new(needs, memory_bytes_max, &runtime.cancel),
        begun,
        tally: Mutex::new(tally),
        lookout,
    };
    std::thread::scope(|scope| {
        let shared = &shared;
        for thread in 1..verification.limits.threads.get() {
            // The system has no more to give: those that are there do all of the work.
            if std::thread::Builder::new().spawn_scoped(scope, move || shared.work(thread)).is_err()
            {
                break;
            }
        }
        shared.work(0);
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

impl Shared<'_, '_> {
    fn work(&self, thread: usize) {
        self.lookout.note_left(thread);
        let mut engine = self.runtime.engines.engine();
        while let Some((position, turn)) = self.admission.next() {
            let running = self.tally.lock().ledger.start();
            let check = &self.checks[position];
            let keys_file = check.keys.as_ref().map_or(&check.path, |keys| &keys.path);
            let identifier = check.identifier.clone();
            let mut report = ItemReport::new(keys_file.clone(), identifier, Status::Ok);
            let checked = match turn {
                Turn::Admitted(memory) => {
                    self.lookout.note(thread, keys_file, activity::VERIFY);
                    let checked = guarded(|| self.check(check, engine.as_mut(), &mut report));
                    self.lookout.note_left(thread);
                    drop(memory);
                    checked.unwrap_or_else(|bug| Err(ItemError::Panicked(bug).into()))
                }
                Turn::Refused(error) => Err(Stop::Failed(error)),
                Turn::Cancelled => Err(Stop::Cancelled),
            };
            match checked {
                Ok(()) => {}
                Err(Stop::Failed(error)) => {
                    report.status = Status::Failed;
                    report.error = Some(error);
                }
                Err(Stop::Cancelled) => report.status = Status::Cancelled,
            }
            self.settle(position, running, &report);
        }
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
        self.lookout.observe(&Event::Settled { report, progress: &progress });
    }

    fn check(
        &self,
        check: &Check,
        engine: &mut dyn Engine,
        report: &mut ItemReport,
    ) -> Result<(), Stop> {
        match &check.subject {
            Subject::Directory => self.check_directory(check, engine, report),
            Subject::Packed(table) => self
                .check_packed(check, table, engine, report)
                .map_err(|stop| table.or_replaced(stop, &check.path, engine)),
            Subject::Failed(error) => Err(error.clone().into()),
        }
    }

    fn check_packed(
        &self,
        check: &Check,
        table: &TableOfPack,
        engine: &mut dyn Engine,
        report: &mut ItemReport,
    ) -> Result<(), Stop> {
        let TableOfPack { place, keys_blake3, num_keys, .. } = table;
        report.keys = *num_keys;
        report.bytes = place.bytes;
        let keys = self.read_keys(check, keys_blake3, engine)?;
        let image = self.read_image(check, place, engine)?;
        let view = place.table(&image);
        let view = view.map_err(|error| damaged(&check.path, &error.to_string()))?;
        table.check_num_keys(view.parameters().num_keys, &check.path)?;
        if let Some((keys, _)) = keys {
            let verified = view.verify_while(&keys, &self.runtime.cancel.keep_going());
            verified.map_err(Stop::interrupted)??;
        }
        Ok(())
    }

    /// The image of a table; of a large one part by part, so that whoever cancels is heard.
    fn read_image(
        &self,
        check: &Check,
        place: &ImagePlace,
        engine: &mut dyn Engine,
    ) -> Result<Buffer, Stop> {
        if place.bytes <= PART_BYTES {
            return Ok(read_part(engine, &check.path, place.offset, place.bytes, PART_BYTES)?);
        }
        let mut image = Vec::with_capacity(place.bytes as usize);
        let (mut offset, end) = (place.offset, place.offset + place.bytes);
        while offset < end {
            if self.runtime.cancel.is_cancelled() {
                return Err(Stop::Cancelled);
            }
            let bytes = PART_BYTES.min(end - offset);
            image.extend_from_slice(&read_part(engine, &check.path, offset, bytes, bytes)?);
            offset += bytes;
        }
        Ok(image.into())
    }

    fn check_directory(
        &self,
        check: &Check,
        engine: &mut dyn Engine,
        report: &mut ItemReport,
    ) -> Result<(), Stop> {
        // No more was reserved for it.
        let op = Op::ReadDirectory {
            path: check.path.clone(),
            bytes_max: check.bytes,
            interrupt: self.runtime.cancel.interrupt(),
        };
        let files = call(engine, op).map_err(|error| {
            let error = grown(error);
            if error.path == check.path && error.is_absent() {
                let absent = ItemError::NoTable { target: check.path.clone() };
                return check.keys.as_ref().map_or(absent.clone(), |keys| keys.refusal_or(absent));
            }
            if let (IoErrorKind::NotAFile(kind), Some(claim)) = (&error.kind, &check.claim) {
                let directory = check.path.clone();
                let part = error.path.strip_prefix(&directory).unwrap_or(&error.path).to_owned();
                return ItemError::Mixed { directory, part, kind, claim: claim.clone() };
            }
            if check.bytes == 0 && error.kind == IoErrorKind::Changed {
                return ItemError::PublishedMeanwhile { target: check.path.clone() };
            }
            unreadable(error)
        })?;
        let files = files.into_files();
        report.files = files.len() as u32;
        report.bytes = files.iter().map(|file| file.bytes.len() as u64).sum();
        let manifest = files.iter().find(|file| file.name == MANIFEST);
        let manifest_path = check.path.join(MANIFEST);
        let manifest = manifest.ok_or_else(|| damaged(&manifest_path, "it is missing"))?;
        let manifest = Manifest::from_json(&manifest.bytes)
            .map_err(|error| damaged(&manifest_path, &error.to_string()))?;
        let checked = manifest::check(&manifest, &files, &self.runtime.cancel.keep_going());
        let checked = checked.map_err(Stop::interrupted)?;
        checked.map_err(|(file, reason)| damaged(&check.path.join(file), &reason))?;
        if let Some(name) = manifest::first_unlisted(&manifest, &files) {
            return Err(ItemError::Unlisted { file: check.path.join(name) }.into());
        }
        let contradicted = |reason: String| damaged(&manifest_path, &reason);
        let parameters = self.renderer.parameters(&files);
        manifest::agree(&manifest, &check.identifier, parameters.as_ref()).map_err(contradicted)?;
        report.keys = u64::from(manifest.table.num_keys);
        let Some((keys, file_bytes)) = self.read_keys(check, &manifest.key_file.blake3, engine)?
        else {
            return self.check_files(&files, None);
        };
        manifest::agree_with_keys(&manifest, &keys, file_bytes).map_err(contradicted)?;
        self.check_files(&files, Some(&keys))
    }

    fn check_files(&self, files: &[FileContent], keys: Option<&KeySet>) -> Result<(), Stop> {
        let checked = self.renderer.check(files, keys, &self.runtime.cancel.keep_going());
        Ok(checked.map_err(Stop::interrupted)??)
    }

    /// The keys that a table was made of, and the bytes of their file, if key files were given.
    fn read_keys(
        &self,
        check: &Check,
        keys_blake3: &ContentHash,
        engine: &mut dyn Engine,
    ) -> Result<Option<(KeySet, u64)>, Stop> {
        let Some(key_file @ KeyFile { path, bytes, .. }) = &check.keys else {
            // What is said of a table is said of its keys, too.
            let are_wanted = self.verification.keys.is_some();
            return if are_wanted { Err(ItemError::NoKeyFile.into()) } else { Ok(None) };
        };
        let input_bytes_max = self.verification.limits.input_bytes_max;
        // No more was reserved for it.
        let (bytes_max, interrupt) = (input_bytes_max.min(*bytes), self.runtime.cancel.interrupt());
        let read = read_file(engine, path.clone(), bytes_max, Symlinks::Follow, interrupt);
        let bytes = read.map_err(|error| {
            ItemError::Input(if *bytes <= input_bytes_max { grown(error) } else { error })
        })?;
        let hash = manifest::hash_while(&bytes, &self.runtime.cancel.keep_going());
        if hash.map_err(Stop::interrupted)? != *keys_blake3 {
            let other = damaged(path, "it is not the key file that the table was made of");
            return Err(key_file.refusal_or(other).into());
        }
        let keys = self.verification.key_options.parse(path, &bytes).map_err(ItemError::Keys)?;
        Ok(Some((keys, bytes.len() as u64)))
    }
}

/// What is more than was listed has grown since.
fn grown(mut error: IoError) -> IoError {
    if let IoErrorKind::TooLarge { .. } = error.kind {
        error.kind = IoErrorKind::Changed;
    }
    error
}
