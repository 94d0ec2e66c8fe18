//! Workers that wait until there is something for them.

use std::task::Waker;

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
    asleep: Vec<Option<Sleeper>>,
    count: usize,
}

impl Sleepers {
    pub(crate) fn add(&mut self, number: usize, sleeper: Sleeper) {
        if self.asleep.len() <= number {
            self.asleep.resize_with(number + 1, || None);
        }
        let before = self.asleep[number].replace(sleeper);
        assert!(before.is_none(), "worker {number} sleeps twice");
        self.count += 1;
    }

    /// A worker is awake, whoever woke it.
    pub(crate) fn remove(&mut self, number: usize) -> Option<Sleeper> {
        let sleeper = self.asleep.get_mut(number)?.take()?;
        self.count -= 1;
        Some(sleeper)
    }

    /// The first that `is_wanted`.
    pub(crate) fn find(&self, mut is_wanted: impl FnMut(&Sleeper) -> bool) -> Option<usize> {
        self.asleep.iter().position(|sleeper| sleeper.as_ref().is_some_and(&mut is_wanted))
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
