//! `cargo +nightly fuzz run query fuzz/corpus/query fuzz/seeds/query`: any bytes as what stands behind a question mark, see the harness for
//! what must hold.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perfecta_server::hostile::check_query(bytes));
