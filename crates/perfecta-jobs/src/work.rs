//! What the workers of a session share of one job: what it is, and whom they tell.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use perfecta_core::search::Plan;
use perfecta_io::Held;

use crate::event::{Event, ItemReport, Observer};
use crate::item::World;
use crate::job::{Holding, JobState};
use crate::manifest::PackManifest;
use crate::planned::Planned;
use crate::runtime::CancelFlag;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Names a job of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// What the workers share of one job.
///
/// Locks are taken in the order observer, dispatcher, search; never the other way round.
pub(crate) struct Work<'a> {
    pub(crate) id: JobId,
    pub(crate) world: World<'a>,
    pub(crate) items: Vec<Arc<Planned>>,
    /// The job's plan, with the job's memory as limit.
    pub(crate) plan: Plan,
    pub(crate) cancel: CancelFlag,
    pub(crate) observer: SharedObserver<'a>,
    /// The clock when the job began.
    pub(crate) begun: Duration,
    /// Milliseconds since the beginning before which nothing more is told of hard searches.
    pub(crate) next_tick_ms: AtomicU64,
    /// The staged pack, if there is one.
    pub(crate) pack: Option<PathBuf>,
    /// What the manifest of the pack says that is there, if all of it may be what would be built.
    pub(crate) earlier_pack: Option<PackManifest>,
    /// For common syncs, if there are any.
    pub(crate) filesystem: Option<Arc<Held>>,
}

/// The observer of a job, until the job ends.
pub(crate) struct JobObserver<'a> {
    observer: Box<dyn Observer + 'a>,
    is_dismissed: bool,
}

/// The observer of a job, for all who have something to tell.
pub(crate) type SharedObserver<'a> = Arc<Mutex<JobObserver<'a>>>;

impl<'a> JobObserver<'a> {
    pub(crate) fn new(observer: Box<dyn Observer + 'a>) -> Self {
        Self { observer, is_dismissed: false }
    }

    pub(crate) fn observe(&mut self, event: &Event<'_>) {
        self.observer.observe(event);
    }

    /// The end is told next, and nothing behind it.
    pub(crate) fn dismiss(&mut self) {
        self.is_dismissed = true;
    }

    /// Tells what was found out from outside: the job may have ended since.
    pub(crate) fn observe_unless_over(&mut self, event: &Event<'_>) {
        if !self.is_dismissed {
            self.observe(event);
        }
    }
}

/// Between two events of hard searches.
const TICK_MS: u64 = 100;

impl<'a> Work<'a> {
    /// Settles an item of a job whose state nobody else has, and tells of it.
    pub(crate) fn settle(
        &self,
        state: &mut JobState<'a>,
        holding: Holding,
        position: u32,
        report: &ItemReport,
        wall: Duration,
    ) {
        let planned = &self.items[position as usize];
        state.settle(holding, position, planned, report);
        let progress = state.progress(wall);
        self.observer.lock().observe(&Event::Settled { report, progress: &progress });
    }

    /// Takes it upon the caller to tell of hard searches, if it is time and nobody else did.
    pub(crate) fn take_tick(&self, wall: Duration) -> bool {
        let now = wall.as_millis() as u64;
        let due = self.next_tick_ms.load(Ordering::Relaxed);
        let next = now + TICK_MS;
        now >= due
            && self
                .next_tick_ms
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}
