//! Work that is stopped at any of its looks at the caller's flag leaves nothing behind.

use std::cell::Cell;

use perfecta_core::family::Family;
use perfecta_core::geometry::Geometry;
use perfecta_core::graph::{Attempter, Outcome, Scratch};
use perfecta_core::interrupt::{Interrupted, KeepGoing};
use perfecta_core::key::{KeySet, KeyWidth, Repair, Shape, generate};
use perfecta_core::search::{Limit, Plan, RangeEnd, Search, Step, search, try_range};
use perfecta_core::seeds::SeedSource;

/// Several spans of keys, close to the capacity of their table: about every second attempt is cyclic.
const NUM_KEYS: usize = 250_000;

fn middle_sized() -> KeySet {
    let keys = generate(Shape::Uniform, KeyWidth::Bits32, NUM_KEYS, 1);
    let keys = keys.into_iter().map(|key| key as u32).collect();
    KeySet::from_u32(keys, Repair::default()).expect("generated keys are sorted and distinct")
}

/// Calls `work` with a flag that says stop at the first look, then with one that says so at the
/// second, and so on, until it is done before its flag says so. Gives back the looks it then makes.
fn stop_at_every_look(mut work: impl FnMut(&KeepGoing<'_>) -> Result<(), Interrupted>) -> usize {
    for stop_at in 1.. {
        let looks = Cell::new(0);
        let result = work(&|| {
            looks.set(looks.get() + 1);
            assert!(looks.get() <= stop_at, "it goes on after it was told to stop");
            looks.get() < stop_at
        });
        match result {
            Ok(()) => {
                assert!(looks.get() < stop_at, "it was told to stop, and is done all the same");
                return looks.get();
            }
            Err(Interrupted) => assert_eq!(looks.get(), stop_at, "nobody said stop"),
        }
    }
    unreachable!("some look is the last");
}

/// Until both orders of the keys were tried and judged: what is learned must survive, too.
#[test]
fn an_attempt_stopped_at_any_look_leaves_the_attempter_as_it_was() {
    const CYCLIC: usize = 68;
    let keys = middle_sized();
    let geometry = Geometry::for_keys(NUM_KEYS).unwrap();
    let (family, source) = (Family::Folded, SeedSource::default());
    let (mut calm_scratch, mut scratch) = (Scratch::default(), Scratch::default());
    let mut calm = Attempter::new(keys.hashed(), &mut calm_scratch);
    let mut attempter = Attempter::new(keys.hashed(), &mut scratch);
    let (mut cyclic, mut acyclic, mut looks) = (0, 0, 0);
    for attempt in 1.. {
        let seeds = source.draw(attempt, family, geometry);
        let expected = calm.outcome(family, &seeds, geometry, &|| true).unwrap();
        looks += stop_at_every_look(|keep_going| {
            let outcome = attempter.outcome(family, &seeds, geometry, keep_going)?;
            assert_eq!(outcome, expected, "attempt {attempt}");
            Ok(())
        });
        if expected == Outcome::Acyclic && acyclic < 2 {
            acyclic += 1;
            let values = calm.assign(family, &seeds, geometry, &|| true).unwrap();
            looks += stop_at_every_look(|keep_going| {
                let found = attempter.assign(family, &seeds, geometry, keep_going)?;
                assert!(found == values, "attempt {attempt}: assigned");
                Ok(())
            });
        }
        cyclic += usize::from(expected == Outcome::Cyclic);
        if cyclic == CYCLIC && acyclic == 2 {
            break;
        }
    }
    assert!(looks > 500, "{looks} looks");
}

#[test]
fn a_search_stopped_at_any_look_counts_whole_attempts_and_can_be_made_again() {
    let keys = middle_sized();
    let plan = Plan::default();
    let calm = search(&keys, &plan, &mut Scratch::default(), &|| true).unwrap();
    let winner = calm.verdict.win().expect("it is solved").attempt;
    let mut scratch = Scratch::default();
    let mut tally = calm.verdict.tally;
    (tally.vertex_collisions, tally.cyclic, tally.acyclic) = (0, 0, 0);
    let looks = stop_at_every_look(|keep_going| {
        let stopped = search(&keys, &plan, &mut scratch, keep_going).unwrap();
        if stopped.verdict.outcome == Err(Limit::Stopped) {
            assert_eq!(stopped.table, None);
            let now = stopped.verdict.tally;
            let more = now.attempts() - tally.attempts();
            assert!(more <= 1, "one look ends one attempt at most");
            assert!(now.acyclic <= 1 && now.attempts() <= winner);
            tally = now;
            let again = search(&keys, &plan, &mut scratch, &|| true).unwrap();
            assert!(again == calm, "another table after a stop");
            return Err(Interrupted);
        }
        assert!(stopped == calm);
        Ok(())
    });
    assert_eq!(tally, calm.verdict.tally, "the last looks are those of the winner's assignment");
    assert!(looks as u64 > 10 * winner, "{looks} looks in {winner} attempts");
}

/// The bound by which a search on several threads gives up attempts that no longer matter.
#[test]
fn a_running_attempt_is_given_up_when_an_earlier_one_wins() {
    let keys = middle_sized();
    let mut machine = Search::new(&keys, &Plan::default()).unwrap();
    let (mut scratch, bound) = (Scratch::default(), Cell::new(u64::MAX));
    let mut attempter = Attempter::new(keys.hashed(), &mut scratch);
    let Step::Try(range) = machine.next_range() else { panic!("a range") };
    let looks = Cell::new(0);
    let report = try_range(&mut attempter, &range, &|attempt| {
        if attempt == range.first + 1 {
            looks.set(looks.get() + 1);
        }
        // Another thread's success comes when the second attempt has begun.
        if looks.get() == 2 {
            bound.set(range.first + 1);
        }
        attempt < bound.get()
    });
    assert_eq!((report.end, report.tally.attempts()), (RangeEnd::Stopped, 1));
    assert_eq!(looks.get(), 2);
}

#[test]
fn a_check_of_a_table_stopped_at_any_look_says_nothing_of_the_table() {
    let keys = middle_sized();
    let solution = search(&keys, &Plan::default(), &mut Scratch::default(), &|| true).unwrap();
    let table = solution.table.expect("it is solved");
    let looks = stop_at_every_look(|keep_going| {
        assert_eq!(table.view().verify_while(&keys, keep_going)?, Ok(()));
        Ok(())
    });
    assert_eq!(looks, 3);
}
