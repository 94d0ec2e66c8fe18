//! One suite for every backend: what an operation does, on a real file system or a simulated one.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[cfg(target_os = "linux")]
#[path = "engine/backends.rs"]
mod backends;
mod world;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use perfecta_io::pool::{BufferPool, PoolOptions, SizeClass};
use perfecta_io::{
    Backend as Choice, Buffer, Clock, Completion, Engine, Engines, EntryKind, FileContent,
    Interrupt, IoError, IoErrorKind, Lengths, Op, Operation, Outcome, Payload, Replace, Symlinks,
    SystemClock, Token,
};

use self::world::{World, backends};

/// Runs one check on every backend, each in a directory of its own.
#[expect(clippy::print_stdout, reason = "says on which backend a check failed")]
fn for_every_backend(check: impl Fn(&mut dyn Engine, &dyn World)) {
    for backend in backends() {
        println!("on the backend \"{}\":", backend.name);
        let (mut engine, world) = (backend.start)(None);
        check(engine.as_mut(), world.as_ref());
        assert_eq!(engine.num_in_flight(), 0, "{}", backend.name);
        assert!(engine.poll().is_none(), "{}", backend.name);
    }
}

fn call(engine: &mut dyn Engine, op: Op) -> Result<Payload, IoError> {
    perfecta_io::call(engine, op).map_err(|failure| failure.error)
}

fn read(engine: &mut dyn Engine, path: &Path, symlinks: Symlinks) -> Result<Vec<u8>, IoError> {
    let (path, buffer) = (path.to_owned(), Buffer::default());
    let read = call(
        engine,
        Op::ReadFile { path, buffer, bytes_max: 100, symlinks, interrupt: Interrupt::default() },
    )?;
    Ok(read.into_bytes().into_vec())
}

fn file(name: &str, bytes: &[u8]) -> FileContent {
    FileContent { name: name.into(), bytes: bytes.to_vec() }
}

#[test]
fn every_operation_completes_once_with_its_own_token() {
    for_every_backend(|engine, world| {
        let directory = world.root();
        world.write("a", b"a");
        let mut expected: Vec<u64> = (0..engine.capacity() as u64).collect();
        for &token in &expected {
            let path = if token % 2 == 0 { directory.join("a") } else { directory.join("absent") };
            engine.submit(Token(token), Op::Inspect { path });
        }
        while engine.num_in_flight() > 0 {
            let Some(completion) = engine.poll() else {
                engine.wait(None);
                continue;
            };
            let place = expected.iter().position(|&token| Token(token) == completion.token);
            expected.swap_remove(place.unwrap());
        }
        assert!(expected.is_empty());
    });
}

#[test]
fn a_regular_file_is_read_and_anything_else_is_refused_by_its_kind() {
    for_every_backend(|engine, world| {
        let path = |name: &str| world.root().join(name);
        world.write("file", b"keys");
        world.write("empty", b"");
        world.write("large", &[0; 101]);
        world.make_directories("directory");
        world.make_fifo("fifo");
        world.make_socket("socket");
        world.make_link("link", "file");
        world.make_link("loop", "loop");

        assert_eq!(read(engine, &path("file"), Symlinks::Refuse).unwrap(), b"keys");
        assert_eq!(read(engine, &path("empty"), Symlinks::Refuse).unwrap(), b"");
        assert_eq!(read(engine, &path("link"), Symlinks::Follow).unwrap(), b"keys");
        let mut refused = |name: &Path, symlinks| read(engine, name, symlinks).unwrap_err();
        let kind = |error: IoError| error.kind;
        for name in ["directory", "socket"] {
            let found = kind(refused(&path(name), Symlinks::Follow));
            assert!(matches!(found, IoErrorKind::NotAFile(kind) if kind == name), "{name}");
        }
        assert_eq!(kind(refused(&path("fifo"), Symlinks::Follow)), IoErrorKind::NotAFile("FIFO"));
        let device = refused(&world.device(), Symlinks::Follow);
        assert_eq!(device.kind, IoErrorKind::NotAFile("character device"));
        let large = kind(refused(&path("large"), Symlinks::Follow));
        assert_eq!(large, IoErrorKind::TooLarge { bytes: 101, bytes_max: 100 });
        assert!(refused(&path("link"), Symlinks::Refuse).is_not_a_directory());
        let circle = refused(&path("loop"), Symlinks::Follow);
        assert_eq!(circle.remedy(), Some("the symbolic link leads to itself; remove it"));
        let absent = refused(&path("absent"), Symlinks::Follow);
        assert!(absent.is_absent() && absent.to_string().contains("cannot open"), "{absent}");
    });
}

