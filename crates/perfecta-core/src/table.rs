//! Tables: all that `index` needs.
//!
//! `index(key) = (A[v1(key)] + A[v2(key)]) & (edge_capacity - 1)`, where `A` is the assigned array.
//! For a key of the set that is its rank; for any other key it is some number below the edge
//! capacity.

use crate::family::{Family, MemberVisitor};
use crate::geometry::{ElementWidth, Geometry};
use crate::key::{Downsize, KeyWidth};
use crate::seeds::Seeds;

#[cfg(feature = "alloc")]
mod owned;

#[cfg(feature = "alloc")]
pub use self::owned::{Table, VerifyError};

/// Everything about a table but its array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// The hash family.
    pub family: Family,
    /// Seeds of the winning attempt.
    pub seeds: Seeds,
    /// Sizes of the graph.
    pub geometry: Geometry,
    /// Width of the keys as given, and as `index` takes them.
    pub key_width: KeyWidth,
    /// How wide keys that use few bits are made smaller before they are hashed.
    pub downsize: Option<Downsize>,
    /// Number of keys; their indexes are 0 to `num_keys - 1`.
    pub num_keys: u32,
    /// The smallest key.
    pub first_key: u64,
    /// The greatest key.
    pub last_key: u64,
}

impl Parameters {
    /// The width that the family hashes: that of the keys, or 32 bits after downsizing.
    #[must_use]
    pub const fn hashed_width(&self) -> KeyWidth {
        if self.downsize.is_some() { KeyWidth::Bits32 } else { self.key_width }
    }

    /// Width of an element of the assigned array.
    #[must_use]
    pub const fn element_width(&self) -> ElementWidth {
        self.geometry.element_width()
    }

    /// Bytes of the assigned array.
    #[must_use]
    pub const fn assigned_bytes(&self) -> usize {
        (self.geometry.vertices() as usize) << self.element_width().bytes_log2()
    }

    /// Whether the parts fit each other: counts within the geometry, seeds that the family could
    /// have drawn, a width that it hashes.
    #[must_use]
    pub fn are_consistent(&self) -> bool {
        let last_fits = self.key_width == KeyWidth::Bits64 || self.last_key <= u64::from(u32::MAX);
        self.num_keys > 0
            && self.num_keys <= self.geometry.edge_capacity()
            && self.first_key <= self.last_key
            && last_fits
            && self.last_key - self.first_key >= u64::from(self.num_keys) - 1
            && (self.downsize.is_none() || self.key_width == KeyWidth::Bits64)
            && (self.hashed_width() == KeyWidth::Bits32 || self.family == Family::Folded)
            && self.family.check_seeds(&self.seeds, self.geometry)
    }
}

/// Bytes that must follow the assigned array in memory, so that an element of any width can be read
/// as four bytes.
pub const PADDING_BYTES: usize = 4;

/// A table whose array lies elsewhere: in a [`Table`], or in a mapped file.
///
/// Invariant: `parameters.are_consistent()`, and `assigned` holds the array's elements as
/// little-endian words and [`PADDING_BYTES`] more.
#[derive(Debug, Clone, Copy)]
pub struct TableView<'a> {
    parameters: Parameters,
    assigned: &'a [u8],
}

impl<'a> TableView<'a> {
    /// A view of `assigned` (elements in little-endian order, then [`PADDING_BYTES`] bytes of any
    /// value), or `None` where that does not fit `parameters` or these are not consistent.
    #[must_use]
    pub fn new(parameters: Parameters, assigned: &'a [u8]) -> Option<Self> {
        let fits = parameters.are_consistent()
            && assigned.len() >= parameters.assigned_bytes() + PADDING_BYTES;
        fits.then_some(Self { parameters, assigned })
    }

    /// All but the array.
    #[must_use]
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The array's elements as little-endian words, without padding.
    #[must_use]
    pub fn assigned_bytes(&self) -> &'a [u8] {
        &self.assigned[..self.parameters.assigned_bytes()]
    }

    /// The array's elements, one for each vertex.
    pub fn elements(&self) -> impl Iterator<Item = u32> + 'a {
        let width = self.parameters.element_width().bytes();
        self.assigned_bytes().chunks_exact(width).map(|bytes| {
            bytes.iter().rev().fold(0, |element, &byte| element << 8 | u32::from(byte))
        })
    }

    /// The rank of `key` if it is a key of the set, and some number below the edge capacity if not.
    ///
    /// For tables of 32-bit keys, only the low 32 bits of `key` count.
    #[inline]
    #[must_use]
    pub fn index(&self, key: u64) -> u32 {
        let Parameters { family, seeds, geometry, .. } = &self.parameters;
        let (first, second) = match (self.parameters.downsize, self.parameters.key_width) {
            (Some(downsize), _) => {
                family.with_member_u32(seeds, *geometry, Vertices(downsize.apply(key)))
            }
            (None, KeyWidth::Bits32) => {
                family.with_member_u32(seeds, *geometry, Vertices(key as u32))
            }
            (None, KeyWidth::Bits64) => family.with_member_u64(seeds, *geometry, Vertices(key)),
        };
        self.element(first).wrapping_add(self.element(second)) & geometry.index_mask()
    }

    /// The element of `vertex` in the low bits; higher bits are those of its neighbours, and no sum
    /// that is masked to the edge capacity feels them. One load for every element width.
    #[inline(always)]
    fn element(&self, vertex: u32) -> u32 {
        let offset = (vertex as usize) << self.parameters.element_width().bytes_log2();
        let bytes = &self.assigned[offset..offset + PADDING_BYTES];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

struct Vertices<K>(K);

impl<K> MemberVisitor<K> for Vertices<K> {
    type Output = (u32, u32);

    #[inline(always)]
    fn visit<F: Fn(K) -> (u32, u32) + Copy>(self, vertices: F) -> (u32, u32) {
        vertices(self.0)
    }
}
