//! What can be said of a key set from its bits.

use alloc::boxed::Box;

use super::set::KeySet;

/// Statistics of a key set, over the keys as given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStatistics {
    /// `bit_counts[i]`: keys that have bit `i` set.
    pub bit_counts: Box<[u64; 64]>,
    /// `population_counts[n]`: keys with `n` bits set, 0 to 64.
    pub population_counts: Box<[u64; 65]>,
    /// The longest run of bits that some key uses; the lowest of equal ones.
    pub longest_run: Option<BitRun>,
    /// Number of bits that some key uses.
    pub used_bits: u32,
    /// Unused bits above the highest used one, within the key's width.
    pub leading_zeros: u32,
    /// Unused bits below the lowest used one.
    pub trailing_zeros: u32,
    /// Whether the used bits are one run: not where none is used.
    pub contiguous_bits: bool,
    /// Whether the keys are consecutive numbers.
    pub consecutive: bool,
    /// Whether 0 is a key.
    pub has_zero: bool,
}

/// A run of bits of the bitmap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitRun {
    /// The lowest bit.
    pub start: u32,
    /// Number of bits.
    pub length: u32,
}

impl KeyStatistics {
    /// Looks at every key once.
    #[must_use]
    pub fn of(keys: &KeySet) -> Self {
        let mut bit_counts = Box::new([0; 64]);
        let mut population_counts = Box::new([0; 65]);
        for key in keys.iter() {
            population_counts[key.count_ones() as usize] += 1;
            for (bit, count) in bit_counts.iter_mut().enumerate() {
                *count += key >> bit & 1;
            }
        }
        let bitmap = keys.bitmap();
        let longest_run = longest_run(bitmap);
        let used_bits = bitmap.count_ones();
        let width = keys.width().bits();
        Self {
            bit_counts,
            population_counts,
            longest_run,
            used_bits,
            leading_zeros: bitmap.leading_zeros() - (64 - width),
            trailing_zeros: bitmap.trailing_zeros().min(width),
            contiguous_bits: longest_run.is_some_and(|run| run.length == used_bits),
            consecutive: keys.last() - keys.first() == keys.len() as u64 - 1,
            has_zero: keys.first() == 0,
        }
    }
}

fn longest_run(bitmap: u64) -> Option<BitRun> {
    let mut longest: Option<BitRun> = None;
    let mut start = 0;
    while start < 64 {
        let length = (bitmap >> start).trailing_ones();
        if length > longest.map_or(0, |run| run.length) {
            longest = Some(BitRun { start, length });
        }
        start += length.max(1);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::super::Repair;
    use super::*;
    use alloc::vec;

    #[test]
    fn consecutive_keys_are_found_where_the_reference_misses_them() {
        let of = |keys| KeyStatistics::of(&KeySet::from_u32(keys, Repair::default()).unwrap());
        assert!(of(vec![5, 6, 7]).consecutive);
        assert!(!of(vec![5, 6, 8]).consecutive);
        assert!(of(vec![0]).consecutive);
        assert!(of(vec![0]).has_zero);
    }

    #[test]
    fn a_run_up_to_the_top_bit_is_contiguous() {
        let of = |keys| KeyStatistics::of(&KeySet::from_u32(keys, Repair::default()).unwrap());
        let top = of(vec![0x0010_0000, 0xfff0_0000]);
        assert!(top.contiguous_bits);
        assert_eq!(top.longest_run, Some(BitRun { start: 20, length: 12 }));
        assert_eq!((top.leading_zeros, top.trailing_zeros), (0, 20));
        assert!(!of(vec![1, 4]).contiguous_bits);
    }

    #[test]
    fn the_key_zero_alone_uses_no_bits_and_those_are_no_run() {
        let zero = KeyStatistics::of(&KeySet::from_u32(vec![0], Repair::default()).unwrap());
        assert_eq!((zero.longest_run, zero.used_bits, zero.contiguous_bits), (None, 0, false));
    }

    #[test]
    fn a_key_of_sixty_four_ones_is_counted() {
        let keys = KeySet::from_u64(vec![u64::MAX], Repair::default()).unwrap();
        let statistics = KeyStatistics::of(&keys);
        assert_eq!(statistics.population_counts[64], 1);
        assert_eq!(*statistics.bit_counts, [1; 64]);
        assert_eq!(statistics.longest_run, Some(BitRun { start: 0, length: 64 }));
    }
}