#[test]
fn a_link_to_nothing_is_told_of_with_where_it_points() {
    for_every_backend(|engine, world| {
        world.make_link("broken", "absent");
        world.make_link("loop", "loop");
        let mut told = |name: &str| {
            let path = world.root().join(name);
            let kind = call(engine, Op::Inspect { path }).unwrap().into_kind();
            let EntryKind::Unreadable(error) = kind else { panic!("{kind:?}") };
            error
        };
        let broken = told("broken");
        assert_eq!(broken.kind, IoErrorKind::Dangling("absent".into()));
        assert!(broken.is_absent() && broken.to_string().contains("link to absent"), "{broken}");
        let absent = told("absent");
        assert!(absent.is_absent() && matches!(absent.kind, IoErrorKind::System(_)), "{absent}");
        assert!(told("loop").is_link());
    });
}

#[test]
fn a_file_whose_bytes_are_not_those_of_its_length_is_said_to_have_changed() {
    for_every_backend(|engine, world| {
        // Its length is 0 and it has bytes all the same, as if it grew while it was read.
        let error = read(engine, &world.file_without_length(), Symlinks::Follow).unwrap_err();
        assert_eq!(error.kind, IoErrorKind::Changed);
    });
}

#[test]
fn a_tree_is_listed_in_one_order_with_kinds_and_without_going_in_circles() {
    for_every_backend(|engine, world| {
        use std::os::unix::ffi::OsStringExt;
        let root = world.root();
        world.make_directories("b/c");
        world.write("b/c/file", b"12345");
        let foreign = OsString::from_vec(b"\xffname".to_vec());
        world.write_at(&root.join(&foreign), b"1");
        world.write("b.x", b"");
        world.make_link("b/up", "..");
        world.make_link("broken", "absent");
        world.make_link("again", "b/c");
        let list = |engine: &mut dyn Engine, lengths, entries_max, depth_max| {
            let (root, interrupt) = (root.to_owned(), Interrupt::default());
            let op = Op::ListTree { root, lengths, entries_max, depth_max, interrupt };
            match call(engine, op)? {
                Payload::Listing(listing) => Ok(listing.entries),
                other => panic!("{other:?}"),
            }
        };
        let all = |engine: &mut dyn Engine, lengths| -> Vec<(PathBuf, EntryKind)> {
            let entries = list(engine, lengths, 100, 10).unwrap().into_iter();
            entries.map(|entry: perfecta_io::Entry| (entry.path, entry.kind)).collect()
        };
        let link = |path: &str, kind| {
            let error = IoError::new(Operation::Open, &root.join(path), kind);
            EntryKind::BrokenLink(error)
        };
        let back = IoErrorKind::NotAFile("link to a directory that it lies in");
        let expected = [
            ("again", EntryKind::Directory),
            ("again/file", EntryKind::File { bytes: 5 }),
            ("b", EntryKind::Directory),
            ("b.x", EntryKind::File { bytes: 0 }),
            ("b/c", EntryKind::Directory),
            ("b/c/file", EntryKind::File { bytes: 5 }),
            ("b/up", link("b/up", back)),
            ("broken", link("broken", IoErrorKind::Dangling("absent".into()))),
        ];
        let mut expected: Vec<(PathBuf, EntryKind)> =
            expected.into_iter().map(|(path, kind)| (path.into(), kind)).collect();
        expected.push((foreign.into(), EntryKind::File { bytes: 1 }));
        assert_eq!(all(engine, Lengths::Wanted), expected);
        // Not every file system tells without being asked once more.
        let unmeasured = all(engine, Lengths::Unwanted);
        assert_eq!(unmeasured.len(), expected.len());
        for ((path, kind), (expected_path, expected)) in unmeasured.into_iter().zip(&expected) {
            let is_told = matches!(expected, EntryKind::File { .. });
            let is_right = kind == *expected || (is_told && kind == EntryKind::Unmeasured);
            assert!(path == *expected_path && is_right, "{path:?}: {kind:?}");
        }
        let refused = list(engine, Lengths::Wanted, 8, 10).map_err(|error: IoError| error.kind);
        assert_eq!(refused, Err(IoErrorKind::TooManyEntries(8)));
        // What is too deep is told where it lies, beside all else.
        let shallow = list(engine, Lengths::Wanted, 100, 2).unwrap();
        let is_too_deep = |entry: &&perfecta_io::Entry| matches!(&entry.kind, EntryKind::Unreadable(error) if error.kind == IoErrorKind::TooDeep(2));
        let too_deep: Vec<_> =
            shallow.iter().filter(is_too_deep).map(|entry| &*entry.path).collect();
        assert_eq!(too_deep, [Path::new("b/c")]);
        assert!(shallow.iter().any(|entry| entry.path == Path::new("b.x")), "{shallow:?}");
    });
}

