//! Joins machines, engines and threads: the only place with threads and a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use perfecta_io::{BlockingEngine, Engine};

use crate::config::{Inputs, Job, KeyEncoding};
use crate::error::{ItemError, JobError};
use crate::event::{DryRun, Event, ItemReport, Observer, Progress, SearchReport, Status, Summary};
use crate::render::Renderer;
use crate::verify::Verification;

/// What a job runs with.
#[derive(Clone)]
pub struct Runtime<'a> {
    /// An engine for every worker.
    pub engines: &'a dyn EngineSource,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Turns tables into artifacts; needed where something is written or verified.
    pub renderer: Option<&'a dyn Renderer>,
    /// Says when to stop.
    pub cancel: CancelFlag,
}

impl<'a> Runtime<'a> {
    /// The blocking engine and the system's clock.
    #[must_use]
    pub fn new(renderer: Option<&'a dyn Renderer>, cancel: CancelFlag) -> Self {
        Self { engines: &BlockingEngines, clock: &SystemClock, renderer, cancel }
    }
}

/// Makes an engine on the thread that will use it.
pub trait EngineSource: Sync {
    /// An engine for the calling thread.
    fn engine(&self) -> Box<dyn Engine>;
}

#[derive(Debug)]
struct BlockingEngines;

impl EngineSource for BlockingEngines {
    fn engine(&self) -> Box<dyn Engine> {
        Box::new(BlockingEngine::default())
    }
}

/// The time: of the wall and of the process.
pub trait Clock: Sync {
    /// Time since some fixed moment; never goes back.
    fn now(&self) -> Duration;

    /// CPU time of the process so far.
    fn cpu(&self) -> Duration;
}

/// The system's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    }

    fn cpu(&self) -> Duration {
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
    }
}

/// Asks a job to stop: no item begins any more, and those at work are abandoned unpublished.
#[derive(Debug, Clone, Default)]
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    /// Asks. Safe to call from a signal handler.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs a job to its end. Failures of items are reported, not returned.
///
/// # Errors
/// [`JobError`] if the job as a whole cannot run.
pub fn run(
    job: &Job,
    runtime: &Runtime<'_>,
    observer: &mut dyn Observer,
) -> Result<Summary, JobError> {
    if job.output.is_some() {
        return Err(JobError::Unsupported("output"));
    }
    let (begun, cpu_begun) = (runtime.clock.now(), runtime.clock.cpu());
    let mut progress = Progress::default();
    let mut summary = Summary::default();
    let files = key_files(job, runtime)?;
    progress.ledger.admit(files.len() as u32);
    observer.observe(&Event::Planned(&progress));
    let mut scratch = perfecta_core::graph::Scratch::default();
    for keys_file in files {
        let running = progress.ledger.start();
        observer.observe(&Event::Started { keys_file: &keys_file, keys: 0 });
        let report = thin(job, runtime, keys_file, &mut scratch);
        progress.ledger.finish(running, report.status);
        if let Some(error) = &report.error {
            summary.first_failure.get_or_insert(error.exit_class());
        }
        summary.keys += report.keys;
        progress.wall_seconds = (runtime.clock.now() - begun).as_secs_f64();
        observer.observe(&Event::Settled { report: &report, progress: &progress });
    }
    summary.tables = progress.ledger.admitted();
    summary.ok = progress.ledger.ok();
    summary.failed = progress.ledger.failed();
    summary.wall_seconds = (runtime.clock.now() - begun).as_secs_f64();
    summary.cpu_seconds = (runtime.clock.cpu() - cpu_begun).as_secs_f64();
    Ok(summary)
}

