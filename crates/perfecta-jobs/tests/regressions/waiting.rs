//! Rows of those who waited for ever: workers, items and clients.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use perfecta_core::family::Family;
use perfecta_core::search::FamilyChoice;
use perfecta_io::pool::{Acquisition, BufferPool, PoolOptions};
use perfecta_io::{BlockingEngine, Clock, Fault};
use perfecta_jobs::{
    CancelFlag, Durability, Event, Inputs, Job, JobError, Layout, NodePolicy, Ramp, Renderer,
    Runtime, SessionLimits, Stepped, Worker, run,
};

use crate::common::{Made, PlainRenderer, job, keys};
use crate::stepped::{Process, Turns, limits};
use crate::told::{Telling, to_its_end};

const PLAIN: PlainRenderer = PlainRenderer { version: 1 };

/// Longer than anything takes that is not delayed.
const HOUR: Duration = Duration::from_secs(3600);

fn plain() -> Arc<dyn Renderer> {
    Arc::new(PlainRenderer { version: 1 })
}

/// Without a ramp nothing waits for a time.
fn without_timer(mut job: Job) -> Job {
    job.ramp = Ramp { initial: 4.try_into().unwrap(), every: None, ..Ramp::default() };
    job
}

/// A job whose searches go on for many ranges, which others take.
fn helped(mut job: Job) -> Job {
    job.search.fixed_attempts = Some(3000);
    job
}

fn in_memory() -> Job {
    Job::new(Inputs::tree("/in"))
}

fn written(out: &str, layout: Layout, durability: Durability) -> Job {
    let mut job = job(Path::new("/in"), Path::new(out));
    let output = job.output.as_mut().unwrap();
    (output.layout, output.durability) = (layout, durability);
    job
}

#[test]
fn a09_a13_a19_a23_a27_whoever_steps_next_all_jobs_end_and_no_timer_is_needed() {
    for seed in 0..60 {
        let process = Process::new(seed);
        process.write_keys("large.keys", &keys(1000, 104_729));
        for number in 0..7 {
            process.write_keys(&format!("{number}.keys"), &keys(4 + 9 * number, 7919));
        }
        let jobs = vec![
            helped(in_memory()),
            written("/dirs", Layout::Dirs, Durability::Power),
            written("/pack", Layout::Packed, Durability::Process),
        ];
        let jobs = jobs.into_iter().map(without_timer).collect();
        let workers = 1 + seed as usize % 4;
        let (told, steps) = process.run(jobs, &plain(), limits(workers));
        assert!(told.iter().all(|told| told.summary().ok == 8), "seed {seed}: {told:?}");
        assert_eq!(steps.timed, 0, "seed {seed}: somebody waits for a time");
    }
}

#[test]
fn a19_workers_that_sleep_are_woken_by_a_job_and_by_the_end_of_all() {
    for workers in 1..4 {
        let process = Process::new(1);
        process.write_keys("a.keys", &keys(9, 5));
        let limits = limits(workers);
        let session = process.session(limits);
        let mut turns = Turns::new(&process, &session, limits);
        turns.until_all_sleep();
        for _ in 0..2 {
            let telling = Telling::default();
            session.submit(telling.request(without_timer(in_memory()), None));
            turns.until_all_sleep();
            assert_eq!(telling.told().summary().ok, 1);
        }
        let last = Telling::default();
        session.submit(last.request(without_timer(in_memory()), None));
        session.close();
        turns.drain();
        assert_eq!(last.told().summary().ok, 1);
    }
}

