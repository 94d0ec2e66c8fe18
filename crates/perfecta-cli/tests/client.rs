//! What a client does with requests that the daemon keeps, and says of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemon_harness;
mod support;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use daemon_harness::{Daemon, ended, endless, endless_client};
use rustix::process::{Pid, Signal, kill_process};
use support::{Place, Run};

/// A daemon with an endless key file, and one that is soon done.
fn daemon() -> Daemon {
    let place = Place::new();
    endless(&place);
    place.write_keys("keys/a.keys", &[1, 2, 3]);
    Daemon::start(place, &[])
}

/// The id of a request that is done.
fn done(daemon: &Daemon) -> String {
    let id = daemon.ok(&["bulk-create", "keys", "out", "--detach"]).out.trim().to_owned();
    daemon.ok(&["wait", &id]);
    id
}

#[test]
fn what_is_cancelled_is_said_to_be_over_or_to_have_been() {
    let daemon = daemon();
    let (client, id) = endless_client(&daemon);
    let run = daemon.ok(&["cancel", &id]);
    assert_eq!(run.out, format!("{id} cancelled 1 table: 0 ok, 1 cancelled\n"));
    assert_eq!(run.err, "");
    assert_eq!(ended(client).code, 130);
    let again = daemon.ok(&["cancel", &id]);
    assert_eq!((again.out, again.err), (run.out, format!("request {id} was over already\n")));
    let id = done(&daemon);
    let run = daemon.ok(&["cancel", &id]);
    assert!(run.out.starts_with(&format!("{id} done 1 table: 1 ")), "{}", run.out);
    assert_eq!(run.err, format!("request {id} was over already\n"));
    assert_eq!(daemon.json(&["cancel", &id])["state"], "done");
    assert_eq!(daemon.run(&["cancel", "1-1"]).code, 4);
}

#[test]
fn a_request_that_has_ended_is_forgotten_and_no_other_is() {
    let daemon = daemon();
    let (client, id) = endless_client(&daemon);
    let run = daemon.run(&["forget", &id]);
    assert_eq!((run.code, run.out.as_str()), (7, ""), "{}", run.err);
    assert!(run.err.contains(&format!("request {id} has not ended\n  help: cancel it first")));
    daemon.ok(&["cancel", &id]);
    ended(client);
    assert_eq!(daemon.ok(&["forget", &id]).out, format!("{id} forgotten\n"));
    assert_eq!(daemon.run(&["forget", &id]).code, 4);
    let id = done(&daemon);
    let line = daemon.json(&["forget", &id]);
    assert_eq!((&line["type"], &line["id"]), (&"forgotten".into(), &id.into()));
    assert_eq!(daemon.ok(&["list"]).out, "");
    assert!(daemon.place.path("out/a/a.pht").exists());
}

#[test]
fn requests_are_listed_by_their_state_and_the_last_of_them() {
    let daemon = daemon();
    let (first, second) = (done(&daemon), done(&daemon));
    let (client, running) = endless_client(&daemon);
    let check = |options: &[&str], expected: &[&str]| {
        let lines = daemon.ok(&[&["list", "--json"], options].concat()).lines();
        let ids: Vec<&str> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected, "{options:?}");
    };
    let all = [first.as_str(), second.as_str(), running.as_str()];
    check(&[], &all);
    check(&["--limit", "2"], &all[1..]);
    check(&["--limit", "9"], &all);
    check(&["--state", "done"], &all[..2]);
    check(&["--state", "done", "--limit", "1"], &all[1..2]);
    check(&["--state", "running", "--state", "done"], &all);
    check(&["--state", "expired"], &[]);
    let wrong = daemon.run(&["list", "--state", "over"]);
    assert_eq!(wrong.code, 2, "{}", wrong.err);
    let states = "[possible values: queued, running, done, cancelled, expired, failed]";
    assert!(wrong.err.contains(states), "{}", wrong.err);
    daemon.ok(&["cancel", &running]);
    ended(client);
}

