//! The same calls, drawn by a seed, on the host and on a simulated machine: both have to say the
//! same. The host is the oracle of every error number.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::system::SimulatedSystem;
use super::super::{Inner, SimulatedMachine};
use crate::host::Host;
use crate::random::Random;
use crate::system::{At, Errno, FileKind, Links, Opening, Removal, Rename, Stat, System, Wait};

const LINKS: [Links; 2] = [Links::Follow, Links::Refuse];
const OPENINGS: [Opening; 8] = [
    Opening::Read(Links::Follow),
    Opening::Read(Links::Refuse),
    Opening::Directory(Links::Follow),
    Opening::Directory(Links::Refuse),
    Opening::CreateNew,
    Opening::Extend,
    Opening::CreateLock,
    Opening::Lock,
];
const RENAMES: [Rename; 3] = [Rename::Plain, Rename::NoReplace, Rename::Exchange];
const REMOVALS: [Removal; 2] = [Removal::File, Removal::Directory];

/// One of both machines, with the files that are open on it.
struct Side<S: System> {
    system: S,
    root: PathBuf,
    open: Vec<(S::File, Opening)>,
}

/// A call by what is drawn for it: the same on both sides.
#[derive(Debug, Clone)]
enum Drawn {
    Open(PathBuf, Opening),
    OpenIn(usize, PathBuf, Opening),
    Close(usize),
    Inspect(usize),
    InspectAt(PathBuf, Links),
    Names(usize),
    Read(usize, usize, u64),
    Write(usize, Vec<u8>, u64),
    MakeDirectory(PathBuf),
    Rename(PathBuf, PathBuf, Rename),
    Remove(PathBuf, Removal),
    Lock(usize),
    Canonical(PathBuf),
}

fn draw_path(random: &mut Random) -> PathBuf {
    let names = ["a", "b", "c", "link"];
    let depth = 1 + random.index(3);
    (0..depth).map(|_| names[random.index(names.len())]).collect()
}

fn draw(random: &mut Random, num_open: usize) -> Drawn {
    let path = draw_path(random);
    let file = random.index(num_open + 1);
    match random.below(16) {
        0..=2 => Drawn::Open(path, OPENINGS[random.index(8)]),
        3 => Drawn::OpenIn(file, path, OPENINGS[random.index(8)]),
        4 => Drawn::Close(file),
        5 => Drawn::Inspect(file),
        6 => Drawn::InspectAt(path, LINKS[random.index(2)]),
        7 => Drawn::Names(file),
        8 => Drawn::Read(file, random.index(20), random.below(20)),
        9 => Drawn::Write(file, vec![7; 1 + random.index(20)], random.below(20)),
        10 | 11 => Drawn::MakeDirectory(path),
        12 | 13 => Drawn::Rename(path, draw_path(random), RENAMES[random.index(3)]),
        14 => Drawn::Remove(path, REMOVALS[random.index(2)]),
        15 if random.one_in(2) => Drawn::Lock(file),
        _ => Drawn::Canonical(path),
    }
}

