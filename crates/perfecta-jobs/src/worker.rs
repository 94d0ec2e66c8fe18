//! A worker: takes items, carries out what they ask for, helps others when there is nothing to take.

mod solve;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use perfecta_io::{Engine, IoError, Op, Outcome, Token};

use self::solve::solve;
use crate::call::call;
use crate::error::ItemError;
use crate::event::Event;
use crate::item::{Effect, Item, ItemEvent};
use crate::job::{Assignment, StagedItem, Taken, Ticket};
use crate::pack::{Chunk, PackedTable};
use crate::render::check_image;
use crate::shared::{ItemMemory, Shared};

/// Where an item stopped.
enum Pause {
    Settled,
    ForStageSync,
    ForNameSync,
    ForPack(Box<PackedTable>),
}

/// One worker, with an engine of its own, and memory while it has work.
struct Worker<'s, 'a, 'o> {
    shared: &'s Shared<'a, 'o>,
    engine: Box<dyn Engine>,
    memory: ItemMemory,
}

/// Works until every item of the job is settled.
pub(crate) fn work(shared: &Shared<'_, '_>) {
    let mut worker =
        Worker { shared, engine: shared.runtime.engines.engine(), memory: ItemMemory::default() };
    loop {
        match shared.next_assignment() {
            Assignment::Begin(taken) => worker.with_memory(|worker| worker.begin(taken)),
            Assignment::Refuse(report) => shared.tell_settled(&report),
            Assignment::Publish(batch) => worker.publish(batch),
            Assignment::Append(chunk) => {
                let outcome = worker.with_memory(|worker| worker.append(chunk));
                shared.state.lock().appended(outcome);
                shared.changed.notify_all();
            }
            Assignment::Help(search, range, memory) => {
                worker.with_memory(|worker| search.help(&mut worker.memory.scratch, &range));
                shared.state.lock().helped(memory);
                shared.changed.notify_all();
                shared.tick();
            }
            Assignment::Leave => break,
            Assignment::Wait => unreachable!("waiting is not handed out"),
        }
    }
    assert_eq!(worker.engine.num_in_flight(), 0, "operations in flight at the end of a job");
}

