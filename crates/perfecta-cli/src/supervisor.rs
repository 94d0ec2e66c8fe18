//! The service manager that started a daemon: what it passes, and what it hears.
//!
//! The protocol is systemd's: a socket to listen on as descriptor 3 (`LISTEN_FDS`), and datagrams to
//! `NOTIFY_SOCKET`.

use std::os::unix::net::UnixListener;
use std::time::Duration;

use listenfd::ListenFd;
use perfecta_jobs::ExitClass;
use perfecta_server::{News, Supervisor};
use sd_notify::NotifyState;

use crate::failure::Failure;

/// The service manager, where there is one.
#[derive(Debug)]
pub(crate) struct ServiceManager {
    patience: Option<Duration>,
}

impl ServiceManager {
    pub(crate) fn of_this_process() -> Self {
        Self { patience: sd_notify::watchdog_enabled() }
    }
}

impl Supervisor for ServiceManager {
    fn hear(&self, news: News<'_>) {
        let state = match news {
            News::Ready => NotifyState::Ready,
            News::Status(status) => NotifyState::Status(status),
            News::Alive => NotifyState::Watchdog,
            News::Stopping => NotifyState::Stopping,
        };
        // One that does not listen is none.
        let _ = sd_notify::notify(&[state]);
    }

    fn patience(&self) -> Option<Duration> {
        self.patience
    }
}

/// The socket that this process was started for, if it was.
///
/// # Errors
/// [`Failure`] if what was passed is no listening Unix socket, or more than one.
pub(crate) fn passed_socket() -> Result<Option<UnixListener>, Failure> {
    let mut passed = ListenFd::from_env();
    if passed.len() > 1 {
        let message = format!("{} sockets were passed, a daemon listens on one", passed.len());
        return Err(
            Failure::usage(message).with_remedy("write one ListenStream= in its socket unit")
        );
    }
    passed.take_unix_listener(0).map_err(|error| {
        Failure::new(ExitClass::Io, format!("the socket that was passed: {error}"))
            .with_remedy("pass a Unix stream socket, as ListenStream=/path does")
    })
}
