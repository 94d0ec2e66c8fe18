//! The fast attempt against oracles that share no idea with it: the plain attempt, and a depth-first
//! search.

use core::cell::Cell;

use super::attempter::{Attempter, Scratch};
use super::kernel::{Edges, HashedKeys};
use super::peel::Graph;
use super::screen::{Screening, screen};
use super::state::Width;
use super::vector_unit::VectorUnit;
use super::{Outcome, plain};
use crate::family::Family;
use crate::geometry::Geometry;
use crate::interrupt::SPAN;
use crate::key::{KeyWidth, Keys};
use crate::seeds::SeedSource;

const NARROW_VERTICES: u64 = u16::VERTICES_MAX;
const NO_NARROW_VERTICES: u64 = 0;

/// Keys that mixed bits make, sorted and distinct.
fn scattered(num_keys: usize) -> Vec<u32> {
    let mut keys: Vec<u32> =
        (1..).map(|n: u32| n.wrapping_mul(0x9E37_79B1)).take(num_keys).collect();
    keys.iter_mut().for_each(|key| *key ^= (*key >> 15) & 0x5555);
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), num_keys);
    keys
}

fn check(keys: &Keys, family: Family, attempts: std::ops::RangeInclusive<u64>) {
    let geometry = Geometry::for_keys(keys.len()).unwrap();
    let mut scratches: [Scratch; 4] = Default::default();
    let mut attempters = Vec::new();
    let mut engines: Vec<_> = VectorUnit::available().map(|unit| (unit, NARROW_VERTICES)).collect();
    engines.push((VectorUnit::best(), NO_NARROW_VERTICES));
    for (&(unit, narrow), scratch) in engines.iter().zip(&mut scratches) {
        attempters.push(Attempter::with_engine(keys, scratch, unit, narrow));
    }
    for attempt in attempts {
        let seeds = SeedSource::default().draw(attempt, family, geometry);
        let expected = plain::attempt(keys, family, &seeds, geometry);
        for (attempter, engine) in attempters.iter_mut().zip(&engines) {
            let at = format!("{family}, {} keys, attempt {attempt}, {engine:?}", keys.len());
            let outcome = attempter.outcome(family, &seeds, geometry, &|| true);
            assert_eq!(outcome, Ok(expected.outcome), "{at}");
            if let Some(assigned) = &expected.assigned {
                let first = attempter.assign(family, &seeds, geometry, &|| true).unwrap().to_vec();
                assert!(first == *assigned, "{at}: assigned");
                let again = attempter.assign(family, &seeds, geometry, &|| true).unwrap();
                assert!(again == *assigned, "{at}: assigned once more");
            }
        }
    }
}

fn check_suited(keys: &Keys, attempts: std::ops::RangeInclusive<u64>) {
    for family in Family::all() {
        if keys.width() == KeyWidth::Bits32 || family == Family::Folded {
            check(keys, family, attempts.clone());
        }
    }
}

#[test]
fn every_family_comes_out_as_in_the_plain_attempt() {
    for num_keys in [1, 2, 7, 8, 9, 16, 63, 186, 700] {
        check_suited(&Keys::U32(scattered(num_keys).into()), 1..=12);
        let progression = (1..=num_keys as u32).map(|n| n * 24 + 0x1800).collect();
        check_suited(&Keys::U32(progression), 1..=12);
        let wide = scattered(num_keys).into_iter().map(|key| u64::from(key) << 20 | 5).collect();
        check_suited(&Keys::U64(wide), 1..=12);
    }
}

/// Long enough for both orders of the keys to be tried and judged.
#[test]
fn outcomes_do_not_depend_on_the_order_learned() {
    let keys = (1..=1500).map(|n: u32| n * 40 + n / 7).collect();
    check(&Keys::U32(keys), Family::from_name("MultiplyShiftR").unwrap(), 1..=400);
}

#[test]
fn sets_at_the_borders_of_the_widths_come_out_right() {
    for num_keys in [32_767, 32_768, 32_769, 65_535, 65_536] {
        check(&Keys::U32(scattered(num_keys).into()), Family::Folded, 1..=8);
    }
}

