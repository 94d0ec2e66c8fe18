//! The staging directory of a run, and the sweep of those that dead runs left.
//!
//! `OUT/.perfecta-stage-<process>-<n>/` holds a file `lock`, locked as long as the run lives, and
//! rooms, in which items are staged, each in a directory of its own. Who removes a stage has locked
//! its file first, so a stage of a living run is never taken for a dead one.
//!
//! Workers that make files in one directory wait for each other there, so each has its own room.

use std::path::{Path, PathBuf};

use perfecta_io::{
    Engine, EntryKind, FileContent, Held, IoError, IoErrorKind, Op, Operation, Payload,
};

use crate::call::call;
use crate::places::{STAGE_KEPT, STAGE_LOCK, STAGE_PREFIX};

/// A run's staging directory.
pub(crate) struct Stage {
    pub(crate) path: PathBuf,
    /// What was made for it: the output directory and those above it that were missing.
    made: Vec<PathBuf>,
    /// Where items are staged.
    pub(crate) rooms: Vec<PathBuf>,
    lock: Held,
}

/// What is staged in rooms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rooms {
    pub(crate) num_tables: usize,
    pub(crate) num_workers: usize,
}

/// About so many files a table has, its directory among them.
const FILES_OF_TABLE: usize = 4;

/// Names that are tried before it is an error.
const NAMES_MAX: u32 = 1000;

/// How often the output directory is made: a run that made it and published nothing removes it.
const TRIES_MAX: u32 = 10;

/// Makes the output directory, sweeps the stages of dead runs, and opens one for `process`.
pub(crate) fn open(
    engine: &mut dyn Engine,
    output: &Path,
    process: u32,
    rooms: Rooms,
) -> Result<Stage, IoError> {
    for _ in 1..TRIES_MAX {
        match open_once(engine, output, process, rooms) {
            Err(error) if error.is_absent() => {}
            opened => return opened,
        }
    }
    open_once(engine, output, process, rooms)
}

fn open_once(
    engine: &mut dyn Engine,
    output: &Path,
    process: u32,
    rooms: Rooms,
) -> Result<Stage, IoError> {
    let made = call(engine, Op::MakeDirectories { path: output.to_owned() })?.into_made();
    match sweep(engine, output).and_then(|()| claim_any(engine, output, process)) {
        Ok((path, lock)) => furnish(engine, Stage { path, made, rooms: Vec::new(), lock }, rooms),
        Err(error) => {
            remove_empty(engine, made);
            Err(error)
        }
    }
}

/// Removes directories that were made, each before what lies in it, as far as nothing lies in them.
fn remove_empty(engine: &mut dyn Engine, made: Vec<PathBuf>) {
    for path in made.into_iter().rev() {
        if call(engine, Op::RemoveDirectory { path }).is_err() {
            return;
        }
    }
}

/// Claims the first name that is free.
fn claim_any(
    engine: &mut dyn Engine,
    output: &Path,
    process: u32,
) -> Result<(PathBuf, Held), IoError> {
    for number in 0..NAMES_MAX {
        let path = output.join(format!("{STAGE_PREFIX}{process}-{number}"));
        if let Some(lock) = claim(engine, &path)? {
            return Ok((path, lock));
        }
    }
    Err(IoError::new(Operation::Lock, output, IoErrorKind::Locked))
}

/// Makes the rooms of a stage: one for each worker, or for each table if these are fewer.
fn furnish(engine: &mut dyn Engine, stage: Stage, rooms: Rooms) -> Result<Stage, IoError> {
    let Rooms { num_tables, num_workers } = rooms;
    let count = num_tables.min(num_workers);
    if count == 0 {
        return Ok(stage);
    }
    let files = (num_tables.div_ceil(count) * FILES_OF_TABLE) as u64;
    match call(engine, Op::MakeDirectoriesApart { parent: stage.path.clone(), count, files }) {
        Ok(payload) => {
            let rooms = payload.into_names().iter().map(|name| stage.path.join(name)).collect();
            Ok(Stage { rooms, ..stage })
        }
        Err(error) => {
            // The next run sweeps it if it cannot be removed now.
            let _ = stage.abandon(engine);
            Err(error)
        }
    }
}

