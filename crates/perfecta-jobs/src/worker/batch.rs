//! Staged tables that are synced, published, and their names synced, together.
//!
//! ```text
//!  SyncingStages --> Publishing, one after another --> SyncingNames --> Settling
//! ```

use std::sync::Arc;
use std::vec;

use perfecta_io::{IoError, Op, Outcome};

use super::{ItemInHand, Pause, Slot, Worker, token};
use crate::activity;
use crate::error::ItemError;
use crate::item::ItemEvent;
use crate::job::StagedItem;
use crate::work::Work;

/// Staged tables on their way to publication.
pub(super) struct Batch<'a> {
    work: Arc<Work<'a>>,
    phase: Phase,
    /// What the sync of this phase came to.
    synced: Result<(), IoError>,
    /// Items that this phase has not come to.
    todo: vec::IntoIter<StagedItem>,
    /// The item whose operation is in flight.
    current: Option<ItemInHand<'a>>,
    /// Items that wait for the next phase.
    waiting: Vec<StagedItem>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    SyncingStages,
    Publishing,
    SyncingNames,
    Settling,
}

impl<'a> Worker<'_, 'a> {
    /// Syncs what a batch staged, publishes it, and syncs the names.
    pub(super) fn publish(&mut self, work: Arc<Work<'a>>, staged: Vec<StagedItem>) {
        let op = sync_filesystem(&work);
        let batch = Box::new(Batch {
            work,
            phase: Phase::SyncingStages,
            synced: Ok(()),
            todo: Vec::new().into_iter(),
            current: None,
            waiting: staged,
        });
        let slot = self.slots.open();
        self.submit_for(slot, batch, op);
    }

    /// Whoever watches is told of the sync under the name of the first item that waits for it.
    fn submit_for(&mut self, slot: usize, batch: Box<Batch<'a>>, op: Op) {
        let awaited = match batch.phase {
            Phase::SyncingStages => activity::AWAIT_SYNC,
            Phase::Publishing | Phase::SyncingNames | Phase::Settling => activity::AWAIT_NAME_SYNC,
        };
        self.watch_as(slot, &batch.waiting[0].item, awaited);
        self.slots.put(slot, Slot::Batch(batch));
        self.engine.submit(token(slot), op);
    }

    pub(super) fn batch_completed(
        &mut self,
        slot: usize,
        mut batch: Box<Batch<'a>>,
        outcome: Outcome,
    ) {
        let synced = match (batch.phase, batch.current.take()) {
            (Phase::Publishing | Phase::Settling, Some(in_hand)) => {
                let event = ItemEvent::Completed(outcome);
                return self.batch_goes_on(slot, batch, Some((in_hand, event)));
            }
            (Phase::SyncingStages | Phase::SyncingNames, None) => outcome,
            (phase, _) => unreachable!("a batch that is {phase:?} has nothing in flight"),
        };
        batch.synced = synced.map(drop).map_err(|failure| failure.error);
        batch.todo = std::mem::take(&mut batch.waiting).into_iter();
        batch.phase = match batch.phase {
            Phase::SyncingStages => Phase::Publishing,
            Phase::SyncingNames | Phase::Publishing | Phase::Settling => Phase::Settling,
        };
        self.batch_goes_on(slot, batch, None);
    }

    /// Carries the items of a phase on, as far as nothing is in flight.
    fn batch_goes_on(
        &mut self,
        slot: usize,
        mut batch: Box<Batch<'a>>,
        mut next: Option<(ItemInHand<'a>, ItemEvent)>,
    ) {
        while let Some((mut in_hand, event)) = next.take().or_else(|| batch.next_item()) {
            match self.carry_on(slot, &mut in_hand, event) {
                Ok(Pause::InFlight) => {
                    batch.current = Some(in_hand);
                    return self.slots.put(slot, Slot::Batch(batch));
                }
                Ok(Pause::ForNameSync) => {
                    let ItemInHand { item, ticket, .. } = in_hand;
                    batch.waiting.push(StagedItem { item, ticket });
                }
                Ok(Pause::Settled) => {
                    self.watch_no_more(slot);
                    self.session.settle(&in_hand.work, in_hand.item, in_hand.ticket);
                }
                Ok(Pause::ForSearch(_) | Pause::ForStageSync | Pause::ForPack(_)) => {
                    unreachable!("what is staged is searched, staged and packed no more")
                }
                Err(message) => {
                    self.watch_no_more(slot);
                    let ItemInHand { work, item, ticket } = in_hand;
                    self.session.settle_panicked(&work, item, ticket, message);
                }
            }
        }
        if batch.waiting.is_empty() {
            return self.leave(slot);
        }
        assert_eq!(batch.phase, Phase::Publishing, "names are synced once");
        batch.phase = Phase::SyncingNames;
        let op = sync_names(&batch);
        self.submit_for(slot, batch, op);
    }
}

impl<'a> Batch<'a> {
    fn next_item(&mut self) -> Option<(ItemInHand<'a>, ItemEvent)> {
        let StagedItem { item, ticket } = self.todo.next()?;
        let event = match (&self.synced, self.phase) {
            (Err(error), _) => ItemEvent::Failed(ItemError::Output(error.clone())),
            (Ok(()), Phase::Publishing) => ItemEvent::StagesSynced,
            (Ok(()), Phase::SyncingStages | Phase::SyncingNames | Phase::Settling) => {
                ItemEvent::NamesSynced
            }
        };
        Some((ItemInHand { work: Arc::clone(&self.work), item, ticket }, event))
    }
}

fn sync_filesystem(work: &Work<'_>) -> Op {
    let filesystem = work.filesystem.as_ref().expect("a durable job opened it");
    let publication = work.world.publication().expect("a durable job writes");
    let path = publication.output.directory.clone();
    Op::SyncFilesystem { filesystem: Arc::clone(filesystem), path }
}

/// One directory is synced by itself; several at the cost of one, by their file system.
fn sync_names(batch: &Batch<'_>) -> Op {
    let below = &batch.waiting[0].item.planned().below;
    if batch.waiting.iter().any(|staged| staged.item.planned().below != *below) {
        return sync_filesystem(&batch.work);
    }
    let publication = batch.work.world.publication().expect("a durable job writes");
    Op::SyncDirectory { path: publication.output.directory.join(below) }
}
