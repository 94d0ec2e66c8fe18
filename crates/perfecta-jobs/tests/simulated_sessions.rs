//! Sessions of several jobs and several workers on a simulated machine, by the thousand.
//!
//! A seed that fails is run again by `PERFECTA_SEED=1234 cargo test -p perfecta-jobs --test
//! simulated_sessions`, and `PERFECTA_SEEDS=100000` runs more of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(clippy::disallowed_methods, reason = "seeds come from outside")]

mod common;
mod sessions;

use std::panic::{AssertUnwindSafe, catch_unwind};

use perfecta_io::SimulatedMachine;
use sessions::{Kind, run_seed};

/// Seeds of all kinds.
const SEEDS: u64 = 10_000;

/// Beyond them, those that failed once.
const FAILED_ONCE: [u64; 4] = [15_447, 22_079, 29_116, 38_202];

fn number_of(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().unwrap())
}

/// Runs the seeds of a kind; with `PERFECTA_SEED` just that one, if it is of this kind.
fn run_seeds(kind: Kind) {
    if let Some(seed) = number_of("PERFECTA_SEED") {
        return if Kind::of(seed) == kind {
            run(seed, true)
        };
    }
    let seeds = 0..number_of("PERFECTA_SEEDS").unwrap_or(SEEDS);
    seeds
        .chain(FAILED_ONCE)
        .filter(|seed| Kind::of(*seed) == kind)
        .for_each(|seed| run(seed, false));
}

fn run(seed: u64, tells_history: bool) {
    let machine = SimulatedMachine::new(seed);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run_seed(&machine, seed))) {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        let history = if tells_history { machine.history() } else { String::new() };
        let test = "cargo test -p perfecta-jobs --test simulated_sessions";
        panic!("{history}\n{text}\nagain: PERFECTA_SEED={seed} {test}");
    }
}

#[test]
fn sessions_end_though_the_clock_stands_still() {
    run_seeds(Kind::Timeless);
}

#[test]
fn what_is_only_slow_short_or_interrupted_changes_nothing() {
    run_seeds(Kind::Harmless);
}

#[test]
fn whatever_fails_every_item_settles_once_and_no_table_is_torn() {
    run_seeds(Kind::Rough);
}

#[test]
fn after_a_death_or_a_power_cut_the_next_run_finishes_what_was_begun() {
    run_seeds(Kind::Deadly);
}

#[test]
fn a_seed_has_one_history() {
    for seed in 0..40 {
        let history = || {
            let machine = SimulatedMachine::new(seed);
            run_seed(&machine, seed);
            machine.history()
        };
        let (first, second) = (history(), history());
        let differs = first.lines().zip(second.lines()).find(|(first, second)| first != second);
        assert_eq!(differs, None, "seed {seed} has two");
    }
}
