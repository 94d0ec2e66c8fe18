//! What is refused or cannot be done: which line says so, what helps, and what is left untouched.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Place, Run};

/// Runs, and expects an end with `code` and all of `words` on standard error.
#[track_caller]
fn check(place: &Place, arguments: &[&str], code: i32, words: &[&str]) -> Run {
    let run = place.run(arguments);
    assert_eq!(run.code, code, "{}{}", run.out, run.err);
    for word in words {
        assert!(run.err.contains(word), "no {word:?} in\n{}", run.err);
    }
    run
}

/// A file of zeros that takes no room.
fn sparse(place: &Place, name: &str, bytes: u64) {
    fs::File::create(place.path(name)).unwrap().set_len(bytes).unwrap();
}

fn with_keys() -> Place {
    let place = Place::new();
    place.write_keys("my.keys", &[3, 70, 900, 901, 1000]);
    place
}

#[test]
fn a_file_of_more_keys_than_a_table_holds_is_refused_unread_by_whoever_looks_at_it() {
    let place = Place::new();
    sparse(&place, "many.keys", 5 << 30);
    let words = ["1342177280 keys are more than a table can hold"];
    check(&place, &["create", "many.keys", "--no-output"], 5, &words);
    check(&place, &["inspect", "many.keys"], 5, &words);
    check(&place, &["bench", "many.keys"], 5, &words);
    sparse(&place, "more.keys", 9 << 30);
    let words = ["it has 9,663,676,416 bytes, the limit is 8,589,934,592", "help: split the set"];
    check(&place, &["create", "more.keys", "--no-output", "--key-size", "64"], 5, &words);
    check(&place, &["inspect", "more.keys", "--key-size", "64"], 5, &words);
}

#[test]
fn a_file_that_memory_does_not_hold_is_not_looked_into() {
    let place = Place::new();
    sparse(&place, "large.keys", 1 << 30);
    let run = place.run_within("ulimit -v 2000000;", &["inspect", "large.keys"]);
    assert_eq!(run.code, 6, "{}", run.err);
    assert!(run.err.contains("bytes of memory, the limit is"), "{}", run.err);
}

#[test]
fn a_trace_takes_the_place_of_an_earlier_trace_and_of_nothing_else() {
    let place = with_keys();
    let create = |trace| ["create", "my.keys", "--no-output", "--trace", trace];
    let keys = fs::read(place.path("my.keys")).unwrap();
    check(&place, &create("my.keys"), 7, &["my.keys: it is a key file", "help: name a file"]);
    assert_eq!(fs::read(place.path("my.keys")).unwrap(), keys);
    place.write("notes", b"[1, 2, 3]");
    check(&place, &create("notes"), 7, &["notes: it is there and is no trace of ours"]);
    assert_eq!(fs::read(place.path("notes")).unwrap(), b"[1, 2, 3]");
    for _ in 0..2 {
        place.ok(&create("trace.json"));
        let trace = fs::read(place.path("trace.json")).unwrap();
        assert!(serde_json::from_slice::<serde_json::Value>(&trace).unwrap().is_array());
    }
    place.write_keys("keys/a.keys", &[1, 2]);
    let among = ["bulk-create", "keys", "--no-output", "--trace", "keys/trace.json"];
    check(&place, &among, 7, &["it lies among the key files"]);
    assert!(!place.path("keys/trace.json").exists());
    check(&place, &create("."), 2, &["help: a directory is where a file belongs"]);
}

/// It stayed, empty, also where nothing could ever be published.
#[test]
fn a_run_that_publishes_nothing_removes_the_output_directory_that_it_made() {
    let place = Place::new();
    place.write("bad/odd.keys", b"odd");
    place.write_keys("good/my.keys", &[3, 70]);
    let is_there = |path: &str| place.path(path).exists();
    for layout in ["dirs", "packed"] {
        let create = |keys, out| ["create", keys, out, "--layout", layout];
        check(&place, &create("bad/odd.keys", "made/below/out"), 5, &["no whole number"]);
        check(&place, &["bulk-create", "bad", "made/out", "--layout", layout], 5, &[]);
        assert!(!is_there("made"), "{layout}");
        fs::create_dir(place.path("there")).unwrap();
        check(&place, &create("bad/odd.keys", "there/out"), 5, &[]);
        assert!(is_there("there") && !is_there("there/out"), "{layout}");
        check(&place, &create("bad/odd.keys", "there"), 5, &[]);
        assert!(is_there("there"), "{layout}");
        place.ok(&create("good/my.keys", "there/out"));
        assert!(is_there("there/out"), "{layout}");
        fs::remove_dir_all(place.path("there")).unwrap();
    }
}