#[test]
fn a19_a_cancel_wakes_who_sleeps_and_what_it_ends_early_is_cancelled_and_not_failed() {
    let mut ended_early = 0;
    for seed in 0..30 {
        let process = Process::new(seed);
        process.write_keys("a.keys", &keys(9, 5));
        let limits = limits(2);
        let session = process.session(limits);
        let mut turns = Turns::new(&process, &session, limits);
        let telling = Telling::default();
        session.submit(telling.request(without_timer(in_memory()), None));
        while telling.with(|told| told.started.is_empty()) {
            assert!(turns.next());
        }
        process.plan.inject(process.plan.num_calls().., Fault::Delay(HOUR));
        turns.until_a_pause_of(HOUR / 2);
        if telling.with(|told| told.end.is_some()) {
            // It was read before anything took long.
            continue;
        }
        telling.cancel.cancel();
        // The end of all would wake everybody: it comes later.
        while telling.with(|told| told.end.is_none()) {
            assert!(turns.next(), "seed {seed}: nobody would ever wake who sleeps");
        }
        ended_early += u32::from(process.machine.now() < HOUR);
        session.close();
        turns.drain();
        let told = telling.told();
        assert_eq!(
            (told.summary().cancelled, told.summary().failed),
            (1, 0),
            "seed {seed}: {told:?}"
        );
    }
    assert!(ended_early > 0, "a cancel ends nothing before its time");
}

#[test]
fn a19_what_one_worker_leaves_free_wakes_another_that_waits_for_it() {
    let mut delayed = 0;
    for seed in 0..20 {
        // Every call of an item takes an hour once.
        for call in 0.. {
            let mut process = Process::new(seed);
            process.num_nodes = 2;
            for name in ["a.keys", "b.keys"] {
                process.write_keys(name, &keys(9, 7919));
            }
            process.plan.inject(call..=call, Fault::Delay(HOUR));
            // Two files at a time, of two jobs that are each another node's.
            let files_in_flight_max = NonZeroUsize::new(2).unwrap();
            let limits = SessionLimits { files_in_flight_max, ..limits(3) };
            let session = process.session(limits);
            let tellings = [0, 1].map(|node| {
                let telling = Telling::default();
                let job = Job { nodes: NodePolicy::Fixed(node), ..without_timer(in_memory()) };
                session.submit(telling.request(job, None));
                telling
            });
            session.close();
            let mut turns = Turns::new(&process, &session, limits);
            turns.until_a_pause_of(HOUR / 2);
            let settled = tellings.each_ref().map(|it| it.with(|told| told.reports.len()));
            let left = 4 - settled.iter().sum::<usize>();
            assert!(left <= 1, "seed {seed}, call {call}: {left} files wait, where one has to");
            delayed += left;
            turns.drain();
            if process.plan.first_hit().is_none() {
                break;
            }
        }
    }
    assert!(delayed > 0, "nobody had to wait for a file");
}

#[test]
fn a19_a31_an_item_that_waits_for_a_buffer_gets_one_when_one_comes_back() {
    for seed in 0..10 {
        let mut process = Process::new(seed);
        // Two buffers for twenty files that are read at once.
        process.pool =
            Some(BufferPool::reserve(&PoolOptions::with_budget(2 * (64 << 10))).unwrap());
        for number in 0..20 {
            process.write_keys(&format!("{number}.keys"), &keys(2000 + number, 7919));
        }
        let (told, steps) = process.run(vec![without_timer(in_memory())], &plain(), limits(2));
        assert_eq!(told[0].summary().ok, 20);
        assert_eq!(steps.timed, 0);
        let statistics = process.pool.as_ref().unwrap().statistics();
        assert!(statistics.small.num_waits > 0, "nobody had to wait: {statistics:?}");
    }
}

#[test]
fn a23_a24_b24_the_steps_of_a_run_grow_with_its_files_and_not_with_their_square() {
    let steps = |num_files: u32| {
        let process = Process::new(3);
        for number in 0..num_files {
            process.write_keys(&format!("{number:04}.keys"), &keys(20 + number % 90, 7919));
        }
        let mut job = in_memory();
        // The shape that took a quarter of an hour: 32 attempts of each of 64 files at once.
        job.ramp = Ramp { initial: 32.try_into().unwrap(), every: None, ..Ramp::default() };
        let (told, steps) = process.run(vec![job], &plain(), limits(4));
        assert_eq!(told[0].summary().ok, num_files);
        steps.taken
    };
    let (few, many) = (steps(100), steps(1000));
    assert!(many <= 12 * few, "{few} steps for 100 files, {many} for 1,000");
    assert!(many <= 8 * 1000, "{many} steps for 1,000 files");
}

