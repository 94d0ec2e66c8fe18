//! Checks of what was published.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{PlainRenderer, job, keys, run_all, three_good};
use perfecta_jobs::{CancelFlag, Event, Inputs, Layout, Runtime, Summary, Verification, verify};

const PLAIN: PlainRenderer = PlainRenderer { version: 1 };

fn check(verification: &Verification) -> (Summary, BTreeMap<String, String>) {
    let runtime = Runtime::new(Some(&PLAIN), CancelFlag::default());
    let mut failures = BTreeMap::new();
    let summary = verify(verification, &runtime, &mut |event: &Event<'_>| {
        if let Event::Settled { report, .. } = event
            && let Some(error) = &report.error
        {
            failures.insert(report.identifier.clone(), error.to_string());
        }
    });
    (summary.unwrap(), failures)
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn whole_tables_pass_and_each_kind_of_damage_is_named() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    let runtime = Runtime::new(Some(&PLAIN), CancelFlag::default());
    run_all(&job(input.path(), out.path()), &runtime);
    let alone = Verification::new(out.path());
    let mut with_keys = Verification { keys: Some(Inputs::tree(input.path())), ..alone.clone() };
    with_keys.limits.threads = 2.try_into().unwrap();
    for verification in [&alone, &with_keys] {
        let (summary, failures) = check(verification);
        assert_eq!((summary.ok, summary.keys, failures.len()), (3, 3305, 0), "{failures:?}");
    }
    let one = Verification {
        keys: Some(Inputs::Files(vec![input.path().join("small.keys")])),
        ..Verification::new(out.path().join("small"))
    };
    assert_eq!(check(&one).0.ok, 1);
    // Of all key files, a table's own is that of its place.
    std::fs::create_dir(input.path().join("more")).unwrap();
    std::fs::write(input.path().join("more/large.keys"), keys(7, 7)).unwrap();
    for table in ["small", "middle", "below/large"] {
        let verification = Verification { directory: out.path().join(table), ..with_keys.clone() };
        let (summary, failures) = check(&verification);
        assert_eq!((summary.ok, summary.tables), (1, 1), "{table}: {failures:?}");
    }
    std::fs::remove_dir_all(input.path().join("more")).unwrap();

    flip(&out.path().join("small/small.pht"));
    std::fs::write(out.path().join("middle/more"), b"").unwrap();
    std::fs::write(input.path().join("below/large.keys"), keys(4, 4)).unwrap();
    std::fs::write(input.path().join("unbuilt.keys"), keys(4, 4)).unwrap();
    let (summary, failures) = check(&alone);
    assert_eq!((summary.failed, summary.exit_class().code()), (2, 3));
    assert!(failures["small"].contains("small.pht: its hash is not"), "{failures:?}");
    assert!(failures["middle"].contains("more: the manifest does not list it"), "{failures:?}");
    let (summary, failures) = check(&with_keys);
    assert_eq!((summary.tables, summary.failed), (4, 4));
    assert!(failures["large"].contains("not the key file"), "{failures:?}");
    assert!(failures["unbuilt"].contains("no table of the key file"), "{failures:?}");
}

#[test]
fn a_pack_is_checked_as_a_whole_and_table_by_table() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    let runtime = Runtime::new(Some(&PLAIN), CancelFlag::default());
    let mut job = job(input.path(), out.path());
    job.output.as_mut().unwrap().layout = Layout::Packed;
    run_all(&job, &runtime);
    let verification =
        Verification { keys: Some(Inputs::tree(input.path())), ..Verification::new(out.path()) };
    let check = || {
        let mut failures = BTreeMap::new();
        let summary = verify(&verification, &runtime, &mut |event: &Event<'_>| {
            if let Event::Settled { report, .. } = event
                && let Some(error) = &report.error
            {
                failures.insert(report.identifier.clone(), error.to_string());
            }
        });
        (summary.unwrap(), failures)
    };
    let (summary, failures) = check();
    assert_eq!((summary.ok, summary.keys), (3, 3305), "{failures:?}");

    // The tables lie largest first: before the index (three entries, names) and the trailer ends
    // the small one.
    let pack = out.path().join("tables.packed/tables.phtpack");
    let mut bytes = std::fs::read(&pack).unwrap();
    let place = bytes.len() - (3 + 1 + 1) * 64 - 1;
    bytes[place] ^= 0xff;
    std::fs::write(&pack, bytes).unwrap();
    let (_, failures) = check();
    assert_eq!(Vec::from_iter(failures.keys()), ["small", "tables.phtpack"], "{failures:?}");
    std::fs::write(out.path().join("tables.packed/manifest.json"), b"{").unwrap();
    assert_eq!(check().0.failed, 4);
}

#[test]
fn who_cancels_before_the_tables_are_known_is_told_so_and_of_no_table() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    let runtime = Runtime::new(Some(&PLAIN), CancelFlag::default());
    run_all(&job(input.path(), out.path()), &runtime);
    runtime.cancel.cancel();
    let error = verify(&Verification::new(out.path()), &runtime, &mut |event: &Event<'_>| {
        panic!("{event:?}");
    });
    assert_eq!(error.unwrap_err().exit_class().code(), 130);
}

#[test]
fn a_table_that_is_published_twice_is_checked_twice() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    let runtime = Runtime::new(Some(&PLAIN), CancelFlag::default());
    for layout in [Layout::Dirs, Layout::Packed] {
        let mut job = job(input.path(), out.path());
        job.output.as_mut().unwrap().layout = layout;
        run_all(&job, &runtime);
    }
    let alone = Verification::new(out.path());
    let with_keys = Verification { keys: Some(Inputs::tree(input.path())), ..alone.clone() };
    for verification in [&alone, &with_keys] {
        let (summary, failures) = check(verification);
        assert_eq!((summary.ok, summary.keys), (6, 2 * 3305), "{failures:?}");
    }
    flip(&out.path().join("small/small.pht"));
    flip(&out.path().join("below/large/large.pht"));
    assert_eq!(check(&alone).0.failed, 2);
    std::fs::write(input.path().join("middle.keys"), keys(4, 4)).unwrap();
    assert_eq!(check(&with_keys).0.failed, 4);
}
