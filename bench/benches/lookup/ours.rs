//! Our rows: every way to look up that perfecta has.

use perfecta::Table;
use perfecta::build::{self, KeySet, Plan, Repair};
use perfecta_bench::sets;

use crate::row::{BenchKey, Row};
use crate::{Answer, peers, row};

include!(concat!(env!("OUT_DIR"), "/generated.rs"));

pub(crate) fn rows<K: BenchKey>(keys: &[K]) -> Vec<Row<K>> {
    let built = build::table_of(&K::key_set(keys), &Plan::default());
    let built = built.expect("it is solved").table;
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let path = directory.path().join("keys.pht");
    std::fs::write(&path, built.as_bytes()).expect("the table can be written");
    let table = Table::load(&path).expect("it was just written");
    let table: &'static Table = Box::leak(Box::new(table));
    let bytes = table.parameters().assigned_bytes();
    let lookup = table.view().lookup::<K>().expect("keys are hashed as they are");
    let mut rows = vec![
        row("perfecta index", Answer::Rank, bytes, move |key: K| table.index(key)),
        row("perfecta lookup handle", Answer::Rank, bytes, move |key| lookup.index(key)),
    ];
    rows.extend(K::generated_row(keys, bytes));
    rows.push(Row::of_batch("perfecta index_batch", Answer::Rank, bytes, move |keys, indexes| {
        table.index_batch(keys, indexes);
    }));
    rows
}

impl BenchKey for u32 {
    fn key_set(keys: &[Self]) -> KeySet {
        KeySet::from_u32(keys.to_vec(), Repair::default()).expect("sorted, distinct keys")
    }

    fn ptr_hash_rows(keys: &[Self]) -> [Row<Self>; 2] {
        peers::ptr_hash_rows(keys)
    }

    fn generated_row(keys: &[Self], bytes: usize) -> Option<Row<Self>> {
        let name = "perfecta generated code";
        if keys != sets::addresses(keys.len()) {
            return None;
        }
        match keys.len() {
            186 => Some(row(name, Answer::Rank, bytes, index_186)),
            1_640 => Some(row(name, Answer::Rank, bytes, index_1640)),
            31_016 => Some(row(name, Answer::Rank, bytes, index_31016)),
            65_536 => Some(row(name, Answer::Rank, bytes, index_65536)),
            _ => None,
        }
    }
}

impl BenchKey for u64 {
    fn key_set(keys: &[Self]) -> KeySet {
        KeySet::from_u64(keys.to_vec(), Repair::default()).expect("sorted, distinct keys")
    }

    fn ptr_hash_rows(keys: &[Self]) -> [Row<Self>; 2] {
        peers::ptr_hash_rows(keys)
    }

    fn generated_row(_: &[Self], _: usize) -> Option<Row<Self>> {
        None
    }
}
