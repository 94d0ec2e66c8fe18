//! What a daemon tells of itself: its metrics, its log, and whether it is there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemon_harness;
mod support;
mod tools;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use daemon_harness::{Daemon, command, ended, endless, endless_client};
use serde_json::Value;
use support::{Place, Run, generated_keys};

/// The samples of a page, by name and labels as they are written.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| line.rsplit_once(' ').unwrap());
    samples.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

fn metrics(daemon: &Daemon) -> String {
    let (status, page) = daemon.http("GET /metrics", "");
    assert_eq!(status, 200);
    page
}

/// Bytes of all key files below `keys`.
fn keys_bytes(place: &Place) -> u64 {
    let files = place.tree("keys");
    let keys = files.iter().filter(|(name, _)| name.ends_with(".keys") || name.ends_with("64"));
    keys.map(|(_, bytes)| bytes.len() as u64).sum()
}

#[test]
fn every_count_is_that_of_what_was_done() {
    let place = Place::new();
    generated_keys(&place);
    place.write_keys("bad/twice.keys", &[1, 2, 2]);
    let daemon = Daemon::start(place, &[]);
    let bulk = ["bulk-create", "keys", "out", "--key-size", "auto", "--durable", "--json"];
    let first = daemon.ok(&bulk);
    let second = daemon.ok(&bulk);
    let packed = daemon.ok(&[
        "bulk-create",
        "keys",
        "packed",
        "--key-size",
        "auto",
        "--layout",
        "packed",
        "--json",
    ]);
    assert_eq!(daemon.run(&["bulk-create", "bad", "--no-output"]).code, 5);
    assert_eq!(daemon.run(&["bulk-create", "absent", "--no-output"]).code, 8);
    assert_eq!(daemon.http("GET /v2", "").0, 404);
    let tables = first.summary()["tables"].as_u64().unwrap();
    let attempts: u64 = [&first, &packed]
        .iter()
        .flat_map(|run| run.lines())
        .filter_map(|line| line["attempts"].as_u64())
        .sum();
    let bytes = |run: &Run| run.summary()["bytes"].as_u64().unwrap();
    let page = metrics(&daemon);
    let samples = samples(&page);
    let check = |name: &str, wanted: u64| {
        assert_eq!(samples.get(name), Some(&(wanted as f64)), "{name}\n{page}");
    };
    check("perfecta_requests_accepted_total", 5);
    check("perfecta_requests_ended_total{state=\"done\"}", 4);
    check("perfecta_requests_ended_total{state=\"failed\"}", 1);
    check("perfecta_tables_total{status=\"ok\"}", 2 * tables);
    check("perfecta_tables_total{status=\"unchanged\"}", tables);
    check("perfecta_tables_total{status=\"failed\"}", 1);
    check("perfecta_errors_total{class=\"invalid_keys\"}", 1);
    check("perfecta_errors_total{class=\"io\"}", 1);
    check("perfecta_attempts_total", attempts);
    // 12 bytes are those of the bad file.
    check("perfecta_read_bytes_total", 3 * keys_bytes(&daemon.place) + 12);
    check("perfecta_written_bytes_total", bytes(&first) + bytes(&packed));
    assert_eq!(bytes(&second), 0);
    check("perfecta_problems_total{type=\"not_found\"}", 1);
    check("perfecta_answers_total{status=\"404\"}", 1);
    check("perfecta_request_seconds_count", 5);
    check("perfecta_request_queue_seconds_count", 4);
    check("perfecta_item_queue_seconds_count", 3 * tables + 1);
    check("perfecta_solve_seconds_count", 2 * tables);
    check("perfecta_item_stage_seconds_count{stage=\"read\"}", 3 * tables + 1);
    check("perfecta_item_stage_seconds_count{stage=\"search\"}", 2 * tables);
    check("perfecta_item_stage_seconds_count{stage=\"write\"}", tables);
    check("perfecta_item_stage_seconds_count{stage=\"publish\"}", tables);
    // Of what was staged, of its names, and of what was unchanged: what is durable is synced.
    check("perfecta_item_stage_seconds_count{stage=\"sync\"}", 3);
    check("perfecta_ledger_difference", 0);
    check("perfecta_items_running", 0);
    check("perfecta_memory_reserved_bytes", 0);
    assert!(samples["process_cpu_seconds_total"] > 0.0);
    assert!(samples["perfecta_workers"] >= 1.0);
}

/// Reads a page as Prometheus would, and prints the family of every sample.
const PARSE: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.documentation and family.type != 'unknown', family
    print(family.name, family.type, len(family.samples))
";

