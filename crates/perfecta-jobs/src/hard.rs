//! One search on several threads.
//!
//! Most searches are over within their first range of attempts, and never leave their worker. One
//! that is not is put on the job's board, where idle workers take further ranges of it. Which
//! attempt wins does not depend on who helps: the search machine merges reports in order. Nobody
//! waits in here: a leader that has no range to try is woken when a report comes in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use perfecta_core::geometry::Geometry;
use perfecta_core::graph::{Attempter, Scratch};
use perfecta_core::key::KeySet;
use perfecta_core::search::{
    AttemptRange, RangeEnd, RangeReport, Search, Stage, Step, Tally, Verdict, try_range,
};
use perfecta_io::Clock;

use crate::runtime::CancelFlag;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// When a search has to stop: asked between attempts, and of large sets during one.
#[derive(Clone)]
pub(crate) struct Patience<'a> {
    pub(crate) cancel: CancelFlag,
    pub(crate) clock: &'a dyn Clock,
    /// The clock's time after which no attempt begins, and one of a large set does not go on.
    pub(crate) until: Option<Duration>,
}

impl Patience<'_> {
    /// Attempts of small sets between two looks at the clock.
    const CLOCK_EVERY: u64 = 64;
    /// Sets from this size on look at the clock at every attempt.
    const LARGE_KEYS: usize = 4096;

    pub(crate) fn is_over(&self, attempt: u64, num_keys: usize) -> bool {
        if self.cancel.is_cancelled() {
            return true;
        }
        let Some(until) = self.until else { return false };
        let looks = num_keys >= Self::LARGE_KEYS || attempt.is_multiple_of(Self::CLOCK_EVERY);
        looks && self.clock.now() > until
    }
}

/// A search that several workers can take ranges of.
pub(crate) struct SharedSearch<'a> {
    pub(crate) keys: Arc<KeySet>,
    pub(crate) keys_file: PathBuf,
    patience: Patience<'a>,
    ranges: Mutex<Ranges>,
    /// Wakes the worker whose search it is.
    leader: Waker,
    /// Attempts from this number on can no longer matter.
    bound: AtomicU64,
    attempts: AtomicU64,
    /// A helper panicked: the range it had is lost, and the search with it.
    is_broken: AtomicBool,
    counts_on: bool,
}

struct Ranges {
    search: Search,
    /// The leader sleeps until a report comes in.
    leader_waits: bool,
}

/// How far a leader came.
pub(crate) enum Led {
    /// To the end.
    Settled(Verdict),
    /// Until it should look at something else.
    Yielded,
    /// To where only reports of others are missing: it will be woken.
    Waiting,
}

impl<'a> SharedSearch<'a> {
    pub(crate) fn new(
        keys: Arc<KeySet>,
        keys_file: PathBuf,
        search: Search,
        patience: Patience<'a>,
        leader: Waker,
        counts_on: bool,
    ) -> Self {
        Self {
            keys,
            keys_file,
            patience,
            ranges: Mutex::new(Ranges { search, leader_waits: false }),
            leader,
            bound: AtomicU64::new(u64::MAX),
            attempts: AtomicU64::new(0),
            is_broken: AtomicBool::new(false),
            counts_on,
        }
    }

    /// A range that waits to be tried, if there is one, and what `reserve` gives for the bytes of
    /// memory that an attempt of it takes; without that it waits on.
    pub(crate) fn take_range<R>(
        &self,
        reserve: impl FnOnce(u64) -> Option<R>,
    ) -> Option<(AttemptRange, R)> {
        let mut ranges = self.ranges.lock();
        if !ranges.search.has_range() {
            return None;
        }
        let reserved = reserve(self.attempt_bytes(ranges.search.stage()))?;
        match ranges.search.next_range() {
            Step::Try(range) => Some((range, reserved)),
            Step::Wait | Step::Settled => unreachable!("it has a range"),
        }
    }

    /// Whether a helper would get a range now, if there is memory for attempts of so many bytes.
    pub(crate) fn offers_range(&self, has_memory: impl FnOnce(u64) -> bool) -> bool {
        let ranges = self.ranges.lock();
        ranges.search.has_range() && has_memory(self.attempt_bytes(ranges.search.stage()))
    }

    /// The sizes of the table that is searched for now: each time twice those before.
    pub(crate) fn geometry(&self) -> Geometry {
        self.ranges.lock().search.stage().geometry
    }

