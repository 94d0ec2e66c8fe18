//! The body of a request, read.

use serde_json::Value;

use crate::problem::{Problem, ProblemKind};
use crate::spec::JobSpec;

/// The request in a body.
pub(crate) fn parse(body: &[u8]) -> Result<JobSpec, Problem> {
    let mut json: Value = serde_json::from_slice(body).map_err(|error| {
        Problem::new(ProblemKind::Malformed, error.to_string(), "send one JSON object")
    })?;
    make_whole(&mut json);
    serde_path_to_error::deserialize(json).map_err(|error| {
        let field = error.path().to_string();
        let detail = error.inner().to_string();
        let problem =
            Problem::new(ProblemKind::Malformed, detail, "see docs/api.md for its fields");
        Problem { field: Some(field).filter(|field| field != "."), ..problem }
    })
}

/// JSON has one kind of numbers, and some write 1 as 1.0.
fn make_whole(json: &mut Value) {
    /// Up to here every whole number is one that was meant.
    const EXACT_MAX: f64 = (1_u64 << 53) as f64;
    match json {
        Value::Number(number) if number.is_f64() => {
            let is_whole = |value: &f64| value.fract() == 0.0 && (0.0..=EXACT_MAX).contains(value);
            if let Some(value) = number.as_f64().filter(is_whole) {
                *number = (value as u64).into();
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(make_whole),
        Value::Object(fields) => fields.values_mut().for_each(make_whole),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        let with = |number: &str| {
            format!(
                r#"{{"inputs": {{"files": ["/a"]}}, "output": null, "limits": {{"deadline_ms": {number}}}}}"#
            )
        };
        assert_eq!(parse(with("2e3").as_bytes()).unwrap().limits.deadline_ms, Some(2_000));
        assert_eq!(parse(with("7.0").as_bytes()).unwrap().limits.deadline_ms, Some(7));
        for number in ["7.5", "-1.0", "1e300"] {
            let problem = parse(with(number).as_bytes()).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some("limits.deadline_ms"), "{number}");
        }
    }

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
