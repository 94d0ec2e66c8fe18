//! The search of one item: alone at first, then on the board where others help.

use std::sync::Arc;
use std::time::Duration;

use perfecta_core::graph::{Attempter, Scratch};
use perfecta_core::key::KeySet;
use perfecta_core::search::{Limit, Search, Step, Verdict, build_table, try_range};

use crate::error::ItemError;
use crate::event::SearchReport;
use crate::hard::{Patience, SharedSearch};
use crate::item::{SearchEnd, Searched};
use crate::schedule::Planned;
use crate::shared::Shared;

/// Sets from this size on ask for help at once: their first range takes longer than waking a thread.
const HELP_KEYS_MIN: usize = 16_384;

/// Searches a table for the keys of one item.
pub(super) fn solve(
    shared: &Shared<'_, '_>,
    scratch: &mut Scratch,
    keys: KeySet,
    planned: &Planned,
) -> Searched {
    let begun = shared.runtime.clock.now();
    let keys = Arc::new(keys);
    let search = match Search::new(&keys, &shared.plan) {
        Ok(search) => search,
        Err(error) => {
            let outcome = Err(SearchEnd::Failed(ItemError::Plan(error)));
            return Searched { keys, report: None, outcome };
        }
    };
    let limit = shared.world.job.limits.item_time_max;
    let patience = Patience {
        cancel: shared.runtime.cancel.clone(),
        clock: shared.runtime.clock,
        until: limit.map(|limit| begun + limit),
    };
    let mut attempter = Attempter::new(keys.hashed(), scratch);
    let (verdict, is_broken) =
        find_verdict(shared, &keys, planned, search, &patience, &mut attempter);
    let outcome = match verdict.outcome {
        Ok(win) => Ok((build_table(&keys, &win, &mut attempter), verdict)),
        Err(Limit::Stopped) if patience.cancel.is_cancelled() => Err(SearchEnd::Cancelled),
        Err(reason) => {
            let attempts = verdict.tally.attempts();
            Err(SearchEnd::Failed(match (reason, limit) {
                (Limit::Stopped, _) if is_broken => {
                    ItemError::Panicked("a helper of the search panicked".to_owned())
                }
                (Limit::Stopped, Some(limit)) => ItemError::TimedOut { limit, attempts },
                (limit, _) => ItemError::Unsolved { limit, attempts },
            }))
        }
    };
    let report = Some(search_report(&verdict, shared.runtime.clock.now() - begun));
    Searched { keys, report, outcome }
}

/// Tries the first range alone; what is not over then, or too large for that, takes help.
fn find_verdict<'a>(
    shared: &Shared<'a, '_>,
    keys: &Arc<KeySet>,
    planned: &Planned,
    mut search: Search,
    patience: &Patience<'a>,
    attempter: &mut Attempter<'_>,
) -> (Verdict, bool) {
    let num_keys = keys.len();
    let is_alone = shared.world.job.limits.threads.get() == 1;
    if is_alone || num_keys < HELP_KEYS_MIN {
        match search.next_range() {
            Step::Try(range) => {
                let keep_going = |attempt| !patience.is_over(attempt, num_keys);
                search.complete(try_range(attempter, &range, &keep_going));
            }
            Step::Wait | Step::Settled => unreachable!("a search begins with a range"),
        }
        // A settled search needs no attempt any more.
        if !search.needs(0) {
            return (search.verdict(), false);
        }
    }
    let geometry = match shared.plan.first_stage(keys) {
        Ok(stage) => stage.geometry,
        Err(_) => unreachable!("the search began with a first stage"),
    };
    let hard = Arc::new(SharedSearch::new(
        Arc::clone(keys),
        planned.keys_file.clone(),
        search,
        patience.clone(),
        shared.plan.fixed_attempts.is_some(),
        Attempter::memory_bytes(num_keys, geometry),
    ));
    let on_board = OnBoard::new(shared, &hard);
    let verdict = hard.lead(attempter, &|| {
        shared.wake_helpers();
        shared.tick();
    });
    drop(on_board);
    (verdict, hard.is_broken())
}

/// Keeps a search on the board; also a panic takes it off.
struct OnBoard<'s, 'a, 'o> {
    shared: &'s Shared<'a, 'o>,
    search: &'s Arc<SharedSearch<'a>>,
}

impl<'s, 'a, 'o> OnBoard<'s, 'a, 'o> {
    fn new(shared: &'s Shared<'a, 'o>, search: &'s Arc<SharedSearch<'a>>) -> Self {
        shared.state.lock().ask_for_help(Arc::clone(search));
        shared.changed.notify_all();
        Self { shared, search }
    }
}

impl Drop for OnBoard<'_, '_, '_> {
    fn drop(&mut self) {
        self.shared.state.lock().need_no_help(self.search);
    }
}

fn search_report(verdict: &Verdict, time: Duration) -> SearchReport {
    SearchReport {
        edge_capacity: verdict.stage.geometry.edge_capacity(),
        vertices: verdict.stage.geometry.vertices(),
        hash: verdict.stage.family,
        seeds: verdict.win().map(|win| win.seeds).unwrap_or_default(),
        attempts: verdict.tally.attempts(),
        winning_attempt: verdict.win().map(|win| win.attempt),
        vertex_collisions: verdict.tally.vertex_collisions,
        cyclic: verdict.tally.cyclic,
        grows: verdict.stage.grows,
        seconds: time.as_secs_f64(),
    }
}
