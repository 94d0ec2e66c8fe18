//! The order in which the keys of a set are looked at, learned from its failures.
//!
//! An outcome does not depend on the order, but how early a cycle shows does. Weak families map
//! progressions to progressions, so keys that agree in their low bits close short cycles among
//! themselves: with the most common low bits first, MultiplyShiftR shows its cycles after 20 to 60 %
//! fewer edges on each of 19 hard public sets. Mulshrolate4RX wants the order of the file there (up
//! to 12 % fewer), strong families do not care. So both orders are tried and the better one is kept.
//!
//! Edges until a cycle closes, HologramWorld-31016, MultiplyShiftR / Mulshrolate4RX: file order
//! 10,473 / 16,691; low bits (this) 5,059 / 19,350; shuffled 6,865 / 18,751. Lost: every 64th key
//! (6,761, and no gain over file order on other sets); keys of earlier cycles first (6,570, and 150 us
//! for each cycle learned: cycles recur in the differences of keys, not in keys); dense clusters
//! first (a cycle within 2,048 keys in 13 % of attempts, shuffled 31 %, low bits 43 %).

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::kernel::HashedKey;

/// Low bits in which keys are compared. 12 give 6 % more edges than 14 do, 16 give 3 % fewer and
/// cost four times the groups.
const LOW_BITS: u32 = 14;

/// Sets below this cost less than it takes to order them.
const ORDERED_KEYS_MIN: usize = 1024;

/// Sets above this are not copied: they are for strong families, which no order helps.
const ORDERED_KEYS_MAX: usize = 1 << 20;

/// Cyclic attempts that judge an order.
const TRIAL: u64 = 32;

/// Which order a set is in, and how the orders did so far.
#[derive(Debug, Default)]
pub(super) struct KeyOrder {
    as_given: Score,
    grouped: Score,
    is_grouped: bool,
    is_copied: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Score {
    cyclic: u64,
    edges_seen: u64,
}

impl KeyOrder {
    /// Bytes that ordering takes at most: a copy of the keys, and three words for each group.
    pub(super) const fn memory_bytes(num_keys: usize) -> u64 {
        if num_keys < ORDERED_KEYS_MIN || num_keys > ORDERED_KEYS_MAX {
            return 0;
        }
        (num_keys * size_of::<u64>() + (3 << LOW_BITS) * size_of::<usize>()) as u64
    }

    /// Cyclic attempts so far.
    pub(super) const fn num_cyclic(&self) -> u64 {
        self.as_given.cyclic + self.grouped.cyclic
    }

    /// The keys in the order in which to look at them now; `copy` keeps the other order.
    pub(super) fn apply<'a, K: HashedKey>(
        &mut self,
        keys: &'a [K],
        copy: &'a mut Vec<K>,
    ) -> &'a [K] {
        let is_worth_it = (ORDERED_KEYS_MIN..=ORDERED_KEYS_MAX).contains(&keys.len());
        self.is_grouped = is_worth_it && self.prefers_grouped();
        if !self.is_grouped {
            return keys;
        }
        if !self.is_copied {
            group_by_low_bits(keys, copy);
            self.is_copied = true;
        }
        copy
    }

    /// Counts a cyclic attempt in the order last given: so many edges were looked at.
    pub(super) fn learn(&mut self, edges_seen: usize) {
        let score = if self.is_grouped { &mut self.grouped } else { &mut self.as_given };
        score.cyclic += 1;
        score.edges_seen += edges_seen as u64;
    }

    fn prefers_grouped(&self) -> bool {
        if self.as_given.cyclic < TRIAL || self.grouped.cyclic < TRIAL {
            return self.as_given.cyclic >= TRIAL;
        }
        // edges_seen / cyclic of the one against the other, without division
        let grouped = u128::from(self.grouped.edges_seen) * u128::from(self.as_given.cyclic);
        grouped < u128::from(self.as_given.edges_seen) * u128::from(self.grouped.cyclic)
    }
}

/// Keys with the same low bits side by side, the largest groups first.
fn group_by_low_bits<K: HashedKey>(keys: &[K], grouped: &mut Vec<K>) {
    let group_of = |key: K| key.low_bits() as usize & ((1 << LOW_BITS) - 1);
    let mut sizes = vec![0_usize; 1 << LOW_BITS];
    for &key in keys {
        sizes[group_of(key)] += 1;
    }
    let mut by_size: Vec<usize> = (0..1 << LOW_BITS).filter(|&group| sizes[group] > 0).collect();
    by_size.sort_unstable_by_key(|&group| (Reverse(sizes[group]), group));
    let mut places = vec![0_usize; 1 << LOW_BITS];
    let mut place = 0;
    for group in by_size {
        places[group] = place;
        place += sizes[group];
    }
    grouped.clear();
    grouped.extend_from_slice(keys);
    for &key in keys {
        let place = &mut places[group_of(key)];
        grouped[*place] = key;
        *place += 1;
    }
}
