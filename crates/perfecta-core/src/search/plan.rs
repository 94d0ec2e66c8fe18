//! What to search for and how long: stages, limits, and the refusals that need no attempt.

use core::fmt;
use core::str::FromStr;

use crate::family::{Family, Unsuitable};
use crate::geometry::Geometry;
use crate::graph::{Attempter, Obstacle};
use crate::key::{KeySet, KeyWidth};
use crate::seeds::{FixedSeedsError, SeedSource};

/// Which family to search in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FamilyChoice {
    /// perfecta chooses, and may grow the table where that is the quicker way.
    #[default]
    Auto,
    /// Just this one.
    Named(Family),
}

impl FamilyChoice {
    /// The family that is searched in.
    #[must_use]
    pub const fn family(self) -> Family {
        match self {
            Self::Auto => Family::Folded,
            Self::Named(family) => family,
        }
    }
}

impl fmt::Display for FamilyChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::Named(family) => formatter.write_str(family.name()),
        }
    }
}

/// `auto` or the family's name, both in any case, or its id.
impl FromStr for FamilyChoice {
    type Err = UnknownFamily;

    fn from_str(choice: &str) -> Result<Self, UnknownFamily> {
        if choice.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        let by_id = choice.parse().ok().and_then(Family::from_id);
        let by_name = || Family::all().find(|family| family.name().eq_ignore_ascii_case(choice));
        by_id.or_else(by_name).map(Self::Named).ok_or(UnknownFamily)
    }
}

/// No family has that name or id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such hash family")]
pub struct UnknownFamily;

/// A search that is to be made. Each number of attempts is at least 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The family.
    pub family: FamilyChoice,
    /// Where seeds come from.
    pub seeds: SeedSource,
    /// Run exactly this many attempts, also after a success, and count what comes of them; the
    /// lowest-numbered success is the winner. The table does not grow. Just one is made where seeds
    /// are fixed, as all would be the same; where few bits of them are not, all are made.
    pub fixed_attempts: Option<u64>,
    /// Give up after so many attempts, all stages counted.
    pub attempts_max: u64,
    /// Double the vertices after so many attempts without success; `None` leaves it to the family:
    /// never for a named one, [`Plan::GROW_AFTER_AUTO`] for [`FamilyChoice::Auto`].
    pub grow_after: Option<u64>,
    /// Give up instead of growing more often than this.
    pub grows_max: u8,
    /// Start with the vertices doubled so many times.
    pub grows_initial: u8,
    /// Refuse an attempt that takes more bytes of memory than this.
    pub memory_bytes_max: u64,
}

impl Plan {
    /// Where attempts end by default: the hardest known set of the reference's functions wants
    /// 190,572.
    pub const ATTEMPTS_MAX: u64 = 10_000_000;
    /// As in the reference.
    pub const GROWS_MAX: u8 = 5;
    /// The least chance of an attempt in a table of 2^30 edges, all used, is 2 in 100: so many
    /// attempts in vain mean that doubling is the quicker way.
    pub const GROW_AFTER_AUTO: u64 = 256;

    /// [`Self::attempts_max`] where none is given: attempts that are made whatever comes of them may be
    /// more than the default.
    #[must_use]
    pub fn attempts_max_beside(fixed_attempts: Option<u64>) -> u64 {
        Self::ATTEMPTS_MAX.max(fixed_attempts.unwrap_or_default())
    }

    /// [`Self::grows_max`] where none is given: the doublings at first may be more than the default.
    #[must_use]
    pub fn grows_max_beside(grows_initial: u8) -> u8 {
        Self::GROWS_MAX.max(grows_initial)
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            family: FamilyChoice::Auto,
            seeds: SeedSource::default(),
            fixed_attempts: None,
            attempts_max: Self::ATTEMPTS_MAX,
            grow_after: None,
            grows_max: Self::GROWS_MAX,
            grows_initial: 0,
            memory_bytes_max: u64::MAX,
        }
    }
}

/// Attempts of one family in one geometry. Numbers of attempts start at 1 in each stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// The family.
    pub family: Family,
    /// Sizes of the graph.
    pub geometry: Geometry,
    /// How many attempts it has.
    pub attempts: u64,
    /// How often the vertices were doubled before it.
    pub grows: u8,
}

