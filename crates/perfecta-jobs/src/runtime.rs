//! Joins machines, engines and threads: the only place with threads and a clock.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use perfecta_core::geometry::Geometry;
use perfecta_core::search::Plan;
use perfecta_io::{BlockingEngine, Engine, Entry, EntryKind, Held, Op, Payload};

use crate::apart;
use crate::config::{Durability, Inputs, Job, Layout, Output};
use crate::error::JobError;
use crate::event::{DryRun, Event, Observer, Summary};
use crate::item::{Publication, Target, World};
use crate::job::JobState;
use crate::manifest::Digest;
use crate::pack::PackWindow;
use crate::packed::{self, Closing};
use crate::render::Renderer;
use crate::schedule::{self, Planned};
use crate::stage::{self, Stage, call};
use crate::worker::{self, Shared};

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

    /// The flag itself, for those who install signal handlers.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
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
///
/// # Panics
/// If the observer does, or if the accounts do not add up at the end.
pub fn run(
    job: &Job,
    runtime: &Runtime<'_>,
    observer: &mut dyn Observer,
) -> Result<Summary, JobError> {
    let (begun, cpu_begun) = (runtime.clock.now(), runtime.clock.cpu());
    let mut engine = runtime.engines.engine();
    let items = plan_items(job, engine.as_mut())?;
    let setting = Setting { job, runtime, begun, items: &items };
    let mut summary = match &job.output {
        None => setting.run_in_memory(observer),
        Some(output) => setting.run_to(output, engine.as_mut(), observer)?,
    };
    summary.wall_seconds = (runtime.clock.now() - begun).as_secs_f64();
    summary.cpu_seconds = (runtime.clock.cpu() - cpu_begun).as_secs_f64();
    Ok(summary)
}

/// A job that is about to run.
#[derive(Clone, Copy)]
struct Setting<'a> {
    job: &'a Job,
    runtime: &'a Runtime<'a>,
    begun: Duration,
    items: &'a [Planned],
}

impl<'a> Setting<'a> {
    fn run_in_memory(&self, observer: &mut dyn Observer) -> Summary {
        let shared = self.share(Target::Memory, None, observer);
        self.work(&shared);
        shared.state.into_inner().finish()
    }

    fn run_to(
        &self,
        output: &'a Output,
        engine: &mut dyn Engine,
        observer: &mut dyn Observer,
    ) -> Result<Summary, JobError> {
        let process = rustix::process::getpid().as_raw_nonzero().get().unsigned_abs();
        let stage = stage::open(engine, &output.directory, process).map_err(JobError::Output)?;
        let result = open_filesystem(engine, output).and_then(|filesystem| match output.layout {
            Layout::Dirs => self.run_dirs(output, &stage, filesystem, observer),
            Layout::Packed => self.run_packed(output, &stage, filesystem, engine, observer),
        });
        if let Err(error) = stage.close(engine) {
            observer.observe(&Event::Notice(&format!("{error}; the next run removes it")));
        }
        result
    }

    fn run_dirs(
        &self,
        output: &'a Output,
        stage: &Stage,
        filesystem: Option<Arc<Held>>,
        observer: &mut dyn Observer,
    ) -> Result<Summary, JobError> {
        let renderer = self.runtime.renderer;
        let renderer = renderer.ok_or(JobError::Unsupported("writing without a renderer"))?;
        let options_blake3 = options_digest(self.job, &renderer.fingerprint());
        let stage = stage.path.clone();
        let target = Target::Dirs(Publication { output, renderer, stage, options_blake3 });
        let mut shared = self.share(target, None, observer);
        shared.filesystem = filesystem;
        self.work(&shared);
        Ok(shared.state.into_inner().finish())
    }

    fn run_packed(
        &self,
        output: &'a Output,
        stage: &Stage,
        filesystem: Option<Arc<Held>>,
        engine: &mut dyn Engine,
        observer: &mut dyn Observer,
    ) -> Result<Summary, JobError> {
        let options_blake3 = options_digest(self.job, "packed");
        let found = packed::look(engine, output)?;
        let unchanged =
            packed::unchanged_keys(engine, self.job, self.items, &options_blake3, &found);
        if let Some(keys) = unchanged {
            let shared = self.share(Target::Memory, None, observer);
            packed::settle_unchanged(&shared, &keys);
            return Ok(shared.state.into_inner().finish());
        }
        let path = packed::open(engine, stage)?;
        let num_items = self.items.len() as u32;
        let window = PackWindow::new(num_items);
        let mut shared = self.share(Target::Pack, Some(window), observer);
        shared.pack = Some(path.clone());
        self.work(&shared);
        let closing = Closing {
            output,
            options_blake3,
            found: &found,
            filesystem: filesystem.as_ref(),
            staged: path.parent().expect("the pack lies in its directory"),
        };
        closing.close(engine, &shared);
        Ok(shared.state.into_inner().finish())
    }

