//! What a job needs before its first item and after its last: inputs listed, output opened; the pack
//! closed, the stage removed, the end told.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use perfecta_core::search::Plan;
use perfecta_io::{Engine, Held, Op};

use crate::activity;
use crate::call::call;
use crate::config::{Durability, Inputs, Job, Layout, NodePolicy, Output};
use crate::error::JobError;
use crate::event::{Event, Summary};
use crate::guard::guarded;
use crate::inputs::{PlannedItems, list_inputs, plan_items};
use crate::item::{Publication, Target, World};
use crate::job::JobState;
use crate::manifest::PackManifest;
use crate::options;
use crate::pack::PackWindow;
use crate::packed::{self, PackClosing};
use crate::planned::Planned;
use crate::render::Renderer;
use crate::session::{Request, Requested, Session};
use crate::stage::{self, Rooms, Stage};
use crate::sync::Mutex;
use crate::sync::atomic::AtomicU64;
use crate::watch::{Named, Station};
use crate::work::{JobObserver, Work};

/// What is told at the end of a job, once.
type OnEnd<'a> = Box<dyn FnOnce(Result<Summary, JobError>) + Send + 'a>;

/// What the end of a job takes.
pub(crate) struct Closing<'a> {
    stage: Option<Stage>,
    pack: Option<PackClosing>,
    cpu_begun: Duration,
    on_end: OnEnd<'a>,
}

/// What a job runs on, beside its items.
#[derive(Default)]
struct Ground {
    stage: Option<Stage>,
    filesystem: Option<Arc<Held>>,
    pack: Option<PackClosing>,
    earlier_pack: Option<PackManifest>,
    /// What is to be said of what it replaces.
    notice: Option<String>,
}

/// Prepares a job on the desk of a worker: its items may begin afterwards, or it has ended.
pub(crate) fn prepare<'a>(
    session: &Session<'a>,
    worker: usize,
    engine: &mut dyn Engine,
    requested: Requested<'a>,
) {
    let Requested { id, begun, cpu_begun, request } = requested;
    let Request { job, renderer, cancel, observer, on_end } = request;
    let observer = Arc::new(Mutex::new(JobObserver::new(observer)));
    let note = |path: &Path, activity| {
        let named = Named::Path(path.to_owned());
        session.note(worker, Station::Desk, &observer, named, activity);
    };
    let num_workers = session.limits.workers.get();
    let staffed: BTreeSet<usize> = session.nodes_of_workers().collect();
    let target = |ground: &Ground| match (&job.output, &ground.stage) {
        (Some(output), Some(stage)) if output.layout == Layout::Dirs => {
            let renderer = renderer.clone().expect("tables are not written without one");
            let options_blake3 = options::digest(&job, &renderer.fingerprint());
            let (output, rooms) = (output.clone(), stage.rooms.clone());
            Target::Dirs(Publication { output, renderer, rooms, options_blake3 })
        }
        (Some(_), Some(_)) => Target::Pack,
        _ => Target::Memory,
    };
    let laid = guarded(|| {
        check(&job, renderer.as_deref(), &staffed)?;
        note(place_of(&job.inputs), activity::LIST_KEYS);
        let listing = list_inputs(&job, engine, &cancel)?;
        if let Some(output) = &job.output {
            note(&output.directory, activity::PREPARE_OUTPUT);
        }
        let PlannedItems { items, mut notices } =
            plan_items(&job, renderer.as_deref(), engine, &cancel, listing)?;
        let mut ground = lay_ground(engine, &job, &items, num_workers)?;
        notices.extend(ground.notice.take());
        Ok((target(&ground), ground, items, notices))
    });
    session.note_left(worker, Station::Desk);
    let (target, ground, items, notices) =
        match laid.unwrap_or_else(|bug| Err(JobError::Panicked(bug))) {
            Ok(laid) => laid,
            Err(error) => {
                observer.lock().dismiss();
                session.with_dispatcher(|dispatcher| dispatcher.ended(id));
                return on_end(Err(error));
            }
        };
    let Ground { stage, filesystem, pack, earlier_pack, notice: _ } = ground;
    let window = pack.as_ref().map(|_| PackWindow::new(items.len() as u32));
    let memory_bytes_max = job.search.memory_bytes_max.min(job.limits.memory_bytes_max);
    let mut items: Vec<_> = items.into_iter().map(Arc::new).collect();
    // They were collected where they lay, which is room for a dozen times as many.
    items.shrink_to_fit();
    let work = Arc::new(Work {
        id,
        plan: Plan { memory_bytes_max, ..job.search.clone() },
        world: World { job: Arc::new(job), target, cancel: cancel.clone() },
        items,
        cancel,
        observer,
        begun,
        next_tick_ms: AtomicU64::new(0),
        pack: pack.as_ref().map(PackClosing::file),
        earlier_pack,
        filesystem,
    });
    let state = JobState::new(Arc::clone(&work), window, staffed.into_iter().collect());
    let wall = session.now() - begun;
    work.observer.lock().observe(&Event::Planned(&state.progress(wall)));
    for notice in notices {
        work.observer.lock().observe(&Event::Notice(&notice));
    }
    let closing = Closing { stage, pack, cpu_begun, on_end };
    session.with_dispatcher(|dispatcher| dispatcher.activate(state, closing));
}

/// What is named of key files that are not known yet.
pub(crate) fn place_of(inputs: &Inputs) -> &Path {
    match inputs {
        Inputs::Files(files) => files.first().map_or(Path::new("."), |file| file),
        Inputs::Tree { root, .. } => root,
    }
}