#[test]
fn keygen_replaces_no_file_that_is_another_one() {
    let place = Place::new();
    place.write("d/u32/linear-5.keys", b"mine");
    let keygen = ["keygen", "d", "--shape", "linear", "--keys", "5", "--key-size", "32"];
    check(&place, &keygen, 7, &["linear-5.keys: it is there and is another file", "--force"]);
    assert_eq!(fs::read(place.path("d/u32/linear-5.keys")).unwrap(), b"mine");
    let forced = [&keygen[..], &["--force"]].concat();
    assert_eq!(place.ok(&forced).out, "1 file, 5 keys in d\n");
    place.ok(&keygen);
    assert_eq!(fs::read(place.path("d/u32/linear-5.keys")).unwrap().len(), 20);
}

#[test]
fn seeds_that_the_family_does_not_take_are_refused_with_how_many_it_takes() {
    let place = with_keys();
    let create =
        |hash, seeds| ["create", "my.keys", "--no-output", "--hash", hash, "--seeds", seeds];
    check(&place, &create("Crc32", "1,2,3"), 2, &["Crc32 takes 2 seeds, these are 3"]);
    check(&place, &create("auto", "1,2,3,0"), 2, &["Folded takes 3 seeds, these are 4"]);
    place.ok(&create("Crc32", "0,7"));
}

/// They were left out without a word, and another function searched in than was asked for.
#[test]
fn bits_that_a_seed_does_not_take_are_refused_with_those_that_it_takes() {
    let place = with_keys();
    let create =
        |hash, seeds| ["create", "my.keys", "--no-output", "--hash", hash, "--seeds", seeds];
    let words = "--seeds: seed 3 is 0x40ff, of which MultiplyShiftR takes the bits of 0x1f1f alone";
    check(
        &place,
        &create("23", "0x9e3779b1,0x85ebca6b,0x40ff"),
        2,
        &[words, "help: set no other bits"],
    );
    let words = "seed 3 is 0x2010, of which MultiplyShiftRX takes the bits of 0x1f1f alone";
    check(&place, &create("35", "1,2,0x2010"), 2, &[words]);
    place.ok(&create("23", "0,0,0x1f"));
}

#[test]
fn fixed_seeds_that_find_nothing_lead_to_other_seeds() {
    let place = Place::new();
    let keys: Vec<u32> = (0..200).map(|key| key * 16).collect();
    place.write_keys("my.keys", &keys);
    let create = ["create", "my.keys", "--no-output", "--hash", "AddSubXor", "--seeds", "1,2,3,4"];
    let words =
        ["no table after 1 attempt: ", "give other seeds, or 0 for a seed that is to be drawn"];
    let run = check(&place, &create, 6, &words);
    assert!(!run.err.contains("raise the limit"), "{}", run.err);
    // All but five bits of a rotation are fixed.
    place.write_keys("my.keys", &(1..=2048).map(|key| key * key).collect::<Vec<u32>>());
    let create = ["create", "my.keys", "--no-output", "--hash", "Mulshrolate1RX", "--seeds", "3,5"];
    let words = ["no table after 1024 attempts: ", "32 combinations", "give other seeds, or 0"];
    let run = check(&place, &create, 6, &words);
    assert!(!run.err.contains("raise the limit"), "{}", run.err);
}

#[test]
fn a_table_that_is_not_done_in_time_says_so_and_that_nothing_was_written() {
    let place = with_keys();
    let endless = ["--hash", "Multiply", "--fixed-attempts", "1000000000000"];
    let create = [&["create", "my.keys", "out", "--deadline", "0.3"], &endless[..]].concat();
    let words = ["my.keys: not done in time: there is no table, nothing was written", "--deadline"];
    let run = check(&place, &create, 15, &words);
    assert!(run.out.contains("cancelled"), "{}", run.out);
    for line in ["winning attempt", "seeds"] {
        assert!(!run.out.contains(line), "{}", run.out);
    }
    assert!(!place.path("out/my").exists());
    let bulk = [&["bulk-create", ".", "--no-output", "--deadline", "0.3"], &endless[..]].concat();
    check(&place, &bulk, 15, &["not done in time: 1 table not done", "--deadline"]);
}

#[test]
fn errors_name_what_helps() {
    let place = with_keys();
    let text = |bytes: &[u8], words: &[&str]| {
        place.write("text", bytes);
        check(&place, &["create", "text", "--text", "--no-output"], 5, words);
    };
    text(b"4294967296\n", &["give --key-size 64"]);
    text(b"\xef\xbb\xbf1\n", &["byte order mark of UTF-8", "without a byte order mark"]);
    text(b"\xff\xfe1\0\n\0", &["UTF-16"]);
    text(b"1\r2\r", &["carriage returns", "help: end each line"]);
    let bulk = |more: &[&str], code, words: &[&str]| {
        check(&place, &[&["bulk-create"], more, &["--no-output"]].concat(), code, words);
    };
    bulk(&[".", "--exclude", "*"], 4, &["--exclude"]);
    bulk(&[".", "--include", "[a"], 2, &["help: write a pattern"]);
    place.write("twice", b"my.keys\nmy.keys\n");
    let twice = ["bulk-create", "--files-from", "twice", "out"];
    check(&place, &twice, 3, &["help: list a key file once"]);
    place.write("zeros", b"my.keys\0");
    bulk(&["--files-from", "zeros"], 8, &["help: no name holds a zero byte"]);
    bulk(&["--files-from", "."], 2, &["help: a directory is where a file belongs"]);
    bulk(&[".", "--node-policy", "node:400"], 2, &["there is no node 400"]);
    let deep = "d/".repeat(2_500);
    check(&place, &["create", "my.keys", &deep], 8, &["or the whole path"]);
}

