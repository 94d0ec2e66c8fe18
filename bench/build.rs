//! Generates code for the small key sets: constants in the instructions, as a user compiles it.

use std::fmt::Write as _;
use std::path::Path;

use perfecta_core::graph::Scratch;
use perfecta_core::key::{KeySet, Repair};
use perfecta_core::search::{Plan, search};
use perfecta_core::table::Table;

#[path = "src/sets.rs"]
#[expect(dead_code, reason = "the benchmark uses the rest")]
mod sets;

fn main() {
    println!("cargo::rerun-if-changed=src/sets.rs");
    let mut source = String::new();
    for num_keys in sets::GENERATED_SIZES {
        let keys = KeySet::from_u32(sets::addresses(num_keys), Repair::default());
        let keys = keys.expect("generated keys are sorted and distinct");
        let solution = search(&keys, &Plan::default(), &mut Scratch::default(), &|| true);
        let table = solution.expect("a sound plan").table.expect("a small set is solved");
        write_function(&mut source, num_keys, &table).expect("a string takes it all");
    }
    let directory = std::env::var("OUT_DIR").expect("cargo sets it");
    std::fs::write(Path::new(&directory).join("generated.rs"), source).expect("cargo made it");
}

fn write_function(source: &mut String, num_keys: usize, table: &Table) -> std::fmt::Result {
    let parameters = table.parameters();
    let (seeds, geometry) = (parameters.seeds, parameters.geometry);
    let element = format!("u{}", 8 * parameters.element_width().bytes());
    let vertices = geometry.vertices();
    writeln!(source, "static ASSIGNED_{num_keys}: [{element}; {vertices}] = [")?;
    for value in table.view().elements() {
        write!(source, "{value}, ")?;
    }
    writeln!(source, "];")?;
    writeln!(source, "/// The rank among {num_keys} keys.")?;
    writeln!(source, "#[inline] #[must_use] pub fn index_{num_keys}(key: u32) -> u32 {{")?;
    let (addend, multiplier) = (seeds.word(1), seeds.wide(3, 2) | 1);
    writeln!(source, "let hash = folded_product(u64::from(key ^ {addend}), {multiplier});")?;
    writeln!(source, "let first = ASSIGNED_{num_keys}[(hash & {}) as usize];", vertices - 1)?;
    let shift = 64 - geometry.vertices_log2();
    writeln!(source, "let second = ASSIGNED_{num_keys}[(hash >> {shift}) as usize];")?;
    writeln!(
        source,
        "u32::from(first).wrapping_add(u32::from(second)) & {} }}",
        geometry.index_mask()
    )
}
