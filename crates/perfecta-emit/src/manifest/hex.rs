//! What JSON cannot hold as it is, as hex text: numbers of 64 bits, of which many readers keep 53, and names
//! that are not UTF-8.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// A number, written as `"0x"` and 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Hex64(pub u64);

/// A text that is no such number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a 64-bit number is 0x and 16 hex digits")]
pub struct NoHex;

impl fmt::Display for Hex64 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#018x}", self.0)
    }
}

impl Serialize for Hex64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl TryFrom<String> for Hex64 {
    type Error = NoHex;

    fn try_from(text: String) -> Result<Self, NoHex> {
        let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 16).ok_or(NoHex)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(NoHex);
        }
        u64::from_str_radix(digits, 16).map(Self).map_err(|_| NoHex)
    }
}

/// Bytes, each as two digits.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a name of which a manifest holds `shown`, and `hex` if that is not all of it; `None` if these do not
/// say the same.
#[must_use]
pub fn name_bytes<'a>(shown: &'a str, hex: Option<&str>) -> Option<Cow<'a, [u8]>> {
    let Some(hex) = hex else { return Some(shown.as_bytes().into()) };
    bytes(hex).filter(|bytes| is_needed(bytes, shown)).map(Cow::Owned)
}

/// The bytes of [`text`].
fn bytes(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().map(byte).collect()
}

/// Whether `shown` is what is left of a name of these `bytes` as text, and less than all of it.
#[must_use]
pub fn is_needed(bytes: &[u8], shown: &str) -> bool {
    shown.as_bytes() != bytes && String::from_utf8_lossy(bytes) == shown
}
