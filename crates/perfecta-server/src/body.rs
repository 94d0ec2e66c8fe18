//! The body of a request, read field by field: what is none ends it, before there is more of it in memory
//! than its bytes.

use std::borrow::Cow;

use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::problem::{Problem, ProblemKind, shortened};
use crate::spec::{JobSpec, Object};

/// No request has more numbers. Those of a body that has are left as they are.
const NUMBERS_MAX: usize = 64;

/// The request in a body.
pub(crate) fn parse(body: &[u8]) -> Result<JobSpec, Problem> {
    let body = with_whole_numbers(body);
    let mut json = serde_json::Deserializer::from_slice(&body);
    let Object(spec) = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let place = place_of(error.path());
        let error = error.into_inner();
        let field = field_of(place, &error.to_string());
        refused(&error, field)
    })?;
    json.end().map_err(|error| refused(&error, None))?;
    Ok(spec)
}

/// Where an error is: the object, if no name of a field was read in it, and nothing for the whole body.
fn place_of(path: &Path) -> Option<String> {
    let place = path.to_string();
    match path.iter().next_back()? {
        Segment::Unknown => place.rsplit_once('.').map(|(object, _)| object.to_owned()),
        Segment::Seq { .. } | Segment::Map { .. } | Segment::Enum { .. } => Some(place),
    }
}

fn refused(error: &serde_json::Error, field: Option<String>) -> Problem {
    const FIELDS: &str = "see docs/api.md for its fields";
    let detail = error.to_string();
    let field = field.map(|field| shortened(&field).into_owned());
    match (error.classify(), field) {
        (_, Some(field)) if is_of_its_type(&detail) => Problem::field(field, detail, FIELDS),
        (category, field) => {
            let remedy = match category {
                Category::Data => FIELDS,
                Category::Syntax | Category::Eof | Category::Io => "send one JSON object",
            };
            let problem = Problem::new(ProblemKind::Malformed, shortened(&detail), remedy);
            Problem { field, ..problem }
        }
    }
}

/// The field that an error is about, from where it was found and its words: those that are missing, or
/// there twice, are noticed in the object that they belong to.
pub(crate) fn field_of(place: Option<String>, error: &str) -> Option<String> {
    let words = ["missing field `", "duplicate field `"];
    let named = words.iter().find_map(|words| error.strip_prefix(words)?.split_once('`'));
    match (place, named) {
        (Some(object), Some((name, _))) => Some(format!("{object}.{name}")),
        (None, Some((name, _))) => Some(name.to_owned()),
        (place, None) => place,
    }
}

/// Whether an error is about a value, such as a number out of bounds or a word that is none of those
/// expected, where its type is right.
fn is_of_its_type(error: &str) -> bool {
    ["invalid value: ", "invalid length ", "unknown variant `", "number out of range"]
        .iter()
        .any(|words| error.starts_with(words))
        || is_of_whole_number(error)
}

/// Whether an error is about a whole number where one is expected: beyond 64 bits, all numbers are read as
/// if they had a fraction.
fn is_of_whole_number(error: &str) -> bool {
    let words = error.strip_prefix("invalid type: floating point `");
    let Some((number, expected)) = words.and_then(|words| words.split_once("`, expected ")) else {
        return false;
    };
    let is_whole = number.parse().is_ok_and(|number: f64| number.fract() == 0.0);
    is_whole && expected.split(' ').any(|word| ["u8", "u32", "u64", "usize"].contains(&word))
}

/// JSON has one kind of numbers, and some write 1 as 1.0: those that are whole are written as such.
fn with_whole_numbers(body: &[u8]) -> Cow<'_, [u8]> {
    let (mut written, mut copied) = (Vec::new(), 0);
    let (mut at, mut num_broken) = (0, 0);
    while at < body.len() && num_broken < NUMBERS_MAX {
        let end = match body[at] {
            b'"' => end_of_string(body, at),
            b'-' | b'0'..=b'9' => end_of_number(body, at),
            _ => at + 1,
        };
        if is_broken(&body[at..end]) {
            num_broken += 1;
            if let Some(whole) = whole_number(&body[at..end]) {
                written.extend_from_slice(&body[copied..at]);
                written.extend_from_slice(whole.to_string().as_bytes());
                copied = end;
            }
        }
        at = end;
    }
    if copied == 0 {
        return Cow::Borrowed(body);
    }
    written.extend_from_slice(&body[copied..]);
    Cow::Owned(written)
}

