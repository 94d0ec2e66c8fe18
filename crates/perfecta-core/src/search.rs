//! The search: attempts in order of their numbers until one succeeds or a limit is met.
//!
//! [`Search`] is a state machine without threads and clock. Whoever drives it takes ranges of
//! attempts from it, runs them with [`try_range`] in any order on any thread, and hands the reports
//! back; the winner is the lowest-numbered successful attempt all the same, and the counts are those
//! of the attempts before it.
//!
//! ```text
//!              next_range() -> Try(range)          complete(report)
//!   Searching ------------------------> in flight ------------------> Searching
//!       |  prefix of reports holds a success, or its last stage is used up
//!       v
//!    Settled(Verdict)
//! ```

mod machine;
mod plan;
mod range;

pub use self::machine::{Search, Step, Verdict, Win};
pub use self::plan::{FamilyChoice, Limit, Plan, PlanError, Stage};
pub use self::range::{AttemptRange, RangeEnd, RangeReport, Tally, try_range};

use crate::graph::{Attempter, Scratch};
use crate::key::KeySet;
use crate::table::{Parameters, Table};

/// A finished search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solution {
    /// The table of the winning attempt, if there was one.
    pub table: Option<Table>,
    /// What the attempts came to.
    pub verdict: Verdict,
}

/// Searches on the calling thread until the search is settled, or `keep_going` says no.
///
/// `keep_going` is asked between attempts.
///
/// # Errors
/// [`PlanError`] if the plan cannot succeed on these keys.
pub fn search(
    keys: &KeySet,
    plan: &Plan,
    scratch: &mut Scratch,
    keep_going: &dyn Fn() -> bool,
) -> Result<Solution, PlanError> {
    let mut search = Search::new(keys, plan)?;
    let mut attempter = Attempter::new(keys.hashed(), scratch);
    loop {
        match search.next_range() {
            Step::Try(range) => {
                let report = try_range(&mut attempter, &range, &|_| keep_going());
                search.complete(report);
            }
            Step::Wait => unreachable!("one thread has no other range in flight"),
            Step::Settled => break,
        }
    }
    let verdict = search.verdict();
    let table = verdict.win().map(|win| build_table(keys, win, &mut attempter));
    Ok(Solution { table, verdict })
}

/// Assigns the winning attempt.
#[must_use]
pub fn build_table(keys: &KeySet, win: &Win, attempter: &mut Attempter<'_>) -> Table {
    let Stage { family, geometry, .. } = win.stage;
    let parameters = Parameters {
        family,
        seeds: win.seeds,
        geometry,
        key_width: keys.width(),
        downsize: keys.downsize(),
        num_keys: keys.len() as u32,
        first_key: keys.first(),
        last_key: keys.last(),
    };
    Table::from_values(parameters, attempter.assign(family, &win.seeds, geometry))
}
