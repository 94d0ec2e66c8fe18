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
use crate::schedule::{MemoryBudget, Reservation};

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

impl<'a> Board<'a> {
    pub(crate) const fn new(ramp: Ramp) -> Self {
        Self { ramp, entries: Vec::new(), helps_out: 0 }
    }

    /// A search takes help from now on.
    pub(crate) fn add(&mut self, search: Arc<SharedSearch<'a>>, now: Duration) {
        let (allowed, more_at) =
            (self.ramp.initial.get(), self.ramp.every.map(|every| now + every));
        self.entries.push(Entry { search, allowed, helpers: 0, more_at });
    }

    /// A search takes no help any more. What helpers still try of it counts for nothing.
    pub(crate) fn remove(&mut self, search: &Arc<SharedSearch<'a>>) {
        self.entries.retain(|entry| !Arc::ptr_eq(&entry.search, search));
    }

    /// A range of a search that may have one more helper, if there is memory for it. A search whose
    /// helper gets no memory goes on with those that it has.
    pub(crate) fn take(&mut self, now: Duration, memory: &mut MemoryBudget) -> Option<Help<'a>> {
        let ramp = self.ramp;
        for entry in &mut self.entries {
            entry.ramp_up(ramp, now);
            if !entry.has_room() {
                continue;
            }
            let Some(reserved) = memory.reserve(entry.search.memory_bytes) else { continue };
            let Some(range) = entry.search.take_range() else {
                memory.release(reserved);
                continue;
            };
            entry.helpers += 1;
            self.helps_out += 1;
            let search = Arc::clone(&entry.search);
            return Some(Help { search, range, memory: reserved });
        }
        None
    }

    /// Whether a search may have a helper by now: there may be no range or no memory for it.
    pub(crate) fn may_offer(&self, now: Duration) -> bool {
        self.entries.iter().any(|entry| {
            let is_more_due = entry.more_at.is_some_and(|more_at| more_at <= now);
            entry.search.wants_help() && (entry.has_room() || is_more_due && entry.grows(self.ramp))
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

    /// When a search may have one more helper.
    pub(crate) fn next_more(&self) -> Option<Duration> {
        let growing = self.entries.iter().filter(|entry| entry.grows(self.ramp));
        growing.filter_map(|entry| entry.more_at).min()
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
