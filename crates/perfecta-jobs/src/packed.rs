//! The packed layout: all tables of a job in one file, published at once.
//!
//! `OUT/tables.packed/` holds the file and its manifest. It is staged as a whole, chunk by chunk
//! verified from what was read back, closed by index and manifest, and moved to its place by one
//! rename. A run that is interrupted leaves what was there before, and starts over: packing all of
//! `sys32` takes about as long as finding out what of it could be kept.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use perfecta_emit::ContentHash;
use perfecta_io::{
    Buffer, Engine, EntryKind, Held, Interrupt, IoError, IoErrorKind, Op, Operation, Replace,
    Symlinks,
};

use crate::call::{call, read_file};
use crate::compare::{Compared, Part};
use crate::config::{Conflicts, Durability, Output};
use crate::error::{ItemError, JobError};
use crate::item::{ItemEvent, Workspace};
use crate::job::{JobState, StagedItem};
use crate::manifest::{Digest, PackManifest, PackedEntry};
use crate::pack::{Ending, PackWindow};
use crate::places::{MANIFEST, PACKED_DIRECTORY, PACKED_FILE};
use crate::planned::Planned;
use crate::runtime::CancelFlag;
use crate::stage::Stage;
use crate::watch::Named;
use crate::work::Work;

/// What is at the place of the pack.
pub(crate) enum FoundPack {
    Nothing,
    /// What may be replaced; its manifest, unless that is torn or too large.
    Ours(Option<PackManifest>),
}

/// A manifest as bytes, and once more as what it says: twice as much at most, however short its names.
const MANIFEST_COPIES: u64 = 3;

/// Looks at the place of the pack, with so many bytes of memory. A manifest that is too much for these is
/// as good as none: the names beside it tell what is there.
///
/// # Errors
/// If something else is there and may not be replaced, or it cannot be read.
pub(crate) fn look(
    engine: &mut dyn Engine,
    output: &Output,
    memory_bytes_max: u64,
) -> Result<FoundPack, JobError> {
    let target = output.directory.join(PACKED_DIRECTORY);
    let names = match call(engine, Op::ListDirectory { path: target.clone() }) {
        Ok(payload) => payload.into_names(),
        Err(error) if error.is_absent() => return Ok(FoundPack::Nothing),
        Err(error) if error.is_not_a_directory() => Vec::from(["".into()]),
        Err(error) => return Err(JobError::Output(error)),
    };
    let is_ours = names.iter().any(|name| name == MANIFEST)
        && names.iter().all(|name| name == MANIFEST || name == PACKED_FILE);
    if !is_ours {
        return match output.conflicts {
            Conflicts::Refuse => Err(JobError::Foreign { target }),
            Conflicts::Replace => Ok(FoundPack::Ours(None)),
        };
    }
    let bytes_max = memory_bytes_max / MANIFEST_COPIES;
    let (path, interrupt) = (target.join(MANIFEST), Interrupt::default());
    match read_file(engine, path, bytes_max, Symlinks::Refuse, interrupt) {
        Ok(manifest) => Ok(FoundPack::Ours(PackManifest::parse(&manifest))),
        Err(IoError { kind: IoErrorKind::TooLarge { .. }, .. }) => Ok(FoundPack::Ours(None)),
        Err(error) => Err(JobError::Output(error)),
    }
}

impl FoundPack {
    /// Says that tables are in the pack which none of these items will be.
    pub(crate) fn lost_notice(&self, items: &[Planned]) -> Option<String> {
        let num_lost = self.num_lost(items);
        (num_lost > 0).then(|| {
            format!(
                "{num_lost} of the tables that are in the pack by now will not be in it: it is written anew, \
                 with the tables of these key files alone"
            )
        })
    }