#[test]
fn a_listing_ends_between_two_entries_when_it_is_asked_to() {
    for_every_backend(|engine, world| {
        for number in 0..9 {
            world.write(&number.to_string(), b"");
        }
        let listed = |engine: &mut dyn Engine, asks_at: usize| {
            let asked = AtomicUsize::new(0);
            let interrupt =
                Interrupt::new(move || asked.fetch_add(1, Ordering::Relaxed) == asks_at);
            let (root, lengths) = (world.root().to_owned(), Lengths::Wanted);
            let op = Op::ListTree { root, lengths, entries_max: 100, depth_max: 10, interrupt };
            call(engine, op).map(|payload| payload.into_listing().entries.len())
        };
        for asks_at in 0..9 {
            let error = listed(engine, asks_at).unwrap_err();
            assert_eq!(error.kind, IoErrorKind::Cancelled, "entry {asks_at}");
        }
        assert_eq!(listed(engine, 9).unwrap(), 9);
    });
}

/// How often a read looks whether it is to end, which it does wherever it is asked to.
fn looks_of(engine: &mut dyn Engine, read: impl Fn(Interrupt) -> Op) -> usize {
    for asks_at in 0.. {
        let asked = AtomicUsize::new(0);
        let interrupt = Interrupt::new(move || asked.fetch_add(1, Ordering::Relaxed) == asks_at);
        match perfecta_io::call(engine, read(interrupt)) {
            Ok(_) => return asks_at,
            Err(failure) => {
                assert_eq!(failure.error.kind, IoErrorKind::Cancelled, "look {asks_at}");
            }
        }
    }
    unreachable!("it is read at last")
}

#[test]
fn a_read_ends_between_two_files_or_parts_when_it_is_asked_to() {
    const LARGE: usize = 20 << 20;
    let check = |engine: &mut dyn Engine, directory: &Path, least: [usize; 2]| {
        let file = |interrupt| {
            let (path, symlinks) = (directory.join("large"), Symlinks::Refuse);
            let (buffer, bytes_max) = (Buffer::default(), LARGE as u64);
            Op::ReadFile { path, buffer, bytes_max, symlinks, interrupt }
        };
        let files = |interrupt| {
            let (path, bytes_max) = (directory.to_owned(), 2 * LARGE as u64);
            Op::ReadDirectory { path, bytes_max, interrupt }
        };
        let looks = [looks_of(engine, file), looks_of(engine, files)];
        assert!(looks[0] >= least[0] && looks[1] >= least[1], "{looks:?}");
    };
    for_every_backend(|engine, world| {
        world.make_directories("d");
        world.write("d/large", &vec![7; LARGE]);
        world.write("d/small", b"7");
        check(engine, &world.root().join("d"), [1, 2]);
    });
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("large"), vec![7; LARGE]).unwrap();
    std::fs::write(directory.path().join("small"), b"7").unwrap();
    check(&mut perfecta_io::BlockingEngine::default(), directory.path(), [3, 4]);
}

