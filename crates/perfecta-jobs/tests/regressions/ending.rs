//! Rows of ends that were no ends: failures told as success, jobs freed while something ran.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use perfecta_core::family::Family;
use perfecta_core::search::{FamilyChoice, Plan};
use perfecta_io::PowerCut;
use perfecta_jobs::{
    CancelFlag, Durability, Event, ExitClass, Inputs, ItemError, ItemReport, Job, Layout, Renderer,
    Runtime, Status, Verification, run, verify,
};

use crate::common::{Asked, Fault, Faulty, Meddled, PlainRenderer, job, keys, three_good, tree};
use crate::stepped::{Process, limits};
use crate::told::to_its_end;

const PLAIN: PlainRenderer = PlainRenderer { version: 1 };
const EIO: i32 = 5;
const EDQUOT: i32 = 122;

/// Sets that no plain product solves: their keys differ in high bits only.
fn hopeless() -> Vec<u8> {
    keys(2000, 1 << 20)
}

fn named(name: &str) -> FamilyChoice {
    FamilyChoice::Named(Family::from_name(name).unwrap())
}

/// Every way in which a search may end without a table, but for time and cancelling.
fn vain_searches() -> Vec<(&'static str, Plan)> {
    let plan = Plan { family: named("Multiply"), ..Plan::default() };
    let mut fixed_seeds = Plan { attempts_max: 50, ..plan.clone() };
    fixed_seeds.seeds.fixed = [3; 8];
    vec![
        ("the limit of attempts", Plan { attempts_max: 50, ..plan.clone() }),
        ("the limit of attempts", Plan { fixed_attempts: Some(50), ..plan.clone() }),
        ("was doubled as often", Plan { grow_after: Some(9), grows_max: 1, ..plan.clone() }),
        (
            "too much memory",
            Plan { grow_after: Some(9), memory_bytes_max: 500_000, ..plan.clone() },
        ),
        ("the seeds are fixed", fixed_seeds),
        ("whatever its seeds", Plan { attempts_max: 1000, ..plan.clone() }),
    ]
}

#[test]
fn b01_no_table_is_a_failure_whatever_ended_the_search_and_nothing_is_published() {
    for (reason, search) in vain_searches() {
        for layout in [None, Some(Layout::Dirs), Some(Layout::Packed)] {
            let process = Process::new(1);
            process.write_keys("hopeless.keys", &hopeless());
            process.write_keys("good.keys", &keys(3, 3));
            let mut job = match layout {
                None => Job::new(Inputs::tree("/in")),
                Some(_) => job(Path::new("/in"), Path::new("/out")),
            };
            job.search = search.clone();
            job.output.iter_mut().for_each(|output| output.layout = layout.unwrap());
            let (told, _) = process.run(vec![job], &(Arc::new(PLAIN) as Arc<_>), limits(2));
            let [told] = told.as_slice() else { panic!("there was one job") };
            let error = told.report("hopeless.keys").error.as_ref().expect("it has no table");
            assert!(error.to_string().contains(reason), "{reason}: {error}");
            assert_eq!(error.exit_class(), ExitClass::Unsolved);
            assert_eq!(told.summary().exit_class(), ExitClass::SomeFailed);
            let left = process.machine.tree(Path::new("/out"));
            assert!(!left.keys().any(|path| path.starts_with("hopeless")), "{reason}: {left:?}");
        }
    }
}

/// Whether what a run reported is what it left.
fn check_reported(at: usize, out: &Path, layout: Layout, reports: &[ItemReport]) {
    let published = match layout {
        Layout::Dirs => tree(out).keys().filter(|path| path.ends_with("manifest.json")).count(),
        Layout::Packed => match verify(
            &Verification::new(out),
            &Runtime::new(Some(&PLAIN), CancelFlag::default()),
            &mut |_: &Event<'_>| {},
        ) {
            Ok(summary) => {
                assert_eq!(summary.failed, 0, "operation {at}");
                summary.ok as usize
            }
            Err(_) => 0,
        },
    };
    let ok = reports.iter().filter(|report| report.status == Status::Ok).count();
    assert_eq!(ok, published, "operation {at}: {reports:?}");
}

#[test]
fn b02_a_table_is_reported_as_built_if_and_only_if_it_is_there_whichever_operation_fails() {
    let input = tempfile::tempdir().unwrap();
    three_good(input.path());
    let layouts = [Layout::Dirs, Layout::Packed];
    let cases = layouts.map(|layout| [EIO, EDQUOT].map(|errno| (layout, errno)));
    for (layout, errno) in cases.into_iter().flatten() {
        let mut all_ok = 0;
        for at in 0.. {
            let out = tempfile::tempdir().unwrap();
            let mut job = job(input.path(), &out.path().join("tables"));
            job.output.as_mut().unwrap().layout = layout;
            let faulty = Faulty::new(at, Fault::Once(errno));
            let runtime =
                Runtime { engines: &faulty, ..Runtime::new(Some(&PLAIN), CancelFlag::default()) };
            let mut reports = Vec::new();
            let end = run(&job, &runtime, &mut |event: &Event<'_>| {
                if let Event::Settled { report, .. } = event {
                    reports.push((*report).clone());
                }
            });
            check_reported(at, &out.path().join("tables"), layout, &reports);
            let is_all_ok = reports.len() == 3 && reports.iter().all(|it| it.status == Status::Ok);
            let is_success = end.is_ok_and(|summary| summary.exit_class() == ExitClass::Ok);
            assert_eq!(is_success, is_all_ok, "operation {at}: {reports:?}");
            all_ok += u32::from(is_all_ok);
            if faulty.submitted() <= at {
                assert!(at > 10 && all_ok < 8, "{all_ok} of {at} faults made no difference");
                break;
            }
        }
    }
}

