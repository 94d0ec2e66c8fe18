//! `cargo +nightly fuzz run events fuzz/corpus/events fuzz/seeds/events`: any bytes as a stream of events to a client, see the harness for
//! what must hold.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perfecta_server::hostile::check_events(bytes));
