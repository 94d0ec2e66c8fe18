//! Array bodies as text: the one part of an artifact that is large.
//!
//! Every number is followed by a comma and every sixteenth by a line break, in all languages alike:
//! each of them takes a comma after the last. Digits come from tables without a branch that depends
//! on the value: about half of an array's elements are zero, in no order, and a branch on the number
//! of digits is mispredicted as often. Numbers below 10,000, which most tables have alone, are
//! written at once, those below 100,000 with a first digit before, others three digits at a time.
//! 8,192 elements below 4,096, half of them zeros, with all of their file take 19 us
//! (`benches/render.rs`).

use std::io::{self, Write};

use perfecta_core::geometry::ElementWidth;

/// Numbers on one line.
const LINE: usize = 16;
/// Lines that are gathered before they are handed on.
const LINES_AT_ONCE: usize = 4;
/// The longest number of a line: `0x`, 16 hex digits and a comma; seven bytes more may be touched.
const NUMBER_BYTES_MAX: usize = 19 + 7;

/// Writes little-endian words of `width` in decimal.
///
/// # Errors
/// Those of `out`.
pub(crate) fn write_elements(
    out: &mut dyn Write,
    bytes: &[u8],
    width: ElementWidth,
) -> io::Result<()> {
    match width {
        ElementWidth::U8 => write_words::<1>(out, bytes),
        ElementWidth::U16 => write_words::<2>(out, bytes),
        ElementWidth::U32 => write_words::<4>(out, bytes),
    }
}

/// Bytes that [`write_elements`] writes, without writing them.
pub(crate) fn elements_text_bytes(bytes: &[u8], width: ElementWidth) -> u64 {
    let (count, digits) = match width {
        ElementWidth::U8 => count_digits::<1>(bytes),
        ElementWidth::U16 => count_digits::<2>(bytes),
        ElementWidth::U32 => count_digits::<4>(bytes),
    };
    digits + separators_bytes(count)
}

/// Bytes that [`write_elements`] writes for a table that is not yet solved, on average.
///
/// A forest of `num_keys` edges on `count` vertices has `count - num_keys` trees, and one vertex of
/// each keeps the value 0; the others are spread evenly below `bound`.
pub(crate) fn expected_text_bytes(count: u32, num_keys: u32, bound: u32) -> u64 {
    let mut digits_of_all = u64::from(bound);
    let mut power = 10;
    while power < u64::from(bound) {
        digits_of_all += u64::from(bound) - power;
        power *= 10;
    }
    let zeros = u64::from(count - num_keys);
    let others = u64::from(num_keys) * digits_of_all / u64::from(bound);
    zeros + others + separators_bytes(u64::from(count))
}

/// Writes `keys` in hex, all of `DIGITS` digits.
///
/// # Errors
/// Those of `out`.
pub(crate) fn write_hex<const DIGITS: usize>(
    out: &mut dyn Write,
    keys: &mut dyn Iterator<Item = u64>,
) -> io::Result<()> {
    let mut text = Lines::new(out);
    let mut keys = keys.peekable();
    while keys.peek().is_some() {
        text.append_line(keys.by_ref().take(LINE), |line, key| {
            line.append(*b"0x", 2);
            let bytes = key.to_be_bytes();
            for byte in &bytes[bytes.len() - DIGITS / 2..] {
                line.append(HEX_PAIRS[usize::from(*byte)], 2);
            }
            line.append([b','], 1);
        })?;
    }
    text.hand_on()
}

/// Bytes that [`write_hex`] writes.
pub(crate) const fn hex_text_bytes(count: u64, digits: u64) -> u64 {
    count * (2 + digits) + separators_bytes(count)
}

/// A comma for every number and a line break for every line.
const fn separators_bytes(count: u64) -> u64 {
    count + count.div_ceil(LINE as u64)
}

fn count_digits<const WIDTH: usize>(bytes: &[u8]) -> (u64, u64) {
    let (words, _) = bytes.as_chunks::<WIDTH>();
    let digits = words.iter().map(|word| u64::from(word_of(word).max(1).ilog10()) + 1).sum();
    (words.len() as u64, digits)
}

#[inline(always)]
fn word_of<const WIDTH: usize>(bytes: &[u8; WIDTH]) -> u32 {
    let mut word = [0; 4];
    word[..WIDTH].copy_from_slice(bytes);
    u32::from_le_bytes(word)
}

