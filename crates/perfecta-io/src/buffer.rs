//! Bytes that are read into.

use std::fmt;

use crate::pool::PooledBuffer;

/// A buffer: initialised memory, the first part of which holds what was read.
///
/// Invariant: `filled <= memory.len()`. Memory that was once used is not cleared: reading replaces it.
#[derive(Default)]
pub struct Buffer {
    memory: Memory,
    filled: usize,
}

/// Where a buffer's memory is from.
enum Memory {
    /// The heap: it grows as needed.
    Heap(Vec<u8>),
    /// A pool: where it is too small, the heap takes its place.
    Pooled(PooledBuffer),
}

impl Default for Memory {
    fn default() -> Self {
        Self::Heap(Vec::new())
    }
}

impl Memory {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Heap(memory) => memory,
            Self::Pooled(memory) => memory,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(memory) => memory,
            Self::Pooled(memory) => memory,
        }
    }
}

impl Buffer {
    /// What was read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.memory.bytes()[..self.filled]
    }

    /// Bytes of the heap that it holds, which may be worth keeping; those of a pool are kept by the pool.
    #[must_use]
    pub const fn heap_bytes(&self) -> usize {
        match &self.memory {
            Memory::Heap(memory) => memory.capacity(),
            Memory::Pooled(_) => 0,
        }
    }

    /// What was read, as a vector of its own.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        match self.memory {
            Memory::Heap(mut memory) => {
                memory.truncate(self.filled);
                memory
            }
            Memory::Pooled(memory) => memory[..self.filled].to_vec(),
        }
    }

    /// Room for `bytes` bytes; what was read before is forgotten.
    pub(crate) fn empty_for(&mut self, bytes: usize) {
        self.filled = 0;
        if self.memory.bytes().len() >= bytes {
            return;
        }
        match &mut self.memory {
            Memory::Heap(memory) => memory.resize(bytes, 0),
            Memory::Pooled(_) => self.memory = Memory::Heap(vec![0; bytes]),
        }
    }

    /// What is not filled yet, of the first `bytes` bytes.
    pub(crate) fn rest(&mut self, bytes: usize) -> &mut [u8] {
        &mut self.memory.bytes_mut()[self.filled..bytes]
    }

    /// So many bytes of the rest were filled.
    pub(crate) fn fill(&mut self, count: usize) {
        let room = self.memory.bytes().len() - self.filled;
        assert!(count <= room, "more was read than there was room for");
        self.filled += count;
    }

    /// Keeps its memory from ever being used again. A pool has its budget back.
    #[cfg(ring)]
    pub(crate) fn lose(self) {
        match self.memory {
            Memory::Heap(memory) => std::mem::forget(memory),
            Memory::Pooled(memory) => memory.lose(),
        }
    }

    /// Bytes read so far.
    pub(crate) const fn filled(&self) -> usize {
        self.filled
    }
}

/// A buffer that was filled with these bytes.
impl From<Vec<u8>> for Buffer {
    fn from(memory: Vec<u8>) -> Self {
        Self { filled: memory.len(), memory: Memory::Heap(memory) }
    }
}

/// An empty buffer of a pool.
impl From<PooledBuffer> for Buffer {
    fn from(memory: PooledBuffer) -> Self {
        Self { memory: Memory::Pooled(memory), filled: 0 }
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
        write!(formatter, "Buffer({} of {} bytes)", self.filled, self.memory.bytes().len())
    }
}
