//! Limits of the machine, from nothing to enough: each is told with path, reason and remedy; what is
//! published is whole, no stage is left, and a later run completes it.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what was skipped, and what was met, is worth knowing")]

mod support;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use support::{Place, Run, binary_for_everybody, is_root};

/// An ordinary user, by number, that nobody else is.
const USER: u32 = 64_123;
/// Enough of everything for the keys of these tests.
const ENOUGH: &str = "size=64m,nr_inodes=10000";

/// How a run writes.
const WAYS: [&str; 8] = [
    "--layout dirs --io-backend blocking",
    "--layout dirs --io-backend auto",
    "--layout dirs --io-backend blocking --durable",
    "--layout dirs --io-backend auto --durable",
    "--layout packed --io-backend blocking",
    "--layout packed --io-backend auto",
    "--layout packed --io-backend blocking --durable",
    "--layout packed --io-backend auto --durable",
];

/// A file system in memory, as long as this lives.
struct Mounted(PathBuf);

impl Mounted {
    /// None where it is not allowed, or the kernel does not know the options.
    fn new(at: PathBuf, options: &str) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let options = CString::new(options).unwrap();
        match mount("tmpfs", &at, "tmpfs", MountFlags::empty(), options.as_c_str()) {
            Ok(()) => Some(Self(at)),
            Err(errno) => {
                println!("skipped: a tmpfs with {options:?} cannot be mounted: {errno}");
                None
            }
        }
    }

    fn grow(&self) {
        let options = CString::new(ENOUGH).unwrap();
        mount_remount(&self.0, MountFlags::empty(), options.as_c_str()).unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

/// Six sets of 32-bit keys, and what a run without limits makes of them.
struct Undisturbed {
    place: Place,
    trees: BTreeMap<&'static str, BTreeMap<String, Vec<u8>>>,
}

impl Undisturbed {
    fn new() -> Self {
        let place = Place::new();
        place.ok(&["keygen", "keys", "--keys", "600", "--key-size", "32"]);
        let mut trees = BTreeMap::new();
        for way in WAYS {
            place.ok(&arguments(way, "undisturbed"));
            trees.insert(way, place.tree("undisturbed"));
            fs::remove_dir_all(place.path("undisturbed")).unwrap();
        }
        Self { place, trees }
    }

    /// A run within limits: all is there, or it is said what is not, and why, in these words.
    /// Whether all is there.
    fn check(&self, run: &Run, out: &str, words: &[&str]) -> bool {
        let told = format!("exit {}: {}{}", run.code, run.out, run.err);
        assert!([0, 3, 8].contains(&run.code), "{told}");
        if run.code != 0 {
            words.iter().for_each(|word| assert!(run.err.contains(word), "{word:?}? {told}"));
        }
        let tree =
            if self.place.path(out).exists() { self.place.tree(out) } else { BTreeMap::new() };
        let left = tree.keys().find(|name| name.contains(".perfecta"));
        assert_eq!(left, None, "{told}");
        if tree.keys().any(|name| name.ends_with("manifest.json")) {
            self.place.ok(&["verify", out]);
        }
        run.code == 0
    }

    /// A later run, without limits, gives what an undisturbed one gives.
    fn check_completes(&self, way: &str, out: &str) {
        self.place.ok(&arguments(way, out));
        assert!(
            self.place.tree(out) == self.trees[way],
            "{way}: not what an undisturbed run gives"
        );
    }
}

fn arguments<'a>(way: &'a str, out: &'a str) -> Vec<&'a str> {
    ["bulk-create", "keys", out, "--jobs", "2"].into_iter().chain(way.split(' ')).collect()
}

/// Sizes of a disk, least first, from one on which nothing has room to one on which all has.
fn check_disk(
    what: &str,
    sizes: impl Iterator<Item = u32> + Clone,
    options: impl Fn(u32) -> String,
) {
    let undisturbed = Undisturbed::new();
    for way in WAYS {
        let (mut too_small, mut is_enough) = (0, false);
        for size in sizes.clone() {
            let at = undisturbed.place.path("disk");
            let Some(disk) = Mounted::new(at, &options(size)) else { return };
            let run = undisturbed.place.run(&arguments(way, "disk/out"));
            let words = ["disk/out", "No space left on device (os error 28)", "help: free space"];
            is_enough = undisturbed.check(&run, "disk/out", &words);
            too_small += u32::from(!is_enough);
            disk.grow();
            undisturbed.check_completes(way, "disk/out");
            if is_enough {
                break;
            }
        }
        println!("{way}: {too_small} disks with too few {what}");
        assert!(is_enough && too_small > 3, "{way}: {too_small} too small, enough: {is_enough}");
    }
}

#[test]
fn a_full_disk_costs_the_tables_that_have_no_room_and_no_others() {
    let kilobytes = (4..100).step_by(8).chain([200, 400, 1000, 4000]);
    check_disk("bytes", kilobytes, |kilobytes| format!("size={kilobytes}k"));
}

#[test]
fn a_disk_without_room_for_names_costs_the_tables_that_have_none() {
    let inodes = (2..12).chain([15, 20, 25, 30, 80]);
    check_disk("inodes", inodes, |inodes| format!("size=64m,nr_inodes={inodes}"));
}

#[test]
fn a_quota_costs_the_tables_beyond_it() {
    if !is_root() {
        return println!("skipped: only root can mount a file system with quotas");
    }
    let undisturbed = Undisturbed::new();
    let place = &undisturbed.place;
    let binary = binary_for_everybody(place);
    for way in WAYS {
        for kilobytes in [4, 20, 40, 60] {
            let options = format!("size=64m,usrquota,usrquota_block_hardlimit={kilobytes}k");
            let Some(disk) = Mounted::new(place.path("disk"), &options) else { return };
            std::os::unix::fs::chown(&disk.0, Some(USER), Some(USER)).unwrap();
            let mut command = place.command_of(&binary, "", &arguments(way, "disk/out"));
            let run = Run::of(&command.uid(USER).gid(USER).output().unwrap());
            let words = ["disk/out", "quota exceeded (os error 122)", "help: free some of your"];
            undisturbed.check(&run, "disk/out", &words);
            undisturbed.check_completes(way, "disk/out");
        }
    }
}

/// A control group, as long as this lives, of which `quota` microseconds in 100,000 are allowed.
struct Group(PathBuf);

impl Group {
    /// None where it cannot be made.
    fn new(quota: u32) -> Option<Self> {
        // The period of the first version is that by default.
        for (parent, file, value) in [
            ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", quota.to_string()),
            ("/sys/fs/cgroup", "cpu.max", format!("{quota} 100000")),
        ] {
            let name = format!("perfecta-limits-{}-{quota}", std::process::id());
            let group = Self(PathBuf::from(parent).join(name));
            if fs::create_dir(&group.0).is_ok() && fs::write(group.0.join(file), value).is_ok() {
                return Some(group);
            }
        }
        println!("skipped: no control group with a quota can be made");
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn there_are_as_many_workers_as_there_is_time_of_processors_for() {
    if std::thread::available_parallelism().unwrap().get() < 2 {
        return println!("skipped: there is one processor");
    }
    let place = Place::new();
    place.write_keys("keys/a.keys", &[1, 2, 3]);
    let threads_max = |limit: &str, options: &str| {
        let arguments = format!("bulk-create keys --no-output --json {options}");
        let run = place.run_within(limit, &arguments.split_whitespace().collect::<Vec<_>>());
        run.summary()["threads_max"].as_u64().unwrap()
    };
    for (quota, workers) in [(50_000, 1), (100_000, 1), (150_000, 2)] {
        let Some(group) = Group::new(quota) else { return };
        let enter = format!("echo $$ > {}/cgroup.procs;", group.0.display());
        let expected = threads_max("", &format!("--jobs {workers}"));
        assert_eq!(threads_max(&enter, ""), expected, "a quota of {quota} in 100,000");
    }
}

#[test]
fn too_few_open_files_are_told_with_the_limit_to_raise() {
    let undisturbed = Undisturbed::new();
    let place = &undisturbed.place;
    for way in WAYS {
        let (mut too_few, mut is_enough) = (0, false);
        // With fewer than four, no program is loaded.
        for files in (4..24).chain([32, 64]) {
            let limit = format!("ulimit -n {files};");
            let run = place.run_within(&limit, &arguments(way, "out"));
            let words = ["Too many open files", "ulimit -n"];
            is_enough = undisturbed.check(&run, "out", &words);
            too_few += u32::from(!is_enough);
            undisturbed.check_completes(way, "out");
            fs::remove_dir_all(place.path("out")).unwrap();
        }
        println!("{way}: {too_few} limits of open files that were too low");
        assert!(is_enough && too_few > 0, "{way}");
    }
}

/// What waits for signals panicked.
#[test]
fn too_few_open_files_for_sockets_are_told_with_the_limit_to_raise() {
    let place = Place::new();
    let mut codes = Vec::new();
    for files in (4..16).chain([64]) {
        let limit = format!("ulimit -n {files};");
        let run = place.run_within(&limit, &["client", "ping", "--name", "nobody"]);
        let is_told = run.err.contains("Too many open files") && run.err.contains("ulimit -n");
        assert!(run.code == 10 || is_told && run.code == 8, "{files}: {} {}", run.code, run.err);
        codes.push(run.code);
    }
    assert!(codes.contains(&8) && codes.ends_with(&[10]), "{codes:?}");
}

#[test]
fn a_limit_of_file_sizes_is_told_with_the_file_and_the_limit_to_raise() {
    let undisturbed = Undisturbed::new();
    let place = &undisturbed.place;
    for way in WAYS {
        let (mut too_low, mut is_enough) = (0, false);
        for kilobytes in [0, 1, 2, 4, 8, 16, 64, 256] {
            let limit = format!("ulimit -f {kilobytes};");
            let run = place.run_within(&limit, &arguments(way, "out"));
            let words = ["out/", "File too large (os error 27)", "ulimit -f"];
            is_enough = undisturbed.check(&run, "out", &words);
            too_low += u32::from(!is_enough);
            undisturbed.check_completes(way, "out");
            fs::remove_dir_all(place.path("out")).unwrap();
        }
        println!("{way}: {too_low} limits of file sizes that were too low");
        assert!(is_enough && too_low > 0, "{way}");
    }
}

/// To find that the second key is the first again, nothing has to be sorted beside it.
#[test]
fn a_key_that_is_there_twice_is_found_in_the_memory_of_the_keys() {
    const BYTES: u64 = 64 << 20;
    let place = Place::new();
    fs::File::create(place.path("zeros.keys")).unwrap().set_len(BYTES).unwrap();
    for more in [&[][..], &["--sort"]] {
        let create = ["create", "zeros.keys", "--no-output", "--json"];
        let run = place.run(&[&create, more].concat());
        assert_eq!(run.code, 5, "{}", run.err);
        assert!(run.err.contains("duplicate key 0x00000000 at byte 0x4 (key 1)"), "{}", run.err);
        let peak = run.summary()["memory_peak_bytes"].as_u64().unwrap();
        assert!(peak < 3 * BYTES, "{peak} bytes");
    }
}
