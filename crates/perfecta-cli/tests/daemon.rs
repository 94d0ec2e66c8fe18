//! The daemon and its client, as the real binary: what they do is what the direct commands do.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemon_harness;
mod support;

use std::fs::{self, OpenOptions, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Child, Stdio};

use daemon_harness::{Daemon, ENDLESS, command, ended, endless, endless_client};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{Place, Run, generated_keys};

#[test]
fn a_daemon_publishes_the_same_tree_as_the_command_and_tells_the_same_lines() {
    let place = Place::new();
    generated_keys(&place);
    let daemon = Daemon::start(place, &[]);
    for layout in ["dirs", "packed"] {
        let options = ["--key-size", "auto", "--emit", "all", "--layout", layout, "--json"];
        let (direct, served) = (format!("direct-{layout}"), format!("served-{layout}"));
        let here = daemon.place.ok(&[&["bulk-create", "keys", &direct], &options[..]].concat());
        let there = daemon.ok(&[&["bulk-create", "keys", &served], &options[..]].concat());
        let tree = daemon.place.tree(&direct);
        assert!(tree.len() > 1);
        assert!(tree == daemon.place.tree(&served), "{layout}");
        assert_eq!(tables(&here), tables(&there), "{layout}");
        let counts = |run: &Run| {
            let summary = run.summary();
            ["tables", "ok", "keys", "bytes", "files", "exit_code"]
                .map(|name| summary[name].clone())
        };
        assert_eq!(counts(&here), counts(&there));
    }
    let name = daemon.place.tree("keys").into_keys().find(|name| name.ends_with(".keys")).unwrap();
    let file = format!("keys/{name}");
    let here = daemon.place.ok(&["create", &file, "direct-one"]);
    let there = daemon.ok(&["create", &file, "served-one"]);
    assert!(daemon.place.tree("direct-one") == daemon.place.tree("served-one"));
    let facts = |run: &Run, directory: &str| {
        let lines = run.out.lines().filter(|line| !line.starts_with("solve"));
        lines.collect::<Vec<_>>().join("\n").replace(directory, "DIRECTORY")
    };
    assert_eq!(facts(&here, "direct-one"), facts(&there, "served-one"));
    let stats = daemon.ok(&["stats"]);
    let stats: Value = serde_json::from_str(&stats.out).unwrap();
    assert_eq!(stats["ledger_difference"], 0);
    assert_eq!(stats["machine"]["jobs"], 0);
}

/// The lines of tables, in the order of their files, without times.
fn tables(run: &Run) -> Vec<Value> {
    let mut lines = run.lines();
    lines.retain(|line| line["type"] == "table");
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("solve_seconds");
    }
    lines.sort_by_key(|line| line["keys_file"].as_str().unwrap().to_owned());
    lines
}

#[test]
fn a_bad_file_is_told_as_by_the_command_and_ends_with_its_code() {
    let place = Place::new();
    place.write_keys("keys/good.keys", &[1, 2, 3]);
    place.write_keys("keys/twice.keys", &[1, 2, 2]);
    let daemon = Daemon::start(place, &[]);
    let check = |arguments: &[&str], code: i32| {
        let here = daemon.place.run(&[arguments, &["here"]].concat());
        let there = daemon.run(&[arguments, &["there"]].concat());
        assert_eq!((here.code, there.code), (code, code), "{arguments:?} {}", there.err);
        assert_eq!(here.err, there.err, "{arguments:?}");
    };
    check(&["bulk-create", "keys"], 3);
    check(&["create", "keys/twice.keys"], 5);
}

