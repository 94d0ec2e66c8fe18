//! What a file may be that is read as packed keys.

use crate::format::{self, pack};

/// Whether a file begins as a table file or a pack does.
pub(super) fn is_table_file(bytes: &[u8]) -> bool {
    [format::MAGIC, pack::MAGIC].iter().any(|magic| bytes.starts_with(magic))
}

/// Whether a file begins as a table file or a pack may after its line ends or some of its first bytes were
/// changed: most of them are still there.
pub(super) fn looks_like_table_file(bytes: &[u8]) -> bool {
    [format::MAGIC, pack::MAGIC].iter().any(|magic| {
        let kept = magic.iter().zip(bytes).filter(|(expected, found)| expected == found);
        bytes.starts_with(&magic[..4]) || kept.count() > magic.len() / 2
    })
}

/// Whether packed keys of 64 bits may well be twice as many of 32: there are a few at least, and their
/// halves, as they lie in the file, are in strictly ascending order, too.
#[must_use]
pub fn looks_paired(bytes: &[u8]) -> bool {
    const KEYS_MIN: usize = 4;
    let (words, rest) = bytes.as_chunks::<4>();
    words.len() >= 2 * KEYS_MIN
        && rest.is_empty()
        && words.is_sorted_by(|left, right| u32::from_le_bytes(*left) < u32::from_le_bytes(*right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_looks_like_a_table_file_as_long_as_most_of_its_first_bytes_are_there() {
        let check = |changed: &[usize], expected| {
            let mut bytes = [&format::MAGIC[..], &[0; 56]].concat();
            for &place in changed {
                bytes[place] ^= 0x40;
            }
            assert_eq!(looks_like_table_file(&bytes), expected, "{changed:?}");
        };
        for place in 0..8 {
            check(&[place], true);
        }
        check(&[0, 3, 7], true);
        check(&[4, 5, 6, 7], true);
        check(&[0, 1, 2, 3], false);
        assert!(!looks_like_table_file(b""));
        assert!(!looks_like_table_file(&[0; 64]));
    }

    #[test]
    fn keys_of_64_bits_are_pairs_only_where_all_halves_ascend() {
        let bytes = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let check = |words: &[u32], expected| {
            let bytes: Vec<u8> = bytes(words);
            assert_eq!(looks_paired(&bytes), expected, "{words:?}");
        };
        check(&[1, 2, 3, 4, 5, 6, 7, 9], true);
        check(&[1, 2, 3, 4, 5, 6], false);
        check(&[1, 0, 3, 0, 5, 0, 7, 0], false);
        check(&[1, 2, 3, 4, 5, 6, 7, 7], false);
        check(&[0, 1, 0, 2, 0, 3, 0, 4], false);
    }
}
