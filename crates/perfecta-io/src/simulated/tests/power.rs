//! What is left when the power is cut. The table is that of a real ext4: see the module of the
//! device.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::device::PowerCut;
use super::super::system::SimulatedSystem;
use super::super::{SimulatedEngine, SimulatedMachine};
use super::{complete, files, machine, publish, start_again, write};
use crate::engine::{Engine, Token};
use crate::error::IoErrorKind;
use crate::faults::{Fault, FaultPlan};
use crate::op::{EntryKind, Op, Payload};
use crate::system::{At, Errno, Links, Opening, System};

/// How tables are written.
#[derive(Debug, Clone, Copy)]
enum Policy {
    InPlace,
    StageAndRename,
    SyncEach,
    SyncEachFileOnly,
    SyncBatch,
}

/// Tables after a power cut.
#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    complete: u8,
    torn: u8,
}

const NUM_TABLES: u8 = 5;

fn run(policy: Policy, machine: &SimulatedMachine, engine: &mut SimulatedEngine) {
    let system = SimulatedSystem::new(&machine.inner);
    let open = Op::OpenFilesystem { path: "/out".into() };
    let filesystem = Arc::new(complete(engine, open).map(Payload::into_held).expect("it opens"));
    for table in 0..NUM_TABLES {
        let (staged, target) = (format!("stage{table}"), format!("table{table}"));
        let place = if matches!(policy, Policy::InPlace) { &target } else { &staged };
        complete(engine, write(table, place)).expect("it is written");
        match policy {
            Policy::InPlace | Policy::SyncBatch => continue,
            Policy::StageAndRename => {}
            Policy::SyncEach | Policy::SyncEachFileOnly => {
                sync_files(&system, &Path::new("/out").join(&staged));
            }
        }
        complete(engine, publish(&staged, &target)).expect("it is published");
        if matches!(policy, Policy::SyncEach) {
            complete(engine, Op::SyncDirectory { path: "/out".into() }).expect("it is synced");
        }
    }
    if matches!(policy, Policy::SyncBatch) {
        let sync = Op::SyncFilesystem { filesystem, path: "/out".into() };
        complete(engine, sync).expect("it is synced");
        for table in 0..NUM_TABLES {
            complete(engine, publish(&format!("stage{table}"), &format!("table{table}")))
                .expect("it is published");
        }
        complete(engine, Op::SyncDirectory { path: "/out".into() }).expect("it is synced");
    }
}

fn sync_files(system: &SimulatedSystem, directory: &Path) {
    let opened = system.open(At::Path(directory), Opening::Directory(Links::Refuse)).expect("it");
    for named in system.names(&opened).expect("names") {
        let at = At::In(&opened, Path::new(&named.name));
        let file = system.open(at, Opening::Extend).expect("a file");
        system.sync(&file).expect("it is synced");
    }
}

fn left(machine: &SimulatedMachine) -> Left {
    let mut left = Left::default();
    for table in 0..NUM_TABLES {
        let path = PathBuf::from(format!("/out/table{table}"));
        if machine.inspect(&path).is_none() {
            continue;
        }
        let is_whole = files(table)
            .iter()
            .all(|file| machine.read_file(&path.join(&file.name)).as_deref() == Some(&file.bytes));
        if is_whole { left.complete += 1 } else { left.torn += 1 }
    }
    left
}

#[test]
fn a_power_cut_leaves_what_it_leaves_on_a_real_file_system() {
    let (all, none) = (NUM_TABLES, 0);
    let cases = [
        (Policy::InPlace, PowerCut::JournalFlushed, none, all),
        (Policy::StageAndRename, PowerCut::JournalFlushed, none, all),
        (Policy::SyncEach, PowerCut::JournalFlushed, all, none),
        (Policy::SyncEachFileOnly, PowerCut::JournalFlushed, all, none),
        (Policy::SyncBatch, PowerCut::JournalFlushed, all, none),
        (Policy::InPlace, PowerCut::NothingFlushed, none, none),
        (Policy::StageAndRename, PowerCut::NothingFlushed, none, none),
        (Policy::SyncEach, PowerCut::NothingFlushed, all, none),
        // What POSIX does not promise is not there.
        (Policy::SyncEachFileOnly, PowerCut::NothingFlushed, none, none),
        (Policy::SyncBatch, PowerCut::NothingFlushed, all, none),
        (Policy::SyncEach, PowerCut::Random, all, none),
        (Policy::SyncBatch, PowerCut::Random, all, none),
    ];
    for (policy, cut, complete, torn) in cases {
        let (machine, mut engine) = machine(1);
        run(policy, &machine, &mut engine);
        machine.power_cut(cut);
        assert_eq!(left(&machine), Left { complete, torn }, "{policy:?} {cut:?}");
    }
}

