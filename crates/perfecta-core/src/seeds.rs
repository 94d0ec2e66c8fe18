//! Seeds: the words that pick one member of a hash family, drawn anew for every attempt.

use crate::family::Family;
use crate::geometry::Geometry;
use crate::philox::Philox;

/// The most seed words that any family takes.
pub const SEEDS_MAX: usize = 8;

/// The seed that the reference starts its generator with, so that both search the same members.
pub const RNG_SEED_DEFAULT: u64 = 0x2019_0903_1981_1025;

/// The seed words of one attempt; those a family does not take are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seeds {
    words: [u32; SEEDS_MAX],
}

impl Seeds {
    /// Seeds from their words; absent ones are zero.
    #[must_use]
    pub const fn from_words(words: [u32; SEEDS_MAX]) -> Self {
        Self { words }
    }

    /// All eight words, those not taken being zero.
    #[must_use]
    pub const fn words(&self) -> &[u32; SEEDS_MAX] {
        &self.words
    }

    /// The words that `family` takes.
    #[must_use]
    pub fn of_family(&self, family: Family) -> &[u32] {
        &self.words[..usize::from(family.num_seeds())]
    }

    /// Seed `number`, counted from 1 as in the formulas.
    ///
    /// # Panics
    /// If `number` is not 1 to [`SEEDS_MAX`].
    #[must_use]
    pub const fn word(&self, number: usize) -> u32 {
        self.words[number - 1]
    }

    /// Byte `byte` of seed `number`, both counted from 1, byte 1 the least significant.
    ///
    /// # Panics
    /// If `number` is not 1 to [`SEEDS_MAX`], or `byte` not 1 to 4.
    #[must_use]
    pub const fn byte(&self, number: usize, byte: usize) -> u32 {
        self.words[number - 1].to_le_bytes()[byte - 1] as u32
    }

    /// Seeds `high` and `low`, counted from 1, as the halves of one 64-bit word.
    ///
    /// # Panics
    /// If one of them is not 1 to [`SEEDS_MAX`].
    #[must_use]
    pub const fn wide(&self, high: usize, low: usize) -> u64 {
        ((self.words[high - 1] as u64) << 32) | self.words[low - 1] as u64
    }
}

/// Where the seeds of every attempt come from.
///
/// The generator starts anew for each attempt, with the attempt's number added to the subsequence:
/// which seeds an attempt gets does not depend on who runs it, or when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeedSource {
    /// Seed of the generator.
    pub rng_seed: u64,
    /// Attempt `n` draws from subsequence `rng_subsequence + n`.
    pub rng_subsequence: u64,
    /// Words the user fixed; zero leaves a word to the generator. Of a masked word, single bytes
    /// can be fixed: a zero byte is left to the generator. Bits that the family does not let be set,
    /// which [`SeedSource::check_fixed`] refuses, are left out.
    pub fixed: [u32; SEEDS_MAX],
}

/// Words that were fixed are none that the family takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FixedSeedsError {
    /// There are more of them.
    #[error("{family} takes {} seeds, these are {given}", family.num_seeds())]
    Count {
        /// The family.
        family: Family,
        /// How many there are.
        given: usize,
    },
    /// A word has bits that are not taken.
    #[error("seed {number} is {word:#x}, of which {family} takes the bits of {mask:#x} alone")]
    Bits {
        /// The family.
        family: Family,
        /// Which of its seeds, counted from 1.
        number: usize,
        /// The word.
        word: u32,
        /// The bits that may be set.
        mask: u32,
    },
}

impl Default for SeedSource {
    fn default() -> Self {
        Self { rng_seed: RNG_SEED_DEFAULT, rng_subsequence: 0, fixed: [0; SEEDS_MAX] }
    }
}

impl SeedSource {
    /// The seeds of attempt `attempt`, counted from 1.
    #[must_use]
    pub fn draw(&self, attempt: u64, family: Family, geometry: Geometry) -> Seeds {
        let subsequence = self.rng_subsequence.wrapping_add(attempt);
        let mut stream = Philox::new(self.rng_seed, subsequence);
        let mut words = [0; SEEDS_MAX];
        for (place, word) in words.iter_mut().take(usize::from(family.num_seeds())).enumerate() {
            let mask = family.seed_mask(place + 1);
            let drawn = fix(next_non_zero(&mut stream), self.fixed[place], mask);
            *word = if family.shift_is_first_byte_of(place + 1) {
                (drawn & mask & !0xff) | u32::from(geometry.hash_shift())
            } else {
                drawn & mask
            };
        }
        Seeds { words }
    }

