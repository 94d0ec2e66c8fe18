//! Tables that share a sync: it makes safe what was staged, and the names of what was published before
//! it began.
//!
//! ```text
//!  Syncing --> names that are safe settle --> stages that are safe are published
//!                                                  |--> their names wait for the next sync
//!                                                  `--> others' tables in their places do so, too
//! ```

use std::sync::Arc;
use std::vec;

use perfecta_io::{IoError, Op, Outcome};

use super::carry::Pause;
use super::{ItemInHand, Slot, Worker, token};
use crate::activity;
use crate::error::ItemError;
use crate::item::ItemEvent;
use crate::job::{StagedItem, Unsynced};
use crate::work::Work;

/// Tables on their way through a sync.
pub(super) struct Batch<'a> {
    work: Arc<Work<'a>>,
    /// What is being synced.
    unsynced: Unsynced,
    /// Items that are not told yet what the sync came to.
    todo: vec::IntoIter<(StagedItem, ItemEvent)>,
    /// The item whose operation is in flight; the sync, where there is none.
    current: Option<ItemInHand<'a>>,
    /// Items whose names wait for the next sync.
    published: Vec<StagedItem>,
    /// Items in whose places others published the same, and of which nothing is known to be safe.
    overtaken: Vec<StagedItem>,
}

impl<'a> Worker<'_, 'a> {
    /// Syncs what waits for it, settles what was published before, and publishes what was staged.
    pub(super) fn sync(&mut self, work: Arc<Work<'a>>, unsynced: Unsynced) {
        let slot = self.slots.open();
        if let Some(lost) = unsynced.lost.clone() {
            return self.synced(slot, Box::new(Batch::new(work, unsynced)), Err(lost));
        }
        let (op, first, awaited) = match (unsynced.stages.first(), unsynced.names.first()) {
            (Some(first), _) => (sync_filesystem(&work), first, activity::AWAIT_SYNC),
            (None, Some(first)) => {
                (sync_names(&work, &unsynced.names), first, activity::AWAIT_NAME_SYNC)
            }
            (None, None) => unreachable!("a sync is for something"),
        };
        // Whoever watches is told of it under the name of the first item that waits for it.
        self.watch_as(slot, &work, &first.item, awaited);
        self.slots.put(slot, Slot::Batch(Box::new(Batch::new(work, unsynced))));
        self.engine.submit(token(slot), op);
    }

    pub(super) fn batch_completed(
        &mut self,
        slot: usize,
        mut batch: Box<Batch<'a>>,
        outcome: Outcome,
    ) {
        match batch.current.take() {
            Some(in_hand) => {
                self.batch_goes_on(slot, batch, Some((in_hand, ItemEvent::Completed(outcome))));
            }
            None => self.synced(slot, batch, outcome.map(drop).map_err(|failure| failure.error)),
        }
    }

    fn synced(&mut self, slot: usize, mut batch: Box<Batch<'a>>, synced: Result<(), IoError>) {
        self.session.synced(&batch.work, &synced);
        let Unsynced { stages, names, .. } = std::mem::take(&mut batch.unsynced);
        let told = |synced: &Result<(), IoError>, safe: ItemEvent| match synced {
            Ok(()) => safe,
            Err(error) => ItemEvent::Failed(ItemError::Output(error.clone())),
        };
        let names = names.into_iter().map(|item| (item, told(&synced, ItemEvent::NamesSynced)));
        let stages = stages.into_iter().map(|item| (item, told(&synced, ItemEvent::StagesSynced)));
        let todo: Vec<(StagedItem, ItemEvent)> = names.chain(stages).collect();
        batch.todo = todo.into_iter();
        self.batch_goes_on(slot, batch, None);
    }

    /// Carries items on, as far as nothing is in flight.
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
                    let ItemInHand { item, holding, .. } = in_hand;
                    batch.published.push(StagedItem { item, holding });
                }
                Ok(Pause::Settled) => {
                    self.watch_no_more(slot);
                    self.session.settle(&in_hand.work, in_hand.item, in_hand.holding);
                }
                Ok(Pause::ForStageSync) => {
                    let ItemInHand { item, holding, .. } = in_hand;
                    batch.overtaken.push(StagedItem { item, holding });
                }
                Ok(Pause::ForSearch(_) | Pause::ForPack(_)) => {
                    unreachable!("what is staged is searched and packed no more")
                }
                Err(message) => {
                    self.watch_no_more(slot);
                    let ItemInHand { work, item, holding } = in_hand;
                    self.session.settle_panicked(&work, item, holding, message);
                }
            }
        }
        self.leave(slot);
        let Batch { work, published, overtaken, .. } = *batch;
        if !(published.is_empty() && overtaken.is_empty()) {
            self.session.change(&work, |state| state.await_next_sync(published, overtaken));
        }
    }
}

impl<'a> Batch<'a> {
    fn new(work: Arc<Work<'a>>, unsynced: Unsynced) -> Self {
        let (todo, published) = (Vec::new().into_iter(), Vec::new());
        Self { work, unsynced, todo, current: None, published, overtaken: Vec::new() }
    }

    fn next_item(&mut self) -> Option<(ItemInHand<'a>, ItemEvent)> {
        let (StagedItem { item, holding }, event) = self.todo.next()?;
        Some((ItemInHand { work: Arc::clone(&self.work), item, holding }, event))
    }
}

fn sync_filesystem(work: &Work<'_>) -> Op {
    let filesystem = work.filesystem.as_ref().expect("a durable job opened it");
    let publication = work.world.publication().expect("a durable job writes");
    let path = publication.output.directory.clone();
    Op::SyncFilesystem { filesystem: Arc::clone(filesystem), path }
}

/// One directory is synced by itself; several at the cost of one, by their file system.
fn sync_names(work: &Work<'_>, names: &[StagedItem]) -> Op {
    let below = &names[0].item.planned().below;
    if names.iter().any(|published| published.item.planned().below != *below) {
        return sync_filesystem(work);
    }
    let publication = work.world.publication().expect("a durable job writes");
    Op::SyncDirectory { path: publication.output.directory.join(below) }
}
