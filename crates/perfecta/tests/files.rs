//! Tables and packs through real files.

#![cfg(feature = "build")]

use std::cell::Cell;
use std::path::Path;

use perfecta::build::{
    self, BuildError, Contradiction, FamilyChoice, KeyError, KeySet, Limit, Plan, Repair,
    SeedSource, Stage, Tally, TextError, UnknownFamily, VerifyError,
};
use perfecta::{
    Downsize, Family, FormatError, Geometry, KeyWidth, LoadError, LoadErrorKind, Pack, Reference,
    Table,
};
use perfecta_core::format::pack::PackWriter;
use perfecta_core::graph::Scratch;
use perfecta_core::search::search;

/// A table, mapped: no test writes to a file while it is.
fn map(path: impl AsRef<Path>) -> Result<Table, LoadError> {
    // SAFETY: the file is in a directory of the test's own, and replaced when it is no longer mapped.
    unsafe { Table::map(path) }
}

fn map_trusting_sections(path: impl AsRef<Path>) -> Result<Table, LoadError> {
    // SAFETY: as in `map`.
    unsafe { Table::map_trusting_sections(path) }
}

fn map_pack(path: impl AsRef<Path>) -> Result<Pack, LoadError> {
    // SAFETY: as in `map`.
    unsafe { Pack::map(path) }
}

fn built(num_keys: u32) -> Table {
    let keys = (0..num_keys).map(|key| key * 16 + 0x40_1000).collect();
    build::table_from_u32(keys).expect("a small set is solved").table
}

#[test]
fn a_file_is_read_and_mapped_alike() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("functions.pht");
    let table = built(1000);
    std::fs::write(&path, table.as_bytes()).expect("written");
    for table in [Table::load(&path), map(&path), map_trusting_sections(&path)] {
        let table = table.expect("a sound file");
        assert_eq!(table.len(), 1000);
        let keys: Vec<u32> = (0..1000).map(|key| key * 16 + 0x40_1000).collect();
        let mut indexes = vec![0; 1000];
        table.index_batch(&keys, &mut indexes);
        assert!(indexes.iter().copied().eq(0..1000));
        let lookup = table.lookup_u32().expect("the default family and 32-bit keys");
        assert!((0..).zip(&keys).all(|(rank, &key)| lookup.index(key) == rank));
        assert!((0..).zip(&keys).all(|(rank, &key)| table.index(u64::from(key)) == rank));
        assert!(table.lookup_u64().is_none());
    }
}

/// Large files take another way into memory.
#[test]
fn a_large_file_is_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("large.pht");
    let keys: Vec<u32> = (0..300_000).map(|key| key * 5 + 1).collect();
    let built = build::table_from_u32(keys.clone()).expect("it is solved").table;
    assert!(built.as_bytes().len() > 4 << 20);
    std::fs::write(&path, built.as_bytes()).expect("written");
    let table = Table::load(&path).expect("a sound file");
    assert!(table.as_bytes() == built.as_bytes());
    let mut indexes = vec![0; keys.len()];
    table.index_batch(&keys, &mut indexes);
    assert!(indexes.iter().copied().eq(0..300_000));
}

#[test]
fn a_table_can_be_moved_and_shared_by_threads() {
    let table = std::sync::Arc::new(Box::new(built(100)));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let table = std::sync::Arc::clone(&table);
            std::thread::spawn(move || (0..100).all(|key| table.index(key * 16 + 0x40_1000) == key))
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().is_ok_and(|all| all)));
}

#[test]
fn an_error_names_the_file_and_the_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("cut.pht");
    assert!(matches!(map(&path).expect_err("no file").kind, LoadErrorKind::Io(_)));
    let table = built(100);
    std::fs::write(&path, &table.as_bytes()[..300]).expect("written");
    for error in [Table::load(&path), map(&path)] {
        let error = error.expect_err("it is cut off").to_string();
        assert!(
            error.ends_with("cut.pht: the file is cut off: 300 bytes, at least 512 are needed"),
            "{error}"
        );
    }
    std::fs::write(&path, b"").expect("written");
    assert!(Table::load(&path).is_err());
    assert!(map(&path).is_err());
}

