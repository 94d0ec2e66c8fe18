//! What a pool did. Counted under the depot's lock, which every change takes anyway.

use std::time::Duration;

/// A moment of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PoolStatistics {
    /// The limit.
    pub budget_bytes: usize,
    /// Of buffers that somebody has.
    pub in_use_bytes: usize,
    /// Of chunks that nobody has and that keep their memory.
    pub cached_bytes: usize,
    /// The most that was in use at once.
    pub high_water_bytes: usize,
    /// Waiting now.
    pub num_waiting: usize,
    /// Chunks whose memory was given back to the system for another size.
    pub num_evicted: u64,
    /// Buffers that the system gave no guard page.
    pub num_guards_refused: u64,
    /// Buffers whose memory the system did not take back.
    pub num_discards_refused: u64,
    /// Of 64 KiB.
    pub small: ClassStatistics,
    /// Of 1 MiB.
    pub large: ClassStatistics,
    /// Of more.
    pub spans: ClassStatistics,
}

/// The buffers of one size class.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClassStatistics {
    /// Buffers handed out so far.
    pub num_acquired: u64,
    /// Of these, with memory from an earlier user.
    pub num_reused: u64,
    /// Requests that had to wait.
    pub num_waits: u64,
    /// How long they waited together, until they collected their buffers.
    pub waited: Duration,
    /// Buffers that somebody has.
    pub num_in_use: usize,
    /// The most at once.
    pub num_in_use_high: usize,
    /// Bytes of the buffers that somebody has.
    pub in_use_bytes: usize,
}

impl ClassStatistics {
    pub(super) fn take(&mut self, bytes: usize) {
        self.num_acquired += 1;
        self.num_in_use += 1;
        self.num_in_use_high = self.num_in_use_high.max(self.num_in_use);
        self.in_use_bytes += bytes;
    }

    pub(super) fn give_back(&mut self, bytes: usize) {
        assert!(self.num_in_use > 0, "more buffers come back than were handed out");
        self.num_in_use -= 1;
        self.in_use_bytes -= bytes;
    }
}
