//! A daemon that is confined to roots: nothing is read or written beside them, and every refusal says
//! what, where, and what to do.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemon_harness;
mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use daemon_harness::{Daemon, command, run_below, without};
use serde_json::Value;
use support::{Place, Run, generated_keys};

/// Key files in a root and beside it, and links between them.
fn place() -> Place {
    let place = Place::new();
    place.write_keys("root/keys/a.keys", &[1, 2, 3]);
    place.write_keys("outside/secret.keys", &[4, 5, 6]);
    symlink(place.path("outside/secret.keys"), place.path("root/link.keys")).unwrap();
    symlink("../outside", place.path("root/link")).unwrap();
    place
}

fn confined() -> Daemon {
    Daemon::start(place(), &["--allow-root", "root"])
}

fn outside_is_untouched(place: &Place) {
    let names: Vec<String> = place.tree("outside").into_keys().collect();
    assert_eq!(names, ["secret.keys"]);
}

#[test]
fn below_a_root_a_daemon_publishes_what_the_command_does() {
    let place = Place::new();
    generated_keys(&place);
    let daemon = Daemon::start(place, &["--allow-root", "."]);
    for layout in ["dirs", "packed"] {
        let options = ["--key-size", "auto", "--layout", layout, "--durable"];
        let (here, there) = (format!("here-{layout}"), format!("a/b/there-{layout}"));
        daemon.place.ok(&[&["bulk-create", "keys", &here], &options[..]].concat());
        daemon.ok(&[&["bulk-create", "keys", &there], &options[..]].concat());
        assert!(daemon.place.tree(&here) == daemon.place.tree(&there), "{layout}");
        let again = daemon.ok(&[&["bulk-create", "keys", &there, "--json"], &options[..]].concat());
        assert_eq!(again.summary()["ok"], 0);
    }
}

