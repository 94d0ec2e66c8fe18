//! A refusal on the wire: what is wrong, where, and what the client can do about it.

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// The content type of a refusal.
pub(crate) const PROBLEM_TYPE: &str = "application/problem+json";

/// Of what a client sent a refusal tells no more than fits in so many bytes.
const TOLD_BYTES_MAX: usize = 512;

/// The kind of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
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
    /// The journal has no room for it.
    Storage,
    /// The client speaks another version of the protocol.
    VersionMismatch,
    /// The page is asked for by other methods.
    MethodNotAllowed,
    /// The body is larger than any request.
    TooLarge,
    /// The body is not sent as it is.
    Encoded,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
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
        let detail = format!("{field}: {}", shortened(reason.as_ref()));
        Self { field: Some(field), ..Self::new(ProblemKind::InvalidField, detail, remedy) }
    }

    /// The journal takes no request.
    pub(crate) fn no_room(detail: &str) -> Self {
        let remedy = "make room in the daemon's state directory, and send it again";
        Self::new(ProblemKind::Storage, detail, remedy)
    }

    /// There is no request of this id.
    pub(crate) fn no_such_request(id: &str) -> Self {
        let detail = format!("there is no request {:?}", shortened(id));
        Self::new(
            ProblemKind::NotFound,
            detail,
            "`perfecta client list` (GET /v1/requests) lists those that are kept",
        )
    }
}

impl ProblemKind {
    /// All kinds.
    pub const ALL: [Self; 15] = [
        Self::Malformed,
        Self::InvalidField,
        Self::OutsideRoots,
        Self::Unauthorized,
        Self::Forbidden,
        Self::TooSlow,
        Self::NotFound,
        Self::Conflict,
        Self::Busy,
        Self::Draining,
        Self::Storage,
        Self::VersionMismatch,
        Self::MethodNotAllowed,
        Self::TooLarge,
        Self::Encoded,
    ];

    /// The kind as a word, as it is on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::InvalidField => "invalid_field",
            Self::OutsideRoots => "outside_roots",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::TooSlow => "too_slow",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::Storage => "storage",
            Self::VersionMismatch => "version_mismatch",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::TooLarge => "too_large",
            Self::Encoded => "encoded",
        }
    }

    /// The kind of a word, if it is one of this version.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What it says, in a few words.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Malformed => "it makes no sense",
            Self::InvalidField => "a field has a value that cannot be carried out",
            Self::OutsideRoots => "a path lies below none of the daemon's roots",
            Self::Unauthorized => "the client does not prove that it may ask",
            Self::Forbidden => "the client may not ask that",
            Self::TooSlow => "the body did not come in time",
            Self::NotFound => "there is no such request, or no such page",
            Self::Conflict => "something of that name is there, or is not over",
            Self::Busy => "the daemon takes no more for now",
            Self::Draining => "the daemon takes no more requests: it ends",
            Self::Storage => "the journal has no room for it",
            Self::VersionMismatch => "the client speaks another version of the protocol",
            Self::MethodNotAllowed => "the page is asked for by other methods",
            Self::TooLarge => "the body is larger than any request",
            Self::Encoded => "the body is not sent as it is",
        }
    }

    /// Whether the same may be accepted in a while.
    pub(crate) const fn is_passing(self) -> bool {
        matches!(self.status(), StatusCode::SERVICE_UNAVAILABLE)
    }

    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::InvalidField => StatusCode::UNPROCESSABLE_ENTITY,
            Self::OutsideRoots | Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Busy | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::Storage => StatusCode::INSUFFICIENT_STORAGE,
            Self::VersionMismatch => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }

    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Malformed
            | Self::InvalidField
            | Self::MethodNotAllowed
            | Self::TooLarge
            | Self::Encoded => 2,
            Self::OutsideRoots | Self::Unauthorized | Self::Forbidden => 12,
            Self::TooSlow => 14,
            Self::NotFound => 4,
            Self::Conflict => 7,
            Self::Storage => 8,
            Self::Busy | Self::Draining => 11,
            Self::VersionMismatch => 13,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let kind = self.kind;
        let mut response = (kind.status(), Json(self)).into_response();
        response.extensions_mut().insert(kind);
        let problem = HeaderValue::from_static(PROBLEM_TYPE);
        response.headers_mut().insert(header::CONTENT_TYPE, problem);
        if kind == ProblemKind::Unauthorized {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        if kind.is_passing() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// A text without its middle, where it is longer than anybody reads.
pub(crate) fn shortened(text: &str) -> Cow<'_, str> {
    const GAP: &str = " ... ";
    if text.len() <= TOLD_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    let half = (TOLD_BYTES_MAX - GAP.len()) / 2;
    let (begin, end) = (text.floor_char_boundary(half), text.ceil_char_boundary(text.len() - half));
    Cow::Owned(format!("{}{GAP}{}", &text[..begin], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_called_the_same_everywhere() {
        for kind in ProblemKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }

    #[test]
    fn a_long_text_is_told_by_its_beginning_and_its_end() {
        let longest = "a".repeat(TOLD_BYTES_MAX);
        assert_eq!(shortened(&longest), longest);
        for letter in ["a", "\u{e9}", "\u{1f511}"] {
            let text = format!("begin{}end", letter.repeat(TOLD_BYTES_MAX));
            let told = shortened(&text);
            assert!(told.starts_with("begin") && told.ends_with("end"), "{told}");
            assert!((TOLD_BYTES_MAX - 8..=TOLD_BYTES_MAX).contains(&told.len()), "{told}");
        }
    }

    #[test]
    fn a_request_that_there_is_not_is_told_no_longer_than_anybody_reads() {
        let problem = Problem::no_such_request(&"5".repeat(60 << 10));
        assert!(problem.detail.len() < 2 * TOLD_BYTES_MAX, "{}", problem.detail.len());
    }

    #[test]
    fn every_kind_is_documented_as_it_is() {
        let document = include_str!("../../../docs/protocol.md");
        let (_, section) = document.split_once("## Problems").unwrap();
        let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows.len(), ProblemKind::ALL.len());
        for kind in ProblemKind::ALL {
            let (name, status, exit) = (kind.name(), kind.status().as_u16(), kind.exit_code());
            let row = format!("| `{name}` | {status} | {exit} | {} |", kind.meaning());
            assert!(rows.contains(&row.as_str()), "{row}");
        }
    }
}
