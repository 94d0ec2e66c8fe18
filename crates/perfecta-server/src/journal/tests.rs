//! What is in a journal is what was handed in, whatever became of the daemon meanwhile.

use std::borrow::Cow;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc;

use tempfile::TempDir;

use super::entry::before;
use super::file::{JournalFile, KeepBounds, LINE_BYTES_MAX, Left, read};
use super::*;
use crate::access::Caller;
use crate::spec::JobSpec;
use crate::wire::{RequestState, RequestStatus};

const ALL: KeepBounds = KeepBounds { ended_since: 0, ended_max: 1_000 };

fn spec(file: &str) -> JobSpec {
    let json = format!(r#"{{"inputs": {{"files": ["{file}"]}}, "output": null}}"#);
    serde_json::from_str(&json).unwrap()
}

fn accepted(id: &str) -> Entry<'static> {
    let spec = Cow::Owned(spec("/a"));
    Entry::Accepted(AcceptedRequest {
        id: id.to_owned(),
        at_unix_ms: 1,
        owner: Caller::Owner,
        key: Some(format!("key {id}")),
        deaths: 0,
        spec,
    })
}

fn ended(id: &str, at: u64) -> Entry<'static> {
    let id = id.to_owned();
    let state = RequestState::Done;
    let status = RequestStatus {
        id,
        state,
        accepted_unix_ms: 1,
        ended_unix_ms: Some(2),
        output: None,
        progress: None,
        summary: None,
        error: None,
        reason: None,
    };
    Entry::Ended { at, status }
}

fn forgotten(id: &str) -> Entry<'static> {
    Entry::Forgotten { id: id.to_owned() }
}

