//! Tables: all that `index` needs.
//!
//! `index(key) = (A[v1(key)] + A[v2(key)]) & (edge_capacity - 1)`, where `A` is the assigned array.
//! For a key of the set that is its rank; for any other key it is some number below the edge
//! capacity.

use crate::family::{Family, FoldedMember, MemberVisitor};
use crate::geometry::{ElementWidth, Geometry};
use crate::key::{Downsize, Key, KeyWidth};
use crate::seeds::Seeds;

mod batch;
mod elements;
mod lookup;
#[cfg(feature = "alloc")]
mod owned;

use self::elements::Elements;

pub use self::elements::PADDING_BYTES;
pub use self::lookup::Lookup;
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
    pub(crate) const fn hashed_width(&self) -> KeyWidth {
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
            && self.downsize.is_none_or(|downsize| self.are_downsized(downsize))
            && (self.hashed_width() == KeyWidth::Bits32 || self.family.hashes_64())
            && self.family.check_seeds(&self.seeds, self.geometry)
    }

    /// Whether keys from the first to the last can be these, and as many, after downsizing.
    fn are_downsized(&self, downsize: Downsize) -> bool {
        let [first, last] = [self.first_key, self.last_key].map(|key| downsize.apply(key));
        self.key_width == KeyWidth::Bits64
            && (self.first_key | self.last_key) & !downsize.bitmap() == 0
            && last - first >= self.num_keys - 1
    }
}

/// A table whose array lies elsewhere: in a [`Table`], or in a mapped file.
///
/// What does not depend on the key is computed once, here: make a view, keep it, ask it often.
///
/// Invariant: `parameters.are_consistent()`, and `elements` holds one for each of its vertices.
#[derive(Debug, Clone, Copy)]
pub struct TableView<'a> {
    elements: Elements<'a>,
    folded: FoldedMember,
    index_mask: u32,
    /// A key of 32 bits is hashed as it is, by [`Family::Folded`].
    folds_u32: bool,
    /// So is a key of 64 bits.
    folds_u64: bool,
    parameters: Parameters,
}

impl<'a> TableView<'a> {
    /// A view of `assigned` (elements in little-endian order, then [`PADDING_BYTES`] bytes of any
    /// value), or `None` where that does not fit `parameters` or these are not consistent.
    #[must_use]
    pub fn new(parameters: Parameters, assigned: &'a [u8]) -> Option<Self> {
        if !parameters.are_consistent() {
            return None;
        }
        Some(Self::of_parts(parameters, Elements::new(assigned, parameters.geometry)?))
    }

    /// `parameters` must be consistent, and `elements` of their geometry.
    fn of_parts(parameters: Parameters, elements: Elements<'a>) -> Self {
        let folds = parameters.family == Family::Folded && parameters.downsize.is_none();
        Self {
            elements,
            folded: FoldedMember::new(&parameters.seeds, parameters.geometry),
            index_mask: parameters.geometry.index_mask(),
            // A 64-bit key that is widened from 32 is hashed the same.
            folds_u32: folds,
            folds_u64: folds && parameters.key_width == KeyWidth::Bits64,
            parameters,
        }
    }

    /// All but the array.
    #[must_use]
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The array's elements as little-endian words, without padding.
    #[must_use]
    pub fn assigned_bytes(&self) -> &'a [u8] {
        self.elements.bytes()
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
    /// Quickest if `K` is the type of the table's keys. Of a table of 32-bit keys, only the low 32
    /// bits of a wider `key` count.
    #[inline]
    #[must_use]
    pub fn index<K: Key>(&self, key: K) -> u32 {
        let folds = match K::WIDTH {
            KeyWidth::Bits32 => self.folds_u32,
            KeyWidth::Bits64 => self.folds_u64,
        };
        if folds { self.sum(self.folded.vertices(key.into())) } else { self.index_any(key.into()) }
    }

