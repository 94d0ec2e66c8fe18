//! [`Search`]: which attempts come next, and when it is settled.

use alloc::collections::BTreeMap;

use super::plan::{Limit, Obstructed, Plan, PlanError, Stage};
use super::range::{AttemptRange, RangeEnd, RangeReport, Tally};
use crate::graph::Obstacle;
use crate::key::{Downsize, KeySet, KeyWidth};
use crate::seeds::Seeds;

/// The winning attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Win {
    /// The stage it belongs to.
    pub stage: Stage,
    /// Its number within the stage, counted from 1.
    pub attempt: u64,
    /// Its seeds.
    pub seeds: Seeds,
}

/// What a search came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Counts over all stages, up to the winner.
    pub tally: Tally,
    /// The last stage.
    pub stage: Stage,
    /// The winner, or what ended the search without one.
    pub outcome: Result<Win, Limit>,
}

impl Verdict {
    /// The winning attempt, if there was one.
    #[must_use]
    pub fn win(&self) -> Option<&Win> {
        self.outcome.as_ref().ok()
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Run this range and hand the report to [`Search::complete`].
    Try(AttemptRange),
    /// Nothing to hand out before a range in flight is reported.
    Wait,
    /// The search is over; [`Search::verdict`] tells the rest.
    Settled,
}

/// The search over one key set. See the module's drawing.
///
/// Invariant: attempts below `merged` are counted in `tally`; those from `merged` to `handed_out`
/// are in flight or in `early`.
#[derive(Debug)]
pub struct Search {
    plan: Plan,
    num_keys: usize,
    key_width: KeyWidth,
    downsize: Option<Downsize>,
    stage: Stage,
    handed_out: u64,
    merged: u64,
    early: BTreeMap<u64, (u64, RangeReport)>,
    in_flight: BTreeMap<u64, u64>,
    /// A report in `early` ends the search or its stage, whatever those before it say: no further range
    /// matters.
    is_enough: bool,
    /// Why no further attempt of the stage can succeed. Those in flight count for nothing.
    obstructed: Option<Obstructed>,
    tally: Tally,
    winner: Option<Win>,
    settled: Option<Result<Win, Limit>>,
}

impl Search {
    /// A search by `plan` on `keys`.
    ///
    /// # Errors
    /// [`PlanError`] if it cannot succeed.
    pub fn new(keys: &KeySet, plan: &Plan) -> Result<Self, PlanError> {
        let stage = plan.first_stage(keys)?;
        let mut search = Self {
            plan: plan.clone(),
            num_keys: keys.len(),
            key_width: keys.width(),
            downsize: keys.downsize(),
            stage,
            handed_out: 1,
            merged: 1,
            early: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            is_enough: false,
            obstructed: None,
            tally: Tally::default(),
            winner: None,
            settled: None,
        };
        search.advance();
        Ok(search)
    }

    /// The next range to try.
    pub fn next_range(&mut self) -> Step {
        if self.settled.is_some() {
            return Step::Settled;
        }
        if !self.has_range() {
            return Step::Wait;
        }
        let stage_end = self.stage.attempts + 1;
        let first = self.handed_out;
        let end = stage_end.min(first + range_length(self.num_keys));
        self.handed_out = end;
        self.in_flight.insert(first, end);
        Step::Try(AttemptRange {
            stage: self.stage,
            seeds: self.plan.seeds,
            first,
            end,
            counts_on: self.plan.fixed_attempts.is_some(),
        })
    }

    /// Takes the report of a range that [`Self::next_range`] handed out.
    ///
    /// # Panics
    /// If it handed out no such range.
    pub fn complete(&mut self, report: RangeReport) {
        let end = self.in_flight.remove(&report.first);
        let end = end.expect("a report belongs to a range in flight");
        if self.settled.is_some() {
            return;
        }
        let is_won = report.success.is_some() && self.plan.fixed_attempts.is_none();
        self.is_enough |= is_won || report.end != RangeEnd::Done;
        self.early.insert(report.first, (end, report));
        while self.obstructed.is_none()
            && let Some((end, report)) = self.early.remove(&self.merged)
        {
            self.merge(end, &report);
            if self.settled.is_some() {
                return;
            }
        }
        self.advance();
    }

