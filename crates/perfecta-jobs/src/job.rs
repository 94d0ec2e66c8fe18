//! A job: which item runs next, and when it is over. All of it under one lock.
//!
//! ```text
//!  Admitting -- every item settled ----------------------------> Over
//!      |  cancelled, the disk full, or the pack lost              ^
//!      `----> Draining (what waits is refused, what runs ends) ---'
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use perfecta_core::search::AttemptRange;

use crate::config::Job;
use crate::error::{ExitClass, ItemError};
use crate::event::{Hardest, ItemReport, Progress, Summary};
use crate::hard::SharedSearch;
use crate::item::Item;
use crate::ledger::{Ledger, Running, Status};
use crate::pack::{Chunk, PackWindow, PackedTable};
use crate::schedule::{MemoryBudget, Planned, Reservation};

/// The state of one job.
pub(crate) struct JobState<'a> {
    job: &'a Job,
    items: &'a [Planned],
    phase: Phase,
    ledger: Ledger,
    /// Position of the next item in the plan.
    next: usize,
    memory: MemoryBudget,
    /// Items that wait for a common sync.
    staged: Vec<StagedItem<'a>>,
    /// Items that are being synced and published.
    in_publication: usize,
    /// The pack, if all tables go into one file.
    pack: Option<PackWindow>,
    /// Items whose tables are in the pack: they settle when it is published.
    packed: Vec<StagedItem<'a>>,
    /// Searches that take help.
    board: VecDeque<Arc<SharedSearch<'a>>>,
    disk_full_in_a_row: u32,
    output_bytes: u64,
    keys_done: u64,
    keys_total: u64,
    summary: Summary,
    first_failure: Option<(u32, ExitClass)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Admitting,
    Draining(Drain),
}

/// Why a job takes no further item.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Drain {
    Cancelled,
    DiskFull(u32),
    PackLost(ItemError),
}

/// An item that a worker has. It goes back through [`JobState::settle`].
#[must_use = "an item that begins must be settled"]
pub(crate) struct Taken<'a> {
    pub(crate) item: Item<'a>,
    ticket: Ticket,
}

/// What an item holds of the job while it runs.
#[must_use = "an item that begins must be settled"]
pub(crate) struct Ticket {
    running: Running,
    memory: Option<Reservation>,
    is_in_publication: bool,
    /// Its keys count as done since it was packed.
    is_packed: bool,
}

impl<'a> Taken<'a> {
    pub(crate) fn split(self) -> (Item<'a>, Ticket) {
        (self.item, self.ticket)
    }
}

/// An item that waits for a common sync: it holds no memory to speak of.
pub(crate) struct StagedItem<'a> {
    pub(crate) item: Item<'a>,
    pub(crate) ticket: Ticket,
}