impl<'a> Worker<'_, 'a, '_> {
    /// Works with memory that an earlier item left, if there is any.
    fn with_memory<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        self.memory = self.shared.idle.lock().pop().unwrap_or_default();
        let result = work(self);
        self.shared.idle.lock().push(std::mem::take(&mut self.memory));
        result
    }

    fn begin(&mut self, taken: Taken<'a>) {
        let (mut item, ticket) = taken.split();
        let planned = item.planned();
        let started = Event::Started {
            keys_file: &planned.keys_file,
            keys: planned.num_keys(self.shared.world.job),
        };
        self.shared.observer.lock().observe(&started);
        match self.drive(&mut item, ItemEvent::Started) {
            Ok(Pause::Settled) => self.settle(item, ticket),
            Ok(Pause::ForStageSync) => {
                self.shared.state.lock().await_sync(item, ticket);
                self.shared.changed.notify_all();
            }
            Ok(Pause::ForPack(table)) => self.deliver(item, ticket, *table),
            Ok(Pause::ForNameSync) => unreachable!("names are synced after stages"),
            Err(message) => self.settle_panicked(item, ticket, message),
        }
    }

    fn deliver(&mut self, mut item: Item<'a>, ticket: Ticket, table: PackedTable) {
        let mut state = self.shared.state.lock();
        match state.reserve_output(table.entry.len() as u64) {
            Ok(()) => {
                state.deliver(item, ticket, table);
                drop(state);
                self.shared.changed.notify_all();
                self.shared.tick();
            }
            Err(error) => {
                drop(state);
                let _ = item.on(
                    ItemEvent::Failed(error),
                    &self.shared.world,
                    &mut self.memory.workspace,
                );
                self.settle(item, ticket);
            }
        }
    }

    fn settle(&mut self, item: Item<'a>, ticket: Ticket) {
        let (position, planned) = (item.position(), item.planned());
        self.shared.settle(ticket, position, planned, &item.into_report());
    }

    fn settle_panicked(&mut self, item: Item<'a>, ticket: Ticket, message: String) {
        let (position, planned) = (item.position(), item.planned());
        self.shared.settle(ticket, position, planned, &item.into_panicked_report(message));
    }

    /// Carries an item on until it settles or waits for others. A panic is its error.
    fn drive(&mut self, item: &mut Item<'a>, event: ItemEvent) -> Result<Pause, String> {
        catch_unwind(AssertUnwindSafe(|| self.carry_on(item, event)))
            .map_err(|panic| panic_message(panic.as_ref()))
    }

    fn carry_on(&mut self, item: &mut Item<'a>, event: ItemEvent) -> Pause {
        let world = &self.shared.world;
        let mut effect = item.on(event, world, &mut self.memory.workspace);
        loop {
            let is_cancelled = self.shared.runtime.cancel.is_cancelled();
            let event = if is_cancelled && item.may_be_abandoned() {
                ItemEvent::Cancelled
            } else {
                match effect {
                    Effect::Submit(op) => ItemEvent::Completed(self.complete(item.position(), op)),
                    Effect::Search(keys) => {
                        let searched =
                            solve(self.shared, &mut self.memory.scratch, keys, item.planned());
                        ItemEvent::Searched(Box::new(searched))
                    }
                    Effect::Reserve(bytes) => {
                        match self.shared.state.lock().reserve_output(bytes) {
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
            effect = item.on(event, world, &mut self.memory.workspace);
        }
    }

    fn complete(&mut self, position: u32, op: Op) -> Outcome {
        let token = Token(u64::from(position));
        self.engine.submit(token, op);
        loop {
            if let Some(completion) = self.engine.poll() {
                assert_eq!(completion.token, token, "a worker has one operation in flight");
                return completion.outcome;
            }
            self.engine.wait(None);
        }
    }

    /// Appends a chunk to the pack, reads it back, and checks every table in it.
    fn append(&mut self, chunk: Chunk) -> Result<Chunk, ItemError> {
        let Chunk { offset, bytes, tables } = chunk;
        let path = self.shared.pack.as_ref().expect("only a pack has chunks");
        let op = Op::Append { path: path.clone(), offset, bytes };
        let bytes = call(self.engine.as_mut(), op).map_err(ItemError::Output)?.into_written();
        let buffer = std::mem::take(&mut self.memory.workspace.buffer);
        let op = Op::ReadRange { path: path.clone(), offset, bytes: bytes.len(), buffer };
        let read = call(self.engine.as_mut(), op).map_err(ItemError::Output)?.into_bytes();
        if *read != *bytes {
            let reason = "what was read back is not what was written".to_owned();
            return Err(ItemError::Damaged { file: path.display().to_string(), reason });
        }
        for (entry, keys) in &tables {
            let from = (entry.offset - offset) as usize;
            check_image(&entry.name, &read[from..from + entry.bytes as usize], Some(keys))?;
        }
        self.memory.workspace.buffer = read;
        Ok(Chunk { offset, bytes, tables })
    }

    /// Syncs what a batch staged, publishes it, and syncs the names.
    fn publish(&mut self, batch: Vec<StagedItem<'a>>) {
        let synced = self.sync_filesystem();
        let published = self.resume(batch, &synced, || ItemEvent::StagesSynced);
        if published.is_empty() {
            return;
        }
        let synced = self.sync_names(&published);
        let waiting = self.resume(published, &synced, || ItemEvent::NamesSynced);
        assert!(waiting.is_empty(), "names are synced once");
    }

    /// Carries a batch on after a sync. Gives the items that wait for their names to be synced.
    fn resume(
        &mut self,
        batch: Vec<StagedItem<'a>>,
        synced: &Result<(), IoError>,
        event: impl Fn() -> ItemEvent,
    ) -> Vec<StagedItem<'a>> {
        let mut waiting = Vec::new();
        for StagedItem { mut item, ticket } in batch {
            let event = match synced {
                Ok(()) => event(),
                Err(error) => ItemEvent::Failed(ItemError::Output(error.clone())),
            };
            match self.drive(&mut item, event) {
                Ok(Pause::Settled) => self.settle(item, ticket),
                Ok(Pause::ForNameSync) => waiting.push(StagedItem { item, ticket }),
                Ok(Pause::ForStageSync | Pause::ForPack(_)) => {
                    unreachable!("stages are synced once")
                }
                Err(message) => self.settle_panicked(item, ticket, message),
            }
        }
        waiting
    }

    fn sync_filesystem(&mut self) -> Result<(), IoError> {
        let shared = self.shared;
        let filesystem = shared.filesystem.as_ref().expect("a durable job opened it");
        let output = shared.world.job.output.as_ref().expect("a durable job writes");
        let path = output.directory.clone();
        let op = Op::SyncFilesystem { filesystem: Arc::clone(filesystem), path };
        call(self.engine.as_mut(), op).map(drop)
    }

    /// One directory is synced by itself; several at the cost of one, by their file system.
    fn sync_names(&mut self, published: &[StagedItem<'a>]) -> Result<(), IoError> {
        let below = &published[0].item.planned().below;
        if published.iter().any(|staged| staged.item.planned().below != *below) {
            return self.sync_filesystem();
        }
        let publication = self.shared.world.publication().expect("a durable job writes");
        let path = publication.output.directory.join(below);
        call(self.engine.as_mut(), Op::SyncDirectory { path }).map(drop)
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}
