//! What of a daemon outlives it, and where.

use std::env;
use std::path::PathBuf;

use clap::Args;
use perfecta_jobs::ExitClass;
use perfecta_server::{Endpoint, JournalError, StateDirectory, StateError};

use crate::endpoint_options::endpoint_failure;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Terminal;

/// What outlives a daemon.
#[derive(Debug, Args)]
#[command(next_help_heading = "State")]
pub(crate) struct LifeOptions {
    /// Where accepted requests are kept that outlive the daemon [default: $XDG_STATE_HOME/perfecta/NAME, or ~/.local/state/perfecta/NAME]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Keep nothing: requests end with the daemon
    #[arg(long, conflicts_with = "state_dir")]
    no_journal: bool,
    /// Where it is reported what should not happen [default: `crashes` in the state directory]
    #[arg(long, value_name = "DIR")]
    crash_dir: Option<PathBuf>,
    /// Report nothing
    #[arg(long, conflicts_with = "crash_dir")]
    no_crash_reports: bool,
}

impl LifeOptions {
    /// Where the daemon at `endpoint` keeps its state, if it does.
    pub(crate) fn state(&self, endpoint: &Endpoint, terminal: &Terminal) -> Option<StateDirectory> {
        if self.no_journal {
            return None;
        }
        let state = self.state_dir.clone().map(StateDirectory::at);
        let state = state.or_else(|| default_state(endpoint));
        if state.is_none() {
            terminal.note(
                "requests end with the daemon: there is neither --state-dir, nor $XDG_STATE_HOME, nor $HOME",
            );
        }
        state
    }

    /// Where the daemon that keeps its state in `state` reports what should not happen, if it does.
    pub(crate) fn crash_directory(&self, state: Option<&StateDirectory>) -> Option<PathBuf> {
        if self.no_crash_reports {
            return None;
        }
        let below_state = || Some(state?.path().join("crashes"));
        self.crash_dir.clone().or_else(below_state)
    }
}

/// Where a daemon keeps its state if it is not told where.
pub(crate) fn default_state(endpoint: &Endpoint) -> Option<StateDirectory> {
    let directory = |name| env::var_os(name).map(PathBuf::from);
    StateDirectory::of(endpoint, directory("XDG_STATE_HOME"), directory("HOME"))
}

/// Why a daemon cannot keep its state.
pub(crate) fn state_failure(error: &StateError) -> Failure {
    let exit = match error {
        StateError::Locked(_) => Exit::Work(ExitClass::Locked),
        StateError::Directory(error) => endpoint_failure(error).exit(),
    };
    Failure::new(exit, error.to_string()).with_remedy(error.remedy())
}

/// Why a daemon cannot go on from what an earlier one kept.
pub(crate) fn journal_failure(error: &JournalError) -> Failure {
    let exit = match error {
        JournalError::Version { .. } => Exit::VersionMismatch,
        JournalError::Io { .. } => Exit::IO,
    };
    Failure::new(exit, error.to_string()).with_remedy(error.remedy())
}
