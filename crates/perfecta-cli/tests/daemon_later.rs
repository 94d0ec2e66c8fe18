//! The client of today and a daemon of tomorrow, which says more than the client knows.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemon_harness;
mod support;

use std::fs::{self, DirBuilder};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::thread;

use daemon_harness::command;
use support::{Place, Run};

/// What a client comes to that is answered so.
fn told(arguments: &[&str], status: &str, kind: &str, body: &str) -> Run {
    let place = Place::new();
    fs::create_dir(place.path("run")).unwrap();
    DirBuilder::new().mode(0o700).create(place.path("run/perfecta")).unwrap();
    let listener = UnixListener::bind(place.path("run/perfecta/default.sock")).unwrap();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nperfecta-protocol: 1\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let daemon = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = BufReader::new(stream.try_clone().unwrap()).lines();
        while asked.next().is_some_and(|line| !line.unwrap().is_empty()) {}
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let run = Run::of(&command(&place, &[&["client"], arguments].concat()).output().unwrap());
    daemon.join().unwrap();
    run
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

#[test]
fn a_state_that_is_not_known_is_told_as_it_is() {
    let request = r#"{"id":"1-1","state":"hibernating","mood":[],"ended_unix_ms":null,"progress":null,"summary":null,"error":null}"#;
    let run = told(&["status", "1-1"], "200 OK", JSON, request);
    assert_eq!((run.code, run.out.as_str()), (0, "1-1 hibernating\n"), "{}", run.err);
    let run = told(&["status", "1-1", "--json"], "200 OK", JSON, request);
    assert_eq!(run.lines()[0]["state"], "hibernating");
    let run = told(&["list"], "200 OK", JSON, &format!("[{request}]"));
    assert_eq!((run.code, run.out.as_str()), (0, "1-1 hibernating\n"), "{}", run.err);
}

#[test]
fn a_problem_that_is_not_known_is_told_and_ends_by_its_status() {
    let problem =
        r#"{"type":"full_moon","title":"not tonight","detail":"wait for dawn","instance":"/x"}"#;
    let run =
        told(&["status", "1-1"], "503 Service Unavailable", "application/problem+json", problem);
    assert_eq!((run.code, run.err.as_str()), (11, "error: not tonight: wait for dawn\n"));
}

/// The events of a request with one more event, and one more status of a table, than there are.
fn events(exit_code: u8) -> String {
    let table = r#"{"keys_file":"a.keys","table":"a","status":"vanished","keys":1,"bytes":0,"files":0,"error":{"class":"magic","exit_code":99,"message":"gone","remedy":null}}"#;
    let summary = format!(
        r#"{{"tables":1,"ok":0,"unchanged":0,"failed":1,"cancelled":0,"keys":0,"wall_seconds":1,"cpu_seconds":1,"bytes":0,"files":0,"threads_max":1,"memory_peak_bytes":null,"exit_code":{exit_code}}}"#
    );
    format!(
        "event: mood\ndata: {{}}\n\nevent: table\nid: 7\ndata: {table}\n\nevent: end\ndata: {{\"id\":\"1-1\",\"state\":\"superseded\",\"summary\":{summary},\"error\":null}}\n\n"
    )
}

#[test]
fn a_request_that_is_followed_comes_to_what_its_result_says() {
    let run = told(&["wait", "1-1"], "200 OK", EVENTS, &events(99));
    assert_eq!((run.code, run.err.as_str()), (99, "error: a.keys: gone\n"), "{}", run.out);
    let run = told(&["wait", "1-1"], "200 OK", EVENTS, &events(0));
    assert_eq!(run.code, 1, "{}", run.out);
    assert!(run.err.contains("of 1 tables there are 0"), "{}", run.err);
}
