//! Checks of what was published.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{
    Asked, Fault as EngineFault, Faulty, Made, Meddled, Overheard, PlainRenderer, job, keys,
    planned, run_all, three_good,
};
use perfecta_io::{Fault, FaultPlan, Op, thousands};
use perfecta_jobs::{
    Artifacts, CancelFlag, Event, Inputs, Layout, Renderer, Runtime, SelfTest, Summary,
    Verification, run, verify,
};
use serde_json::Value;
use tempfile::TempDir;

const PLAIN: PlainRenderer = PlainRenderer { version: 1 };

fn runtime() -> Runtime<'static> {
    Runtime::new(Some(&PLAIN), CancelFlag::default())
}

fn check(verification: &Verification) -> (Summary, BTreeMap<String, String>) {
    check_by(&PLAIN, verification)
}

fn check_by(
    renderer: &dyn Renderer,
    verification: &Verification,
) -> (Summary, BTreeMap<String, String>) {
    let runtime = Runtime::new(Some(renderer), CancelFlag::default());
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

/// Three tables in a pack, checked against their keys.
struct Packed {
    input: TempDir,
    out: TempDir,
}

impl Packed {
    fn new() -> Self {
        let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        three_good(input.path());
        let packed = Self { input, out };
        packed.build();
        packed
    }

    fn build(&self) {
        let mut job = job(self.input.path(), self.out.path());
        job.output.as_mut().unwrap().layout = Layout::Packed;
        run_all(&job, &runtime());
    }

    fn file(&self, name: &str) -> PathBuf {
        self.out.path().join("tables.packed").join(name)
    }

    fn manifest(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.file("manifest.json")).unwrap()).unwrap()
    }

    fn check(&self) -> (Summary, BTreeMap<String, String>) {
        let keys = Some(Inputs::tree(self.input.path()));
        let with_keys = check(&Verification { keys, ..Verification::new(self.out.path()) });
        let alone = check(&Verification::new(self.out.path()));
        assert_eq!(alone.1.keys().collect::<Vec<_>>(), with_keys.1.keys().collect::<Vec<_>>());
        with_keys
    }

    /// All of its tables, each of them once, fail with one reason.
    fn all_fail(&self, reason: &str) {
        let (summary, failures) = self.check();
        assert_eq!((summary.tables, summary.failed), (3, 3), "{reason}: {failures:?}");
        let named: Vec<_> = failures.keys().map(String::as_str).collect();
        assert_eq!(named, ["large", "middle", "small"]);
        assert!(failures.values().all(|told| told.contains(reason)), "{reason}: {failures:?}");
    }
}

#[test]
fn a_pack_is_checked_as_a_whole_and_each_of_its_tables_is_told_once() {
    let packed = Packed::new();
    let (summary, failures) = packed.check();
    assert_eq!((summary.ok, summary.keys), (3, 3305), "{failures:?}");
    let files = ["manifest.json", "tables.phtpack"].map(|name| packed.file(name));
    let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
    assert_eq!((summary.files, summary.bytes), (2, bytes));

    let whole = std::fs::read(packed.file("tables.phtpack")).unwrap();
    let check = |place: usize, reason: &str| {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        std::fs::write(packed.file("tables.phtpack"), bytes).unwrap();
        packed.all_fail(reason);
    };
    check(100, "tables.phtpack: its hash is not that of the manifest");
    check(whole.len() - 64 - 1, "tables.phtpack: the index at byte");
    check(whole.len() - 64, "tables.phtpack: the trailer at byte");
    std::fs::write(packed.file("tables.phtpack"), &whole[..whole.len() - 1]).unwrap();
    packed.all_fail("tables.phtpack: the file is cut off");
    std::fs::write(packed.file("tables.phtpack"), b"").unwrap();
    packed.all_fail("tables.phtpack: the file is cut off");
    std::fs::remove_file(packed.file("tables.phtpack")).unwrap();
    packed.all_fail("tables.phtpack: it is missing");
    std::fs::write(packed.file("tables.phtpack"), &whole).unwrap();
    std::fs::write(packed.file("notes"), b"mine").unwrap();
    packed.all_fail("tables.packed/notes: the manifest does not list it");
}