#[cfg(unix)]
#[test]
fn an_output_that_is_a_link_to_nowhere_is_named_as_one() {
    let place = with_keys();
    std::os::unix::fs::symlink("nowhere", place.path("out")).unwrap();
    check(&place, &["create", "my.keys", "out"], 8, &["help: if a symbolic link is there"]);
}

/// An error is one line, whatever a file is called.
#[test]
fn a_name_with_a_line_end_makes_no_line_of_its_own() {
    let place = Place::new();
    place.write("a\nerror: b.keys", b"xyz");
    let run = check(
        &place,
        &["create", "a\nerror: b.keys", "--no-output"],
        5,
        &["a\\nerror: b.keys: 3 bytes"],
    );
    assert_eq!(run.err.lines().count(), 2, "{}", run.err);
    let run = check(&place, &["inspect", "a\nerror: b.keys"], 5, &["a\\nerror: b.keys: 3 bytes"]);
    assert_eq!(run.err.lines().count(), 2, "{}", run.err);
}

/// The low and high words of wide keys make duplicates, and a table of the words would be wrong.
#[test]
fn wide_keys_without_their_width_lead_to_key_size() {
    let place = Place::new();
    let dense: Vec<u32> = (0..300).flat_map(|key| [key, 0]).collect();
    place.write_keys("dense.keys", &dense);
    let words = ["duplicate key 0x00000000 at byte 0x4", "give --key-size 64"];
    check(&place, &["create", "dense.keys", "--no-output"], 5, &words);
}

#[test]
fn one_line_tells_of_all_files_that_are_read_as_half_as_wide_as_their_names_say() {
    let place = Place::new();
    for file in ["a.keys64", "b.keys64", "c.keys64", "d.keys"] {
        place.write_keys(file, &[1, 2, 3, 4]);
    }
    let told = |arguments: &[&str]| {
        let run = place.ok(&[arguments, &["--no-output"]].concat());
        run.err.lines().filter(|line| line.contains("the name ends in 64")).count()
    };
    let bulk = ["bulk-create", ".", "--include", "*.keys*"];
    let run = place.ok(&[&bulk[..], &["--no-output"]].concat());
    let words = "a.keys64 and 2 files more: read as 32-bit keys, though the name ends in 64; if the keys have 64 \
                 bits, give --key-size 64, or auto";
    assert!(run.err.contains(words), "{}", run.err);
    assert_eq!(told(&bulk), 1);
    assert_eq!(told(&[&bulk[..], &["--dry-run"]].concat()), 1);
    assert_eq!(told(&["create", "a.keys64"]), 1);
    assert_eq!(told(&["create", "a.keys64", "--key-size", "auto"]), 0);
    assert_eq!(told(&["create", "d.keys"]), 0);
}

/// It could not be inspected, and its path was to be checked, where it was.
#[test]
fn a_link_to_nothing_is_told_of_with_where_it_points() {
    let place = Place::new();
    std::os::unix::fs::symlink("gone/x.keys", place.path("link.keys")).unwrap();
    place.write("list", b"link.keys\n");
    let words = [
        "cannot open link.keys: it is a symbolic link to gone/x.keys, and leads to nothing",
        "help: name the file itself, or make the link anew",
    ];
    check(&place, &["create", "link.keys", "--no-output"], 8, &words);
    check(&place, &["bulk-create", "--files-from", "list", "--no-output"], 8, &words);
    check(&place, &["inspect", "link.keys"], 8, &words);
    check(&place, &["bench", "link.keys"], 8, &words);
}

#[test]
fn a_directory_that_is_called_like_a_key_file_is_walked() {
    let place = Place::new();
    place.write_keys("keys/a.keys/b.keys", &[1, 2, 3]);
    let run = place.ok(&["bulk-create", "keys", "out"]);
    assert!(run.out.contains("1 table: 1 ok"), "{}", run.out);
    assert!(place.path("out/a.keys/b/manifest.json").is_file());
    assert!(place.ok(&["bulk-create", "keys", "out", "--dry-run"]).err.is_empty());
    let verified = place.ok(&["verify", "out", "--keys", "keys"]);
    assert!(verified.out.contains("1 table: 1 ok"), "{}", verified.out);
    place.write("empty/a.keys/notes", b"none");
    check(&place, &["bulk-create", "empty", "out"], 4, &["no key file (*.keys) in empty"]);
    check(&place, &["create", "keys/a.keys", "out"], 5, &["it is a directory"]);
}

