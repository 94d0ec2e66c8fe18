//! What a request asks for beside its keys reaches the job in the daemon, and acts there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemon_harness;
mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use daemon_harness::{Daemon, ENDLESS, command, endless, several_endless};
use serde_json::{Value, json};
use support::{Place, Run};

/// A request on the endless keys in memory, with `change` in it.
fn submit(daemon: &Daemon, section: &str, change: Value) -> (u16, Value) {
    let mut spec = json!({
        "inputs": {"tree": {"root": daemon.place.path("endless")}},
        "output": null,
        "search": {"hash": "Multiply", "max_attempts": u64::MAX},
        "limits": {"max_milliseconds": u64::MAX},
    });
    let fields = spec.as_object_mut().unwrap().entry(section).or_insert_with(|| json!({}));
    fields.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let (status, answer) = daemon.http("POST /v1/requests", &spec.to_string());
    (status, serde_json::from_str(&answer).unwrap())
}

fn id_of((status, answer): (u16, Value)) -> String {
    assert_eq!(status, 202, "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

fn stats(daemon: &Daemon) -> Value {
    serde_json::from_str(&daemon.http("GET /v1/stats", "").1).unwrap()
}

/// The end of a request, waited for.
fn end_of(daemon: &Daemon, id: &str) -> Value {
    loop {
        let (status, answer) = daemon.http(&format!("GET /v1/requests/{id}/wait"), "");
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        if !["queued", "running"].contains(&answer["state"].as_str().unwrap()) {
            return answer;
        }
    }
}

#[test]
fn a_request_that_is_not_done_in_time_expires() {
    let place = Place::new();
    endless(&place);
    let daemon = Daemon::start(place, &[]);
    let id = id_of(submit(&daemon, "limits", json!({"deadline_ms": 200})));
    let end = end_of(&daemon, &id);
    assert_eq!((&end["state"], &end["summary"]["cancelled"]), (&json!("expired"), &json!(1)));
    assert_eq!(end["summary"]["exit_code"], 15);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let at = submit(&daemon, "limits", json!({"deadline_unix_ms": now + 200}));
    assert_eq!(end_of(&daemon, &id_of(at))["state"], "expired");
    let both = submit(&daemon, "limits", json!({"deadline_ms": 1, "deadline_unix_ms": 1}));
    assert_eq!((both.0, &both.1["field"]), (422, &json!("limits.deadline_unix_ms")));
}

#[test]
fn the_client_and_the_command_end_alike_past_their_deadline() {
    let place = Place::new();
    endless(&place);
    let daemon = Daemon::start(place, &[]);
    let late =
        [&["bulk-create"], &ENDLESS[..], &["--deadline", "0.2", "--max-seconds", "60", "--json"]]
            .concat();
    let (here, there) = (daemon.place.run(&late), daemon.run(&late));
    for run in [here, there] {
        assert_eq!(run.code, 15, "{}", run.err);
        assert_eq!(run.summary()["cancelled"], 1);
    }
    let past =
        [&["bulk-create"], &ENDLESS[..], &["--deadline", "@1", "--max-seconds", "60"]].concat();
    assert_eq!(daemon.run(&past).code, 15);
    assert_eq!(daemon.place.run(&past).code, 15);
}

/// The time that is left would be counted from when a daemon accepts it, however long it was waited for.
#[test]
fn the_client_tells_its_deadline_as_a_time() {
    let place = Place::new();
    endless(&place);
    let daemon = Daemon::start(place, &[]);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let told = |deadline: &str| {
        let detach = ["bulk-create", "--detach", "--deadline", deadline];
        let id = daemon.ok(&[&detach, &ENDLESS[..]].concat()).out;
        let (_, spec) = daemon.http(&format!("GET /v1/requests/{}/spec", id.trim()), "");
        let limits = serde_json::from_str::<Value>(&spec).unwrap()["limits"].clone();
        daemon.ok(&["cancel", id.trim()]);
        assert_eq!(limits["deadline_ms"], Value::Null, "{limits}");
        limits["deadline_unix_ms"].as_u64().unwrap()
    };
    assert_eq!(told("@4102444800.25"), 4_102_444_800_250);
    let (before, at, after) = (now(), told("1000"), now());
    assert!((before..=after).contains(&(at - 1_000_000)), "{before} {at} {after}");
}

/// So many requests may run at once in a daemon; further ones wait to be listed.
const ACTIVE: usize = 64;

#[test]
fn a_request_that_still_waits_expires_or_is_cancelled_at_once() {
    let place = Place::new();
    endless(&place);
    let daemon = Daemon::start(place, &[]);
    for _ in 0..ACTIVE {
        id_of(submit(&daemon, "share", json!({})));
    }
    let late = id_of(submit(&daemon, "limits", json!({"deadline_ms": 1})));
    let end = end_of(&daemon, &late);
    assert_eq!((&end["state"], &end["progress"]), (&json!("expired"), &Value::Null));
    assert_eq!(
        (&end["error"]["class"], &end["error"]["exit_code"]),
        (&json!("expired"), &json!(15))
    );
    assert_eq!(daemon.run(&["wait", &late]).code, 15);
    let unwanted = id_of(submit(&daemon, "share", json!({})));
    assert_eq!(daemon.json(&["status", &unwanted])["state"], "queued");
    daemon.ok(&["cancel", &unwanted]);
    let end = end_of(&daemon, &unwanted);
    assert_eq!((&end["state"], &end["progress"]), (&json!("cancelled"), &Value::Null));
    assert_eq!(daemon.run(&["wait", &unwanted]).code, 130);
}

#[test]
fn a_node_that_there_is_not_is_refused_and_one_that_there_is_works() {
    let place = Place::new();
    place.write_keys("endless/good.keys", &[1, 2, 3]);
    let daemon = Daemon::start(place, &[]);
    let (status, problem) = submit(&daemon, "share", json!({"node_policy": "node:99"}));
    assert_eq!((status, &problem["field"]), (422, &json!("share.node_policy")), "{problem}");
    let refused =
        daemon.run(&["bulk-create", "endless", "--no-output", "--node-policy", "node:99"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    for policy in ["node:0", "round-robin", "least-loaded"] {
        daemon.ok(&["bulk-create", "endless", "--no-output", "--node-policy", policy]);
    }
}

/// At what is not to change any more.
const LOOKS: u32 = 200;

#[test]
fn no_more_key_files_are_begun_at_once_than_a_request_may_have() {
    let place = Place::new();
    several_endless(&place, "endless", 4);
    let daemon = Daemon::start(place, &["--jobs", "3"]);
    let in_flight = || stats(&daemon)["machine"]["session"]["files_in_flight"].as_u64().unwrap();
    let check = |files_max: u64| {
        let share = json!({"max_files": files_max, "per_file_max": 1});
        let id = id_of(submit(&daemon, "share", share));
        while in_flight() < files_max {}
        // Workers that are idle would have begun another one long before the last look.
        let most = (0..LOOKS).map(|_| in_flight()).max();
        assert_eq!(most, Some(files_max));
        daemon.ok(&["cancel", &id]);
        end_of(&daemon, &id);
    };
    check(1);
    check(2);
}

#[test]
fn attempts_at_once_are_those_of_the_request() {
    let place = Place::new();
    endless(&place);
    let daemon = Daemon::start(place, &["--jobs", "3"]);
    // More looks than any machine takes until its workers sleep.
    const LOOKS_MAX: usize = 10_000;
    let idle = |share: Value, wanted: u64| {
        let id = id_of(submit(&daemon, "share", share));
        let is_so = (0..LOOKS_MAX).any(|_| {
            let session = stats(&daemon)["machine"]["session"].clone();
            session["files_in_flight"] == 1 && session["workers_idle"] == wanted
        });
        assert!(is_so, "{wanted} workers were to be idle");
        daemon.ok(&["cancel", &id]);
        end_of(&daemon, &id);
    };
    idle(json!({"per_file_initial": 1, "per_file_max": 1}), 2);
    idle(json!({"per_file_initial": 1, "ramp_ms": 0}), 2);
    idle(json!({"per_file_initial": 2, "ramp_ms": 0}), 1);
    idle(json!({"per_file_initial": 1, "ramp_ms": 1, "per_file_max": 3}), 0);
}

#[test]
fn a_deadline_bounds_what_a_client_waits_for_a_daemon() {
    let place = Place::new();
    place.write_keys("a.keys", &[1, 2]);
    let waits = ["--deadline", "0.2", "--wait-for-server", "10", "--name", "nobody"];
    let run = place.run(&[&["client", "create", "a.keys", "--no-output"], &waits[..]].concat());
    assert_eq!(run.code, 15, "{}", run.err);
    assert!(run.err.contains("its time was over"), "{}", run.err);
}

#[test]
fn limits_of_a_request_fail_its_tables_with_their_reason() {
    let place = Place::new();
    endless(&place);
    place.write_keys("good/a.keys", &[1, 2, 3]);
    let daemon = Daemon::start(place, &[]);
    let check = |arguments: &[&str], code: i32| {
        let run = daemon.run(&[&["bulk-create"], arguments].concat());
        assert_eq!(run.code, code, "{arguments:?} {}", run.err);
    };
    check(&["endless", "--no-output", "--hash", "Multiply", "--max-attempts", "7"], 6);
    check(&["endless", "--no-output", "--hash", "Multiply", "--max-seconds", "0.05"], 6);
    check(&["good", "out", "--max-output-bytes", "10"], 8);
    check(&["good", "out", "--memory", "1"], 6);
}

/// A client with little memory had its daemon do with as little.
#[test]
fn memory_is_the_daemons_unless_the_request_says_how_much() {
    let place = Place::new();
    place.write_keys("good/a.keys", &[1, 2, 3]);
    let daemon = Daemon::start(place, &[]);
    let check = |more: &[&str], expected: Value| {
        let request = ["bulk-create", "good", "--no-output", "--detach"];
        let id = daemon.ok(&[&request, more].concat()).out;
        let (status, spec) = daemon.http(&format!("GET /v1/requests/{}/spec", id.trim()), "");
        let spec: Value = serde_json::from_str(&spec).unwrap();
        assert_eq!((status, &spec["limits"]["memory_bytes"]), (200, &expected), "{spec}");
    };
    check(&[], Value::Null);
    check(&["--memory", "512M"], json!(512 << 20));
    for command in ["create", "bulk-create"] {
        let help = daemon.ok(&[command, "--help"]).out;
        assert!(help.contains("Memory of the daemon for key files"), "{help}");
    }
}

#[test]
fn a_dry_run_is_refused_with_the_command_that_makes_it_before_a_daemon_is_started() {
    let place = Place::new();
    for asked in ["create", "bulk-create"] {
        let client = ["client", asked, "keys", "out", "--dry-run", "--ensure-server"];
        let run = Run::of(&command(&place, &client).output().unwrap());
        assert_eq!(run.code, 2, "{}", run.err);
        let direct = format!("`perfecta {asked} ... --dry-run`");
        assert!(run.err.contains(&direct), "{}", run.err);
    }
    assert!(!place.path("run").exists() && !place.path("state").exists());
}

#[test]
fn the_options_of_a_request_are_told_by_its_help() {
    let place = Place::new();
    let help = |arguments: &[&str]| {
        Run::of(&command(&place, &[arguments, &["--help"]].concat()).output().unwrap()).out
    };
    let (direct, client) = (help(&["bulk-create"]), help(&["client", "bulk-create"]));
    for own in ["three quarters of what there is", "or twice the worker threads"] {
        let is_told =
            |help: &str| help.split_whitespace().collect::<Vec<_>>().join(" ").contains(own);
        assert!(is_told(&direct) && !is_told(&client), "{own}");
    }
    let flags = |help: &str| -> Vec<String> {
        let words = help.split_whitespace().filter(|word| word.starts_with("--"));
        words.map(|word| word.trim_end_matches(',').to_owned()).collect()
    };
    let own =
        ["--jobs", "--io-backend", "--io-depth", "--numa", "--guard-pages", "--trace", "--dry-run"];
    let client = flags(&client);
    for flag in flags(&direct).iter().filter(|flag| !own.contains(&flag.as_str())) {
        assert!(client.contains(flag), "{flag}");
    }
}
