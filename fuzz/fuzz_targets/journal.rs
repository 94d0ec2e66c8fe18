//! `cargo +nightly fuzz run journal fuzz/corpus/journal fuzz/seeds/journal`: any bytes as a daemon's journal, see the
//! harness for what must hold.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perfecta_server::hostile::check_journal(bytes));
