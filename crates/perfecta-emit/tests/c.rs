//! C is compiled by every compiler at hand, without a warning, and every table's self-test is run.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test stops at any failure")]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use perfecta_emit::{ArtifactKind, Identifier};
use support::{Case, cases, directory, has, run, run_in_vain, scattered};

const WARNINGS: [&str; 6] =
    ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"];

/// One program of all tables: the self-test of each, its `main` renamed, and a `main` that runs
/// them. Arrays that stand apart come with their self-test, from their own file.
fn driver(cases: &[Case]) -> String {
    let mut text = String::new();
    let mut calls = String::new();
    for case in cases {
        let (ident, upper) = (&case.identifier, case.identifier.to_upper());
        let files = case.files(ArtifactKind::C);
        let source = &files.last().unwrap().0;
        writeln!(text, "#define {upper}_SELF_TEST\n#define main {ident}_main").unwrap();
        writeln!(text, "#include \"{source}\"\n#undef main").unwrap();
        let argument = if case.includes_keys { String::new() } else { case.key_file_name() };
        let argc = if case.includes_keys { 1 } else { 2 };
        writeln!(calls, "    arguments[1] = text(\"{argument}\");").unwrap();
        writeln!(calls, "    failed += {ident}_main({argc}, arguments);").unwrap();
        for (key, index) in case.foreign_keys() {
            writeln!(calls, "    failed += {ident}_index({key:#x}u) != {index}u;").unwrap();
        }
    }
    text + "#include <string.h>\nstatic char *text(const char *from)\n{\n    static char to[64];\n"
        + "    strcpy(to, from);\n    return to;\n}\n"
        + "int main(void)\n{\n    int failed = 0;\n    char *arguments[3] = {0, 0, 0};\n"
        + &calls
        + "    return failed != 0;\n}\n"
}

fn check(compiler: &str, language: &[&str]) {
    if !has(compiler) {
        return;
    }
    let directory = directory(&format!("c-{compiler}{}", language.concat()));
    let cases = cases();
    for case in &cases {
        case.write(ArtifactKind::C, &directory);
    }
    fs::write(directory.join("driver.c"), driver(&cases)).unwrap();
    let mut compile = Command::new(compiler);
    compile.args(language).args(WARNINGS).args(["-O1", "driver.c", "-o", "driver"]);
    run(&mut compile, &directory);
    let said = run(&mut Command::new(directory.join("driver")), &directory);
    let expected: String =
        cases.iter().map(|case| format!("ok {} keys\n", case.keys.len())).collect();
    assert_eq!(said, expected);
}

#[test]
fn c99_by_gcc_finds_every_key() {
    check("gcc", &["-std=c99"]);
}

#[test]
fn c99_by_gcc_without_128_bit_words_finds_every_key() {
    check(
        "gcc",
        &["-std=c99", "-DPERFECTA_NO_INT128", "-fsanitize=undefined", "-fno-sanitize-recover"],
    );
}

#[test]
fn cpp17_by_gcc_finds_every_key() {
    check("g++", &["-x", "c++", "-std=c++17"]);
}

#[test]
fn cpp11_by_gcc_finds_every_key() {
    check("g++", &["-x", "c++", "-std=c++11"]);
}

#[test]
fn c99_by_clang_finds_every_key() {
    check("clang", &["-std=c99"]);
}

#[test]
fn cpp17_by_clang_finds_every_key() {
    check("clang++", &["-x", "c++", "-std=c++17"]);
}

/// Runs the commands that stand in the head of a case's header.
fn self_test_by_the_head(case: &Case, directory: &Path) -> Command {
    let header = fs::read_to_string(directory.join(format!("{}.h", case.identifier))).unwrap();
    let lines: Vec<_> = header.lines().skip_while(|line| *line != " * Self-test:").collect();
    let compile = lines[1].strip_prefix(" *   ").unwrap();
    let start = lines[2].strip_prefix(" *   ").unwrap().replace("KEYS", &case.key_file_name());
    run(Command::new("sh").args(["-c", compile]), directory);
    let mut command = Command::new("sh");
    command.args(["-c", &start]);
    command
}

