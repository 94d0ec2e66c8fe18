//! Follows a request to its end, and shows it as a run of this program would be shown.

use std::pin::pin;

use perfecta_jobs::ExitClass;
use perfecta_server::client::{AllTables, Client as Connection, ClientError, Told};
use perfecta_server::{RequestState, RequestStatus, SummaryLine, TableLine, is_hang_up_ignored};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::command::client::client_failure;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job_run::DisplayOptions;
use crate::reporter::{Finished, Reporter};
use crate::terminal::Terminal;

/// Follows it. The first signal cancels the request, a second Ctrl-C or SIGTERM leaves it to itself.
///
/// # Errors
/// [`Failure`] if the request could not run, or the daemon is gone.
pub(super) async fn to_end(
    connection: &Connection,
    terminal: &Terminal,
    id: &str,
    mut interrupts: Interrupts,
    display: &DisplayOptions,
    wanted: AllTables,
) -> Result<Finished, Failure> {
    let mut reporter = Reporter::new(terminal, display);
    let mut end = None;
    let show = |told| show(&mut reporter, display, wanted, told, &mut end);
    let outcome = {
        let mut following = pin!(connection.follow(id, wanted, show));
        loop {
            tokio::select! {
                outcome = following.as_mut() => break outcome,
                exit = interrupts.next() => match interrupts.first {
                    None => {
                        interrupts.first = Some(exit);
                        let (connection, path) = (connection.clone(), format!("/v1/requests/{id}/cancel"));
                        // What comes of it is told by the request that is followed.
                        tokio::spawn(async move { drop(connection.post::<RequestStatus>(&path).await) });
                    }
                    // Where a terminal goes it may come more than once.
                    Some(_) if exit == Exit::HungUp => {}
                    Some(_) => {
                        let message = format!("left; the daemon may still be at work on request {id}");
                        return Err(Failure::new(exit, message));
                    }
                },
            }
        }
    };
    reporter.clear();
    outcome.map_err(|error| left_alone(&error, id))?;
    let end: RequestStatus = end.expect("a request is followed to its end");
    let told = |code| match (end.state, interrupts.first) {
        (RequestState::Cancelled, Some(exit @ (Exit::Terminated | Exit::HungUp))) => exit,
        _ => Exit::told(code),
    };
    if let Some(error) = end.error {
        let failure = Failure::new(told(error.exit_code), error.message);
        return Err(match error.remedy {
            Some(remedy) => failure.with_remedy(remedy),
            None => failure,
        });
    }
    let summary = end.summary.ok_or_else(|| {
        Failure::new(ExitClass::Internal, "the daemon told an end without a result")
    })?;
    let exit = told(summary.exit_code);
    reporter.end(SummaryLine { exit_code: exit.code(), ..summary }, exit)
}

/// Why a request is not followed to its end, and how it may be.
fn left_alone(error: &ClientError, id: &str) -> Failure {
    let failure = client_failure(error);
    let again = format!("`perfecta client wait {id}` follows the request");
    match error {
        ClientError::NoServer { .. } => failure.with_remedy(format!(
            "start one with `perfecta serve`, which goes on with what the journal of the one before it holds; {again}"
        )),
        ClientError::Silent(_) => {
            let remedy = failure.remedy().unwrap_or_default().to_owned();
            failure.with_remedy(format!("{remedy}; {again}"))
        }
        ClientError::Denied(_)
        | ClientError::Untrusted { .. }
        | ClientError::Untrusting { .. }
        | ClientError::VersionMismatch { .. }
        | ClientError::Refused(_)
        | ClientError::Nonsense(_) => failure,
    }
}

fn show(
    reporter: &mut Reporter<'_>,
    display: &DisplayOptions,
    wanted: AllTables,
    told: Told,
    end: &mut Option<RequestStatus>,
) {
    match told {
        Told::Table(line) => {
            if display.json {
                reporter.say(&line);
            }
            // A line that a later daemon writes otherwise was still said.
            if let Ok(table) = serde_json::from_str::<TableLine>(&line) {
                reporter.table(table, wanted == AllTables::Wanted && !display.json);
            }
        }
        Told::Notice(notice) => reporter.notice(&notice),
        Told::Progress(progress) => reporter.progress(progress),
        Told::End(status) => *end = Some(*status),
    }
}

/// Ctrl-C, SIGTERM and SIGHUP, one after another, from when they are caught.
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    /// Unless it is ignored, as `nohup` has it.
    hang_up: Option<Signal>,
    /// How the program ends by the first of them.
    first: Option<Exit>,
}

impl Interrupts {
    pub(super) fn catch() -> Result<Self, Failure> {
        let caught = |kind| {
            signal(kind).map_err(|error| Failure::new(ExitClass::Io, format!("signals: {error}")))
        };
        let is_heeded = !is_hang_up_ignored();
        Ok(Self {
            hang_up: is_heeded.then(|| caught(SignalKind::hangup())).transpose()?,
            interrupt: caught(SignalKind::interrupt())?,
            terminate: caught(SignalKind::terminate())?,
            first: None,
        })
    }

    /// How the program ends by the next of them.
    pub(super) async fn next(&mut self) -> Exit {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Work(ExitClass::Cancelled),
            _ = self.terminate.recv() => Exit::Terminated,
            _ = hang_up => Exit::HungUp,
        }
    }
}
