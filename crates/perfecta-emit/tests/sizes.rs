//! Sizes without rendering: exact for a table, close to the truth before there is one.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test stops at any failure")]

mod support;

use perfecta_core::family::Family;
use perfecta_core::seeds::SeedSource;
use perfecta_core::table::Parameters;
use perfecta_emit::{ArtifactKind, ArtifactKinds, Bundle, Description};
use support::{Case, cases, scattered};

/// Compares what is expected before the search with what the table's artifacts have. The seeds are
/// not known then: any attempt's will do.
fn check(case: &Case, percent: u64) {
    let Parameters { family, geometry, .. } = *case.table.parameters();
    let seeds = SeedSource::default().draw(99, family, geometry);
    let parameters = Parameters { seeds, ..*case.table.parameters() };
    for kind in [ArtifactKind::C, ArtifactKind::Rust] {
        let files = case.files(kind);
        let found = files.iter().map(|(_, text)| text.len() as u64).sum::<u64>();
        let (identifier, name) = (&case.identifier, &case.name);
        let description =
            Description::expected(parameters, identifier, name, case.expected_keys(), 1000);
        let expected = Bundle::new(description, ArtifactKinds::new(&[kind])).size_bytes();
        let is_near = expected.abs_diff(found) * 100 <= found * percent;
        assert!(is_near, "{identifier}: {expected} bytes expected, {found} found");
    }
}

#[test]
fn the_expected_size_is_near_the_real_one() {
    cases().iter().for_each(|case| check(case, 9));
    for num_keys in [100, 255, 300, 4000, 4096, 4097, 60_000, 66_000] {
        let case = Case::u32("scattered", Family::Folded, scattered(num_keys)).without_keys();
        check(&case, 4);
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
