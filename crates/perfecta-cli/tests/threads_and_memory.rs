//! Whatever the options: never more threads than the summary promises, the kernel's included, and no
//! more memory than a small machine has. Runs end, also where a user may have next to nothing.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what was met is worth knowing")]

mod support;

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use support::{Place, Run, binary_for_everybody, forget, is_root, shared_keys};

const MEMORY_BYTES_MAX: u64 = 256 << 20;
/// The kernel counts pages by the batch for each processor, and a run goes on after either look.
const MEMORY_BYTES_APART: u64 = 16 << 20;
/// `main`, one for signals, and two for I/O.
const THREADS_BESIDE: usize = 4;
/// Between two looks at a run. It is the run's end that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Ordinary users, by number, that nobody else is: limits of processes are a user's.
const USERS: [u32; 2] = [64_321, 64_322];

/// What was seen of a run from outside.
#[derive(Debug, Default)]
struct Seen {
    threads: usize,
    of_kernel: usize,
    memory_bytes: u64,
}

impl Seen {
    fn look(&mut self, process: u32) {
        let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return };
        let names: Vec<String> = tasks
            .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .collect();
        let of_kernel = names.iter().filter(|name| name.starts_with("iou-")).count();
        self.threads = self.threads.max(names.len());
        self.of_kernel = self.of_kernel.max(of_kernel);
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = peak.map(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>());
        self.memory_bytes =
            self.memory_bytes.max(kilobytes.map_or(0, |found| found.unwrap() << 10));
    }
}

/// Runs to the end, and looks at it meanwhile.
fn watch(command: &mut Command) -> (Run, Seen) {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let process = child.id();
    let (ends, end) = mpsc::channel::<Output>();
    let mut seen = Seen::default();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || ends.send(child.wait_with_output().unwrap()).unwrap());
        loop {
            match end.recv_timeout(LOOK_EVERY) {
                Ok(output) => return output,
                Err(RecvTimeoutError::Timeout) => seen.look(process),
                Err(RecvTimeoutError::Disconnected) => panic!("nobody waits for the run"),
            }
        }
    });
    (Run::of(&output), seen)
}

/// What `--jobs` asks for.
fn num_workers(options: &[&str]) -> usize {
    let place = options.iter().position(|option| *option == "--jobs").unwrap();
    options[place + 1].parse().unwrap()
}

/// A run with these options, that ends well and within what it promised.
fn check(place: &Place, keys: &str, options: &[&str]) {
    let arguments = ["bulk-create", keys, "out", "--json", "--key-size", "auto"];
    let (run, seen) = watch(&mut place.command(&[&arguments[..], options].concat()));
    assert_eq!(run.code, 0, "{options:?}: {}", run.err);
    let summary = run.summary();
    let threads_max = summary["threads_max"].as_u64().unwrap() as usize;
    let memory = summary["memory_peak_bytes"].as_u64().unwrap();
    println!("{options:?}: {seen:?}, {threads_max} threads promised, peak of {memory} bytes");
    assert!(seen.threads <= threads_max, "{options:?}: {seen:?}, promised {threads_max}");
    // Those of the kernel are promised for every ring, and most rings need none.
    let own = seen.threads - seen.of_kernel;
    assert!(own <= num_workers(options) + THREADS_BESIDE, "{options:?}: {seen:?}");
    assert!(seen.memory_bytes.abs_diff(memory) < MEMORY_BYTES_APART, "{options:?}: {seen:?}");
    assert!(seen.memory_bytes.max(memory) < MEMORY_BYTES_MAX, "{options:?}: {seen:?}");
    fs::remove_dir_all(place.path("out")).unwrap();
}

/// Every depth with every number of workers.
fn check_matrix(place: &Place, keys: &str, more: &[&str], before: impl Fn()) {
    for depth in ["1", "32", "256"] {
        for jobs in ["1", "2", "8", "64"] {
            before();
            let options = ["--io-depth", depth, "--jobs", jobs];
            check(place, keys, &[&options[..], more].concat());
        }
    }
}

#[test]
fn threads_and_memory_stay_within_what_was_promised() {
    let place = Place::new();
    place.ok(&["keygen", "keys"]);
    let keys = place.path("keys");
    check_matrix(&place, "keys", &["--durable"], || forget(&keys));
    for jobs in ["2", "64"] {
        check(&place, "keys", &["--jobs", jobs, "--io-backend", "blocking"]);
    }
}

