//! Hashing whole blocks of keys: the only code of an attempt that is compiled for every family, and
//! for every vector unit.
//!
//! There is no vector code here. The loops are plain, and the compiler vectorises each formula for
//! the unit it runs on. The search for equal vertices takes 0.7 us for 31,016 keys with AVX-512,
//! 2.1 us with AVX2 and 8 to 10 us with neither (MultiplyShiftR).

use super::state::Width;
use super::vector_unit::VectorUnit;
use crate::family::{Family, MemberVisitor};
use crate::geometry::Geometry;
use crate::interrupt::{Interrupted, KeepGoing, spans};
use crate::seeds::Seeds;

/// Keys per block: what is hashed at once stays in the first-level cache. From 128 to 2048 it makes
/// no difference.
pub(super) const BLOCK: usize = 512;

/// Keys between two looks at whether an equal pair was seen.
const COLLISION_BLOCK: usize = 256;

/// The edges of a graph, given in blocks: what the code behind it sees of keys and families.
pub(super) trait Edges<W> {
    /// Number of edges.
    fn len(&self) -> usize;

    /// Writes both vertices of the edges from `first` on, as many as the two equally long slices
    /// hold.
    fn write_block(&self, first: usize, first_ends: &mut [W], second_ends: &mut [W]);
}

/// A key that can be hashed.
pub(super) trait HashedKey: Copy {
    /// Hands `visitor` the member of `family` that `seeds` pick.
    fn with_member<V: MemberVisitor<Self>>(
        family: Family,
        seeds: &Seeds,
        geometry: Geometry,
        visitor: V,
    ) -> V::Output;

    /// The lowest 32 bits.
    fn low_bits(self) -> u32;
}

impl HashedKey for u32 {
    #[inline(always)]
    fn with_member<V: MemberVisitor<Self>>(
        family: Family,
        seeds: &Seeds,
        geometry: Geometry,
        visitor: V,
    ) -> V::Output {
        family.with_member_u32(seeds, geometry, visitor)
    }

    fn low_bits(self) -> u32 {
        self
    }
}

impl HashedKey for u64 {
    #[inline(always)]
    fn with_member<V: MemberVisitor<Self>>(
        family: Family,
        seeds: &Seeds,
        geometry: Geometry,
        visitor: V,
    ) -> V::Output {
        family.with_member_u64(seeds, geometry, visitor)
    }

    fn low_bits(self) -> u32 {
        self as u32
    }
}

/// Keys, and the member that hashes them.
#[derive(Debug, Clone, Copy)]
pub(super) struct HashedKeys<'a, K> {
    pub(super) keys: &'a [K],
    pub(super) family: Family,
    pub(super) seeds: &'a Seeds,
    pub(super) geometry: Geometry,
    pub(super) unit: VectorUnit,
}

impl<K: HashedKey> HashedKeys<'_, K> {
    /// Whether some key has the same vertex twice. Stores nothing, so it comes before all else.
    pub(super) fn any_collision(&self, keep_going: &KeepGoing<'_>) -> Result<bool, Interrupted> {
        for span in spans(self.keys.len(), keep_going) {
            let visitor = AnyCollision { keys: &self.keys[span?], unit: self.unit };
            if K::with_member(self.family, self.seeds, self.geometry, visitor) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl<K: HashedKey, W: Width> Edges<W> for HashedKeys<'_, K> {
    fn len(&self) -> usize {
        self.keys.len()
    }

    fn write_block(&self, first: usize, first_ends: &mut [W], second_ends: &mut [W]) {
        let keys = &self.keys[first..first + first_ends.len()];
        let visitor = WriteBlock { keys, first_ends, second_ends, unit: self.unit };
        K::with_member(self.family, self.seeds, self.geometry, visitor);
    }
}

struct AnyCollision<'a, K> {
    keys: &'a [K],
    unit: VectorUnit,
}

impl<K: Copy> MemberVisitor<K> for AnyCollision<'_, K> {
    type Output = bool;
    const IN_LANES: bool = true;

    #[inline(always)]
    fn visit<F: Fn(K) -> (u32, u32) + Copy>(self, vertices: F) -> bool {
        let Self { keys, unit } = self;
        unit.run(
            #[inline(always)]
            move || {
                let mut blocks = keys.chunks_exact(COLLISION_BLOCK);
                for block in &mut blocks {
                    if is_any_equal(vertices, block) {
                        return true;
                    }
                }
                is_any_equal(vertices, blocks.remainder())
            },
        )
    }
}

#[inline(always)]
fn is_any_equal<K: Copy, F: Fn(K) -> (u32, u32) + Copy>(vertices: F, keys: &[K]) -> bool {
    let mut equal = 0;
    for &key in keys {
        let (first, second) = vertices(key);
        equal |= u32::from(first == second);
    }
    equal != 0
}

struct WriteBlock<'a, K, W> {
    keys: &'a [K],
    first_ends: &'a mut [W],
    second_ends: &'a mut [W],
    unit: VectorUnit,
}

impl<K: Copy, W: Width> MemberVisitor<K> for WriteBlock<'_, K, W> {
    type Output = ();
    const IN_LANES: bool = true;

    #[inline(always)]
    fn visit<F: Fn(K) -> (u32, u32) + Copy>(self, vertices: F) {
        let Self { keys, first_ends, second_ends, unit } = self;
        unit.run(
            #[inline(always)]
            move || {
                for ((&key, first), second) in keys.iter().zip(first_ends).zip(second_ends) {
                    let ends = vertices(key);
                    *first = W::from_u32(ends.0);
                    *second = W::from_u32(ends.1);
                }
            },
        );
    }
}
