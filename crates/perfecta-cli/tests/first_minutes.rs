//! What a newcomer types first, and what scripts read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::process::Command;

use perfecta_core::format::pack::PackView;
use support::{Place, Run};

#[test]
fn keys_are_made_built_published_and_verified() {
    let place = Place::new();
    let made = place.ok(&["keygen", "keys"]);
    assert!(made.out.starts_with("60 files"), "{}", made.out);
    let built = place.ok(&["bulk-create", "keys", "tables", "--key-size", "auto"]);
    assert!(built.out.contains("60 tables: 60 ok"), "{}", built.out);
    let again = place.ok(&["bulk-create", "keys", "tables", "--key-size", "auto"]);
    assert!(again.out.contains("60 tables: 0 ok, 60 unchanged"), "{}", again.out);
    let verified = place.ok(&["verify", "tables", "--keys", "keys", "--key-size", "auto"]);
    assert!(verified.out.contains("60 tables: 60 ok"), "{}", verified.out);
}

/// The lines of the README that are for key files of one's own.
#[test]
fn the_lines_of_the_readme_do_what_they_say_one_after_the_other() {
    let place = Place::new();
    place.write_keys("my.keys", &[3, 70, 900]);
    place.write_keys("my-keys/some-directory/a-file.keys", &[1, 2, 5]);
    place.write_keys("my-keys/b.keys", &[7, 8]);
    let readme = include_str!("../../../README.md");
    let (_, from_install) = readme.split_once("--path crates/perfecta-cli\n").unwrap();
    let (block, after) = from_install.split_once("```").unwrap();
    let lines: Vec<_> = block.lines().filter_map(|line| line.strip_prefix("$ perfecta ")).collect();
    assert_eq!(lines.len(), 3, "{block}");
    for line in lines {
        place.ok(&line.split(' ').collect::<Vec<_>>());
    }
    let (_, using) = after.split_once("## Using a table").unwrap();
    for quoted in using.split("::map(\"").skip(1) {
        let (file, _) = quoted.split_once('"').unwrap();
        assert!(place.path(file).is_file(), "{file}");
    }
    let (_, named) = using.split_once("get(\"").unwrap();
    let (name, _) = named.split_once('"').unwrap();
    let pack = fs::read(place.path("tables/tables.packed/tables.phtpack")).unwrap();
    let pack = PackView::decode(&pack).unwrap();
    assert!(pack.get(name.as_bytes()).is_some(), "{name}");
}

#[test]
fn a_packed_run_is_verified_and_holds_the_same_tables() {
    let place = Place::new();
    place.ok(&["keygen", "keys", "--keys", "100"]);
    let arguments = ["bulk-create", "keys", "packed", "--layout", "packed", "--key-size", "auto"];
    assert!(place.ok(&arguments).out.contains("12 tables: 12 ok"));
    let verified = place.ok(&["verify", "packed", "--keys", "keys", "--key-size", "auto"]);
    assert!(verified.out.contains("12 tables: 12 ok"), "{}", verified.out);
}

#[test]
fn create_reports_its_search_as_one_json_line_and_a_summary() {
    let place = Place::new();
    place.write_keys("a b-3.keys", &[3, 70, 900]);
    let run = place.ok(&["create", "a b-3.keys", "out", "--hash", "jenkins", "--json"]);
    let lines = run.lines();
    assert_eq!(lines.len(), 2);
    let table = &lines[0];
    assert_eq!(table["type"], "table");
    assert_eq!(table["schema"], 1);
    assert_eq!(table["table"], "a_b_3");
    assert_eq!(table["status"], "ok");
    assert_eq!((&table["keys"], &table["hash"]), (&3.into(), &"Jenkins".into()));
    assert_eq!((&table["edge_capacity"], &table["vertices"]), (&8.into(), &16.into()));
    assert_eq!(table["seeds"].as_array().map(Vec::len), Some(2));
    let counted = ["vertex_collisions", "cyclic", "solved"];
    let sum: u64 = counted.iter().map(|field| table[field].as_u64().unwrap()).sum();
    assert_eq!(Some(sum), table["attempts"].as_u64());
    assert_eq!(table["attempts"], table["winning_attempt"]);
    let summary = run.summary();
    for field in ["tables", "ok", "unchanged", "failed", "keys", "bytes", "files"] {
        assert!(summary[field].is_u64(), "{field}");
    }
    assert!(place.path("out/a_b_3/a_b_3.pht").is_file());
}

