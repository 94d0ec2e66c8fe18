//! The key files of a job: listed, apart from the output, and in the order of the plan.

use std::path::{Path, PathBuf};

use perfecta_io::{Engine, Entry, EntryKind, IoErrorKind, Lengths, Listing, Op, Payload};

use crate::apart;
use crate::call::call;
use crate::config::{Inputs, Job, Limits};
use crate::error::JobError;
use crate::names::PassedOver;
use crate::planned::Planned;
use crate::remarks::and_more;
use crate::render::Renderer;
use crate::runtime::CancelFlag;
use crate::schedule;

/// The items of a job, and what is to be said of its inputs.
pub(crate) struct PlannedItems {
    pub(crate) items: Vec<Planned>,
    pub(crate) notices: Vec<String>,
}

/// The items of a job, by what its inputs name.
pub(crate) fn plan_items(
    job: &Job,
    renderer: Option<&dyn Renderer>,
    engine: &mut dyn Engine,
    cancel: &CancelFlag,
    Listing { entries, links }: Listing,
) -> Result<PlannedItems, JobError> {
    let passed_over = passed_over(job, &entries);
    let mut items = schedule::plan(job, renderer, entries);
    cancel.check()?;
    if let Some(output) = &job.output {
        apart::keep_apart(engine, job, output, &links, &mut items, cancel)?;
    }
    match &job.inputs {
        Inputs::Tree { root, names } if items.is_empty() => {
            let patterns = names.words().to_owned();
            Err(JobError::NothingMatched { root: root.clone(), patterns, passed_over })
        }
        Inputs::Files(files) if files.is_empty() => {
            let (root, patterns) = (".".into(), String::new());
            Err(JobError::NothingMatched { root, patterns, passed_over })
        }
        Inputs::Tree { .. } | Inputs::Files(_) => {
            let passed_over = passed_over.map(|files| {
                let takes = files.remedy();
                format!("{files}: not taken, though called as key files are; {takes}")
            });
            let notices = passed_over.into_iter().chain(width_notice(job, &items)).collect();
            Ok(PlannedItems { items, notices })
        }
    }
}

/// The files that are no key files by the usual patterns, though they are called so.
fn passed_over(job: &Job, entries: &[Entry]) -> Option<PassedOver> {
    let Inputs::Tree { root, names } = &job.inputs else { return None };
    let files = entries.iter().filter(|entry| matches!(entry.kind, EntryKind::File { .. }));
    let files = files.map(|entry| &*entry.path);
    PassedOver::of(root, files.filter_map(|path| Some((path, names.passed_over(path)?))))
}

/// Says that key files are read as what their names say they are not: half of each key would be
/// taken for a key, and a table of such halves may well be found.
fn width_notice(job: &Job, items: &[Planned]) -> Option<String> {
    let files = items.iter().map(|item| &item.keys_file);
    let mut files = files.filter(|file| job.keys.width.contradicts(file));
    let first = files.next()?.display();
    let more = and_more(files.count());
    Some(format!(
        "{first}{more}: read as 32-bit keys, though the name ends in 64; if the keys have 64 bits, give \
         --key-size 64, or auto"
    ))
}

/// What the inputs name: files as given, each of which may be a link, or all below a root.
pub(crate) fn list_inputs(
    job: &Job,
    engine: &mut dyn Engine,
    cancel: &CancelFlag,
) -> Result<Listing, JobError> {
    let inspect = |path: &PathBuf| {
        cancel.check()?;
        let inspected = call(engine, Op::Inspect { path: path.clone() });
        let kind = inspected.map_or_else(EntryKind::Unreadable, Payload::into_kind);
        Ok(Entry { path: path.clone(), kind })
    };
    match &job.inputs {
        Inputs::Files(files) => {
            let entries = files.iter().map(inspect).collect::<Result<_, _>>()?;
            Ok(Listing { entries, links: files.clone() })
        }
        Inputs::Tree { root, .. } => {
            let mut listing = list_tree(root, Lengths::Wanted, &job.limits, engine, cancel)?;
            // What they hold is listed as well: a directory is no key file, whatever it is called.
            listing.entries.retain(|entry| !matches!(entry.kind, EntryKind::Directory));
            Ok(listing)
        }
    }
}

/// Everything below a root.
pub(crate) fn list_tree(
    root: &Path,
    lengths: Lengths,
    limits: &Limits,
    engine: &mut dyn Engine,
    cancel: &CancelFlag,
) -> Result<Listing, JobError> {
    let op = Op::ListTree {
        root: root.to_owned(),
        lengths,
        entries_max: limits.entries_max,
        depth_max: limits.depth_max,
        interrupt: cancel.interrupt(),
    };
    match call(engine, op) {
        Ok(payload) => Ok(payload.into_listing()),
        Err(error) if error.kind == IoErrorKind::Cancelled => Err(cancel.reason()),
        Err(error) => Err(JobError::Input(error)),
    }
}