/// A key file that was cut off is a key file of fewer keys.
#[cfg(target_os = "linux")]
#[test]
fn keygen_leaves_no_part_of_a_key_file() {
    let place = Place::new();
    let keygen = ["keygen", "d", "--shape", "linear", "--keys", "1000", "--key-size", "32"];
    let run = place.run_within("trap '' XFSZ; ulimit -f 2;", &keygen);
    assert_eq!(run.code, 8, "{}", run.err);
    assert!(run.err.contains("cannot write d/u32/linear-1000.keys: "), "{}", run.err);
    assert!(fs::read_dir(place.path("d/u32")).unwrap().next().is_none());
    place.ok(&keygen);
    let before = place.tree("d");
    let others = [&keygen[..], &["--force", "--seed", "2"]].concat();
    assert_eq!(place.run_within("trap '' XFSZ; ulimit -f 2;", &others).code, 8);
    assert!(place.tree("d") == before);
}

/// What turns a text around would show another name than the file's.
#[test]
fn a_name_with_letters_that_turn_text_around_is_shown_escaped() {
    let place = Place::new();
    for letter in ['\u{202e}', '\u{2066}', '\u{200f}', '\u{61c}', '\u{2028}'] {
        let name = format!("a{letter}b.keys");
        place.write(&name, b"xyz");
        let escaped = format!("a{}b.keys: 3 bytes", letter.escape_default());
        let run = check(&place, &["create", &name, "--no-output"], 5, &[&escaped]);
        assert!(!run.err.contains(letter), "{}", run.err);
    }
    let run = place.ok(&["keygen", "d\u{202e}", "--keys", "5", "--shape", "linear"]);
    assert_eq!(run.out, "2 files, 10 keys in d\\u{202e}\n");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let place = with_keys();
    let create = |more: &[&str], words: &[&str]| {
        check(&place, &[&["create", "my.keys", "--no-output"], more].concat(), 2, words);
    };
    create(
        &["--fixed-attempts", "10", "--max-attempts", "5"],
        &["--fixed-attempts 10 is more than --max-attempts 5", "help: leave --max-attempts out"],
    );
    create(
        &["--initial-grows", "3", "--max-grows", "2"],
        &["--initial-grows 3 is more than --max-grows 2", "help: raise --max-grows"],
    );
    place.ok(&["create", "my.keys", "--no-output", "--fixed-attempts", "5", "--max-attempts", "5"]);
    place.ok(&["create", "my.keys", "--no-output", "--initial-grows", "6"]);
    check(&place, &["bench", "my.keys", "--attempts", "0"], 2, &["at least 1"]);
    for option in ["--include", "--exclude"] {
        let words = ["an empty pattern", "'*.keys'"];
        check(&place, &["bulk-create", ".", "--no-output", option, ""], 2, &words);
    }
}

/// The help says how many attempts there are.
#[test]
fn fewer_attempts_than_the_fixed_number_are_told_of_with_the_reason() {
    let place = with_keys();
    let told = |more: &[&str]| {
        let create = ["create", "my.keys", "--no-output", "--json", "--fixed-attempts"];
        let run = place.ok(&[&create, more].concat());
        let notices: Vec<_> = run.err.lines().filter(|line| line.contains("attempt")).collect();
        (run.lines()[0]["attempts"].as_u64().unwrap(), notices.concat())
    };
    assert_eq!(told(&["50"]), (50, String::new()));
    let (attempts, notice) = told(&["1000000000000", "--max-seconds", "0.3"]);
    assert!(attempts < 1_000_000_000_000);
    assert!(notice.contains("my.keys: fewer attempts were made than --fixed-attempts"), "{notice}");
    assert!(notice.contains("--max-seconds"), "{notice}");
    let run = place.ok(&["create", "my.keys", "--no-output", "--json"]);
    let seeds = run.lines()[0]["seeds"].to_string();
    let (attempts, notice) = told(&["50", "--seeds", seeds.trim_matches(['[', ']'])]);
    assert_eq!(attempts, 1);
    assert!(notice.contains("my.keys: one attempt was made"), "{notice}");
    for layout in ["dirs", "packed"] {
        let create = ["create", "my.keys", "out", "--layout", layout, "--fixed-attempts", "50"];
        let notices = || {
            let run = place.ok(&create);
            let notices: Vec<_> = run.err.lines().filter(|line| line.contains("attempt")).collect();
            notices.concat()
        };
        assert_eq!(notices(), "");
        let notice = notices();
        assert!(notice.contains("my.keys: no attempts were made"), "{layout}: {notice}");
        assert!(notice.contains("--no-output"), "{layout}: {notice}");
        place.ok(&create[..5]);
        assert_eq!(place.ok(&create[..5]).err, "", "{layout}");
    }
}

