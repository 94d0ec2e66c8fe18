//! `perfecta serve`: the daemon.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Args;
use perfecta_jobs::{ExitClass, MachineOptions};
use perfecta_server::{Bounds, ServeError, ServeOptions, Tcp, own_session, serve};
use rustix::io::Errno;
use tracing::info;

use crate::access_options::AccessOptions;
use crate::endpoint_options::{EndpointOptions, endpoint_failure};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job_run::machine_failure;
use crate::life_options::{LifeOptions, journal_failure, state_failure};
use crate::log_options::LogOptions;
use crate::signals::second_ends_at_once;
use crate::supervisor::{ServiceManager, passed_socket};
use crate::terminal::Terminal;
use crate::work_options::{FilesOptions, MemoryOptions, WorkOptions};
use crate::{machine, options};

/// Serve requests of `perfecta client` and of any HTTP client, until SIGTERM.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    endpoint: EndpointOptions,
    #[command(flatten)]
    access: AccessOptions,
    #[command(flatten)]
    life: LifeOptions,
    #[command(flatten)]
    work: WorkOptions,
    #[command(flatten)]
    files: FilesOptions,
    #[command(flatten)]
    memory: MemoryOptions,
    /// At the first SIGTERM, let requests go on for so many seconds; a second one ends at once
    #[arg(long, value_name = "S", default_value = "30", value_parser = options::parse_seconds)]
    grace: Duration,
    /// End after so many seconds without a connection and without anything to do
    #[arg(long, value_name = "S", value_parser = options::parse_seconds)]
    idle_exit: Option<Duration>,
    /// Leave the session of whoever starts it
    #[arg(long, hide = true)]
    own_session: bool,
    /// Keep what came of a request for so many seconds, 10 at least
    #[arg(long, value_name = "S", default_value = "3600", value_parser = options::parse_seconds)]
    keep: Duration,
    #[command(flatten)]
    log: LogOptions,
}

impl Serve {
    /// The one that waits for orders, and the one that serves connections.
    const THREADS_BESIDE: usize = 2;

    /// Serves until it is asked to end.
    ///
    /// # Errors
    /// [`Failure`] if it cannot begin.
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        if self.own_session {
            own_session()
                .map_err(|error| Failure::new(ExitClass::Io, format!("a session: {error}")))?;
        }
        let activation = passed_socket()?;
        let was_asked = second_ends_at_once()
            .map_err(|error| Failure::new(ExitClass::Io, format!("signals: {error}")))?;
        let options = self.options(terminal, was_asked)?;
        self.log.begin();
        let supervisor = ServiceManager::of_this_process();
        let notice = |notice: &str| self.log.notice(terminal, notice);
        if let Some(told) = self.access.notice() {
            info!("{told}");
        }
        if let Some(told) = options.access.tcp.as_ref().and_then(Tcp::notice) {
            notice(told);
        }
        let serve = || serve(&options, activation, &supervisor, &notice);
        // What there is of it ends with the program.
        match catch_unwind(AssertUnwindSafe(serve)) {
            Ok(Ok(())) => Ok(Exit::SUCCESS),
            Ok(Err(error)) => Err(serve_failure(&error)),
            Err(_) => Err(bug(options.crash_directory.as_deref())),
        }
    }

    fn options(
        &self,
        terminal: &Terminal,
        was_asked_to_end: Arc<AtomicBool>,
    ) -> Result<ServeOptions, Failure> {
        let memory_bytes_max = self.memory.bytes_max();
        let access = self.access.checked()?;
        let endpoint = self.endpoint.checked()?;
        let state = self.life.state(&endpoint, terminal);
        let machine = self.work.machine(memory_bytes_max);
        Ok(ServeOptions {
            crash_directory: self.life.crash_directory(state.as_ref()),
            state,
            endpoint,
            machine: MachineOptions { roots: access.roots.clone(), ..machine },
            bounds: Bounds {
                threads: self.work.threads(),
                cpus: self.work.cpus(),
                files_in_flight_max: self
                    .files
                    .max()
                    .unwrap_or_else(|| self.work.files_in_flight_default()),
                io_depth: self.work.io_depth(),
                memory_bytes_max,
            },
            access,
            grace: self.grace,
            was_asked_to_end,
            idle_exit: self.idle_exit,
            keep: self.keep,
            threads_beside: Self::THREADS_BESIDE,
            memory_peak_bytes: machine::memory_peak_bytes,
        })
    }
}

/// Why there is no daemon.
fn serve_failure(error: &ServeError) -> Failure {
    match error {
        ServeError::Endpoint(error) => endpoint_failure(error),
        ServeError::State(error) => state_failure(error),
        ServeError::Journal(error) => journal_failure(error),
        ServeError::Machine(error) => machine_failure(error),
        ServeError::Listen { error: system, .. } => {
            Failure::new(ExitClass::Io, error.to_string()).with_remedy(listen_remedy(system))
        }
        ServeError::Start(_) => Failure::new(ExitClass::Io, error.to_string())
            .with_remedy("raise the limits of processes and open files, or give fewer --jobs"),
    }
}

fn listen_remedy(error: &io::Error) -> &'static str {
    if Errno::from_io_error(error) == Some(Errno::AFNOSUPPORT) {
        return "name an IPv4 address if this system has no IPv6; in a unit, add AF_INET AF_INET6 to \
                RestrictAddressFamilies=";
    }
    "name an address of this machine and a free port"
}

/// The daemon ended by a panic, which was reported if reports are wanted.
fn bug(crash_directory: Option<&Path>) -> Failure {
    let failure = Failure::new(ExitClass::Internal, "the daemon ended by a bug");
    match crash_directory {
        Some(directory) => failure
            .with_remedy(format!("please report it, with what is in {}", directory.display())),
        None => failure.with_remedy("please report it, with what it printed before"),
    }
}
