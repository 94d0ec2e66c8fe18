//! Sizes without rendering: exact for a table, close to the truth before there is one.

mod support;

use perfecta_core::family::Family;
use perfecta_emit::{ArtifactKind, ArtifactKinds, Bundle, Description};
use support::{Case, cases, scattered};

/// Compares what is expected before the search with what the table's artifact has.
fn check(case: &Case) {
    for kind in [ArtifactKind::C, ArtifactKind::Rust] {
        let files = case.files(kind);
        let found: usize = files.iter().map(|(_, text)| text.len()).sum();
        let description = Description::expected(
            *case.table.parameters(),
            &case.identifier,
            &case.name,
            case.self_test_keys(),
            1000,
        );
        let expected = Bundle::new(description, ArtifactKinds::new(&[kind])).size_bytes();
        let difference = expected.abs_diff(found as u64);
        assert!(
            difference * 25 <= found as u64,
            "{}: {expected} bytes expected, {found} found",
            case.identifier
        );
    }
}

#[test]
fn the_expected_size_is_within_4_percent_of_the_real_one() {
    cases().iter().for_each(check);
    for num_keys in [100, 255, 300, 4000, 4096, 4097, 60_000, 66_000] {
        check(&Case::u32("scattered", Family::Folded, scattered(num_keys)).without_keys());
    }
}

#[test]
fn the_size_of_a_table_file_is_the_one_of_its_bytes() {
    let case = Case::u32("few", Family::Folded, vec![1, 2, 3]);
    case.with_bundle(ArtifactKind::Pht, |bundle| {
        let mut bytes = Vec::new();
        let artifact = bundle.artifacts().next().unwrap();
        artifact.render(&mut bytes).unwrap();
        assert_eq!(bytes, b"table file");
        assert_eq!(artifact.file_name(), "few.pht");
        assert_eq!(bundle.size_bytes(), 10);
    });
}