/// Behind the string that begins here.
fn end_of_string(body: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while at < body.len() {
        match body[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    body.len()
}

/// Behind the number that begins here.
fn end_of_number(body: &[u8], begin: usize) -> usize {
    let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let length = body[begin..].iter().position(|byte| !is_part(byte));
    length.map_or(body.len(), |length| begin + length)
}

/// Whether it is a number with a fraction or an exponent.
fn is_broken(number: &[u8]) -> bool {
    let is_number = matches!(number, [b'-' | b'0'..=b'9', ..]);
    is_number && number.iter().any(|byte| b".eE".contains(byte))
}

/// What such a number comes to, if it is whole.
fn whole_number(number: &[u8]) -> Option<u64> {
    /// Up to here every whole number is one that was meant.
    const EXACT_MAX: f64 = (1_u64 << 53) as f64;
    let value: f64 = serde_json::from_slice(number).ok()?;
    let is_whole = value.fract() == 0.0 && (0.0..=EXACT_MAX).contains(&value);
    is_whole.then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::spec::{FILES_MAX, PATTERNS_MAX};

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        let with = |number: &str| {
            format!(
                r#"{{"inputs": {{"files": ["/a"]}}, "output": null, "limits": {{"deadline_ms": {number}}}}}"#
            )
        };
        assert_eq!(parse(with("2e3").as_bytes()).unwrap().limits.deadline_ms, Some(2_000));
        assert_eq!(parse(with("7.0").as_bytes()).unwrap().limits.deadline_ms, Some(7));
        for number in ["7.5", "-1.0", "1e300", "1.", "01.0", "1e", "9007199254740993.0"] {
            let problem = parse(with(number).as_bytes()).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some("limits.deadline_ms"), "{number}");
        }
    }

    #[test]
    fn what_looks_like_a_number_in_a_string_stays() {
        let check = |file: &str| {
            let body = format!(r#"{{"inputs": {{"files": ["{file}", "7.0"]}}, "output": null}}"#);
            assert!(matches!(with_whole_numbers(body.as_bytes()), Cow::Borrowed(_)), "{body}");
        };
        check("1.0");
        check(r#"\" 1.0"#);
        check(r"\\");
        // A string without an end, and one that ends with its sign.
        for cut in ["{\"a", "{\"a\\", "1.0e", "-"] {
            assert_eq!(&*with_whole_numbers(cut.as_bytes()), cut.as_bytes());
        }
    }

    #[test]
    fn no_more_numbers_are_written_anew_than_a_request_has() {
        let body = "[1.0],".repeat(2 * NUMBERS_MAX);
        let expected = "[1],".repeat(NUMBERS_MAX) + &"[1.0],".repeat(NUMBERS_MAX);
        assert_eq!(&*with_whole_numbers(body.as_bytes()), expected.as_bytes());
        // Those that are not whole take as long to be looked at.
        let body = "[1.5],".repeat(NUMBERS_MAX) + "[1.0]";
        assert_eq!(&*with_whole_numbers(body.as_bytes()), body.as_bytes());
    }

    #[test]
    fn a_field_that_is_there_twice_is_refused() {
        let check = |body: &str, field: &str| {
            let problem = parse(body.as_bytes()).unwrap_err();
            assert!(problem.detail.contains("duplicate field"), "{problem:?}");
            assert_eq!(
                (problem.kind, problem.field.as_deref()),
                (ProblemKind::Malformed, Some(field))
            );
        };
        let inputs = r#""inputs": {"files": ["/a"]}"#;
        check(&format!(r#"{{{inputs}, "output": null, {inputs}}}"#), "inputs");
        check(r#"{"inputs": {"files": ["/a"], "files": ["/b"]}, "output": null}"#, "inputs.files");
        check(&format!(r#"{{{inputs}, "output": null, "output": null}}"#), "output");
        let limits = r#""limits": {"deadline_ms": 1, "deadline_ms": 2}"#;
        check(&format!(r#"{{{inputs}, "output": null, {limits}}}"#), "limits.deadline_ms");
    }

    #[test]
    fn a_field_that_is_missing_is_named() {
        let check = |body: &str, field: &str| {
            let problem = parse(body.as_bytes()).unwrap_err();
            assert!(problem.detail.contains("missing field"), "{problem:?}");
            assert_eq!(
                (problem.kind, problem.field.as_deref()),
                (ProblemKind::Malformed, Some(field))
            );
        };
        check("{}", "inputs");
        check(r#"{"inputs": {"files": ["/a"]}}"#, "output");
        check(r#"{"inputs": {"tree": {}}, "output": null}"#, "inputs.tree.root");
    }

    #[test]
    fn a_value_out_of_its_bounds_is_one_that_cannot_be_carried_out() {
        let check = |change: &str, kind: ProblemKind, field: &str| {
            let body = format!(r#"{{"inputs": {{"files": ["/a"]}}, "output": null, {change}}}"#);
            let problem = parse(body.as_bytes()).unwrap_err();
            assert_eq!((problem.kind, problem.field.as_deref()), (kind, Some(field)));
            assert!(problem.remedy.is_some());
        };
        let invalid = ProblemKind::InvalidField;
        check(r#""share": {"weight": 0}"#, invalid, "share.weight");
        check(r#""share": {"max_files": 0}"#, invalid, "share.max_files");
        check(r#""search": {"max_grows": 256}"#, invalid, "search.max_grows");
        check(r#""limits": {"max_milliseconds": -1}"#, invalid, "limits.max_milliseconds");
        check(r#""keys": {"size": "48"}"#, invalid, "keys.size");
        check(r#""search": {"seeds": [1]}"#, invalid, "search.seeds");
        check(r#""search": {"seeds": [1, 0, 0, 0, 0, 0, 0, 0, 0]}"#, invalid, "search.seeds");
        check(r#""share": {"weight": "1"}"#, ProblemKind::Malformed, "share.weight");
        check(r#""share": {"weight": 1.5}"#, ProblemKind::Malformed, "share.weight");
        // Beyond what any of our types hold, and what their parser does.
        check(r#""share": {"weight": 1e30}"#, invalid, "share.weight");
        check(r#""search": {"rng_seed": 18446744073709551616}"#, invalid, "search.rng_seed");
        check(r#""search": {"seeds": [0, 1e20]}"#, invalid, "search.seeds[1]");
        check(r#""limits": {"deadline_ms": -1.0}"#, invalid, "limits.deadline_ms");
        check(r#""limits": {"deadline_ms": 1e400}"#, invalid, "limits.deadline_ms");
        check(r#""directory": 1e30"#, ProblemKind::Malformed, "directory");
        check(r#""keys": {"sort": 1e30}"#, ProblemKind::Malformed, "keys.sort");
    }

    /// Serde takes the values of a struct's fields in their order as well.
    #[test]
    fn a_list_in_place_of_an_object_is_refused_wherever_it_is() {
        let check = |request: &Value, place: &str| {
            let fields = request.pointer(place).and_then(Value::as_object).unwrap();
            for list in [vec![], fields.values().cloned().collect()] {
                let mut request = request.clone();
                *request.pointer_mut(place).unwrap() = Value::Array(list);
                let problem = parse(request.to_string().as_bytes()).unwrap_err();
                let field = place.trim_start_matches('/').replace('/', ".");
                let field = Some(field).filter(|field| !field.is_empty());
                assert_eq!((problem.kind, problem.field), (ProblemKind::Malformed, field));
                assert!(problem.detail.contains("expected an object"), "{}", problem.detail);
            }
        };
        let request = json!({"inputs": {"tree": {"root": "/a"}}, "output": {}});
        let request = serde_json::to_value(parse(request.to_string().as_bytes()).unwrap()).unwrap();
        let mut objects = vec![(String::new(), &request)];
        let mut num_objects = 0;
        while let Some((place, value)) = objects.pop() {
            if let Value::Object(fields) = value {
                check(&request, &place);
                objects
                    .extend(fields.iter().map(|(name, value)| (format!("{place}/{name}"), value)));
                num_objects += 1;
            }
        }
        assert_eq!(num_objects, 8);
    }

    #[test]
    fn a_list_of_more_than_any_request_has_is_not_taken_in() {
        let check = |before: &str, value: &str, after: &str, max: usize| {
            let parse = |count: usize| {
                let list = vec![value; count].join(",");
                let inputs = format!("{before}[{list}]{after}");
                parse(format!(r#"{{"inputs": {inputs}, "output": null}}"#).as_bytes())
            };
            assert!(parse(max).is_ok());
            let refused = parse(max + 1).map(drop).unwrap_err();
            assert!(refused.detail.contains(&format!("more than {max}")), "{refused:?}");
            assert!(refused.field.unwrap().starts_with("inputs."));
        };
        check(r#"{"files": "#, r#""/a""#, "}", FILES_MAX);
        for list in ["include", "exclude"] {
            let before = format!(r#"{{"tree": {{"root": "/a", "{list}": "#);
            check(&before, r#""*""#, "}}", PATTERNS_MAX);
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
        // Where no name of a field was read, it is the object that is told.
        check("{", None, "EOF");
        check(r#"{"inputs": {"files": ["/a"]}, "#, None, "EOF");
        check(r#"{"inputs": {"tree": {"#, Some("inputs.tree"), "EOF");
        check(r#"{"inputs": {"files": ["#, Some("inputs.files"), "EOF");
        check(r#"{"?": 1}"#, Some("?"), "unknown field");
        let with = |change: &str| {
            format!(r#"{{"inputs": {{"files": ["/a"]}}, "output": null, {change}}}"#)
        };
        check(&with(r#""keys": {"size": "48"}"#), Some("keys.size"), "48");
        check(&with(r#""share": {"weight": 0}"#), Some("share.weight"), "nonzero");
        check(&with(r#""search": {"hsah": "auto"}"#), Some("search.hsah"), "hsah");
        // What was sent is told in part.
        let long = "f".repeat(1 << 20);
        let problem = parse(with(&format!(r#""search": {{"{long}": 1}}"#)).as_bytes()).unwrap_err();
        assert!(problem.detail.len() < 1_000 && problem.field.unwrap().len() < 1_000);
        // Nothing of it is looked at.
        check(&with(r#""more": [{"a": 1}, nonsense"#), Some("more"), "unknown field");
        let inputs = |inputs: &str| format!(r#"{{"inputs": {inputs}, "output": null}}"#);
        for neither in ["{}", r#"{"files": ["/a"], "tree": {"root": "/a"}}"#] {
            check(&inputs(neither), Some("inputs"), "either `files` or `tree`");
        }
    }
}
