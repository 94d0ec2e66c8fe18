//! The doors of the daemon: sees who is there, and serves every connection to its end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::future::{self, Either};
use hyper::Request;
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info};

use super::attention::Attention;
use super::conduct::{Answering, Attended, Peer, Turns};
use super::{Control, Phase};
use crate::access::{Bodies, Caller, Tcp, Transport};
use crate::api::Api;
use crate::problem::{Problem, ProblemKind};
use crate::wire::{PROTOCOL, PROTOCOL_HEADER};

/// The most that a connection buffers of what a client sends.
pub(crate) const CONNECTION_BYTES_MAX: usize = 64 << 10;

/// A client that has not agreed on its keys in so long is none.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// Who is refused is heard so long, that it can be told why.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(5);

/// Who is refused while so many are being told is not told.
const REFUSALS_MAX: usize = 16;

/// After an error of accepting: connections that end give descriptors back.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What is known of all connections together.
pub(crate) struct Connections {
    /// How many there were so far.
    pub(super) visits: watch::Sender<u64>,
    /// Whether something is being asked.
    pub(super) attention: Attention,
    /// Memory for what they send.
    pub(crate) bodies: Bodies,
}

impl Connections {
    pub(super) fn none() -> Self {
        let (attention, bodies) = (Attention::default(), Bodies::default());
        Self { visits: watch::Sender::new(0), attention, bodies }
    }
}

/// What all doors share.
pub(super) struct Doors {
    control: Arc<Control>,
    api: Arc<Api>,
    /// One for every connection there may be.
    permits: Arc<Semaphore>,
    permits_tcp: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    users: Mutex<HashMap<u32, usize>>,
}

/// A connection of a user who is allowed.
struct Seat {
    doors: Arc<Doors>,
    user: u32,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut users = self.doors.users.lock();
        let taken = users.get_mut(&self.user).expect("it was counted");
        *taken -= 1;
        if *taken == 0 {
            users.remove(&self.user);
        }
    }
}

impl Doors {
    pub(super) fn new(control: &Arc<Control>) -> Arc<Self> {
        let limits = &control.terms.access.limits;
        Arc::new(Self {
            control: Arc::clone(control),
            api: Arc::new(Api::new(Arc::clone(control))),
            permits: Arc::new(Semaphore::new(limits.connections_max.get())),
            permits_tcp: Arc::new(Semaphore::new(limits.connections_tcp_max())),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            users: Mutex::default(),
        })
    }

    /// Whether nobody is connected but who waits for the next to come in at each door.
    pub(super) fn are_unused(&self) -> bool {
        let doors = 1 + usize::from(self.control.terms.access.tcp.is_some());
        let free = self.permits.available_permits();
        free + doors >= self.control.terms.access.limits.connections_max.get()
    }

    /// Waits until every connection is over; only once no more are accepted.
    pub(super) async fn until_empty(&self) {
        let all = u32::try_from(self.control.terms.access.limits.connections_max.get());
        let _ = self.permits.acquire_many(all.expect("so many there cannot be")).await;
    }

    /// Serves clients of this machine.
    pub(super) async fn serve_local(self: Arc<Self>, listener: UnixListener) {
        let own = rustix::process::geteuid().as_raw();
        while let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await {
            let Ok((stream, _)) = listener.accept().await else {
                sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            };
            let Ok(peer) = stream.peer_cred() else { continue };
            match self.caller(peer.uid(), own) {
                Ok((caller, seat)) => {
                    let held = (permit, seat);
                    self.serve_one(stream, (caller, Transport::Local), held);
                }
                Err(problem) => self.refuse(stream, peer.uid(), problem),
            }
        }
    }

    /// Who a user of this machine is here.
    fn caller(self: &Arc<Self>, user: u32, own: u32) -> Result<(Caller, Option<Seat>), Problem> {
        if [own, 0].contains(&user) {
            return Ok((Caller::Owner, None));
        }
        if !self.control.terms.access.users.contains(&user) {
            let detail = format!("user {user} is not served here");
            let remedy = "use a daemon of your own, or have this one started with --allow-user";
            return Err(Problem::new(ProblemKind::Forbidden, detail, remedy));
        }
        let mut users = self.users.lock();
        let taken = users.entry(user).or_default();
        if *taken >= self.control.terms.access.limits.connections_user_max() {
            let detail = format!("user {user} has {taken} connections");
            return Err(Problem::new(ProblemKind::Busy, detail, "close some"));
        }
        *taken += 1;
        Ok((Caller::User(user), Some(Seat { doors: Arc::clone(self), user })))
    }

