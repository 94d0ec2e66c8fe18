//! Looks after requests that a daemon keeps: says where they are, cancels, lists and forgets them.

use std::num::NonZeroUsize;

use clap::Args;
use clap::builder::PossibleValuesParser;
use perfecta_io::thousands;
use perfecta_server::client::{Client as Connection, ClientError, RequestTold};
use perfecta_server::{ProgressLine, RequestState, StateTold};

use crate::command::client::{Format, ask, checked_id};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::terminal::{Terminal, printable};
use crate::text::{counted, outcomes};

/// How often a request that is cancelled is looked at, for a second each time, before it is said where it is.
const LOOKS_MAX: u32 = 10;

/// A request, and how it is told of.
#[derive(Debug, Args)]
pub(super) struct OneRequest {
    /// The request's id
    id: String,
    #[command(flatten)]
    format: Format,
}

/// Which requests are listed.
#[derive(Debug, Args)]
pub(super) struct ListOptions {
    /// List only requests in this state; can be given again
    #[arg(long, value_parser = PossibleValuesParser::new(RequestState::ALL.map(RequestState::name)))]
    state: Vec<String>,
    /// List only so many, those that came last
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
    #[command(flatten)]
    format: Format,
}

impl OneRequest {
    /// Says where it is.
    ///
    /// # Errors
    /// [`Failure`] if there is no such request.
    pub(super) async fn status(
        &self,
        connection: &Connection,
        terminal: &Terminal,
    ) -> Result<Exit, Failure> {
        let status = ask(connection.get(&self.path()?).await)?;
        self.say(terminal, &status)
    }

    /// Cancels it, and says where it is then: as a rule at its end.
    ///
    /// # Errors
    /// As [`Self::status`].
    pub(super) async fn cancel(
        &self,
        connection: &Connection,
        terminal: &Terminal,
    ) -> Result<Exit, Failure> {
        let (id, path) = (&self.id, self.path()?);
        let before: RequestTold = ask(connection.get(&path).await)?;
        if before.ended_unix_ms.is_some() {
            terminal.note(&format!("request {id} was over already"));
            return self.say(terminal, &before);
        }
        let mut status: RequestTold = ask(connection.post(&format!("{path}/cancel")).await)?;
        for _ in 0..LOOKS_MAX {
            if status.ended_unix_ms.is_some() {
                break;
            }
            status = match connection.get(&format!("{path}/wait?timeout_ms=1000")).await {
                // One that drains is gone with its last request.
                Err(ClientError::NoServer { .. } | ClientError::Lost { .. }) => break,
                answer => ask(answer)?,
            };
        }
        if status.ended_unix_ms.is_none() {
            terminal.note(&format!(
                "request {id} is cancelled, and has not ended yet; `perfecta client wait {id}` waits for that"
            ));
        } else if status.state != StateTold::Known(RequestState::Cancelled) {
            terminal.note(&format!("request {id} was over before it was cancelled"));
        }
        self.say(terminal, &status)
    }

    /// Has it forgotten.
    ///
    /// # Errors
    /// [`Failure`] if there is no such request, or it has not ended.
    pub(super) async fn forget(
        &self,
        connection: &Connection,
        terminal: &Terminal,
    ) -> Result<Exit, Failure> {
        ask(connection.delete(&self.path()?).await)?;
        let line = if self.format.json {
            json::forgotten_line(&self.id)
        } else {
            format!("{} forgotten", self.id)
        };
        terminal.say(&line).map(|()| Exit::SUCCESS)
    }

    fn path(&self) -> Result<String, Failure> {
        checked_id(&self.id).map(|id| format!("/v1/requests/{id}"))
    }

    fn say(&self, terminal: &Terminal, status: &RequestTold) -> Result<Exit, Failure> {
        say_status(terminal, status, &self.format)
    }
}

impl ListOptions {
    /// Says where each of them is, in the order in which they came.
    ///
    /// # Errors
    /// [`Failure`] if there is no daemon.
    pub(super) async fn list(
        &self,
        connection: &Connection,
        terminal: &Terminal,
    ) -> Result<Exit, Failure> {
        let all = ask(connection.list().await)?;
        let wanted: Vec<&RequestTold> =
            all.iter().filter(|status| self.is_wanted(status)).collect();
        let too_many = self.limit.map_or(0, |limit| wanted.len().saturating_sub(limit.get()));
        for status in &wanted[too_many..] {
            say_status(terminal, status, &self.format)?;
        }
        Ok(Exit::SUCCESS)
    }

    fn is_wanted(&self, status: &RequestTold) -> bool {
        self.state.is_empty() || self.state.iter().any(|state| state == status.state.name())
    }
}

fn say_status(terminal: &Terminal, status: &RequestTold, format: &Format) -> Result<Exit, Failure> {
    if format.json {
        return terminal.say(&perfecta_server::line("request", status)).map(|()| Exit::SUCCESS);
    }
    let mut line = format!("{} {}", status.id, status.state.name());
    if let Some(progress) = &status.progress {
        line += &format!(" {}", tables_of_request(progress));
    }
    if let Some(error) = &status.error {
        line += &format!(" {}", error.message);
    }
    terminal.say(&printable(&line)).map(|()| Exit::SUCCESS)
}

/// How many tables a request has, as far as they settled, and what came of these.
fn tables_of_request(progress: &ProgressLine) -> String {
    let ProgressLine { tables, ok, unchanged, failed, cancelled, .. } = *progress;
    let settled = progress.settled();
    let outcomes = outcomes(ok, [unchanged, failed, cancelled]);
    let all = counted(tables.into(), "table");
    match settled {
        0 => format!("0/{all}"),
        _ if settled == tables => format!("{all}: {outcomes}"),
        _ => format!("{}/{all}: {outcomes}", thousands(settled.into())),
    }
}
