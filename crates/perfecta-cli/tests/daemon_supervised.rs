//! A daemon under a service manager: the socket that it is passed, and what it tells. What the unit
//! files say is read by the manager itself, where there is one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what is skipped is worth knowing")]
#![allow(clippy::disallowed_methods, reason = "which tools have to be there is said from outside")]

mod daemon_harness;
mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use daemon_harness::{Daemon, command};
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

#[test]
fn the_unit_files_are_what_systemd_takes() {
    let tool = Command::new("systemd-analyze").arg("--version").output();
    if tool.is_err() {
        assert_ne!(
            std::env::var("PERFECTA_TOOLS").as_deref(),
            Ok("required"),
            "no systemd-analyze"
        );
        return println!("skipped: systemd-analyze is not there to read the unit files");
    }
    let place = Place::new();
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd");
    for unit in ["perfecta.service", "perfecta.socket"] {
        // It looks whether the program is there.
        let text = fs::read_to_string(units.join(unit)).unwrap();
        let text = text.replace("/usr/bin/perfecta", env!("CARGO_BIN_EXE_perfecta"));
        place.write(unit, text.as_bytes());
    }
    let units = ["perfecta.service", "perfecta.socket"].map(|unit| place.path(unit));
    let run =
        Run::of(&Command::new("systemd-analyze").arg("verify").args(&units).output().unwrap());
    let complaints: Vec<&str> = run.err.lines().filter(|line| line.contains("perfecta.")).collect();
    assert_eq!((run.code, complaints), (0, Vec::new()), "{}", run.err);
}
