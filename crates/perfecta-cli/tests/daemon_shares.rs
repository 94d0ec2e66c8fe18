//! What a daemon gives to each of many requests, and that all of them end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemon_harness;
mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use daemon_harness::{Daemon, endless, several_endless};
use serde_json::{Value, json};
use support::Place;

/// One connection that is kept.
struct Conversation(BufReader<UnixStream>);

impl Conversation {
    fn with(daemon: &Daemon) -> Self {
        Self(BufReader::new(daemon.socket()))
    }

    /// The status line's number, the lines of the head, and the body.
    fn ask(&mut self, page: &str, body: &str) -> (u16, Vec<String>, String) {
        let length = body.len();
        let message =
            format!("{page} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
        self.0.get_mut().write_all(message.as_bytes()).unwrap();
        let lines = self.0.by_ref().lines().map(Result::unwrap);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        let status = head[0].split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, String::from_utf8(body).unwrap())
    }

    fn json(&mut self, page: &str) -> Value {
        let (status, _, body) = self.ask(page, "");
        assert!((200..300).contains(&status), "{page}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    fn submit(&mut self, request: &Value) -> String {
        let (status, _, body) = self.ask("POST /v1/requests", &request.to_string());
        assert_eq!(status, 202, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["id"].as_str().unwrap().to_owned()
    }

    fn status(&mut self, id: &str) -> Value {
        self.json(&format!("GET /v1/requests/{id}"))
    }

    /// Ends a request that does not end.
    fn cancel(&mut self, id: &str) -> Value {
        self.json(&format!("POST /v1/requests/{id}/cancel"));
        let ended = self.ended(id);
        assert_eq!(ended["state"], "cancelled");
        ended
    }

    fn ended(&mut self, id: &str) -> Value {
        // The daemon lets go of who waited for long: only a fault lets it do so ten times.
        let mut waits = (0..10).map(|_| self.json(&format!("GET /v1/requests/{id}/wait")));
        waits.find(has_ended).expect("it ends")
    }
}

fn has_ended(status: &Value) -> bool {
    !["queued", "running"].contains(&status["state"].as_str().unwrap())
}

/// Key files of some thousand keys below `name`.
fn keys(place: &Place, name: &str, files: u32) {
    for file in 0..files {
        let keys: Vec<u32> = (0..4_000).map(|key| key * 977 + file).collect();
        place.write_keys(&format!("{name}/{file}.keys"), &keys);
    }
}

fn bulk(place: &Place, name: &str, share: &Value) -> Value {
    json!({"inputs": {"tree": {"root": place.path(name)}}, "output": null, "share": share})
}

/// The files below `endless`, searched until they are cancelled.
fn bulk_endless(place: &Place, share: &Value) -> Value {
    let mut request = bulk(place, "endless", share);
    request["search"] = json!({"hash": "Multiply", "max_attempts": 0xffff_ffff_ffff_u64});
    request
}

/// Tables of a request that are done with.
fn settled(status: &Value) -> u64 {
    let progress = &status["progress"];
    let counts = ["ok", "unchanged", "failed", "cancelled"].map(|state| progress[state].as_u64());
    counts.into_iter().flatten().sum()
}

#[test]
fn a_cap_holds_while_another_request_takes_what_is_left() {
    let place = Place::new();
    keys(&place, "keys", 400);
    several_endless(&place, "endless", 4);
    let daemon = Daemon::start(place, &["--jobs", "6"]);
    let mut conversation = Conversation::with(&daemon);
    let free = bulk_endless(&daemon.place, &json!({"per_file_max": 1}));
    let free = conversation.submit(&free);
    let running = |status: &Value| status["progress"]["running"].as_u64().unwrap_or(0);
    while running(&conversation.status(&free)) < 4 {}
    // Two workers have nothing to do, and more than two would be taken from the other request.
    let capped = bulk(&daemon.place, "keys", &json!({"max_files": 2}));
    let capped = conversation.submit(&capped);
    loop {
        let status = conversation.status(&capped);
        assert!(running(&status) <= 2, "{status}");
        if has_ended(&status) {
            assert_eq!(status["summary"]["ok"], 400);
            break;
        }
    }
    assert_eq!(running(&conversation.status(&free)), 4);
    conversation.cancel(&free);
}

#[test]
fn a_small_request_does_not_wait_for_the_large_one_before_it() {
    let place = Place::new();
    several_endless(&place, "endless", 1_000);
    keys(&place, "small", 10);
    let daemon = Daemon::start(place, &[]);
    let mut conversation = Conversation::with(&daemon);
    let large = conversation.submit(&bulk_endless(&daemon.place, &json!({})));
    while conversation.status(&large)["state"] == "queued" {}
    let small = conversation.submit(&bulk(&daemon.place, "small", &json!({})));
    assert_eq!(conversation.ended(&small)["summary"]["ok"], 10);
    let large = conversation.cancel(&large);
    assert_eq!(large["summary"]["cancelled"], 1_000);
}

#[test]
fn a_small_request_does_not_wait_for_searches_without_end() {
    let place = Place::new();
    endless(&place);
    keys(&place, "small", 10);
    let daemon = Daemon::start(place, &["--jobs", "2"]);
    let mut conversation = Conversation::with(&daemon);
    let hopeless = bulk_endless(&daemon.place, &json!({}));
    let hopeless: Vec<String> = (0..3).map(|_| conversation.submit(&hopeless)).collect();
    while hopeless.iter().any(|id| conversation.status(id)["progress"]["running"] != 1) {}
    let small = conversation.submit(&bulk(&daemon.place, "small", &json!({})));
    assert_eq!(conversation.ended(&small)["summary"]["ok"], 10);
    for id in &hopeless {
        assert_eq!(conversation.status(id)["state"], "running");
        conversation.cancel(id);
    }
}

#[test]
fn equal_requests_go_on_side_by_side() {
    let place = Place::new();
    keys(&place, "keys", 300);
    let daemon = Daemon::start(place, &[]);
    let mut conversation = Conversation::with(&daemon);
    let request = bulk(&daemon.place, "keys", &json!({}));
    let ids: Vec<String> = (0..3).map(|_| conversation.submit(&request)).collect();
    let at_first_end = loop {
        let statuses: Vec<Value> = ids.iter().map(|id| conversation.status(id)).collect();
        if statuses.iter().any(has_ended) {
            break statuses;
        }
    };
    for status in &at_first_end {
        assert!(settled(status) >= 150, "{at_first_end:?}");
    }
    ids.iter().for_each(|id| assert_eq!(conversation.ended(id)["summary"]["ok"], 300));
}

#[test]
fn ten_thousand_requests_are_taken_and_each_ends_once() {
    const OUTSTANDING: usize = 10_000;
    let place = Place::new();
    endless(&place);
    keys(&place, "keys", 1);
    // The only file that may be in flight is the first request's until that is cancelled.
    let daemon = Daemon::start(place, &["--jobs", "1", "--max-files", "1"]);
    let mut conversation = Conversation::with(&daemon);
    let first = conversation.submit(&bulk_endless(&daemon.place, &json!({})));
    let small = bulk(&daemon.place, "keys", &json!({}));
    let ids: BTreeSet<String> = (1..OUTSTANDING).map(|_| conversation.submit(&small)).collect();
    assert_eq!(ids.len(), OUTSTANDING - 1);
    let (status, head, body) = conversation.ask("POST /v1/requests", &small.to_string());
    assert_eq!(status, 503, "{body}");
    assert!(head.iter().any(|line| line.starts_with("retry-after: ")), "{head:?}");
    assert_eq!(conversation.json("GET /v1/ping")["requests_outstanding"], OUTSTANDING);
    let (_, head, page) = conversation.ask("GET /v1/requests", "");
    assert_eq!(serde_json::from_str::<Vec<Value>>(&page).unwrap().len(), 1_000);
    assert!(head.iter().any(|line| line == "perfecta-next: 1000"), "{head:?}");
    let listed: BTreeSet<String> = daemon
        .ok(&["list", "--json"])
        .lines()
        .iter()
        .map(|request| request["id"].as_str().unwrap().to_owned())
        .collect();
    assert!(listed.len() == OUTSTANDING && listed.is_superset(&ids));

    conversation.json(&format!("POST /v1/requests/{first}/cancel"));
    for id in &ids {
        let status = conversation.ended(id);
        assert_eq!((&status["state"], &status["summary"]["ok"]), (&json!("done"), &json!(1)));
    }
    assert_eq!(conversation.ended(&first)["state"], "cancelled");
    let stats = conversation.json("GET /v1/stats");
    assert_eq!(stats["requests_outstanding"], 0);
    assert_eq!(stats["requests_kept"], OUTSTANDING);
    assert_eq!(stats["ledger_difference"], 0);
    let (_, _, metrics) = conversation.ask("GET /metrics", "");
    let ended = metrics.lines().filter(|line| line.starts_with("perfecta_requests_ended"));
    let ended: u64 =
        ended.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(ended, OUTSTANDING as u64, "{metrics}");
}
