//! Runs a job: its items planned, its workers started, its output closed.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use perfecta_core::search::Plan;
use perfecta_io::{Engine, Held, Op};

use crate::call::call;
use crate::config::{Durability, Job, Layout, Output};
use crate::error::JobError;
use crate::event::{Event, Observer, Summary};
use crate::inputs::plan_items;
use crate::item::{Publication, Target, World};
use crate::job::JobState;
use crate::manifest::Digest;
use crate::pack::PackWindow;
use crate::packed::{self, Closing};
use crate::runtime::Runtime;
use crate::schedule::Planned;
use crate::shared::Shared;
use crate::stage::{self, Stage};
use crate::worker;

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
            idle: Mutex::new(Vec::new()),
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
    let op = Op::OpenFilesystem { path: output.directory.clone() };
    let filesystem = call(engine, op).map_err(JobError::Output)?.into_held();
    Ok(Some(Arc::new(filesystem)))
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