/// Refuses what could only come to nothing: items for a node without a worker would wait for ever.
fn check(
    job: &Job,
    renderer: Option<&dyn Renderer>,
    staffed: &BTreeSet<usize>,
) -> Result<(), JobError> {
    let is_written = job.output.as_ref().is_some_and(|output| output.layout == Layout::Dirs);
    if is_written && renderer.is_none() {
        return Err(JobError::Unsupported("writing without a renderer"));
    }
    check_nodes(job, staffed)
}

/// Refuses items that would go to a node without a worker.
pub(crate) fn check_nodes(job: &Job, staffed: &BTreeSet<usize>) -> Result<(), JobError> {
    match job.nodes {
        NodePolicy::Fixed(node) if !staffed.contains(&node) => {
            Err(JobError::NoSuchNode { node, num_nodes: staffed.len() })
        }
        NodePolicy::Fixed(_) | NodePolicy::LeastLoaded | NodePolicy::RoundRobin => Ok(()),
    }
}

/// Opens the output of a job, if it has one.
fn lay_ground(
    engine: &mut dyn Engine,
    job: &Job,
    items: &[Planned],
    num_workers: usize,
) -> Result<Ground, JobError> {
    let Some(output) = &job.output else { return Ok(Ground::default()) };
    let process = rustix::process::getpid().as_raw_nonzero().get().unsigned_abs();
    let rooms = match output.layout {
        Layout::Dirs => Rooms { num_tables: items.len(), num_workers },
        Layout::Packed => Rooms { num_tables: 0, num_workers },
    };
    let stage = stage::open(engine, &output.directory, process, rooms);
    let stage = stage.map_err(JobError::Output)?;
    match lay_on_stage(engine, job, output, items, &stage) {
        Ok(ground) => Ok(Ground { stage: Some(stage), ..ground }),
        Err(error) => {
            // The next run sweeps it if it cannot be removed now.
            let _ = stage.abandon(engine);
            Err(error)
        }
    }
}

fn lay_on_stage(
    engine: &mut dyn Engine,
    job: &Job,
    output: &Output,
    items: &[Planned],
    stage: &Stage,
) -> Result<Ground, JobError> {
    let filesystem = open_filesystem(engine, output)?;
    match output.layout {
        Layout::Dirs => Ok(Ground { filesystem, ..Ground::default() }),
        Layout::Packed => {
            let widths = items.iter().map(|item| job.keys.width.of(&item.keys_file).bytes() as u8);
            let widths = blake3::hash(&widths.collect::<Vec<u8>>());
            let options_blake3 = options::digest(job, &format!("packed {widths}"));
            let mut found = packed::look(engine, output, job.limits.memory_bytes_max)?;
            let notice = found.lost_notice(items);
            let earlier_pack = found.take_earlier(items, &options_blake3);
            let pack = PackClosing {
                output: output.clone(),
                options_blake3,
                found,
                filesystem: filesystem.clone(),
                staged: packed::open(engine, stage)?,
            };
            Ok(Ground { filesystem, pack: Some(pack), earlier_pack, notice, stage: None })
        }
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

impl<'a> Closing<'a> {
    /// Publishes what is published at once, removes the stage, and tells the end.
    pub(crate) fn close(
        self,
        session: &Session<'a>,
        worker: usize,
        engine: &mut dyn Engine,
        mut state: JobState<'a>,
    ) {
        let Self { stage, pack, cpu_begun, on_end } = self;
        let work = Arc::clone(&state.work);
        let wall = session.now() - work.begun;
        if let Some(output) = &work.world.job.output {
            let named = Named::Path(output.directory.clone());
            session.note(worker, Station::Desk, &work.observer, named, activity::CLOSE_OUTPUT);
        }
        let closed = guarded(|| {
            if let Some(pack) = pack {
                pack.close(engine, &work, &mut state, wall);
            }
        });
        if let Some(notice) = stage.and_then(|stage| leave(engine, stage, &state)) {
            work.observer.lock().observe(&Event::Notice(&notice));
        }
        session.note_left(worker, Station::Desk);
        // Who settled the last item tells of it before the job ends.
        let mut observer = work.observer.lock();
        state.remarks().for_each(|remark| observer.observe(&Event::Notice(&remark)));
        observer.dismiss();
        drop(observer);
        let finished = closed.and_then(|()| guarded(|| state.finish()));
        let clock = session.runtime.clock;
        let outcome = finished.map_err(JobError::Panicked).map(|summary| Summary {
            wall_seconds: (clock.now() - work.begun).as_secs_f64(),
            cpu_seconds: (clock.cpu() - cpu_begun).as_secs_f64(),
            is_expired: work.cancel.is_expired(),
            ..summary
        });
        session.with_dispatcher(|dispatcher| dispatcher.ended(work.id));
        on_end(outcome);
    }
}

/// Removes a stage, or keeps it for what was displaced to it, and says what stays.
fn leave(engine: &mut dyn Engine, stage: Stage, state: &JobState<'_>) -> Option<String> {
    if !state.is_displaced() {
        let closed = if state.has_tables() { stage.close(engine) } else { stage.abandon(engine) };
        let error = closed.err()?;
        return Some(format!("{error}; the next run removes it"));
    }
    let path = stage.path.display().to_string();
    Some(match stage.keep(engine) {
        Ok(()) => format!("{path} stays: what could not be put back lies in it"),
        Err(error) => {
            format!("{error}; the next run removes {path}, and what could not be put back")
        }
    })
}