/// What a renderer does at the table `t6`.
#[derive(Clone, Copy)]
enum Trouble {
    Refuses,
    Panics,
    FindsFault,
}

impl Trouble {
    fn with(self, asked: &Asked<'_>) -> Result<(), &'static str> {
        match (self, asked) {
            (Self::Refuses, Asked::Render(_)) if asked.is_of("t6") => Err("it may not be"),
            (Self::Panics, Asked::Render(_)) if asked.is_of("t6") => panic!("a bug"),
            (Self::FindsFault, Asked::Check(_)) if asked.is_of("t6") => Err("it is strange"),
            _ => Ok(()),
        }
    }
}

#[test]
fn a12_b12_b13_what_goes_wrong_with_one_table_is_told_of_that_one_whoever_has_it_in_hand() {
    let cases = [
        (Trouble::Refuses, "pht cannot be rendered: it may not be"),
        (Trouble::Panics, "internal error: a bug"),
        (Trouble::FindsFault, "verification failed: t6.pht: it is strange"),
    ];
    for (trouble, message) in cases {
        for seed in 0..6 {
            let process = Process::new(seed);
            for number in 0..12 {
                process.write_keys(&format!("t{number}.keys"), &keys(20 + number, 7919));
            }
            let renderer: Arc<dyn Renderer> =
                Arc::new(Meddled(move |asked: &Asked<'_>| trouble.with(asked)));
            let job = job(Path::new("/in"), Path::new("/out"));
            let (told, _) = process.run(vec![job], &renderer, limits(1 + seed as usize % 3));
            let told = &told[0];
            assert_eq!((told.summary().ok, told.summary().failed), (11, 1));
            let error = told.report("t6.keys").error.as_ref().expect("it is its failure");
            assert_eq!(error.to_string(), message);
            let out = process.machine.tree(Path::new("/out"));
            assert!(!out.contains_key(Path::new("t6")), "{message}");
            assert!(!out.keys().any(|path| path.to_string_lossy().contains("stage")), "{out:?}");
        }
    }
}

#[test]
fn what_goes_wrong_with_a_job_as_a_whole_is_told_of_that_one_and_others_go_on() {
    for seed in 0..6 {
        let process = Process::new(seed);
        process.write_keys("a.keys", &keys(20, 7919));
        // It shows with the job that asks first.
        let is_known = AtomicBool::new(false);
        let renderer: Arc<dyn Renderer> = Arc::new(Meddled(move |asked: &Asked<'_>| {
            if matches!(asked, Asked::Fingerprint) {
                assert!(is_known.swap(true, Ordering::Relaxed), "a bug");
            }
            Ok(())
        }));
        let jobs = ["/out1", "/out2", "/out3"].map(|out| job(Path::new("/in"), Path::new(out)));
        let (told, _) = process.run(jobs.into(), &renderer, limits(1 + seed as usize % 3));
        let ends: Vec<_> = told.iter().map(|told| told.end.as_ref().unwrap()).collect();
        let failed = ends.iter().filter_map(|end| end.as_ref().err()).collect::<Vec<_>>();
        let [error] = &failed[..] else { panic!("{ends:?}") };
        assert_eq!(error.to_string(), "internal error: a bug");
        assert_eq!(error.exit_class(), ExitClass::Internal);
        assert!(ends.iter().all(|end| end.as_ref().is_ok_and(|it| it.ok == 1) || end.is_err()));
    }
}

/// Whether a run ends by the panic of an observer that has a bug once: nothing but the observer of a
/// run takes a worker with it.
fn ends_loudly(threads: usize, has_endless_search: bool) -> bool {
    let input = tempfile::tempdir().unwrap();
    for number in 0..30 {
        let name = format!("{number}.keys");
        std::fs::write(input.path().join(name), keys(3, 3 + number)).unwrap();
    }
    let mut job = Job::new(Inputs::tree(input.path()));
    if has_endless_search {
        std::fs::write(input.path().join("hopeless.keys"), hopeless()).unwrap();
        (job.search.family, job.search.attempts_max) = (named("Multiply"), u64::MAX);
    }
    job.limits.threads = threads.try_into().unwrap();
    let runtime = Runtime::new(None, CancelFlag::default());
    let mut started = 0;
    let ended = catch_unwind(AssertUnwindSafe(|| {
        run(&job, &runtime, &mut |event: &Event<'_>| {
            // An item that is begun, and not settled.
            if matches!(event, Event::Started { .. }) {
                started += 1;
                assert!(started != 7, "a bug");
            }
        })
    }));
    ended.is_err()
}

#[test]
fn a20_b09_a_run_that_loses_a_worker_ends_loudly_and_waits_for_nobody() {
    for threads in [1, 2, 3] {
        // The item of the lost worker never settles, so the others would wait, or search, for ever.
        for endless in [false, true] {
            let ended = to_its_end(move || ends_loudly(threads, endless));
            assert!(ended, "{threads} threads, {endless}");
        }
    }
}

#[test]
fn b14_b19_every_hash_family_gives_its_first_success_or_says_why_there_is_none() {
    let process = Process::new(8);
    process.write_keys("a.keys", &keys(40, 7919));
    process.write_keys("zero.keys", &[0, 0, 0, 0, 9, 0, 0, 0]);
    let mut solved = BTreeSet::new();
    for id in 0..=u8::MAX {
        let Some(family) = Family::from_id(id) else { continue };
        let mut outcomes = [None, Some(300)].map(|fixed_attempts| {
            let mut job = Job::new(Inputs::tree("/in"));
            job.search.family = FamilyChoice::Named(family);
            (job.search.attempts_max, job.search.fixed_attempts) = (300, fixed_attempts);
            let (mut told, _) = process.run(vec![job], &(Arc::new(PLAIN) as Arc<_>), limits(2));
            let told = told.remove(0);
            ["a.keys", "zero.keys"].map(|name| {
                let report = told.report(name);
                let error = report.error.as_ref().map(ItemError::exit_class);
                assert!(error.is_none() || error == Some(ExitClass::Unsolved), "{report:?}");
                report.search.and_then(|search| search.winning_attempt)
            })
        });
        // A search that goes on after a success keeps the first.
        assert_eq!(outcomes[0], outcomes[1], "{family:?}");
        solved.extend(outcomes[0][0].take().map(|_| id));
    }
    assert!(solved.len() > 20, "{solved:?}");
}

#[test]
fn b02_a_durable_table_whose_sync_failed_is_no_success() {
    for layout in [Layout::Dirs, Layout::Packed] {
        for number in 0.. {
            let process = Process::new(number);
            process.write_keys("a.keys", &keys(9, 5));
            process.plan.inject(number..=number, perfecta_io::Fault::Errno(EIO));
            let mut job = job(Path::new("/in"), Path::new("/out"));
            let output = job.output.as_mut().unwrap();
            (output.layout, output.durability) = (layout, Durability::Power);
            let (told, _) = process.run(vec![job], &(Arc::new(PLAIN) as Arc<_>), limits(1));
            let Some(hit) = process.plan.first_hit() else { break };
            let is_success =
                told[0].end.as_ref().unwrap().as_ref().is_ok_and(|summary| summary.ok == 1);
            assert!(!hit.name.starts_with("sync") || !is_success, "{hit}");
        }
    }
}

#[test]
fn whichever_sync_of_a_durable_job_fails_what_it_calls_built_outlives_a_power_cut() {
    /// More than share a sync.
    const FILES: u32 = 1300;
    let process = || {
        let process = Process::new(8);
        for number in 0..FILES {
            process.write_keys(&format!("{number}.keys"), &keys(5, 7919 + number));
        }
        process
    };
    let run = |process: &Process, workers| {
        let mut job = job(Path::new("/in"), Path::new("/out"));
        job.output.as_mut().unwrap().durability = Durability::Power;
        let (told, _) = process.run(vec![job], &(Arc::new(PLAIN) as Arc<_>), limits(workers));
        told.into_iter().next().unwrap()
    };
    for workers in [1, 3] {
        let whole = process();
        assert_eq!(run(&whole, workers).summary().ok, FILES);
        let expected = whole.machine.tree(Path::new("/out"));
        let calls = whole.plan.calls(0);
        let syncs: Vec<u64> =
            calls.iter().filter(|it| it.name.starts_with("sync")).map(|it| it.number).collect();
        assert!(syncs.len() >= 3, "{} syncs", syncs.len());
        for number in syncs {
            let process = process();
            process.plan.inject(number..=number, perfecta_io::Fault::Errno(EIO));
            let told = run(&process, workers);
            assert!(process.plan.first_hit().unwrap().name.starts_with("sync"));
            assert!(told.summary().failed > 0, "nothing failed with sync {number}");
            process.machine.power_cut(PowerCut::NothingFlushed);
            let found = process.machine.tree(Path::new("/out"));
            for report in told.reports.iter().filter(|report| report.status == Status::Ok) {
                let table = Path::new(&report.identifier);
                let is_of = |(path, _): &(&PathBuf, _)| path.starts_with(table);
                let files: Vec<_> = expected.iter().filter(is_of).collect();
                assert!(files.len() > 1, "{}", table.display());
                let is_whole = files.iter().all(|(path, bytes)| found.get(*path) == Some(bytes));
                assert!(is_whole, "{} is torn after sync {number} failed", table.display());
            }
        }
    }
}