#[test]
fn paths_beside_the_roots_are_refused_when_they_are_asked_for() {
    let daemon = confined();
    let path = |name: &str| daemon.place.path(name).display().to_string();
    let check = |inputs: &str, output: &str, field: &str, named: &str| {
        let body = format!(r#"{{"inputs": {inputs}, "output": {output}}}"#);
        let (status, problem) = daemon.http("POST /v1/requests", &body);
        let problem: Value = serde_json::from_str(&problem).unwrap();
        assert_eq!((status, &problem["type"]), (403, &Value::from("outside_roots")), "{problem}");
        assert_eq!((&problem["field"], &problem["exit_code"]), (&field.into(), &12.into()));
        let (reason, remedy) = if named.contains("/..") {
            ("has a `..`, which a daemon with roots does not follow", "without `..`")
        } else {
            ("lies below none of the daemon's roots", "below a root")
        };
        assert_eq!(problem["detail"], format!("{field}: {named} {reason}"));
        assert!(problem["remedy"].as_str().unwrap().contains(remedy), "{problem}");
    };
    let files = |name: &str| format!(r#"{{"files": ["{}"]}}"#, path(name));
    let tree = |name: &str| format!(r#"{{"tree": {{"root": "{}"}}}}"#, path(name));
    let output = |name: &str| format!(r#"{{"directory": "{}"}}"#, path(name));
    let good = files("root/keys/a.keys");
    for beside in [
        "outside/secret.keys",
        "root/../outside/secret.keys",
        "rooted",
        "root/keys/../..",
        "root/keys/../keys/a.keys",
    ] {
        check(&files(beside), "null", "inputs.files[0]", &path(beside));
        check(&tree(beside), "null", "inputs.tree.root", &path(beside));
        check(&good, &output(beside), "output.directory", &path(beside));
    }
    assert_eq!(daemon.ok(&["list"]).out, "");
    let run = daemon.run(&["create", "outside/secret.keys", "root/out"]);
    assert_eq!(run.code, 12, "{}", run.err);
    let message = "outside/secret.keys lies below none of the daemon's roots";
    assert!(run.err.contains(message) && run.err.contains("help:"), "{}", run.err);
    let (_, config) = daemon.http("GET /v1/config", "");
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["access"]["roots"], serde_json::json!([path("root")]));
    outside_is_untouched(&daemon.place);
}

#[test]
fn links_are_refused_when_they_are_used() {
    let daemon = confined();
    let check = |arguments: &[&str], named: &str| {
        let run = daemon.run(arguments);
        assert_eq!(run.code, 12, "{arguments:?}: {}", run.err);
        let message = "a symbolic link is there or on the way, and none is followed";
        assert!(run.err.contains(message) && run.err.contains(named), "{}", run.err);
        assert!(run.err.contains("help: name the place itself"), "{}", run.err);
    };
    check(&["create", "root/link.keys", "root/out"], "root/link.keys");
    check(&["create", "root/link/secret.keys", "root/out"], "root/link/secret.keys");
    check(&["bulk-create", "root/link", "root/out"], "root/link");
    check(&["create", "root/keys/a.keys", "root/link"], "root/link");
    check(&["create", "root/keys/a.keys", "root/link/deep/out"], "root/link/deep/out");
    fs::create_dir(daemon.place.path("root/taken")).unwrap();
    symlink(daemon.place.path("outside"), daemon.place.path("root/taken/a")).unwrap();
    for force in [&["--force"][..], &[]] {
        let arguments = [&["create", "root/keys/a.keys", "root/taken"], force].concat();
        check(&arguments, "root/taken/a");
    }
    symlink("../../outside/secret.keys", daemon.place.path("root/keys/link.keys")).unwrap();
    let run = daemon.run(&["bulk-create", "root/keys", "root/out"]);
    assert_eq!(run.code, 3, "{}", run.err);
    assert!(run.err.contains("root/keys/link.keys: a symbolic link"), "{}", run.err);
    let made: Vec<String> = daemon.place.tree("root/out").into_keys().collect();
    assert_eq!(made, ["a/", "a/a.pht", "a/manifest.json"]);
    outside_is_untouched(&daemon.place);
}

/// Requests in this race; enough that some find the directory and some the link.
const REQUESTS: usize = 30;

#[test]
fn a_directory_that_turns_into_a_link_while_requests_run_leads_nowhere() {
    let place = place();
    place.write_keys("root/turning/b.keys", &[7, 8, 9]);
    symlink(place.path("outside"), place.path("root/turned")).unwrap();
    let daemon = Daemon::start(place, &["--allow-root", "root"]);
    let is_over = AtomicBool::new(false);
    let (one, other) = (daemon.place.path("root/turning"), daemon.place.path("root/turned"));
    std::thread::scope(|scope| {
        let over = Over(&is_over);
        scope.spawn(|| turn(&one, &other, &is_over));
        for number in 0..REQUESTS {
            let out = format!("root/out{number}");
            for arguments in [
                ["bulk-create", "root/turning", &out],
                ["create", "root/turning/secret.keys", &out],
                ["create", "root/keys/a.keys", "root/turning/out"],
            ] {
                let run = daemon.run(&[&arguments[..], &["--force"]].concat());
                assert!([0, 3, 7, 8, 12].contains(&run.code), "{}: {}", run.code, run.err);
            }
        }
        drop(over);
    });
    outside_is_untouched(&daemon.place);
    // The tree is looked at without links.
    fs::remove_file(daemon.place.path("root/link")).unwrap();
    let is_link = |path: &&std::path::PathBuf| path.is_symlink();
    fs::remove_file([&one, &other].into_iter().find(is_link).unwrap()).unwrap();
    let read_outside = |name: &String| name.contains("secret");
    assert!(!daemon.place.tree("root").keys().any(read_outside));
}

fn turn(one: &Path, other: &Path, is_over: &AtomicBool) {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    while !is_over.load(Ordering::Relaxed) {
        renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
    }
}

struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn outputs_without_a_place_go_below_their_root_by_the_requests_id() {
    let place = place();
    fs::create_dir(place.path("tables")).unwrap();
    let options = ["--allow-root", "root", "--output-root", "tables"];
    let daemon = Daemon::start(place, &options);
    let inputs = format!(r#"{{"files": ["{}"]}}"#, daemon.place.path("root/keys/a.keys").display());
    let ask = |output: &str| {
        let body = format!(r#"{{"inputs": {inputs}, "output": {output}}}"#);
        let (status, answer) = daemon.http("POST /v1/requests", &body);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(status, 202, "{answer}");
        let id = answer["id"].as_str().unwrap().to_owned();
        daemon.ok(&["wait", &id]);
        id
    };
    let id = ask("{}");
    assert!(daemon.place.path(&format!("tables/{id}/a/a.pht")).exists());
    ask(r#"{"directory": "mine/deep"}"#);
    assert!(daemon.place.path("tables/mine/deep/a/a.pht").exists());
    let told = daemon.ok(&["create", "root/keys/a.keys", "theirs"]).out;
    let theirs = daemon.place.path("tables/theirs/a");
    assert!(theirs.join("a.pht").exists());
    assert!(told.ends_with(&format!(" {}\n", theirs.display())), "{told}");
    let told = daemon.ok(&["create", "root/keys/a.keys"]).out;
    let place = told.lines().last().unwrap().strip_prefix("path").unwrap().trim();
    assert!(Path::new(place).starts_with(daemon.place.path("tables")), "{told}");
    assert!(Path::new(place).join("a.pht").exists(), "{told}");
    let told = daemon.ok(&["bulk-create", "root/keys"]).out;
    let place = told.lines().last().unwrap().strip_prefix("path: ").unwrap();
    assert!(Path::new(place).join("a/a.pht").exists(), "{told}");
    let absolute = daemon.place.path("tables/named");
    let told = daemon.ok(&["create", "root/keys/a.keys", absolute.to_str().unwrap()]).out;
    assert!(told.ends_with(&format!(" {}\n", absolute.join("a").display())), "{told}");
    let (status, problem) = daemon.http(
        "POST /v1/requests",
        &format!(r#"{{"inputs": {inputs}, "output": {{"directory": "../root"}}}}"#),
    );
    assert_eq!(status, 403, "{problem}");
}

#[test]
fn an_output_without_a_place_is_refused_where_there_is_no_root_for_it() {
    let daemon = confined();
    let body = r#"{"inputs": {"files": ["keys/a.keys"]}, "output": {}}"#;
    let (status, problem) = daemon.http("POST /v1/requests", body);
    assert_eq!(status, 422, "{problem}");
    assert!(problem.contains("--output-root"), "{problem}");
    let refused = daemon.run(&["create", "root/keys/a.keys"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("output directory: is missing"), "{}", refused.err);
}

#[test]
fn a_relative_path_of_a_client_without_a_directory_is_meant_from_the_only_root() {
    let daemon = confined();
    let body = r#"{"inputs": {"files": ["keys/a.keys"]}, "output": {"directory": "out"}}"#;
    let (status, answer) = daemon.http("POST /v1/requests", body);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(status, 202, "{answer}");
    daemon.ok(&["wait", answer["id"].as_str().unwrap()]);
    assert!(daemon.place.path("root/out/a/a.pht").exists());
}

#[test]
fn without_the_call_that_confines_a_daemon_with_roots_does_not_start() {
    let check = |errno: i32, reason: &str| {
        let place = place();
        let filter = without(libc::SYS_openat2, Vec::new(), errno);
        let run = run_below(&filter, &mut command(&place, &["serve", "--allow-root", "root"]));
        assert_eq!(run.code, 8, "{}", run.err);
        for words in [reason, "help: allow openat2", "RestrictSUIDSGID="] {
            assert!(run.err.contains(words), "{words}: {}", run.err);
        }
    };
    check(libc::ENOSYS, "paths cannot be confined to roots: this system has no openat2");
    check(libc::EPERM, "paths cannot be confined to roots: a seccomp filter forbids openat2");
}

#[test]
fn a_root_that_is_not_there_is_named() {
    let place = place();
    let run = Run::of(&command(&place, &["serve", "--allow-root", "absent"]).output().unwrap());
    assert_eq!(run.code, 8, "{}", run.err);
    assert!(run.err.contains("absent: cannot be a root: No such file"), "{}", run.err);
}
