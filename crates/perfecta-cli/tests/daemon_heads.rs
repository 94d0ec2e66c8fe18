//! What a daemon makes of the heads of requests, byte by byte, before their bodies are there.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemon_harness;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use daemon_harness::{Daemon, free_port, write_secret};
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

#[test]
fn a_header_that_there_may_be_once_is_refused_twice() {
    let daemon = Daemon::start(Place::new(), &[]);
    let check = |headers: &str, expected: u16| {
        let message = format!("GET /v1/ping HTTP/1.1\r\n{headers}\r\n\r\n");
        let (_, status, body) = asked(&daemon, &message);
        assert_eq!(status, expected, "{headers}: {body}");
        body
    };
    check("host: x", 200);
    for name in
        ["host", "origin", "perfecta-protocol", "authorization", "idempotency-key", "content-type"]
    {
        let value = if name == "perfecta-protocol" { "1" } else { "localhost" };
        let host = if name == "host" { "" } else { "host: localhost\r\n" };
        let once = format!("{host}{name}: {value}");
        check(&once, 200);
        let refused = check(&format!("{once}\r\n{name}: {value}"), 400);
        assert!(refused.contains(&format!("{name} is there twice")), "{refused}");
    }
    // Of two lengths that differ nobody knows where the next message begins.
    let mut stream = daemon.socket();
    stream
        .write_all(b"POST /v1/requests HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{} ")
        .unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert!(answers.starts_with("HTTP/1.1 400 "), "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
}

#[test]
fn a_body_that_is_sent_in_another_coding_than_in_chunks_is_refused() {
    let daemon = Daemon::start(Place::new(), &[]);
    let check = |coding: &str, expected: u16| {
        let message = format!(
            "POST /v1/requests HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{coding}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
        );
        let (_, status, body) = asked(&daemon, &message);
        assert_eq!(status, expected, "{coding}: {body}");
        body
    };
    // No request, and read as one.
    assert!(check("transfer-encoding: Chunked", 400).contains("missing field"));
    for coding in ["gzip, chunked", "gzip\r\ntransfer-encoding: chunked", "chunked, chunked"] {
        let refused = check(&format!("transfer-encoding: {coding}"), 400);
        assert!(!refused.contains("missing field"), "{refused}");
    }
    check("transfer-encoding: chunked\r\ncontent-encoding: gzip", 415);
    check(
        "transfer-encoding: chunked\r\ncontent-encoding: identity\r\ncontent-encoding: gzip",
        415,
    );
    // The length counts for nothing beside chunks, and nothing behind them is read.
    let both = "POST /v1/requests HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let mut stream = daemon.socket();
    stream.write_all(format!("{both}GET /v1/ping HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
}

#[test]
fn a_name_in_the_address_that_is_asked_for_counts_as_the_host_does() {
    let place = Place::new();
    write_secret(&place, "token", "correct-horse-battery-staple");
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let daemon = Daemon::start(place, &["--listen", &listen, "--token-file", "token"]);
    let check = |address: &str, host: &str, expected: u16| {
        let message = format!(
            "GET {address} HTTP/1.1\r\n{host}authorization: Bearer correct-horse-battery-staple\r\n\r\n"
        );
        let (_, status, body) = asked(&daemon, &message);
        assert_eq!(status, expected, "{message}: {body}");
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(message.as_bytes()).unwrap();
        let (status, body) = answer(&stream);
        assert_eq!(status, expected, "{message}: {body}");
    };
    let here = "host: localhost\r\n";
    check("/v1/ping", here, 200);
    check("http://localhost/v1/ping", here, 200);
    check("http://127.0.0.1:80/v1/ping", here, 200);
    check("http://evil.example/v1/ping", here, 403);
    check("http://evil.example:80/v1/ping", "host: evil.example:80\r\n", 403);
    check("http://localhost/v1/ping", "host: evil.example\r\n", 403);
    // There has to be one.
    check("/v1/ping", "", 400);
}
