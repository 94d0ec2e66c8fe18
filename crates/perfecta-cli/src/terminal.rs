//! Where output goes: results to standard output, everything else to standard error.

use std::io::{self, Write};

use crate::exit::Exit;
use crate::failure::Failure;

/// Standard output and error.
///
/// A reader that has gone away (`perfecta ... | head`) is no error: the program ends quietly.
#[derive(Debug, Default)]
pub(crate) struct Terminal;

impl Terminal {
    /// One line of the result.
    ///
    /// # Errors
    /// [`Failure`] where standard output cannot take it; [`Exit::SUCCESS`] if its reader is gone.
    pub(crate) fn say(&self, line: &str) -> Result<(), Failure> {
        writeln!(io::stdout().lock(), "{line}").map_err(|error| gone(&error))
    }

    /// Prints on standard output what prints itself.
    ///
    /// # Errors
    /// As [`Self::say`].
    pub(crate) fn tell(&self, print: impl FnOnce() -> io::Result<()>) -> Result<(), Failure> {
        print().and_then(|()| io::stdout().flush()).map_err(|error| gone(&error))
    }

    /// Prints a failure, and what can be done about it. A standard error that takes nothing leaves
    /// the exit code to speak; what ends the program well is no failure to speak of.
    pub(crate) fn complain(&self, failure: &Failure) {
        if failure.exit() == Exit::SUCCESS {
            return;
        }
        let mut out = io::stderr().lock();
        let _ = writeln!(out, "error: {}", printable(&failure.to_string()));
        if let Some(remedy) = failure.remedy() {
            let _ = writeln!(out, "  help: {}", printable(remedy));
        }
    }

    /// One line beside the result.
    pub(crate) fn note(&self, line: &str) {
        let _ = writeln!(io::stderr().lock(), "{}", printable(line));
    }
}

/// Names of files are shown, never obeyed: what a terminal would take for a command is escaped, and
/// what would make two lines of one, or show letters in another order than they have.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() || is_invisible_order(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// Ends of lines and paragraphs that are no control characters, and the marks, embeddings and isolates
/// that Unicode's bidirectional algorithm obeys (UAX #9, section 2).
const fn is_invisible_order(letter: char) -> bool {
    matches!(
        letter,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

fn gone(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::new(Exit::SUCCESS, ""),
        _ => Failure::new(Exit::IO, format!("standard output: cannot write: {error}")),
    }
}
