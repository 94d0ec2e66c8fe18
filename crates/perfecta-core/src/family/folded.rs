//! perfecta's own family: a folded multiply of two factors that both depend on the key.
//!
//! ```text
//! x  = key ^ s1                      s1 zero-extended to 64 bits
//! y  = key ^ (s3 << 32 | s2)         key zero-extended to 64 bits
//! h  = high64(x * y) ^ low64(x * y)  the full 128-bit product
//! v1 = low32(h)  >> (32 - log2 V)
//! v2 = high32(h) >> (32 - log2 V)    the same as h >> (64 - log2 V)
//! ```
//!
//! The words are used as drawn. Key 0 is a key like any other, keys of 32 and 64 bits share the
//! formula, and the vertices take the upper bits of the two halves of `h`, so that they never share
//! a bit. A key equal to `s1` (or to `s3:s2`) has `v1 == v2`: that attempt fails and the next one,
//! with other seeds, does not.
//!
//! Why two factors: a product of the key with a constant, folded or not, takes arithmetic
//! progressions to near progressions and so makes short cycles (0 of 800 attempts on random 4 KiB
//! addresses). Measured forms, rates and costs: `docs/decisions/0002-folded-multiply.md`.

use crate::geometry::Geometry;
use crate::seeds::Seeds;

pub(super) const NUM_SEEDS: u8 = 3;

/// The family with seeds and geometry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    narrow: u64,
    wide: u64,
    vertices_log2: u32,
}

impl Member {
    #[inline(always)]
    pub(crate) const fn new(seeds: &Seeds, geometry: Geometry) -> Self {
        Self {
            narrow: seeds.word(1) as u64,
            wide: seeds.wide(3, 2),
            vertices_log2: geometry.vertices_log2() as u32,
        }
    }

    /// The vertices of a key of either width, zero-extended, by one 128-bit multiply: the quickest
    /// form for one key on a 64-bit processor.
    #[inline(always)]
    pub(crate) const fn vertices(self, key: u64) -> (u32, u32) {
        let product = (key ^ self.narrow) as u128 * (key ^ self.wide) as u128;
        let folded = (product >> 64) as u64 ^ product as u64;
        (folded as u32 >> (32 - self.vertices_log2), (folded >> (64 - self.vertices_log2)) as u32)
    }

    /// The same for a 32-bit key by two 32 x 32 -> 64-bit products, which vector units have.
    #[inline(always)]
    pub(crate) const fn lanes_u32(self, key: u32) -> (u32, u32) {
        let x = (key ^ self.narrow as u32) as u64;
        let low = x * (key ^ self.wide as u32) as u64;
        // At most (2^32 - 1)^2 + 2^32 - 1: no overflow.
        let high = x * (self.wide >> 32) + (low >> 32);
        let shift = 32 - self.vertices_log2;
        ((low as u32 ^ (high >> 32) as u32) >> shift, high as u32 >> shift)
    }

    /// The same for a 64-bit key by four 32 x 32 -> 64-bit products.
    #[inline(always)]
    pub(crate) const fn lanes_u64(self, key: u64) -> (u32, u32) {
        const LOW: u64 = 0xffff_ffff;
        let (x, y) = (key ^ self.narrow, key ^ self.wide);
        let (x0, x1, y0, y1) = (x & LOW, x >> 32, y & LOW, y >> 32);
        let low = x0 * y0;
        // Neither sum can overflow: a 32 x 32-bit product leaves room for two 32-bit values.
        let middle = x1 * y0 + (low >> 32);
        let cross = x0 * y1 + (middle & LOW);
        let high = x1 * y1 + (middle >> 32) + (cross >> 32);
        let shift = 32 - self.vertices_log2;
        ((low as u32 ^ high as u32) >> shift, (cross as u32 ^ (high >> 32) as u32) >> shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn member(words: [u32; 3], vertices_log2: u8) -> Member {
        let seeds = Seeds::from_words([words[0], words[1], words[2], 0, 0, 0, 0, 0]);
        Member::new(&seeds, Geometry::from_edge_capacity_log2(vertices_log2 - 1).unwrap())
    }

    /// Straight from the definition.
    fn definition(key: u64, words: [u32; 3], vertices_log2: u8) -> (u32, u32) {
        let y = u64::from(words[2]) << 32 | u64::from(words[1]);
        let product = u128::from(key ^ u64::from(words[0])) * u128::from(key ^ y);
        let folded = (product >> 64 ^ product) & u128::from(u64::MAX);
        let top = |half: u128| (half >> (32 - vertices_log2)) as u32;
        (top(folded & 0xffff_ffff), top(folded >> 32))
    }

    proptest! {
        #[test]
        fn every_form_is_the_definition(
            key: u64, wide: bool, words: [u32; 3], vertices_log2 in 4u8..=31
        ) {
            let member = member(words, vertices_log2);
            let key = if wide { key } else { key & 0xffff_ffff };
            let expected = definition(key, words, vertices_log2);
            prop_assert_eq!(member.vertices(key), expected);
            prop_assert_eq!(member.lanes_u64(key), expected);
            if !wide {
                prop_assert_eq!(member.lanes_u32(key as u32), expected);
            }
        }
    }

    #[test]
    fn the_vertices_of_attempt_1_at_the_default_seed_stay_what_they_are() {
        let check = |key: u64, vertices_log2: u8, expected: (u32, u32)| {
            let member = member([0x4fb8_349a, 0x64e0_e8dd, 0x9740_4146], vertices_log2);
            assert_eq!(member.vertices(key), expected, "key {key:#x}, {vertices_log2} bits");
        };
        check(0, 4, (0xd, 0xa));
        check(0, 28, (0x0df6_9519, 0x0ada_37a5));
        check(1, 16, (0x2a80, 0x44e3));
        check(0x9800_1000, 16, (0x435f, 0x8f3b));
        check(0xffff_ffff, 28, (0x0cd2_c81b, 0x0455_7236));
        check(0x7fff_1234_5670, 28, (0x0907_1412, 0x06ed_6106));
        check(u64::MAX, 16, (0xdf8a, 0x2c5c));
    }
}
