//! Tables to emit, and ways to compile and run what was emitted.

#![allow(dead_code, reason = "each test uses its part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use perfecta_core::family::Family;
use perfecta_core::graph::Scratch;
use perfecta_core::key::{KeySet, Repair};
use perfecta_core::search::{FamilyChoice, Plan, search};
use perfecta_core::table::Table;
use perfecta_emit::{
    ArtifactKind, ArtifactKinds, Bundle, Description, Identifier, OriginalName, SelfTestKeys,
};

/// A table with its keys and name.
pub(crate) struct Case {
    pub(crate) name: OriginalName,
    pub(crate) identifier: Identifier,
    pub(crate) keys: KeySet,
    pub(crate) table: Table,
    pub(crate) includes_keys: bool,
}

impl Case {
    pub(crate) fn new(name: &str, family: Family, keys: KeySet) -> Self {
        let plan = Plan {
            family: FamilyChoice::Named(family),
            grow_after: Some(2000),
            attempts_max: 20_000,
            ..Plan::default()
        };
        let mut scratch = Scratch::default();
        let solution = search(&keys, &plan, &mut scratch, &|| true).unwrap();
        let table = solution.table.unwrap_or_else(|| panic!("no table for {name}"));
        table.view().verify(&keys).unwrap();
        let identifier = Identifier::of_file_name(name.as_bytes());
        Self { name: OriginalName::new(name), identifier, keys, table, includes_keys: true }
    }

    pub(crate) fn u32(name: &str, family: Family, keys: Vec<u32>) -> Self {
        let keys = KeySet::from_u32(keys, Repair { sort: true, dedupe: true }).unwrap();
        Self::new(name, family, keys)
    }

    pub(crate) fn u64(name: &str, keys: Vec<u64>) -> Self {
        let keys = KeySet::from_u64(keys, Repair { sort: true, dedupe: true }).unwrap();
        Self::new(name, Family::Folded, keys)
    }

    pub(crate) fn without_keys(mut self) -> Self {
        self.includes_keys = false;
        self
    }

    /// Keys that are mostly none of the set's, with the index that core gives them: every language
    /// must agree on these too, and they tell a wrong formula in a small table.
    pub(crate) fn foreign_keys(&self) -> impl Iterator<Item = (u64, u32)> {
        let shift = 64 - self.keys.width().bits();
        let keys = (1..=64u64).map(move |n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> shift);
        keys.chain([0, u64::MAX >> shift]).map(|key| (key, self.table.index(key)))
    }

    /// The same with one element of the array changed that the first key's index depends on.
    pub(crate) fn broken(mut self) -> Self {
        let values: Vec<u32> = self.table.view().elements().collect();
        let key = self.keys.first();
        let broken = (0..values.len()).find_map(|vertex| {
            let mut values = values.clone();
            values[vertex] ^= 1;
            let table = Table::from_values(*self.table.parameters(), &values);
            (table.index(key) != 0).then_some(table)
        });
        self.table = broken.unwrap();
        self
    }

    /// What is known of the keys before there is a table.
    pub(crate) fn expected_keys(&self) -> SelfTestKeys<'_> {
        if self.includes_keys { SelfTestKeys::Expected } else { SelfTestKeys::Omitted }
    }

    pub(crate) fn self_test_keys(&self) -> SelfTestKeys<'_> {
        if self.includes_keys { SelfTestKeys::Included(&self.keys) } else { SelfTestKeys::Omitted }
    }

    /// Calls `visit` with the bundle of `kind`.
    pub(crate) fn with_bundle<T>(
        &self,
        kind: ArtifactKind,
        visit: impl FnOnce(&Bundle<'_>) -> T,
    ) -> T {
        let encode = || b"table file".to_vec();
        let description = Description::new(
            self.table.view(),
            &self.identifier,
            &self.name,
            self.self_test_keys(),
            &encode,
        );
        visit(&Bundle::new(description, ArtifactKinds::new(&[kind])))
    }

    /// Name and text of every file of `kind`.
    pub(crate) fn files(&self, kind: ArtifactKind) -> Vec<(String, String)> {
        self.with_bundle(kind, |bundle| {
            let files = bundle.artifacts().map(|artifact| {
                let mut bytes = Vec::new();
                artifact.render(&mut bytes).unwrap();
                assert_eq!(artifact.size_bytes(), bytes.len() as u64, "{artifact:?}");
                (artifact.file_name(), String::from_utf8(bytes).unwrap())
            });
            files.collect()
        })
    }

    /// Writes the files of `kind`, and the key file, into `directory`; gives the files' names.
    pub(crate) fn write(&self, kind: ArtifactKind, directory: &Path) -> Vec<String> {
        let files = self.files(kind);
        for (name, text) in &files {
            fs::write(directory.join(name), text).unwrap();
        }
        let width = self.keys.width().bytes();
        let keys: Vec<u8> =
            self.keys.iter().flat_map(|key| key.to_le_bytes()[..width].to_vec()).collect();
        fs::write(directory.join(self.key_file_name()), keys).unwrap();
        files.into_iter().map(|(name, _)| name).collect()
    }

    pub(crate) fn key_file_name(&self) -> String {
        format!("{}.keys", self.identifier)
    }
}

