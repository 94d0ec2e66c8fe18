//! The key files of a job: listed, apart from the output, and in the order of the plan.

use std::path::PathBuf;

use perfecta_io::{Engine, Entry, EntryKind, Lengths, Op, Payload};

use crate::apart;
use crate::call::call;
use crate::config::{Inputs, Job};
use crate::error::JobError;
use crate::schedule::{self, Planned};

/// The items of a job, by its inputs.
pub(crate) fn plan_items(job: &Job, engine: &mut dyn Engine) -> Result<Vec<Planned>, JobError> {
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

/// What the inputs name: files as given, or all below a root.
pub(crate) fn list_inputs(job: &Job, engine: &mut dyn Engine) -> Result<Vec<Entry>, JobError> {
    let inspect = |engine: &mut dyn Engine, path: &PathBuf| {
        let inspected = call(engine, Op::Inspect { path: path.clone() });
        let kind = inspected.map_or_else(EntryKind::Unreadable, Payload::into_kind);
        Entry { path: path.clone(), kind }
    };
    let op = match &job.inputs {
        Inputs::Files(files) => {
            return Ok(files.iter().map(|path| inspect(engine, path)).collect());
        }
        Inputs::Tree { root, .. } => Op::ListTree {
            root: root.clone(),
            lengths: Lengths::Wanted,
            entries_max: job.limits.entries_max,
            depth_max: job.limits.depth_max,
        },
    };
    Ok(call(engine, op).map_err(JobError::Input)?.into_listing().entries)
}
