//! A refusal as a client hears it, which may be a later daemon's: of a kind that is not known here.

use hyper::StatusCode;
use serde::Deserialize;

use crate::problem::{ProblemKind, shortened};

/// Why a daemon did not do what it was asked for, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its kind, if that is known here.
    pub kind: Option<ProblemKind>,
    /// What is wrong.
    pub detail: String,
    /// What can be done about it.
    pub remedy: Option<String>,
    /// With which exit code the program ends; never 0.
    pub exit_code: u8,
}

/// What is read of a problem. Nothing of it has to be there: RFC 9457 asks for none of it.
#[derive(Deserialize)]
struct Fields {
    r#type: Option<String>,
    title: Option<String>,
    detail: Option<String>,
    remedy: Option<String>,
    exit_code: Option<u8>,
}

impl Refusal {
    /// What an answer says that is none of success.
    pub(crate) fn of(status: StatusCode, body: &[u8]) -> Self {
        let fields = serde_json::from_slice(body).unwrap_or_else(|_| Fields::of_no_problem(body));
        let kind = fields.r#type.as_deref().and_then(ProblemKind::from_name);
        let exit_code = fields.exit_code.filter(|code| *code != 0);
        Self {
            kind,
            detail: fields.told(status),
            exit_code: exit_code.unwrap_or_else(|| exit_code_of(status)),
            remedy: fields.remedy,
        }
    }
}

impl Fields {
    /// What whoever is between a daemon and its client says in words of its own.
    fn of_no_problem(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let detail = Some(shortened(text.trim()).into_owned()).filter(|text| !text.is_empty());
        Self { r#type: None, title: None, detail, remedy: None, exit_code: None }
    }

    /// The title and the detail, or the status where there is neither.
    fn told(&self, status: StatusCode) -> String {
        let parts = [self.title.as_deref(), self.detail.as_deref()];
        let told: Vec<&str> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        if told.is_empty() {
            return format!("the daemon refuses, and says no more than {status}");
        }
        told.join(": ")
    }
}

/// With which exit code a client ends that is told no other, as `docs/protocol.md` has it.
const fn exit_code_of(status: StatusCode) -> u8 {
    match status.as_u16() {
        401 | 403 => 12,
        404 => 4,
        408 => 14,
        409 => 7,
        429 | 503 => 11,
        507 => 8,
        400..=499 => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str, detail: &str, exit_code: u8) {
        let refusal = Refusal::of(StatusCode::from_u16(status).unwrap(), body.as_bytes());
        assert_eq!((refusal.detail.as_str(), refusal.exit_code), (detail, exit_code), "{body}");
    }

    #[test]
    fn a_problem_of_a_kind_that_is_not_known_is_told_and_ends_by_its_status() {
        check(503, r#"{"type":"full_moon","title":"later","detail":"a"}"#, "later: a", 11);
        check(429, r#"{"type":"https://x/y","title":"later","phase":[7]}"#, "later", 11);
        check(418, r#"{"type":"https://x/y","title":"no"}"#, "no", 2);
        check(500, r#"{"type":"full_moon","detail":"a","exit_code":77}"#, "a", 77);
        check(507, r#"{"detail":"a"}"#, "a", 8);
        check(501, "{}", "the daemon refuses, and says no more than 501 Not Implemented", 1);
    }

    #[test]
    fn no_refusal_is_a_success_whatever_it_says() {
        check(409, r#"{"type":"conflict","detail":"a","exit_code":0}"#, "a", 7);
        check(302, r#"{"exit_code":0,"detail":"a"}"#, "a", 1);
    }

    #[test]
    fn what_is_no_problem_is_told_as_it_is() {
        check(503, "<p>later</p>\n", "<p>later</p>", 11);
        check(
            400,
            r#"{"detail":""}"#,
            "the daemon refuses, and says no more than 400 Bad Request",
            2,
        );
        check(400, "", "the daemon refuses, and says no more than 400 Bad Request", 2);
    }

    #[test]
    fn a_kind_that_is_known_ends_by_its_status_as_by_its_name() {
        for kind in ProblemKind::ALL {
            let body = format!(r#"{{"type":"{}","detail":"a"}}"#, kind.name());
            let refusal = Refusal::of(kind.status(), body.as_bytes());
            assert_eq!(refusal.kind, Some(kind));
            // Of those with 400 it is the one that no other page can have.
            if kind != ProblemKind::VersionMismatch {
                assert_eq!(refusal.exit_code, kind.exit_code(), "{}", kind.name());
            }
        }
    }
}