#[test]
fn the_metrics_are_read_by_a_parser_of_others() {
    let Some(python) = tools::python_with("prometheus_client") else { return };
    let place = Place::new();
    generated_keys(&place);
    let daemon = Daemon::start(place, &[]);
    daemon.ok(&["bulk-create", "keys", "out", "--key-size", "auto"]);
    let page = metrics(&daemon);
    let mut parser = Command::new(python);
    parser.args(["-c", PARSE]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut parser = parser.spawn().unwrap();
    parser.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let run = ended(parser);
    assert_eq!(run.code, 0, "{}\n{page}", run.err);
    let has = |family: &str| {
        assert!(run.out.lines().any(|line| line.starts_with(family)), "{family}\n{}", run.out)
    };
    has("perfecta_tables counter");
    has("perfecta_item_stage_seconds histogram");
    has("process_resident_memory_bytes gauge");
    has("perfecta_build info");
}

/// A daemon whose standard error goes to a file.
fn logging(place: Place, arguments: &[&str]) -> Daemon {
    fs::create_dir_all(place.path("run")).unwrap();
    let log = fs::File::create(place.path("log")).unwrap();
    let mut serve = command(&place, &[&["serve"], arguments].concat());
    let child = serve.stderr(log).spawn().unwrap();
    let daemon = Daemon { place, child };
    daemon.ok(&["ping", "--wait-for-server", "60"]);
    daemon
}

/// What was logged, once the daemon has ended.
fn logged(daemon: &mut Daemon) -> String {
    daemon.ok(&["drain"]);
    assert!(daemon.child.wait().unwrap().success());
    fs::read_to_string(daemon.place.path("log")).unwrap()
}

/// A good key file, and one whose error names a key.
fn telltale(place: &Place) {
    place.write_keys("keys/good.keys", &[0xbeef, 0xcafe]);
    place.write_keys("keys/twice.keys", &[0xbeef, 0xbeef]);
}

#[test]
fn a_daemon_is_silent_unless_it_is_asked() {
    let place = Place::new();
    telltale(&place);
    let mut daemon = logging(place, &[]);
    assert_eq!(daemon.run(&["bulk-create", "keys", "out"]).code, 3);
    assert_eq!(logged(&mut daemon), "");
}

#[test]
fn every_line_about_a_request_bears_its_id_and_none_a_key() {
    let place = Place::new();
    telltale(&place);
    let mut daemon = logging(place, &["--log", "debug", "--log-format", "json"]);
    let id = daemon.ok(&["bulk-create", "keys", "out", "--detach"]).out.trim().to_owned();
    assert_eq!(daemon.run(&["wait", &id]).code, 3);
    daemon.json(&["status", &id]);
    let log = logged(&mut daemon);
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |message: &str| {
        let told = lines.iter().filter(|line| line["message"] == message);
        told.filter(|line| line["request"] == id.as_str()).cloned().collect::<Vec<Value>>()
    };
    for (message, times) in [
        ("accepted", 1),
        ("begins", 1),
        ("key file begun", 2),
        ("settled", 1),
        ("no table", 1),
        ("ended", 1),
    ] {
        assert_eq!(told(message).len(), times, "{message}\n{log}");
    }
    assert_eq!(told("no table")[0]["class"], "invalid_keys");
    assert_eq!(told("ended")[0]["failed"], 1);
    assert_eq!(told("ended")[0]["state"], "done");
    assert!(told("answered").iter().any(|line| line["status"] == 200 && line["method"] == "GET"));
    let without =
        lines.iter().find(|line| line.to_string().contains(&id) && line["request"].is_null());
    assert_eq!(without, None);
    for key in ["beef", "48879", "cafe", "51966"] {
        assert!(!log.contains(key), "{key}\n{log}");
    }
}

#[test]
fn a_level_leaves_out_what_is_below_it_and_text_bears_ids_too() {
    let place = Place::new();
    telltale(&place);
    let mut daemon = logging(place, &["--log", "warn"]);
    let id = daemon.ok(&["bulk-create", "keys", "out", "--detach"]).out.trim().to_owned();
    assert_eq!(daemon.run(&["wait", &id]).code, 3);
    let log = logged(&mut daemon);
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("WARN") && log.contains(&id) && log.contains("twice.keys"), "{log}");
}

#[test]
fn it_is_healthy_as_long_as_it_answers_and_ready_as_long_as_it_takes_requests() {
    let place = Place::new();
    endless(&place);
    let mut daemon = Daemon::start(place, &[]);
    assert_eq!(daemon.http("GET /healthz", ""), (200, "ok\n".to_owned()));
    assert_eq!(daemon.http("GET /readyz", ""), (200, "ready\n".to_owned()));
    let (client, id) = endless_client(&daemon);
    assert_eq!(daemon.http("GET /readyz", "").0, 200);
    daemon.ok(&["drain"]);
    assert_eq!(daemon.http("GET /healthz", "").0, 200);
    let (status, problem) = daemon.http("GET /readyz", "");
    assert_eq!(status, 503);
    assert!(problem.contains("\"draining\""), "{problem}");
    assert_eq!(samples(&metrics(&daemon))["perfecta_draining"], 1.0);
    daemon.ok(&["cancel", &id]);
    assert_eq!(ended(client).code, 130);
    assert!(daemon.child.wait().unwrap().success());
}

#[test]
fn the_configuration_is_that_of_the_command_line() {
    let daemon = Daemon::start(
        Place::new(),
        &["--jobs", "3", "--max-files", "5", "--io-depth", "7", "--memory", "64M"],
    );
    let (status, config) = daemon.http("GET /v1/config", "");
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(status, 200);
    let given = ["threads", "files_in_flight_max", "io_depth", "memory_bytes_max"]
        .map(|name| config[name].as_u64().unwrap());
    assert_eq!(given, [3, 5, 7, 64 << 20]);
}
