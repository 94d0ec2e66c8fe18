//! The daemon's pages.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::access::{self, AccessReport, Caller};
use crate::daemon::{Control, MachineReport, Phase};
use crate::follow;
use crate::problem::{Problem, ProblemKind};
use crate::record::TablesWanted;
use crate::spec::JobSpec;
use crate::wire::{Accepted, Items, PROTOCOL, PROTOCOL_HEADER, Ping, RequestStatus};

/// Items of a page.
const ITEMS_MAX: usize = 10_000;

/// How long a poll may wait; a client asks again.
const WAIT_MAX: Duration = Duration::from_secs(60);

type Shared = State<Arc<Control>>;

/// All pages.
pub(crate) fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route("/v1/requests", post(submit).get(list))
        .route("/v1/requests/{id}", get(status).delete(forget))
        .route("/v1/requests/{id}/items", get(items))
        .route("/v1/requests/{id}/wait", get(wait))
        .route("/v1/requests/{id}/events", get(events))
        .route("/v1/requests/{id}/cancel", post(cancel))
        .route("/v1/ping", get(ping))
        .route("/v1/stats", get(stats))
        .route("/v1/config", get(config))
        .route("/v1/drain", post(drain))
        .route("/v1/shutdown", post(shutdown))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(async || {
            Problem::new(ProblemKind::NotFound, "there is no such page", "see docs/api.md")
        })
        // Bodies are bounded where they are received.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(Arc::clone(&control), access::check))
        .layer(middleware::from_fn(check_protocol))
        .with_state(control)
}

/// Refuses clients of another version, and tells all of ours.
async fn check_protocol(request: Request, next: Next) -> Response {
    let spoken = request.headers().get(PROTOCOL_HEADER);
    let is_ours =
        spoken.is_none_or(|version| version.as_bytes() == PROTOCOL.to_string().as_bytes());
    let mut response = if is_ours {
        next.run(request).await
    } else {
        let detail =
            format!("the daemon speaks version {PROTOCOL} of the protocol, the client another");
        Problem::new(ProblemKind::VersionMismatch, detail, "use programs of one version")
            .into_response()
    };
    response.headers_mut().insert(PROTOCOL_HEADER, HeaderValue::from(PROTOCOL));
    response
}

async fn submit(
    State(control): Shared,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let spec = parse(&body)?;
    let key = headers.get("idempotency-key").map(|key| {
        let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= 255);
        key.map(ToOwned::to_owned).ok_or_else(|| {
            let reason = "is no word of up to 255 characters";
            Problem::field("Idempotency-Key", reason, "send a random one, such as a UUID")
        })
    });
    let record = control.submit(caller, spec, key.transpose()?)?;
    Ok((StatusCode::ACCEPTED, Json(Accepted { id: record.id.clone() })))
}

/// The request in a body.
pub(crate) fn parse(body: &[u8]) -> Result<JobSpec, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let spec = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        let detail = error.inner().to_string();
        let problem =
            Problem::new(ProblemKind::Malformed, detail, "see docs/api.md for its fields");
        Problem { field: Some(field).filter(|field| field != "."), ..problem }
    })?;
    json.end().map_err(|error| {
        Problem::new(ProblemKind::Malformed, error.to_string(), "send one JSON object")
    })?;
    Ok(spec)
}

async fn list(
    State(control): Shared,
    Extension(caller): Extension<Caller>,
) -> Json<Vec<RequestStatus>> {
    let registry = control.registry.lock();
    let seen = registry.iter().filter(|record| caller.may_see(record.owner));
    Json(seen.map(|record| record.status()).collect())
}

async fn status(
    State(control): Shared,
    Path(id): Path<String>,
) -> Result<Json<RequestStatus>, Problem> {
    let record = control.registry.lock().find(&id)?;
    Ok(Json(record.status()))
}

async fn forget(State(control): Shared, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    control.registry.lock().forget(&id)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    offset: usize,
    #[serde(default = "page_limit")]
    limit: usize,
}

const fn page_limit() -> usize {
    1_000
}

/// What stands behind the question mark.
type Asked<T> = Result<Query<T>, axum::extract::rejection::QueryRejection>;

