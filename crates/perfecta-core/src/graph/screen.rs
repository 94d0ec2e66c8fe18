//! Does the graph hold a cycle? Answered without peeling, and most often early.
//!
//! Union-find over the edges, in the order in which they come, up to the first that joins what is
//! joined already (Tarjan 1975; path halving by van Leeuwen and van der Weide). It is bound by
//! mispredicted branches, not by memory, so a walk makes its first two hops without asking whether
//! it has arrived. HologramWorld-31016 with MultiplyShiftR, keys shuffled, thousand attempts a
//! second, a plain search without allocations making 5.8 in the same run:
//!
//! ```text
//! 151   two hops, halving (this)         127   three hops
//! 135   one hop                           78   halving, a branch at every hop
//! 154   two hops, full compression        65   splitting
//! 110   both walks in one loop            57   no compression
//! ```
//!
//! (Full compression gains 2 % here and loses 1 % on a strong family.) Which root is the greater must
//! not be a branch either: halving made 45 with one. Also lost: Rem's algorithm (49); discarding
//! edges that end in leaves, by rounds of marks and filters over growing prefixes (46, and half as
//! fast as this on a strong family too).

use core::ops::Range;

use super::kernel::{BLOCK, Edges};
use super::state::Width;
use super::vector_unit::VectorUnit;
use crate::geometry::Geometry;
use crate::interrupt::{Interrupted, KeepGoing, spans};

/// How far the screening of a graph went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Screening {
    /// No edge closes a cycle.
    Acyclic,
    /// A cycle was closed after so many edges.
    Cyclic {
        /// Edges that were looked at.
        edges_seen: usize,
    },
}

/// Looks for the first edge that closes a cycle. `parents` has one element for each vertex at least,
/// with any content.
pub(super) fn screen<W: Width>(
    edges: &dyn Edges<W>,
    geometry: Geometry,
    parents: &mut [W],
    unit: VectorUnit,
    keep_going: &KeepGoing<'_>,
) -> Result<Screening, Interrupted> {
    let parents = W::in_bounds(parents);
    for span in spans(geometry.vertices() as usize, keep_going) {
        let span = span?;
        unit.run(
            #[inline(always)]
            || {
                for (vertex, parent) in (span.start as u32..).zip(&mut parents[span]) {
                    *parent = W::from_u32(vertex);
                }
            },
        );
    }
    let (mut first_ends, mut second_ends) = ([W::default(); BLOCK], [W::default(); BLOCK]);
    for span in spans(edges.len(), keep_going) {
        let Range { start: mut edges_seen, end } = span?;
        while edges_seen < end {
            let len = BLOCK.min(end - edges_seen);
            let (first_ends, second_ends) = (&mut first_ends[..len], &mut second_ends[..len]);
            edges.write_block(edges_seen, first_ends, second_ends);
            if let Some(place) = first_that_closes(parents, first_ends, second_ends) {
                return Ok(Screening::Cyclic { edges_seen: edges_seen + place + 1 });
            }
            edges_seen += len;
        }
    }
    Ok(Screening::Acyclic)
}

/// Joins the trees of the edges of one block, up to the first edge whose ends are in the same tree.
///
/// Not inlined: this loop is what a screening takes, and wants all registers for itself. With the
/// loops around it in the same function, Folded makes 3 % fewer attempts a second.
#[inline(never)]
fn first_that_closes<W: Width>(
    parents: &mut [W],
    first_ends: &[W],
    second_ends: &[W],
) -> Option<usize> {
    let parents = W::in_bounds(parents);
    let mut ends = first_ends.iter().zip(second_ends);
    ends.position(|(first, second)| !unite(parents, first.index(), second.index()))
}

/// Joins the trees of two vertices; `false` if they are the same tree.
#[inline(always)]
fn unite<W: Width>(parents: &mut [W], first: usize, second: usize) -> bool {
    let (first, second) = (root_of(parents, first), root_of(parents, second));
    // Vertices are hashes, so the order of their numbers is as good as a random one.
    parents[first.min(second)] = W::from_u32(first.max(second) as u32);
    first != second
}

#[inline(always)]
fn root_of<W: Width>(parents: &mut [W], vertex: usize) -> usize {
    let parent = parents[vertex].index();
    let grandparent = parents[parent].index();
    parents[vertex] = W::from_u32(grandparent as u32);
    let next = parents[grandparent].index();
    if next == grandparent { grandparent } else { root_of_deep(parents, next) }
}

#[inline(always)]
fn root_of_deep<W: Width>(parents: &mut [W], mut vertex: usize) -> usize {
    loop {
        let parent = parents[vertex].index();
        if parent == vertex {
            return vertex;
        }
        let grandparent = parents[parent];
        parents[vertex] = grandparent;
        vertex = grandparent.index();
    }
}
