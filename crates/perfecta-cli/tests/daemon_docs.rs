//! What the documents say of the daemon, held to a real one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemon_harness;
mod support;
mod tools;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use daemon_harness::{Daemon, command};
use perfecta_jobs::ExitClass;
use serde_json::Value;
use support::{Place, Run};

fn document(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    fs::read_to_string(docs.join(name)).unwrap()
}

/// The part of a document below one of its headings.
fn section<'d>(document: &'d str, heading: &str) -> &'d str {
    let from = document.find(heading).unwrap_or_else(|| panic!("there is no {heading}"));
    let below = &document[from + heading.len()..];
    below.split("\n## ").next().unwrap()
}

/// The cells of a section's tables, row by row, without their heads.
fn rows(section: &str) -> Vec<Vec<&str>> {
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.contains("|--"));
    let cells = rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect());
    cells.filter(|cells: &Vec<&str>| cells.iter().any(|cell| cell.contains('`'))).collect()
}

/// The words in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A command of a session, and what comes out.
struct Step {
    command: String,
    output: String,
}

fn steps(section: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for block in section.split("```console\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            match line.strip_prefix("$ ") {
                Some(command) => {
                    steps.push(Step { command: command.to_owned(), output: String::new() });
                }
                None => {
                    let step = steps.last_mut().unwrap();
                    step.output += line;
                    step.output.push('\n');
                }
            }
        }
    }
    steps
}

/// Whether a text is what is written, where `…` stands for anything.
fn is_as_written(text: &str, written: &str) -> bool {
    let mut parts: Vec<&str> = written.trim_end().split('…').collect();
    let (first, last) = (parts.remove(0), parts.pop());
    let Some(mut rest) = text.trim_end().strip_prefix(first) else { return false };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[test]
fn an_elision_stands_for_anything_and_nothing_else_does() {
    assert!(is_as_written("a1b2c\n", "a…b…c"));
    assert!(is_as_written("a1b2c", "a1…"));
    assert!(is_as_written("a{}b{}", "a…}"));
    assert!(is_as_written("abc", "abc"));
    assert!(!is_as_written("abcd", "abc"));
    assert!(!is_as_written("a1b2c", "a…b"));
    assert!(!is_as_written("xabc", "a…c"));
}

#[test]
fn the_session_with_curl_goes_as_it_is_written() {
    if tools::tool("curl").is_none() {
        return;
    }
    let document = document("api.md");
    let steps = steps(section(&document, "## A session"));
    assert!(steps.len() > 20);
    let mut daemon = Daemon::start(Place::new(), &[]);
    let script: String =
        steps.iter().map(|step| format!("{}\nprintf '\\036'\n", step.command)).collect();
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).current_dir(daemon.place.path(""));
    shell.env("XDG_RUNTIME_DIR", daemon.place.path("run"));
    let run = Run::of(&shell.output().unwrap());
    assert_eq!(run.err, "");
    let outputs: Vec<&str> = run.out.split('\u{1e}').collect();
    assert_eq!(outputs.len(), steps.len() + 1);
    for (step, output) in steps.iter().zip(outputs) {
        let is_same = is_as_written(output, &step.output);
        assert!(is_same, "$ {}\nwritten:\n{}told:\n{output}", step.command, step.output);
    }
    assert!(daemon.child.wait().unwrap().success());
}

