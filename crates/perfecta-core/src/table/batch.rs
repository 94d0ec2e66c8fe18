//! Many look-ups at once: keys are hashed in blocks by whatever vector unit the CPU has, then the
//! elements of a block are loaded, all at the same time as far as the memory goes.
//!
//! Loads are plain ones: gathers of AVX-512 took longer on the machines at hand (two loads of each
//! key against the four that such a CPU starts in a cycle).

use super::{Parameters, TableView};
use crate::family::{Family, FoldedMember, MemberVisitor};
use crate::key::{Key, KeyWidth};

/// Keys of one block. Its buffers are 1 KiB and stay in the L1 cache.
pub(super) const BLOCK: usize = 64;

/// The vertices of the keys of one block.
pub(super) struct Vertices {
    first: [u32; BLOCK],
    second: [u32; BLOCK],
}

impl TableView<'_> {
    /// Writes the index of every key to the same place of `indexes`; see [`TableView::index`].
    ///
    /// # Panics
    /// If the slices are not of one length.
    pub fn index_batch<K: Key>(&self, keys: &[K], indexes: &mut [u32]) {
        assert_eq!(keys.len(), indexes.len(), "as many indexes as keys");
        match self.parameters.hashed_width() {
            KeyWidth::Bits32 => self.index_blocks(keys, indexes, |key| self.narrowed(key)),
            KeyWidth::Bits64 => self.index_blocks(keys, indexes, Into::<u64>::into),
        }
    }

    /// A key as it is hashed, if 32 bits are.
    #[inline(always)]
    fn narrowed<K: Key>(&self, key: K) -> u32 {
        match self.parameters.downsize {
            Some(downsize) => downsize.apply(key.into()),
            None => key.into() as u32,
        }
    }

    /// As [`Self::index_batch`], of keys that become hashed ones by `hashed`.
    #[inline(always)]
    pub(super) fn index_blocks<K: Copy, H: HashedKey>(
        &self,
        keys: &[K],
        indexes: &mut [u32],
        hashed: impl Fn(K) -> H,
    ) {
        let unit = VectorUnit::detect();
        let mut block = [H::default(); BLOCK];
        let mut vertices = Vertices { first: [0; BLOCK], second: [0; BLOCK] };
        for (keys, indexes) in keys.chunks(BLOCK).zip(indexes.chunks_mut(BLOCK)) {
            for (place, &key) in block.iter_mut().zip(keys) {
                *place = hashed(key);
            }
            H::hash_block(self, unit, &block, &mut vertices);
            self.sum_block(&vertices, indexes);
        }
    }

    /// The indexes of the first keys of a block, as many as there is room for.
    #[inline(always)]
    fn sum_block(&self, vertices: &Vertices, indexes: &mut [u32]) {
        match self.elements.width_log2() {
            0 => self.sum_block_fixed::<0>(vertices, indexes),
            1 => self.sum_block_fixed::<1>(vertices, indexes),
            _ => self.sum_block_fixed::<2>(vertices, indexes),
        }
    }

    #[inline(always)]
    fn sum_block_fixed<const WIDTH_LOG2: u8>(&self, vertices: &Vertices, indexes: &mut [u32]) {
        let pairs = vertices.first.iter().zip(&vertices.second);
        for (index, (&first, &second)) in indexes.iter_mut().zip(pairs) {
            // SAFETY: a member's vertices are below those of its geometry, and the width is the
            // one that was asked for.
            let sum = unsafe { self.elements.sum_fixed::<WIDTH_LOG2>((first, second)) };
            *index = sum & self.index_mask;
        }
    }
}

/// A key as it is hashed: 32 or 64 bits.
pub(super) trait HashedKey: Copy + Default {
    /// Hashes a block; places beyond the last key hold any key.
    fn hash_block(
        view: &TableView<'_>,
        unit: VectorUnit,
        keys: &[Self; BLOCK],
        vertices: &mut Vertices,
    );
}

impl HashedKey for u32 {
    #[inline(always)]
    fn hash_block(
        view: &TableView<'_>,
        unit: VectorUnit,
        keys: &[Self; BLOCK],
        vertices: &mut Vertices,
    ) {
        let Parameters { family, seeds, geometry, .. } = &view.parameters;
        match family {
            Family::Folded => unit.hash_u32(view.folded, keys, vertices),
            Family::Reference(_) => {
                family.with_member_u32(seeds, *geometry, HashBlock { keys, vertices });
            }
        }
    }
}

impl HashedKey for u64 {
    #[inline(always)]
    fn hash_block(
        view: &TableView<'_>,
        unit: VectorUnit,
        keys: &[Self; BLOCK],
        vertices: &mut Vertices,
    ) {
        // No other family hashes 64 bits.
        unit.hash_u64(view.folded, keys, vertices);
    }
}

