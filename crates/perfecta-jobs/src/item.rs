//! One item, from key file to published table.
//!
//! ```text
//!  Queued --> ReadingKeys --> [Comparing] --> Searching --> Reserving --> [MakingParent]
//!                                  |            |   |                          |
//!                        unchanged |     memory |   | pack                     v
//!                                  |       only |   v                       Staging
//!                                  |            | Packing                      |
//!                                  |            |   |                          v
//!                                  |            |   |                     ReadingBack
//!                                  v            v   v                          |
//!                                Settled <------+---+                          v
//!                                  ^  ^                                 WritingManifest
//!                                  |  |                                        |
//!                                  |  `- [Published] <- [Clearing] <- Publishing <- [Staged]
//!                                  |
//!                             [Abandoning]  <- any failure, any cancel, until Publishing is over
//! ```
//!
//! States in brackets are passed by where they have nothing to do. A table is published by one
//! rename, after everything was read back and verified; nothing that happens later makes it a
//! failure, except that with [`Durability::Power`] a failed sync does.

use std::fmt;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;

use perfecta_core::format;
use perfecta_core::key::KeySet;
use perfecta_core::search::Verdict;
use perfecta_core::table::Table;
use perfecta_emit::OriginalName;
use perfecta_io::{
    Failure, FileContent, IoError, IoErrorKind, Op, Outcome, Payload, Replace, Symlinks,
};

use crate::config::{Conflicts, Durability, Job, Output};
use crate::error::ItemError;
use crate::event::{ItemReport, SearchReport, Status};
use crate::manifest::{self, Manifest, Origin};
use crate::pack::PackedTable;
use crate::places::MANIFEST;
use crate::render::{Facts, Renderer};
use crate::schedule::Planned;
use crate::stage::bytes_of;

/// What items share and do not change.
pub(crate) struct World<'a> {
    pub(crate) job: &'a Job,
    pub(crate) target: Target<'a>,
}

/// Where tables go.
pub(crate) enum Target<'a> {
    /// Nowhere: they are built and verified in memory.
    Memory,
    /// Each to its own directory.
    Dirs(Publication<'a>),
    /// All into one file.
    Pack,
}

impl<'a> World<'a> {
    pub(crate) fn publication(&self) -> Option<&Publication<'a>> {
        match &self.target {
            Target::Memory | Target::Pack => None,
            Target::Dirs(publication) => Some(publication),
        }
    }
}

/// Where directories of tables go, and all that takes.
pub(crate) struct Publication<'a> {
    pub(crate) output: &'a Output,
    pub(crate) renderer: &'a dyn Renderer,
    /// The run's staging directory.
    pub(crate) stage: PathBuf,
    /// Hash of everything but the keys that shapes the bytes.
    pub(crate) options_blake3: manifest::Digest,
}

/// Memory that goes from item to item of one worker.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// For key files.
    pub(crate) buffer: Vec<u8>,
}

/// One item. See the drawing.
#[derive(Debug)]
pub(crate) struct Item<'a> {
    planned: &'a Planned,
    position: u32,
    state: State,
    report: ItemReport,
}

/// What happens to an item.
#[derive(Debug)]
pub(crate) enum ItemEvent {
    /// A worker took it.
    Started,
    /// Its operation is complete.
    Completed(Outcome),
    /// Its search is over.
    Searched(Box<Searched>),
    /// It may write what it asked for.
    Allowed,
    /// The pack that it is in was published.
    Packed,
    /// Everything staged so far is safe on the device.
    StagesSynced,
    /// Everything published so far is safe on the device.
    NamesSynced,
    /// It cannot go on: a limit was met, or a sync failed.
    Failed(ItemError),
    /// The user cancelled.
    Cancelled,
}

/// The end of a search.
pub(crate) struct Searched {
    pub(crate) keys: Arc<KeySet>,
    pub(crate) report: Option<SearchReport>,
    pub(crate) outcome: Result<(Table, Verdict), SearchEnd>,
}

/// Why a search has no table.
#[derive(Debug)]
pub(crate) enum SearchEnd {
    Failed(ItemError),
    Cancelled,
}

