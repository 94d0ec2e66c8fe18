//! Many look-ups at once: keys are hashed in blocks by the CPU's vector unit, then the elements of a
//! block are loaded, all at the same time as far as the memory goes.
//!
//! Tried and left out, in nanoseconds a key on a Zen 5 core, tables in the L2 cache and of 10 million
//! keys: this with 256-bit vectors 0.66 and 8.4; 512-bit hashing with plain loads 0.69 and 10.3; 512-bit
//! hashing with gathers 1.14 and 8.2; the next block prefetched 1.11 and 8.2; no vectors 1.02 and 14.3.

use super::elements::Elements;
use super::{Parameters, TableView};
use crate::family::{Family, FoldedMember, MemberVisitor};
use crate::key::{Key, KeyWidth};

/// Keys of one block. The vertices of a block are 512 bytes and stay in the L1 cache.
const BLOCK: usize = 64;

impl TableView<'_> {
    /// Writes the index of every key to the same place of `indexes`; see [`TableView::index`].
    ///
    /// Quicker than a loop: keys are hashed by vector instructions where the CPU has AVX2 (asked at
    /// run time with the feature `std`), and the loads of many keys are under way at once.
    ///
    /// # Panics
    /// If the slices are not of one length.
    pub fn index_batch<K: Key>(&self, keys: &[K], indexes: &mut [u32]) {
        match (self.parameters.hashed_width(), self.parameters.downsize) {
            (KeyWidth::Bits32, None) => self.index_hashed(keys, indexes, |key| key.into() as u32),
            (KeyWidth::Bits32, Some(downsize)) => {
                self.index_hashed(keys, indexes, |key| downsize.apply(key.into()));
            }
            (KeyWidth::Bits64, _) => self.index_hashed(keys, indexes, Into::<u64>::into),
        }
    }

    /// As [`Self::index_batch`], of keys that become hashed ones by `hashed`.
    #[inline(always)]
    pub(super) fn index_hashed<K: Copy, H: HashedKey>(
        &self,
        keys: &[K],
        indexes: &mut [u32],
        hashed: impl Fn(K) -> H + Copy,
    ) {
        assert_eq!(keys.len(), indexes.len(), "as many indexes as keys");
        if self.parameters.family == Family::Folded {
            let sums = Sums { elements: self.elements, index_mask: self.index_mask };
            let member = self.folded;
            sums.of_all(
                keys,
                indexes,
                #[inline(always)]
                |key| hashed(key).vertices_in_lanes(member),
                #[inline(always)]
                |key| hashed(key).vertices(member),
            );
        } else {
            self.index_by_blocks(keys, indexes, hashed);
        }
    }

    /// Any other family: hashed a block at a time, so that the loop around it is not compiled for each.
    fn index_by_blocks<K: Copy, H: HashedKey>(
        &self,
        keys: &[K],
        indexes: &mut [u32],
        hashed: impl Fn(K) -> H,
    ) {
        let mut block = [H::default(); BLOCK];
        let mut vertices = [(0, 0); BLOCK];
        for (keys, indexes) in keys.chunks(BLOCK).zip(indexes.chunks_mut(BLOCK)) {
            for (place, &key) in block.iter_mut().zip(keys) {
                *place = hashed(key);
            }
            H::hash_block(&self.parameters, HashBlock { keys: &block, vertices: &mut vertices });
            for (index, &vertices) in indexes.iter_mut().zip(&vertices) {
                *index = self.sum(vertices);
            }
        }
    }
}

pub(super) struct HashBlock<'a, H> {
    keys: &'a [H; BLOCK],
    vertices: &'a mut [(u32, u32); BLOCK],
}

impl<H: HashedKey> MemberVisitor<H> for HashBlock<'_, H> {
    type Output = ();

    #[inline(never)]
    fn visit<F: Fn(H) -> (u32, u32) + Copy>(self, vertices: F) {
        for (place, &key) in self.vertices.iter_mut().zip(self.keys) {
            *place = vertices(key);
        }
    }
}

/// A key as it is hashed: 32 or 64 bits.
pub(super) trait HashedKey: Copy + Default {
    fn vertices(self, member: FoldedMember) -> (u32, u32);
    fn vertices_in_lanes(self, member: FoldedMember) -> (u32, u32);
    /// By the member of any family that hashes such keys.
    fn hash_block(parameters: &Parameters, block: HashBlock<'_, Self>);
}

impl HashedKey for u32 {
    #[inline(always)]
    fn vertices(self, member: FoldedMember) -> (u32, u32) {
        member.vertices(self.into())
    }

