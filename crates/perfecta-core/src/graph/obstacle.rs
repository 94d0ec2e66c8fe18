//! Keys that make every attempt fail: one whose edge is a loop with all seeds, or two that have the same edge
//! with all seeds, which is a cycle.
//!
//! A family that looks at some bits of its keys only, as a product does whose low bits are the vertices, has
//! such keys in many sets. Candidates are keys that are loops, or share an edge, in all of the first attempts;
//! each is then held against the seeds of as many as the caller says, so that what is found is no guess about
//! these.

use alloc::vec::Vec;

use super::kernel::HashedKey;
use crate::family::{Family, MemberVisitor};
use crate::geometry::Geometry;
use crate::interrupt::{Interrupted, KeepGoing, SPAN};
use crate::seeds::SeedSource;

/// Attempts in which a candidate stands.
const FIRST_ATTEMPTS: u64 = 64;

/// Only so many keys of a set are looked at, its least, for 4 MiB of memory.
const KEYS_MAX: usize = 1 << 18;

/// Candidates that are held against all attempts. One that is no obstacle is parted by some of the first.
const CANDIDATES_MAX: usize = 64;

/// Seeds by which a larger table is judged.
const LARGER_ATTEMPTS: u64 = 256;

/// Keys that no seeds of some attempts help, as they are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// A key that always has the same vertex twice.
    Loop(u64),
    /// Two keys that always have the same two vertices as each other.
    Parallel(u64, u64),
}

/// The attempts of a family in a geometry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempts {
    pub(super) family: Family,
    pub(super) geometry: Geometry,
    pub(super) seeds: SeedSource,
}

impl Attempts {
    /// Bytes that it takes to look at so many keys.
    pub(super) const fn memory_bytes(num_keys: usize) -> u64 {
        let num_suspects = if num_keys < KEYS_MAX { num_keys } else { KEYS_MAX };
        (num_suspects * size_of::<Suspect>()) as u64
    }

    /// The first obstacle among `keys` that stands in all attempts up to `last`, if there is one, and the
    /// doublings of the table after which it does not.
    pub(super) fn obstacle<K: HashedKey + Into<u64>>(
        &self,
        keys: &[K],
        last: u64,
        keep_going: &KeepGoing<'_>,
    ) -> Result<Option<(Obstacle, Option<u8>)>, Interrupted> {
        for candidate in self.candidates(keys, keep_going)? {
            if self.always(candidate, last, keep_going)? {
                return Ok(Some((candidate.obstacle(), self.doublings_beyond(candidate))));
            }
        }
        Ok(None)
    }

    /// What stands in the first attempts. Sets that can be solved have few of these or none, which costs a
    /// hashing or two, and a sorting.
    fn candidates<K: HashedKey>(
        &self,
        keys: &[K],
        keep_going: &KeepGoing<'_>,
    ) -> Result<Vec<Candidate<K>>, Interrupted> {
        let mut suspects: Vec<Suspect> =
            (0..keys.len().min(KEYS_MAX) as u32).map(Suspect::new).collect();
        for attempt in 1..=FIRST_ATTEMPTS {
            self.visit(attempt, LookAt { keys, suspects: &mut suspects });
            // Twice as many between two sortings each time: few are left after the first.
            if attempt.is_power_of_two() {
                if !keep_going() {
                    return Err(Interrupted);
                }
                retain_suspects(&mut suspects);
            }
        }
        let candidates = suspects.chunk_by(Suspect::shares_edges).map(|group| match group {
            [one, ..] if one.is_loop => Candidate::Loop(one.key(keys)),
            [one, other, ..] => Candidate::Parallel(one.key(keys), other.key(keys)),
            [_] | [] => unreachable!("who shares no edge and is no loop does not remain"),
        });
        Ok(candidates.take(CANDIDATES_MAX).collect())
    }