#[test]
fn what_a_packs_manifest_says_is_held_against_the_pack_before_it_is_used() {
    let packed = Packed::new();
    let whole = packed.manifest();
    let check = |change: &dyn Fn(&mut Value), reason: &str| {
        let mut manifest = whole.clone();
        change(&mut manifest);
        std::fs::write(packed.file("manifest.json"), manifest.to_string()).unwrap();
        packed.all_fail(&format!("manifest.json: {reason}"));
    };
    for bytes in [1_u64 << 63, 1 << 40, (1 << 63) - 1, 0, 64] {
        check(&|it| it["tables"][0]["bytes"] = bytes.into(), "tables[0].bytes is");
        check(&|it| it["tables"][1]["offset"] = bytes.into(), "tables[1].offset is");
    }
    check(&|it| it["tables"][1]["name"] = "moddle".into(), "tables[1].name is moddle, ");
    let other = "00".repeat(32);
    check(&|it| it["tables"][2]["keys_blake3"] = other.clone().into(), "tables[2].keys_blake3 is");
    check(&|it| it["files"][0]["name"] = "other".into(), "files[0].name is other");
    let tables = |it: &mut Value| it["tables"].as_array_mut().unwrap().clone();
    check(&|it| it["tables"] = tables(it)[..2].into(), "the number of tables is 2");
    check(
        &|it| it["tables"] = [&tables(it)[..], &tables(it)].concat().into(),
        "the number of tables is 6",
    );
    check(&|it| it["tables"].as_array_mut().unwrap().swap(0, 1), "tables[0].name is middle");
    check(&|it| it["tables"][1] = it["tables"][0].clone(), "tables[1].name is below/large");

    let mut manifest = whole.clone();
    manifest["files"][0]["bytes"] = (1_u64 << 40).into();
    std::fs::write(packed.file("manifest.json"), manifest.to_string()).unwrap();
    packed.all_fail("tables.phtpack: it has");
    let mut manifest = whole.clone();
    manifest["tables"][1]["keys"] = 301.into();
    std::fs::write(packed.file("manifest.json"), manifest.to_string()).unwrap();
    let (summary, failures) = packed.check();
    assert_eq!((summary.ok, summary.failed), (2, 1));
    let reason = "manifest.json: tables[1].keys is 301, tables.phtpack says 300";
    assert!(failures["middle"].contains(reason), "{failures:?}");
}

/// Another pack is put in its place before whichever operation of the verification.
#[test]
fn a_pack_that_another_takes_the_place_of_is_never_called_damaged() {
    for with_keys in [false, true] {
        let mut told = 0;
        for at in 0.. {
            let packed = Packed::new();
            let elsewhere = tempfile::tempdir().unwrap();
            let mut other = job(packed.input.path(), elsewhere.path());
            other.output.as_mut().unwrap().layout = Layout::Packed;
            other.search.seeds.rng_seed = 7;
            run_all(&other, &runtime());
            let other = elsewhere.path().join("tables.packed");
            let there = packed.out.path().join("tables.packed");
            let submitted = Arc::<AtomicUsize>::default();
            let engines = Made::by(|| {
                let (submitted, there) = (Arc::clone(&submitted), there.clone());
                let other = other.clone();
                Box::new(Overheard::by(move |_| {
                    if submitted.fetch_add(1, Ordering::Relaxed) == at {
                        std::fs::rename(&there, other.with_extension("was")).unwrap();
                        std::fs::rename(&other, &there).unwrap();
                    }
                }))
            });
            let keys = with_keys.then(|| Inputs::tree(packed.input.path()));
            let verification = Verification { keys, ..Verification::new(packed.out.path()) };
            let mut failures = Vec::new();
            let runtime = Runtime { engines: &engines, ..runtime() };
            let summary = verify(&verification, &runtime, &mut |event: &Event<'_>| {
                if let Event::Settled { report, .. } = event {
                    failures.extend(report.error.as_ref().map(ToString::to_string));
                }
            });
            let meanwhile = "tables.packed was published while others were verified";
            assert!(failures.iter().all(|told| told.contains(meanwhile)), "{at}: {failures:?}");
            assert_eq!(summary.unwrap().tables, 3);
            told += failures.len();
            if submitted.load(Ordering::Relaxed) <= at {
                break;
            }
        }
        assert!(told > 0);
    }
}

