//! `perfecta client`: asks a daemon for what `create` and `bulk-create` do here.

mod ensure;
mod follow;
mod refusal;
mod requests;

use std::env;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use perfecta_io::thousands;
use perfecta_jobs::{ExitClass, Job, JobError};
use perfecta_server::client::{AllTables, Client as Connection, ClientError};
use perfecta_server::{InputSpec, JobSpec, LimitSpec, Ping, ProblemKind};
use serde_json::Value;

use crate::command::bulk_create::BulkRequest;
use crate::command::client::ensure::EnsureOptions;
use crate::command::client::follow::Interrupts;
use crate::command::client::requests::{ListOptions, OneRequest};
use crate::command::create::CreateRequest;
use crate::endpoint_options::EndpointOptions;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job_options::{Deadline, JobOptions, since_1970};
use crate::job_run::DisplayOptions;
use crate::remote_options::RemoteOptions;
use crate::reporter::Finished;
use crate::terminal::Terminal;
use crate::text::{counted, lasting};
use crate::{json, options};

/// Ask a daemon (`perfecta serve`) for tables, and look after what was asked for.
#[derive(Debug, Args)]
pub(crate) struct Client {
    #[command(flatten)]
    endpoint: EndpointOptions,
    #[command(flatten)]
    remote: RemoteOptions,
    /// Wait up to so many seconds for a daemon to be there
    #[arg(long, value_name = "S", global = true, value_parser = options::parse_seconds)]
    wait_for_server: Option<Duration>,
    #[command(flatten)]
    ensure: EnsureOptions,
    #[command(subcommand)]
    command: ClientCommand,
}

#[derive(Debug, Subcommand)]
enum ClientCommand {
    /// As `perfecta create`, done by the daemon
    #[command(mut_arg("memory", memory_of_daemon), mut_arg("max_files", files_of_daemon))]
    Create {
        #[command(flatten)]
        request: CreateRequest,
        #[command(flatten)]
        submit: SubmitOptions,
        /// Refused: no daemon is needed for it
        #[arg(long, hide = true)]
        dry_run: bool,
    },
    /// As `perfecta bulk-create`, done by the daemon
    #[command(mut_arg("memory", memory_of_daemon), mut_arg("max_files", files_of_daemon))]
    BulkCreate {
        #[command(flatten)]
        request: BulkRequest,
        #[command(flatten)]
        submit: SubmitOptions,
        /// Refused: no daemon is needed for it
        #[arg(long, hide = true)]
        dry_run: bool,
    },
    /// Say where a request is
    Status(OneRequest),
    /// Follow a request to its end, and end as it does; Ctrl-C cancels it
    Wait {
        /// The request's id
        id: String,
        #[command(flatten)]
        display: DisplayOptions,
    },
    /// Cancel a request, and say what it came to: what is published stays
    Cancel(OneRequest),
    /// Forget a request that has ended: what is published stays
    Forget(OneRequest),
    /// List the requests that the daemon keeps, in the order in which they came
    List(ListOptions),
    /// Say what the daemon's parts do, as JSON: indented, or with --json as one line
    Stats(Format),
    /// Say whether a daemon is there
    Ping(Format),
    /// Let the daemon finish what it has, take nothing more, and end; that is not waited for
    Drain(Format),
    /// Let the daemon cancel what it has, and end; that is not waited for
    Shutdown(Format),
}

/// The option of that name is the daemon's where it does the work.
fn memory_of_daemon(option: clap::Arg) -> clap::Arg {
    option.help(
        "Memory of the daemon for key files, graphs and artifacts of this request together, such as 512M; \
         never more than the daemon has [default: what it has]",
    )
}

/// As above.
fn files_of_daemon(option: clap::Arg) -> clap::Arg {
    option.help(
        "Key files of this request that are begun and not done at once; never more than the daemon has \
         [default: what it has]",
    )
}

/// How a request is handed in.
#[derive(Debug, Args)]
#[command(next_help_heading = "Request")]
struct SubmitOptions {
    /// Print the request's id, and do not wait for its end
    #[arg(long)]
    detach: bool,
    /// Keys that it begins for each key of a request of weight 1
    #[arg(long, value_name = "N", default_value = "1")]
    weight: NonZeroU32,
}

#[derive(Debug, Args)]
struct Format {
    /// JSON objects on standard output
    #[arg(long)]
    json: bool,
}

