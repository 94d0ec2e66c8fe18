//! Key files as text: one number a line.

use alloc::vec::Vec;

/// A line that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} (byte {offset:#x}) {kind}")]
#[non_exhaustive]
pub struct TextError {
    /// The line, counted from 1.
    pub line: usize,
    /// Where the line begins.
    pub offset: usize,
    /// What is wrong with it.
    pub kind: TextErrorKind,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextErrorKind {
    /// Neither decimal nor `0x` and hexadecimal digits.
    #[error("is neither a decimal nor a 0x number")]
    NotANumber,
    /// The mark stands before the first line, which may be a number.
    #[error("begins with the byte order mark of UTF-8")]
    ByteOrderMark,
    /// Its mark stands before the first line.
    #[error("is text in UTF-16")]
    Utf16,
    /// No text in ASCII or UTF-8 has them.
    #[error("holds bytes that are zero, as packed keys do, and text in UTF-16")]
    ZeroBytes,
    /// Then it is several lines, or a comment hides numbers.
    #[error("holds carriage returns (CR) that no newline (LF) follows")]
    CarriageReturns,
    /// More than the key's width holds, or any.
    #[error("is greater than the greatest key, {max:#x}")]
    TooGreat {
        /// The greatest key of the width; of 64 bits, if a key of any width is less.
        max: u64,
    },
}

impl TextError {
    /// What the user can do about it.
    pub(super) const fn remedy(&self) -> &'static str {
        const GREATEST_OF_32_BITS: u64 = u32::MAX as u64;
        match self.kind {
            TextErrorKind::NotANumber => "write one decimal or 0x key a line",
            TextErrorKind::ByteOrderMark => "save the file without a byte order mark",
            TextErrorKind::Utf16 => "save the file as ASCII or as UTF-8 without a byte order mark",
            TextErrorKind::ZeroBytes => {
                "leave out --text if the keys are packed; else save the file as ASCII or UTF-8"
            }
            TextErrorKind::CarriageReturns => "end each line with LF, or CR and LF",
            TextErrorKind::TooGreat { max: GREATEST_OF_32_BITS } => {
                "if the keys have 64 bits, give --key-size 64; else correct the line"
            }
            TextErrorKind::TooGreat { .. } => "a key has at most 64 bits: correct the line",
        }
    }
}

/// The numbers of `text`, each at most `max`, made keys by `key`.
pub(super) fn parse<K>(text: &[u8], max: u64, key: impl Fn(u64) -> K) -> Result<Vec<K>, TextError> {
    let mut keys = Vec::new();
    let mut offset = 0;
    for (number, line) in lines(text).enumerate() {
        let wrong = |kind| TextError { line: number + 1, offset, kind };
        if has_inner_carriage_return(line) {
            return Err(wrong(TextErrorKind::CarriageReturns));
        }
        let content = content(line);
        if !content.is_empty() {
            let value = parse_number(content, max);
            keys.push(key(value.map_err(|kind| wrong(cause(kind, line, number == 0)))?));
        }
        offset += line.len() + 1;
    }
    Ok(keys)
}

/// Whether a file begins as a text of keys does, as far as its first 512 bytes tell: they are digits,
/// also hexadecimal ones, blanks and line ends, with one line end at least. Packed keys are hardly
/// ever such.
#[must_use]
pub fn looks_like_text(bytes: &[u8]) -> bool {
    const LOOKED_AT_BYTES: usize = 512;
    let head = &bytes[..bytes.len().min(LOOKED_AT_BYTES)];
    let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let of_a_number = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'x' | b'X');
    let is_of_text =
        |byte: &u8| of_a_number(byte) || is_line_end(byte) || matches!(byte, b' ' | b'\t');
    head.iter().all(is_of_text) && head.iter().any(is_line_end)
}

/// The line, counted from 1, of a key of a text that was parsed.
pub(super) fn line_of_key(text: &[u8], index: usize) -> usize {
    let with_keys = lines(text).enumerate().filter(|(_, line)| !content(line).is_empty());
    with_keys.map(|(number, _)| number + 1).nth(index).expect("every key has a line")
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n')
}

/// A line without its comment.
fn content(line: &[u8]) -> &[u8] {
    line.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii()
}

/// Where CR alone ends lines, all of them are one to us, and what follows a comment would be lost.
fn has_inner_carriage_return(line: &[u8]) -> bool {
    line.trim_ascii_end().contains(&b'\r')
}

