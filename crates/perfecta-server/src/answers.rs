//! What is kept of every answer: a count, and a line for whoever wants to see each.

use std::time::Duration;

use axum::extract::Request;
use axum::http::{Method, Uri};
use axum::response::Response;
use perfecta_jobs::{Clock, SystemClock};
use tracing::debug;

use crate::metrics::Counts;
use crate::problem::ProblemKind;

/// What was asked for, and since when.
pub(crate) struct Question {
    method: Method,
    uri: Uri,
    begun: Duration,
}

impl Question {
    pub(crate) fn now(request: &Request) -> Self {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        Self { method, uri, begun: SystemClock.now() }
    }

    /// Counts an answer whose head is known, and tells of it; a stream of events goes on after that.
    pub(crate) fn tell(self, counts: &Counts, response: &Response) {
        let status = response.status().as_u16();
        let problem = response.extensions().get::<ProblemKind>().copied();
        counts.answered(status, problem);
        let seconds = (SystemClock.now() - self.begun).as_secs_f64();
        let (method, path) = (self.method.as_str(), self.uri.path());
        let problem = problem.map(ProblemKind::name);
        match request_of(path) {
            Some(request) => {
                debug!(request, method, path, status, problem, seconds, "answered");
            }
            None => debug!(method, path, status, problem, seconds, "answered"),
        }
    }
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
