//! Attempts per second against the plain attempt, and what whole searches take.
//!
//! `cargo bench -p perfecta-core [-- FILE.keys]`. Both sides of a ratio run in turns in one process,
//! so that what else the machine does hits both. The plain attempt (hash all, add all, peel) keeps
//! its arrays too. Without a file the hard public set is used where the public sets lie beside the
//! checkout, else a generated one of its size.

#![expect(clippy::print_stdout, reason = "a benchmark reports to its standard output")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use perfecta_core::family::Family;
use perfecta_core::geometry::Geometry;
use perfecta_core::graph::plain::PlainMemory;
use perfecta_core::graph::{Attempter, Outcome, Scratch};
use perfecta_core::key::{KeySet, KeyWidth, Repair, Shape, generate};
use perfecta_core::search::{FamilyChoice, Plan, Tally, search};
use perfecta_core::seeds::SeedSource;

const PUBLIC_KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/keys");
const TURN: u64 = 50;

fn main() {
    let file = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let hard = Path::new(PUBLIC_KEYS).join("HologramWorld-31016.keys");
    let keys = match file.map(PathBuf::from).or_else(|| hard.exists().then_some(hard)) {
        Some(path) => read(&path),
        None => generated(Shape::Clusters, 31_016, 1),
    };
    println!("{} keys: attempts per second, this / plain", keys.len());
    for (name, attempts) in [
        ("MultiplyShiftR", 8562),
        ("MultiplyShiftRX", 4000),
        ("Mulshrolate2RX", 4000),
        ("Mulshrolate4RX", 2000),
        ("Jenkins", 1000),
        ("Folded", 1000),
    ] {
        compare(&keys, Family::from_name(name).expect("a family's name"), attempts);
    }
    println!("whole searches, table included");
    let weak = Family::from_name("MultiplyShiftR").expect("a family's name");
    time_searches("hard set, MultiplyShiftR", &[keys], FamilyChoice::Named(weak));
    time_searches("186 keys, 1,000 sets", &scattered_sets(186, 1000), FamilyChoice::Auto);
    time_searches("1,000,000 keys", &scattered_sets(1_000_000, 1), FamilyChoice::Auto);
    time_searches("10,000,000 keys", &scattered_sets(10_000_000, 1), FamilyChoice::Auto);
    let all = public_sets("sys32");
    if !all.is_empty() {
        time_searches("all of sys32", &all, FamilyChoice::Auto);
    }
}

fn compare(keys: &KeySet, family: Family, attempts: u64) {
    let hashed = keys.hashed();
    let geometry = Geometry::for_keys(keys.len()).expect("a set of permitted size");
    let mut scratch = Scratch::default();
    let mut attempter = Attempter::new(hashed, &mut scratch);
    let mut plain = PlainMemory::default();
    let source = SeedSource::default();
    let (mut fast, mut slow) = (Duration::ZERO, Duration::ZERO);
    let mut tally = Tally::default();
    for first in (1..=attempts).step_by(TURN as usize) {
        let turn = first..=attempts.min(first + TURN - 1);
        let mut outcomes = [Outcome::Cyclic; TURN as usize];
        let start = Instant::now();
        for (place, attempt) in turn.clone().enumerate() {
            let seeds = source.draw(attempt, family, geometry);
            outcomes[place] =
                attempter.outcome(family, &seeds, geometry, &|| true).expect("never told to stop");
        }
        fast += start.elapsed();
        let start = Instant::now();
        for (place, attempt) in turn.enumerate() {
            let seeds = source.draw(attempt, family, geometry);
            let outcome = plain.outcome(hashed, family, &seeds, geometry);
            assert_eq!(outcomes[place], outcome, "{family}, attempt {attempt}");
            tally.count(outcome);
        }
        slow += start.elapsed();
    }
    let per_second = |time: Duration| attempts as f64 / time.as_secs_f64();
    println!(
        "{family:>16} {:9.0} / {:6.0} = {:5.1}   ({} collisions, {} cyclic, {} acyclic)",
        per_second(fast),
        per_second(slow),
        per_second(fast) / per_second(slow),
        tally.vertex_collisions,
        tally.cyclic,
        tally.acyclic,
    );
}

fn time_searches(what: &str, sets: &[KeySet], family: FamilyChoice) {
    let plan = Plan { family, memory_bytes_max: u64::MAX, ..Plan::default() };
    let mut scratch = Scratch::default();
    let mut best = Duration::MAX;
    let mut attempts = 0;
    for _ in 0..3 {
        attempts = 0;
        let start = Instant::now();
        for keys in sets {
            let solution = search(keys, &plan, &mut scratch, &|| true).expect("a plan that can be");
            attempts += solution.verdict.tally.attempts();
            black_box(solution.table.expect("a table"));
        }
        best = best.min(start.elapsed());
    }
    let us = best.as_secs_f64() * 1e6;
    println!(
        "{what:>26} {us:12.0} us, {:10.2} us a set, {attempts} attempts",
        us / sets.len() as f64
    );
}

fn read(path: &Path) -> KeySet {
    let bytes = std::fs::read(path).expect("a readable key file");
    KeySet::from_le_bytes(&bytes, KeyWidth::Bits32, Repair::default()).expect("a valid key file")
}

fn public_sets(folder: &str) -> Vec<KeySet> {
    let Ok(entries) = std::fs::read_dir(Path::new(PUBLIC_KEYS).join(folder)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a folder entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "keys"));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn scattered_sets(num_keys: usize, sets: u64) -> Vec<KeySet> {
    (0..sets).map(|seed| generated(Shape::Uniform, num_keys, seed)).collect()
}

fn generated(shape: Shape, num_keys: usize, seed: u64) -> KeySet {
    let keys = generate(shape, KeyWidth::Bits32, num_keys, seed);
    let keys = keys.into_iter().map(|key| key as u32).collect();
    KeySet::from_u32(keys, Repair::default()).expect("sorted keys")
}