#[test]
fn after_a_rename_without_a_sync_files_stand_empty_under_their_right_names() {
    let (machine, mut engine) = machine(1);
    run(Policy::StageAndRename, &machine, &mut engine);
    machine.power_cut(PowerCut::JournalFlushed);
    let tree = machine.tree(Path::new("/out/table0"));
    let expected = files(0).into_iter().map(|file| (PathBuf::from(file.name), Vec::new()));
    assert_eq!(tree, expected.collect());
}

#[test]
fn a_random_cut_leaves_some_moment_of_names_and_some_part_of_bytes() {
    let mut found = Vec::new();
    for seed in 0..200 {
        let (machine, mut engine) = machine(seed);
        run(Policy::StageAndRename, &machine, &mut engine);
        machine.power_cut(PowerCut::Random);
        let Left { complete, torn } = left(&machine);
        let names = (0..NUM_TABLES).map(|table| PathBuf::from(format!("/out/table{table}")));
        let there: Vec<bool> = names.map(|path| machine.inspect(&path).is_some()).collect();
        assert!(there.is_sorted_by(|earlier, later| earlier >= later), "seed {seed}: {there:?}");
        found.push((complete > 0, torn > 0));
    }
    for expected in [(false, false), (false, true), (true, true)] {
        assert!(found.contains(&expected), "{expected:?}");
    }
}

#[test]
fn a_process_from_before_a_power_cut_reaches_nothing_and_holds_nothing() {
    let (machine, mut before) = machine(1);
    let path = PathBuf::from("/out/lock");
    machine.write_file(&path, b"");
    let held = complete(&mut before, Op::TryLock { path: path.clone() }).expect("a lock");
    before.submit(Token(7), Op::Inspect { path: path.clone() });
    machine.power_cut(PowerCut::NothingFlushed);
    let mut after = start_again(&machine);
    complete(&mut after, Op::TryLock { path: path.clone() }).expect("nobody holds it");
    drop(held);
    assert_eq!(machine.num_open(), 0);
    let completion = loop {
        match before.poll() {
            Some(completion) => break completion,
            None => before.wait(None),
        }
    };
    let kind = completion.outcome.expect("what it found").into_kind();
    let EntryKind::Unreadable(error) = kind else { panic!("{kind:?}") };
    assert_eq!(error.kind, IoErrorKind::System(Errno::IO.raw_os_error()));
}

#[test]
fn what_a_failed_sync_lost_stays_lost_and_the_next_sync_does_not_say_so() {
    let (machine, _) = machine(1);
    let plan = Arc::<FaultPlan>::default();
    let mut engine = machine.engine(&plan);
    let append = |offset: u64, bytes: &[u8]| Op::Append {
        path: "/out/pack".into(),
        offset,
        bytes: bytes.to_vec(),
    };
    let open = Op::OpenFilesystem { path: "/out".into() };
    let filesystem = Arc::new(complete(&mut engine, open).expect("it opens").into_held());
    let sync = || Op::SyncFilesystem { filesystem: Arc::clone(&filesystem), path: "/out".into() };
    complete(&mut engine, append(0, b"first")).expect("it is written");
    let next = plan.num_calls();
    plan.inject(next..next + 1, Fault::Errno(Errno::IO.raw_os_error()));
    complete(&mut engine, sync()).expect_err("the sync fails");
    complete(&mut engine, append(5, b"second")).expect("it is written");
    complete(&mut engine, sync()).expect("the next succeeds");
    assert_eq!(machine.read_file(Path::new("/out/pack")).as_deref(), Some(&b"firstsecond"[..]));
    machine.power_cut(PowerCut::JournalFlushed);
    let left = machine.read_file(Path::new("/out/pack"));
    assert_eq!(left.as_deref(), Some(&b"\0\0\0\0\0second"[..]));
}

#[test]
fn a_full_device_takes_what_fits_and_then_nothing() {
    let (machine, mut engine) = machine(1);
    machine.limit_bytes(3000);
    let full = complete(&mut engine, write(0, "table")).expect_err("it does not fit");
    assert!(full.is_full(), "{full}");
    assert_eq!(machine.bytes_used(), 3000);
    complete(&mut engine, Op::RemoveTree { path: "/out/table".into() }).expect("it is removed");
    assert_eq!(machine.bytes_used(), 0);
}
