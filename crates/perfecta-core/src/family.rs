//! Hash families: the formulas that give every key its two vertices.
//!
//! A family is a name with properties ([`Family`]); a *member* is the family with one attempt's
//! seeds, handed as a plain function to a [`MemberVisitor`]. What is generic over the visitor is
//! compiled once for each family, so that a formula stands in one place and runs without a call.

mod folded;
mod reference;

use crate::geometry::Geometry;
use crate::key::KeyWidth;
use crate::seeds::Seeds;

pub(crate) use self::folded::Member as FoldedMember;
pub use self::reference::Reference;

/// A hash family: one of the reference's, or perfecta's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// A folded multiply: strong, for keys of 32 and 64 bits. The default.
    Folded,
    /// One of the 39 functions of the reference, exact to the bit, for keys of 32 bits.
    Reference(Reference),
}

/// Why a family cannot serve a key set, whatever its seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsuitable {
    /// Both vertices of key 0 are 0 with every seed.
    #[error("{0} maps key 0 to vertex 0 twice whatever its seeds, so no attempt can succeed")]
    KeyZero(&'static str),
    /// The formula takes 32 bits and the keys use more.
    #[error("{name} hashes 32-bit keys and these keys use {used_bits} bits")]
    TooWide {
        /// The family's name.
        name: &'static str,
        /// Bits that differ from zero in some key.
        used_bits: u32,
    },
}

/// Takes a member of a family: `vertices(key)` gives the key's two vertices, both below
/// [`Geometry::vertices`].
pub trait MemberVisitor<K> {
    /// What the visit gives back.
    type Output;

    /// Whether the visitor hashes many keys in a loop that is to run in vector lanes: the member is
    /// then written in operations that vector units have. Its values are the same.
    const IN_LANES: bool = false;

    /// Called once, with the member as a plain function.
    fn visit<F>(self, vertices: F) -> Self::Output
    where
        F: Fn(K) -> (u32, u32) + Copy;
}

impl Family {
    const FOLDED_ID: u8 = 64;

    /// Every family, perfecta's own first.
    pub fn all() -> impl Iterator<Item = Self> {
        core::iter::once(Self::Folded).chain(Reference::ALL.into_iter().map(Self::Reference))
    }

    /// The family of an id: 1 to 39 as in the reference, 64 for perfecta's own.
    #[must_use]
    pub fn from_id(id: u8) -> Option<Self> {
        Self::all().find(|family| family.id() == id)
    }

    /// The family of an exact name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|family| family.name() == name)
    }

    /// The number that stands for this family in files.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::Folded => Self::FOLDED_ID,
            Self::Reference(reference) => reference.id(),
        }
    }

    /// The family's name, in the reference's spelling where it is the reference's.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Folded => "Folded",
            Self::Reference(reference) => reference.name(),
        }
    }

    /// Seed words that pick a member.
    #[must_use]
    pub const fn num_seeds(self) -> u8 {
        match self {
            Self::Folded => folded::NUM_SEEDS,
            Self::Reference(reference) => reference.num_seeds(),
        }
    }

    /// The bits of seed `number` (counted from 1) that are drawn; the others are zero, and all of those of
    /// seeds that it does not take.
    #[must_use]
    pub(crate) const fn seed_mask(self, number: usize) -> u32 {
        if number == 0 || number > self.num_seeds() as usize {
            return 0;
        }
        match self {
            Self::Folded => u32::MAX,
            Self::Reference(reference) => reference.seed_mask(number),
        }
    }

    /// The bits of seed `number` (counted from 1) that some vertex depends on.
    #[cfg(feature = "alloc")]
    pub(crate) const fn hashed_mask(self, number: usize) -> u32 {
        match self {
            Self::Folded => u32::MAX,
            Self::Reference(reference) => reference.hashed_mask(number),
        }
    }

    /// The bits of seed `number` (counted from 1) that a user may choose: those that are drawn, but
    /// for a shift that stands for the geometry. None of a seed that it does not take.
    #[must_use]
    pub const fn free_mask(self, number: usize) -> u32 {
        let shift = if self.shift_is_first_byte_of(number) { 0xff } else { 0 };
        self.seed_mask(number) & !shift
    }

    /// Whether the low byte of seed `number` is not drawn but set to [`Geometry::hash_shift`].
    #[must_use]
    pub const fn shift_is_first_byte_of(self, number: usize) -> bool {
        match self {
            Self::Folded => false,
            Self::Reference(reference) => number == 3 && reference.shifts_by_geometry(),
        }
    }

    /// Whether it hashes keys of 64 bits as they are; the others take what is downsized to 32.
    #[must_use]
    pub const fn hashes_64(self) -> bool {
        match self {
            Self::Folded => true,
            Self::Reference(_) => false,
        }
    }

    /// Whether these keys can be served at all, before any attempt.
    ///
    /// # Errors
    /// [`Unsuitable`], with the reason.
    pub fn check_suits(
        self,
        width: KeyWidth,
        bitmap: u64,
        has_zero: bool,
    ) -> Result<(), Unsuitable> {
        let name = self.name();
        if width == KeyWidth::Bits64 && !self.hashes_64() {
            return Err(Unsuitable::TooWide { name, used_bits: bitmap.count_ones() });
        }
        match self {
            Self::Reference(reference) if has_zero && reference.maps_zero_to_zero() => {
                Err(Unsuitable::KeyZero(name))
            }
            Self::Reference(_) | Self::Folded => Ok(()),
        }
    }

    /// Hands the member that `seeds` pick to `visitor`.
    ///
    /// Seeds must come from [`crate::seeds::SeedSource::draw`] or have passed
    /// [`Self::check_seeds`] for the same geometry: that is what keeps vertices within it.
    #[inline(always)]
    pub fn with_member_u32<V>(self, seeds: &Seeds, geometry: Geometry, visitor: V) -> V::Output
    where
        V: MemberVisitor<u32>,
    {
        match self {
            Self::Folded => {
                let member = folded::Member::new(seeds, geometry);
                if V::IN_LANES {
                    visitor.visit(
                        #[inline(always)]
                        move |key: u32| member.lanes_u32(key),
                    )
                } else {
                    visitor.visit(
                        #[inline(always)]
                        move |key: u32| member.vertices(key.into()),
                    )
                }
            }
            Self::Reference(reference) => reference.with_member(seeds, geometry, visitor),
        }
    }

    /// As [`Self::with_member_u32`], for native 64-bit keys.
    ///
    /// # Panics
    /// If the family takes 32-bit keys only; [`Self::check_suits`] says so beforehand.
    #[inline(always)]
    pub fn with_member_u64<V>(self, seeds: &Seeds, geometry: Geometry, visitor: V) -> V::Output
    where
        V: MemberVisitor<u64>,
    {
        match self {
            Self::Folded => {
                let member = folded::Member::new(seeds, geometry);
                if V::IN_LANES {
                    visitor.visit(
                        #[inline(always)]
                        move |key: u64| member.lanes_u64(key),
                    )
                } else {
                    visitor.visit(
                        #[inline(always)]
                        move |key: u64| member.vertices(key),
                    )
                }
            }
            Self::Reference(reference) => panic!("{} does not hash 64-bit keys", reference.name()),
        }
    }

    /// Whether `seeds` could have been drawn for this family and geometry: masked bits are zero, and
    /// a shift that stands for the geometry is the geometry's.
    #[must_use]
    pub fn check_seeds(self, seeds: &Seeds, geometry: Geometry) -> bool {
        (1..)
            .zip(seeds.words())
            .all(|(number, &word)| word == self.nearest_seed(number, word, geometry))
    }

    /// What `word` becomes as seed `number` (counted from 1) where it could not have been drawn: bits
    /// that are masked are zero, and the shift is the geometry's.
    pub(crate) fn nearest_seed(self, number: usize, word: u32, geometry: Geometry) -> u32 {
        let is_shift = self.shift_is_first_byte_of(number);
        let shift = if is_shift { u32::from(geometry.hash_shift()) } else { 0 };
        word & self.free_mask(number) | shift
    }
}

