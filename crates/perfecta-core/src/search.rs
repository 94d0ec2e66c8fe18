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
//!       |  prefix of reports holds a success, or its last stage is used up or obstructed
//!       v
//!    Settled(Verdict)
//! ```

mod machine;
mod plan;
mod range;

pub use self::machine::{Search, Step, Verdict, Win};
pub use self::plan::{
    Contradiction, FamilyChoice, Limit, Obstructed, Plan, PlanError, Stage, UnknownFamily,
};
pub use self::range::{AttemptRange, AttemptsMade, RangeEnd, RangeReport, Tally, try_range};

use crate::graph::{Attempter, Scratch};
use crate::interrupt::{Interrupted, KeepGoing};
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
/// `keep_going` is asked between attempts, and of large sets many times during one and while the
/// winner is assigned.
///
/// # Errors
/// [`PlanError`] if the plan cannot succeed on these keys.
pub fn search(
    keys: &KeySet,
    plan: &Plan,
    scratch: &mut Scratch,
    keep_going: &KeepGoing<'_>,
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
    let mut verdict = search.verdict();
    let built = verdict.win().map(|win| build_table(keys, win, &mut attempter, keep_going));
    let table = match built.transpose() {
        Ok(table) => table,
        Err(Interrupted) => {
            verdict.outcome = Err(Limit::Stopped);
            None
        }
    };
    Ok(Solution { table, verdict })
}

/// Assigns the winning attempt, if `keep_going` lets it: of large sets it is asked many times.
///
/// # Errors
/// [`Interrupted`]; it can be asked for again.
pub fn build_table(
    keys: &KeySet,
    win: &Win,
    attempter: &mut Attempter<'_>,
    keep_going: &KeepGoing<'_>,
) -> Result<Table, Interrupted> {
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
    let values = attempter.assign(family, &win.seeds, geometry, keep_going)?;
    Table::of_values(parameters, values, keep_going)
}