/// Why a plan cannot succeed on a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The family cannot serve these keys.
    #[error(transparent)]
    Unsuitable(#[from] Unsuitable),
    /// A number of attempts is 0: there would be nothing to try, or to double the table after.
    #[error("{field} is 0, at least 1 attempt must be made")]
    NoAttempts {
        /// The field of the plan.
        field: &'static str,
    },
    /// The graph is too large to start with.
    #[error("an attempt takes {needed} bytes of memory, the limit is {limit}")]
    Memory {
        /// Bytes that an attempt takes.
        needed: u64,
        /// The limit.
        limit: u64,
    },
    /// The initial doublings pass the greatest geometry.
    #[error("{grows} doublings pass the greatest table (2^31 vertices)")]
    TooLarge {
        /// Doublings asked for.
        grows: u8,
    },
}

/// Why a plan cannot be meant, whatever the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Contradiction {
    /// As [`PlanError::NoAttempts`].
    #[error("{field} is 0, at least 1 attempt must be made")]
    NoAttempts {
        /// The field of the plan.
        field: &'static str,
    },
    /// [`Plan::fixed_attempts`] is more than [`Plan::attempts_max`].
    #[error("{fixed} attempts are to be made, and {max} at most")]
    FixedAttempts {
        /// Attempts that are made whatever comes of them.
        fixed: u64,
        /// Attempts at most.
        max: u64,
    },
    /// [`Plan::grows_initial`] is more than [`Plan::grows_max`].
    #[error("the table is to be doubled {initial} times at first, and {max} times at most")]
    InitialGrows {
        /// Doublings before the first attempt.
        initial: u8,
        /// Doublings at most.
        max: u8,
    },
    /// Seeds are fixed that the family does not take.
    #[error(transparent)]
    Seeds(#[from] FixedSeedsError),
}

/// The limit that ended a search without a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Limit {
    /// [`Plan::attempts_max`] or [`Plan::fixed_attempts`] attempts were made.
    #[error("the limit of attempts is reached")]
    Attempts,
    /// The table was doubled [`Plan::grows_max`] times.
    #[error("the table was doubled as often as allowed")]
    Grows,
    /// A further doubling takes more memory than [`Plan::memory_bytes_max`], or passes the greatest
    /// geometry.
    #[error("a further doubling takes too much memory")]
    Memory,
    /// Every attempt would have the same, fixed seeds.
    #[error("the seeds are fixed, so every attempt is the same")]
    FixedSeeds,
    /// The seeds are fixed but for a few bits, and so many attempts were made that all combinations of
    /// these were drawn, but for chances that do not matter.
    #[error("what is not fixed of the seeds has {combinations} combinations, and all were tried")]
    FewSeeds {
        /// Different attempts that there are.
        combinations: u64,
    },
    /// No attempt can succeed.
    #[error(transparent)]
    Obstructed(#[from] Obstructed),
    /// The caller said stop: time is up, or the work was cancelled.
    #[error("stopped")]
    Stopped,
}

/// Why no attempt at a table of some size can succeed: one reason that stood in all the attempts that were
/// looked at, 4,096 at least and as many as the search would have made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct Obstructed {
    /// The family.
    pub family: Family,
    /// The vertices of the table.
    pub vertices: u32,
    /// The keys, as they are in the set.
    pub obstacle: Obstacle,
    /// The width of the keys.
    pub key_width: KeyWidth,
    /// After so many further doublings of the table it would not stand: other keys still may. `None` if there
    /// are no such.
    pub doublings: Option<u8>,
    /// Words of the seeds were fixed: others may help.
    pub has_fixed_seeds: bool,
}

impl fmt::Display for Obstructed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, vertices, obstacle, key_width, .. } = self;
        let digits = 2 + 2 * key_width.bytes();
        match obstacle {
            Obstacle::Loop(key) => write!(
                formatter,
                "{family} gives key {key:#0digits$x} one of {vertices} vertices twice"
            )?,
            Obstacle::Parallel(one, other) => write!(
                formatter,
                "{family} gives keys {one:#0digits$x} and {other:#0digits$x} the same two of {vertices} vertices"
            )?,
        }
        formatter.write_str(if self.has_fixed_seeds {
            ", whatever the seeds beside those that are fixed"
        } else {
            ", whatever its seeds"
        })?;
        match self.doublings {
            Some(doublings) => write!(formatter, "; not so of {}", vertices << doublings),
            None => Ok(()),
        }
    }
}