#[test]
fn b16_a_job_that_cannot_begin_holds_up_nobody() {
    for workers in [1, 3] {
        let process = Process::new(4);
        process.write_keys("a.keys", &keys(9, 5));
        process.machine.write_file(Path::new("/file"), b"no directory");
        let no_input = Job::new(Inputs::tree("/missing"));
        let no_output = written("/file/below", Layout::Dirs, Durability::Power);
        let mut jobs = vec![no_input, no_output];
        jobs.extend((0..3).map(|_| in_memory()));
        let (told, _) = process.run(jobs, &plain(), limits(workers));
        assert!(told[..2].iter().all(|told| told.end.as_ref().unwrap().is_err()), "{told:?}");
        assert!(told[2..].iter().all(|told| told.summary().ok == 1), "{told:?}");
    }
}

#[test]
fn durable_tables_do_not_wait_for_a_search_without_end() {
    const FILES: u32 = 20;
    for threads in 1..4 {
        let summary = to_its_end(move || {
            let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            for number in 0..FILES {
                let name = format!("{number}.keys");
                std::fs::write(input.path().join(name), keys(3, 3)).unwrap();
            }
            // They differ in high bits only, which a plain product makes nothing of.
            std::fs::write(input.path().join("hopeless.keys"), keys(2000, 1 << 20)).unwrap();
            let mut job = job(input.path(), out.path());
            job.output.as_mut().unwrap().durability = Durability::Power;
            job.limits.threads = threads.try_into().unwrap();
            job.search.family = FamilyChoice::Named(Family::from_name("Multiply").unwrap());
            job.search.attempts_max = u64::MAX;
            let runtime = Runtime::new(Some(&PLAIN), CancelFlag::default());
            let mut num_settled = 0;
            run(&job, &runtime, &mut |event: &Event<'_>| {
                num_settled += u32::from(matches!(event, Event::Settled { .. }));
                if num_settled == FILES {
                    runtime.cancel.cancel();
                }
            })
        });
        let summary = summary.unwrap();
        assert_eq!((summary.ok, summary.cancelled), (FILES, 1), "{threads} threads");
    }
}

#[test]
fn on_one_node_of_two_a_search_without_end_leaves_others_their_turns() {
    const FILES: u32 = 10;
    for node in 0..2 {
        let summary = to_its_end(move || {
            let input = tempfile::tempdir().unwrap();
            for number in 0..FILES {
                std::fs::write(input.path().join(format!("{number}.keys")), keys(3, 3)).unwrap();
            }
            std::fs::write(input.path().join("hopeless.keys"), keys(2000, 1 << 20)).unwrap();
            let mut job = Job::new(Inputs::tree(input.path()));
            job.nodes = NodePolicy::Fixed(node);
            job.limits.threads = 2.try_into().unwrap();
            job.search.family = FamilyChoice::Named(Family::from_name("Multiply").unwrap());
            job.search.attempts_max = u64::MAX;
            let engines = Made::on_two_nodes(|| Box::new(BlockingEngine::default()));
            let runtime =
                Runtime { engines: &engines, ..Runtime::new(None, CancelFlag::default()) };
            let mut num_settled = 0;
            run(&job, &runtime, &mut |event: &Event<'_>| {
                num_settled += u32::from(matches!(event, Event::Settled { .. }));
                if num_settled == FILES {
                    runtime.cancel.cancel();
                }
            })
        });
        assert_eq!(summary.unwrap().ok, FILES, "node {node}");
    }
}