/// A journal of these lines, whose daemon died.
fn written(entries: &[Entry<'_>]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let (journal, mut writer) = Journal::of(open(directory.path()).0);
    entries.iter().for_each(|entry| journal.note(entry));
    journal.close();
    writer.run(&|notice| panic!("{notice}"));
    directory
}

fn open(directory: &Path) -> (JournalFile, Left) {
    JournalFile::open(directory, ALL).unwrap()
}

fn ids(left: &Left) -> Vec<&str> {
    left.requests.iter().map(|earlier| earlier.accepted.id.as_str()).collect()
}

#[test]
fn a_daemon_finds_what_the_one_before_it_had_promised() {
    let cancelled = Entry::Cancelled { id: "b".to_owned() };
    let entries =
        [accepted("a"), accepted("b"), ended("a", 7), cancelled, accepted("c"), forgotten("c")];
    let directory = written(&entries);
    let check = |deaths: u32| {
        let (_, left) = open(directory.path());
        assert!(left.died);
        assert_eq!(ids(&left), ["a", "b"]);
        let [first, second] = left.requests.as_slice() else { panic!("there are two") };
        assert_eq!(
            first.ended.as_ref().map(|(at, status)| (*at, status.state)),
            Some((7, RequestState::Done))
        );
        assert_eq!((first.accepted.deaths, second.accepted.deaths), (0, deaths));
        assert_eq!(first.accepted.key.as_deref(), Some("key a"));
        assert_eq!(*second.accepted.spec, spec("/a"));
        assert!(second.is_cancelled && second.ended.is_none() && !first.is_cancelled);
    };
    check(1);
    check(2);
}

#[test]
fn a_daemon_that_ended_in_order_did_not_die() {
    let directory = written(&[accepted("a"), Entry::Stopped {}]);
    let (_, left) = open(directory.path());
    assert!(!left.died);
    assert_eq!(left.requests[0].accepted.deaths, 0);
    // Where none began, none died.
    let nobodys = tempfile::tempdir().unwrap();
    for content in [None, Some(""), Some("\n"), Some("no journal\n")] {
        if let Some(content) = content {
            fs::write(nobodys.path().join("journal"), content).unwrap();
        }
        assert!(!open(nobodys.path()).1.died, "{content:?}");
    }
}

#[test]
fn a_journal_that_was_cut_at_any_byte_holds_the_lines_before_it() {
    let directory = written(&[accepted("a"), accepted("b"), ended("a", 7)]);
    let whole = fs::read(directory.path().join("journal")).unwrap();
    for cut in 0..=whole.len() {
        let left = read(directory.path(), &whole[..cut]).unwrap();
        let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
        let num_requests = lines.saturating_sub(1).min(2);
        assert_eq!(left.requests.len(), num_requests, "cut at {cut}");
        assert_eq!(left.requests.iter().any(|earlier| earlier.ended.is_some()), lines == 4);
        assert!(left.damaged.is_empty());
    }
}

#[test]
fn a_damaged_line_costs_its_request_alone_and_is_kept_to_be_looked_at() {
    let directory = written(&[accepted("a"), accepted("b"), accepted("c"), ended("b", 7)]);
    let path = directory.path().join("journal");
    let text = fs::read_to_string(&path).unwrap();
    let damaged = text.replace("key b", "key x");
    fs::write(&path, &damaged).unwrap();
    let (_, left) = open(directory.path());
    assert_eq!(ids(&left), ["a", "c"]);
    assert_eq!(left.damaged, [3]);
    assert_eq!(fs::read_to_string(directory.path().join("journal.damaged")).unwrap(), damaged);
    assert!(open(directory.path()).1.damaged.is_empty());
}

#[test]
fn a_journal_of_another_version_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let text = "{\"crc\":\"00000000\",\"journal\":{\"version\":2}}\nwhatever\n";
    fs::write(&path, text).unwrap();
    let refused = JournalFile::open(directory.path(), ALL).map(drop).unwrap_err();
    assert!(matches!(refused, JournalError::Version { .. }), "{refused}");
    assert!(refused.to_string().contains(path.to_str().unwrap()), "{refused}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn what_has_ended_is_kept_for_its_time_and_up_to_its_number() {
    let entries: Vec<Entry<'_>> = (1..=4)
        .flat_map(|number| [accepted(&number.to_string()), ended(&number.to_string(), number)])
        .chain([accepted("open")])
        .collect();
    let check = |ended_since: u64, ended_max: usize, expected: &[&str]| {
        let directory = written(&entries);
        let bounds = KeepBounds { ended_since, ended_max };
        let (_, left) = JournalFile::open(directory.path(), bounds).unwrap();
        assert_eq!(ids(&left), expected);
    };
    check(0, 9, &["1", "2", "3", "4", "open"]);
    check(3, 9, &["3", "4", "open"]);
    check(0, 1, &["4", "open"]);
}

#[test]
fn a_journal_does_not_grow_with_what_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let (journal, mut writer) = Journal::of(open(directory.path()).0);
    let kept = [accepted("first"), accepted("last")];
    journal.note(&kept[0]);
    // Some 2 KiB each, 8 MiB in all.
    let long = "x".repeat(2_000);
    for number in 0..4_000 {
        let id = number.to_string();
        let spec = Cow::Owned(spec(&format!("/{long}")));
        journal.note(&Entry::Accepted(AcceptedRequest {
            id: id.clone(),
            at_unix_ms: 1,
            owner: Caller::Owner,
            key: None,
            deaths: 0,
            spec,
        }));
        journal.note(&forgotten(&id));
    }
    journal.note(&kept[1]);
    let (length, lengths) = mpsc::channel();
    let (seen, measured) = (path.clone(), length.clone());
    journal.append(&forgotten("none"), Survives::Death, move |_| {
        measured.send(fs::metadata(&seen).unwrap().len()).unwrap();
    });
    journal.close();
    writer.run(&|notice| panic!("{notice}"));
    assert!(lengths.recv().unwrap() < 4 << 20);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let (_, left) = open(directory.path());
    assert_eq!(ids(&left), ["first", "last"]);
}