    /// Whether all words that were fixed are drawn as they were. A byte that is the shift of the vertices is
    /// what it has to be, whatever was given for it: so the seeds of a table can be given back.
    ///
    /// # Errors
    /// [`FixedSeedsError`] if there are more than the family takes, or for the first of which bits would be
    /// left out.
    pub fn check_fixed(&self, family: Family) -> Result<(), FixedSeedsError> {
        let last = self.fixed.iter().rposition(|word| *word != 0);
        Self::check_count(family, last.map_or(0, |place| place + 1))?;
        let taken = (1..).zip(self.fixed).take(usize::from(family.num_seeds()));
        for (number, word) in taken {
            let mask = family.seed_mask(number);
            if word & !mask != 0 {
                return Err(FixedSeedsError::Bits { family, number, word, mask });
            }
        }
        Ok(())
    }

    /// Whether a family takes so many words.
    ///
    /// # Errors
    /// [`FixedSeedsError::Count`] if it takes fewer.
    pub fn check_count(family: Family, given: usize) -> Result<(), FixedSeedsError> {
        if given <= usize::from(family.num_seeds()) {
            return Ok(());
        }
        Err(FixedSeedsError::Count { family, given })
    }

    /// Whether every attempt in a geometry would be the same: all bits that vertices depend on are
    /// fixed. The draw may differ in others.
    #[must_use]
    #[cfg(feature = "alloc")]
    pub fn is_constant(&self, family: Family) -> bool {
        self.num_drawn_bits(family) == 0
    }

    /// How many of the bits that vertices depend on are drawn: attempts in a geometry differ in no
    /// others.
    #[must_use]
    #[cfg(feature = "alloc")]
    pub fn num_drawn_bits(&self, family: Family) -> u32 {
        let drawn = (0..usize::from(family.num_seeds())).map(|place| {
            let mask = family.seed_mask(place + 1);
            let matters = family.hashed_mask(place + 1) & family.free_mask(place + 1);
            let [none, all] = [0, u32::MAX].map(|drawn| fix(drawn, self.fixed[place], mask));
            ((none ^ all) & matters).count_ones()
        });
        drawn.sum()
    }
}

fn next_non_zero(stream: &mut Philox) -> u32 {
    loop {
        let word = stream.next_word();
        if word != 0 {
            return word;
        }
    }
}

