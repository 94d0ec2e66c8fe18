//! Rows of memory that was taken for what might come.

use std::sync::Arc;

use perfecta_core::family::Family;
use perfecta_core::search::FamilyChoice;
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
fn a_table_that_is_doubled_while_it_is_searched_for_counts_as_the_larger_one() {
    let process = Process::new(4);
    // They differ in high bits only, which a plain product makes nothing of.
    process.write_keys("hopeless.keys", &keys(NUM_KEYS, 1 << 20));
    sets(&process, 30);
    let limits = limits(2);
    let session = process.session(limits);
    let telling = Telling::default();
    let mut job = job(4 * needed_bytes());
    job.ramp.max = 1.try_into().unwrap();
    job.search.family = FamilyChoice::Named(Family::from_name("Multiply").unwrap());
    job.search.attempts_max = u64::MAX;
    job.search.grow_after = Some(1000);
    job.search.grows_max = 4;
    session.submit(telling.request(job.clone(), None));
    session.close();
    let mut turns = Turns::new(&process, &session, limits);
    let (mut most, mut exceeding) = (0, None);
    while turns.next() {
        let reserved = session.statistics().memory_reserved_bytes;
        most = most.max(reserved);
        let started = telling.with(|told| told.started.len());
        let before = exceeding.take().unwrap_or(started);
        assert_eq!(started, before, "something begins beside what takes more than the limit");
        exceeding = (reserved > job.limits.memory_bytes_max).then_some(started);
    }
    let told = telling.told();
    let search = told.report("hopeless.keys").search.unwrap();
    assert_eq!(search.grows, 4);
    assert!(most > job.limits.memory_bytes_max, "{most}");
    // The graph alone has two numbers for each vertex.
    assert!(most >= 8 * u64::from(search.vertices), "{most} bytes were counted for {search:?}");
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