#[test]
fn fixed_attempts_are_counted_to_the_end() {
    let place = Place::new();
    place.ok(&["keygen", "keys", "--shape", "clusters", "--keys", "500", "--key-size", "32"]);
    let keys = "keys/u32/clusters-500.keys";
    let arguments =
        ["create", keys, "--hash", "2", "--fixed-attempts", "300", "--no-output", "--json"];
    let table = &place.ok(&arguments).lines()[0];
    assert_eq!(table["attempts"], 300);
    assert!(table["solved"].as_u64().unwrap() > 10);
    assert!(table["winning_attempt"].as_u64().unwrap() < 300);
}

#[test]
fn a_name_that_ends_in_the_number_of_its_keys_says_nothing_of_their_width() {
    let place = Place::new();
    place.ok(&["keygen", "keys", "--keys", "64"]);
    let built = place.ok(&["bulk-create", "keys", "out", "--key-size", "auto"]);
    assert!(built.out.contains("12 tables: 12 ok; 768 keys"), "{}", built.out);
}

#[test]
fn keys_come_from_text_when_asked() {
    let place = Place::new();
    place.write("k.txt", b"# three\n0x10\n7\n 300 \n");
    let refused = place.run(&["create", "k.txt", "--text", "--no-output"]);
    assert_eq!(refused.code, 5);
    assert!(refused.err.contains("--sort"), "{}", refused.err);
    place.ok(&["create", "k.txt", "--text", "--sort", "--no-output"]);
}

#[test]
fn a_dry_run_writes_nothing_and_says_how_much_there_would_be() {
    let place = Place::new();
    place.ok(&["keygen", "keys", "--key-size", "32"]);
    let plan = place.ok(&["bulk-create", "keys", "out", "--dry-run"]);
    assert!(plan.out.starts_with("30 tables"), "{}", plan.out);
    let plan = place.ok(&["create", "keys/u32/linear-186.keys", "out", "--dry-run"]);
    assert!(plan.out.starts_with("1 table, 186 keys; about 2 files, "), "{}", plan.out);
    assert!(!place.path("out").exists());
}

