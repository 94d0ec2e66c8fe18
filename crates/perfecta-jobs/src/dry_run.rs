//! What a job would do, from lengths alone, and what it would say before it begins.

use perfecta_core::format;
use perfecta_core::geometry::Geometry;
use perfecta_core::key::{KeyError, KeySet};
use perfecta_io::{Engine, EntryKind, IoError, Op, Operation};
use rustix::io::Errno;

use crate::activity;
use crate::artifacts::expected_parameters;
use crate::call::call;
use crate::config::{Job, KeyEncoding, Layout, Output};
use crate::error::{ItemError, JobError};
use crate::event::{DryRun, Observer};
use crate::inputs::{PlannedItems, list_inputs, plan_items};
use crate::lookout::Lookout;
use crate::packed;
use crate::planned::Planned;
use crate::prepare::{check_nodes, place_of};
use crate::runtime::Runtime;

/// About what a manifest of one artifact comes to.
const MANIFEST_BYTES: u64 = 800;

/// The pack and its manifest.
const PACKED_FILES: u64 = 2;

/// About what a table takes in the pack's index and in its manifest.
const PACKED_ENTRY_BYTES: u64 = 290;

/// The table that a search of so many keys begins with; none if only fewer fit into one, which there
/// may be.
///
/// # Errors
/// Why no such search begins. A run finds out when it has read the file.
fn table(job: &Job, num_keys: u64) -> Result<Option<Geometry>, ItemError> {
    let fitting = usize::try_from(num_keys).ok().filter(|&keys| keys <= Geometry::KEYS_MAX);
    fitting.map(|keys| job.search.first_geometry(keys)).transpose().map_err(ItemError::Plan)
}

/// Why a key file of this length will fail. A run finds out when it reads the file.
fn length_error(job: &Job, item: &Planned) -> Option<ItemError> {
    let width = match job.keys.encoding {
        KeyEncoding::Binary => job.keys.width.of(&item.keys_file),
        KeyEncoding::Text => return (item.file_bytes == 0).then_some(KeyError::Empty.into()),
    };
    let bytes = usize::try_from(item.file_bytes).ok()?;
    KeySet::check_length(bytes, width).err().map(ItemError::Keys)
}

/// Refuses an output directory that is none. One that is not there would be made.
fn check_output(engine: &mut dyn Engine, output: &Output) -> Result<(), JobError> {
    let path = &output.directory;
    let inspected = call(engine, Op::Inspect { path: path.clone() });
    match inspected.map_err(JobError::Output)?.into_kind() {
        EntryKind::File { .. } | EntryKind::Unmeasured | EntryKind::Special(_) => {
            Err(JobError::Output(IoError::system(Operation::Open, path, Errno::NOTDIR)))
        }
        EntryKind::Directory | EntryKind::BrokenLink(_) | EntryKind::Unreadable(_) => Ok(()),
    }
}

/// What a job would do, from the lengths of its key files. The observer is told, by notices, of what is stuck
/// meanwhile.
///
/// # Errors
/// As [`run`](crate::run).
pub fn dry_run(
    job: &Job,
    runtime: &Runtime<'_>,
    observer: &mut dyn Observer,
) -> Result<DryRun, JobError> {
    let lookout = Lookout::new(1, runtime.clock, observer);
    lookout.look_after(|| dry_run_watched(job, runtime, &lookout))
}

fn dry_run_watched(
    job: &Job,
    runtime: &Runtime<'_>,
    lookout: &Lookout<'_>,
) -> Result<DryRun, JobError> {
    let workers = 0..job.limits.threads.get();
    let staffed = workers.map(|worker| runtime.engines.node_of(worker)).collect();
    check_nodes(job, &staffed)?;
    let mut engine = runtime.engines.desk();
    lookout.note(0, place_of(&job.inputs), activity::LIST_KEYS);
    let listing = list_inputs(job, engine.as_mut(), &runtime.cancel)?;
    if let Some(output) = &job.output {
        lookout.note(0, &output.directory, activity::PREPARE_OUTPUT);
    }
    let PlannedItems { items, mut notices } =
        plan_items(job, runtime.renderer, engine.as_mut(), &runtime.cancel, listing)?;
    if let Some(output) = &job.output {
        check_output(engine.as_mut(), output)?;
    }
    if let Some(output) = job.output.as_ref().filter(|output| output.layout == Layout::Packed) {
        let found = packed::look(engine.as_mut(), output, job.limits.memory_bytes_max)?;
        notices.extend(found.lost_notice(&items));
    }
    let mut dry_run = DryRun { notices, ..DryRun::default() };
    for item in items {
        runtime.cancel.check()?;
        if let Some(refusal) = item.refusal.as_deref().cloned().or_else(|| length_error(job, &item))
        {
            dry_run.refused.push((item.keys_file, refusal));
            continue;
        }
        let num_keys = item.num_keys(job);
        let geometry = match table(job, num_keys) {
            Ok(geometry) => geometry,
            Err(refusal) => {
                dry_run.refused.push((item.keys_file, refusal));
                continue;
            }
        };
        dry_run.tables += 1;
        dry_run.keys += num_keys;
        let (Some(output), Some(geometry)) = (&job.output, geometry) else { continue };
        let width = job.keys.width.of(&item.keys_file);
        match (output.layout, runtime.renderer) {
            (Layout::Dirs, Some(renderer)) => {
                let estimate = renderer.estimate(num_keys, width, geometry);
                dry_run.files += estimate.files + 1;
                dry_run.bytes += estimate.bytes + MANIFEST_BYTES;
            }
            (Layout::Dirs, None) => {}
            (Layout::Packed, _) => {
                let table = expected_parameters(num_keys, width, geometry);
                dry_run.files = PACKED_FILES;
                dry_run.bytes += format::encoded_bytes(&table) as u64 + PACKED_ENTRY_BYTES;
            }
        }
    }
    Ok(dry_run)
}
