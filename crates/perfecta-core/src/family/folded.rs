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
pub(crate) struct Member {
    addend: u64,
    multiplier: u64,
    mask: u32,
    shift: u32,
}

impl Member {
    #[inline(always)]
    pub(crate) fn new(seeds: &Seeds, geometry: Geometry) -> Self {
        Self {
            addend: u64::from(seeds.word(1)),
            multiplier: seeds.wide(3, 2) | 1,
            mask: geometry.hash_mask(),
            shift: 64 - u32::from(geometry.vertices_log2()),
        }
    }

    #[inline(always)]
    pub(crate) fn vertices_u32(self, key: u32) -> (u32, u32) {
        self.vertices_u64(u64::from(key))
    }

    #[inline(always)]
    pub(crate) fn vertices_u64(self, key: u64) -> (u32, u32) {
        self.cut(folded_product(key ^ self.addend, self.multiplier))
    }

    #[inline(always)]
    fn cut(self, hash: u64) -> (u32, u32) {
        (hash as u32 & self.mask, (hash >> self.shift) as u32)
    }
}

/// The same formulas in multiplies of 32 x 32 bits, which vector units have: for loops that the
/// compiler is to vectorise.
impl Member {
    /// As [`Self::vertices_u32`].
    #[inline(always)]
    pub(crate) fn vertices_u32_by_halves(self, key: u32) -> (u32, u32) {
        self.vertices_by_halves(u64::from(key) ^ self.addend, 0)
    }

    /// As [`Self::vertices_u64`].
    #[inline(always)]
    pub(crate) fn vertices_u64_by_halves(self, key: u64) -> (u32, u32) {
        let mixed = key ^ self.addend;
        self.vertices_by_halves(mixed & HALF, mixed >> 32)
    }

    /// The vertices of the mixed key `high:low`; a multiply by a `high` known to be 0 goes away.
    #[inline(always)]
    fn vertices_by_halves(self, low: u64, high: u64) -> (u32, u32) {
        let (multiplier_low, multiplier_high) = (self.multiplier & HALF, self.multiplier >> 32);
        let low_low = low * multiplier_low;
        let middle = low * multiplier_high + (low_low >> 32);
        let crossed = high * multiplier_low + (middle & HALF);
        let product_high = high * multiplier_high + (middle >> 32) + (crossed >> 32);
        let product_low = crossed << 32 | low_low & HALF;
        self.cut(product_high ^ product_low)
    }
}

/// The low half of a word.
const HALF: u64 = 0xffff_ffff;

/// The high and low halves of a 128-bit product, one xored onto the other.
#[inline(always)]
#[must_use]
pub const fn folded_product(left: u64, right: u64) -> u64 {
    let product = left as u128 * right as u128;
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_formulas_in_halves_are_the_same(key: u64, words: [u32; 3], log2 in 3u8..=30) {
            let seeds = Seeds::from_words([words[0], words[1], words[2], 0, 0, 0, 0, 0]);
            let member = Member::new(&seeds, Geometry::from_edge_capacity_log2(log2).unwrap());
            prop_assert_eq!(member.vertices_u64_by_halves(key), member.vertices_u64(key));
            let key = key as u32;
            prop_assert_eq!(member.vertices_u32_by_halves(key), member.vertices_u32(key));
        }
    }
}
