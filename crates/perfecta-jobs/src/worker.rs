//! A worker: takes items, carries out what they ask for, helps others when there is nothing to take.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use perfecta_core::graph::{Attempter, Scratch};
use perfecta_core::key::KeySet;
use perfecta_core::search::{Limit, Plan, Search, Step, Verdict, build_table, try_range};
use perfecta_io::{Engine, Held, IoError, Op, Outcome, Token};

use crate::error::ItemError;
use crate::event::{Event, ItemReport, Observer, SearchReport};
use crate::hard::{Patience, SharedSearch};
use crate::item::{Effect, Item, ItemEvent, SearchEnd, Searched, Workspace, World};
use crate::job::{Assignment, JobState, StagedItem, Taken, Ticket};
use crate::pack::{Chunk, PackedTable};
use crate::render::Packer;
use crate::runtime::Runtime;
use crate::schedule::Planned;
use crate::stage::{bytes_of, call};

/// What the workers of one job share.
///
/// Locks are taken in the order observer, state, search; never the other way round.
pub(crate) struct Shared<'a, 'o> {
    pub(crate) world: World<'a>,
    pub(crate) runtime: &'a Runtime<'a>,
    /// The job's plan, with the job's memory as limit.
    pub(crate) plan: Plan,
    pub(crate) state: Mutex<JobState<'a>>,
    /// The state changed in a way that may give a waiting worker something to do.
    pub(crate) changed: Condvar,
    pub(crate) observer: Mutex<&'o mut dyn Observer>,
    pub(crate) begun: Duration,
    /// Milliseconds since the beginning before which nothing more is told of hard searches.
    pub(crate) next_tick_ms: AtomicU64,
    /// The staged pack, if there is one.
    pub(crate) pack: Option<(PathBuf, &'a dyn Packer)>,
    /// For common syncs, if there are any.
    pub(crate) filesystem: Option<Arc<Held>>,
}

/// Between two events of hard searches.
const TICK_MS: u64 = 100;

/// Sets from this size on ask for help at once: their first range takes longer than waking a thread.
const HELP_KEYS_MIN: usize = 16_384;

/// Where an item stopped.
enum Pause {
    Settled,
    ForStageSync,
    ForNameSync,
    ForPack(Box<PackedTable>),
}

/// One worker, with an engine and memory of its own.
struct Worker<'s, 'a, 'o> {
    shared: &'s Shared<'a, 'o>,
    engine: Box<dyn Engine>,
    scratch: Scratch,
    workspace: Workspace,
}

