//! What must hold for any bytes from outside: the fuzz targets run it on theirs, a test on a corpus.

use std::path::Path;
use std::time::Duration;

use hyper::StatusCode;

use crate::access::{Access, ClientLimits, Token};
use crate::client::{Refusal, RequestTold, check_events as check_lines};
use crate::problem::Problem;
use crate::spec::{Bounds, JobSpec};
use crate::wire::{Accepted, Items, Ping};
use crate::{api, body, journal, spec};

/// A body as a request. One that is read comes back from what is written of it, and a job of it has
/// absolute paths.
pub fn check_request(bytes: &[u8]) {
    let spec: JobSpec = match body::parse(bytes) {
        Ok(spec) => spec,
        Err(problem) => return describe(&problem),
    };
    let written = serde_json::to_vec(&spec).expect("what was read can be written");
    assert_eq!(body::parse(&written).ok().as_ref(), Some(&spec));
    for output_root in [None, Some("/tables".into())] {
        let access = Access {
            roots: None,
            output_root,
            users: Vec::new(),
            tcp: None,
            limits: ClientLimits::default(),
        };
        match access.place(&spec, &Bounds::SMALL, Duration::ZERO) {
            Ok(placed) => {
                let (job, _) = placed.of_request("0-1");
                let output = job.output.as_ref().map(|output| output.directory.as_path());
                assert!(output.is_none_or(Path::is_absolute), "{output:?}");
                match &spec.inputs {
                    spec::InputSpec::Files(files) => assert!(!files.is_empty()),
                    spec::InputSpec::Tree { root, .. } => assert!(!root.as_os_str().is_empty()),
                }
            }
            Err(problem) => describe(&problem),
        }
    }
}

fn describe(problem: &Problem) {
    assert!(!problem.detail.is_empty() && problem.remedy.is_some() && problem.exit_code > 0);
}

/// What stands behind a question mark.
pub fn check_query(bytes: &[u8]) {
    let Ok(query) = str::from_utf8(bytes) else { return };
    let Ok(uri) = format!("/v1/requests/1/items?{query}").parse() else { return };
    api::read_queries(&uri).iter().flatten().for_each(describe);
}

/// An answer, to a client of ours.
pub fn check_answer(bytes: &[u8]) {
    fn check<T: serde::de::DeserializeOwned + serde::Serialize>(bytes: &[u8]) {
        let Ok(read) = serde_json::from_slice::<T>(bytes) else { return };
        let written = serde_json::to_vec(&read).expect("what was read can be written");
        assert!(serde_json::from_slice::<T>(&written).is_ok());
    }
    check::<Accepted>(bytes);
    check::<RequestTold>(bytes);
    check::<Vec<RequestTold>>(bytes);
    check::<Items>(bytes);
    check::<Ping>(bytes);
    let refusal = Refusal::of(StatusCode::BAD_REQUEST, bytes);
    assert!(!refusal.detail.is_empty() && refusal.exit_code > 0, "{refusal:?}");
}

/// A stream of events, to a client of ours: however it is cut, the same comes out.
pub fn check_events(bytes: &[u8]) {
    check_lines(bytes);
}

/// What an earlier daemon left as its journal, as it is, and with the checksums that it should have.
pub fn check_journal(bytes: &[u8]) {
    journal::check(bytes);
    journal::check(&journal::with_checksums(bytes));
}

/// A token's file.
pub fn check_token(bytes: &[u8]) {
    match Token::parse(bytes) {
        Ok(token) => {
            let header = token.header();
            assert!(Token::word_in(header.as_bytes()).is_some_and(|word| token.is(word)));
            assert!(Token::word_in(&header.as_bytes()[1..]).is_none());
            assert!((23..=1_031).contains(&header.len()));
        }
        Err(reason) => assert!(!reason.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file of a corpus, whole, cut, and with single bytes changed.
    fn replay(name: &str, check: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(name);
        let mut num_files = 0;
        for entry in std::fs::read_dir(corpus).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            check(&bytes);
            for place in 0..bytes.len() {
                check(&bytes[..place]);
                for change in [0x01, 0x20, 0x80, 0xff] {
                    let mut changed = bytes.clone();
                    changed[place] ^= change;
                    check(&changed);
                }
            }
            num_files += 1;
        }
        assert!(num_files > 1);
    }

    #[test]
    fn whatever_bytes_come_as_a_request_a_query_or_a_token_they_are_read_or_refused() {
        replay("request", check_request);
        replay("query", check_query);
        replay("token", check_token);
    }

    #[test]
    fn whatever_bytes_an_earlier_daemon_left_they_are_read_or_told_of() {
        replay("journal", check_journal);
    }

    #[test]
    fn whatever_bytes_come_as_an_answer_or_events_they_are_read_or_refused() {
        replay("answer", check_answer);
        replay("events", check_events);
    }
}
