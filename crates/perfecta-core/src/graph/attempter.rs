//! Attempts on one key set, as fast as they can fail.

use alloc::vec::Vec;

use super::{Outcome, plain};
use crate::family::Family;
use crate::geometry::Geometry;
use crate::key::Keys;
use crate::seeds::Seeds;

/// Memory of attempts, kept from one key set to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    assigned: Vec<u32>,
}

/// Runs attempts on one key set.
#[derive(Debug)]
pub struct Attempter<'a> {
    keys: &'a Keys,
    scratch: &'a mut Scratch,
}

impl<'a> Attempter<'a> {
    /// For `keys`, in borrowed memory.
    #[must_use]
    pub fn new(keys: &'a Keys, scratch: &'a mut Scratch) -> Self {
        Self { keys, scratch }
    }

    /// Bytes of memory that attempts on `num_keys` keys take, the keys themselves not counted.
    #[must_use]
    pub fn memory_bytes(num_keys: usize, geometry: Geometry) -> u64 {
        num_keys as u64 * 12 + u64::from(geometry.vertices()) * 13
    }

    /// What comes of `seeds`.
    pub fn outcome(&mut self, family: Family, seeds: &Seeds, geometry: Geometry) -> Outcome {
        plain::attempt(self.keys, family, seeds, geometry).outcome
    }

    /// The assigned value of every vertex, for seeds whose outcome is [`Outcome::Acyclic`].
    ///
    /// # Panics
    /// If it is another.
    pub fn assign(&mut self, family: Family, seeds: &Seeds, geometry: Geometry) -> &[u32] {
        let attempt = plain::attempt(self.keys, family, seeds, geometry);
        self.scratch.assigned = attempt.assigned.expect("only an acyclic graph can be assigned");
        &self.scratch.assigned
    }
}
