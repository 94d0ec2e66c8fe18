//! A daemon of the real binary in a place of its own, and its clients.

#![allow(dead_code, unreachable_pub, reason = "each test file takes what it needs")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule};
use serde_json::Value;

use crate::support::{Place, Run, heeding_hang_up};

/// A port that nobody had a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A file that only its owner may read.
pub fn write_secret(place: &Place, name: &str, content: &str) {
    place.write(name, content.as_bytes());
    fs::set_permissions(place.path(name), Permissions::from_mode(0o600)).unwrap();
}

/// A daemon in a place of its own; it ends with the test, whatever comes.
pub struct Daemon {
    pub place: Place,
    pub child: Child,
}

impl Daemon {
    pub fn start(place: Place, arguments: &[&str]) -> Self {
        fs::create_dir_all(place.path("run")).unwrap();
        let serve = command(&place, &[&["serve"], arguments].concat());
        let child = heeding_hang_up(&serve).spawn().unwrap();
        let daemon = Self { place, child };
        daemon.ok(&["ping", "--wait-for-server", "60"]);
        daemon
    }

    /// Another daemon in the place of one that has ended, or ends now.
    pub fn restart(&mut self, arguments: &[&str]) {
        self.child.wait().unwrap();
        self.child = command(&self.place, &[&["serve"], arguments].concat()).spawn().unwrap();
        self.ok(&["ping", "--wait-for-server", "60"]);
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn client(&self, arguments: &[&str]) -> Command {
        command(&self.place, &[&["client"], arguments].concat())
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        Run::of(&self.client(arguments).output().unwrap())
    }

    pub fn ok(&self, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        assert_eq!(run.code, 0, "{arguments:?}: {}{}", run.out, run.err);
        run
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        self.ok(&[arguments, &["--json"]].concat()).lines().pop().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn socket(&self) -> UnixStream {
        UnixStream::connect(self.place.path("run/perfecta/default.sock")).unwrap()
    }

    /// What a stock client is answered: the status line's number, and the body.
    pub fn http(&self, head: &str, body: &str) -> (u16, String) {
        let mut stream = self.socket();
        let length = body.len();
        let message = format!(
            "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(message.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command whose daemon is this place's own, with all that it keeps.
pub fn command(place: &Place, arguments: &[&str]) -> Command {
    let mut command = place.command(arguments);
    command.env("XDG_RUNTIME_DIR", place.path("run"));
    command.env("XDG_STATE_HOME", place.path("state"));
    command
}

/// What a program comes to below a filter of calls, which threads inherit.
pub fn run_below(filter: &BpfProgram, program: &mut Command) -> Run {
    std::thread::scope(|scope| {
        let filtered = scope.spawn(|| {
            seccompiler::apply_filter(filter).unwrap();
            Run::of(&program.output().unwrap())
        });
        filtered.join().unwrap()
    })
}

/// A filter that lets all calls through but one, where one of the rules holds, or there is none.
pub fn without(call: i64, rules: Vec<SeccompRule>, errno: i32) -> BpfProgram {
    let forbidden = SeccompAction::Errno(errno as u32);
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let rules = [(call, rules)].into();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, forbidden, architecture);
    filter.unwrap().try_into().unwrap()
}

/// A key file that has no table by the hash of [`ENDLESS`].
pub fn endless(place: &Place) {
    let hopeless: Vec<u32> = (1..200).map(|key| key << 20).collect();
    place.write_keys("endless/hopeless.keys", &hopeless);
}

/// So many of them below `name`.
pub fn several_endless(place: &Place, name: &str, files: u32) {
    for file in 0..files {
        let hopeless: Vec<u32> = (1..200).map(|key| (key + file) << 20).collect();
        place.write_keys(&format!("{name}/{file}.keys"), &hopeless);
    }
}

/// A search that goes on until it is told to stop.
pub const ENDLESS: [&str; 6] =
    ["endless", "--no-output", "--hash", "Multiply", "--max-attempts", "0xffff_ffff_ffff"];

/// A client at work on an endless request, which its caller waits for, and the request's id.
pub fn endless_client(daemon: &Daemon) -> (Child, String) {
    let mut client = heeding_hang_up(&daemon.client(&[&["bulk-create"], &ENDLESS[..]].concat()));
    let child = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The list of the daemon says when it was accepted.
    let id = loop {
        let list = daemon.ok(&["list", "--json"]);
        if let Some(running) = list.lines().iter().find(|request| request["state"] == "running") {
            break running["id"].as_str().unwrap().to_owned();
        }
    };
    (child, id)
}

pub fn ended(child: Child) -> Run {
    let output: Output = child.wait_with_output().unwrap();
    Run::of(&output)
}