#[test]
fn a_directory_is_written_new_and_read_back() {
    for_every_backend(|engine, world| {
        let parent = world.root();
        let write = |engine: &mut dyn Engine| {
            let files = vec![file("b", b"second"), file("a", &[7; 100_000])];
            call(engine, Op::WriteDirectory { parent: parent.to_owned(), name: "d".into(), files })
        };
        write(engine).unwrap();
        let path = parent.join("d");
        let more = Op::WriteFile { directory: path.clone(), file: file("c", b"") };
        call(engine, more).unwrap();
        let again = Op::WriteFile { directory: path.clone(), file: file("a", b"") };
        assert!(call(engine, again).unwrap_err().is_present());
        assert!(write(engine).unwrap_err().is_present());
        match call(
            engine,
            Op::ReadDirectory {
                path: path.clone(),
                bytes_max: 100_006,
                interrupt: Interrupt::default(),
            },
        )
        .unwrap()
        {
            Payload::Files(files) => {
                let expected = [file("a", &[7; 100_000]), file("b", b"second"), file("c", b"")];
                assert_eq!(files, expected);
            }
            other => panic!("{other:?}"),
        }
        let error = call(
            engine,
            Op::ReadDirectory {
                path: path.clone(),
                bytes_max: 100_005,
                interrupt: Interrupt::default(),
            },
        );
        assert!(matches!(error.unwrap_err().kind, IoErrorKind::TooLarge { .. }));
        world.make_link("d/link", "a");
        call(
            engine,
            Op::ReadDirectory { path, bytes_max: u64::MAX, interrupt: Interrupt::default() },
        )
        .unwrap_err();
    });
}

