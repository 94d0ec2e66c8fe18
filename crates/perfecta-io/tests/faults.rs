//! Every call of every operation goes wrong once, on every backend: call 0, then call 1, and so on,
//! until an operation makes fewer calls than that.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod world;

use std::path::Path;
use std::sync::Arc;

use perfecta_io::{
    Buffer, Call, Engine, EntryKind, Fault, FaultPlan, FileContent, IoError, Op, Outcome, Payload,
    Replace, Symlinks, Token,
};

use self::world::{Backend, World, backends};

const EINTR: i32 = 4;
const EIO: i32 = 5;
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

/// An operation, and the machine that it needs.
struct Case {
    name: &'static str,
    prepare: fn(&mut dyn Engine, &dyn World) -> Op,
    /// Whether all is as it has to be after a success.
    is_done: fn(Payload, &dyn World) -> bool,
}

fn file(name: &str, bytes: &[u8]) -> FileContent {
    FileContent { name: name.into(), bytes: bytes.to_vec() }
}

fn two_files() -> Vec<FileContent> {
    vec![file("a", &[7; 10_000]), file("b", b"12")]
}

fn has_two_files(world: &dyn World) -> bool {
    two_files().iter().all(|file| {
        let name = format!("d/{}", file.name.display());
        world.read(&name).as_ref() == Some(&file.bytes)
    })
}

fn make_two_files(world: &dyn World) {
    world.make_directories("d");
    for FileContent { name, bytes } in two_files() {
        world.write(&format!("d/{}", name.display()), &bytes);
    }
}

fn reading_cases() -> [Case; 8] {
    [
        Case {
            name: "read a file",
            prepare: |_, world| {
                world.write("file", &[7; 10_000]);
                let (path, buffer) = (world.root().join("file"), Buffer::default());
                Op::ReadFile { path, buffer, bytes_max: 10_000, symlinks: Symlinks::Refuse }
            },
            is_done: |payload, _| *payload.into_bytes() == [7; 10_000],
        },
        Case {
            name: "read a part of a file",
            prepare: |_, world| {
                world.write("file", b"0123456789");
                let (path, buffer) = (world.root().join("file"), Buffer::default());
                Op::ReadRange { path, offset: 2, bytes: 7, buffer }
            },
            is_done: |payload, _| *payload.into_bytes() == *b"2345678",
        },
        Case {
            name: "read a directory",
            prepare: |_, world| {
                make_two_files(world);
                Op::ReadDirectory { path: world.root().join("d"), bytes_max: 100_000 }
            },
            is_done: |payload, _| payload.into_files() == two_files(),
        },
        Case {
            name: "list a tree",
            prepare: |_, world| {
                make_two_files(world);
                Op::ListTree { root: world.root().to_owned(), entries_max: 10, depth_max: 10 }
            },
            is_done: |payload, _| {
                let kind_of = |entry: perfecta_io::Entry| entry.kind;
                let kinds: Vec<EntryKind> =
                    payload.into_listing().entries.into_iter().map(kind_of).collect();
                let file = |bytes| EntryKind::File { bytes };
                kinds == [EntryKind::Directory, file(10_000), file(2)]
            },
        },
        Case {
            name: "inspect a path",
            prepare: |_, world| {
                world.write("file", b"keys");
                Op::Inspect { path: world.root().join("file") }
            },
            is_done: |payload, _| payload.into_kind() == EntryKind::File { bytes: 4 },
        },
        Case {
            name: "resolve a path",
            prepare: |_, world| {
                make_two_files(world);
                world.make_link("link", "d");
                Op::Resolve { path: world.root().join("link/absent/below") }
            },
            is_done: |payload, _| payload.into_path().ends_with("d/absent/below"),
        },
        Case {
            name: "list a directory",
            prepare: |_, world| {
                make_two_files(world);
                Op::ListDirectory { path: world.root().join("d") }
            },
            is_done: |payload, _| payload.into_names() == ["a", "b"],
        },
        Case {
            name: "open a file system",
            prepare: |_, world| Op::OpenFilesystem { path: world.root().to_owned() },
            is_done: |payload, _| matches!(payload, Payload::Held(_)),
        },
    ]
}