#[test]
#[cfg_attr(not(shared_keys), ignore = "skipped: ../shared/keys is absent")]
fn threads_and_memory_stay_within_what_was_promised_on_all_real_key_files() {
    let place = Place::new();
    check_matrix(&place, &shared_keys("sys32"), &["--layout", "packed"], || ());
}

#[test]
fn verifying_and_building_one_table_promise_their_threads_too() {
    let place = Place::new();
    place.ok(&["keygen", "keys", "--keys", "60000", "--key-size", "32"]);
    place.ok(&["bulk-create", "keys", "out"]);
    let one = ["create", "keys/u32/uniform-60000.keys", "one", "--json", "--jobs", "4"];
    for arguments in [&["verify", "out", "--keys", "keys", "--json"][..], &one] {
        let (run, seen) = watch(&mut place.command(arguments));
        assert_eq!(run.code, 0, "{}", run.err);
        let threads_max = run.summary()["threads_max"].as_u64().unwrap() as usize;
        assert!(seen.threads <= threads_max, "{seen:?}, promised {threads_max}");
    }
}

#[test]
fn a_verification_has_the_threads_that_it_was_given() {
    let place = Place::new();
    place.ok(&["keygen", "keys", "--keys", "60000", "--key-size", "32"]);
    place.ok(&["bulk-create", "keys", "out"]);
    for jobs in [1, 2, 7] {
        let jobs_text = jobs.to_string();
        let arguments = ["verify", "out", "--keys", "keys", "--json", "--jobs", &jobs_text];
        let (run, seen) = watch(&mut place.command(&arguments));
        assert_eq!(run.code, 0, "{}", run.err);
        // `main` works, too, one is there for signals, and one that tells of what is stuck.
        assert_eq!(run.summary()["threads_max"], 2 + jobs);
        assert!(seen.threads <= 2 + jobs, "{seen:?} of {jobs}");
    }
    for [option, value] in [["--jobs", "0"], ["--jobs", "513"], ["--memory", "much"]] {
        let run = place.run(&["verify", "out", option, value]);
        assert_eq!(run.code, 2, "{option} {value}: {}", run.err);
        assert!(run.err.contains(option), "{}", run.err);
    }
}

/// However many threads: what one table needs is enough, and all together have no more than that.
#[test]
fn all_threads_of_a_verification_share_its_memory() {
    const PROGRAM_BYTES_MAX: u64 = 32 << 20;
    let place = Place::new();
    for name in 1..=4_u32 {
        let keys = (1..=1_200_000_u32).map(|key| key.wrapping_mul(2_654_435_761 - 2 * name));
        let mut keys: Vec<u32> = keys.collect();
        keys.sort_unstable();
        place.write_keys(&format!("keys/large{name}.keys"), &keys);
    }
    place.write_keys("keys/small.keys", &[1, 2, 3]);
    for layout in ["dirs", "packed"] {
        place.ok(&["bulk-create", "keys", layout, "--layout", layout]);
        let run = |memory: &str| {
            let arguments = ["verify", layout, "--keys", "keys", "--jobs", "4", "--json"];
            let mut command = place.command(&[&arguments[..], &["--memory", memory]].concat());
            // What the C library keeps of memory that each thread gave back is not in question.
            watch(command.env("MALLOC_ARENA_MAX", "1")).0
        };
        let refused = run("20M");
        assert_eq!(refused.code, 3, "{}", refused.err);
        let lines = refused.lines();
        let told: Vec<_> = lines.iter().filter(|line| line["status"] == "failed").collect();
        let needed = told.iter().map(|line| {
            let message = line["error"]["message"].as_str().unwrap();
            assert_eq!(
                line["error"]["remedy"],
                "raise the memory limit (--memory), or split the set"
            );
            assert!(line["keys_file"].as_str().unwrap().starts_with("keys/large"), "{line}");
            assert!(message.ends_with("bytes of memory, the limit is 20,971,520"), "{message}");
            let rest = message.split("it needs about ").nth(1).unwrap();
            rest.split(' ').next().unwrap().replace(',', "").parse::<u64>().unwrap()
        });
        let needed = needed.max().unwrap();
        assert_eq!((told.len(), &refused.summary()["ok"]), (4, &1.into()));
        let enough = run(&needed.to_string());
        assert_eq!(enough.code, 0, "{}", enough.err);
        let peak = enough.summary()["memory_peak_bytes"].as_u64().unwrap();
        println!("{layout}: {needed} bytes needed, peak of {peak} bytes");
        assert!(peak < needed + PROGRAM_BYTES_MAX, "{layout}: {peak}, needed {needed}");
    }
}

