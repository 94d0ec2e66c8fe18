//! `--ensure-server`: whoever asks finds a daemon, and there is one, however many ask.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemon_harness;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};

use daemon_harness::{Daemon, ENDLESS, command, ended, endless};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{Place, Run, generated_keys};

/// A place in which clients may start a daemon; it ends with the test, whatever comes.
struct Ensured(Place);

impl Ensured {
    fn new() -> Self {
        let place = Place::new();
        fs::create_dir_all(place.path("run")).unwrap();
        Self(place)
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        let mut client = command(&self.0, &[&["client"], arguments].concat());
        client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Run {
        ended(self.spawn(arguments))
    }

    fn ok(&self, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        assert_eq!(run.code, 0, "{arguments:?}: {}{}", run.out, run.err);
        run
    }

    /// The daemon that is there when this returns.
    fn ensure(&self) -> u32 {
        process(&self.ok(&["ping", "--ensure-server", "--json"]))
    }

    /// Returns when a daemon that was killed does not answer any more.
    fn until_silent(&self) {
        while self.run(&["ping"]).code != 10 {}
    }

    /// Returns when a daemon has taken its socket away; nobody asks it, who would be a visit.
    fn until_gone(&self) {
        while self.0.path("run/perfecta/default.sock").exists() {
            std::thread::yield_now();
        }
    }
}

impl Drop for Ensured {
    fn drop(&mut self) {
        let _ = command(&self.0, &["client", "shutdown"]).output();
    }
}

fn process(ping: &Run) -> u32 {
    ping.lines()[0]["process"].as_u64().unwrap().try_into().unwrap()
}

fn pid(process: u32) -> Pid {
    Pid::from_raw(process.try_into().unwrap()).unwrap()
}

#[test]
fn a_hundred_clients_at_once_start_one_daemon() {
    let place = Ensured::new();
    let clients: Vec<Child> =
        (0..100).map(|_| place.spawn(&["ping", "--ensure-server", "--json"])).collect();
    let pings: Vec<Run> = clients.into_iter().map(ended).collect();
    assert!(pings.iter().all(|ping| ping.code == 0), "{}", pings[0].err);
    let processes: BTreeSet<u32> = pings.iter().map(process).collect();
    assert_eq!(processes.len(), 1, "{processes:?}");
    // Those that lost a race for the place would have said so there.
    let said = fs::read_to_string(place.0.path("state/perfecta/default/serve.log")).unwrap();
    assert!(!said.contains("already"), "{said}");
    assert!(!place.0.path("state/perfecta/default/serve.log.before").exists());
}

#[test]
fn a_daemon_that_was_started_so_outlives_its_client_in_a_session_of_its_own() {
    let place = Ensured::new();
    let daemon = place.ensure();
    let stat = fs::read_to_string(format!("/proc/{daemon}/stat")).unwrap();
    // Behind the name in parentheses: state, parent, group, session.
    let session = stat.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap();
    assert_eq!(session, daemon.to_string());
    assert_eq!(place.ensure(), daemon);
}

#[test]
fn a_request_is_done_by_a_daemon_that_it_started() {
    let place = Ensured::new();
    generated_keys(&place.0);
    let arguments = ["bulk-create", "keys", "out", "--key-size", "auto"];
    place.0.ok(&["bulk-create", "keys", "direct", "--key-size", "auto"]);
    place.ok(&[&arguments[..], &["--ensure-server", "--endpoint", "own.d/my.sock"]].concat());
    assert!(place.0.tree("out") == place.0.tree("direct"));
    place.ok(&["shutdown", "--endpoint", "own.d/my.sock"]);
}

#[test]
fn a_daemon_that_cannot_start_says_why_through_its_client() {
    let place = Ensured::new();
    let state = place.0.path("state/perfecta/default");
    fs::create_dir_all(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(state.join("journal"), "{\"journal\":{\"version\":2}}\n").unwrap();
    let run = place.run(&["ping", "--ensure-server"]);
    assert_eq!(run.code, 13, "{}", run.err);
    assert!(
        run.err.contains("did not start") && run.err.contains("another version"),
        "{}",
        run.err
    );
    assert!(run.err.contains("help: let the daemon"), "{}", run.err);
    fs::remove_file(state.join("journal")).unwrap();
    place.ensure();
}

#[test]
fn a_killed_daemon_leaves_nothing_that_keeps_the_next_from_starting() {
    let place = Ensured::new();
    generated_keys(&place.0);
    let first = place.ensure();
    let arguments = ["bulk-create", "keys", "out", "--key-size", "auto", "--detach"];
    let id = place.ok(&arguments).out;
    kill_process(pid(first), Signal::KILL).unwrap();
    place.until_silent();
    assert!(place.0.path("run/perfecta/default.sock").exists());
    let second = place.ensure();
    assert_ne!(first, second);
    place.ok(&["wait", id.trim()]);
}

#[test]
fn a_client_that_meets_a_daemon_that_ends_gets_the_next_one() {
    let place = Place::new();
    endless(&place);
    generated_keys(&place);
    let daemon = Daemon::start(place, &[]);
    let first = process(&daemon.ok(&["ping", "--json"]));
    let id = daemon.ok(&[&["bulk-create", "--detach"], &ENDLESS[..]].concat()).out;
    daemon.ok(&["drain"]);
    let arguments =
        ["bulk-create", "keys", "out", "--key-size", "auto", "--ensure-server", "--json"];
    let mut client = daemon.client(&arguments);
    let client = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let ping = daemon.ok(&["ping", "--json"]);
    assert_eq!((process(&ping), &ping.lines()[0]["is_draining"]), (first, &Value::Bool(true)));
    daemon.ok(&["cancel", id.trim()]);
    let run = ended(client);
    assert_eq!(run.code, 0, "{}", run.err);
    let second = process(&daemon.ok(&["ping", "--json"]));
    assert_ne!(first, second);
    daemon.ok(&["shutdown"]);
}

#[test]
fn a_daemon_that_nobody_needs_ends_and_is_started_again_when_it_is() {
    let place = Ensured::new();
    generated_keys(&place.0);
    let arguments = ["--key-size", "auto", "--ensure-server", "--idle-exit", "0.1", "--detach"];
    let id = place.ok(&[&["bulk-create", "keys", "out"], &arguments[..]].concat()).out;
    place.until_gone();
    let status = place.ok(&["status", id.trim(), "--ensure-server", "--json"]);
    assert_eq!(status.lines()[0]["state"], "done");
}

#[test]
fn a_daemon_at_work_is_needed() {
    let place = Place::new();
    endless(&place);
    let mut daemon = Daemon::start(place, &[]);
    let id = daemon.ok(&[&["bulk-create", "--detach"], &ENDLESS[..]].concat()).out;
    daemon.kill();
    // It has something to do from its beginning, and would not bear to have nothing for long.
    daemon.restart(&["--idle-exit", "0.01"]);
    for _ in 0..20 {
        let state = daemon.json(&["status", id.trim()])["state"].clone();
        assert!(["queued", "running"].contains(&state.as_str().unwrap()), "{state}");
    }
    daemon.ok(&["cancel", id.trim()]);
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
}
