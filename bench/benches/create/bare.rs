//! Programs that have a tree in memory and do no more than they must to make it.

use std::hint::black_box;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use perfecta_core::graph::Scratch;
use perfecta_core::key::{KeySet, KeyWidth, Repair};
use perfecta_core::search::{Plan, search};
use perfecta_emit::ContentHash;
use rustix::fd::AsFd;
use rustix::fs::{
    IFlags, Mode, OFlags, RenameFlags, ioctl_getflags, ioctl_setflags, mkdirat, openat,
    renameat_with,
};

/// Directories that hold files, in the order of their paths, and a key file for each.
pub(crate) struct Tree {
    directories: Vec<Directory>,
    /// In the order of their paths, which may name another table than the directory at the same
    /// place: each is worked on once all the same.
    key_files: Vec<PathBuf>,
}

/// A directory of the tree, below its root.
struct Directory {
    path: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// Which directories a thread makes.
#[derive(Clone, Copy)]
pub(crate) enum Share {
    /// Every second, third, ...: neighbours are made at the same time.
    Dealt,
    /// As many that follow one another.
    Parts,
}

/// What is done before a directory is made.
#[derive(Clone, Copy)]
pub(crate) enum Before {
    Nothing,
    /// A key file is read.
    ReadKeys,
    /// It and the files of the directory are hashed, too, as the manifest among these says.
    Hash,
    /// A key file is read, its keys are solved and verified; nothing is made of the table.
    Solve,
    /// The same, and all is hashed.
    SolveAndHash,
}

/// What is done to a directory after its files were written.
#[derive(Clone, Copy)]
pub(crate) enum Finish {
    /// It was made in its place.
    Close,
    /// It was made in a stage and is renamed into its place.
    Rename,
    /// The same, and each thread has a stage of its own, apart from the others on the device.
    RenameFromRoom,
    /// Each file is read back by the descriptor that wrote it, too.
    ReadBackAndRenameFromRoom,
}

impl Tree {
    /// The tree below `root`, which was made from the key files below `keys`.
    pub(crate) fn read(root: &Path, keys: &Path) -> Self {
        let (mut directories, mut key_files) = (Vec::new(), Vec::new());
        read_directory(root, Path::new(""), &mut directories);
        directories.sort_by(|left, right| left.path.cmp(&right.path));
        find_key_files(keys, &mut key_files);
        key_files.sort();
        assert_eq!(directories.len(), key_files.len(), "a table of every key file");
        Self { directories, key_files }
    }

    pub(crate) fn len(&self) -> usize {
        self.directories.len()
    }

    pub(crate) fn num_files(&self) -> usize {
        self.directories.iter().map(|directory| directory.files.len()).sum()
    }

    /// Creates the tree by the fewest calls: mkdir, openat of the directory; openat, write, close of
    /// each file, relative to it.
    pub(crate) fn create(
        &self,
        place: &Path,
        threads: usize,
        share: Share,
        before: Before,
        finish: Finish,
    ) {
        std::fs::create_dir(place).expect("the place is new");
        std::fs::create_dir(place.join(STAGE)).expect("the place is new");
        if matches!(finish, Finish::RenameFromRoom | Finish::ReadBackAndRenameFromRoom) {
            make_rooms(&place.join(ROOMS), threads);
        }
        for parent in parents(&self.directories) {
            std::fs::create_dir_all(place.join(parent)).expect("it can be made");
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(place, flags, Mode::empty()).expect("it was just made");
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let root = &root;
                scope.spawn(move || {
                    let part = self.len().div_ceil(threads);
                    let (skipped, step, taken) = match share {
                        Share::Dealt => (thread, threads, self.len()),
                        Share::Parts => (thread * part, 1, part),
                    };
                    let all = self.directories.iter().zip(&self.key_files).enumerate();
                    let (stage, room) = (Path::new(STAGE), &room(thread));
                    let mut scratch = Scratch::default();
                    for (number, (directory, keys)) in all.skip(skipped).step_by(step).take(taken) {
                        before.run(keys, directory, &mut scratch);
                        let number = number.to_string();
                        match finish {
                            Finish::Close => {
                                create_directory(root, &directory.path, directory, false);
                            }
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
}

impl Before {
    fn run(self, path: &Path, directory: &Directory, scratch: &mut Scratch) {
        let read = || std::fs::read(path).expect("the key file can be read");
        match self {
            Self::Nothing => {}
            Self::ReadKeys => drop(black_box(read())),
            Self::Hash => hash(&read(), directory),
            Self::Solve => solve(&read(), scratch),
            Self::SolveAndHash => {
                let bytes = read();
                solve(&bytes, scratch);
                hash(&bytes, directory);
            }
        }
    }
}

fn solve(bytes: &[u8], scratch: &mut Scratch) {
    let keys = KeySet::from_le_bytes(bytes, KeyWidth::Bits32, Repair::default());
    let keys = keys.expect("the keys are sorted");
    let solution = search(&keys, &Plan::default(), scratch, &|| true);
    let table = solution.expect("the plan fits").table.expect("the keys are solved");
    table.view().verify(&keys).expect("every key has its rank");
}

/// No manifest holds its own hash.
const MANIFEST: &str = "manifest.json";

fn hash(keys: &[u8], directory: &Directory) {
    black_box(ContentHash::of(keys));
    let others = directory.files.iter().filter(|(name, _)| name != Path::new(MANIFEST));
    for (_, bytes) in others {
        black_box(ContentHash::of(bytes));
    }
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

/// Files that a bulk run takes for 32-bit keys.
fn find_key_files(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in below.read_dir().expect("the directory can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            find_key_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "keys") {
            found.push(path);
        }
    }
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

/// So many directories are made for each room, which one of them becomes.
const ROOM_CANDIDATES: usize = 32;

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
    let mut kept: Vec<u64> = Vec::new();
    for thread in 0..threads {
        // Where a file lies is told by its number: of some directories, one far from the others is kept.
        let candidates = (0..ROOM_CANDIDATES).map(|candidate| {
            let path = rooms.join(format!("{thread}-{candidate}"));
            std::fs::create_dir(&path).expect("the place is new");
            let place = std::fs::metadata(&path).expect("it was just made").ino();
            (kept.iter().map(|other| other.abs_diff(place)).min(), place, path)
        });
        let (_, place, path) = candidates.max().expect("there are some");
        std::fs::rename(path, rooms.join(thread.to_string())).expect("it was just made");
        kept.push(place);
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
