//! The control thread: accepts connections, serves each, and ends in order.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::supervise::{self, Supervisor, until_unneeded};
use super::{Control, Phase};
use crate::{api, history};

/// Connections at once; further ones wait in the system's queue.
pub(crate) const CONNECTIONS_MAX: u32 = 1_024;

/// A client that sends its head more slowly is not one, and one that is silent for so long goes.
pub(crate) const HEAD_TIME_MAX: Duration = Duration::from_secs(30);

/// The most that a connection buffers of what a client sends.
pub(crate) const CONNECTION_BYTES_MAX: usize = 64 << 10;

/// How long answers may take to leave when the daemon goes.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// When a daemon ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    /// So long after it was asked to, at the latest.
    pub(super) grace: Duration,
    /// After so long without anything to do.
    pub(super) idle: Option<Duration>,
}

/// Serves until the daemon is asked to end, and everything has.
pub(super) fn run(
    listener: std::os::unix::net::UnixListener,
    control: &Arc<Control>,
    ends: Ends,
    supervisor: &dyn Supervisor,
) -> io::Result<()> {
    // Whatever becomes of this thread, the one that takes orders is not to wait for it.
    let _closing = Closing(control);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            ended = serve(listener, control, ends) => ended,
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

async fn serve(
    listener: std::os::unix::net::UnixListener,
    control: &Arc<Control>,
    ends: Ends,
) -> io::Result<()> {
    let Ends { grace, idle } = ends;
    let listener = UnixListener::from_std(listener)?;
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
    let accepting = tokio::spawn(accept(listener, Arc::clone(control), Arc::clone(&permits)));
    tokio::spawn(history::keep(Arc::clone(control)));
    let grace = tokio::select! {
        _ = terminate.recv() => Some(grace),
        _ = interrupt.recv() => Some(grace),
        () = control.until_phase(Phase::Draining) => None,
        () = until_unneeded(control, &permits, idle) => None,
    };
    control.advance(Phase::Draining);
    let grace_is_over = async {
        match grace {
            Some(grace) => sleep(grace).await,
            // Who asked to drain waits for all; a signal still hurries.
            None => tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            },
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
    accepting.abort();
    // Readers are told the end; one that does not listen is left.
    let _ = timeout(FAREWELL_MAX, permits.acquire_many(CONNECTIONS_MAX)).await;
    Ok(())
}

async fn accept(listener: UnixListener, control: Arc<Control>, permits: Arc<Semaphore>) {
    let user = rustix::process::geteuid().as_raw();
    let router = api::router(Arc::clone(&control));
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptors, for instance: connections that end give some back.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        // The directory keeps others out; this holds also where it was opened to them.
        let is_ours = stream.peer_cred().is_ok_and(|peer| [user, 0].contains(&peer.uid()));
        if !is_ours {
            continue;
        }
        control.visits.send_modify(|count| *count += 1);
        let (router, control) = (router.clone(), Arc::clone(&control));
        tokio::spawn(async move {
            converse(stream, router, &control).await;
            drop(permit);
        });
    }
}

/// Serves one connection to its end. What a client does wrong there is its own business.
async fn converse(stream: UnixStream, router: Router, control: &Control) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(CONNECTION_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = control.until_phase(Phase::Gone) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
