//! A range of attempts: the unit of work of a search.

use core::fmt;

use super::plan::Stage;
use crate::graph::{Attempter, Obstacle, Outcome};
use crate::interrupt::{Interrupted, KeepGoing};
use crate::seeds::{SeedSource, Seeds};

/// Attempts `first..end` of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptRange {
    /// The stage.
    pub stage: Stage,
    /// Where seeds come from.
    pub seeds: SeedSource,
    /// The first attempt.
    pub first: u64,
    /// The attempt after the last.
    pub end: u64,
    /// Whether to go on after a success.
    pub counts_on: bool,
}

impl AttemptRange {
    /// Looks for what makes all attempts of the stage fail.
    fn end_by_obstacle(&self, attempter: &Attempter<'_>, keep_going: &KeepGoing<'_>) -> RangeEnd {
        let Stage { family, geometry, attempts, .. } = self.stage;
        if attempts > OBSTRUCTED_MAX {
            return RangeEnd::Done;
        }
        let last = attempts.max(OBSTRUCTED_MIN);
        match attempter.obstacle(family, self.seeds, geometry, last, keep_going) {
            Ok(None) => RangeEnd::Done,
            Ok(Some((obstacle, doublings))) => RangeEnd::Obstructed { obstacle, doublings },
            Err(Interrupted) => RangeEnd::Stopped,
        }
    }
}

/// What came of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeReport {
    /// The first attempt of the range, which names it.
    pub first: u64,
    /// Counts of the attempts that were made.
    pub tally: Tally,
    /// The first success, with its seeds.
    pub success: Option<(u64, Seeds)>,
    /// Where the range ended.
    pub end: RangeEnd,
}

/// Counts of attempts by what came of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Attempts in which some key had the same vertex twice.
    pub vertex_collisions: u64,
    /// Attempts whose graph held a cycle.
    pub cyclic: u64,
    /// Attempts that succeeded.
    pub acyclic: u64,
}

impl Tally {
    /// All attempts.
    #[must_use]
    pub const fn attempts(&self) -> u64 {
        self.vertex_collisions + self.cyclic + self.acyclic
    }

    /// Counts one attempt.
    pub fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::VertexCollision => self.vertex_collisions += 1,
            Outcome::Cyclic => self.cyclic += 1,
            Outcome::Acyclic => self.acyclic += 1,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.vertex_collisions += other.vertex_collisions;
        self.cyclic += other.cyclic;
        self.acyclic += other.acyclic;
    }
}

/// So many attempts, as it is said: `1 attempt`, `2 attempts`.
#[derive(Debug, Clone, Copy)]
pub struct AttemptsMade(pub u64);

impl fmt::Display for AttemptsMade {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(formatter, "{} attempt{plural}", self.0)
    }
}

/// Why a range ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeEnd {
    /// All its attempts were made, or one succeeded and that was enough.
    Done,
    /// The caller said stop.
    Stopped,
    /// Neither its attempts nor those after it can succeed, and it was not run to its end.
    Obstructed {
        /// What makes them fail.
        obstacle: Obstacle,
        /// After so many doublings of the table it no longer does; `None` if there are no such.
        doublings: Option<u8>,
    },
}

/// Once so many attempts of a stage were in vain, it is looked for what makes all of them fail. Few searches
/// that find a table come so far, and those that do hash and sort their keys a few times more.
const LOOK_FOR_OBSTACLE_AFTER: u64 = 64;

/// Attempts, also beyond those of a stage, that an obstacle has to stand in: what is told of it is told of
/// the family. To look at so many takes a small set about as long as some hundred attempts.
const OBSTRUCTED_MIN: u64 = 1 << 12;

/// A stage of more attempts is not looked at: all of them have to be drawn, in a second or less.
const OBSTRUCTED_MAX: u64 = 1 << 24;

/// Makes the attempts of `range` in order until one succeeds, or `keep_going(attempt)` says no.
///
/// That is asked before every attempt, and of large sets many times during one. An attempt that is
/// stopped while it runs counts for nothing, as if it had been stopped before it began.
pub fn try_range(
    attempter: &mut Attempter<'_>,
    range: &AttemptRange,
    keep_going: &dyn Fn(u64) -> bool,
) -> RangeReport {
    let Stage { family, geometry, .. } = range.stage;
    let mut report = RangeReport {
        first: range.first,
        tally: Tally::default(),
        success: None,
        end: RangeEnd::Done,
    };
    for attempt in range.first..range.end {
        if !keep_going(attempt) {
            report.end = RangeEnd::Stopped;
            break;
        }
        let seeds = range.seeds.draw(attempt, family, geometry);
        let tried = attempter.outcome(family, &seeds, geometry, &|| keep_going(attempt));
        let Ok(outcome) = tried else {
            report.end = RangeEnd::Stopped;
            break;
        };
        report.tally.count(outcome);
        if outcome == Outcome::Acyclic {
            report.success.get_or_insert((attempt, seeds));
            if !range.counts_on {
                break;
            }
        }
        if attempt == LOOK_FOR_OBSTACLE_AFTER && !range.counts_on {
            report.end = range.end_by_obstacle(attempter, &|| keep_going(attempt));
            if report.end != RangeEnd::Done {
                break;
            }
        }
    }
    report
}
