//! One attempt: the graph of all keys under one member of a family, and what comes of it.

mod attempter;
pub mod plain;

pub use self::attempter::{Attempter, Scratch};

/// What came of an attempt. It depends on keys, family, seeds and geometry alone, never on the order
/// in which keys were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Some key has the same vertex twice.
    VertexCollision,
    /// No key has, but the graph holds a cycle.
    Cyclic,
    /// The graph can be peeled and assigned.
    Acyclic,
}
