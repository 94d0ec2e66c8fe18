//! What is checked of every request before a page is: who asks, through which door, and how slowly.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{Caller, Token};
use crate::daemon::Control;
use crate::dashboard;
use crate::problem::{Problem, ProblemKind};
use crate::wire::PROTOCOL_HEADER;

/// A list of 100,000 key files with long paths.
pub(crate) const BODY_BYTES_MAX: usize = 16 << 20;

/// A body that takes longer is not waited for.
pub(crate) const BODY_TIME_MAX: Duration = Duration::from_secs(60);

/// Of all bodies that are being received, or are at hand.
pub(crate) const BODIES_BYTES_MAX: usize = 256 << 20;

/// So much of a body that nobody wants is taken all the same.
const UNWANTED_BYTES_MAX: usize = 64 << 10;

/// And waited for.
const UNWANTED_TIME_MAX: Duration = Duration::from_secs(5);

/// An answer that does not begin in so long is none: longer than the longest poll.
pub(crate) const ANSWER_TIME_MAX: Duration = Duration::from_secs(90);

/// The grain in which memory for bodies is given out.
const GRAIN_BYTES: usize = 1 << 10;

/// Through which door a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// The socket in the file system: a page of a browser gets there where somebody forwards a port.
    Local,
    /// A port of this machine: pages of a browser do.
    Plain,
    /// The same over TLS, to a name that the certificate has.
    Tls,
}

/// Memory for bodies.
#[derive(Debug, Clone)]
pub(crate) struct Bodies(Arc<Semaphore>);

impl Default for Bodies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BODIES_BYTES_MAX / GRAIN_BYTES)))
    }
}

/// All of a body, and the memory for it, which is held until the request is answered.
pub(crate) async fn receive(
    bodies: &Bodies,
    mut body: Body,
) -> Result<(Body, Vec<OwnedSemaphorePermit>), Problem> {
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        pass_over(body);
        return Err(too_large());
    }
    let received = timeout(BODY_TIME_MAX, receive_all(bodies, &mut body)).await;
    received.unwrap_or_else(|_| {
        let detail = format!("the body did not come within {} s", BODY_TIME_MAX.as_secs());
        Err(Problem::new(ProblemKind::TooSlow, detail, "send it at once"))
    })
}

/// Takes a body that nobody wants, beside what is answered: who closes a connection on which something
/// comes takes back what it answered. A large or a slow one is not waited for.
pub(crate) fn pass_over(mut body: Body) {
    if body.is_end_stream() {
        return;
    }
    let mut left = UNWANTED_BYTES_MAX;
    let passed_over = async move {
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(bytes) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // What did not come in time goes with the connection.
    tokio::spawn(timeout(UNWANTED_TIME_MAX, passed_over));
}

/// Says of a head why it is not let in.
///
/// # Errors
/// [`Problem`].
pub(crate) fn check(control: &Control, head: &Parts) -> Result<(), Problem> {
    let transport = *head.extensions.get().expect("every connection says by which door it came");
    let caller = *head.extensions.get().expect("every connection says who it is");
    let headers = &head.headers;
    check_form(head)?;
    check_host(transport, &head.uri, headers)?;
    check_origin(transport, head)?;
    // The page for people asks for the token, and tells nothing before.
    if caller == Caller::Remote && !dashboard::has(head.uri.path()) {
        check_token(control, headers)?;
    }
    check_rights(control, caller, &head.method, head.uri.path())
}

/// Headers that there may be once: others, on the way here, may go by the other one.
const SINGLE_HEADERS: [HeaderName; 6] = [
    header::HOST,
    header::ORIGIN,
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static(PROTOCOL_HEADER),
];

/// What HTTP forbids, and the crate below lets pass (RFC 9112, 3.2 and 6.1).
fn check_form(head: &Parts) -> Result<(), Problem> {
    let refused = |detail: String, remedy: &str| {
        Err(Problem::new(ProblemKind::Malformed, detail, remedy.to_owned()))
    };
    let is_doubled = |name: &&HeaderName| head.headers.get_all(*name).iter().count() > 1;
    if let Some(name) = SINGLE_HEADERS.iter().find(is_doubled) {
        return refused(format!("the header {name} is there twice"), "send it once");
    }
    if head.version == Version::HTTP_11 && !head.headers.contains_key(header::HOST) {
        return refused("there is no header Host".to_owned(), "send it, such as `Host: localhost`");
    }
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if is_chunked(coding) => Ok(()),
        _ => refused(
            "a body with another Transfer-Encoding than chunked is not read".to_owned(),
            "send its bytes as they are, at once or in chunks",
        ),
    }
}