/// What was told named fields of a request, which its user had not written.
#[test]
fn what_a_daemon_refuses_is_told_of_the_options_that_ask_for_it() {
    let daemon = daemon();
    let check = |arguments: &[&str], code: i32, words: &str| {
        let run = daemon.run(arguments);
        assert_eq!((run.code, run.err.as_str()), (code, words), "{arguments:?}");
    };
    let create = ["create", "keys/a.keys", "--no-output"];
    check(
        &[&create[..], &["--node-policy", "node:9"]].concat(),
        2,
        "error: --node-policy: there is no node 9\n  help: there are: 0\n",
    );
    let long = "x".repeat(1_025);
    check(
        &["bulk-create", "keys", "--no-output", "--exclude", &long],
        2,
        "error: --exclude: has a pattern of 1025 bytes, more than 1024\n  help: name a shorter one\n",
    );
    let long = "d/".repeat(2_049);
    let said = |what: &str| {
        let begin = "d/".repeat(32);
        format!(
            "error: {what}: \"{begin} ...\" is a path of 4098 bytes, more than 4096\n  help: name a shorter one\n"
        )
    };
    check(&["create", &long, "--no-output"], 2, &said("key file"));
    check(&["bulk-create", "keys", &long], 2, &said("output directory"));
    check(
        &["status", "1-1"],
        4,
        "error: there is no request \"1-1\"\n  help: `perfecta client list` (GET /v1/requests) lists \
         those that are kept\n",
    );
}

#[test]
fn what_a_daemon_says_of_itself_is_a_line_for_people_or_for_machines() {
    let mut daemon = daemon();
    let (client, _) = endless_client(&daemon);
    let said = daemon.ok(&["ping"]).out;
    let (begin, end) = said.split_once(", up ").unwrap();
    let process = format!("serves: process {}", daemon.child.id());
    assert!(begin.starts_with("perfecta ") && begin.ends_with(&process), "{said}");
    assert!(end.ends_with(" s; 1 request, 1 table at work, 0 waiting\n"), "{said}");
    let stats = daemon.json(&["stats"]);
    assert_eq!((&stats["type"], &stats["machine"]["jobs"]), (&"stats".into(), &1.into()));
    for (command, is_draining) in [("ping", false), ("drain", true), ("shutdown", true)] {
        let line = daemon.json(&[command]);
        assert_eq!((&line["type"], &line["is_draining"]), (&"ping".into(), &is_draining.into()));
    }
    assert_eq!(ended(client).code, 130);
    assert!(daemon.child.wait().unwrap().success());
}

#[test]
fn a_client_that_leaves_says_how_its_request_is_found_again() {
    let daemon = daemon();
    let (mut client, id) = endless_client(&daemon);
    // So that nothing comes of the first one.
    daemon.signal(Signal::STOP);
    while client.try_wait().unwrap().is_none() {
        kill_process(Pid::from_child(&client), Signal::INT).unwrap();
        std::thread::yield_now();
    }
    daemon.signal(Signal::CONT);
    let run = ended(client);
    let words = format!(
        "error: left; the daemon may still be at work on request {id}\n  help: `perfecta client wait {id}` \
         follows it, `perfecta client cancel {id}` ends it\n"
    );
    assert_eq!((run.code, run.err), (130, words));
    daemon.ok(&["cancel", &id]);
}

#[test]
fn a_path_that_cannot_be_sent_is_named() {
    let daemon = daemon();
    let check = |mut client: Command, name: &[u8]| {
        let output = client.arg(OsStr::from_bytes(name)).arg("--no-output").output().unwrap();
        let run = Run::of(&output);
        let shown = String::from_utf8_lossy(name);
        let words = format!("error: {shown}: it is not UTF-8, and cannot be sent to a daemon\n");
        assert!(run.code == 2 && run.err.starts_with(&words), "{}", run.err);
    };
    check(daemon.client(&["create"]), b"k\xff.keys");
    check(daemon.client(&["bulk-create"]), b"k\xff");
}

