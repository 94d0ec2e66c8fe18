//! Building tables in process: for sets that are known only at run time, and for build scripts.
//!
//! ```
//! let built = perfecta::build::table_from_u32(vec![10, 20, 4_000_000_000])?;
//! assert_eq!(built.table.index(20u32), 1);
//! # Ok::<(), perfecta::build::BuildError>(())
//! ```
//!
//! A build script writes [`Table::as_bytes`] into `OUT_DIR` and the program takes it with
//! `include_bytes!`: `examples/build-script` in this crate has the files of such a project.

use perfecta_core::format;
use perfecta_core::graph::Scratch;
use perfecta_core::search::{self, AttemptsMade};

pub use perfecta_core::family::Unsuitable;
pub use perfecta_core::graph::Obstacle;
pub use perfecta_core::key::{At, KeyError, KeySet, Keys, Place, Repair, TextError, TextErrorKind};
pub use perfecta_core::search::{
    Contradiction, FamilyChoice, Limit, Obstructed, Plan, PlanError, Stage, Tally, UnknownFamily,
    Verdict, Win,
};
pub use perfecta_core::seeds::{FixedSeedsError, SeedSource};
pub use perfecta_core::table::VerifyError;

use crate::Table;

/// A table and how it was found.
#[derive(Debug)]
pub struct Built {
    /// The table; each of its keys was looked up once.
    pub table: Table,
    /// Attempts, and which of them won.
    pub verdict: Verdict,
}

/// Why there is no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The keys are no key set: unsorted, some twice, none at all.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The plan contradicts itself, whatever the keys.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// The plan cannot succeed on these keys.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A limit of the plan was met first.
    #[error("no table after {}: {limit}", AttemptsMade(verdict.tally.attempts()))]
    Unsolved {
        /// The limit.
        limit: Limit,
        /// What the attempts came to.
        verdict: Box<Verdict>,
    },
}

impl BuildError {
    /// What can be done about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Keys(error) => error.remedy(),
            Self::Contradiction(Contradiction::NoAttempts { .. }) => "allow 1 attempt at least",
            Self::Contradiction(Contradiction::FixedAttempts { .. }) => {
                "raise attempts_max, or lower fixed_attempts"
            }
            Self::Contradiction(Contradiction::InitialGrows { .. }) => {
                "raise grows_max, or lower grows_initial"
            }
            Self::Contradiction(Contradiction::Seeds(_)) => {
                "fix no more than the family takes, or choose another family"
            }
            // None of today's.
            Self::Contradiction(_) => "give another plan",
            Self::Plan(PlanError::Unsuitable(_)) => "choose another family, or FamilyChoice::Auto",
            Self::Plan(PlanError::NoAttempts { .. }) => "allow 1 attempt at least",
            Self::Plan(PlanError::Memory { .. }) => "raise memory_bytes_max, or split the set",
            Self::Plan(PlanError::TooLarge { .. }) => "give a smaller grows_initial",
            // None of today's.
            Self::Plan(_) => "give another plan",
            Self::Unsolved { limit: Limit::Stopped, .. } => "let it go on for longer",
            Self::Unsolved { limit: Limit::FixedSeeds | Limit::FewSeeds { .. }, .. } => {
                "fix other seeds, or 0 for a seed that is to be drawn anew for each attempt"
            }
            Self::Unsolved {
                limit: Limit::Obstructed(Obstructed { has_fixed_seeds: true, .. }),
                ..
            } => "fix other seeds, or choose another family or FamilyChoice::Auto",
            Self::Unsolved {
                limit: Limit::Obstructed(Obstructed { doublings: None, .. }), ..
            } => {
                "choose another family, or FamilyChoice::Auto: neither attempts nor a larger table help"
            }
            Self::Unsolved { limit: Limit::Obstructed(_), .. } => {
                "choose another family, or FamilyChoice::Auto; or let the table grow (grow_after, grows_max)"
            }
            Self::Unsolved { limit: Limit::Memory, .. } => {
                "raise memory_bytes_max or attempts_max, or choose FamilyChoice::Auto"
            }
            Self::Unsolved { .. } => {
                "raise attempts_max, let the table grow (grow_after, grows_max), or choose FamilyChoice::Auto"
            }
        }
    }
}

/// The table of 32-bit keys, which must be sorted and distinct, on the calling thread.
///
/// # Errors
/// [`BuildError::Keys`] names the first key that is out of order or there twice.
pub fn table_from_u32(keys: Vec<u32>) -> Result<Built, BuildError> {
    table_of(&KeySet::from_u32(keys, Repair::default())?, &Plan::default())
}

/// The table of 64-bit keys, which must be sorted and distinct, on the calling thread.
///
/// # Errors
/// [`BuildError::Keys`] names the first key that is out of order or there twice.
pub fn table_from_u64(keys: Vec<u64>) -> Result<Built, BuildError> {
    table_of(&KeySet::from_u64(keys, Repair::default())?, &Plan::default())
}

/// The table of a key set by a plan of one's own.
///
/// # Errors
/// [`BuildError`].
///
/// # Panics
/// If the search finds a table that does not hold its keys, which is a bug here.
pub fn table_of(keys: &KeySet, plan: &Plan) -> Result<Built, BuildError> {
    table_of_while(keys, plan, &|| true)
}

/// As [`table_of`], for as long as `keep_going` says so: a flag that another thread sets, a deadline.
///
/// It is asked between attempts, and of large sets many times during one, so it should be quick. Once it
/// has said no, it should not say yes again.
///
/// ```
/// use perfecta::build::{self, BuildError, KeySet, Limit, Plan, Repair};
/// # use std::time::{Duration, Instant};
///
/// let keys = KeySet::from_u32((0..1000).collect(), Repair::default())?;
/// let end = Instant::now() + Duration::from_secs(60);
/// match build::table_of_while(&keys, &Plan::default(), &|| Instant::now() < end) {
///     Ok(built) => println!("{} keys", built.table.len()),
///     Err(BuildError::Unsolved { limit: Limit::Stopped, .. }) => println!("not within a minute"),
///     Err(error) => return Err(error),
/// }
/// # Ok::<(), BuildError>(())
/// ```
///
/// # Errors
/// [`BuildError`]; with [`Limit::Stopped`] if `keep_going` said no before the table was done.
///
/// # Panics
/// If the search finds a table that does not hold its keys, which is a bug here.
pub fn table_of_while(
    keys: &KeySet,
    plan: &Plan,
    keep_going: &dyn Fn() -> bool,
) -> Result<Built, BuildError> {
    plan.check()?;
    let solution = search::search(keys, plan, &mut Scratch::default(), keep_going)?;
    let verdict = solution.verdict;
    let table = match (solution.table, verdict.outcome) {
        (Some(table), _) => table,
        (None, Err(limit)) => {
            return Err(BuildError::Unsolved { limit, verdict: Box::new(verdict) });
        }
        (None, Ok(_)) => unreachable!("a search with a winner has a table"),
    };
    let table = Table::from_bytes(format::encode(&table.view())).expect("what is written is read");
    let Ok(verified) = table.view().verify_while(keys, keep_going) else {
        let verdict = Verdict { outcome: Err(Limit::Stopped), ..verdict };
        return Err(BuildError::Unsolved { limit: Limit::Stopped, verdict: Box::new(verdict) });
    };
    verified.expect("every key has its rank");
    Ok(Built { table, verdict })
}