struct HashBlock<'a, K> {
    keys: &'a [K; BLOCK],
    vertices: &'a mut Vertices,
}

impl<K: Copy> MemberVisitor<K> for HashBlock<'_, K> {
    type Output = ();

    #[inline(always)]
    fn visit<F: Fn(K) -> (u32, u32) + Copy>(self, vertices: F) {
        let Vertices { first, second } = self.vertices;
        for (&key, (first, second)) in self.keys.iter().zip(first.iter_mut().zip(second)) {
            (*first, *second) = vertices(key);
        }
    }
}

/// What hashes a block of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VectorUnit {
    /// What every CPU of this architecture has.
    Portable,
    #[cfg(all(target_arch = "x86_64", feature = "std"))]
    Avx2(Avx2),
    #[cfg(all(target_arch = "x86_64", feature = "std"))]
    Avx512(Avx512),
}

impl VectorUnit {
    /// The best one of this CPU; without the feature `std` there is no way to ask for it.
    #[inline(always)]
    fn detect() -> Self {
        #[cfg(all(target_arch = "x86_64", feature = "std"))]
        {
            if let Some(unit) = Avx512::detect() {
                return Self::Avx512(unit);
            }
            if let Some(unit) = Avx2::detect() {
                return Self::Avx2(unit);
            }
        }
        Self::Portable
    }

    #[inline(always)]
    fn hash_u32(self, member: FoldedMember, keys: &[u32; BLOCK], vertices: &mut Vertices) {
        match self {
            Self::Portable => hash_u32_portable(member, keys, vertices),
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Self::Avx2(unit) => unit.hash_u32(member, keys, vertices),
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Self::Avx512(unit) => unit.hash_u32(member, keys, vertices),
        }
    }

    #[inline(always)]
    fn hash_u64(self, member: FoldedMember, keys: &[u64; BLOCK], vertices: &mut Vertices) {
        match self {
            Self::Portable => hash_u64_portable(member, keys, vertices),
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Self::Avx2(unit) => unit.hash_u64(member, keys, vertices),
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Self::Avx512(unit) => unit.hash_u64(member, keys, vertices),
        }
    }
}

fn hash_u32_portable(member: FoldedMember, keys: &[u32; BLOCK], vertices: &mut Vertices) {
    HashBlock { keys, vertices }.visit(|key| member.vertices_u32(key));
}

fn hash_u64_portable(member: FoldedMember, keys: &[u64; BLOCK], vertices: &mut Vertices) {
    HashBlock { keys, vertices }.visit(|key| member.vertices_u64(key));
}

/// A vector unit: a proof that the CPU has it, and plain loops compiled for it.
#[cfg(all(target_arch = "x86_64", feature = "std"))]
macro_rules! vector_unit {
    ($(#[$doc:meta])* $unit:ident: $features:literal = $($feature:tt),*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) struct $unit(());

        impl $unit {
            #[inline(always)]
            fn detect() -> Option<Self> {
                let present = $(std::is_x86_feature_detected!($feature))&&*;
                present.then_some(Self(()))
            }

            #[inline(always)]
            fn hash_u32(self, member: FoldedMember, keys: &[u32; BLOCK], vertices: &mut Vertices) {
                #[target_feature(enable = $features)]
                fn hash(member: FoldedMember, keys: &[u32; BLOCK], vertices: &mut Vertices) {
                    HashBlock { keys, vertices }.visit(
                        #[inline(always)]
                        |key| member.vertices_u32_by_halves(key),
                    );
                }
                // SAFETY: `self` exists only where the CPU has these features.
                unsafe { hash(member, keys, vertices) }
            }

            #[inline(always)]
            fn hash_u64(self, member: FoldedMember, keys: &[u64; BLOCK], vertices: &mut Vertices) {
                #[target_feature(enable = $features)]
                fn hash(member: FoldedMember, keys: &[u64; BLOCK], vertices: &mut Vertices) {
                    HashBlock { keys, vertices }.visit(
                        #[inline(always)]
                        |key| member.vertices_u64_by_halves(key),
                    );
                }
                // SAFETY: `self` exists only where the CPU has these features.
                unsafe { hash(member, keys, vertices) }
            }
        }
    };
}

#[cfg(all(target_arch = "x86_64", feature = "std"))]
vector_unit! {
    /// 256-bit vectors.
    Avx2: "avx2,bmi2" = "avx2", "bmi2"
}

#[cfg(all(target_arch = "x86_64", feature = "std"))]
vector_unit! {
    /// 512-bit vectors.
    Avx512: "avx512f,avx512dq,avx512bw,avx512vl,bmi2" =
        "avx512f", "avx512dq", "avx512bw", "avx512vl", "bmi2"
}
