//! One item, from key file to published table.
//!
//! ```text
//!  Queued --> ReadingKeys --> [Comparing, Listing] --> Searching --> Reserving --> [MakingParent]
//!                                  |                     |   |                          |
//!                        unchanged |              memory |   | pack                     v
//!                                  v                only |   v                       Staging
//!                             [Unchanged]                | Packing                      |
//!                                  v                     v   v                          |
//!                                Settled <---------------+---+                          v
//!                                  ^  ^- [Clearing] <- [Published] <- Publishing <- [Staged]
//!                                  |                                      | overtaken
//!                                  |           the same                   v
//!                                  |  [Unchanged] <- Yielding <----- [Overtaken]
//!                             [Abandoning]  <- any failure, any cancel, until Publishing is over
//! ```
//!
//! States in brackets are passed by where they have nothing to do. A table is published by one
//! rename. Before that, what was rendered was decoded and gave every key its rank, and what was
//! staged was read back and is what was rendered; nothing that happens later makes it a
//! failure, except that with [`Durability::Power`](crate::Durability::Power) a failed sync does.

mod state;
mod world;

mod build;
mod found;
mod in_pack;
mod publish;

#[cfg(test)]
mod tests;

use std::fmt;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use perfecta_core::key::KeySet;
use perfecta_core::search::Verdict;
use perfecta_core::table::Table;
use perfecta_io::{Failure, IoError, IoErrorKind, Op, Outcome};

pub(crate) use self::in_pack::InPack;
use self::state::State;
pub(crate) use self::world::{Publication, Target, Workspace, World};
use crate::error::{ItemError, Stop};
use crate::event::{ItemReport, SearchReport};
use crate::ledger::Status;
use crate::pack::PackedTable;
use crate::planned::Planned;

/// One item. See the drawing.
#[derive(Debug)]
pub(crate) struct Item {
    planned: Arc<Planned>,
    position: u32,
    /// Who began it.
    worker: usize,
    state: State,
    /// The manifest that it staged.
    manifest: Option<Vec<u8>>,
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
    /// Another run published the same pack first.
    PackOvertaken,
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
    pub(crate) outcome: Result<(Table, Verdict), Stop>,
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
    /// Sync with others once more: [`ItemEvent::NamesSynced`] comes next.
    AwaitNameSync,
    /// Nothing: it is settled, see [`Item::into_report`].
    Settle,
}

impl fmt::Debug for Searched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Searched")
    }
}

impl Item {
    /// An item at `position` of the plan.
    pub(crate) fn new(planned: Arc<Planned>, position: u32) -> Self {
        let (keys_file, identifier) = (planned.keys_file.clone(), planned.identifier.to_string());
        let report = ItemReport::new(keys_file, identifier, Status::Ok);
        Self { planned, position, worker: 0, state: State::Queued, manifest: None, report }
    }

    pub(crate) const fn position(&self) -> u32 {
        self.position
    }

    pub(crate) fn planned(&self) -> &Planned {
        &self.planned
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

    /// What it is at, or waits for.
    pub(crate) const fn activity(&self) -> &'static str {
        self.state.activity()
    }

    /// Whether it waits for its key file.
    pub(crate) const fn is_reading_keys(&self) -> bool {
        matches!(self.state, State::ReadingKeys)
    }

    /// What it wrote so far.
    pub(crate) const fn bytes_written(&self) -> u64 {
        self.report.bytes
    }

    pub(crate) const fn planned_shared(&self) -> &Arc<Planned> {
        &self.planned
    }

    /// Whether nothing of it is visible yet, so that it can be given up without a trace.
    pub(crate) const fn may_be_abandoned(&self) -> bool {
        self.state.is_invisible()
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
            // Nobody but the user's cancelling ends an operation early.
            (state, ItemEvent::Completed(Err(Failure { error, buffer })))
                if error.kind == IoErrorKind::Cancelled && state.is_invisible() =>
            {
                workspace.buffer = buffer.unwrap_or_default();
                self.abandon(state, Status::Cancelled, world)
            }
            (State::Queued, ItemEvent::Started) => {
                self.worker = workspace.worker;
                self.read_keys(world, workspace)
            }
            (State::ReadingKeys, ItemEvent::Completed(outcome)) => {
                self.keys_read(outcome, world, workspace)
            }
            (State::Comparing { bytes, origin }, ItemEvent::Completed(outcome)) => {
                self.compare(outcome, bytes, origin, world, workspace)
            }
            (State::Listing { bytes, origin }, ItemEvent::Completed(outcome)) => {
                self.listed(outcome, bytes, origin, world, workspace)
            }
            (State::Searching { origin, replace }, ItemEvent::Searched(searched)) => {
                self.searched(*searched, origin, replace, world)
            }
            (State::Reserving(bundle), ItemEvent::Allowed) => self.make_parent(bundle, world),
            (State::MakingParent(bundle), ItemEvent::Completed(outcome)) => match outcome {
                Ok(_) => self.stage(bundle, world),
                Err(failure) => self.fail_output(State::MakingParent(bundle), failure, world),
            },
            (State::Staging(replace), ItemEvent::Completed(outcome)) => match outcome {
                Ok(payload) => self.staged(payload.into_files(), replace, world),
                Err(failure) => self.fail_output(State::Staging(replace), failure, world),
            },
            (State::Staged(replace), ItemEvent::StagesSynced) => self.publish(replace, world),
            (State::Publishing(replace), ItemEvent::Completed(outcome)) => match outcome {
                Ok(_) => self.published(replace, world),
                Err(failure) => self.not_published(replace, failure, world),
            },
            (State::Overtaken, ItemEvent::Completed(outcome)) => self.overtaken(outcome, world),
            // What is left of it is swept at the end of the run.
            (State::Yielding, ItemEvent::Completed(_)) => self.unchanged(world),
            (State::Published(replace), ItemEvent::NamesSynced) => self.clear(replace, world),
            (State::Packing, ItemEvent::PackOvertaken) => {
                self.yield_to_theirs();
                self.settle()
            }
            // What was there before is swept at the end of the run if it cannot be removed now.
            (State::Clearing, ItemEvent::Completed(_))
            | (State::Packing, ItemEvent::Packed)
            | (State::Unchanged, ItemEvent::StagesSynced)
            | (State::Abandoning, ItemEvent::Completed(_)) => self.settle(),
            (state, event) => panic!("an item that is {state:?} does not take {event:?}"),
        }
    }

    fn settle(&mut self) -> Effect {
        self.state = State::Settled;
        Effect::Settle
    }

    fn fail_output(&mut self, state: State, failure: Failure, world: &World<'_>) -> Effect {
        let error = match failure.error {
            IoError { kind: kind @ IoErrorKind::NotAsWritten { .. }, path, .. } => {
                ItemError::Damaged { file: path, reason: kind.to_string() }
            }
            error => ItemError::Output(error),
        };
        self.fail(state, error, world)
    }

    fn fail(&mut self, state: State, error: ItemError, world: &World<'_>) -> Effect {
        self.report.error = Some(error);
        self.abandon(state, Status::Failed, world)
    }

    fn stop(&mut self, state: State, stop: Stop, world: &World<'_>) -> Effect {
        match stop {
            Stop::Failed(error) => self.fail(state, error, world),
            Stop::Cancelled => self.abandon(state, Status::Cancelled, world),
        }
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
        self.room(publication).join(self.position.to_string())
    }

    fn room<'w>(&self, publication: &'w Publication<'_>) -> &'w Path {
        &publication.rooms[self.worker % publication.rooms.len()]
    }
}