    fn share<'o>(
        &self,
        target: Target<'a>,
        pack: Option<PackWindow>,
        observer: &'o mut dyn Observer,
    ) -> Shared<'a, 'o> {
        let Self { job, runtime, begun, items } = *self;
        let state = JobState::new(job, items, pack);
        observer.observe(&Event::Planned(&state.progress(runtime.clock.now() - begun)));
        let memory_bytes_max = job.search.memory_bytes_max.min(job.limits.memory_bytes_max);
        Shared {
            world: World { job, target },
            runtime,
            plan: Plan { memory_bytes_max, ..job.search.clone() },
            state: Mutex::new(state),
            changed: Condvar::new(),
            observer: Mutex::new(observer),
            begun,
            next_tick_ms: AtomicU64::new(0),
            pack: None,
            filesystem: None,
        }
    }

    /// This thread is a worker too: a job of one thread starts none.
    fn work(&self, shared: &Shared<'_, '_>) {
        std::thread::scope(|scope| {
            for number in 1..self.job.limits.threads.get() {
                let started =
                    std::thread::Builder::new().spawn_scoped(scope, || worker::work(shared));
                // The system has no more to give: those that are there do all of the work.
                if let Err(error) = started {
                    let notice = format!("only {number} worker threads could be started: {error}");
                    shared.observer.lock().observe(&Event::Notice(&notice));
                    break;
                }
            }
            worker::work(shared);
        });
    }
}

/// Opened before the first write, so that every error of writing back is told.
fn open_filesystem(
    engine: &mut dyn Engine,
    output: &Output,
) -> Result<Option<Arc<Held>>, JobError> {
    match output.durability {
        Durability::Process => return Ok(None),
        Durability::Power => {}
    }
    match call(engine, Op::OpenFilesystem { path: output.directory.clone() }) {
        Ok(Payload::Held(held)) => Ok(Some(Arc::new(held))),
        Ok(other) => panic!("opening a file system gives what holds it, not {other:?}"),
        Err(error) => Err(JobError::Output(error)),
    }
}

/// The items of a job, by its inputs.
fn plan_items(job: &Job, engine: &mut dyn Engine) -> Result<Vec<Planned>, JobError> {
    let entries = list_inputs(job, engine)?;
    let mut items = schedule::plan(job, entries);
    if let Some(output) = &job.output {
        apart::keep_apart(engine, job, output, &mut items)?;
    }
    match &job.inputs {
        Inputs::Tree { root, names } if items.is_empty() => {
            let patterns = names.words().to_owned();
            Err(JobError::NothingMatched { root: root.clone(), patterns })
        }
        Inputs::Files(files) if files.is_empty() => {
            Err(JobError::NothingMatched { root: ".".into(), patterns: String::new() })
        }
        Inputs::Tree { .. } | Inputs::Files(_) => Ok(items),
    }
}

pub(crate) fn list_inputs(job: &Job, engine: &mut dyn Engine) -> Result<Vec<Entry>, JobError> {
    let inspect = |engine: &mut dyn Engine, path: &PathBuf| match call(
        engine,
        Op::Inspect { path: path.clone() },
    ) {
        Ok(Payload::Kind(kind)) => Entry { path: path.clone(), kind },
        Ok(other) => panic!("inspecting gives a kind, not {other:?}"),
        Err(error) => Entry { path: path.clone(), kind: EntryKind::Unreadable(error) },
    };
    let op = match &job.inputs {
        Inputs::Files(files) => {
            return Ok(files.iter().map(|path| inspect(engine, path)).collect());
        }
        Inputs::Tree { root, .. } => Op::ListTree {
            root: root.clone(),
            entries_max: job.limits.entries_max,
            depth_max: job.limits.depth_max,
        },
    };
    match call(engine, op).map_err(JobError::Input)? {
        Payload::Listing(listing) => Ok(listing.entries),
        other => panic!("a listing gives a listing, not {other:?}"),
    }
}

/// Everything but the keys that shapes the bytes of a table.
fn options_digest(job: &Job, fingerprint: &str) -> Digest {
    let Plan { family, seeds, fixed_attempts, grow_after, grows_max, grows_initial, .. } =
        &job.search;
    let options = format!(
        "{} {:?} {family:?} {seeds:?} {fixed_attempts:?} {grow_after:?} {grows_max} {grows_initial} {}",
        env!("CARGO_PKG_VERSION"),
        job.keys,
        fingerprint,
    );
    *blake3::hash(options.as_bytes()).as_bytes()
}

/// What a job would do, from the lengths of its key files.
///
/// # Errors
/// As [`run`].
pub fn dry_run(job: &Job, runtime: &Runtime<'_>) -> Result<DryRun, JobError> {
    let mut engine = runtime.engines.engine();
    let items = plan_items(job, engine.as_mut())?;
    let mut dry_run = DryRun::default();
    for item in items {
        if let Some(refusal) = item.refusal {
            dry_run.refused.push((item.keys_file, refusal));
            continue;
        }
        let num_keys = item.num_keys(job);
        dry_run.tables += 1;
        dry_run.keys += num_keys;
        let geometry = usize::try_from(num_keys).ok().and_then(Geometry::for_keys);
        if let (Some(renderer), Some(_), Some(geometry)) = (runtime.renderer, &job.output, geometry)
        {
            let estimate =
                renderer.estimate(num_keys, job.keys.width.of(&item.keys_file), geometry);
            dry_run.files += estimate.files + 1;
            dry_run.bytes += estimate.bytes + MANIFEST_BYTES;
        }
    }
    Ok(dry_run)
}

/// About what a manifest of one artifact comes to.
const MANIFEST_BYTES: u64 = 800;
