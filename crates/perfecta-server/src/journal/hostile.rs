//! What must hold for any bytes that are found as a journal.

use std::path::Path;

use super::entry::{Entry, VERSION, before};
use super::file::{Left, read};

/// It is read, or of another version; and what was taken from it is what the next daemon takes from
/// the journal that this one writes of it, whose death counts.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(left) = read(Path::new("journal"), bytes) else { return };
    let mut rewritten = Entry::Journal { version: VERSION }.to_line();
    let lines = left.requests.iter().flat_map(super::Earlier::lines);
    rewritten.extend(lines.map(|(_, line)| line));
    let Left { requests, died, damaged, .. } =
        read(Path::new("journal"), rewritten.as_bytes()).expect("it is of our version");
    assert!(died && damaged.is_empty(), "{damaged:?}");
    let mut expected = left.requests;
    for earlier in expected.iter_mut().filter(|earlier| earlier.ended.is_none()) {
        earlier.accepted.deaths = earlier.accepted.deaths.saturating_add(1);
    }
    assert_eq!(requests, expected);
}

/// Gives every line that is an object the checksum that it should have: chance finds none.
pub(crate) fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(2 * bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let end = line.len() - usize::from(line.ends_with(b"\n"));
        match line[..end].strip_prefix(b"{") {
            Some(fields) => lines.extend_from_slice(&[before(fields).as_bytes(), fields].concat()),
            None => lines.extend_from_slice(&line[..end]),
        }
        lines.extend_from_slice(&line[end..]);
    }
    lines
}