    /// [`Self::index`] with the family, the key's width and all constants settled beforehand, for
    /// loops; `None` unless keys are of type `K`, hashed as they are, and the family is
    /// [`Family::Folded`].
    #[inline]
    #[must_use]
    pub fn lookup<K: Key>(&self) -> Option<Lookup<'a, K>> {
        (self.folds_u32 && self.parameters.key_width == K::WIDTH)
            .then(|| Lookup::new(self.elements, self.folded, self.index_mask))
    }

    /// The index of any key under any family.
    ///
    /// Cold, so that a loop of look-ups keeps its variables in registers.
    #[cold]
    #[inline(never)]
    fn index_any(&self, key: u64) -> u32 {
        self.sum(self.vertices(key))
    }

    /// The vertices of any key under any family.
    fn vertices(&self, key: u64) -> (u32, u32) {
        let Parameters { family, seeds, geometry, downsize, key_width, .. } = &self.parameters;
        match (downsize, key_width) {
            (Some(downsize), _) => {
                family.with_member_u32(seeds, *geometry, Vertices(downsize.apply(key)))
            }
            (None, KeyWidth::Bits32) => {
                family.with_member_u32(seeds, *geometry, Vertices(key as u32))
            }
            (None, KeyWidth::Bits64) => family.with_member_u64(seeds, *geometry, Vertices(key)),
        }
    }

    #[inline(always)]
    fn sum(&self, vertices: (u32, u32)) -> u32 {
        // SAFETY: a member's vertices are below those of its geometry, which is that of the elements.
        let sum = unsafe { self.elements.sum(vertices) };
        sum & self.index_mask
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

#[cfg(feature = "alloc")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Scratch;
    use crate::key::{KeySet, Repair};
    use crate::search::{FamilyChoice, Plan, search};
    use proptest::prelude::*;

    /// Every way to look up gives every key its rank, and agrees on foreign keys.
    fn check<K: Key>(keys: &[K], set: &KeySet, family: Family) {
        let plan = Plan { family: FamilyChoice::Named(family), ..Plan::default() };
        let solution = search(set, &plan, &mut Scratch::default(), &|| true).unwrap();
        let table = solution.table.unwrap();
        let view = table.view();
        assert_eq!(view.verify(set), Ok(()));
        let mut indexes = vec![0; keys.len()];
        view.index_batch(keys, &mut indexes);
        let lookup = view.lookup::<K>();
        assert_eq!(lookup.is_some(), family == Family::Folded && set.downsize().is_none());
        for (rank, (&key, &index)) in (0..).zip(keys.iter().zip(&indexes)) {
            assert_eq!(index, rank);
            assert_eq!(view.index(key), rank);
            assert!(lookup.is_none_or(|lookup| lookup.index(key) == rank));
            assert_eq!(view.index_by_definition(key.into()), rank);
        }
        let capacity = table.parameters().geometry.edge_capacity();
        for foreign in [0, 1, u64::from(u32::MAX), u64::MAX / 3, u64::MAX] {
            assert!(view.index(foreign) < capacity);
            assert_eq!(view.index(foreign), view.index_by_definition(foreign));
        }
    }

    impl TableView<'_> {
        /// The index by the definition, sharing nothing with what is precomputed.
        fn index_by_definition(&self, key: u64) -> u32 {
            let (first, second) = self.vertices(key);
            let element = |vertex| self.elements().nth(vertex as usize).unwrap();
            element(first).wrapping_add(element(second)) & self.parameters.geometry.index_mask()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn every_way_to_look_up_agrees_u32(keys in prop::collection::btree_set(any::<u32>(), 1..300)) {
            let keys: Vec<u32> = keys.into_iter().collect();
            let set = KeySet::from_u32(keys.clone(), Repair::default()).unwrap();
            check(&keys, &set, Family::Folded);
            if !keys.contains(&0) {
                check(&keys, &set, Family::from_name("Mulshrolate4RX").unwrap());
            }
        }

        #[test]
        fn every_way_to_look_up_agrees_u64(
            keys in prop::collection::btree_set(any::<u64>(), 1..300),
            mask in prop::sample::select(vec![
                u64::MAX, 0xffff_ffff_0000, 0xff00_ff00_00ff_0000, 0x0fff_0000_000f_0000,
            ]),
        ) {
            let mut keys: Vec<u64> = keys.into_iter().map(|key| key & mask).collect();
            keys.sort_unstable();
            keys.dedup();
            let set = KeySet::from_u64(keys.clone(), Repair::default()).unwrap();
            check(&keys, &set, Family::Folded);
        }
    }

    #[test]
    fn tables_of_every_element_width_look_up_alike() {
        for num_keys in [1u32, 2, 8, 9, 64, 65, 256, 257, 3000, 70_000] {
            let keys: Vec<u32> = (1..=num_keys).map(|key| key.wrapping_mul(40_503) >> 1).collect();
            let mut keys: Vec<u32> = keys;
            keys.sort_unstable();
            keys.dedup();
            let set = KeySet::from_u32(keys.clone(), Repair::default()).unwrap();
            let plan = Plan::default();
            let table =
                search(&set, &plan, &mut Scratch::default(), &|| true).unwrap().table.unwrap();
            let mut indexes = vec![0; keys.len()];
            table.view().index_batch(&keys, &mut indexes);
            assert!(indexes.iter().copied().eq(0..keys.len() as u32), "{num_keys} keys");
            assert_eq!(table.view().verify(&set), Ok(()));
        }
    }

    #[test]
    fn the_first_key_with_a_wrong_index_is_named() {
        let keys: Vec<u32> = (0..5000).map(|key| key * 3).collect();
        let set = KeySet::from_u32(keys, Repair::default()).unwrap();
        let table = search(&set, &Plan::default(), &mut Scratch::default(), &|| true);
        let table = table.unwrap().table.unwrap();
        let mut values: Vec<u32> = table.view().elements().collect();
        let vertex = table.view().vertices(3 * 4000).0 as usize;
        values[vertex] ^= 1;
        let damaged = Table::from_values(*table.parameters(), &values);
        let Err(VerifyError::Index { key, index, rank }) = damaged.view().verify(&set) else {
            panic!("damage must be found");
        };
        assert_eq!(key, u64::from(rank) * 3);
        assert_eq!(index, damaged.view().index(key));
        assert!((0..rank).all(|rank| damaged.view().index(u64::from(rank) * 3) == rank));
    }
}
