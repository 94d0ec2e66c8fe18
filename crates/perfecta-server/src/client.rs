//! A client of the daemon: plain HTTP on its socket, and what silence means.

mod connect;
mod events;
mod pulse;
mod refusal;
mod remote;

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use self::events::Lines;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::events::check_events;
use self::pulse::Pulse;
pub use self::refusal::Refusal;
pub use self::remote::{Remote, RemoteError, RemoteFiles};
use crate::endpoint::Endpoint;
use crate::follow::HEARTBEAT;
use crate::problem::ProblemKind;
use crate::random;
use crate::spec::JobSpec;
use crate::wire::{
    Accepted, NEXT_HEADER, PROTOCOL, PROTOCOL_HEADER, ProgressLine, RequestStatus, StateTold,
};

/// After so long without a byte a daemon is silent.
const PATIENCE: Duration = HEARTBEAT.saturating_mul(3);

/// Between two looks whether a daemon is there yet.
const RETRY_EVERY: Duration = Duration::from_millis(20);

/// The longest answer that is no event stream: some ten times what a daemon has to say.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Why a daemon did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is none.
    #[error("no daemon at {endpoint}: {reason}")]
    NoServer {
        /// The socket or address.
        endpoint: String,
        /// Whether it is an address, where this program can start none.
        is_remote: bool,
        /// What the system says.
        reason: String,
    },
    /// It took the connection, and went away before its answer was whole: it may have done what it was
    /// asked for.
    #[error("the daemon at {endpoint} went away before it had answered: {reason}")]
    Lost {
        /// The socket.
        endpoint: String,
        /// What the system says.
        reason: String,
    },
    /// This process has no means to connect.
    #[error("cannot connect to {endpoint}: {reason}")]
    NoMeans {
        /// The socket.
        endpoint: String,
        /// What the system says.
        reason: String,
    },
    /// The socket is not for us.
    #[error("permission denied: {0}")]
    Denied(String),
    /// What answers there is not the daemon that is meant.
    #[error("{endpoint} is not to be trusted: {reason}")]
    Untrusted {
        /// The socket or address.
        endpoint: String,
        /// Why not.
        reason: String,
    },
    /// The daemon does not take this client for one that may ask.
    #[error("the daemon at {endpoint} does not trust this client: {reason}")]
    Untrusting {
        /// The address.
        endpoint: String,
        /// What it says.
        reason: String,
    },
    /// It was asked without TLS, and speaks nothing else.
    #[error("the daemon at {0} speaks TLS, and was asked without")]
    SpeaksTls(String),
    /// It says nothing.
    #[error("the daemon at {0} is silent")]
    Silent(String),
    /// It speaks another protocol.
    #[error("the daemon at {endpoint} speaks another protocol ({theirs}), this program {PROTOCOL}")]
    VersionMismatch {
        /// The socket.
        endpoint: String,
        /// What it speaks.
        theirs: String,
    },
    /// It refused.
    #[error("{}", .0.detail)]
    Refused(Refusal),
    /// It said something that is none of its answers.
    #[error("the daemon's answer makes no sense: {0}")]
    Nonsense(String),
}

impl ClientError {
    /// What the user can do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        match self {
            Self::NoServer { is_remote: false, .. } => Some(
                "start one with `perfecta serve` and the same --name or --endpoint, or have it started by \
                 --ensure-server; where it is elsewhere, say so with --name or --endpoint",
            ),
            Self::NoServer { is_remote: true, .. } => Some(
                "start one there with `perfecta serve --listen`, or name another with --endpoint",
            ),
            Self::Lost { .. } => Some(
                "start one with `perfecta serve`, which goes on with what this one had accepted; \
                 `perfecta client list` shows that",
            ),
            Self::NoMeans { .. } => Some("raise the limit of open files (ulimit -n)"),
            Self::Denied(_) => Some("use an endpoint of your own"),
            Self::Untrusted { .. } => {
                Some("check who is there, and with which certificates; or use another endpoint")
            }
            Self::Untrusting { .. } => {
                Some("name a certificate that it takes, with --certificate and --key")
            }
            Self::SpeaksTls(_) => Some(
                "give https:// instead of http://, and --ca, the certificate that vouches for it",
            ),
            Self::Silent(_) => {
                Some("see whether it is stopped or overloaded; its tables are whole")
            }
            Self::VersionMismatch { .. } => Some("use programs of one version"),
            Self::Refused(refusal) => refusal.remedy.as_deref(),
            Self::Nonsense(_) => None,
        }
    }
}

