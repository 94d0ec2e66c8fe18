//! Commands that only look, or write what they made themselves: the first signal ends them, whatever
//! they are at.
//!
//! They work on a thread of their own. What parses and sorts a large file asks nobody whether to go on;
//! it is left where it is, and goes with the program. What must not be cut off is done in an [`Act`], for
//! whose end is waited. A reader that takes nothing is told nothing, and is not waited for either.

use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::Builder;
use std::time::Duration;

use signal_hook::iterator::Handle;
use signal_hook::low_level;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::signals::{caught, exit_by, not_caught};

/// So long a reader may take for what is printed, and for the last line.
const LAST_LINE_TIME_MAX: Duration = Duration::from_secs(1);

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
            let exit = exit_by(signal);
            acts.end();
            leave_after(LAST_LINE_TIME_MAX, exit);
            silence();
            Err(cancelled(exit))
        }
    }
}

/// Ends the program when so much time is over, unless it has ended before. Standard output and error, which
/// somebody may hold who waits for its reader, are left as they are.
fn leave_after(time: Duration, exit: Exit) {
    let wait = move || {
        let (_sender, never) = mpsc::channel::<()>();
        let _ = never.recv_timeout(time);
        low_level::exit(i32::from(exit.code()));
    };
    // Without a thread more, the reader is waited for.
    let _ = Builder::new().name("leave".to_owned()).spawn(wait);
}

/// Nothing is printed by another thread than this one any more.
fn silence() {
    std::mem::forget((io::stdout().lock(), io::stderr().lock()));
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

    /// Waits for the act that is begun. No other is begun any more.
    fn end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
        std::mem::forget(self.begin());
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