/// Why a line is no number, where that can be told of its bytes.
fn cause(kind: TextErrorKind, line: &[u8], is_first: bool) -> TextErrorKind {
    match kind {
        TextErrorKind::NotANumber if is_first && line.starts_with(b"\xef\xbb\xbf") => {
            TextErrorKind::ByteOrderMark
        }
        TextErrorKind::NotANumber
            if is_first && (line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff")) =>
        {
            TextErrorKind::Utf16
        }
        TextErrorKind::NotANumber if line.contains(&0) => TextErrorKind::ZeroBytes,
        kind => kind,
    }
}

fn parse_number(digits: &[u8], max: u64) -> Result<u64, TextErrorKind> {
    let (digits, radix) = match digits {
        [b'0', b'x' | b'X', hexadecimal @ ..] => (hexadecimal, 16),
        decimal => (decimal, 10),
    };
    if digits.is_empty() {
        return Err(TextErrorKind::NotANumber);
    }
    // None: more than 64 bits.
    let mut value = Some(0_u64);
    for &byte in digits {
        let digit = char::from(byte).to_digit(radix).ok_or(TextErrorKind::NotANumber)?;
        let shifted = value.and_then(|value| value.checked_mul(u64::from(radix)));
        value = shifted.and_then(|value| value.checked_add(u64::from(digit)));
    }
    match value {
        Some(value) if value <= max => Ok(value),
        Some(_) => Err(TextErrorKind::TooGreat { max }),
        None => Err(TextErrorKind::TooGreat { max: u64::MAX }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&[u64], (usize, TextErrorKind)>) {
        check_bytes(text.as_bytes(), expected);
    }

    fn check_bytes(text: &[u8], expected: Result<&[u64], (usize, TextErrorKind)>) {
        let found = parse(text, u64::from(u32::MAX), |key| key);
        let found = found.as_deref().map_err(|error| (error.line, error.kind));
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn a_line_is_a_number_a_comment_or_an_error_with_its_place() {
        check("1\n0x10\r\n\n# none\n 7 # seven\n", Ok(&[1, 16, 7]));
        check("4294967295", Ok(&[0xffff_ffff]));
        check("1\n4294967296", Err((2, TextErrorKind::TooGreat { max: 0xffff_ffff })));
        let beyond_any = TextErrorKind::TooGreat { max: u64::MAX };
        check("18446744073709551615", Err((1, TextErrorKind::TooGreat { max: 0xffff_ffff })));
        check("18446744073709551616", Err((1, beyond_any)));
        check("0x1ffffffffffffffff", Err((1, beyond_any)));
        check("99999999999999999999999999x", Err((1, TextErrorKind::NotANumber)));
        check("1\n\n-3", Err((3, TextErrorKind::NotANumber)));
        check("0x", Err((1, TextErrorKind::NotANumber)));
        check("12a", Err((1, TextErrorKind::NotANumber)));
    }

    #[test]
    fn a_text_is_known_by_its_first_bytes() {
        let check = |bytes: &[u8], expected| assert_eq!(looks_like_text(bytes), expected);
        check(b"123\n456\n789\n", true);
        check(b" 0x1F\t\r\n0Xab", true);
        check(b"12345678", false);
        check(b"", false);
        check(b"1\n\0\0", false);
        check(&[1, 0, 0, 0, b'\n', 0, 0, 0], false);
        let long = [&b"1\n".repeat(256)[..], &[0xff; 100]].concat();
        check(&long, true);
        check(&long[2..], false);
    }

    #[test]
    fn a_text_of_another_encoding_or_other_line_ends_is_named_as_such() {
        check("\u{feff}1\n2\n", Err((1, TextErrorKind::ByteOrderMark)));
        check("1\n\u{feff}2\n", Err((2, TextErrorKind::NotANumber)));
        check_bytes(b"\xff\xfe1\0\n\0", Err((1, TextErrorKind::Utf16)));
        check_bytes(b"\xfe\xff\x001\0\n", Err((1, TextErrorKind::Utf16)));
        check_bytes(b"1\0\n\0", Err((1, TextErrorKind::ZeroBytes)));
        check_bytes(b"7\0\0\0", Err((1, TextErrorKind::ZeroBytes)));
        check("1\r2\r3\r", Err((1, TextErrorKind::CarriageReturns)));
        check("1\n# one\r2\r", Err((2, TextErrorKind::CarriageReturns)));
        check("1\r\r\n2\r", Ok(&[1, 2]));
    }

    #[test]
    fn a_number_of_more_than_32_bits_leads_to_the_option_for_64() {
        let remedy = |text: &[u8], max| parse(text, max, |key| key).map_err(|error| error.remedy());
        let narrow = remedy(b"4294967296", u64::from(u32::MAX)).unwrap_err();
        assert!(narrow.contains("--key-size 64"), "{narrow}");
        for max in [u64::from(u32::MAX), u64::MAX] {
            let wide = remedy(b"18446744073709551616", max).unwrap_err();
            assert!(!wide.contains("--key-size"), "{wide}");
        }
    }
}