#[test]
fn one_scratch_serves_sets_of_all_sizes() {
    let mut scratch = Scratch::default();
    let family = Family::Folded;
    for num_keys in [40_000, 3, 186, 33_000, 5000, 8] {
        let keys = Keys::U32(scattered(num_keys).into());
        let geometry = Geometry::for_keys(num_keys).unwrap();
        let mut attempter = Attempter::new(&keys, &mut scratch);
        for attempt in 1..=6 {
            let seeds = SeedSource::default().draw(attempt, family, geometry);
            let expected = plain::attempt(&keys, family, &seeds, geometry);
            assert_eq!(attempter.outcome(family, &seeds, geometry, &|| true), Ok(expected.outcome));
            if let Some(assigned) = expected.assigned {
                let found = attempter.assign(family, &seeds, geometry, &|| true).unwrap();
                assert_eq!(found, assigned);
            }
        }
    }
}

#[test]
#[should_panic(expected = "only an acyclic graph can be assigned")]
fn a_cyclic_graph_is_not_assigned() {
    let keys = Keys::U32((1..=64).collect());
    let geometry = Geometry::for_keys(64).unwrap();
    let family = Family::Folded;
    let mut scratch = Scratch::default();
    let mut attempter = Attempter::new(&keys, &mut scratch);
    for attempt in 1..100 {
        let seeds = SeedSource::default().draw(attempt, family, geometry);
        if attempter.outcome(family, &seeds, geometry, &|| true) == Ok(Outcome::Cyclic) {
            attempter.assign(family, &seeds, geometry, &|| true).unwrap();
        }
    }
}

/// Edges that are given, not hashed.
struct Given<'a>(&'a [[u8; 2]]);

impl<W: Width> Edges<W> for Given<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn write_block(&self, first: usize, first_ends: &mut [W], second_ends: &mut [W]) {
        for (place, ends) in self.0[first..].iter().take(first_ends.len()).enumerate() {
            first_ends[place] = W::from_u32(u32::from(ends[0]));
            second_ends[place] = W::from_u32(u32::from(ends[1]));
        }
    }
}

const MANY: usize = 5;

/// Whether a depth-first search meets a vertex twice.
fn has_cycle(edges: &[[u8; 2]]) -> bool {
    fn visit(edges: &[[u8; 2]], vertex: u8, from: usize, seen: &mut [bool; MANY]) -> bool {
        if core::mem::replace(&mut seen[usize::from(vertex)], true) {
            return true;
        }
        edges.iter().enumerate().filter(|&(edge, _)| edge != from).any(
            |(edge, &[first, second])| {
                (first == vertex && visit(edges, second, edge, seen))
                    || (second == vertex && visit(edges, first, edge, seen))
            },
        )
    }
    let mut seen = [false; MANY];
    (0..MANY as u8)
        .any(|vertex| !seen[usize::from(vertex)] && visit(edges, vertex, usize::MAX, &mut seen))
}

fn check_given<W: Width>(graph: &mut Graph<W>, edges: &[[u8; 2]]) {
    let geometry = Geometry::for_keys(edges.len()).unwrap();
    let unit = VectorUnit::best();
    let is_acyclic = !has_cycle(edges);
    let screening = screen(&Given(edges), geometry, graph.spare(geometry), unit, &|| true);
    assert_eq!(screening == Ok(Screening::Acyclic), is_acyclic, "screening {edges:?}");
    let peeled = graph.peel(&Given(edges), geometry, unit, &|| true);
    assert_eq!(peeled, Ok(is_acyclic), "peel {edges:?}");
    if is_acyclic {
        let assigned = graph.assign(edges.len(), geometry, &|| true).unwrap();
        for (edge, [first, second]) in edges.iter().enumerate() {
            let sum = assigned[usize::from(*first)].wrapping_add(assigned[usize::from(*second)]);
            assert_eq!(sum & geometry.index_mask(), edge as u32, "{edges:?}");
        }
    }
}

