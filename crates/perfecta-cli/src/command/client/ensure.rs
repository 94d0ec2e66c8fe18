//! `--ensure-server`: a daemon answers, or one is started.
//!
//! Clients that find none at the same time take turns by a lock beside the socket: the first starts a
//! daemon, the others find it. Locks and sockets of the dead are in nobody's way.

use std::env;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use clap::Args;
use perfecta_jobs::ExitClass;
use perfecta_server::client::{Client as Connection, ClientError};
use perfecta_server::{Endpoint, Ping};
use tokio::time::{Instant, sleep};

use crate::command::client::client_failure;
use crate::endpoint_options::{EndpointOptions, endpoint_failure};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::life_options::default_state;
use crate::options;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A daemon that ends may take so long, and one that begins.
const LONGEST: Duration = Duration::from_secs(60);

/// Whether a daemon is started where there is none.
#[derive(Debug, Args)]
pub(crate) struct EnsureOptions {
    /// Start a daemon if none answers; its output goes to a file in its state directory
    #[arg(long, global = true)]
    ensure_server: bool,
    /// A daemon that is started so ends after so many seconds without anything to do
    #[arg(long, value_name = "S", global = true, default_value = "600", value_parser = options::parse_seconds)]
    idle_exit: Duration,
}

impl EnsureOptions {
    /// Whether a daemon is to be there.
    pub(super) const fn is_wanted(&self) -> bool {
        self.ensure_server
    }

    /// Returns when a daemon answers that takes requests.
    ///
    /// # Errors
    /// [`Failure`] with what a daemon said that could not start, or why none answers.
    pub(super) async fn ensure(
        &self,
        connection: &Connection,
        endpoint: &EndpointOptions,
    ) -> Result<(), Failure> {
        let until = Instant::now() + LONGEST;
        while Instant::now() < until {
            match Found::by(connection).await? {
                Found::Serving => return Ok(()),
                Found::Ending => {}
                Found::Nobody => {
                    let place = endpoint.checked()?;
                    let lock = place.lock_start().map_err(|error| endpoint_failure(&error))?;
                    // Whoever had the lock before may have started one.
                    if lock.is_some()
                        && let Found::Nobody = Found::by(connection).await?
                    {
                        self.start(connection, endpoint, &place, until).await?;
                    }
                }
            }
            sleep(LOOK_EVERY).await;
        }
        let seconds = LONGEST.as_secs();
        let message = format!("no daemon takes requests there after {seconds} s");
        Err(Failure::new(Exit::NoServer, message)
            .with_remedy("the one that was there may still end, or one that was started hang"))
    }

    /// Starts a daemon, and returns when it answers, or another one is there already.
    async fn start(
        &self,
        connection: &Connection,
        endpoint: &EndpointOptions,
        place: &Endpoint,
        until: Instant,
    ) -> Result<(), Failure> {
        let (log_path, log) = log_file(place)?;
        let mut daemon = self.spawn(endpoint, log)?;
        while Instant::now() < until {
            if let Found::Serving = Found::by(connection).await? {
                return Ok(());
            }
            let ended = daemon.try_wait().map_err(|error| {
                Failure::new(ExitClass::Io, format!("the daemon cannot be watched: {error}"))
            })?;
            match ended {
                None => sleep(LOOK_EVERY).await,
                // One that was not there, or that ends, has the place.
                Some(status) if status.code() == Some(ExitClass::Locked.code().into()) => {
                    return Ok(());
                }
                Some(status) => return Err(refused(status, &log_path)),
            }
        }
        Ok(())
    }

    fn spawn(&self, endpoint: &EndpointOptions, log: File) -> Result<Child, Failure> {
        let failed = |error| Failure::io("start", Path::new("perfecta serve"), &error);
        let binary = env::current_exe().map_err(failed)?;
        let mut daemon = Command::new(binary);
        daemon.arg("serve").args(endpoint.arguments().map_err(failed)?);
        daemon.args(["--own-session", "--idle-exit", &self.idle_exit.as_secs_f64().to_string()]);
        daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).current_dir("/");
        daemon.spawn().map_err(failed)
    }
}

/// Who is at the endpoint.
enum Found {
    Serving,
    Ending,
    Nobody,
}

impl Found {
    async fn by(connection: &Connection) -> Result<Self, Failure> {
        match connection.get::<Ping>("/v1/ping").await {
            Ok(ping) if ping.is_draining => Ok(Self::Ending),
            Ok(_) => Ok(Self::Serving),
            Err(ClientError::NoServer { .. } | ClientError::Lost { .. }) => Ok(Self::Nobody),
            Err(error) => Err(client_failure(&error)),
        }
    }
}

/// What a daemon says that is started so: what the last one said is kept beside it.
fn log_file(place: &Endpoint) -> Result<(std::path::PathBuf, File), Failure> {
    let path = match default_state(place) {
        Some(state) => {
            state.prepare().map_err(|error| endpoint_failure(&error))?;
            state.path().join("serve.log")
        }
        None => place.beside("log"),
    };
    let _ = fs::rename(&path, path.with_extension("log.before"));
    let log = perfecta_server::private_file(&path);
    log.map(|log| (path.clone(), log)).map_err(|error| Failure::io("write", &path, &error))
}

/// Why a daemon did not start: in its own words, or how it ended without any.
fn refused(status: ExitStatus, log: &Path) -> Failure {
    let said = fs::read_to_string(log).unwrap_or_default();
    let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
    let exit = code.map_or(Exit::NoServer, Exit::told);
    let (why, remedy) = last_error(&said).unwrap_or_default();
    let why = if why.is_empty() { status.to_string() } else { why.to_owned() };
    let failure = Failure::new(exit, format!("the daemon did not start: {why}"));
    match remedy {
        "" => failure.with_remedy(format!("see {}", log.display())),
        remedy => failure.with_remedy(remedy),
    }
}

/// The error that was told last, and what can be done about it.
fn last_error(said: &str) -> Option<(&str, &str)> {
    let is_line = |at: usize| at == 0 || said[..at].ends_with('\n');
    let (at, begin) = said.rmatch_indices("error: ").find(|(at, _)| is_line(*at))?;
    let mut lines = said[at + begin.len()..].lines();
    let error = lines.next()?;
    Some((error, lines.next().and_then(|line| line.strip_prefix("  help: ")).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn a_daemon_that_did_not_start_is_quoted_from_its_last_line_of_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("serve.log");
        let check = |said: &str, status: i32, (exit, message, remedy): (u8, &str, &str)| {
            fs::write(&log, said).unwrap();
            let failure = refused(ExitStatus::from_raw(status), &log);
            assert_eq!(
                (failure.exit().code(), failure.to_string()),
                (exit, format!("the daemon did not start: {message}"))
            );
            assert_eq!(failure.remedy(), Some(remedy));
        };
        let see = format!("see {}", log.display());
        let said = "error: before\na notice\nerror: a: error: no b\n  help: do error: c\n";
        check(said, 8 << 8, (8, "a: error: no b", "do error: c"));
        check("error: no\n", 12 << 8, (12, "no", &see));
        // What ends it by a signal has no word of it.
        check("a notice\n", 9, (10, "signal: 9 (SIGKILL)", &see));
        check("", 0, (10, "exit status: 0", &see));
    }
}