impl core::fmt::Display for Family {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds::SEEDS_MAX;

    #[test]
    fn of_seeds_that_a_family_does_not_take_no_bit_may_be_chosen() {
        for family in Family::all() {
            let num_seeds = usize::from(family.num_seeds());
            for number in [0].into_iter().chain(num_seeds + 1..=SEEDS_MAX + 1).chain([usize::MAX]) {
                assert_eq!(family.free_mask(number), 0, "seed {number} of {family}");
            }
            assert!((1..=num_seeds).all(|number| family.free_mask(number) != 0), "{family}");
        }
    }

    #[test]
    fn ids_and_names_are_unique_and_lead_back() {
        for family in Family::all() {
            assert_eq!(Family::from_id(family.id()), Some(family));
            assert_eq!(Family::from_name(family.name()), Some(family));
        }
        assert_eq!(Family::all().count(), 40);
        assert_eq!(Family::from_id(40), None);
    }

    /// Vertices of many keys.
    struct OfKeys;

    impl MemberVisitor<u32> for OfKeys {
        type Output = Vec<(u32, u32)>;

        fn visit<F: Fn(u32) -> (u32, u32) + Copy>(self, vertices: F) -> Self::Output {
            (0..64u32).map(|key| vertices(key.wrapping_mul(0x9e37_79b9) ^ (key << 7))).collect()
        }
    }

    /// Bits of seed `number` of which some flip, in some member, changes some vertex.
    fn bits_that_matter(family: Family, number: usize) -> u32 {
        let geometries = [3, 15, Geometry::EDGE_CAPACITY_LOG2_MAX];
        let geometries = geometries.map(|log2| Geometry::from_edge_capacity_log2(log2).unwrap());
        let mut matter = 0;
        for (attempt, geometry) in (1..250).flat_map(|it| geometries.map(|geometry| (it, geometry)))
        {
            let seeds = crate::seeds::SeedSource::default().draw(attempt, family, geometry);
            let before = family.with_member_u32(&seeds, geometry, OfKeys);
            for bit in (0..32).map(|bit| 1 << bit) {
                // Bits that are never drawn make shifts of more bits than a word has.
                if matter & bit != 0 || bit & family.seed_mask(number) == 0 {
                    continue;
                }
                let mut words = *seeds.words();
                words[number - 1] ^= bit;
                let flipped = Seeds::from_words(words);
                if family.with_member_u32(&flipped, geometry, OfKeys) != before {
                    matter |= bit;
                }
            }
        }
        matter
    }

    #[test]
    fn the_bits_of_seeds_that_vertices_depend_on_are_those_that_are_said_to() {
        for family in Family::all() {
            for number in 1..=usize::from(family.num_seeds()) {
                let (found, said) = (bits_that_matter(family, number), family.hashed_mask(number));
                assert_eq!(found, said, "{family}, seed {number}: {found:#x}, not {said:#x}");
            }
        }
    }
}