#[test]
fn the_commands_of_the_head_run_the_self_test() {
    if !has("gcc") {
        return;
    }
    let directory = directory("c-head");
    let wanted = ["one key", "last key", "u16 apart", "native apart"];
    for case in cases() {
        if wanted.iter().any(|name| case.name.as_bytes() == name.as_bytes()) {
            case.write(ArtifactKind::C, &directory);
            let said = run(&mut self_test_by_the_head(&case, &directory), &directory);
            assert_eq!(said, format!("ok {} keys\n", case.keys.len()));
        }
    }
}

#[test]
fn a_broken_table_fails_its_self_test() {
    if !has("gcc") {
        return;
    }
    let directory = directory("c-broken");
    let wanted = ["family Djb", "u8 full", "u16 apart", "native ends"];
    for case in cases() {
        if wanted.iter().any(|name| case.name.as_bytes() == name.as_bytes()) {
            let case = case.broken();
            case.write(ArtifactKind::C, &directory);
            let said = run_in_vain(&mut self_test_by_the_head(&case, &directory), &directory);
            assert!(said.contains("its rank is 0"), "{said}");
        }
    }
}

#[test]
fn a_key_file_of_other_length_fails_the_self_test() {
    if !has("gcc") {
        return;
    }
    let directory = directory("c-length");
    let case = Case::u32("length", perfecta_core::family::Family::Folded, vec![1, 2, 3]);
    let case = case.without_keys();
    case.write(ArtifactKind::C, &directory);
    let mut command = self_test_by_the_head(&case, &directory);
    let keys = fs::read(directory.join("length.keys")).unwrap();
    fs::write(directory.join("length.keys"), &keys[..8]).unwrap();
    let said = run_in_vain(&mut command, &directory);
    assert_eq!(said, "the file holds 2 keys, the table 3\n");
    fs::write(directory.join("length.keys"), [&keys[..], &[0; 3]].concat()).unwrap();
    assert_eq!(run_in_vain(&mut command, &directory), "the key file ends within a key\n");
    fs::remove_file(directory.join("length.keys")).unwrap();
    assert!(run_in_vain(&mut command, &directory).contains("usage: length_self_test KEYS"));
}

/// A guard of the name alone would leave the second out without a word.
#[test]
fn two_tables_of_one_name_are_not_included_in_one_unit() {
    if !has("gcc") || !has("g++") {
        return;
    }
    let directory = directory("c-clash");
    let tables = [("first", "x", [1, 2, 3]), ("other", "x", [1, 2, 4]), ("case", "X", [1, 2, 3])];
    for (below, name, keys) in tables {
        fs::create_dir(directory.join(below)).unwrap();
        let case = Case::u32(name, perfecta_core::family::Family::Folded, keys.to_vec());
        case.write(ArtifactKind::C, &directory.join(below));
    }
    let once = "#include \"first/x.h\"\n#include \"first/x.h\"\nint main(void) { return x_index(1) != 0; }\n";
    fs::write(directory.join("once.c"), once).unwrap();
    fs::write(directory.join("both.c"), format!("{once}#include \"other/x.h\"\n")).unwrap();
    fs::write(directory.join("case.c"), format!("{once}#include \"case/X.h\"\n")).unwrap();
    for compiler in [&["gcc", "-std=c99"][..], &["g++", "-x", "c++", "-std=c++11"]] {
        let compile = |file: &str| {
            let mut command = Command::new(compiler[0]);
            command.args(&compiler[1..]).args(WARNINGS).args(["-fsyntax-only", file]);
            command
        };
        run(&mut compile("once.c"), &directory);
        for (unit, name) in [("both.c", "x"), ("case.c", "X")] {
            let said = run_in_vain(&mut compile(unit), &directory);
            let message = format!("two tables are called {name}: give one key file another name");
            assert!(said.contains(&message), "{said}");
        }
    }
}

