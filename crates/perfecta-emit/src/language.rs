//! One file for each language: the operations of a formula as the language writes them, and one
//! straight function that writes a file from top to bottom.
//!
//! To add a language, copy `rust.rs` (the shortest) and give it: a `GENERATOR` with the name, the
//! summary and the files; a `Display` that writes an [`Expression`](crate::formula::Expression),
//! one arm for each operation (32- and 64-bit arithmetic wraps: a language with longer integers
//! masks after adding, multiplying, shifting left and flipping); the helpers that
//! [`Needs`](crate::formula::Needs) names; the array through `Output::elements`; a self-test. Then
//! one line in `artifact.rs`, golden files, and a test that compiles and runs
//! `tests/support::cases()`.

pub(crate) mod table_file;

pub(crate) mod c;
pub(crate) mod rust;

use std::io;

use crate::description::{Description, LICENCE, head};
use crate::formula::CRC32C_OF_BYTE;
use crate::numbers;
use crate::output::Output;

/// Writes the head of a file, each line after the comment sign `sign`: what the table is, the lines of
/// `usage`, and whose the file is.
fn write_head(
    description: &Description<'_>,
    out: &mut dyn Output,
    sign: &str,
    usage: &str,
) -> io::Result<()> {
    /// A line without text.
    const GAP: &str = "\n";
    let mut text = String::with_capacity(HEAD_BYTES);
    for line in [head(description), GAP, usage, GAP, LICENCE].into_iter().flat_map(str::lines) {
        text.push_str(sign);
        if !line.is_empty() {
            text.push(' ');
            text.push_str(line);
        }
        text.push('\n');
    }
    out.write_all(text.as_bytes())
}

/// Few heads are longer.
const HEAD_BYTES: usize = 2 << 10;

/// Writes `template` with every `@name@` replaced by its value.
fn write_template(out: &mut dyn Output, template: &str, values: &[(&str, &str)]) -> io::Result<()> {
    // Text and names take turns.
    let mut parts = template.split('@');
    while let Some(text) = parts.next() {
        out.write_all(text.as_bytes())?;
        if let Some(name) = parts.next() {
            let value = values.iter().find(|(known, _)| *known == name);
            out.write_all(value.expect("every name of a template has a value").1.as_bytes())?;
        }
    }
    Ok(())
}

/// Writes the body of the table that CRC-32C needs: 256 hex numbers, each followed by a comma.
fn write_crc32c_table(out: &mut dyn Output) -> io::Result<()> {
    numbers::write_hex::<8>(out, &mut CRC32C_OF_BYTE.iter().map(|&sum| u64::from(sum)))
}
