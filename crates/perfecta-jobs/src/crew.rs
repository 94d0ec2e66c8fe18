//! The threads of a session's workers: started together, and if one is lost, all of them leave.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::{Builder, Scope};

use parking_lot::{Condvar, Mutex};

use crate::session::Session;
use crate::worker::Worker;

/// Starts a thread for each of a session's workers, and says how many there are: fewer where the
/// system has no more to give, and a notice tells of it. They leave when the session is closed and
/// its jobs have ended, or when one of them was lost by a bug, which is told by `lost`.
///
/// # Errors
/// Why there is not even one.
pub fn start_workers<'scope>(
    scope: &'scope Scope<'scope, '_>,
    session: &'scope Session<'_>,
    lost: &'scope (dyn Fn() + Sync),
    notice: &'scope (dyn Fn(&str) + Sync),
) -> io::Result<NonZeroUsize> {
    let gate = Arc::new(Gate::default());
    let mut started = 0;
    let mut refusal = None;
    for number in 0..session.limits.workers.get() {
        let gate = Arc::clone(&gate);
        let work = move || {
            let _leaving = Leaving { session, lost };
            if let Err(refused) = session.runtime.engines.place(number) {
                notice(&refused);
            }
            let mut worker = {
                let _arriving = Arriving(&gate);
                Worker::new(session, number)
            };
            gate.pass();
            worker.work();
        };
        let builder = Builder::new().name(format!("worker-{number}"));
        if let Err(error) = builder.spawn_scoped(scope, work) {
            refusal = Some(error);
            break;
        }
        started += 1;
    }
    let workers = NonZeroUsize::new(started);
    let workers = match (workers, refusal) {
        (Some(workers), Some(error)) => {
            let plural = if workers.get() == 1 { "" } else { "s" };
            notice(&format!("only {workers} worker thread{plural} could be started: {error}"));
            session.set_num_workers(workers);
            workers
        }
        (Some(workers), None) => workers,
        (None, error) => return Err(error.expect("a session has a worker")),
    };
    gate.open_for(workers.get());
    Ok(workers)
}

/// Behind it workers begin, when it is known how many they are, and each has what it needs of the
/// system: a job is planned for all of them, and nobody takes the last descriptors from one that runs.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    arrived: usize,
    is_open: bool,
}

impl Gate {
    /// Lets so many pass as soon as they are there.
    fn open_for(&self, workers: usize) {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |state| state.arrived < workers);
        state.is_open = true;
        self.changed.notify_all();
    }

    fn pass(&self) {
        self.changed.wait_while(&mut self.state.lock(), |state| !state.is_open);
    }
}

/// A worker on its way to the gate, which also one is that panics before.
struct Arriving<'g>(&'g Gate);

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        self.0.state.lock().arrived += 1;
        self.0.changed.notify_all();
    }
}

/// Tells when a worker's thread ends by a panic.
struct Leaving<'scope, 'a> {
    session: &'scope Session<'a>,
    lost: &'scope (dyn Fn() + Sync),
}

impl Drop for Leaving<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.session.break_off();
            (self.lost)();
        }
    }
}