/// Works until every item of the job is settled.
pub(crate) fn work(shared: &Shared<'_, '_>) {
    let mut worker = Worker {
        shared,
        engine: shared.runtime.engines.engine(),
        scratch: Scratch::default(),
        workspace: Workspace::default(),
    };
    loop {
        match shared.next_assignment() {
            Assignment::Begin(taken) => worker.begin(taken),
            Assignment::Refuse(report) => shared.tell_settled(&report),
            Assignment::Publish(batch) => worker.publish(batch),
            Assignment::Append(chunk) => {
                let outcome = worker.append(chunk);
                shared.state.lock().appended(outcome);
                shared.changed.notify_all();
            }
            Assignment::Help(search, range, memory) => {
                search.help(&mut worker.scratch, &range);
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

impl<'a> Shared<'a, '_> {
    fn next_assignment(&self) -> Assignment<'a> {
        let mut state = self.state.lock();
        loop {
            match state.assign(self.runtime.cancel.is_cancelled()) {
                Assignment::Wait => self.changed.wait(&mut state),
                assignment => return assignment,
            }
        }
    }

    fn wall(&self) -> Duration {
        self.runtime.clock.now() - self.begun
    }

    pub(crate) fn settle(
        &self,
        ticket: Ticket,
        position: u32,
        planned: &Planned,
        report: &ItemReport,
    ) {
        let mut observer = self.observer.lock();
        let (progress, filled) = {
            let mut state = self.state.lock();
            let was_full = state.is_disk_full();
            state.settle(ticket, position, planned, report);
            (state.progress(self.wall()), state.is_disk_full() && !was_full)
        };
        self.changed.notify_all();
        observer.observe(&Event::Settled { report, progress: &progress });
        if filled {
            observer.observe(&Event::Notice("the disk is full: no further table is begun"));
        }
    }

    /// Tells of an item that was settled without having run.
    pub(crate) fn tell_settled(&self, report: &ItemReport) {
        let mut observer = self.observer.lock();
        let progress = self.state.lock().progress(self.wall());
        self.changed.notify_all();
        observer.observe(&Event::Settled { report, progress: &progress });
    }

    /// Tells of hard searches, if nobody did lately.
    fn tick(&self) {
        let now = self.wall().as_millis() as u64;
        let due = self.next_tick_ms.load(Ordering::Relaxed);
        let next = now + TICK_MS;
        let is_ours = now >= due
            && self
                .next_tick_ms
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_ours {
            let mut observer = self.observer.lock();
            let progress = self.state.lock().progress(self.wall());
            observer.observe(&Event::Searching(&progress));
        }
    }

    /// Wakes workers that might help. The lock is taken so that nobody misses it between looking
    /// and waiting.
    fn wake_helpers(&self) {
        drop(self.state.lock());
        self.changed.notify_all();
    }
}

impl<'a> Worker<'_, 'a, '_> {
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
                let _ = item.on(ItemEvent::Failed(error), &self.shared.world, &mut self.workspace);
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
        let mut effect = item.on(event, world, &mut self.workspace);
        loop {
            let is_cancelled = self.shared.runtime.cancel.is_cancelled();
            let event = if is_cancelled && item.may_be_abandoned() {
                ItemEvent::Cancelled
            } else {
                match effect {
                    Effect::Submit(op) => ItemEvent::Completed(self.complete(item.position(), op)),
                    Effect::Search(keys) => {
                        ItemEvent::Searched(Box::new(self.search(keys, item.planned())))
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
            effect = item.on(event, world, &mut self.workspace);
        }
    }

    fn complete(&mut self, position: u32, op: Op) -> Outcome {
        let token = Token(u64::from(position));
        self.engine.submit(token, op);
        let completion = self.engine.next_completion().expect("an operation is in flight");
        assert_eq!(completion.token, token, "a worker has one operation in flight");
        completion.outcome
    }

    fn search(&mut self, keys: KeySet, planned: &Planned) -> Searched {
        let shared = self.shared;
        let begun = shared.runtime.clock.now();
        let keys = Arc::new(keys);
        let search = match Search::new(&keys, &shared.plan) {
            Ok(search) => search,
            Err(error) => {
                let outcome = Err(SearchEnd::Failed(ItemError::Plan(error)));
                return Searched { keys, report: None, outcome };
            }
        };
        let limit = shared.world.job.limits.item_time_max;
        let patience = Patience {
            cancel: shared.runtime.cancel.clone(),
            clock: shared.runtime.clock,
            until: limit.map(|limit| begun + limit),
        };
        let mut attempter = Attempter::new(keys.hashed(), &mut self.scratch);
        let (verdict, is_broken) =
            find_verdict(shared, &keys, planned, search, &patience, &mut attempter);
        let outcome = match verdict.outcome {
            Ok(win) => Ok((build_table(&keys, &win, &mut attempter), verdict)),
            Err(Limit::Stopped) if patience.cancel.is_cancelled() => Err(SearchEnd::Cancelled),
            Err(reason) => {
                let attempts = verdict.tally.attempts();
                Err(SearchEnd::Failed(match (reason, limit) {
                    (Limit::Stopped, _) if is_broken => {
                        ItemError::Panicked("a helper of the search panicked".to_owned())
                    }
                    (Limit::Stopped, Some(limit)) => ItemError::TimedOut { limit, attempts },
                    (limit, _) => ItemError::Unsolved { limit, attempts },
                }))
            }
        };
        let report = Some(search_report(&verdict, shared.runtime.clock.now() - begun));
        Searched { keys, report, outcome }
    }

    /// Appends a chunk to the pack, reads it back, and checks every table in it.
    fn append(&mut self, chunk: Chunk) -> Result<Chunk, ItemError> {
        let Chunk { offset, bytes, tables } = chunk;
        let (path, packer) = self.shared.pack.as_ref().expect("only a pack has chunks");
        let op = Op::Append { path: path.clone(), offset, bytes };
        let bytes = bytes_of(call(self.engine.as_mut(), op).map_err(ItemError::Output)?);
        let buffer = std::mem::take(&mut self.workspace.buffer);
        let op = Op::ReadRange { path: path.clone(), offset, bytes: bytes.len(), buffer };
        let read = bytes_of(call(self.engine.as_mut(), op).map_err(ItemError::Output)?);
        if read != bytes {
            let reason = "what was read back is not what was written".to_owned();
            return Err(ItemError::Damaged { file: path.display().to_string(), reason });
        }
        for (entry, keys) in &tables {
            let from = (entry.offset - offset) as usize;
            packer.check(&read[from..from + entry.bytes as usize], Some(keys))?;
        }
        self.workspace.buffer = read;
        Ok(Chunk { offset, bytes, tables })
    }

    /// Syncs what a batch staged, publishes it, and syncs the names.
    fn publish(&mut self, batch: Vec<StagedItem<'a>>) {
        let synced = self.sync_filesystem();
        let mut published = Vec::with_capacity(batch.len());
        for StagedItem { mut item, ticket } in batch {
            let event = match &synced {
                Ok(()) => ItemEvent::StagesSynced,
                Err(error) => ItemEvent::Failed(ItemError::Output(error.clone())),
            };
            match self.drive(&mut item, event) {
                Ok(Pause::Settled) => self.settle(item, ticket),
                Ok(Pause::ForNameSync) => published.push((item, ticket)),
                Ok(Pause::ForStageSync | Pause::ForPack(_)) => {
                    unreachable!("stages are synced once")
                }
                Err(message) => self.settle_panicked(item, ticket, message),
            }
        }
        if published.is_empty() {
            return;
        }
        let synced = self.sync_names(&published);
        for (mut item, ticket) in published {
            let event = match &synced {
                Ok(()) => ItemEvent::NamesSynced,
                Err(error) => ItemEvent::Failed(ItemError::Output(error.clone())),
            };
            match self.drive(&mut item, event) {
                Ok(Pause::Settled) => self.settle(item, ticket),
                Ok(Pause::ForStageSync | Pause::ForNameSync | Pause::ForPack(_)) => {
                    unreachable!("names are synced once")
                }
                Err(message) => self.settle_panicked(item, ticket, message),
            }
        }
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
    fn sync_names(&mut self, published: &[(Item<'a>, Ticket)]) -> Result<(), IoError> {
        let below = &published[0].0.planned().below;
        if published.iter().any(|(item, _)| item.planned().below != *below) {
            return self.sync_filesystem();
        }
        let publication = self.shared.world.publication().expect("a durable job writes");
        let path = publication.output.directory.join(below);
        call(self.engine.as_mut(), Op::SyncDirectory { path }).map(drop)
    }
}

/// Tries the first range alone; what is not over then, or too large for that, takes help.
fn find_verdict<'a>(
    shared: &Shared<'a, '_>,
    keys: &Arc<KeySet>,
    planned: &Planned,
    mut search: Search,
    patience: &Patience<'a>,
    attempter: &mut Attempter<'_>,
) -> (Verdict, bool) {
    let num_keys = keys.len();
    let is_alone = shared.world.job.limits.threads.get() == 1;
    if is_alone || num_keys < HELP_KEYS_MIN {
        match search.next_range() {
            Step::Try(range) => {
                let keep_going = |attempt| !patience.is_over(attempt, num_keys);
                search.complete(try_range(attempter, &range, &keep_going));
            }
            Step::Wait | Step::Settled => unreachable!("a search begins with a range"),
        }
        // A settled search needs no attempt any more.
        if !search.needs(0) {
            return (search.verdict(), false);
        }
    }
    let geometry = match shared.plan.first_stage(keys) {
        Ok(stage) => stage.geometry,
        Err(_) => unreachable!("the search began with a first stage"),
    };
    let hard = Arc::new(SharedSearch::new(
        Arc::clone(keys),
        planned.keys_file.clone(),
        search,
        patience.clone(),
        shared.plan.fixed_attempts.is_some(),
        Attempter::memory_bytes(num_keys, geometry),
    ));
    let on_board = OnBoard::new(shared, &hard);
    let verdict = hard.lead(attempter, &|| {
        shared.wake_helpers();
        shared.tick();
    });
    drop(on_board);
    (verdict, hard.is_broken())
}

/// Keeps a search on the board; also a panic takes it off.
struct OnBoard<'s, 'a, 'o> {
    shared: &'s Shared<'a, 'o>,
    search: &'s Arc<SharedSearch<'a>>,
}

impl<'s, 'a, 'o> OnBoard<'s, 'a, 'o> {
    fn new(shared: &'s Shared<'a, 'o>, search: &'s Arc<SharedSearch<'a>>) -> Self {
        shared.state.lock().ask_for_help(Arc::clone(search));
        shared.changed.notify_all();
        Self { shared, search }
    }
}

impl Drop for OnBoard<'_, '_, '_> {
    fn drop(&mut self) {
        self.shared.state.lock().need_no_help(self.search);
    }
}

fn search_report(verdict: &Verdict, time: Duration) -> SearchReport {
    SearchReport {
        edge_capacity: verdict.stage.geometry.edge_capacity(),
        vertices: verdict.stage.geometry.vertices(),
        hash: verdict.stage.family,
        seeds: verdict.win().map(|win| win.seeds).unwrap_or_default(),
        attempts: verdict.tally.attempts(),
        winning_attempt: verdict.win().map(|win| win.attempt),
        vertex_collisions: verdict.tally.vertex_collisions,
        cyclic: verdict.tally.cyclic,
        grows: verdict.stage.grows,
        seconds: time.as_secs_f64(),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}