    fn always<K: HashedKey>(
        &self,
        candidate: Candidate<K>,
        last: u64,
        keep_going: &KeepGoing<'_>,
    ) -> Result<bool, Interrupted> {
        for attempt in 1..=last {
            if attempt.is_multiple_of(SPAN as u64) && !keep_going() {
                return Err(Interrupted);
            }
            if !self.visit(attempt, candidate) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn doublings_beyond<K: HashedKey>(&self, candidate: Candidate<K>) -> Option<u8> {
        let larger = core::iter::successors(self.geometry.grown(), |geometry| geometry.grown());
        let mut larger = (1..).zip(larger.map(|geometry| Self { geometry, ..*self }));
        let parts = |it: &Self| (1..=LARGER_ATTEMPTS).any(|attempt| !it.visit(attempt, candidate));
        larger.find(|(_, attempts)| parts(attempts)).map(|(doublings, _)| doublings)
    }

    fn visit<K: HashedKey, V: MemberVisitor<K>>(&self, attempt: u64, visitor: V) -> V::Output {
        let Self { family, geometry, seeds } = *self;
        K::with_member(family, &seeds.draw(attempt, family, geometry), geometry, visitor)
    }
}

/// A key, and what its edges were in the attempts so far.
#[derive(Debug, Clone, Copy)]
struct Suspect {
    /// A sum over its edges: equal where these are, and hardly ever elsewhere.
    edges: u64,
    /// Where it is among the keys.
    position: u32,
    /// All of them were loops.
    is_loop: bool,
}

impl Suspect {
    const fn new(position: u32) -> Self {
        Self { edges: 0, position, is_loop: true }
    }

    fn key<K: Copy>(&self, keys: &[K]) -> K {
        keys[self.position as usize]
    }

    fn shares_edges(&self, other: &Self) -> bool {
        self.edges == other.edges
    }
}

/// Keeps those that shared all edges with another, or were loops, in order and in their place: they are most
/// of the memory.
fn retain_suspects(suspects: &mut Vec<Suspect>) {
    suspects.sort_unstable_by_key(|suspect| (suspect.edges, suspect.position));
    let (mut kept, mut begin) = (0, 0);
    while let Some(first) = suspects.get(begin).copied() {
        let group = suspects[begin..].iter().take_while(|other| first.shares_edges(other)).count();
        if group > 1 || first.is_loop {
            suspects.copy_within(begin..begin + group, kept);
            kept += group;
        }
        begin += group;
    }
    suspects.truncate(kept);
}

/// Adds what an attempt makes of keys.
struct LookAt<'a, K> {
    keys: &'a [K],
    suspects: &'a mut [Suspect],
}

impl<K: Copy> MemberVisitor<K> for LookAt<'_, K> {
    type Output = ();

    fn visit<F: Fn(K) -> (u32, u32) + Copy>(self, vertices: F) {
        const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
        for suspect in self.suspects {
            let (first, second) = vertices(suspect.key(self.keys));
            let edge = u64::from(first.min(second)) << 32 | u64::from(first.max(second));
            suspect.edges = (suspect.edges.rotate_left(29) ^ edge).wrapping_mul(MULTIPLIER);
            suspect.is_loop &= first == second;
        }
    }
}

/// What may be an obstacle.
#[derive(Debug, Clone, Copy)]
enum Candidate<K> {
    Loop(K),
    Parallel(K, K),
}

impl<K: Into<u64>> Candidate<K> {
    fn obstacle(self) -> Obstacle {
        match self {
            Self::Loop(key) => Obstacle::Loop(key.into()),
            Self::Parallel(one, other) => Obstacle::Parallel(one.into(), other.into()),
        }
    }
}

/// Whether it stands in an attempt.
impl<K: Copy> MemberVisitor<K> for Candidate<K> {
    type Output = bool;

    fn visit<F: Fn(K) -> (u32, u32) + Copy>(self, vertices: F) -> bool {
        match self {
            Self::Loop(key) => {
                let (first, second) = vertices(key);
                first == second
            }
            Self::Parallel(one, other) => {
                let (first, second) = vertices(one);
                let ends = vertices(other);
                ends == (first, second) || ends == (second, first)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspects_that_share_edges_or_are_loops_remain_and_no_other() {
        let suspect = |edges, position, is_loop| Suspect { edges, position, is_loop };
        let mut suspects = [(7, 0), (9, 1), (3, 2), (7, 3), (1, 4), (7, 5)]
            .map(|(edges, position)| suspect(edges, position, position == 2))
            .to_vec();
        let (place, capacity) = (suspects.as_ptr(), suspects.capacity());
        retain_suspects(&mut suspects);
        let positions: Vec<_> = suspects.iter().map(|suspect| suspect.position).collect();
        assert_eq!(positions, [2, 0, 3, 5]);
        assert_eq!((suspects.as_ptr(), suspects.capacity()), (place, capacity));
        retain_suspects(&mut Vec::new());
    }

    #[test]
    fn to_look_for_an_obstacle_takes_4_mib_at_most() {
        assert_eq!(Attempts::memory_bytes(1), 16);
        assert_eq!(Attempts::memory_bytes(KEYS_MAX), 4 << 20);
        assert_eq!(Attempts::memory_bytes(usize::MAX), 4 << 20);
    }
}
