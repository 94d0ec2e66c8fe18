//! The searches of a job that take help, and how much of it each may have by now.
//!
//! ```text
//!            now       now + every         ...
//!  initial --------> initial + 1 --------> ... max      attempts at once, its own worker's included
//! ```

use std::sync::Arc;
use std::time::Duration;

use perfecta_core::search::AttemptRange;

use crate::config::Ramp;
use crate::hard::SharedSearch;
use crate::memory::{MemoryBudget, Reservation};

/// The searches of a job that take help.
///
/// Invariant: `helps_out` is the number of [`Help`]s that were taken and not given back.
pub(crate) struct Board<'a> {
    ramp: Ramp,
    entries: Vec<Entry<'a>>,
    helps_out: u32,
}

struct Entry<'a> {
    search: Arc<SharedSearch<'a>>,
    /// Attempts that may be made at once by now.
    allowed: u32,
    helpers: u32,
    /// When one more is allowed.
    more_at: Option<Duration>,
}

/// A range of somebody's search, and the memory to try it in. It goes back through
/// [`Board::give_back`].
#[must_use = "help must be given back"]
pub(crate) struct Help<'a> {
    pub(crate) search: Arc<SharedSearch<'a>>,
    pub(crate) range: AttemptRange,
    memory: Reservation,
}

impl Help<'_> {
    /// Bytes of memory that it may take.
    pub(crate) const fn memory_bytes(&self) -> u64 {
        self.memory.bytes()
    }
}

impl<'a> Board<'a> {
    pub(crate) const fn new(ramp: Ramp) -> Self {
        Self { ramp, entries: Vec::new(), helps_out: 0 }
    }

    /// A search that has begun takes help from now on.
    pub(crate) fn add(&mut self, search: Arc<SharedSearch<'a>>, begun: Duration) {
        self.entries.push(Entry {
            search,
            allowed: self.ramp.initial.get(),
            helpers: 0,
            more_at: self.ramp.every.map(|every| begun + every),
        });
    }

    /// A search takes no help any more. What helpers still try of it counts for nothing.
    pub(crate) fn remove(&mut self, search: &Arc<SharedSearch<'a>>) {
        self.entries.retain(|entry| !Arc::ptr_eq(&entry.search, search));
    }

    /// A range of a search that may have one more helper, if there is `memory` for it, and no more than
    /// `bytes_max`. A search whose helper gets no memory goes on with those that it has.
    pub(crate) fn take(
        &mut self,
        now: Duration,
        memory: &mut MemoryBudget,
        bytes_max: u64,
    ) -> Option<Help<'a>> {
        let ramp = self.ramp;
        for entry in &mut self.entries {
            entry.ramp_up(ramp, now);
            if !entry.has_room() || !entry.search.wants_help() {
                continue;
            }
            let mut reserve =
                |bytes| if bytes <= bytes_max { memory.reserve(bytes, now) } else { None };
            let Some((range, reserved)) = entry.search.take_range(&mut reserve) else { continue };
            entry.helpers += 1;
            self.helps_out += 1;
            let search = Arc::clone(&entry.search);
            return Some(Help { search, range, memory: reserved });
        }
        None
    }

    /// Whether [`Self::take`] would have something.
    pub(crate) fn offers(&self, now: Duration, memory: &MemoryBudget, bytes_max: u64) -> bool {
        let has_memory = |bytes| bytes <= bytes_max && memory.has(bytes);
        self.entries.iter().any(|entry| {
            let is_more_due = entry.more_at.is_some_and(|more_at| more_at <= now);
            let has_room = entry.has_room() || is_more_due && entry.grows(self.ramp);
            has_room && entry.search.wants_help() && entry.search.offers_range(has_memory)
        })
    }

    /// A helper is done; its memory is the caller's to release.
    pub(crate) fn give_back(&mut self, help: Help<'a>) -> Reservation {
        let Help { search, memory, .. } = help;
        self.helps_out -= 1;
        if let Some(entry) = self.entries.iter_mut().find(|it| Arc::ptr_eq(&it.search, &search)) {
            entry.helpers -= 1;
        }
        memory
    }

    /// When a search may have one more helper, after `now`: one that may have it by now lacks something
    /// else, and whoever gives that wakes a helper.
    pub(crate) fn next_more(&self, now: Duration) -> Option<Duration> {
        let growing = self.entries.iter().filter(|entry| entry.grows(self.ramp));
        let wanting = growing.filter(|entry| entry.search.wants_help());
        wanting.filter_map(|entry| entry.more_at).filter(|&more_at| more_at > now).min()
    }

    /// Searches that take help.
    pub(crate) const fn num_searches(&self) -> usize {
        self.entries.len()
    }

    /// The search with the most attempts.
    pub(crate) fn hardest(&self) -> Option<&SharedSearch<'a>> {
        let hardest = self.entries.iter().max_by_key(|entry| entry.search.attempts());
        hardest.map(|entry| &*entry.search)
    }

    /// Whether nothing is on it, and no helper at work.
    pub(crate) fn is_quiet(&self) -> bool {
        self.entries.is_empty() && self.helps_out == 0
    }
}