#[test]
fn a_late_line_of_a_request_that_is_forgotten_is_no_other_requests() {
    let cancelled = |id: &str| Entry::Cancelled { id: id.to_owned() };
    let entries = [
        accepted("a"),
        forgotten("a"),
        accepted("b"),
        ended("a", 7),
        cancelled("a"),
        forgotten("a"),
        ended("unknown", 7),
        cancelled("unknown"),
        accepted("b"),
    ];
    let directory = written(&entries);
    let (_, left) = open(directory.path());
    assert_eq!(ids(&left), ["b"]);
    assert!(left.requests[0].ended.is_none() && !left.requests[0].is_cancelled);
}

#[test]
fn a_line_of_a_request_that_is_not_kept_goes_when_the_journal_is_rewritten() {
    let directory = tempfile::tempdir().unwrap();
    let (mut file, _) = open(directory.path());
    file.append_first("a", &accepted("a").to_line()).unwrap();
    file.forget("a");
    file.append_first("b", &accepted("b").to_line()).unwrap();
    for number in 0..10_000 {
        file.append_for("a", &ended("a", number).to_line()).unwrap();
    }
    file.rewrite_if_due().unwrap();
    let path = directory.path().join("journal");
    assert!(fs::metadata(path).unwrap().len() < 1 << 10);
}

#[test]
fn a_journal_that_cannot_be_rewritten_is_gone_on_with_and_deaths_are_counted() {
    let entries =
        [accepted("a"), accepted("over"), accepted("b"), ended("a", 7), forgotten("over")];
    let directory = written(&entries);
    let path = directory.path().join("journal");
    let mut whole = fs::read(&path).unwrap();
    let length = whole.len();
    whole.extend_from_slice(b"{\"crc\":");
    fs::write(&path, whole).unwrap();
    // Nothing can be written in its place.
    let beside = directory.path().join("journal.rewritten");
    fs::create_dir_all(beside.join("occupied")).unwrap();
    for deaths in 1..4 {
        let (mut file, left) = open(directory.path());
        assert!(left.rewrite_error.is_some() && left.damaged.is_empty() && left.died);
        assert_eq!(ids(&left)[..2], ["a", "b"]);
        assert_eq!(left.requests[1].accepted.deaths, deaths);
        assert_eq!(left.requests.len() as u32, 1 + deaths);
        file.append_first(&format!("c{deaths}"), &accepted(&format!("c{deaths}")).to_line())
            .unwrap();
    }
    assert!(fs::metadata(&path).unwrap().len() > length as u64);
    let (mut file, _) = open(directory.path());
    file.append(&Entry::Stopped {}.to_line()).unwrap();
    fs::remove_dir_all(&beside).unwrap();
    let (_, left) = open(directory.path());
    assert!(left.rewrite_error.is_none() && !left.died);
    assert_eq!(ids(&left), ["a", "b", "c1", "c2", "c3"]);
    assert_eq!(left.requests[1].accepted.deaths, 4);
}

#[test]
fn what_is_damaged_keeps_no_daemon_from_starting_where_it_cannot_be_kept() {
    let directory = written(&[accepted("a"), accepted("b")]);
    let path = directory.path().join("journal");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("key b", "key x")).unwrap();
    fs::create_dir(directory.path().join("journal.damaged")).unwrap();
    let (_, left) = open(directory.path());
    assert_eq!(ids(&left), ["a"]);
    assert!(left.aside_error.is_some());
}

#[test]
fn what_is_damaged_is_kept_as_it_was_also_where_the_journal_is_gone_on_with() {
    let directory = written(&[accepted("a"), accepted("b")]);
    let path = directory.path().join("journal");
    let text = fs::read_to_string(&path).unwrap();
    let damaged = text.replace("key b", "key x") + "{\"crc\":";
    fs::write(&path, &damaged).unwrap();
    // Nothing can be written in its place.
    fs::create_dir_all(directory.path().join("journal.rewritten/occupied")).unwrap();
    let (mut file, left) = open(directory.path());
    assert!(left.rewrite_error.is_some() && left.aside_error.is_none());
    file.append_first("c", &accepted("c").to_line()).unwrap();
    let kept = directory.path().join("journal.damaged");
    assert_eq!(fs::read_to_string(&kept).unwrap(), damaged);
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(ids(&open(directory.path()).1), ["a", "c"]);
}

