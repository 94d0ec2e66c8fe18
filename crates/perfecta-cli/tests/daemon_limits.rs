//! A daemon whose clients are many, slow, or talk nonsense: the others are served meanwhile.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "figures, and what is skipped, are said")]

mod daemon_harness;
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use daemon_harness::{Daemon, ENDLESS, endless};
use perfecta_io::{Clock, SystemClock};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use support::Place;

const PING: &[u8] = b"GET /v1/ping HTTP/1.1\r\nhost: x\r\n\r\n";

/// Asks on a connection that stays, and reads the whole answer.
fn ping(stream: &mut UnixStream) {
    stream.write_all(PING).unwrap();
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while !answer.ends_with(b"}") {
        let count = stream.read(&mut part).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&part[..count]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
}

/// How often it can be asked in a second, and in a second of the daemon's own work.
fn pings_per_second(daemon: &Daemon, stream: &mut UnixStream) -> [f64; 2] {
    const COUNT: u32 = 2_000;
    let (begun, worked) = (SystemClock.now(), worked_seconds(daemon));
    (0..COUNT).for_each(|_| ping(stream));
    let taken = [(SystemClock.now() - begun).as_secs_f64(), worked_seconds(daemon) - worked];
    taken.map(|seconds| f64::from(COUNT) / seconds)
}

/// Seconds that the daemon's threads ran.
fn worked_seconds(daemon: &Daemon) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.child.id())).unwrap();
    let nanoseconds = tasks.map(|task| {
        let told = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        told.split(' ').next().unwrap().parse::<f64>().unwrap()
    });
    nanoseconds.sum::<f64>() / 1e9
}

/// Bytes of the daemon that are resident.
fn resident_bytes(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

const IDLE_CONNECTIONS: usize = 10_000;
const IDLE_BYTES_MAX: u64 = 32 << 10;

#[test]
fn ten_thousand_idle_connections_take_little_and_leave_the_daemon_to_others() {
    let wanted = IDLE_CONNECTIONS as u64 + 500;
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < wanted) {
        println!("skipped: no {wanted} files may be open here");
        return;
    }
    let current = limit.current.map(|current| current.max(wanted));
    setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum }).unwrap();
    let daemon = Daemon::start(Place::new(), &["--max-connections", "12000"]);
    let mut good = daemon.socket();
    pings_per_second(&daemon, &mut good);
    let alone = pings_per_second(&daemon, &mut good);
    let before = resident_bytes(&daemon);
    let idle: Vec<UnixStream> = (0..IDLE_CONNECTIONS)
        .map(|_| {
            let mut stream = daemon.socket();
            ping(&mut stream);
            stream
        })
        .collect();
    let each = (resident_bytes(&daemon) - before) / IDLE_CONNECTIONS as u64;
    let beside = pings_per_second(&daemon, &mut good);
    let ratio = [beside[0] / alone[0], beside[1] / alone[1]];
    println!(
        "{each} bytes each; pings a second: {alone:.0?} alone, {beside:.0?} beside, {ratio:.2?}"
    );
    assert!(each <= IDLE_BYTES_MAX, "{each} bytes");
    // By the daemon's own work: how long a ping takes depends on what else the machine does.
    assert!(ratio[1] > 0.25, "{ratio:?}");
    drop(idle);
    ping(&mut good);
}

#[test]
fn further_connections_wait_until_others_end() {
    let daemon = Daemon::start(Place::new(), &["--max-connections", "4"]);
    let mut taken: Vec<UnixStream> = (0..4).map(|_| daemon.socket()).collect();
    taken.iter_mut().for_each(ping);
    let mut waiting = daemon.socket();
    waiting.write_all(PING).unwrap();
    waiting.set_nonblocking(true).unwrap();
    taken.iter_mut().for_each(ping);
    let unanswered = waiting.read(&mut [0]).unwrap_err();
    assert_eq!(unanswered.kind(), std::io::ErrorKind::WouldBlock);
    waiting.set_nonblocking(false).unwrap();
    taken.pop();
    assert_eq!(waiting.read(&mut [0]).unwrap(), 1);
}

#[test]
fn a_connection_that_asks_nothing_is_closed_after_the_time_that_is_given() {
    let daemon = Daemon::start(Place::new(), &["--idle-timeout", "0.2"]);
    // Never reached: it says when the daemon waits for ever.
    let long = Some(std::time::Duration::from_secs(60));
    let mut silent = daemon.socket();
    silent.set_read_timeout(long).unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    let mut once = daemon.socket();
    once.set_read_timeout(long).unwrap();
    ping(&mut once);
    assert_eq!(once.read(&mut [0]).unwrap(), 0);
}

