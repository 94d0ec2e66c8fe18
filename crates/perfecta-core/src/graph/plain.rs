//! The attempt as the reference describes it, without any art: hash every key, add every edge, peel,
//! assign. It is the oracle of the tests and the yardstick of the benchmarks; no table is built with
//! it.

use alloc::vec;
use alloc::vec::Vec;

use super::Outcome;
use crate::family::{Family, MemberVisitor};
use crate::geometry::Geometry;
use crate::key::Keys;
use crate::seeds::Seeds;

/// An attempt that was carried through as far as it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainAttempt {
    /// What came of it.
    pub outcome: Outcome,
    /// The assigned value of every vertex, if the graph was acyclic.
    pub assigned: Option<Vec<u32>>,
}

/// Tries `seeds` on `keys`.
#[must_use]
pub fn attempt(keys: &Keys, family: Family, seeds: &Seeds, geometry: Geometry) -> PlainAttempt {
    let mut edges = Vec::with_capacity(keys.len());
    let all_distinct = hash_all(keys, family, seeds, geometry, &mut edges);
    if !all_distinct {
        return PlainAttempt { outcome: Outcome::VertexCollision, assigned: None };
    }
    match PlainGraph::new(&edges, geometry).peel() {
        None => PlainAttempt { outcome: Outcome::Cyclic, assigned: None },
        Some(order) => PlainAttempt {
            outcome: Outcome::Acyclic,
            assigned: Some(assign(&edges, &order, geometry)),
        },
    }
}

/// Hashes keys in order into `edges`; stops with `false` at the first whose vertices are equal.
fn hash_all(
    keys: &Keys,
    family: Family,
    seeds: &Seeds,
    geometry: Geometry,
    edges: &mut Vec<(u32, u32)>,
) -> bool {
    edges.clear();
    match keys {
        Keys::U32(keys) => family.with_member_u32(seeds, geometry, HashAll { keys, edges }),
        Keys::U64(keys) => family.with_member_u64(seeds, geometry, HashAll { keys, edges }),
    }
}

struct HashAll<'a, K> {
    keys: &'a [K],
    edges: &'a mut Vec<(u32, u32)>,
}

impl<K: Copy> MemberVisitor<K> for HashAll<'_, K> {
    type Output = bool;

    fn visit<F: Fn(K) -> (u32, u32) + Copy>(self, vertices: F) -> bool {
        for &key in self.keys {
            let (first, second) = vertices(key);
            if first == second {
                return false;
            }
            self.edges.push((first, second));
        }
        true
    }
}

/// Degree of every vertex, and the xor of the ids of its edges.
struct PlainGraph<'a> {
    edges: &'a [(u32, u32)],
    degrees: Vec<u32>,
    edge_xors: Vec<u32>,
    order: Vec<u32>,
    top: usize,
}

impl<'a> PlainGraph<'a> {
    fn new(edges: &'a [(u32, u32)], geometry: Geometry) -> Self {
        let num_vertices = geometry.vertices() as usize;
        let mut graph = Self {
            edges,
            degrees: vec![0; num_vertices],
            edge_xors: vec![0; num_vertices],
            order: vec![0; edges.len()],
            top: edges.len(),
        };
        for (edge, &(first, second)) in edges.iter().enumerate() {
            for vertex in [first, second] {
                graph.degrees[vertex as usize] += 1;
                graph.edge_xors[vertex as usize] ^= edge as u32;
            }
        }
        graph
    }

    /// The edges in peel order, last removed first, or `None` if some cannot be removed.
    ///
    /// First one scan over the vertices, then the removed edges from newest to oldest, both ends of
    /// each: the order in which the reference goes, on which the assigned values depend.
    fn peel(mut self) -> Option<Vec<u32>> {
        for vertex in 0..self.degrees.len() as u32 {
            self.remove_leaf(vertex);
        }
        let mut place = self.edges.len();
        while self.top > 0 && place > self.top {
            place -= 1;
            let (first, second) = self.edges[self.order[place] as usize];
            self.remove_leaf(first);
            self.remove_leaf(second);
        }
        (self.top == 0).then_some(self.order)
    }

    fn remove_leaf(&mut self, vertex: u32) {
        if self.degrees[vertex as usize] != 1 {
            return;
        }
        let edge = self.edge_xors[vertex as usize];
        let (first, second) = self.edges[edge as usize];
        for end in [first, second] {
            self.degrees[end as usize] -= 1;
            self.edge_xors[end as usize] ^= edge;
        }
        self.top -= 1;
        self.order[self.top] = edge;
    }
}

/// Gives every vertex a value so that the two of an edge add up to the edge's id, modulo the edge
/// capacity. In peel order, at least one vertex of an edge is still free when its turn comes.
fn assign(edges: &[(u32, u32)], order: &[u32], geometry: Geometry) -> Vec<u32> {
    let capacity = geometry.edge_capacity();
    let mut assigned = vec![0u32; geometry.vertices() as usize];
    let mut visited = vec![false; geometry.vertices() as usize];
    for &edge in order {
        let (first, second) = edges[edge as usize];
        let (free, other) = if visited[first as usize] { (second, first) } else { (first, second) };
        let value = edge.wrapping_sub(assigned[other as usize]);
        assigned[free as usize] =
            if value >= capacity { value.wrapping_add(capacity) } else { value };
        visited[first as usize] = true;
        visited[second as usize] = true;
    }
    assigned
}