/// What a pack's manifest says of many small tables is more than these, and than its index.
#[test]
fn the_manifest_of_a_pack_may_be_more_than_the_memory_and_its_index_may_not() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for number in 0..100 {
        std::fs::write(input.path().join(format!("n{number}.keys")), keys(2, number + 1)).unwrap();
    }
    let mut job = job(input.path(), out.path());
    job.output.as_mut().unwrap().layout = Layout::Packed;
    run_all(&job, &runtime());
    let pack = out.path().join("tables.packed");
    let manifest = pack.join("manifest.json");
    let keys = Inputs::tree(input.path());
    let verification = Verification { keys: Some(keys), ..Verification::new(out.path()) };
    let check_with = |memory_bytes_max| {
        let mut verification = verification.clone();
        verification.limits.memory_bytes_max = memory_bytes_max;
        check(&verification)
    };
    let bytes = std::fs::read(pack.join("tables.phtpack")).unwrap();
    let trailer = bytes.len() - 64;
    let index = u64::from_le_bytes(bytes[trailer..][..8].try_into().unwrap());
    let index_bytes = bytes.len() as u64 - index;
    assert!(index_bytes < manifest.metadata().unwrap().len() / 2);

    let (summary, failures) = check_with(index_bytes);
    assert_eq!((summary.tables, summary.ok), (100, 100), "{failures:?}");

    // Longer than any that says of these tables what is to be said.
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replacen('{', &format!("{{{:20000}", ""), 1)).unwrap();
    let longer = manifest.metadata().unwrap().len();
    let (summary, failures) = check_with(index_bytes);
    assert_eq!((summary.tables, summary.failed), (100, 100));
    let reason = format!("manifest.json: it has {} bytes, the limit is ", thousands(longer));
    assert!(failures.values().all(|told| told.contains(&reason)), "{failures:?}");
    assert_eq!(check_with(longer).0.ok, 100);

    // No table is known: none is told to be missing.
    std::fs::write(&manifest, text).unwrap();
    let (summary, failures) = check_with(index_bytes - 1);
    assert_eq!((summary.tables, summary.failed), (101, 101));
    let [bytes, limit] = [index_bytes, index_bytes - 1].map(thousands);
    let reason = format!("tables.phtpack: it has {bytes} bytes, the limit is {limit}");
    assert!(failures.values().all(|told| told.contains(&reason)), "{failures:?}");
}