fn asked<T>(query: Asked<T>) -> Result<T, Problem> {
    query.map(|Query(value)| value).map_err(|error| {
        Problem::new(
            ProblemKind::Malformed,
            error.body_text(),
            "see docs/api.md for its parameters",
        )
    })
}

async fn items(
    State(control): Shared,
    Path(id): Path<String>,
    query: Asked<Page>,
) -> Result<Json<Items>, Problem> {
    let page = asked(query)?;
    let record = control.registry.lock().find(&id)?;
    Ok(Json(record.items(page.offset, page.limit.min(ITEMS_MAX))))
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
    let record = control.registry.lock().find(&id)?;
    let longest = wait.timeout_ms.map_or(WAIT_MAX, Duration::from_millis).min(WAIT_MAX);
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
    record.cancel.cancel();
    Ok((StatusCode::ACCEPTED, Json(record.status())))
}

async fn ping(State(control): Shared) -> Json<Ping> {
    Json(control.ping())
}

#[derive(Serialize)]
struct Stats {
    #[serde(flatten)]
    load: Ping,
    requests_kept: usize,
    /// Items that are in no state, or in two, over all requests: 0, or the accounts are wrong.
    ledger_difference: i64,
    machine: MachineReport,
}

async fn stats(State(control): Shared) -> Json<Stats> {
    let machine = control.machine_report().await;
    let registry = control.registry.lock();
    let progress = registry.iter().filter_map(|record| record.status().progress);
    let ledger_difference = progress.map(|progress| progress.difference().abs()).sum();
    let requests_kept = registry.iter().count();
    drop(registry);
    Json(Stats { load: control.ping(), requests_kept, ledger_difference, machine })
}

#[derive(Serialize)]
struct Config {
    version: &'static str,
    protocol: u32,
    threads: usize,
    files_in_flight_max: usize,
    io_depth: usize,
    memory_bytes_max: u64,
    #[serde(flatten)]
    access: AccessReport,
}

async fn config(State(control): Shared) -> Json<Config> {
    let bounds = control.bounds;
    Json(Config {
        version: env!("CARGO_PKG_VERSION"),
        protocol: PROTOCOL,
        threads: bounds.threads.get(),
        files_in_flight_max: bounds.files_in_flight_max.get(),
        io_depth: bounds.io_depth.get(),
        memory_bytes_max: bounds.memory_bytes_max,
        access: AccessReport::of(&control.access),
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
        Phase::Serving => Ok("ready\n"),
        Phase::Draining | Phase::Ending | Phase::Gone => {
            let detail = "the daemon ends";
            Err(Problem::new(ProblemKind::Draining, detail, "try again after its restart"))
        }
    }
}

async fn metrics(State(control): Shared) -> Response {
    let machine = control.machine_report().await;
    let page = control.counts.page(&control.ping(), &machine);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(axum::http::header::CONTENT_TYPE, kind)], page).into_response()
}

/// What is wrong with each query that there is, if an address is taken for it.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_queries(uri: &axum::http::Uri) -> [Option<Problem>; 3] {
    [
        asked::<Page>(Query::try_from_uri(uri)).err(),
        asked::<Wait>(Query::try_from_uri(uri)).err(),
        asked::<Events>(Query::try_from_uri(uri)).err(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_no_request_is_told_where_it_is_not() {
        let check = |body: &str, field: Option<&str>, detail: &str| {
            let problem = parse(body.as_bytes()).unwrap_err();
            assert_eq!(problem.field.as_deref(), field, "{problem:?}");
            assert!(problem.detail.contains(detail), "{problem:?}");
        };
        check("", None, "EOF");
        check(r#"{"inputs": {"files": ["/a"]}, "output": null} x"#, None, "trailing");
        let with = |change: &str| {
            format!(r#"{{"inputs": {{"files": ["/a"]}}, "output": null, {change}}}"#)
        };
        check(&with(r#""keys": {"size": "48"}"#), Some("keys.size"), "48");
        check(&with(r#""share": {"weight": 0}"#), Some("share.weight"), "nonzero");
        check(&with(r#""search": {"hsah": "auto"}"#), Some("search.hsah"), "hsah");
    }
}
