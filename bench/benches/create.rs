//! `cargo bench -p perfecta-bench --bench create -- KEYS SCRATCH [ROUNDS]`: what the files of a bulk run
//! cost to create, by a bare program that has them in memory, and what the whole run costs.
//!
//! All but solving make the same tree from `KEYS` below `SCRATCH`, in turn and always under fresh names: file
//! systems without a journal are slow for minutes where files were removed, so remove `SCRATCH`
//! afterwards, not between rounds. The bare program verifies nothing, stages nothing and publishes
//! nothing: it is the least that any program pays. Two more of them rename, and read back, as every table that appears
//! whole must: with solving alone they are the floor of a bulk run.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use perfecta_emit::{ArtifactKind, ArtifactKinds};
use perfecta_jobs::{
    Artifacts, CancelFlag, Clock, Durability, Event, Inputs, Job, Output, Runtime, SelfTest,
    SystemClock, run,
};
use rustix::fd::AsFd;
use rustix::fs::{
    IFlags, Mode, OFlags, RenameFlags, ioctl_getflags, ioctl_setflags, mkdirat, openat,
    renameat_with,
};

/// Makes the tree at a place.
type Contest<'a> = &'a dyn Fn(&Path);

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [keys, scratch, rest @ ..] = &arguments[..] else {
        return println!("create needs a directory of key files and one to write below");
    };
    let rounds = rest.first().map_or(5, |rounds| rounds.parse().expect("a number of rounds"));
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let mut places = Places { scratch: scratch.into(), taken: 0 };
    let first = places.next();
    bulk_create(keys, &first, threads, Durability::Process);
    let tree = read_tree(&first);
    println!("{} directories, {} files, {threads} threads", tree.len(), num_files(&tree));
    let dealt = |place: &Path, finish| create(&tree, place, threads.get(), Share::Dealt, finish);
    let contestants: [(&str, Contest<'_>); 9] = [
        ("bare, 1 thread", &|place| create(&tree, place, 1, Share::Dealt, Finish::Close)),
        ("bare, dealt out", &|place| dealt(place, Finish::Close)),
        ("bare, in parts", &|place| {
            create(&tree, place, threads.get(), Share::Parts, Finish::Close);
        }),
        ("bare, renamed", &|place| dealt(place, Finish::Rename)),
        ("from rooms apart", &|place| dealt(place, Finish::RenameFromRoom)),
        ("and read back", &|place| dealt(place, Finish::ReadBackAndRenameFromRoom)),
        ("solving alone", &|_| bulk_solve(keys, threads)),
        ("perfecta", &|place| bulk_create(keys, place, threads, Durability::Process)),
        ("perfecta, durable", &|place| bulk_create(keys, place, threads, Durability::Power)),
    ];
    let mut costs = vec![Vec::new(); contestants.len()];
    for _ in 0..rounds {
        for ((_, create), costs) in contestants.iter().zip(&mut costs) {
            let place = places.next();
            // What others left to be written would be paid for by whoever comes next.
            rustix::fs::sync();
            costs.push(cost(|| create(&place)));
        }
    }
    println!("median of {rounds} rounds, seconds: wall, CPU; in brackets the least");
    for ((name, _), costs) in contestants.iter().zip(&costs) {
        let [wall, cpu] = [0, 1].map(|which| Spread::of(costs.iter().map(|cost| cost[which])));
        println!("{name:18} {wall} {cpu}");
    }
}

/// Fresh names below one directory.
struct Places {
    scratch: PathBuf,
    taken: u32,
}

impl Places {
    fn next(&mut self) -> PathBuf {
        loop {
            self.taken += 1;
            let place = self.scratch.join(format!("tree-{}", self.taken));
            if !place.exists() {
                return place;
            }
        }
    }
}

/// Wall and CPU time.
fn cost(work: impl FnOnce()) -> [Duration; 2] {
    let (wall, cpu) = (SystemClock.now(), SystemClock.cpu());
    work();
    [SystemClock.now() - wall, SystemClock.cpu() - cpu]
}

struct Spread {
    least: Duration,
    median: Duration,
}

impl Spread {
    fn of(durations: impl Iterator<Item = Duration>) -> Self {
        let mut durations: Vec<Duration> = durations.collect();
        durations.sort();
        Self { least: durations[0], median: durations[durations.len() / 2] }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { least, median } = self;
        write!(formatter, "{:8.3} ({:.3})", median.as_secs_f64(), least.as_secs_f64())
    }
}