/// An object that was compiled before its table was built anew has another length, and another formula.
#[test]
fn a_header_is_not_linked_with_the_array_of_another_table() {
    if !has("gcc") {
        return;
    }
    let directory = directory("c-mixed");
    for (below, num_keys) in [("old", 40_000), ("new", 12_000)] {
        fs::create_dir(directory.join(below)).unwrap();
        let case = Case::u32("big", perfecta_core::family::Family::Folded, scattered(num_keys));
        let files = case.without_keys().write(ArtifactKind::C, &directory.join(below));
        assert_eq!(files, ["big.h", "big_data.c"]);
    }
    let main = "#include \"big.h\"\nint main(void) { return big_index(BIG_FIRST_KEY) != 0; }\n";
    fs::write(directory.join("main.c"), main).unwrap();
    let link = |header: &str, array: &str| {
        let mut command = Command::new("gcc");
        command.args(["-I", header, "main.c", &format!("{array}/big_data.c"), "-o", "mixed"]);
        command
    };
    for one in ["old", "new"] {
        run(&mut link(one, one), &directory);
        run(&mut Command::new(directory.join("mixed")), &directory);
    }
    for (header, array) in [("old", "new"), ("new", "old")] {
        let said = run_in_vain(&mut link(header, array), &directory);
        assert!(said.contains("undefined reference to `big_data_"), "{said}");
    }
}

#[test]
fn a_header_of_the_users_may_have_the_usual_guard_of_the_name() {
    if !has("gcc") {
        return;
    }
    let directory = directory("c-guard");
    Case::u32("x", perfecta_core::family::Family::Folded, vec![1, 2, 3])
        .write(ArtifactKind::C, &directory);
    fs::create_dir(directory.join("theirs")).unwrap();
    let theirs = "#ifndef X_H\n#define X_H\nenum { THEIRS };\n#endif\n";
    fs::write(directory.join("theirs/x.h"), theirs).unwrap();
    for order in [["x.h", "theirs/x.h"], ["theirs/x.h", "x.h"]] {
        let includes = order.map(|header| format!("#include \"{header}\"\n")).concat();
        let main = "int main(void) { return x_index(1) != THEIRS; }\n";
        fs::write(directory.join("main.c"), includes + main).unwrap();
        let mut compile = Command::new("gcc");
        compile.args(["-std=c99"]).args(WARNINGS).args(["-fsyntax-only", "main.c"]);
        run(&mut compile, &directory);
    }
}

#[test]
fn headers_of_several_tables_and_units_live_side_by_side() {
    if !has("gcc") || !has("g++") {
        return;
    }
    let directory = directory("c-units");
    let mut includes = String::new();
    let mut objects = Vec::new();
    for case in cases() {
        for file in case.write(ArtifactKind::C, &directory) {
            if file.ends_with(".c") {
                run(Command::new("gcc").args(["-std=c99", "-c", &file]), &directory);
                objects.push(file.replace(".c", ".o"));
            } else {
                writeln!(includes, "#include \"{file}\"").unwrap();
            }
        }
    }
    let apart = Identifier::of_file_name(b"native apart");
    let last = format!("{}_index({}_LAST_KEY)", apart, apart.to_upper());
    let (one, two) = ("one.cpp", "two.cpp");
    fs::write(directory.join(one), format!("{includes}unsigned one() {{ return {last}; }}\n"))
        .unwrap();
    let main = format!("unsigned one();\nint main() {{ return one() == {last} ? 0 : 1; }}\n");
    fs::write(directory.join(two), format!("{includes}{main}")).unwrap();
    let mut compile = Command::new("g++");
    compile.args(WARNINGS).args([one, two, "-o", "units"]).args(objects);
    run(&mut compile, &directory);
    run(&mut Command::new(directory.join("units")), &directory);
}
