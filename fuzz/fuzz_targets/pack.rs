//! `cargo +nightly fuzz run pack fuzz/corpus/pack fuzz/seeds/pack`: any bytes as a pack, see the harness for what must hold.

#![no_main]

#[expect(dead_code, reason = "the other target runs the rest")]
#[path = "../../crates/perfecta-core/tests/hostile/harness.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    harness::check_pack(bytes);
    harness::check_pack(&harness::with_good_checksums_of_pack(bytes));
});
