//! A job: which of its items may begin, and when it is over. All of it under one lock.
//!
//! ```text
//!  [Comparing] -- all the same --> Unchanged (every item is told of) --.
//!      | a part differs                                                v
//!      `-> Admitting -- every item settled -------------------------> Over
//!              |  cancelled, the disk full, or the pack lost           ^
//!              `-> Draining (what waits is refused, what runs ends) ---'
//! ```

mod accounts;
mod syncs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use perfecta_io::IoError;

use self::accounts::Accounts;
use self::syncs::Syncs;
pub(crate) use self::syncs::Unsynced;
use crate::board::{Board, Help};
use crate::compare::{Compared, Comparison, Part};
use crate::config::{Doubt, Job};
use crate::error::ItemError;
use crate::event::{Hardest, ItemReport, Progress, Summary};
use crate::item::{InPack, Item};
use crate::ledger::{Ledger, Running, Status};
use crate::memory::{MemoryBudget, Reservation};
use crate::pack::{Chunk, PackWindow, PackedTable};
use crate::planned::Planned;
use crate::queue::ItemQueue;
use crate::work::Work;

/// The state of one job.
pub(crate) struct JobState<'a> {
    pub(crate) work: Arc<Work<'a>>,
    phase: Phase,
    ledger: Ledger,
    queue: ItemQueue,
    memory: MemoryBudget,
    syncs: Syncs,
    /// The pack, if all tables go into one file.
    pack: Option<PackWindow>,
    /// Items whose tables are in the pack: they settle when it is published.
    packed: Vec<PackedItem>,
    /// Parts of the pack that is there, or of what it was made of, that workers compare.
    parts_out: usize,
    /// What key files of it may be besides, by their positions.
    doubts: BTreeMap<u32, Doubt>,
    /// Searches that take help.
    pub(crate) board: Board<'a>,
    /// Refused items of which nobody was told yet.
    untold: u32,
    accounts: Accounts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Comparing(Comparison),
    Admitting,
    /// All of it is published already.
    Unchanged,
    Draining(Drain),
}

/// Why a job takes no further item.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Drain {
    Cancelled,
    DiskFull(u32),
    /// What was written may be lost: the pack, or all that was not synced before a sync failed.
    Lost(ItemError),
}

/// An item that a worker has. It goes back through [`JobState::settle`].
#[must_use = "an item that begins must be settled"]
pub(crate) struct Taken {
    pub(crate) item: Item,
    pub(crate) holding: Holding,
}

/// What an item holds of the job while it runs.
#[must_use = "an item that begins must be settled"]
pub(crate) struct Holding {
    running: Running,
    memory: Option<Reservation>,
    /// Bytes that it may write, of those of the job.
    output_bytes: u64,
    is_in_publication: bool,
    /// Its keys count as done since it was packed.
    is_packed: bool,
}

/// An item that waits for its pack.
struct PackedItem {
    item: InPack,
    running: Running,
    output_bytes: u64,
}

/// An item that waits for a common sync, or whose pack is there: it holds none of the job's memory, only what is
/// to be said of it.
pub(crate) struct StagedItem {
    pub(crate) item: Item,
    pub(crate) holding: Holding,
}

/// What may begin.
pub(crate) struct Candidate {
    start: Start,
    pub(crate) keys: u64,
    pub(crate) memory_bytes: u64,
}

enum Start {
    Item(u32),
    Part(Part),
}

/// What has begun.
#[expect(clippy::large_enum_variant, reason = "taken apart at once, never kept")]
pub(crate) enum Begun {
    Item(Taken),
    /// It comes back through [`JobState::compared`].
    Part(Part),
}

/// What is due in a job, before anything of it begins.
pub(crate) enum Due {
    /// Tell that this item will not run, or need not; [`JobState::told`] comes next.
    Refuse(ItemReport),
    /// Sync these, and publish what is staged.
    Sync(Unsynced),
    /// Append this to the pack, and check it.
    Append(Chunk),
}

/// The items of a pack.
#[must_use = "items in a pack settle with it"]
pub(crate) struct PackedItems(Vec<PackedItem>);

