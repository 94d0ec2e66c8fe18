//! One suite for every backend: what an operation does, on a real file system.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use perfecta_io::{
    BlockingEngine, Buffer, Engine, EntryKind, FileContent, IoError, IoErrorKind, IoThreads, Op,
    Payload, Replace, Symlinks, Token,
};

fn backends() -> Vec<Box<dyn Engine>> {
    let io_threads = Arc::new(IoThreads::start(2.try_into().unwrap()).unwrap());
    vec![Box::new(BlockingEngine::default()), Box::new(BlockingEngine::new(Some(io_threads)))]
}

/// Runs one operation on every backend, each in a directory of its own.
fn for_every_backend(check: impl Fn(&mut dyn Engine, &Path)) {
    for mut engine in backends() {
        let directory = tempfile::tempdir().unwrap();
        check(engine.as_mut(), directory.path());
        assert_eq!(engine.num_in_flight(), 0);
        assert!(engine.poll().is_none());
    }
}

fn call(engine: &mut dyn Engine, op: Op) -> Result<Payload, IoError> {
    perfecta_io::call(engine, op).map_err(|failure| failure.error)
}

fn read(engine: &mut dyn Engine, path: &Path, symlinks: Symlinks) -> Result<Vec<u8>, IoError> {
    let (path, buffer) = (path.to_owned(), Buffer::default());
    let read = call(engine, Op::ReadFile { path, buffer, bytes_max: 100, symlinks })?;
    Ok(read.into_bytes().into_vec())
}

fn file(name: &str, bytes: &[u8]) -> FileContent {
    FileContent { name: name.into(), bytes: bytes.to_vec() }
}

#[test]
fn every_operation_completes_once_with_its_own_token() {
    for_every_backend(|engine, directory| {
        fs::write(directory.join("a"), b"a").unwrap();
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
    for_every_backend(|engine, directory| {
        let path = |name: &str| directory.join(name);
        fs::write(path("file"), b"keys").unwrap();
        fs::write(path("empty"), b"").unwrap();
        fs::write(path("large"), [0; 101]).unwrap();
        fs::create_dir(path("directory")).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, path("fifo"), fifo, mode, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        symlink("file", path("link")).unwrap();
        symlink("loop", path("loop")).unwrap();

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
        let device = refused(Path::new("/dev/zero"), Symlinks::Follow);
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
fn a_file_whose_bytes_are_not_those_of_its_length_is_said_to_have_changed() {
    for_every_backend(|engine, _| {
        // Its length is 0 and it has bytes all the same, as if it grew while it was read.
        let error = read(engine, Path::new("/proc/self/stat"), Symlinks::Follow).unwrap_err();
        assert_eq!(error.kind, IoErrorKind::Changed);
    });
}

#[test]
fn a_tree_is_listed_in_one_order_with_kinds_and_without_going_in_circles() {
    for_every_backend(|engine, root| {
        use std::os::unix::ffi::OsStringExt;
        fs::create_dir_all(root.join("b/c")).unwrap();
        fs::write(root.join("b/c/file"), b"12345").unwrap();
        let foreign = OsString::from_vec(b"\xffname".to_vec());
        fs::write(root.join(&foreign), b"1").unwrap();
        fs::write(root.join("b.x"), b"").unwrap();
        symlink("..", root.join("b/up")).unwrap();
        symlink("absent", root.join("broken")).unwrap();
        symlink("b/c", root.join("again")).unwrap();
        let list = |engine: &mut dyn Engine, entries_max, depth_max| {
            let op = Op::ListTree { root: root.to_owned(), entries_max, depth_max };
            match call(engine, op)? {
                Payload::Listing(listing) => Ok(listing.entries),
                other => panic!("{other:?}"),
            }
        };
        let found: Vec<(PathBuf, EntryKind)> = list(engine, 100, 10)
            .unwrap()
            .into_iter()
            .map(|entry: perfecta_io::Entry| (entry.path, entry.kind))
            .collect();
        let expected = [
            ("again", EntryKind::Directory),
            ("again/file", EntryKind::File { bytes: 5 }),
            ("b", EntryKind::Directory),
            ("b.x", EntryKind::File { bytes: 0 }),
            ("b/c", EntryKind::Directory),
            ("b/c/file", EntryKind::File { bytes: 5 }),
            ("b/up", EntryKind::BrokenLink),
            ("broken", EntryKind::BrokenLink),
        ];
        let mut expected: Vec<(PathBuf, EntryKind)> =
            expected.into_iter().map(|(path, kind)| (path.into(), kind)).collect();
        expected.push((foreign.into(), EntryKind::File { bytes: 1 }));
        assert_eq!(found, expected);
        let kind = |error: IoError| error.kind;
        assert_eq!(list(engine, 8, 10).map_err(kind), Err(IoErrorKind::TooManyEntries(8)));
        assert_eq!(list(engine, 100, 2).map_err(kind), Err(IoErrorKind::TooDeep(2)));
    });
}

#[test]
fn a_directory_is_written_new_and_read_back() {
    for_every_backend(|engine, parent| {
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
        match call(engine, Op::ReadDirectory { path: path.clone(), bytes_max: 100_006 }).unwrap() {
            Payload::Files(files) => {
                let expected = [file("a", &[7; 100_000]), file("b", b"second"), file("c", b"")];
                assert_eq!(files, expected);
            }
            other => panic!("{other:?}"),
        }
        let error = call(engine, Op::ReadDirectory { path: path.clone(), bytes_max: 100_005 });
        assert!(matches!(error.unwrap_err().kind, IoErrorKind::TooLarge { .. }));
        symlink("a", path.join("link")).unwrap();
        call(engine, Op::ReadDirectory { path, bytes_max: u64::MAX }).unwrap_err();
    });
}

#[test]
fn publishing_never_replaces_unless_it_exchanges() {
    for_every_backend(|engine, root| {
        let make = |name: &str| {
            fs::create_dir(root.join(name)).unwrap();
            fs::write(root.join(name).join("who"), name).unwrap();
        };
        let who = |name: &str| fs::read_to_string(root.join(name).join("who")).unwrap();
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
        assert!(!root.join("new").exists());
        assert!(publish(engine, "new", Replace::Never).unwrap_err().is_absent());
    });
}

#[test]
fn a_tree_is_removed_without_following_links_out_of_it() {
    for_every_backend(|engine, root| {
        fs::create_dir_all(root.join("tree/deep/er")).unwrap();
        fs::write(root.join("outside"), b"kept").unwrap();
        fs::create_dir(root.join("kept")).unwrap();
        symlink("../outside", root.join("tree/link")).unwrap();
        symlink("../kept", root.join("tree/directory")).unwrap();
        call(engine, Op::RemoveTree { path: root.join("tree") }).unwrap();
        assert!(!root.join("tree").exists());
        assert!(root.join("outside").exists() && root.join("kept").exists());
    });
}

#[test]
fn a_file_is_appended_to_only_where_it_ends() {
    for_every_backend(|engine, root| {
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
            Op::ReadRange { path: path.clone(), offset, bytes, buffer }
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
    for_every_backend(|engine, root| {
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
    for_every_backend(|engine, root| {
        for _ in 0..2 {
            call(engine, Op::MakeDirectories { path: root.join("a/b/c") }).unwrap();
        }
        assert!(root.join("a/b/c").is_dir());
        fs::write(root.join("file"), b"").unwrap();
        for path in ["file", "file/below"] {
            let error = call(engine, Op::MakeDirectories { path: root.join(path) }).unwrap_err();
            assert!(error.is_not_a_directory(), "{error}");
        }
    });
}
