//! `cargo +nightly fuzz run manifest fuzz/corpus/manifest fuzz/seeds/manifest`: any bytes as a table's manifest, see the harness for what must
//! hold.

#![no_main]

#[path = "../../crates/perfecta-emit/tests/hostile/manifest.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::check_manifest(bytes));
