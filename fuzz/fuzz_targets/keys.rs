//! `cargo +nightly fuzz run keys fuzz/corpus/keys fuzz/seeds/keys`: any bytes as a key file, see the harness for what must hold.

#![no_main]

#[path = "../../crates/perfecta-core/tests/hostile/keys.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::check_keys(bytes));