#[test]
fn a_text_that_is_read_as_packed_keys_is_told_of() {
    let place = Place::new();
    place.write("a.keys", b"123\n456\n789\n");
    place.write("b.keys", b"100\n200\n");
    let is_told = |run: &Run| run.err.contains("looks like text; if it is, give --text");
    assert!(is_told(&place.ok(&["create", "a.keys", "out"])));
    let again = place.ok(&["create", "a.keys", "out"]);
    assert!(again.out.contains("unchanged") && is_told(&again), "{}{}", again.out, again.err);
    let bulk = place.ok(&["bulk-create", ".", "--no-output"]);
    assert!(bulk.err.contains("a.keys and 1 file more: read as packed keys"), "{}", bulk.err);
    place.write("list", b"a.keys\nb.keys\n");
    for said in ["2 ok", "2 unchanged"] {
        let packed = place.ok(&["bulk-create", "--files-from", "list", "p", "--layout", "packed"]);
        assert!(packed.out.contains(said) && is_told(&packed), "{}{}", packed.out, packed.err);
        assert!(packed.err.contains("a.keys and 1 file more"), "{}", packed.err);
    }
    assert!(!is_told(&place.ok(&["create", "a.keys", "--text", "--no-output"])));
    for look in [&["inspect"][..], &["bench", "--attempts", "1", "--hash", "auto"]] {
        assert!(is_told(&place.ok(&[look, &["a.keys"]].concat())));
        assert!(!is_told(&place.ok(&[look, &["a.keys", "--text"]].concat())));
    }
    place.write_keys("c.keys", &[1, 2, 3]);
    assert!(!is_told(&place.ok(&["create", "c.keys", "--no-output"])));
    place.write("d.keys", b"400\n200\n");
    let words = ["keys are not sorted", "help: if the file is text, as it looks, give --text"];
    check(&place, &["create", "d.keys", "--no-output"], 5, &words);
    check(&place, &["inspect", "d.keys"], 5, &words);
}

#[test]
fn keys_of_64_bits_that_may_be_pairs_of_32_are_told_of() {
    let place = Place::new();
    place.write_keys("amd64.keys", &[1, 2, 3, 4, 5, 6, 7, 9]);
    let is_told = |run: &Run| run.err.contains("it is a sorted file of 32-bit keys as well");
    for said in ["ok", "unchanged"] {
        let run = place.ok(&["create", "amd64.keys", "out", "--key-size", "auto"]);
        assert!(run.out.contains(said) && is_told(&run), "{}{}", run.out, run.err);
    }
    assert!(is_told(&place.ok(&["create", "amd64.keys", "--no-output", "--key-size", "64"])));
    assert!(!is_told(&place.ok(&["create", "amd64.keys", "--no-output", "--key-size", "32"])));
    for look in [&["inspect"][..], &["bench", "--attempts", "1", "--hash", "auto"]] {
        let look = [look, &["amd64.keys", "--key-size"]].concat();
        assert!(is_told(&place.ok(&[&look[..], &["auto"]].concat())));
        assert!(!is_told(&place.ok(&[&look[..], &["32"]].concat())));
    }
    let wide: Vec<u8> = (1..99_u64).flat_map(|key| (key << 33).to_le_bytes()).collect();
    place.write("wide.keys", &wide);
    assert!(!is_told(&place.ok(&["create", "wide.keys", "--no-output", "--key-size", "64"])));
}

/// By the usual names, `--key-size 32` takes none of them.
#[test]
fn where_pairs_are_taken_for_wide_keys_by_their_name_the_remedies_are_such_that_take_them() {
    let place = Place::new();
    place.write_keys("d/a.keys64", &[1, 2, 3, 4, 5, 6, 7, 9]);
    let bulk = |more: &[&str]| {
        let run = place.ok(&[&["bulk-create", "d", "--no-output"], more].concat());
        (run.err, run.out.contains("8 keys"))
    };
    let (told, _) = bulk(&["--key-size", "auto"]);
    let remedies = "give --key-size 32, for all of a directory with --include '*.keys64', or rename it to *.keys and \
                    give --key-size auto";
    assert!(told.contains(remedies), "{told}");
    let (told, is_taken) = bulk(&["--key-size", "32", "--include", "*.keys64"]);
    assert!(is_taken && !told.contains("sorted file of 32-bit keys"), "{told}");
    fs::rename(place.path("d/a.keys64"), place.path("d/a.keys")).unwrap();
    assert_eq!(bulk(&["--key-size", "auto"]), (String::new(), true));
}