fn writing_cases() -> [Case; 10] {
    [
        Case {
            name: "make directories",
            prepare: |_, world| Op::MakeDirectories { path: world.root().join("a/b/c") },
            is_done: |_, world| world.inspect("a/b/c") == Some(EntryKind::Directory),
        },
        Case {
            name: "write a directory",
            prepare: |_, world| {
                let parent = world.root().to_owned();
                Op::WriteDirectory { parent, name: "d".into(), files: two_files() }
            },
            is_done: |payload, world| payload.into_files() == two_files() && has_two_files(world),
        },
        Case {
            name: "write a file",
            prepare: |_, world| {
                let (directory, file) = (world.root().to_owned(), file("file", &[7; 10_000]));
                Op::WriteFile { directory, file }
            },
            is_done: |_, world| world.read("file").unwrap() == [7; 10_000],
        },
        Case {
            name: "append",
            prepare: |_, world| {
                world.write("pack", b"12");
                let (path, bytes) = (world.root().join("pack"), vec![7; 10_000]);
                Op::Append { path, offset: 2, bytes }
            },
            is_done: |payload, world| {
                let expected = [&b"12"[..], &[7; 10_000]].concat();
                payload.into_written() == [7; 10_000] && world.read("pack").unwrap() == expected
            },
        },
        Case {
            name: "publish",
            prepare: |_, world| {
                make_two_files(world);
                let (staged, target) = (world.root().join("d"), world.root().join("e"));
                Op::Publish { staged, target, replace: Replace::Never }
            },
            is_done: |_, world| world.read("e/b").unwrap() == b"12" && world.inspect("d").is_none(),
        },
        Case {
            name: "exchange",
            prepare: |_, world| {
                make_two_files(world);
                world.make_directories("e");
                let (staged, target) = (world.root().join("d"), world.root().join("e"));
                Op::Publish { staged, target, replace: Replace::Exchange }
            },
            is_done: |_, world| {
                world.read("e/b").unwrap() == b"12" && world.inspect("d/b").is_none()
            },
        },
        Case {
            name: "remove a tree",
            prepare: |_, world| {
                make_two_files(world);
                world.make_directories("d/below");
                Op::RemoveTree { path: world.root().join("d") }
            },
            is_done: |_, world| world.inspect("d").is_none(),
        },
        Case {
            name: "sync a directory",
            prepare: |_, world| Op::SyncDirectory { path: world.root().to_owned() },
            is_done: |_, _| true,
        },
        Case {
            name: "create a lock",
            prepare: |_, world| Op::CreateLock { path: world.root().join("lock") },
            is_done: |payload, world| {
                matches!(payload, Payload::Held(_)) && world.inspect("lock").is_some()
            },
        },
        Case {
            name: "try a lock",
            prepare: |_, world| {
                world.write("lock", b"");
                Op::TryLock { path: world.root().join("lock") }
            },
            is_done: |payload, _| matches!(payload, Payload::Held(_)),
        },
    ]
}

/// Of which there is one only, because it is dear on a real machine.
fn sync_case() -> Case {
    Case {
        name: "sync a file system",
        prepare: |engine, world| {
            let path = world.root().to_owned();
            let opened = perfecta_io::call(engine, Op::OpenFilesystem { path: path.clone() });
            let filesystem = Arc::new(opened.unwrap().into_held());
            Op::SyncFilesystem { filesystem, path }
        },
        is_done: |_, _| true,
    }
}

/// What an operation came to with one call, or some, gone wrong.
struct Run {
    outcome: Outcome,
    /// The call that went wrong first, if so many were made.
    hit: Option<Call>,
    calls: Vec<Call>,
    world: Box<dyn World>,
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
        for backend in backends() {
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

/// Whether a call answers "come again" for a reason that lasts: somebody else holds the lock, or
/// what a sync wrote is lost.
fn means_it(call: &Call) -> bool {
    ["lock", "sync", "sync file system"].contains(&call.name)
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
    for backend in backends() {
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
    for backend in backends() {
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
            ("create", "d/b"),
            ("write", "d/b"),
        ];
        assert_eq!(told, expected.map(|(name, path)| (name, Path::new(path))));
    }
}
