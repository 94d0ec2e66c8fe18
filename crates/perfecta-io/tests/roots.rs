//! Engines that are confined to roots: below them all is as elsewhere, and nothing is reached beside
//! them, whoever puts links in the way.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "another test needs the rest")]
mod cases;
mod world;

use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use perfecta_io::{
    Backend, Buffer, Engine, Engines, EntryKind, FileContent, Interrupt, IoError, IoErrorKind,
    Lengths, Op, Payload, Replace, Roots, Symlinks, UringEngine,
};
use tempfile::TempDir;

use self::cases::{reading_cases, sync_case, writing_cases};

/// Engines of every kind, confined to these.
fn engines(roots: &[PathBuf]) -> Vec<Box<dyn Engine>> {
    let roots = Arc::new(Roots::open(roots).unwrap());
    let mut backends = vec![Backend::Blocking];
    if UringEngine::new(None).is_ok() {
        backends.push(Backend::Uring);
    }
    let confined = |backend| {
        let engines = Engines::start(backend, NonZeroUsize::MIN).unwrap();
        engines.within(Some(Arc::clone(&roots)))
    };
    let mut engines: Vec<_> =
        backends.into_iter().map(|backend| confined(backend).engine()).collect();
    engines.push(confined(Backend::Blocking).plain_engine());
    engines
}

fn call(engine: &mut dyn Engine, op: Op) -> Result<Payload, IoError> {
    perfecta_io::call(engine, op).map_err(|failure| failure.error)
}

fn file(name: &str) -> FileContent {
    FileContent { name: name.into(), bytes: b"new".to_vec() }
}

/// A root with a file and a directory, and the same outside of it.
struct Scene {
    place: TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { place: tempfile::tempdir().unwrap() };
        for side in ["root", "outside"] {
            fs::create_dir_all(scene.path(side).join("directory/below")).unwrap();
            fs::write(scene.path(side).join("file"), b"content").unwrap();
            fs::write(scene.path(side).join("directory/file"), b"content").unwrap();
        }
        symlink(scene.path("outside"), scene.path("root/link")).unwrap();
        symlink("../outside", scene.path("root/relative")).unwrap();
        symlink("directory", scene.path("root/inner")).unwrap();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// All that is outside, with the links' sides.
    fn outside(&self) -> Vec<(PathBuf, Vec<u8>)> {
        fn collect(directory: &Path, into: &mut Vec<(PathBuf, Vec<u8>)>) {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    into.push((path.clone(), Vec::new()));
                    collect(&path, into);
                } else {
                    into.push((path.clone(), fs::read(&path).unwrap()));
                }
            }
        }
        let mut all = Vec::new();
        collect(&self.path("outside"), &mut all);
        all.sort();
        all
    }
}

/// Every operation that takes a path, at `path`, where a directory is.
fn operations_on_directory(path: &Path, inside: &Path) -> Vec<Op> {
    let (path, staged) = (path.to_owned(), inside.join("directory"));
    vec![
        Op::ListTree {
            root: path.clone(),
            lengths: Lengths::Wanted,
            entries_max: 100,
            depth_max: 10,
            interrupt: Interrupt::default(),
        },
        Op::Resolve { path: path.clone() },
        Op::ListDirectory { path: path.clone() },
        Op::MakeDirectories { path: path.join("made/below") },
        Op::MakeDirectoriesApart { parent: path.clone(), count: 1, files: 1 },
        Op::WriteDirectory {
            parent: path.clone(),
            name: "written".into(),
            files: vec![file("file")],
        },
        Op::WriteFile { directory: path.clone(), file: file("written") },
        Op::ReadDirectory {
            path: path.join("directory"),
            bytes_max: 100,
            interrupt: Interrupt::default(),
        },
        Op::Append { path: path.join("appended"), offset: 0, bytes: b"new".to_vec() },
        Op::Publish { staged: staged.clone(), target: path.join("new"), replace: Replace::Never },
        Op::Publish {
            staged: path.join("directory"),
            target: inside.join("taken"),
            replace: Replace::Never,
        },
        Op::Publish { staged, target: path.join("directory"), replace: Replace::Exchange },
        Op::RemoveTree { path: path.join("directory") },
        Op::RemoveDirectory { path: path.join("directory") },
        Op::OpenFilesystem { path: path.clone() },
        Op::SyncDirectory { path: path.clone() },
        Op::CreateLock { path: path.join("lock") },
        Op::TryLock { path: path.join("file") },
        read_range(path.join("file"), Symlinks::Follow),
        read_range(path.join("file"), Symlinks::Refuse),
        read(path.join("file"), Symlinks::Follow),
        read(path.join("file"), Symlinks::Refuse),
    ]
}