    fn num_lost(&self, items: &[Planned]) -> usize {
        let Self::Ours(Some(manifest)) = self else { return 0 };
        let targets: Vec<PathBuf> = items.iter().map(Planned::target).collect();
        let names = || targets.iter().map(|target| target.as_os_str().as_encoded_bytes());
        let is_named =
            |(entry, name): (&PackedEntry, &[u8])| entry.name_bytes().as_deref() == Some(name);
        if manifest.tables.len() == items.len() && manifest.tables.iter().zip(names()).all(is_named)
        {
            return 0;
        }
        let names: HashSet<&[u8]> = names().collect();
        let is_lost = |entry: &&PackedEntry| {
            entry.name_bytes().is_none_or(|name| !names.contains(name.as_ref()))
        };
        manifest.tables.iter().filter(is_lost).count()
    }

    /// The manifest if it is one of these items, in this order, built with these options: then what is
    /// there may be exactly what would be built.
    pub(crate) fn take_earlier(
        &mut self,
        items: &[Planned],
        options_blake3: &Digest,
    ) -> Option<PackManifest> {
        let Self::Ours(manifest) = self else { return None };
        manifest.take().filter(|manifest| {
            manifest.options_blake3.as_bytes() == options_blake3
                && manifest.tables.len() == items.len()
                && items.iter().all(|item| item.refusal.is_none())
        })
    }
}

/// Whether a part of what is there is what would be built. What cannot be read is packed anew, and says
/// so if it cannot be read then either.
///
/// # Errors
/// If it could not be synced.
pub(crate) fn compare(
    engine: &mut dyn Engine,
    work: &Work<'_>,
    part: &Part,
) -> Result<Compared, ItemError> {
    let earlier = work.earlier_pack.as_ref().expect("only what is there is compared");
    let output = work.world.job.output.as_ref().expect("a pack is written");
    match part {
        Part::Pack => {
            let path = output.directory.join(PACKED_DIRECTORY).join(PACKED_FILE);
            let (bytes, symlinks) = (earlier.bytes(), Symlinks::Refuse);
            let hash = hash_file(engine, &path, bytes, symlinks, &work.cancel);
            let is_same = hash.is_ok_and(|hash| hash.as_ref() == Some(earlier.blake3()));
            Ok(if is_same { Compared::Same(Vec::new()) } else { Compared::Different })
        }
        Part::Tables(tables) => {
            let mut doubts = Vec::new();
            for position in tables.clone() {
                match compare_table(engine, work, position, &earlier.tables[position]) {
                    Compared::Same(doubt) => doubts.extend(doubt),
                    Compared::Different => return Ok(Compared::Different),
                }
            }
            Ok(Compared::Same(doubts))
        }
        Part::Sync => {
            sync(engine, output, work.filesystem.as_ref()).map(|()| Compared::Same(Vec::new()))
        }
    }
}

/// What is named of a part that is compared: of key files the first.
pub(crate) fn compared(work: &Work<'_>, part: &Part) -> Named {
    match part {
        Part::Tables(tables) => Named::Item(Arc::clone(&work.items[tables.start])),
        Part::Pack | Part::Sync => {
            let output = work.world.job.output.as_ref().expect("a pack is written");
            Named::Path(output.directory.join(PACKED_DIRECTORY))
        }
    }
}

/// Whether a table of an earlier pack was made of the key file at this position as it is now. What one may be
/// besides that is read part by part is not known.
fn compare_table(
    engine: &mut dyn Engine,
    work: &Work<'_>,
    position: usize,
    entry: &PackedEntry,
) -> Compared {
    let item = &work.items[position];
    let target = item.target();
    let is_named = entry.name_bytes().as_deref() == Some(target.as_os_str().as_encoded_bytes());
    if work.cancel.is_cancelled() || !is_named {
        return Compared::Different;
    }
    let path = &item.keys_file;
    if item.file_bytes > PART_BYTES {
        let hash = hash_file(engine, path, item.file_bytes, Symlinks::Follow, &work.cancel);
        let is_same = hash.is_ok_and(|hash| hash.as_ref() == Some(entry.keys_blake3.as_bytes()));
        return if is_same { Compared::Same(Vec::new()) } else { Compared::Different };
    }
    let interrupt = work.cancel.interrupt();
    match read_file(engine, path.clone(), item.file_bytes, Symlinks::Follow, interrupt) {
        Ok(bytes) if ContentHash::of(&bytes) == entry.keys_blake3 => {
            let doubt = work.world.job.keys.doubt(path, &bytes);
            Compared::Same(doubt.map(|doubt| (position as u32, doubt)).into_iter().collect())
        }
        Ok(_) | Err(_) => Compared::Different,
    }
}

