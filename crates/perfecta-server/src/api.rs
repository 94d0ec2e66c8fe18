//! The daemon's pages.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Json, Router};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tracing::debug;
use utoipa::ToSchema;

use crate::access::{self, ANSWER_TIME_MAX, AccessReport, Caller};
use crate::answers::Question;
use crate::body::field_of;
use crate::daemon::{Control, MachineReport, Phase};
use crate::limits::{FixedLimits, LIMITS};
use crate::overview::LIMIT_MAX;
use crate::problem::{PROBLEM_TYPE, Problem, ProblemKind, shortened};
use crate::record::TablesWanted;
use crate::wire::{Accepted, Items, NEXT_HEADER, PROTOCOL, PROTOCOL_HEADER, Ping, RequestStatus};
use crate::{body, dashboard, follow, openapi, overview};

/// What is asked for most often, by thousands a second: it is answered without a search for its page,
/// which would be a fifth of what it costs.
const PING: &str = "/v1/ping";

/// Who posts there sends a body; no other page takes one.
const REQUESTS: &str = "/v1/requests";

/// A UUID has 36.
pub(crate) const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// Items of a page.
pub(crate) const ITEMS_MAX: usize = 10_000;

/// How long a poll may wait; a client asks again.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

pub(crate) type Shared = State<Arc<Control>>;

/// All pages, each documented in `openapi.rs`.
pub(crate) fn pages() -> Vec<(&'static str, MethodRouter<Arc<Control>>)> {
    let pages = vec![
        // Bodies are bounded where they are received.
        (REQUESTS, post(submit).layer(DefaultBodyLimit::disable()).get(list)),
        ("/v1/requests/{id}", get(status).delete(forget)),
        ("/v1/requests/{id}/items", get(items)),
        ("/v1/requests/{id}/wait", get(wait)),
        ("/v1/requests/{id}/events", get(events)),
        ("/v1/requests/{id}/cancel", post(cancel)),
        (PING, get(ping)),
        ("/v1/stats", get(stats)),
        ("/v1/config", get(config)),
        ("/v1/drain", post(drain)),
        ("/v1/shutdown", post(shutdown)),
        ("/v1/openapi.json", get(async || Json(openapi::document()))),
        ("/healthz", get(async || "ok\n")),
        ("/readyz", get(ready)),
        ("/metrics", get(metrics)),
    ];
    pages.into_iter().chain(overview::pages()).collect()
}

/// The pages, and all that holds for each of them.
///
/// A layer of the router's would cost every request a copy of everything below it.
pub(crate) struct Api {
    control: Arc<Control>,
    router: Router,
}

impl Api {
    pub(crate) fn new(control: Arc<Control>) -> Self {
        let pages = pages().into_iter().chain(dashboard::pages());
        let router = pages.fold(Router::new(), |router, (path, page)| router.route(path, page));
        let router = router.fallback(async || {
            Problem::new(ProblemKind::NotFound, "there is no such page", "see docs/api.md")
        });
        Self { router: router.with_state(Arc::clone(&control)), control }
    }

    /// Answers a request that says who asks and by which door it came.
    pub(crate) async fn answer(&self, request: Request) -> Response {
        let question = Question::now(&request);
        let page = self.page(request).await;
        let mut response = page.map_or_else(Problem::into_response, as_problem);
        response.headers_mut().insert(PROTOCOL_HEADER, HeaderValue::from(PROTOCOL));
        question.tell(&self.control.counts, &response);
        response
    }

    async fn page(&self, request: Request) -> Result<Response, Problem> {
        let (head, body) = request.into_parts();
        let checked =
            check_protocol(&head.headers).and_then(|()| access::check(&self.control, &head));
        if let Err(problem) = checked {
            access::pass_over(body);
            return Err(problem);
        }
        let (path, method) = (head.uri.path(), &head.method);
        // Whether there is such a page, and by which method, is said without a body.
        let (body, held) = if path == REQUESTS && method == Method::POST {
            access::receive(&self.control.connections.bodies, body).await?
        } else {
            access::pass_over(body);
            (Body::empty(), Vec::new())
        };
        if path == PING && method == Method::GET {
            return Ok(ping(State(Arc::clone(&self.control))).await.into_response());
        }
        let request = Request::from_parts(head, body);
        let answer = TowerToHyperService::new(self.router.clone()).call(request);
        let answer = timeout(ANSWER_TIME_MAX, answer).await.map_err(|_| {
            let detail = format!("there was no answer in {} s", ANSWER_TIME_MAX.as_secs());
            Problem::new(ProblemKind::Busy, detail, "try again")
        })?;
        drop(held);
        Ok(answer.unwrap_or_else(|never| match never {}))
    }
}

