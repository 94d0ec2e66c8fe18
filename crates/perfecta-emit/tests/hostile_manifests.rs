//! Manifests of any bytes.

#[path = "hostile/manifest.rs"]
mod harness;

use std::path::Path;

#[test]
fn whatever_bytes_come_as_a_manifest_they_are_read_whole_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/manifest");
    let mut num_files = 0;
    for entry in std::fs::read_dir(corpus).expect("there is a corpus") {
        let bytes = std::fs::read(entry.expect("it is listed").path()).expect("it is read");
        harness::check_manifest(&bytes);
        for place in 0..bytes.len() {
            harness::check_manifest(&bytes[..place]);
            for change in [0x01, 0x10, 0x20, 0x80] {
                let mut changed = bytes.clone();
                changed[place] ^= change;
                harness::check_manifest(&changed);
            }
        }
        num_files += 1;
    }
    assert!(num_files > 1);
}
