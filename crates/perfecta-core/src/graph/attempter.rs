//! Attempts on one key set, as fast as they can fail.
//!
//! First all keys are hashed and compared, with nothing stored. Then the edges are screened for a
//! cycle, which needs 2 bytes of state a vertex and stops at the first. Only a graph that passes is
//! peeled. A graph that will probably pass is peeled at once: a screening costs a quarter of a peel.

use alloc::vec::Vec;

use super::Outcome;
use super::kernel::{HashedKey, HashedKeys};
use super::key_order::KeyOrder;
use super::obstacle::{Attempts, Obstacle};
use super::peel::Graph;
use super::screen::{Screening, screen};
use super::state::Width;
use super::vector_unit::VectorUnit;
use crate::family::Family;
use crate::geometry::Geometry;
use crate::interrupt::{Interrupted, KeepGoing};
use crate::key::Keys;
use crate::seeds::{SeedSource, Seeds};

/// Cyclic attempts after which a set is not peeled unscreened any more.
const CYCLIC_UNSCREENED_MAX: u64 = 3;

/// Memory of attempts, kept from one key set to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    narrow: Graph<u16>,
    wide: Graph<u32>,
    ordered_u32: Vec<u32>,
    ordered_u64: Vec<u64>,
}

impl Scratch {
    /// Bytes that it holds: as much as the largest key set needed.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let Self { narrow, wide, ordered_u32, ordered_u64 } = self;
        let ordered = size_of_val(&**ordered_u32) + size_of_val(&**ordered_u64);
        narrow.held_bytes() + wide.held_bytes() + ordered as u64
    }
}

/// Runs attempts on one key set.
#[derive(Debug)]
pub struct Attempter<'a> {
    keys: &'a Keys,
    scratch: &'a mut Scratch,
    key_order: KeyOrder,
    /// The member whose graph stands peeled in the scratch memory.
    peeled: Option<Member>,
    unit: VectorUnit,
    narrow_vertices_max: u64,
}

/// What makes a graph of a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    family: Family,
    seeds: Seeds,
    geometry: Geometry,
}

impl Member {
    fn hash<'a, K>(&'a self, keys: &'a [K], unit: VectorUnit) -> HashedKeys<'a, K> {
        let Self { family, ref seeds, geometry } = *self;
        HashedKeys { keys, family, seeds, geometry, unit }
    }
}

impl<'a> Attempter<'a> {
    /// For `keys`, in borrowed memory.
    #[must_use]
    pub fn new(keys: &'a Keys, scratch: &'a mut Scratch) -> Self {
        Self::with_engine(keys, scratch, VectorUnit::best(), u16::VERTICES_MAX)
    }

    /// As [`Self::new`], hashing with `unit` and keeping state in 16 bits up to so many vertices.
    pub(super) fn with_engine(
        keys: &'a Keys,
        scratch: &'a mut Scratch,
        unit: VectorUnit,
        narrow_vertices_max: u64,
    ) -> Self {
        assert!(narrow_vertices_max <= u16::VERTICES_MAX);
        Self {
            keys,
            scratch,
            key_order: KeyOrder::default(),
            peeled: None,
            unit,
            narrow_vertices_max,
        }
    }

    /// Bytes of memory that attempts on `num_keys` keys take, the keys themselves not counted.
    #[must_use]
    pub fn memory_bytes(num_keys: usize, geometry: Geometry) -> u64 {
        let graph = if u64::from(geometry.vertices()) <= u16::VERTICES_MAX {
            Graph::<u16>::memory_bytes(num_keys, geometry)
        } else {
            Graph::<u32>::memory_bytes(num_keys, geometry)
        };
        graph + KeyOrder::memory_bytes(num_keys)
    }

    /// Bytes of memory that [`Self::obstacle`] takes beside these, once in a search, before there is a table.
    #[must_use]
    pub const fn obstacle_memory_bytes(num_keys: usize) -> u64 {
        Attempts::memory_bytes(num_keys)
    }

    /// What comes of `seeds`, if `keep_going` lets it come.
    ///
    /// # Errors
    /// [`Interrupted`]; the attempter is then as if the attempt had not begun.
    pub fn outcome(
        &mut self,
        family: Family,
        seeds: &Seeds,
        geometry: Geometry,
        keep_going: &KeepGoing<'_>,
    ) -> Result<Outcome, Interrupted> {
        self.peeled = None;
        let member = Member { family, seeds: *seeds, geometry };
        match self.keys {
            Keys::U32(keys) => {
                self.outcome_of(keys, member, |scratch| &mut scratch.ordered_u32, keep_going)
            }
            Keys::U64(keys) => {
                self.outcome_of(keys, member, |scratch| &mut scratch.ordered_u64, keep_going)
            }
        }
    }

