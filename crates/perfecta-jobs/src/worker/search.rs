//! The search of one item: alone at first, then on the board where others help.

use std::sync::Arc;
use std::time::Duration;

use perfecta_core::geometry::Geometry;
use perfecta_core::graph::{Attempter, Scratch};
use perfecta_core::interrupt::Interrupted;
use perfecta_core::key::KeySet;
use perfecta_core::search::{Limit, Search, Step, Verdict, build_table, try_range};

use super::turns::Turns;
use super::{ItemInHand, Slot, Worker};
use crate::error::{ItemError, Stop};
use crate::event::SearchReport;
use crate::guard::guarded;
use crate::hard::{Led, Patience, SharedSearch};
use crate::item::{ItemEvent, Searched};

/// Sets from this size on ask for help at once: their first range takes longer than waking a thread.
const HELP_KEYS_MIN: usize = 16_384;

/// An item whose search is on the board.
pub(super) struct Leading<'a> {
    in_hand: ItemInHand<'a>,
    hard: Arc<SharedSearch<'a>>,
    begun: Duration,
}

/// Where a search stopped.
enum Searching<'a> {
    Over(Box<Searched>),
    Hard(Arc<SharedSearch<'a>>),
}

impl<'a> Worker<'_, 'a> {
    /// Begins the search of an item that is ready.
    pub(super) fn search(&mut self, slot: usize) {
        let Slot::Ready(in_hand, keys) = self.slots.take(slot) else {
            unreachable!("only what is ready is searched")
        };
        if in_hand.work.cancel.is_cancelled() {
            return self.drive(slot, in_hand, ItemEvent::Cancelled);
        }
        self.watch(slot, &in_hand.work, &in_hand.item);
        let begun = self.session.now();
        let needed = in_hand.item.planned().memory_bytes(&in_hand.work.world.job);
        let mut scratch = self.session.spare.take_scratch(self.node, needed);
        let searching =
            guarded(|| self.begin_search(&in_hand, Arc::new(keys), &mut scratch, begun));
        self.session.spare.give_scratch(self.node, scratch);
        match searching {
            Ok(Searching::Over(searched)) => {
                self.drive(slot, in_hand, ItemEvent::Searched(searched));
            }
            Ok(Searching::Hard(hard)) => {
                self.session
                    .change(&in_hand.work, |state| state.board.add(Arc::clone(&hard), begun));
                let leading = Leading { in_hand, hard, begun };
                self.slots.put(slot, Slot::Leading(Box::new(leading)));
                if self.leading.is_empty() {
                    self.session.add_leader(self.node);
                    self.turns = Turns::default();
                }
                self.leading.push_back(slot);
            }
            Err(message) => self.settle_panicked(slot, in_hand, message),
        }
    }

    /// Tries the first range alone; what is not over then, or too large for that, is hard.
    fn begin_search(
        &self,
        in_hand: &ItemInHand<'a>,
        keys: Arc<KeySet>,
        scratch: &mut Scratch,
        begun: Duration,
    ) -> Searching<'a> {
        let ItemInHand { work, item, .. } = in_hand;
        let mut search = match Search::new(&keys, &work.plan) {
            Ok(search) => search,
            Err(error) => {
                let outcome = Err(Stop::Failed(ItemError::Plan(error)));
                return Searching::Over(Box::new(Searched { keys, report: None, outcome }));
            }
        };
        let limit = work.world.job.limits.item_time_max;
        let patience = Patience {
            cancel: work.cancel.clone(),
            clock: self.session.runtime.clock,
            until: limit.map(|limit| begun + limit),
        };
        let num_keys = keys.len();
        if self.session.limits.workers.get() == 1 || num_keys < HELP_KEYS_MIN {
            let mut attempter = Attempter::new(keys.hashed(), scratch);
            match search.next_range() {
                Step::Try(range) => {
                    let keep_going = |attempt| !patience.is_over(attempt, num_keys);
                    search.complete(try_range(&mut attempter, &range, &keep_going));
                }
                Step::Wait | Step::Settled => unreachable!("a search begins with a range"),
            }
            // A settled search needs no attempt any more.
            if !search.needs(0) {
                let verdict = search.verdict();
                let end = SearchOver { work: in_hand, begun, is_broken: false };
                let searched = end.searched(self.session.now(), &keys, verdict, &mut attempter);
                return Searching::Over(Box::new(searched));
            }
        }
        Searching::Hard(Arc::new(SharedSearch::new(
            Arc::clone(&keys),
            item.planned().keys_file.clone(),
            search,
            patience,
            self.waker.clone(),
            work.plan.fixed_attempts.is_some(),
        )))
    }

    /// Goes on with a hard search that has something to try. Whether there was one.
    pub(super) fn lead(&mut self) -> bool {
        for _ in 0..self.leading.len() {
            let slot = self.leading.pop_front().expect("it was just counted");
            let is_waiting = match self.slots.get(slot) {
                Slot::Leading(leading) => leading.hard.leader_waits(),
                _ => unreachable!("only a search is led"),
            };
            if is_waiting {
                self.leading.push_back(slot);
                continue;
            }
            let Slot::Leading(leading) = self.slots.take(slot) else {
                unreachable!("only a search is led")
            };
            self.lead_on(slot, leading);
            return true;
        }
        false
    }

    fn lead_on(&mut self, slot: usize, mut leading: Box<Leading<'a>>) {
        let geometry = leading.hard.geometry();
        self.account_for(&mut leading, geometry);
        let mut scratch = self.session.spare.take_scratch(self.node, leading.hard.memory_bytes());
        let led = guarded(|| self.try_ranges(&leading, geometry, &mut scratch));
        self.session.spare.give_scratch(self.node, scratch);
        match led {
            Ok(None) => {
                self.slots.put(slot, Slot::Leading(leading));
                self.leading.push_back(slot);
            }
            Ok(Some(searched)) => {
                let in_hand = self.lead_no_more(*leading);
                self.drive(slot, in_hand, ItemEvent::Searched(Box::new(searched)));
            }
            Err(message) => {
                let in_hand = self.lead_no_more(*leading);
                self.settle_panicked(slot, in_hand, message);
            }
        }
    }

    /// Counts the memory of an item whose table may have been doubled to these sizes.
    fn account_for(&self, leading: &mut Leading<'a>, geometry: Geometry) {
        let ItemInHand { work, item, holding } = &mut leading.in_hand;
        let bytes = item.planned().memory_bytes_with(&work.world.job, geometry);
        if bytes > holding.memory_bytes() {
            self.session.change(work, |state| state.extend_memory(holding, bytes));
        }
    }

    /// A search that is over: nobody helps with it any more.
    fn lead_no_more(&self, leading: Leading<'a>) -> ItemInHand<'a> {
        let Leading { in_hand, hard, .. } = leading;
        self.session.change(&in_hand.work, |state| state.board.remove(&hard));
        if self.leading.is_empty() {
            self.session.remove_leader(self.node);
        }
        in_hand
    }

    /// Tries ranges until the search is over, its table is another than that of `geometry`, or something
    /// else wants to be looked at.
    fn try_ranges(
        &mut self,
        leading: &Leading<'a>,
        geometry: Geometry,
        scratch: &mut Scratch,
    ) -> Option<Searched> {
        let Leading { in_hand, hard, begun } = leading;
        let keys = Arc::clone(&hard.keys);
        let mut attempter = Attempter::new(keys.hashed(), scratch);
        let mut turn_begun = None;
        let led = hard.lead(&mut attempter, &mut || {
            self.session.wake_helpers();
            self.session.tick(&in_hand.work);
            hard.geometry() != geometry
                || self.look_for_something_else()
                || self.look_at_turn(&mut turn_begun)
                || self.session.is_broken()
        });
        match led {
            Led::Yielded | Led::Waiting => None,
            Led::Settled(verdict) => {
                let end = SearchOver { work: in_hand, begun: *begun, is_broken: hard.is_broken() };
                Some(end.searched(self.session.now(), &keys, verdict, &mut attempter))
            }
        }
    }

    /// Notes since when every worker of its node leads hard searches. Whether for so long that the rest has
    /// its turn.
    fn look_at_turn(&self, turn_begun: &mut Option<Duration>) -> bool {
        if !self.session.all_lead(self.node) {
            *turn_begun = None;
            return false;
        }
        let now = self.session.now();
        now - *turn_begun.get_or_insert(now) >= Turns::TURN
    }

    /// Looks whether a completion came, or another item waits for a buffer or to be searched, than the one
    /// that is led now.
    fn look_for_something_else(&mut self) -> bool {
        self.arrived.extend(self.engine.poll());
        !self.arrived.is_empty()
            || !self.unbuffered.is_empty()
            || !self.ready.is_empty()
            || !self.leading.is_empty()
    }
}