#[test]
fn what_is_no_table_file_is_told_as_what_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let pack = [&PackWriter::header()[..], &PackWriter::default().finish()].concat();
    std::fs::write(path.join("a.pack"), &pack).expect("written");
    let longer = [built(100).as_bytes(), &[0]].concat();
    std::fs::write(path.join("longer.pht"), &longer).expect("written");
    let check = |error: LoadError, end: &str| {
        let error = error.to_string();
        assert!(error.contains(end), "{error}");
    };
    for open in [Table::load, map] {
        let open = |name: &str| open(path.join(name)).expect_err("no table file");
        check(open(""), ": it is a directory, not a regular file");
        check(open("a.pack"), "a.pack: not a table file: its first bytes are [89, 50, 50, 4b");
        check(open("longer.pht"), ": the file has 513 bytes, its header says 512");
    }
    for open in [Pack::load, map_pack] {
        let open = |name: &str| open(path.join(name)).expect_err("no pack");
        check(open(""), ": it is a directory, not a regular file");
        check(open("longer.pht"), ": not a pack of tables: its first bytes are [89, 50, 48, 54");
    }
}

/// A FIFO that nobody writes to was waited for without end.
#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let fifo = directory.path().join("tables.pht");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs");
    assert!(made.success());
    let check = |path: &Path, what: &str| {
        let opened = [
            Table::load(path).err(),
            map(path).err(),
            map_trusting_sections(path).err(),
            Pack::load(path).err(),
            map_pack(path).err(),
        ];
        for error in opened {
            let error = error.expect("no regular file").to_string();
            let end = format!("{}: it is a {what}, not a regular file", path.display());
            assert_eq!(error, end);
        }
    };
    check(&fifo, "FIFO");
    check("/dev/null".as_ref(), "character device");
}

#[test]
fn a_pack_is_read_and_mapped_alike() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("tables.pack");
    let mut writer = PackWriter::default();
    let mut bytes = PackWriter::header().to_vec();
    for num_keys in 1..50 {
        let table = built(num_keys);
        writer
            .append(format!("set-{num_keys}").as_bytes(), table.as_bytes(), [0; 32])
            .expect("a name");
        bytes.extend_from_slice(table.as_bytes());
    }
    bytes.extend_from_slice(&writer.finish());
    let image_of_9 = writer.end() as usize - built(49).as_bytes().len();
    std::fs::write(&path, &bytes).expect("written");
    for pack in [Pack::load(&path), map_pack(&path)] {
        let pack = pack.expect("a sound file");
        assert_eq!(pack.len(), 49);
        for num_keys in 1..50 {
            let table = pack.get(format!("set-{num_keys}")).expect("a sound table");
            let table = table.expect("a known name");
            assert_eq!(table.parameters().num_keys, num_keys);
            assert_eq!(table.index((num_keys - 1) * 16 + 0x40_1000), num_keys - 1);
        }
        assert!(pack.get("set-50").expect("nothing to check").is_none());
    }
    bytes[image_of_9 + 200] ^= 1;
    std::fs::write(&path, &bytes).expect("written");
    let pack = map_pack(&path).expect("the index is sound");
    assert!(matches!(pack.get("set-49"), Err(FormatError::PartChecksum { .. })));
    assert!(matches!(pack.get("set-48"), Ok(Some(_))));
}

