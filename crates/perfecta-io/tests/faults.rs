//! Every call of every operation goes wrong once, on every backend: call 0, then call 1, and so on,
//! until an operation makes fewer calls than that.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod cases;
#[path = "faults/lengths.rs"]
mod lengths;
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use perfecta_io::{
    Buffer, Call, EntryKind, Fault, FaultPlan, Interrupt, IoError, IoErrorKind, Lengths, Op,
    Operation, Outcome, Payload, Replace, Symlinks, Token,
};

use self::cases::{Case, reading_cases, sync_case, writing_cases};
use self::world::{Backend, World, backends_with_faults};

const EPERM: i32 = 1;
const EINTR: i32 = 4;
const EIO: i32 = 5;
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;
const ENOSYS: i32 = 38;

/// What an operation came to with one call, or some, gone wrong.
struct Run {
    outcome: Outcome,
    /// The call that went wrong first, if so many were made.
    hit: Option<Call>,
    calls: Vec<Call>,
    world: Arc<dyn World>,
}

/// Lets the calls from number `first` of an operation on go wrong.
fn run(backend: &Backend, case: &Case, first: u64, num_calls: u64, fault: Fault) -> Run {
    let plan = Arc::<FaultPlan>::default();
    let (mut engine, world) = (backend.start)(Some(&plan));
    let op = (case.prepare)(engine.as_mut(), world.as_ref());
    let before = plan.num_calls();
    plan.inject(before + first..before + first + num_calls, fault);
    engine.submit(Token(first), op);
    let completion = loop {
        match engine.poll() {
            Some(completion) => break completion,
            None => engine.wait(None),
        }
    };
    assert_eq!(completion.token, Token(first), "{}", case.name);
    assert_eq!(engine.num_in_flight(), 0, "{}", case.name);
    assert!(engine.poll().is_none(), "{} completes twice", case.name);
    let calls = plan.calls(before);
    Run { outcome: completion.outcome, hit: plan.first_hit(), calls, world }
}

/// Lets one call go wrong, or some in a row, beginning with each of an operation, on every backend.
fn for_every_call(num_calls: u64, faults: &[Fault], check: impl Fn(&Case, Fault, &Call, Run)) {
    let cases = reading_cases().into_iter().chain(writing_cases()).chain([sync_case()]);
    for case in cases {
        for backend in backends_with_faults() {
            for &fault in faults {
                for first in 0.. {
                    let run = run(&backend, &case, first, num_calls, fault);
                    let Some(hit) = run.hit.clone() else {
                        assert!(first > 0, "{} makes no call on {}", case.name, backend.name);
                        let payload = run.outcome.expect("nothing went wrong");
                        assert!((case.is_done)(payload, run.world.as_ref()), "{}", case.name);
                        break;
                    };
                    check(&case, fault, &hit, run);
                }
            }
        }
    }
}

/// Whether a call answers "come again" for a reason that lasts: somebody else holds the lock, what a
/// sync wrote is lost, or the file is closed.
fn means_it(call: &Call) -> bool {
    ["lock", "sync", "sync file system", "close"].contains(&call.name)
}

#[test]
fn interruptions_and_short_calls_end_in_success() {
    let faults = [Fault::Errno(EINTR), Fault::Errno(EAGAIN), Fault::ShortByOne, Fault::ShortByHalf];
    for num_calls in [1, 5] {
        for_every_call(num_calls, &faults, |case, fault, hit, run| {
            let Case { name, is_done, .. } = case;
            let is_meant = |call: &Call| call.answer == Some(Err(EAGAIN)) && means_it(call);
            if run.calls.iter().any(is_meant) {
                return assert!(run.outcome.is_err(), "{name} at {hit} does not ask again");
            }
            let payload = match run.outcome {
                Ok(payload) => payload,
                Err(failure) => panic!("{name}, {fault:?} at {hit}: {}", failure.error),
            };
            assert!(is_done(payload, run.world.as_ref()), "{name}, {fault:?} at {hit}");
        });
    }
}

