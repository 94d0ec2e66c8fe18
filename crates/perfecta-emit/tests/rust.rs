//! Rust is compiled in both editions, with every warning an error, and every table's self-test is
//! run.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test stops at any failure")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use perfecta_emit::ArtifactKind;
use support::{Case, cases, directory, has, run, run_in_vain};

/// Writes a crate with one module for each case, and a test of keys that are in none.
fn write_crate(cases: &[Case], start: &str, directory: &Path) {
    let mut root = start.to_owned();
    let mut checks = String::new();
    for case in cases {
        case.write(ArtifactKind::Rust, directory);
        let ident = &case.identifier;
        root += &format!("/// A table.\n#[allow(non_snake_case)]\npub mod {ident};\n");
        for (key, index) in case.foreign_keys() {
            checks += &format!("    assert_eq!({ident}::index({key:#x}), {index});\n");
        }
    }
    root += "#[allow(clippy::too_many_lines, clippy::unreadable_literal)]\n";
    root += &format!("#[test]\nfn foreign_keys() {{\n{checks}}}\n");
    fs::write(directory.join("lib.rs"), root).unwrap();
}

fn run_self_tests(cases: &[Case], program: &Path, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["--include-ignored", "--test-threads=1"]);
    for case in cases.iter().filter(|case| !case.includes_keys) {
        let variable = format!("{}_KEYS", case.identifier.to_upper());
        command.env(variable, directory.join(case.key_file_name()));
    }
    command
}

fn check(edition: &str, start: &str) {
    let directory = directory(&format!("rust-{edition}"));
    let cases = cases();
    write_crate(&cases, start, &directory);
    let mut compile = Command::new("rustc");
    compile.args(["--test", "--edition", edition, "-Dwarnings", "lib.rs", "-o", "tests"]);
    run(&mut compile, &directory);
    let program = directory.join("tests");
    let said = run(&mut run_self_tests(&cases, &program, &directory), &directory);
    assert!(said.contains(&format!("{} passed; 0 failed; 0 ignored", cases.len() + 1)), "{said}");
    let said = run(&mut Command::new(&program), &directory);
    let omitted = cases.iter().filter(|case| !case.includes_keys).count();
    assert!(said.contains(&format!("{omitted} ignored")), "{said}");
}

#[test]
fn edition_2021_without_std_finds_every_key() {
    check("2021", "#![no_std]\n");
}

#[test]
fn edition_2024_finds_every_key() {
    check("2024", "");
}

#[test]
fn clippy_has_nothing_to_say() {
    if !has("clippy-driver") {
        return;
    }
    let directory = directory("rust-clippy");
    let small = cases().into_iter().filter(|case| case.keys.len() < 2000).collect::<Vec<_>>();
    write_crate(&small, "//! A crate.\n#![no_std]\n#![warn(missing_docs)]\n", &directory);
    let lints = ["-Dwarnings", "-Wclippy::pedantic", "-Wclippy::nursery"];
    for test in [&[][..], &["--test"]] {
        let mut command = Command::new("clippy-driver");
        command.args(test).args(["--edition=2024", "--crate-type=lib", "lib.rs"]);
        run(command.args(lints).args(["--emit=metadata", "-o", "lib.rmeta"]), &directory);
    }
}

/// Whoever keeps generated code beside their own formats all of it.
#[test]
fn rustfmt_leaves_a_module_as_it_is() {
    if !has("rustfmt") {
        return;
    }
    let directory = directory("rust-format");
    for case in cases() {
        for file in case.write(ArtifactKind::Rust, &directory) {
            for edition in ["2021", "2024"] {
                let mut format = Command::new("rustfmt");
                run(format.args(["--check", "--edition", edition, &file]), &directory);
            }
        }
    }
}

/// All keywords of the language's reference, strict and reserved, of any edition.
#[test]
fn no_keyword_is_the_name_of_a_module() {
    let keywords = "as async await break const continue crate dyn else enum extern false fn for gen if impl in let \
                    loop match mod move mut pub ref return self Self static struct super trait true type unsafe \
                    use where while abstract become box do final macro override priv try typeof unsized virtual \
                    yield";
    let directory = directory("rust-keywords");
    let mut root = String::new();
    for keyword in keywords.split(' ') {
        let identifier = perfecta_emit::Identifier::of_file_name(keyword.as_bytes());
        root += &format!("#[allow(non_snake_case)]\npub mod {identifier} {{}}\n");
    }
    fs::write(directory.join("lib.rs"), root).unwrap();
    for edition in ["2021", "2024"] {
        let mut compile = Command::new("rustc");
        let options = ["--crate-type=lib", "--emit=metadata", "-Dwarnings", "lib.rs"];
        run(compile.args(["--edition", edition]).args(options), &directory);
    }
}

