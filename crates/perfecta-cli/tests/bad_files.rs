//! One bad file of each kind among a hundred good ones.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemon_harness;
mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::Command;

use daemon_harness::Daemon;
use support::{Place, Run};

#[test]
fn each_bad_file_is_named_with_its_reason_and_the_good_ones_are_built() {
    let place = Place::new();
    for number in 0..100u32 {
        let keys: Vec<u32> = (1..=20 + number).map(|key| key * (number + 3)).collect();
        place.write_keys(&format!("keys/good{number}.keys"), &keys);
    }
    // What is wrong, and what must be said of it.
    let mut bad: Vec<(&str, &str)> = Vec::new();
    place.write("keys/odd.keys", &[1; 7]);
    bad.push(("odd.keys", "no whole number"));
    place.write("keys/empty.keys", b"");
    bad.push(("empty.keys", "no keys"));
    place.write_keys("keys/twice.keys", &[1, 2, 2]);
    bad.push(("twice.keys", "duplicate key"));
    place.write_keys("keys/unsorted.keys", &[3, 2, 9]);
    bad.push(("unsorted.keys", "not sorted"));
    Command::new("mkfifo").arg(place.path("keys/fifo.keys")).status().unwrap();
    bad.push(("fifo.keys", "FIFO"));
    // A directory is walked, whatever it is called.
    fs::create_dir(place.path("keys/directory.keys")).unwrap();
    place.write_keys("keys/directory.keys/inner.keys", &[1]);
    symlink("loop.keys", place.path("keys/loop.keys")).unwrap();
    bad.push(("loop.keys", "Too many levels"));
    symlink("nowhere", place.path("keys/dangling.keys")).unwrap();
    bad.push(("dangling.keys", "it is a symbolic link to nowhere"));
    symlink("/dev/zero", place.path("keys/device.keys")).unwrap();
    bad.push(("device.keys", "device"));
    place.write_keys("keys/same-name.keys", &[1]);
    place.write_keys("keys/same_name.keys", &[1]);
    bad.push(("same-name.keys", "same place"));
    bad.push(("same_name.keys", "same place"));
    let not_utf8 = place.path("keys").join(OsStr::from_bytes(b"caf\xe9.keys"));
    fs::write(not_utf8, 7u32.to_le_bytes()).unwrap();

    let run = place.run(&["bulk-create", "keys", "out", "--json"]);
    assert_eq!(run.code, 3, "{}", run.err);
    let lines = run.lines();
    for (name, reason) in &bad {
        let line = lines
            .iter()
            .find(|line| {
                line["keys_file"].as_str().is_some_and(|file| file.ends_with(&format!("/{name}")))
            })
            .unwrap_or_else(|| panic!("{name} is not reported"));
        assert_eq!(line["status"], "failed", "{name}");
        let message = line["error"]["message"].as_str().unwrap();
        assert!(message.contains(reason), "{name}: {message}");
        assert!(run.err.contains(name), "{name} is not named on standard error");
    }
    let summary = run.summary();
    assert_eq!(summary["failed"], bad.len() as u64);
    // A hundred good ones, the one whose name is not UTF-8, and the one in a directory.
    assert_eq!(summary["ok"], 102);
    place.ok(&["verify", "out"]);
}

/// What is said of tables on standard error: lines, and those that tell of a file.
fn told(run: &Run) -> (usize, usize) {
    let named = run.err.lines().filter(|line| line.starts_with("error: keys/"));
    (run.err.lines().count(), named.count())
}

#[test]
fn of_many_bad_files_the_first_are_named_and_the_others_counted() {
    let place = Place::new();
    for number in 0..300 {
        place.write(&format!("keys/{number}.keys"), &[1; 7]);
    }
    place.write_keys("keys/good.keys", &[1, 2]);
    let bulk = ["bulk-create", "keys", "--no-output"];
    let counted = "error: 280 tables more failed (280 invalid_keys)\n  help: ";
    let run = place.run(&bulk);
    assert_eq!((run.code, told(&run).1), (3, 20), "{}", run.err);
    assert!(told(&run).0 < 50 && run.err.contains(counted), "{}", run.err);
    let run = place.run(&[&bulk[..], &["--json"]].concat());
    assert!(told(&run).1 == 20 && run.err.contains(counted), "{}", run.err);
    assert_eq!(run.lines().iter().filter(|line| line["status"] == "failed").count(), 300);
    let run = place.run(&[&bulk[..], &["--errors", "all"]].concat());
    assert!(told(&run).1 == 300 && !run.err.contains("more failed"), "{}", run.err);
    let run = place.run(&[&bulk[..], &["--errors", "0"]].concat());
    assert!(told(&run).1 == 0 && run.err.contains("error: 300 tables"), "{}", run.err);

    let daemon = Daemon::start(place, &[]);
    let run = daemon.run(&bulk);
    assert!(told(&run).1 == 20 && run.err.contains(counted), "{}", run.err);
    // As it is told there.
    let (_, again) = run.err.split_once("`perfecta client ").unwrap();
    let again: Vec<&str> = again.split('`').next().unwrap().split(' ').collect();
    assert_eq!(told(&daemon.run(&again)).1, 300, "{again:?}");
}