#[test]
fn an_error_of_any_call_is_told_with_its_path_and_number_and_never_twice() {
    let faults = [ENOSPC, EIO, EMFILE, ENOMEM].map(Fault::Errno);
    for_every_call(1, &faults, |case, fault, hit, run| {
        let Fault::Errno(errno) = fault else { unreachable!("only errors are drawn") };
        if case.name == "make directories apart"
            && let Ok(payload) = run.outcome
        {
            // Nothing that is needed failed: where directories lie is looked for, and others are
            // tried, for speed alone.
            let is_needed = hit.path.ends_with("0") && hit.name == "make directory";
            assert!(!is_needed && hit.name != "open directory", "{hit}");
            return assert!((case.is_done)(payload, run.world.as_ref()), "{hit}");
        }
        let said = |error: &IoError| {
            assert_eq!(error.errno(), Some(errno), "{}, {fault:?} at {hit}", case.name);
            let is_near = hit.path.starts_with(&error.path) || error.path.starts_with(&hit.path);
            assert!(is_near, "{}, {fault:?} at {hit}: {error}", case.name);
        };
        match &run.outcome {
            Err(failure) => said(&failure.error),
            // What cannot be inspected is listed as that.
            Ok(Payload::Kind(EntryKind::Unreadable(error))) => said(error),
            Ok(Payload::Listing(listing)) => {
                let unreadable = listing.entries.iter().find_map(|entry| match &entry.kind {
                    EntryKind::Unreadable(error) => Some(error),
                    _ => None,
                });
                said(unreadable.expect("an entry is unreadable"));
            }
            Ok(other) => panic!("{}, {fault:?} at {hit}: {other:?}", case.name),
        }
        let is_again = |call: &&Call| {
            call.number > hit.number && (call.name, &call.path) == (hit.name, &hit.path)
        };
        let again = run.calls.iter().find(is_again);
        assert_eq!(again, None, "{}, {fault:?} at {hit}", case.name);
    });
}

#[test]
fn a_failed_sync_is_never_made_again() {
    for backend in backends_with_faults() {
        for errno in [ENOSPC, EIO, EAGAIN, EMFILE, ENOMEM] {
            let [.., directory, _, _] = writing_cases();
            for case in [directory, sync_case()] {
                for first in 0.. {
                    let run = run(&backend, &case, first, 1, Fault::Errno(errno));
                    let Some(hit) = run.hit else { break };
                    if !hit.name.starts_with("sync") {
                        continue;
                    }
                    run.outcome.expect_err("it failed");
                    let is_sync = |call: &&Call| call.name.starts_with("sync");
                    assert_eq!(run.calls.iter().filter(is_sync).count(), 1, "{}", case.name);
                }
            }
        }
    }
}

#[test]
fn what_closing_a_file_tells_is_an_error_of_writing_it_and_it_is_closed_once() {
    let is_close = |call: &&Call| call.name == "close";
    for backend in backends_with_faults() {
        for (case, num_files) in writing_cases().iter().zip([0, 2, 0, 1, 1]) {
            let Case { name, .. } = case;
            let calls = run(&backend, case, 0, 0, Fault::ShortByOne).calls;
            assert_eq!(calls.iter().filter(is_close).count(), num_files, "{name}");
            for close in calls.iter().filter(is_close) {
                let at = close.number - calls[0].number;
                for errno in [ENOSPC, EIO, EAGAIN, EINTR] {
                    let run = run(&backend, case, at, 1, Fault::Errno(errno));
                    let is_again = |call: &&Call| {
                        is_close(call) && call.path.file_name() == close.path.file_name()
                    };
                    assert_eq!(run.calls.iter().filter(is_again).count(), 1, "{name}");
                    let error = run.outcome.err().map(|failure| failure.error);
                    let told = error.map(|error| (error.operation, error.errno()));
                    let expected = (errno != EINTR).then_some((Operation::Write, Some(errno)));
                    assert_eq!(told, expected, "{name}");
                }
            }
        }
    }
}

#[test]
fn a_buffer_comes_back_from_every_failure() {
    for_every_call(1, &[Fault::Errno(EIO)], |case, _, hit, run| {
        if case.name == "read a file" || case.name == "read a part of a file" {
            let failure = run.outcome.expect_err("a call of it failed");
            assert!(failure.buffer.is_some(), "{} at {hit}", case.name);
        }
    });
}

