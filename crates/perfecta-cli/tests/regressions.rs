//! What only the real program shows of what went wrong in an earlier system of this kind;
//! `docs/regressions.md` has all rows.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use support::{Place, Run};

/// Key files that are solved at once, and one that never is: it keeps a worker.
fn endless(place: &Place) {
    let hopeless: Vec<u32> = (1..200).map(|key| key << 20).collect();
    place.write_keys("keys/hopeless.keys", &hopeless);
    for number in 0..100 {
        place.write_keys(&format!("keys/{number}.keys"), &[1, 2]);
    }
}

/// Threads of a process.
#[cfg(target_os = "linux")]
fn num_threads(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/task")).unwrap().count()
}

/// Runs until all but one of many tables are there, and counts threads while that one is searched.
#[cfg(target_os = "linux")]
fn check_threads(jobs: usize) {
    let place = Place::new();
    endless(&place);
    let mut command = place.command(&["bulk-create", "keys", "out", "--hash", "Multiply"]);
    command.args(["--jobs", &jobs.to_string(), "--io-backend", "threads", "--max-files", "64"]);
    command.args(["--max-attempts", "0xffff_ffff_ffff", "--per-file-initial", "64", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (0..100).for_each(|_| drop(lines.next().unwrap().unwrap()));
    // The main thread, one for signals, two that wait for disks, and the workers.
    let expected = jobs + 4;
    let most = (0..2000).map(|_| num_threads(child.id())).max();
    let kill = ["-s", "INT", &child.id().to_string()];
    assert!(Command::new("kill").args(kill).status().unwrap().success());
    lines.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(most, Some(expected), "{jobs} workers");
}

#[test]
#[cfg(target_os = "linux")]
fn a05_a16_a25_threads_are_those_asked_for_and_four_whatever_is_in_flight() {
    for jobs in [2, 4, 32] {
        check_threads(jobs);
    }
}

#[test]
fn a03_b22_arguments_mean_the_same_whatever_the_program_is_called() {
    let place = Place::new();
    place.write_keys("keys/a b.keys", &[1, 2, 3]);
    for name in ["perfecta", "", "create", "--help"] {
        let mut command = place.command(&["bulk-create", "keys/../keys/.", "out", "--force"]);
        let run = Run::of(&command.arg0(name).output().unwrap());
        assert_eq!(run.code, 0, "called {name:?}: {}{}", run.out, run.err);
        let out = place.tree("out");
        assert!(out.contains_key("a_b/a_b.pht"), "called {name:?}: {:?}", out.keys());
        std::fs::remove_dir_all(place.path("out")).unwrap();
    }
}

#[test]
fn a36_b22_what_is_no_argument_is_refused_by_name_before_anything_is_done() {
    let place = Place::new();
    place.write_keys("keys/a.keys", &[1, 2, 3]);
    let refused: [(&[&str], &str); 8] = [
        (&["--jobs", "4x"], "4x"),
        (&["--max-attempts", "10,"], "10,"),
        (&["--max-attempts", "0x"], "0x"),
        (&["--memory", "1Gx"], "1Gx"),
        (&["--per-file-max", "2.5"], "2.5"),
        (&["--hash", "Mulshrolate4X"], "Mulshrolate4RX"),
        (&["MultiplyShiftR", "And"], "MultiplyShiftR"),
        (&["--seeds", "1,2,x"], "x"),
    ];
    for (arguments, word) in refused {
        let run = place.run(&[&["bulk-create", "keys", "out"], arguments].concat());
        assert_eq!(run.code, 2, "{arguments:?}: {}{}", run.out, run.err);
        assert!(run.err.contains(word), "{arguments:?}: {}", run.err);
        assert!(!place.path("out").exists(), "{arguments:?}");
    }
}

#[test]
fn a04_a_run_without_standard_streams_builds_the_same() {
    let place = Place::new();
    place.ok(&["keygen", "keys", "--keys", "100"]);
    // There is something to say of one of them, before the others are through.
    place.write("keys/bad.keys", &[0; 8]);
    let arguments = "--key-size auto --emit all --json";
    let run = place.run_within("", &["bulk-create", "keys", "usual", arguments]);
    assert_eq!((run.code, run.summary()["failed"].as_u64()), (3, Some(1)), "{}", run.err);
    let binary = env!("CARGO_BIN_EXE_perfecta");
    for (streams, code) in [("<&- >&- 2>&-", 3), ("</dev/null >/dev/full 2>/dev/full", 8)] {
        let script = format!("'{binary}' bulk-create keys silent {arguments} {streams}");
        let mut command = Command::new("setsid");
        command.args(["-w", "bash", "-c", &script]).current_dir(place.path(""));
        // What it says is lost, and nothing else.
        assert_eq!(command.status().unwrap().code(), Some(code), "{streams}");
        assert!(place.tree("silent") == place.tree("usual"), "{streams}");
        std::fs::remove_dir_all(place.path("silent")).unwrap();
    }
}

#[test]
fn b02_more_attempts_at_first_than_at_most_build_all_the_same() {
    let place = Place::new();
    place.ok(&["keygen", "keys", "--keys", "100", "--key-size", "32"]);
    let arguments = ["--per-file-initial", "8", "--per-file-max", "2", "--jobs", "2", "--json"];
    let run = place.ok(&[&["bulk-create", "keys", "out"][..], &arguments].concat());
    let num_named = |tree: &str, end: &str| {
        place.tree(tree).into_keys().filter(|name| name.ends_with(end)).count()
    };
    let num_keys = num_named("keys", ".keys");
    assert!(num_keys > 0);
    assert_eq!(run.summary()["ok"], num_keys);
    assert_eq!(num_named("out", "manifest.json"), num_keys);
}

#[test]
fn b23_every_table_has_its_whole_line_whoever_else_has_something_to_say() {
    let place = Place::new();
    for number in 0..400u32 {
        place.write_keys(&format!("keys/{number}.keys"), &[1, 2 + number]);
    }
    let run = place.ok(&["bulk-create", "keys", "out", "--jobs", "8", "--json", "--trace", "t"]);
    let lines = run.lines();
    let files: BTreeSet<&str> =
        lines.iter().filter_map(|line| line["keys_file"].as_str()).collect();
    assert_eq!((lines.len(), files.len()), (401, 400));
    let trace: serde_json::Value =
        serde_json::from_slice(&std::fs::read(place.path("t")).unwrap()).unwrap();
    let published = trace.as_array().unwrap().iter().filter(|span| span["name"] == "publish");
    assert_eq!(published.count(), 400);
}
