//! The list of all rows, `docs/regressions.md`, held against the tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn list() -> String {
    std::fs::read_to_string(root().join("docs/regressions.md")).unwrap()
}

/// Row, promise, proof and fault of every line, after an empty cell.
fn rows(list: &str) -> Vec<Vec<&str>> {
    let lines = list.lines().filter(|line| line.starts_with("| A-") || line.starts_with("| B-"));
    lines.map(|line| line.split('|').map(str::trim).collect()).collect()
}

/// The rows that the name of a test begins with: `A-19` and `A-31` of `a19_a31_an_item_...`.
fn rows_of_name(name: &str) -> Vec<String> {
    let row = |word: &str| {
        let number = word.strip_prefix('a').or(word.strip_prefix('b'))?;
        let is_row = number.len() == 2 && number.bytes().all(|digit| digit.is_ascii_digit());
        is_row.then(|| format!("{}-{}", word[..1].to_uppercase(), number.trim_start_matches('0')))
    };
    name.split('_').map_while(row).collect()
}

/// Sources below a directory.
fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_test_that_is_named_after_a_row_is_listed_there() {
    let list = list();
    let rows = rows(&list);
    let crates = root().join("crates");
    let mut files = Vec::new();
    sources(&crates, &mut files);
    let mut num_named = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let functions = text.lines().filter_map(|line| line.trim().strip_prefix("fn "));
        for name in functions.filter_map(|line| line.split_once('(')).map(|(name, _)| name) {
            let path = file.strip_prefix(&crates).unwrap().display();
            for of in rows_of_name(name) {
                let row = rows.iter().find(|row| row[1] == of);
                let row = row.unwrap_or_else(|| panic!("{name}: there is no row {of}"));
                assert!(row[3].contains(&format!("`{path}::{name}`")), "{of} lacks {name}");
                num_named += 1;
            }
        }
    }
    assert!(num_named > 40, "only {num_named} rows are named by tests");
}

#[test]
fn every_row_is_listed_with_tests_that_exist_or_a_reason() {
    let root = root();
    let list = list();
    let rows = rows(&list);
    let found: Vec<&str> = rows.iter().map(|row| row[1]).collect();
    let expected: Vec<String> = (1..=36)
        .map(|number| format!("A-{number}"))
        .chain((1..=24).map(|number| format!("B-{number}")))
        .collect();
    assert_eq!(found, expected);
    let mut sources = BTreeMap::new();
    for row in &rows {
        let proof = row[3];
        let has_reason = ["cannot apply: ", "the daemon's"].iter().any(|it| proof.starts_with(it));
        assert!(has_reason || proof.contains("::"), "{}: {proof}", row[1]);
        for (file, test) in proof.split('`').filter_map(|part| part.split_once("::")) {
            let source = sources.entry(file).or_insert_with(|| {
                std::fs::read_to_string(root.join("crates").join(file)).unwrap_or_default()
            });
            assert!(source.contains(&format!("fn {test}(")), "{}: {file} has no {test}", row[1]);
        }
    }
}