/// A request as a daemon tells of it, which may be a later one.
///
/// In a state that is not known it goes on as long as `ended_unix_ms` is `None`.
pub type RequestTold = RequestStatus<StateTold>;

/// What a daemon tells of a request that is followed.
#[derive(Debug)]
pub enum Told {
    /// A table, as the line that it was sent as.
    Table(String),
    /// Something that the user should know.
    Notice(String),
    /// Where it is.
    Progress(ProgressLine),
    /// It has ended.
    End(Box<RequestTold>),
}

/// A client of one daemon.
#[derive(Debug, Clone)]
pub struct Client {
    target: Target,
}

/// Where a daemon is.
#[derive(Debug, Clone)]
enum Target {
    Socket(Endpoint),
    Remote(Box<Remote>),
}

impl Client {
    /// Of the daemon at an endpoint.
    #[must_use]
    pub const fn new(endpoint: Endpoint) -> Self {
        Self { target: Target::Socket(endpoint) }
    }

    /// Of a daemon elsewhere.
    #[must_use]
    pub fn remote(remote: Remote) -> Self {
        Self { target: Target::Remote(Box::new(remote)) }
    }

    /// Whether the daemon may be on another machine, where a directory of this one means nothing.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        matches!(self.target, Target::Remote(_))
    }

    /// Waits until a daemon answers.
    ///
    /// # Errors
    /// [`ClientError`] if none does in time.
    pub async fn wait_for_server(&self, longest: Duration) -> Result<(), ClientError> {
        // A time that no clock shows does not come.
        let until = Instant::now().checked_add(longest);
        loop {
            match self.get::<serde_json::Value>("/v1/ping").await {
                Ok(_) => return Ok(()),
                Err(ClientError::NoServer { .. } | ClientError::Lost { .. })
                    if until.is_none_or(|until| Instant::now() < until) =>
                {
                    sleep(RETRY_EVERY).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// An idempotency key that nobody else has.
    #[must_use]
    pub fn fresh_key() -> String {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        format!("{}-{time:x}-{:016x}{:016x}", std::process::id(), random::draw(), random::draw())
    }

    /// Hands a request in, and says its id. With the same key it is the same request, whether or not
    /// an answer was heard before.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn submit(&self, spec: &JobSpec, key: &str) -> Result<String, ClientError> {
        let body =
            serde_json::to_vec(spec).map_err(|error| ClientError::Nonsense(error.to_string()))?;
        let asked = Asked { method: Method::POST, path: "/v1/requests", body, key: Some(key) };
        let accepted: Accepted = self.ask(asked).await?;
        Ok(accepted.id)
    }

    /// Asks for a page.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Asked { method: Method::GET, path, body: Vec::new(), key: None }).await
    }

    /// All requests that the daemon keeps, in the order in which they came.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list(&self) -> Result<Vec<RequestTold>, ClientError> {
        let mut all: Vec<RequestTold> = Vec::new();
        let mut after = 0;
        loop {
            let path = format!("/v1/requests?after={after}");
            let asked = Asked { method: Method::GET, path: &path, body: Vec::new(), key: None };
            let (page, head) = self.answer::<Vec<_>>(asked).await?;
            all.extend(page);
            let next = head.get(NEXT_HEADER).and_then(|next| next.to_str().ok()?.parse().ok());
            match next {
                None => return Ok(all),
                Some(next) if next > after => after = next,
                Some(_) => return Err(ClientError::Nonsense("its list goes round".to_owned())),
            }
        }
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Asked { method: Method::POST, path, body: Vec::new(), key: None }).await
    }

    /// Asks for something to be taken away, of which nothing is told but that it is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        let asked = Asked { method: Method::DELETE, path, body: Vec::new(), key: None };
        self.success(asked).await.map(drop)
    }

    /// Follows a request: tells of it until it has ended.
    ///
    /// # Errors
    /// [`ClientError`], also if the daemon dies or falls silent meanwhile.
    pub async fn follow(
        &self,
        id: &str,
        all_tables: AllTables,
        mut tell: impl FnMut(Told),
    ) -> Result<(), ClientError> {
        let wanted = match all_tables {
            AllTables::Wanted => "all",
            AllTables::FailedOnly => "failed",
        };
        let path = format!("/v1/requests/{id}/events?tables={wanted}");
        let asked = Asked { method: Method::GET, path: &path, body: Vec::new(), key: None };
        let (response, connection) = self.send(asked).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.refusal(status, &self.body(response, &connection).await?));
        }
        let mut body = response.into_body();
        let mut lines = Lines::default();
        loop {
            let frame = connection.pulse.patient(PATIENCE, body.frame()).await;
            let frame = frame.ok_or_else(|| self.silent())?;
            let frame = frame.transpose().map_err(|error| self.gone(&error))?;
            let Some(frame) = frame else { return Err(self.lost("it ended the answer")) };
            let Ok(data) = frame.into_data() else { continue };
            for told in lines.take(&data)? {
                let is_end = matches!(told, Told::End(_));
                tell(told);
                if is_end {
                    return Ok(());
                }
            }
        }
    }

    async fn ask<T: DeserializeOwned>(&self, asked: Asked<'_>) -> Result<T, ClientError> {
        self.answer(asked).await.map(|(answer, _)| answer)
    }

    /// What is answered, and the head of the answer.
    async fn answer<T: DeserializeOwned>(
        &self,
        asked: Asked<'_>,
    ) -> Result<(T, HeaderMap), ClientError> {
        let (head, body) = self.success(asked).await?;
        let answer = serde_json::from_slice(&body);
        answer
            .map(|answer| (answer, head))
            .map_err(|error| ClientError::Nonsense(error.to_string()))
    }

    /// The head and the body of an answer that is no refusal.
    async fn success(&self, asked: Asked<'_>) -> Result<(HeaderMap, Bytes), ClientError> {
        let (mut response, connection) = self.send(asked).await?;
        let status = response.status();
        let head = std::mem::take(response.headers_mut());
        let body = self.body(response, &connection).await?;
        if !status.is_success() {
            return Err(self.refusal(status, &body));
        }
        Ok((head, body))
    }

    /// All of an answer.
    async fn body(
        &self,
        response: Response<Incoming>,
        connection: &Connected,
    ) -> Result<Bytes, ClientError> {
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let body = connection.pulse.patient(PATIENCE, body.collect()).await;
        let body = body.ok_or_else(|| self.silent())?;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                return ClientError::Nonsense(format!("it has more than {ANSWER_BYTES_MAX} bytes"));
            }
            self.gone(&*error)
        })?;
        Ok(body.to_bytes())
    }

    /// What an answer says that is none of success.
    fn refusal(&self, status: StatusCode, body: &[u8]) -> ClientError {
        let refusal = Refusal::of(status, body);
        match refusal.kind {
            Some(ProblemKind::VersionMismatch) => {
                ClientError::VersionMismatch { endpoint: self.name(), theirs: refusal.detail }
            }
            _ => ClientError::Refused(refusal),
        }
    }

    async fn send(&self, asked: Asked<'_>) -> Result<(Response<Incoming>, Connected), ClientError> {
        let pulse = Pulse::now();
        let sending = async {
            let stream = self.target.connect(&pulse).await?;
            let (mut sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.gone(&error))?;
            let task = tokio::spawn(async move { drop(connection.await) });
            let connection = Connected { task, pulse: pulse.clone() };
            let request = asked.request(&self.target);
            let response = sender.send_request(request).await.map_err(|error| {
                if pulse.began_with_alert() {
                    return ClientError::SpeaksTls(self.name());
                }
                self.gone(&error)
            })?;
            Ok((response, connection))
        };
        let sent = pulse.patient(PATIENCE, sending).await;
        let (response, connection) = sent.ok_or_else(|| self.silent())??;
        let theirs = response.headers().get(PROTOCOL_HEADER);
        if theirs.is_none_or(|version| version.as_bytes() != PROTOCOL.to_string().as_bytes()) {
            let theirs = theirs.and_then(|version| version.to_str().ok()).unwrap_or("none");
            let endpoint = self.name();
            return Err(ClientError::VersionMismatch { endpoint, theirs: theirs.to_owned() });
        }
        Ok((response, connection))
    }

    fn name(&self) -> String {
        self.target.name()
    }

    fn silent(&self) -> ClientError {
        ClientError::Silent(self.name())
    }

    /// Why nothing more comes; one that wants a certificate says so in the middle of it.
    fn gone(&self, error: &(dyn Error + 'static)) -> ClientError {
        match connect::alert(error) {
            Some(alert) => ClientError::Untrusting { endpoint: self.name(), reason: alert },
            None => self.lost(&error.to_string()),
        }
    }

    fn lost(&self, reason: &str) -> ClientError {
        ClientError::Lost { endpoint: self.name(), reason: reason.to_owned() }
    }
}

