//! What a job runs with: engines, a clock, a renderer, and a flag that stops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use perfecta_io::{BlockingEngine, Clock, Engine, SystemClock};

use crate::render::Renderer;

/// What a job runs with.
#[derive(Clone)]
pub struct Runtime<'a> {
    /// An engine for every worker.
    pub engines: &'a dyn EngineSource,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Turns tables into artifacts; needed where something is written or verified.
    pub renderer: Option<&'a dyn Renderer>,
    /// Says when to stop.
    pub cancel: CancelFlag,
}

impl<'a> Runtime<'a> {
    /// The blocking engine and the system's clock.
    #[must_use]
    pub fn new(renderer: Option<&'a dyn Renderer>, cancel: CancelFlag) -> Self {
        Self { engines: &BlockingEngines, clock: &SystemClock, renderer, cancel }
    }
}

/// Makes an engine on the thread that will use it.
pub trait EngineSource: Sync {
    /// An engine for the calling thread.
    fn engine(&self) -> Box<dyn Engine>;
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
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    /// Asks. Safe to call from a signal handler.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// The flag itself, for those who install signal handlers.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Whether it was asked.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
