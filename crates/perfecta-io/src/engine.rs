//! The interface between jobs and the system.

use std::task::Waker;
use std::time::Duration;

use crate::op::{Op, Outcome};

/// Names an operation in flight. The submitter chooses it; the engine only hands it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// The end of an operation.
#[derive(Debug)]
pub struct Completion {
    /// Which operation.
    pub token: Token,
    /// What came of it.
    pub outcome: Outcome,
}

/// Takes operations and completes each exactly once, in any order.
///
/// ```text
///          submit               poll
///   Op ------------> in flight ------> Completion
///                        ^  wait: until poll has something, a waker was used, or time is up
/// ```
///
/// An engine belongs to one thread, which never waits but in [`Self::wait`]. It owns an operation,
/// buffers included, from submission to completion; there is no way to take one back early.
pub trait Engine {
    /// Takes an operation. Up to [`Self::capacity`] may be in flight.
    ///
    /// # Panics
    /// If there is no room: whoever submits counts what it has in flight.
    fn submit(&mut self, token: Token, op: Op);

    /// A completion that is there; waits for nothing.
    fn poll(&mut self) -> Option<Completion>;

    /// Waits until there is a completion, until somebody used a [`Self::waker`] since the last wait,
    /// or for `timeout`. May return for no reason.
    fn wait(&mut self, timeout: Option<Duration>);

    /// Ends a wait of this engine, from any thread: the one that is, or else the next.
    fn waker(&self) -> Waker;

    /// Asks that an operation end early. Its completion comes all the same, as a success or as an
    /// error of kind [`Cancelled`](crate::IoErrorKind::Cancelled).
    fn cancel(&mut self, token: Token);

    /// Operations submitted and not yet handed back.
    fn num_in_flight(&self) -> usize;

    /// The most operations that may be in flight.
    fn capacity(&self) -> usize;
}

/// Submits an operation and waits for it: for set-up, teardown, and whatever has nothing else to do.
///
/// # Panics
/// If another operation is in flight.
pub fn call(engine: &mut dyn Engine, op: Op) -> Outcome {
    assert_eq!(engine.num_in_flight(), 0, "operations in flight");
    engine.submit(Token(0), op);
    loop {
        if let Some(completion) = engine.poll() {
            return completion.outcome;
        }
        engine.wait(None);
    }
}