/// What is asked for is what source code with its keys takes, and not more than the program itself beside.
#[test]
fn source_code_stays_within_the_memory_that_it_was_said_to_need() {
    const PROGRAM_BYTES_MAX: u64 = 32 << 20;
    let place = Place::new();
    let mut keys: Vec<u32> =
        (1..=1_200_000_u32).map(|key| key.wrapping_mul(2_654_435_761)).collect();
    keys.sort_unstable();
    place.write_keys("keys/large.keys", &keys);
    let arguments = ["bulk-create", "keys", "out", "--json", "--emit", "all", "--include-keys"];
    let run = |memory: &str| {
        let mut command = place.command(&[&arguments[..], &["--memory", memory]].concat());
        watch(&mut command).0
    };
    let refused = run("32M");
    assert_eq!(refused.code, 6, "{}", refused.err);
    let needed =
        refused.err.split("it needs about ").nth(1).and_then(|rest| rest.split(' ').next());
    let needed = needed.unwrap();
    let built = run(needed);
    assert_eq!(built.code, 0, "{}", built.err);
    let peak = built.summary()["memory_peak_bytes"].as_u64().unwrap();
    println!("{needed} bytes needed, peak of {peak} bytes");
    let needed: u64 = needed.replace(',', "").parse().unwrap();
    assert!(peak < needed + PROGRAM_BYTES_MAX, "{peak}, needed {needed}");
}

/// Every file wants help at once, and there is never enough of it: what a worker tries before it asks for
/// help is half of the attempts that are asked for.
#[test]
fn a_thousand_files_that_all_want_helpers_come_to_an_end() {
    let place = Place::new();
    for number in 0..1000_u32 {
        let keys: Vec<u32> = (1..=400).map(|key| key * (2 * number + 3)).collect();
        place.write_keys(&format!("keys/k{number}.keys"), &keys);
    }
    let mut trees = Vec::new();
    for jobs in ["1", "2", "64"] {
        let files = ["--per-file-initial", "32", "--max-files", "64", "--fixed-attempts", "2100"];
        let arguments = ["bulk-create", "keys", "out", "--layout", "packed"];
        place.ok(&[&arguments[..], &files, &["--jobs", jobs]].concat());
        trees.push(place.tree("out"));
        fs::remove_dir_all(place.path("out")).unwrap();
    }
    assert!(trees.iter().all(|tree| *tree == trees[0]));
}

/// Runs as an ordinary user within limits, and expects what an unlimited run gives, or an end with a
/// remedy where not even that many threads are to be had as there have to be.
fn check_user(user: u32, limits: &[&str], is_enough: impl Fn(usize) -> bool) {
    let place = Place::new();
    place.ok(&["keygen", "keys", "--keys", "2000"]);
    place.ok(&["bulk-create", "keys", "undisturbed", "--key-size", "auto"]);
    let (binary, expected) = (binary_for_everybody(&place), place.tree("undisturbed"));
    for (number, limit) in limits.iter().enumerate() {
        let out = format!("home/out{number}");
        fs::create_dir_all(place.path("home")).unwrap();
        let arguments = ["bulk-create", "keys", &out, "--key-size", "auto", "--jobs", "64"];
        let mut command = place.command_of(&binary, limit, &arguments);
        if is_root() {
            std::os::unix::fs::chown(place.path("home"), Some(user), Some(user)).unwrap();
            command.uid(user).gid(user);
        } else {
            println!("not root: the limits are those of everything this user runs");
        }
        let run = Run::of(&command.output().unwrap());
        println!("{limit} exit {}: {}", run.code, run.err);
        assert!(!run.err.contains(" 1 worker threads"), "{limit} {}", run.err);
        if is_enough(number) || run.code == 0 {
            assert_eq!(run.code, 0, "{limit} {}", run.err);
            assert!(place.tree(&out) == expected, "{limit} gives other bytes");
        } else {
            assert_eq!(run.code, 8, "{limit} {}", run.err);
            assert!(run.err.contains("help: ") && run.err.contains("ulimit -u"), "{}", run.err);
        }
    }
}

#[test]
fn an_ordinary_user_who_may_lock_64_kib_gets_the_same_bytes() {
    check_user(USERS[0], &["ulimit -l 64;", "ulimit -l 0;"], |_| true);
}

#[test]
fn an_ordinary_user_who_may_have_few_threads_gets_the_same_bytes_or_a_remedy() {
    let limits = [1, 2, 3, 4, 5, 10, 40].map(|processes| format!("ulimit -u {processes};"));
    let is_enough = |number| is_root() && number >= 2;
    check_user(USERS[1], &limits.each_ref().map(String::as_str), is_enough);
}