fn read(path: PathBuf, symlinks: Symlinks) -> Op {
    Op::ReadFile {
        path,
        buffer: Buffer::default(),
        bytes_max: 100,
        symlinks,
        interrupt: Interrupt::default(),
    }
}

fn read_range(path: PathBuf, symlinks: Symlinks) -> Op {
    Op::ReadRange { path, offset: 0, bytes: 1, buffer: Buffer::default(), symlinks }
}

fn check_refused(engine: &mut dyn Engine, op: Op, kind: &IoErrorKind) {
    let words = format!("{op:?}");
    let refused = call(engine, op).map(drop).unwrap_err();
    assert_eq!(&refused.kind, kind, "{words}: {refused}");
    assert!(refused.is_denied(), "{words}");
    assert!(refused.remedy().is_some(), "{words}");
}

#[test]
fn below_a_root_every_operation_does_what_it_does_elsewhere() {
    let cases = || reading_cases().into_iter().chain(writing_cases()).chain([sync_case()]);
    // One case is about links.
    for case in cases().filter(|case| !case.name.contains("resolve")) {
        let world = tempfile::tempdir().unwrap();
        let mut engine = engines(&[world.path().to_owned()]).remove(0);
        let op = (case.prepare)(engine.as_mut(), &world);
        let done = call(engine.as_mut(), op).unwrap();
        assert!((case.is_done)(done, &world), "{}", case.name);
    }
}

#[test]
fn nothing_is_reached_by_another_path_by_dots_or_by_a_link_on_the_way() {
    let scene = Scene::new();
    let before = scene.outside();
    let root = scene.path("root");
    let ways = [
        (scene.path("outside"), IoErrorKind::OutsideRoots),
        (scene.path("root/../outside"), IoErrorKind::OutsideRoots),
        (scene.path("root/directory/.."), IoErrorKind::OutsideRoots),
        (scene.path("rootless"), IoErrorKind::OutsideRoots),
        (PathBuf::from("outside"), IoErrorKind::OutsideRoots),
        (scene.path("root/link"), IoErrorKind::LinkBelowRoot),
        (scene.path("root/relative"), IoErrorKind::LinkBelowRoot),
        (scene.path("root/inner"), IoErrorKind::LinkBelowRoot),
    ];
    for mut engine in engines(std::slice::from_ref(&root)) {
        for (path, kind) in &ways {
            for op in operations_on_directory(path, &root) {
                check_refused(engine.as_mut(), op, kind);
            }
            let inspected = call(engine.as_mut(), Op::Inspect { path: path.clone() }).unwrap();
            let EntryKind::Unreadable(error) = inspected.into_kind() else { panic!("{path:?}") };
            assert_eq!(&error.kind, kind, "{path:?}");
        }
    }
    assert_eq!(scene.outside(), before);
    assert!(root.join("directory/below").exists());
}

#[test]
fn a_link_in_a_listed_tree_is_named_and_not_followed() {
    let scene = Scene::new();
    for mut engine in engines(&[scene.path("root")]) {
        let op = Op::ListTree {
            root: scene.path("root"),
            lengths: Lengths::Unwanted,
            entries_max: 100,
            depth_max: 10,
            interrupt: Interrupt::default(),
        };
        let listing = call(engine.as_mut(), op).unwrap().into_listing();
        let names: Vec<&str> =
            listing.entries.iter().map(|entry| entry.path.to_str().unwrap()).collect();
        let expected =
            ["directory", "directory/below", "directory/file", "file", "inner", "link", "relative"];
        assert_eq!(names, expected);
        for entry in &listing.entries[4..] {
            let EntryKind::Unreadable(error) = &entry.kind else { panic!("{entry:?}") };
            assert_eq!(error.kind, IoErrorKind::LinkBelowRoot);
        }
    }
}

