//! What may be in memory at once, and who holds how much of it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Job;
use crate::planned::Planned;

/// Bytes of memory in flight.
///
/// Invariants: `reserved` exceeds `limit` by no more than what reservations were extended by, and is the
/// sum of `since`.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    limit: u64,
    reserved: u64,
    /// Bytes by when they were reserved.
    since: BTreeMap<Duration, u64>,
}

/// A part of the budget. Giving it back to [`MemoryBudget::release`] is the only way to be rid of it.
#[must_use = "what is reserved must be released"]
#[derive(Debug)]
pub(crate) struct Reservation {
    bytes: u64,
    since: Duration,
}

impl Reservation {
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl MemoryBudget {
    /// What small sets may have in flight, however many threads there are, and also while every CPU
    /// has the largest at work.
    const SHARED_BYTES: u64 = 48 << 20;

    /// The budget of a job: what its limits allow, but no more than that every CPU has the largest
    /// item at work, and small ones beside.
    pub(crate) fn of_job(job: &Job, items: &[Arc<Planned>]) -> Self {
        let begun = items.iter().filter(|item| item.refusal.is_none());
        let largest = begun.map(|item| item.memory_bytes(job)).max().unwrap_or(0);
        let at_work = largest.saturating_mul(job.limits.cpus.get() as u64);
        let useful = at_work.saturating_add(Self::SHARED_BYTES);
        Self::new(job.limits.memory_bytes_max.min(useful))
    }

    pub(crate) const fn new(limit: u64) -> Self {
        Self { limit, reserved: 0, since: BTreeMap::new() }
    }

    /// Bytes that may be reserved at once.
    pub(crate) const fn limit(&self) -> u64 {
        self.limit
    }

    /// Whether `bytes` of it are free now.
    pub(crate) const fn has(&self, bytes: u64) -> bool {
        bytes <= self.limit.saturating_sub(self.reserved)
    }

    /// Bytes that are reserved.
    pub(crate) const fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Bytes that were reserved by `then`.
    pub(crate) fn reserved_by(&self, then: Duration) -> u64 {
        self.since.range(..=then).map(|(_, bytes)| bytes).sum()
    }

    /// When the first of those bytes was reserved that were not by `then`, if that is a time.
    pub(crate) fn first_after(&self, then: Option<Duration>) -> Option<Duration> {
        let after = then.map_or(Bound::Unbounded, Bound::Excluded);
        self.since.range((after, Bound::Unbounded)).next().map(|(since, _)| *since)
    }

    /// `bytes` of it, if they are free now.
    pub(crate) fn reserve(&mut self, bytes: u64, now: Duration) -> Option<Reservation> {
        if !self.has(bytes) {
            return None;
        }
        let mut reservation = Reservation { bytes: 0, since: now };
        self.extend(&mut reservation, bytes);
        Some(reservation)
    }

    /// What holds a reservation takes so many bytes in all by now, whether more are free or not: nothing
    /// else gets any before they are.
    pub(crate) fn extend(&mut self, reservation: &mut Reservation, bytes: u64) {
        let more = bytes.saturating_sub(reservation.bytes);
        if more == 0 {
            return;
        }
        reservation.bytes += more;
        self.reserved += more;
        *self.since.entry(reservation.since).or_default() += more;
    }

    pub(crate) fn release(&mut self, Reservation { bytes, since }: Reservation) {
        assert!(bytes <= self.reserved, "{bytes} bytes released of {self:?}");
        // Nothing was told of it, and others of its time may be gone.
        if bytes == 0 {
            return;
        }
        self.reserved -= bytes;
        let left = self.since.get_mut(&since).expect("what is released was reserved");
        *left -= bytes;
        if *left == 0 {
            self.since.remove(&since);
        }
    }

    /// Whether nothing is reserved.
    pub(crate) fn is_quiet(&self) -> bool {
        self.reserved == 0 && self.since.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use perfecta_io::{Entry, EntryKind};

    use super::*;
    use crate::config::{Inputs, Output};
    use crate::schedule::plan;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn threads_beyond_the_cpus_get_no_more_memory() {
        let check = |file_bytes: u64, cpus: usize, expected: fn(u64) -> u64| {
            let mut job =
                Job { output: Some(Output::new("out")), ..Job::new(Inputs::tree("keys")) };
            job.limits.threads = 256.try_into().unwrap();
            job.limits.cpus = cpus.try_into().unwrap();
            job.limits.memory_bytes_max = 8 << 30;
            let entries = [("a.keys", file_bytes), ("b.keys", 8)];
            let entry = |(path, bytes): (&str, u64)| Entry {
                path: path.into(),
                kind: EntryKind::File { bytes },
            };
            let items = plan(&job, None, entries.map(entry).into());
            let items: Vec<Arc<Planned>> = items.into_iter().map(Arc::new).collect();
            let budget = MemoryBudget::of_job(&job, &items);
            assert_eq!(budget.limit, expected(items[0].memory_bytes(&job)));
        };
        check(1 << 10, 2, |largest| 2 * largest + MemoryBudget::SHARED_BYTES);
        check(64 << 20, 2, |largest| 2 * largest + MemoryBudget::SHARED_BYTES);
        check(64 << 20, 1, |largest| largest + MemoryBudget::SHARED_BYTES);
        check(64 << 20, 64, |_| 8 << 30);
    }

    #[test]
    fn memory_is_given_out_once() {
        let mut budget = MemoryBudget::new(10);
        let six = budget.reserve(6, NOW).unwrap();
        assert!(budget.reserve(5, NOW).is_none());
        let four = budget.reserve(4, NOW).unwrap();
        budget.release(six);
        assert!(!budget.is_quiet());
        budget.release(four);
        assert!(budget.is_quiet());
    }

    #[test]
    fn what_needs_nothing_is_released_after_others_of_its_time() {
        let mut budget = MemoryBudget::new(10);
        let [none, six] = [0, 6].map(|bytes| budget.reserve(bytes, NOW).unwrap());
        budget.release(six);
        budget.release(none);
        assert!(budget.is_quiet());
    }

    #[test]
    fn what_takes_more_than_was_reserved_lets_nothing_else_begin() {
        let mut budget = MemoryBudget::new(10);
        let mut six = budget.reserve(6, NOW).unwrap();
        budget.extend(&mut six, 5);
        assert_eq!((six.bytes(), budget.reserved()), (6, 6), "it takes no more");
        budget.extend(&mut six, 12);
        assert_eq!((six.bytes(), budget.reserved()), (12, 12));
        assert!(!budget.has(1));
        budget.release(six);
        assert!(budget.is_quiet() && budget.has(10));
    }

    #[test]
    fn memory_is_told_by_when_it_was_reserved() {
        let mut budget = MemoryBudget::new(100);
        let at = Duration::from_secs;
        let mut first = budget.reserve(1, at(1)).unwrap();
        let [second, too] = [2, 4].map(|bytes| budget.reserve(bytes, at(2)).unwrap());
        let told = |budget: &MemoryBudget| [0, 1, 2, 3].map(|then| budget.reserved_by(at(then)));
        assert_eq!(told(&budget), [0, 1, 7, 7]);
        budget.extend(&mut first, 9);
        assert_eq!(told(&budget), [0, 9, 15, 15], "since it began, however large it is by now");
        let after = [None, Some(at(1)), Some(at(2))];
        assert_eq!(after.map(|then| budget.first_after(then)), [Some(at(1)), Some(at(2)), None]);
        budget.release(second);
        assert_eq!(told(&budget), [0, 9, 13, 13]);
        [first, too].into_iter().for_each(|reservation| budget.release(reservation));
        assert_eq!(told(&budget), [0; 4]);
        assert!(budget.is_quiet());
    }
}
