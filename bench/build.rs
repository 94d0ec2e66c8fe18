//! Generates code for the small key sets: constants in the instructions, as a user compiles it.

use std::fmt::Write as _;
use std::path::Path;

use perfecta_core::graph::Scratch;
use perfecta_core::key::{KeySet, Repair};
use perfecta_core::search::{Plan, search};
use perfecta_core::table::Table;

#[path = "src/sets.rs"]
#[expect(dead_code, unreachable_pub, reason = "the benchmark uses the rest, as a library")]
mod sets;

#[expect(clippy::disallowed_methods, reason = "cargo tells a build script by the environment")]
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
    writeln!(source, "#[inline] #[must_use] pub(crate) fn index_{num_keys}(key: u32) -> u32 {{")?;
    let (narrow, wide) = (seeds.word(1), seeds.wide(3, 2));
    let shift = 32 - geometry.vertices_log2();
    writeln!(source, "let key = u64::from(key);")?;
    writeln!(source, "let product = u128::from(key ^ {narrow}) * u128::from(key ^ {wide});")?;
    writeln!(source, "let folded = (product >> 64) as u64 ^ product as u64;")?;
    writeln!(source, "let first = ASSIGNED_{num_keys}[(folded as u32 >> {shift}) as usize];")?;
    writeln!(source, "let second = ASSIGNED_{num_keys}[(folded >> {}) as usize];", 32 + shift)?;
    writeln!(
        source,
        "u32::from(first).wrapping_add(u32::from(second)) & {} }}",
        geometry.index_mask()
    )
}
