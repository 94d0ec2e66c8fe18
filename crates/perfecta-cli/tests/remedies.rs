//! What is refused or cannot be done: which line says so, what helps, and what is left untouched.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;

use support::{Place, Run};

/// Runs, and expects an end with `code` and all of `words` on standard error.
#[track_caller]
fn check(place: &Place, arguments: &[&str], code: i32, words: &[&str]) -> Run {
    let run = place.run(arguments);
    assert_eq!(run.code, code, "{}{}", run.out, run.err);
    for word in words {
        assert!(run.err.contains(word), "no {word:?} in\n{}", run.err);
    }
    run
}

/// A file of zeros that takes no room.
fn sparse(place: &Place, name: &str, bytes: u64) {
    fs::File::create(place.path(name)).unwrap().set_len(bytes).unwrap();
}

#[test]
fn a_file_of_more_keys_than_a_table_holds_is_refused_unread_by_whoever_looks_at_it() {
    let place = Place::new();
    sparse(&place, "many.keys", 5 << 30);
    let words = ["1342177280 keys are more than a table can hold"];
    check(&place, &["create", "many.keys", "--no-output"], 5, &words);
    check(&place, &["inspect", "many.keys"], 5, &words);
    check(&place, &["bench", "many.keys"], 5, &words);
    sparse(&place, "more.keys", 9 << 30);
    let words = ["it has 9663676416 bytes, the limit is 8589934592", "help: split the set"];
    check(&place, &["create", "more.keys", "--no-output", "--key-size", "64"], 5, &words);
    check(&place, &["inspect", "more.keys", "--key-size", "64"], 5, &words);
}

#[test]
fn a_file_that_memory_does_not_hold_is_not_looked_into() {
    let place = Place::new();
    sparse(&place, "large.keys", 1 << 30);
    let run = place.run_within("ulimit -v 2000000;", &["inspect", "large.keys"]);
    assert_eq!(run.code, 6, "{}", run.err);
    assert!(run.err.contains("bytes of memory, the limit is"), "{}", run.err);
}
