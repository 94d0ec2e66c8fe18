//! `cargo bench -p perfecta-bench --bench bulk [-- DIRECTORY]`: what a bulk run does after solving, over
//! all `.keys` files of a directory or as many generated sets: verify, encode, decode, pack.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::time::Instant;

use perfecta::build::{self, KeySet, Plan, Repair};
use perfecta::{KeyWidth, PackView, Table, TableView};
use perfecta_bench::sets;
use perfecta_core::format;
use perfecta_core::format::pack::PackWriter;

fn main() {
    let directory = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let key_sets = directory.map_or_else(generated, |directory| of_directory(&directory));
    let num_keys: usize = key_sets.iter().map(KeySet::len).sum();
    let tables: Vec<Table> = key_sets
        .iter()
        .map(|keys| build::table_of(keys, &Plan::default()).expect("it is solved").table)
        .collect();
    println!("{} tables, {num_keys} keys; least of 7 rounds, milliseconds", tables.len());
    let pack = packed(&tables);
    let view = PackView::decode(&pack).expect("it was just made");
    least("verify every key", || {
        for (keys, table) in key_sets.iter().zip(&tables) {
            table.view().verify(keys).expect("every key has its rank");
        }
    });
    let mut file = Vec::new();
    least("encode every table", || {
        for table in &tables {
            file.clear();
            format::encode_into(&table.view(), &mut file);
        }
    });
    let check = |decode: fn(&[u8]) -> Result<TableView<'_>, perfecta::FormatError>| {
        for table in &tables {
            decode(table.as_bytes()).expect("it was just made");
        }
    };
    least("decode every table", || check(perfecta::decode));
    least("decode trusting sections", || check(perfecta::decode_trusting_sections));
    least("pack", || assert_eq!(packed(&tables).len(), pack.len()));
    least("open the pack", || assert!(PackView::decode(&pack).is_ok()));
    least("find every table by name", || {
        for entry in view.iter() {
            assert!(view.get(entry.name).is_some());
        }
    });
}

fn packed(tables: &[Table]) -> Vec<u8> {
    let mut writer = PackWriter::default();
    let mut pack = PackWriter::header().to_vec();
    for (number, table) in tables.iter().enumerate() {
        let name = format!("set-{number}");
        writer.append(name.as_bytes(), table.as_bytes(), [0; 32]).expect("a new name");
        pack.extend_from_slice(table.as_bytes());
    }
    pack.extend_from_slice(&writer.finish());
    pack
}

fn of_directory(directory: &str) -> Vec<KeySet> {
    let entries = std::fs::read_dir(directory).expect("the directory can be read");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "keys"));
    paths.sort();
    let read = |path| std::fs::read(path).expect("the file can be read");
    let parse = |bytes: Vec<u8>| KeySet::from_le_bytes(&bytes, KeyWidth::Bits32, Repair::default());
    paths.into_iter().map(|path| parse(read(path)).expect("a sound key file")).collect()
}

/// Many small sets and few large ones: half have at most 186 keys.
fn generated() -> Vec<KeySet> {
    let mut random = sets::Random(0);
    let sizes = (0..13_637).map(|_| {
        let bits = (random.below(100) + random.below(100)) as f64 / 12.5;
        (1.6f64.powf(bits) * 4.0) as usize + 1
    });
    let set = |size| KeySet::from_u32(sets::addresses(size), Repair::default());
    sizes.map(|size| set(size).expect("sorted, distinct keys")).collect()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn least(name: &str, mut work: impl FnMut()) {
    let time = (0..7).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e3
    });
    println!("{name:28} {:>9.2}", time.fold(f64::INFINITY, f64::min));
}