/// What a client takes this daemon for: the name in the address that it asks for, where there is one, and
/// the header's; nothing, where it says neither.
fn hosts<'h>(uri: &'h Uri, headers: &'h HeaderMap) -> impl Iterator<Item = &'h str> {
    let address = uri.authority().map(Authority::as_str);
    let host = headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    let nothing = (address.is_none() && host.is_none()).then_some("");
    address.into_iter().chain(host).chain(nothing)
}

/// A page of another name that was made to mean this machine has that name here.
fn check_host(transport: Transport, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = hosts(uri, headers);
    let is_other = |host: &&str| !is_own_host(transport, host, headers);
    match hosts.find(is_other) {
        None => Ok(()),
        Some(host) => {
            let detail = format!("{host:?} is no name of this machine");
            let remedy = "ask for an address, or for localhost";
            Err(Problem::new(ProblemKind::Forbidden, detail, remedy))
        }
    }
}

fn is_own_host(transport: Transport, host: &str, headers: &HeaderMap) -> bool {
    let authority = host.parse::<Authority>().ok();
    let name = authority.as_ref().map(|authority| authority.host());
    match transport {
        // A browser asks for a name that the certificate has.
        Transport::Tls => true,
        Transport::Plain => name.is_some_and(is_this_machine),
        Transport::Local if is_of_a_page(headers) => name.is_some_and(is_this_machine),
        // What a page only reads carries no sign of it: browsers say where they ask from when they are
        // sure of whom they ask.
        Transport::Local => name.is_none_or(|name| is_this_machine(name) || !is_in_dns(name)),
    }
}

fn is_this_machine(name: &str) -> bool {
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_number = literal.unwrap_or(name).parse::<std::net::IpAddr>().is_ok();
    is_number || name.eq_ignore_ascii_case("localhost")
}

/// Whether anybody may have made it mean this machine. A single word is nobody's there.
fn is_in_dns(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    name.contains('.') && name.bytes().all(is_letter)
}

/// Whether a browser says that it asks for a page of its.
fn is_of_a_page(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| *name == header::ORIGIN || name.as_str().starts_with("sec-fetch-"))
}

/// A page of another origin may send a request, though it never reads the answer.
fn check_origin(transport: Transport, head: &Parts) -> Result<(), Problem> {
    let Some(origin) = head.headers.get(header::ORIGIN) else { return Ok(()) };
    if head.method == Method::GET || head.method == Method::HEAD {
        return Ok(());
    }
    let scheme = match transport {
        Transport::Tls => "https",
        Transport::Local | Transport::Plain => "http",
    };
    let host = hosts(&head.uri, &head.headers).next().unwrap_or_default();
    if origin.as_bytes().eq_ignore_ascii_case(format!("{scheme}://{host}").as_bytes()) {
        return Ok(());
    }
    let detail = "a page of another origin may change nothing here";
    Err(Problem::new(ProblemKind::Forbidden, detail, "ask from the daemon's own page"))
}