/// Syncs the file system of an output, where that is asked for.
fn sync(
    engine: &mut dyn Engine,
    output: &Output,
    filesystem: Option<&Arc<Held>>,
) -> Result<(), ItemError> {
    let Some(filesystem) = filesystem.cloned() else { return Ok(()) };
    let op = Op::SyncFilesystem { filesystem, path: output.directory.clone() };
    call(engine, op).map(drop).map_err(ItemError::Output)
}

/// Bytes of a file that are read at once.
pub(crate) const PART_BYTES: u64 = 4 << 20;

/// The hash of a file of exactly so many bytes, read part by part; `None` if it is no such file.
///
/// # Errors
/// If it cannot be read, or it was cancelled.
pub(crate) fn hash_file(
    engine: &mut dyn Engine,
    path: &Path,
    bytes: u64,
    symlinks: Symlinks,
    cancel: &CancelFlag,
) -> Result<Option<Digest>, IoError> {
    match call(engine, Op::Inspect { path: path.to_owned() })?.into_kind() {
        EntryKind::File { bytes: found } if found == bytes => {}
        EntryKind::Unreadable(error) | EntryKind::BrokenLink(error) => return Err(error),
        EntryKind::File { .. }
        | EntryKind::Unmeasured
        | EntryKind::Directory
        | EntryKind::Special(_) => return Ok(None),
    }
    let mut hasher = blake3::Hasher::new();
    let mut buffer = Buffer::default();
    let mut offset = 0;
    while offset < bytes {
        if cancel.is_cancelled() {
            return Err(IoError::new(Operation::Read, path, IoErrorKind::Cancelled));
        }
        let part = PART_BYTES.min(bytes - offset) as usize;
        let op = Op::ReadRange { path: path.to_owned(), offset, bytes: part, buffer, symlinks };
        buffer = call(engine, op)?.into_bytes();
        hasher.update(&buffer);
        offset += part as u64;
    }
    Ok(Some(*hasher.finalize().as_bytes()))
}

/// The staged directory of a pack: it is made, its file is not.
pub(crate) fn open(engine: &mut dyn Engine, stage: &Stage) -> Result<PathBuf, JobError> {
    let (parent, name) = (stage.path.clone(), PACKED_DIRECTORY.into());
    call(engine, Op::WriteDirectory { parent, name, files: Vec::new() })
        .map_err(JobError::Output)?;
    Ok(stage.path.join(PACKED_DIRECTORY))
}

/// What lies in the place of a pack at its end.
enum Published {
    /// What was packed; bytes that belong to no table, and the files.
    Ours { bytes: u64, files: u32 },
    /// Nothing of it: what is there is the same to the byte, or there is no table.
    Theirs,
}

/// What a pack is closed with.
pub(crate) struct PackClosing {
    pub(crate) output: Output,
    pub(crate) options_blake3: Digest,
    pub(crate) found: FoundPack,
    pub(crate) filesystem: Option<Arc<Held>>,
    /// The staged directory.
    pub(crate) staged: PathBuf,
}

impl PackClosing {
    /// The staged file.
    pub(crate) fn file(&self) -> PathBuf {
        self.staged.join(PACKED_FILE)
    }