/// All graphs of up to five edges, both directions of each, over five vertices.
#[test]
fn every_small_graph_is_judged_as_by_a_depth_first_search() {
    let all: Vec<[u8; 2]> = (0..MANY as u8)
        .flat_map(|first| (0..MANY as u8).map(move |second| [first, second]))
        .filter(|[first, second]| first != second)
        .collect();
    let (mut narrow, mut wide) = (Graph::<u16>::default(), Graph::<u32>::default());
    for num_edges in 1..=5_u32 {
        for number in 0..all.len().pow(num_edges) {
            let edges: Vec<[u8; 2]> = (0..num_edges)
                .map(|place| all[number / all.len().pow(place) % all.len()])
                .collect();
            check_given(&mut narrow, &edges);
            if num_edges < 5 {
                check_given(&mut wide, &edges);
            }
        }
    }
}

/// Looks that work on so many keys or vertices makes.
fn looks_of(len: usize) -> usize {
    (len - 1) / SPAN
}

/// Every phase of an attempt on many keys looks at the flag once a span, and no phase hides in the
/// looks of another.
#[test]
fn a_large_attempt_looks_at_the_flag_once_a_span_in_every_phase() {
    let num_keys = 2_000_000;
    let keys = Keys::U32(scattered(num_keys).into());
    let geometry = Geometry::for_keys(num_keys).unwrap();
    let (in_keys, in_vertices) = (looks_of(num_keys), looks_of(geometry.vertices() as usize));
    let mut scratch = Scratch::default();
    let mut attempter = Attempter::new(&keys, &mut scratch);
    let looks = Cell::new(0);
    let keep_going = || {
        looks.set(looks.get() + 1);
        true
    };
    let mut attempts =
        (1..).map(|attempt| SeedSource::default().draw(attempt, Family::Folded, geometry));
    let winner = attempts.find(|seeds| {
        looks.set(0);
        let outcome = attempter.outcome(Family::Folded, seeds, geometry, &keep_going);
        outcome == Ok(Outcome::Acyclic)
    });
    let seeds = winner.expect("some attempt succeeds");
    // Compare; number the parents, unite; clear, add, scan, walk.
    assert_eq!(looks.get(), in_keys + in_vertices + in_keys + 2 * (in_vertices + in_keys));
    for looks_to_peel_again in [0, in_keys + 2 * (in_vertices + in_keys)] {
        looks.set(0);
        attempter.assign(Family::Folded, &seeds, geometry, &keep_going).unwrap();
        assert_eq!(looks.get(), looks_to_peel_again + in_keys);
    }
}

/// Counts the edges that are hashed since the flag was last looked at.
struct Counted<'a> {
    hashed: HashedKeys<'a, u32>,
    since_look: &'a Cell<usize>,
}

impl Edges<u32> for Counted<'_> {
    fn len(&self) -> usize {
        self.hashed.keys.len()
    }

    fn write_block(&self, first: usize, first_ends: &mut [u32], second_ends: &mut [u32]) {
        self.since_look.set(self.since_look.get() + first_ends.len());
        self.hashed.write_block(first, first_ends, second_ends);
    }
}

#[test]
fn no_more_than_two_spans_of_edges_pass_between_two_looks() {
    let keys = scattered(2_000_000);
    let geometry = Geometry::for_keys(keys.len()).unwrap();
    let (family, unit) = (Family::Folded, VectorUnit::best());
    let (since_look, most) = (Cell::new(0), Cell::new(0));
    let keep_going = || {
        most.set(most.get().max(since_look.take()));
        true
    };
    let mut graph = Graph::<u32>::default();
    for attempt in 1..=3 {
        let seeds = &SeedSource::default().draw(attempt, family, geometry);
        let hashed = HashedKeys { keys: &keys, family, seeds, geometry, unit };
        let edges = Counted { hashed, since_look: &since_look };
        screen(&edges, geometry, graph.spare(geometry), unit, &keep_going).unwrap();
        graph.peel(&edges, geometry, unit, &keep_going).unwrap();
    }
    assert!(keep_going());
    assert!((SPAN..=2 * SPAN).contains(&most.get()), "{} edges", most.get());
}
