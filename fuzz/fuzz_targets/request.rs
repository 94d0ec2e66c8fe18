//! `cargo +nightly fuzz run request fuzz/corpus/request fuzz/seeds/request`: any bytes as a body, see the harness for
//! what must hold.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perfecta_server::hostile::check_request(bytes));
