//! A session: jobs that come, and workers that carry them out.
//!
//! ```text
//!  submit(Request) ---> Dispatcher <--- next assignment --- Worker, one a thread
//!                          |                                   |  step, step, ... wait
//!                          `---------------------------------- Engine
//! ```
//!
//! A worker never waits but between two steps, and says until when it may: so the same workers run
//! on threads, or one after another on a simulated machine.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use perfecta_io::pool::{self, Acquisition};
use perfecta_io::{Buffer, Clock, IoError};

use crate::config::Job;
use crate::dispatch::{Assignment, Dispatcher};
use crate::error::{ItemError, JobError};
use crate::event::{Event, ItemReport, Observer, Summary};
use crate::item::Item;
use crate::job::{Holding, JobState};
use crate::render::Renderer;
use crate::runtime::{CancelFlag, EngineSource};
use crate::sleepers::Sleeper;
use crate::spare::SpareMemory;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::watch::{Doing, Named, Station, Tracer, Watch};
use crate::work::{JobId, SharedObserver, Work};

/// What a session runs with.
#[derive(Clone, Copy)]
pub struct SessionRuntime<'a> {
    /// An engine for every worker.
    pub engines: &'a dyn EngineSource,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Is told what workers did, and when.
    pub tracer: Option<&'a dyn Tracer>,
}

/// Bounds over all jobs of a session.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// Workers.
    pub workers: NonZeroUsize,
    /// Key files that are begun and not settled at once. Where several jobs may be active, a quarter of
    /// them, and of the memory, is kept for jobs of which nothing is in flight.
    pub files_in_flight_max: NonZeroUsize,
    /// Key files that a worker reads at once, where it has to wait for them.
    pub io_depth: NonZeroUsize,
    /// Bytes of key files, graphs and artifacts at once.
    pub memory_bytes_max: u64,
    /// Jobs whose items are known; further ones wait to be listed.
    pub jobs_active_max: NonZeroUsize,
}

/// A job with all that is its own.
pub struct Request<'a> {
    /// What is to be done.
    pub job: Job,
    /// Turns tables into artifacts; needed where something is written.
    pub renderer: Option<Arc<dyn Renderer + 'a>>,
    /// Stops it.
    pub cancel: CancelFlag,
    /// Is told of every event.
    pub observer: Box<dyn Observer + 'a>,
    /// Is told of the end, once.
    pub on_end: Box<dyn FnOnce(Result<Summary, JobError>) + Send + 'a>,
}

/// A request that was accepted.
pub(crate) struct Requested<'a> {
    pub(crate) id: JobId,
    pub(crate) begun: Duration,
    pub(crate) cpu_begun: Duration,
    pub(crate) request: Request<'a>,
}

/// A moment of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionStatistics {
    /// Jobs that nobody has prepared yet.
    pub jobs_waiting: usize,
    /// Jobs whose items are known.
    pub jobs_active: usize,
    /// Key files that are begun, and neither settled nor waiting for others.
    pub files_in_flight: usize,
    /// Bytes that items and helpers hold.
    pub memory_reserved_bytes: u64,
    /// Workers with nothing to do.
    pub workers_idle: usize,
}

/// Jobs, and what workers share of them.
pub struct Session<'a> {
    pub(crate) runtime: SessionRuntime<'a>,
    pub(crate) limits: SessionLimits,
    dispatcher: Mutex<Dispatcher<'a>>,
    pub(crate) spare: SpareMemory,
    watch: Watch<'a>,
    /// Every worker.
    pub(crate) workers: Arc<WakerSet>,
    next_id: Mutex<u64>,
    /// Workers that there are: fewer than was wanted where the system gives no more threads.
    num_workers: AtomicUsize,
    /// Those that lead hard searches, by node.
    num_leaders: Vec<AtomicUsize>,
}

/// Wakers that are used together.
#[derive(Debug, Default)]
pub(crate) struct WakerSet(Mutex<Vec<Waker>>);

impl WakerSet {
    pub(crate) fn add(&self, waker: Waker) {
        self.0.lock().push(waker);
    }
}

impl Wake for WakerSet {
    fn wake(self: Arc<Self>) {
        self.0.lock().iter().for_each(Waker::wake_by_ref);
    }
}