#[test]
fn a_list_of_files_comes_from_standard_input() {
    use std::io::Write;
    use std::process::Stdio;
    let place = Place::new();
    place.ok(&["keygen", "keys", "--keys", "20", "--key-size", "32"]);
    let mut command = place.command(&["bulk-create", "--files-from", "-", "out"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let list = "keys/u32/uniform-20.keys\nkeys/u32/linear-20.keys\n";
    child.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
    let run = support::Run::of(&child.wait_with_output().unwrap());
    assert!(run.out.contains("2 tables: 2 ok"), "{}", run.out);
    assert!(place.path("out/uniform_20").is_dir());
}

#[test]
fn a_list_of_files_may_begin_with_a_mark_of_utf_8_and_end_lines_with_two_bytes() {
    let place = Place::new();
    for name in ["a.keys", "b.keys", "\u{feff}c.keys"] {
        place.write_keys(name, &[1, 2]);
    }
    for list in
        ["\u{feff}a.keys\r\nb.keys\r\n", "./\u{feff}c.keys\na.keys", "a.keys\n\u{feff}c.keys"]
    {
        place.write("list", list.as_bytes());
        let run = place.ok(&["bulk-create", "--files-from", "list", "--no-output"]);
        assert!(run.out.contains("2 tables: 2 ok"), "{list:?}: {}", run.out);
    }
    place.write("list", "\u{feff}\r\n".as_bytes());
    let run = place.run(&["bulk-create", "--files-from", "list", "--no-output"]);
    assert!(run.code == 4 && run.err.contains("names no key file"), "{}", run.err);
}

/// With a line for each name, such names were in no list.
#[test]
fn names_in_a_list_may_hold_line_ends_where_zero_bytes_end_them() {
    let place = Place::new();
    let names = ["two\nlines.keys", "end\r", "\u{feff}mark.keys", "plain.keys"];
    for name in names {
        place.write_keys(name, &[1, 2]);
    }
    let by_list = ["bulk-create", "--no-output", "--files-from", "list"];
    for end in ["\0", ""] {
        place.write("list", (names.join("\0") + end).as_bytes());
        for option in ["--null", "-0"] {
            let run = place.ok(&[&by_list[..], &[option]].concat());
            assert!(run.out.contains("4 tables: 4 ok"), "{}", run.out);
        }
        let run = place.run(&by_list);
        assert!(run.code != 0 && run.err.contains("--null"), "{}", run.err);
    }
    let alone = place.run(&["bulk-create", ".", "out", "--null"]);
    assert!(alone.code == 2 && alone.err.contains("--files-from"), "{}", alone.err);
}

#[test]
fn a_benchmark_counts_the_attempts_of_every_family_and_says_which_cannot() {
    let place = Place::new();
    place.ok(&["keygen", "keys", "--shape", "zero", "--keys", "100", "--key-size", "32"]);
    let keys = "keys/u32/zero-100.keys";
    let lines = place.ok(&["bench", keys, "--attempts", "50", "--json"]).lines();
    assert_eq!(lines.len(), 40);
    for line in &lines {
        let count = |field: &str| line[field].as_u64().unwrap();
        let sum = count("vertex_collisions") + count("cyclic") + count("solved");
        let expected = if line["refused"].is_null() { 50 } else { 0 };
        assert_eq!((sum, count("attempts")), (expected, expected), "{line}");
    }
    let refused = lines.iter().filter(|line| !line["refused"].is_null()).count();
    assert_eq!(refused, 22, "the multiplicative functions refuse key 0");
    let table = place.ok(&["bench", keys, "--hash", "folded", "--hash", "2"]);
    assert_eq!(table.out.lines().count(), 3, "{}", table.out);
}

#[test]
fn what_a_dry_run_says_is_within_a_tenth_of_what_is_written() {
    let place = Place::new();
    place.ok(&["keygen", "keys", "--key-size", "32"]);
    for (emit, layout) in [("pht", "dirs"), ("all", "dirs"), ("pht", "packed")] {
        let out = format!("{emit}-{layout}");
        let run = |extra: &[&str]| {
            let mut arguments =
                vec!["bulk-create", "keys", &out, "--emit", emit, "--layout", layout, "--json"];
            arguments.extend(extra);
            place.ok(&arguments).lines().pop().unwrap()
        };
        let (plan, truth) = (run(&["--dry-run"]), run(&[]));
        assert_eq!(plan["files"], truth["files"], "{out}");
        let (planned, written) =
            (plan["bytes"].as_f64().unwrap(), truth["bytes"].as_f64().unwrap());
        assert!((planned / written - 1.0).abs() < 0.1, "{out}: {planned} for {written}");
    }
}

#[test]
fn shells_complete_what_there_is() {
    let place = Place::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = place.ok(&["completions", shell]).out;
        for word in ["bulk-create", "dedupe", "forget"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        // What no help tells of is not offered either.
        assert!(!script.contains("own-session") && !script.contains("Refused"), "{shell}");
    }
    place.write("script", place.ok(&["completions", "bash"]).out.as_bytes());
    let check = |typed: &str, expected: &str| {
        let words = typed.split(' ').count() - 1;
        let complete = format!(
            "source ./script; COMP_WORDS=({typed}); COMP_CWORD={words}; \
             _perfecta perfecta \"${{COMP_WORDS[$COMP_CWORD]}}\" \"${{COMP_WORDS[$COMP_CWORD-1]}}\"; \
             echo \"${{COMPREPLY[*]}}\""
        );
        let mut bash = Command::new("bash");
        let run = bash.args(["-c", &complete]).current_dir(place.path("")).output().unwrap();
        let run = Run::of(&run);
        assert_eq!(run.out.trim_end(), expected, "{typed} {}", run.err);
    };
    check("perfecta bulk", "bulk-create");
    check("perfecta client for", "forget");
    check("perfecta create --ded", "--dedupe");
    check("perfecta bulk-create --dr", "--dry-run");
    check("perfecta client bulk-create --dr", "");
    check("perfecta client create --ensure", "--ensure-server");
    check("perfecta create --layout p", "packed");
}