impl<S: System> Side<S> {
    /// What a call came to, in words that both sides share.
    fn answer(&mut self, drawn: &Drawn) -> Option<Result<String, Errno>> {
        let Self { system, root, open } = self;
        Some(match drawn {
            Drawn::Open(path, how) => {
                let opened = system.open(At::Path(&root.join(path)), *how);
                opened.map(|file| open.push((file, *how))).map(text)
            }
            Drawn::OpenIn(directory, name, how) => {
                let (directory, Opening::Directory(_)) = open.get(*directory)? else { return None };
                let opened = system.open(At::In(directory, name), *how);
                opened.map(|file| open.push((file, *how))).map(text)
            }
            Drawn::Close(file) => {
                open.get(*file)?;
                system.close(open.remove(*file).0).map(text)
            }
            Drawn::Inspect(file) => system.inspect(&open.get(*file)?.0).map(stat_text),
            Drawn::InspectAt(path, links) => {
                system.inspect_at(At::Path(&root.join(path)), *links).map(stat_text)
            }
            Drawn::Names(directory) => system.names(&open.get(*directory)?.0).map(|names| {
                let mut names: Vec<_> = names.into_iter().map(|named| named.name).collect();
                names.sort();
                text(names)
            }),
            Drawn::Read(file, bytes, offset) => {
                let (file, Opening::Read(_) | Opening::Lock) = open.get(*file)? else {
                    return None;
                };
                let mut into = vec![0; *bytes];
                let read = system.read(file, &mut into, *offset, Wait::ForDevice);
                read.map(|count| text((count, &into[..count])))
            }
            Drawn::Write(file, bytes, offset) => {
                let (file, Opening::CreateNew | Opening::Extend) = open.get(*file)? else {
                    return None;
                };
                system.write(file, bytes, *offset).map(text)
            }
            Drawn::MakeDirectory(path) => {
                system.make_directory(At::Path(&root.join(path))).map(text)
            }
            Drawn::Rename(from, to, how) => {
                system.rename(&root.join(from), &root.join(to), *how).map(text)
            }
            Drawn::Remove(path, what) => system.remove(At::Path(&root.join(path)), *what).map(text),
            Drawn::Lock(file) => system.lock(&open.get(*file)?.0).map(text),
            Drawn::Canonical(path) => system
                .canonical(&root.join(path))
                .map(|path| text(path.strip_prefix(&*root).map(Path::to_owned))),
        })
    }
}

fn text(answer: impl Debug) -> String {
    format!("{answer:?}")
}

/// What all file systems of a host agree on: directories count links and bytes each in its own way.
fn stat_text(stat: Stat) -> String {
    match stat.kind {
        FileKind::Directory => "directory".to_owned(),
        kind @ (FileKind::Regular | FileKind::Special(_)) => text((kind, stat.bytes, stat.links)),
    }
}

impl SimulatedMachine {
    fn system(&self) -> SimulatedSystem {
        let inner: &Arc<Inner> = &self.inner;
        SimulatedSystem::new(inner)
    }
}

#[test]
fn a_simulated_machine_says_what_linux_says() {
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let directory = tempfile::tempdir().expect("a directory");
        let machine = SimulatedMachine::new(seed);
        let mut host = Side {
            system: Host::default(),
            root: directory.path().join("top/root"),
            open: Vec::new(),
        };
        let mut simulated =
            Side { system: machine.system(), root: PathBuf::from("/top/root"), open: Vec::new() };
        std::fs::create_dir_all(&host.root).expect("a directory");
        machine.make_directories(&simulated.root);
        let mut history = String::new();
        for _ in 0..200 {
            if random.one_in(30) {
                link(&mut random, &host.root, &simulated.root, &machine);
                continue;
            }
            let drawn = draw(&mut random, host.open.len());
            let expected = host.answer(&drawn);
            history.push_str(&format!("{drawn:?} -> {expected:?}\n"));
            assert_eq!(simulated.answer(&drawn), expected, "seed {seed}\n{history}");
            machine.check_links();
        }
        assert_eq!(machine.num_open(), simulated.open.len() as u64);
    }
}

/// Makes the same link on both sides, if there is room for it.
fn link(random: &mut Random, host: &Path, simulated: &Path, machine: &SimulatedMachine) {
    let path = draw_path(random).join("link");
    let target = ["a", "b/c", "../a", "link", "absent"][random.index(5)];
    let (there, in_machine) = (host.join(&path), simulated.join(&path));
    let has_parent = there.parent().is_some_and(Path::is_dir);
    if has_parent && there.symlink_metadata().is_err() {
        std::os::unix::fs::symlink(target, there).expect("room for it");
        machine.make_link(&in_machine, Path::new(target));
    }
}