#[test]
fn what_stands_at_a_target_is_never_partial_whatever_call_fails() {
    for_every_call(1, &[Fault::Errno(EIO)], |case, _, hit, run| {
        let world = run.world.as_ref();
        match case.name {
            "publish" => {
                let at = |name: &str| world.read(&format!("{name}/b")).is_some();
                assert!(at("d") != at("e"), "{hit}");
            }
            "exchange" => {
                assert!(world.inspect("d").is_some() && world.inspect("e").is_some(), "{hit}");
            }
            _ => {}
        }
    });
}

#[test]
fn calls_are_numbered_in_order_and_named_with_their_paths() {
    let [_, write, ..] = writing_cases();
    for backend in backends_with_faults() {
        let run = run(&backend, &write, 0, 0, Fault::ShortByOne);
        let numbers: Vec<u64> = run.calls.iter().map(|call| call.number).collect();
        assert_eq!(numbers, (0..run.calls.len() as u64).collect::<Vec<_>>());
        let told: Vec<(&str, &Path)> = run
            .calls
            .iter()
            .map(|call| (call.name, call.path.strip_prefix(run.world.root()).unwrap()))
            .collect();
        let expected = [
            ("make directory", "d"),
            ("open directory", "d"),
            ("create", "d/a"),
            ("write", "d/a"),
            ("read", "d/a"),
            ("close", "d/a"),
            ("create", "d/b"),
            ("write", "d/b"),
            ("read", "d/b"),
            ("close", "d/b"),
        ];
        assert_eq!(told, expected.map(|(name, path)| (name, Path::new(path))));
    }
}

#[test]
fn a_new_file_that_is_read_back_as_another_is_told_with_its_first_other_byte() {
    let [_, write, ..] = writing_cases();
    let flipped = [&[7; 9_999][..], &[6]].concat();
    for backend in backends_with_faults() {
        let calls = run(&backend, &write, 0, 0, Fault::ShortByOne).calls;
        let read_back = calls.iter().find(|call| call.name == "read").unwrap().number;
        for found in [flipped.clone(), vec![7; 9_999]] {
            let plan = Arc::<FaultPlan>::default();
            let (mut engine, world) = (backend.start)(Some(&plan));
            let op = (write.prepare)(engine.as_mut(), world.as_ref());
            let foreign = Arc::clone(&world);
            plan.meanwhile(read_back, move || foreign.write("d/a", &found));
            let error = perfecta_io::call(engine.as_mut(), op).unwrap_err().error;
            let kind = IoErrorKind::NotAsWritten { offset: 9_999 };
            assert_eq!((error.kind, error.path), (kind, world.root().join("d/a")));
        }
    }
}

#[test]
fn a_file_that_is_written_between_any_two_calls_is_read_as_it_was_or_is_or_not_at_all() {
    let (earlier, later) = (vec![1; 10_000], vec![2; 12_000]);
    for backend in backends_with_faults() {
        let mut ends = Vec::new();
        for at in 0.. {
            let plan = Arc::<FaultPlan>::default();
            let (mut engine, world) = (backend.start)(Some(&plan));
            world.write("file", &earlier);
            let (foreign, bytes) = (Arc::clone(&world), later.clone());
            plan.meanwhile(at, move || foreign.write("file", &bytes));
            let (path, buffer) = (world.root().join("file"), Buffer::default());
            let symlinks = Symlinks::Follow;
            let op = Op::ReadFile {
                path,
                buffer,
                bytes_max: 20_000,
                symlinks,
                interrupt: Interrupt::default(),
            };
            let end = perfecta_io::call(engine.as_mut(), op)
                .map(|payload| payload.into_bytes().into_vec())
                .map_err(|failure| failure.error.kind);
            if plan.num_calls() <= at {
                assert!(end == Ok(earlier.clone()), "nobody wrote it");
                break;
            }
            ends.push(end);
        }
        let is_expected = |end: &Result<Vec<u8>, IoErrorKind>| match end {
            Ok(read) => *read == later,
            Err(kind) => *kind == IoErrorKind::Changed,
        };
        assert!(ends.iter().all(is_expected), "{}", backend.name);
        // Before it was opened, and before it was inspected.
        assert_eq!(ends.iter().filter(|end| end.is_ok()).count(), 2, "{}", backend.name);
    }
}

