//! `cargo +nightly fuzz run answer fuzz/corpus/answer fuzz/seeds/answer`: any bytes as an answer to a client, see the harness for
//! what must hold.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perfecta_server::hostile::check_answer(bytes));
