//! The directory in which a daemon keeps what is to outlive it: its own alone, and one daemon's.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::endpoint::{Endpoint, EndpointError, lock_file, own_directory};

/// A daemon's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDirectory(PathBuf);

/// Why a daemon cannot have its directory.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another daemon has it.
    #[error("another daemon keeps its state in {}", .0.display())]
    Locked(PathBuf),
    /// It is not safe, or cannot be made.
    #[error(transparent)]
    Directory(EndpointError),
}

impl StateError {
    /// What the user can do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Locked(_) => "use that daemon, or choose another --state-dir",
            Self::Directory(_) => {
                "choose a --state-dir of your own with mode 0700, or give --no-journal"
            }
        }
    }
}

impl StateDirectory {
    /// This one.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// That of the daemon at an endpoint, below where the user's programs keep such things; `None`
    /// where there is no such place.
    #[must_use]
    pub fn of(
        endpoint: &Endpoint,
        state_home: Option<PathBuf>,
        home: Option<PathBuf>,
    ) -> Option<Self> {
        let is_absolute = |path: &PathBuf| path.is_absolute();
        let home = || Some(home.filter(is_absolute)?.join(".local/state"));
        let below = state_home.filter(is_absolute).or_else(home)?;
        Some(Self(below.join("perfecta").join(endpoint.state_name())))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it, if it is not there.
    ///
    /// # Errors
    /// [`EndpointError`] if it cannot be made, or others may use it.
    pub fn prepare(&self) -> Result<(), EndpointError> {
        if let Some(parent) = self.0.parent() {
            // Why it cannot be made is told of the directory itself.
            let _ = DirBuilder::new().recursive(true).mode(0o700).create(parent);
        }
        own_directory(&self.0)
    }

    /// Takes it, until what is returned is dropped.
    ///
    /// # Errors
    /// [`StateError`] if it is another daemon's, or not safe.
    pub(crate) fn take(&self) -> Result<File, StateError> {
        self.prepare().map_err(StateError::Directory)?;
        match lock_file(&self.0.join("lock")) {
            Ok(Some(lock)) => Ok(lock),
            Ok(None) => Err(StateError::Locked(self.0.clone())),
            Err(error) => Err(StateError::Directory(error)),
        }
    }
}

/// A file of the user's alone, in the place of what is there.
///
/// # Errors
/// What the system says.
pub fn private_file(path: &Path) -> io::Result<File> {
    // What is there may be readable, or a link.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Leaves the session of whoever started this process, so that its end is not this one's.
///
/// # Errors
/// What the system says, to the leader of a group above all.
pub fn own_session() -> io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_has_a_directory_of_its_own() {
        let of = |endpoint: &Endpoint| {
            StateDirectory::of(endpoint, Some("/s".into()), Some("/h".into())).unwrap().0
        };
        let named =
            |name: &str, runtime: &str| Endpoint::named(name, Some(runtime.into())).unwrap();
        assert_eq!(of(&named("default", "/run/user/7")), Path::new("/s/perfecta/default"));
        assert_eq!(
            of(&Endpoint::at("/tmp/a b.sock")),
            Path::new("/s/perfecta/%2Ftmp%2Fa%20b.sock")
        );
        assert_ne!(of(&Endpoint::at("/x/a.sock")), of(&Endpoint::at("/x%2Fa.sock")));
        let at_home = StateDirectory::of(&named("n", "/r"), Some("s".into()), Some("/h".into()));
        assert_eq!(at_home.unwrap().path(), Path::new("/h/.local/state/perfecta/n"));
        assert_eq!(StateDirectory::of(&named("n", "/r"), None, None), None);
    }

    #[test]
    fn a_directory_is_one_daemons() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().join("a/b"));
        let first = state.take().unwrap();
        assert!(matches!(state.take(), Err(StateError::Locked(_))));
        drop(first);
        state.take().unwrap();
    }
}