/// A tree, and names beside it that are those in it.
fn plant_trees(world: &dyn World) {
    for name in ["tree", "outside"] {
        world.make_directories(&format!("{name}/a/b/c"));
        world.make_directories(&format!("{name}/a/empty"));
        for file in ["file", "a/file", "a/b/file", "a/b/c/file"] {
            world.write(&format!("{name}/{file}"), b"bytes");
        }
    }
}

fn is_outside_whole(world: &dyn World) -> bool {
    let is_there = |name: &str| world.inspect(&format!("outside/{name}")).is_some();
    ["file", "a/file", "a/b/file", "a/b/c/file", "a/empty"].into_iter().all(is_there)
}

#[test]
fn a_directory_that_turns_into_a_link_while_its_tree_is_removed_leads_nowhere() {
    for backend in backends_with_faults() {
        for turned in ["tree", "tree/a", "tree/a/b", "tree/a/b/c"] {
            let mut num_removed = 0;
            for at in 0.. {
                let plan = Arc::<FaultPlan>::default();
                let (mut engine, world) = (backend.start)(Some(&plan));
                plant_trees(world.as_ref());
                let foreign = Arc::clone(&world);
                let target = turned.replacen("tree", "outside", 1);
                plan.meanwhile(at, move || {
                    if foreign.inspect(turned).is_some() {
                        foreign.rename(turned, "aside");
                        let target = foreign.root().join(target);
                        foreign.make_link(turned, target.to_str().unwrap());
                    }
                });
                let op = Op::RemoveTree { path: world.root().join("tree") };
                let outcome = perfecta_io::call(engine.as_mut(), op);
                let calls = plan.calls(0);
                assert!(
                    is_outside_whole(world.as_ref()),
                    "{}, {turned} at {at}: {calls:#?}",
                    backend.name
                );
                num_removed += usize::from(outcome.is_ok());
                if outcome.is_ok() {
                    assert_eq!(world.inspect("tree"), None, "{turned} at {at}");
                }
                if calls.len() as u64 <= at {
                    break;
                }
            }
            assert!(num_removed > 1, "{turned} is a link before it is met, and is removed");
        }
    }
}

/// What an operation comes to if a directory is removed when its names are about to be read.
fn removed_while_listed(backend: &Backend, op: impl Fn(&Path) -> Op) -> Outcome {
    for at in 0.. {
        let plan = Arc::<FaultPlan>::default();
        let (mut engine, world) = (backend.start)(Some(&plan));
        world.make_directories("tree/gone");
        world.write("tree/gone/file", b"bytes");
        world.write("tree/stays", b"bytes");
        let foreign = Arc::clone(&world);
        plan.meanwhile(at, move || {
            foreign.rename("tree/gone/file", "file");
            foreign.remove_directory("tree/gone");
        });
        let outcome = perfecta_io::call(engine.as_mut(), op(world.root()));
        let call = plan.calls(at).into_iter().next().expect("it is listed");
        if call.name == "list" && call.path.ends_with("gone") {
            return outcome;
        }
    }
    unreachable!("calls are numbered")
}

#[test]
fn a_directory_that_is_removed_while_it_is_listed_is_absent_and_not_empty() {
    let list = |root| Op::ListTree {
        root,
        lengths: Lengths::Wanted,
        entries_max: 10,
        depth_max: 10,
        interrupt: Interrupt::default(),
    };
    let is_told = |error: &IoError| error.is_absent() && error.path.ends_with("tree/gone");
    for backend in backends_with_faults() {
        let come_to = |op: &dyn Fn(PathBuf) -> Op| {
            removed_while_listed(&backend, |root| op(root.join("tree/gone")))
        };
        let ops: [&dyn Fn(PathBuf) -> Op; 3] = [
            &|path| Op::ListDirectory { path },
            &|path| Op::ReadDirectory { path, bytes_max: 100, interrupt: Interrupt::default() },
            &list,
        ];
        for op in ops {
            let error = come_to(op).unwrap_err().error;
            assert!(is_told(&error), "{}: {error}", backend.name);
        }
        come_to(&|path| Op::RemoveTree { path }).expect("absence is success");
        let listing = removed_while_listed(&backend, |root| list(root.join("tree")));
        let entries = listing.unwrap().into_listing().entries;
        let names: Vec<_> = entries.iter().map(|entry| entry.path.to_str().unwrap()).collect();
        assert_eq!(names, ["gone", "stays"], "{}", backend.name);
        match &entries[0].kind {
            EntryKind::Unreadable(error) => assert!(is_told(error), "{error}"),
            other => panic!("{other:?} on {}", backend.name),
        }
    }
}

