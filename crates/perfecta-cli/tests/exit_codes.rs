//! Every exit code, and what is said with it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs::OpenOptions;
use std::os::unix::fs::symlink;
use std::process::Command;

use support::{Place, Run};

fn check(run: &Run, code: i32, words: &[&str]) {
    assert_eq!(run.code, code, "{}{}", run.out, run.err);
    for word in words {
        assert!(run.err.contains(word), "{word:?} in {}", run.err);
    }
}

#[test]
fn wrong_flags_are_usage_errors_that_name_the_remedy() {
    let place = Place::new();
    place.write_keys("k.keys", &[1, 2]);
    check(&place.run(&["create", "k.keys"]), 2, &["no output directory", "--no-output"]);
    check(&place.run(&["create", "k.keys", "out", "--no-output"]), 2, &["contradict"]);
    let packed = ["create", "k.keys", "packed", "--layout", "packed", "--emit"];
    for (emit, is_told) in [("pht", false), ("all", true)] {
        let run = place.ok(&[&packed[..], &[emit]].concat());
        assert_eq!(run.err.contains("--emit and --include-keys are left out"), is_told);
    }
    check(
        &place.run(&["create", "k.keys", "out", "--hash", "Mulshrolate4X"]),
        2,
        &["did you mean Mulshrolate4RX?"],
    );
    check(
        &place.run(&["create", "k.keys", "out", "--fixed-attempts", "abc"]),
        2,
        &["whole number"],
    );
    check(
        &place.run(&["create", "k.keys", "out", "--fixed-attempts", "0"]),
        2,
        &["give at least 1, or leave the option out"],
    );
    check(&place.run(&["create", "k.keys", "out", "--emit", "cobol"]), 2, &["pht", "rust"]);
    check(&place.run(&["create", "k.keys", "out", "--key-size", "16"]), 2, &["32 or 64"]);
    let bogus = place.run(&["create", "k.keys", "out", "--bogus"]);
    check(&bogus, 2, &["--bogus"]);
    assert!(!bogus.err.contains("as a value"), "after -- it would be a file: {}", bogus.err);
    let below_zero = ["create", "k.keys", "out", "--max-seconds", "-1"];
    check(&place.run(&below_zero), 2, &["'-1' for '--max-seconds", "seconds are from 0"]);
    check(&place.run(&["bulk-create", ".", "out", "--include", "[a"]), 2, &["[a"]);
    check(&place.run(&["keygen", "x", "--keys", "0"]), 2, &["1 to"]);
    for command in [&["bulk-create", ".", "out"][..], &["serve"]] {
        for (option, value, told) in [
            ("--max-files", "0", "1 to 65536 files"),
            ("--max-files", "65537", "1 to 65536 files"),
            ("--memory", "much", "bytes"),
        ] {
            check(&place.run(&[command, &[option, value]].concat()), 2, &[option, told]);
        }
    }
    check(&place.run::<&str>(&[]), 2, &["Usage"]);
}

#[test]
fn a_bad_key_file_says_where_and_what() {
    let place = Place::new();
    place.write_keys("twice.keys", &[1, 5, 0xbeef, 0xbeef]);
    check(
        &place.run(&["create", "twice.keys", "--no-output"]),
        5,
        &[
            "twice.keys: duplicate key 0x0000beef at byte 0xc (key 3), first at byte 0x8 (key 2)",
            "--dedupe",
        ],
    );
    for (bytes, words) in [
        (
            &[1, 0, 0, 0, 2][..],
            "odd.keys: 5 bytes are no whole number of 4-byte keys: 1 byte is left at byte 0x4",
        ),
        (&[1], "odd.keys: 1 byte is no whole number of 4-byte keys: 1 byte is left at byte 0x0"),
    ] {
        place.write("odd.keys", bytes);
        check(&place.run(&["create", "odd.keys", "--no-output"]), 5, &[words]);
    }
    place.write("empty.keys", b"");
    check(&place.run(&["create", "empty.keys", "--no-output"]), 5, &["empty.keys", "no keys"]);
    check(&place.run(&["create", "none.keys", "--no-output"]), 8, &["none.keys", "No such file"]);
    for command in ["inspect", "bench"] {
        check(&place.run(&[command, "none.keys"]), 8, &["No such file", "help: check the path"]);
    }
    // A hole: it takes no room.
    let huge = std::fs::File::create(place.path("huge.keys")).unwrap();
    huge.set_len((1 << 32) + 4).unwrap();
    check(
        &place.run(&["create", "huge.keys", "--no-output"]),
        5,
        &["1073741825 keys are more than a table can hold (1073741824)", "help: split the set"],
    );
}