#[test]
fn what_has_no_lines_is_not_read_to_its_end() {
    let line = accepted("a").to_line();
    let endless = io::repeat(b'0').take(LINE_BYTES_MAX);
    let behind = format!("\n{}", accepted("b").to_line());
    let journal = line.as_bytes().chain(endless).chain(behind.as_bytes());
    let left = read(Path::new("journal"), journal).unwrap();
    assert_eq!((ids(&left), left.damaged.as_slice()), (vec!["a"], &[2][..]));
    let journal = line.as_bytes().chain(io::repeat(0));
    let left = read(Path::new("journal"), journal).unwrap();
    assert_eq!((ids(&left), left.damaged.as_slice()), (vec!["a"], &[2][..]));
}

/// What is there of a line that a full disk did not take costs no other line.
#[cfg(target_os = "linux")]
#[test]
fn a_line_that_finds_no_room_is_refused_and_nothing_is_lost() {
    let directory = written(&[accepted("a")]);
    let path = directory.path().join("journal");
    let (mut file, _) = open(directory.path());
    file.redirect(OpenOptions::new().append(true).open("/dev/full").unwrap());
    let refused = file.append_first("b", &accepted("b").to_line()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    let mut again = OpenOptions::new().read(true).append(true).open(&path).unwrap();
    again.write_all(&accepted("b").to_line().as_bytes()[..30]).unwrap();
    file.redirect(again);
    let (journal, mut writer) = Journal::of(file);
    journal.note(&accepted("c"));
    journal.close();
    writer.run(&|notice| panic!("{notice}"));
    let (_, left) = open(directory.path());
    assert_eq!(ids(&left), ["a", "c"]);
    assert_eq!(left.damaged.len(), 1);
}

#[test]
fn looking_for_room_leaves_the_journal_as_it_is() {
    let directory = written(&[accepted("a")]);
    let (mut file, _) = open(directory.path());
    let path = directory.path().join("journal");
    let before = fs::read(&path).unwrap();
    file.find_room(1 << 20).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    // A death before that is cut off leaves empty lines.
    let mut again = OpenOptions::new().append(true).open(&path).unwrap();
    again.write_all(&[b'\n'; 1 << 10]).unwrap();
    file.append_first("b", &accepted("b").to_line()).unwrap();
    let left = open(directory.path()).1;
    assert_eq!((ids(&left), left.damaged.len()), (vec!["a", "b"], 0));
}

/// Whoever asked is told, and the notice is given once.
#[cfg(target_os = "linux")]
#[test]
fn who_asked_for_a_line_is_told_that_there_is_no_room() {
    let directory = written(&[]);
    let (mut file, _) = open(directory.path());
    file.redirect(OpenOptions::new().append(true).open("/dev/full").unwrap());
    let (journal, mut writer) = Journal::of(file);
    let (told, answers) = mpsc::channel();
    for id in ["a", "b"] {
        let told = told.clone();
        journal.append(&accepted(id), Survives::Death, move |written| told.send(written).unwrap());
    }
    journal.close();
    let notices = Mutex::new(Vec::new());
    writer.run(&|notice| notices.lock().push(notice.to_owned()));
    drop(told);
    let refused = |written: Result<(), io::Error>| written.unwrap_err().kind();
    let answers: Vec<io::ErrorKind> = answers.iter().map(refused).collect();
    assert_eq!(answers, [io::ErrorKind::StorageFull; 2]);
    let notices = notices.into_inner();
    assert!(notices.len() == 1 && notices[0].contains("No space left"), "{notices:?}");
    assert!(notices[0].contains("is written when there is room again"), "{notices:?}");
}

/// A journal that has no room for a line.
#[cfg(target_os = "linux")]
fn full(directory: &Path) -> (Journal, Writer) {
    let (file, _) = open(directory);
    let (journal, mut writer) = Journal::of(file);
    writer.file.redirect(OpenOptions::new().append(true).open("/dev/full").unwrap());
    (journal, writer)
}

#[cfg(target_os = "linux")]
fn make_room(directory: &Path, writer: &mut Writer) {
    let path = directory.join("journal");
    writer.file.redirect(OpenOptions::new().read(true).append(true).open(path).unwrap());
}

#[cfg(target_os = "linux")]
#[test]
fn who_was_told_that_there_is_no_room_is_told_that_requests_are_kept_again() {
    let directory = written(&[accepted("a")]);
    let (journal, mut writer) = full(directory.path());
    let notices = Mutex::new(Vec::new());
    let write = |writer: &mut Writer, entry: &Entry<'_>| {
        journal.note(entry);
        let batch = writer.lines.try_iter().collect();
        writer.write(batch, &|notice| notices.lock().push(notice.to_owned()));
        std::mem::take(&mut *notices.lock())
    };
    assert!(write(&mut writer, &accepted("b"))[0].contains("requests are refused"));
    assert_eq!(write(&mut writer, &ended("a", 7)), [""; 0]);
    make_room(directory.path(), &mut writer);
    assert_eq!(write(&mut writer, &forgotten("a")), [""; 0], "no request was kept yet");
    let told = write(&mut writer, &accepted("c"));
    assert!(told.len() == 1 && told[0].contains("requests are accepted"), "{told:?}");
    assert_eq!(write(&mut writer, &accepted("d")), [""; 0]);
}

