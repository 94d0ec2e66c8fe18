//! The name of a key file as its owner wrote it: any bytes, shown only in an escaped form.

use std::fmt;
use std::fmt::Write as _;

/// The name of a key file, as bytes.
///
/// Its [`Display`](fmt::Display) is the only form that reaches generated code. Bytes other than
/// ASCII letters, digits, spaces and `. _ - + = , @ ( )` are shown as `%` and two hex digits, as in a
/// URL: no character of it ends a comment or a string, continues a line, makes a trigraph or
/// changes the direction of text, in any language, so that one form serves all of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginalName(Vec<u8>);

impl OriginalName {
    /// Bytes that are shown; a longer name is cut and what is left out is counted. File names of
    /// common systems have at most 255.
    pub(crate) const SHOWN_BYTES_MAX: usize = 255;

    /// The name of these bytes: a file name without its directories.
    #[must_use]
    pub fn new(name: impl Into<Vec<u8>>) -> Self {
        Self(name.into())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for OriginalName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(Self::SHOWN_BYTES_MAX)];
        for &byte in shown {
            if byte.is_ascii_alphanumeric() || b" ._-+=,@()".contains(&byte) {
                formatter.write_char(char::from(byte))?;
            } else {
                write!(formatter, "%{byte:02X}")?;
            }
        }
        if shown.len() < self.0.len() {
            write!(formatter, "... and {} bytes more", self.0.len() - shown.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(name: impl Into<Vec<u8>>, shown: &str) {
        assert_eq!(OriginalName::new(name).to_string(), shown);
    }

    #[test]
    fn ordinary_names_are_shown_as_they_are() {
        check("HologramWorld-31016.keys", "HologramWorld-31016.keys");
        check("My keys (2), v1.keys", "My keys (2), v1.keys");
    }

    #[test]
    fn bytes_that_mean_something_in_some_language_are_escaped() {
        check("*/ main(){}", "%2A%2F main()%7B%7D");
        check("a\\\n", "a%5C%0A");
        check("??/", "%3F%3F%2F");
        check("\"quote\" 'n' `b`", "%22quote%22 %27n%27 %60b%60");
        check("\u{202e}txt", "%E2%80%AEtxt");
        check(vec![0xff, 0x00], "%FF%00");
        check("100%", "100%25");
        check("$(x)", "%24(x)");
        check("x".repeat(300), &format!("{}... and 45 bytes more", "x".repeat(255)));
    }

    proptest! {
        #[test]
        fn no_other_character_is_ever_shown(name in proptest::collection::vec(any::<u8>(), 0..300)) {
            let shown = OriginalName::new(name).to_string();
            prop_assert!(shown.bytes().all(|b| b.is_ascii_alphanumeric() || b" ._-+=,@()%".contains(&b)));
        }

        #[test]
        fn what_is_shown_leads_back_to_the_name(name in proptest::collection::vec(any::<u8>(), 0..255)) {
            let shown = OriginalName::new(name.clone()).to_string();
            let mut parts = shown.split('%');
            let mut bytes = parts.next().unwrap().as_bytes().to_vec();
            for part in parts {
                bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
                bytes.extend(&part.as_bytes()[2..]);
            }
            prop_assert_eq!(bytes, name);
        }
    }
}
