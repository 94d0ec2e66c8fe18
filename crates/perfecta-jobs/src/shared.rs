//! What the workers of one job share, and how they tell of what they change.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use perfecta_core::graph::Scratch;
use perfecta_core::search::Plan;
use perfecta_io::Held;

use crate::event::{Event, ItemReport, Observer};
use crate::item::{Workspace, World};
use crate::job::{Assignment, JobState, Ticket};
use crate::runtime::Runtime;
use crate::schedule::Planned;

/// What the workers of one job share.
///
/// Locks are taken in the order observer, state, search; never the other way round.
pub(crate) struct Shared<'a, 'o> {
    pub(crate) world: World<'a>,
    pub(crate) runtime: &'a Runtime<'a>,
    /// Memory of items that are not at work: there is as much as items were at work at once, not as
    /// threads.
    pub(crate) idle: Mutex<Vec<ItemMemory>>,
    /// The job's plan, with the job's memory as limit.
    pub(crate) plan: Plan,
    pub(crate) state: Mutex<JobState<'a>>,
    /// The state changed in a way that may give a waiting worker something to do.
    pub(crate) changed: Condvar,
    pub(crate) observer: Mutex<&'o mut dyn Observer>,
    /// The clock when the job began.
    pub(crate) begun: Duration,
    /// Milliseconds since the beginning before which nothing more is told of hard searches.
    pub(crate) next_tick_ms: AtomicU64,
    /// The staged pack, if there is one.
    pub(crate) pack: Option<PathBuf>,
    /// For common syncs, if there are any.
    pub(crate) filesystem: Option<Arc<Held>>,
}

/// Memory that goes from item to item.
#[derive(Debug, Default)]
pub(crate) struct ItemMemory {
    pub(crate) scratch: Scratch,
    pub(crate) workspace: Workspace,
}

/// Between two events of hard searches.
const TICK_MS: u64 = 100;

impl<'a> Shared<'a, '_> {
    /// What a worker does next; waits until there is something.
    pub(crate) fn next_assignment(&self) -> Assignment<'a> {
        let mut state = self.state.lock();
        loop {
            match state.assign(self.runtime.cancel.is_cancelled()) {
                Assignment::Wait => self.changed.wait(&mut state),
                assignment => return assignment,
            }
        }
    }

    fn wall(&self) -> Duration {
        self.runtime.clock.now() - self.begun
    }

    /// Settles an item and tells of it.
    pub(crate) fn settle(
        &self,
        ticket: Ticket,
        position: u32,
        planned: &Planned,
        report: &ItemReport,
    ) {
        let mut observer = self.observer.lock();
        let (progress, filled) = {
            let mut state = self.state.lock();
            let was_full = state.is_disk_full();
            state.settle(ticket, position, planned, report);
            (state.progress(self.wall()), state.is_disk_full() && !was_full)
        };
        self.changed.notify_all();
        observer.observe(&Event::Settled { report, progress: &progress });
        if filled {
            observer.observe(&Event::Notice("the disk is full: no further table is begun"));
        }
    }

    /// Tells of an item that was settled without having run.
    pub(crate) fn tell_settled(&self, report: &ItemReport) {
        let mut observer = self.observer.lock();
        let progress = self.state.lock().progress(self.wall());
        self.changed.notify_all();
        observer.observe(&Event::Settled { report, progress: &progress });
    }

    /// Tells of hard searches, if nobody did lately.
    pub(crate) fn tick(&self) {
        let now = self.wall().as_millis() as u64;
        let due = self.next_tick_ms.load(Ordering::Relaxed);
        let next = now + TICK_MS;
        let is_ours = now >= due
            && self
                .next_tick_ms
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_ours {
            let mut observer = self.observer.lock();
            let progress = self.state.lock().progress(self.wall());
            observer.observe(&Event::Searching(&progress));
        }
    }

    /// Wakes workers that might help. The lock is taken so that nobody misses it between looking
    /// and waiting.
    pub(crate) fn wake_helpers(&self) {
        drop(self.state.lock());
        self.changed.notify_all();
    }
}
