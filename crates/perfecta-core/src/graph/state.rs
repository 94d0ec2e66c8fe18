//! How wide the state of a graph is: 16 bits a vertex where they suffice, so that it stays in the
//! second-level cache, 32 bits above.

use core::fmt::Debug;

use zerocopy::{FromBytes, IntoBytes};

/// A vertex or an edge of a graph, and the word that holds what a vertex knows of its edges: their
/// number in the upper half, the xor of their ids in the lower.
pub(super) trait Width: Copy + Default + Debug + 'static {
    /// Number and xor of a vertex's edges in one word: adding or removing an edge is one load and
    /// one store.
    type Word: Copy + Default + Debug;

    /// Whether state this wide outgrows the caches, so that fetching ahead pays.
    const FETCHES_AHEAD: bool;

    /// The most vertices of a graph of this width.
    const VERTICES_MAX: u64 = 1 << (8 * size_of::<Self>());

    /// Narrows a value that is known to fit.
    fn from_u32(value: u32) -> Self;

    /// Widens it to an index.
    fn index(self) -> usize;

    /// `word` with `edge` added.
    fn with_edge(word: Self::Word, edge: Self) -> Self::Word;

    /// `word` with `edge` removed.
    fn without_edge(word: Self::Word, edge: Self) -> Self::Word;

    /// Whether the vertex has one edge.
    fn is_leaf(word: Self::Word) -> bool;

    /// The edge of a leaf.
    fn edge_of_leaf(word: Self::Word) -> Self;

    /// `elements`, cut to a length that the compiler knows to hold every index of this width, where
    /// there is one that small: indexing then needs no check.
    fn in_bounds<T>(elements: &mut [T]) -> &mut [T];

    /// The memory of `words`, taken as one 32-bit value for each word.
    fn values_in(words: &mut [Self::Word]) -> &mut [u32];
}

impl Width for u16 {
    type Word = u32;
    const FETCHES_AHEAD: bool = false;

    #[inline(always)]
    fn from_u32(value: u32) -> Self {
        value as Self
    }

    #[inline(always)]
    fn index(self) -> usize {
        usize::from(self)
    }

    #[inline(always)]
    fn with_edge(word: u32, edge: Self) -> u32 {
        (word + (1 << 16)) ^ u32::from(edge)
    }

    #[inline(always)]
    fn without_edge(word: u32, edge: Self) -> u32 {
        (word - (1 << 16)) ^ u32::from(edge)
    }

    #[inline(always)]
    fn is_leaf(word: u32) -> bool {
        word >> 16 == 1
    }

    #[inline(always)]
    fn edge_of_leaf(word: u32) -> Self {
        word as Self
    }

    #[inline(always)]
    fn in_bounds<T>(elements: &mut [T]) -> &mut [T] {
        &mut elements[..1 << 16]
    }

    fn values_in(words: &mut [u32]) -> &mut [u32] {
        words
    }
}

impl Width for u32 {
    type Word = u64;
    const FETCHES_AHEAD: bool = true;

    #[inline(always)]
    fn from_u32(value: u32) -> Self {
        value
    }

    #[inline(always)]
    fn index(self) -> usize {
        self as usize
    }

    #[inline(always)]
    fn with_edge(word: u64, edge: Self) -> u64 {
        (word + (1 << 32)) ^ u64::from(edge)
    }

    #[inline(always)]
    fn without_edge(word: u64, edge: Self) -> u64 {
        (word - (1 << 32)) ^ u64::from(edge)
    }

    #[inline(always)]
    fn is_leaf(word: u64) -> bool {
        word >> 32 == 1
    }

    #[inline(always)]
    fn edge_of_leaf(word: u64) -> Self {
        word as Self
    }

    #[inline(always)]
    fn in_bounds<T>(elements: &mut [T]) -> &mut [T] {
        elements
    }

    fn values_in(words: &mut [u64]) -> &mut [u32] {
        let len = words.len();
        let values = <[u32]>::mut_from_bytes(words.as_mut_bytes());
        &mut values.expect("64-bit words are aligned for 32-bit ones")[..len]
    }
}

/// Asks for `slice[index]` to be brought near. Out of range it does nothing.
#[inline(always)]
pub(super) fn fetch_ahead<T>(slice: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(place) = slice.get(index) {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing; every x86-64 has it.
        unsafe { _mm_prefetch(core::ptr::from_ref(place).cast::<i8>(), _MM_HINT_T0) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (slice, index);
}
