//! What a worker does next, over all jobs of a session. All of it under one lock.
//!
//! ```text
//!  submit           Prepare        Begin, Compare, Refuse, Sync, Append, Help         Close
//! --------> Requested ----> Active -----------------------------------------> through ------> ended
//! ```
//!
//! Jobs share by weighted deficit round robin: every lap gives a job as many keys as its weight says,
//! and it begins items as long as they are covered. Memory and files in flight are bounded over all
//! jobs; what is bounded is waited for, never an error. A job whose turn it is waits until its item has
//! the memory, and the others wait with it: small items that come and go would leave none for a large
//! one, and helpers, which begin anew with every range. A search may have no end, and a disk may hang: what
//! is in flight for long is not waited for, and a part of both is kept for jobs that have nothing in flight.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::board::Help;
use crate::compare::Part;
use crate::deadlines::Deadlines;
use crate::event::{ItemReport, Progress};
use crate::job::{Begun, Candidate, Due, JobState, Taken, Unsynced};
use crate::pack::Chunk;
use crate::prepare::Closing;
use crate::session::{Requested, SessionLimits, SessionStatistics};
use crate::sleepers::{Sleeper, Sleepers};
use crate::work::{JobId, Work};

/// Keys that a job of weight 1 may begin in one lap.
const QUANTUM_KEYS: u64 = 1 << 16;

/// Of files in flight, and of memory, one part in so many is kept for jobs that have nothing in flight.
const KEPT_PART: u8 = 4;

/// How long memory is held before others do not wait for it: a search may have no end, and a read none.
const AWAITED: Duration = Duration::from_secs(3);

/// The jobs of a session, and the workers that wait for something to do.
pub(crate) struct Dispatcher<'a> {
    limits: SessionLimits,
    num_nodes: usize,
    /// Jobs that nobody has prepared yet.
    requested: VecDeque<Box<Requested<'a>>>,
    jobs: HashMap<JobId, Active<'a>>,
    /// The active jobs in the order in which they are asked for items.
    lap: VecDeque<JobId>,
    /// Jobs that a worker prepares or closes.
    jobs_away: usize,
    sleepers: Sleepers,
    deadlines: Deadlines,
    /// The latest time that a worker brought.
    now: Duration,
    is_closed: bool,
    is_broken: bool,
}

struct Active<'a> {
    state: JobState<'a>,
    closing: Closing<'a>,
    /// Keys that it may begin in this lap.
    deficit: u64,
}

/// What is in flight of all jobs.
#[derive(Clone, Copy)]
struct InFlight {
    files: usize,
    /// What items and helpers hold.
    memory_bytes: u64,
}

/// Which of the contenders begins next, after so many laps.
struct Turn {
    place: usize,
    laps: u64,
}

/// What a job would begin.
struct Contender {
    id: JobId,
    candidate: Candidate,
    /// Whether its memory is there, and not only awaited.
    has_memory: bool,
}

