//! The interface between jobs and the system.

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
///          submit            next_completion
///   Op ------------> in flight ------------> Completion
/// ```
///
/// An engine belongs to one thread. It owns an operation, buffers included, from submission to
/// completion; there is no way to take one back early.
pub trait Engine {
    /// Takes an operation. Up to [`Self::capacity`] may be in flight.
    ///
    /// # Panics
    /// If there is no room: whoever submits counts what it has in flight.
    fn submit(&mut self, token: Token, op: Op);

    /// The next completion, waited for; `None` if nothing is in flight.
    fn next_completion(&mut self) -> Option<Completion>;

    /// Operations submitted and not yet handed back.
    fn num_in_flight(&self) -> usize;

    /// The most operations that may be in flight.
    fn capacity(&self) -> usize;
}