#[test]
fn while_too_many_tables_wait_no_request_is_taken() {
    let place = Place::new();
    let hopeless: Vec<u32> = (1..200).map(|key| key << 20).collect();
    for name in ["a", "b", "c"] {
        place.write_keys(&format!("endless/{name}.keys"), &hopeless);
    }
    let daemon = Daemon::start(place, &["--max-queued", "1", "--jobs", "1", "--max-files", "1"]);
    let id = daemon.ok(&[&["bulk-create"], &ENDLESS[..], &["--detach"]].concat()).out;
    while daemon.json(&["status", id.trim()])["progress"]["running"] != 1 {}
    let refused = daemon.run(&[&["bulk-create"], &ENDLESS[..]].concat());
    assert_eq!(refused.code, 11, "{}", refused.err);
    assert!(refused.err.contains("2 tables that are not begun have not ended"), "{}", refused.err);
    let body = r#"{"inputs": {"files": ["/a"]}, "output": null}"#;
    let (status, problem) = daemon.http("POST /v1/requests", body);
    assert_eq!(status, 503, "{problem}");
    daemon.ok(&["cancel", id.trim()]);
    daemon.run(&["wait", id.trim()]);
    assert_eq!(daemon.http("POST /v1/requests", body).0, 202);
}

/// No answer is expected.
const CUT_OFF: &str = "";

