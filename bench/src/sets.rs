//! Key sets: generated ones, the same on every machine, and those of files.
//!
//! Included by the build script too, which generates code for the small ones.

/// SplitMix64, by Sebastiano Vigna: a generator that starts from any seed.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next word.
    pub const fn next_word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `bound`.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next_word() as u128 * bound as u128) >> 64) as u64
    }
}

/// Sizes of the key sets of which code is generated.
pub const GENERATED_SIZES: [usize; 4] = [186, 1_640, 31_016, 65_536];

/// Keys like the addresses of the functions of a module: clusters of neighbours on multiples of 16,
/// with jumps between them.
#[must_use]
pub fn addresses(num_keys: usize) -> Vec<u32> {
    let mut random = Random(num_keys as u64);
    let gap_max = (u64::from(u32::MAX) / num_keys as u64 / 2).clamp(4, 64);
    let mut address = 0x1000u64;
    let mut keys = Vec::with_capacity(num_keys);
    for _ in 0..num_keys {
        keys.push(u32::try_from(address).expect("gaps leave room"));
        let jump = if random.below(64) == 0 { random.below(gap_max * 16) & !15 } else { 0 };
        address += (random.below(gap_max * 2) & !15).max(if gap_max < 16 { 1 } else { 16 }) + jump;
    }
    keys
}

/// Distinct 64-bit keys, evenly distributed.
#[must_use]
pub fn evenly_distributed(num_keys: usize) -> Vec<u64> {
    let mut random = Random(num_keys as u64);
    let mut keys: Vec<u64> = (0..num_keys + num_keys / 1000).map(|_| random.next_word()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.truncate(num_keys);
    keys
}