fn write_words<const WIDTH: usize>(out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    let (words, _) = bytes.as_chunks::<WIDTH>();
    match words.iter().map(word_of).max().unwrap_or_default() {
        0..10_000 => write_numbers(out, words, |line, number| line.append_shortest(number)),
        10_000..100_000 => write_numbers(out, words, |line, number| line.append_short(number)),
        100_000..1_000_000 => {
            write_numbers(out, words, |line, number| line.append_decimal::<2>(number))
        }
        1_000_000..1_000_000_000 => {
            write_numbers(out, words, |line, number| line.append_decimal::<3>(number))
        }
        1_000_000_000.. => {
            write_numbers(out, words, |line, number| line.append_decimal::<4>(number))
        }
    }
}

#[inline(always)]
fn write_numbers<const WIDTH: usize>(
    out: &mut dyn Write,
    words: &[[u8; WIDTH]],
    append: impl Fn(&mut Line<'_>, u32),
) -> io::Result<()> {
    let mut text = Lines::new(out);
    for line in words.chunks(LINE) {
        text.append_line(line, |line, word| append(line, word_of(word)))?;
    }
    text.hand_on()
}

/// Numbers gathered into lines, and lines into writes of some hundred bytes.
struct Lines<'a> {
    out: &'a mut dyn Write,
    text: [u8; LINES_AT_ONCE * LINE * NUMBER_BYTES_MAX],
    len: usize,
    lines: usize,
}

impl<'a> Lines<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        Self { out, text: [0; _], len: 0, lines: 0 }
    }

    /// Appends a line of these numbers.
    #[inline(always)]
    fn append_line<N>(
        &mut self,
        numbers: impl IntoIterator<Item = N>,
        append: impl Fn(&mut Line<'_>, N),
    ) -> io::Result<()> {
        let mut line = Line { text: &mut self.text, len: self.len };
        for number in numbers {
            append(&mut line, number);
        }
        line.append([b'\n'], 1);
        self.len = line.len;
        self.lines += 1;
        if self.lines == LINES_AT_ONCE { self.hand_on() } else { Ok(()) }
    }

    fn hand_on(&mut self) -> io::Result<()> {
        self.out.write_all(&self.text[..self.len])?;
        self.len = 0;
        self.lines = 0;
        Ok(())
    }
}

/// The line that is being written, after those before it.
struct Line<'a> {
    text: &'a mut [u8],
    len: usize,
}

impl Line<'_> {
    /// Appends the first `len` of these bytes.
    #[inline(always)]
    fn append<const N: usize>(&mut self, bytes: [u8; N], len: usize) {
        self.text[self.len..self.len + N].copy_from_slice(&bytes);
        self.len += len;
    }

    /// Appends a number below 10,000 and a comma.
    #[inline(always)]
    fn append_shortest(&mut self, number: u32) {
        let entry = SHORT_NUMBERS[0][number as usize];
        self.append(entry.to_le_bytes(), (entry >> 56) as usize);
    }

    /// Appends a number below 100,000 and a comma.
    #[inline(always)]
    fn append_short(&mut self, number: u32) {
        let (first, rest) = (number / 10_000, number % 10_000);
        let has_first = first != 0;
        let entry = SHORT_NUMBERS[usize::from(has_first)][rest as usize];
        let len = (entry >> 56) as usize;
        let with_first = (entry << 8) | u64::from(first + u32::from(b'0'));
        let text = if has_first { with_first } else { entry };
        self.append(text.to_le_bytes(), len);
    }

    /// Appends a number below `1000^GROUPS` and a comma, three digits at a time.
    #[inline(always)]
    fn append_decimal<const GROUPS: usize>(&mut self, number: u32) {
        let mut groups = [0; GROUPS];
        let mut rest = number;
        for group in groups.iter_mut().rev() {
            *group = rest % 1000;
            rest /= 1000;
        }
        let mut has_begun = false;
        for (place, group) in groups.into_iter().enumerate() {
            let begins = !has_begun & ((group != 0) | (place == GROUPS - 1));
            let form = usize::from(has_begun) * PADDED + usize::from(begins) * LEADING;
            has_begun |= begins;
            let [digit, second, third, len] = GROUPS_OF_THREE[form][group as usize];
            self.append([digit, second, third, 0], usize::from(len));
        }
        self.append([b','], 1);
    }
}

/// `[has_first][number]`: as they stand in memory, the digits of a number below 10,000 and a comma, and
/// in the last of eight bytes how many bytes these are. After a first digit, which is counted, zeros
/// stand before the others.
static SHORT_NUMBERS: [[u64; 10_000]; 2] = short_numbers();

const fn short_numbers() -> [[u64; 10_000]; 2] {
    let mut entries = [[0; 10_000]; 2];
    let mut number = 0;
    while number < 10_000 {
        let mut text = b',' as u64;
        let mut len = 1;
        let mut rest = number;
        while len < 5 {
            let digit = (rest % 10) as u64 + b'0' as u64;
            text = (text << 8) | digit;
            len += 1;
            rest /= 10;
            if rest == 0 && entries[0][number] == 0 {
                entries[0][number] = text | (len << 56);
            }
        }
        entries[1][number] = text | ((len + 1) << 56);
        number += 1;
    }
    entries
}