    /// Whether attempts from `first` on can still matter: a range for which this is false may be
    /// given up, its report counts for nothing.
    #[must_use]
    pub fn needs(&self, first: u64) -> bool {
        let earliest_success = self.early.values().find_map(|(_, report)| report.success);
        let bound = earliest_success.filter(|_| self.plan.fixed_attempts.is_none());
        let is_obstructed = self.obstructed.is_some() && first >= self.merged;
        self.settled.is_none() && !is_obstructed && bound.is_none_or(|(attempt, _)| first < attempt)
    }

    /// The stage of the next range: another than before when the table was doubled.
    #[must_use]
    pub const fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Whether [`Self::next_range`] has one now.
    #[must_use]
    pub const fn has_range(&self) -> bool {
        self.settled.is_none() && !self.is_enough && self.handed_out <= self.stage.attempts
    }

    /// What the search came to.
    ///
    /// # Panics
    /// If it is not settled.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let outcome = self.settled.expect("a verdict comes after the search is settled");
        Verdict { tally: self.tally, stage: self.stage, outcome }
    }

    fn merge(&mut self, end: u64, report: &RangeReport) {
        self.tally.add(report.tally);
        self.merged = end;
        if let Some((attempt, seeds)) = report.success {
            let win = Win { stage: self.stage, attempt, seeds };
            let winner = *self.winner.get_or_insert(win);
            if self.plan.fixed_attempts.is_none() {
                self.settled = Some(Ok(winner));
                return;
            }
        }
        match report.end {
            RangeEnd::Done => {}
            RangeEnd::Stopped => self.settled = Some(self.winner.ok_or(Limit::Stopped)),
            RangeEnd::Obstructed { obstacle, doublings } => {
                self.obstructed = Some(self.obstructed(obstacle, doublings));
            }
        }
    }

    fn obstructed(&self, hashed: Obstacle, doublings: Option<u8>) -> Obstructed {
        let restore = |key| self.downsize.map_or(key, |downsize| downsize.restore(key));
        Obstructed {
            family: self.stage.family,
            vertices: self.stage.geometry.vertices(),
            obstacle: match hashed {
                Obstacle::Loop(key) => Obstacle::Loop(restore(key)),
                Obstacle::Parallel(one, other) => Obstacle::Parallel(restore(one), restore(other)),
            },
            key_width: self.key_width,
            doublings,
            has_fixed_seeds: self.plan.seeds.fixed.iter().any(|word| *word != 0),
        }
    }

    /// Goes to the next stage when this one is used up, or obstructed and nothing of it is in flight.
    fn advance(&mut self) {
        if self.merged <= self.stage.attempts && self.obstructed.is_none() {
            return;
        }
        if let Some(winner) = self.winner {
            self.settled = Some(Ok(winner));
            return;
        }
        match self.plan.next_stage(&self.stage, self.tally.attempts(), self.num_keys) {
            Err(limit) => {
                self.settled = Some(Err(self.obstructed.map_or(limit, Limit::Obstructed)));
            }
            Ok(_) if !self.in_flight.is_empty() => {}
            Ok(stage) => {
                self.stage = stage;
                self.early.clear();
                self.is_enough = false;
                self.obstructed = None;
                self.handed_out = 1;
                self.merged = 1;
            }
        }
    }
}

