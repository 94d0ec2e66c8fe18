//! When jobs have to have ended.

use std::collections::HashMap;
use std::time::Duration;

use crate::runtime::CancelFlag;
use crate::session::Requested;
use crate::work::JobId;

/// The jobs that have a deadline and have not ended.
#[derive(Debug, Default)]
pub(crate) struct Deadlines(HashMap<JobId, Deadline>);

#[derive(Debug)]
struct Deadline {
    at: Duration,
    cancel: CancelFlag,
}

impl Deadlines {
    /// A job was handed in. A time beyond all clocks is none.
    pub(crate) fn add(&mut self, requested: &Requested<'_>) {
        let time_max = requested.request.job.limits.job_time_max;
        if let Some(at) = time_max.and_then(|time_max| requested.begun.checked_add(time_max)) {
            let cancel = requested.request.cancel.clone();
            self.0.insert(requested.id, Deadline { at, cancel });
        }
    }

    /// A job has ended.
    pub(crate) fn remove(&mut self, id: JobId) {
        self.0.remove(&id);
    }

    /// Stops what is overdue by `now`, and says when the next one is.
    pub(crate) fn stop_overdue(&mut self, now: Duration) -> Option<Duration> {
        self.0.retain(|_, deadline| {
            let is_overdue = deadline.at <= now;
            if is_overdue {
                deadline.cancel.expire();
            }
            !is_overdue
        });
        self.0.values().map(|deadline| deadline.at).min()
    }
}
