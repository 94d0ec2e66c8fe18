//! What every worker is at, for those who watch: a watchdog that names what is stuck, and a trace.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::planned::Planned;
use crate::sync::Mutex;

/// Is told what workers did, and when.
pub trait Tracer: Sync {
    /// Called after every span, from the worker's thread.
    fn span(&self, span: &Span<'_>);
}

/// Something that a worker did for an item, or that an item waited for.
#[derive(Debug, Clone, Copy)]
pub struct Span<'s> {
    /// The worker's number.
    pub worker: usize,
    /// Which of the things that it has in hand at once.
    pub slot: usize,
    /// What it was, in a word or two.
    pub name: &'static str,
    /// The key file.
    pub keys_file: &'s Path,
    /// When it began, on the session's clock.
    pub begun: Duration,
    /// When it ended.
    pub ended: Duration,
}

/// An item that is at the same thing for long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// The key file.
    pub keys_file: PathBuf,
    /// What it is at, or waits for.
    pub activity: &'static str,
    /// The worker that has it.
    pub worker: usize,
    /// How long.
    pub since: Duration,
}

/// A search that goes on and on is as long at one thing as a disk that does not answer.
impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys_file, activity, worker, since } = self;
        let (path, seconds) = (keys_file.display(), since.as_secs());
        write!(f, "{path}: worker {worker} is still at \"{activity}\" after {seconds} s")
    }
}

/// What every worker is at.
#[derive(Debug)]
pub(crate) struct Watch {
    workers: Vec<Mutex<Vec<Doing>>>,
}

/// An item in the hands of a worker.
#[derive(Debug)]
struct Doing {
    slot: usize,
    planned: Arc<Planned>,
    activity: &'static str,
    since: Duration,
    is_told: bool,
}

impl Watch {
    pub(crate) fn new(num_workers: usize) -> Self {
        Self { workers: (0..num_workers).map(|_| Mutex::default()).collect() }
    }

    /// An item is at something else now.
    pub(crate) fn is_at(
        &self,
        worker: usize,
        slot: usize,
        planned: &Arc<Planned>,
        activity: &'static str,
        now: Duration,
        tracer: Option<&dyn Tracer>,
    ) {
        let mut doing = self.workers[worker].lock();
        match doing.iter_mut().find(|doing| doing.slot == slot) {
            Some(doing) => {
                doing.trace(worker, now, tracer);
                // Items that are published together follow each other in one slot.
                let planned = Arc::clone(planned);
                *doing = Doing { slot, planned, activity, since: now, is_told: false };
            }
            None => {
                let planned = Arc::clone(planned);
                doing.push(Doing { slot, planned, activity, since: now, is_told: false });
            }
        }
    }

    /// An item left the hands of its worker.
    pub(crate) fn has_left(
        &self,
        worker: usize,
        slot: usize,
        now: Duration,
        tracer: Option<&dyn Tracer>,
    ) {
        let mut doing = self.workers[worker].lock();
        let place = doing.iter().position(|doing| doing.slot == slot);
        if let Some(place) = place {
            doing.swap_remove(place).trace(worker, now, tracer);
        }
    }

    /// Items that are at the same thing for `patience`, each told once.
    pub(crate) fn stuck(&self, now: Duration, patience: Duration) -> Vec<Stuck> {
        let mut stuck = Vec::new();
        for (worker, doing) in self.workers.iter().enumerate() {
            for doing in &mut *doing.lock() {
                let since = now.saturating_sub(doing.since);
                if since >= patience && !doing.is_told {
                    doing.is_told = true;
                    let (keys_file, activity) = (doing.planned.keys_file.clone(), doing.activity);
                    stuck.push(Stuck { keys_file, activity, worker, since });
                }
            }
        }
        stuck
    }

    /// Whether no worker has an item.
    pub(crate) fn is_quiet(&self) -> bool {
        self.workers.iter().all(|doing| doing.lock().is_empty())
    }
}

impl Doing {
    fn trace(&self, worker: usize, now: Duration, tracer: Option<&dyn Tracer>) {
        if let Some(tracer) = tracer {
            let (name, keys_file) = (self.activity, &*self.planned.keys_file);
            let slot = self.slot;
            tracer.span(&Span { worker, slot, name, keys_file, begun: self.since, ended: now });
        }
    }
}

#[cfg(test)]
mod tests {
    use perfecta_io::{Entry, EntryKind};

    use super::*;
    use crate::activity;
    use crate::config::{Inputs, Job};
    use crate::schedule;

    #[test]
    fn what_is_at_one_thing_for_long_is_told_once() {
        const PATIENCE: Duration = Duration::from_secs(30);
        let job = Job::new(Inputs::tree("in"));
        let entry = Entry { path: "a.keys".into(), kind: EntryKind::File { bytes: 4 } };
        let planned = Arc::new(schedule::plan(&job, None, vec![entry]).remove(0));
        let at = Duration::from_secs;
        let watch = Watch::new(2);
        let told = |now| {
            let stuck = watch.stuck(at(now), PATIENCE);
            stuck.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        watch.is_at(1, 7, &planned, activity::READ_KEYS, at(5), None);
        assert!(told(34).is_empty());
        assert_eq!(told(36), [r#"in/a.keys: worker 1 is still at "read key file" after 31 s"#]);
        assert!(told(90).is_empty());
        watch.is_at(1, 7, &planned, activity::SEARCH, at(100), None);
        assert_eq!(told(130), [r#"in/a.keys: worker 1 is still at "search" after 30 s"#]);
        watch.has_left(1, 7, at(131), None);
        assert!(told(200).is_empty() && watch.is_quiet());
    }
}