/// Short requests may fit behind those that do not.
#[cfg(target_os = "linux")]
#[test]
fn room_is_told_when_there_was_as_much_as_was_refused() {
    let directory = written(&[]);
    let (journal, mut writer) = full(directory.path());
    let long = "l".repeat(accepted("short-0").to_line().len());
    let refused = OpenOptions::new().append(true).open("/dev/full").unwrap();
    let (notices, mut told) = (Mutex::new(Vec::new()), Vec::new());
    let write = |writer: &mut Writer, id: &str| {
        journal.note(&accepted(id));
        let batch = writer.lines.try_iter().collect();
        writer.write(batch, &|notice| notices.lock().push(notice.to_owned()));
        std::mem::take(&mut *notices.lock())
    };
    for number in 0..3 {
        writer.file.redirect(refused.try_clone().unwrap());
        told.extend(write(&mut writer, &long));
        make_room(directory.path(), &mut writer);
        told.extend(write(&mut writer, &format!("short-{number}")));
    }
    assert!(told.len() == 1 && told[0].contains("requests are refused"), "{told:?}");
    // It is three times as long, and one that is short has been there since.
    assert_eq!(write(&mut writer, "short-3"), [""; 0]);
    told = write(&mut writer, "short-4");
    assert!(told.len() == 1 && told[0].contains("requests are accepted"), "{told:?}");
}

/// Whether or not anybody asks the daemon for anything.
#[cfg(target_os = "linux")]
#[test]
fn what_found_no_room_is_written_as_soon_as_there_is() {
    let directory = written(&[accepted("a")]);
    let (journal, mut writer) = full(directory.path());
    journal.note(&ended("a", 7));
    let batch = writer.lines.try_iter().collect();
    writer.write(batch, &|_| {});
    let (pipe, room) = io::pipe().unwrap();
    writer.file.redirect(std::os::fd::OwnedFd::from(room).into());
    let (told, written) = mpsc::channel();
    let in_time = std::thread::scope(|scope| {
        scope.spawn(|| writer.run(&|notice| assert!(notice.contains("room again"), "{notice}")));
        scope.spawn(move || {
            let mut lines = BufReader::new(pipe).lines().map_while(Result::ok);
            told.send(lines.any(|line| line.contains("ended")))
        });
        let in_time = written.recv_timeout(Duration::from_secs(60));
        // What is owed is written at the end as well.
        journal.close();
        in_time
    });
    assert_eq!(in_time, Ok(true));
}