/// It failed the whole listing, unless it could not be opened.
#[test]
fn a_directory_that_cannot_be_read_is_one_entry_and_the_others_are_listed() {
    for backend in backends_with_faults() {
        let run = |fault: Option<(u64, i32)>| {
            let plan = Arc::<FaultPlan>::default();
            let (mut engine, world) = (backend.start)(Some(&plan));
            plant_trees(world.as_ref());
            let before = plan.num_calls();
            if let Some((number, errno)) = fault {
                plan.inject(before + number..=before + number, Fault::Errno(errno));
            }
            let list = Op::ListTree {
                root: world.root().join("tree"),
                lengths: Lengths::Wanted,
                entries_max: 100,
                depth_max: 10,
                interrupt: Interrupt::default(),
            };
            let listed = perfecta_io::call(engine.as_mut(), list);
            let entries = listed.map(|listed| listed.into_listing().entries);
            (entries.map_err(|failure| failure.error), plan.calls(before), world)
        };
        let (all, calls, _world) = run(None);
        let all = all.unwrap();
        let mut names_hit = std::collections::BTreeSet::new();
        for errno in [EIO, ENOMEM] {
            for number in 0..calls.len() as u64 {
                let (entries, calls, world) = run(Some((number, errno)));
                let hit = calls.iter().find(|call| call.fault.is_some()).unwrap();
                let below = hit.path.strip_prefix(world.root().join("tree")).unwrap();
                if hit.name == "close" || below.as_os_str().is_empty() {
                    continue;
                }
                names_hit.insert(hit.name);
                let entries = entries.unwrap_or_else(|error| panic!("{hit}: {error}"));
                let expected = all
                    .iter()
                    .filter(|entry| entry.path == below || !entry.path.starts_with(below));
                let paths = entries.iter().map(|entry| &entry.path);
                assert!(paths.eq(expected.map(|entry| &entry.path)), "{hit}: {entries:?}");
                let told = entries.iter().find(|entry| entry.path == below).unwrap();
                let EntryKind::Unreadable(error) = &told.kind else { panic!("{hit}: {told:?}") };
                assert_eq!(error.errno(), Some(errno), "{hit}");
            }
        }
        assert!(names_hit.len() >= 3, "{names_hit:?} of {}", backend.name);
    }
}

/// Systems say so of a file that may not be removed, and some of every directory.
#[test]
fn a_file_that_may_not_be_removed_is_told_as_that_and_a_directory_is_removed() {
    for backend in backends_with_faults() {
        for refused in ["tree/file", "tree/a", "tree/a/b/c/file", "tree/a/empty"] {
            let plan = Arc::<FaultPlan>::default();
            let (mut engine, world) = (backend.start)(Some(&plan));
            plant_trees(world.as_ref());
            let op = |world: &dyn World| Op::RemoveTree { path: world.root().join("tree") };
            perfecta_io::call(engine.as_mut(), op(world.as_ref())).unwrap();
            let is_first = |call: &&Call| call.name == "remove" && call.path.ends_with(refused);
            let at = plan.calls(0).iter().find(is_first).unwrap().number;
            let before = plan.num_calls();
            plan.inject(before + at..=before + at, Fault::Errno(EPERM));
            plant_trees(world.as_ref());
            let outcome = perfecta_io::call(engine.as_mut(), op(world.as_ref()));
            assert_eq!(plan.first_hit().unwrap().path, world.root().join(refused));
            let error = outcome.err().map(|failure| failure.error);
            let told = error.map(|error| (error.path.clone(), error.errno(), error.is_denied()));
            let expected = (world.root().join(refused), Some(EPERM), true);
            assert_eq!(told, refused.ends_with("file").then_some(expected), "{}", backend.name);
        }
    }
}

