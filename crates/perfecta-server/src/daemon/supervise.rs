//! What the one who started the daemon hears of it, and a daemon that nobody needs.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::doors::Doors;
use super::{Control, Phase};

/// Between two looks at what the daemon does, where nobody asks for more.
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// The one who started the daemon: a service manager, or nobody.
pub trait Supervisor: Sync {
    /// Is told.
    fn hear(&self, news: News<'_>);

    /// After so long without [`News::Alive`] it takes the daemon for dead.
    fn patience(&self) -> Option<Duration>;
}

/// What it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News<'n> {
    /// Whoever connects is answered.
    Ready,
    /// What the daemon does, as a sentence.
    Status(&'n str),
    /// Its threads answer each other.
    Alive,
    /// It ends.
    Stopping,
}

/// Tells, as long as the daemon goes on. It is told to be alive when the thread that takes orders
/// answers the one that serves connections; a slow disk or a hard search is no death.
pub(super) async fn tell(control: &Control, supervisor: &dyn Supervisor) -> Infallible {
    supervisor.hear(News::Ready);
    let every = supervisor.patience().map_or(STATUS_EVERY, |patience| patience / 2);
    let (mut told, mut is_stopping) = (String::new(), false);
    loop {
        let _answer = control.machine_report().await;
        if supervisor.patience().is_some() {
            supervisor.hear(News::Alive);
        }
        let status = status(control);
        if status != told {
            supervisor.hear(News::Status(&status));
            told = status;
        }
        tokio::select! {
            () = sleep(every) => {}
            () = control.until_phase(Phase::Draining), if !is_stopping => {
                supervisor.hear(News::Stopping);
                is_stopping = true;
            }
        }
    }
}

fn status(control: &Control) -> String {
    let ping = control.ping();
    let verb = if ping.is_draining { "ends" } else { "serves" };
    let requests = counted(ping.requests_outstanding as u64, "request");
    format!("{verb}: {requests}, {} at work", counted(ping.items_running, "table"))
}

fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Returns when nobody was connected, and nothing was to be done, for so long; with `None`, never.
pub(super) async fn until_unneeded(control: &Control, doors: &Doors, longest: Option<Duration>) {
    let Some(longest) = longest else { return std::future::pending().await };
    let mut visits = control.connections.visits.subscribe();
    loop {
        control.until_idle().await;
        // The sender is the daemon's, so there is no error.
        let visit = timeout(longest, visits.changed()).await;
        // One is for the connection that is waited for.
        let is_alone = doors.are_unused();
        if visit.is_err() && is_alone && control.is_idle() {
            return;
        }
    }
}