impl Client {
    /// Asks.
    ///
    /// # Errors
    /// [`Failure`] if there is no daemon, or it refuses.
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        self.command.check()?;
        let asked = since_1970();
        let runtime = perfecta_server::runtime().map_err(|error| {
            Failure::new(ExitClass::Io, format!("cannot use sockets: {error}"))
                .with_remedy("raise the limit of open files (ulimit -n)")
        })?;
        let connection = self.endpoint.client(&self.remote)?;
        if self.ensure.is_wanted() && connection.is_remote() {
            return Err(Failure::usage("--ensure-server starts no daemon on another machine")
                .with_remedy("leave one of --ensure-server and --endpoint away"));
        }
        runtime.block_on(async {
            let time_left = self.command.deadline().map(|deadline| deadline.time_left(asked));
            let found = self.find_daemon(&connection);
            tokio::time::timeout(time_left.unwrap_or(Duration::MAX), found)
                .await
                .unwrap_or_else(|_| Err(expired()))?;
            self.command.run(&connection, self, asked, terminal).await
        })
    }

    /// Waits for a daemon, or starts one, if that is asked for.
    async fn find_daemon(&self, connection: &Connection) -> Result<(), Failure> {
        if let Some(longest) = self.wait_for_server {
            let found = connection.wait_for_server(longest).await;
            found.map_err(|error| client_failure(&error))?;
        }
        if self.ensure.is_wanted() {
            self.ensure.ensure(connection, &self.endpoint).await?;
        }
        Ok(())
    }
}

/// The time was over before a daemon was there.
fn expired() -> Failure {
    let error = JobError::Expired;
    let failure = Failure::new(error.exit_class(), error.to_string());
    failure.with_remedy("give it more time, or start the daemon before")
}

impl ClientCommand {
    /// When a request has to be done, if that is bounded.
    fn deadline(&self) -> Option<Deadline> {
        match self {
            Self::Create { request, .. } => request.options.deadline(),
            Self::BulkCreate { request, .. } => request.options.deadline(),
            _ => None,
        }
    }

    /// Refuses what is none of a daemon's business, before one is looked for or started.
    fn check(&self) -> Result<(), Failure> {
        let direct = match self {
            Self::Create { dry_run: true, .. } => "create",
            Self::BulkCreate { dry_run: true, .. } => "bulk-create",
            _ => return Ok(()),
        };
        Err(Failure::usage("a daemon makes no dry runs (--dry-run)").with_remedy(format!(
            "`perfecta {direct} ... --dry-run`, without `client`, says it and needs no daemon"
        )))
    }

    async fn run(
        &self,
        connection: &Connection,
        client: &Client,
        asked: Duration,
        terminal: &Terminal,
    ) -> Result<Exit, Failure> {
        match self {
            Self::Create { request, submit, dry_run: _ } => {
                if let Some(notice) = request.options.notice() {
                    terminal.note(notice);
                }
                let handed_in = submit
                    .hand_in(connection, client, asked, &request.options, request.job(None)?)
                    .await?;
                let display = &request.options.display;
                let tell = |finished: &Finished| request.tell(terminal, finished);
                submit.wait(connection, terminal, handed_in, display, AllTables::Wanted, tell).await
            }
            Self::BulkCreate { request, submit, dry_run: _ } => {
                if let Some(notice) = request.options.notice() {
                    terminal.note(notice);
                }
                let handed_in = submit
                    .hand_in(connection, client, asked, &request.options, request.job(None)?)
                    .await?;
                let display = &request.options.display;
                let tell = |finished: &Finished| request.tell(terminal, finished);
                submit
                    .wait(connection, terminal, handed_in, display, tables_of(display), tell)
                    .await
            }
            Self::Wait { id, display } => {
                let wanted = tables_of(display);
                let (id, interrupts) = (checked_id(id)?, Interrupts::catch()?);
                let finished =
                    follow::to_end(connection, terminal, &id, interrupts, display, wanted).await?;
                finished.tell_undone(terminal);
                if display.json {
                    return Ok(finished.exit);
                }
                finished.after(crate::text::summary(terminal, &finished.summary, "written"))
            }
            Self::Status(one) => one.status(connection, terminal).await,
            Self::Cancel(one) => one.cancel(connection, terminal).await,
            Self::Forget(one) => one.forget(connection, terminal).await,
            Self::List(options) => options.list(connection, terminal).await,
            Self::Stats(format) => {
                let stats: Value = ask(connection.get("/v1/stats").await)?;
                let indented = || format!("{stats:#}");
                let line = || perfecta_server::line("stats", &stats);
                let told = if format.json { line() } else { indented() };
                terminal.say(&told).map(|()| Exit::SUCCESS)
            }
            Self::Ping(format) => {
                say_ping(terminal, &ask(connection.get("/v1/ping").await)?, format.json)
            }
            Self::Drain(format) => {
                say_ping(terminal, &ask(connection.post("/v1/drain").await)?, format.json)
            }
            Self::Shutdown(format) => {
                say_ping(terminal, &ask(connection.post("/v1/shutdown").await)?, format.json)
            }
        }
    }
}