/// What is to be done for an item before its next event.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Submit this.
    Submit(Op),
    /// Search these keys.
    Search(KeySet),
    /// Take it into the pack: [`ItemEvent::Packed`] comes when that is published.
    Deliver(Box<PackedTable>),
    /// Ask whether so many bytes may be written.
    Reserve(u64),
    /// Sync with others, when there are enough of them: [`ItemEvent::StagesSynced`] comes next.
    AwaitStageSync,
    /// Sync with others: [`ItemEvent::NamesSynced`] comes next.
    AwaitNameSync,
    /// Nothing: it is settled, see [`Item::into_report`].
    Settle,
}

enum State {
    Queued,
    ReadingKeys,
    Comparing {
        bytes: Vec<u8>,
        origin: Origin,
    },
    Searching {
        origin: Option<Origin>,
        replace: Replace,
    },
    Packing,
    Reserving(Box<Bundle>),
    MakingParent(Box<Bundle>),
    Staging(Box<Bundle>),
    ReadingBack(Box<Bundle>),
    WritingManifest(Replace),
    Staged(Replace),
    Publishing(Replace),
    Clearing,
    Published,
    Abandoning,
    Settled,
    /// Only while a move is made.
    Moving,
}

/// A table that was found and verified.
struct Solved {
    keys: Arc<KeySet>,
    table: Table,
    verdict: Verdict,
}

/// A rendered table on its way to the disk.
struct Bundle {
    keys: Arc<KeySet>,
    files: Vec<FileContent>,
    manifest: FileContent,
    replace: Replace,
}

impl State {
    const fn name(&self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::ReadingKeys => "ReadingKeys",
            Self::Comparing { .. } => "Comparing",
            Self::Searching { .. } => "Searching",
            Self::Packing => "Packing",
            Self::Reserving(_) => "Reserving",
            Self::MakingParent(_) => "MakingParent",
            Self::Staging(_) => "Staging",
            Self::ReadingBack(_) => "ReadingBack",
            Self::WritingManifest(_) => "WritingManifest",
            Self::Staged(_) => "Staged",
            Self::Publishing(_) => "Publishing",
            Self::Clearing => "Clearing",
            Self::Published => "Published",
            Self::Abandoning => "Abandoning",
            Self::Settled => "Settled",
            Self::Moving => "Moving",
        }
    }

    /// Whether something of the item may lie in the staging directory.
    const fn is_staged(&self) -> bool {
        match self {
            Self::Staging(_)
            | Self::ReadingBack(_)
            | Self::WritingManifest(_)
            | Self::Staged(_)
            | Self::Publishing(_) => true,
            Self::Queued
            | Self::ReadingKeys
            | Self::Comparing { .. }
            | Self::Searching { .. }
            | Self::Packing
            | Self::Reserving(_)
            | Self::MakingParent(_)
            | Self::Clearing
            | Self::Published
            | Self::Abandoning
            | Self::Settled
            | Self::Moving => false,
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl fmt::Debug for PackedTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(&self.name))
    }
}

impl fmt::Debug for Searched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Searched")
    }
}

impl<'a> Item<'a> {
    /// An item at `position` of the plan.
    pub(crate) fn new(planned: &'a Planned, position: u32) -> Self {
        let report = ItemReport {
            keys_file: planned.keys_file.clone(),
            identifier: planned.identifier.to_string(),
            status: Status::Ok,
            keys: 0,
            search: None,
            bytes: 0,
            files: 0,
            error: None,
        };
        Self { planned, position, state: State::Queued, report }
    }

    pub(crate) const fn position(&self) -> u32 {
        self.position
    }

