//! A worker: carries items on, several at once, step by step.
//!
//! ```text
//!            poll: a completion       ready: keys to search     lead: a hard search goes on
//!  step -->  an item goes on     or   its first range       or  its next ranges             or
//!            an assignment: prepare, compare, begin, refuse, sync, append, close,
//!                           help (the next step)                                          or  Idle
//! ```
//!
//! While every worker of a node leads a hard search, leading and the rest have the same time each.
//!
//! No step waits: what is not done at once is in flight with the engine, and [`Worker::wait`] is the
//! only place where its thread sleeps.

mod batch;
mod carry;
mod chunk;
mod search;
mod slots;
mod turns;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use perfecta_core::key::KeySet;
use perfecta_io::{Completion, Engine, Token, pool};

use self::batch::Batch;
use self::chunk::ChunkInHand;
use self::search::Leading;
use self::slots::Slots;
use self::turns::Turns;
use crate::activity;
use crate::board::Help;
use crate::compare::Part;
use crate::dispatch::Assignment;
use crate::error::ItemError;
use crate::guard::guarded;
use crate::item::{Item, ItemEvent, Workspace};
use crate::job::Holding;
use crate::packed;
use crate::prepare;
use crate::session::Session;
use crate::sleepers::Sleeper;
use crate::watch::{Named, Station};
use crate::work::Work;

