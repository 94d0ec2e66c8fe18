//! A refusal on the wire: what is wrong, where, and what the client can do about it.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// The kind of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// The body is no request.
    Malformed,
    /// A field has a value that cannot be carried out.
    InvalidField,
    /// A path lies below none of the daemon's roots.
    OutsideRoots,
    /// The client does not prove that it may ask.
    Unauthorized,
    /// The client may not ask that.
    Forbidden,
    /// The body is larger than is taken.
    TooLarge,
    /// The body did not come in time.
    TooSlow,
    /// There is no such request, or no such page.
    NotFound,
    /// Something of that name is there, or is not over.
    Conflict,
    /// The daemon takes no more for now.
    Busy,
    /// The daemon takes no more requests: it ends.
    Draining,
    /// The client speaks another version of the protocol.
    VersionMismatch,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: ProblemKind,
    /// What is wrong.
    pub detail: String,
    /// The field that is.
    pub field: Option<String>,
    /// What can be done about it.
    pub remedy: Option<String>,
    /// The exit code of a client that is refused so.
    pub exit_code: u8,
}

impl Problem {
    /// A refusal without a field.
    pub(crate) fn new(
        kind: ProblemKind,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            detail: detail.into(),
            field: None,
            remedy: Some(remedy.into()),
            exit_code: kind.exit_code(),
        }
    }

    /// A field has a value that cannot be carried out.
    pub(crate) fn field(
        field: impl Into<String>,
        reason: impl AsRef<str>,
        remedy: impl Into<String>,
    ) -> Self {
        let field = field.into();
        let detail = format!("{field}: {}", reason.as_ref());
        Self { field: Some(field), ..Self::new(ProblemKind::InvalidField, detail, remedy) }
    }

    /// There is no request of this id.
    pub(crate) fn no_such_request(id: &str) -> Self {
        let detail = format!("there is no request {id:?}");
        Self::new(ProblemKind::NotFound, detail, "GET /v1/requests lists those that are kept")
    }
}

impl ProblemKind {
    const fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::InvalidField => StatusCode::UNPROCESSABLE_ENTITY,
            Self::OutsideRoots | Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Busy | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::VersionMismatch => StatusCode::BAD_REQUEST,
        }
    }

    const fn exit_code(self) -> u8 {
        match self {
            Self::Malformed | Self::InvalidField | Self::TooLarge => 2,
            Self::OutsideRoots | Self::Unauthorized | Self::Forbidden => 12,
            Self::TooSlow => 14,
            Self::NotFound => 4,
            Self::Conflict => 7,
            Self::Busy | Self::Draining => 11,
            Self::VersionMismatch => 13,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let kind = self.kind;
        let mut response = (kind.status(), Json(self)).into_response();
        let problem = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, problem);
        if kind == ProblemKind::Unauthorized {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        if kind.status() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