#[test]
fn a_pack_without_its_manifest_is_damaged_and_not_overlooked() {
    let packed = Packed::new();
    run_all(&job(packed.input.path(), packed.out.path()), &runtime());
    let check = |tables: u32, failed: &[&str], reason: &str| {
        let (summary, failures) = check(&Verification::new(packed.out.path()));
        assert_eq!((summary.tables, summary.failed), (tables, failed.len() as u32));
        assert_eq!(failures.keys().map(String::as_str).collect::<Vec<_>>(), failed);
        assert!(failures.values().all(|told| told.contains(reason)), "{failures:?}");
    };
    let manifest = packed.file("manifest.json");
    let names = ["large", "middle", "small"];
    std::fs::write(&manifest, b"{").unwrap();
    check(6, &names, "tables.packed/manifest.json: it is torn");
    std::fs::remove_file(&manifest).unwrap();
    check(6, &names, "tables.packed/manifest.json: it is missing");
    std::fs::create_dir(&manifest).unwrap();
    check(6, &names, "tables.packed/manifest.json: it is a directory");
    std::fs::remove_dir(&manifest).unwrap();
    std::os::unix::fs::symlink("tables.phtpack", &manifest).unwrap();
    check(6, &names, "tables.packed/manifest.json: it is a symbolic link");
    std::fs::remove_file(&manifest).unwrap();
    std::fs::write(packed.file("tables.phtpack"), b"torn").unwrap();
    check(4, &["tables.packed"], "tables.packed/manifest.json: it is missing");
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

/// One table of five keys, `small`, with artifacts of these kinds.
struct Directory {
    input: TempDir,
    out: TempDir,
    artifacts: Artifacts,
}

impl Directory {
    fn new(kinds: &str) -> Self {
        let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(input.path().join("small.keys"), keys(5, 77)).unwrap();
        let artifacts = Artifacts::new(kinds.parse().unwrap(), SelfTest::FromFile);
        let runtime = Runtime::new(Some(&artifacts), CancelFlag::default());
        run_all(&job(input.path(), out.path()), &runtime);
        Self { input, out, artifacts }
    }

    fn with_keys(&self) -> Verification {
        let keys = Some(Inputs::tree(self.input.path()));
        Verification { keys, ..Verification::new(self.out.path()) }
    }

    /// Makes a change to the manifest, and expects that it is told so.
    fn check(&self, verification: &Verification, change: impl Fn(&mut Value), reason: &str) {
        let path = self.out.path().join("small/manifest.json");
        let whole = std::fs::read(&path).unwrap();
        let mut manifest: Value = serde_json::from_slice(&whole).unwrap();
        change(&mut manifest);
        std::fs::write(&path, manifest.to_string()).unwrap();
        let (summary, failures) = check_by(&self.artifacts, verification);
        assert_eq!((summary.failed, summary.exit_class().code()), (1, 9), "{reason}");
        let told = &failures["small"];
        assert!(told.contains(&format!("small/manifest.json: {reason}")), "{reason}: {told}");
        std::fs::write(&path, whole).unwrap();
        assert_eq!(check_by(&self.artifacts, verification).0.ok, 1);
    }
}

#[test]
fn what_a_manifest_says_of_its_table_is_held_against_the_table_file() {
    let directory = Directory::new("all");
    let alone = Verification::new(directory.out.path());
    let check = |field: &str, value: Value| {
        let change = |it: &mut Value| it["table"][field] = value.clone();
        directory.check(&alone, change, &format!("table.{field} is "));
    };
    let family = |it: &mut Value| {
        it["table"]["family"] = "MultiplyRotateR".into();
        it["table"]["seeds"] = vec![0x4fb8_349a_u32, 0x64e0_e8dd, 0x106].into();
    };
    directory.check(&alone, family, "table.family is \"MultiplyRotateR\", the table file says");
    check("seeds", vec![1, 2, 3].into());
    check("first_key", "0x0000000000000001".into());
    check("last_key", "0x0000000000000fff".into());
    for (key_file, table) in [(4, 4), (5, 6), (6, 5)] {
        let change = |it: &mut Value| {
            it["table"]["num_keys"] = table.into();
            it["key_file"]["num_keys"] = key_file.into();
        };
        let field = if key_file == table { "table.num_keys is 4, the table" } else { "key_file." };
        directory.check(&alone, change, field);
    }
    let geometry = |it: &mut Value| {
        it["table"]["edge_capacity"] = 16.into();
        it["table"]["vertices"] = 32.into();
    };
    directory.check(&alone, geometry, "table.edge_capacity is 16, the table file says 8");
}

#[test]
fn what_a_manifest_says_of_names_and_keys_is_held_against_these() {
    for kinds in ["all", "c,rust"] {
        let directory = Directory::new(kinds);
        let (alone, with_keys) = (Verification::new(directory.out.path()), directory.with_keys());
        let check = |change: fn(&mut Value), reason: &str| {
            directory.check(&alone, change, reason);
            directory.check(&with_keys, change, reason);
        };
        check(
            |it| it["identifier"] = "tall".into(),
            "identifier is tall, its directory says small",
        );
        check(
            |it| it["key_file"]["name"] = "tall.keys".into(),
            "identifier is small, key_file.name",
        );
        check(|it| it["key_file"]["name_hex"] = "ff".into(), "key_file.name and key_file.name_hex");
        check(|it| it["key_file"]["key_bits"] = 64.into(), "key_file.key_bits is 64, ");
        check(|it| it["files"][0]["kind"] = "rust".into(), "files[0] is small.");
        check(|it| it["key_file"]["bytes"] = 3.into(), "key_file.bytes is 3, which is less");
        check(|it| it["search"]["attempt"] = 0.into(), "search.attempt is 0");
        let twice = |it: &mut Value| {
            let first = it["files"][0].clone();
            it["files"].as_array_mut().unwrap().push(first);
        };
        check(twice, "files[");

        let check = |change: fn(&mut Value), reason: &str| {
            directory.check(&with_keys, change, reason);
        };
        check(
            |it| it["key_file"]["bytes"] = 24.into(),
            "key_file.bytes is 24, the key file says 20",
        );
        check(|it| it["table"]["last_key"] = "0x0000000000000182".into(), "table.last_key is ");
    }
}

/// The other tests name their directories from the root on: they do not notice which one is worked in.
#[test]
fn the_working_directory_is_checked_as_by_its_name() {
    let packed = Packed::new();
    run_all(&job(packed.input.path(), packed.out.path()), &runtime());
    for (directory, tables) in [("tables.packed", 3), ("small", 1), ("below", 1), ("", 6)] {
        std::env::set_current_dir(packed.out.path().join(directory)).unwrap();
        for path in [".", "./"] {
            let (summary, failures) = check(&Verification::new(path));
            assert_eq!((summary.ok, summary.tables), (tables, tables), "{directory}: {failures:?}");
        }
    }
    std::env::set_current_dir("/").unwrap();
}

#[test]
fn names_that_are_no_text_are_told_apart_in_a_pack() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (number, name) in [b"\xff\xfe", b"\xff\xfd"].into_iter().enumerate() {
        let directory = input.path().join(OsStr::from_bytes(name));
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("same.keys"), keys(5 + number as u32, 77)).unwrap();
    }
    let packed = Packed { input, out };
    let mut job = job(packed.input.path(), packed.out.path());
    job.output.as_mut().unwrap().layout = Layout::Packed;
    let run = || run(&job, &runtime(), &mut |_: &Event<'_>| {}).unwrap();
    assert_eq!(run().ok, 2);
    let (summary, failures) = packed.check();
    assert_eq!((summary.ok, summary.keys), (2, 11), "{failures:?}");
    assert_eq!(run().unchanged, 2);
    let mut manifest = packed.manifest();
    manifest["tables"][0]["name_hex"] = "ff".into();
    std::fs::write(packed.file("manifest.json"), manifest.to_string()).unwrap();
    let (summary, _) = packed.check();
    assert_eq!((summary.tables, summary.failed), (2, 2));
}

