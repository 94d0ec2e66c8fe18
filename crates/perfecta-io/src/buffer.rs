//! Bytes that are read into.

use std::fmt;

/// A buffer: initialised memory, the first part of which holds what was read.
///
/// Invariant: `filled <= memory.len()`. Memory that was once used is not cleared: reading replaces it.
#[derive(Default)]
pub struct Buffer {
    memory: Vec<u8>,
    filled: usize,
}

impl Buffer {
    /// What was read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.memory[..self.filled]
    }

    /// Room for `bytes` bytes; what was read before is forgotten.
    pub(crate) fn empty_for(&mut self, bytes: usize) {
        self.filled = 0;
        if self.memory.len() < bytes {
            self.memory.resize(bytes, 0);
        }
    }

    /// What is not filled yet, of the first `bytes` bytes.
    pub(crate) fn rest(&mut self, bytes: usize) -> &mut [u8] {
        &mut self.memory[self.filled..bytes]
    }

    /// So many bytes of the rest were filled.
    pub(crate) fn fill(&mut self, count: usize) {
        assert!(count <= self.memory.len() - self.filled, "more was read than there was room for");
        self.filled += count;
    }

    /// Whether it has memory that is worth keeping.
    #[must_use]
    pub const fn has_memory(&self) -> bool {
        !self.memory.is_empty()
    }

    /// What was read, as a vector of its own.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        let mut memory = self.memory;
        memory.truncate(self.filled);
        memory
    }

    /// Bytes read so far.
    pub(crate) const fn filled(&self) -> usize {
        self.filled
    }
}

/// A buffer that was filled with these bytes.
impl From<Vec<u8>> for Buffer {
    fn from(memory: Vec<u8>) -> Self {
        Self { filled: memory.len(), memory }
    }
}

impl std::ops::Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Buffer({} of {} bytes)", self.filled, self.memory.len())
    }
}
