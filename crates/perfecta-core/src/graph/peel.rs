//! Peeling and assigning, in the order of the reference, on which every assigned value depends.
//!
//! Two facts save work and memory. When an edge is removed through a leaf, the leaf is the end that
//! is still free when the edge's turn comes to be assigned, so no set of visited vertices is needed.
//! And after a full peel every word is zero: the same memory becomes the assigned array as it is.
//!
//! Bytes: 12 for each vertex (a word of 8, and half a pair of ends of 8) and 8 for each edge with
//! 32-bit state, that is 32 to 56 a key; half of it with 16-bit state.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::kernel::{BLOCK, Edges};
use super::state::{Width, fetch_ahead};
use super::vector_unit::VectorUnit;
use crate::geometry::Geometry;
use crate::interrupt::{Interrupted, KeepGoing, spans};

/// Vertices that are looked at together for leaves.
const SCAN: usize = 64;

/// Memory of one graph at a time.
#[derive(Debug, Default)]
pub(super) struct Graph<W: Width> {
    words: Vec<W::Word>,
    ends: Vec<[W; 2]>,
    order: Vec<W>,
    behind: Vec<W>,
}

impl<W: Width> Graph<W> {
    /// Bytes that a graph of `num_edges` takes.
    pub(super) fn memory_bytes(num_edges: usize, geometry: Geometry) -> u64 {
        let vertex = size_of::<W::Word>() + size_of::<W>();
        u64::from(geometry.vertices()) * vertex as u64 + (num_edges * 2 * size_of::<W>()) as u64
    }

    /// Bytes that it holds.
    pub(super) fn held_bytes(&self) -> u64 {
        let Self { words, ends, order, behind } = self;
        let held = size_of_val(&**words) + size_of_val(&**ends);
        (held + size_of_val(&**order) + size_of_val(&**behind)) as u64
    }

    /// One element for each vertex at least, with any content: memory that is free between two
    /// graphs.
    pub(super) fn spare(&mut self, geometry: Geometry) -> &mut [W] {
        self.reserve(0, geometry);
        self.ends.as_flattened_mut()
    }

    /// Builds the graph of `edges` and removes leaves as long as there are any. Whether all edges
    /// went, that is whether the graph is acyclic.
    ///
    /// No edge may have the same end twice.
    pub(super) fn peel(
        &mut self,
        edges: &dyn Edges<W>,
        geometry: Geometry,
        unit: VectorUnit,
        keep_going: &KeepGoing<'_>,
    ) -> Result<bool, Interrupted> {
        let num_edges = edges.len();
        self.reserve(num_edges, geometry);
        let num_vertices = geometry.vertices() as usize;
        let words = W::in_bounds(&mut self.words);
        let ends = &mut self.ends[..num_edges];
        for span in spans(num_vertices, keep_going) {
            words[span?].fill(W::Word::default());
        }
        for span in spans(num_edges, keep_going) {
            let span = span?;
            add_all(edges, span.start, words, &mut ends[span]);
        }
        let (order, behind) = (&mut self.order[..num_edges], &mut self.behind[..num_edges]);
        let mut peel = Peel { words, num_vertices, ends, order, behind, top: num_edges };
        for span in spans(num_vertices, keep_going) {
            let span = span?;
            unit.run(
                #[inline(always)]
                || peel.scan(span),
            );
        }
        for span in spans(num_edges, keep_going) {
            let Range { start, end } = span?;
            peel.walk(num_edges - end..num_edges - start);
        }
        Ok(peel.top == 0)
    }