impl Entry<'_> {
    /// The search's own worker makes attempts too.
    const fn has_room(&self) -> bool {
        self.helpers + 1 < self.allowed
    }

    const fn grows(&self, ramp: Ramp) -> bool {
        self.allowed < ramp.max.get()
    }

    fn ramp_up(&mut self, ramp: Ramp, now: Duration) {
        let Some(every) = ramp.every else { return };
        while let Some(more_at) = self.more_at.filter(|&at| at <= now && self.grows(ramp)) {
            self.allowed += 1;
            // A clock that was not looked at for long makes up for all of it.
            self.more_at = Some(more_at + every.max(Duration::from_micros(1)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use perfecta_core::family::Family;
    use perfecta_core::graph::Scratch;
    use perfecta_core::key::{KeySet, Repair};
    use perfecta_core::search::{FamilyChoice, Plan, Search};
    use perfecta_io::SystemClock;

    use super::*;
    use crate::hard::Patience;
    use crate::runtime::CancelFlag;

    const NOW: Duration = Duration::ZERO;

    /// A search of two ranges in each of its stages, which are all in vain.
    fn hopeless() -> Arc<SharedSearch<'static>> {
        let keys = (1..=100).map(|key| key << 20).collect();
        let keys = Arc::new(KeySet::from_u32(keys, Repair::default()).unwrap());
        let family = FamilyChoice::Named(Family::from_name("Multiply").unwrap());
        let plan = Plan { family, grow_after: Some(1500), ..Plan::default() };
        let search = Search::new(&keys, &plan).unwrap();
        let patience = Patience { cancel: CancelFlag::default(), clock: &SystemClock, until: None };
        let (path, leader) = ("a.keys".into(), Waker::noop().clone());
        Arc::new(SharedSearch::new(keys, path, search, patience, leader, false))
    }

    #[test]
    fn what_is_offered_is_what_a_helper_gets() {
        let search = hopeless();
        let bytes = search.memory_bytes();
        let mut memory = MemoryBudget::new(2 * bytes);
        let ramp = Ramp { initial: 8.try_into().unwrap(), every: None, ..Ramp::default() };
        let mut board = Board::new(ramp);
        board.add(Arc::clone(&search), NOW);
        let mut take = |board: &mut Board<'static>, bytes_max| {
            let is_offered = board.offers(NOW, &memory, bytes_max);
            let help = board.take(NOW, &mut memory, bytes_max);
            assert_eq!(is_offered, help.is_some());
            help
        };
        assert!(take(&mut board, bytes - 1).is_none(), "others have the memory");
        let ranges = [(); 2].map(|()| take(&mut board, bytes).unwrap());
        assert!(take(&mut board, u64::MAX).is_none(), "no range is left");
        for help in ranges {
            assert_eq!(help.memory_bytes(), bytes);
            search.help(&mut Scratch::default(), &help.range);
            memory.release(board.give_back(help));
        }
        let grown = search.memory_bytes();
        assert!(bytes < grown && grown < 2 * bytes, "it was doubled: {bytes}, {grown}");
        let mut take = |board: &mut Board<'static>| {
            let is_offered = board.offers(NOW, &memory, u64::MAX);
            let help = board.take(NOW, &mut memory, u64::MAX);
            assert_eq!(is_offered, help.is_some());
            help
        };
        let help = take(&mut board).unwrap();
        assert_eq!(help.memory_bytes(), grown);
        assert!(take(&mut board).is_none(), "its job has no more memory");
        memory.release(board.give_back(help));
        board.remove(&search);
        assert!(board.is_quiet() && memory.is_quiet());
    }
}