impl Plan {
    /// The first stage for `keys`.
    ///
    /// # Errors
    /// [`PlanError`] if no attempt can succeed or be made.
    pub fn first_stage(&self, keys: &KeySet) -> Result<Stage, PlanError> {
        if let Some(field) = self.field_without_attempts() {
            return Err(PlanError::NoAttempts { field });
        }
        let family = self.family.family();
        let hashed = keys.hashed().width();
        family.check_suits(hashed, keys.bitmap(), keys.first() == 0)?;
        let geometry = self.first_geometry(keys.len())?;
        let needed = Attempter::memory_bytes(keys.len(), geometry);
        if needed > self.memory_bytes_max {
            return Err(PlanError::Memory { needed, limit: self.memory_bytes_max });
        }
        let attempts = self.stage_attempts(family, 0);
        Ok(Stage { family, geometry, attempts, grows: self.grows_initial })
    }

    /// Whether what a user asks for can be meant: what is done whatever comes of it is not more than what is
    /// done at most. A search asks for no more than attempts: it makes the fixed number, and leaves out what
    /// the family does not take of seeds.
    ///
    /// # Errors
    /// [`Contradiction`].
    pub fn check(&self) -> Result<(), Contradiction> {
        if let Some(field) = self.field_without_attempts() {
            return Err(Contradiction::NoAttempts { field });
        }
        let max = self.attempts_max;
        if let Some(fixed) = self.fixed_attempts.filter(|fixed| *fixed > max) {
            return Err(Contradiction::FixedAttempts { fixed, max });
        }
        let (initial, max) = (self.grows_initial, self.grows_max);
        if initial > max {
            return Err(Contradiction::InitialGrows { initial, max });
        }
        Ok(self.seeds.check_fixed(self.family.family())?)
    }

    /// Without one, every stage has an attempt.
    fn field_without_attempts(&self) -> Option<&'static str> {
        let counts = [
            ("attempts_max", Some(self.attempts_max)),
            ("fixed_attempts", self.fixed_attempts),
            ("grow_after", self.grow_after),
        ];
        counts.into_iter().find(|(_, count)| *count == Some(0)).map(|(field, _)| field)
    }

    /// Sizes of the graph that a search of so many keys begins with.
    ///
    /// # Errors
    /// [`PlanError::TooLarge`] if there is none.
    pub fn first_geometry(&self, num_keys: usize) -> Result<Geometry, PlanError> {
        let smallest = Geometry::for_keys(num_keys);
        let grown = (0..self.grows_initial).fold(smallest, |it, _| it.and_then(Geometry::grown));
        grown.ok_or(PlanError::TooLarge { grows: self.grows_initial })
    }

    /// The stage after `stage`, when `made` attempts were made in all stages so far.
    ///
    /// # Errors
    /// The limit that leaves no further stage.
    pub(crate) fn next_stage(
        &self,
        stage: &Stage,
        made: u64,
        num_keys: usize,
    ) -> Result<Stage, Limit> {
        if self.seeds.is_constant(stage.family) {
            return Err(Limit::FixedSeeds);
        }
        let few = self.few_combinations(stage.family);
        let spent = few.filter(|combinations| attempts_of_all(*combinations) == stage.attempts);
        let limit = |limit| spent.map_or(limit, |combinations| Limit::FewSeeds { combinations });
        self.grown_stage(stage, made, num_keys).map_err(limit)
    }

    fn grown_stage(&self, stage: &Stage, made: u64, num_keys: usize) -> Result<Stage, Limit> {
        if self.fixed_attempts.is_some() || made >= self.attempts_max {
            return Err(Limit::Attempts);
        }
        if self.grows_after().is_none() || stage.grows >= self.grows_max {
            return Err(Limit::Grows);
        }
        let geometry = stage.geometry.grown().ok_or(Limit::Memory)?;
        if Attempter::memory_bytes(num_keys, geometry) > self.memory_bytes_max {
            return Err(Limit::Memory);
        }
        let attempts = self.stage_attempts(stage.family, made);
        Ok(Stage { family: stage.family, geometry, attempts, grows: stage.grows + 1 })
    }

    /// Attempts of a stage. Numbers beyond them must be countable too.
    fn stage_attempts(&self, family: Family, made: u64) -> u64 {
        const COUNTABLE_MAX: u64 = u64::MAX / 2;
        if self.seeds.is_constant(family) {
            return 1;
        }
        if let Some(fixed) = self.fixed_attempts {
            return fixed.min(COUNTABLE_MAX);
        }
        let left = self.attempts_max - made;
        let until_grown = left.min(self.grows_after().unwrap_or(left));
        let different = self.few_combinations(family).map_or(COUNTABLE_MAX, attempts_of_all);
        until_grown.min(different)
    }

    /// Attempts of a stage after which the table is doubled, if it ever is.
    fn grows_after(&self) -> Option<u64> {
        match (self.grow_after, self.family) {
            (Some(attempts), _) => Some(attempts),
            (None, FamilyChoice::Auto) => Some(Self::GROW_AFTER_AUTO),
            (None, FamilyChoice::Named(_)) => None,
        }
    }

    /// How many different attempts there are in a geometry, where that is few: the seeds are fixed but for
    /// some bits.
    fn few_combinations(&self, family: Family) -> Option<u64> {
        const BITS_MAX: u32 = 20;
        let bits = self.seeds.num_drawn_bits(family);
        (self.fixed_attempts.is_none() && bits <= BITS_MAX).then(|| 1 << bits)
    }
}