    /// Publishes what the workers packed and settles its items, all of them alike.
    pub(crate) fn close<'a>(
        &self,
        engine: &mut dyn Engine,
        work: &Work<'a>,
        state: &mut JobState<'a>,
        wall: Duration,
    ) {
        let Some((window, packed)) = state.take_pack() else { return };
        let published = match window.failure().cloned() {
            Some(error) => Err(Some(error)),
            None if work.cancel.is_cancelled() => Err(None),
            None if packed.is_empty() => Ok(Published::Theirs),
            None => self.publish(engine, window, &work.cancel).map_err(|error| match error {
                ItemError::Output(error) if error.kind == IoErrorKind::Cancelled => None,
                error => Some(error),
            }),
        };
        if let Ok(Published::Ours { bytes, files }) = published {
            state.published_beside(bytes, files);
        }
        let mut workspace = Workspace::default();
        for StagedItem { mut item, holding } in packed.settling(&work.items) {
            let event = match &published {
                Ok(Published::Ours { .. }) => ItemEvent::Packed,
                Ok(Published::Theirs) => ItemEvent::PackOvertaken,
                Err(Some(error)) => ItemEvent::Failed(error.clone()),
                Err(None) => ItemEvent::Cancelled,
            };
            let _ = item.on(event, &work.world, &mut workspace);
            let position = item.position();
            work.settle(state, holding, position, &item.into_report(), wall);
        }
    }

    /// Writes index and manifest, checks them, and moves the pack to its place.
    fn publish(
        &self,
        engine: &mut dyn Engine,
        window: PackWindow,
        cancel: &CancelFlag,
    ) -> Result<Published, ItemError> {
        let Ending { tables, bytes: rest, offset, blake3 } = window.finish();
        let tables_bytes = tables.bytes();
        let bytes = offset + rest.len() as u64;
        let file = self.file();
        let op = Op::Append { path: file.clone(), offset, bytes: rest };
        call(engine, op).map_err(ItemError::Output)?;
        // Once more from the disk, now that all of it is there: what the manifest says is so.
        let hash = hash_file(engine, &file, bytes, Symlinks::Refuse, cancel);
        let hash = hash.map_err(ItemError::Output)?;
        if hash != Some(blake3) {
            let reason = "what was read back is not what was written".to_owned();
            return Err(ItemError::Damaged { file: PACKED_FILE.into(), reason });
        }
        let options_blake3 = self.options_blake3;
        let manifest = PackManifest::new(options_blake3, tables, bytes, blake3).render();
        let (manifest_bytes, ours) =
            (manifest.bytes.len() as u64, ContentHash::of(&manifest.bytes));
        let op = Op::WriteFile { directory: self.staged.clone(), file: manifest };
        call(engine, op).map_err(ItemError::Output)?;
        sync(engine, &self.output, self.filesystem.as_ref())?;
        let is_new = match self.rename(engine) {
            Err(ItemError::Overtaken { target }) => {
                let theirs = target.join(MANIFEST);
                let (symlinks, interrupt) = (Symlinks::Refuse, cancel.interrupt());
                let theirs = read_file(engine, theirs, manifest_bytes, symlinks, interrupt);
                if !theirs.is_ok_and(|theirs| ContentHash::of(&theirs) == ours) {
                    return Err(ItemError::Overtaken { target });
                }
                // Whoever published it may have died before it was safe.
                sync(engine, &self.output, self.filesystem.as_ref())?;
                false
            }
            renamed => renamed.map(|()| true)?,
        };
        if self.output.durability == Durability::Power {
            let path = self.output.directory.clone();
            call(engine, Op::SyncDirectory { path }).map_err(ItemError::Output)?;
        }
        Ok(if is_new {
            Published::Ours { bytes: bytes - tables_bytes + manifest_bytes, files: 2 }
        } else {
            Published::Theirs
        })
    }

    fn rename(&self, engine: &mut dyn Engine) -> Result<(), ItemError> {
        let replace = match self.found {
            FoundPack::Nothing => Replace::Never,
            FoundPack::Ours(_) => Replace::Exchange,
        };
        let target = self.output.directory.join(PACKED_DIRECTORY);
        let op = Op::Publish { staged: self.staged.clone(), target, replace };
        let renamed = call(engine, op).map_err(|error| match error.kind {
            IoErrorKind::Exists => ItemError::Overtaken { target: error.path },
            _ => ItemError::Output(error),
        });
        renamed.map(drop)
    }
}
