//! Errors of the library: whoever matches them is to be compiled with later versions as well.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_error_may_get_further_kinds_and_fields() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut num_errors = 0;
    for source in ["perfecta/src", "perfecta-core/src"] {
        for path in sources(&crates.join(source)) {
            let text = fs::read_to_string(&path).unwrap();
            for (attributes, item) in public_items(&text) {
                // A unit has nothing to match.
                if attributes.contains("thiserror::Error") && !item.ends_with(';') {
                    let is_open = attributes.contains("#[non_exhaustive]");
                    assert!(is_open, "{}: {item} is exhaustive", path.display());
                    num_errors += 1;
                }
            }
        }
    }
    assert!(num_errors > 10, "{num_errors}");
}

/// Each public type of a source file, and the attributes before it.
fn public_items(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let kinds = ["pub enum ", "pub struct "];
    let starts = kinds.into_iter().flat_map(|kind| text.match_indices(kind).map(|(at, _)| at));
    starts.map(|at| {
        let attributes = &text[..at];
        let attributes = &attributes[attributes.rfind("\n\n").unwrap_or(0)..];
        (attributes, text[at..].lines().next().unwrap_or_default())
    })
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let (below, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.into_iter().chain(below.iter().flat_map(|directory| sources(directory))).collect()
}