#[test]
fn a_root_is_found_by_its_links_and_the_innermost_one_decides() {
    let scene = Scene::new();
    let roots = [scene.path("root"), scene.path("root/link/directory")];
    for mut engine in engines(&roots) {
        let path = scene.path("root/link/directory/file");
        let content = call(engine.as_mut(), read(path, Symlinks::Refuse)).unwrap();
        assert_eq!(*content.into_bytes(), *b"content");
        let resolve = Op::Resolve { path: scene.path("root/link/directory/below/new") };
        let resolved = call(engine.as_mut(), resolve).unwrap().into_path();
        let outside = fs::canonicalize(scene.path("outside")).unwrap();
        assert_eq!(resolved, outside.join("directory/below/new"));
        let beside = read(scene.path("root/link/file"), Symlinks::Follow);
        check_refused(engine.as_mut(), beside, &IoErrorKind::LinkBelowRoot);
    }
}

/// Directories and links that change places all the time: whatever an operation meets, it works on
/// the directory or is refused. Who resolves a path by itself first, and opens it then, is caught here.
#[test]
fn a_directory_that_turns_into_a_link_between_two_calls_leads_nowhere() {
    let scene = Scene::new();
    let before = scene.outside();
    let root = scene.path("root");
    fs::create_dir(root.join("turning")).unwrap();
    symlink(scene.path("outside"), root.join("turned")).unwrap();
    let is_over = AtomicBool::new(false);
    let met = std::thread::scope(|scope| {
        // Whatever comes of this thread, the other ends.
        let _over = Over(&is_over);
        scope.spawn(|| {
            let (one, other) = (root.join("turning"), root.join("turned"));
            while !is_over.load(Ordering::Relaxed) {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                let cwd = rustix::fs::CWD;
                rustix::fs::renameat_with(cwd, &one, cwd, &other, exchange).unwrap();
            }
        });
        meet(&root)
    });
    assert_eq!(met, [true, true], "both sides of the race are to be seen");
    assert_eq!(scene.outside(), before);
}

const ROUNDS: usize = 200;

/// A thread that turns names may not be given a processor for long.
const ROUNDS_MAX: usize = 1_000_000;

/// Works on what turns until both were seen, and says whether it was refused, and whether it was done.
fn meet(root: &Path) -> [bool; 2] {
    let mut met = [false; 2];
    let turning = root.join("turning");
    for mut engine in engines(&[root.to_owned()]) {
        for round in 0..ROUNDS_MAX {
            if round >= ROUNDS && met == [true, true] {
                break;
            }
            for op in operations_that_write(&turning, &round.to_string()) {
                let done = call(engine.as_mut(), op);
                met[usize::from(done.is_ok())] = true;
                let kind = done.err().map(|error| error.kind);
                let is_refused = kind == Some(IoErrorKind::LinkBelowRoot);
                assert!(kind.is_none() || is_refused || is_left_so(kind.as_ref()), "{kind:?}");
            }
        }
    }
    met
}

struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn operations_that_write(path: &Path, name: &str) -> Vec<Op> {
    let path = |what: &str| path.join(format!("{what}{name}"));
    vec![
        Op::MakeDirectories { path: path("made").join("below") },
        Op::Append { path: path("appended"), offset: 0, bytes: b"new".to_vec() },
        Op::RemoveTree { path: path("appended") },
        Op::Publish { staged: path("made"), target: path("moved"), replace: Replace::Never },
        Op::RemoveTree { path: path("moved") },
        Op::RemoveTree { path: path("made") },
    ]
}

/// What an operation before it left, or did not make; a directory is there, too, where its name turned
/// between two calls.
fn is_left_so(kind: Option<&IoErrorKind>) -> bool {
    use rustix::io::Errno;
    let is = |errno: Errno| kind == Some(&IoErrorKind::System(errno.raw_os_error()));
    matches!(kind, Some(IoErrorKind::Exists)) || is(Errno::NOENT) || is(Errno::EXIST)
}

#[test]
fn a_root_that_is_no_directory_is_named() {
    let scene = Scene::new();
    for name in ["root/file", "absent"] {
        let refused = Roots::open(&[scene.path(name)]).unwrap_err();
        assert!(refused.to_string().contains(name), "{refused}");
    }
}