#[test]
fn a_table_that_is_named_where_keys_are_wanted_is_refused_as_what_it_is() {
    let place = with_keys();
    place.ok(&["create", "my.keys", "out"]);
    place.ok(&["create", "my.keys", "packed", "--layout", "packed"]);
    for table in ["out/my/my.pht", "packed/tables.packed/tables.phtpack"] {
        let words =
            ["it is a table file of perfecta, not a file of keys", "help: name the key file"];
        for more in [&["--sort", "--dedupe"][..], &["--key-size", "64"], &[]] {
            check(&place, &[&["create", table, "--no-output"], more].concat(), 5, &words);
        }
    }
    let table = fs::read(place.path("out/my/my.pht")).unwrap();
    let text = String::from_utf8_lossy(&table[4..6]).into_owned();
    assert_eq!(text, "\r\n");
    let changed_at = |place: usize| {
        let mut changed = table.clone();
        changed[place] ^= 0x20;
        changed
    };
    let lines = [&table[..4], &table[5..]].concat();
    for changed in [lines, changed_at(0), changed_at(3)] {
        place.write("changed.keys", &changed);
        check(&place, &["inspect", "changed.keys"], 5, &["copy it again, as a binary file"]);
        place.write("changed.pht", &changed);
        check(&place, &["inspect", "changed.pht"], 9, &["copy it again, as a binary file"]);
    }
}

/// They were told of as key files, with remedies such as `--sort` and `--dedupe`.
#[test]
fn a_damaged_table_is_told_of_as_a_table_by_its_name() {
    let place = with_keys();
    place.ok(&["create", "my.keys", "out"]);
    let mut table = fs::read(place.path("out/my/my.pht")).unwrap();
    table[..64].fill(0);
    for (name, kind) in [("a.pht", "table file"), ("a.phtpack", "pack of tables")] {
        place.write(name, &table);
        let words = [&format!("{name}: not a {kind}: its first bytes are")[..], "it is damaged"];
        check(&place, &["inspect", name], 9, &words);
        place.write(name, b"");
        check(
            &place,
            &["inspect", name],
            9,
            &["the file is cut off: 0 bytes", "copy the file again"],
        );
    }
}

#[test]
fn files_that_are_called_as_key_files_are_and_not_taken_are_told_of_with_what_takes_them() {
    let place = with_keys();
    let told = |more: &[&str]| place.ok(&[&["bulk-create", ".", "--no-output"], more].concat()).err;
    let not_taken = "not taken, though called as key files are";
    place.write("u64.keys64", &7_u64.to_le_bytes());
    let words = format!("u64.keys64: {not_taken}; --key-size auto takes *.keys64\n");
    assert!(told(&[]).contains(&words), "{}", told(&[]));
    assert_eq!(told(&["--key-size", "auto"]), "");
    place.write_keys("UPPER.KEYS", &[1, 2]);
    let words = format!(
        "UPPER.KEYS and 1 file more: {not_taken}; --key-size auto takes *.keys64, and --include says which other \
         names are taken\n"
    );
    assert!(told(&[]).contains(&words), "{}", told(&[]));
    let words = format!("UPPER.KEYS: {not_taken}; --include says which names are taken\n");
    for more in [&["--exclude", "u*"][..], &["--dry-run", "--key-size", "64", "--exclude", "my*"]] {
        assert!(told(more).contains(&words), "{more:?}: {}", told(more));
    }
    for chosen in ["my.keys", "*.keys"] {
        assert!(!told(&["--include", chosen]).contains("not taken"));
    }
}

#[test]
fn where_nothing_but_other_names_of_key_files_is_found_one_is_named_with_what_takes_it() {
    let place = Place::new();
    place.write("keys/a.keys64", &7_u64.to_le_bytes());
    let words = [
        "no key file (*.keys) in keys; keys/a.keys64: not taken, though called as key files are",
        "help: --key-size auto takes *.keys64",
    ];
    for more in [&[][..], &["--dry-run"]] {
        check(&place, &[&["bulk-create", "keys", "out"], more].concat(), 4, &words);
    }
    place.write_keys("keys/b.KEYS", &[1, 2]);
    let words = [
        "(*.keys, *.keys64) in keys; keys/b.KEYS: not taken",
        "help: --include says which names are taken",
    ];
    let exclude = ["--exclude", "a*", "--key-size", "auto"];
    check(&place, &[&["bulk-create", "keys", "out"], &exclude[..]].concat(), 4, &words);
    let words = ["no key file (*.k) in keys\n", "help: check the directory"];
    check(&place, &["bulk-create", "keys", "out", "--include", "*.k"], 4, &words);
}

/// Its table lies one level deeper.
#[test]
fn what_is_built_of_the_deepest_key_file_can_be_verified_and_deeper_ones_are_no_key_files_without_a_table()
 {
    let place = Place::new();
    let deepest = format!("keys/{}", "d/".repeat(63));
    place.write_keys(&format!("{deepest}a.keys"), &[1, 2]);
    let verify = ["verify", "out", "--keys", "keys"];
    for layout in ["dirs", "packed"] {
        let out = format!("out-{layout}");
        place.ok(&["bulk-create", "keys", &out, "--layout", layout]);
        let run = place.ok(&["verify", &out, "--keys", "keys"]);
        assert!(run.out.contains("1 table: 1 ok"), "{}", run.out);
    }
    place.write_keys(&format!("{deepest}d/b.keys"), &[1, 2]);
    let deeper = [format!("{deepest}d: it is more than 64 directories deep")];
    let words = deeper.each_ref().map(String::as_str);
    check(&place, &["bulk-create", "keys", "out"], 3, &words);
    let run = check(&place, &verify, 3, &words);
    assert!(!run.err.contains("no table of the key file"), "{}", run.err);
}

