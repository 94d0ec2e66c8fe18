//! The text of small tables, letter by letter. After a wanted change, write the files anew with
//! `PERFECTA_BLESS=1 cargo test -p perfecta-emit --test golden` and read the difference.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test stops at any failure")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use perfecta_core::family::Family;
use perfecta_core::key::{KeySet, Repair};
use perfecta_emit::manifest::{Hex64, KeyFile, Manifest, ManifestFile, SearchRecord};
use perfecta_emit::{ArtifactKind, ContentHash, source};
use support::{Case, cases, scattered};

fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("PERFECTA_BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == text, "{} is not what is rendered now:\n{text}", path.display());
}

fn check_files(case: &Case) {
    for kind in [ArtifactKind::C, ArtifactKind::Rust] {
        for (name, text) in case.files(kind) {
            check(&name, &text);
        }
    }
}

#[test]
fn a_table_of_the_default_family_with_its_keys() {
    check_files(&Case::u32("few-keys.keys", Family::Folded, vec![0, 2, 3, 5, 7, 11, u32::MAX]));
}

#[test]
fn a_table_of_native_64_bit_keys() {
    let keys = (0..20u64).map(|n| (n << 60) | (n * n)).collect();
    check_files(&Case::u64("native-64.keys", keys).without_keys());
}

#[test]
fn a_table_of_gathered_keys_from_a_file_with_a_hostile_name() {
    let keys = scattered(20).into_iter().map(|key| u64::from(key & 0xff0f) << 30).collect();
    let keys = KeySet::from_u64(keys, Repair { sort: true, dedupe: true }).unwrap();
    let family = Family::from_name("MultiplyRotateR").unwrap();
    check_files(&Case::new("*/ \"??/\\\n class \u{202e}.keys64", family, keys).without_keys());
}

#[test]
fn a_table_that_needs_crc() {
    let family = Family::from_name("Crc32RotateWXYZ").unwrap();
    check_files(&Case::u32("crc.keys", family, scattered(10)));
}

#[test]
fn a_manifest() {
    let case = Case::u32("few-keys.keys", Family::Folded, vec![0, 2, 3, 5, 7, 11, u32::MAX]);
    let parameters = case.table.parameters();
    let key_file = KeyFile::new(&case.name, 28, ContentHash::of(b"the key file"), parameters);
    let search = SearchRecord {
        rng_seed: Hex64(0x2019_0903_1981_1025),
        attempt: 1,
        grows: 0,
        options: BTreeMap::from([("emit".to_owned(), "all".to_owned())]),
    };
    let mut manifest = Manifest::new(&case.identifier, key_file, parameters, search);
    for &kind in ArtifactKind::ALL {
        case.with_bundle(kind, |bundle| {
            for artifact in bundle.artifacts() {
                let mut bytes = Vec::new();
                artifact.render(&mut bytes).unwrap();
                manifest.files.push(ManifestFile {
                    name: artifact.file_name(),
                    kind: kind.name().to_owned(),
                    bytes: bytes.len() as u64,
                    blake3: ContentHash::of(&bytes),
                });
            }
        });
    }
    check("manifest.json", &manifest.to_json());
    assert_eq!(Manifest::from_json(manifest.to_json().as_bytes()).unwrap(), manifest);
}

#[test]
fn source_code_is_told_by_its_name_and_its_head() {
    for case in cases() {
        for &kind in ArtifactKind::ALL {
            for (name, text) in case.files(kind) {
                let suffix = name.strip_prefix(case.identifier.as_str()).unwrap();
                assert_eq!(source::is_suffix(suffix.as_bytes()), kind.is_source(), "{name}");
                let head = &text.as_bytes()[..text.len().min(source::HEAD_BYTES)];
                assert_eq!(source::is_head(head), kind.is_source(), "{name}");
            }
        }
    }
    assert!(!source::is_suffix(b"") && !source::is_suffix(b".c") && !source::is_head(b""));
}
