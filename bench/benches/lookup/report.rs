//! The table that is printed.

use crate::Answer;
use crate::row::Row;

/// What ran it: the processor, as the system names it, and the vector units in use.
pub(crate) fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (os, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
    let cpu = cpu.unwrap_or_else(|| architecture.to_owned());
    format!("{cpu}, {cores} cores, {os} {architecture}, one thread; least of all rounds, ns each")
}

/// Prints every row; ratios are to the first, which is ours.
pub(crate) fn print<K>(name: &str, num_keys: usize, rows: &[Row<K>]) {
    let Some(first) = rows.first() else { return };
    println!("\n{name}");
    println!(
        "{:28} {:>9} {:>12} {:>9} {:>12} {:>7} {:>8} {:>7}",
        "", "answer", "bytes", "bits/key", "independent", "ratio", "chain", "ratio"
    );
    for row in rows {
        let answer = match row.answer {
            Answer::Rank => "ordered",
            Answer::Unordered => "any",
        };
        let bits = row.bytes as f64 * 8.0 / num_keys as f64;
        print!("{:28} {answer:>9} {:>12} {bits:>9.1} ", row.name, row.bytes);
        print!("{:>12.2} {:>7.2}", row.independent, row.independent / first.independent);
        match row.chain.zip(first.chain) {
            Some((chain, ours)) => println!(" {chain:>8.2} {:>7.2}", chain / ours),
            None => println!(" {:>8} {:>7}", "-", "-"),
        }
    }
}