/// A search that is over.
struct SearchOver<'w, 'a> {
    work: &'w ItemInHand<'a>,
    begun: Duration,
    is_broken: bool,
}

impl SearchOver<'_, '_> {
    fn searched(
        &self,
        now: Duration,
        keys: &Arc<KeySet>,
        verdict: Verdict,
        attempter: &mut Attempter<'_>,
    ) -> Searched {
        let ItemInHand { work, .. } = self.work;
        let limit = work.world.job.limits.item_time_max;
        let outcome = match verdict.outcome {
            // What it counted, and the winner, may be those of a search that was stopped.
            _ if work.cancel.is_cancelled() => Err(Stop::Cancelled),
            Ok(win) => {
                let keep_going = || !work.cancel.is_cancelled();
                match build_table(keys, &win, attempter, &keep_going) {
                    Ok(table) => Ok((table, verdict)),
                    Err(Interrupted) => Err(Stop::Cancelled),
                }
            }
            Err(reason) => {
                let (attempts, family) = (verdict.tally.attempts(), work.plan.family);
                Err(Stop::Failed(match (reason, limit) {
                    (Limit::Stopped, _) if self.is_broken => {
                        ItemError::Panicked("a helper of the search panicked".to_owned())
                    }
                    (Limit::Stopped, Some(limit)) => {
                        ItemError::TimedOut { limit, attempts, family }
                    }
                    (limit, _) => ItemError::Unsolved { limit, attempts, family },
                }))
            }
        };
        let report = Some(search_report(&verdict, now - self.begun));
        Searched { keys: Arc::clone(keys), report, outcome }
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
