//! A job: which of its items may begin, and when it is over. All of it under one lock.
//!
//! ```text
//!  [Comparing] -- all the same --> Unchanged (every item is told of) --.
//!      | a part differs                                                v
//!      `-> Admitting -- every item settled -------------------------> Over
//!              |  cancelled, the disk full, or the pack lost           ^
//!              `-> Draining (what waits is refused, what runs ends) ---'
//! ```

use std::sync::Arc;
use std::time::Duration;

use perfecta_io::IoError;

use crate::board::{Board, Help};
use crate::compare::{Comparison, Part};
use crate::config::Job;
use crate::error::{ExitClass, ItemError};
use crate::event::{Hardest, ItemReport, Progress, Summary};
use crate::hard::SharedSearch;
use crate::item::Item;
use crate::ledger::{Ledger, Running, Status};
use crate::memory::{MemoryBudget, Reservation};
use crate::pack::{Chunk, PackWindow, PackedTable};
use crate::planned::Planned;
use crate::queue::ItemQueue;
use crate::remarks::Remarks;
use crate::work::Work;

/// The state of one job.
pub(crate) struct JobState<'a> {
    pub(crate) work: Arc<Work<'a>>,
    phase: Phase,
    ledger: Ledger,
    queue: ItemQueue,
    memory: MemoryBudget,
    /// Items that wait for a common sync.
    unsynced: Unsynced,
    /// What those of them wrote that are staged.
    staged_bytes: u64,
    /// Whether somebody syncs: an error of writing back is told once, and who syncs beside would not
    /// hear of it.
    is_syncing: bool,
    /// Items that are being synced and published.
    in_publication: usize,
    /// The pack, if all tables go into one file.
    pack: Option<PackWindow>,
    /// Items whose tables are in the pack: they settle when it is published.
    packed: Vec<StagedItem>,
    /// Parts of the pack that is there, or of what it was made of, that workers compare.
    parts_out: usize,
    /// Searches that take help.
    pub(crate) board: Board<'a>,
    /// Refused items of which nobody was told yet.
    untold: u32,
    disk_full_in_a_row: u32,
    /// Whether something that was to be replaced lies in the stage, and nowhere else.
    is_displaced: bool,
    /// Bytes that were written, or may be: what tickets hold, what tables hold that were published, and what
    /// of a pack is no table's.
    output_bytes: u64,
    keys_done: u64,
    keys_total: u64,
    summary: Summary,
    first_failure: Option<(u32, ExitClass)>,
    remarks: Remarks,
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
    pub(crate) ticket: Ticket,
}

/// What an item holds of the job while it runs.
#[must_use = "an item that begins must be settled"]
pub(crate) struct Ticket {
    running: Running,
    memory: Option<Reservation>,
    /// Bytes that it may write, of those of the job.
    output_bytes: u64,
    is_in_publication: bool,
    /// Its keys count as done since it was packed.
    is_packed: bool,
}

/// Items that wait for a common sync.
#[derive(Default)]
pub(crate) struct Unsynced {
    /// What they staged is to be safe before it is published.
    pub(crate) stages: Vec<StagedItem>,
    /// They are published; their names are to be safe.
    pub(crate) names: Vec<StagedItem>,
    /// An earlier sync failed. What of theirs was lost with it another sync would not tell.
    pub(crate) lost: Option<IoError>,
}

/// An item that waits for a common sync, or for its pack: it holds no memory to speak of.
pub(crate) struct StagedItem {
    pub(crate) item: Item,
    pub(crate) ticket: Ticket,
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

impl Ticket {
    /// Bytes of memory that it holds.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory.as_ref().map_or(0, Reservation::bytes)
    }
}

impl Unsynced {
    const fn len(&self) -> usize {
        self.stages.len() + self.names.len()
    }
}

impl<'a> JobState<'a> {
    /// Items that share one sync. Every one holds a staged directory, no memory and no descriptor.
    const BATCH_ITEMS: usize = 1024;