#[test]
fn every_key_file_without_its_table_is_told_though_others_have_the_same_place() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    let verification =
        Verification { keys: Some(Inputs::tree(input.path())), ..Verification::new(out.path()) };
    for layout in [Layout::Dirs, Layout::Packed] {
        let mut job = job(input.path(), out.path());
        job.output.as_mut().unwrap().layout = layout;
        run_all(&job, &runtime());
        for (number, name) in ["-", "_", "a b", "a?b", "small-"].into_iter().enumerate() {
            let file = input.path().join(format!("{name}.keys"));
            std::fs::write(file, keys(20 + number as u32, 77)).unwrap();
        }
        let mut failed = Vec::new();
        let summary = verify(&verification, &runtime(), &mut |event: &Event<'_>| {
            if let Event::Settled { report, .. } = event
                && report.error.is_some()
            {
                failed.push(report.keys_file.file_name().unwrap().to_owned());
            }
        });
        failed.sort();
        assert_eq!(failed, ["-.keys", "_.keys", "a b.keys", "a?b.keys", "small-.keys"]);
        assert_eq!((summary.as_ref().unwrap().ok, summary.unwrap().tables), (3, 8));
        for name in ["-", "_", "a b", "a?b", "small-"] {
            std::fs::remove_file(input.path().join(format!("{name}.keys"))).unwrap();
        }
        for name in ["small", "middle", "below"] {
            let _ = std::fs::remove_dir_all(out.path().join(name));
        }
    }
}

