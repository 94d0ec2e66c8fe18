//! What went wrong in an earlier daemon of this kind, by the rows of `docs/regressions.md`; and that a
//! daemon needs no terminal and says nothing unasked.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemon_harness;
mod support;

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use daemon_harness::{Daemon, ENDLESS, command, ended, endless, endless_client};
use rustix::process::Signal;
use support::{Place, Run, generated_keys};

/// Connections that say nothing, or begin to and stop.
const SILENT: usize = 100;
/// Daemons that are shut down while clients are connected.
const SHUTDOWNS: usize = 10;

/// Clients that follow an endless request, and wait for it by polls.
fn waiting(daemon: &Daemon) -> Vec<Child> {
    let (submitter, id) = endless_client(daemon);
    let poll = |_| {
        let mut client = daemon.client(&["wait", &id]);
        client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    std::iter::once(submitter).chain((0..3).map(poll)).collect()
}

#[test]
fn a20_no_client_waits_for_a_daemon_that_is_gone_however_it_went() {
    let check = |go: &dyn Fn(&Daemon), codes: [i32; 2]| {
        let place = Place::new();
        endless(&place);
        let mut daemon = Daemon::start(place, &["--grace", "0"]);
        let clients = waiting(&daemon);
        go(&daemon);
        for client in clients {
            let run = ended(client);
            // A client that came too late for an answer finds nobody.
            assert!(codes.contains(&run.code), "{} {}", run.code, run.err);
        }
        daemon.child.wait().unwrap();
    };
    check(&|daemon| drop(daemon.ok(&["shutdown"])), [130, 10]);
    check(&|daemon| daemon.signal(Signal::TERM), [130, 10]);
    check(&|daemon| daemon.signal(Signal::KILL), [10, 10]);
}

/// Answers are told after the work has ended, by a thread that outlives it.
#[test]
fn b08_a_daemon_that_shuts_down_among_its_clients_answers_them_and_ends_well() {
    for _ in 0..SHUTDOWNS {
        let place = Place::new();
        endless(&place);
        let mut daemon = Daemon::start(place, &["--grace", "0"]);
        let (follower, id) = endless_client(&daemon);
        let mut stream = daemon.socket();
        write!(stream, "GET /v1/requests/{id}/events HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let run = daemon.ok(&["shutdown"]);
        assert!(run.out.contains("ends"), "{}", run.out);
        let mut events = String::new();
        stream.read_to_string(&mut events).unwrap();
        let (_, end) = events.rsplit_once("event: end").unwrap();
        assert!(end.contains("\"state\":\"cancelled\""), "{events}");
        // It may not have begun to follow when the daemon goes, and finds nobody then.
        let run = ended(follower);
        assert!([130, 10].contains(&run.code), "{}: {}", run.code, run.err);
        assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn b18_clients_that_say_nothing_hold_nobody_up_and_no_end_either() {
    let place = Place::new();
    generated_keys(&place);
    let mut daemon = Daemon::start(place, &["--jobs", "1"]);
    let mut silent: Vec<_> = (0..SILENT).map(|_| daemon.socket()).collect();
    for (number, stream) in silent.iter_mut().enumerate() {
        let begun: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET /v1/pi",
            _ => b"POST /v1/requests HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{",
        };
        stream.write_all(begun).unwrap();
    }
    daemon.ok(&["bulk-create", "keys", "out", "--key-size", "auto"]);
    assert!(daemon.place.tree("out").len() > 1);
    daemon.ok(&["drain"]);
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
}

/// What a daemon printed in a life without trouble, and that it did its work.
fn said(place: Place, mut serve: Command) -> Run {
    generated_keys(&place);
    std::fs::create_dir_all(place.path("run")).unwrap();
    let child = serve.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let client = |arguments: &[&str]| {
        let run = Run::of(&command(&place, &[&["client"], arguments].concat()).output().unwrap());
        assert_eq!(run.code, 0, "{arguments:?}: {}", run.err);
    };
    client(&["ping", "--wait-for-server", "60"]);
    client(&["bulk-create", "keys", "out", "--key-size", "auto"]);
    client(&["shutdown"]);
    ended(child)
}

#[test]
fn a_daemon_reads_nothing_and_says_nothing_unasked() {
    let place = Place::new();
    let mut serve = command(&place, &["serve", "--io-backend", "blocking"]);
    serve.stdin(Stdio::null());
    let run = said(place, serve);
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, "", ""));
}

#[test]
fn a_daemon_whose_standard_error_takes_nothing_tells_nobody_and_goes_on() {
    let check = |nowhere: Stdio| {
        let place = Place::new();
        generated_keys(&place);
        std::fs::create_dir_all(place.path("run")).unwrap();
        let mut serve = command(&place, &["serve", "--log", "debug"]);
        let child = serve.stderr(nowhere).spawn().unwrap();
        let mut daemon = Daemon { place, child };
        daemon.ok(&["ping", "--wait-for-server", "60"]);
        for round in ["first", "second"] {
            daemon.ok(&["bulk-create", "keys", round, "--key-size", "auto"]);
        }
        daemon.ok(&["shutdown"]);
        assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
    };
    check(OpenOptions::new().write(true).open("/dev/full").unwrap().into());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    check(writer.into());
}

#[test]
fn no_name_makes_two_lines_of_one_in_the_log() {
    for format in ["text", "json"] {
        let place = Place::new();
        std::fs::create_dir_all(place.path("run")).unwrap();
        let mut serve = command(&place, &["serve", "--log", "debug", "--log-format", format]);
        let child = serve.stderr(Stdio::piped()).spawn().unwrap();
        let mut daemon = Daemon { place, child };
        daemon.ok(&["ping", "--wait-for-server", "60"]);
        let run = daemon.run(&["bulk-create", "missing\nforged", "--no-output"]);
        assert_ne!(run.code, 0);
        daemon.ok(&["shutdown"]);
        let mut log = String::new();
        daemon.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert!(log.contains("missing\\nforged"), "{log}");
        assert!(log.lines().all(|line| !line.starts_with("forged")), "{log}");
    }
}

#[test]
fn a_daemon_and_its_clients_need_no_streams_at_all() {
    let place = Place::new();
    let binary = env!("CARGO_BIN_EXE_perfecta");
    let mut serve = Command::new("bash");
    serve.args(["-c", &format!("exec <&- >&- 2>&-; exec '{binary}' serve")]);
    serve.current_dir(place.path(""));
    serve.env("XDG_RUNTIME_DIR", place.path("run")).env("XDG_STATE_HOME", place.path("state"));
    let run = said(place, serve);
    assert_eq!(run.code, 0);
    let place = Place::new();
    endless(&place);
    let daemon = Daemon::start(place, &[]);
    let id = daemon.ok(&[&["bulk-create", "--detach"], &ENDLESS[..]].concat()).out;
    let mut client = Command::new("bash");
    let close = "exec <&- >&- 2>&-; exec";
    client.args(["-c", &format!("{close} '{binary}' client cancel {}", id.trim())]);
    client.env("XDG_RUNTIME_DIR", daemon.place.path("run"));
    client.status().unwrap();
    assert_eq!(daemon.run(&["wait", id.trim()]).code, 130);
}
