//! Rows of counts that leaked, went down twice, or said that all was done.

use std::path::Path;
use std::sync::Arc;

use perfecta_jobs::{Durability, Inputs, Job, Layout, Ramp, Renderer};

use crate::common::{PlainRenderer, job, keys};
use crate::stepped::{Process, Turns, limits};
use crate::told::{Telling, Told};

fn plain() -> Arc<dyn Renderer> {
    Arc::new(PlainRenderer { version: 1 })
}

/// Three good key files, and one that each part of a job refuses or fails.
fn good_and_bad(process: &Process) {
    for number in 0..3 {
        process.write_keys(&format!("good{number}.keys"), &keys(30 + number, 7919));
    }
    process.write_keys("odd.keys", &[1; 7]);
    process.write_keys("empty.keys", b"");
    process.write_keys("twice.keys", &[1, 0, 0, 0, 1, 0, 0, 0]);
    process.machine.make_special(Path::new("/in/pipe.keys"), "FIFO");
    process.write_keys("same-place.keys", &keys(3, 7));
    process.write_keys("same_place.keys", &keys(3, 7));
}

fn layouts() -> [(Layout, Durability); 4] {
    [
        (Layout::Dirs, Durability::Process),
        (Layout::Dirs, Durability::Power),
        (Layout::Packed, Durability::Process),
        (Layout::Packed, Durability::Power),
    ]
}

fn written(out: &str, (layout, durability): (Layout, Durability)) -> Job {
    let mut job = job(Path::new("/in"), Path::new(out));
    let output = job.output.as_mut().unwrap();
    (output.layout, output.durability) = (layout, durability);
    job
}

fn check_counts(told: &Told, ok: u32, unchanged: u32) {
    let summary = told.summary();
    let counts = (summary.tables, summary.ok, summary.unchanged, summary.failed);
    assert_eq!(counts, (9, ok, unchanged, 6), "{told:?}");
    assert_eq!(told.reports.len(), 9);
}

#[test]
fn a02_b21_what_cannot_begin_is_counted_once_and_all_counts_add_up_at_every_event() {
    for seed in 0..10 {
        for layout in layouts() {
            let process = Process::new(seed);
            good_and_bad(&process);
            let workers = 1 + seed as usize % 3;
            let run = || process.run(vec![written("/out", layout)], &plain(), limits(workers)).0;
            check_counts(&run()[0], 3, 0);
            // A pack with tables missing is never what it would be again.
            let is_kept = layout.0 == Layout::Dirs;
            check_counts(&run()[0], if is_kept { 0 } else { 3 }, if is_kept { 3 } else { 0 });
        }
    }
}

#[test]
fn a34_a_worker_submits_no_more_than_its_engine_takes() {
    // One worker, whose engine takes 64 operations; each of these reads what is published too.
    let process = Process::new(1);
    for number in 0..150 {
        process.write_keys(&format!("{number}.keys"), &keys(9 + number, 77));
    }
    let limits = perfecta_jobs::SessionLimits {
        files_in_flight_max: 500.try_into().unwrap(),
        io_depth: 32.try_into().unwrap(),
        ..limits(1)
    };
    for expected in [(150, 0), (0, 150)] {
        let job = written("/out", (Layout::Dirs, Durability::Process));
        let (told, _) = process.run(vec![job], &plain(), limits);
        assert_eq!((told[0].summary().ok, told[0].summary().unchanged), expected);
    }
}

#[test]
fn a35_b05_help_that_comes_to_nothing_leaves_nothing_behind() {
    for seed in 0..10 {
        let process = Process::new(seed);
        process.write_keys("a.keys", &keys(1000, 104_729));
        process.write_keys("b.keys", &keys(1100, 104_729));
        let mut job = Job::new(Inputs::tree("/in"));
        job.search.fixed_attempts = Some(5000);
        job.ramp = Ramp { initial: 64.try_into().unwrap(), every: None, ..Ramp::default() };
        // The end asserts that no memory is reserved and no helper out.
        let (told, _) = process.run(vec![job], &plain(), limits(4));
        assert_eq!(told[0].summary().ok, 2);
    }
}

#[test]
fn b07_b10_b11_a_session_keeps_nothing_of_a_job_that_ended() {
    for layout in layouts() {
        let process = Process::new(6);
        good_and_bad(&process);
        let limits = limits(2);
        let session = process.session(limits);
        let mut turns = Turns::new(&process, &session, limits);
        let renderer: Arc<dyn Renderer> = plain();
        let telling = Telling::default();
        session.submit(telling.request(written("/out", layout), Some(Arc::clone(&renderer))));
        turns.until_all_sleep();
        check_counts(&telling.told(), 3, 0);
        assert_eq!(Arc::strong_count(&renderer), 1, "somebody has the job's renderer");
        assert_eq!(telling.num_listeners(), 0, "somebody could still tell of it");
        assert_eq!(process.machine.num_open(), 0, "files are open");
        assert_eq!(session.num_jobs(), 0);
        session.close();
        turns.drain();
    }
}
