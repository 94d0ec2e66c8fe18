//! Signals and limits of the system: what is published stays whole, and the end is told truly.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use support::{Place, Run, heeding_hang_up};

/// Runs `perfecta ARGUMENTS` in a shell, after `before`.
fn in_shell(place: &Place, before: &str, arguments: &str, after: &str) -> Run {
    let binary = env!("CARGO_BIN_EXE_perfecta");
    let script = format!("{before} '{binary}' {arguments} {after}");
    let mut command = Command::new("bash");
    command.args(["-c", &script]).current_dir(place.path(""));
    Run::of(&command.output().unwrap())
}

/// Signals a run when all of its tables but one, which is never found, are published.
fn check_cancelled(signal: &str, code: i32, durable: &[&str]) {
    let place = Place::new();
    let hopeless: Vec<u32> = (1..200).map(|key| key << 20).collect();
    place.write_keys("keys/hopeless.keys", &hopeless);
    for name in ["a", "b", "c"] {
        place.write_keys(&format!("keys/{name}.keys"), &[1, 2]);
    }
    let arguments = ["bulk-create", "keys", "out", "--hash", "Multiply", "--jobs", "2", "--json"];
    let mut command = place.command(&arguments);
    command.args(["--max-attempts", "0xffff_ffff_ffff"]).args(durable);
    let mut command = heeding_hang_up(&command);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        assert!(lines.next().unwrap().unwrap().contains(r#""status":"ok""#));
    }
    let kill = ["-s", signal, &child.id().to_string()];
    assert!(Command::new("kill").args(kill).status().unwrap().success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(code), "{rest:?}");
    assert!(rest[0].contains(r#""status":"cancelled""#), "{}", rest[0]);
    let summary: serde_json::Value = serde_json::from_str(&rest[1]).unwrap();
    assert_eq!((&summary["ok"], &summary["cancelled"]), (&3.into(), &1.into()));
    assert_eq!(summary["exit_code"], code);
    let left: Vec<String> = place.tree("out").into_keys().collect();
    assert!(left.iter().all(|name| !name.contains(".perfecta")), "{left:?}");
    place.ok(&["verify", "out"]);
}

#[test]
fn the_exit_code_says_which_signal_cancelled_and_the_summary_what_is_there() {
    check_cancelled("INT", 130, &[]);
    check_cancelled("TERM", 143, &[]);
    check_cancelled("HUP", 129, &[]);
    check_cancelled("TERM", 143, &["--durable"]);
}

/// What the kernel tells of each thread of a process, the first one first.
fn told_of_threads(child: &Child, file: &str) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    // Of one that has just ended there is nothing.
    threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join(file)).ok())
        .collect()
}

/// Waits until the signals of a run are caught: a thread of that name waits for them.
fn wait_for_signals(child: &mut Child) {
    while !told_of_threads(child, "comm").iter().any(|name| name == "signals\n") {
        assert!(child.try_wait().unwrap().is_none(), "it ended before signals were caught");
    }
}

/// Signals that a process's status has under a name.
fn mask_in(status: &str, name: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap()
}

/// Waits until a run that waits for something else has heeded a signal: it was taken, and who takes it, and
/// who is woken by that, sleeps again.
fn wait_until_heeded(child: &mut Child) {
    let is_pending = |status: &String| {
        let masks = ["SigPnd:", "ShdPnd:"].map(|name| mask_in(status, name));
        masks != [0, 0]
    };
    let sleeps = |status: &String| status.contains("State:\tS");
    // One after the other: who sleeps after a signal was taken has done with it.
    while told_of_threads(child, "status").iter().any(is_pending)
        || !told_of_threads(child, "status").iter().all(sleeps)
    {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was let go on");
    }
}

