//! One attempt: the graph of all keys under one member of a family, and what comes of it.

mod attempter;
mod kernel;
mod key_order;
mod obstacle;
mod peel;
pub mod plain;
mod screen;
mod state;
mod vector_unit;

#[cfg(test)]
mod tests;

pub use self::attempter::{Attempter, Scratch};
pub use self::obstacle::Obstacle;

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