#[test]
fn every_page_is_listed() {
    let daemon = Daemon::start(Place::new(), &[]);
    let (_, openapi) = daemon.http("GET /v1/openapi.json", "");
    let openapi: Value = serde_json::from_str(&openapi).unwrap();
    let pages = openapi["paths"].as_object().unwrap().iter().flat_map(|(path, page)| {
        let methods = page.as_object().unwrap().keys();
        methods.map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    let document = document("api.md");
    let listed = rows(section(&document, "## Pages")).into_iter().flat_map(|row| {
        quoted(row[0]).map(|page| page.split('?').next().unwrap().to_owned()).collect::<Vec<_>>()
    });
    let (pages, listed): (BTreeSet<String>, BTreeSet<String>) = (pages.collect(), listed.collect());
    assert_eq!(pages, listed);
    let states = openapi["components"]["schemas"]["RequestState"]["enum"].as_array().unwrap();
    let states: BTreeSet<&str> = states.iter().map(|state| state.as_str().unwrap()).collect();
    let protocol = self::document("protocol.md");
    let requests = section(&protocol, "## Requests");
    let requests = requests.split("\n### ").next().unwrap();
    assert_eq!(
        rows(requests).iter().flat_map(|row| quoted(row[0])).collect::<BTreeSet<_>>(),
        states
    );
}

/// The names of a process's threads, numbers as `N`.
#[cfg(target_os = "linux")]
fn threads_of(process: u32) -> BTreeSet<String> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    let names = names.map(|name| match name.trim_end().rsplit_once('-') {
        Some((name, number)) if number.parse::<u32>().is_ok() => format!("{name}-N"),
        _ => name.trim_end().to_owned(),
    });
    names.filter(|name| !name.starts_with("iou-")).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn the_threads_are_those_that_the_daemon_has() {
    let daemon = Daemon::start(Place::new(), &[]);
    let document = document("ARCHITECTURE.md");
    let rows = rows(section(&document, "## Threads"));
    let in_daemon = rows.iter().filter(|row| row[1] == "all" || row[1].contains("the daemon"));
    let listed: BTreeSet<String> =
        in_daemon.flat_map(|row| quoted(row[0]).map(ToOwned::to_owned)).collect();
    assert!(listed.len() > 3, "{listed:?}");
    // A thread that has just begun has its name in a moment.
    let looks = std::iter::repeat_with(|| threads_of(daemon.child.id()));
    let mut names = looks.take(100_000).skip_while(|names| *names != listed);
    assert!(names.next().is_some(), "{:?}, not {listed:?}", threads_of(daemon.child.id()));
}

#[test]
fn the_limits_are_those_that_the_daemon_tells() {
    let daemon = Daemon::start(Place::new(), &[]);
    let config: Value = serde_json::from_str(&daemon.http("GET /v1/config", "").1).unwrap();
    let document = document("operations.md");
    let listed = rows(section(&document, "## Limits"));
    let limits = config["limits"].as_object().unwrap();
    assert_eq!(listed.len(), limits.len());
    for row in listed {
        let name = quoted(row[0]).next().unwrap();
        let number: u64 = row[1].replace(',', "").parse().unwrap();
        assert_eq!(limits[name], number, "{name}");
    }
}

#[test]
fn the_metrics_are_those_that_the_daemon_tells() {
    let place = Place::new();
    place.write_keys("keys/twice.keys", &[1, 1]);
    let daemon = Daemon::start(place, &[]);
    // What is told by a word is told once there is one.
    assert_eq!(daemon.run(&["bulk-create", "keys", "--no-output"]).code, 5);
    assert_eq!(daemon.http("GET /v2", "").0, 404);
    let page = daemon.http("GET /metrics", "").1;
    let told: BTreeSet<(&str, &str)> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let document = document("operations.md");
    let listed: BTreeSet<(&str, &str)> = rows(section(&document, "## Metrics"))
        .into_iter()
        .flat_map(|row| quoted(row[0]).map(|name| (name, row[1])).collect::<Vec<_>>())
        .collect();
    assert_eq!(told, listed);
}

#[test]
fn the_flags_of_the_daemon_are_listed() {
    let place = Place::new();
    let help = Run::of(&command(&place, &["serve", "--help"]).output().unwrap()).out;
    let flags = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let flags: BTreeSet<String> = flags
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")))
        .map(ToOwned::to_owned)
        .filter(|flag| !["--help", "--version"].contains(&flag.as_str()))
        .collect();
    let document = document("operations.md");
    let listed = rows(section(&document, "## Flags of `perfecta serve`"));
    let listed = listed
        .into_iter()
        .flat_map(|row| quoted(row[0]).map(ToOwned::to_owned).collect::<Vec<_>>());
    assert_eq!(flags, listed.collect());
}

#[test]
fn the_exit_codes_are_those_of_the_program() {
    let document = document("operations.md");
    let listed: BTreeSet<(u8, &str)> = rows(section(&document, "## Exit codes"))
        .into_iter()
        .map(|row| {
            (row[0].trim_start_matches('|').trim().parse().unwrap(), quoted(row[1]).next().unwrap())
        })
        .collect();
    let classes = ExitClass::ALL.map(|class| (class.code(), class.name()));
    assert_eq!(listed, classes.into());
}

#[test]
fn a_stream_of_events_is_what_its_grammar_says() {
    let place = Place::new();
    place.write_keys("keys/a.keys", &[1, 2, 3]);
    place.write_keys("keys/twice.keys", &[1, 1]);
    let daemon = Daemon::start(place, &[]);
    let id = daemon.ok(&["bulk-create", "keys", "--no-output", "--detach"]).out.trim().to_owned();
    assert_eq!(daemon.run(&["wait", &id]).code, 3);
    let mut stream = daemon.socket();
    let head = format!("GET /v1/requests/{id}/events HTTP/1.0\r\n\r\n");
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body = body.strip_suffix("\n\n").unwrap();
    let mut names = Vec::new();
    for event in body.split("\n\n").filter(|event| *event != ": alive") {
        let (name, data) = event.split_once('\n').unwrap();
        let name = name.strip_prefix("event: ").unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        match name {
            "table" => assert_eq!((&data["schema"], &data["type"]), (&1.into(), &"table".into())),
            "notice" => assert!(data.is_string()),
            "progress" => assert_eq!(data["tables"], 2),
            "end" => assert_eq!(data["state"], "done"),
            name => panic!("there is no event {name}"),
        }
        names.push(name);
    }
    assert_eq!(names.iter().filter(|name| **name == "table").count(), 2);
    assert_eq!(names.iter().position(|name| *name == "end"), Some(names.len() - 1));
}
