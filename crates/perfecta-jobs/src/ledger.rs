//! Where every item of a job is, at every moment.

/// Counts the items of one job by where they are.
///
/// Invariant: `queued + running + ok + unchanged + failed + cancelled == admitted`, after every
/// call. Only this type changes these numbers; everything else asks.
///
/// ```text
///  admit        start         finish(status)
/// -------> queued ----> running ------------> ok | unchanged | failed | cancelled
///             |  refuse(status)                        ^
///             `----------------------------------------'
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    admitted: u32,
    queued: u32,
    running: u32,
    ok: u32,
    unchanged: u32,
    failed: u32,
    cancelled: u32,
}

/// The final state of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Built, verified and, if it was to be written, published.
    Ok,
    /// What is published already is what would be built.
    Unchanged,
    /// There is no table, and [`ItemReport::error`](crate::ItemReport::error) says why.
    Failed,
    /// The user cancelled before it was published.
    Cancelled,
}

impl Status {
    /// The status as a word, for machines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One running item. Giving it back to [`Ledger::finish`] is the only way to be rid of it.
#[must_use = "an item that starts must be finished"]
#[derive(Debug)]
pub(crate) struct Running(());

impl Ledger {
    /// Takes `items` into the queue.
    pub(crate) fn admit(&mut self, items: u32) {
        self.admitted += items;
        self.queued += items;
        self.check();
    }

    /// A queued item begins to run.
    pub(crate) fn start(&mut self) -> Running {
        assert!(self.queued > 0, "an item starts from the queue");
        self.queued -= 1;
        self.running += 1;
        self.check();
        Running(())
    }

    /// A running item reaches its final state.
    pub(crate) fn finish(&mut self, running: Running, status: Status) {
        let Running(()) = running;
        assert!(self.running > 0, "an item finishes after it started");
        self.running -= 1;
        self.settle(status);
    }

    /// A queued item reaches its final state without having run.
    pub(crate) fn refuse(&mut self, status: Status) {
        assert!(self.queued > 0, "an item is refused from the queue");
        self.queued -= 1;
        self.settle(status);
    }

    fn settle(&mut self, status: Status) {
        match status {
            Status::Ok => self.ok += 1,
            Status::Unchanged => self.unchanged += 1,
            Status::Failed => self.failed += 1,
            Status::Cancelled => self.cancelled += 1,
        }
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.queued + self.running + self.settled(), self.admitted, "{self:?}");
    }

    /// All items.
    #[must_use]
    pub const fn admitted(&self) -> u32 {
        self.admitted
    }

    /// Items that wait.
    #[must_use]
    pub const fn queued(&self) -> u32 {
        self.queued
    }

    /// Items at work.
    #[must_use]
    pub const fn running(&self) -> u32 {
        self.running
    }

    /// Items that were built.
    #[must_use]
    pub const fn ok(&self) -> u32 {
        self.ok
    }

    /// Items that were published already.
    #[must_use]
    pub const fn unchanged(&self) -> u32 {
        self.unchanged
    }

    /// Items that failed.
    #[must_use]
    pub const fn failed(&self) -> u32 {
        self.failed
    }

    /// Items that were cancelled.
    #[must_use]
    pub const fn cancelled(&self) -> u32 {
        self.cancelled
    }

    /// Items in a final state.
    #[must_use]
    pub const fn settled(&self) -> u32 {
        self.ok + self.unchanged + self.failed + self.cancelled
    }

    /// Whether every item is in a final state.
    #[must_use]
    pub(crate) const fn is_settled(&self) -> bool {
        self.settled() == self.admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_in_one_place() {
        let mut ledger = Ledger::default();
        ledger.admit(3);
        let running = ledger.start();
        ledger.refuse(Status::Cancelled);
        ledger.finish(running, Status::Ok);
        assert!(!ledger.is_settled());
        ledger.refuse(Status::Failed);
        assert!(ledger.is_settled());
        assert_eq!((ledger.ok(), ledger.failed(), ledger.cancelled()), (1, 1, 1));
    }

    #[test]
    #[should_panic(expected = "from the queue")]
    fn nothing_starts_that_was_not_admitted() {
        let _ = Ledger::default().start();
    }
}
