//! Commands that only look, or write what they made themselves: the first signal ends them, whatever
//! they are at.
//!
//! They work on a thread of their own. What parses and sorts a large file asks nobody whether to go on;
//! it is left where it is, and goes with the program. What must not be cut off is done in an [`Act`], for
//! whose end is waited.

use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

use signal_hook::iterator::Handle;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::signals::{caught, exit_by, not_caught};

/// Does `work` until it is done or the first Ctrl-C, SIGTERM or SIGHUP; a second one ends the program
/// at once.
///
/// # Errors
/// [`Failure`]: that of the work, or that it was cancelled. Nothing is said after that but by the caller.
pub(crate) fn until_signal(
    work: impl FnOnce(&Acts) -> Result<Exit, Failure> + Send + 'static,
) -> Result<Exit, Failure> {
    let acts = Arc::<Acts>::default();
    let begin = || {
        let signals = caught()?;
        let (acts, done) = (Arc::clone(&acts), Done(signals.handle()));
        let worker = Builder::new().name("work".to_owned()).spawn(move || {
            let _done = done;
            work(&acts)
        })?;
        Ok((signals, worker))
    };
    let (mut signals, worker) = begin().map_err(|error| not_caught(&error))?;
    match signals.forever().next() {
        None => worker.join().unwrap_or_else(|panic| resume_unwind(panic)),
        Some(signal) => {
            acts.end();
            Err(cancelled(exit_by(signal)))
        }
    }
}

fn cancelled(exit: Exit) -> Failure {
    let by = match exit {
        Exit::Terminated => " by SIGTERM",
        Exit::HungUp => " by SIGHUP",
        _ => "",
    };
    Failure::new(exit, format!("cancelled{by}"))
}

/// Wakes who waits for signals, also when the work panics.
struct Done(Handle);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What work does that is not to be cut off, one after another.
#[derive(Debug, Default)]
pub(crate) struct Acts {
    is_ending: AtomicBool,
    turn: Mutex<()>,
}

/// Something that is begun, and not cut off as long as this lives.
pub(crate) struct Act<'a> {
    acts: &'a Acts,
    _turn: MutexGuard<'a, ()>,
}

impl Acts {
    /// Begins one; where the program ends, it never comes to that.
    pub(crate) fn begin(&self) -> Act<'_> {
        Act { acts: self, _turn: self.turn.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Waits for the act that is begun. No other is begun any more, and nothing is printed by another
    /// thread than this one.
    fn end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
        std::mem::forget(self.begin());
        std::mem::forget((io::stdout().lock(), io::stderr().lock()));
    }
}

impl Act<'_> {
    /// Whether to go on, which is asked now and then.
    ///
    /// # Errors
    /// [`io::ErrorKind::Interrupted`] where it is to be given up.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.acts.is_ending.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }
}
