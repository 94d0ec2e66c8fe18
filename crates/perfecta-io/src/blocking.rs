//! The plain backend: calls that do not wait for a device are made where an operation is submitted;
//! those that do are made by a few threads, or, without such threads, there as well.

#![expect(
    private_bounds,
    reason = "users have engines of the host; this crate knows other systems"
)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::engine::{Completion, Engine, Token};
#[cfg(feature = "simulation")]
use crate::faults::{FaultPlan, Faulty};
use crate::host::Host;
use crate::io_threads::{Ending, Errand, IoThreads};
use crate::mailbox::Mailbox;
use crate::op::{Op, Outcome};
use crate::ops::{self, Paused, Progress};
use crate::system::System;

/// Executes operations with blocking calls of the host.
pub struct BlockingEngine<S = Host> {
    system: S,
    io_threads: Option<Arc<IoThreads>>,
    completed: VecDeque<Completion>,
    mailbox: Arc<Mailbox>,
    /// Operations that an I/O thread has.
    num_away: usize,
}

impl BlockingEngine {
    /// An engine that leaves what has to wait to `io_threads`; without them its own thread waits.
    #[must_use]
    pub fn new(io_threads: Option<Arc<IoThreads>>) -> Self {
        Self::on(Host::default(), io_threads)
    }

    /// An engine like it whose calls go wrong by a plan.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn with_faults(
        io_threads: Option<Arc<IoThreads>>,
        plan: Arc<FaultPlan>,
    ) -> impl Engine + Send + use<> {
        BlockingEngine::on(Faulty::new(Host::default(), plan), io_threads)
    }
}

impl Default for BlockingEngine {
    fn default() -> Self {
        Self::new(None)
    }
}

impl<S: System> BlockingEngine<S> {
    /// More would only wait in the queue.
    const IN_FLIGHT_MAX: usize = 1024;

    pub(crate) fn on(system: S, io_threads: Option<Arc<IoThreads>>) -> Self {
        Self::with_mailbox(system, io_threads, Arc::default())
    }

    pub(crate) fn with_mailbox(
        system: S,
        io_threads: Option<Arc<IoThreads>>,
        mailbox: Arc<Mailbox>,
    ) -> Self {
        Self { system, io_threads, completed: VecDeque::new(), mailbox, num_away: 0 }
    }

    #[cfg_attr(not(ring), allow(dead_code, reason = "asked by rings alone"))]
    /// Whether a completion is there that nobody else has to bring.
    pub(crate) fn has_completed(&self) -> bool {
        !self.completed.is_empty()
    }

    pub(crate) fn complete(&mut self, token: Token, outcome: Outcome) {
        self.completed.push_back(Completion { token, outcome });
    }

    /// Leaves it to somebody else to wait, if there is anybody.
    pub(crate) fn send_away(&mut self, token: Token, paused: Paused<S>) {
        let Some(io_threads) = &self.io_threads else {
            let outcome = paused.finish(&self.system);
            return self.complete(token, outcome);
        };
        let (system, mailbox) = (self.system.clone(), Arc::clone(&self.mailbox));
        let end = Box::new(move |ending| match ending {
            Ending::Finished => paused.finish(&system),
            Ending::Cancelled => paused.cancelled(),
        });
        self.num_away += 1;
        io_threads.send(Errand { token, mailbox, end });
    }
}

impl<S: System> Engine for BlockingEngine<S> {
    fn submit(&mut self, token: Token, op: Op) {
        assert!(self.num_in_flight() < Self::IN_FLIGHT_MAX, "{token:?} has no room");
        match ops::begin(&self.system, op) {
            Progress::Done(outcome) => self.complete(token, outcome),
            Progress::Paused(paused) => self.send_away(token, paused),
        }
    }

    fn poll(&mut self) -> Option<Completion> {
        if let Some(completion) = self.completed.pop_front() {
            return Some(completion);
        }
        if self.num_away == 0 {
            return None;
        }
        let completion = self.mailbox.take()?;
        self.num_away -= 1;
        Some(completion)
    }

    fn wait(&mut self, timeout: Option<Duration>) {
        if self.completed.is_empty() {
            self.mailbox.wait(timeout);
        }
    }

    fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.mailbox))
    }

    fn cancel(&mut self, token: Token) {
        if let Some(io_threads) = &self.io_threads {
            io_threads.cancel(&self.mailbox, token);
        }
    }

    fn num_in_flight(&self) -> usize {
        self.completed.len() + self.num_away
    }

    fn capacity(&self) -> usize {
        Self::IN_FLIGHT_MAX
    }
}