/// What is asked for.
struct Asked<'a> {
    method: Method,
    path: &'a str,
    body: Vec<u8>,
    /// The idempotency key.
    key: Option<&'a str>,
}

impl Asked<'_> {
    fn request(self, target: &Target) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.path)
            .header("host", target.host())
            .header("content-type", "application/json")
            .header(PROTOCOL_HEADER, PROTOCOL);
        if let Some(key) = self.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(token) = target.token() {
            request = request.header("authorization", token);
        }
        request.body(Full::new(Bytes::from(self.body))).expect("the parts are valid")
    }
}

/// Whether a follower is told of every table, or of those that there are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllTables {
    /// Every one.
    Wanted,
    /// Those that failed.
    FailedOnly,
}

/// A connection that ends with its use.
struct Connected {
    task: tokio::task::JoinHandle<()>,
    pulse: Pulse,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::UnixListener;

    use super::*;

    /// What a client hears of `answer`, followed by zeros until it hangs up.
    fn heard_of(answer: &'static str, zeros: usize) -> (ClientError, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("daemon.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let daemon = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = BufReader::new(stream.try_clone().unwrap()).lines();
            while asked.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            stream.write_all(answer.as_bytes()).unwrap();
            for _ in 0..zeros.div_ceil(1 << 20) {
                // The client goes when it has heard enough.
                if stream.write_all(&[b'0'; 1 << 20]).is_err() {
                    break;
                }
            }
        });
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let client = Client::new(Endpoint::at(&path));
        let heard = runtime.block_on(client.get::<serde_json::Value>("/v1/ping")).unwrap_err();
        // What is left of the connection goes with it: only then the other end hears of that.
        drop((client, runtime));
        daemon.join().unwrap();
        (heard, path.display().to_string())
    }

    #[test]
    fn a_daemon_that_dies_before_its_answer_is_whole_is_not_called_absent() {
        let head = "HTTP/1.1 200 OK\r\nperfecta-protocol: 1\r\ncontent-length: 9\r\n\r\n";
        for answer in ["", "HTTP/1.1 200", head] {
            let (heard, path) = heard_of(answer, 0);
            let told = heard.to_string();
            assert!(told.starts_with(&format!("the daemon at {path} went away")), "{told}");
        }
    }

    #[test]
    fn an_answer_that_is_too_long_is_not_kept() {
        let head = "HTTP/1.1 200 OK\r\nperfecta-protocol: 1\r\nconnection: close\r\n\r\n";
        let (heard, _) = heard_of(head, ANSWER_BYTES_MAX + (1 << 20));
        let told = heard.to_string();
        assert!(told.contains("it has more than 67108864 bytes"), "{told}");
    }

    #[test]
    fn a_daemon_that_refuses_another_version_is_called_by_its_name() {
        let answer = concat!(
            "HTTP/1.1 400 Bad Request\r\nperfecta-protocol: 1\r\nconnection: close\r\n\r\n",
            r#"{"type":"version_mismatch","detail":"2","field":null,"remedy":null,"exit_code":13}"#,
        );
        let (heard, path) = heard_of(answer, 0);
        let told = heard.to_string();
        assert!(told.starts_with(&format!("the daemon at {path} speaks")), "{told}");
    }
}