/// One table for each family and each shape that generated code depends on.
pub(crate) fn cases() -> Vec<Case> {
    let folded = Family::Folded;
    let mut cases: Vec<Case> = Family::all()
        .map(|family| Case::u32(&format!("family {family}"), family, scattered(10)))
        .collect();
    let multiply = Family::from_name("MultiplyShiftR").unwrap();
    let high = |count| scattered(count).into_iter().map(u64::from);
    cases.extend([
        Case::u32("u8 full", folded, scattered(256)),
        Case::u32("u16", folded, scattered(300)),
        Case::u32("u16 apart", multiply, scattered(9000)).without_keys(),
        Case::u32("u32", folded, scattered(70_000)).without_keys(),
        Case::u32("one key", folded, vec![7]),
        Case::u32("key zero", folded, vec![0]),
        Case::u32("last key", folded, vec![u32::MAX, 0, 1]).without_keys(),
        Case::u64("single run", high(100).map(|key| key << 13).collect()),
        Case::u64("low run", high(100).collect()).without_keys(),
        Case::u64("runs", high(100).map(|key| (key & 0xffff) << 40 | key >> 16 << 3).collect()),
        Case::u64("runs zero", vec![0]),
        Case::u64("native", high(1000).map(|key| (key << 31) | (key * 7)).collect()),
        Case::u64("native ends", vec![0, 1, u64::MAX]).without_keys(),
        Case::u64("native apart", high(9000).map(|key| key << 32 | key).collect()),
    ]);
    // Functions of several kinds on keys of 64 bits of which 32 matter.
    for name in ["Multiply643ShiftR", "Multiply644ShiftR", "Crc32RotateWXYZ", "MultiplyShiftRX"] {
        let keys = high(40).map(|key| key << 9).collect();
        let keys = KeySet::from_u64(keys, Repair { sort: true, dedupe: true }).unwrap();
        let family = Family::from_name(name).unwrap();
        cases.push(Case::new(&format!("family {name} of a run"), family, keys));
    }
    cases
}

/// Distinct keys without a pattern.
pub(crate) fn scattered(count: u32) -> Vec<u32> {
    (1..=count).map(|n| n.wrapping_mul(0x9e37_79b1).rotate_left(n % 7) ^ n << 9).collect()
}

/// A directory of its own for one test, emptied.
pub(crate) fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// Runs `command` in `directory`; panics with all that it said if it fails.
pub(crate) fn run(command: &mut Command, directory: &Path) -> String {
    let output = output(command, directory);
    let (said, complained) = texts(&output);
    assert!(output.status.success(), "{command:?}\n{said}{complained}");
    assert!(complained.is_empty(), "{command:?} is not silent:\n{complained}");
    said
}

/// Runs `command` in `directory`; panics if it succeeds.
pub(crate) fn run_in_vain(command: &mut Command, directory: &Path) -> String {
    let output = output(command, directory);
    let (said, complained) = texts(&output);
    assert!(!output.status.success(), "{command:?} succeeded:\n{said}");
    said + &complained
}

fn output(command: &mut Command, directory: &Path) -> Output {
    command.current_dir(directory).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Whether `program` can be run; says loudly that a test passes without it if not.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("\n!!!! {program} is not installed: what it would compile is NOT TESTED !!!!\n");
    }
    found
}