/// Attempts after which so many combinations of seeds were all drawn: that one of 2^20 was not has the
/// chance 2^20 * e^-32, one in seventy million.
const fn attempts_of_all(combinations: u64) -> u64 {
    32 * combinations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_chosen_by_its_name_in_any_case_or_by_its_id() {
        let families = Family::all().map(FamilyChoice::Named);
        for choice in families.chain([FamilyChoice::Auto]) {
            let name = choice.to_string();
            assert_eq!(name.parse(), Ok(choice));
            assert_eq!(name.to_ascii_uppercase().parse(), Ok(choice));
            assert_eq!(name.to_ascii_lowercase().parse(), Ok(choice));
        }
        for family in Family::all() {
            assert_eq!(family.id().to_string().parse(), Ok(FamilyChoice::Named(family)));
        }
        for choice in ["", "0", "40", "256", "Multiply ", "Murmur"] {
            assert_eq!(choice.parse::<FamilyChoice>(), Err(UnknownFamily), "{choice:?}");
        }
    }

    #[test]
    fn what_is_done_in_any_case_is_not_more_than_what_is_done_at_most() {
        let check = |plan: Plan, expected| assert_eq!(plan.check(), expected, "{plan:?}");
        let plan = Plan::default;
        check(plan(), Ok(()));
        for field in ["attempts_max", "fixed_attempts", "grow_after"] {
            let none = |name, count| if field == name { 0 } else { count };
            let attempts_max = none("attempts_max", 9);
            let [fixed_attempts, grow_after] =
                ["fixed_attempts", "grow_after"].map(|name| Some(none(name, 1)));
            let plan = Plan { attempts_max, fixed_attempts, grow_after, ..plan() };
            check(plan, Err(Contradiction::NoAttempts { field }));
        }
        let fixed = |fixed, max| Plan { fixed_attempts: Some(fixed), attempts_max: max, ..plan() };
        check(fixed(5, 5), Ok(()));
        check(fixed(6, 5), Err(Contradiction::FixedAttempts { fixed: 6, max: 5 }));
        check(fixed(u64::MAX, Plan::attempts_max_beside(Some(u64::MAX))), Ok(()));
        let grown = |initial, max| Plan { grows_initial: initial, grows_max: max, ..plan() };
        check(grown(2, 2), Ok(()));
        check(grown(3, 2), Err(Contradiction::InitialGrows { initial: 3, max: 2 }));
        check(grown(9, Plan::grows_max_beside(9)), Ok(()));
        let fixed = [1, 2, 3, 4, 0, 0, 0, 0];
        let seeds = SeedSource { fixed, ..SeedSource::default() };
        let count = FixedSeedsError::Count { family: Family::Folded, given: 4 };
        check(Plan { seeds, ..plan() }, Err(Contradiction::Seeds(count)));
        assert_eq!(Plan::attempts_max_beside(None), Plan::ATTEMPTS_MAX);
        assert_eq!(Plan::grows_max_beside(0), Plan::GROWS_MAX);
    }
}