#[test]
fn the_exit_code_says_so_too_before_the_first_table_is_begun() {
    let place = Place::new();
    place.write_keys("keys/a.keys", &[1, 2]);
    // Signals are caught, and then it waits for somebody who reads its trace.
    let trace = place.path("trace");
    assert!(Command::new("mkfifo").arg(&trace).status().unwrap().success());
    for (signal, code) in [("TERM", 143), ("HUP", 129), ("INT", 130)] {
        let command = place.command(&["bulk-create", "keys", "out", "--trace", "trace"]);
        let mut command = heeding_hang_up(&command);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for_signals(&mut child);
        let kill = ["-s", signal, &child.id().to_string()];
        assert!(Command::new("kill").args(kill).status().unwrap().success());
        wait_until_heeded(&mut child);
        // Who opens for both waits for nobody.
        let reader = std::fs::File::options().read(true).write(true).open(&trace).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "SIG{signal}");
        drop(reader);
        assert!(!place.path("out").exists(), "SIG{signal}: its output was begun");
    }
}

#[test]
fn a_run_that_was_told_to_ignore_the_end_of_its_terminal_does() {
    let place = Place::new();
    place.write_keys("keys/a.keys", &[1, 2]);
    // Before anything of ours: what is ignored then stays so.
    let limits = "trap '' HUP;";
    let mut command = place.command_of(
        std::path::Path::new(env!("CARGO_BIN_EXE_perfecta")),
        limits,
        &["create", "keys/a.keys", "--no-output", "--fixed-attempts", "1000000000000"],
    );
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for_signals(&mut child);
    let process = std::path::PathBuf::from(format!("/proc/{}", child.id()));
    let read = |path: &str| std::fs::read_to_string(process.join(path)).unwrap_or_default();
    let status = read("status");
    let mask_of = |name: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap()
    };
    let [hang_up, terminate] = [1, 15].map(|signal| 1 << (signal - 1));
    assert_eq!(mask_of("SigIgn:") & hang_up, hang_up);
    assert_eq!(mask_of("SigCgt:") & (hang_up | terminate), terminate);
    for signal in ["HUP", "TERM"] {
        let arguments = ["-s", signal, &child.id().to_string()];
        assert!(Command::new("kill").args(arguments).status().unwrap().success());
    }
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

/// A run that a signal ends as soon as that is caught and `is_begun`.
fn ended_by(
    place: &Place,
    arguments: &[&str],
    (signal, number): (&str, u32),
    is_begun: impl Fn() -> bool,
) -> Run {
    let mut command = heeding_hang_up(&place.command(arguments));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let is_caught = || {
        let status = std::fs::read_to_string(&status).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() >> (number - 1) & 1 == 1
    };
    while !(is_caught() && is_begun()) {
        // One that was never to be caught has ended by itself, and is not waited for.
        let state = std::fs::read_to_string(&status).unwrap();
        assert!(!state.contains("State:\tZ"), "{arguments:?} ended before SIG{signal}");
    }
    let kill = ["-s", signal, &child.id().to_string()];
    assert!(Command::new("kill").args(kill).status().unwrap().success());
    Run::of(&child.wait_with_output().unwrap())
}

/// They died of it, without the last line that was promised.
#[test]
fn the_first_signal_ends_commands_that_only_look_with_their_last_line() {
    let place = Place::new();
    place.write_keys("small.keys", &[1, 2, 3]);
    place.write_keys("large.keys", &(0..8_000_000).collect::<Vec<u32>>());
    place.write("list", "small.keys\n".repeat(200_000).as_bytes());
    let check = |arguments: &[&str]| {
        let arguments = [arguments, &["--json"]].concat();
        for (signal, number, code, class) in [
            ("INT", 2, 130, "cancelled"),
            ("TERM", 15, 143, "terminated"),
            ("HUP", 1, 129, "hung_up"),
        ] {
            let run = ended_by(&place, &arguments, (signal, number), || true);
            assert_eq!(run.code, code, "{arguments:?} SIG{signal}: {}{}", run.out, run.err);
            let last = run.lines().pop().unwrap();
            assert_eq!((&last["type"], &last["class"]), (&"error".into(), &class.into()), "{last}");
            assert_eq!(last["exit_code"], code);
            assert!(run.err.contains("error: cancelled"), "{}", run.err);
        }
    };
    check(&["bench", "small.keys", "--attempts", "1000000"]);
    check(&["bench", "large.keys", "--attempts", "1000"]);
    check(&["inspect", "large.keys"]);
    check(&["bulk-create", "--files-from", "list", "out", "--dry-run"]);
}