/// What is no request, and the number of the answer, if there is one.
fn nonsense() -> Vec<(Vec<u8>, &'static str)> {
    let post = |headers: &str, body: &[u8]| {
        let head = format!(
            "POST /v1/requests HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    };
    let json = |body: &str| post(&format!("content-length: {}", body.len()), body.as_bytes());
    let deep = "[".repeat(100_000);
    vec![
        (b"\0\0\0\0".to_vec(), "400"),
        (b"GET\r\n\r\n".to_vec(), "400"),
        (b"GET / HTTP/9.9\r\n\r\n".to_vec(), "400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), "400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), CUT_OFF),
        (vec![b'A'; 200_000], "4"),
        ([b"GET / HTTP/1.1\r\nx: ", &vec![b'y'; 200_000][..], b"\r\n\r\n"].concat(), "431"),
        ([b"GET / HTTP/1.1\r\n".to_vec(), b"a: b\r\n".repeat(2_000), b"\r\n".to_vec()].concat(), "431"),
        (b"GET /v1/ping HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n".to_vec(), "400"),
        (b"GET /v1/ping HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n".to_vec(), "400"),
        (post("transfer-encoding: chunked", b"zz\r\n\r\n"), "400"),
        (post("transfer-encoding: chunked", b"ffffffffffffffffff\r\n"), "400"),
        (post("content-length: -1", b""), "400"),
        (post("content-length: 99999999999999999999", b""), "400"),
        (post("content-length: 100", b"{"), "400"),
        (json(""), "400"),
        (json("{}"), "400"),
        (json("\u{0}"), "400"),
        (json(&deep), "400"),
        (json(r#"{"inputs": {"files": ["\ud800"]}, "output": null}"#), "400"),
        (json(r#"{"inputs": {"files": ["/a\u0000b"]}, "output": null, "x": 1e999}"#), "400"),
        (json(r#"{"inputs": {"files": ["/a"]}, "output": null, "limits": {"max_milliseconds": -1}}"#), "422"),
        (json(r#"{"inputs": {"files": []}, "output": null}"#), "422"),
        (json(r#"{"inputs": {"tree": {"root": "/", "include": ["[["]}}, "output": null}"#), "422"),
        (post("content-length: 3", b"\xff\xfe\xfd"), "400"),
        (b"GET /v1/requests/%00/items?offset=18446744073709551616 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec(), "400"),
        (b"GET /v1/requests/%ff%fe HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec(), "4"),
        (b"GET /v1/../../etc/passwd HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec(), "404"),
        (b"BREW /v1/ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec(), "405"),
    ]
}

#[test]
fn nonsense_is_answered_or_cut_off_and_others_are_served_meanwhile() {
    let daemon = Daemon::start(Place::new(), &[]);
    let mut good = daemon.socket();
    for (bytes, expected) in nonsense() {
        let mut stream = daemon.socket();
        // It may be cut off before all is sent.
        let _ = stream.write_all(&bytes);
        ping(&mut good);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(100)]).into_owned();
        if expected == CUT_OFF {
            assert_eq!(answer, "", "{shown}");
        } else {
            let status = answer.strip_prefix("HTTP/1.1 ").unwrap_or_default();
            assert!(status.starts_with(expected), "{shown}: {answer:?} is no {expected}");
        }
        ping(&mut good);
    }
    let stats: Value = serde_json::from_str(&daemon.ok(&["stats"]).out).unwrap();
    assert_eq!(stats["ledger_difference"], 0);
}

/// Asks for a page, and sends nothing more.
fn half_closed(daemon: &Daemon, path: &str) -> UnixStream {
    let mut stream = daemon.socket();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream
}

fn read_to_end(mut stream: UnixStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn who_closes_its_sending_half_is_answered_all_the_same() {
    let place = Place::new();
    endless(&place);
    let daemon = Daemon::start(place, &[]);
    let answer = read_to_end(half_closed(&daemon, "/v1/ping"));
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with('}'), "{answer}");
    let id = daemon.ok(&[&["bulk-create"], &ENDLESS[..], &["--detach"]].concat()).out;
    let path = format!("/v1/requests/{}", id.trim());
    let waiting = half_closed(&daemon, &format!("{path}/wait"));
    let mut events = half_closed(&daemon, &format!("{path}/events"));
    // Both have begun to wait, and for longer than anybody looks for them.
    let mut heard = String::new();
    while heard.matches("alive").count() + heard.matches("event: progress").count() < 4 {
        let mut part = [0; 4096];
        let count = events.read(&mut part).unwrap();
        assert!(count > 0, "{heard}");
        heard.push_str(str::from_utf8(&part[..count]).unwrap());
    }
    daemon.ok(&["cancel", id.trim()]);
    let answer = read_to_end(waiting);
    assert!(answer.contains("\"state\":\"cancelled\""), "{answer}");
    let answer = read_to_end(events);
    assert!(answer.contains("event: end\n"), "{answer}");
}

#[test]
fn who_goes_away_while_it_is_answered_makes_room_for_others() {
    let place = Place::new();
    endless(&place);
    let daemon = Daemon::start(place, &["--max-connections", "4"]);
    let id = daemon.ok(&[&["bulk-create"], &ENDLESS[..], &["--detach"]].concat()).out;
    for page in ["wait", "events"] {
        let path = format!("/v1/requests/{}/{page}", id.trim());
        let gone = [false, true, false, true].map(|is_closed_by_halves| {
            let mut stream = daemon.socket();
            write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            if is_closed_by_halves {
                stream.shutdown(Shutdown::Write).unwrap();
            }
            stream
        });
        drop(gone);
        // Long before a wait is over.
        let mut next = daemon.socket();
        next.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        ping(&mut next);
    }
}

#[test]
fn bodies_are_bounded() {
    let daemon = Daemon::start(Place::new(), &[]);
    let (status, problem) = daemon.http("POST /v1/requests", &" ".repeat(16 << 20));
    assert_eq!(status, 400, "{problem}");
    let mut stream = daemon.socket();
    let head = "POST /v1/requests HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 999999999\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    // It is refused when it has become too much, before all of it was sent.
    let chunk = [b' '; 1 << 16];
    while stream.write_all(&chunk).is_ok() {}
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("too_large"), "{answer}");
}

#[test]
fn who_is_refused_before_its_body_came_gets_the_answer_and_keeps_the_connection() {
    let daemon = Daemon::start(Place::new(), &[]);
    let (mut refused, mut other) = (daemon.socket(), daemon.socket());
    let head = "POST /v1/requests HTTP/1.1\r\nhost: x\r\nperfecta-protocol: 0\r\ncontent-length: 4\r\n\r\n";
    refused.write_all(head.as_bytes()).unwrap();
    // By now it has read the head.
    (0..20).for_each(|_| ping(&mut other));
    refused.write_all(b"body").unwrap();
    let last = "GET /v1/ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    refused.write_all(last.as_bytes()).unwrap();
    let mut answers = String::new();
    refused.read_to_string(&mut answers).unwrap();
    let heads: Vec<&str> = answers.matches("HTTP/1.1 ").collect();
    assert!(heads.len() == 2 && answers.contains("version_mismatch"), "{answers}");
}

#[test]
fn clients_that_never_end_their_requests_do_not_keep_others_out() {
    let daemon = Daemon::start(Place::new(), &[]);
    let mut good = daemon.socket();
    let mut slow: Vec<UnixStream> = Vec::new();
    for head in [
        "GET /v1/ping HTTP/1.1\r\nx: ",
        "POST /v1/requests HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n",
    ] {
        for _ in 0..200 {
            let mut stream = daemon.socket();
            stream.write_all(head.as_bytes()).unwrap();
            slow.push(stream);
        }
    }
    for _ in 0..5 {
        slow.iter_mut().for_each(|stream| stream.write_all(b"y").unwrap());
        ping(&mut good);
        daemon.ok(&["ping"]);
    }
    let (status, _) =
        daemon.http("POST /v1/requests", r#"{"inputs": {"files": ["/a"]}, "output": null}"#);
    assert_eq!(status, 202);
}

#[test]
fn what_is_allowed_is_listed() {
    let daemon = Daemon::start(Place::new(), &["--max-connections", "100", "--idle-timeout", "7"]);
    let (_, config) = daemon.http("GET /v1/config", "");
    let config: Value = serde_json::from_str(&config).unwrap();
    let access = &config["access"];
    let expected = [
        ("connections_max", 100.0),
        ("connections_user_max", 25.0),
        ("connections_tcp_max", 50.0),
        ("requests_outstanding_user_max", 1_000.0),
        ("files_named_user_max", 1_000_000.0),
        ("items_queued_max", 1_000_000.0),
        ("bodies_bytes_max", 268_435_456.0),
        ("idle_seconds_max", 7.0),
        ("body_seconds_max", 60.0),
        ("answer_seconds_max", 90.0),
        ("unread_seconds_max", 30.0),
    ];
    for (name, value) in expected {
        assert_eq!(access[name].as_f64(), Some(value), "{name}");
    }
    assert_eq!(access["roots"], serde_json::json!([]));
}
