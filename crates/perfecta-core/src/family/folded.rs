//! perfecta's own family: a folded multiply.
//!
//! `p = (key ^ s1) * m`, 64 x 64 -> 128 bits, with the odd multiplier `m = s3:s2 | 1`;
//! `h = high(p) ^ low(p)`; one vertex is the low bits of `h`, the other its high bits. The seed is
//! mixed in before the multiply so that key 0 is a key like any other. One multiply serves both
//! vertices, and keys of 32 and 64 bits share the formula.

use crate::geometry::Geometry;
use crate::seeds::Seeds;

pub(super) const NUM_SEEDS: u8 = 3;

#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    addend: u64,
    multiplier: u64,
    mask: u32,
    shift: u32,
}

impl Member {
    #[inline(always)]
    pub(super) fn new(seeds: &Seeds, geometry: Geometry) -> Self {
        Self {
            addend: u64::from(seeds.word(1)),
            multiplier: seeds.wide(3, 2) | 1,
            mask: geometry.hash_mask(),
            shift: 64 - u32::from(geometry.vertices_log2()),
        }
    }

    #[inline(always)]
    pub(super) fn vertices_u32(self, key: u32) -> (u32, u32) {
        self.vertices_u64(u64::from(key))
    }

    #[inline(always)]
    pub(super) fn vertices_u64(self, key: u64) -> (u32, u32) {
        let hash = folded_product(key ^ self.addend, self.multiplier);
        (hash as u32 & self.mask, (hash >> self.shift) as u32)
    }
}

/// The high and low halves of a 128-bit product, one xored onto the other.
#[inline(always)]
#[must_use]
pub const fn folded_product(left: u64, right: u64) -> u64 {
    let product = left as u128 * right as u128;
    (product >> 64) as u64 ^ product as u64
}
