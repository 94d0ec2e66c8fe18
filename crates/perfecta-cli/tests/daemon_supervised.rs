//! A daemon under a service manager: the socket that it is passed, and what it tells. What the unit
//! files say is read by the manager itself, where there is one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what is skipped is worth knowing")]
#![allow(clippy::disallowed_methods, reason = "which tools have to be there is said from outside")]

mod daemon_harness;
mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use daemon_harness::{Daemon, command};
use seccompiler::BpfProgram;
use serde_json::{Value, json};
use support::{Place, Run};

/// What never comes is not waited for longer.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// A service manager that listens.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(HANGS_AFTER)).unwrap();
        Self(socket)
    }

    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let bytes = self.0.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..bytes].to_vec()).unwrap().trim().to_owned()
    }

    /// The next of what it is told that begins so.
    fn next_that_is(&self, begin: &str) -> String {
        loop {
            let told = self.next();
            if told.starts_with(begin) {
                return told;
            }
        }
    }
}

#[test]
fn a_service_manager_is_told_that_the_daemon_answers_lives_and_ends() {
    let place = Place::new();
    fs::create_dir_all(place.path("run")).unwrap();
    let manager = Manager::at(&place.path("notify"));
    let mut serve = command(&place, &["serve"]);
    serve.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "100000");
    let mut daemon = Daemon { child: serve.spawn().unwrap(), place };
    assert_eq!(manager.next(), "READY=1");
    // No waiting: ready is ready.
    daemon.ok(&["ping"]);
    assert_eq!(manager.next_that_is("WATCHDOG"), "WATCHDOG=1");
    assert_eq!(manager.next_that_is("WATCHDOG"), "WATCHDOG=1");
    daemon.ok(&["drain"]);
    assert_eq!(manager.next_that_is("STOPPING"), "STOPPING=1");
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_service_manager_reads_what_the_daemon_does() {
    let place = Place::new();
    daemon_harness::endless(&place);
    fs::create_dir_all(place.path("run")).unwrap();
    let manager = Manager::at(&place.path("notify"));
    let mut serve = command(&place, &["serve"]);
    serve.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "100000");
    let daemon = Daemon { child: serve.spawn().unwrap(), place };
    assert_eq!(manager.next_that_is("STATUS"), "STATUS=serves: 0 requests, 0 tables at work");
    daemon.ok(&[&["bulk-create", "--detach"], &daemon_harness::ENDLESS[..]].concat());
    while manager.next_that_is("STATUS") != "STATUS=serves: 1 request, 1 table at work" {}
}

const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/systemd");

fn has_systemd_analyze() -> bool {
    let is_there = Command::new("systemd-analyze").arg("--version").output().is_ok();
    if !is_there {
        let required = std::env::var("PERFECTA_TOOLS");
        assert_ne!(required.as_deref(), Ok("required"), "no systemd-analyze");
        println!("skipped: systemd-analyze is not there to read the unit files");
    }
    is_there
}

/// A shell that becomes a daemon which has `passed` as descriptor 3.
fn activated(place: &Place, passed: OwnedFd, count: u32) -> Command {
    let script = format!(
        "exec 3<&0 4<&0 0</dev/null; LISTEN_FDS={count} LISTEN_PID=$$ exec '{}' serve",
        env!("CARGO_BIN_EXE_perfecta")
    );
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).current_dir(place.path("")).stdin(Stdio::from(passed));
    shell.env("XDG_RUNTIME_DIR", place.path("run")).env("XDG_STATE_HOME", place.path("state"));
    shell
}

#[test]
fn a_daemon_serves_the_socket_that_it_was_started_for_and_leaves_it_there() {
    let place = Place::new();
    fs::DirBuilder::new().mode(0o755).create(place.path("sockets")).unwrap();
    let path = place.path("sockets/perfecta.sock");
    let listener = UnixListener::bind(&path).unwrap();
    // A client is there before the daemon, as activation has it.
    let mut early = UnixStream::connect(&path).unwrap();
    early.write_all(b"GET /v1/ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut shell = activated(&place, listener.into(), 1);
    let mut daemon = Daemon { child: shell.spawn().unwrap(), place };
    let mut answer = String::new();
    early.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"is_draining\":false"), "{answer}");
    daemon.place.write_keys("a.keys", &[1, 2, 3]);
    let endpoint = ["--endpoint", "sockets/perfecta.sock"];
    daemon.ok(&[&["create", "a.keys", "out"], &endpoint[..]].concat());
    assert!(daemon.place.path("out/a/manifest.json").exists());
    daemon.ok(&[&["drain"], &endpoint[..]].concat());
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
    assert!(path.exists());
    assert!(!daemon.place.path("run/perfecta").exists());
}

#[test]
fn what_is_passed_and_is_no_socket_is_refused() {
    let place = Place::new();
    place.write("file", b"");
    let check = |passed: OwnedFd, count: u32, code: i32, words: &str| {
        let run = Run::of(&activated(&place, passed, count).output().unwrap());
        assert_eq!(run.code, code, "{}", run.err);
        assert!(run.err.contains(words) && run.err.contains("ListenStream"), "{}", run.err);
    };
    check(File::open(place.path("file")).unwrap().into(), 1, 8, "socket");
    check(UnixListener::bind(place.path("s")).unwrap().into(), 2, 2, "2 sockets");
}