/// One worker of a session, with an engine of its own.
pub struct Worker<'s, 'a> {
    session: &'s Session<'a>,
    number: usize,
    node: usize,
    engine: Box<dyn Engine>,
    waker: Waker,
    /// For what is done in one go, before and after the items of a job.
    desk: Box<dyn Engine>,
    slots: Slots<Slot<'a>>,
    /// Completions that came while something else was looked for.
    arrived: VecDeque<Completion>,
    /// Slots of items that wait for a buffer.
    unbuffered: Vec<usize>,
    /// Slots of items whose keys are to be searched.
    ready: VecDeque<usize>,
    /// Slots of hard searches.
    leading: VecDeque<usize>,
    /// Whose turn it is, these or whatever else there is.
    turns: Turns,
    /// A range of somebody's search that it took.
    helping: Option<(Arc<Work<'a>>, Help<'a>)>,
    /// Items that wait for their key files.
    num_reading: usize,
    /// It was told to wait, and is among those that can be roused.
    is_listed: bool,
    /// Somebody has something for it, and it has not asked yet.
    is_roused: bool,
    workspace: Workspace,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stepped {
    /// Something was done; there may be more.
    Worked,
    /// There is nothing to do until the engine has something, the worker is woken, or the session's
    /// clock shows this.
    Idle(Option<Duration>),
    /// There will be nothing to do any more.
    Left,
}

/// What a worker has in hand.
enum Slot<'a> {
    /// An item that waits for a buffer.
    Unbuffered(ItemInHand<'a>, pool::Ticket),
    /// An item whose operation is in flight.
    Item(ItemInHand<'a>),
    /// An item whose keys are to be searched.
    Ready(ItemInHand<'a>, KeySet),
    /// An item whose search is hard.
    Leading(Box<Leading<'a>>),
    /// Items that are synced and published together.
    Batch(Box<Batch<'a>>),
    /// A chunk of a pack.
    Chunk(Box<ChunkInHand<'a>>),
}

/// An item, its job, and what it holds of it.
struct ItemInHand<'a> {
    work: Arc<Work<'a>>,
    item: Item,
    holding: Holding,
}

impl<'s, 'a> Worker<'s, 'a> {
    /// A worker, on the thread that will run it; its number is below the session's count of workers.
    #[must_use]
    pub fn new(session: &'s Session<'a>, number: usize) -> Self {
        let engines = session.runtime.engines;
        let engine = engines.engine();
        let waker = engine.waker();
        session.workers.add(waker.clone());
        Self {
            session,
            number,
            node: engines.node_of(number),
            engine,
            waker,
            desk: engines.desk(),
            slots: Slots::default(),
            arrived: VecDeque::new(),
            unbuffered: Vec::new(),
            ready: VecDeque::new(),
            leading: VecDeque::new(),
            turns: Turns::default(),
            helping: None,
            num_reading: 0,
            is_listed: false,
            is_roused: false,
            workspace: Workspace { worker: number, ..Workspace::default() },
        }
    }

    /// Works until there will be nothing to do any more.
    pub fn work(&mut self) {
        loop {
            match self.step() {
                Stepped::Worked => {}
                Stepped::Idle(until) => self.wait(until),
                Stepped::Left => break,
            }
        }
    }

    /// Works as [`Self::work`], for a session with nobody else to look after its jobs: calls `look`
    /// between two steps, as soon as so much time has passed as it asked for.
    pub fn work_and_look(&mut self, look: impl Fn() -> Duration) {
        let mut look_at = self.session.now();
        loop {
            let now = self.session.now();
            if now >= look_at {
                look_at = now + look();
            }
            match self.step() {
                Stepped::Worked => {}
                Stepped::Idle(until) => {
                    self.wait(Some(until.map_or(look_at, |until| until.min(look_at))));
                }
                Stepped::Left => break,
            }
        }
    }

    /// Waits as [`Stepped::Idle`] says.
    pub fn wait(&mut self, until: Option<Duration>) {
        let timeout = until.map(|until| until.saturating_sub(self.session.now()));
        self.engine.wait(timeout);
    }

    /// Does one thing, and waits for nothing.
    ///
    /// # Panics
    /// If the accounts do not add up.
    pub fn step(&mut self) -> Stepped {
        if let Some((work, help)) = self.helping.take() {
            self.help(&work, help);
            return Stepped::Worked;
        }
        self.rise();
        if let Some(completion) = self.arrived.pop_front().or_else(|| self.engine.poll()) {
            self.pass_on();
            self.complete(completion);
            return Stepped::Worked;
        }
        if self.num_free_places() == 0 {
            return self.wait_for_place();
        }
        if self.collect_buffers() {
            self.pass_on();
            return Stepped::Worked;
        }
        if self.should_read_ahead()
            && let Some(assignment) = self.session.next_item(self.node)
        {
            return self.carry_out(assignment);
        }
        // Who finds nothing else to do is told so; who leads does not ask.
        if !self.leading.is_empty() && self.session.is_broken() {
            return Stepped::Left;
        }
        if self.shares_its_time() {
            self.pass_on();
            return self.take_turns();
        }
        if let Some(slot) = self.ready.pop_front() {
            self.pass_on();
            self.search(slot);
            return Stepped::Worked;
        }
        if !self.leading.is_empty() {
            self.pass_on();
        }
        if self.lead() {
            return Stepped::Worked;
        }
        self.take_on()
    }

    /// Is awake, whoever woke it: nobody else may take it for one that waits for something to do.
    fn rise(&mut self) {
        if std::mem::take(&mut self.is_listed) {
            self.is_roused = self.session.unlist(self.number);
        }
    }

    /// Has other things to do first than what it was roused for: that wakes another.
    fn pass_on(&mut self) {
        if std::mem::take(&mut self.is_roused) {
            self.session.rouse();
        }
    }

    /// Whether every worker of its node leads a hard search, so that nobody is left for anything else.
    fn shares_its_time(&self) -> bool {
        !self.leading.is_empty() && self.session.all_lead(self.node)
    }

    /// Leads, or does something else if that was not done for as long.
    fn take_turns(&mut self) -> Stepped {
        let begun = self.session.now();
        if self.turns.is_of_searches() && self.lead() {
            self.turns.searches_had(self.session.now() - begun);
            return Stepped::Worked;
        }
        if let Some(stepped) = self.do_something_else() {
            self.turns.others_had(self.session.now() - begun);
            return stepped;
        }
        self.turns.forget();
        if self.lead() { Stepped::Worked } else { self.take_on() }
    }

    /// Begins a search, or carries out an assignment that is not to help with somebody else's.
    fn do_something_else(&mut self) -> Option<Stepped> {
        if let Some(slot) = self.ready.pop_front() {
            self.search(slot);
            return Some(Stepped::Worked);
        }
        if self.is_full() {
            return None;
        }
        let may_begin = self.has_room().then_some(self.node);
        let assignment = self.session.assignment_beside_searches(may_begin)?;
        Some(self.carry_out(assignment))
    }

    /// Reads that wait for a device want company, also while there is something to compute.
    fn should_read_ahead(&self) -> bool {
        self.num_reading > 0 && self.unbuffered.is_empty() && self.has_room()
    }

    /// Whether it may have one more item in flight.
    fn has_room(&self) -> bool {
        let in_hand = self.unbuffered.len() + self.num_reading + self.ready.len();
        in_hand < self.session.limits.io_depth.get() && !self.is_full()
    }

    /// Whether its engine has room for nothing more than what comes of a search: those of many items may be
    /// led at once, which have nothing in flight, and the end of each writes a table.
    fn is_full(&self) -> bool {
        self.num_free_places() <= 1
    }

    /// Operations that its engine takes now, where what arrived has another one each.
    fn num_free_places(&self) -> usize {
        let num_taken = self.engine.num_in_flight() + self.arrived.len();
        self.engine.capacity().saturating_sub(num_taken)
    }

    /// Can do nothing until something comes back, which wakes it.
    fn wait_for_place(&mut self) -> Stepped {
        self.pass_on();
        if self.session.is_broken() {
            return Stepped::Left;
        }
        self.give_up_what_is_cancelled();
        Stepped::Idle(None)
    }

    fn take_on(&mut self) -> Stepped {
        if self.is_full() {
            return self.wait_for_place();
        }
        self.is_roused = false;
        let may_begin = self.has_room().then_some(self.node);
        let (waker, node) = (&self.waker, self.node);
        let sleeper = || Sleeper { waker: waker.clone(), node, may_begin: may_begin.is_some() };
        let assignment = self.session.assignment(self.number, &sleeper, may_begin);
        self.carry_out(assignment)
    }

    fn carry_out(&mut self, assignment: Assignment<'a>) -> Stepped {
        match assignment {
            Assignment::Begin(work, taken) => self.begin(work, taken),
            Assignment::Compare(work, part) => self.compare(&work, &part),
            Assignment::Refuse(work, report) => self.session.tell_settled(&work, &report),
            Assignment::Sync(work, unsynced) => self.sync(work, unsynced),
            Assignment::Append(work, chunk) => self.append(work, chunk),
            Assignment::Help(work, help) => self.helping = Some((work, help)),
            Assignment::Prepare(requested) => {
                prepare::prepare(self.session, self.number, self.desk.as_mut(), *requested);
            }
            Assignment::Close(state, closing) => {
                closing.close(self.session, self.number, self.desk.as_mut(), *state);
            }
            Assignment::Wait(until) => {
                self.is_listed = true;
                self.give_up_what_is_cancelled();
                return Stepped::Idle(until);
            }
            Assignment::BreakOff => return Stepped::Left,
            Assignment::Leave => {
                assert!(self.slots.is_empty(), "a worker leaves with something in hand");
                assert_eq!(self.engine.num_in_flight(), 0, "operations in flight at the end");
                return Stepped::Left;
            }
        }
        Stepped::Worked
    }

    fn compare(&mut self, work: &Work<'a>, part: &Part) {
        let (named, activity) = (packed::compared(work, part), activity::COMPARE_PACK);
        self.session.note(self.number, Station::Desk, &work.observer, named, activity);
        let desk = self.desk.as_mut();
        let outcome = guarded(|| packed::compare(desk, work, part));
        let outcome = outcome.unwrap_or_else(|message| Err(ItemError::Panicked(message)));
        self.session.note_left(self.number, Station::Desk);
        self.session.change(work, |state| state.compared(outcome));
        self.session.tick(work);
    }

    fn help(&self, work: &Work<'a>, help: Help<'a>) {
        let mut scratch = self.session.spare.take_scratch(self.node, help.memory_bytes());
        help.search.help(&mut scratch, &help.range);
        self.session.spare.give_scratch(self.node, scratch);
        self.session.change(work, |state| state.helped(help));
        self.session.tick(work);
    }

    /// Operations of cancelled items need not be waited for to their end.
    fn give_up_what_is_cancelled(&mut self) {
        for (slot, in_hand) in self.slots.iter() {
            if let Slot::Item(in_hand) = in_hand
                && in_hand.work.cancel.is_cancelled()
                && in_hand.item.may_be_abandoned()
            {
                self.engine.cancel(token(slot));
            }
        }
    }

    fn complete(&mut self, completion: Completion) {
        let Completion { token: Token(slot), outcome } = completion;
        let slot = slot as usize;
        match self.slots.take(slot) {
            Slot::Item(in_hand) => {
                self.num_reading -= usize::from(in_hand.item.is_reading_keys());
                self.drive(slot, in_hand, ItemEvent::Completed(outcome));
            }
            Slot::Batch(batch) => self.batch_completed(slot, batch, outcome),
            Slot::Chunk(chunk) => self.chunk_completed(slot, *chunk, outcome),
            Slot::Unbuffered(..) | Slot::Ready(..) | Slot::Leading(_) => {
                unreachable!("what waits for a buffer or is searched has nothing in flight")
            }
        }
    }

    fn watch(&self, slot: usize, work: &Work<'a>, item: &Item) {
        self.watch_as(slot, work, item, item.activity());
    }

    fn watch_as(&self, slot: usize, work: &Work<'a>, item: &Item, activity: &'static str) {
        let named = Named::Item(Arc::clone(item.planned_shared()));
        self.session.note(self.number, Station::Slot(slot), &work.observer, named, activity);
    }

    /// What was in a slot is in other hands now.
    fn leave(&mut self, slot: usize) {
        self.watch_no_more(slot);
        self.slots.close(slot);
    }

    /// The item of a slot is in other hands now; another may come to its slot.
    fn watch_no_more(&self, slot: usize) {
        self.session.note_left(self.number, Station::Slot(slot));
    }
}

const fn token(slot: usize) -> Token {
    Token(slot as u64)
}
