//! Searches of jobs: help, limits, and bugs in one item.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::time::Duration;

use common::{Asked, Meddled, job, keys, run_all, three_good, tree};
use perfecta_core::family::Family;
use perfecta_core::search::FamilyChoice;
use perfecta_jobs::{CancelFlag, Event, Inputs, Job, Runtime, SearchReport, Status, run};

fn runtime() -> Runtime<'static> {
    Runtime::new(None, CancelFlag::default())
}

#[test]
fn helped_searches_come_to_what_one_thread_comes_to() {
    let input = tempfile::tempdir().unwrap();
    for number in 0..6 {
        let name = format!("hard{number}.keys");
        std::fs::write(input.path().join(name), keys(1500 + 80 * number, 7919)).unwrap();
    }
    std::fs::write(input.path().join("large.keys"), keys(20_000, 7919)).unwrap();
    let reports = |threads: usize, fixed_attempts| {
        let mut job = Job::new(Inputs::tree(input.path()));
        job.limits.threads = threads.try_into().unwrap();
        job.search.fixed_attempts = fixed_attempts;
        let (summary, reports) = run_all(&job, &runtime());
        assert_eq!(summary.ok, 7);
        let search = |report: perfecta_jobs::ItemReport| SearchReport {
            seconds: 0.0,
            ..report.search.unwrap()
        };
        reports.into_values().map(search).collect::<Vec<_>>()
    };
    for fixed_attempts in [Some(3000), None] {
        let alone = reports(1, fixed_attempts);
        for threads in [2, 4] {
            assert_eq!(reports(threads, fixed_attempts), alone, "{threads} threads");
        }
    }
}

#[test]
fn a_search_ends_at_its_limits_and_says_which() {
    let input = tempfile::tempdir().unwrap();
    std::fs::write(input.path().join("a.keys"), keys(5000, 1 << 18)).unwrap();
    let error = |change: &dyn Fn(&mut Job)| {
        let mut job = Job::new(Inputs::tree(input.path()));
        // Keys that differ in their high bits only have one vertex under a plain product.
        job.search.family = FamilyChoice::Named(Family::from_name("Multiply").unwrap());
        change(&mut job);
        let (summary, mut reports) = run_all(&job, &runtime());
        assert_eq!(summary.exit_class().code(), 6);
        reports.remove("a.keys").unwrap().error.unwrap().to_string()
    };
    let attempts = error(&|job| job.search.fixed_attempts = Some(700));
    assert_eq!(attempts, "no table after 700 attempts: the limit of attempts is reached");
    let none = error(&|job| job.search.attempts_max = 700);
    let words = "no table after 64 attempts: Multiply gives key 0x00040000 one of 16384 vertices twice, whatever its \
                 seeds; not so of 524288";
    assert_eq!(none, words);
    let time = error(&|job| {
        job.search.attempts_max = u64::MAX;
        job.limits.item_time_max = Some(Duration::from_millis(20));
    });
    assert!(time.starts_with("no table after ") && time.ends_with(" attempts in 0.02 s"), "{time}");
    for threads in [1, 3] {
        let threads = threads.try_into().unwrap();
        let time = error(&|job| {
            job.limits.threads = threads;
            job.limits.item_time_max = Some(Duration::ZERO);
        });
        assert_eq!(time, "no table after 0 attempts in 0 s");
    }
}

#[test]
fn a_cancel_during_a_search_ends_it() {
    let input = tempfile::tempdir().unwrap();
    std::fs::write(input.path().join("a.keys"), keys(5000, 1 << 18)).unwrap();
    std::fs::write(input.path().join("b.keys"), keys(5, 3)).unwrap();
    for threads in [1, 3] {
        let mut job = Job::new(Inputs::tree(input.path()));
        job.limits.threads = threads.try_into().unwrap();
        job.search.family = FamilyChoice::Named(Family::from_name("Multiply").unwrap());
        job.search.attempts_max = u64::MAX >> 1;
        let runtime = runtime();
        let mut statuses = Vec::new();
        let summary = run(&job, &runtime, &mut |event: &Event<'_>| match event {
            // The first word of the hopeless search: now somebody gives up.
            Event::Searching(_) => runtime.cancel.cancel(),
            Event::Settled { report, .. } => statuses.push(report.status),
            Event::Planned(_) | Event::Started { .. } | Event::Notice(_) => {}
        })
        .unwrap();
        assert_eq!(summary.exit_class().code(), 130);
        assert!(statuses.contains(&Status::Cancelled), "{statuses:?}");
        assert_eq!(summary.cancelled + summary.ok, 2);
    }
}

#[test]
fn a_bug_in_one_item_is_its_own_failure() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    let panicking = Meddled(|asked: &Asked<'_>| {
        assert!(!asked.is_of("middle"), "a bug");
        Ok(())
    });
    let runtime = Runtime::new(Some(&panicking), CancelFlag::default());
    let (summary, reports) = run_all(&job(input.path(), out.path()), &runtime);
    assert_eq!((summary.ok, summary.failed), (2, 1));
    let error = reports["middle.keys"].error.as_ref().unwrap();
    assert_eq!((error.exit_class().code(), &*error.to_string()), (1, "internal error: a bug"));
    assert!(!tree(out.path()).keys().any(|path| path.starts_with("middle")));
}