    #[inline(always)]
    fn vertices_in_lanes(self, member: FoldedMember) -> (u32, u32) {
        member.lanes_u32(self)
    }

    #[inline(always)]
    fn hash_block(parameters: &Parameters, block: HashBlock<'_, Self>) {
        let Parameters { family, seeds, geometry, .. } = parameters;
        family.with_member_u32(seeds, *geometry, block);
    }
}

impl HashedKey for u64 {
    #[inline(always)]
    fn vertices(self, member: FoldedMember) -> (u32, u32) {
        member.vertices(self)
    }

    #[inline(always)]
    fn vertices_in_lanes(self, member: FoldedMember) -> (u32, u32) {
        member.lanes_u64(self)
    }

    #[inline(always)]
    fn hash_block(parameters: &Parameters, block: HashBlock<'_, Self>) {
        let Parameters { family, seeds, geometry, .. } = parameters;
        family.with_member_u64(seeds, *geometry, block);
    }
}

/// Elements of two vertices each, added and cut to an index.
#[derive(Clone, Copy)]
struct Sums<'a> {
    elements: Elements<'a>,
    index_mask: u32,
}

impl Sums<'_> {
    /// The indexes of all keys, by what suits the CPU: `in_lanes` where vectors multiply 32 bits,
    /// `by_words` where there are none.
    #[inline(always)]
    fn of_all<K: Copy>(
        self,
        keys: &[K],
        indexes: &mut [u32],
        in_lanes: impl Fn(K) -> (u32, u32),
        by_words: impl Fn(K) -> (u32, u32),
    ) {
        #[cfg(all(target_arch = "x86_64", feature = "std"))]
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("bmi2") {
            // SAFETY: the CPU has these features.
            unsafe { self.of_all_avx2(keys, indexes, in_lanes) };
            return;
        }
        // Without a vector unit to ask for, only the architecture's own remains.
        let _ = in_lanes;
        self.of_blocks_any_width(keys, indexes, by_words);
    }

    #[cfg(all(target_arch = "x86_64", feature = "std"))]
    #[target_feature(enable = "avx2,bmi2")]
    fn of_all_avx2<K: Copy>(
        self,
        keys: &[K],
        indexes: &mut [u32],
        vertices: impl Fn(K) -> (u32, u32),
    ) {
        self.of_blocks_any_width(keys, indexes, vertices);
    }

    #[inline(always)]
    fn of_blocks_any_width<K: Copy>(
        self,
        keys: &[K],
        indexes: &mut [u32],
        vertices: impl Fn(K) -> (u32, u32),
    ) {
        match self.elements.width_log2() {
            0 => self.of_blocks::<0, K>(keys, indexes, vertices),
            1 => self.of_blocks::<1, K>(keys, indexes, vertices),
            _ => self.of_blocks::<2, K>(keys, indexes, vertices),
        }
    }

    #[inline(always)]
    fn of_blocks<const WIDTH_LOG2: u8, K: Copy>(
        self,
        keys: &[K],
        indexes: &mut [u32],
        vertices: impl Fn(K) -> (u32, u32),
    ) {
        let (blocks, rest) = keys.as_chunks::<BLOCK>();
        let (block_indexes, rest_indexes) = indexes.as_chunks_mut::<BLOCK>();
        for (keys, indexes) in blocks.iter().zip(block_indexes) {
            self.of_block::<WIDTH_LOG2, K>(keys, indexes, &vertices);
        }
        if let Some(&any) = rest.first() {
            let mut keys = [any; BLOCK];
            keys[..rest.len()].copy_from_slice(rest);
            let mut indexes = [0; BLOCK];
            self.of_block::<WIDTH_LOG2, K>(&keys, &mut indexes, &vertices);
            rest_indexes.copy_from_slice(&indexes[..rest.len()]);
        }
    }

    #[inline(always)]
    fn of_block<const WIDTH_LOG2: u8, K: Copy>(
        self,
        keys: &[K; BLOCK],
        indexes: &mut [u32; BLOCK],
        vertices: &impl Fn(K) -> (u32, u32),
    ) {
        // Two arrays, not one of pairs: vectors are stored without a shuffle.
        let (mut first, mut second) = ([0; BLOCK], [0; BLOCK]);
        for place in 0..BLOCK {
            (first[place], second[place]) = vertices(keys[place]);
        }
        for place in 0..BLOCK {
            let vertices = (first[place], second[place]);
            // SAFETY: a member's vertices are below those of its geometry, and the elements' width
            // is the one that was asked for.
            let sum = unsafe { self.elements.sum_fixed::<WIDTH_LOG2>(vertices) };
            indexes[place] = sum & self.index_mask;
        }
    }
}