fn check_token(control: &Control, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(token) = control.terms.access.tcp.as_ref().and_then(|tcp| tcp.token.as_ref()) else {
        return Ok(());
    };
    let header = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let (detail, remedy) = match header.and_then(Token::word_in) {
        Some(word) if token.is(word) => return Ok(()),
        Some(_) => (
            "the request carries another token than the daemon's",
            "give the one in the file that `perfecta serve --token-file` names",
        ),
        None => (
            "the request carries no token",
            "`perfecta client` takes --token-file; others send it as `Authorization: Bearer`",
        ),
    };
    Err(Problem::new(ProblemKind::Unauthorized, detail, remedy))
}

/// A user who is allowed has its own requests, and may see how the daemon does.
fn check_rights(
    control: &Control,
    caller: Caller,
    method: &Method,
    path: &str,
) -> Result<(), Problem> {
    if !matches!(caller, Caller::User(_)) {
        return Ok(());
    }
    if let Some(one) = path.strip_prefix("/v1/requests/") {
        let id = one.split('/').next().unwrap_or_default();
        let owner = control.registry.lock().find(id)?.owner;
        return if caller.may_see(owner) { Ok(()) } else { Err(Problem::no_such_request(id)) };
    }
    let is_seen = *method == Method::GET && SEEN_BY_USERS.contains(&path);
    if path == "/v1/requests" || is_seen {
        return Ok(());
    }
    let detail = "this is for the daemon's own user";
    Err(Problem::new(ProblemKind::Forbidden, detail, "ask that user"))
}

const SEEN_BY_USERS: [&str; 5] = ["/v1/ping", "/v1/stats", "/v1/config", "/healthz", "/readyz"];

async fn receive_all(
    bodies: &Bodies,
    body: &mut Body,
) -> Result<(Body, Vec<OwnedSemaphorePermit>), Problem> {
    let (mut bytes, mut permits) = (Vec::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Problem::new(ProblemKind::Malformed, error.to_string(), "send all of the body")
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > BODY_BYTES_MAX {
            return Err(too_large());
        }
        let grains = (bytes.len() + data.len()).div_ceil(GRAIN_BYTES);
        let more = grains - bytes.len().div_ceil(GRAIN_BYTES);
        let permit = Arc::clone(&bodies.0).try_acquire_many_owned(more as u32).map_err(|_| {
            let detail = "other clients are sending as much as can be held";
            Problem::new(ProblemKind::Busy, detail, "try again")
        })?;
        permits.push(permit);
        bytes.extend_from_slice(&data);
    }
    Ok((bytes.into(), permits))
}