#[test]
fn whoever_looks_at_what_is_no_file_says_the_same_of_it() {
    let place = Place::new();
    std::fs::create_dir(place.path("directory.keys")).unwrap();
    Command::new("mkfifo").arg(place.path("fifo.keys")).status().unwrap();
    for (target, link) in [("nowhere", "dangling"), ("loop.keys", "loop"), ("/dev/zero", "device")]
    {
        symlink(target, place.path(&format!("{link}.keys"))).unwrap();
    }
    place.write_keys("good.keys", &[1]);
    for (name, code, told) in [
        ("directory.keys", 5, "cannot open directory.keys: it is a directory, not a regular file"),
        ("fifo.keys", 5, "cannot open fifo.keys: it is a FIFO, not a regular file"),
        ("device.keys", 5, "cannot open device.keys: it is a character device, not a regular file"),
        ("dangling.keys", 8, "cannot open dangling.keys: it is a symbolic link to nowhere"),
        ("loop.keys", 8, "cannot inspect loop.keys: Too many levels"),
        ("none.keys", 8, "cannot inspect none.keys: No such file"),
        ("good.keys/k.keys", 8, "cannot inspect good.keys/k.keys: Not a directory"),
    ] {
        let helps = [&["create", name, "--no-output"][..], &["inspect", name], &["bench", name]]
            .map(|arguments| {
                let run = place.run(arguments);
                check(&run, code, &[told]);
                run.err.lines().find(|line| line.contains("help: ")).unwrap().trim().to_owned()
            });
        assert!(helps.iter().all(|help| *help == helps[0]), "{name}: {helps:?}");
    }
}