    /// The assigned value of every vertex, for seeds whose outcome is [`Outcome::Acyclic`].
    ///
    /// # Errors
    /// [`Interrupted`]; it can be asked for again.
    ///
    /// # Panics
    /// If the outcome is another.
    pub fn assign(
        &mut self,
        family: Family,
        seeds: &Seeds,
        geometry: Geometry,
        keep_going: &KeepGoing<'_>,
    ) -> Result<&[u32], Interrupted> {
        let member = Member { family, seeds: *seeds, geometry };
        if self.peeled != Some(member) {
            let outcome = self.peel_again(&member, keep_going)?;
            assert_eq!(outcome, Outcome::Acyclic, "only an acyclic graph can be assigned");
        }
        // Assigning uses the peeled graph up.
        self.peeled = None;
        let num_keys = self.keys.len();
        if self.is_narrow(geometry) {
            self.scratch.narrow.assign(num_keys, geometry, keep_going)
        } else {
            self.scratch.wide.assign(num_keys, geometry, keep_going)
        }
    }

    /// What makes all attempts up to `last` fail for one reason, if something does, and after how many
    /// doublings of the table it no longer does, if that is known.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn obstacle(
        &self,
        family: Family,
        seeds: SeedSource,
        geometry: Geometry,
        last: u64,
        keep_going: &KeepGoing<'_>,
    ) -> Result<Option<(Obstacle, Option<u8>)>, Interrupted> {
        let attempts = Attempts { family, geometry, seeds };
        match self.keys {
            Keys::U32(keys) => attempts.obstacle(keys, last, keep_going),
            Keys::U64(keys) => attempts.obstacle(keys, last, keep_going),
        }
    }

    fn outcome_of<K: HashedKey>(
        &mut self,
        keys: &[K],
        member: Member,
        ordered_keys: impl Fn(&mut Scratch) -> &mut Vec<K>,
        keep_going: &KeepGoing<'_>,
    ) -> Result<Outcome, Interrupted> {
        let mut copy = core::mem::take(ordered_keys(self.scratch));
        let ordered = self.key_order.apply(keys, &mut copy);
        let outcome = self.outcome_in_order(keys, ordered, &member, keep_going);
        // Also after an interrupt: the next attempt finds its order here.
        *ordered_keys(self.scratch) = copy;
        outcome
    }

    fn outcome_in_order<K: HashedKey>(
        &mut self,
        keys: &[K],
        ordered: &[K],
        member: &Member,
        keep_going: &KeepGoing<'_>,
    ) -> Result<Outcome, Interrupted> {
        let hashed = member.hash(ordered, self.unit);
        if hashed.any_collision(keep_going)? {
            return Ok(Outcome::VertexCollision);
        }
        if !self.passes_screening(&hashed, member, keep_going)? {
            return Ok(Outcome::Cyclic);
        }
        self.peel(&member.hash(keys, self.unit), member, keep_going)
    }

    fn passes_screening<K: HashedKey>(
        &mut self,
        hashed: &HashedKeys<'_, K>,
        member: &Member,
        keep_going: &KeepGoing<'_>,
    ) -> Result<bool, Interrupted> {
        // With a strong family, a graph this empty is acyclic in most attempts that have no
        // collision. All of sys32 (13,637 sets): 0.154 s; up to 5/8 of the capacity 0.156, up to
        // 7/8 0.161, no set screened 0.170.
        let is_sparse = hashed.keys.len() * 4 <= member.geometry.edge_capacity() as usize * 3;
        if is_sparse && self.key_order.num_cyclic() < CYCLIC_UNSCREENED_MAX {
            return Ok(true);
        }
        let geometry = member.geometry;
        let screening = if self.is_narrow(geometry) {
            screen(hashed, geometry, self.scratch.narrow.spare(geometry), self.unit, keep_going)
        } else {
            screen(hashed, geometry, self.scratch.wide.spare(geometry), self.unit, keep_going)
        };
        match screening? {
            Screening::Acyclic => Ok(true),
            Screening::Cyclic { edges_seen } => {
                self.key_order.learn(edges_seen);
                Ok(false)
            }
        }
    }

    fn peel<K: HashedKey>(
        &mut self,
        hashed: &HashedKeys<'_, K>,
        member: &Member,
        keep_going: &KeepGoing<'_>,
    ) -> Result<Outcome, Interrupted> {
        let is_acyclic = if self.is_narrow(member.geometry) {
            self.scratch.narrow.peel(hashed, member.geometry, self.unit, keep_going)
        } else {
            self.scratch.wide.peel(hashed, member.geometry, self.unit, keep_going)
        };
        if !is_acyclic? {
            self.key_order.learn(hashed.keys.len());
            return Ok(Outcome::Cyclic);
        }
        self.peeled = Some(*member);
        Ok(Outcome::Acyclic)
    }

    fn peel_again(
        &mut self,
        member: &Member,
        keep_going: &KeepGoing<'_>,
    ) -> Result<Outcome, Interrupted> {
        fn peel<K: HashedKey>(
            this: &mut Attempter<'_>,
            keys: &[K],
            member: &Member,
            keep_going: &KeepGoing<'_>,
        ) -> Result<Outcome, Interrupted> {
            let hashed = member.hash(keys, this.unit);
            if hashed.any_collision(keep_going)? {
                return Ok(Outcome::VertexCollision);
            }
            this.peel(&hashed, member, keep_going)
        }
        match self.keys {
            Keys::U32(keys) => peel(self, keys, member, keep_going),
            Keys::U64(keys) => peel(self, keys, member, keep_going),
        }
    }

    fn is_narrow(&self, geometry: Geometry) -> bool {
        u64::from(geometry.vertices()) <= self.narrow_vertices_max
    }
}
