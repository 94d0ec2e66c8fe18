//! Exit codes: what a script can rely on.

use std::process::ExitCode;

use perfecta_jobs::ExitClass;

/// How the program ends. The numbers are documented in the README and never change meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// SIGTERM cancelled the work.
    Terminated,
    /// SIGHUP did: the terminal is gone.
    HungUp,
    /// There is no daemon, or it went away.
    NoServer,
    /// The daemon speaks another version of the protocol.
    VersionMismatch,
    /// The daemon says nothing.
    Silent,
    /// What a daemon says that came of the work.
    Told(u8),
    /// What came of the work.
    Work(ExitClass),
}

impl Exit {
    /// All was done.
    pub(crate) const SUCCESS: Self = Self::Work(ExitClass::Ok);
    /// The command line cannot be carried out.
    pub(crate) const USAGE: Self = Self::Work(ExitClass::Usage);
    /// Disk or I/O.
    pub(crate) const IO: Self = Self::Work(ExitClass::Io);

    /// Those that are no class of work.
    const OF_PROGRAMS: [Self; 5] =
        [Self::Terminated, Self::HungUp, Self::NoServer, Self::VersionMismatch, Self::Silent];

    /// What a daemon said.
    pub(crate) const fn told(code: u8) -> Self {
        if code == 0 { Self::SUCCESS } else { Self::Told(code) }
    }

    /// What a daemon said of a failure, which is none of success whatever it says.
    pub(crate) const fn of_failure(code: u8) -> Self {
        if code == 0 { Self::Work(ExitClass::Internal) } else { Self::Told(code) }
    }

    /// The number as a word, for machines.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Terminated => "terminated",
            Self::HungUp => "hung_up",
            Self::NoServer => "no_server",
            Self::VersionMismatch => "version_mismatch",
            Self::Silent => "silent",
            Self::Told(code) => Self::of_code(code).map_or("unknown", Self::name),
            Self::Work(class) => class.name(),
        }
    }

    /// What a number says, if it is one of these.
    fn of_code(code: u8) -> Option<Self> {
        let of_work = ExitClass::ALL.into_iter().map(Self::Work);
        Self::OF_PROGRAMS.into_iter().chain(of_work).find(|exit| exit.code() == code)
    }

    /// The number.
    #[must_use]
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::NoServer => 10,
            Self::VersionMismatch => 13,
            Self::Silent => 14,
            Self::Terminated => 143,
            Self::HungUp => 129,
            Self::Told(code) => code,
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Of those of work the documents have a table, which is held to them elsewhere.
    #[test]
    fn the_documents_list_the_ends_of_programs_with_their_words() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        for name in ["operations.md", "formats.md"] {
            let document = fs::read_to_string(docs.join(name)).unwrap();
            for exit in Exit::OF_PROGRAMS {
                let listed = format!("`{}` ({})", exit.name(), exit.code());
                assert!(document.contains(&listed), "{name}: {listed}");
            }
        }
    }
}
