//! The key files of a job: listed, apart from the output, and in the order of the plan.

use std::path::{Path, PathBuf};

use perfecta_io::{Engine, Entry, EntryKind, Op, Payload};

use crate::call::call;
use crate::config::{Inputs, Job};
use crate::error::JobError;
use crate::schedule::{self, Planned};

/// The items of a job, by its inputs.
pub(crate) fn plan_items(job: &Job, engine: &mut dyn Engine) -> Result<Vec<Planned>, JobError> {
    let entries = list_inputs(job, engine)?;
    if let (Some(output), Inputs::Tree { root, .. }) = (&job.output, &job.inputs) {
        check_apart(&output.directory, root)?;
    }
    let items = schedule::plan(job, entries);
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
            entries_max: job.limits.entries_max,
            depth_max: job.limits.depth_max,
        },
    };
    Ok(call(engine, op).map_err(JobError::Input)?.into_listing().entries)
}

/// Input directories are never written to, and what we write is no input.
fn check_apart(output: &Path, input: &Path) -> Result<(), JobError> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if absolute(output).starts_with(absolute(input)) {
        let (output, input) = (output.to_owned(), input.to_owned());
        return Err(JobError::OutputInInput { output, input });
    }
    Ok(())
}