    pub(crate) const fn planned(&self) -> &'a Planned {
        self.planned
    }

    /// What came of it.
    ///
    /// # Panics
    /// If it is not settled.
    pub(crate) fn into_report(self) -> ItemReport {
        assert!(matches!(self.state, State::Settled), "{:?} is not settled", self.state);
        self.report
    }

    /// The report of an item whose worker panicked. What it staged is swept when the run ends.
    pub(crate) fn into_panicked_report(self, message: String) -> ItemReport {
        let error = Some(ItemError::Panicked(message));
        ItemReport { status: Status::Failed, bytes: 0, files: 0, error, ..self.report }
    }

    /// Whether nothing of it is visible yet, so that it can be given up without a trace.
    pub(crate) const fn may_be_abandoned(&self) -> bool {
        match self.state {
            State::Queued
            | State::ReadingKeys
            | State::Comparing { .. }
            | State::Searching { .. }
            | State::Packing
            | State::Reserving(_)
            | State::MakingParent(_)
            | State::Staging(_)
            | State::ReadingBack(_)
            | State::WritingManifest(_)
            | State::Staged(_)
            | State::Publishing(_) => true,
            State::Clearing
            | State::Published
            | State::Abandoning
            | State::Settled
            | State::Moving => false,
        }
    }

    /// Takes an event and says what is to be done next.
    ///
    /// # Panics
    /// If the event cannot happen in this state.
    pub(crate) fn on(
        &mut self,
        event: ItemEvent,
        world: &World<'_>,
        workspace: &mut Workspace,
    ) -> Effect {
        match (mem::replace(&mut self.state, State::Moving), event) {
            (state, ItemEvent::Failed(error)) => self.fail(state, error, world),
            (state, ItemEvent::Cancelled) => self.abandon(state, Status::Cancelled, world),
            (State::Queued, ItemEvent::Started) => self.read_keys(world, workspace),
            (State::ReadingKeys, ItemEvent::Completed(outcome)) => {
                self.keys_read(outcome, world, workspace)
            }
            (State::Comparing { bytes, origin }, ItemEvent::Completed(outcome)) => {
                self.compare(outcome, bytes, origin, world, workspace)
            }
            (State::Searching { origin, replace }, ItemEvent::Searched(searched)) => {
                self.searched(*searched, origin, replace, world)
            }
            (State::Reserving(bundle), ItemEvent::Allowed) => self.make_parent(bundle, world),
            (State::MakingParent(bundle), ItemEvent::Completed(outcome)) => match outcome {
                Ok(_) => self.stage(bundle, world),
                Err(failure) => self.fail_output(State::MakingParent(bundle), failure, world),
            },
            (State::Staging(bundle), ItemEvent::Completed(outcome)) => {
                self.read_back(bundle, outcome, world)
            }
            (State::ReadingBack(bundle), ItemEvent::Completed(outcome)) => {
                self.check_written(bundle, outcome, world)
            }
            (State::WritingManifest(replace), ItemEvent::Completed(outcome)) => match outcome {
                Ok(_) => self.staged(replace, world),
                Err(failure) => self.fail_output(State::WritingManifest(replace), failure, world),
            },
            (State::Staged(replace), ItemEvent::StagesSynced) => self.publish(replace, world),
            (State::Publishing(replace), ItemEvent::Completed(outcome)) => match outcome {
                Ok(_) => self.clear(replace, world),
                Err(failure) => self.not_published(replace, failure, world),
            },
            // What was there before is swept at the end of the run if it cannot be removed now.
            (State::Clearing, ItemEvent::Completed(_)) => self.published(world),
            (State::Packing, ItemEvent::Packed)
            | (State::Published, ItemEvent::NamesSynced)
            | (State::Abandoning, ItemEvent::Completed(_)) => self.settle(),
            (state, event) => panic!("an item that is {state:?} does not take {event:?}"),
        }
    }

    fn read_keys(&mut self, world: &World<'_>, workspace: &mut Workspace) -> Effect {
        self.state = State::ReadingKeys;
        Effect::Submit(Op::ReadFile {
            path: self.planned.keys_file.clone(),
            buffer: mem::take(&mut workspace.buffer),
            bytes_max: world.job.limits.input_bytes_max,
            symlinks: Symlinks::Follow,
        })
    }

    fn keys_read(
        &mut self,
        outcome: Outcome,
        world: &World<'_>,
        workspace: &mut Workspace,
    ) -> Effect {
        let bytes = match outcome {
            Ok(payload) => bytes_of(payload),
            Err(Failure { error, buffer }) => {
                workspace.buffer = buffer.unwrap_or_default();
                return self.fail(State::ReadingKeys, ItemError::Input(error), world);
            }
        };
        let origin = |options_blake3| Origin {
            keys_blake3: *blake3::hash(&bytes).as_bytes(),
            options_blake3,
        };
        let publication = match &world.target {
            Target::Memory => return self.search(bytes, None, Replace::Never, world, workspace),
            Target::Pack => {
                // The options are those of the whole pack, and stand in its manifest.
                let origin = origin([0; 32]);
                return self.search(bytes, Some(origin), Replace::Never, world, workspace);
            }
            Target::Dirs(publication) => publication,
        };
        let origin = origin(publication.options_blake3);
        self.state = State::Comparing { bytes, origin };
        Effect::Submit(Op::ReadDirectory {
            path: self.target(publication),
            bytes_max: world.job.limits.memory_bytes_max,
        })
    }

    fn compare(
        &mut self,
        outcome: Outcome,
        bytes: Vec<u8>,
        origin: Origin,
        world: &World<'_>,
        workspace: &mut Workspace,
    ) -> Effect {
        let publication = world.publication().expect("only what is written is compared");
        let target = self.target(publication);
        let found = what_is_there(outcome, &target, &self.report.identifier, &origin);
        let replaces = publication.output.conflicts == Conflicts::Replace;
        match found {
            Found::Nothing => self.search(bytes, Some(origin), Replace::Never, world, workspace),
            Found::Ours => self.search(bytes, Some(origin), Replace::Exchange, world, workspace),
            Found::Foreign(_) if replaces => {
                self.search(bytes, Some(origin), Replace::Exchange, world, workspace)
            }
            Found::Foreign(target) => {
                workspace.buffer = bytes;
                self.fail(State::ReadingKeys, ItemError::Foreign { target }, world)
            }
            Found::Failed(error) => {
                workspace.buffer = bytes;
                self.fail(State::ReadingKeys, ItemError::Output(error), world)
            }
            Found::Same { num_keys } => {
                workspace.buffer = bytes;
                self.report.keys = num_keys;
                self.report.status = Status::Unchanged;
                self.settle()
            }
        }
    }

    fn search(
        &mut self,
        bytes: Vec<u8>,
        origin: Option<Origin>,
        replace: Replace,
        world: &World<'_>,
        workspace: &mut Workspace,
    ) -> Effect {
        let keys = world.job.keys.parse(&self.planned.keys_file, &bytes);
        workspace.buffer = bytes;
        match keys {
            Ok(keys) => {
                self.report.keys = keys.len() as u64;
                self.state = State::Searching { origin, replace };
                Effect::Search(keys)
            }
            Err(error) => self.fail(State::ReadingKeys, ItemError::Keys(error), world),
        }
    }

    fn searched(
        &mut self,
        searched: Searched,
        origin: Option<Origin>,
        replace: Replace,
        world: &World<'_>,
    ) -> Effect {
        let Searched { keys, report, outcome } = searched;
        let state = State::Searching { origin, replace };
        self.report.search = report;
        let (table, verdict) = match outcome {
            Ok(solved) => solved,
            Err(SearchEnd::Failed(error)) => return self.fail(state, error, world),
            Err(SearchEnd::Cancelled) => return self.abandon(state, Status::Cancelled, world),
        };
        if let Err(error) = table.view().verify(&keys) {
            return self.fail(state, ItemError::Verify(error), world);
        }
        let solved = Solved { keys, table, verdict };
        let (publication, origin) = match (&world.target, origin) {
            (Target::Memory, _) | (_, None) => return self.settle(),
            (Target::Pack, Some(origin)) => return self.pack(solved, &origin),
            (Target::Dirs(publication), Some(origin)) => (publication, origin),
        };
        match self.render(world, publication, &solved, &origin, replace) {
            Ok(bundle) => {
                let files = bundle.files.iter().chain([&bundle.manifest]);
                let bytes = files.map(|file| file.bytes.len() as u64).sum();
                self.state = State::Reserving(bundle);
                Effect::Reserve(bytes)
            }
            Err(error) => self.fail(state, error, world),
        }
    }

    fn render(
        &self,
        world: &World<'_>,
        publication: &Publication<'_>,
        solved: &Solved,
        origin: &Origin,
        replace: Replace,
    ) -> Result<Box<Bundle>, ItemError> {
        let keys_file = self.planned.keys_file.file_name().unwrap_or_default();
        let keys_file = OriginalName::new(keys_file.as_encoded_bytes());
        let Solved { keys, table, verdict } = solved;
        let facts = Facts {
            identifier: &self.planned.identifier,
            keys_file: &keys_file,
            keys_blake3: origin.keys_blake3,
            keys_file_bytes: self.planned.file_bytes,
            keys,
            verdict,
        };
        let mut artifacts = Vec::new();
        publication.renderer.render(&facts, table, &mut artifacts)?;
        let rng_seed = world.job.search.seeds.rng_seed;
        let manifest = manifest::render(&facts, table, rng_seed, origin, &artifacts);
        let files = artifacts.into_iter().map(|artifact| artifact.file).collect();
        Ok(Box::new(Bundle { keys: Arc::clone(keys), files, manifest, replace }))
    }

    fn pack(&mut self, solved: Solved, origin: &Origin) -> Effect {
        let Solved { keys, table, .. } = solved;
        let entry = format::encode(&table.view());
        self.report.bytes = entry.len() as u64;
        self.state = State::Packing;
        let name = self.planned.target().into_os_string().into_encoded_bytes();
        let keys_blake3 = origin.keys_blake3;
        Effect::Deliver(Box::new(PackedTable { name, entry, keys, keys_blake3 }))
    }

    fn make_parent(&mut self, bundle: Box<Bundle>, world: &World<'_>) -> Effect {
        if self.planned.below.as_os_str().is_empty() {
            return self.stage(bundle, world);
        }
        let publication = world.publication().expect("only what is written is staged");
        self.state = State::MakingParent(bundle);
        Effect::Submit(Op::MakeDirectories {
            path: publication.output.directory.join(&self.planned.below),
        })
    }

    fn stage(&mut self, mut bundle: Box<Bundle>, world: &World<'_>) -> Effect {
        let publication = world.publication().expect("only what is written is staged");
        let files = mem::take(&mut bundle.files);
        self.state = State::Staging(bundle);
        Effect::Submit(Op::WriteDirectory {
            parent: publication.stage.clone(),
            name: self.position.to_string().into(),
            files,
        })
    }

    fn read_back(
        &mut self,
        mut bundle: Box<Bundle>,
        outcome: Outcome,
        world: &World<'_>,
    ) -> Effect {
        match outcome {
            Ok(Payload::Files(files)) => bundle.files = files,
            Ok(payload) => panic!("writing a directory gives its files, not {payload:?}"),
            Err(failure) => return self.fail_output(State::Staging(bundle), failure, world),
        }
        let bytes = bundle.files.iter().map(|file| file.bytes.len() as u64).sum();
        self.state = State::ReadingBack(bundle);
        Effect::Submit(Op::ReadDirectory { path: self.staged_path(world), bytes_max: bytes })
    }

    fn check_written(
        &mut self,
        mut bundle: Box<Bundle>,
        outcome: Outcome,
        world: &World<'_>,
    ) -> Effect {
        let publication = world.publication().expect("only what is written is staged");
        let written = match outcome {
            Ok(Payload::Files(files)) => files,
            Ok(payload) => panic!("reading a directory gives its files, not {payload:?}"),
            Err(failure) => return self.fail_output(State::ReadingBack(bundle), failure, world),
        };
        bundle.files.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        let checked = same_files(&bundle.files, &written)
            .and_then(|()| publication.renderer.check(&written, Some(&bundle.keys)));
        if let Err(error) = checked {
            return self.fail(State::ReadingBack(bundle), error, world);
        }
        let Bundle { files, manifest, replace, .. } = *bundle;
        self.report.files = files.len() as u32 + 1;
        self.report.bytes =
            files.iter().chain([&manifest]).map(|file| file.bytes.len() as u64).sum();
        self.state = State::WritingManifest(replace);
        Effect::Submit(Op::WriteFile { directory: self.staged_path(world), file: manifest })
    }

    fn staged(&mut self, replace: Replace, world: &World<'_>) -> Effect {
        match durability(world) {
            Durability::Process => self.publish(replace, world),
            Durability::Power => {
                self.state = State::Staged(replace);
                Effect::AwaitStageSync
            }
        }
    }

    fn publish(&mut self, replace: Replace, world: &World<'_>) -> Effect {
        let publication = world.publication().expect("only what is written is published");
        self.state = State::Publishing(replace);
        Effect::Submit(Op::Publish {
            staged: self.staged_path(world),
            target: self.target(publication),
            replace,
        })
    }

    fn not_published(&mut self, replace: Replace, failure: Failure, world: &World<'_>) -> Effect {
        let error = match failure.error {
            // Somebody made it since we looked.
            IoError { kind: IoErrorKind::Exists, path, .. } => {
                ItemError::Overtaken { target: path }
            }
            error => ItemError::Output(error),
        };
        self.fail(State::Publishing(replace), error, world)
    }

    fn clear(&mut self, replace: Replace, world: &World<'_>) -> Effect {
        match replace {
            Replace::Never => self.published(world),
            Replace::Exchange => {
                self.state = State::Clearing;
                Effect::Submit(Op::RemoveTree { path: self.staged_path(world) })
            }
        }
    }

    fn published(&mut self, world: &World<'_>) -> Effect {
        match durability(world) {
            Durability::Process => self.settle(),
            Durability::Power => {
                self.state = State::Published;
                Effect::AwaitNameSync
            }
        }
    }

    fn settle(&mut self) -> Effect {
        self.state = State::Settled;
        Effect::Settle
    }

    fn fail_output(&mut self, state: State, failure: Failure, world: &World<'_>) -> Effect {
        self.fail(state, ItemError::Output(failure.error), world)
    }

    fn fail(&mut self, state: State, error: ItemError, world: &World<'_>) -> Effect {
        self.report.error = Some(error);
        self.abandon(state, Status::Failed, world)
    }

    /// Leaves nothing behind. If even that fails, the sweep at the end of the run comes again.
    fn abandon(&mut self, state: State, status: Status, world: &World<'_>) -> Effect {
        self.report.status = status;
        self.report.bytes = 0;
        self.report.files = 0;
        if !state.is_staged() {
            return self.settle();
        }
        self.state = State::Abandoning;
        Effect::Submit(Op::RemoveTree { path: self.staged_path(world) })
    }

    fn target(&self, publication: &Publication<'_>) -> PathBuf {
        let mut target = publication.output.directory.join(&self.planned.below);
        target.push(self.planned.identifier.as_str());
        target
    }

    fn staged_path(&self, world: &World<'_>) -> PathBuf {
        let publication = world.publication().expect("only what is written is staged");
        publication.stage.join(self.position.to_string())
    }
}

