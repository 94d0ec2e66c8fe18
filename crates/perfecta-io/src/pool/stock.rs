//! Which buffers there are, and where each of them is.
//!
//! ```text
//!   never carved ----> in use <----> cached ----> leaving ----> vacant ----> in use
//!                        `---------> lost
//! ```
//!
//! *Cached* chunks are free and keep their memory. When another size needs their budget, some leave:
//! whoever gets the budget gives their memory back to the system, before touching its own, and only
//! then are they *vacant*. Spans are in use or not there. *Lost* is what the kernel may write to for ever: it
//! is beyond the budget, and nobody's any more.
//!
//! A pure state without locks and system calls.

use super::layout::{Demand, Layout, SizeClass};
use super::runs::FreeRuns;
use super::statistics::{ClassStatistics, PoolStatistics};

/// The right to a buffer's memory. There is one for each, and it cannot be copied.
#[must_use = "a slot that is lost is never free again"]
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slot {
    class: SizeClass,
    /// Index of the chunk, or first page of the span.
    start: usize,
    bytes: usize,
}

impl Slot {
    pub(super) const fn class(&self) -> SizeClass {
        self.class
    }

    pub(super) const fn start(&self) -> usize {
        self.start
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A slot, and what its owner has to do before touching its memory.
#[must_use = "the memory of those who left is to be given back"]
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Grant {
    /// The buffer.
    pub(super) slot: Slot,
    /// Nobody had it before: it has no guard yet.
    pub(super) is_new: bool,
    /// Chunks whose memory goes back to the system, to be told to [`Stock::vacate`].
    pub(super) leaving: Vec<Slot>,
}

/// All buffers of a pool.
///
/// Invariant: `in use + cached <= budget`, in bytes, after every call.
#[derive(Debug)]
pub(super) struct Stock {
    layout: Layout,
    small: Chunks,
    large: Chunks,
    runs: FreeRuns,
    spans: ClassStatistics,
    high_water_bytes: usize,
    num_evicted: u64,
}

impl Stock {
    pub(super) fn new(layout: &Layout) -> Self {
        Self {
            layout: layout.clone(),
            small: Chunks::new(SizeClass::SMALL_BYTES, layout.num_small),
            large: Chunks::new(SizeClass::LARGE_BYTES, layout.num_large),
            runs: FreeRuns::new(layout.num_span_pages),
            spans: ClassStatistics::default(),
            high_water_bytes: 0,
            num_evicted: 0,
        }
    }

    /// A buffer, if there is budget (and, for a span, room in one piece).
    pub(super) fn take(&mut self, demand: Demand) -> Option<Grant> {
        let grant = self.take_cached(demand).or_else(|| self.take_empty(demand))?;
        self.high_water_bytes = self.high_water_bytes.max(self.in_use_bytes());
        self.check();
        Some(grant)
    }

    fn take_cached(&mut self, demand: Demand) -> Option<Grant> {
        let start = self.chunks(demand.class)?.take_cached()?;
        Some(Grant { slot: slot(demand, start), is_new: false, leaving: Vec::new() })
    }

    fn take_empty(&mut self, demand: Demand) -> Option<Grant> {
        if self.in_use_bytes() + demand.bytes > self.layout.budget_bytes {
            return None;
        }
        let (start, is_new) = match self.chunks(demand.class) {
            Some(chunks) => chunks.take_empty()?,
            None => {
                let start = self.runs.take(self.layout.span_pages(demand.bytes))?;
                self.spans.take(demand.bytes);
                (start, true)
            }
        };
        Some(Grant { slot: slot(demand, start), is_new, leaving: self.evict() })
    }

    /// Large ones first: the fewer, the sooner done.
    fn evict(&mut self) -> Vec<Slot> {
        let mut leaving = Vec::new();
        while self.in_use_bytes() + self.cached_bytes() > self.layout.budget_bytes {
            let large = self.large.evict().map(|start| (SizeClass::Large, start));
            let chunk = large.or_else(|| self.small.evict().map(|start| (SizeClass::Small, start)));
            let (class, start) = chunk.expect("what is in use fits into the budget");
            leaving.push(Slot { class, start, bytes: self.chunk_bytes(class) });
        }
        self.num_evicted += leaving.len() as u64;
        leaving
    }

    /// A buffer is free again; of a span, the memory is gone.
    pub(super) fn give_back(&mut self, slot: Slot) {
        match self.chunks(slot.class) {
            Some(chunks) => chunks.give_back(slot.start),
            None => {
                self.runs.give_back(slot.start, self.layout.span_pages(slot.bytes));
                self.spans.give_back(slot.bytes);
            }
        }
        self.check();
    }

    /// A buffer is nobody's any more, nor are its addresses.
    #[cfg(any(ring, test))]
    pub(super) fn lose(&mut self, slot: Slot) {
        match self.chunks(slot.class) {
            Some(chunks) => chunks.lose(),
            None => self.spans.give_back(slot.bytes),
        }
        self.check();
    }

    /// The memory of those that left is gone.
    pub(super) fn vacate(&mut self, left: Vec<Slot>) {
        for slot in left {
            let chunks = self.chunks(slot.class).expect("spans are not evicted");
            chunks.vacate(slot.start);
        }
        self.check();
    }

    pub(super) fn in_use_bytes(&self) -> usize {
        let small = self.small.statistics.in_use_bytes;
        small + self.large.statistics.in_use_bytes + self.spans.in_use_bytes
    }

    fn cached_bytes(&self) -> usize {
        self.small.cached_bytes() + self.large.cached_bytes()
    }

    fn chunks(&mut self, class: SizeClass) -> Option<&mut Chunks> {
        match class {
            SizeClass::Small => Some(&mut self.small),
            SizeClass::Large => Some(&mut self.large),
            SizeClass::Span => None,
        }
    }

    fn chunk_bytes(&self, class: SizeClass) -> usize {
        match class {
            SizeClass::Small => self.small.chunk_bytes,
            SizeClass::Large => self.large.chunk_bytes,
            SizeClass::Span => unreachable!("spans are not chunks"),
        }
    }

    /// For those who count waits.
    pub(super) fn class_statistics(&mut self, class: SizeClass) -> &mut ClassStatistics {
        match class {
            SizeClass::Small => &mut self.small.statistics,
            SizeClass::Large => &mut self.large.statistics,
            SizeClass::Span => &mut self.spans,
        }
    }

    pub(super) fn statistics(&self) -> PoolStatistics {
        PoolStatistics {
            budget_bytes: self.layout.budget_bytes,
            in_use_bytes: self.in_use_bytes(),
            cached_bytes: self.cached_bytes(),
            high_water_bytes: self.high_water_bytes,
            num_evicted: self.num_evicted,
            small: self.small.statistics.clone(),
            large: self.large.statistics.clone(),
            spans: self.spans.clone(),
            ..PoolStatistics::default()
        }
    }

    fn check(&self) {
        let bytes = self.in_use_bytes() + self.cached_bytes();
        assert!(bytes <= self.layout.budget_bytes, "the pool is over its budget: {self:?}");
        self.small.check();
        self.large.check();
    }
}

const fn slot(demand: Demand, start: usize) -> Slot {
    Slot { class: demand.class, start, bytes: demand.bytes }
}

/// The chunks of one size.
///
/// Invariant: every chunk that was carved is in use, leaving, lost, or in one of the two lists.
#[derive(Debug)]
struct Chunks {
    chunk_bytes: usize,
    num_chunks: usize,
    /// Those before were in use once.
    num_carved: usize,
    /// Free, with their memory.
    cached: Vec<usize>,
    /// Free, without.
    vacant: Vec<usize>,
    num_leaving: usize,
    num_lost: usize,
    statistics: ClassStatistics,
}

impl Chunks {
    fn new(chunk_bytes: usize, num_chunks: usize) -> Self {
        Self {
            chunk_bytes,
            num_chunks,
            num_carved: 0,
            cached: Vec::new(),
            vacant: Vec::new(),
            num_leaving: 0,
            num_lost: 0,
            statistics: ClassStatistics::default(),
        }
    }

    fn take_cached(&mut self) -> Option<usize> {
        let start = self.cached.pop()?;
        self.statistics.take(self.chunk_bytes);
        self.statistics.num_reused += 1;
        Some(start)
    }

    /// With whether it is taken for the first time. `None` while all that are free still leave.
    fn take_empty(&mut self) -> Option<(usize, bool)> {
        let empty = match self.vacant.pop() {
            Some(start) => (start, false),
            None if self.num_carved < self.num_chunks => {
                self.num_carved += 1;
                (self.num_carved - 1, true)
            }
            None => return None,
        };
        self.statistics.take(self.chunk_bytes);
        Some(empty)
    }

    fn give_back(&mut self, start: usize) {
        self.statistics.give_back(self.chunk_bytes);
        self.cached.push(start);
    }

    #[cfg(any(ring, test))]
    fn lose(&mut self) {
        self.statistics.give_back(self.chunk_bytes);
        self.num_lost += 1;
    }

    fn evict(&mut self) -> Option<usize> {
        let start = self.cached.pop()?;
        self.num_leaving += 1;
        Some(start)
    }

    fn vacate(&mut self, start: usize) {
        self.num_leaving -= 1;
        self.vacant.push(start);
    }

    fn cached_bytes(&self) -> usize {
        self.cached.len() * self.chunk_bytes
    }

    fn check(&self) {
        let num_free = self.cached.len() + self.vacant.len();
        let num_out = self.statistics.num_in_use + self.num_leaving + self.num_lost;
        assert!(num_out + num_free == self.num_carved, "{self:?}");
    }
}