/// What a worker is to do.
pub(crate) enum Assignment<'a> {
    /// Run this item.
    Begin(Taken<'a>),
    /// Tell that this item will not run.
    Refuse(ItemReport),
    /// Sync and publish these.
    Publish(Vec<StagedItem<'a>>),
    /// Append this to the pack, and check it.
    Append(Chunk),
    /// Try this range of somebody's search, and give the memory back.
    Help(Arc<SharedSearch<'a>>, AttemptRange, Reservation),
    /// Nothing before something changes.
    Wait,
    /// Nothing any more.
    Leave,
}

impl<'a> JobState<'a> {
    /// Items that share one sync. Every one holds a staged directory, no memory and no descriptor.
    const BATCH_ITEMS: usize = 1024;

    pub(crate) fn new(job: &'a Job, items: &'a [Planned], pack: Option<PackWindow>) -> Self {
        let mut ledger = Ledger::default();
        ledger.admit(u32::try_from(items.len()).expect("the entries' limit keeps items countable"));
        Self {
            job,
            items,
            phase: Phase::Admitting,
            ledger,
            next: 0,
            memory: MemoryBudget::of_job(job, items),
            staged: Vec::new(),
            in_publication: 0,
            pack,
            packed: Vec::new(),
            board: VecDeque::new(),
            disk_full_in_a_row: 0,
            output_bytes: 0,
            keys_done: 0,
            keys_total: items.iter().map(|item| item.num_keys(job)).sum(),
            summary: Summary::default(),
            first_failure: None,
        }
    }

    /// What a worker without work does next.
    pub(crate) fn assign(&mut self, is_cancelled: bool) -> Assignment<'a> {
        if is_cancelled && self.phase == Phase::Admitting {
            self.phase = Phase::Draining(Drain::Cancelled);
        }
        if self.batch_is_due() {
            let mut batch = std::mem::take(&mut self.staged);
            self.in_publication += batch.len();
            batch.iter_mut().for_each(|staged| staged.ticket.is_in_publication = true);
            return Assignment::Publish(batch);
        }
        if let Some(chunk) = self.pack.as_mut().and_then(PackWindow::take_chunk) {
            return Assignment::Append(chunk);
        }
        if let Some(planned) = self.items.get(self.next) {
            if let Some((status, error)) = self.refusal(planned) {
                return Assignment::Refuse(self.refuse(planned, status, error));
            }
            let is_admitted = self.pack.as_ref().is_none_or(|pack| pack.admits(self.next as u32));
            if is_admitted && let Some(memory) = self.memory.reserve(planned.memory_bytes(self.job))
            {
                return Assignment::Begin(self.begin(planned, memory));
            }
        }
        if let Some(help) = self.find_help() {
            return help;
        }
        if self.is_through() { Assignment::Leave } else { Assignment::Wait }
    }

    /// Whether nothing is left for workers: all is settled, or waits for the pack's publication.
    fn is_through(&self) -> bool {
        let unpublished = self.packed.len() as u32;
        self.ledger.queued() == 0
            && self.ledger.running() == unpublished
            && self.pack.as_ref().is_none_or(PackWindow::is_through)
    }

    /// Whether staged items should be published: enough of them, or nobody left to stage more.
    fn batch_is_due(&self) -> bool {
        let waiting = self.staged.len();
        let at_work = self.ledger.running() as usize - waiting - self.in_publication;
        let is_last = at_work == 0 && self.next == self.items.len();
        waiting > 0 && (waiting >= Self::BATCH_ITEMS || is_last)
    }

    fn refusal(&self, planned: &Planned) -> Option<(Status, Option<ItemError>)> {
        match &self.phase {
            Phase::Draining(Drain::PackLost(error)) => Some((Status::Failed, Some(error.clone()))),
            Phase::Draining(Drain::Cancelled) => Some((Status::Cancelled, None)),
            Phase::Draining(Drain::DiskFull(times)) => {
                Some((Status::Failed, Some(ItemError::DiskFull(*times))))
            }
            Phase::Admitting => planned.refusal.clone().map(|error| (Status::Failed, Some(error))),
        }
    }

    fn refuse(
        &mut self,
        planned: &Planned,
        status: Status,
        error: Option<ItemError>,
    ) -> ItemReport {
        let (keys_file, identifier) = (planned.keys_file.clone(), planned.identifier.to_string());
        let report = ItemReport { error, ..ItemReport::new(keys_file, identifier, status) };
        self.ledger.refuse(status);
        if let Some(pack) = &mut self.pack {
            pack.arrive(self.next as u32, None);
        }
        self.keys_done += planned.num_keys(self.job);
        self.account(self.next as u32, &report);
        self.next += 1;
        report
    }

    fn begin(&mut self, planned: &'a Planned, memory: Reservation) -> Taken<'a> {
        let item = Item::new(planned, self.next as u32);
        self.next += 1;
        let ticket = Ticket {
            running: self.ledger.start(),
            memory: Some(memory),
            is_in_publication: false,
            is_packed: false,
        };
        Taken { item, ticket }
    }

    fn find_help(&mut self) -> Option<Assignment<'a>> {
        for search in &self.board {
            let Some(memory) = self.memory.reserve(search.memory_bytes) else { continue };
            if let Some(range) = search.take_range() {
                return Some(Assignment::Help(Arc::clone(search), range, memory));
            }
            self.memory.release(memory);
        }
        None
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
        if let Some(pack) = &mut self.pack {
            pack.arrive(position, None);
        }
        if let Some(memory) = ticket.memory {
            self.memory.release(memory);
        }
        self.watch_the_disk(report);
        self.account(position, report);
        if !is_packed {
            self.keys_done += planned.num_keys(self.job);
        }
    }

    /// A table for the pack. The window bounds what waits there.
    pub(crate) fn deliver(&mut self, item: Item<'a>, mut ticket: Ticket, table: PackedTable) {
        let pack = self.pack.as_mut().expect("only what is packed is delivered");
        pack.arrive(item.position(), Some(table));
        if let Some(memory) = ticket.memory.take() {
            self.memory.release(memory);
        }
        self.keys_done += item.planned().num_keys(self.job);
        ticket.is_packed = true;
        self.packed.push(StagedItem { item, ticket });
    }

    /// A chunk of the pack is safe, or the pack is lost and nothing more begins.
    pub(crate) fn appended(&mut self, outcome: Result<Chunk, ItemError>) {
        if let Err(error) = &outcome {
            self.phase = Phase::Draining(Drain::PackLost(error.clone()));
        }
        self.pack.as_mut().expect("a chunk comes from a pack").written(outcome);
    }

    /// The pack when all is through, and the items that settle with it.
    pub(crate) fn take_pack(&mut self) -> (PackWindow, Vec<StagedItem<'a>>) {
        let pack = self.pack.take().expect("the job packs");
        (pack, std::mem::take(&mut self.packed))
    }

    /// The next item is published already.
    pub(crate) fn next_is_unchanged(&mut self, num_keys: u64) -> ItemReport {
        let planned = &self.items[self.next];
        let mut report = self.refuse(planned, Status::Unchanged, None);
        report.keys = num_keys;
        self.summary.keys += num_keys;
        report
    }

    /// Bytes and files that were published and belong to no item alone.
    pub(crate) fn published_beside(&mut self, bytes: u64, files: u32) {
        self.summary.bytes += bytes;
        self.summary.files += u64::from(files);
    }

    /// An item that waits for the next common sync. Its memory is free.
    pub(crate) fn await_sync(&mut self, item: Item<'a>, mut ticket: Ticket) {
        if let Some(memory) = ticket.memory.take() {
            self.memory.release(memory);
        }
        self.staged.push(StagedItem { item, ticket });
    }

    fn watch_the_disk(&mut self, report: &ItemReport) {
        match &report.error {
            Some(ItemError::Output(error)) if error.is_full() => self.disk_full_in_a_row += 1,
            Some(_) => return,
            None => self.disk_full_in_a_row = 0,
        }
        let times = self.job.limits.disk_full_max;
        if self.disk_full_in_a_row >= times && self.phase == Phase::Admitting {
            self.phase = Phase::Draining(Drain::DiskFull(times));
        }
    }

    fn account(&mut self, position: u32, report: &ItemReport) {
        self.summary.bytes += report.bytes;
        self.summary.files += u64::from(report.files);
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

    /// Allows an item to write so many bytes, or says why not.
    pub(crate) fn reserve_output(&mut self, bytes: u64) -> Result<(), ItemError> {
        let bytes_max = self.job.limits.output_bytes_max;
        match self.output_bytes.checked_add(bytes).filter(|&sum| sum <= bytes_max) {
            Some(sum) => {
                self.output_bytes = sum;
                Ok(())
            }
            None => Err(ItemError::OutputLimit { bytes, bytes_max }),
        }
    }

    pub(crate) fn ask_for_help(&mut self, search: Arc<SharedSearch<'a>>) {
        self.board.push_back(search);
    }

    pub(crate) fn need_no_help(&mut self, search: &Arc<SharedSearch<'a>>) {
        self.board.retain(|other| !Arc::ptr_eq(other, search));
    }

    pub(crate) fn helped(&mut self, memory: Reservation) {
        self.memory.release(memory);
    }

    /// Whether the disk was found full so often that nothing begins any more.
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(self.phase, Phase::Draining(Drain::DiskFull(_)))
    }

    pub(crate) fn progress(&self, wall: Duration) -> Progress {
        let hardest = self.board.iter().max_by_key(|search| search.attempts());
        Progress {
            ledger: self.ledger.clone(),
            keys_done: self.keys_done,
            keys_total: self.keys_total,
            wall_seconds: wall.as_secs_f64(),
            hardest: hardest.map(|search| Hardest {
                keys_file: search.keys_file.clone(),
                attempts: search.attempts(),
            }),
        }
    }

    /// The end: everything settled, nothing in flight.
    ///
    /// # Panics
    /// If that is not so.
    pub(crate) fn finish(self) -> Summary {
        assert!(self.ledger.is_settled(), "{:?} at the end of the job", self.ledger);
        assert!(self.memory.is_quiet(), "{:?} at the end of the job", self.memory);
        assert!(self.staged.is_empty() && self.in_publication == 0, "items wait for a sync");
        assert!(self.board.is_empty(), "a search still asks for help");
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