/// Nobody hands a cancel in twice.
#[cfg(target_os = "linux")]
#[test]
fn what_was_told_of_a_request_while_there_was_no_room_is_written_when_there_is() {
    let check = |after: &[Entry<'_>], kept: &[&str]| {
        let directory = written(&[accepted("a"), accepted("b"), accepted("c")]);
        let (journal, mut writer) = full(directory.path());
        let cancelled = |id: &str| Entry::Cancelled { id: id.to_owned() };
        let told = [cancelled("a"), cancelled("b"), ended("b", 7), cancelled("c"), forgotten("c")];
        told.iter().for_each(|entry| journal.note(entry));
        let batch = writer.lines.try_iter().collect();
        writer.write(batch, &|_| {});
        make_room(directory.path(), &mut writer);
        after.iter().for_each(|entry| journal.note(entry));
        journal.close();
        writer.run(&|notice| assert!(notice.contains("room again"), "{notice}"));
        let (_, left) = open(directory.path());
        assert_eq!(ids(&left), kept);
        assert!(left.requests[0].is_cancelled && left.requests[0].ended.is_none());
        assert!(left.requests[1].is_cancelled && left.requests[1].ended.is_some());
        assert_eq!(left.died, !matches!(after.last(), Some(Entry::Stopped {})));
    };
    check(&[], &["a", "b"]);
    check(&[accepted("d"), Entry::Stopped {}], &["a", "b", "d"]);
}

/// A pipe takes lines, and cannot be synced.
#[test]
fn a_line_that_cannot_be_synced_is_refused_where_it_had_to_be() {
    let directory = written(&[]);
    let (mut file, _) = open(directory.path());
    let (_reader, pipe) = io::pipe().unwrap();
    file.redirect(std::os::fd::OwnedFd::from(pipe).into());
    let (journal, mut writer) = Journal::of(file);
    let (told, answers) = mpsc::channel();
    for (id, survives) in
        [("a", Survives::PowerCut), ("b", Survives::Death), ("c", Survives::PowerCut)]
    {
        let told = told.clone();
        let tell = move |written: Result<(), io::Error>| told.send((id, written.is_ok())).unwrap();
        journal.append(&accepted(id), survives, tell);
    }
    journal.close();
    writer.run(&|notice| panic!("{notice}"));
    drop(told);
    let mut answers: Vec<(&str, bool)> = answers.iter().collect();
    answers.sort_unstable();
    assert_eq!(answers, [("a", false), ("b", true), ("c", false)]);
}

#[test]
fn a_failed_sync_is_not_tried_again() {
    let directory = written(&[]);
    let (mut file, _) = open(directory.path());
    let (_reader, pipe) = io::pipe().unwrap();
    file.redirect(std::os::fd::OwnedFd::from(pipe).into());
    assert!(file.sync().is_err());
    // The disk is well again, and what it dropped is not.
    let path = directory.path().join("journal");
    file.redirect(OpenOptions::new().append(true).open(path).unwrap());
    assert!(file.sync().is_err());
    assert!(open(directory.path()).0.sync().is_ok());
}

/// What the page says of a line is so: the sum is over all that follows its comma.
#[test]
fn the_sums_of_the_sample_in_the_documentation_are_those_of_its_lines() {
    let page = include_str!("../../../../docs/daemon.md");
    let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("{\"crc\":")).collect();
    assert_eq!(lines.len(), 6);
    for line in lines {
        let (_, fields) = line.split_once(',').unwrap();
        assert_eq!(line, format!("{}{fields}", before(fields.as_bytes())));
    }
}