#[test]
fn who_names_no_directory_to_verify_or_to_hold_it_against_is_told_what_verify_takes() {
    let place = with_keys();
    place.ok(&["create", "my.keys", "out"]);
    let words =
        ["out/my/my.pht: ", "help: name the directory", "`perfecta inspect` takes a single file"];
    check(&place, &["verify", "out/my/my.pht"], 2, &words);
    place.ok(&["verify", "out/my"]);
    place.ok(&["create", "my.keys", "packed", "--layout", "packed"]);
    place.ok(&["verify", "packed/tables.packed"]);
    place.ok(&["inspect", "out/my/my.pht"]);
    assert!(Command::new("mkfifo").arg(place.path("fifo")).status().unwrap().success());
    let words =
        ["fifo: ", "help: name a directory of key files, or a key file that is a regular file"];
    check(&place, &["verify", "out", "--keys", "fifo"], 2, &words);
    let words = ["help: name a directory; `create` takes a single key file"];
    check(&place, &["bulk-create", "my.keys", "out"], 2, &words);
    let words = [
        "`perfecta inspect` shows what is in it, `perfecta verify` checks the directory that it lies in",
    ];
    check(&place, &["create", "out/my/my.pht", "--no-output"], 5, &words);
}

#[test]
fn tables_that_a_pack_is_to_lose_are_told_of_before_it_does_and_by_a_dry_run() {
    let place = Place::new();
    place.write_keys("keys/my.keys", &[3, 70]);
    place.write_keys("keys/your.keys", &[1, 2]);
    let bulk = ["bulk-create", "keys", "packed", "--layout", "packed"];
    assert_eq!(place.ok(&bulk).err, "");
    let fewer = [&bulk[..], &["--include", "my.keys"]].concat();
    let words = "1 of the tables that are in the pack by now will not be in it";
    for more in [&["--dry-run"][..], &[]] {
        let run = place.ok(&[&fewer, more].concat());
        assert!(run.err.contains(words), "{more:?}: {}", run.err);
    }
    place.write("packed/tables.packed/notes", b"mine");
    let words = ["exists and is no table file of ours", "or give --force"];
    for more in [&["--dry-run"][..], &[]] {
        check(&place, &[&fewer, more].concat(), 7, &words);
    }
}

#[test]
fn keys_that_no_artifact_takes_are_told_of() {
    let place = with_keys();
    place.write_keys("keys/my.keys", &[3, 70]);
    let is_told = |more: &[&str]| {
        let run = place.ok(&[&["create", "my.keys"], more, &["--include-keys"]].concat());
        let words = "nothing that --emit names has a self-test: --include-keys is left out";
        let bulk = ["bulk-create", "keys", "--dry-run", "--include-keys"];
        let dry_run = place.ok(&[&bulk, more].concat());
        assert_eq!(dry_run.err.contains(words), run.err.contains(words), "{}", dry_run.err);
        run.err.contains(words)
    };
    assert!(is_told(&["out"]));
    assert!(is_told(&["out", "--emit", "pht"]));
    assert!(!is_told(&["out", "--emit", "c"]));
    assert!(!is_told(&["out", "--emit", "all"]));
    assert!(!is_told(&["packed", "--layout", "packed"]));
}

#[test]
fn a_file_that_cannot_be_read_leads_to_what_helps_with_that() {
    let place = with_keys();
    place.ok(&["create", "my.keys", "out"]);
    let table = fs::read(place.path("out/my/my.pht")).unwrap();
    place.write("longer.pht", &[&table[..], &[0]].concat());
    let said = format!("the file has {} bytes, its header says {}", table.len() + 1, table.len());
    check(&place, &["inspect", "longer.pht"], 9, &[&said, "help: copy the file again"]);
    place.write("cut.pht", &table[..table.len() - 1]);
    check(&place, &["inspect", "cut.pht"], 9, &["cut off", "help: copy the file again"]);
    let mut later = table.clone();
    later[8] = 2;
    place.write("later.pht", &later);
    let words = ["format version 2", "help: read it with a later version of perfecta"];
    check(&place, &["inspect", "later.pht"], 9, &words);
    let mut damaged = table;
    damaged[200] ^= 1;
    place.write("damaged.pht", &damaged);
    check(&place, &["inspect", "damaged.pht"], 9, &["is damaged", "help: build it again"]);
}

#[test]
fn create_says_where_the_table_is() {
    let place = with_keys();
    let last = |more: &[&str]| {
        let run = place.ok(&[&["create", "my.keys"], more].concat());
        run.out.lines().last().unwrap_or_default().to_owned()
    };
    assert_eq!(last(&["out"]), "path               out/my");
    assert_eq!(last(&["out"]), "path               out/my");
    assert_eq!(last(&["out", "--layout", "packed"]), "path               out/tables.packed");
    assert!(!last(&["--no-output"]).starts_with("path"));
}

