//! Signals: two of them stop a job, one would end the program for no reason of its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use perfecta_jobs::{CancelFlag, ExitClass};
#[cfg(unix)]
use signal_hook::consts::SIGXFSZ;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::exit::Exit;
use crate::failure::Failure;

/// What signals ask of a job.
///
/// The first Ctrl-C (or SIGTERM) asks it to stop; the second ends the program at once.
pub(crate) struct Signals {
    cancel: CancelFlag,
    terminated: Arc<AtomicBool>,
}

impl Signals {
    /// Catches them from now on.
    ///
    /// # Errors
    /// [`Failure`] if the system does not allow it.
    pub(crate) fn catch() -> Result<Self, Failure> {
        let signals = Self { cancel: CancelFlag::default(), terminated: Arc::default() };
        signals
            .register()
            .map_err(|error| Failure::new(ExitClass::Internal, format!("signals: {error}")))?;
        Ok(signals)
    }

    fn register(&self) -> io::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(signal, 128 + signal, self.cancel.flag())?;
            flag::register(signal, self.cancel.flag())?;
        }
        flag::register(SIGTERM, Arc::clone(&self.terminated))?;
        // A file that grows past `ulimit -f` is then the error of its table, not the program's end.
        #[cfg(unix)]
        flag::register(SIGXFSZ, Arc::default())?;
        Ok(())
    }

    /// What a job looks at.
    pub(crate) fn cancel_flag(&self) -> CancelFlag {
        self.cancel.clone()
    }

    /// How the program ends after a job of this class: a cancelled one says by which signal.
    pub(crate) fn exit(&self, class: ExitClass) -> Exit {
        match class {
            ExitClass::Cancelled if self.terminated.load(Ordering::Relaxed) => Exit::Terminated,
            class => Exit::Work(class),
        }
    }
}
