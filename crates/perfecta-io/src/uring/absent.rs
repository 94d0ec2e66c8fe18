//! What stands for the ring backend where there is none.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::engine::{Completion, Engine, Token};
use crate::engines::RingRefusal;
use crate::host::Host;
use crate::io_threads::IoThreads;
use crate::op::Op;

/// Never made.
pub(crate) enum UringEngine {}

impl UringEngine {
    pub(crate) const KERNEL_THREADS_MAX: usize = 0;

    pub(crate) fn new(_io_threads: Option<Arc<IoThreads>>) -> Result<Self, RingRefusal> {
        Err(RingRefusal::OtherSystem)
    }

    pub(crate) fn on(
        _host: Host,
        _io_threads: Option<Arc<IoThreads>>,
    ) -> Result<Self, RingRefusal> {
        Err(RingRefusal::OtherSystem)
    }
}

impl Engine for UringEngine {
    fn submit(&mut self, _token: Token, _op: Op) {
        match *self {}
    }

    fn poll(&mut self) -> Option<Completion> {
        match *self {}
    }

    fn wait(&mut self, _timeout: Option<Duration>) {
        match *self {}
    }

    fn waker(&self) -> Waker {
        match *self {}
    }

    fn cancel(&mut self, _token: Token) {
        match *self {}
    }

    fn num_in_flight(&self) -> usize {
        match *self {}
    }

    fn capacity(&self) -> usize {
        match *self {}
    }
}