#[test]
fn source_code_without_its_manifest_is_a_table_if_it_is_ours() {
    for kinds in ["c", "rust"] {
        let directory = Directory::new(kinds);
        let verification = Verification::new(directory.out.path());
        let of_table = Verification::new(directory.out.path().join("small"));
        std::fs::create_dir(directory.out.path().join("other")).unwrap();
        for name in ["other/other.h", "other/other.rs", "other/other_data.c"] {
            let text = "// Written by hand, and longer than the head of what perfecta generates.\n";
            std::fs::write(directory.out.path().join(name), text).unwrap();
        }
        std::fs::write(directory.out.path().join("other/other.h"), "").unwrap();
        assert_eq!(check_by(&directory.artifacts, &verification).0.tables, 1);
        std::fs::remove_file(directory.out.path().join("small/manifest.json")).unwrap();
        for verification in [&verification, &of_table] {
            let (summary, failures) = check_by(&directory.artifacts, verification);
            assert_eq!((summary.tables, summary.failed), (1, 1), "{kinds}");
            let reason = "small/manifest.json: it is missing";
            assert!(failures["small"].contains(reason), "{failures:?}");
        }
    }
}

#[test]
fn a_directory_that_cannot_be_listed_is_no_success() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    run_all(&job(input.path(), out.path()), &runtime());
    let check = |plan: &Arc<FaultPlan>| {
        let engines = planned(plan);
        let runtime = Runtime { engines: &engines, ..runtime() };
        let mut errors = Vec::new();
        let summary = verify(&Verification::new(out.path()), &runtime, &mut |event: &Event<'_>| {
            if let Event::Settled { report, .. } = event {
                errors.extend(report.error.clone());
            }
        });
        (summary.unwrap(), errors)
    };
    let undisturbed = Arc::<FaultPlan>::default();
    assert_eq!(check(&undisturbed).0.ok, 3);
    let below = out.path().join("below");
    let calls = undisturbed.calls(0);
    let listed = calls.iter().find(|call| call.name == "open directory" && call.path == below);
    let number = listed.unwrap().number;
    let plan = Arc::<FaultPlan>::default();
    plan.inject(number..=number, Fault::Errno(13));
    let (summary, errors) = check(&plan);
    assert_eq!((summary.ok, summary.failed), (2, 1), "{errors:?}");
    assert_eq!(errors[0].exit_class().code(), 12, "{}", errors[0]);
}