/// A unit's settings, in their order.
fn settings(unit: &str) -> Vec<(String, String)> {
    let unit = fs::read_to_string(Path::new(UNITS).join(unit)).unwrap();
    let settings = unit.lines().filter(|line| !line.starts_with(['#', '[']));
    let settings = settings.filter_map(|line| line.split_once('='));
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_unit_leaves_the_daemon_what_it_needs() {
    let settings = settings("perfecta.service");
    let check = |name: &str, expected: &[&str], why: &str| {
        let found = settings.iter().filter(|(found, _)| found == name);
        let found: Vec<&str> = found.map(|(_, value)| value.as_str()).collect();
        assert_eq!(found, expected, "{name}=: {why}");
    };
    check("RestrictSUIDSGID", &[], "it hides openat2, which confines paths to roots");
    check("SystemCallFilter", &["@system-service"], "the daemon was tried with these calls");
    check("SystemCallErrorNumber", &["EPERM"], "a call that is filtered ends the daemon");
    check("StateDirectoryMode", &["0700"], "the journal is nobody else's");
    check("UMask", &["0022"], "tables are for others to read");
    check("StartLimitIntervalSec", &["0"], "starts that fail take the socket with them");
    check("RestartSec", &["2"], "clients call a daemon silent after 3 s");
    let seconds = |name: &str| -> u32 {
        let found = settings.iter().find_map(|(found, value)| (found == name).then_some(value));
        found.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    };
    // Its last word is that of --grace.
    assert!(seconds("ExecStart") < seconds("TimeoutStopSec"));
}

#[test]
fn a_container_that_is_stopped_ends_before_it_is_killed() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/container/Containerfile");
    let file = fs::read_to_string(file).unwrap();
    let (_, after) = file.split_once("\"--grace\", \"").expect("the command says how long");
    let (grace, _) = after.split_once('"').unwrap();
    // Docker and podman kill after 10 s.
    assert!(grace.parse::<u32>().unwrap() < 10);
}

/// The calls that a filter of systemd's names: `@` begins a set of them, and of other sets.
fn calls(name: &str) -> BTreeSet<String> {
    if !name.starts_with('@') {
        return [name.to_owned()].into();
    }
    let told = Command::new("systemd-analyze").args(["syscall-filter", name]).output().unwrap();
    let told = Run::of(&told);
    assert_eq!(told.code, 0, "{}", told.err);
    let lines = told.out.lines().skip(1).map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).flat_map(calls).collect()
}

/// A filter that ends who makes another call.
fn only(calls: impl Iterator<Item = String>) -> BpfProgram {
    let compiled = |calls: &[String]| {
        let calls: Vec<Value> = calls.iter().map(|call| json!({ "syscall": call })).collect();
        let filter = json!({ "unit": {
            "mismatch_action": "kill_process", "match_action": "allow", "filter": calls
        }});
        let architecture = std::env::consts::ARCH.try_into().unwrap();
        seccompiler::compile_from_json(filter.to_string().as_bytes(), architecture)
    };
    // The sets name calls of other architectures, too.
    let calls: Vec<String> =
        calls.filter(|call| compiled(std::slice::from_ref(call)).is_ok()).collect();
    compiled(&calls).unwrap().remove("unit").unwrap()
}

#[test]
fn a_daemon_with_roots_and_all_that_it_starts_makes_no_call_that_the_unit_forbids() {
    if !has_systemd_analyze() {
        return;
    }
    let settings = settings("perfecta.service");
    let sets = settings.iter().filter(|(name, _)| name == "SystemCallFilter");
    let allowed = only(sets.flat_map(|(_, sets)| sets.split(' ')).flat_map(calls));
    let place = Place::new();
    fs::create_dir_all(place.path("run")).unwrap();
    place.write_keys("root/a.keys", &[1, 2, 3]);
    let script = "'PERFECTA' serve --allow-root root & trap 'kill $!' EXIT; \
        'PERFECTA' client ping --wait-for-server 60 && \
        'PERFECTA' client create root/a.keys root/out && 'PERFECTA' client drain && wait $!";
    let script = script.replace("PERFECTA", env!("CARGO_BIN_EXE_perfecta"));
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).current_dir(place.path(""));
    shell.env("XDG_RUNTIME_DIR", place.path("run")).env("XDG_STATE_HOME", place.path("state"));
    let run = daemon_harness::run_below(&allowed, &mut shell);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert!(place.path("root/out/a/a.pht").exists());
}

#[test]
fn the_unit_files_are_what_systemd_takes() {
    if !has_systemd_analyze() {
        return;
    }
    let place = Place::new();
    for unit in ["perfecta.service", "perfecta.socket"] {
        // It looks whether the program is there.
        let text = fs::read_to_string(Path::new(UNITS).join(unit)).unwrap();
        let text = text.replace("/usr/bin/perfecta", env!("CARGO_BIN_EXE_perfecta"));
        place.write(unit, text.as_bytes());
    }
    let units = ["perfecta.service", "perfecta.socket"].map(|unit| place.path(unit));
    let run =
        Run::of(&Command::new("systemd-analyze").arg("verify").args(&units).output().unwrap());
    let complaints: Vec<&str> = run.err.lines().filter(|line| line.contains("perfecta.")).collect();
    assert_eq!((run.code, complaints), (0, Vec::new()), "{}", run.err);
}