/// Says in our words what was refused before it came to a page.
fn as_problem(response: Response) -> Response {
    let kind = match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => ProblemKind::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => ProblemKind::TooLarge,
        StatusCode::BAD_REQUEST => ProblemKind::Malformed,
        _ => return response,
    };
    let kinds = response.headers().get(CONTENT_TYPE);
    if kinds.is_some_and(|told| told.as_bytes() == PROBLEM_TYPE.as_bytes()) {
        return response;
    }
    let allowed = response.headers().get(ALLOW).cloned();
    let problem = Problem::new(kind, kind.meaning(), "see docs/api.md for the pages");
    let mut response = problem.into_response();
    if let Some(allowed) = allowed {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

/// Refuses clients of another version.
fn check_protocol(headers: &HeaderMap) -> Result<(), Problem> {
    let spoken = headers.get(PROTOCOL_HEADER);
    if spoken.is_none_or(|version| version.as_bytes() == PROTOCOL.to_string().as_bytes()) {
        return Ok(());
    }
    let detail =
        format!("the daemon speaks version {PROTOCOL} of the protocol, the client another");
    Err(Problem::new(ProblemKind::VersionMismatch, detail, "use programs of one version"))
}

async fn submit(
    State(control): Shared,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    check_encoding(&headers)?;
    let spec = body::parse(&body)?;
    let key = headers.get("idempotency-key").map(|key| {
        let is_word = |key: &&str| {
            (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len())
                && key.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let key = key.to_str().ok().filter(is_word);
        key.map(ToOwned::to_owned).ok_or_else(|| {
            let reason = "is no word of up to 255 characters";
            Problem::field("Idempotency-Key", reason, "send a random one, such as a UUID")
        })
    });
    let record = control.submit(caller, spec, key.transpose()?)?;
    record.until_kept().await?;
    debug!(request = record.id, "handed in");
    Ok((StatusCode::ACCEPTED, Json(Accepted { id: record.id.clone() })))
}

/// Refuses a body that would have to be unpacked.
fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let is_packed =
        |encoding: &&HeaderValue| !encoding.as_bytes().eq_ignore_ascii_case(b"identity");
    let Some(encoding) = headers.get_all(CONTENT_ENCODING).iter().find(is_packed) else {
        return Ok(());
    };
    let detail = format!("a body with Content-Encoding {encoding:?} is not read");
    Err(Problem::new(ProblemKind::Encoded, detail, "send it as it is, without that header"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Requests {
    #[serde(default)]
    after: u64,
    #[serde(default = "page_limit")]
    limit: usize,
}

async fn list(
    State(control): Shared,
    Extension(caller): Extension<Caller>,
    query: Asked<Requests>,
) -> Result<Response, Problem> {
    let page = asked(query)?;
    at_most("limit", page.limit as u64, LIMIT_MAX as u64)?;
    let (records, next) = control.registry.lock().page(caller, page.after, page.limit);
    // Workers wait for the registry: what is told of so many is put together without it.
    let all: Vec<RequestStatus> = records.iter().map(|record| record.status()).collect();
    let mut response = Json(all).into_response();
    if let Some(next) = next {
        response.headers_mut().insert(NEXT_HEADER, HeaderValue::from(next));
    }
    Ok(response)
}

async fn status(
    State(control): Shared,
    Path(id): Path<String>,
) -> Result<Json<RequestStatus>, Problem> {
    let record = control.registry.lock().find(&id)?;
    Ok(Json(record.status()))
}

async fn forget(State(control): Shared, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    control.forget(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    offset: usize,
    #[serde(default = "page_limit")]
    limit: usize,
    #[serde(default)]
    tables: TablesWanted,
}

/// Requests or items of a page, where nothing is said.
const fn page_limit() -> usize {
    1_000
}

/// What stands behind the question mark.
pub(crate) type Asked<T> = Result<Query<T>, axum::extract::rejection::QueryRejection>;

pub(crate) fn asked<T>(query: Asked<T>) -> Result<T, Problem> {
    query.map(|Query(value)| value).map_err(|error| {
        let detail = error.body_text();
        let field = parameter_of(&detail).map(|name| shortened(&name).into_owned());
        let remedy = "see docs/api.md for its parameters";
        let problem = Problem::new(ProblemKind::Malformed, shortened(&detail), remedy);
        Problem { field, ..problem }
    })
}

/// The parameter that an error of the framework is about, from its words.
fn parameter_of(detail: &str) -> Option<String> {
    let (_, error) = detail.split_once("query string: ")?;
    let (place, error) = error.split_once(": ").map_or((None, error), |(p, e)| (Some(p), e));
    field_of(place.map(str::to_owned), error)
}

pub(crate) fn at_most(parameter: &str, value: u64, max: u64) -> Result<(), Problem> {
    if value <= max {
        return Ok(());
    }
    let reason = format!("is {value}, more than {max}");
    Err(Problem::field(parameter, reason, "ask for less, and again for the rest"))
}

async fn items(
    State(control): Shared,
    Path(id): Path<String>,
    query: Asked<Page>,
) -> Result<Json<Items>, Problem> {
    let page = asked(query)?;
    at_most("limit", page.limit as u64, ITEMS_MAX as u64)?;
    let record = control.registry.lock().find(&id)?;
    Ok(Json(record.items(page.tables, page.offset, page.limit)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    #[serde(default)]
    timeout_ms: Option<u64>,
}

async fn wait(
    State(control): Shared,
    Path(id): Path<String>,
    query: Asked<Wait>,
) -> Result<Json<RequestStatus>, Problem> {
    let wait = asked(query)?;
    at_most("timeout_ms", wait.timeout_ms.unwrap_or_default(), WAIT_MAX.as_millis() as u64)?;
    let record = control.registry.lock().find(&id)?;
    let longest = wait.timeout_ms.map_or(WAIT_MAX, Duration::from_millis);
    // Over or not: the status says which.
    let _ = timeout(longest, record.until_ended()).await;
    Ok(Json(record.status()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Events {
    #[serde(default)]
    tables: TablesWanted,
}

async fn events(
    State(control): Shared,
    Path(id): Path<String>,
    query: Asked<Events>,
) -> Result<Response, Problem> {
    let wanted = asked(query)?.tables;
    let record = control.registry.lock().find(&id)?;
    Ok(follow::answer(record, wanted))
}

async fn cancel(
    State(control): Shared,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<RequestStatus>), Problem> {
    let record = control.registry.lock().find(&id)?;
    control.cancel(&record).await;
    Ok((StatusCode::ACCEPTED, Json(record.status())))
}

async fn ping(State(control): Shared) -> Json<Ping> {
    Json(control.ping())
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Stats {
    #[serde(flatten)]
    load: Ping,
    requests_kept: usize,
    /// Items that are in no state, or in two, over all requests: 0, or the accounts are wrong.
    ledger_difference: i64,
    machine: MachineReport,
}

async fn stats(State(control): Shared) -> Json<Stats> {
    let machine = control.machine_report().await;
    let requests_kept = control.registry.lock().len();
    let (load, ledger_difference) = (control.ping(), control.ledger_difference());
    Json(Stats { load, requests_kept, ledger_difference, machine })
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Config {
    version: &'static str,
    protocol: u32,
    threads: usize,
    files_in_flight_max: usize,
    io_depth: usize,
    memory_bytes_max: u64,
    /// Those that have workers.
    nodes: Vec<usize>,
    limits: FixedLimits,
    access: AccessReport,
}

async fn config(State(control): Shared) -> Json<Config> {
    let bounds = control.terms.bounds;
    Json(Config {
        version: env!("CARGO_PKG_VERSION"),
        protocol: PROTOCOL,
        threads: bounds.threads.get(),
        files_in_flight_max: bounds.files_in_flight_max.get(),
        io_depth: bounds.io_depth.get(),
        memory_bytes_max: bounds.memory_bytes_max,
        nodes: control.terms.nodes.iter().copied().collect(),
        limits: LIMITS,
        access: AccessReport::of(&control.terms.access),
    })
}

async fn drain(State(control): Shared) -> (StatusCode, Json<Ping>) {
    control.advance(Phase::Draining);
    (StatusCode::ACCEPTED, Json(control.ping()))
}

async fn shutdown(State(control): Shared) -> (StatusCode, Json<Ping>) {
    control.advance(Phase::Ending);
    (StatusCode::ACCEPTED, Json(control.ping()))
}

async fn ready(State(control): Shared) -> Result<&'static str, Problem> {
    match control.phase() {
        Phase::Serving => match control.journal().and_then(|journal| journal.refuses) {
            None => Ok("ready\n"),
            Some(reason) => Err(Problem::no_room(&format!("requests cannot be kept: {reason}"))),
        },
        Phase::Draining | Phase::Ending | Phase::Gone => {
            let detail = "the daemon ends";
            Err(Problem::new(ProblemKind::Draining, detail, "try again after its restart"))
        }
    }
}

async fn metrics(State(control): Shared) -> Response {
    let machine = control.machine_report().await;
    let (load, difference) = (control.ping(), control.ledger_difference());
    let page = control.counts.page(&load, difference, &machine, control.journal().as_ref());
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(axum::http::header::CONTENT_TYPE, kind)], page).into_response()
}

/// What is wrong with each query that there is, if an address is taken for it.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_queries(uri: &axum::http::Uri) -> [Option<Problem>; 4] {
    [
        asked::<Requests>(Query::try_from_uri(uri)).err(),
        asked::<Page>(Query::try_from_uri(uri)).err(),
        asked::<Wait>(Query::try_from_uri(uri)).err(),
        asked::<Events>(Query::try_from_uri(uri)).err(),
    ]
}

#[cfg(test)]
pub(crate) mod tests {
    use std::num::NonZeroUsize;

    use perfecta_io::Backend;
    use perfecta_io::pool::GuardPages;
    use perfecta_io::topology::NodeSelection;
    use perfecta_jobs::MachineOptions;

    use super::*;
    use crate::access::Access;
    use crate::clock::SharedClock;
    use crate::clock::tests::any;
    use crate::daemon::ServeOptions;
    use crate::endpoint::Endpoint;
    use crate::journal::Journal;
    use crate::metrics::StageTimes;
    use crate::spec::Bounds;

    /// A control thread's knowledge, without a session behind it.
    pub(crate) fn control() -> Arc<Control> {
        control_with(Journal::none())
    }

    /// The same, with a journal.
    pub(crate) fn control_with(journal: Journal) -> Arc<Control> {
        control_of(journal, any())
    }

    /// The same, without a journal, and with a clock.
    pub(crate) fn control_by(clock: SharedClock) -> Arc<Control> {
        control_of(Journal::none(), clock)
    }

    fn control_of(journal: Journal, clock: SharedClock) -> Arc<Control> {
        let (orders, _) = std::sync::mpsc::channel();
        let options = ServeOptions {
            endpoint: Endpoint::at("unused"),
            machine: MachineOptions {
                backend: Backend::Blocking,
                workers: NonZeroUsize::MIN,
                io_threads: NonZeroUsize::MIN,
                nodes: NodeSelection::All,
                memory_bytes_max: Bounds::SMALL.memory_bytes_max,
                guards: GuardPages::default(),
                roots: None,
            },
            state: None,
            idle_exit: None,
            crash_directory: None,
            bounds: Bounds::SMALL,
            access: Access::default(),
            grace: Duration::ZERO,
            was_asked_to_end: Arc::default(),
            keep: Duration::MAX,
            threads_beside: 0,
            memory_peak_bytes: || None,
        };
        let stages = Arc::new(StageTimes::new(1));
        Arc::new(Control::new(&options, 1, [0].into(), stages, orders, journal, clock))
    }
    #[test]
    fn a_query_that_is_none_is_told_by_its_parameter() {
        let check = |query: &str, parameter: &str| {
            let uri = format!("/v1/requests?{query}").parse().unwrap();
            let [refused, ..] = read_queries(&uri);
            assert_eq!(refused.unwrap().field.as_deref(), Some(parameter), "{query}");
        };
        check("limits=1", "limits");
        check("limit=many", "limit");
        check("after=1&after=2", "after");
    }

    #[test]
    fn a_body_that_is_packed_is_refused_by_the_name_of_its_encoding() {
        let check = |encoding: &'static str| {
            let encoding = HeaderValue::from_static(encoding);
            check_encoding(&[(CONTENT_ENCODING, encoding)].into_iter().collect())
        };
        let refused = check("gzip").unwrap_err();
        assert_eq!(refused.kind.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(refused.detail.contains("gzip"), "{refused:?}");
        assert!(check("identity").is_ok() && check_encoding(&HeaderMap::new()).is_ok());
    }
}