/// Replaces what the user fixed: a whole word, or the masked bytes of a masked one.
fn fix(drawn: u32, fixed: u32, mask: u32) -> u32 {
    if fixed == 0 {
        return drawn;
    }
    if mask == u32::MAX {
        return fixed;
    }
    let mut bytes = drawn.to_le_bytes();
    let choices = fixed.to_le_bytes().into_iter().zip(mask.to_le_bytes());
    for (byte, (choice, mask_byte)) in bytes.iter_mut().zip(choices) {
        if choice != 0 && mask_byte != 0 && mask_byte != 0xff {
            *byte = choice;
        }
    }
    u32::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::Family;

    fn drawn(family: &str, attempt: u64, edge_capacity_log2: u8) -> Vec<u32> {
        let family = Family::from_name(family).unwrap();
        let geometry = Geometry::from_edge_capacity_log2(edge_capacity_log2).unwrap();
        SeedSource::default().draw(attempt, family, geometry).of_family(family).to_vec()
    }

    #[test]
    fn the_default_seed_draws_the_words_of_the_reference() {
        let check = |attempt: u64, expected: [u32; 4]| {
            let mut stream = Philox::new(RNG_SEED_DEFAULT, attempt);
            assert_eq!(core::array::from_fn(|_| stream.next_word()), expected, "{attempt}");
        };
        check(1, [0x4fb8_349a, 0x64e0_e8dd, 0x9740_4146, 0xf7f8_0ad9]);
        check(2, [0x7efe_a947, 0xc649_cf69, 0x0ce3_37ad, 0xf87e_dd5e]);
        check(3, [0x24cd_15bd, 0x2077_75b6, 0xe49f_b98b, 0x417d_2fd5]);
    }

    #[test]
    fn the_winning_seeds_of_the_reference_are_drawn() {
        assert_eq!(drawn("MultiplyShiftR", 8562, 15), [1_101_860_575, 1_603_102_509, 0x0d09]);
        assert_eq!(
            drawn("Mulshrolate4RX", 26, 15),
            [3_978_013_224, 1_433_466_278, 0x0e05_0810, 1_995_067_378, 3_127_020_546]
        );
        assert_eq!(drawn("Mulshrolate2RX", 22_493, 15)[2], 0x1c08_0110);
        assert_eq!(drawn("MultiplyShiftRX", 158_913, 15), [3_269_705_911, 3_906_588_153, 0x1b10]);
        assert_eq!(
            drawn("Mulshrolate1RX", 190_572, 15),
            [1_940_170_114, 1_782_045_854, 0x0c04_0010]
        );
        assert_eq!(drawn("MultiplyShiftR", 5, 17), [2_322_164_843, 1_556_526_759, 0x0608]);
    }

    #[test]
    fn fixed_words_replace_drawn_ones_and_fixed_bytes_masked_ones() {
        let family = Family::from_name("MultiplyShiftR").unwrap();
        let geometry = Geometry::from_edge_capacity_log2(15).unwrap();
        let mut source = SeedSource::default();
        let free = source.draw(1, family, geometry);
        source.fixed[1] = 77;
        source.fixed[2] = 0x0500;
        let seeds = source.draw(1, family, geometry);
        assert_eq!(seeds.word(1), free.word(1));
        assert_eq!(seeds.word(2), 77);
        assert_eq!(seeds.byte(3, 1), free.byte(3, 1));
        assert_eq!(seeds.byte(3, 2), 5);
        assert!(!source.is_constant(family));
        source.fixed = [1, 77, 0x0505, 0, 0, 0, 0, 0];
        assert!(source.is_constant(family));
    }

    #[test]
    fn fixed_words_that_pass_are_drawn_as_they_are_and_others_are_named() {
        let geometry = Geometry::from_edge_capacity_log2(15).unwrap();
        for family in Family::all() {
            let mut source = SeedSource::default();
            for place in 0..usize::from(family.num_seeds()) {
                source.fixed[place] = family.seed_mask(place + 1);
            }
            assert_eq!(source.check_fixed(family), Ok(()), "{family}");
            let drawn = source.draw(1, family, geometry);
            for place in 0..usize::from(family.num_seeds()) {
                let free_mask = family.free_mask(place + 1);
                assert_eq!(drawn.word(place + 1) & free_mask, free_mask, "{family}");
                let mask = family.seed_mask(place + 1);
                let word = mask.wrapping_add(1) | mask;
                let mut others = source;
                others.fixed[place] = word;
                let error = FixedSeedsError::Bits { family, number: place + 1, word, mask };
                let expected = if word == mask { Ok(()) } else { Err(error) };
                assert_eq!(others.check_fixed(family), expected, "{family}");
            }
            // What was drawn for a table can be given back.
            let drawn = SeedSource::default().draw(1, family, geometry);
            let given = SeedSource { fixed: drawn.words, ..SeedSource::default() };
            assert_eq!(given.check_fixed(family), Ok(()), "{family}");
            assert_eq!(given.draw(1, family, geometry), drawn, "{family}");
        }
        let family = Family::from_name("MultiplyShiftR").unwrap();
        let fixed = [1, 2, 0x40ff, 0, 0, 0, 0, 0];
        let error = SeedSource { fixed, ..SeedSource::default() }.check_fixed(family).unwrap_err();
        assert_eq!(
            error.to_string(),
            "seed 3 is 0x40ff, of which MultiplyShiftR takes the bits of 0x1f1f alone"
        );
        let check = |given: usize, expected| {
            let mut source = SeedSource::default();
            source.fixed[given - 1] = 1;
            assert_eq!(source.check_fixed(family), expected);
        };
        check(3, Ok(()));
        check(4, Err(FixedSeedsError::Count { family, given: 4 }));
        check(8, Err(FixedSeedsError::Count { family, given: 8 }));
    }

    /// Ten million attempts were made with the same hashes.
    #[test]
    fn the_bits_that_are_drawn_are_those_that_the_formula_reads_and_nobody_fixed() {
        let check = |id, words: &[u32], expected| {
            let family = Family::from_id(id).unwrap();
            let mut source = SeedSource::default();
            source.fixed[..words.len()].copy_from_slice(words);
            assert_eq!(source.num_drawn_bits(family), expected, "{family} {words:x?}");
            assert_eq!(source.is_constant(family), expected == 0, "{family} {words:x?}");
        };
        check(35, &[3, 5, 0x700], 0);
        check(35, &[3, 5], 0);
        check(35, &[3, 0, 0x700], 32);
        check(5, &[1, 2], 0);
        check(5, &[1, 0, 3, 4], 31);
        check(36, &[3, 5, 0x0100], 0);
        check(36, &[3, 5], 5);
        check(37, &[3, 5, 0x1_0100], 0);
        check(38, &[3, 5, 0x1_0100], 32);
        check(38, &[3, 5, 0x1_0100, 9], 0);
        check(39, &[3, 5, 0x1_0100, 9, 0], 32);
        check(39, &[1, 2, 3, 4, 5], 10);
        check(23, &[3, 5], 10);
        check(64, &[1, 2], 32);
    }
}