    /// Serves clients elsewhere.
    pub(super) async fn serve_tcp(self: Arc<Self>, listener: TcpListener, tcp: Tcp) {
        while let Ok(permit_tcp) = Arc::clone(&self.permits_tcp).acquire_owned().await {
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            };
            let held = (permit, permit_tcp);
            match &tcp.tls {
                None => self.serve_one(stream, (Caller::Remote, Transport::Plain), held),
                Some(tls) => {
                    let acceptor = TlsAcceptor::from(Arc::clone(tls));
                    tokio::spawn(Arc::clone(&self).serve_tls(acceptor, stream, held));
                }
            }
        }
    }

    async fn serve_tls(
        self: Arc<Self>,
        acceptor: TlsAcceptor,
        stream: TcpStream,
        held: (OwnedSemaphorePermit, OwnedSemaphorePermit),
    ) {
        let agreeing = async {
            if begins_as_http(&stream).await {
                self.refuse_plain(stream).await;
                return None;
            }
            // A client that proves nothing is told so by the protocol itself.
            let agreed = acceptor.accept(stream).await;
            agreed.inspect_err(|error| debug!(%error, "no agreement over TLS")).ok()
        };
        if let Ok(Some(stream)) = timeout(HANDSHAKE_TIME_MAX, agreeing).await {
            self.serve_one(stream, (Caller::Remote, Transport::Tls), held);
        }
    }

    /// Tells a client that speaks no TLS that it has to.
    async fn refuse_plain(&self, stream: TcpStream) {
        let detail = "the daemon speaks TLS at this port";
        let problem = Problem::new(
            ProblemKind::Malformed,
            detail,
            "ask by https://, which takes --ca of `perfecta client`",
        );
        self.control.counts.answered(problem.kind.status().as_u16(), Some(problem.kind));
        let telling = converse(stream, Pages::None(problem), &self.control);
        let _ = timeout(REFUSAL_TIME_MAX, telling).await;
    }

    fn serve_one<S>(
        self: &Arc<Self>,
        stream: S,
        from: (Caller, Transport),
        held: impl Send + 'static,
    ) where
        S: Peer + AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let doors = Arc::clone(self);
        self.control.connections.visits.send_modify(|count| *count += 1);
        tokio::spawn(async move {
            let pages = Pages::All { api: Arc::clone(&doors.api), from };
            converse(stream, pages, &doors.control).await;
            drop(held);
        });
    }

    /// Tells a client why it is not served, if it listens.
    fn refuse(self: &Arc<Self>, stream: UnixStream, user: u32, problem: Problem) {
        self.control.counts.answered(problem.kind.status().as_u16(), Some(problem.kind));
        info!(user, problem = problem.kind.name(), "not served");
        let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() else { return };
        let doors = Arc::clone(self);
        tokio::spawn(async move {
            let telling = converse(stream, Pages::None(problem), &doors.control);
            let _ = timeout(REFUSAL_TIME_MAX, telling).await;
            drop(permit);
        });
    }
}

/// Whether what comes first is a letter, as of GET: what agrees on keys begins with 22.
async fn begins_as_http(stream: &TcpStream) -> bool {
    let mut first = [0];
    matches!(stream.peek(&mut first).await, Ok(1)) && first[0].is_ascii_uppercase()
}

/// What a client finds behind its door.
#[derive(Clone)]
enum Pages {
    /// Everything, with who asks and from where.
    All { api: Arc<Api>, from: (Caller, Transport) },
    /// Why there is nothing.
    None(Problem),
}

/// Serves one connection to its end. What a client does wrong there is its own business.
async fn converse<S>(stream: S, pages: Pages, control: &Control)
where
    S: Peer + AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let turns = Turns::none();
    let stream = Attended::new(stream, Arc::clone(&turns), control.terms.access.limits.idle_max);
    let is_refused = matches!(pages, Pages::None(_));
    let service = hyper::service::service_fn(move |request| {
        control.connections.attention.asked();
        let answering = turns.begin();
        let answer = match &pages {
            Pages::All { api, from } => Either::Left(ask(Arc::clone(api), *from, request)),
            Pages::None(problem) => Either::Right(future::ready(refusal(problem))),
        };
        async move {
            let answer = answer.await;
            Ok::<_, Infallible>(answer.map(|body| AnswerBody { body, _answering: answering }))
        }
    });
    let connection = http1::Builder::new()
        // Time is kept by what is below it.
        .header_read_timeout(None)
        // A client that has said all may hang up its own end, and hear the answer.
        .half_close(true)
        .keep_alive(!is_refused)
        .max_buf_size(CONNECTION_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        () = control.until_phase(Phase::Gone) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Of our protocol, too, so that a client believes it.
fn refusal(problem: &Problem) -> Response {
    ([(PROTOCOL_HEADER, PROTOCOL.to_string())], problem.clone()).into_response()
}

async fn ask(api: Arc<Api>, from: (Caller, Transport), mut request: Request<Incoming>) -> Response {
    let (caller, transport) = from;
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(transport);
    let body_of = |body: Incoming| match body.is_end_stream() {
        true => Body::empty(),
        false => Body::new(body),
    };
    api.answer(request.map(body_of)).await
}

/// An answer's body, which is told of as long as it is there.
struct AnswerBody {
    body: Body,
    _answering: Answering,
}

impl hyper::body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// As many open files as the system lets us have: every connection takes one.
pub(super) fn raise_open_files() -> io::Result<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::control;

    #[test]
    fn who_is_not_served_is_counted_also_where_nobody_tells_it() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(async {
            let doors = Doors::new(&control());
            let refusals = 2 * REFUSALS_MAX;
            for _ in 0..refusals {
                let Err(problem) = doors.caller(7, 8) else { panic!("nobody allowed it") };
                doors.refuse(UnixStream::pair().unwrap().0, 7, problem);
            }
            let counted = doors.control.counts.num_problems(ProblemKind::Forbidden);
            assert_eq!(counted, refusals as u64);
        });
    }
}
