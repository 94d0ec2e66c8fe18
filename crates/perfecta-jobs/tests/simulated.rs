//! Jobs on a simulated machine that dies at every call, loses its power, and starts again.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Made, PlainRenderer, job, keys};
use perfecta_io::{Engine, Fault, FaultPlan, PowerCut, SimulatedMachine};
use perfecta_jobs::{
    CancelFlag, Durability, Event, JobError, Layout, NodePolicy, Runtime, Status, Summary, run,
};

const PLAIN: PlainRenderer = PlainRenderer { version: 1 };
const EIO: i32 = 5;

/// Makes an engine of one process.
fn engine(machine: &SimulatedMachine, plan: &Arc<FaultPlan>) -> Box<dyn Engine> {
    Box::new(machine.engine(plan))
}

fn machine(seed: u64) -> SimulatedMachine {
    let machine = SimulatedMachine::new(seed);
    machine.make_directories(Path::new("/in/below"));
    machine.write_file(Path::new("/in/small.keys"), &keys(5, 77));
    machine.write_file(Path::new("/in/below/middle.keys"), &keys(300, 7919));
    machine
}

/// Runs a job to its end, or until its process dies, and says which tables it acknowledged.
fn run_process(
    machine: &SimulatedMachine,
    plan: &Arc<FaultPlan>,
    layout: Layout,
    durability: Durability,
) -> (Result<Summary, JobError>, Vec<PathBuf>) {
    let mut job = job(Path::new("/in"), Path::new("/out"));
    job.limits.threads = 1.try_into().unwrap();
    let output = job.output.as_mut().unwrap();
    (output.durability, output.layout) = (durability, layout);
    let process = Made::by(|| engine(machine, plan));
    let runtime = Runtime {
        engines: &process,
        clock: machine,
        ..Runtime::new(Some(&PLAIN), CancelFlag::default())
    };
    let mut acknowledged = Vec::new();
    let result = run(&job, &runtime, &mut |event: &Event<'_>| {
        if let Event::Settled { report, .. } = event
            && matches!(report.status, Status::Ok | Status::Unchanged)
        {
            let below = report.keys_file.strip_prefix("/in").unwrap();
            acknowledged.push(below.with_extension(""));
        }
    });
    (result, acknowledged)
}

fn tables(machine: &SimulatedMachine) -> BTreeMap<PathBuf, Vec<u8>> {
    machine.tree(Path::new("/out"))
}

/// Lets a job die at each of its calls and the power go with it, and runs it again.
fn for_every_death(
    layout: Layout,
    durability: Durability,
    check: impl Fn(&SimulatedMachine, &[PathBuf], &BTreeMap<PathBuf, Vec<u8>>),
) {
    let whole = machine(0);
    run_process(&whole, &Arc::default(), layout, durability).0.unwrap();
    let expected = tables(&whole);
    for cut in [PowerCut::NothingFlushed, PowerCut::JournalFlushed, PowerCut::Random] {
        for number in 0.. {
            let (machine, plan) = (machine(number), Arc::<FaultPlan>::default());
            plan.inject(number.., Fault::Errno(EIO));
            let (_, acknowledged) = run_process(&machine, &plan, layout, durability);
            machine.power_cut(cut);
            check(&machine, &acknowledged, &expected);
            let (again, acknowledged) = run_process(&machine, &Arc::default(), layout, durability);
            let summary = again.unwrap();
            assert_eq!(acknowledged.len(), 2, "{summary:?}\n{}", machine.history());
            assert_eq!(tables(&machine), expected, "{}", machine.history());
            assert_eq!(machine.num_open(), 0);
            if plan.num_calls() < number {
                break;
            }
        }
    }
}

/// Whatever stands at its place, acknowledged or not, is whole; what was acknowledged stands there.
fn check_durable(
    machine: &SimulatedMachine,
    acknowledged: &[PathBuf],
    expected: &BTreeMap<PathBuf, Vec<u8>>,
) {
    let found = tables(machine);
    let is_file = |path: &Path| path.extension().is_some();
    for (path, bytes) in expected.iter().filter(|(path, _)| is_file(path)) {
        let table = path.parent().unwrap();
        let has_to_be = found.contains_key(table) || acknowledged.iter().any(|name| table == name);
        if has_to_be {
            let history = machine.history();
            assert!(found.get(path) == Some(bytes), "{} is torn\n{history}", path.display());
        }
    }
}

