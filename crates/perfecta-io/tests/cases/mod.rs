//! Every operation, with the machine that it needs and what it has to come to.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::ffi::OsString;
use std::sync::Arc;

use perfecta_io::{
    Buffer, Engine, Entry, EntryKind, FileContent, Interrupt, Lengths, Op, Payload, Replace,
    Symlinks,
};

use crate::world::World;

/// An operation, and the machine that it needs.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) prepare: fn(&mut dyn Engine, &dyn World) -> Op,
    /// Whether all is as it has to be after a success.
    pub(crate) is_done: fn(Payload, &dyn World) -> bool,
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

pub(crate) fn reading_cases() -> [Case; 8] {
    [
        Case {
            name: "read a file",
            prepare: |_, world| {
                world.write("file", &[7; 10_000]);
                let (path, buffer) = (world.root().join("file"), Buffer::default());
                Op::ReadFile {
                    path,
                    buffer,
                    bytes_max: 10_000,
                    symlinks: Symlinks::Refuse,
                    interrupt: Interrupt::default(),
                }
            },
            is_done: |payload, _| *payload.into_bytes() == [7; 10_000],
        },
        Case {
            name: "read a part of a file",
            prepare: |_, world| {
                world.write("file", b"0123456789");
                let (path, buffer) = (world.root().join("file"), Buffer::default());
                Op::ReadRange { path, offset: 2, bytes: 7, buffer, symlinks: Symlinks::Refuse }
            },
            is_done: |payload, _| *payload.into_bytes() == *b"2345678",
        },
        Case {
            name: "read a directory",
            prepare: |_, world| {
                make_two_files(world);
                Op::ReadDirectory {
                    path: world.root().join("d"),
                    bytes_max: 100_000,
                    interrupt: Interrupt::default(),
                }
            },
            is_done: |payload, _| payload.into_files() == two_files(),
        },
        Case {
            name: "list a tree",
            prepare: |_, world| {
                make_two_files(world);
                let (root, lengths) = (world.root().to_owned(), Lengths::Wanted);
                let interrupt = Interrupt::default();
                Op::ListTree { root, lengths, entries_max: 10, depth_max: 10, interrupt }
            },
            is_done: |payload, _| {
                let kind_of = |entry: Entry| entry.kind;
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

pub(crate) fn writing_cases() -> [Case; 12] {
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
            name: "make directories apart",
            prepare: |_, world| {
                let parent = world.root().to_owned();
                Op::MakeDirectoriesApart { parent, count: 2, files: 1_000_000 }
            },
            is_done: |payload, world| {
                let names = payload.into_names();
                let is_there = |name: &OsString| {
                    world.inspect(&name.to_string_lossy()) == Some(EntryKind::Directory)
                };
                names.len() == 2 && names[0] != names[1] && names.iter().all(is_there)
            },
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
            name: "remove a directory",
            prepare: |_, world| {
                world.make_directories("d");
                Op::RemoveDirectory { path: world.root().join("d") }
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
pub(crate) fn sync_case() -> Case {
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