fn durability(world: &World<'_>) -> Durability {
    world.publication().map_or(Durability::Process, |to| to.output.durability)
}

/// What is at the place of a table before it is built.
enum Found {
    Nothing,
    /// Exactly what would be built.
    Same {
        num_keys: u64,
    },
    /// A table of ours that is older, or torn by a power cut.
    Ours,
    /// Something that is not ours to replace.
    Foreign(PathBuf),
    Failed(IoError),
}

fn what_is_there(
    outcome: Outcome,
    target: &std::path::Path,
    identifier: &str,
    origin: &Origin,
) -> Found {
    let files = match outcome {
        Ok(Payload::Files(files)) => files,
        Ok(payload) => panic!("reading a directory gives its files, not {payload:?}"),
        Err(Failure { error, .. }) if error.path == target && error.is_absent() => {
            return Found::Nothing;
        }
        Err(Failure { error, .. }) if error.is_not_a_directory() => {
            return Found::Foreign(error.path);
        }
        Err(Failure { error, .. }) => {
            return match error.kind {
                IoErrorKind::NotAFile(_) => Found::Foreign(error.path),
                IoErrorKind::TooLarge { .. } => Found::Ours,
                _ => Found::Failed(error),
            };
        }
    };
    let Some(manifest) = files.iter().find(|file| file.name == MANIFEST) else {
        return Found::Foreign(target.to_owned());
    };
    let Ok(manifest) = Manifest::from_json(&manifest.bytes) else { return Found::Ours };
    if let Some(name) = manifest::first_unlisted(&manifest, &files) {
        return Found::Foreign(target.join(name));
    }
    let is_same = manifest::origin(&manifest).as_ref() == Some(origin)
        && manifest.identifier == identifier
        && manifest::check(&manifest, &files).is_ok();
    if is_same { Found::Same { num_keys: u64::from(manifest.table.num_keys) } } else { Found::Ours }
}

