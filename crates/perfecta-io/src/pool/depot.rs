//! The one piece that threads share: the stock and the queue for it, behind a lock.
//!
//! A waiter is queued under the lock under which it found nothing, and whatever makes room serves the
//! queue under the same lock: no release can fall between the two. What a waiter gets is taken out of
//! the stock for it *before* it is woken, so a wake-up is never in vain and nobody can overtake.
//!
//! Wakers are foreign code: they are cloned, woken and dropped outside the lock.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use super::layout::{Demand, Layout};
use super::statistics::PoolStatistics;
use super::stock::{Grant, Slot, Stock};
use crate::monitor::Lock;

/// Names a waiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TicketNumber(u64);

/// Hands out slots, in order.
#[derive(Debug)]
pub(super) struct Depot<L> {
    counter: L,
}

/// What the lock protects.
#[derive(Debug)]
pub(super) struct Counter {
    stock: Stock,
    waiting: VecDeque<Waiter>,
    set_aside: Vec<SetAside>,
    next_number: u64,
}

#[derive(Debug)]
struct Waiter {
    number: TicketNumber,
    demand: Demand,
    since: Duration,
    waker: Waker,
}

/// A grant that its waiter has not collected yet.
#[derive(Debug)]
struct SetAside {
    number: TicketNumber,
    demand: Demand,
    since: Duration,
    grant: Grant,
}

impl<L: Lock<Counter>> Depot<L> {
    pub(super) fn new(layout: &Layout) -> Self {
        Self {
            counter: L::new(Counter {
                stock: Stock::new(layout),
                waiting: VecDeque::new(),
                set_aside: Vec::new(),
                next_number: 0,
            }),
        }
    }

    /// A slot, unless there is none or others wait for one.
    pub(super) fn take(&self, demand: Demand) -> Option<Grant> {
        self.counter.with(|counter| counter.take(demand))
    }

    /// A slot, or the number under which it will be set aside.
    pub(super) fn take_or_wait(
        &self,
        demand: Demand,
        since: Duration,
        waker: &Waker,
    ) -> Result<Grant, TicketNumber> {
        if let Some(grant) = self.counter.with(|counter| counter.take(demand)) {
            return Ok(grant);
        }
        let waker = waker.clone();
        self.counter.with(|counter| match counter.take(demand) {
            Some(grant) => Ok(grant),
            None => Err(counter.queue(demand, since, waker)),
        })
    }

    /// What was set aside for a waiter. It is no longer one if there is something.
    pub(super) fn collect(&self, number: TicketNumber, now: Duration) -> Option<Grant> {
        self.counter.with(|counter| {
            let found = counter.collect(number)?;
            let waited = now.checked_sub(found.since).expect("the clock goes forward");
            counter.stock.class_statistics(found.demand.class).waited += waited;
            Some(found.grant)
        })
    }

    /// The waiter goes away; what was set aside for it is the caller's to give back.
    pub(super) fn give_up(&self, number: TicketNumber) -> Option<Grant> {
        let (found, left) = self.counter.with(|counter| {
            let found = counter.collect(number).map(|found| found.grant);
            (found, counter.leave(number))
        });
        // Who came after it may fit where it did not.
        if left.is_some() {
            self.change(|_| ());
        }
        found
    }

    /// A slot is free again.
    pub(super) fn give_back(&self, slot: Slot) {
        self.change(|stock| stock.give_back(slot));
    }

    /// A slot whose memory is never to be used again.
    #[cfg(any(ring, test))]
    pub(super) fn lose(&self, slot: Slot) {
        self.change(|stock| stock.lose(slot));
    }

    /// The memory of chunks that left was given back to the system.
    pub(super) fn vacate(&self, left: Vec<Slot>) {
        self.change(|stock| stock.vacate(left));
    }

    pub(super) fn statistics(&self) -> PoolStatistics {
        self.counter.with(|counter| PoolStatistics {
            num_waiting: counter.waiting.len(),
            ..counter.stock.statistics()
        })
    }

    fn change(&self, act: impl FnOnce(&mut Stock)) {
        let served = self.counter.with(|counter| {
            act(&mut counter.stock);
            counter.serve()
        });
        served.into_iter().for_each(Waker::wake);
    }
}

impl Counter {
    fn take(&mut self, demand: Demand) -> Option<Grant> {
        if self.waiting.is_empty() { self.stock.take(demand) } else { None }
    }

    fn queue(&mut self, demand: Demand, since: Duration, waker: Waker) -> TicketNumber {
        let number = TicketNumber(self.next_number);
        self.next_number += 1;
        self.stock.class_statistics(demand.class).num_waits += 1;
        self.waiting.push_back(Waiter { number, demand, since, waker });
        number
    }

    /// Sets slots aside for those in front, until one has to wait on.
    fn serve(&mut self) -> Vec<Waker> {
        let mut served = Vec::new();
        while let Some(first) = self.waiting.front() {
            let Some(grant) = self.stock.take(first.demand) else { break };
            let first = self.waiting.pop_front().expect("it was just looked at");
            let Waiter { number, demand, since, waker } = first;
            self.set_aside.push(SetAside { number, demand, since, grant });
            served.push(waker);
        }
        served
    }

    fn collect(&mut self, number: TicketNumber) -> Option<SetAside> {
        let index = self.set_aside.iter().position(|aside| aside.number == number)?;
        Some(self.set_aside.swap_remove(index))
    }

    fn leave(&mut self, number: TicketNumber) -> Option<Waiter> {
        let index = self.waiting.iter().position(|waiter| waiter.number == number)?;
        self.waiting.remove(index)
    }
}