/// A program that prints what it holds (`dbg!`, a panic's message) prints no file.
#[test]
fn what_holds_a_file_shows_its_sizes_and_not_its_bytes() {
    let check = |value: &dyn std::fmt::Debug, wanted: &str| {
        let shown = format!("{value:?}");
        assert!(
            shown.contains(wanted) && shown.len() < 1000,
            "{} bytes: {shown:.1000}",
            shown.len()
        );
    };
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("tables.pack");
    let built = build::table_from_u32((0..50_000).map(|key| key * 5).collect()).expect("solved");
    let mut writer = PackWriter::default();
    writer.append(b"fives", built.table.as_bytes(), [0; 32]).expect("a name");
    let bytes = [&PackWriter::header(), built.table.as_bytes(), &writer.finish()].concat();
    std::fs::write(&path, bytes).expect("written");
    check(&built, "num_keys: 50000");
    check(&built.table, "Read(");
    let keys = KeySet::from_u32((0..50_000).collect(), Repair::default()).expect("in order");
    let plan = Plan::default();
    let solved = search(&keys, &plan, &mut Scratch::default(), &|| true).expect("a sound plan");
    check(&solved.table, "assigned_bytes: ");
    for pack in [Pack::load(&path), map_pack(&path)] {
        let pack = pack.expect("a sound file");
        check(&pack, "tables: 1");
        check(&pack.view(), "tables: 1");
        check(&pack.view().get(b"fives"), "\"fives\"");
    }
}

#[test]
fn keys_that_are_no_set_are_named() {
    let error = build::table_from_u32(vec![1, 5, 5]).expect_err("5 is there twice");
    assert!(matches!(error, BuildError::Keys(KeyError::Duplicate { key: 5, .. })), "{error}");
    let error = build::table_from_u64(vec![]).expect_err("no keys");
    assert_eq!(error, BuildError::Keys(KeyError::Empty));
}

/// It fills a power of two, so that few attempts succeed: not the first two.
fn set_that_wants_many_attempts() -> KeySet {
    let keys = (0..0x1_0000_u32).map(|key| key.wrapping_mul(0x9e37_79b1)).collect();
    KeySet::from_u32(keys, Repair { sort: true, dedupe: false }).expect("distinct keys")
}

/// It said "no table within the limits: Attempts after 2 attempts".
#[test]
fn an_error_says_in_words_what_was_met_and_what_helps() {
    let keys = set_that_wants_many_attempts();
    let plan = Plan { attempts_max: 2, ..Plan::default() };
    let error = build::table_of(&keys, &plan).expect_err("2 attempts do not do");
    assert_eq!(error.to_string(), "no table after 2 attempts: the limit of attempts is reached");
    assert!(error.remedy().contains("attempts_max"), "{}", error.remedy());
    let error = build::table_from_u32(vec![3, 2]).expect_err("out of order");
    assert!(error.to_string().contains(" at index 1 follows "), "{error}");
    assert!(error.remedy().contains("Repair::sort"), "{}", error.remedy());
    let error = Table::load("no/such.pht").expect_err("no file");
    assert_eq!(error.remedy(), "check the path");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let error = Table::load(path).expect_err("no table");
    assert!(error.remedy().starts_with("check that this is the file"), "{}", error.remedy());
}

/// What prints an error and all of its sources printed the cause twice.
#[test]
fn an_error_of_a_file_says_its_cause_once() {
    let error = Table::load("no/such.pht").expect_err("no file");
    let told = error.to_string();
    let LoadErrorKind::Io(cause) = &error.kind else { panic!("{told}") };
    assert_eq!(told, format!("no/such.pht: {cause}"));
    let mut source = std::error::Error::source(&error);
    while let Some(further) = source {
        assert!(!told.contains(&further.to_string()), "{further}");
        source = further.source();
    }
}

#[test]
fn building_stops_when_its_caller_says_so_wherever_it_is() {
    let (keys, plan) = (set_that_wants_many_attempts(), Plan::default());
    let asked = Cell::new(0);
    let build = |answers_max: u32| {
        asked.set(0);
        build::table_of_while(&keys, &plan, &|| {
            asked.set(asked.get() + 1);
            asked.get() <= answers_max
        })
    };
    let whole = build(u32::MAX).expect("it is solved");
    let answers = asked.get();
    assert!(answers > 2, "{answers}");
    assert!(build(answers).is_ok_and(|built| built.table.as_bytes() == whole.table.as_bytes()));
    for answers_max in 0..answers {
        let error = build(answers_max).expect_err("it was stopped");
        let is_stopped = matches!(error, BuildError::Unsolved { limit: Limit::Stopped, .. });
        assert!(is_stopped && error.to_string().ends_with(": stopped"), "{error}");
        assert_eq!(asked.get(), answers_max + 1);
    }
}