#[test]
fn an_item_that_waits_for_a_buffer_is_not_held_up_by_a_search_of_its_worker() {
    let mut process = Process::new(1);
    process.pool = Some(BufferPool::reserve(&PoolOptions::with_budget(64 << 10)).unwrap());
    // They differ in high bits only, which a plain product makes nothing of.
    process.write_keys("hopeless.keys", &keys(2000, 1 << 20));
    process.write_keys("small.keys", &keys(3, 3));
    let mut job = without_timer(in_memory());
    job.search.family = FamilyChoice::Named(Family::from_name("Multiply").unwrap());
    // More than are looked through for what makes all of them fail.
    job.search.attempts_max = 1 << 25;
    job.search.grow_after = Some(u64::MAX);
    // The other worker does nothing, so that the first one's turns are not shared.
    let session = process.session(limits(2));
    let telling = Telling::default();
    session.submit(telling.request(job, None));
    session.close();
    let mut worker = Worker::new(&session, 0);
    let mut step = || match worker.step() {
        Stepped::Worked => {}
        Stepped::Idle(_) => {
            let due = process.machine.next_due().expect("it waits for its files alone");
            process.machine.advance_to(due);
            worker.wait(Some(Duration::ZERO));
        }
        Stepped::Left => panic!("the search was not cancelled"),
    };
    while telling.with(|told| told.started.is_empty()) {
        step();
    }
    // Somebody else is the next to get the only buffer.
    let pool = process.pool.as_ref().unwrap();
    let Ok(Acquisition::Waiting(ticket)) = pool.acquire_or_wait(1, HOUR, Waker::noop()) else {
        panic!("the first file has the buffer")
    };
    let mut ticket = Some(ticket);
    let mut buffer = None;
    while buffer.is_none() {
        step();
        match ticket.take().unwrap().collect(HOUR) {
            Ok(collected) => buffer = Some(collected),
            Err(waiting) => ticket = Some(waiting),
        }
    }
    for _ in 0..20 {
        step();
    }
    assert_eq!(telling.with(|told| (told.started.len(), told.reports.len())), (2, 0));
    drop(buffer);
    step();
    assert!(pool.statistics().in_use_bytes > 0, "nobody collects the buffer");
    assert_eq!(telling.with(|told| told.reports.len()), 0, "the search goes on");
    telling.cancel.cancel();
    worker.work();
    assert_eq!(telling.told().summary().cancelled, 2);
}

#[test]
fn a_job_that_comes_wakes_a_worker_that_sleeps_and_not_one_that_has_its_hands_full() {
    let mut num_woken = 0;
    for seed in 0..10 {
        for steps in 0.. {
            let mut process = Process::new(seed);
            // One buffer: whoever waits for it is woken when the other gives it back.
            process.pool = Some(BufferPool::reserve(&PoolOptions::with_budget(64 << 10)).unwrap());
            process.write_keys("a.keys", &keys(3000, 7919));
            process.write_keys("b.keys", &keys(2000, 7919));
            process.machine.make_directories(Path::new("/small"));
            process.machine.write_file(Path::new("/small/a.keys"), &keys(9, 5));
            let session = process.session(limits(2));
            let [large, small] = [Telling::default(), Telling::default()];
            session.submit(large.request(without_timer(in_memory()), None));
            let mut turns = Turns::new(&process, &session, limits(2));
            let is_over = (0..steps).any(|_| !turns.next());
            let num_asleep = turns.num_asleep();
            session.submit(small.request(Job::new(Inputs::tree("/small")), None));
            if num_asleep > 0 {
                // Who was just woken for something else passes it on.
                turns.next();
                let woken = num_asleep.saturating_sub(turns.num_asleep());
                assert!(woken > 0, "seed {seed}: nobody is woken after {steps} steps");
                num_woken += woken;
            }
            session.close();
            turns.drain();
            session.assert_quiet();
            assert_eq!((large.told().summary().ok, small.told().summary().ok), (2, 1));
            if is_over {
                break;
            }
        }
    }
    assert!(num_woken > 0, "nobody ever slept");
}

