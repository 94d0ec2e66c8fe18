//! Builds the table of the keys in `opcodes.txt` when the program is compiled. In the `Cargo.toml` beside these files:
//!
//! ```toml
//! # The program itself needs neither std nor an allocator of the crate.
//! [dependencies]
//! perfecta = { version = "0.1", default-features = false }
//!
//! [build-dependencies]
//! perfecta = { version = "0.1", features = ["build"] }
//! ```

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a build script talks to cargo on its standard output and by its environment"
)]

use std::error::Error;
use std::path::Path;

use perfecta::KeyWidth;
use perfecta::build::{KeySet, Plan, Repair, table_of};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=opcodes.txt");
    let keys =
        KeySet::from_text(&std::fs::read("opcodes.txt")?, KeyWidth::Bits32, Repair::default());
    let built =
        table_of(&keys.map_err(|error| format!("opcodes.txt: {error}"))?, &Plan::default())?;
    let directory = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&directory).join("opcodes.pht"), built.table.as_bytes())?;
    Ok(())
}