    /// What they may have written together: the largest come first, and are not to be synced in one
    /// go. Decision 0007 has what other sizes cost.
    const BATCH_BYTES: u64 = 8 << 20;

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
            output_bytes: pack.as_ref().map_or(0, |_| PackWindow::frame_bytes_max()),
            unsynced: Unsynced::default(),
            staged_bytes: 0,
            is_syncing: false,
            in_publication: 0,
            pack,
            packed: Vec::new(),
            parts_out: 0,
            board: Board::new(job.ramp),
            untold: 0,
            disk_full_in_a_row: 0,
            is_displaced: false,
            keys_done: 0,
            keys_total: work.items.iter().map(|item| item.num_keys(job)).sum(),
            summary: Summary::default(),
            first_failure: None,
            remarks: Remarks::default(),
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
        if self.sync_is_due() {
            return Some(Due::Sync(self.take_unsynced()));
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
        self.sync_is_due()
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
                items.iter().map(|item| item.num_keys(self.job())).sum()
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
    pub(crate) fn begin(&mut self, candidate: Candidate) -> Begun {
        match (candidate.start, &mut self.phase) {
            (Start::Item(position), _) => {
                Begun::Item(self.begin_item(position, candidate.memory_bytes))
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

    fn begin_item(&mut self, position: u32, memory_bytes: u64) -> Taken {
        let memory = self.memory.reserve(memory_bytes).expect("a candidate has its memory");
        self.queue.take(position);
        let item = Item::new(Arc::clone(&self.work.items[position as usize]), position);
        let ticket = Ticket {
            running: self.ledger.start(),
            memory: Some(memory),
            output_bytes: 0,
            is_in_publication: false,
            is_packed: false,
        };
        Taken { item, ticket }
    }

    /// A part was compared: whether it is the same.
    pub(crate) fn compared(&mut self, outcome: Result<bool, ItemError>) {
        self.parts_out -= 1;
        let Phase::Comparing(comparison) = &mut self.phase else { return };
        match outcome {
            Ok(true) if comparison.is_same() => self.phase = Phase::Unchanged,
            Ok(true) => {}
            Ok(false) => self.phase = Phase::Admitting,
            Err(error) => self.phase = Phase::Draining(Drain::Lost(error)),
        }
    }

    /// The search of an item takes so many bytes of memory in all by now.
    pub(crate) fn takes(
        &mut self,
        ticket: &mut Ticket,
        search: &Arc<SharedSearch<'a>>,
        bytes: u64,
    ) {
        let memory = ticket.memory.as_mut().expect("what is searched for holds memory");
        self.memory.extend(memory, bytes);
        self.board.holds(search, memory.bytes());
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

    /// Items that are begun, and neither settled nor waiting for others.
    pub(crate) fn files_in_flight(&self) -> usize {
        let parked = self.unsynced.len() + self.in_publication + self.packed.len();
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

    /// Whether enough is staged for a sync.
    fn sync_is_due(&self) -> bool {
        let is_enough = self.unsynced.stages.len() >= Self::BATCH_ITEMS
            || self.staged_bytes >= Self::BATCH_BYTES;
        is_enough && !self.is_syncing
    }

    /// Whether something waits for a sync and no item comes to join it, unless one begins: all that
    /// are in flight are searched for, who knows how long.
    pub(crate) fn awaits_sync(&self) -> bool {
        let is_joined = self.files_in_flight() > self.board.num_searches();
        self.unsynced.len() > 0 && !self.is_syncing && !is_joined
    }

    /// What waits for a sync, for somebody who makes it: [`Self::synced`] comes next.
    pub(crate) fn take_unsynced(&mut self) -> Unsynced {
        let lost = self.unsynced.lost.clone();
        let mut unsynced =
            std::mem::replace(&mut self.unsynced, Unsynced { lost, ..Unsynced::default() });
        self.staged_bytes = 0;
        self.is_syncing = true;
        self.in_publication += unsynced.len();
        let items = unsynced.stages.iter_mut().chain(&mut unsynced.names);
        items.for_each(|item| item.ticket.is_in_publication = true);
        unsynced
    }

    /// What a sync came to. Whatever was written and not synced before it failed may be lost, and no
    /// later sync would say so: nothing more begins. Whether that is new.
    pub(crate) fn synced(&mut self, outcome: &Result<(), IoError>) -> bool {
        assert!(self.is_syncing, "a sync ends that nobody began");
        self.is_syncing = false;
        let Err(error) = outcome else { return false };
        if self.is_open() {
            self.phase = Phase::Draining(Drain::Lost(ItemError::Output(error.clone())));
        }
        self.unsynced.lost.replace(error.clone()).is_none()
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
            Phase::Admitting => planned.refusal.clone().map(|error| (Status::Failed, Some(error))),
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
        }
        self.ledger.refuse(status);
        self.queue.take(position);
        self.arrive(position, None);
        self.keys_done += planned.num_keys(self.job());
        self.account(position, &report);
        report
    }

    /// An item's final state.
    pub(crate) fn settle(
        &mut self,
        ticket: Ticket,
        position: u32,
        planned: &Planned,
        report: &ItemReport,
    ) {
        let is_packed = ticket.is_packed;
        self.ledger.finish(ticket.running, report.status);
        self.in_publication -= usize::from(ticket.is_in_publication);
        self.arrive(position, None);
        if let Some(memory) = ticket.memory {
            self.memory.release(memory);
        }
        if report.status != Status::Ok {
            self.output_bytes -= ticket.output_bytes;
        }
        self.watch_the_disk(report);
        self.account(position, report);
        if !is_packed {
            self.keys_done += planned.num_keys(self.job());
        }
    }

    /// A table for the pack. The window bounds what waits there.
    pub(crate) fn deliver(&mut self, item: Item, mut ticket: Ticket, table: PackedTable) {
        self.arrive(item.position(), Some(table));
        if let Some(memory) = ticket.memory.take() {
            self.memory.release(memory);
        }
        self.keys_done += item.planned().num_keys(self.job());
        ticket.is_packed = true;
        self.packed.push(StagedItem { item, ticket });
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
    pub(crate) fn take_pack(&mut self) -> Option<(PackWindow, Vec<StagedItem>)> {
        let pack = self.pack.take()?;
        Some((pack, std::mem::take(&mut self.packed)))
    }

    /// Bytes and files that were published and belong to no item alone.
    pub(crate) fn published_beside(&mut self, bytes: u64, files: u32) {
        self.summary.bytes += bytes;
        self.summary.files += u64::from(files);
    }

    /// An item that waits for the next common sync. Its memory is free.
    pub(crate) fn await_sync(&mut self, item: Item, mut ticket: Ticket) {
        if let Some(memory) = ticket.memory.take() {
            self.memory.release(memory);
        }
        self.staged_bytes += item.bytes_written();
        self.unsynced.stages.push(StagedItem { item, ticket });
    }

    /// Items that were published, and whose names wait for the next common sync; and such in whose places
    /// is what others published, all of which waits for it.
    pub(crate) fn await_next_sync(
        &mut self,
        mut published: Vec<StagedItem>,
        mut overtaken: Vec<StagedItem>,
    ) {
        self.in_publication -= published.len() + overtaken.len();
        let items = published.iter_mut().chain(&mut overtaken);
        items.for_each(|item| item.ticket.is_in_publication = false);
        self.unsynced.names.append(&mut published);
        self.unsynced.stages.append(&mut overtaken);
    }

    fn watch_the_disk(&mut self, report: &ItemReport) {
        match &report.error {
            Some(ItemError::Output(error)) if error.is_full() => self.disk_full_in_a_row += 1,
            Some(_) => return,
            None => self.disk_full_in_a_row = 0,
        }
        let times = self.job().limits.disk_full_max;
        if self.disk_full_in_a_row >= times && self.phase == Phase::Admitting {
            self.phase = Phase::Draining(Drain::DiskFull(times));
        }
    }

    fn account(&mut self, position: u32, report: &ItemReport) {
        self.remarks.note(position, report, &self.work.plan);
        self.summary.bytes += report.bytes;
        self.summary.files += u64::from(report.files);
        self.is_displaced |=
            matches!(&report.error, Some(ItemError::Output(error)) if error.is_displacing());
        match report.status {
            Status::Ok | Status::Unchanged => self.summary.keys += report.keys,
            Status::Failed => {
                let class =
                    report.error.as_ref().map_or(ExitClass::Internal, ItemError::exit_class);
                if self.first_failure.is_none_or(|(first, _)| position < first) {
                    self.first_failure = Some((position, class));
                }
            }
            Status::Cancelled => {}
        }
    }

    /// Allows an item to write so many bytes, or says why not. They are free again if it settles without
    /// a table.
    pub(crate) fn reserve_output(
        &mut self,
        ticket: &mut Ticket,
        bytes: u64,
    ) -> Result<(), ItemError> {
        let bytes_max = self.job().limits.output_bytes_max;
        match self.output_bytes.checked_add(bytes).filter(|&sum| sum <= bytes_max) {
            Some(sum) => {
                self.output_bytes = sum;
                ticket.output_bytes += bytes;
                Ok(())
            }
            None => Err(ItemError::OutputLimit { bytes, bytes_max }),
        }
    }

    /// Whether the disk was found full so often that nothing begins any more.
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(self.phase, Phase::Draining(Drain::DiskFull(_)))
    }

    /// Whether something that was to be replaced lies in the stage, and nowhere else.
    pub(crate) const fn is_displaced(&self) -> bool {
        self.is_displaced
    }

    pub(crate) fn progress(&self, wall: Duration) -> Progress {
        Progress {
            ledger: self.ledger.clone(),
            keys_done: self.keys_done,
            keys_total: self.keys_total,
            wall_seconds: wall.as_secs_f64(),
            hardest: self.board.hardest().map(|search| Hardest {
                keys_file: search.keys_file.clone(),
                attempts: search.attempts(),
            }),
        }
    }

    /// What is to be said of its tables at the end.
    pub(crate) fn remarks(&self) -> impl Iterator<Item = String> {
        self.remarks.lines()
    }

    /// The end: everything settled, nothing in flight.
    ///
    /// # Panics
    /// If that is not so.
    pub(crate) fn finish(self) -> Summary {
        assert!(self.ledger.is_settled(), "{:?} at the end of the job", self.ledger);
        assert!(self.memory.is_quiet(), "{:?} at the end of the job", self.memory);
        assert!(self.unsynced.len() + self.in_publication == 0, "items wait for a sync");
        assert!(!self.is_syncing, "somebody syncs");
        assert!(self.board.is_quiet(), "a search still asks for help");
        let (written, counted) = (self.summary.bytes, self.output_bytes);
        assert!(written <= counted, "{written} bytes were published, {counted} were counted");
        Summary {
            tables: self.ledger.admitted(),
            ok: self.ledger.ok(),
            unchanged: self.ledger.unchanged(),
            failed: self.ledger.failed(),
            cancelled: self.ledger.cancelled(),
            first_failure: self.first_failure.map(|(_, class)| class),
            ..self.summary
        }
    }
}