    /// Gives every vertex a value so that the two of an edge add up to the edge's id, modulo the
    /// edge capacity; zero where no edge asks for another. Once, after a [`Self::peel`] of
    /// `num_edges` edges that said yes; an interrupted one uses the graph up as well.
    pub(super) fn assign(
        &mut self,
        num_edges: usize,
        geometry: Geometry,
        keep_going: &KeepGoing<'_>,
    ) -> Result<&[u32], Interrupted> {
        let capacity = geometry.edge_capacity();
        let assigned = W::values_in(&mut self.words[..geometry.vertices() as usize]);
        let (order, behind) = (&self.order[..num_edges], &self.behind[..num_edges]);
        let ends = &self.ends[..num_edges];
        for span in spans(num_edges, keep_going) {
            for place in span? {
                if W::FETCHES_AHEAD && place + 32 < num_edges {
                    fetch_ahead(ends, order[place + 32].index());
                    fetch_ahead(assigned, behind[place + 32].index());
                    let soon =
                        other_end(ends[order[place + 16].index()], behind[place + 16].index());
                    fetch_ahead(assigned, soon);
                }
                let edge = order[place].index();
                let fixed = behind[place].index();
                let free = other_end(ends[edge], fixed);
                let value = (edge as u32).wrapping_sub(assigned[fixed]);
                assigned[free] =
                    if value >= capacity { value.wrapping_add(capacity) } else { value };
            }
        }
        Ok(assigned)
    }

    fn reserve(&mut self, num_edges: usize, geometry: Geometry) {
        // Room for every index of 16 bits, so that none need be checked. Pages that no vertex of
        // this geometry falls on are never touched.
        let vertices = (geometry.vertices() as usize).max(1 << 16);
        reserve(&mut self.words, vertices);
        reserve(&mut self.ends, vertices / 2);
        reserve(&mut self.order, num_edges);
        reserve(&mut self.behind, num_edges);
    }
}

/// Makes `elements` at least `len` long, with any content.
fn reserve<T: Copy + Default>(elements: &mut Vec<T>, len: usize) {
    if elements.len() < len {
        // The old content is of no use: free it before taking the larger memory.
        *elements = Vec::new();
        *elements = vec![T::default(); len];
    }
}

#[inline(always)]
fn other_end<W: Width>(ends: [W; 2], end: usize) -> usize {
    ends[0].index() ^ ends[1].index() ^ end
}

/// Hashes the edges from `first` on into `ends` and adds each to its two words. Not inlined: the loop
/// needs all registers for itself.
#[inline(never)]
fn add_all<W: Width>(
    edges: &dyn Edges<W>,
    first: usize,
    words: &mut [W::Word],
    ends: &mut [[W; 2]],
) {
    let words = W::in_bounds(words);
    let (mut first_ends, mut second_ends) = ([W::default(); BLOCK], [W::default(); BLOCK]);
    let mut edge = first as u32;
    for block in ends.chunks_mut(BLOCK) {
        let len = block.len();
        edges.write_block(edge as usize, &mut first_ends[..len], &mut second_ends[..len]);
        for (place, pair) in block.iter_mut().enumerate() {
            if W::FETCHES_AHEAD {
                let ahead = (place + 24).min(len - 1);
                fetch_ahead(words, first_ends[ahead].index());
                fetch_ahead(words, second_ends[ahead].index());
            }
            let (first, second) = (first_ends[place], second_ends[place]);
            for end in [first, second] {
                let word = &mut words[end.index()];
                *word = W::with_edge(*word, W::from_u32(edge));
            }
            // Last: read back in one piece what was just stored in two, it would stall.
            *pair = [first, second];
            edge += 1;
        }
    }
}

/// A graph while it is peeled.
///
/// Invariant: `order[top..]` are the removed edges, the last removed first; `behind[place]` is the
/// end of edge `order[place]` that its assignment reads, the other being the one it writes.
struct Peel<'a, W: Width> {
    words: &'a mut [W::Word],
    num_vertices: usize,
    ends: &'a [[W; 2]],
    order: &'a mut [W],
    behind: &'a mut [W],
    top: usize,
}

