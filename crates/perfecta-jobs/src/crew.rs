//! The threads of a session's workers: started together, and if one is lost, all of them leave.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::{Builder, Scope};

use parking_lot::Mutex;

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
    let mut started = None;
    // Nobody begins before it is known how many they are: a job is planned for all of them.
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock();
    for number in 0..session.limits.workers.get() {
        let gate = Arc::clone(&gate);
        let work = move || {
            drop(gate.lock());
            let _leaving = Leaving { session, lost };
            if let Err(refused) = session.runtime.engines.place(number) {
                notice(&refused);
            }
            Worker::new(session, number).work();
        };
        let builder = Builder::new().name(format!("worker-{number}"));
        match (builder.spawn_scoped(scope, work), started) {
            (Ok(_), _) => started = NonZeroUsize::new(number + 1),
            (Err(error), Some(workers)) => {
                notice(&format!("only {workers} worker threads could be started: {error}"));
                session.has_only(workers);
                return Ok(workers);
            }
            (Err(error), None) => return Err(error),
        }
    }
    drop(closed);
    Ok(started.expect("a session has a worker"))
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