impl SubmitOptions {
    /// Hands a job in that was asked for then (since 1970), with what this program was started with, and
    /// says its id.
    async fn hand_in(
        &self,
        connection: &Connection,
        client: &Client,
        asked: Duration,
        options: &JobOptions,
        mut job: Job,
    ) -> Result<HandedIn, Failure> {
        job.share.weight = self.weight;
        let mut spec = JobSpec::of(&job, &options.artifacts(), None);
        // A directory of this machine means nothing on another: relative paths are meant from its root.
        if !connection.is_remote() && paths(&spec).any(|path| path.is_relative()) {
            spec.directory = Some(env::current_dir().map_err(|error| no_directory(&error))?);
        }
        if let Some(deadline) = options.deadline() {
            let clock = if connection.is_remote() { Clock::Another } else { Clock::Same };
            spec.limits = within(deadline, asked, since_1970(), clock, spec.limits);
        }
        if let Some(path) = paths(&spec).find(|path| path.to_str().is_none()) {
            let message =
                format!("{}: it is not UTF-8, and cannot be sent to a daemon", path.display());
            return Err(Failure::usage(message)
                .with_remedy("rename it, or use the command without `client`"));
        }
        // The key makes it one request, however often it is sent.
        let key = Connection::fresh_key();
        // From here on it may have begun: an interrupt is to cancel it, not to leave it.
        let mut interrupts = Interrupts::catch()?;
        loop {
            match connection.submit(&spec, &key).await {
                Err(error) if client.ensure.is_wanted() && is_of_an_ending_daemon(&error) => {
                    tokio::select! {
                        ensured = client.ensure.ensure(connection, &client.endpoint) => ensured?,
                        exit = interrupts.next() => {
                            return Err(Failure::new(exit, "left before a daemon was there"));
                        }
                    }
                }
                answer => {
                    let id = answer.map_err(|error| refusal::of_options(&error))?;
                    return Ok(HandedIn { id, interrupts });
                }
            }
        }
    }

    async fn wait(
        &self,
        connection: &Connection,
        terminal: &Terminal,
        HandedIn { id, interrupts }: HandedIn,
        display: &DisplayOptions,
        wanted: AllTables,
        tell: impl FnOnce(&Finished) -> Result<Exit, Failure>,
    ) -> Result<Exit, Failure> {
        if self.detach {
            let line = if display.json { json::accepted_line(&id) } else { id };
            return terminal.say(&line).map(|()| Exit::SUCCESS);
        }
        tell(&follow::to_end(connection, terminal, &id, interrupts, display, wanted).await?)
    }
}

/// All paths of a request.
fn paths(spec: &JobSpec) -> impl Iterator<Item = &PathBuf> {
    let inputs = match &spec.inputs {
        InputSpec::Files(files) => files.as_slice(),
        InputSpec::Tree { root, .. } => std::slice::from_ref(root),
    };
    let output = spec.output.as_ref().map(|output| &output.directory);
    inputs.iter().chain(output).chain(&spec.directory)
}

/// Relative paths are meant from nowhere.
fn no_directory(error: &std::io::Error) -> Failure {
    let failure = Failure::io("find the working directory", Path::new("."), error);
    failure.with_remedy("change into one that is there, or give absolute paths")
}

/// Whose clock a daemon looks at.
#[derive(Debug, Clone, Copy)]
enum Clock {
    /// This machine's.
    Same,
    /// That of another machine, which may differ.
    Another,
}

/// The limits of a request that was asked for then and is handed in now, with its deadline. It is said as a
/// time, which stays what it is however long a daemon is waited for; except that by another clock, what
/// is left of a time from then on is counted from when that daemon accepts it.
fn within(
    deadline: Deadline,
    asked: Duration,
    now: Duration,
    clock: Clock,
    limits: LimitSpec,
) -> LimitSpec {
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).ok();
    let (after, at) = match (deadline, clock) {
        (Deadline::At(time), Clock::Same | Clock::Another) => (None, Some(time)),
        (Deadline::After(time), Clock::Same) => (None, Some(asked.saturating_add(time))),
        (Deadline::After(time), Clock::Another) => {
            (Some(time.saturating_sub(now.saturating_sub(asked))), None)
        }
    };
    LimitSpec {
        deadline_ms: after.and_then(milliseconds),
        deadline_unix_ms: at.and_then(milliseconds),
        ..limits
    }
}