/// What a worker is to do.
pub(crate) enum Assignment<'a> {
    /// List its inputs, and open its output.
    Prepare(Box<Requested<'a>>),
    /// Run this item.
    Begin(Arc<Work<'a>>, Taken),
    /// Find out whether this part is what would be built.
    Compare(Arc<Work<'a>>, Part),
    /// Tell that this item will not run, or need not.
    Refuse(Arc<Work<'a>>, ItemReport),
    /// Sync these, and publish what is staged.
    Sync(Arc<Work<'a>>, Unsynced),
    /// Append this to the pack, and check it.
    Append(Arc<Work<'a>>, Chunk),
    /// Try this range of somebody's search.
    Help(Arc<Work<'a>>, Help<'a>),
    /// Publish what is published at once, and end the job.
    Close(Box<JobState<'a>>, Closing<'a>),
    /// Nothing before something changes, or this time has come.
    Wait(Option<Duration>),
    /// Nothing any more.
    Leave,
    /// Nothing any more, and what is in hand is lost.
    BreakOff,
}

impl<'a> Dispatcher<'a> {
    pub(crate) fn new(limits: SessionLimits, num_nodes: usize) -> Self {
        Self {
            limits,
            num_nodes,
            requested: VecDeque::new(),
            jobs: HashMap::new(),
            lap: VecDeque::new(),
            jobs_away: 0,
            sleepers: Sleepers::default(),
            deadlines: Deadlines::default(),
            now: Duration::ZERO,
            is_closed: false,
            is_broken: false,
        }
    }

    /// A job waits to be prepared.
    pub(crate) fn request(&mut self, requested: Box<Requested<'a>>) {
        assert!(!self.is_closed, "a closed session takes no job");
        self.deadlines.add(&requested);
        self.requested.push_back(requested);
        self.rouse();
    }

    /// No job comes any more: workers leave when those that are there have ended.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
        self.sleepers.rouse_all();
    }

    /// Jobs that have not ended.
    pub(crate) fn num_jobs(&self) -> usize {
        self.requested.len() + self.jobs.len() + self.jobs_away
    }

    pub(crate) fn statistics(&self) -> SessionStatistics {
        let InFlight { files, memory_bytes } = self.in_flight();
        SessionStatistics {
            jobs_waiting: self.requested.len(),
            jobs_active: self.jobs.len() + self.jobs_away,
            files_in_flight: files,
            memory_reserved_bytes: memory_bytes,
            workers_idle: self.sleepers.len(),
        }
    }

    fn in_flight(&self) -> InFlight {
        let states = || self.jobs.values().map(|active| &active.state);
        InFlight {
            files: states().map(JobState::files_in_flight).sum(),
            memory_bytes: states().map(JobState::memory_reserved).sum(),
        }
    }

    /// A job is prepared, and its items may begin.
    pub(crate) fn activate(&mut self, state: JobState<'a>, closing: Closing<'a>) {
        self.jobs_away -= 1;
        let id = state.work.id;
        self.jobs.insert(id, Active { state, closing, deficit: 0 });
        self.lap.push_back(id);
        self.rouse();
    }

    /// Stops the jobs whose time is over by `now`, and says when the next one's is.
    pub(crate) fn stop_overdue(&mut self, now: Duration) -> Option<Duration> {
        self.deadlines.stop_overdue(now)
    }

    /// Gives up the jobs that were stopped before anybody prepared them.
    pub(crate) fn withdraw(&mut self) -> VecDeque<Box<Requested<'a>>> {
        let is_stopped = |requested: &Requested<'_>| requested.request.cancel.is_cancelled();
        // Asked for with every job that comes, and hardly ever are there any.
        if !self.requested.iter().any(|requested| is_stopped(requested)) {
            return VecDeque::new();
        }
        let (stopped, waiting): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.requested)
            .into_iter()
            .partition(|requested| is_stopped(requested));
        self.requested = waiting;
        for requested in &stopped {
            self.deadlines.remove(requested.id);
        }
        if self.is_over() {
            self.sleepers.rouse_all();
        }
        stopped
    }

    /// A job ended, or could not be prepared.
    pub(crate) fn ended(&mut self, id: JobId) {
        self.jobs_away -= 1;
        self.deadlines.remove(id);
        if self.is_over() { self.sleepers.rouse_all() } else { self.rouse() }
    }

    fn is_over(&self) -> bool {
        self.is_closed && self.num_jobs() == 0
    }

    /// The state of an active job, to be changed.
    pub(crate) fn job(&mut self, work: &Work<'a>) -> &mut JobState<'a> {
        let active = self.jobs.get_mut(&work.id);
        &mut active.expect("a job is active as long as anything of it runs").state
    }

    /// Where a job is, if it is still active.
    pub(crate) fn progress(&self, work: &Work<'a>, wall: Duration) -> Option<Progress> {
        self.jobs.get(&work.id).map(|active| active.state.progress(wall))
    }

    /// Wakes a worker for an item, and one for whatever else there is to do now, if they wait.
    pub(crate) fn rouse(&mut self) {
        if self.sleepers.is_empty() {
            return;
        }
        let mut offers_items: Vec<Option<bool>> = vec![None; self.num_nodes];
        let begins = self.sleepers.find(|sleeper| {
            sleeper.may_begin
                && *offers_items[sleeper.node].get_or_insert_with(|| self.offers_item(sleeper.node))
        });
        if let Some(number) = begins {
            self.sleepers.rouse(number);
        }
        // Not every sleeper may begin that item: whoever takes this, the other is not left for it.
        if let Some(number) = self.sleepers.first().filter(|_| self.offers_to_all()) {
            self.sleepers.rouse(number);
        }
        // Who went to sleep before knows nothing of a time that something comes due at since.
        if let Some(time) = self.next_timer() {
            self.sleepers.rouse_by(time);
        }
    }

    /// Wakes a worker that has something to do by now.
    pub(crate) fn rouse_at(&mut self, now: Duration) {
        self.now = self.now.max(now);
        self.rouse();
    }

    /// Lets all workers go at once.
    pub(crate) fn break_off(&mut self) {
        self.is_broken = true;
        self.sleepers.rouse_all();
    }

    /// Whether all workers are to go at once.
    pub(crate) const fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// What a worker of `node` begins that has other things to do as well.
    pub(crate) fn next_item(&mut self, node: usize) -> Option<Assignment<'a>> {
        if self.is_broken { None } else { self.find_item(node) }
    }

    fn offers_to_all(&self) -> bool {
        let in_flight = self.in_flight();
        self.can_prepare()
            || self.jobs.values().any(|Active { state, .. }| {
                state.is_due() || state.is_through() || self.only_awaits_sync(in_flight, state)
            })
            || self.who_is_helped(in_flight).is_some()
    }

    /// Whether something of a job waits for a sync, and nothing of it goes on before unless a search
    /// ends.
    fn only_awaits_sync(&self, in_flight: InFlight, state: &JobState<'a>) -> bool {
        let mut nodes = 0..self.num_nodes;
        let mut begins = |node| {
            let contender = self.contender(in_flight, state, node);
            contender.is_some_and(|contender| contender.has_memory)
        };
        state.awaits_sync() && !nodes.any(&mut begins)
    }

    /// Whether [`Self::find_item`] would have something.
    fn offers_item(&self, node: usize) -> bool {
        let contenders = self.contenders(self.in_flight(), node);
        let turn = self.whose_turn(&contenders);
        turn.is_some_and(|turn| contenders[turn.place].has_memory)
    }

    /// Whether the job whose turn it is waits for memory, which nobody else takes before.
    fn awaits_memory(&self, in_flight: InFlight) -> bool {
        (0..self.num_nodes).any(|node| {
            let contenders = self.contenders(in_flight, node);
            self.whose_turn(&contenders).is_some_and(|turn| !contenders[turn.place].has_memory)
        })
    }

    fn can_prepare(&self) -> bool {
        // Also those that are being prepared or closed have their items in memory.
        let num_active = self.jobs.len() + self.jobs_away;
        !self.requested.is_empty() && num_active < self.limits.jobs_active_max.get()
    }

    /// What a worker without work does next. If it is [`Assignment::Wait`], the worker is woken when
    /// there is something for it.
    pub(crate) fn assign(
        &mut self,
        now: Duration,
        number: usize,
        sleeper: &dyn Fn() -> Sleeper,
        may_begin: Option<usize>,
    ) -> Assignment<'a> {
        self.now = self.now.max(now);
        self.sleepers.remove(number);
        if self.is_broken {
            return Assignment::BreakOff;
        }
        if let Some(assignment) = self.find(may_begin) {
            self.rouse();
            return assignment;
        }
        if self.is_over() {
            return Assignment::Leave;
        }
        let until = self.next_timer();
        self.sleepers.add(number, sleeper(), until);
        Assignment::Wait(until)
    }

    /// Takes a worker that is awake off those that were told to wait. Whether it was taken off before: it
    /// was roused, and not woken by what it has in flight itself.
    pub(crate) fn unlist(&mut self, number: usize) -> bool {
        self.sleepers.remove(number).is_none()
    }

    /// What a worker that leads hard searches does besides: it helps with no other.
    pub(crate) fn assign_beside_searches(
        &mut self,
        now: Duration,
        may_begin: Option<usize>,
    ) -> Option<Assignment<'a>> {
        self.now = self.now.max(now);
        if self.is_broken {
            return Some(Assignment::BreakOff);
        }
        let assignment = self.find_but_help(may_begin)?;
        self.rouse();
        Some(assignment)
    }

    fn next_timer(&self) -> Option<Duration> {
        let states = || self.jobs.values().map(|active| &active.state);
        let more_help = states().filter_map(|state| state.board.next_more(self.now)).min();
        let first_awaited = |state: &JobState<'a>| state.memory_first_after(self.long_ago());
        let awaited = states().filter_map(first_awaited).min().map(|since| since + AWAITED);
        let awaited = awaited.filter(|_| self.awaits_memory(self.in_flight()));
        more_help.into_iter().chain(awaited).min()
    }

    /// What is in flight since then, or for longer, is not waited for.
    fn long_ago(&self) -> Option<Duration> {
        self.now.checked_sub(AWAITED)
    }

    fn find(&mut self, may_begin: Option<usize>) -> Option<Assignment<'a>> {
        self.find_but_help(may_begin).or_else(|| self.find_help())
    }

    fn find_but_help(&mut self, may_begin: Option<usize>) -> Option<Assignment<'a>> {
        if let Some(due) = self.find_due() {
            return Some(due);
        }
        if self.can_prepare() {
            self.jobs_away += 1;
            return self.requested.pop_front().map(Assignment::Prepare);
        }
        let item = may_begin.and_then(|node| self.find_item(node));
        item.or_else(|| self.find_sync())
    }

    /// A sync that waits for no more items. It comes before help, of which there may be no end.
    fn find_sync(&mut self) -> Option<Assignment<'a>> {
        let in_flight = self.in_flight();
        let is_found = |id: &&JobId| self.only_awaits_sync(in_flight, &self.jobs[*id].state);
        let id = *self.lap.iter().find(is_found)?;
        let active = self.jobs.get_mut(&id).expect("the lap names active jobs");
        let unsynced = active.state.take_unsynced();
        Some(Assignment::Sync(Arc::clone(&active.state.work), unsynced))
    }

    /// What is due before anything begins.
    fn find_due(&mut self) -> Option<Assignment<'a>> {
        for place in 0..self.lap.len() {
            let id = self.lap[place];
            let active = self.jobs.get_mut(&id).expect("the lap names active jobs");
            if let Some(due) = active.state.due() {
                let work = Arc::clone(&active.state.work);
                return Some(match due {
                    Due::Refuse(report) => Assignment::Refuse(work, report),
                    Due::Sync(unsynced) => Assignment::Sync(work, unsynced),
                    Due::Append(chunk) => Assignment::Append(work, chunk),
                });
            }
            if active.state.is_through() {
                self.lap.remove(place);
                self.jobs_away += 1;
                let active = self.jobs.remove(&id).expect("it was just there");
                return Some(Assignment::Close(Box::new(active.state), active.closing));
            }
        }
        None
    }

    /// What a worker of `node` would begin, in the order of the lap.
    fn contenders(&self, in_flight: InFlight, node: usize) -> Vec<Contender> {
        let states = self.lap.iter().map(|id| &self.jobs[id].state);
        states.filter_map(|state| self.contender(in_flight, state, node)).collect()
    }

    /// What a worker of `node` would begin of a job, if the bounds over all jobs allow it, or will when
    /// others have given back their memory.
    fn contender(
        &self,
        in_flight: InFlight,
        state: &JobState<'a>,
        node: usize,
    ) -> Option<Contender> {
        let candidate = state.candidate(node)?;
        let mut files_max = self.limits.files_in_flight_max.get();
        if self.leaves_a_part(state) {
            files_max -= files_max / usize::from(KEPT_PART);
        }
        if in_flight.files >= files_max {
            return None;
        }
        // What exceeds the memory of a session by itself runs alone.
        let has_memory = in_flight.memory_bytes == 0
            || candidate.memory_bytes <= self.free_bytes(in_flight, state);
        let contends = has_memory || self.will_have(candidate.memory_bytes, state);
        contends.then_some(Contender { id: state.work.id, candidate, has_memory })
    }

    /// Whether so many bytes are free for a job when all have given back theirs that are waited for.
    fn will_have(&self, memory_bytes: u64, state: &JobState<'a>) -> bool {
        let held_by =
            |state: &JobState<'a>| self.long_ago().map_or(0, |then| state.memory_reserved_by(then));
        let held: u64 = self.jobs.values().map(|active| held_by(&active.state)).sum();
        let leaves_a_part = self.others_may_come() && held_by(state) > 0;
        held == 0 || memory_bytes <= self.bytes_max(leaves_a_part).saturating_sub(held)
    }

    /// Bytes of memory that a job may take now, as far as the bounds over all jobs go.
    fn free_bytes(&self, in_flight: InFlight, state: &JobState<'a>) -> u64 {
        let bytes_max = self.bytes_max(self.leaves_a_part(state));
        bytes_max.saturating_sub(in_flight.memory_bytes)
    }

    fn bytes_max(&self, leaves_a_part: bool) -> u64 {
        let bytes_max = self.limits.memory_bytes_max;
        if leaves_a_part { bytes_max - bytes_max / u64::from(KEPT_PART) } else { bytes_max }
    }

    /// Whether a part of what is bounded is kept for other jobs than this one.
    fn leaves_a_part(&self, state: &JobState<'a>) -> bool {
        self.others_may_come() && state.files_in_flight() > 0
    }

    const fn others_may_come(&self) -> bool {
        self.limits.jobs_active_max.get() > 1
    }

    /// An item for a worker of `node`, from the job whose turn it is, if it has its memory.
    fn find_item(&mut self, node: usize) -> Option<Assignment<'a>> {
        let mut contenders = self.contenders(self.in_flight(), node);
        let Turn { place, laps } = self.whose_turn(&contenders)?;
        if contenders.len() > 1 {
            for contender in &contenders {
                let active = self.jobs.get_mut(&contender.id).expect("a contender is active");
                active.deficit += laps * active.quantum();
            }
            self.turn_to(contenders[place].id);
        }
        let Contender { id, candidate, has_memory } = contenders.swap_remove(place);
        if !has_memory {
            return None;
        }
        let active = self.jobs.get_mut(&id).expect("a contender is active");
        // A lone job need not save up.
        active.deficit = active.deficit.saturating_sub(candidate.keys);
        let begun = active.state.begin(candidate, self.now);
        let work = Arc::clone(&active.state.work);
        Some(match begun {
            Begun::Item(taken) => Assignment::Begin(work, taken),
            Begun::Part(part) => Assignment::Compare(work, part),
        })
    }

    /// The first in the lap whose item is covered by its deficit, after as many laps as that takes.
    fn whose_turn(&self, contenders: &[Contender]) -> Option<Turn> {
        if contenders.len() == 1 {
            return Some(Turn { place: 0, laps: 0 });
        }
        let laps_of = |Contender { id, candidate, .. }: &Contender| {
            let active = &self.jobs[id];
            let missing = candidate.keys.saturating_sub(active.deficit);
            missing.div_ceil(active.quantum())
        };
        let laps = contenders.iter().map(laps_of).min()?;
        let place = contenders.iter().position(|contender| laps_of(contender) == laps);
        Some(Turn { place: place.expect("one of them takes the least laps"), laps })
    }

    /// The lap goes on from this job.
    fn turn_to(&mut self, id: JobId) {
        let place = self.lap.iter().position(|other| *other == id);
        self.lap.rotate_left(place.expect("an active job is in the lap"));
    }

    fn find_help(&mut self) -> Option<Assignment<'a>> {
        let in_flight = self.in_flight();
        let id = self.who_is_helped(in_flight)?;
        let bytes_max = self.free_bytes(in_flight, &self.jobs[&id].state);
        let active = self.jobs.get_mut(&id).expect("the lap names active jobs");
        let help = active.state.take_help(self.now, bytes_max)?;
        Some(Assignment::Help(Arc::clone(&active.state.work), help))
    }

    /// The job of which a search gets the next helper, unless an item waits for memory.
    fn who_is_helped(&self, in_flight: InFlight) -> Option<JobId> {
        let takes_help = |id: &&JobId| {
            let state = &self.jobs[*id].state;
            state.offers_help(self.now, self.free_bytes(in_flight, state))
        };
        let id = *self.lap.iter().find(takes_help)?;
        (!self.awaits_memory(in_flight)).then_some(id)
    }
}

impl Active<'_> {
    fn quantum(&self) -> u64 {
        QUANTUM_KEYS * u64::from(self.state.work.world.job.share.weight.get())
    }
}