#[test]
fn what_a_durable_job_published_is_whole_after_a_power_cut_at_any_call() {
    for_every_death(Layout::Dirs, Durability::Power, check_durable);
}

#[test]
fn a_durable_pack_that_was_acknowledged_is_whole_after_a_power_cut_at_any_call() {
    for_every_death(Layout::Packed, Durability::Power, |machine, acknowledged, expected| {
        let directory = expected.keys().next().unwrap();
        let is_acknowledged = !acknowledged.is_empty();
        let acknowledged = is_acknowledged.then(|| directory.clone());
        check_durable(machine, acknowledged.as_slice(), expected);
    });
}

/// A process dies, the next one acknowledges what it finds, then the power goes.
fn check_found_after_every_death(layout: Layout) {
    let whole = machine(0);
    run_process(&whole, &Arc::default(), layout, Durability::Power).0.unwrap();
    let expected = tables(&whole);
    let mut num_unchanged = 0;
    for number in 0.. {
        let (machine, plan) = (machine(number), Arc::<FaultPlan>::default());
        plan.inject(number.., Fault::Errno(EIO));
        let _ = run_process(&machine, &plan, layout, Durability::Power);
        let (next, acknowledged) =
            run_process(&machine, &Arc::default(), layout, Durability::Power);
        num_unchanged += next.unwrap().unchanged;
        assert_eq!(acknowledged.len(), 2);
        machine.power_cut(PowerCut::NothingFlushed);
        let found = tables(&machine);
        let is_file = |path: &Path| path.extension().is_some();
        for (path, bytes) in expected.iter().filter(|(path, _)| is_file(path)) {
            let (is_there, history) = (found.get(path) == Some(bytes), machine.history());
            assert!(is_there, "death at call {number}: {} is lost\n{history}", path.display());
        }
        if plan.num_calls() < number {
            break;
        }
    }
    assert!(num_unchanged > 0, "no process died after it had published");
}

#[test]
fn what_a_durable_job_finds_unchanged_is_there_after_a_power_cut() {
    check_found_after_every_death(Layout::Dirs);
    check_found_after_every_death(Layout::Packed);
}

#[test]
fn whatever_a_power_cut_leaves_of_a_job_the_next_run_finds_and_mends() {
    for layout in [Layout::Dirs, Layout::Packed] {
        for_every_death(layout, Durability::Process, |_, _, _| {});
    }
}

#[test]
fn a_worker_has_no_more_in_flight_than_its_engine_takes() {
    let machine = SimulatedMachine::new(1);
    machine.make_directories(Path::new("/in"));
    for number in 1..=150 {
        machine.write_file(Path::new(&format!("/in/set{number}.keys")), &keys(number, 77));
    }
    let mut job = job(Path::new("/in"), Path::new("/out"));
    job.limits.io_depth = 200.try_into().unwrap();
    job.limits.files_in_flight_max = 200.try_into().unwrap();
    let process = Made::by(|| engine(&machine, &Arc::default()));
    let runtime = Runtime {
        engines: &process,
        clock: &machine,
        ..Runtime::new(Some(&PLAIN), CancelFlag::default())
    };
    assert_eq!(run(&job, &runtime, &mut |_: &Event<'_>| {}).unwrap().ok, 150);
}

#[test]
fn a_job_for_a_node_without_workers_is_an_error() {
    let machine = machine(1);
    let mut job = job(Path::new("/in"), Path::new("/out"));
    job.nodes = NodePolicy::Fixed(1);
    let process = Made::on_two_nodes(|| engine(&machine, &Arc::default()));
    let runtime = Runtime {
        engines: &process,
        clock: &machine,
        ..Runtime::new(Some(&PLAIN), CancelFlag::default())
    };
    let error = run(&job, &runtime, &mut |_: &Event<'_>| {}).unwrap_err();
    assert!(matches!(error, JobError::NoSuchNode { node: 1, .. }), "{error}");
    job.nodes = NodePolicy::Fixed(0);
    assert_eq!(run(&job, &runtime, &mut |_: &Event<'_>| {}).unwrap().ok, 2);
}
