//! What was accepted outlives the daemon: the one after it answers for it, and goes on with it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what is skipped is worth knowing")]

mod daemon_harness;
mod support;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::process::{Child, Stdio};
use std::thread;

use daemon_harness::{Daemon, ENDLESS, command, endless};
use rustix::process::Signal;
use serde_json::Value;
use support::{Place, Run, generated_keys};

/// Where a daemon of the harness keeps its requests.
const JOURNAL: &str = "state/perfecta/default/journal";

/// A request for all of `keys`, into `out`, with an idempotency key, and what it is answered.
fn send(daemon: &Daemon, key: &str, out: &str) -> (u16, Value) {
    let here = daemon.place.path("");
    let body = format!(
        r#"{{"directory": "{}", "inputs": {{"tree": {{"root": "keys"}}}}, "output": {{"directory": "{out}"}}, "keys": {{"size": "auto"}}}}"#,
        here.display()
    );
    let head = format!("POST /v1/requests HTTP/1.1\r\nidempotency-key: {key}\r\nx:");
    let (status, answer) = daemon.http(&head, &body);
    (status, serde_json::from_str(&answer).unwrap())
}

fn accepted(daemon: &Daemon, key: &str, out: &str) -> String {
    let (status, answer) = send(daemon, key, out);
    assert_eq!(status, 202, "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

fn detached_endless(daemon: &Daemon) -> String {
    let run = daemon.ok(&[&["bulk-create", "--detach"], &ENDLESS[..]].concat());
    run.out.trim().to_owned()
}

/// The request's status without what is measured.
fn told(daemon: &Daemon, id: &str) -> Value {
    daemon.json(&["status", id])
}

/// What a daemon says that is refused its start.
fn refused(place: &Place, arguments: &[&str]) -> Run {
    Run::of(&command(place, &[&["serve"], arguments].concat()).output().unwrap())
}

#[test]
fn what_was_accepted_is_answered_for_by_the_daemon_after_a_killed_one() {
    let place = Place::new();
    generated_keys(&place);
    endless(&place);
    let mut daemon = Daemon::start(place, &[]);
    let ended = accepted(&daemon, "one", "out");
    daemon.ok(&["wait", &ended]);
    let before = told(&daemon, &ended);
    assert_eq!(before["state"], "done");
    let cancelled = detached_endless(&daemon);
    daemon.ok(&["cancel", &cancelled]);
    assert_eq!(daemon.run(&["wait", &cancelled]).code, 130);
    let running = detached_endless(&daemon);
    let gone = accepted(&daemon, "gone", "other");
    daemon.ok(&["wait", &gone]);
    assert_eq!(daemon.http(&format!("DELETE /v1/requests/{gone}"), "").0, 204);
    for _ in 0..2 {
        daemon.kill();
        daemon.restart(&[]);
        assert_eq!(told(&daemon, &ended), before);
        assert_eq!(told(&daemon, &cancelled)["state"], "cancelled");
        assert_eq!(daemon.run(&["wait", &cancelled]).code, 130);
        assert!(
            ["queued", "running"].contains(&told(&daemon, &running)["state"].as_str().unwrap())
        );
        assert_eq!(daemon.run(&["status", &gone]).code, 4);
        assert_eq!(accepted(&daemon, "one", "out"), ended);
        assert_eq!(send(&daemon, "one", "elsewhere").0, 409);
    }
    let fresh = accepted(&daemon, "two", "out");
    assert!(![&ended, &cancelled, &running].contains(&&fresh));
    daemon.ok(&["wait", &fresh]);
    daemon.ok(&["cancel", &running]);
    assert_eq!(daemon.run(&["wait", &running]).code, 130);
    let mode = |path: &str| fs::metadata(daemon.place.path(path)).unwrap().permissions().mode();
    assert_eq!(mode("state/perfecta/default") & 0o777, 0o700);
    assert_eq!(mode(JOURNAL) & 0o777, 0o600);
}

#[test]
fn a_request_that_was_interrupted_is_run_again_to_its_end() {
    let place = Place::new();
    generated_keys(&place);
    place.ok(&["bulk-create", "keys", "undisturbed", "--key-size", "auto"]);
    let mut daemon = Daemon::start(place, &[]);
    // The second waits for nobody, and is nowhere but in the journal when the daemon is killed.
    let ids = [accepted(&daemon, "one", "out1"), accepted(&daemon, "two", "out2")];
    daemon.kill();
    daemon.restart(&[]);
    let expected = daemon.place.tree("undisturbed");
    for (id, out) in ids.iter().zip(["out1", "out2"]) {
        let waited = daemon.ok(&["wait", id, "--json"]);
        assert_eq!(waited.summary()["failed"], 0);
        assert!(daemon.place.tree(out) == expected, "{out}");
    }
}

#[test]
fn a_request_that_daemons_die_of_is_given_up_and_answered() {
    let place = Place::new();
    endless(&place);
    let mut daemon = Daemon::start(place, &[]);
    let id = detached_endless(&daemon);
    for _ in 0..10 {
        daemon.kill();
        daemon.restart(&[]);
        assert_ne!(told(&daemon, &id)["state"], "failed");
    }
    daemon.kill();
    daemon.restart(&[]);
    let status = told(&daemon, &id);
    assert_eq!(
        (&status["state"], &status["error"]["class"]),
        (&"failed".into(), &"interrupted".into())
    );
    let waited = daemon.run(&["wait", &id]);
    assert_eq!(waited.code, 10, "{}", waited.err);
    assert!(waited.err.contains("help: "), "{}", waited.err);
    daemon.kill();
    daemon.restart(&[]);
    assert_eq!(told(&daemon, &id), status);
}

#[test]
fn what_stands_in_the_way_of_the_journal_is_told_with_the_remedy() {
    let place = Place::new();
    let mut daemon = Daemon::start(place, &[]);
    daemon.ok(&["drain"]);
    daemon.child.wait().unwrap();
    let kept = daemon.place.path("state/perfecta/default");
    let check = |name: &str| {
        fs::create_dir(kept.join(name)).unwrap();
        let run = refused(&daemon.place, &[]);
        assert_eq!(run.code, 8, "{}", run.err);
        assert!(run.err.contains(&format!("default/{name}: ")), "{}", run.err);
        assert!(run.err.contains("help: move what is there away"), "{}", run.err);
        fs::remove_dir(kept.join(name)).unwrap();
    };
    fs::remove_file(kept.join("journal")).unwrap();
    check("journal");
    check("journal.rewritten");
}

/// There may be one every second, where a service manager tries again.
#[test]
fn a_daemon_that_cannot_start_is_none_that_died() {
    let place = Place::new();
    endless(&place);
    let mut daemon = Daemon::start(place, &[]);
    let id = detached_endless(&daemon);
    daemon.kill();
    for _ in 0..11 {
        let run = refused(&daemon.place, &["--numa", "77"]);
        assert_eq!(run.code, 2, "{}", run.err);
    }
    daemon.restart(&[]);
    assert_ne!(told(&daemon, &id)["state"], "failed");
}

/// What a daemon cancels when it is told to end has ended; what it has no time for has not.
#[test]
fn a_daemon_that_ended_in_order_leaves_nothing_to_go_on_with() {
    let place = Place::new();
    endless(&place);
    let mut daemon = Daemon::start(place, &["--grace", "0"]);
    let id = detached_endless(&daemon);
    daemon.signal(Signal::TERM);
    daemon.restart(&[]);
    assert_eq!(told(&daemon, &id)["state"], "cancelled");
    let journal = fs::read_to_string(daemon.place.path(JOURNAL)).unwrap();
    assert!(!journal.contains("\"deaths\":1"), "{journal}");
}

#[test]
fn what_has_ended_is_kept_for_its_time_also_over_restarts() {
    let place = Place::new();
    generated_keys(&place);
    let mut daemon = Daemon::start(place, &[]);
    let id = accepted(&daemon, "one", "out");
    daemon.ok(&["wait", &id]);
    daemon.kill();
    daemon.restart(&["--keep", "3600"]);
    daemon.ok(&["status", &id]);
    // For some seconds it is kept for its client, whatever is asked for.
    loop {
        daemon.kill();
        daemon.restart(&["--keep", "0"]);
        match daemon.run(&["status", &id]).code {
            0 => {}
            code => break assert_eq!(code, 4),
        }
    }
}

#[test]
fn two_daemons_never_share_a_state_directory() {
    let daemon = Daemon::start(Place::new(), &["--state-dir", "kept"]);
    let second = refused(&daemon.place, &["--endpoint", "own/b.sock", "--state-dir", "kept"]);
    assert_eq!(second.code, 11, "{}", second.err);
    assert!(second.err.contains("kept"), "{}", second.err);
    daemon.ok(&["ping"]);
}

/// A daemon without a place of its own; it ends with the test, whatever comes.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn of_two_daemons_that_start_at_once_on_one_state_the_other_leaves_its_place_as_it_was() {
    let place = Place::new();
    DirBuilder::new().mode(0o700).create(place.path("own")).unwrap();
    for round in 0..3 {
        let sockets = ["a", "b"].map(|name| format!("own/{name}{round}.sock"));
        // Of daemons that died.
        sockets.iter().for_each(|socket| drop(UnixListener::bind(place.path(socket)).unwrap()));
        let inode = |socket: &String| fs::metadata(place.path(socket)).unwrap().ino();
        let dead = sockets.each_ref().map(inode);
        let mut daemons = sockets.each_ref().map(|socket| {
            let serve = ["serve", "--endpoint", socket, "--state-dir", "kept"];
            Killed(command(&place, &serve).spawn().unwrap())
        });
        let loser = loop {
            let ended = daemons.iter_mut().map(|daemon| daemon.0.try_wait().unwrap());
            if let Some(loser) = ended.collect::<Vec<_>>().iter().position(Option::is_some) {
                break loser;
            }
            thread::yield_now();
        };
        let code = daemons[loser].0.wait().unwrap().code();
        assert_eq!(code, Some(11));
        let client = |socket: &str| {
            let ping = ["client", "--endpoint", socket, "ping", "--wait-for-server", "60"];
            Run::of(&command(&place, &ping).output().unwrap())
        };
        assert_eq!(client(&sockets[1 - loser]).code, 0);
        assert_eq!(inode(&sockets[loser]), dead[loser]);
    }
}

#[test]
fn a_state_directory_that_others_may_use_is_refused() {
    let place = Place::new();
    fs::create_dir_all(place.path("run")).unwrap();
    fs::create_dir(place.path("open")).unwrap();
    fs::set_permissions(place.path("open"), fs::Permissions::from_mode(0o750)).unwrap();
    let run = refused(&place, &["--state-dir", "open"]);
    assert_eq!(run.code, 12, "{}", run.err);
    assert!(run.err.contains("0750") && run.err.contains("--state-dir"), "{}", run.err);
}

#[test]
fn a_journal_of_another_version_is_refused_by_its_name_and_with_a_remedy() {
    let mut daemon = Daemon::start(Place::new(), &[]);
    daemon.kill();
    let journal = daemon.place.path(JOURNAL);
    fs::write(&journal, "{\"journal\":{\"version\":2}}\n").unwrap();
    let run = refused(&daemon.place, &[]);
    assert_eq!(run.code, 13, "{}", run.err);
    assert!(
        run.err.contains(journal.to_str().unwrap()) && run.err.contains("help: "),
        "{}",
        run.err
    );
}

#[test]
fn a_damaged_line_is_told_and_keeps_no_daemon_from_starting() {
    let place = Place::new();
    generated_keys(&place);
    let mut daemon = Daemon::start(place, &[]);
    let ids = ["one", "two", "three"].map(|key| accepted(&daemon, key, key));
    daemon.kill();
    let journal = daemon.place.path(JOURNAL);
    let text = fs::read_to_string(&journal).unwrap();
    // The end of the first may be written before the second is accepted.
    let damaged = 1 + text.lines().position(|line| line.contains("\"key\":\"two\"")).unwrap();
    fs::write(&journal, text.replacen("\"key\":\"two\"", "\"key\":\"tow\"", 1)).unwrap();
    let mut again = command(&daemon.place, &["serve"]);
    daemon.child = again.stderr(Stdio::piped()).spawn().unwrap();
    daemon.ok(&["ping", "--wait-for-server", "60"]);
    for id in [&ids[0], &ids[2]] {
        daemon.ok(&["wait", id]);
    }
    assert_eq!(daemon.run(&["status", &ids[1]]).code, 4);
    daemon.ok(&["drain"]);
    let mut notices = String::new();
    std::io::Read::read_to_string(daemon.child.stderr.as_mut().unwrap(), &mut notices).unwrap();
    let line = format!("the journal was damaged in line {damaged}, which was skipped;");
    assert!(notices.contains(&line), "{notices}");
}

#[test]
fn a_daemon_without_a_journal_keeps_nothing_and_one_without_a_place_for_it_says_so() {
    let place = Place::new();
    generated_keys(&place);
    let mut daemon = Daemon::start(place, &["--no-journal"]);
    let id = accepted(&daemon, "one", "out");
    daemon.ok(&["wait", &id]);
    daemon.kill();
    assert!(!daemon.place.path("state").exists());
    let mut homeless = command(&daemon.place, &["serve"]);
    homeless.env_remove("XDG_STATE_HOME").env_remove("HOME");
    daemon.child = homeless.stderr(Stdio::piped()).spawn().unwrap();
    daemon.ok(&["ping", "--wait-for-server", "60"]);
    assert_eq!(daemon.run(&["status", &id]).code, 4);
    daemon.ok(&["drain"]);
    let mut notices = String::new();
    std::io::Read::read_to_string(daemon.child.stderr.as_mut().unwrap(), &mut notices).unwrap();
    assert!(notices.contains("--state-dir"), "{notices}");
}

/// A file system of a few pages, until this is dropped.
#[cfg(target_os = "linux")]
struct Mounted(std::path::PathBuf);

#[cfg(target_os = "linux")]
impl Mounted {
    /// `None` where it cannot be had, which is said.
    fn at(directory: std::path::PathBuf) -> Option<Self> {
        use rustix::mount::{MountFlags, mount};
        fs::create_dir_all(&directory).unwrap();
        let options = c"size=64k,mode=0700";
        match mount("tmpfs", &directory, "tmpfs", MountFlags::empty(), options) {
            Ok(()) => Some(Self(directory)),
            Err(errno) => {
                println!("skipped: a tmpfs cannot be mounted: {errno}");
                None
            }
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Mounted {
    fn drop(&mut self) {
        use rustix::mount::{UnmountFlags, unmount};
        unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_journal_that_there_is_no_room_to_rewrite_is_gone_on_with() {
    let place = Place::new();
    generated_keys(&place);
    let Some(mounted) = Mounted::at(place.path("disk")) else { return };
    let mut daemon = Daemon::start(place, &["--state-dir", "disk/kept"]);
    let length = |daemon: &Daemon| {
        fs::metadata(daemon.place.path("disk/kept/journal")).map_or(0, |found| found.len())
    };
    let mut ids = Vec::new();
    while length(&daemon) < 40 << 10 {
        let number = ids.len();
        ids.push(accepted(&daemon, &number.to_string(), "out"));
        daemon.ok(&["wait", &ids[number]]);
    }
    for _ in 0..2 {
        daemon.kill();
        daemon.restart(&["--state-dir", "disk/kept"]);
        assert_eq!(daemon.ok(&["list"]).out.lines().count(), ids.len());
        assert!(!daemon.place.path("disk/kept/journal.rewritten").exists());
        ids.push(accepted(&daemon, &format!("again{}", ids.len()), "out"));
    }
    daemon.kill();
    drop(mounted);
}

/// The file system of the state is full: no request is promised that would be lost.
#[cfg(target_os = "linux")]
#[test]
fn a_request_that_finds_no_room_in_the_journal_is_refused_and_the_next_is_kept() {
    let place = Place::new();
    generated_keys(&place);
    let Some(mounted) = Mounted::at(place.path("disk")) else { return };
    let mut daemon = Daemon::start(place, &["--state-dir", "disk/kept"]);
    let kept = accepted(&daemon, "one", "out1");
    daemon.ok(&["wait", &kept]);
    let filler = daemon.place.path("disk/filler");
    // Until there is no room: the write that is short is the last.
    let _ = fs::write(&filler, vec![0; 1 << 20]);
    let refusals: Vec<Value> = (0..40)
        .map(|number| send(&daemon, &format!("full{number}"), "out2"))
        .filter_map(|(status, answer)| (status == 507).then_some(answer))
        .collect();
    assert!(!refusals.is_empty());
    assert_eq!(refusals[0]["type"], "storage");
    assert!(refusals[0]["detail"].as_str().unwrap().contains("No space left"), "{}", refusals[0]);
    fs::remove_file(&filler).unwrap();
    let next = accepted(&daemon, "two", "out3");
    let num_requests = daemon.ok(&["list"]).out.lines().count();
    // A refusal is no acceptance.
    let counted = format!("perfecta_requests_accepted_total {num_requests}\n");
    let (_, metrics) = daemon.http("GET /metrics", "");
    assert!(metrics.contains(&counted), "{counted}{metrics}");
    assert_eq!(num_requests, 2 + 40 - refusals.len());
    daemon.kill();
    daemon.restart(&["--state-dir", "disk/kept"]);
    assert_eq!(daemon.ok(&["list"]).out.lines().count(), num_requests);
    daemon.ok(&["wait", &next]);
    assert_eq!(told(&daemon, &kept)["state"], "done");
    daemon.kill();
    drop(mounted);
}

/// Nobody sends requests to a daemon that is not ready, so that it finds out by itself that there is room.
#[cfg(target_os = "linux")]
#[test]
fn a_daemon_that_can_keep_no_request_is_not_ready_until_there_is_room() {
    let place = Place::new();
    generated_keys(&place);
    let Some(mounted) = Mounted::at(place.path("disk")) else { return };
    let mut daemon = Daemon::start(place, &["--state-dir", "disk/kept"]);
    let check = |daemon: &Daemon, is_ready: bool| {
        let (status, answer) = daemon.http("GET /readyz", "");
        assert_eq!(status, if is_ready { 200 } else { 507 }, "{answer}");
        assert!(is_ready || answer.contains("No space left"), "{answer}");
        let page = daemon.http("GET /metrics", "").1;
        let told = format!("\nperfecta_journal_full {}\n", u8::from(!is_ready));
        assert!(page.contains(&told), "{told}{page}");
    };
    check(&daemon, true);
    let filler = daemon.place.path("disk/filler");
    let _ = fs::write(&filler, vec![0; 1 << 20]);
    let mut numbers = 0..;
    while send(&daemon, &numbers.next().unwrap().to_string(), "out").0 != 507 {}
    check(&daemon, false);
    // Also from its beginning, before it has refused anybody.
    daemon.kill();
    daemon.restart(&["--state-dir", "disk/kept"]);
    while daemon.http("GET /readyz", "").0 == 200 {}
    check(&daemon, false);
    fs::remove_file(&filler).unwrap();
    while daemon.http("GET /readyz", "").0 != 200 {}
    check(&daemon, true);
    accepted(&daemon, "next", "out");
    daemon.kill();
    drop(mounted);
}
