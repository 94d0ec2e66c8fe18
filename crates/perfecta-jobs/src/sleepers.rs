//! Workers that wait until there is something for them.

use std::task::Waker;
use std::time::Duration;

/// A worker that waits.
pub(crate) struct Sleeper {
    pub(crate) waker: Waker,
    /// The node that it runs on.
    pub(crate) node: usize,
    /// Whether it has room for another item.
    pub(crate) may_begin: bool,
}

/// The workers that wait, by their numbers.
#[derive(Default)]
pub(crate) struct Sleepers {
    asleep: Vec<Option<Asleep>>,
    count: usize,
    /// Who was woken to look at the time, and has not done so yet.
    timekeeper: Option<usize>,
}

struct Asleep {
    sleeper: Sleeper,
    /// When it wakes by itself.
    until: Option<Duration>,
}

impl Sleepers {
    /// A worker waits from now on, until that time at most.
    pub(crate) fn add(&mut self, number: usize, sleeper: Sleeper, until: Option<Duration>) {
        if self.asleep.len() <= number {
            self.asleep.resize_with(number + 1, || None);
        }
        let before = self.asleep[number].replace(Asleep { sleeper, until });
        assert!(before.is_none(), "worker {number} sleeps twice");
        self.count += 1;
    }

    /// A worker is awake, whoever woke it.
    pub(crate) fn remove(&mut self, number: usize) -> Option<Sleeper> {
        if self.timekeeper == Some(number) {
            self.timekeeper = None;
        }
        let Asleep { sleeper, .. } = self.asleep.get_mut(number)?.take()?;
        self.count -= 1;
        Some(sleeper)
    }

    /// Sees to it that somebody wakes at that time.
    pub(crate) fn rouse_by(&mut self, time: Duration) {
        let mut asleep = self.asleep.iter().flatten();
        let is_kept = asleep.any(|asleep| asleep.until.is_some_and(|until| until <= time));
        if is_kept || self.timekeeper.is_some() {
            return;
        }
        if let Some(number) = self.first() {
            self.rouse(number);
            self.timekeeper = Some(number);
        }
    }

    /// The first that `is_wanted`.
    pub(crate) fn find(&self, mut is_wanted: impl FnMut(&Sleeper) -> bool) -> Option<usize> {
        let mut is_found = |asleep: &Asleep| is_wanted(&asleep.sleeper);
        self.asleep.iter().position(|asleep| asleep.as_ref().is_some_and(&mut is_found))
    }

    /// The first of all.
    pub(crate) fn first(&self) -> Option<usize> {
        self.find(|_| true)
    }

    pub(crate) fn rouse(&mut self, number: usize) {
        if let Some(sleeper) = self.remove(number) {
            sleeper.waker.wake();
        }
    }

    pub(crate) fn rouse_all(&mut self) {
        for number in 0..self.asleep.len() {
            self.rouse(number);
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }
}
