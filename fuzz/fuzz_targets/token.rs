//! `cargo +nightly fuzz run token fuzz/corpus/token fuzz/seeds/token`: any bytes as a token's file, see the harness for
//! what must hold.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perfecta_server::hostile::check_token(bytes));