#[test]
fn an_impossible_search_is_refused_and_a_vain_one_ends() {
    let place = Place::new();
    place.write_keys("zero.keys", &[0, 5]);
    check(
        &place.run(&["create", "zero.keys", "--hash", "MultiplyShiftR", "--no-output"]),
        6,
        &["MultiplyShiftR maps key 0", "--hash auto"],
    );
    check(
        &place.run(&["create", "zero.keys", "--initial-grows", "40", "--no-output"]),
        6,
        &["40 doublings pass the greatest table", "fewer doublings"],
    );
    place.ok(&["create", "zero.keys", "--no-output"]);
    let far: Vec<u32> = (1..200).map(|key| key << 20).collect();
    place.write_keys("far.keys", &far);
    check(
        &place.run(&[
            "create",
            "far.keys",
            "--hash",
            "Multiply",
            "--max-attempts",
            "50",
            "--no-output",
        ]),
        6,
        &["no table after 50 attempts"],
    );
    // Not the limit of attempts is what is to be raised.
    let run = place.run(&["create", "far.keys", "--hash", "Multiply", "--no-output", "--json"]);
    check(
        &run,
        6,
        &[
            "no table after 64 attempts: Multiply gives key 0x00100000 one of 512 vertices twice, whatever its seeds",
            "help: choose another hash, or --hash auto; or let the table grow (--grow-after, --max-grows)",
        ],
    );
    assert!(!run.err.contains("raise"), "{}", run.err);
    assert!(run.out.contains(r#""class":"unsolved""#), "{}", run.out);
    check(
        &place.run(&[
            "create",
            "far.keys",
            "--hash",
            "Multiply",
            "--max-seconds",
            "0.05",
            "--no-output",
        ]),
        6,
        &["no table after"],
    );
    let little = ["create", "far.keys", "--memory", "1K", "--no-output"];
    check(&place.run(&little), 6, &["bytes of memory, the limit is 1,024", "(--memory)"]);
}

#[test]
fn a_dry_run_ends_as_the_run_would() {
    let place = Place::new();
    place.write("one/odd.keys", b"odd");
    place.write("two/odd.keys", b"odd");
    place.write_keys("two/good.keys", &[1, 2]);
    let ends = |code: i32, arguments: &[&str], words: &[&str]| {
        let run = [&["bulk-create", "--no-output"], arguments].concat();
        for arguments in [&run, &[&run[..], &["--dry-run"]].concat()] {
            check(&place.run(arguments), code, words);
        }
    };
    let odd = "odd.keys: 3 bytes are no whole number";
    ends(5, &["one", "--json"], &[odd, "help: check that the file is complete"]);
    ends(3, &["two", "--json"], &[odd]);
    ends(2, &["two", "--numa", "64"], &["help: name nodes that there are"]);
    ends(2, &["two", "--node-policy", "node:64"], &["there is no node 64", "help: name another"]);
    let one = ["create", "--no-output", "two/odd.keys", "--dry-run"];
    check(&place.run(&one), 5, &[odd, "help: check that the file is complete"]);
}

/// All of them were told, without a word of help.
#[test]
fn a_dry_run_tells_as_many_refusals_as_are_asked_for_and_counts_the_others() {
    let place = Place::new();
    for number in 0..25 {
        place.write(&format!("bad/{number}.keys"), b"odd");
    }
    let told = |more: &[&str]| {
        let run = place.run(&[&["bulk-create", "bad", "out", "--dry-run"], more].concat());
        assert_eq!(run.code, 3);
        let of_files = run.err.lines().filter(|line| line.starts_with("error: bad/"));
        (of_files.count(), run.err.lines().rev().nth(1).unwrap().to_owned())
    };
    let counted = |rest: u32| format!("error: {rest} tables more failed ({rest} invalid_keys)");
    assert_eq!(told(&["--errors", "2"]), (2, counted(23)));
    assert_eq!(told(&[]), (20, counted(5)));
    assert_eq!(told(&["--errors", "all"]).0, 25);
}

#[test]
fn nothing_to_do_is_not_success() {
    let place = Place::new();
    std::fs::create_dir(place.path("empty")).unwrap();
    check(&place.run(&["bulk-create", "empty", "out"]), 4, &["no key file", "*.keys"]);
    assert!(!place.path("out").exists());
    check(&place.run(&["bulk-create", "missing", "out"]), 8, &["missing"]);
}

#[test]
fn something_else_in_a_tables_place_is_left_alone_unless_forced() {
    let place = Place::new();
    place.write_keys("k.keys", &[1, 2]);
    place.write("out/k/precious.txt", b"mine");
    check(&place.run(&["create", "k.keys", "out"]), 7, &["out/k", "--force"]);
    assert_eq!(std::fs::read(place.path("out/k/precious.txt")).unwrap(), b"mine");
    place.ok(&["create", "k.keys", "out", "--force"]);
    assert!(place.path("out/k/k.pht").is_file());
}

#[test]
fn a_damaged_table_fails_verification() {
    let place = Place::new();
    place.ok(&["keygen", "keys", "--keys", "100", "--key-size", "32"]);
    place.ok(&["bulk-create", "keys", "out"]);
    let path = place.path("out/u32/uniform_100/uniform_100.pht");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let run = place.run(&["verify", "out"]);
    check(&run, 3, &["uniform_100.pht"]);
    check(&place.run(&["verify", "out/u32/uniform_100"]), 9, &["uniform_100.pht"]);
    place.ok(&["bulk-create", "keys", "out"]);
    place.ok(&["verify", "out", "--keys", "keys"]);
}

#[test]
fn a_key_file_without_its_table_fails_verification() {
    let place = Place::new();
    place.ok(&["keygen", "keys", "--keys", "100", "--key-size", "32"]);
    place.ok(&["bulk-create", "keys", "out"]);
    std::fs::remove_dir_all(place.path("out/u32/linear_100")).unwrap();
    let run = place.run(&["verify", "out", "--keys", "keys", "--json"]);
    check(&run, 3, &["linear_100", "no table of the key file"]);
    let failed = run.lines().into_iter().find(|line| line["status"] == "failed").unwrap();
    assert_eq!(failed["error"]["class"], "verification");
}

#[test]
fn a_table_without_its_key_file_fails_verification_against_keys() {
    let place = Place::new();
    place.write_keys("keys/a.bin", &[1, 2, 3]);
    place.write_keys("keys/b.bin", &[4, 5, 6]);
    let both = |run: &Run| assert!(run.out.contains("2 ok; 6 keys"), "{}", run.out);
    let one = |run: &Run| {
        check(run, 3, &["none of the key files is that of this table", "--include"]);
        assert!(run.out.contains("1 ok, 1 failed"), "{}", run.out);
    };
    for layout in ["dirs", "packed"] {
        place.ok(&["bulk-create", "keys", layout, "--include", "*.bin", "--layout", layout]);
        both(&place.ok(&["verify", layout]));
        let of_keys = ["verify", layout, "--keys", "keys", "--include", "*.bin"];
        both(&place.ok(&of_keys));
        one(&place.run(&[&of_keys[..], &["--exclude", "b*"]].concat()));
        let by_usual_names = place.run(&of_keys[..4]);
        check(&by_usual_names, 3, &["none of the key files"]);
        assert!(by_usual_names.out.contains("0 ok, 2 failed"), "{}", by_usual_names.out);
        let of_list = ["verify", layout, "--files-from", "list"];
        std::fs::write(place.path("list"), "keys/a.bin\nkeys/b.bin\n").unwrap();
        both(&place.ok(&of_list));
        std::fs::write(place.path("list"), "keys/a.bin\n").unwrap();
        one(&place.run(&of_list));
    }
    check(&place.run(&["verify", "dirs", "--include", "*"]), 2, &["--keys"]);
    check(
        &place.run(&["verify", "dirs", "--keys", "keys/a.bin", "--exclude", "*"]),
        2,
        &["--keys"],
    );
    place.ok(&["verify", "dirs/a", "--keys", "keys/a.bin"]);
}

#[test]
fn verification_names_what_is_missing_or_strange_in_a_table() {
    let place = Place::new();
    std::fs::create_dir(place.path("nothing")).unwrap();
    check(&place.run(&["verify", "nothing"]), 4, &["no table is published in nothing"]);
    place.write_keys("keys/a.keys", &[1, 2]);
    place.write_keys("keys/b.keys", &[1, 2]);
    place.ok(&["bulk-create", "keys", "out"]);
    std::fs::create_dir(place.path("out/a/strange")).unwrap();
    let words = ["out/a: strange is a directory, and no part of the table that manifest.json says"];
    check(&place.run(&["verify", "out/a"]), 9, &words);
    std::fs::remove_file(place.path("out/b/manifest.json")).unwrap();
    check(&place.run(&["verify", "out"]), 3, &["out/b/manifest.json: it is missing"]);
    // What the remedy says helps.
    place.ok(&["bulk-create", "keys", "out", "--force"]);
    std::fs::copy(place.path("out/a/a.pht"), place.path("out/stray.pht")).unwrap();
    let words = ["out: a is a directory, and no part of the table that stray.pht says", "move one"];
    check(&place.run(&["verify", "out"]), 3, &words);
    std::fs::rename(place.path("out/stray.pht"), place.path("out/a/more")).unwrap();
    let words = ["out/a/more: the manifest does not list it", "help: move it away"];
    check(&place.run(&["verify", "out"]), 3, &words);
    std::fs::remove_file(place.path("out/a/more")).unwrap();
    place.ok(&["verify", "out", "--keys", "keys"]);
    std::fs::rename(place.path("out/a/a.pht"), place.path("a.pht")).unwrap();
    std::os::unix::fs::symlink(place.path("a.pht"), place.path("out/a/a.pht")).unwrap();
    check(&place.run(&["verify", "out"]), 3, &["out/a/a.pht: it is a symbolic link"]);
}

#[test]
fn a_file_where_a_directory_belongs_and_the_reverse_are_explained() {
    let place = Place::new();
    place.write_keys("keys/k.keys", &[1, 2]);
    check(&place.run(&["create", "keys", "out"]), 5, &["it is a directory", "bulk-create"]);
    check(&place.run(&["create", "keys/k.keys", "out", "--jobs", "5000"]), 2, &["1 to 512"]);
    Command::new("mkfifo").arg(place.path("fifo")).status().unwrap();
    place.ok(&["bulk-create", "keys", "tables"]);
    let file = "keys/k.keys";
    for (arguments, helps) in [
        (&["bulk-create", file, "out"][..], "`create`"),
        (&["bulk-create", "fifo", "out"], "`create`"),
        (&["bulk-create", file, "out", "--dry-run"], "`create`"),
        (&["create", file, file], "name another directory"),
        (&["create", file, "fifo", "--layout", "packed"], "name another directory"),
        (&["create", file, file, "--dry-run"], "name another directory"),
        (&["bulk-create", "keys", "fifo", "--dry-run"], "name another directory"),
        (&["bulk-create", "--files-from", "keys", "out"], "name a file"),
        (&["create", file, "out", "--trace", "keys"], "name a file"),
        (&["verify", file], "name the directory"),
        (&["verify", "fifo"], "name the directory"),
        (&["verify", "tables", "--keys", "fifo"], "name a directory of key files"),
        (&["verify", "tables", "--files-from", "keys"], "name a file"),
        (&["keygen", file], "name another directory"),
        (&["keygen", "keys/k.keys/below"], "name another directory"),
    ] {
        let run = place.run(arguments);
        check(&run, 2, &["help: ", helps]);
        let named = arguments
            .iter()
            .any(|argument| run.err.lines().next().unwrap().contains(&format!(" {argument}")));
        assert!(named, "{arguments:?}: {}", run.err);
    }
    assert!(!place.path("out").exists());
}

/// It was no such file, or no regular one, and what to do was not said.
#[test]
fn keys_that_come_through_a_pipe_are_to_be_written_to_a_file() {
    let place = Place::new();
    Command::new("mkfifo").arg(place.path("fifo")).status().unwrap();
    let helps = "help: write the keys to a file and name that";
    for command in [&["create", "--no-output"][..], &["inspect"], &["bench"]] {
        check(&place.run(&[command, &["-"]].concat()), 8, &["No such file", helps]);
        check(&place.run(&[command, &["fifo"]].concat()), 5, &["it is a FIFO", helps]);
    }
    place.write_keys("-", &[1, 2]);
    place.ok(&["create", "-", "--no-output"]);
}

/// A run said that they clash, and `verify` that the tables were not what they should be.
#[test]
fn key_files_that_clash_are_told_of_as_such_by_whoever_looks_at_them() {
    let place = Place::new();
    let clash = |first: &str, second: &str, words: &str| {
        for (name, keys) in [(first, [1, 2]), (second, [3, 4]), ("c.keys", [5, 6])] {
            place.write_keys(&format!("keys/{name}"), &keys);
        }
        let told = |arguments: &[&str]| {
            let run = place.run(&[arguments, &["--json"]].concat());
            check(&run, 3, &[words]);
            let lines = run.lines().into_iter().filter(|line| line["status"] == "failed");
            let classes: Vec<_> =
                lines.map(|line| line["error"]["class"].as_str().unwrap().to_owned()).collect();
            assert_eq!(classes, ["conflict", "conflict"], "{}", run.err);
            run.err
        };
        assert_eq!(
            told(&["bulk-create", "keys", "out", "--jobs", "1"]).lines().count(),
            told(&["verify", "out", "--keys", "keys", "--jobs", "1"]).lines().count()
        );
        std::fs::remove_dir_all(place.path("out")).unwrap();
        // One that is the table's own is none the worse for the other.
        place.ok(&["create", &format!("keys/{first}"), "out"]);
        place.ok(&["create", "keys/c.keys", "out"]);
        let run = place.run(&["verify", "out", "--keys", "keys"]);
        check(&run, 3, &[words]);
        assert!(run.out.contains("2 ok, 1 failed"), "{}", run.out);
        std::fs::remove_dir_all(place.path("out")).unwrap();
        std::fs::remove_dir_all(place.path("keys")).unwrap();
    };
    clash("a-b.keys", "a_b.keys", "goes to the same place, a_b");
    clash("a.keys", "A.keys", "upper and lower case");
}

#[test]
fn help_that_could_not_be_written_is_no_success() {
    for asked in [&["--help"][..], &["--version"], &["create", "--help"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut program = Command::new(env!("CARGO_BIN_EXE_perfecta"));
        let run = program.args(asked).stdout(full).output().unwrap();
        assert_eq!(run.status.code(), Some(8), "{asked:?}");
        let told = String::from_utf8(run.stderr).unwrap();
        assert!(told.contains("standard output: cannot write"), "{told}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let place = Place::new();
    let binary = env!("CARGO_BIN_EXE_perfecta");
    let script = format!("set -o pipefail; '{binary}' hashes | head -1");
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    drop(place);
}