/// Whether what was read back is what was written.
fn same_files(rendered: &[FileContent], written: &[FileContent]) -> Result<(), ItemError> {
    let damaged = |file: &FileContent, reason: &str| ItemError::Damaged {
        file: file.name.to_string_lossy().into_owned(),
        reason: reason.to_owned(),
    };
    if let Some(file) =
        written.iter().find(|file| !rendered.iter().any(|own| own.name == file.name))
    {
        return Err(damaged(file, "nobody here wrote it"));
    }
    for (index, file) in rendered.iter().enumerate() {
        match written.get(index) {
            Some(read) if read == file => {}
            Some(_) => return Err(damaged(file, "what was read back is not what was written")),
            None => return Err(damaged(file, "it is missing")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::{Artifacts, SelfTest};
    use crate::config::Inputs;
    use crate::schedule;
    use perfecta_core::graph::Scratch;
    use perfecta_core::search::search;
    use perfecta_emit::ArtifactKinds;
    use perfecta_io::{Entry, EntryKind, Operation};
    use std::path::Path;

    const KEYS: [u32; 3] = [2, 3, 5];

    /// What is done to an item at one of its steps.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Blow {
        None,
        Failure,
        Cancel,
    }

    /// The file system that an item sees.
    struct Script {
        /// What was staged, as it is read back.
        staged: Option<Vec<FileContent>>,
        ops: Vec<&'static str>,
    }

    impl Script {
        fn complete(&mut self, op: Op) -> Outcome {
            let (name, payload) = match op {
                Op::ReadFile { .. } => {
                    ("read", Ok(Payload::Bytes(KEYS.map(u32::to_le_bytes).concat())))
                }
                Op::ReadDirectory { path, .. } => match &self.staged {
                    Some(files) => {
                        let mut files = files.clone();
                        files.sort_by(|left, right| left.name.cmp(&right.name));
                        ("read back", Ok(Payload::Files(files)))
                    }
                    // ENOENT
                    None => ("compare", Err(failure(&path, 2))),
                },
                Op::MakeDirectories { .. } => ("make parent", Ok(Payload::Done)),
                Op::WriteDirectory { files, .. } => {
                    self.staged = Some(files.clone());
                    ("stage", Ok(Payload::Files(files)))
                }
                Op::WriteFile { .. } => ("manifest", Ok(Payload::Done)),
                Op::Publish { .. } => ("publish", Ok(Payload::Done)),
                Op::RemoveTree { .. } => ("remove", Ok(Payload::Done)),
                op => panic!("an item does not submit {op:?}"),
            };
            self.ops.push(name);
            payload
        }
    }

    fn failure(path: &Path, errno: i32) -> Failure {
        let error = IoError::new(Operation::Write, path, IoErrorKind::System(errno));
        Failure { error, buffer: None }
    }

    /// Drives an item through its life; at step `at`, the blow falls.
    fn life(
        durability: Durability,
        at: usize,
        blow: Blow,
    ) -> (ItemReport, Vec<&'static str>, bool) {
        let output = Output { durability, ..Output::new("out") };
        let job = Job { output: Some(output.clone()), ..Job::new(Inputs::tree("keys")) };
        let entry = Entry { path: "below/a.keys".into(), kind: EntryKind::File { bytes: 12 } };
        let planned = schedule::plan(&job, vec![entry]).remove(0);
        let renderer = Artifacts::new(ArtifactKinds::all(), SelfTest::FromFile);
        let stage = "out/stage".into();
        let publication =
            Publication { output: &output, renderer: &renderer, stage, options_blake3: [7; 32] };
        let world = World { job: &job, target: Target::Dirs(publication) };
        let mut workspace = Workspace::default();
        let mut script = Script { staged: None, ops: Vec::new() };
        let mut item = Item::new(&planned, 0);
        let mut event = ItemEvent::Started;
        for step in 0.. {
            let effect = item.on(event, &world, &mut workspace);
            let falls = step == at && item.may_be_abandoned();
            event = match effect {
                Effect::Settle => return (item.into_report(), script.ops, step > at),
                Effect::Submit(_) if falls && blow == Blow::Cancel => ItemEvent::Cancelled,
                Effect::Submit(op) if falls && blow == Blow::Failure => {
                    let _ = script.complete(op);
                    // EIO
                    ItemEvent::Completed(Err(failure(Path::new("somewhere"), 5)))
                }
                Effect::Submit(op) => ItemEvent::Completed(script.complete(op)),
                Effect::Search(keys) => ItemEvent::Searched(Box::new(found(keys, &job))),
                Effect::Reserve(bytes) => {
                    assert!(bytes > 1000);
                    ItemEvent::Allowed
                }
                Effect::AwaitStageSync => ItemEvent::StagesSynced,
                Effect::AwaitNameSync => ItemEvent::NamesSynced,
                Effect::Deliver(table) => panic!("nobody packs {table:?}"),
            };
        }
        unreachable!("an item settles")
    }

    fn found(keys: KeySet, job: &Job) -> Searched {
        let found = search(&keys, &job.search, &mut Scratch::default(), &|| true).unwrap();
        let outcome = Ok((found.table.unwrap(), found.verdict));
        Searched { keys: Arc::new(keys), report: None, outcome }
    }

    #[test]
    fn a_life_without_blows_ends_published() {
        let way = ["read", "compare", "make parent", "stage", "read back", "manifest", "publish"];
        for durability in [Durability::Process, Durability::Power] {
            let (report, ops, _) = life(durability, 0, Blow::None);
            assert_eq!((report.status, &*ops), (Status::Ok, &way[..]));
            assert_eq!((report.files, report.keys), (4, 3));
        }
    }

    #[test]
    fn whenever_a_blow_falls_what_was_staged_is_removed_and_nothing_else() {
        for (blow, status) in [(Blow::Failure, Status::Failed), (Blow::Cancel, Status::Cancelled)] {
            let mut blows = 0;
            for at in 0..12 {
                let (report, ops, fell) = life(Durability::Power, at, blow);
                if !fell || report.status == Status::Ok {
                    continue;
                }
                blows += 1;
                assert_eq!((report.status, report.bytes, report.files), (status, 0, 0), "{at}");
                assert_eq!(report.error.is_some(), blow == Blow::Failure);
                let removes = ops.iter().filter(|op| **op == "remove").count();
                let is_staged = ops.contains(&"stage") || (blow == Blow::Cancel && removes == 1);
                assert_eq!(removes, usize::from(is_staged), "{at}: {ops:?}");
                assert!(blow == Blow::Failure || !ops.contains(&"publish"), "{at}: {ops:?}");
            }
            assert_eq!(blows, 7, "{blow:?}");
        }
    }

    #[test]
    #[should_panic(expected = "an item that is Queued does not take StagesSynced")]
    fn an_event_out_of_place_is_a_bug() {
        let job = Job::new(Inputs::tree("keys"));
        let entry = Entry { path: "a.keys".into(), kind: EntryKind::File { bytes: 12 } };
        let planned = schedule::plan(&job, vec![entry]).remove(0);
        let world = World { job: &job, target: Target::Memory };
        Item::new(&planned, 0).on(ItemEvent::StagesSynced, &world, &mut Workspace::default());
    }
}
