//! `cargo +nightly fuzz run table fuzz/corpus/table fuzz/seeds/table`: any bytes as a table file, see the harness for what must hold.

#![no_main]

#[expect(dead_code, reason = "the other target runs the rest")]
#[path = "../../crates/perfecta-core/tests/hostile/harness.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    harness::check_table(bytes);
    harness::check_table(&harness::with_good_checksums_of_table(bytes));
});
