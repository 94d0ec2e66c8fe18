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
    let mut memory = PlainMemory::default();
    let outcome = memory.outcome(keys, family, seeds, geometry);
    let assigned = (outcome == Outcome::Acyclic).then(|| memory.assign(geometry));
    PlainAttempt { outcome, assigned }
}

/// Arrays of plain attempts, kept from one to the next.
#[derive(Debug, Default)]
pub struct PlainMemory {
    edges: Vec<(u32, u32)>,
    /// Of every vertex, the number of edges that are not yet removed.
    degrees: Vec<u32>,
    /// Of every vertex, the xor of the ids of these edges.
    edge_xors: Vec<u32>,
    /// Removed edges from `top` on, last removed first.
    order: Vec<u32>,
    top: usize,
}

impl PlainMemory {
    /// What comes of `seeds`: hash all, add all, peel.
    pub fn outcome(
        &mut self,
        keys: &Keys,
        family: Family,
        seeds: &Seeds,
        geometry: Geometry,
    ) -> Outcome {
        if !hash_all(keys, family, seeds, geometry, &mut self.edges) {
            return Outcome::VertexCollision;
        }
        self.add_all(geometry);
        if self.peel() { Outcome::Acyclic } else { Outcome::Cyclic }
    }

    fn add_all(&mut self, geometry: Geometry) {
        let num_vertices = geometry.vertices() as usize;
        for array in [&mut self.degrees, &mut self.edge_xors] {
            array.clear();
            array.resize(num_vertices, 0);
        }
        self.order.resize(self.edges.len(), 0);
        self.top = self.edges.len();
        for (edge, &(first, second)) in self.edges.iter().enumerate() {
            for vertex in [first, second] {
                self.degrees[vertex as usize] += 1;
                self.edge_xors[vertex as usize] ^= edge as u32;
            }
        }
    }

    /// Removes edges; whether all of them could be.
    ///
    /// First one scan over the vertices, then the removed edges from newest to oldest, both ends of
    /// each: the order in which the reference goes, on which the assigned values depend.
    fn peel(&mut self) -> bool {
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
        self.top == 0
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

    /// Gives every vertex a value so that the two of an edge add up to the edge's id, modulo the
    /// edge capacity. In peel order, at least one vertex of an edge is still free when its turn
    /// comes.
    fn assign(&self, geometry: Geometry) -> Vec<u32> {
        let capacity = geometry.edge_capacity();
        let mut assigned = vec![0u32; geometry.vertices() as usize];
        let mut visited = vec![false; geometry.vertices() as usize];
        for &edge in &self.order {
            let (first, second) = self.edges[edge as usize];
            let (free, other) =
                if visited[first as usize] { (second, first) } else { (first, second) };
            let value = edge.wrapping_sub(assigned[other as usize]);
            assigned[free as usize] =
                if value >= capacity { value.wrapping_add(capacity) } else { value };
            visited[first as usize] = true;
            visited[second as usize] = true;
        }
        assigned
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