#[test]
fn publishing_never_replaces_unless_it_exchanges() {
    for_every_backend(|engine, world| {
        let root = world.root();
        let make = |name: &str| {
            world.make_directories(name);
            world.write(&format!("{name}/who"), name.as_bytes());
        };
        let who = |name: &str| {
            let bytes = world.read(&format!("{name}/who")).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let publish = |engine: &mut dyn Engine, staged: &str, replace| {
            let (staged, target) = (root.join(staged), root.join("target"));
            call(engine, Op::Publish { staged, target, replace })
        };
        make("old");
        publish(engine, "old", Replace::Never).unwrap();
        make("new");
        let refused = publish(engine, "new", Replace::Never).unwrap_err();
        assert_eq!(refused.kind, IoErrorKind::Exists);
        assert_eq!((who("target"), who("new")), ("old".into(), "new".into()));
        publish(engine, "new", Replace::Exchange).unwrap();
        assert_eq!((who("target"), who("new")), ("new".into(), "old".into()));
        for _ in 0..2 {
            call(engine, Op::RemoveTree { path: root.join("new") }).unwrap();
        }
        assert_eq!(world.inspect("new"), None);
        assert!(publish(engine, "new", Replace::Never).unwrap_err().is_absent());
    });
}

#[test]
fn a_tree_is_removed_without_following_links_out_of_it() {
    for_every_backend(|engine, world| {
        world.make_directories("tree/deep/er");
        world.write("outside", b"kept");
        world.make_directories("kept");
        world.make_link("tree/link", "../outside");
        world.make_link("tree/directory", "../kept");
        call(engine, Op::RemoveTree { path: world.root().join("tree") }).unwrap();
        assert_eq!(world.inspect("tree"), None);
        assert_eq!(world.inspect("outside"), Some(EntryKind::File { bytes: 4 }));
        assert_eq!(world.inspect("kept"), Some(EntryKind::Directory));
    });
}

#[test]
fn a_tree_that_is_deeper_than_directories_may_be_open_is_told_and_left() {
    for_every_backend(|engine, world| {
        let tree = |levels: usize| format!("tree{levels}{}", "/d".repeat(levels));
        for levels in [128, 129] {
            world.make_directories(&tree(levels));
        }
        let root = |levels: usize| world.root().join(format!("tree{levels}"));
        call(engine, Op::RemoveTree { path: root(128) }).unwrap();
        assert_eq!(world.inspect("tree128"), None);
        let error = call(engine, Op::RemoveTree { path: root(129) }).unwrap_err();
        assert_eq!(error.kind, IoErrorKind::TooDeep(128));
        assert!(world.inspect(&tree(129)).is_some());
    });
}

#[test]
fn a_file_is_appended_to_only_where_it_ends() {
    for_every_backend(|engine, world| {
        let root = world.root();
        let path = root.join("pack");
        let append = |engine: &mut dyn Engine, offset, bytes: &[u8]| {
            let (path, bytes) = (path.clone(), bytes.to_vec());
            call(engine, Op::Append { path, offset, bytes }).map(drop)
        };
        append(engine, 0, b"one").unwrap();
        append(engine, 3, b"two").unwrap();
        assert!(append(engine, 0, b"x").unwrap_err().is_present());
        let wrong = append(engine, 4, b"x").unwrap_err();
        assert_eq!(wrong.kind, IoErrorKind::WrongLength { bytes: 6, expected: 4 });
        let range = |offset, bytes| {
            let buffer = Buffer::default();
            let symlinks = Symlinks::Refuse;
            Op::ReadRange { path: path.clone(), offset, bytes, buffer, symlinks }
        };
        match call(engine, range(2, 3)).unwrap() {
            Payload::Bytes(bytes) => assert_eq!(&*bytes, b"etw"),
            other => panic!("{other:?}"),
        }
        let beyond = call(engine, range(2, 5)).unwrap_err();
        assert_eq!(beyond.kind, IoErrorKind::WrongLength { bytes: 6, expected: 7 });
    });
}

#[test]
fn a_lock_is_held_until_it_is_dropped_and_file_systems_can_be_synced() {
    for_every_backend(|engine, world| {
        let root = world.root();
        let path = root.join("lock");
        let held = call(engine, Op::CreateLock { path: path.clone() }).unwrap();
        assert!(call(engine, Op::CreateLock { path: path.clone() }).unwrap_err().is_present());
        let second = call(engine, Op::TryLock { path: path.clone() }).unwrap_err();
        assert_eq!(second.kind, IoErrorKind::Locked);
        drop(held);
        call(engine, Op::TryLock { path }).unwrap();
        let path = root.to_owned();
        let filesystem = match call(engine, Op::OpenFilesystem { path: path.clone() }).unwrap() {
            Payload::Held(held) => Arc::new(held),
            other => panic!("{other:?}"),
        };
        call(engine, Op::SyncFilesystem { filesystem, path: path.clone() }).unwrap();
        call(engine, Op::SyncDirectory { path }).unwrap();
    });
}

#[test]
fn missing_directories_are_made_and_files_in_their_way_are_errors() {
    for_every_backend(|engine, world| {
        let root = world.root();
        let mut make =
            || call(engine, Op::MakeDirectories { path: root.join("a/b/c") }).unwrap().into_made();
        assert_eq!(make(), [root.join("a"), root.join("a/b"), root.join("a/b/c")]);
        assert_eq!(make(), Vec::<PathBuf>::new());
        assert_eq!(world.inspect("a/b/c"), Some(EntryKind::Directory));
        world.write("file", b"");
        for path in ["file", "file/below"] {
            let error = call(engine, Op::MakeDirectories { path: root.join(path) }).unwrap_err();
            assert!(error.is_not_a_directory(), "{error}");
        }
    });
}

#[test]
fn a_directory_is_removed_if_nothing_is_in_it() {
    for_every_backend(|engine, world| {
        let root = world.root();
        world.make_directories("a/b");
        let mut remove = |path: &str| call(engine, Op::RemoveDirectory { path: root.join(path) });
        assert!(!remove("a").unwrap_err().is_absent());
        remove("a/b").unwrap();
        remove("a").unwrap();
        assert_eq!(world.inspect("a"), None);
        assert!(remove("a").unwrap_err().is_absent());
        world.write("file", b"");
        assert!(remove("file").unwrap_err().is_not_a_directory());
    });
}

#[test]
fn directories_are_made_apart_in_an_order_and_a_name_that_is_taken_is_an_error() {
    for_every_backend(|engine, world| {
        let root = world.root();
        world.write("1", b"");
        let parent = root.to_owned();
        let op = Op::MakeDirectoriesApart { parent, count: 3, files: 1_000_000 };
        let error = call(engine, op).unwrap_err();
        assert!(error.is_present(), "{error}");
        assert_eq!(error.path, root.join("1"));
        assert_eq!(world.inspect("0"), Some(EntryKind::Directory));
        assert_eq!(world.inspect("2"), None);
        let missing = Op::MakeDirectoriesApart { parent: root.join("none"), count: 0, files: 1 };
        assert!(call(engine, missing).unwrap_err().is_absent());
    });
}

/// Files that are on their device, so that they can be evicted and be there alone.
fn files_on_device(world: &dyn World, directory: &str, count: usize, bytes: usize) -> Vec<PathBuf> {
    world.make_directories(directory);
    let name = |number: usize| format!("{directory}/{number}");
    let paths: Vec<PathBuf> = (0..count).map(|number| world.root().join(name(number))).collect();
    for (number, path) in paths.iter().enumerate() {
        let content = (0..bytes).map(|place| (place / 251 + place + number) as u8);
        world.write_at(path, &content.collect::<Vec<u8>>());
    }
    world.sync(&paths);
    paths
}

fn assert_content(number: usize, bytes: &[u8]) {
    let is_right = |(place, &byte): (usize, &u8)| byte == (place / 251 + place + number) as u8;
    assert!(bytes.iter().enumerate().all(is_right), "file {number}");
}

fn submit_read(engine: &mut dyn Engine, number: usize, path: &Path) {
    let (path, buffer, bytes_max) = (path.to_owned(), Buffer::default(), 1 << 30);
    let op = Op::ReadFile {
        path,
        buffer,
        bytes_max,
        symlinks: Symlinks::Refuse,
        interrupt: Interrupt::default(),
    };
    engine.submit(Token(number as u64), op);
}

/// All completions of what is in flight, by token.
fn drain(engine: &mut dyn Engine) -> BTreeMap<usize, Outcome> {
    let mut outcomes = BTreeMap::new();
    while engine.num_in_flight() > 0 {
        match engine.poll() {
            Some(Completion { token, outcome }) => {
                assert!(outcomes.insert(token.0 as usize, outcome).is_none(), "{token:?} twice");
            }
            None => engine.wait(Some(Duration::from_secs(10))),
        }
    }
    outcomes
}

#[test]
fn many_cold_files_are_read_at_once_and_each_buffer_has_its_own_bytes() {
    for_every_backend(|engine, world| {
        let small = files_on_device(world, "small", 60, 5_000);
        let large = files_on_device(world, "large", 8, 3 << 20);
        for (paths, bytes) in [(&small, 5_000), (&large, 3 << 20)] {
            world.evict(paths);
            let count = paths.len();
            for (number, path) in paths.iter().enumerate() {
                submit_read(engine, number, path);
            }
            assert_eq!(engine.num_in_flight(), count);
            let outcomes = drain(engine);
            assert_eq!(outcomes.len(), count);
            for (number, outcome) in outcomes {
                let read = outcome.unwrap().into_bytes();
                assert_eq!(read.len(), bytes);
                assert_content(number, &read);
            }
        }
    });
}

#[test]
fn cold_directories_and_ranges_are_read_whole() {
    for_every_backend(|engine, world| {
        let paths = files_on_device(world, "cold", 10, 200_000);
        let directory = world.root().join("cold");
        world.evict(&paths);
        let (path, buffer) = (paths[3].clone(), Buffer::default());
        let range = call(
            engine,
            Op::ReadRange { path, offset: 0, bytes: 150_000, buffer, symlinks: Symlinks::Refuse },
        );
        assert_content(3, &range.unwrap().into_bytes());
        let op = Op::ReadDirectory {
            path: directory,
            bytes_max: u64::MAX,
            interrupt: Interrupt::default(),
        };
        let files = call(engine, op).unwrap().into_files();
        assert_eq!(files.len(), 10);
        for file in files {
            assert_eq!(file.bytes.len(), 200_000);
            assert_content(file.name.to_str().unwrap().parse().unwrap(), &file.bytes);
        }
    });
}

#[test]
fn a_wake_before_the_wait_ends_the_wait_and_only_that_one() {
    for_every_backend(|engine, world| {
        let (clock, waker) = (world.clock(), engine.waker());
        for _ in 0..100 {
            waker.wake_by_ref();
            let before = clock.now();
            engine.wait(Some(Duration::from_secs(20)));
            assert!(clock.now() - before < Duration::from_secs(10), "a wake was lost");
        }
        let before = clock.now();
        // It may return for no reason, but not always.
        for _ in 0..10 {
            engine.wait(Some(Duration::from_millis(5)));
        }
        assert!(clock.now() - before >= Duration::from_millis(10), "it does not wait");
    });
}

#[test]
fn no_wake_of_another_thread_is_lost() {
    for_every_backend(|engine, _| {
        let (waker, turn) = (engine.waker(), Arc::new(AtomicUsize::new(0)));
        let (answer, answers) = std::sync::mpsc::channel();
        let theirs = Arc::clone(&turn);
        let other = std::thread::spawn(move || {
            for _ in 0..2_000 {
                theirs.fetch_add(1, Ordering::SeqCst);
                waker.wake_by_ref();
                answers.recv().unwrap();
            }
            // Its engine may be gone by now.
            waker.wake();
        });
        let clock = SystemClock;
        for round in 1..=2_000 {
            let before = clock.now();
            while turn.load(Ordering::SeqCst) < round {
                engine.wait(Some(Duration::from_secs(20)));
                assert!(clock.now() - before < Duration::from_secs(10), "a wake was lost");
            }
            answer.send(()).unwrap();
        }
        other.join().unwrap();
    });
}

#[test]
fn completions_end_a_wait_without_a_timeout() {
    for_every_backend(|engine, world| {
        let directory = world.root();
        let paths = files_on_device(world, "cold", 1, 100_000);
        for round in 0..8 {
            world.evict(&paths);
            submit_read(engine, round, &paths[0]);
            engine.submit(Token(100), Op::SyncDirectory { path: directory.to_owned() });
            let mut num_completed = 0;
            while num_completed < 2 {
                match engine.poll() {
                    Some(completion) => {
                        completion.outcome.unwrap();
                        num_completed += 1;
                    }
                    None => engine.wait(None),
                }
            }
        }
    });
}

#[test]
fn what_is_cancelled_completes_once_and_its_buffer_comes_back() {
    for_every_backend(|engine, world| {
        let directory = world.root();
        let paths = files_on_device(world, "cold", 32, 300_000);
        for round in 0..5 {
            world.evict(&paths);
            for (number, path) in paths.iter().enumerate() {
                submit_read(engine, number, path);
                if number % 2 == round % 2 {
                    engine.cancel(Token(number as u64));
                }
            }
            for number in 0..4 {
                let op = Op::SyncDirectory { path: directory.to_owned() };
                engine.submit(Token(100 + number), op);
            }
            for number in 0..120 {
                engine.cancel(Token(number));
                engine.cancel(Token(number));
            }
            let outcomes = drain(engine);
            assert_eq!(outcomes.len(), 36);
            for (number, outcome) in outcomes {
                match outcome {
                    Ok(Payload::Bytes(read)) => assert_content(number, &read),
                    Ok(_) => assert!(number >= 100),
                    Err(failure) => {
                        assert_eq!(failure.error.kind, IoErrorKind::Cancelled);
                        assert_eq!(failure.buffer.is_some(), number < 100);
                    }
                }
            }
        }
    });
}

#[test]
fn a_buffer_comes_back_from_every_failure() {
    for_every_backend(|engine, world| {
        let directory = world.root();
        let cold = files_on_device(world, "cold", 1, 10_000).remove(0);
        world.evict(std::slice::from_ref(&cold));
        let (missing, one) = (directory.join("missing"), directory.join("one"));
        world.write("one", b"1");
        let buffer = || Buffer::from(vec![7; 100_000]);
        let symlinks = Symlinks::Refuse;
        let whole = |path: &Path, bytes_max| {
            let path = path.to_owned();
            Op::ReadFile {
                path,
                buffer: buffer(),
                bytes_max,
                symlinks,
                interrupt: Interrupt::default(),
            }
        };
        let beyond = Op::ReadRange {
            path: cold.clone(),
            offset: 1,
            bytes: 10_000,
            buffer: buffer(),
            symlinks,
        };
        let failing = [whole(&missing, 10), whole(directory, 10), whole(&cold, 10), beyond];
        for op in failing {
            let failure = perfecta_io::call(engine, op).unwrap_err();
            let buffer = failure.buffer.unwrap();
            // The memory is the one that was given, so that it can be used again.
            let path = one.clone();
            let op = Op::ReadFile {
                path,
                buffer,
                bytes_max: 10,
                symlinks,
                interrupt: Interrupt::default(),
            };
            assert_eq!(&*call(engine, op).unwrap().into_bytes(), b"1");
        }
    });
}

#[test]
fn an_engine_may_be_dropped_with_operations_in_flight() {
    for backend in backends() {
        for _ in 0..3 {
            let (mut engine, world) = (backend.start)(None);
            let paths = files_on_device(world.as_ref(), "cold", 32, 100_000);
            world.evict(&paths);
            let waker = engine.waker();
            for (number, path) in paths.iter().enumerate() {
                submit_read(engine.as_mut(), number, path);
            }
            for number in 64..68 {
                let path = world.root().to_owned();
                engine.submit(Token(number), Op::SyncDirectory { path });
            }
            drop(engine);
            waker.wake();
        }
    }
}

#[test]
fn the_buffers_of_an_engine_that_is_dropped_go_back_to_their_pool() {
    for backend in [Choice::Blocking, Choice::Auto] {
        let engines = Engines::start(backend, NonZeroUsize::MIN).unwrap();
        let (mut engine, world) = (engines.engine(), tempfile::tempdir().unwrap());
        let paths = files_on_device(&world, "cold", 32, 50_000);
        world.evict(&paths);
        let pool = BufferPool::reserve(&PoolOptions::with_budget(4 << 20)).unwrap();
        for (number, path) in (0..).zip(paths) {
            let buffer = pool.try_acquire(50_001).unwrap().expect("there is budget").into();
            let symlinks = Symlinks::Refuse;
            let interrupt = Interrupt::default();
            let op = Op::ReadFile { path, buffer, bytes_max: 50_000, symlinks, interrupt };
            engine.submit(Token(number), op);
        }
        assert_eq!(pool.statistics().in_use_bytes, 32 * SizeClass::SMALL_BYTES);
        drop(engine);
        // Ends when the threads are done with what they were sent.
        drop(engines);
        assert_eq!(pool.statistics().in_use_bytes, 0, "{backend:?}");
    }
}

#[test]
fn directories_are_synced_side_by_side() {
    for_every_backend(|engine, world| {
        let root = world.root();
        for number in 0..20 {
            let path = root.join(number.to_string());
            world.make_directories(&number.to_string());
            engine.submit(Token(number), Op::SyncDirectory { path });
        }
        engine.submit(Token(20), Op::SyncDirectory { path: root.join("absent") });
        let mut outcomes = drain(engine);
        assert!(outcomes.remove(&20).unwrap().unwrap_err().error.is_absent());
        assert!(outcomes.into_values().all(|outcome| outcome.is_ok()));
    });
}