fn key_files(job: &Job, runtime: &Runtime<'_>) -> Result<Vec<std::path::PathBuf>, JobError> {
    use perfecta_io::{EntryKind, Op, Payload, Token};
    let (root, names) = match &job.inputs {
        Inputs::Files(files) => return Ok(files.clone()),
        Inputs::Tree { root, names } => (root, names),
    };
    let mut engine = runtime.engines.engine();
    let op = Op::ListTree {
        root: root.clone(),
        entries_max: job.limits.entries_max,
        depth_max: job.limits.depth_max,
    };
    engine.submit(Token(0), op);
    let completion = engine.next_completion().expect("an operation is in flight");
    let Payload::Listing(listing) =
        completion.outcome.map_err(|failure| JobError::Input(failure.error))?
    else {
        panic!("a listing gives a listing");
    };
    let matching = listing
        .entries
        .into_iter()
        .filter(|entry| matches!(entry.kind, EntryKind::File { .. }) && names.admits(&entry.path));
    Ok(matching.map(|entry| root.join(entry.path)).collect())
}

fn thin(
    job: &Job,
    runtime: &Runtime<'_>,
    keys_file: std::path::PathBuf,
    scratch: &mut perfecta_core::graph::Scratch,
) -> ItemReport {
    use perfecta_core::key::KeySet;
    use perfecta_io::{Op, Payload, Symlinks, Token};
    let mut report = ItemReport {
        identifier: String::new(),
        status: Status::Failed,
        keys: 0,
        search: None,
        bytes: 0,
        files: 0,
        error: None,
        keys_file,
    };
    let mut build = || -> Result<(), ItemError> {
        let mut engine = runtime.engines.engine();
        let op = Op::ReadFile {
            path: report.keys_file.clone(),
            buffer: Vec::new(),
            bytes_max: job.limits.input_bytes_max,
            symlinks: Symlinks::Follow,
        };
        engine.submit(Token(0), op);
        let completion = engine.next_completion().expect("an operation is in flight");
        let Payload::Bytes(bytes) =
            completion.outcome.map_err(|failure| ItemError::Input(failure.error))?
        else {
            panic!("reading gives bytes");
        };
        let keys = match job.keys.encoding {
            KeyEncoding::Binary => KeySet::from_le_bytes(
                &bytes,
                job.keys.width.of(&report.keys_file),
                job.keys.repair,
            )?,
            KeyEncoding::Text => {
                KeySet::from_text(&bytes, job.keys.width.of(&report.keys_file), job.keys.repair)?
            }
        };
        report.keys = keys.len() as u64;
        let begun = runtime.clock.now();
        let solution = perfecta_core::search::search(&keys, &job.search, scratch, &|| {
            !runtime.cancel.is_cancelled()
        })?;
        let verdict = &solution.verdict;
        report.search = Some(SearchReport {
            edge_capacity: verdict.stage.geometry.edge_capacity(),
            vertices: verdict.stage.geometry.vertices(),
            hash: verdict.stage.family,
            seeds: verdict.win().map(|win| win.seeds).unwrap_or_default(),
            attempts: verdict.tally.attempts(),
            winning_attempt: verdict.win().map(|win| win.attempt),
            vertex_collisions: verdict.tally.vertex_collisions,
            cyclic: verdict.tally.cyclic,
            grows: verdict.stage.grows,
            seconds: (runtime.clock.now() - begun).as_secs_f64(),
        });
        let unsolved = |limit| ItemError::Unsolved { limit, attempts: verdict.tally.attempts() };
        verdict.outcome.map_err(unsolved)?;
        let table = solution.table.as_ref().expect("a win has a table");
        table.view().verify(&keys)?;
        Ok(())
    };
    match build() {
        Ok(()) => report.status = Status::Ok,
        Err(error) => report.error = Some(error),
    }
    report
}

/// What a job would do, from the lengths of its key files.
///
/// # Errors
/// As [`run`].
pub fn dry_run(_job: &Job, _runtime: &Runtime<'_>) -> Result<DryRun, JobError> {
    Err(JobError::Unsupported("dry run"))
}

/// Checks a published output; its tables are the items.
///
/// # Errors
/// [`JobError`] if there is nothing to check, or it cannot be listed.
pub fn verify(
    _verification: &Verification,
    _runtime: &Runtime<'_>,
    _observer: &mut dyn Observer,
) -> Result<Summary, JobError> {
    Err(JobError::Unsupported("verify"))
}