/// Makes a stage and locks it; `None` if the name is taken, or somebody swept it meanwhile.
fn claim(engine: &mut dyn Engine, path: &Path) -> Result<Option<Held>, IoError> {
    let parent = path.parent().expect("a stage lies in the output").to_owned();
    let name = path.file_name().expect("a stage has a name").to_owned();
    match call(engine, Op::WriteDirectory { parent, name, files: Vec::new() }) {
        Ok(_) => {}
        Err(error) if error.is_present() => return Ok(None),
        // It could not be made, and is not ours.
        Err(error) if error.operation == Operation::MakeDirectory => return Err(error),
        Err(error) => {
            let _ = remove(engine, path);
            return Err(error);
        }
    }
    match call(engine, Op::CreateLock { path: path.join(STAGE_LOCK) }) {
        Ok(payload) => Ok(Some(payload.into_held())),
        Err(error) if is_lost_race(&error) => Ok(None),
        Err(error) => {
            // Best effort: an empty stage is swept by the next run.
            let _ = remove(engine, path);
            Err(error)
        }
    }
}

fn is_lost_race(error: &IoError) -> bool {
    let by_lock = matches!(error.kind, IoErrorKind::Locked | IoErrorKind::Vanished);
    by_lock || error.is_present() || error.is_absent()
}

/// Removes the stages of dead runs. One that cannot be locked or removed is left alone, and so is one
/// that was [kept](Stage::keep).
fn sweep(engine: &mut dyn Engine, output: &Path) -> Result<(), IoError> {
    let names = call(engine, Op::ListDirectory { path: output.to_owned() })?.into_names();
    let is_stage =
        |name: &&std::ffi::OsString| name.as_encoded_bytes().starts_with(STAGE_PREFIX.as_bytes());
    for name in names.iter().filter(is_stage) {
        let path = output.join(name);
        let lock_path = path.join(STAGE_LOCK);
        let locked = match call(engine, Op::TryLock { path: lock_path.clone() }) {
            // Its run died before the lock or while removing: whoever can lock it may sweep it.
            Err(error) if error.is_absent() => call(engine, Op::CreateLock { path: lock_path }),
            locked => locked,
        };
        if let Ok(payload) = locked {
            let lock = payload.into_held();
            if !is_kept(engine, &path) {
                let _ = call(engine, Op::RemoveTree { path });
            }
            drop(lock);
        }
    }
    Ok(())
}

/// Whether a stage was kept, or may have been.
fn is_kept(engine: &mut dyn Engine, path: &Path) -> bool {
    match call(engine, Op::Inspect { path: path.join(STAGE_KEPT) }).map(Payload::into_kind) {
        Ok(EntryKind::Unreadable(error)) => !error.is_absent(),
        Ok(_) | Err(_) => true,
    }
}

impl Stage {
    /// Leaves the stage for good, because of what was displaced to it.
    pub(crate) fn keep(self, engine: &mut dyn Engine) -> Result<(), IoError> {
        let file = FileContent { name: STAGE_KEPT.into(), bytes: Vec::new() };
        call(engine, Op::WriteFile { directory: self.path, file }).map(drop)
    }

    /// Removes the stage of a run that published nothing, and the directories that were made for it as far as
    /// nobody else uses them.
    pub(crate) fn abandon(mut self, engine: &mut dyn Engine) -> Result<(), IoError> {
        let made = std::mem::take(&mut self.made);
        self.close(engine)?;
        remove_empty(engine, made);
        Ok(())
    }

    /// Removes the stage with all that items left in it, then gives up the lock.
    pub(crate) fn close(self, engine: &mut dyn Engine) -> Result<(), IoError> {
        let Self { path, made: _, rooms: _, lock } = self;
        let mut remove = || call(engine, Op::RemoveTree { path: path.clone() }).map(drop);
        remove().or_else(|_| {
            // Perhaps the lock's own open file is what was missing. Whoever sweeps the stage
            // meanwhile does the same.
            drop(lock);
            remove()
        })
    }
}

/// Removes a stage, and tries once more: what is left would stay until the next run.
fn remove(engine: &mut dyn Engine, path: &Path) -> Result<(), IoError> {
    let mut remove = || call(engine, Op::RemoveTree { path: path.to_owned() }).map(drop);
    remove().or_else(|_| remove())
}