fn too_large() -> Problem {
    let detail = format!("the body has more than {BODY_BYTES_MAX} bytes");
    Problem::new(ProblemKind::TooLarge, detail, "name a directory instead")
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use futures_util::stream::{self, StreamExt};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_name_that_was_made_to_mean_this_machine_is_refused_on_a_plain_port() {
        let check = |host: &'static str, is_fine: bool| {
            let headers = headers(&[("host", host)]);
            let uri = Uri::from_static("/v1/ping");
            let checked = check_host(Transport::Plain, &uri, &headers);
            assert_eq!(checked.is_ok(), is_fine, "{host}: {checked:?}");
            assert!(check_host(Transport::Tls, &uri, &headers).is_ok());
        };
        for host in ["127.0.0.1:80", "127.0.0.1", "[::1]:8080", "localhost:1", "LOCALHOST"] {
            check(host, true);
        }
        for host in ["evil.example", "evil.example:80", "localhost.evil", "127.0.0.1.evil", "", "@"]
        {
            check(host, false);
        }
        let nothing = check_host(Transport::Plain, &Uri::from_static("/"), &HeaderMap::new());
        assert!(nothing.is_err());
    }

    /// Whoever forwards a port to the socket lets the pages of browsers in.
    #[test]
    fn a_name_that_was_made_to_mean_this_machine_is_refused_on_the_socket_as_well() {
        let check = |host: &'static str, is_fine: bool, is_fine_of_a_page: bool| {
            let check = |more: &[(&'static str, &'static str)], is_fine: bool| {
                let headers = headers(&[&[("host", host)], more].concat());
                let checked = check_host(Transport::Local, &Uri::from_static("/"), &headers);
                assert_eq!(checked.is_ok(), is_fine, "{host} {more:?}: {checked:?}");
            };
            check(&[], is_fine);
            for sign in [("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")] {
                check(&[sign], is_fine_of_a_page);
            }
        };
        for host in ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080"] {
            check(host, true, true);
        }
        // What programs send that have nothing to ask for.
        for host in ["x", "d:80", "", "%2Frun%2Fd.sock"] {
            check(host, true, false);
        }
        for host in ["evil.example:8080", "evil.example", "localhost.evil", "127.0.0.1.evil:80"] {
            check(host, false, false);
        }
        let check = |headers: &HeaderMap| {
            check_host(Transport::Local, &Uri::from_static("/"), headers).is_ok()
        };
        assert!(check(&HeaderMap::new()));
        assert!(!check(&headers(&[("sec-fetch-site", "same-origin")])));
    }

    #[test]
    fn a_page_of_another_origin_changes_nothing() {
        let head = |method: &Method, headers: HeaderMap| {
            let (mut head, ()) = Request::builder().method(method).body(()).unwrap().into_parts();
            head.headers = headers;
            head
        };
        let check = |transport, method: Method, origin: &'static str, is_fine: bool| {
            let headers = headers(&[("host", "127.0.0.1:80"), ("origin", origin)]);
            let checked = check_origin(transport, &head(&method, headers));
            assert_eq!(checked.is_ok(), is_fine, "{method} {origin}: {checked:?}");
        };
        check(Transport::Plain, Method::POST, "http://127.0.0.1:80", true);
        check(Transport::Tls, Method::POST, "https://127.0.0.1:80", true);
        for origin in ["http://evil.example", "null", "https://127.0.0.1:80", "http://127.0.0.1"] {
            check(Transport::Plain, Method::POST, origin, false);
            check(Transport::Plain, Method::DELETE, origin, false);
            check(Transport::Plain, Method::GET, origin, true);
        }
        let none = head(&Method::POST, headers(&[("host", "a")]));
        assert!(check_origin(Transport::Plain, &none).is_ok());
    }

    #[test]
    fn a_body_that_does_not_end_is_given_up_and_its_memory_given_back() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let bodies = Bodies(Arc::new(Semaphore::new(1)));
        let first = stream::once(async { Ok::<_, std::convert::Infallible>(Bytes::from("{")) });
        let endless = Body::from_stream(first.chain(stream::pending()));
        let refused = runtime.block_on(receive(&bodies, endless)).unwrap_err();
        assert_eq!(refused.kind, ProblemKind::TooSlow);
        assert_eq!(bodies.0.available_permits(), 1);
    }

    #[test]
    fn bodies_are_bounded_one_by_one_and_together() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        // In two pieces, whose length nobody tells.
        let receive = |bodies: &Bodies, bytes: Vec<u8>| {
            let pieces = [bytes[..bytes.len() / 2].to_vec(), bytes[bytes.len() / 2..].to_vec()];
            let pieces = stream::iter(pieces.map(Ok::<_, std::convert::Infallible>));
            runtime.block_on(receive(bodies, Body::from_stream(pieces)))
        };
        let bodies = Bodies(Arc::new(Semaphore::new(2)));
        let (body, held) = receive(&bodies, vec![7; GRAIN_BYTES + 1]).unwrap();
        let bytes = runtime.block_on(body.collect()).unwrap().to_bytes();
        assert_eq!(bytes, vec![7; GRAIN_BYTES + 1]);
        assert_eq!(receive(&bodies, vec![7]).unwrap_err().kind, ProblemKind::Busy);
        drop(held);
        assert!(receive(&bodies, vec![7]).is_ok());
        let refused = receive(&Bodies::default(), vec![7; BODY_BYTES_MAX + 1]).unwrap_err();
        assert_eq!(refused.kind, ProblemKind::TooLarge);
    }
}
