//! Numbers of 64 bits in JSON: as text, because many readers keep 53 bits of a number only.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number, written as `"0x"` and 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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

impl From<Hex64> for String {
    fn from(number: Hex64) -> Self {
        number.to_string()
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
