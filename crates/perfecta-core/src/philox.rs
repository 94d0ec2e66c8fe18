//! Philox4x32-10, the counter-based generator that turns an attempt's number into its seeds.
//!
//! Counter-based means that attempt 8,562 costs no more to draw than attempt 1, and that any thread
//! may draw any attempt. Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
//! 1, 2, 3" (SC 2011), with the known answers of Random123.

const MULTIPLIER_0: u32 = 0xD251_1F53;
const MULTIPLIER_1: u32 = 0xCD9E_8D57;
const WEYL_0: u32 = 0x9E37_79B9;
const WEYL_1: u32 = 0xBB67_AE85;
const ROUNDS: usize = 10;

/// A stream of 32-bit words, named by a seed and a subsequence.
#[derive(Debug, Clone)]
pub(crate) struct Philox {
    key: [u32; 2],
    counter: [u32; 4],
    block: [u32; 4],
    /// Words of `block` already given out, 0 to 3; at 0 the block is not yet computed.
    taken: usize,
}

impl Philox {
    /// The stream of `seed` at `subsequence`, from its first word.
    #[must_use]
    pub(crate) fn new(seed: u64, subsequence: u64) -> Self {
        let (key_low, key_high) = halves(seed);
        let (subsequence_low, subsequence_high) = halves(subsequence);
        Self {
            key: [key_low, key_high],
            counter: [0, 0, subsequence_low, subsequence_high],
            block: [0; 4],
            taken: 0,
        }
    }

    /// The next word of the stream.
    pub(crate) fn next_word(&mut self) -> u32 {
        if self.taken == 0 {
            self.block = block(self.counter, self.key);
            self.advance();
        }
        let word = self.block[self.taken];
        self.taken = (self.taken + 1) % 4;
        word
    }

    fn advance(&mut self) {
        for word in &mut self.counter {
            *word = word.wrapping_add(1);
            if *word != 0 {
                break;
            }
        }
    }
}

fn block(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let (low_0, high_0) = halves(u64::from(counter[0]) * u64::from(MULTIPLIER_0));
        let (low_1, high_1) = halves(u64::from(counter[2]) * u64::from(MULTIPLIER_1));
        counter = [high_1 ^ counter[1] ^ key[0], low_1, high_0 ^ counter[3] ^ key[1], low_0];
        key = [key[0].wrapping_add(WEYL_0), key[1].wrapping_add(WEYL_1)];
    }
    counter
}

/// `(low, high)` 32 bits of a word.
const fn halves(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_key_and_counter_give_the_known_answer() {
        assert_eq!(block([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
    }

    #[test]
    fn the_known_answers_of_random123_hold() {
        assert_eq!(
            block([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            block([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn a_stream_goes_on_with_the_block_after_the_first() {
        let mut stream = Philox::new(7, 3);
        for counter in 0..6 {
            let words: [u32; 4] = core::array::from_fn(|_| stream.next_word());
            assert_eq!(words, block([counter, 0, 3, 0], [7, 0]), "block {counter}");
        }
    }
}
