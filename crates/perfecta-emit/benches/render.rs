//! How fast artifacts are rendered and counted: `cargo bench -p perfecta-emit`.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock, says what it saw and stops at any failure"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use perfecta_core::family::Family;
use perfecta_core::geometry::Geometry;
use perfecta_core::key::KeyWidth;
use perfecta_core::seeds::SeedSource;
use perfecta_core::table::{Parameters, Table};
use perfecta_emit::{
    ArtifactKind, ArtifactKinds, Bundle, Description, Identifier, OriginalName, SelfTestKeys,
};

/// A table with the look of a solved one: `zeros` of the elements in a hundred are 0.
fn table(edge_capacity_log2: u8, zeros: u32) -> Table {
    let geometry = Geometry::from_edge_capacity_log2(edge_capacity_log2).unwrap();
    let parameters = Parameters {
        family: Family::Folded,
        seeds: SeedSource::default().draw(1, Family::Folded, geometry),
        geometry,
        key_width: KeyWidth::Bits32,
        downsize: None,
        num_keys: 1,
        first_key: 1,
        last_key: 1,
    };
    let value = |vertex: u32| {
        let random = (vertex ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b1);
        let random = (random ^ random >> 15).wrapping_mul(0x85eb_ca6b);
        if (random >> 8) % 100 < zeros { 0 } else { random >> (32 - edge_capacity_log2) }
    };
    let values: Vec<u32> = (0..geometry.vertices()).map(value).collect();
    Table::from_values(parameters, &values)
}

fn best(mut run: impl FnMut()) -> Duration {
    (0..50)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .min()
        .unwrap()
}

fn main() {
    let identifier = Identifier::of_file_name(b"bench");
    let name = OriginalName::new("bench");
    for (edge_capacity_log2, zeros) in
        [(8, 50), (12, 50), (16, 0), (16, 50), (17, 0), (17, 50), (20, 50)]
    {
        let table = table(edge_capacity_log2, zeros);
        let encode = Vec::new;
        let keys = SelfTestKeys::Omitted;
        // Anew each time: a description keeps the text of its elements.
        let bundle = || {
            let description = Description::new(table.view(), &identifier, &name, keys, &encode);
            Bundle::new(description, ArtifactKinds::new(&[ArtifactKind::Rust]))
        };
        let bytes = bundle().size_bytes();
        let mut text = Vec::with_capacity(bytes as usize);
        let rendering = best(|| {
            text.clear();
            let bundle = bundle();
            let artifact = bundle.artifacts().next().unwrap();
            artifact.render(black_box(&mut text)).unwrap();
        });
        let counting = best(|| {
            black_box(bundle().size_bytes());
        });
        println!(
            "{:>8} elements, {zeros:>2} % zeros: {bytes:>9} bytes, rendered in {rendering:>9.1?} \
             ({:.2} GB/s), counted in {counting:.1?}",
            table.parameters().geometry.vertices(),
            bytes as f64 / rendering.as_secs_f64() / 1e9,
        );
    }
}
