//! What jobs run with: engines, a clock, and a flag that stops them.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::Waker;

use perfecta_io::pool::BufferPool;
use perfecta_io::{BlockingEngine, Clock, Engine, Interrupt, SystemClock};

use crate::error::JobError;
use crate::render::Renderer;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::watch::Tracer;

/// What a job runs with.
#[derive(Clone)]
pub struct Runtime<'a> {
    /// An engine for every worker.
    pub engines: &'a dyn EngineSource,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Turns tables into artifacts; needed where something is written or verified.
    pub renderer: Option<&'a dyn Renderer>,
    /// Is told what workers did, and when.
    pub tracer: Option<&'a dyn Tracer>,
    /// Says when to stop.
    pub cancel: CancelFlag,
}

impl<'a> Runtime<'a> {
    /// The blocking engine and the system's clock.
    #[must_use]
    pub fn new(renderer: Option<&'a dyn Renderer>, cancel: CancelFlag) -> Self {
        Self { engines: &BlockingEngines, clock: &SystemClock, renderer, tracer: None, cancel }
    }
}

/// Makes an engine on the thread that will use it.
pub trait EngineSource: Sync {
    /// An engine for the calling thread.
    fn engine(&self) -> Box<dyn Engine>;

    /// An engine that nothing is left in flight with, for what is done in one go.
    fn desk(&self) -> Box<dyn Engine> {
        self.engine()
    }

    /// Buffers of a node for key files; without them the heap serves.
    fn pool(&self, _node: usize) -> Option<&BufferPool> {
        None
    }

    /// NUMA nodes that workers run on, at least one.
    fn num_nodes(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }

    /// The node of a worker, below [`Self::num_nodes`]; workers are numbered from 0.
    fn node_of(&self, _worker: usize) -> usize {
        0
    }

    /// Puts the calling thread, that of a worker, to its place. What the system refuses is told,
    /// and the worker works where it is.
    ///
    /// # Errors
    /// A sentence for the user.
    fn place(&self, _worker: usize) -> Result<(), String> {
        Ok(())
    }
}

#[derive(Debug)]
struct BlockingEngines;

impl EngineSource for BlockingEngines {
    fn engine(&self) -> Box<dyn Engine> {
        Box::new(BlockingEngine::default())
    }
}

/// Asks a job to stop: no item begins any more, and those at work are abandoned unpublished.
#[derive(Debug, Clone, Default)]
pub struct CancelFlag(Arc<Cancel>);

#[derive(Debug, Default)]
struct Cancel {
    is_cancelled: AtomicBool,
    /// The same for operations. Engines ask while they hold locks, under which a model of threads
    /// may not go on with another: so it is none of the model's.
    interrupts: std::sync::atomic::AtomicBool,
    /// It was not the user who asked, but the time that is over.
    is_expired: AtomicBool,
    /// Who waits and has to look at the flag.
    wakers: Mutex<Vec<Waker>>,
}

impl CancelFlag {
    /// Asks, and wakes those who wait.
    pub fn cancel(&self) {
        self.0.interrupts.store(true, std::sync::atomic::Ordering::SeqCst);
        self.0.is_cancelled.store(true, Ordering::SeqCst);
        self.0.wakers.lock().iter().for_each(Waker::wake_by_ref);
    }

    /// Asks because the time is over; whoever asked before keeps the blame.
    pub(crate) fn expire(&self) {
        if !self.is_cancelled() {
            self.0.is_expired.store(true, Ordering::SeqCst);
            self.cancel();
        }
    }

    /// Whether it was asked because the time was over.
    pub(crate) fn is_expired(&self) -> bool {
        self.0.is_expired.load(Ordering::SeqCst)
    }

    /// Nothing, or why it was asked: for what is done before anything of a job is known.
    pub(crate) fn check(&self) -> Result<(), JobError> {
        if self.is_cancelled() { Err(self.reason()) } else { Ok(()) }
    }

    /// Why a job ends of which nothing is known.
    pub(crate) fn reason(&self) -> JobError {
        if self.is_expired() { JobError::Expired } else { JobError::Cancelled }
    }

    /// The same flag, for what is computed: whether to go on.
    pub(crate) fn keep_going(&self) -> impl Fn() -> bool + '_ {
        || !self.is_cancelled()
    }

    /// The same flag, for an operation.
    pub(crate) fn interrupt(&self) -> Interrupt {
        let Self(flag) = self.clone();
        Interrupt::new(move || flag.interrupts.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// Whether it was asked.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled.load(Ordering::Relaxed)
    }

    /// Wakes this one too when it is asked.
    pub(crate) fn add_waker(&self, waker: Waker) {
        self.0.wakers.lock().push(waker);
        if self.is_cancelled() {
            self.0.wakers.lock().iter().for_each(Waker::wake_by_ref);
        }
    }
}