    /// Bytes of memory that an attempt takes now.
    pub(crate) fn memory_bytes(&self) -> u64 {
        Attempter::memory_bytes(self.keys.len(), self.geometry())
    }

    fn attempt_bytes(&self, stage: &Stage) -> u64 {
        Attempter::memory_bytes(self.keys.len(), stage.geometry)
    }

    /// Tries a range and hands in the report.
    pub(crate) fn try_range(&self, attempter: &mut Attempter<'_>, range: &AttemptRange) {
        let keep_going = |attempt| {
            attempt < self.bound.load(Ordering::Relaxed)
                && !self.patience.is_over(attempt, self.keys.len())
        };
        let report = try_range(attempter, range, &keep_going);
        self.attempts.fetch_add(report.tally.attempts(), Ordering::Relaxed);
        self.complete(report);
    }

    fn complete(&self, report: RangeReport) {
        let mut ranges = self.ranges.lock();
        let success = report.success;
        ranges.search.complete(report);
        if !ranges.search.needs(0) {
            self.bound.store(0, Ordering::Relaxed);
        } else if let Some((attempt, _)) = success
            && !self.counts_on
        {
            self.bound.fetch_min(attempt, Ordering::Relaxed);
        }
        if std::mem::take(&mut ranges.leader_waits) {
            self.leader.wake_by_ref();
        }
    }

    /// Whether attempts that a helper would make can still matter.
    pub(crate) fn wants_help(&self) -> bool {
        self.bound.load(Ordering::Relaxed) == u64::MAX
    }

    /// Whether the leader can only wait for reports of others.
    pub(crate) fn leader_waits(&self) -> bool {
        self.ranges.lock().leader_waits
    }

    /// Tries ranges until the search is settled, or `should_yield` says so after one of them.
    pub(crate) fn lead(
        &self,
        attempter: &mut Attempter<'_>,
        should_yield: &mut dyn FnMut() -> bool,
    ) -> Led {
        loop {
            let mut ranges = self.ranges.lock();
            match ranges.search.next_range() {
                Step::Try(range) => {
                    drop(ranges);
                    self.try_range(attempter, &range);
                    if should_yield() {
                        return Led::Yielded;
                    }
                }
                Step::Wait => {
                    ranges.leader_waits = true;
                    return Led::Waiting;
                }
                Step::Settled => return Led::Settled(ranges.search.verdict()),
            }
        }
    }

    /// Helps with one range. A panic ends the search, so that its leader does not wait for ever.
    pub(crate) fn help(&self, scratch: &mut Scratch, range: &AttemptRange) {
        let tried = catch_unwind(AssertUnwindSafe(|| {
            self.try_range(&mut Attempter::new(self.keys.hashed(), scratch), range);
        }));
        if tried.is_err() {
            self.is_broken.store(true, Ordering::Relaxed);
            let tally = Tally::default();
            let end = RangeEnd::Stopped;
            self.complete(RangeReport { first: range.first, tally, success: None, end });
        }
    }

    /// Whether a helper panicked.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    /// Attempts so far, by all who help.
    pub(crate) fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perfecta_core::key::Repair;
    use perfecta_core::search::{Plan, search};
    use perfecta_io::SystemClock;

    #[test]
    fn a_success_found_early_does_not_stop_the_attempts_before_it() {
        let keys = (1..=1500u32).map(|key| key * 7919).collect();
        let keys = Arc::new(KeySet::from_u32(keys, Repair::default()).unwrap());
        let plan = Plan { grow_after: Some(5000), ..Plan::default() };
        let alone = search(&keys, &plan, &mut Scratch::default(), &|| true).unwrap();
        let patience = Patience { cancel: CancelFlag::default(), clock: &SystemClock, until: None };
        let leader = Waker::noop().clone();
        let machine = Search::new(&keys, &plan).unwrap();
        let shared =
            SharedSearch::new(Arc::clone(&keys), "a.keys".into(), machine, patience, leader, false);
        let mut scratch = Scratch::default();
        let [first, second] = [(); 2].map(|()| shared.take_range(|_| Some(())).unwrap().0);
        shared.help(&mut scratch, &second);
        assert!(shared.attempts() > 0);
        shared.help(&mut scratch, &first);
        let mut attempter = Attempter::new(keys.hashed(), &mut scratch);
        let led = shared.lead(&mut attempter, &mut || false);
        assert!(matches!(led, Led::Settled(verdict) if verdict == alone.verdict));
    }
}
