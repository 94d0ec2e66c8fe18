//! Follows a request to its end, and shows it as a run of this program would be shown.

use std::path::PathBuf;
use std::pin::pin;

use perfecta_jobs::ExitClass;
use perfecta_server::client::{AllTables, Client as Connection, ClientError, RequestTold, Told};
use perfecta_server::{RequestState, StateTold, SummaryLine, TableLine, is_hang_up_ignored};
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
    let mut reporter = Reporter::new(terminal, display).of_request(id);
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
                        tokio::spawn(async move { drop(connection.post::<RequestTold>(&path).await) });
                    }
                    // Where a terminal goes it may come more than once.
                    Some(_) if exit == Exit::HungUp => {}
                    Some(_) => {
                        let message = format!("left; the daemon may still be at work on request {id}");
                        return Err(Failure::new(exit, message).with_remedy(format!(
                            "`perfecta client wait {id}` follows it, `perfecta client cancel {id}` ends it"
                        )));
                    }
                },
            }
        }
    };
    reporter.clear();
    outcome.map_err(|error| left_alone(&error, id))?;
    let mut end: RequestTold = end.expect("a request is followed to its end");
    let output = end.output.take().map(PathBuf::from);
    let is_cancelled = end.state == StateTold::Known(RequestState::Cancelled);
    let interrupt = interrupts.first.filter(|_| is_cancelled);
    let interrupt = interrupt.filter(|exit| matches!(exit, Exit::Terminated | Exit::HungUp));
    let summary = result(end).map_err(|failure| match interrupt {
        Some(exit) => failure.with_exit(exit),
        None => failure,
    })?;
    let exit = interrupt.unwrap_or(Exit::told(summary.exit_code));
    let finished = reporter.end(SummaryLine { exit_code: exit.code(), ..summary }, exit)?;
    Ok(Finished { output, ..finished })
}

/// What a request came to that has ended, in whatever state. Nothing is taken for done that is not said to
/// be done, table by table.
fn result(end: RequestTold) -> Result<SummaryLine, Failure> {
    let nonsense = |message: String| Err(Failure::new(ExitClass::Internal, message));
    if let Some(error) = end.error {
        let exit = Exit::of_failure(error.exit_code);
        let failure = Failure::new(exit, error.message).with_class(error.class);
        return Err(match error.remedy {
            Some(remedy) => failure.with_remedy(remedy),
            None => failure,
        });
    }
    let state = end.state.name();
    let Some(summary) = end.summary else {
        return nonsense(format!("the daemon told an end ({state}) without a result"));
    };
    let there = u64::from(summary.ok) + u64::from(summary.unchanged);
    if summary.exit_code == 0 && there != u64::from(summary.tables) {
        let tables = summary.tables;
        return nonsense(format!(
            "the daemon says that all is done ({state}), and that of {tables} tables there are {there}"
        ));
    }
    Ok(summary)
}

/// Why a request is not followed to its end, and how it may be.
fn left_alone(error: &ClientError, id: &str) -> Failure {
    let failure = client_failure(error);
    let again = format!("`perfecta client wait {id}` follows the request");
    match error {
        ClientError::NoServer { .. } | ClientError::Lost { .. } => failure.with_remedy(format!(
            "start one with `perfecta serve`, which goes on with what the journal of the one before it holds; {again}"
        )),
        ClientError::Silent(_) => {
            let remedy = failure.remedy().unwrap_or_default().to_owned();
            failure.with_remedy(format!("{remedy}; {again}"))
        }
        ClientError::NoMeans { .. }
        | ClientError::Denied(_)
        | ClientError::Untrusted { .. }
        | ClientError::Untrusting { .. }
        | ClientError::SpeaksTls(_)
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
    end: &mut Option<RequestTold>,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What an `end` comes to: the exit code, and what is said.
    fn check(end: &str, exit_code: u8, said: &str) {
        let came = match result(serde_json::from_str(end).unwrap()) {
            Ok(summary) => (summary.exit_code, String::new()),
            Err(failure) => (failure.exit().code(), failure.to_string()),
        };
        assert_eq!((came.0, came.1.as_str()), (exit_code, said), "{end}");
    }

    /// An `end` in a state of tomorrow, with such counts.
    fn ended(state: &str, ok: u32, failed: u32, exit_code: u8) -> String {
        format!(
            r#"{{"id":"1-1","state":"{state}","phase":7,"progress":null,"error":null,"summary":{{"tables":3,
            "ok":{ok},"unchanged":1,"failed":{failed},"cancelled":0,"moved":9,"keys":9,"wall_seconds":1,
            "cpu_seconds":1,"bytes":0,"files":0,"threads_max":1,"memory_peak_bytes":null,
            "exit_code":{exit_code}}}}}"#
        )
    }

    #[test]
    fn an_end_in_a_state_that_is_not_known_is_what_its_result_says() {
        check(&ended("superseded", 2, 0, 0), 0, "");
        check(&ended("superseded", 1, 1, 3), 3, "");
        check(&ended("superseded", 2, 0, 99), 99, "");
        let error = r#"{"class":"evicted","exit_code":77,"message":"moved on","remedy":null}"#;
        let end = format!(r#"{{"id":"1-1","state":"superseded","error":{error}}}"#);
        check(&end, 77, "moved on");
    }

    #[test]
    fn no_end_is_a_success_without_its_tables() {
        for state in ["superseded", "done"] {
            let said = format!(
                "the daemon says that all is done ({state}), and that of 3 tables there are 2"
            );
            check(&ended(state, 1, 1, 0), 1, &said);
            let none = format!(r#"{{"id":"1-1","state":"{state}"}}"#);
            check(&none, 1, &format!("the daemon told an end ({state}) without a result"));
            let error = r#"{"class":"ok","exit_code":0,"message":"a","remedy":null}"#;
            check(&format!(r#"{{"id":"1-1","state":"{state}","error":{error}}}"#), 1, "a");
        }
    }
}