impl<'a> Session<'a> {
    /// A session without jobs.
    #[must_use]
    pub fn new(runtime: SessionRuntime<'a>, limits: SessionLimits) -> Self {
        let num_nodes = runtime.engines.num_nodes().get();
        Self {
            runtime,
            limits,
            dispatcher: Mutex::new(Dispatcher::new(limits, num_nodes)),
            spare: SpareMemory::none(num_nodes),
            workers: Arc::default(),
            watch: Watch::new(limits.workers.get()),
            next_id: Mutex::new(0),
            num_workers: AtomicUsize::new(limits.workers.get()),
            num_leaders: (0..num_nodes).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    /// Takes a job. It ends once, by [`Request::on_end`].
    ///
    /// # Panics
    /// If the session was closed.
    pub fn submit(&self, request: Request<'a>) -> JobId {
        let id = {
            let mut next_id = self.next_id.lock();
            *next_id += 1;
            JobId(*next_id)
        };
        let (begun, cpu_begun) = (self.now(), self.runtime.clock.cpu());
        request.cancel.add_waker(Arc::clone(&self.workers).into());
        let requested = Box::new(Requested { id, begun, cpu_begun, request });
        self.dispatcher.lock().request(requested);
        id
    }

    /// Stops jobs whose time is over, ends those that were stopped before anybody prepared them, and
    /// says how long it is until the next one's time is over. Whoever has a session calls this then,
    /// and whenever a job was handed in or cancelled.
    pub fn end_overdue(&self) -> Option<Duration> {
        let now = self.now();
        let (next, stopped) = self
            .with_dispatcher(|dispatcher| (dispatcher.stop_overdue(now), dispatcher.withdraw()));
        for requested in stopped {
            let Request { cancel, on_end, .. } = requested.request;
            on_end(Err(cancel.reason()));
        }
        next.map(|next| next.saturating_sub(now))
    }

    /// What there is to do, and who does it.
    #[must_use]
    pub fn statistics(&self) -> SessionStatistics {
        self.dispatcher.lock().statistics()
    }

    /// Takes no further job: workers leave when those that are there have ended.
    pub fn close(&self) {
        self.dispatcher.lock().close();
    }

    /// Jobs that have not ended.
    #[must_use]
    pub fn num_jobs(&self) -> usize {
        self.dispatcher.lock().num_jobs()
    }

    /// Tells jobs, by a notice, of what workers are at for them for `patience`: their items, and what is
    /// done before and after these. Each is told once.
    pub fn tell_stuck(&self, patience: Duration) {
        self.watch.tell_stuck(self.now(), patience);
    }

    /// A worker is at something else now for the job of an observer.
    pub(crate) fn note(
        &self,
        worker: usize,
        station: Station,
        observer: &SharedObserver<'a>,
        named: Named,
        activity: &'static str,
    ) {
        let (observer, since) = (Arc::clone(observer), self.now());
        let doing = Doing { station, observer, named, activity, since, is_told: false };
        self.watch.note(worker, doing, self.runtime.tracer);
    }

    /// What a worker had there is done, or in other hands.
    pub(crate) fn note_left(&self, worker: usize, station: Station) {
        self.watch.note_left(worker, station, self.now(), self.runtime.tracer);
    }

    pub(crate) fn now(&self) -> Duration {
        self.runtime.clock.now()
    }

    pub(crate) fn with_dispatcher<R>(&self, change: impl FnOnce(&mut Dispatcher<'a>) -> R) -> R {
        change(&mut self.dispatcher.lock())
    }

    pub(crate) fn assignment(
        &self,
        number: usize,
        sleeper: &dyn Fn() -> Sleeper,
        may_begin: Option<usize>,
    ) -> Assignment<'a> {
        let now = self.now();
        self.dispatcher.lock().assign(now, number, sleeper, may_begin)
    }

    /// Takes a worker that is awake off those that wait for an assignment. Whether somebody did so before
    /// who has something for it.
    pub(crate) fn unlist(&self, number: usize) -> bool {
        self.dispatcher.lock().unlist(number)
    }

    /// Wakes a worker that has something to do now, if one waits.
    pub(crate) fn rouse(&self) {
        self.dispatcher.lock().rouse();
    }

    /// What there is for a worker that leads hard searches, if anything.
    pub(crate) fn assignment_beside_searches(
        &self,
        may_begin: Option<usize>,
    ) -> Option<Assignment<'a>> {
        let now = self.now();
        self.dispatcher.lock().assign_beside_searches(now, may_begin)
    }

    /// There are fewer workers than was wanted.
    pub(crate) fn set_num_workers(&self, num_workers: NonZeroUsize) {
        self.num_workers.store(num_workers.get(), Ordering::Relaxed);
    }

    /// The nodes of the workers that there are.
    pub(crate) fn nodes_of_workers(&self) -> impl Iterator<Item = usize> {
        let num_workers = self.num_workers.load(Ordering::Relaxed);
        (0..num_workers).map(|worker| self.runtime.engines.node_of(worker))
    }

    /// Counts a worker of `node` that leads a hard search from now on, and did not before.
    pub(crate) fn add_leader(&self, node: usize) {
        self.num_leaders[node].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a worker of `node` no more that leads no hard search any more.
    pub(crate) fn remove_leader(&self, node: usize) {
        self.num_leaders[node].fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether every worker of `node` leads a hard search: those of others may not begin its items.
    pub(crate) fn all_lead(&self, node: usize) -> bool {
        let num_workers = self.nodes_of_workers().filter(|other| *other == node).count();
        self.num_leaders[node].load(Ordering::Relaxed) == num_workers
    }

    /// What a worker of `node` begins that has other things to do as well.
    pub(crate) fn next_item(&self, node: usize) -> Option<Assignment<'a>> {
        self.dispatcher.lock().next_item(node)
    }

    /// Wakes a worker that could help: ranges are there, or time has come for more helpers.
    pub(crate) fn wake_helpers(&self) {
        let now = self.now();
        self.with_dispatcher(|dispatcher| dispatcher.rouse_at(now));
    }

    /// Lets all workers go at once: one of them is gone for no good reason.
    pub(crate) fn break_off(&self) {
        self.with_dispatcher(Dispatcher::break_off);
        // Who has its hands full does not wait for the dispatcher.
        Arc::clone(&self.workers).wake();
    }

    /// Whether all workers are to go at once.
    pub(crate) fn is_broken(&self) -> bool {
        self.dispatcher.lock().is_broken()
    }

    /// Changes the state of a job in a way that may give a waiting worker something to do.
    pub(crate) fn change<R>(
        &self,
        work: &Work<'a>,
        change: impl FnOnce(&mut JobState<'a>) -> R,
    ) -> R {
        let mut dispatcher = self.dispatcher.lock();
        let result = change(dispatcher.job(work));
        dispatcher.rouse();
        result
    }

    /// A sync of a job came to this; if it failed, that is told.
    pub(crate) fn synced(&self, work: &Work<'a>, outcome: &Result<(), IoError>) {
        let mut observer = work.observer.lock();
        if self.change(work, |state| state.synced(outcome)) {
            let notice = "a sync failed: what was not safe before may be lost, and no further table is begun";
            observer.observe(&Event::Notice(notice));
        }
    }

    /// Settles an item and tells of it.
    pub(crate) fn settle(&self, work: &Work<'a>, item: Item, holding: Holding) {
        let position = item.position();
        self.settle_as(work, holding, position, &item.into_report());
    }

    /// Settles an item whose worker panicked.
    pub(crate) fn settle_panicked(
        &self,
        work: &Work<'a>,
        item: Item,
        holding: Holding,
        message: String,
    ) {
        let position = item.position();
        self.settle_as(work, holding, position, &item.into_panicked_report(message));
    }

    fn settle_as(&self, work: &Work<'a>, holding: Holding, position: u32, report: &ItemReport) {
        let wall = self.now() - work.begun;
        let mut observer = work.observer.lock();
        let (progress, filled) = self.change(work, |state| {
            let was_full = state.is_disk_full();
            state.settle(holding, position, &work.items[position as usize], report);
            (state.progress(wall), state.is_disk_full() && !was_full)
        });
        observer.observe(&Event::Settled { report, progress: &progress });
        if filled {
            observer.observe(&Event::Notice("the disk is full: no further table is begun"));
        }
    }

    /// Tells of an item that was settled without having run.
    pub(crate) fn tell_settled(&self, work: &Work<'a>, report: &ItemReport) {
        let wall = self.now() - work.begun;
        let mut observer = work.observer.lock();
        let progress = self.change(work, |state| state.progress(wall));
        observer.observe(&Event::Settled { report, progress: &progress });
        self.change(work, JobState::told);
    }

    /// Tells of hard searches, if nobody did lately.
    pub(crate) fn tick(&self, work: &Work<'a>) {
        let wall = self.now() - work.begun;
        if !work.take_tick(wall) {
            return;
        }
        let mut observer = work.observer.lock();
        // Nothing of ours need be running: the job may be over.
        let progress = self.with_dispatcher(|dispatcher| dispatcher.progress(work, wall));
        if let Some(progress) = progress {
            observer.observe(&Event::Searching(&progress));
        }
    }

    /// A buffer for a key file of so many bytes, or a place in the queue for one.
    pub(crate) fn buffer_for(
        &self,
        node: usize,
        file_bytes: u64,
        waker: &Waker,
    ) -> Result<Buffer, pool::Ticket> {
        let Some(pool) = self.runtime.engines.pool(node) else {
            return Ok(self.spare.take_buffer(node, file_bytes));
        };
        // One byte more, so that a file that grew is seen.
        match pool.acquire_or_wait(file_bytes as usize + 1, self.now(), waker) {
            Ok(Acquisition::Ready(buffer)) => Ok(buffer.into()),
            Ok(Acquisition::Waiting(ticket)) => Err(ticket),
            // Larger than all of the pool: its memory was reserved with the item's.
            Err(_) => Ok(self.spare.take_buffer(node, file_bytes)),
        }
    }

    /// Checks that nothing is left anywhere.
    ///
    /// # Panics
    /// If something is.
    pub fn assert_quiet(&self) {
        assert_eq!(self.num_jobs(), 0, "jobs are left");
        assert!(self.watch.is_quiet(), "workers left items behind");
        let engines = self.runtime.engines;
        for pool in (0..engines.num_nodes().get()).filter_map(|node| engines.pool(node)) {
            let statistics = pool.statistics();
            let is_quiet = statistics.in_use_bytes == 0 && statistics.num_waiting == 0;
            assert!(is_quiet, "buffers are out: {statistics:?}");
        }
    }

    /// Allows an item to write so many bytes, or says why not.
    pub(crate) fn reserve_output(
        &self,
        work: &Work<'a>,
        holding: &mut Holding,
        bytes: u64,
    ) -> Result<(), ItemError> {
        self.dispatcher.lock().job(work).reserve_output(holding, bytes)
    }
}
