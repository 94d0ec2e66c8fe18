//! What is kept of every answer: a count, and a line for whoever wants to see each.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use perfecta_jobs::{Clock, SystemClock};
use tracing::debug;

use crate::daemon::Control;
use crate::problem::ProblemKind;

/// Counts an answer and tells of it once its head is known; a stream of events goes on after that.
pub(crate) async fn keep(
    State(control): State<Arc<Control>>,
    request: Request,
    next: Next,
) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let begun = SystemClock.now();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let problem = response.extensions().get::<ProblemKind>().copied();
    control.counts.answered(status, problem);
    let seconds = (SystemClock.now() - begun).as_secs_f64();
    let (method, problem) = (method.as_str(), problem.map(ProblemKind::name));
    match request_of(&path) {
        Some(request) => debug!(request, method, path, status, problem, seconds, "answered"),
        None => debug!(method, path, status, problem, seconds, "answered"),
    }
    response
}

/// The request that a page is of.
fn request_of(path: &str) -> Option<&str> {
    let id = path.strip_prefix("/v1/requests/")?.split('/').next()?;
    Some(id).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_a_request_names_it() {
        assert_eq!(request_of("/v1/requests/5eb1-1"), Some("5eb1-1"));
        assert_eq!(request_of("/v1/requests/5eb1-1/events"), Some("5eb1-1"));
        assert_eq!(request_of("/v1/requests"), None);
        assert_eq!(request_of("/v1/requests/"), None);
        assert_eq!(request_of("/v1/ping"), None);
    }
}