#[test]
fn a_packed_file_is_shown_with_the_names_of_its_tables() {
    let place = Place::new();
    for file in 10..35 {
        place.write_keys(&format!("keys/{file}.keys"), &[1, file]);
    }
    place.ok(&["bulk-create", "keys", "out", "--layout", "packed"]);
    let pack = "out/tables.packed/tables.phtpack";
    let shown = place.ok(&["inspect", pack]).out;
    assert!(shown.contains("table              t10, 2 keys\n"), "{shown}");
    assert!(
        shown.ends_with("table              t29, 2 keys\n5 tables more, which --json lists\n"),
        "{shown}"
    );
    let json = &place.ok(&["inspect", pack, "--json"]).lines()[0];
    let list = json["list"].as_array().unwrap();
    assert_eq!((list.len(), &json["tables"]), (25, &25.into()));
    assert_eq!(list[24], serde_json::json!({"name": "t34", "keys": 2}));
}

/// It was the one object without a schema and a type, and gave the run of bits as a sentence.
#[test]
fn what_is_in_a_file_is_a_line_as_others_are_and_its_numbers_are_numbers() {
    let place = Place::new();
    place.write_keys("my.keys", &[0x10, 0x23, 0x30]);
    place.ok(&["create", "my.keys", "out"]);
    for (file, kind) in [("my.keys", "keys"), ("out/my/my.pht", "table")] {
        let line = &place.ok(&["inspect", file, "--json"]).lines()[0];
        assert_eq!((&line["schema"], &line["type"]), (&1.into(), &"inspect".into()), "{line}");
        assert_eq!(line["kind"], kind);
    }
    let run = |file| place.ok(&["inspect", file, "--json"]).lines()[0]["longest_run"].clone();
    assert_eq!(run("my.keys"), serde_json::json!({"from_bit": 0, "bits": 2}));
    let shown = place.ok(&["inspect", "my.keys"]).out;
    assert!(shown.contains("longest run        2 bits from bit 0\n"), "{shown}");
    place.write_keys("zero.keys", &[0]);
    assert!(run("zero.keys").is_null());
}

#[test]
fn what_is_wrong_with_a_file_is_said_once() {
    let place = Place::new();
    let mut list = String::new();
    for number in 0..30 {
        place.write_keys(&format!("{number}.keys"), &[1, number + 2]);
        list += &format!("{number}.keys\n");
    }
    place.write("list", list.repeat(2).as_bytes());
    let run = place.run(&["bulk-create", "--files-from", "list", "out", "--errors", "all"]);
    let errors = run.err.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!((run.code, errors), (3, 30), "{}", run.err);
}

/// The names of flags in a text.
fn flags(text: &str) -> impl Iterator<Item = &str> {
    let is_of_name = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'-';
    let dashes = text.match_indices("--").map(|(at, _)| at);
    let names = dashes.map(move |at| {
        let name = &text.as_bytes()[at..];
        &text[at..at + name.iter().take_while(|byte| is_of_name(byte)).count()]
    });
    names.filter(|name| name.as_bytes().get(2).is_some_and(u8::is_ascii_lowercase))
}

/// The flags that a command and those below it tell of.
fn flags_of_help(place: &Place, command: &[&str]) -> BTreeSet<String> {
    let help = place.ok(&[command, &["--help"]].concat()).out;
    let mut known: BTreeSet<String> = flags(&help).map(ToOwned::to_owned).collect();
    let commands = help.split_once("\nCommands:\n").map_or("", |(_, commands)| commands);
    let commands = commands.split("\n\n").next().unwrap().lines();
    let names = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    for name in names.filter(|name| !["", "help"].contains(name)) {
        known.extend(flags_of_help(place, &[command, &[name]].concat()));
    }
    known
}

/// All files of Rust below a directory, but those of tests.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let entries = entries.filter(|path| path.file_stem().is_none_or(|stem| stem != "tests"));
    let (below, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let below = below.iter().flat_map(|directory| sources(directory));
    files
        .into_iter()
        .chain(below)
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .collect()
}

#[test]
fn every_flag_that_is_to_help_is_one_of_the_command_line() {
    let known = flags_of_help(&Place::new(), &[]);
    assert!(known.contains("--dedupe") && known.contains("--token-file"), "{known:?}");
    let mut named = 0;
    for name in ["perfecta-core", "perfecta-io", "perfecta-jobs", "perfecta-server"] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src");
        for path in sources(&source) {
            let text = fs::read_to_string(&path).unwrap();
            // No two signs stand before a name outside of text.
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            for flag in code.flat_map(flags) {
                assert!(known.contains(flag), "{}: {flag} is no flag", path.display());
                named += 1;
            }
        }
    }
    assert!(named > 30, "{named}");
}
