//! What a daemon makes of the heads of requests, byte by byte, before their bodies are there.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemon_harness;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use daemon_harness::Daemon;
use serde_json::Value;
use support::Place;

/// The status and the body of the next answer.
fn answer(stream: impl Read) -> (u16, String) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "{head}");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    (head[9..12].parse().unwrap(), String::from_utf8(body).unwrap())
}

fn asked(daemon: &Daemon, message: &str) -> (UnixStream, u16, String) {
    let mut stream = daemon.socket();
    stream.write_all(message.as_bytes()).unwrap();
    let (status, body) = answer(&stream);
    (stream, status, body)
}

/// The body never comes.
#[test]
fn a_head_that_is_refused_is_refused_without_its_body() {
    let daemon = Daemon::start(Place::new(), &[]);
    let check = |head: &str, bytes: u64, expected: (u16, &str)| {
        let message = format!("{head} HTTP/1.1\r\nhost: x\r\ncontent-length: {bytes}\r\n\r\n");
        let (_stream, status, body) = asked(&daemon, &message);
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, problem["type"].as_str().unwrap()), expected, "{head}: {body}");
    };
    check("POST /v1/requests", 1_000_000_000, (413, "too_large"));
    check("POST /v1/requests", (16 << 20) + 1, (413, "too_large"));
    check("POST /v1/nothing", 100, (404, "not_found"));
    check("POST /v1/requests/none/cancel", 100, (404, "not_found"));
    check("PUT /v1/requests", 100, (405, "method_not_allowed"));
    check("POST /v1/ping", 100, (405, "method_not_allowed"));
    check(
        "POST /v1/requests HTTP/1.1\r\nperfecta-protocol: 7\r\nx:",
        100,
        (400, "version_mismatch"),
    );
}

#[test]
fn a_body_that_no_page_wants_is_passed_over_and_the_connection_goes_on() {
    let daemon = Daemon::start(Place::new(), &[]);
    let head = "POST /v1/requests/none/cancel HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n";
    let (mut stream, status, _) = asked(&daemon, head);
    assert_eq!(status, 404);
    let rest = format!("{}GET /v1/ping HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(100));
    stream.write_all(rest.as_bytes()).unwrap();
    assert_eq!(answer(&stream).0, 200);
}
