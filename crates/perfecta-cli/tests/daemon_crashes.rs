//! What should not happen is reported, and answered: panics of items and of workers, and deaths.
//!
//! Programs that are built for tests have two bugs, in key files of certain names.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemon_harness;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use daemon_harness::{Daemon, ENDLESS, command, ended, endless, endless_client};
use support::{Place, Run};

/// Where a daemon of the harness reports.
const CRASHES: &str = "state/perfecta/default/crashes";

/// The reports whose names end so, in the order of time.
fn reports(place: &Place, end: &str) -> Vec<String> {
    let mut paths: Vec<_> = fs::read_dir(place.path(CRASHES))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(end))
        .collect();
    paths.sort_unstable();
    let is_private = |path: &std::path::PathBuf| {
        fs::metadata(path).unwrap().permissions().mode() & 0o777 == 0o600
    };
    assert!(paths.iter().all(is_private));
    paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

fn check_lines(report: &str, lines: &[&str]) {
    for line in lines {
        assert!(report.lines().any(|found| found.starts_with(line)), "{line:?} is not in {report}");
    }
}

#[test]
fn a_panic_of_an_item_is_reported_with_request_and_key_file_and_costs_that_table() {
    let place = Place::new();
    place.write_keys("keys/crash-item.keys", &[1, 2, 3]);
    place.write_keys("keys/good.keys", &[1, 2, 3]);
    let daemon = Daemon::start(place, &[]);
    let run = daemon.run(&["bulk-create", "keys", "out"]);
    assert_eq!(run.code, 3, "{}", run.err);
    assert!(run.err.contains("a deliberate crash"), "{}", run.err);
    assert!(daemon.place.path("out/good/manifest.json").exists());
    let id = daemon.json(&["list"])["id"].as_str().unwrap().to_owned();
    let report = &reports(&daemon.place, "-panic.txt")[0];
    let (request, process) = (format!("request: {id}"), format!("process: {}", daemon.child.id()));
    check_lines(report, &["perfecta 0.", "time: ", &process, "thread: worker-", &request]);
    check_lines(report, &["message: a deliberate crash", "place: ", "backtrace:"]);
    assert!(report.contains("keys/crash-item.keys\n"), "{report}");
    assert!(report.contains("deliberate"), "{report}");
    assert!(!report.contains("good.keys"), "{report}");
    // One bad table is no reason to end.
    daemon.ok(&["ping"]);
}

#[test]
fn a_daemon_that_loses_a_worker_answers_everybody_reports_and_ends_by_a_bug() {
    let place = Place::new();
    place.write_keys("keys/crash-worker.keys", &[1, 2, 3]);
    endless(&place);
    let mut daemon = Daemon::start(place, &[]);
    let (other, _) = endless_client(&daemon);
    let run = daemon.run(&["bulk-create", "keys", "out"]);
    for run in [run, ended(other)] {
        assert_eq!(run.code, 1, "{}", run.err);
        assert!(run.err.contains("lost a worker"), "{}", run.err);
    }
    assert_eq!(daemon.child.wait().unwrap().code(), Some(1));
    let report = &reports(&daemon.place, "-panic.txt")[0];
    check_lines(report, &["thread: worker-", "message: a deliberate crash", "request: "]);
    assert!(report.contains("keys/crash-worker.keys\n"), "{report}");
    // What was answered is not run again, or the next daemon would end so, too.
    daemon.restart(&[]);
    assert!(daemon.ok(&["list"]).out.lines().all(|line| line.contains("failed")));
    daemon.ok(&["ping"]);
}

#[test]
fn a_daemon_that_could_say_nothing_is_reported_by_the_next_one() {
    let place = Place::new();
    endless(&place);
    let mut daemon = Daemon::start(place, &[]);
    let id = daemon.ok(&[&["bulk-create", "--detach"], &ENDLESS[..]].concat()).out;
    assert!(reports(&daemon.place, "-death.txt").is_empty());
    daemon.signal(rustix::process::Signal::ABORT);
    daemon.restart(&[]);
    let death = reports(&daemon.place, "-death.txt");
    assert_eq!(death.len(), 1);
    check_lines(&death[0], &["perfecta 0.", "time: ", &format!("request: {}", id.trim())]);
    daemon.ok(&["shutdown"]);
    daemon.restart(&[]);
    assert_eq!(reports(&daemon.place, "-death.txt").len(), 1);
}

#[test]
fn reports_go_where_they_are_wanted_or_nowhere() {
    let place = Place::new();
    place.write_keys("keys/crash-item.keys", &[1, 2, 3]);
    place.write_keys("keys/good.keys", &[1, 2, 3]);
    fs::create_dir_all(place.path("run")).unwrap();
    for (options, is_reported) in
        [(&["--crash-dir", "there"][..], true), (&["--no-crash-reports"], false)]
    {
        let mut serve = command(&place, &[&["serve"], options].concat());
        let mut child = serve.stderr(Stdio::null()).spawn().unwrap();
        let client = |arguments: &[&str]| {
            Run::of(&command(&place, &[&["client"], arguments].concat()).output().unwrap())
        };
        assert_eq!(client(&["bulk-create", "keys", "out", "--wait-for-server", "60"]).code, 3);
        assert_eq!(client(&["shutdown"]).code, 0);
        child.wait().unwrap();
        assert!(!place.path(CRASHES).exists());
        assert_eq!(place.path("there").exists(), is_reported);
        if is_reported {
            assert_eq!(fs::read_dir(place.path("there")).unwrap().count(), 1);
            fs::remove_dir_all(place.path("there")).unwrap();
        }
    }
}