impl PackedItems {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them, as it was planned, when what came of the pack is known.
    pub(crate) fn settling(self, planned: &[Arc<Planned>]) -> impl Iterator<Item = StagedItem> {
        self.0.into_iter().map(|PackedItem { item, running, output_bytes }| {
            let planned = Arc::clone(&planned[item.position() as usize]);
            let (memory, is_in_publication, is_packed) = (None, false, true);
            let holding = Holding { running, memory, output_bytes, is_in_publication, is_packed };
            StagedItem { item: item.into_item(planned), holding }
        })
    }
}

impl Holding {
    /// Bytes of memory that it holds.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory.as_ref().map_or(0, Reservation::bytes)
    }
}

impl<'a> JobState<'a> {
    pub(crate) fn new(work: Arc<Work<'a>>, pack: Option<PackWindow>, staffed: Vec<usize>) -> Self {
        let num_items = u32::try_from(work.items.len());
        let num_items = num_items.expect("the entries' limit keeps items countable");
        let mut ledger = Ledger::default();
        ledger.admit(num_items);
        let job = &work.world.job;
        let comparison = work.earlier_pack.as_ref().map(|earlier| {
            Phase::Comparing(Comparison::new(earlier.tables.len(), work.filesystem.is_some()))
        });
        Self {
            phase: comparison.unwrap_or(Phase::Admitting),
            ledger,
            queue: ItemQueue::new(job.nodes, num_items, staffed),
            memory: MemoryBudget::of_job(job, &work.items),
            syncs: Syncs::default(),
            accounts: Accounts::new(
                work.items.iter().map(|item| item.num_keys_counted(job)).sum(),
                pack.as_ref().map_or(0, |_| PackWindow::frame_bytes_max()),
            ),
            pack,
            packed: Vec::new(),
            parts_out: 0,
            doubts: BTreeMap::new(),
            board: Board::new(job.ramp),
            untold: 0,
            work,
        }
    }

    fn job(&self) -> &Job {
        &self.work.world.job
    }

    /// What is to be done before another item begins.
    pub(crate) fn due(&mut self) -> Option<Due> {
        if self.is_open() && self.work.cancel.is_cancelled() {
            self.phase = Phase::Draining(Drain::Cancelled);
        }
        if self.syncs.is_due() {
            return Some(Due::Sync(self.syncs.take()));
        }
        if let Some(chunk) = self.pack.as_mut().and_then(PackWindow::take_chunk) {
            return Some(Due::Append(chunk));
        }
        let refused =
            |position| Some((position, self.refusal(&self.work.items[position as usize])?));
        let (position, (status, error)) =
            self.queue.heads().filter_map(refused).min_by_key(|(position, _)| *position)?;
        self.untold += 1;
        Some(Due::Refuse(self.refuse(position, status, error)))
    }

    /// Whether [`Self::due`] has something.
    pub(crate) fn is_due(&self) -> bool {
        let mut next = self.queue.heads().map(|position| &self.work.items[position as usize]);
        self.syncs.is_due()
            || self.pack.as_ref().is_some_and(PackWindow::has_chunk)
            || next.any(|planned| self.refusal(planned).is_some())
    }