/// Publishes where the file system knows no way but a plain rename, with one call more gone wrong.
fn publish_in_steps(backend: &Backend, replace: Replace, at: u64) -> Option<Run> {
    let plan = Arc::<FaultPlan>::default();
    let (mut engine, world) = (backend.start)(Some(&plan));
    world.make_directories("stage/d");
    world.write("stage/d/who", b"later");
    if replace == Replace::Exchange {
        world.make_directories("target");
        world.write("target/who", b"earlier");
    }
    plan.inject(..=0, Fault::Errno(ENOSYS));
    plan.inject(at..=at, Fault::Errno(EIO));
    let (staged, target) = (world.root().join("stage/d"), world.root().join("target"));
    let outcome = perfecta_io::call(engine.as_mut(), Op::Publish { staged, target, replace });
    let calls = plan.calls(0);
    let hit = calls.get(at as usize).cloned();
    let is_over = hit.is_none();
    let run = Run { outcome, hit, calls, world };
    if is_over {
        assert!(run.outcome.is_ok(), "{:?}", run.calls);
        return None;
    }
    Some(run)
}

#[test]
fn publishing_in_steps_succeeds_or_leaves_all_as_it_was() {
    for backend in backends_with_faults() {
        for replace in [Replace::Never, Replace::Exchange] {
            let earlier = match replace {
                Replace::Never => None,
                Replace::Exchange => Some(b"earlier".to_vec()),
            };
            let runs = (1..).map_while(|at| publish_in_steps(&backend, replace, at));
            for Run { outcome, hit, world, .. } in runs {
                let hit = hit.unwrap();
                let is_done = world.read("target/who") == Some(b"later".to_vec());
                assert_eq!(outcome.is_ok(), is_done, "{hit}");
                if !is_done {
                    assert_eq!(world.read("target/who"), earlier, "{hit}");
                    assert_eq!(world.read("stage/d/who").unwrap(), b"later", "{hit}");
                }
            }
        }
    }
}

/// Exchanges where the file system knows no exchange and the new one cannot be moved to its place; nor
/// can the earlier one, the first `num_failures` times.
fn exchange_in_vain(backend: &Backend, num_failures: u64) -> (IoError, Arc<dyn World>) {
    let plan = Arc::<FaultPlan>::default();
    let (mut engine, world) = (backend.start)(Some(&plan));
    for (directory, who) in [("stage/d", "later"), ("target", "earlier")] {
        world.make_directories(directory);
        world.write(&format!("{directory}/who"), who.as_bytes());
    }
    plan.inject(..=0, Fault::Errno(ENOSYS));
    plan.inject(2..=2, Fault::Errno(ENOSPC));
    plan.inject(3..3 + num_failures, Fault::Errno(EIO));
    let (staged, target) = (world.root().join("stage/d"), world.root().join("target"));
    let op = Op::Publish { staged, target, replace: Replace::Exchange };
    let error = perfecta_io::call(engine.as_mut(), op).unwrap_err().error;
    assert_eq!(world.read("stage/d/who").unwrap(), b"later");
    assert_eq!((error.path.clone(), error.is_full()), (world.root().join("target"), true));
    (error, world)
}

#[test]
fn what_was_to_be_exchanged_is_put_back_however_often_that_fails_or_said_to_lie_elsewhere() {
    for backend in backends_with_faults() {
        let (error, world) = exchange_in_vain(&backend, 50);
        assert_eq!(error.kind, IoErrorKind::System(ENOSPC), "{}", backend.name);
        assert_eq!(world.read("target/who").unwrap(), b"earlier");
        let (error, world) = exchange_in_vain(&backend, 1_000_000);
        let to = world.root().join("stage/d.old");
        let message = error.to_string();
        assert!(message.ends_with(&format!("it lies at {}", to.display())), "{message}");
        assert_eq!(error.kind, IoErrorKind::Displaced { errno: ENOSPC, to });
        assert_eq!(world.read("stage/d.old/who").unwrap(), b"earlier");
        assert_eq!(world.inspect("target"), None);
    }
}