/// The daemon finds files by their whole paths, and told those: names that nobody had given.
#[test]
fn what_cannot_be_done_is_told_of_files_as_they_were_named() {
    let place = Place::new();
    for file in ["keys/a-b.keys", "keys/a_b.keys", "wide.keys64"] {
        place.write_keys(file, &[1, 2, 3, 4]);
    }
    place.write("list", b"keys/a-b.keys\nkeys/absent.keys\n");
    let daemon = Daemon::start(place, &[]);
    let check = |arguments: &[&str], code: i32| {
        let here = daemon.place.run(arguments);
        let there = daemon.run(arguments);
        assert_eq!((here.code, there.code), (code, code), "{arguments:?} {}", there.err);
        assert!(!here.err.is_empty());
        let sorted = |run: &Run| {
            let mut lines: Vec<String> = run.err.lines().map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        assert_eq!(sorted(&here), sorted(&there), "{arguments:?}");
    };
    check(&["bulk-create", "absent", "out"], 8);
    check(&["bulk-create", "absent", "out", "--json"], 8);
    check(&["bulk-create", "./absent", "out"], 8);
    check(&["bulk-create", ".", "out"], 7);
    check(&["bulk-create", "keys", "out", "--include", "*.no"], 4);
    check(&["bulk-create", "keys", "out"], 3);
    check(&["bulk-create", "keys", "keys/out"], 7);
    check(&["bulk-create", "--files-from", "list", "list"], 2);
    check(&["bulk-create", "--files-from", "list", "--no-output"], 3);
    check(&["create", "../absent", "out"], 8);
    check(&["create", "wide.keys64", "--no-output"], 0);
    let absolute = |name: &str| daemon.place.path(name).to_str().unwrap().to_owned();
    check(&["create", &absolute("absent"), "--no-output"], 8);
    // What names no file, or was named with its whole path, stays as it is.
    let no_keys = absolute("keys/*.no");
    check(&["bulk-create", "keys", "out", "--include", "*.x", "--include", &no_keys], 4);
    std::os::unix::fs::symlink(absolute("nowhere"), daemon.place.path("gone.keys")).unwrap();
    check(&["create", "gone.keys", "--no-output"], 8);
    daemon.place.write("taken/wide/file", b"of somebody");
    check(&["create", "wide.keys64", &absolute("taken")], 7);
}

#[test]
fn a_notice_of_key_files_is_told_before_what_came_of_them() {
    let place = Place::new();
    place.write_keys("wide.keys64", &[1, 2, 2]);
    let daemon = Daemon::start(place, &[]);
    let arguments = ["create", "wide.keys64", "--no-output"];
    let (here, there) = (daemon.place.run(&arguments), daemon.run(&arguments));
    assert!(here.err.starts_with("wide.keys64: read as 32-bit keys"), "{}", here.err);
    assert_eq!(here.err, there.err);
}

#[test]
fn requests_that_are_sent_at_once_all_end() {
    let place = Place::new();
    generated_keys(&place);
    let daemon = Daemon::start(place, &[]);
    let clients: Vec<Child> = (0..4)
        .map(|number| {
            let out = format!("out{number}");
            let arguments = ["bulk-create", "keys", &out, "--key-size", "auto"];
            daemon.client(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for client in clients {
        let run = ended(client);
        assert_eq!(run.code, 0, "{}", run.err);
    }
    let first = daemon.place.tree("out0");
    assert!((1..4).all(|number| first == daemon.place.tree(&format!("out{number}"))));
}

#[test]
fn a_request_is_cancelled_by_its_id_and_its_client_ends_so() {
    let place = Place::new();
    endless(&place);
    let daemon = Daemon::start(place, &[]);
    let (client, id) = endless_client(&daemon);
    let running = daemon.json(&["status", &id]);
    assert_eq!(running["state"], "running");
    assert_eq!(daemon.http(&format!("DELETE /v1/requests/{id}"), "").0, 409);
    daemon.ok(&["cancel", &id]);
    assert_eq!(ended(client).code, 130);
    assert_eq!(daemon.run(&["wait", &id]).code, 130);
    assert_eq!(daemon.json(&["status", &id])["state"], "cancelled");
    assert_eq!(daemon.http(&format!("DELETE /v1/requests/{id}"), "").0, 204);
    assert_eq!(daemon.run(&["status", &id]).code, 4);
}

#[test]
fn a_client_that_is_interrupted_cancels_its_request() {
    let place = Place::new();
    endless(&place);
    let daemon = Daemon::start(place, &[]);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let (client, id) = endless_client(&daemon);
        kill_process(Pid::from_child(&client), signal).unwrap();
        assert_eq!(ended(client).code, code);
        assert_eq!(daemon.json(&["status", &id])["state"], "cancelled");
    }
}

/// Another request makes the daemon look for what is not to be kept any more.
#[test]
fn what_has_just_ended_can_be_asked_for_however_short_it_is_kept() {
    let place = Place::new();
    place.write_keys("keys/a.keys", &[1, 2, 3]);
    let daemon = Daemon::start(place, &["--keep", "0"]);
    let arguments = ["bulk-create", "keys", "--no-output", "--detach"];
    let id = daemon.ok(&arguments).out.trim().to_owned();
    let (_, waited) = daemon.http(&format!("GET /v1/requests/{id}/wait"), "");
    assert!(waited.contains("\"state\":\"done\""), "{waited}");
    daemon.ok(&arguments);
    daemon.ok(&["wait", &id]);
}

#[test]
fn a_detached_request_is_found_by_its_id() {
    let place = Place::new();
    generated_keys(&place);
    let daemon = Daemon::start(place, &[]);
    let arguments = ["bulk-create", "keys", "out", "--key-size", "auto", "--detach"];
    let id = daemon.ok(&arguments).out.trim().to_owned();
    let waited = daemon.ok(&["wait", &id, "--json"]);
    assert_eq!(waited.summary()["failed"], 0);
    let (status, page) = daemon.http(&format!("GET /v1/requests/{id}/items?offset=1&limit=2"), "");
    let page: Value = serde_json::from_str(&page).unwrap();
    assert_eq!((status, page["items"].as_array().unwrap().len()), (200, 2));
    assert_eq!(page["settled"], waited.summary()["tables"]);
    assert_eq!(page["items"][0]["keys_file"], waited.lines()[1]["keys_file"]);
}

#[test]
fn a_second_daemon_is_refused_and_a_killed_ones_place_is_taken() {
    let mut daemon = Daemon::start(Place::new(), &[]);
    let second = Run::of(&command(&daemon.place, &["serve"]).output().unwrap());
    assert_eq!(second.code, 11, "{}", second.err);
    assert!(second.err.contains("already"), "{}", second.err);
    let before = daemon.json(&["ping"])["process"].clone();
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
    assert!(daemon.place.path("run/perfecta/default.sock").exists());
    assert_eq!(daemon.run(&["ping"]).code, 10);
    daemon.child = command(&daemon.place, &["serve"]).spawn().unwrap();
    daemon.ok(&["ping", "--wait-for-server", "60"]);
    assert_ne!(daemon.json(&["ping"])["process"], before);
}

#[test]
fn a_place_that_others_may_use_is_refused() {
    let place = Place::new();
    fs::create_dir_all(place.path("run/perfecta")).unwrap();
    fs::set_permissions(place.path("run/perfecta"), fs::Permissions::from_mode(0o755)).unwrap();
    let refused = Run::of(&command(&place, &["serve"]).output().unwrap());
    assert_eq!(refused.code, 12, "{}", refused.err);
    assert!(refused.err.contains("0755"), "{}", refused.err);
}

#[test]
fn a_client_ends_when_its_daemon_is_killed_and_when_it_is_stopped() {
    for (signal, code) in [(Signal::KILL, 10), (Signal::STOP, 14)] {
        let place = Place::new();
        endless(&place);
        let daemon = Daemon::start(place, &[]);
        // Who asked may not have the id yet when the daemon lists it.
        let detached = daemon.ok(&[&["bulk-create", "--detach"], &ENDLESS[..]].concat());
        let id = detached.out.trim();
        let mut client = daemon.client(&["wait", id]);
        let client = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        daemon.signal(signal);
        let run = ended(client);
        assert_eq!(run.code, code, "{}", run.err);
        assert!(run.err.contains(&format!("`perfecta client wait {id}`")), "{}", run.err);
        assert_eq!(daemon.run(&["ping"]).code, code);
    }
}

#[test]
fn a_daemon_of_another_protocol_is_refused_and_refuses() {
    let daemon = Daemon::start(Place::new(), &[]);
    let head = "GET /v1/ping HTTP/1.1\r\nperfecta-protocol: 7";
    let mut stream = daemon.socket();
    write!(stream, "{head}\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("version_mismatch"), "{answer}");

    let listener = UnixListener::bind(daemon.place.path("other.sock")).unwrap();
    let other = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(&stream).lines();
        assert!(lines.any(|line| line.unwrap().is_empty()));
        let answer = "HTTP/1.1 200 OK\r\nperfecta-protocol: 7\r\ncontent-length: 2\r\n\r\n{}";
        (&stream).write_all(answer.as_bytes()).unwrap();
    });
    let run = daemon.run(&["ping", "--endpoint", "other.sock"]);
    assert_eq!(run.code, 13, "{}", run.err);
    other.join().unwrap();
}

#[test]
fn a_daemon_that_is_asked_to_end_finishes_what_it_has_within_its_grace() {
    let place = Place::new();
    endless(&place);
    let mut daemon = Daemon::start(place, &["--grace", "1"]);
    let (client, _) = endless_client(&daemon);
    daemon.signal(Signal::TERM);
    assert_eq!(ended(client).code, 130);
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
    assert!(!daemon.place.path("run/perfecta/default.sock").exists());
}

#[test]
fn what_the_end_of_a_daemon_cancels_is_told_so_by_it_and_by_the_next() {
    let place = Place::new();
    endless(&place);
    let mut daemon = Daemon::start(place, &["--grace", "0"]);
    let cancelled = daemon.ok(&[&["bulk-create", "--detach"], &ENDLESS[..]].concat()).out;
    daemon.ok(&["cancel", cancelled.trim()]);
    assert_eq!(daemon.run(&["wait", cancelled.trim()]).code, 130);
    let (client, id) = endless_client(&daemon);
    let mut stream = daemon.socket();
    write!(stream, "GET /v1/requests/{id}/events HTTP/1.0\r\n\r\n").unwrap();
    daemon.signal(Signal::TERM);
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    let reason = "the daemon ended before all was done";
    assert!(told.contains(&format!("event: notice\ndata: \"{reason}")), "{told}");
    let (_, end) = told.rsplit_once("event: end\ndata: ").unwrap();
    let end: Value = serde_json::from_str(end).unwrap();
    assert_eq!(end["state"], "cancelled");
    assert!(end["reason"].as_str().unwrap().starts_with(reason), "{end}");
    assert!(ended(client).err.contains(reason));
    daemon.restart(&[]);
    assert_eq!(daemon.json(&["status", &id])["reason"], end["reason"]);
    assert_eq!(daemon.json(&["status", cancelled.trim()])["reason"], Value::Null);
}

#[test]
fn a_daemon_that_drains_takes_nothing_more_and_waits_for_what_it_has() {
    let place = Place::new();
    endless(&place);
    let mut daemon = Daemon::start(place, &[]);
    let (client, id) = endless_client(&daemon);
    daemon.ok(&["drain"]);
    let refused = daemon.run(&[&["bulk-create"], &ENDLESS[..]].concat());
    assert_eq!(refused.code, 11, "{}", refused.err);
    assert_eq!(daemon.http("GET /readyz", "").0, 503);
    assert_eq!(daemon.http("GET /healthz", "").0, 200);
    assert_eq!(daemon.json(&["status", &id])["state"], "running");
    daemon.ok(&["cancel", &id]);
    assert_eq!(ended(client).code, 130);
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_end_of_its_terminal_asks_a_daemon_to_end() {
    let mut daemon = Daemon::start(Place::new(), &[]);
    daemon.signal(Signal::HUP);
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_daemon_that_is_told_to_end_while_it_starts_takes_no_request() {
    let place = Place::new();
    for directory in ["run", "state", "state/perfecta", "state/perfecta/default"] {
        fs::create_dir_all(place.path(directory)).unwrap();
        fs::set_permissions(place.path(directory), Permissions::from_mode(0o700)).unwrap();
    }
    // It starts until its journal was read, which here begins when somebody writes it.
    let journal = place.path("state/perfecta/default/journal");
    mknodat(CWD, &journal, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let child = command(&place, &["serve"]).spawn().unwrap();
    let mut daemon = Daemon { place, child };
    while !catches_sigterm(&daemon) {}
    daemon.signal(Signal::TERM);
    drop(OpenOptions::new().write(true).open(&journal).unwrap());
    let status = loop {
        if let Some(status) = daemon.child.try_wait().unwrap() {
            break status;
        }
        let ping = daemon.run(&["ping", "--json"]);
        assert!(ping.code != 0 || ping.lines()[0]["is_draining"] == true, "{}", ping.out);
    };
    assert_eq!(status.code(), Some(0));
}

fn catches_sigterm(daemon: &Daemon) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << (Signal::TERM.as_raw() - 1)) != 0
}

#[test]
fn a_second_signal_ends_the_daemon_at_once() {
    let place = Place::new();
    endless(&place);
    let mut daemon = Daemon::start(place, &["--grace", "1000000"]);
    let (client, _) = endless_client(&daemon);
    daemon.signal(Signal::TERM);
    // The first one was heard when the daemon says so.
    while daemon.json(&["ping"])["is_draining"] == false {}
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.child.wait().unwrap().code(), Some(143));
    assert_eq!(ended(client).code, 10);
}

#[test]
fn a_request_is_listed_with_what_came_of_its_tables() {
    let place = Place::new();
    endless(&place);
    place.write_keys("k/bad.keys", &[2, 1]);
    place.write_keys("k/good.keys", &[1, 2]);
    let daemon = Daemon::start(place, &[]);
    let (client, id) = endless_client(&daemon);
    let running = daemon.ok(&["status", &id]).out;
    assert_eq!(running, format!("{id} running 0/1 table\n"));
    daemon.ok(&["cancel", &id]);
    ended(client);
    let cancelled = format!("{id} cancelled 1 table: 0 ok, 1 cancelled\n");
    assert_eq!(daemon.ok(&["status", &id]).out, cancelled);
    let second = daemon.ok(&["bulk-create", "k", "--no-output", "--detach"]).out;
    assert_eq!(daemon.run(&["wait", second.trim()]).code, 3);
    let done = format!("{} done 2 tables: 1 ok, 1 failed\n", second.trim());
    assert_eq!(daemon.ok(&["list"]).out, cancelled + &done);
}

#[test]
fn what_is_asked_for_and_left_out_is_told_once() {
    let place = Place::new();
    place.write_keys("keys/a.keys", &[1, 2, 3]);
    let daemon = Daemon::start(place, &[]);
    let keys = daemon.place.path("keys").display().to_string();
    let body = format!(
        r#"{{"directory": "{keys}", "inputs": {{"files": ["a.keys"]}}, "output": {{"directory": "out", "layout": "packed", "emit": "c"}}}}"#
    );
    let (status, accepted) = daemon.http("POST /v1/requests", &body);
    assert_eq!(status, 202, "{accepted}");
    let accepted: Value = serde_json::from_str(&accepted).unwrap();
    let id = accepted["id"].as_str().unwrap();
    let waited = daemon.run(&["wait", id]);
    assert_eq!(waited.err.matches("left out").count(), 1, "{}", waited.err);
    let options = ["bulk-create", "keys", "out", "--layout", "packed", "--emit", "c"];
    let told = daemon.ok(&options).err;
    assert_eq!(told.matches("left out").count(), 1, "{told}");
}

#[test]
fn what_is_no_request_is_answered_with_field_and_remedy() {
    let daemon = Daemon::start(Place::new(), &[]);
    let check = |body: &str, status: u16, field: &str| {
        let (answered, problem) = daemon.http("POST /v1/requests", body);
        let problem: Value = serde_json::from_str(&problem).unwrap();
        assert_eq!((answered, problem["field"].as_str()), (status, Some(field)), "{problem}");
        assert!(problem["remedy"].is_string(), "{problem}");
    };
    check(
        r#"{"inputs": {"files": ["/a"]}, "output": null, "keys": {"bits": 32}}"#,
        400,
        "keys.bits",
    );
    check(r#"{"inputs": {"files": ["/a", "a"]}, "output": null}"#, 422, "inputs.files[1]");
    check(
        r#"{"inputs": {"files": ["/a"]}, "output": {"directory": "/o", "emit": "go"}}"#,
        422,
        "output.emit",
    );
    assert_eq!(daemon.http("GET /v1/requests/none/wait", "").0, 404);
    assert_eq!(daemon.http("GET /v2", "").0, 404);
    assert_eq!(daemon.http("GET /v1/requests/none/items?page=1", "").0, 400);
    assert!(daemon.ok(&["list"]).out.is_empty());
}

#[test]
fn a_repeated_request_with_its_key_is_run_once() {
    let place = Place::new();
    place.write_keys("a.keys", &[1, 2, 3]);
    let daemon = Daemon::start(place, &[]);
    let file = daemon.place.path("a.keys");
    let body = format!(r#"{{"inputs": {{"files": ["{}"]}}, "output": null}}"#, file.display());
    let keyed = "POST /v1/requests HTTP/1.1\r\nidempotency-key: k\r\nx:";
    let first = daemon.http(keyed, &body);
    assert_eq!(first.0, 202);
    assert_eq!(first, daemon.http(keyed, &body));
    assert_eq!(daemon.http(keyed, &body.replace("a.keys", "b.keys")).0, 409);
    assert_eq!(daemon.ok(&["list"]).out.lines().count(), 1);
    assert_ne!(first, daemon.http("POST /v1/requests", &body));
}
