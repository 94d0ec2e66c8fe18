//! The token by which a remote client proves that it may ask.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

/// A secret word. It is never shown.
#[derive(Clone)]
pub struct Token(String);

/// A token that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("{}: cannot read the token: {error}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Others may know it.
    #[error("{}: {reason}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// How.
        reason: String,
    },
    /// It holds no token.
    #[error("{}: {reason}", .path.display())]
    Word {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: &'static str,
    },
}

impl TokenError {
    /// What the user can do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Read { .. } => "name a file that can be read",
            Self::Open { .. } => "make it a file of your own with mode 0600",
            Self::Word { .. } => {
                "put one word of 16 to 1,024 characters into it, as `openssl rand -hex 32` gives"
            }
        }
    }
}

impl Token {
    /// Fewer characters can be guessed.
    const CHARACTERS_MIN: usize = 16;
    const CHARACTERS_MAX: usize = 1_024;

    /// Reads a token from a file that nobody else may read.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let failed = |error| TokenError::Read { path: path.to_owned(), error };
        let file = open_at_once(path).map_err(failed)?;
        check_private(&file, path)?;
        let mut bytes = Vec::new();
        file.take(Self::CHARACTERS_MAX as u64 + 3).read_to_end(&mut bytes).map_err(failed)?;
        Self::parse(&bytes).map_err(|reason| TokenError::Word { path: path.to_owned(), reason })
    }

    /// The token in a file's bytes: one word, and a line's end if there is one.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let word = line.strip_suffix(b"\r").unwrap_or(line);
        if !word.iter().all(u8::is_ascii_graphic) {
            return Err("the token is not one word of ASCII");
        }
        match word.len() {
            0..Self::CHARACTERS_MIN => Err("the token is too short"),
            Self::CHARACTERS_MIN..=Self::CHARACTERS_MAX => {
                Ok(Self(word.iter().copied().map(char::from).collect()))
            }
            _ => Err("the token is too long"),
        }
    }

    /// The header's value that carries it.
    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// The word that a header carries where a token belongs.
    pub(crate) fn word_in(header: &[u8]) -> Option<&[u8]> {
        let (scheme, word) = header.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(word)
    }

    /// Whether a word is it. How much of it was right does not show in the time that it takes.
    pub(crate) fn is(&self, word: &[u8]) -> bool {
        word.ct_eq(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token")
    }
}

/// Opens a file that is to be a secret's: a pipe without a writer would be waited for.
pub(super) fn open_at_once(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Refuses a secret that others may read, or put another in its place.
pub(super) fn check_private(file: &File, path: &Path) -> Result<(), TokenError> {
    let path = || path.to_owned();
    let found = file.metadata().map_err(|error| TokenError::Read { path: path(), error })?;
    let (mode, user) = (found.mode() & 0o777, rustix::process::geteuid().as_raw());
    let reason = if !found.is_file() {
        "is no regular file".to_owned()
    } else if ![user, 0].contains(&found.uid()) {
        format!("belongs to user {}, not to {user}", found.uid())
    } else if mode & 0o177 != 0 {
        format!("is a secret, and its mode is {mode:04o}")
    } else {
        return Ok(());
    };
    Err(TokenError::Open { path: path(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_of_some_length() {
        let check = |bytes: &[u8], expected: Result<&str, &str>| {
            let parsed = Token::parse(bytes).map(|token| token.0);
            assert_eq!(parsed.as_deref().map_err(|reason| *reason), expected, "{bytes:?}");
        };
        check(b"0123456789abcdef\n", Ok("0123456789abcdef"));
        check(b"0123456789abcdef\r\n", Ok("0123456789abcdef"));
        check(b"0123456789abcde\n", Err("the token is too short"));
        check(b"0123456789 abcdef", Err("the token is not one word of ASCII"));
        check(b"0123456789abcdef\n\n", Err("the token is not one word of ASCII"));
        check(&[b'x'; 1_025], Err("the token is too long"));
        check("0123456789abcdé".as_bytes(), Err("the token is not one word of ASCII"));
    }

    #[test]
    fn a_header_carries_the_whole_token_and_nothing_else() {
        let token = Token::parse(b"0123456789abcdef").unwrap();
        let check = |header: &str, expected: Option<bool>| {
            let found = Token::word_in(header.as_bytes()).map(|word| token.is(word));
            assert_eq!(found, expected, "{header}");
        };
        check(&token.header(), Some(true));
        check("bearer 0123456789abcdef", Some(true));
        for other in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeF"] {
            check(&format!("Bearer {other}"), Some(false));
        }
        for other in ["", "Bearer", "Basic 0123456789abcdef", "0123456789abcdef"] {
            check(other, None);
        }
        assert!(!format!("{token:?}").contains("0123"));
    }
}