/// Of a table with its key file, more than either alone may be in memory.
#[test]
fn what_a_check_needs_in_all_is_refused_where_it_can_never_fit() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    run_all(&job(input.path(), out.path()), &runtime());
    let table = out.path().join("below/large");
    let table = table.read_dir().unwrap().map(|file| file.unwrap().metadata().unwrap().len());
    // The key file and, once read, its keys.
    let needed = table.sum::<u64>() + 2 * 4 * 3000;
    let with_keys =
        Verification { keys: Some(Inputs::tree(input.path())), ..Verification::new(out.path()) };
    for threads in [1, 2, 8] {
        let check_with = |memory_bytes_max| {
            let mut verification = with_keys.clone();
            verification.limits.threads = threads.try_into().unwrap();
            verification.limits.memory_bytes_max = memory_bytes_max;
            check(&verification)
        };
        let (summary, failures) = check_with(needed);
        assert_eq!((summary.ok, failures.len()), (3, 0), "{failures:?}");
        let (summary, failures) = check_with(needed - 1);
        assert_eq!((summary.ok, summary.failed), (2, 1), "{failures:?}");
        let [needed, limit] = [needed, needed - 1].map(thousands);
        let expected = format!("it needs about {needed} bytes of memory, the limit is {limit}");
        assert_eq!(failures["large"], expected);
    }
    let mut packed = job(input.path(), out.path());
    packed.output.as_mut().unwrap().layout = Layout::Packed;
    std::fs::remove_dir_all(out.path()).unwrap();
    run_all(&packed, &runtime());
    let manifest = std::fs::read(out.path().join("tables.packed/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let tables = manifest["tables"].as_array().unwrap().iter();
    let needed = tables.map(|table| table["bytes"].as_u64().unwrap()).max().unwrap() + 2 * 4 * 3000;
    let mut verification = with_keys;
    verification.limits.memory_bytes_max = needed;
    assert_eq!(check(&verification).0.ok, 3);
    verification.limits.memory_bytes_max = needed - 1;
    let (summary, failures) = check(&verification);
    assert_eq!((summary.ok, summary.failed), (2, 1), "{failures:?}");
    let expected = format!("it needs about {} bytes", thousands(needed));
    assert!(failures["large"].starts_with(&expected), "{failures:?}");
}

/// What lies in the place of a table without being one is measured as tables are.
#[test]
fn a_directory_that_is_no_table_is_told_for_what_it_is() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    run_all(&job(input.path(), out.path()), &runtime());
    std::fs::write(input.path().join("notes.keys"), keys(4, 4)).unwrap();
    std::fs::create_dir(out.path().join("notes")).unwrap();
    std::fs::write(out.path().join("notes/mine"), [7; 100]).unwrap();
    let keys = Some(Inputs::tree(input.path()));
    let (summary, failures) = check(&Verification { keys, ..Verification::new(out.path()) });
    assert_eq!((summary.ok, summary.failed), (3, 1));
    assert!(failures["notes"].contains("notes/manifest.json: it is missing"), "{failures:?}");
}

/// The user cancels when all of a table is read: before it was looked up, the table is no success.
#[test]
fn who_cancels_while_the_keys_of_one_table_are_looked_up_waits_for_no_other() {
    // So many that look-ups are interrupted between two of them.
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(input.path().join("many.keys"), keys(200_000, 7919)).unwrap();
    for layout in [Layout::Dirs, Layout::Packed] {
        let mut job = job(input.path(), &out.path().join(format!("{layout:?}")));
        job.output.as_mut().unwrap().layout = layout;
        run_all(&job, &runtime());
        let directory = job.output.unwrap().directory;
        let keys = Some(Inputs::tree(input.path()));
        let verification = Verification { keys, ..Verification::new(directory) };
        let verify_by = |engines: &Faulty| {
            let cancel = engines.cancel.clone();
            let runtime = Runtime { engines, cancel, ..runtime() };
            verify(&verification, &runtime, &mut |_: &Event<'_>| {}).unwrap()
        };
        let undisturbed = Faulty::new(usize::MAX, EngineFault::Cancel);
        assert_eq!(verify_by(&undisturbed).ok, 1);
        let last = Faulty::new(undisturbed.submitted() - 1, EngineFault::Cancel);
        let summary = verify_by(&last);
        assert_eq!((summary.ok, summary.failed, summary.cancelled), (0, 0, 1), "{layout:?}");
    }
}

#[test]
fn whichever_read_of_a_table_is_cancelled_it_is_no_success() {
    let directory = Directory::new("pht");
    let verification = directory.with_keys();
    let verify_by = |engines: &Faulty| {
        let cancel = engines.cancel.clone();
        let runtime = Runtime::new(Some(&directory.artifacts), cancel);
        verify(&verification, &Runtime { engines, ..runtime }, &mut |_: &Event<'_>| {})
    };
    let undisturbed = Faulty::new(usize::MAX, EngineFault::Cancel);
    assert_eq!(verify_by(&undisturbed).unwrap().ok, 1);
    let mut cancelled = 0;
    for at in 0..undisturbed.submitted() {
        match verify_by(&Faulty::new(at, EngineFault::Cancel)) {
            Ok(summary) => {
                assert_eq!((summary.ok, summary.failed, summary.cancelled), (0, 0, 1), "{at}");
                cancelled += 1;
            }
            Err(error) => assert_eq!(error.exit_class().code(), 130, "{at}"),
        }
    }
    // The table, and its key file.
    assert!(cancelled >= 2, "{cancelled}");
}

#[test]
fn a_bug_that_shows_with_one_table_is_told_of_that_one() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    run_all(&job(input.path(), out.path()), &runtime());
    let panicking = Meddled(|asked: &Asked<'_>| {
        assert!(!asked.is_of("middle"), "a bug");
        Ok(())
    });
    for threads in [1, 2] {
        let mut verification = Verification::new(out.path());
        verification.limits.threads = threads.try_into().unwrap();
        let (summary, failures) = check_by(&panicking, &verification);
        assert_eq!((summary.ok, summary.failed), (2, 1), "{failures:?}");
        assert_eq!(failures["middle"], "internal error: a bug");
    }
}