/// The form of three digits before the first one that counts: nothing.
const ABSENT: usize = 0;
/// The form of the first three digits: without the zeros before the first.
const LEADING: usize = 1;
/// The form of digits that follow others: all three.
const PADDED: usize = 2;

/// `[form][number]`: three digits and how many of them count.
static GROUPS_OF_THREE: [[[u8; 4]; 1000]; PADDED + 1] = groups_of_three();

const fn groups_of_three() -> [[[u8; 4]; 1000]; PADDED + 1] {
    let mut groups = [[[0; 4]; 1000]; PADDED + 1];
    assert!(groups[ABSENT][0][3] == 0);
    let mut number = 0;
    while number < 1000 {
        let digits = [
            (number / 100) as u8 + b'0',
            (number / 10 % 10) as u8 + b'0',
            (number % 10) as u8 + b'0',
        ];
        groups[LEADING][number] = match number {
            0..10 => [digits[2], 0, 0, 1],
            10..100 => [digits[1], digits[2], 0, 2],
            _ => [digits[0], digits[1], digits[2], 3],
        };
        groups[PADDED][number] = [digits[0], digits[1], digits[2], 3];
        number += 1;
    }
    groups
}

/// The two hex digits of every byte.
static HEX_PAIRS: [[u8; 2]; 256] = hex_pairs();

const fn hex_pairs() -> [[u8; 2]; 256] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(numbers: &[u32]) -> String {
        let lines = numbers.chunks(LINE);
        lines.map(|line| line.iter().map(|n| format!("{n},")).collect::<String>() + "\n").collect()
    }

    fn check(numbers: &[u32], width: ElementWidth) {
        let bytes: Vec<u8> =
            numbers.iter().flat_map(|n| n.to_le_bytes()[..width.bytes()].to_vec()).collect();
        let mut text = Vec::new();
        write_elements(&mut text, &bytes, width).unwrap();
        assert_eq!(String::from_utf8(text.clone()).unwrap(), plain(numbers));
        assert_eq!(elements_text_bytes(&bytes, width), text.len() as u64);
    }

    #[test]
    fn every_byte_word_and_short_number_reads_as_plain_formatting_writes_it() {
        check(&(0..256).collect::<Vec<_>>(), ElementWidth::U8);
        check(&(0..65_536).collect::<Vec<_>>(), ElementWidth::U16);
        check(&(0..100_000).collect::<Vec<_>>(), ElementWidth::U32);
        check(&[], ElementWidth::U32);
    }

    #[test]
    fn numbers_around_every_power_of_ten_read_as_plain_formatting_writes_them() {
        let mut numbers = vec![0, u32::MAX];
        for power in 0..10 {
            numbers.extend([10u32.pow(power) - 1, 10u32.pow(power), 10u32.pow(power) + 1]);
        }
        check(&numbers, ElementWidth::U32);
    }

    proptest! {
        #[test]
        fn any_numbers_read_as_plain_formatting_writes_them(
            numbers in proptest::collection::vec(0..1_000_000u32, 0..100)
        ) {
            check(&numbers, ElementWidth::U32);
            let with = |factor: u32| numbers.iter().map(|n| n.wrapping_mul(factor)).collect::<Vec<_>>();
            check(&with(1_000), ElementWidth::U32);
            check(&with(747_796_405), ElementWidth::U32);
            check(&numbers.iter().map(|n| n % 100_000).collect::<Vec<_>>(), ElementWidth::U32);
        }

        #[test]
        fn any_keys_read_as_plain_formatting_writes_them(
            keys in proptest::collection::vec(any::<u64>(), 0..100)
        ) {
            let mut text = Vec::new();
            write_hex::<16>(&mut text, &mut keys.iter().copied()).unwrap();
            let mut expected = String::new();
            for line in keys.chunks(LINE) {
                expected.extend(line.iter().map(|key| format!("{key:#018x},")));
                expected.push('\n');
            }
            prop_assert_eq!(text.len() as u64, hex_text_bytes(keys.len() as u64, 16));
            prop_assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
    }

    #[test]
    fn the_expected_size_is_the_mean_of_the_real_one() {
        let numbers: Vec<u32> = (0..1000u32).map(|n| n % 500).collect();
        let text = plain(&numbers).len() as u64;
        let expected = expected_text_bytes(1500, 1000, 500);
        let zeros = 500 * 2 + separators_bytes(1500) - separators_bytes(1000) - 500;
        assert_eq!(expected, text + zeros);
    }
}
