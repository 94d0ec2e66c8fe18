//! Dictionary codes: a column of sparse 64-bit values becomes a column of small codes in the order of
//! the values. `cargo run -p perfecta --features build --example in_process`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use perfecta::build;

fn main() -> Result<(), build::BuildError> {
    let column: Vec<u64> = (0..100_000u64).map(|row| (row * row % 1_009) << 40 | 7).collect();

    let mut values = column.clone();
    values.sort_unstable();
    values.dedup();
    let built = build::table_from_u64(values.clone())?;
    println!("{} values, {} attempts", built.table.len(), built.verdict.tally.attempts());

    let mut codes = vec![0; column.len()];
    built.table.index_batch(&column, &mut codes);
    assert!(column.iter().zip(&codes).all(|(&value, &code)| values[code as usize] == value));
    println!("row 12345: value {:#x}, code {}", column[12_345], codes[12_345]);

    // A value from elsewhere has some code: compare before it is used.
    let foreign = 3;
    let code = built.table.index(foreign);
    println!("{foreign} is in the column: {}", values.get(code as usize) == Some(&foreign));
    Ok(())
}
