//! `cargo bench -p perfecta-bench --bench lookup [-- FILE.keys...]`: nanoseconds of a look-up, ours
//! and those of what a user would pick instead, taken in turns in one run.
//!
//! Rows marked `ordered` answer the key's rank, as ours does. An unordered perfect hash needs one
//! more load for that, through a permutation: rows `+ order` have it.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

mod ours;
mod peers;
mod report;
mod row;

use perfecta_bench::sets;

use self::row::{BenchKey, Row};

fn main() {
    println!("{}", report::machine());
    let arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let (sizes, files): (Vec<_>, Vec<_>) =
        arguments.partition(|argument| argument.parse::<usize>().is_ok());
    let wanted = |num_keys: usize| {
        (sizes.is_empty() && files.is_empty()) || sizes.contains(&num_keys.to_string())
    };
    for num_keys in [186, 1_640, 31_016, 65_536, 283_263, 1_000_000] {
        if wanted(num_keys) {
            compare(&format!("{num_keys} addresses (u32)"), &sets::addresses(num_keys));
        }
    }
    if wanted(10_000_000) {
        compare("10000000 random keys (u64)", &sets::evenly_distributed(10_000_000));
    }
    for file in files {
        let bytes = std::fs::read(&file).expect("the file of keys can be read");
        let (words, _) = bytes.as_chunks::<4>();
        let keys: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        compare(&file, &keys);
    }
}

/// Measures every contender on one key set and prints the table.
fn compare<K: BenchKey>(name: &str, keys: &[K]) {
    let mut rows = ours::rows(keys);
    rows.extend(peers::rows(keys));
    for row in &rows {
        row.check(keys);
    }
    let queries = queries(keys);
    let rounds = if keys.len() > 500_000 { 5 } else { 15 };
    // Chains are as long as they have to be to be timed.
    let chained = &queries[..queries.len().min(1 << 16)];
    // In another order each round: what ran before leaves its mark on the predictors (up to 1.2 ns).
    let mut order: Vec<usize> = (0..rows.len()).collect();
    for round in 0..rounds {
        shuffle(&mut order, round);
        for &place in &order {
            rows[place].measure(&queries, chained);
        }
    }
    report::print(name, keys.len(), &rows);
}

/// Keys in random order: few enough to stay near, many enough that no branch predictor learns them.
fn queries<K: BenchKey>(keys: &[K]) -> Vec<K> {
    let num_queries = keys.len().next_power_of_two().clamp(1 << 14, 1 << 20);
    let mut random = sets::Random(1);
    (0..num_queries).map(|_| keys[random.below(keys.len() as u64) as usize]).collect()
}

fn shuffle(order: &mut [usize], seed: u64) {
    let mut random = sets::Random(seed);
    for place in (1..order.len()).rev() {
        order.swap(place, random.below(place as u64 + 1) as usize);
    }
}

/// Whether the answer is the key's rank, or any number that no other key has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Rank,
    Unordered,
}

fn row<K: BenchKey>(
    name: &'static str,
    answer: Answer,
    bytes: usize,
    index: impl Fn(K) -> u32 + Copy + 'static,
) -> Row<K> {
    Row::new(name, answer, bytes, index)
}