#[test]
fn a_module_can_be_included_and_used_in_constants_and_needs_no_use() {
    let directory = directory("rust-include");
    let case = Case::u32("few", perfecta_core::family::Family::Folded, vec![3, 5, 8]);
    case.write(ArtifactKind::Rust, &directory);
    let main = "mod few { include!(\"few.rs\"); }\nconst RANK: u32 = few::index(8);\n\
                fn main() { assert_eq!(RANK, 2); }\n";
    fs::write(directory.join("main.rs"), main).unwrap();
    let mut compile = Command::new("rustc");
    run(compile.args(["--edition=2021", "-Dwarnings", "main.rs"]), &directory);
    run(&mut Command::new(directory.join("main")), &directory);
}

/// The function, the array and their helpers were reported as never used.
#[test]
fn a_module_of_which_one_constant_is_used_or_nothing_compiles_without_a_warning() {
    let directory = directory("rust-unused");
    let small = cases().into_iter().filter(|case| case.keys.len() < 2000).collect::<Vec<_>>();
    for (name, said) in [("one", "println!(\"{}\", @::NUM_KEYS);"), ("nothing", "")] {
        let mut modules = String::new();
        let mut uses = String::new();
        for case in &small {
            case.write(ArtifactKind::Rust, &directory);
            modules += &format!("#[allow(non_snake_case)]\nmod {};\n", case.identifier);
            uses += &said.replace('@', &case.identifier.to_string());
        }
        let main = directory.join(name).with_extension("rs");
        fs::write(&main, format!("{modules}fn main() {{ {uses} }}\n")).unwrap();
        let mut compile = Command::new("rustc");
        compile.args(["--edition=2021", "-Dwarnings", "-Dunreachable_pub", "--emit=metadata"]);
        run(compile.arg(&main), &directory);
    }
}

/// What `docs/generated-code.md` shows, taken as it stands there.
#[test]
fn the_example_of_the_document_compiles_without_a_warning() {
    let document = include_str!("../../../docs/generated-code.md");
    let (_, from_block) = document.split_once("```rust\n").unwrap();
    let (block, _) = from_block.split_once("```").unwrap();
    let directory = directory("rust-document");
    let folded = perfecta_core::family::Family::Folded;
    Case::u32("HologramWorld-31016", folded, vec![3, 5, 8]).write(ArtifactKind::Rust, &directory);
    let (modules, rest): (Vec<_>, Vec<_>) =
        block.lines().partition(|line| line.starts_with("mod "));
    let (modules, rest) = (modules.join("\n"), rest.join("\n"));
    let main = format!("{modules}\nfn main() {{\nlet key = 8;\n{rest}\nassert_eq!(rank, 2);\n}}\n");
    fs::write(directory.join("main.rs"), main).unwrap();
    let mut compile = Command::new("rustc");
    run(compile.args(["--edition=2021", "-Dwarnings", "main.rs"]), &directory);
    run(&mut Command::new(directory.join("main")), &directory);
}

#[test]
fn a_broken_table_fails_its_self_test() {
    let directory = directory("rust-broken");
    let wanted = ["family Fnv", "u8 full", "last key", "native"];
    let is_wanted = |case: &Case| wanted.iter().any(|name| case.name.as_bytes() == name.as_bytes());
    let cases: Vec<Case> = cases().into_iter().filter(is_wanted).map(Case::broken).collect();
    write_crate(&cases, "", &directory);
    run(
        Command::new("rustc").args(["--test", "--edition=2021", "lib.rs", "-o", "tests"]),
        &directory,
    );
    let said =
        run_in_vain(&mut run_self_tests(&cases, &directory.join("tests"), &directory), &directory);
    assert!(said.contains("1 passed; 4 failed"), "{said}");
    assert!(said.contains("is not its rank"), "{said}");
}