    /// Whether something may begin, as far as what came before says.
    const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Comparing(_) | Phase::Admitting)
    }

    /// What a worker of `node` would begin, if it may begin now.
    pub(crate) fn candidate(&self, node: usize) -> Option<Candidate> {
        // Who reads ahead does not look at what is due first.
        if self.work.cancel.is_cancelled() {
            return None;
        }
        match &self.phase {
            Phase::Comparing(comparison) => self.next_part(comparison),
            Phase::Admitting => self.next_item(node),
            Phase::Unchanged | Phase::Draining(_) => None,
        }
    }

    fn next_part(&self, comparison: &Comparison) -> Option<Candidate> {
        let part = comparison.next()?;
        let keys = match &part {
            Part::Tables(tables) => {
                let items = &self.work.items[tables.clone()];
                items.iter().map(|item| item.num_keys_counted(self.job())).sum()
            }
            Part::Pack | Part::Sync => 0,
        };
        Some(Candidate { start: Start::Part(part), keys, memory_bytes: 0 })
    }

    fn next_item(&self, node: usize) -> Option<Candidate> {
        if self.files_in_flight() >= self.job().share.files_in_flight_max.get() {
            return None;
        }
        let position = self.queue.next_for(node).find(|&position| {
            self.work.items[position as usize].refusal.is_none()
                && self.pack.as_ref().is_none_or(|pack| pack.admits(position))
        })?;
        let planned = &self.work.items[position as usize];
        let (keys, memory_bytes) = (planned.num_keys(self.job()), planned.memory_bytes(self.job()));
        let start = Start::Item(position);
        self.memory.has(memory_bytes).then_some(Candidate { start, keys, memory_bytes })
    }

    /// A candidate begins.
    pub(crate) fn begin(&mut self, candidate: Candidate, now: Duration) -> Begun {
        match (candidate.start, &mut self.phase) {
            (Start::Item(position), _) => {
                Begun::Item(self.begin_item(position, candidate.memory_bytes, now))
            }
            (Start::Part(part), Phase::Comparing(comparison)) => {
                comparison.take(&part);
                self.parts_out += 1;
                Begun::Part(part)
            }
            (Start::Part(_), Phase::Admitting | Phase::Unchanged | Phase::Draining(_)) => {
                unreachable!("a candidate begins at once")
            }
        }
    }

    fn begin_item(&mut self, position: u32, memory_bytes: u64, now: Duration) -> Taken {
        let memory = self.memory.reserve(memory_bytes, now).expect("a candidate has its memory");
        self.queue.take(position);
        let item = Item::new(Arc::clone(&self.work.items[position as usize]), position);
        let holding = Holding {
            running: self.ledger.start(),
            memory: Some(memory),
            output_bytes: 0,
            is_in_publication: false,
            is_packed: false,
        };
        Taken { item, holding }
    }

    /// A part was compared.
    pub(crate) fn compared(&mut self, outcome: Result<Compared, ItemError>) {
        self.parts_out -= 1;
        let Phase::Comparing(comparison) = &mut self.phase else { return };
        match outcome {
            Ok(Compared::Same(doubts)) => {
                self.doubts.extend(doubts);
                if comparison.take_back() {
                    self.phase = Phase::Unchanged;
                }
            }
            Ok(Compared::Different) => self.phase = Phase::Admitting,
            Err(error) => self.phase = Phase::Draining(Drain::Lost(error)),
        }
    }

    /// An item takes so many bytes of memory in all by now.
    pub(crate) fn extend_memory(&mut self, holding: &mut Holding, bytes: u64) {
        let memory = holding.memory.as_mut().expect("what is searched for holds memory");
        self.memory.extend(memory, bytes);
    }

    /// A range of a search that takes help, with the memory that it takes, `bytes_max` at most.
    pub(crate) fn take_help(&mut self, now: Duration, bytes_max: u64) -> Option<Help<'a>> {
        self.board.take(now, &mut self.memory, bytes_max)
    }

    /// Whether [`Self::take_help`] would have something.
    pub(crate) fn offers_help(&self, now: Duration, bytes_max: u64) -> bool {
        self.board.offers(now, &self.memory, bytes_max)
    }

    /// A helper is done.
    pub(crate) fn helped(&mut self, help: Help<'a>) {
        let memory = self.board.give_back(help);
        self.memory.release(memory);
    }

    /// Bytes of memory that its items and helpers hold.
    pub(crate) const fn memory_reserved(&self) -> u64 {
        self.memory.reserved()
    }

    /// The same, when it was reserved by `then`.
    pub(crate) fn memory_reserved_by(&self, then: Duration) -> u64 {
        self.memory.reserved_by(then)
    }

    /// When the first of it was reserved that was not by `then`, if that is a time.
    pub(crate) fn memory_first_after(&self, then: Option<Duration>) -> Option<Duration> {
        self.memory.first_after(then)
    }

    /// Items that are begun, and neither settled nor waiting for others.
    pub(crate) fn files_in_flight(&self) -> usize {
        let parked = self.syncs.num_parked() + self.packed.len();
        self.ledger.running() as usize - parked
    }

    /// Somebody was told of a refused item.
    pub(crate) fn told(&mut self) {
        assert!(self.untold > 0, "nothing was to be told");
        self.untold -= 1;
    }

    /// Whether nothing is left for workers: all is settled and told, or waits for the pack's
    /// publication.
    pub(crate) fn is_through(&self) -> bool {
        let unpublished = self.packed.len() as u32;
        let is_compared = self.parts_out == 0 && !matches!(self.phase, Phase::Comparing(_));
        is_compared
            && self.ledger.queued() == 0
            && self.untold == 0
            && self.ledger.running() == unpublished
            && self.board.is_quiet()
            && self.pack.as_ref().is_none_or(PackWindow::is_through)
    }

    /// Whether something waits for a sync and no item comes to join it, unless one begins: all that
    /// are in flight are searched for, who knows how long.
    pub(crate) fn awaits_sync(&self) -> bool {
        let is_joined = self.files_in_flight() > self.board.num_searches();
        self.syncs.is_awaited() && !is_joined
    }

    /// What waits for a sync, for somebody who makes it: [`Self::synced`] comes next.
    pub(crate) fn take_unsynced(&mut self) -> Unsynced {
        self.syncs.take()
    }

    /// What a sync came to. Whatever was written and not synced before it failed may be lost, and no
    /// later sync would say so: nothing more begins. Whether that is new.
    pub(crate) fn synced(&mut self, outcome: &Result<(), IoError>) -> bool {
        let is_new = self.syncs.end(outcome);
        if let Err(error) = outcome
            && self.is_open()
        {
            self.phase = Phase::Draining(Drain::Lost(ItemError::Output(error.clone())));
        }
        is_new
    }

    fn refusal(&self, planned: &Planned) -> Option<(Status, Option<ItemError>)> {
        // Who asks what is due may not have noticed yet.
        if self.is_open() && self.work.cancel.is_cancelled() {
            return Some((Status::Cancelled, None));
        }
        match &self.phase {
            Phase::Draining(Drain::Lost(error)) => Some((Status::Failed, Some(error.clone()))),
            Phase::Draining(Drain::Cancelled) => Some((Status::Cancelled, None)),
            Phase::Draining(Drain::DiskFull(times)) => {
                Some((Status::Failed, Some(ItemError::DiskFull(*times))))
            }
            Phase::Comparing(_) => None,
            Phase::Admitting => {
                planned.refusal.as_deref().map(|error| (Status::Failed, Some(error.clone())))
            }
            Phase::Unchanged => Some((Status::Unchanged, None)),
        }
    }

    fn refuse(&mut self, position: u32, status: Status, error: Option<ItemError>) -> ItemReport {
        let planned = Arc::clone(&self.work.items[position as usize]);
        let (keys_file, identifier) = (planned.keys_file.clone(), planned.identifier.to_string());
        let mut report = ItemReport { error, ..ItemReport::new(keys_file, identifier, status) };
        if status == Status::Unchanged {
            let earlier = self.work.earlier_pack.as_ref();
            let tables = &earlier.expect("only a pack is unchanged as a whole").tables;
            report.keys = tables[position as usize].num_keys;
            report.doubt = self.doubts.get(&position).copied();
        }
        self.ledger.refuse(status);
        self.queue.take(position);
        self.arrive(position, None);
        self.accounts.keys_done += planned.num_keys_counted(self.job());
        self.accounts.take(position, &report, &self.work.plan);
        report
    }

    /// An item's final state.
    pub(crate) fn settle(
        &mut self,
        holding: Holding,
        position: u32,
        planned: &Planned,
        report: &ItemReport,
    ) {
        let is_packed = holding.is_packed;
        self.syncs.settle(&holding);
        self.ledger.finish(holding.running, report.status);
        self.arrive(position, None);
        if let Some(memory) = holding.memory {
            self.memory.release(memory);
        }
        if report.status != Status::Ok {
            self.accounts.output_bytes -= holding.output_bytes;
        }
        self.watch_the_disk(report);
        self.accounts.take(position, report, &self.work.plan);
        if !is_packed {
            self.accounts.keys_done += planned.num_keys(self.job());
        }
    }

    /// A table for the pack. The window bounds what waits there.
    pub(crate) fn deliver(&mut self, item: Item, holding: Holding, table: PackedTable) {
        self.arrive(item.position(), Some(table));
        let Holding { running, memory, output_bytes, is_in_publication: _, is_packed: _ } = holding;
        if let Some(memory) = memory {
            self.memory.release(memory);
        }
        self.accounts.keys_done += item.planned().num_keys(self.job());
        self.packed.push(PackedItem { item: item.into_pack(), running, output_bytes });
    }

    /// An item comes to the pack, if there is one, with its table or without. What cannot be taken in loses
    /// the pack.
    fn arrive(&mut self, position: u32, table: Option<PackedTable>) {
        let Some(pack) = &mut self.pack else { return };
        pack.arrive(position, table);
        if let Some(error) = pack.failure() {
            self.phase = Phase::Draining(Drain::Lost(error.clone()));
        }
    }

    /// A chunk of the pack is safe, or the pack is lost and nothing more begins.
    pub(crate) fn appended(&mut self, outcome: Result<Chunk, ItemError>) {
        if let Err(error) = &outcome {
            self.phase = Phase::Draining(Drain::Lost(error.clone()));
        }
        self.pack.as_mut().expect("a chunk comes from a pack").written(outcome);
    }

    /// The pack when all is through, and the items that settle with it.
    pub(crate) fn take_pack(&mut self) -> Option<(PackWindow, PackedItems)> {
        let pack = self.pack.take()?;
        Some((pack, PackedItems(std::mem::take(&mut self.packed))))
    }

    /// Bytes and files that were published and belong to no item alone.
    pub(crate) fn published_beside(&mut self, bytes: u64, files: u32) {
        self.accounts.published_beside(bytes, files);
    }

    /// An item that waits for the next common sync. Its memory is free.
    pub(crate) fn await_sync(&mut self, item: Item, mut holding: Holding) {
        if let Some(memory) = holding.memory.take() {
            self.memory.release(memory);
        }
        self.syncs.join(StagedItem { item, holding });
    }

    /// Items that were published, and whose names wait for the next common sync; and such in whose places
    /// is what others published, all of which waits for it.
    pub(crate) fn await_next_sync(
        &mut self,
        published: Vec<StagedItem>,
        overtaken: Vec<StagedItem>,
    ) {
        self.syncs.join_again(published, overtaken);
    }

    fn watch_the_disk(&mut self, report: &ItemReport) {
        let times = self.job().limits.disk_full_max;
        if self.accounts.count_disk_full(report) >= times && self.phase == Phase::Admitting {
            self.phase = Phase::Draining(Drain::DiskFull(times));
        }
    }

    /// Allows an item to write so many bytes, or says why not. They are free again if it settles without
    /// a table.
    pub(crate) fn reserve_output(
        &mut self,
        holding: &mut Holding,
        bytes: u64,
    ) -> Result<(), ItemError> {
        self.accounts.reserve_output(bytes, self.job().limits.output_bytes_max)?;
        holding.output_bytes += bytes;
        Ok(())
    }

    /// Whether the disk was found full so often that nothing begins any more.
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(self.phase, Phase::Draining(Drain::DiskFull(_)))
    }

    /// Whether something that was to be replaced lies in the stage, and nowhere else.
    pub(crate) const fn has_tables(&self) -> bool {
        self.ledger.ok() + self.ledger.unchanged() > 0
    }

    pub(crate) const fn is_displaced(&self) -> bool {
        self.accounts.is_displaced
    }

    pub(crate) fn progress(&self, wall: Duration) -> Progress {
        Progress {
            ledger: self.ledger.clone(),
            keys_done: self.accounts.keys_done,
            keys_total: self.accounts.keys_total,
            wall_seconds: wall.as_secs_f64(),
            hardest: self.board.hardest().map(|search| Hardest {
                keys_file: search.keys_file.clone(),
                attempts: search.attempts(),
            }),
        }
    }

    /// What is to be said of its tables at the end.
    pub(crate) fn remarks(&self) -> impl Iterator<Item = String> {
        self.accounts.remarks.lines()
    }

    /// The end: everything settled, nothing in flight.
    ///
    /// # Panics
    /// If that is not so.
    pub(crate) fn finish(self) -> Summary {
        assert!(self.ledger.is_settled(), "{:?} at the end of the job", self.ledger);
        assert!(self.memory.is_quiet(), "{:?} at the end of the job", self.memory);
        self.syncs.assert_quiet();
        assert!(self.board.is_quiet(), "a search still asks for help");
        self.accounts.close(&self.ledger)
    }
}