impl<W: Width> Peel<'_, W> {
    /// Tries every vertex of a span once, by number. Sixty-four are looked at together and only the leaves
    /// among them visited; a removal puts right what it changed in the same sixty-four.
    #[inline(always)]
    fn scan(&mut self, span: Range<usize>) {
        for base in span.step_by(SCAN) {
            if W::FETCHES_AHEAD {
                self.fetch_ahead_of_scan(base);
            }
            let mut leaves = self.leaves(base);
            while leaves != 0 {
                let bit = leaves.trailing_zeros();
                leaves &= leaves - 1;
                let (other, is_leaf) = self.remove_leaf(W::from_u32((base as u32) + bit));
                let ahead = other.wrapping_sub(base);
                if ahead < SCAN && ahead as u32 > bit {
                    leaves = leaves & !(1 << ahead) | u64::from(is_leaf) << ahead;
                }
            }
        }
    }

    /// Goes through the removed edges from the first removed to the last, those removed on the way
    /// included, and tries their other ends. One span of places at a time, the last first. The end
    /// each was removed through has no edges left.
    ///
    /// A walk without the branch, all stores made and kept or not by a select, takes a third longer.
    #[inline(never)]
    fn walk(&mut self, span: Range<usize>) {
        let mut place = span.end;
        // A graph that does not fetch ahead has one span, and this loop one condition.
        while place > self.top && (!W::FETCHES_AHEAD || place > span.start) {
            place -= 1;
            if W::FETCHES_AHEAD && place >= self.top + 48 {
                fetch_ahead(self.words, self.behind[place - 48].index());
                let word = self.words[self.behind[place - 24].index()];
                if W::is_leaf(word) {
                    fetch_ahead(self.ends, W::edge_of_leaf(word).index());
                }
            }
            let vertex = self.behind[place];
            if W::is_leaf(self.words[vertex.index()]) {
                self.remove_leaf(vertex);
            }
        }
    }

    /// Removes the only edge of `vertex`. Gives back its other end, and whether that is a leaf now.
    #[inline(always)]
    fn remove_leaf(&mut self, vertex: W) -> (usize, bool) {
        let vertex = vertex.index();
        let edge = W::edge_of_leaf(self.words[vertex]);
        let ends = self.ends[edge.index()];
        let other = other_end(ends, vertex);
        let word = self.words[other];
        // If both ends are leaves, the reference takes the first as the free one.
        let is_first_free = W::is_leaf(word) & (other == ends[0].index());
        let behind = if is_first_free { vertex } else { other };
        let word = W::without_edge(word, edge);
        self.words[vertex] = W::Word::default();
        self.words[other] = word;
        self.top -= 1;
        self.order[self.top] = edge;
        self.behind[self.top] = W::from_u32(behind as u32);
        (other, W::is_leaf(word))
    }

    /// One bit for each of the vertices from `base` on: whether it is a leaf.
    #[inline(always)]
    fn leaves(&self, base: usize) -> u64 {
        let end = self.num_vertices.min(base + SCAN);
        let mut flags = [0; SCAN];
        for (flag, &word) in flags.iter_mut().zip(&self.words[base..end]) {
            *flag = u8::from(W::is_leaf(word));
        }
        let (eights, _) = flags.as_chunks();
        let bits = eights.iter().rev();
        bits.fold(0, |bits, &eight| bits << 8 | gathered(u64::from_le_bytes(eight)))
    }

    /// Brings near the ends of the edges that the scan will remove soon, and what those lead to. On
    /// ten million keys it halves the time of a peel.
    fn fetch_ahead_of_scan(&self, base: usize) {
        let later = base + 6 * SCAN;
        if later >= self.num_vertices {
            return;
        }
        for vertex in bits_of(self.leaves(later)).map(|bit| later + bit) {
            fetch_ahead(self.ends, W::edge_of_leaf(self.words[vertex]).index());
        }
        let sooner = base + 3 * SCAN;
        for vertex in bits_of(self.leaves(sooner)).map(|bit| sooner + bit) {
            let edge = W::edge_of_leaf(self.words[vertex]);
            fetch_ahead(self.words, other_end(self.ends[edge.index()], vertex));
        }
    }
}

/// The lowest bits of eight bytes, side by side.
#[inline(always)]
fn gathered(bytes: u64) -> u64 {
    bytes.wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// The places of the bits that are set.
#[inline(always)]
fn bits_of(mut bits: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let bit = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
        bits &= bits - 1;
        Some(bit)
    })
}