/// A request that was accepted, and the interrupts since it was sent.
struct HandedIn {
    id: String,
    interrupts: Interrupts,
}

/// Whether another daemon may take what this one did not.
fn is_of_an_ending_daemon(error: &ClientError) -> bool {
    match error {
        ClientError::NoServer { .. } | ClientError::Lost { .. } => true,
        ClientError::Refused(refusal) => refusal.kind == Some(ProblemKind::Draining),
        ClientError::NoMeans { .. }
        | ClientError::Denied(_)
        | ClientError::Untrusted { .. }
        | ClientError::Untrusting { .. }
        | ClientError::SpeaksTls(_)
        | ClientError::Silent(_)
        | ClientError::VersionMismatch { .. }
        | ClientError::Nonsense(_) => false,
    }
}

/// An id goes into a path as it is.
fn checked_id(id: &str) -> Result<String, Failure> {
    if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Ok(id.to_owned());
    }
    Err(Failure::usage(format!("{id:?} is no id of a request"))
        .with_remedy("`perfecta client list` lists them"))
}

const fn tables_of(display: &DisplayOptions) -> AllTables {
    if display.json { AllTables::Wanted } else { AllTables::FailedOnly }
}

fn ask<T>(answer: Result<T, ClientError>) -> Result<T, Failure> {
    answer.map_err(|error| client_failure(&error))
}

/// Why a daemon did not do what it was asked for, and how the program ends then.
pub(crate) fn client_failure(error: &ClientError) -> Failure {
    let exit = match error {
        ClientError::NoServer { .. } | ClientError::Lost { .. } => Exit::NoServer,
        ClientError::NoMeans { .. } => Exit::Work(ExitClass::Io),
        ClientError::Denied(_) | ClientError::Untrusted { .. } | ClientError::Untrusting { .. } => {
            Exit::Work(ExitClass::Denied)
        }
        ClientError::SpeaksTls(_) => Exit::USAGE,
        ClientError::Silent(_) => Exit::Silent,
        ClientError::VersionMismatch { .. } => Exit::VersionMismatch,
        ClientError::Refused(refusal) => Exit::of_failure(refusal.exit_code),
        ClientError::Nonsense(_) => Exit::Work(ExitClass::Internal),
    };
    let failure = Failure::new(exit, error.to_string());
    match error.remedy() {
        Some(remedy) => failure.with_remedy(remedy),
        None => failure,
    }
}

fn say_ping(terminal: &Terminal, ping: &Ping, json: bool) -> Result<Exit, Failure> {
    if json {
        return terminal.say(&perfecta_server::line("ping", ping)).map(|()| Exit::SUCCESS);
    }
    let state = if ping.is_draining { "ends" } else { "serves" };
    let line = format!(
        "perfecta {} (protocol {}, {}) {state}: process {}, up {}; {}, {} at work, {} waiting",
        ping.version,
        ping.protocol,
        ping.build,
        ping.process,
        lasting(ping.uptime_seconds),
        counted(ping.requests_outstanding as u64, "request"),
        counted(ping.items_running, "table"),
        thousands(ping.items_queued)
    );
    terminal.say(&line).map(|()| Exit::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_does_not_move_while_a_daemon_is_waited_for() {
        let second = Duration::from_secs;
        let check = |deadline, clock, expected: (Option<u64>, Option<u64>)| {
            let before = LimitSpec { deadline_ms: Some(7), ..LimitSpec::default() };
            let limits = within(deadline, second(100), second(160), clock, before);
            assert_eq!((limits.deadline_ms, limits.deadline_unix_ms), expected);
        };
        check(Deadline::At(second(130)), Clock::Same, (None, Some(130_000)));
        check(Deadline::At(second(130)), Clock::Another, (None, Some(130_000)));
        check(Deadline::After(second(90)), Clock::Same, (None, Some(190_000)));
        check(Deadline::After(second(90)), Clock::Another, (Some(30_000), None));
        check(Deadline::After(second(9)), Clock::Another, (Some(0), None));
    }
}