/// Whoever waited for the reader held what the last line is printed with.
#[test]
fn the_first_signal_ends_what_waits_for_a_reader_that_takes_nothing() {
    let place = Place::new();
    place.write_keys("small.keys", &[1, 2, 3]);
    let (_reader, writer) = std::io::pipe().unwrap();
    let bytes = rustix::pipe::fcntl_getpipe_size(&writer).unwrap();
    (&writer).write_all(&vec![b'\n'; bytes]).unwrap();
    for both in [false, true] {
        let mut command = place.command(&["inspect", "small.keys", "--json"]);
        command.stdout(writer.try_clone().unwrap());
        if both {
            command.stderr(writer.try_clone().unwrap());
        }
        let mut child = command.spawn().unwrap();
        let tasks = format!("/proc/{}/task", child.id());
        let is_waiting = |thread: std::io::Result<std::fs::DirEntry>| {
            let status = thread.map(|thread| std::fs::read_to_string(thread.path().join("status")));
            matches!(status, Ok(Ok(status))
                if status.starts_with("Name:\twork\n") && status.contains("State:\tS"))
        };
        while !std::fs::read_dir(&tasks).unwrap().any(is_waiting) {}
        let kill = ["-s", "TERM", &child.id().to_string()];
        assert!(Command::new("kill").args(kill).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(143), "{both}");
    }
}

#[test]
fn a_signal_leaves_no_part_of_a_generated_key_file() {
    const KEYS: u64 = 20_000_000;
    let place = Place::new();
    let keys = KEYS.to_string();
    // Whole already, it may be: then the longer one is made.
    let is_begun =
        || std::fs::read_dir(place.path("d/u32")).is_ok_and(|mut all| all.next().is_some());
    let keygen = ["keygen", "d", "--shape", "linear", "--keys", &keys];
    let run = ended_by(&place, &keygen, ("TERM", 15), is_begun);
    assert_eq!((run.code, run.err.as_str()), (143, "error: cancelled by SIGTERM\n"));
    for (directory, whole) in [("d/u32", 4 * KEYS), ("d/u64", 8 * KEYS)] {
        for entry in std::fs::read_dir(place.path(directory)).into_iter().flatten().flatten() {
            assert_eq!(entry.metadata().unwrap().len(), whole, "{entry:?}");
        }
    }
}

#[test]
fn a_limit_of_file_sizes_fails_the_tables_above_it_and_no_others() {
    let place = Place::new();
    place.ok(&["keygen", "keys", "--keys", "100000", "--key-size", "32"]);
    place.write_keys("keys/small.keys", &[1, 2, 3]);
    let run = in_shell(&place, "ulimit -f 100;", "bulk-create keys out", "");
    assert_eq!(run.code, 3, "{}{}", run.out, run.err);
    assert!(run.err.contains("File too large") && run.err.contains("ulimit -f"), "{}", run.err);
    assert!(run.out.contains("7 tables: 1 ok, 6 failed"), "{}", run.out);
    let packed = in_shell(&place, "ulimit -f 100;", "bulk-create keys out --layout packed", "");
    assert_eq!(packed.code, 3, "{}{}", packed.out, packed.err);
    assert!(!place.path("out/tables.packed").exists());
    let left: Vec<String> = place.tree("out").into_keys().collect();
    assert!(left.iter().all(|name| !name.contains(".perfecta")), "{left:?}");
    place.ok(&["verify", "out"]);
}

#[test]
fn a_limit_of_addresses_is_a_limit_of_memory() {
    let place = Place::new();
    place.ok(&["keygen", "keys", "--keys", "100000", "--key-size", "32"]);
    let run = in_shell(&place, "ulimit -v 700000;", "bulk-create keys out --emit all", "");
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    for option in ["-v", "-d"] {
        let limit = format!("ulimit {option} 700000;");
        let run = in_shell(&place, &limit, "bulk-create keys out --memory 8G", "");
        assert_eq!(run.code, 8, "{}{}", run.out, run.err);
        let remedy = format!("ulimit {option}");
        assert!(run.err.contains("less to --memory") && run.err.contains(&remedy), "{}", run.err);
    }
    // The stack of a thread is more.
    let run = in_shell(&place, "ulimit -d 2000;", "bulk-create keys out", "");
    assert!(run.code == 8 && run.err.contains("ulimit -d"), "{}", run.err);
    // A table of 10,000,000 keys takes more than three eighths of it.
    let file = std::fs::File::create(place.path("large.keys")).unwrap();
    file.set_len(40_000_000).unwrap();
    let run = in_shell(&place, "ulimit -v 700000;", "create large.keys --no-output", "");
    assert!(run.err.contains("the limit is 268,800,000"), "{}", run.err);
}

