//! Items on their way: each is carried on until it waits for something or settles.

use std::sync::Arc;

use perfecta_core::key::KeySet;
use perfecta_io::{Buffer, Outcome};

use super::{ItemInHand, Slot, Worker, token};
use crate::activity;
use crate::event::Event;
use crate::guard::guarded;
use crate::item::{Effect, ItemEvent};
use crate::job::Taken;
use crate::pack::PackedTable;
use crate::work::Work;

/// Where an item stopped.
pub(super) enum Pause {
    InFlight,
    ForSearch(KeySet),
    ForStageSync,
    ForNameSync,
    ForPack(Box<PackedTable>),
    Settled,
}

impl<'a> Worker<'_, 'a> {
    /// Begins an item, as soon as it has a buffer.
    pub(super) fn begin(&mut self, work: Arc<Work<'a>>, taken: Taken) {
        let Taken { item, holding } = taken;
        let planned = item.planned();
        let keys = planned.num_keys(&work.world.job);
        let started = Event::Started { keys_file: &planned.keys_file, keys };
        work.observer.lock().observe(&started);
        let file_bytes = planned.file_bytes;
        let slot = self.slots.open();
        let in_hand = ItemInHand { work, item, holding };
        match self.session.buffer_for(self.node, file_bytes, &self.waker) {
            Ok(buffer) => self.read(slot, in_hand, buffer),
            Err(ticket) => {
                self.watch(slot, &in_hand.work, &in_hand.item);
                self.slots.put(slot, Slot::Unbuffered(in_hand, ticket));
                self.unbuffered.push(slot);
            }
        }
    }

    fn read(&mut self, slot: usize, in_hand: ItemInHand<'a>, buffer: Buffer) {
        self.workspace.buffer = buffer;
        self.drive(slot, in_hand, ItemEvent::Started);
    }

    /// Begins to read for an item that got its buffer, or was cancelled meanwhile. Whether there
    /// was one.
    pub(super) fn collect_buffers(&mut self) -> bool {
        for place in 0..self.unbuffered.len() {
            let slot = self.unbuffered[place];
            let Slot::Unbuffered(in_hand, ticket) = self.slots.take(slot) else {
                unreachable!("it waits for a buffer")
            };
            if in_hand.work.cancel.is_cancelled() {
                self.unbuffered.swap_remove(place);
                self.drive(slot, in_hand, ItemEvent::Cancelled);
                return true;
            }
            match ticket.collect(self.session.now()) {
                Ok(buffer) => {
                    self.unbuffered.swap_remove(place);
                    self.read(slot, in_hand, buffer.into());
                    return true;
                }
                Err(ticket) => self.slots.put(slot, Slot::Unbuffered(in_hand, ticket)),
            }
        }
        false
    }

    /// Carries an item on until it settles or waits. A panic is its error.
    pub(super) fn drive(&mut self, slot: usize, mut in_hand: ItemInHand<'a>, event: ItemEvent) {
        match self.carry_on(slot, &mut in_hand, event) {
            Ok(Pause::InFlight) => {
                self.num_reading += usize::from(in_hand.item.is_reading_keys());
                self.slots.put(slot, Slot::Item(in_hand));
            }
            Ok(Pause::ForSearch(keys)) => {
                self.watch_as(slot, &in_hand.work, &in_hand.item, activity::AWAIT_SEARCH);
                self.slots.put(slot, Slot::Ready(in_hand, keys));
                self.ready.push_back(slot);
            }
            Ok(Pause::ForStageSync) => {
                self.leave(slot);
                let ItemInHand { work, item, holding } = in_hand;
                self.session.change(&work, |state| state.await_sync(item, holding));
            }
            Ok(Pause::ForPack(table)) => self.deliver(slot, in_hand, *table),
            Ok(Pause::Settled) => {
                self.leave(slot);
                self.session.settle(&in_hand.work, in_hand.item, in_hand.holding);
            }
            Ok(Pause::ForNameSync) => unreachable!("names are synced after stages"),
            Err(message) => self.settle_panicked(slot, in_hand, message),
        }
    }

    pub(super) fn settle_panicked(
        &mut self,
        slot: usize,
        in_hand: ItemInHand<'a>,
        message: String,
    ) {
        self.leave(slot);
        let ItemInHand { work, item, holding } = in_hand;
        self.session.settle_panicked(&work, item, holding, message);
    }

    /// Carries an item on until it stops. An error is the message of a panic.
    pub(super) fn carry_on(
        &mut self,
        slot: usize,
        in_hand: &mut ItemInHand<'a>,
        event: ItemEvent,
    ) -> Result<Pause, String> {
        let carried = guarded(|| self.carry_on_unguarded(slot, in_hand, event));
        let buffer = std::mem::take(&mut self.workspace.buffer);
        self.session.spare.give_buffer(self.node, buffer);
        carried
    }

    fn carry_on_unguarded(
        &mut self,
        slot: usize,
        in_hand: &mut ItemInHand<'a>,
        event: ItemEvent,
    ) -> Pause {
        let ItemInHand { work, item, holding } = in_hand;
        let mut effect = item.on(event, &work.world, &mut self.workspace);
        loop {
            let event = if work.cancel.is_cancelled() && item.may_be_abandoned() {
                ItemEvent::Cancelled
            } else {
                match effect {
                    Effect::Submit(op) => {
                        self.watch(slot, work, item);
                        self.engine.submit(token(slot), op);
                        match self.poll_for(slot) {
                            Some(outcome) => ItemEvent::Completed(outcome),
                            None => return Pause::InFlight,
                        }
                    }
                    Effect::Search(keys) => return Pause::ForSearch(keys),
                    Effect::Reserve(bytes) => {
                        match self.session.reserve_output(work, holding, bytes) {
                            Ok(()) => ItemEvent::Allowed,
                            Err(error) => ItemEvent::Failed(error),
                        }
                    }
                    Effect::Deliver(table) => return Pause::ForPack(table),
                    Effect::AwaitStageSync => return Pause::ForStageSync,
                    Effect::AwaitNameSync => return Pause::ForNameSync,
                    Effect::Settle => return Pause::Settled,
                }
            };
            effect = item.on(event, &work.world, &mut self.workspace);
        }
    }

    /// The completion of a slot's operation, if it was done at once: most are.
    fn poll_for(&mut self, slot: usize) -> Option<Outcome> {
        let completion = self.engine.poll()?;
        if completion.token == token(slot) {
            return Some(completion.outcome);
        }
        self.arrived.push_back(completion);
        None
    }

    fn deliver(&mut self, slot: usize, mut in_hand: ItemInHand<'a>, table: PackedTable) {
        let ItemInHand { work, item, holding } = &mut in_hand;
        let reserved = self.session.reserve_output(work, holding, table.output_bytes());
        if let Err(error) = reserved {
            let _ = item.on(ItemEvent::Failed(error), &work.world, &mut self.workspace);
            self.leave(slot);
            return self.session.settle(&in_hand.work, in_hand.item, in_hand.holding);
        }
        self.leave(slot);
        let ItemInHand { work, item, holding } = in_hand;
        self.session.change(&work, |state| state.deliver(item, holding, table));
        self.session.tick(&work);
    }
}
