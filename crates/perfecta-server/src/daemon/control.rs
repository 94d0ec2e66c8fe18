//! The control thread: opens the doors, and ends in order.

use std::future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::doors::{self, Doors};
use super::stops::Stops;
use super::supervise::{self, Supervisor, until_unneeded};
use super::{Control, Phase, ServeError};
use crate::access::Access;
use crate::{history, sockets};

/// What workers and the daemon itself have open beside connections.
const OPEN_FILES_BESIDE: u64 = 256;

/// How long answers may take to leave when the daemon goes.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// When a daemon ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends<'o> {
    /// So long after it was asked to, at the latest.
    pub(super) grace: Duration,
    /// Whether it was while it started.
    pub(super) was_asked: &'o AtomicBool,
    /// After so long without anything to do.
    pub(super) idle: Option<Duration>,
}

/// Serves until the daemon is asked to end, and everything has.
pub(super) fn run(
    listeners: Listeners,
    control: &Arc<Control>,
    ends: Ends<'_>,
    supervisor: &dyn Supervisor,
) -> io::Result<()> {
    // Whatever becomes of this thread, the one that takes orders is not to wait for it.
    let _closing = Closing(control);
    sockets::runtime()?.block_on(async {
        tokio::select! {
            ended = serve(listeners, control, ends) => ended,
            never = supervise::tell(control, supervisor) => match never {},
        }
    })
}

struct Closing<'c>(&'c Control);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.orders.lock().take();
    }
}

async fn serve(listeners: Listeners, control: &Arc<Control>, ends: Ends<'_>) -> io::Result<()> {
    let Ends { grace, was_asked, idle } = ends;
    let doors = Doors::new(control);
    let accepting = listeners.accept(&doors, control)?;
    tokio::spawn(history::keep(Arc::clone(control)));
    let watched = Arc::clone(control);
    tokio::spawn(async move { watched.connections.attention.keep().await });
    let mut stops = Stops::catch()?;
    // Those that came before are told by nobody else.
    let was_asked = was_asked.load(Ordering::Relaxed);
    let grace = tokio::select! {
        () = stops.next(), if !was_asked => Some(grace),
        () = future::ready(()), if was_asked => Some(grace),
        () = control.until_phase(Phase::Draining) => None,
        () = until_unneeded(control, &doors, idle) => None,
    };
    control.advance(Phase::Draining);
    let grace_is_over = async {
        match grace {
            Some(grace) => sleep(grace).await,
            // Who asked to drain waits for all; a signal still hurries.
            None => stops.next().await,
        }
    };
    tokio::select! {
        () = control.until_idle() => {}
        () = grace_is_over => {}
        () = control.until_phase(Phase::Ending) => {}
    }
    control.advance(Phase::Ending);
    control.cancel_all();
    control.until_idle().await;
    control.advance(Phase::Gone);
    drop(accepting);
    // Readers are told the end; one that does not listen is left.
    let _ = timeout(FAREWELL_MAX, doors.until_empty()).await;
    Ok(())
}

/// Where clients come in.
pub(super) struct Listeners {
    local: std::os::unix::net::UnixListener,
    tcp: Option<std::net::TcpListener>,
}

impl Listeners {
    /// Takes the address of clients elsewhere, and makes room for all: every connection takes a file.
    pub(super) fn open(
        local: std::os::unix::net::UnixListener,
        access: &Access,
        notice: &dyn Fn(&str),
    ) -> Result<Self, ServeError> {
        let files = doors::raise_open_files().unwrap_or(0);
        let connections = access.limits.connections_max.get() as u64;
        if files < connections + OPEN_FILES_BESIDE {
            notice(&format!(
                "no more than {files} files may be open: of {connections} connections some would wait"
            ));
        }
        let tcp = access.tcp.as_ref().map(|tcp| listen(tcp.address, notice)).transpose()?;
        Ok(Self { local, tcp })
    }

    /// Accepts connections until this is dropped.
    fn accept(self, doors: &Arc<Doors>, control: &Control) -> io::Result<JoinSet<()>> {
        let mut accepting = JoinSet::new();
        accepting.spawn(Arc::clone(doors).serve_local(UnixListener::from_std(self.local)?));
        if let (Some(listener), Some(tcp)) = (self.tcp, control.terms.access.tcp.clone()) {
            let listener = TcpListener::from_std(listener)?;
            accepting.spawn(Arc::clone(doors).serve_tcp(listener, tcp));
        }
        Ok(accepting)
    }
}

/// Takes an address. Where the system chooses the port, nobody else knows it.
fn listen(address: SocketAddr, notice: &dyn Fn(&str)) -> Result<std::net::TcpListener, ServeError> {
    let failed = |error| ServeError::Listen { address, error };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    if address.port() == 0 {
        let taken = listener.local_addr().map_err(failed)?;
        notice(&format!("clients over TCP are served at {taken}"));
    }
    Ok(listener)
}
