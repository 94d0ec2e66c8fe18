//! What the daemon's process is known by, and has used.

use std::time::Duration;

use crate::report::ProcessUse;

/// The process of a daemon.
pub(super) struct ThisProcess {
    pub(super) id: u32,
    /// When the daemon began, on its clock.
    pub(super) begun: Duration,
    /// The most threads that it has.
    pub(super) threads_max: usize,
    /// Says how much memory it ever had resident.
    pub(super) memory_peak_bytes: fn() -> Option<u64>,
}

impl ThisProcess {
    pub(super) fn used(&self) -> ProcessUse {
        let memory_peak_bytes = (self.memory_peak_bytes)();
        ProcessUse { threads_max: self.threads_max, memory_peak_bytes }
    }
}