/// It ended by SIGABRT, without a word of what to do.
#[test]
fn more_keys_than_there_is_memory_for_are_refused_before_they_are_made() {
    let place = Place::new();
    let run = in_shell(&place, "ulimit -v 200000;", "keygen many --keys 100000000", "");
    assert_eq!((run.code, run.out.as_str()), (6, ""), "{}", run.err);
    let said = "u32/uniform-100000000.keys: it needs about 800,000,000 bytes of memory, the limit is 76,800,000";
    assert!(run.err.contains(said) && run.err.contains("help: ask for fewer keys"), "{}", run.err);
    assert!(!place.path("many").exists());
    // Eight bytes of memory a key are enough, also to find that the file is there.
    for shape in ["uniform", "clusters", "uniform"] {
        let keygen = format!("keygen few --keys 4_500_000 --key-size 64 --shape {shape}");
        let run = in_shell(&place, "ulimit -v 100000;", &keygen, "");
        assert_eq!(run.code, 0, "{shape}: {}{}", run.out, run.err);
    }
}

#[test]
fn a_reason_that_tables_share_is_told_once_with_their_count() {
    let place = Place::new();
    place.ok(&["keygen", "keys", "--keys", "100000", "--key-size", "32"]);
    let run = in_shell(&place, "ulimit -f 100;", "bulk-create keys out --layout packed", "");
    assert_eq!(run.err.matches("File too large").count(), 1, "{}", run.err);
    assert!(run.err.contains("5 tables more for the same reason"), "{}", run.err);
    let arguments = "bulk-create keys out --layout packed --errors all";
    let run = in_shell(&place, "ulimit -f 100;", arguments, "");
    assert_eq!(run.err.matches("File too large").count(), 6, "{}", run.err);
    assert!(!run.err.contains("for the same reason"), "{}", run.err);
}

#[test]
fn a_reader_that_goes_away_takes_neither_tables_nor_the_exit_code() {
    let place = Place::new();
    place.ok(&["keygen", "keys", "--keys", "50", "--key-size", "32"]);
    place.write("keys/odd.keys", b"odd");
    let after = "| head -c 1 > /dev/null; exit ${PIPESTATUS[0]}";
    for arguments in ["bulk-create keys json --json", "bulk-create keys plain"] {
        let run = in_shell(&place, "", arguments, after);
        assert_eq!(run.code, 3, "{}", run.err);
    }
    for out in ["json", "plain"] {
        assert!(place.ok(&["verify", out]).out.contains("6 tables: 6 ok"));
    }
}

#[test]
fn a_trace_is_whole_whatever_the_run_ends_by() {
    let place = Place::new();
    place.write_keys("keys/a.keys", &[1, 2]);
    let check = |arguments: &str, after: &str, code| {
        let run = in_shell(&place, "", &format!("{arguments} --trace trace.json"), after);
        assert_eq!(run.code, code, "{}", run.err);
        let trace = std::fs::read(place.path("trace.json")).unwrap();
        let trace = serde_json::from_slice::<serde_json::Value>(&trace);
        assert!(trace.as_ref().is_ok_and(serde_json::Value::is_array), "{trace:?}");
    };
    check("bulk-create keys --no-output --json", ">/dev/full", 8);
    check("bulk-create missing --no-output", "", 8);
    check("bulk-create keys --no-output --include x", "", 4);
}

#[test]
fn what_a_terminal_would_obey_in_a_name_is_escaped() {
    let place = Place::new();
    place.write("keys/\u{1b}[31mred.keys", b"odd");
    let run = place.run(&["create", "keys/\u{1b}[31mred.keys", "--no-output"]);
    assert_eq!(run.code, 5);
    assert!(run.err.contains("\\u{1b}[31mred.keys: 3 bytes"), "{}", run.err);
}
