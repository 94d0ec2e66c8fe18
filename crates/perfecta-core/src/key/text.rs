//! Key files as text: one number a line.

use alloc::vec::Vec;

/// A line that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} (byte {offset:#x}) {kind}")]
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
pub enum TextErrorKind {
    /// Neither decimal nor `0x` and hexadecimal digits.
    #[error("is neither a decimal nor a 0x number")]
    NotANumber,
    /// More than the key's width holds.
    #[error("is greater than the greatest key, {max:#x}")]
    TooGreat {
        /// The greatest key of the width.
        max: u64,
    },
}

/// The numbers of `text`, each at most `max`, made keys by `key`.
pub(super) fn parse<K>(text: &[u8], max: u64, key: impl Fn(u64) -> K) -> Result<Vec<K>, TextError> {
    let mut keys = Vec::new();
    let mut offset = 0;
    for (number, line) in lines(text).enumerate() {
        let content = content(line);
        if !content.is_empty() {
            let value = parse_number(content, max).map_err(|kind| TextError {
                line: number + 1,
                offset,
                kind,
            })?;
            keys.push(key(value));
        }
        offset += line.len() + 1;
    }
    Ok(keys)
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

fn parse_number(digits: &[u8], max: u64) -> Result<u64, TextErrorKind> {
    let (digits, radix) = match digits {
        [b'0', b'x' | b'X', hexadecimal @ ..] => (hexadecimal, 16),
        decimal => (decimal, 10),
    };
    if digits.is_empty() {
        return Err(TextErrorKind::NotANumber);
    }
    let mut value: u64 = 0;
    let mut fits = true;
    for &byte in digits {
        let digit = char::from(byte).to_digit(radix).ok_or(TextErrorKind::NotANumber)?;
        let next =
            value.checked_mul(u64::from(radix)).and_then(|tens| tens.checked_add(u64::from(digit)));
        fits &= next.is_some_and(|next| next <= max);
        value = next.unwrap_or(value);
    }
    if fits { Ok(value) } else { Err(TextErrorKind::TooGreat { max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&[u64], (usize, TextErrorKind)>) {
        let found = parse(text.as_bytes(), u64::from(u32::MAX), |key| key);
        let found = found.as_deref().map_err(|error| (error.line, error.kind));
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn a_line_is_a_number_a_comment_or_an_error_with_its_place() {
        check("1\n0x10\r\n\n# none\n 7 # seven\n", Ok(&[1, 16, 7]));
        check("4294967295", Ok(&[0xffff_ffff]));
        check("1\n4294967296", Err((2, TextErrorKind::TooGreat { max: 0xffff_ffff })));
        check("0x1ffffffffffffffff", Err((1, TextErrorKind::TooGreat { max: 0xffff_ffff })));
        check("1\n\n-3", Err((3, TextErrorKind::NotANumber)));
        check("0x", Err((1, TextErrorKind::NotANumber)));
        check("12a", Err((1, TextErrorKind::NotANumber)));
    }
}
