//! The list of all rows, `docs/regressions.md`, held against the tests.

use std::collections::BTreeMap;
use std::path::Path;

#[test]
fn every_row_is_listed_with_tests_that_exist_or_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let list = std::fs::read_to_string(root.join("docs/regressions.md")).unwrap();
    let lines = list.lines().filter(|line| line.starts_with("| A-") || line.starts_with("| B-"));
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split('|').map(str::trim).collect()).collect();
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
