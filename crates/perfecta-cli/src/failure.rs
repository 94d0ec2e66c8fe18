//! [`Failure`]: why a command ends without having done its work, and with which exit code.

use std::io;
use std::path::Path;

use perfecta_io::remedy_for_errno;
use perfecta_jobs::ExitClass;
use rustix::io::Errno;

use crate::exit::Exit;

/// A failed command: what is printed, and how the program ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    remedy: Option<String>,
    /// As whoever told of it called it.
    class: Option<String>,
}

impl Failure {
    /// A failure with its exit code.
    pub(crate) fn new(exit: impl Into<Exit>, message: impl Into<String>) -> Self {
        Self { exit: exit.into(), message: message.into(), remedy: None, class: None }
    }

    /// The command line cannot be carried out.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::USAGE, message)
    }

    /// A file or directory could not be worked on.
    pub(crate) fn io(action: &str, path: &Path, error: &io::Error) -> Self {
        let class = match error.kind() {
            io::ErrorKind::PermissionDenied => ExitClass::Denied,
            // It is not what its name was given for.
            io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => ExitClass::Usage,
            _ => ExitClass::Io,
        };
        let failure = Self::new(class, format!("cannot {action} {}: {error}", path.display()));
        // What Rust's own allocations say has no number.
        let errno = match error.kind() {
            io::ErrorKind::OutOfMemory => Some(Errno::NOMEM.raw_os_error()),
            _ => error.raw_os_error(),
        };
        match errno.and_then(remedy_for_errno) {
            Some(remedy) => failure.with_remedy(remedy),
            None => failure,
        }
    }

    /// The same, with what the user can do about it.
    #[must_use]
    pub(crate) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same in other words.
    #[must_use]
    pub(crate) fn reworded(self, words: impl Fn(&str) -> String) -> Self {
        Self { message: words(&self.message), remedy: self.remedy.as_deref().map(words), ..self }
    }

    /// The same, with another exit code.
    #[must_use]
    pub(crate) fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self.class = None;
        self
    }

    /// The same, of a class that this program may not know.
    #[must_use]
    pub(crate) fn with_class(mut self, class: impl Into<String>) -> Self {
        self.class = Some(class.into());
        self
    }

    /// Its class as a word, for machines.
    pub(crate) fn class(&self) -> &str {
        self.class.as_deref().unwrap_or(self.exit.name())
    }

    /// How the program ends.
    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// What the user can do about it.
    pub(crate) fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }
}