/// Enough attempts that handing out a range costs nothing beside them, few enough that threads do
/// not run far past a winner: about a million edges.
fn range_length(num_keys: usize) -> u64 {
    (1_000_000 / num_keys as u64).clamp(1, 1024)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use core::cell::Cell;

    use super::*;
    use crate::family::{Family, MemberVisitor};
    use crate::geometry::Geometry;
    use crate::graph::{Attempter, Scratch};
    use crate::key::Repair;
    use crate::search::plan::FamilyChoice;
    use crate::search::range::try_range;
    use crate::seeds::SeedSource;

    fn strided_keys(num_keys: u32, stride: u32) -> KeySet {
        let keys = (1..=num_keys).map(|key| key * stride).collect();
        KeySet::from_u32(keys, Repair::default()).unwrap()
    }

    /// Keys that differ in their high bits only: `Multiply` gives every one the vertices `(0, 0)`.
    fn hopeless() -> (KeySet, Plan) {
        (strided_keys(100, 1 << 20), plan("Multiply"))
    }

    fn plan(name: &str) -> Plan {
        let family = FamilyChoice::Named(Family::from_name(name).unwrap());
        Plan { family, ..Plan::default() }
    }

    /// Drives a search as several threads would: up to `width` ranges in flight, reported in an
    /// order that `pick` chooses.
    fn run(
        keys: &KeySet,
        plan: &Plan,
        width: usize,
        mut pick: impl FnMut(usize) -> usize,
    ) -> Verdict {
        let mut search = Search::new(keys, plan).unwrap();
        let mut scratch = Scratch::default();
        let mut attempter = Attempter::new(keys.hashed(), &mut scratch);
        let mut running = Vec::new();
        loop {
            while running.len() < width {
                match search.next_range() {
                    Step::Try(range) => running.push(range),
                    Step::Wait => break,
                    Step::Settled => {
                        assert!(running.is_empty() || width > 1);
                        return search.verdict();
                    }
                }
            }
            let range = running.swap_remove(pick(running.len()));
            let report = try_range(&mut attempter, &range, &|attempt| search.needs(attempt));
            search.complete(report);
        }
    }

    #[test]
    fn any_order_of_reports_gives_the_same_verdict() {
        let keys = strided_keys(2000, 7919);
        for name in ["MultiplyShiftR", "Jenkins", "Fnv"] {
            let plan = Plan { attempts_max: 5000, grow_after: Some(1200), ..plan(name) };
            let expected = run(&keys, &plan, 1, |_| 0);
            for seed in 1..6u32 {
                let mut state = seed;
                let found = run(&keys, &plan, 4, |choices| {
                    state = state.wrapping_mul(747_796_405).wrapping_add(1);
                    (state >> 16) as usize % choices
                });
                assert_eq!(found, expected, "{name}");
            }
        }
    }

    #[test]
    fn fixed_attempts_are_all_made_and_the_first_success_wins() {
        let keys = strided_keys(50, 7919);
        let alone = run(&keys, &plan("Jenkins"), 1, |_| 0);
        let plan = Plan { fixed_attempts: Some(100), ..plan("Jenkins") };
        let fixed = run(&keys, &plan, 3, |choices| choices - 1);
        assert_eq!(fixed.tally.attempts(), 100);
        assert!(fixed.tally.acyclic > 1);
        let winner = |verdict: Verdict| verdict.win().map(|win| (win.attempt, win.seeds));
        assert_eq!(winner(fixed), winner(alone));
    }

    #[test]
    fn a_search_in_vain_ends_at_its_limit() {
        let (keys, hopeless) = hopeless();
        let check = |plan: Plan, limit, attempts, grows| {
            let verdict = run(&keys, &plan, 1, |_| 0);
            assert_eq!(verdict.outcome, Err(limit));
            assert_eq!(verdict.tally.attempts(), attempts);
            assert_eq!(verdict.stage.grows, grows);
        };
        check(Plan { attempts_max: 40, ..hopeless.clone() }, Limit::Attempts, 40, 0);
        check(Plan { grow_after: Some(10), grows_max: 2, ..hopeless.clone() }, Limit::Grows, 30, 2);
        let geometry = Geometry::for_keys(keys.len()).unwrap();
        let memory_bytes_max = Attempter::memory_bytes(keys.len(), geometry);
        check(
            Plan { grow_after: Some(10), memory_bytes_max, ..hopeless.clone() },
            Limit::Memory,
            10,
            0,
        );
        let mut fixed = hopeless;
        fixed.seeds.fixed = [1; 8];
        check(fixed, Limit::FixedSeeds, 1, 0);
    }

    /// The edge of `key` in an attempt, by no code of the search.
    fn edge(key: u64, attempt: u64, stage: Stage) -> (u32, u32) {
        struct Of(u32);
        impl MemberVisitor<u32> for Of {
            type Output = (u32, u32);
            fn visit<F: Fn(u32) -> (u32, u32) + Copy>(self, vertices: F) -> (u32, u32) {
                vertices(self.0)
            }
        }
        let key = u32::try_from(key).unwrap();
        let seeds = SeedSource { rng_seed: 7, ..SeedSource::default() };
        let seeds = seeds.draw(attempt, stage.family, stage.geometry);
        stage.family.with_member_u32(&seeds, stage.geometry, Of(key))
    }

    /// All limits were burnt: 10 million attempts, or ten minutes.
    #[test]
    fn a_set_that_no_seeds_solve_is_given_up_with_the_keys_that_they_do_not_part() {
        let equal_low_bits = strided_keys(100, 1 << 20);
        let offset = (1..=100).map(|key| key << 20 | 5).collect();
        let offset = KeySet::from_u32(offset, Repair::default()).unwrap();
        let sets = [
            ("Multiply", &offset),
            ("AddSubXor", &offset),
            ("MultiplyXor", &offset),
            ("Multiply", &equal_low_bits),
            ("Crc32", &strided_keys(20_000, 10)),
            ("Crc32Not", &strided_keys(20_000, 10)),
            // 1 * 33^3 == 33 * 33^2.
            ("Djb", &KeySet::from_u32(vec![1, 7, 33 << 8], Repair::default()).unwrap()),
            ("Xor", &strided_keys(3000, 0x1_0001)),
        ];
        for (name, keys) in sets {
            let plan = Plan { attempts_max: 100_000, ..plan(name) };
            let verdict = run(keys, &plan, 1, |_| 0);
            let Err(Limit::Obstructed(obstructed)) = verdict.outcome else {
                panic!("{name}: {verdict:?}")
            };
            assert_eq!(verdict.tally.attempts(), 64, "{name}");
            let told = match obstructed.obstacle {
                Obstacle::Loop(key) => vec![key],
                Obstacle::Parallel(one, other) => vec![one, other],
            };
            assert!(told.iter().all(|told| keys.iter().any(|key| key == *told)), "{told:x?}");
            for attempt in 1..10_000 {
                let edges: Vec<_> =
                    told.iter().map(|key| edge(*key, attempt, verdict.stage)).collect();
                match *edges {
                    [(first, second)] => assert_eq!(first, second, "{name} {told:x?}"),
                    [one, other] => {
                        assert!(other == one || other == (one.1, one.0), "{name} {told:x?}");
                    }
                    _ => unreachable!("one key or two"),
                }
            }
            for seed in 1..4u32 {
                let mut state = seed;
                let found = run(keys, &plan, 4, |choices| {
                    state = state.wrapping_mul(747_796_405).wrapping_add(1);
                    (state >> 16) as usize % choices
                });
                assert_eq!(found, verdict, "{name}");
            }
        }
    }

    #[test]
    fn what_no_seeds_part_is_told_with_its_reason() {
        let check = |keys: &KeySet, plan: &Plan, expected: &str| {
            let outcome = run(keys, plan, 1, |_| 0).outcome;
            assert_eq!(outcome.unwrap_err().to_string(), expected);
        };
        let two = KeySet::from_u32(vec![5, 0x45], Repair::default()).unwrap();
        let words = "Multiply gives keys 0x00000005 and 0x00000045 the same two of 16 vertices, whatever its seeds; not so of 128";
        check(&two, &plan("Multiply"), words);
        let one = KeySet::from_u32(vec![5, 0x40], Repair::default()).unwrap();
        let words = "Multiply gives key 0x00000040 one of 16 vertices twice, whatever its seeds; not so of 128";
        check(&one, &plan("Multiply"), words);
        let gathered = KeySet::from_u64(vec![5 << 36, 0x3f << 36, 0x45 << 36], Repair::default());
        let words = "Multiply gives keys 0x0000005000000000 and 0x0000045000000000 the same two of 16 vertices, whatever its seeds; not so of 128";
        check(&gathered.unwrap(), &plan("Multiply"), words);
        let mut fixed = plan("MultiplyShiftR");
        fixed.seeds.fixed[..2].copy_from_slice(&[1 << 31, 1 << 31]);
        let words = "MultiplyShiftR gives keys 0x00000005 and 0x00000045 the same two of 16 vertices, whatever the seeds beside those that are fixed";
        check(&two, &fixed, words);
    }

    #[test]
    fn a_table_that_no_seeds_find_is_doubled_at_once_if_it_may_be() {
        let keys = strided_keys(20_000, 10);
        let may_grow = Plan { grow_after: Some(100_000), ..plan("Crc32") };
        let grown = run(&keys, &may_grow, 1, |_| 0);
        let win = *grown.win().expect("with more bits the keys are parted");
        assert!(grown.stage.grows > 0);
        assert_eq!(grown.tally.attempts(), 64 * u64::from(grown.stage.grows) + win.attempt);
        let at_once = Plan { grows_initial: grown.stage.grows, ..plan("Crc32") };
        let at_once = *run(&keys, &at_once, 1, |_| 0).win().unwrap();
        assert_eq!((at_once.attempt, at_once.seeds), (win.attempt, win.seeds));
        for seed in 1..6u32 {
            let mut state = seed;
            let found = run(&keys, &may_grow, 4, |choices| {
                state = state.wrapping_mul(747_796_405).wrapping_add(1);
                (state >> 16) as usize % choices
            });
            assert_eq!(found, grown);
        }
        let (keys, hopeless) = hopeless();
        let plan = Plan { grow_after: Some(1000), grows_max: 2, ..hopeless };
        let verdict = run(&keys, &plan, 1, |_| 0);
        let Err(Limit::Obstructed(obstructed)) = verdict.outcome else { panic!("{verdict:?}") };
        assert_eq!((verdict.tally.attempts(), verdict.stage.grows), (3 * 64, 2));
        assert_eq!(obstructed.vertices, verdict.stage.geometry.vertices());
    }

    /// The two keys differ in their lowest bit, which few seeds let through.
    #[test]
    fn keys_that_few_seeds_part_are_parted_by_the_attempt_that_parts_them_first() {
        let keys = KeySet::from_u32(vec![2, 3], Repair::default()).unwrap();
        let mut latest = 0;
        for rng_seed in 0..20 {
            let mut rare = plan("ShiftMultiplyXorShift2");
            rare.seeds = SeedSource { rng_seed, ..rare.seeds };
            rare.seeds.fixed[5] = 1;
            let found = *run(&keys, &rare, 1, |_| 0).win().expect("some seeds part them");
            let all = Plan { fixed_attempts: Some(5000), ..rare };
            let expected = *run(&keys, &all, 1, |_| 0).win().unwrap();
            assert_eq!((found.attempt, found.seeds), (expected.attempt, expected.seeds));
            latest = latest.max(found.attempt);
        }
        assert!(latest > 64, "{latest}");
    }

    #[test]
    fn no_obstacle_is_looked_for_where_all_attempts_are_to_be_made_or_are_too_many_to_look_through()
    {
        let (keys, hopeless) = hopeless();
        let fixed = Plan { fixed_attempts: Some(300), ..hopeless.clone() };
        let verdict = run(&keys, &fixed, 1, |_| 0);
        assert_eq!((verdict.outcome, verdict.tally.attempts()), (Err(Limit::Attempts), 300));
        let most = Plan { attempts_max: u64::MAX, ..hopeless };
        let mut search = Search::new(&keys, &most).unwrap();
        let Step::Try(range) = search.next_range() else { panic!("a range") };
        let mut scratch = Scratch::default();
        let mut attempter = Attempter::new(keys.hashed(), &mut scratch);
        let report = try_range(&mut attempter, &range, &|_| true);
        assert_eq!((report.end, report.tally.attempts()), (RangeEnd::Done, 1024));
    }

    /// Where it was told to stop while it looked for an obstacle, none is there.
    #[test]
    fn who_looks_for_an_obstacle_is_stopped_as_an_attempt_is() {
        let (keys, hopeless) = hopeless();
        let mut search = Search::new(&keys, &hopeless).unwrap();
        let Step::Try(range) = search.next_range() else { panic!("a range") };
        let mut scratch = Scratch::default();
        let mut attempter = Attempter::new(keys.hashed(), &mut scratch);
        for most in [1, 5, 20] {
            let asked = Cell::new(0);
            let keep_going = |attempt| {
                asked.set(asked.get() + u32::from(attempt == 64));
                asked.get() <= most
            };
            let report = try_range(&mut attempter, &range, &keep_going);
            assert_eq!((report.end, report.tally.attempts()), (RangeEnd::Stopped, 64), "{most}");
        }
    }

    /// Ten million attempts were made where a thousand differ.
    #[test]
    fn seeds_that_are_fixed_but_for_few_bits_are_all_tried_and_no_more() {
        let keys = KeySet::from_u32((1..=2048).map(|key| key * key).collect(), Repair::default());
        let keys = keys.unwrap();
        let mut few = plan("Mulshrolate1RX");
        few.seeds.fixed[..2].copy_from_slice(&[3, 5]);
        let check = |plan: Plan, limit, attempts, grows| {
            let verdict = run(&keys, &plan, 1, |_| 0);
            assert_eq!(verdict.outcome, Err(limit));
            assert_eq!((verdict.tally.attempts(), verdict.stage.grows), (attempts, grows));
        };
        let combinations = 32;
        let all = Limit::FewSeeds { combinations };
        check(few.clone(), all, 1024, 0);
        check(Plan { attempts_max: 1000, ..few.clone() }, Limit::Attempts, 1000, 0);
        check(Plan { grow_after: Some(5000), grows_max: 1, ..few.clone() }, all, 2048, 1);
        check(Plan { grow_after: Some(500), grows_max: 1, ..few.clone() }, Limit::Grows, 1000, 1);
        check(Plan { fixed_attempts: Some(3000), ..few }, Limit::Attempts, 3000, 0);
    }

    /// With fewer attempts the search would be told to end before all were tried.
    #[test]
    fn all_combinations_of_few_bits_are_drawn() {
        let few = SeedSource { fixed: [1, 2, 3, 4, 5, 0, 0, 0], ..SeedSource::default() };
        let family = Family::from_name("Mulshrolate4RX").unwrap();
        let geometry = Geometry::for_keys(2048).unwrap();
        let seen: BTreeSet<u32> = (1..=32 * 1024)
            .map(|attempt| few.draw(attempt, family, geometry).word(3) & 0x1f_1f00)
            .collect();
        assert_eq!(seen.len(), 1024);
    }

    #[test]
    fn as_many_attempts_may_be_asked_for_as_can_be_written() {
        let (keys, hopeless) = hopeless();
        let most = Some(u64::MAX);
        let asked = [
            Plan { attempts_max: u64::MAX, ..hopeless.clone() },
            Plan { attempts_max: u64::MAX, grow_after: most, ..hopeless.clone() },
            Plan { fixed_attempts: most, ..hopeless },
        ];
        for plan in asked {
            let range = Search::new(&keys, &plan).unwrap().next_range();
            assert!(matches!(range, Step::Try(range) if range.first == 1), "{plan:?}");
        }
    }

    /// A stage without attempts would never be over: whoever drives it would wait for no range.
    #[test]
    fn a_plan_without_attempts_is_refused() {
        let (keys, hopeless) = hopeless();
        let check = |plan: Plan, field| {
            assert_eq!(Search::new(&keys, &plan).err(), Some(PlanError::NoAttempts { field }));
        };
        check(Plan { attempts_max: 0, ..hopeless.clone() }, "attempts_max");
        check(Plan { fixed_attempts: Some(0), ..hopeless.clone() }, "fixed_attempts");
        check(Plan { grow_after: Some(0), ..hopeless }, "grow_after");
    }

    #[test]
    fn the_stage_of_a_range_is_told_before_it_is_handed_out() {
        let (keys, hopeless) = hopeless();
        let plan = Plan { grow_after: Some(10), grows_max: 3, ..hopeless };
        let mut search = Search::new(&keys, &plan).unwrap();
        let mut scratch = Scratch::default();
        let mut attempter = Attempter::new(keys.hashed(), &mut scratch);
        let mut geometries = Vec::new();
        while search.has_range() {
            let told = *search.stage();
            let Step::Try(range) = search.next_range() else { panic!("a range") };
            assert_eq!(range.stage, told);
            assert!(!search.has_range(), "ten attempts are one range");
            geometries.push(told.geometry);
            search.complete(try_range(&mut attempter, &range, &|_| true));
        }
        assert_eq!(search.verdict().outcome, Err(Limit::Grows));
        assert_eq!(geometries[0], Geometry::for_keys(keys.len()).unwrap());
        assert!(geometries.is_sorted_by(|one, next| one.grown() == Some(*next)));
        assert_eq!(geometries.len(), 4);
    }

    /// Whoever drives it would try ranges without end until the one before them is reported.
    #[test]
    fn no_range_is_handed_out_behind_one_that_ends_the_search() {
        let (keys, in_vain) = hopeless();
        // More attempts than are looked through for an obstacle.
        let in_vain = Plan { attempts_max: u64::MAX, ..in_vain };
        let solvable = plan("Jenkins");
        let check = |keys: &KeySet, plan: &Plan, stops: bool, expected: Option<Limit>| {
            let mut search = Search::new(keys, plan).unwrap();
            let mut scratch = Scratch::default();
            let mut attempter = Attempter::new(keys.hashed(), &mut scratch);
            let [first, second] = [(); 2].map(|()| match search.next_range() {
                Step::Try(range) => range,
                other => panic!("{other:?}"),
            });
            search.complete(try_range(&mut attempter, &second, &|_| !stops));
            assert_eq!((search.has_range(), search.next_range()), (false, Step::Wait));
            search.complete(try_range(&mut attempter, &first, &|_| true));
            assert_eq!(search.next_range(), Step::Settled);
            assert_eq!(search.verdict().outcome.err(), expected);
        };
        check(&keys, &in_vain, true, Some(Limit::Stopped));
        check(&strided_keys(50, 7919), &solvable, false, None);
        let counts_on = Plan { fixed_attempts: Some(100_000), ..in_vain };
        check(&keys, &counts_on, true, Some(Limit::Stopped));
    }

    #[test]
    fn a_stop_settles_the_search() {
        let (keys, plan) = hopeless();
        let mut search = Search::new(&keys, &plan).unwrap();
        let mut scratch = Scratch::default();
        let mut attempter = Attempter::new(keys.hashed(), &mut scratch);
        let Step::Try(range) = search.next_range() else { panic!("a range") };
        let report = try_range(&mut attempter, &range, &|attempt| attempt < 5);
        search.complete(report);
        assert_eq!(search.next_range(), Step::Settled);
        assert_eq!(search.verdict().outcome, Err(Limit::Stopped));
        assert_eq!(search.verdict().tally.attempts(), 4);
    }
}
