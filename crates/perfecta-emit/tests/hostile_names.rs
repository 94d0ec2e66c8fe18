//! File names cannot inject: whatever a key file is called, generated code means the same.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test stops at any failure")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use perfecta_core::family::Family;
use perfecta_emit::{ArtifactKind, Identifier, OriginalName};
use proptest::prelude::*;
use support::{Case, directory, has, run};

const NASTY: &[&str] = &[
    "*/ int injected; /*",
    "*\\\n/ int injected; /*",
    "??/\n??/",
    "// \\\nint injected;",
    "\"; int injected; //",
    "\"#; fn injected() {} //",
    "'\\\"\\x00%s%n{}{0}@ident@@@",
    "\r\nint injected;",
    "\u{202e}\u{2066}// \u{2069}",
    "\u{2028}\u{2029}\u{85}\u{b}\u{c}",
    "$(rm -rf .) `id` ${HOME} %PATH%",
    "--><script>",
    "]]>",
    "\"\"\"\n'''",
    "int",
    "__cplusplus",
    "NULL.keys",
    "@IDENT@",
    "",
];

fn hostile_name() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::sample::select(NASTY).prop_map(|piece| piece.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..40),
        "[ -~]{0,40}".prop_map(String::into_bytes),
    ];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn named(name: &[u8], table: &Case) -> Case {
    Case {
        name: OriginalName::new(name),
        identifier: Identifier::of_file_name(name),
        keys: table.keys.clone(),
        table: table.table.clone(),
        includes_keys: true,
    }
}

fn few_keys() -> Case {
    Case::u32("few", Family::Folded, vec![1, 2, 3])
}

/// A word that no template holds.
const MARK: &str = "Qq7Z";

#[test]
fn a_name_changes_nothing_but_the_places_where_it_is_shown() {
    let few = few_keys();
    let config = ProptestConfig { cases: 10_000, ..ProptestConfig::default() };
    proptest!(config, |(name in hostile_name())| {
        let mut hostile = named(&name, &few);
        hostile.name = OriginalName::new([MARK.as_bytes(), &name, MARK.as_bytes()].concat());
        let mut plain = named(&name, &few);
        plain.name = OriginalName::new(MARK);
        for kind in [ArtifactKind::C, ArtifactKind::Rust] {
            let shown = hostile.name.to_string();
            for ((_, hostile), (_, plain)) in hostile.files(kind).iter().zip(plain.files(kind)) {
                prop_assert!(hostile.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)));
                prop_assert_eq!(hostile.replace(&shown, MARK), plain);
            }
        }
    });
}

#[test]
fn names_in_c_differ_within_the_63_bytes_that_compilers_compare() {
    let family = Family::from_name("Crc32RotateWXYZ").unwrap();
    for case in [few_keys(), Case::u32("crc", family, vec![1, 2, 3])] {
        let case = named("x".repeat(Identifier::LEN_MAX).as_bytes(), &case);
        let (_, text) = case.files(ArtifactKind::C).remove(0);
        let names = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        assert_eq!(names.map(str::len).max(), Some(63));
    }
}

/// One case for each identifier: those that collide cannot stand side by side.
fn nasty_cases() -> Vec<Case> {
    let few = few_keys();
    let cases = NASTY.iter().map(|name| named(name.as_bytes(), &few));
    let by_key: BTreeMap<_, _> =
        cases.map(|case| (case.identifier.collision_key(), case)).collect();
    by_key.into_values().collect()
}

#[test]
fn c_from_hostile_names_compiles() {
    if !has("gcc") {
        return;
    }
    let directory = directory("hostile-c");
    let mut text = String::new();
    for case in nasty_cases() {
        let [header] = &case.write(ArtifactKind::C, &directory)[..] else { panic!("one file") };
        text += &format!("#include \"{header}\"\n");
    }
    fs::write(directory.join("all.c"), text + "extern int injected(void);\n").unwrap();
    for standard in ["-std=c99", "-std=gnu17"] {
        let mut compile = Command::new("gcc");
        compile.args([standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-trigraphs"]);
        run(compile.args(["-fsyntax-only", "all.c"]), &directory);
    }
}

#[test]
fn rust_from_hostile_names_compiles() {
    let directory = directory("hostile-rust");
    let mut text = String::from("#![no_std]\n");
    for case in nasty_cases() {
        case.write(ArtifactKind::Rust, &directory);
        text += &format!("#[allow(non_snake_case)]\npub mod {};\n", case.identifier);
    }
    fs::write(directory.join("lib.rs"), text).unwrap();
    let mut compile = Command::new("rustc");
    compile.args(["--edition=2024", "--crate-type=lib", "-Dwarnings", "--emit=metadata"]);
    run(compile.arg("lib.rs"), &directory);
}