/// Read, solve, verify; render and write nothing.
fn bulk_solve(keys: &str, threads: NonZeroUsize) {
    let mut job = Job::new(Inputs::tree(keys));
    job.limits.threads = threads;
    job.limits.cpus = threads;
    let runtime = Runtime::new(None, CancelFlag::default());
    let summary = run(&job, &runtime, &mut |_: &Event<'_>| {}).expect("the job runs");
    assert_eq!(summary.ok, summary.tables, "every table is solved");
}

/// The whole of it: solve, verify, write, read back, publish.
fn bulk_create(keys: &str, place: &Path, threads: NonZeroUsize, durability: Durability) {
    let mut job = Job::new(Inputs::tree(keys));
    job.output = Some(Output { durability, ..Output::new(place) });
    job.limits.threads = threads;
    job.limits.cpus = threads;
    let kinds = ArtifactKinds::new(&[ArtifactKind::C, ArtifactKind::Rust]);
    let artifacts = Artifacts::new(kinds, SelfTest::FromFile);
    let runtime = Runtime::new(Some(&artifacts), CancelFlag::default());
    let summary = run(&job, &runtime, &mut |_: &Event<'_>| {}).expect("the job runs");
    assert_eq!(summary.ok, summary.tables, "every table is published");
}

/// A directory of the tree, below its root.
struct Directory {
    path: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
}

fn num_files(tree: &[Directory]) -> usize {
    tree.iter().map(|directory| directory.files.len()).sum()
}

/// Directories that hold files, in the order of their paths.
fn read_tree(root: &Path) -> Vec<Directory> {
    let mut tree = Vec::new();
    read_directory(root, Path::new(""), &mut tree);
    tree.sort_by(|left, right| left.path.cmp(&right.path));
    tree
}

fn read_directory(root: &Path, below: &Path, tree: &mut Vec<Directory>) {
    let mut files = Vec::new();
    for entry in root.join(below).read_dir().expect("the directory can be read") {
        let entry = entry.expect("an entry");
        let (name, path) = (PathBuf::from(entry.file_name()), entry.path());
        if entry.file_type().expect("its kind").is_dir() {
            read_directory(root, &below.join(name), tree);
        } else {
            files.push((name, std::fs::read(path).expect("the file can be read")));
        }
    }
    if !files.is_empty() {
        tree.push(Directory { path: below.to_owned(), files });
    }
}

/// Which directories a thread makes.
#[derive(Clone, Copy)]
enum Share {
    /// Every second, third, ...: neighbours are made at the same time.
    Dealt,
    /// As many that follow one another.
    Parts,
}

/// What is done to a directory after its files were written.
#[derive(Clone, Copy)]
enum Finish {
    /// It was made in its place.
    Close,
    /// It was made in a stage and is renamed into its place.
    Rename,
    /// The same, and each thread has a stage of its own, apart from the others on the device.
    RenameFromRoom,
    /// Each file is read back by the descriptor that wrote it, too.
    ReadBackAndRenameFromRoom,
}

/// Creates the tree by the fewest calls: mkdir, openat of the directory; openat, write, close of
/// each file, relative to it.
fn create(tree: &[Directory], place: &Path, threads: usize, share: Share, finish: Finish) {
    std::fs::create_dir(place).expect("the place is new");
    std::fs::create_dir(place.join(STAGE)).expect("the place is new");
    make_rooms(&place.join(ROOMS), threads);
    for parent in parents(tree) {
        std::fs::create_dir_all(place.join(parent)).expect("it can be made");
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(place, flags, Mode::empty()).expect("it was just made");
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let root = &root;
            scope.spawn(move || {
                let part = tree.len().div_ceil(threads);
                let (skipped, step, taken) = match share {
                    Share::Dealt => (thread, threads, tree.len()),
                    Share::Parts => (thread * part, 1, part),
                };
                let mine = tree.iter().enumerate().skip(skipped).step_by(step).take(taken);
                let (stage, room) = (Path::new(STAGE), &room(thread));
                for (number, directory) in mine {
                    let number = number.to_string();
                    match finish {
                        Finish::Close => create_directory(root, &directory.path, directory, false),
                        Finish::Rename => {
                            create_staged(root, &stage.join(number), directory, false);
                        }
                        Finish::RenameFromRoom => {
                            create_staged(root, &room.join(number), directory, false);
                        }
                        Finish::ReadBackAndRenameFromRoom => {
                            create_staged(root, &room.join(number), directory, true);
                        }
                    }
                }
            });
        }
    });
}

/// Directories above those that hold files.
fn parents(tree: &[Directory]) -> Vec<&Path> {
    let mut parents: Vec<&Path> =
        tree.iter().filter_map(|directory| directory.path.parent()).collect();
    parents.dedup();
    parents
}

/// Where directories are made that are renamed afterwards.
const STAGE: &str = ".stage";

/// Where each thread has a directory for that.
const ROOMS: &str = ".rooms";

fn room(thread: usize) -> PathBuf {
    Path::new(ROOMS).join(thread.to_string())
}

fn make_rooms(rooms: &Path, threads: usize) {
    std::fs::create_dir(rooms).expect("the place is new");
    let opened = std::fs::File::open(rooms).expect("it was just made");
    // A file system that does not know it is asked in vain.
    let _ =
        ioctl_getflags(&opened).and_then(|flags| ioctl_setflags(&opened, flags | IFlags::TOPDIR));
    for thread in 0..threads {
        std::fs::create_dir(rooms.join(thread.to_string())).expect("the place is new");
    }
}

fn create_staged(root: &impl AsFd, staged: &Path, directory: &Directory, read_back: bool) {
    create_directory(root, staged, directory, read_back);
    let flags = RenameFlags::NOREPLACE;
    renameat_with(root, staged, root, &directory.path, flags).expect("the name is free");
}

fn create_directory(root: &impl AsFd, path: &Path, directory: &Directory, read_back: bool) {
    let (make, new) = (Mode::from_raw_mode(0o755), Mode::from_raw_mode(0o644));
    mkdirat(root, path, make).expect("it is new");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = openat(root, path, flags, Mode::empty()).expect("it was just made");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut back = Vec::new();
    for (name, bytes) in &directory.files {
        let file = openat(&opened, name, flags, new).expect("the file is new");
        let written = rustix::io::write(&file, bytes).expect("it can be written");
        assert_eq!(written, bytes.len(), "the disk is full");
        if read_back {
            back.resize(bytes.len(), 0);
            let read = rustix::io::pread(&file, &mut back, 0).expect("it can be read");
            assert!(back[..read] == bytes[..], "the file holds what was written");
        }
    }
}
