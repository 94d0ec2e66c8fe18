//! Rows of memory that was taken for what might come.

use std::sync::Arc;

use perfecta_jobs::{Inputs, ItemError, Job, Ramp, Renderer};

use crate::common::{PlainRenderer, keys};
use crate::stepped::{Process, Turns, limits};
use crate::told::Telling;

const NUM_KEYS: u32 = 2000;

fn plain() -> Arc<dyn Renderer> {
    Arc::new(PlainRenderer { version: 1 })
}

fn sets(process: &Process, count: u32) {
    for number in 0..count {
        process.write_keys(&format!("{number:02}.keys"), &keys(NUM_KEYS, 7919 + number));
    }
}

/// A job whose searches may make 64 attempts at once.
fn job(memory_bytes_max: u64) -> Job {
    let mut job = Job::new(Inputs::tree("/in"));
    job.limits.memory_bytes_max = memory_bytes_max;
    job.ramp = Ramp { initial: 64.try_into().unwrap(), every: None, ..Ramp::default() };
    job
}

/// Bytes that one of the sets takes, as its refusal says.
fn needed_bytes() -> u64 {
    let process = Process::new(0);
    sets(&process, 1);
    let (told, _) = process.run(vec![job(1)], &plain(), limits(1));
    match told[0].report("00.keys").error {
        Some(ItemError::Memory { needed, limit: 1 }) => needed,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn a32_what_is_in_flight_takes_no_more_memory_than_the_limit_whatever_could_be() {
    let process = Process::new(1);
    sets(&process, 20);
    let limits = limits(4);
    let session = process.session(limits);
    let telling = Telling::default();
    session.submit(telling.request(job(3 * needed_bytes()), None));
    session.close();
    let mut turns = Turns::new(&process, &session, limits);
    let mut most = 0;
    while turns.next() {
        let in_flight = telling.with(|told| told.started.len() - told.reports.len());
        most = most.max(in_flight);
    }
    assert_eq!(telling.told().summary().ok, 20);
    assert_eq!(most, 3, "three fit, and three are what there is memory for");
}

#[test]
fn b17_attempts_that_nobody_makes_hold_no_memory() {
    let process = Process::new(2);
    sets(&process, 2);
    let limits = limits(1);
    let session = process.session(limits);
    let telling = Telling::default();
    session.submit(telling.request(job(2 * needed_bytes()), None));
    session.close();
    let mut turns = Turns::new(&process, &session, limits);
    while telling.with(|told| told.reports.is_empty()) {
        assert!(turns.next(), "nothing settles");
    }
    assert_eq!(telling.with(|told| told.started.len()), 2, "64 attempts of one leave room for it");
    turns.drain();
}

#[test]
fn b01_a_helper_that_gets_no_memory_is_no_failure_of_the_search() {
    let process = Process::new(3);
    sets(&process, 1);
    let mut alone = job(needed_bytes());
    alone.search.fixed_attempts = Some(2000);
    let (told, _) = process.run(vec![alone], &plain(), limits(4));
    assert_eq!(told[0].summary().ok, 1, "{:?}", told[0]);
    assert_eq!(told[0].report("00.keys").search.unwrap().attempts, 2000);
}