/// What fields and results of the public API are can be written down by a program that links this
/// crate alone.
#[test]
fn what_a_plan_takes_and_a_search_says_can_be_named() {
    let family: Reference = match Family::from_name("Mulshrolate4RX") {
        Some(Family::Reference(reference)) => reference,
        other => panic!("{other:?}"),
    };
    let named: Result<FamilyChoice, UnknownFamily> = "mulshrolate4rx".parse();
    assert_eq!(named, Ok(FamilyChoice::Named(Family::Reference(family))));
    let seeds = SeedSource { rng_seed: 7, ..SeedSource::default() };
    let keys = KeySet::from_u64(vec![1 << 40, 2 << 40], Repair::default()).expect("in order");
    let plan = Plan { seeds, grows_max: 0, grows_initial: 1, ..Plan::default() };
    let contradiction: Result<(), Contradiction> = plan.check();
    assert_eq!(contradiction, Err(Contradiction::InitialGrows { initial: 1, max: 0 }));
    let built = build::table_of(&keys, &Plan { seeds, ..Plan::default() }).expect("two keys");
    let (stage, tally): (Stage, Tally) = (built.verdict.stage, built.verdict.tally);
    let parameters = built.table.parameters();
    let (geometry, downsize): (Geometry, Option<Downsize>) =
        (parameters.geometry, parameters.downsize);
    assert_eq!((stage.geometry, downsize), (geometry, Downsize::new(3 << 40)));
    assert!(tally.attempts() >= 1);
    let verified: Result<(), VerifyError> = built.table.view().verify(&keys);
    assert_eq!(verified, Ok(()));
    let text = KeySet::from_text(b"x", KeyWidth::Bits32, Repair::default()).expect_err("no number");
    assert!(matches!(text, KeyError::Text(TextError { line: 1, .. })));
}

/// They were carried out as if half of them were not there: 100 attempts, where 1 was to be the most.
#[test]
fn a_plan_that_contradicts_itself_is_refused() {
    let keys = KeySet::from_u32((1..100).collect(), Repair::default()).expect("in order");
    let check = |plan: Plan, message: &str| {
        let error = build::table_of(&keys, &plan).expect_err(message);
        assert_eq!(error.to_string(), message);
        assert!(!error.remedy().is_empty());
    };
    let plan = Plan { fixed_attempts: Some(100), attempts_max: 1, ..Plan::default() };
    check(plan, "100 attempts are to be made, and 1 at most");
    let plan = Plan { grows_initial: 7, grows_max: 2, ..Plan::default() };
    check(plan, "the table is to be doubled 7 times at first, and 2 times at most");
}

/// It panicked: the search waited for attempts that no stage had.
#[test]
fn a_plan_that_doubles_the_table_after_no_attempt_is_refused() {
    let keys = KeySet::from_u32((1..100).collect(), Repair::default()).expect("in order");
    let plan = Plan { grow_after: Some(0), ..Plan::default() };
    let error = build::table_of(&keys, &plan).expect_err("no attempt is to be made");
    assert_eq!(error.to_string(), "grow_after is 0, at least 1 attempt must be made");
}

/// The file that the crate's documentation includes; it shows too that files stay the same.
#[test]
fn the_file_of_the_documentation_is_what_is_written_today() {
    let table = build::table_from_u32(vec![22, 80, 443]).expect("three keys").table;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ports.pht");
    let file = std::fs::read(path).unwrap_or_default();
    assert!(file == table.as_bytes(), "{path} is another table, or none");
}
