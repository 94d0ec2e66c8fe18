//! Our rows: every way to look up that perfecta has.

use perfecta_core::graph::Scratch;
use perfecta_core::key::{KeySet, Keys, Repair};
use perfecta_core::search::{Plan, search};

use crate::row::{BenchKey, Row};
use crate::{Answer, row};

include!(concat!(env!("OUT_DIR"), "/generated.rs"));

pub(crate) fn rows<K: BenchKey>(keys: &[K]) -> Vec<Row<K>> {
    let set = match K::WIDTH {
        perfecta_core::key::KeyWidth::Bits32 => KeySet::from_u32(
            keys.iter().map(|&key| Into::<u64>::into(key) as u32).collect(),
            Repair::default(),
        ),
        perfecta_core::key::KeyWidth::Bits64 => {
            KeySet::from_u64(keys.iter().map(|&key| key.into()).collect(), Repair::default())
        }
    }
    .unwrap();
    let table = search(&set, &Plan::default(), &mut Scratch::default(), &|| true);
    let table = Box::leak(Box::new(table.unwrap().table.unwrap()));
    let bytes = table.parameters().assigned_bytes();
    let view: &'static _ = Box::leak(Box::new(table.view()));
    let lookup = view.lookup::<K>().unwrap();
    let mut rows = vec![
        row("perfecta index", Answer::Rank, bytes, move |key: K| view.index(key)),
        row("perfecta lookup handle", Answer::Rank, bytes, move |key| lookup.index(key)),
    ];
    if let Some(generated) = K::generated(keys) {
        rows.push(generated);
    }
    rows.push(Row::of_batch("perfecta index_batch", Answer::Rank, bytes, move |keys, indexes| {
        view.index_batch(keys, indexes);
    }));
    let _ = Keys::is_empty;
    rows
}

impl BenchKey for u32 {
    fn ptr_hash_rows(keys: &[Self]) -> [Row<Self>; 2] {
        crate::peers::ptr_hash_rows(keys)
    }

    fn generated(keys: &[Self]) -> Option<Row<Self>> {
        if keys != perfecta_bench::sets::addresses(keys.len()) {
            return None;
        }
        let name = "perfecta generated code";
        Some(match keys.len() {
            186 => row(name, Answer::Rank, 512, index_186),
            1_640 => row(name, Answer::Rank, 4 * 2048 * 2, index_1640),
            31_016 => row(name, Answer::Rank, 2 * 65_536, index_31016),
            65_536 => row(name, Answer::Rank, 2 * 131_072, index_65536),
            _ => return None,
        })
    }
}

impl BenchKey for u64 {
    fn ptr_hash_rows(keys: &[Self]) -> [Row<Self>; 2] {
        crate::peers::ptr_hash_rows(keys)
    }

    fn generated(_: &[Self]) -> Option<Row<Self>> {
        None
    }
}
