//! Exit codes: what a script can rely on.

use std::process::ExitCode;

use perfecta_jobs::ExitClass;

/// How the program ends. The numbers are documented in the README and never change meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command line cannot be carried out.
    Usage,
    /// SIGTERM cancelled the work.
    Terminated,
    /// What came of the work.
    Work(ExitClass),
}

impl Exit {
    /// All was done.
    pub(crate) const SUCCESS: Self = Self::Work(ExitClass::Ok);
    /// Disk or I/O.
    pub(crate) const IO: Self = Self::Work(ExitClass::Io);

    /// The number.
    #[must_use]
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Terminated => 143,
            Self::Work(class) => class.code(),
        }
    }
}

impl From<ExitClass> for Exit {
    fn from(class: ExitClass) -> Self {
        Self::Work(class)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
