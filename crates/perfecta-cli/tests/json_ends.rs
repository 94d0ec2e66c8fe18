//! With `--json` the last line tells how a command ends, however it ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemon_harness;
mod support;

use std::fs;

use daemon_harness::{Daemon, command};
use support::{Place, Run};

/// That the last line is one of its type and bears the exit code.
fn check_last(run: &Run, kind: &str, code: i32, arguments: &[&str]) -> serde_json::Value {
    let last = run.lines().pop();
    let last = last.unwrap_or_else(|| panic!("{arguments:?} says nothing: {}", run.err));
    assert_eq!((run.code, &last["type"]), (code, &kind.into()), "{arguments:?}: {last}");
    assert_eq!(last["exit_code"], code, "{arguments:?}");
    last
}

fn check_error(run: &Run, code: i32, class: &str, arguments: &[&str]) {
    let last = check_last(run, "error", code, arguments);
    assert_eq!(last["class"], class, "{arguments:?}");
    assert!(!last["message"].as_str().unwrap().is_empty(), "{arguments:?}");
    // People are told as well.
    assert!(run.err.contains("error: "), "{arguments:?}: {}", run.err);
}

#[test]
fn a_direct_command_that_does_not_do_its_work_says_so_in_its_last_line() {
    let place = Place::new();
    place.write_keys("keys/k.keys", &[1, 2]);
    place.write("keys/odd.keys", &[1; 7]);
    fs::create_dir(place.path("empty")).unwrap();
    let check = |arguments: &[&str], code: i32, class: &str| {
        let arguments = [arguments, &["--json"]].concat();
        check_error(&place.run(&arguments), code, class, &arguments);
    };
    check(&["create"], 2, "usage");
    check(&["create", "keys/k.keys"], 2, "usage");
    check(&["bulk-create", "keys", "out", "--bogus"], 2, "usage");
    check(&["bulk-create", "keys", "out", "--max-files", "0"], 2, "usage");
    check(&["bulk-create", "absent", "out"], 8, "io");
    check(&["bulk-create", "absent", "out", "--dry-run"], 8, "io");
    check(&["bulk-create", "empty", "out"], 4, "nothing_matched");
    check(&["bulk-create", "--files-from", "absent", "out"], 8, "io");
    check(&["verify", "absent"], 8, "io");
    check(&["verify", "keys", "--include", "*"], 2, "usage");
    check(&["inspect", "absent"], 8, "io");
    check(&["bench", "absent"], 8, "io");
    let dry_run = ["bulk-create", "keys", "out", "--dry-run", "--json"];
    check_last(&place.run(&dry_run), "dry_run", 3, &dry_run);
    let one_fails = ["bulk-create", "keys", "out", "--json"];
    check_last(&place.run(&one_fails), "summary", 3, &one_fails);
    assert_eq!(place.run(&["create", "absent", "out"]).out, "");
}

#[test]
fn a_client_that_does_not_do_its_work_says_so_in_its_last_line() {
    let place = Place::new();
    place.write_keys("keys/k.keys", &[1, 2]);
    let check = |place: &Place, arguments: &[&str], code: i32, class: &str| {
        let arguments = [&["client"], arguments, &["--json"]].concat();
        let run = Run::of(&command(place, &arguments).output().unwrap());
        check_error(&run, code, class, &arguments);
    };
    check(&place, &["bulk-create", "keys", "out"], 10, "no_server");
    check(&place, &["create", "keys/k.keys"], 10, "no_server");
    check(&place, &["create", "keys/k.keys", "out", "--no-output"], 2, "usage");
    check(&place, &["wait", "1-1"], 10, "no_server");
    check(&place, &["wait", "a/b"], 2, "usage");
    check(&place, &["ping"], 10, "no_server");
    check(&place, &["list"], 10, "no_server");
    let daemon = Daemon::start(place, &[]);
    check(&daemon.place, &["wait", "1-1"], 4, "nothing_matched");
    check(&daemon.place, &["bulk-create", "absent", "out"], 8, "io");
    check(&daemon.place, &["bulk-create", "keys", "out", "--dry-run"], 2, "usage");
    let run = daemon.ok(&["bulk-create", "keys", "out", "--detach", "--json"]);
    let accepted = run.lines().pop().unwrap();
    assert_eq!(accepted["type"], "accepted");
    let wait = ["wait", accepted["id"].as_str().unwrap(), "--json"];
    check_last(&daemon.run(&wait), "summary", 0, &wait);
}

#[test]
fn the_families_are_told_with_what_may_be_chosen_of_their_seeds() {
    let lines = Place::new().ok(&["hashes", "--json"]).lines();
    assert!(lines.iter().all(|line| line["type"] == "hash" && line["schema"] == 1));
    let of = |name: &str| lines.iter().find(|line| line["hash"] == name).unwrap();
    let folded = of("Folded");
    assert_eq!(folded["hashed_bits"], serde_json::json!([32, 64]));
    assert_eq!(folded["seed_masks"].as_array().unwrap().len(), 3);
    // The low byte of its third seed is a shift that the size of the table gives.
    let reference = of("Mulshrolate4RX");
    assert_eq!(reference["hashed_bits"], serde_json::json!([32]));
    assert_eq!(reference["seed_masks"][2].as_u64().unwrap() & 0xff, 0);
    let told = Place::new().ok(&["hashes"]).out;
    for line in &lines {
        let name = line["hash"].as_str().unwrap();
        let takes = if line["takes_key_zero"] == true { "yes" } else { "no" };
        let row = told.lines().find(|row| row.split_whitespace().nth(1) == Some(name)).unwrap();
        assert!(row.ends_with(takes), "{row}");
    }
}