#[test]
fn what_is_dealt_to_nodes_without_workers_is_worked_on_all_the_same() {
    for layout in [None, Some(Layout::Packed)] {
        let mut process = Process::new(7);
        process.num_nodes = 3;
        for number in 0..20 {
            let name = format!("{number:02}.keys");
            // Every third one is refused before it begins.
            if number % 3 == 1 {
                process.machine.make_link(&Path::new("/in").join(name), Path::new("nowhere"));
            } else {
                process.write_keys(&name, &keys(9 + number, 7919));
            }
        }
        let job =
            layout.map_or_else(in_memory, |layout| written("/out", layout, Durability::Process));
        let job = Job { nodes: NodePolicy::RoundRobin, ..job };
        let (told, _) = process.run(vec![job], &plain(), limits(1));
        assert_eq!((told[0].summary().ok, told[0].summary().failed), (13, 7), "{layout:?}");
    }
}

#[test]
fn a_pack_that_is_compared_leaves_other_jobs_their_turns() {
    const FILES: u32 = 300;
    let process = Process::new(6);
    for number in 0..FILES {
        // Of all of them more than a job may begin in one lap.
        process.write_keys(&format!("{number}.keys"), &keys(2000, 7919 + number));
    }
    let pack = || written("/pack", Layout::Packed, Durability::Power);
    process.run(vec![pack()], &plain(), limits(2));
    process.machine.make_directories(Path::new("/small"));
    process.machine.write_file(Path::new("/small/a.keys"), &keys(9, 5));
    let session = process.session(limits(1));
    let [comparing, other] = [Telling::default(), Telling::default()];
    session.submit(comparing.request(pack(), Some(plain())));
    session.submit(other.request(Job::new(Inputs::tree("/small")), None));
    session.close();
    let mut turns = Turns::new(&process, &session, limits(1));
    while other.with(|told| told.end.is_none()) {
        assert!(turns.next(), "the other job never ends");
    }
    let num_told = comparing.with(|told| told.reports.len());
    assert_eq!(num_told, 0, "all was compared before the other job began");
    turns.drain();
    session.assert_quiet();
    assert_eq!(other.told().summary().ok, 1);
    assert_eq!(comparing.told().summary().unchanged, FILES);
}

#[test]
fn a_cancel_ends_a_job_within_a_few_calls_while_it_lists_and_compares() {
    const FILES: u32 = 100;
    let pack = || written("/pack", Layout::Packed, Durability::Power);
    let again = |cancel_after: Option<u64>| {
        let process = Process::new(5);
        for number in 0..FILES {
            process.write_keys(&format!("{number}.keys"), &keys(9 + number, 7919));
        }
        process.run(vec![pack()], &plain(), limits(2));
        let session = process.session(limits(2));
        let telling = Telling::default();
        session.submit(telling.request(pack(), Some(plain())));
        session.close();
        let begin = process.plan.num_calls();
        if let Some(call) = cancel_after {
            let cancel = telling.cancel.clone();
            process.plan.meanwhile(begin + call, move || cancel.cancel());
        }
        Turns::new(&process, &session, limits(2)).drain();
        session.assert_quiet();
        (telling.told(), process.plan.num_calls() - begin)
    };
    let (told, num_calls) = again(None);
    assert_eq!(told.summary().unchanged, FILES);
    assert!(num_calls > 3 * u64::from(FILES), "every file is looked at: {num_calls}");
    let mut ended_early = 0;
    for call in (0..num_calls).step_by(7) {
        let (told, num_made) = again(Some(call));
        match told.end.as_ref().unwrap() {
            Ok(summary) if summary.unchanged == FILES => continue,
            Ok(summary) => assert_eq!(summary.cancelled, FILES, "at call {call}"),
            Err(error) => {
                assert!(matches!(error, JobError::Cancelled), "at call {call}: {error}");
                assert!(told.reports.is_empty(), "at call {call}: {told:?}");
            }
        }
        // To open a stage and to close it takes some twenty.
        let more = num_made - call;
        assert!(more < 30, "{more} calls were made after one at call {call}");
        ended_early += 1;
    }
    assert!(ended_early >= num_calls * 9 / 10 / 7, "{ended_early} of {num_calls} / 7");
}