#[test]
fn a_bug_that_shows_with_a_pack_as_a_whole_is_told_of_that_pack() {
    let packed = Packed::new();
    run_all(&job(packed.input.path(), packed.out.path()), &runtime());
    let file = packed.file("tables.phtpack");
    let engines = Made::by(|| {
        let file = file.clone();
        Box::new(Overheard::by(move |op: &Op| {
            assert!(!matches!(op, Op::ReadRange { path, .. } if *path == file), "a bug");
        }))
    });
    let check = |keys| {
        let verification = Verification { keys, ..Verification::new(packed.out.path()) };
        let runtime = Runtime { engines: &engines, ..runtime() };
        let mut told = Vec::new();
        let summary = verify(&verification, &runtime, &mut |event: &Event<'_>| {
            if let Event::Settled { report, .. } = event {
                let error = report.error.as_ref().map(ToString::to_string);
                told.extend(error.map(|error| (report.identifier.clone(), error)));
            }
        });
        let summary = summary.unwrap();
        assert_eq!((summary.ok, summary.failed), (3, 1), "{told:?}");
        assert_eq!(told, [("tables.packed".to_owned(), "internal error: a bug".to_owned())]);
    };
    check(None);
    check(Some(Inputs::tree(packed.input.path())));
}

#[test]
fn a_table_that_is_published_while_others_are_verified_did_not_change() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    run_all(&job(input.path(), out.path()), &runtime());
    let (place, away) = (out.path().join("small"), input.path().join("away"));
    std::fs::rename(&place, &away).unwrap();
    let keys = Some(Inputs::tree(input.path()));
    let verification = Verification { keys, ..Verification::new(out.path()) };
    let check = |plan: &Arc<FaultPlan>| {
        let engines = planned(plan);
        let mut errors = Vec::new();
        let runtime = Runtime { engines: &engines, ..runtime() };
        let summary = verify(&verification, &runtime, &mut |event: &Event<'_>| {
            if let Event::Settled { report, .. } = event {
                errors.extend(report.error.as_ref().map(ToString::to_string));
            }
        });
        summary.unwrap();
        errors
    };
    let undisturbed = Arc::<FaultPlan>::default();
    let error =
        format!("verification failed: {}: no table of the key file is there", place.display());
    assert_eq!(check(&undisturbed), [error]);
    let calls = undisturbed.calls(0);
    let looked = calls.iter().rfind(|call| call.path == place).unwrap().number;
    let plan = Arc::<FaultPlan>::default();
    let published = place.clone();
    plan.meanwhile(looked, move || std::fs::rename(&away, &published).unwrap());
    let error = format!("{} was published while others were verified", place.display());
    assert_eq!(check(&plan), [error]);
}
