//! What stands for the ring backend where there is none.

use std::sync::Arc;

use crate::blocking::BlockingEngine;
use crate::engines::RingRefusal;
use crate::host::Host;
use crate::io_threads::IoThreads;

/// Never made: whoever asks for one is refused.
pub(crate) enum UringEngine {}

impl UringEngine {
    pub(crate) const KERNEL_THREADS_MAX: usize = 0;

    pub(crate) fn new(_io_threads: Option<Arc<IoThreads>>) -> Result<Self, RingRefusal> {
        Err(RingRefusal::OtherSystem)
    }

    pub(crate) fn on(
        _host: Host,
        _io_threads: Option<Arc<IoThreads>>,
    ) -> Result<BlockingEngine, RingRefusal> {
        Err(RingRefusal::OtherSystem)
    }
}