#[test]
fn options_of_the_daemon_are_said_to_be_its_own() {
    let daemon = daemon();
    let check = |option: &str, is_daemons: bool| {
        let arguments = ["bulk-create", "keys", "--no-output", "--json", option, "3"];
        let run = daemon.run(&arguments);
        let remedy = &run.lines()[0]["remedy"];
        let words = "it is the daemon's: give it to `perfecta serve`";
        assert_eq!(run.code, 2, "{}", run.err);
        assert_eq!(run.err.contains(&format!("tip: {words}\n")), is_daemons, "{}", run.err);
        assert_eq!(remedy.as_str(), is_daemons.then_some(words));
    };
    check("--jobs", true);
    check("--numa", true);
    check("--job", false);
    check("--trace", false);
}

#[test]
fn a_directory_that_is_gone_matters_to_relative_paths_alone() {
    let daemon = daemon();
    let run = |keys: &str| {
        let client = daemon.client(&["create", keys, "--no-output"]);
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"mkdir gone && cd gone && rmdir ../gone && exec "$0" "$@""#]);
        shell.arg(client.get_program()).args(client.get_args()).current_dir(daemon.place.path(""));
        shell.envs(client.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Run::of(&shell.output().unwrap())
    };
    let absolute = run(daemon.place.path("keys/a.keys").to_str().unwrap());
    assert_eq!(absolute.code, 0, "{}", absolute.err);
    let relative = run("a.keys");
    let words = "error: cannot find the working directory .: No such file or directory (os error 2)\n  \
                 help: change into one that is there, or give absolute paths\n";
    assert_eq!((relative.code, relative.err.as_str()), (8, words));
}

#[test]
fn a_path_that_no_socket_can_have_is_refused_as_that() {
    let place = Place::new();
    let long = "x".repeat(200);
    for command in [&["client", "ping"][..], &["serve"]] {
        let run = place.run(&[command, &["--endpoint", &long]].concat());
        let words = format!("error: {long} (200 bytes) is no path of a socket: ");
        assert!(run.code == 2 && run.err.starts_with(&words), "{}", run.err);
        assert!(run.err.contains("help: name a shorter one with --endpoint"), "{}", run.err);
    }
}

#[test]
fn the_hardest_key_file_is_named_as_its_table_is() {
    let daemon = daemon();
    let (client, id) = endless_client(&daemon);
    // It is told of after the first attempts.
    let hardest = loop {
        let status = daemon.json(&["status", &id]);
        if let Some(name) = status["progress"]["hardest"]["keys_file"].as_str() {
            break name.to_owned();
        }
    };
    assert_eq!(hardest, "endless/hopeless.keys");
    daemon.ok(&["cancel", &id]);
    ended(client);
}

/// The first error of whoever forgot the daemon, or its name.
#[test]
fn where_no_daemon_is_the_options_that_help_are_named() {
    let place = Place::new();
    let check = |options: &[&str], named: &[&str]| {
        let mut client = daemon_harness::command(&place, &[&["client", "ping"], options].concat());
        let run = Run::of(&client.output().unwrap());
        assert_eq!(run.code, 10, "{}", run.err);
        let (_, help) = run.err.split_once("help: ").unwrap();
        let told: Vec<&str> = ["serve", "--name", "--endpoint", "--ensure-server", "--listen"]
            .into_iter()
            .filter(|option| help.contains(option))
            .collect();
        assert_eq!(told, named, "{help}");
    };
    let here = ["serve", "--name", "--endpoint", "--ensure-server"];
    check(&[], &here);
    check(&["--name", "other"], &here);
    check(&["--endpoint", "none.sock"], &here);
    let address = format!("http://127.0.0.1:{}", daemon_harness::free_port());
    check(&["--endpoint", &address], &["serve", "--endpoint", "--listen"]);
}
