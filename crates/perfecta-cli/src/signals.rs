//! Signals: three of them stop a job, one would end the program for no reason of its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use perfecta_jobs::{CancelFlag, ExitClass};
use perfecta_server::is_hang_up_ignored;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use signal_hook::iterator::{self, Handle};

use crate::exit::Exit;
use crate::failure::Failure;

/// What signals ask of a job.
///
/// The first Ctrl-C (or SIGTERM) asks it to stop; the second ends the program at once. A thread waits
/// for the first, because whoever is to be told may be asleep, and a signal handler wakes nobody. When
/// a terminal goes, SIGHUP may come more than once, so it only asks.
pub(crate) struct Signals {
    cancel: CancelFlag,
    /// The number of the last that asked.
    asked_by: Arc<AtomicUsize>,
    closing: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Signals {
    /// The threads that wait for signals.
    pub(crate) const THREADS: usize = 1;

    /// Catches them from now on.
    ///
    /// # Errors
    /// [`Failure`] if the system does not allow it.
    pub(crate) fn catch() -> Result<Self, Failure> {
        Self::register().map_err(|error| not_caught(&error))
    }

    fn register() -> io::Result<Self> {
        let (cancel, asked_by) = (CancelFlag::default(), Arc::<AtomicUsize>::default());
        let mut signals = caught()?;
        let closing = signals.handle();
        let (by, asked) = (Arc::clone(&asked_by), cancel.clone());
        let wait = move || {
            for signal in signals.forever() {
                by.store(signal as usize, Ordering::Relaxed);
                asked.cancel();
            }
        };
        let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
        Ok(Self { cancel, asked_by, closing, thread: Some(thread) })
    }

    /// What a job looks at.
    pub(crate) fn cancel_flag(&self) -> CancelFlag {
        self.cancel.clone()
    }

    /// How the program ends after a job of this class: a cancelled one says by which signal.
    pub(crate) fn exit(&self, class: ExitClass) -> Exit {
        match class {
            ExitClass::Cancelled => exit_by(self.asked_by.load(Ordering::Relaxed) as i32),
            class => Exit::Work(class),
        }
    }
}

/// How the program ends whose work this signal ended.
pub(crate) const fn exit_by(signal: i32) -> Exit {
    match signal {
        SIGTERM => Exit::Terminated,
        SIGHUP => Exit::HungUp,
        _ => Exit::Work(ExitClass::Cancelled),
    }
}

/// Signals that ask for an end, from now on; a second Ctrl-C or SIGTERM ends the program.
///
/// # Errors
/// If the system does not allow it.
pub(crate) fn caught() -> io::Result<iterator::Signals> {
    let mut stopping = vec![SIGINT, SIGTERM];
    if !is_hang_up_ignored() {
        stopping.push(SIGHUP);
    }
    // First: what ends the program no more is heard.
    let signals = iterator::Signals::new(stopping)?;
    second_ends_at_once()?;
    Ok(signals)
}

/// Why they are not caught.
pub(crate) fn not_caught(error: &io::Error) -> Failure {
    Failure::new(ExitClass::Io, format!("signals cannot be waited for: {error}"))
        .with_remedy("raise the limits of processes (ulimit -u) and open files (ulimit -n), and of addresses and data (ulimit -v, ulimit -d)")
}

/// Lets a second Ctrl-C or SIGTERM end the program, whoever waits for the first; gives whether there
/// was one.
///
/// # Errors
/// If the system does not allow it.
pub(crate) fn second_ends_at_once() -> io::Result<Arc<AtomicBool>> {
    let (was_asked, is_second) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    for signal in [SIGINT, SIGTERM] {
        // First, so that none is lost from the moment on at which it ends the program no more.
        flag::register(signal, Arc::clone(&was_asked))?;
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&is_second))?;
        flag::register(signal, Arc::clone(&is_second))?;
    }
    // A file that grows past `ulimit -f` is then the error of its table, not the program's end.
    flag::register(SIGXFSZ, Arc::default())?;
    Ok(was_asked)
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.closing.close();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}
