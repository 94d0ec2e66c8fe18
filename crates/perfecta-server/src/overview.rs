//! What somebody who watches wants to know of many requests, or of one, at little cost: a page of
//! each, however many there are.

use std::cmp::Reverse;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::{MethodRouter, get};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::{Asked, Shared, asked, at_most};
use crate::daemon::Control;
use crate::history::Samples;
use crate::problem::Problem;
use crate::record::Record;
use crate::report::TableLine;
use crate::spec::{InputSpec, JobSpec};
use crate::wire::{RequestState, RequestStatus};

/// Requests of a page, and items of one.
pub(crate) const LIMIT_MAX: usize = 1_000;

pub(crate) fn pages() -> [(&'static str, MethodRouter<Arc<Control>>); 4] {
    [
        ("/v1/overview", get(overview)),
        ("/v1/history", get(history)),
        ("/v1/requests/{id}/spec", get(spec)),
        ("/v1/requests/{id}/slowest", get(slowest)),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Window {
    outstanding_offset: usize,
    ended_offset: usize,
    limit: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self { outstanding_offset: 0, ended_offset: 0, limit: 25 }
    }
}

/// Some of the requests, and how many there are of each kind.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Overview {
    requests: RequestCounts,
    /// Those that run, then those that wait, each in the order in which they came.
    outstanding: Vec<Brief>,
    /// Those that ended, the last one first.
    ended: Vec<Brief>,
}

/// Requests that are kept, by state.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
struct RequestCounts {
    queued: usize,
    running: usize,
    done: usize,
    cancelled: usize,
    failed: usize,
    expired: usize,
}

/// A request as a line of a list.
#[derive(Debug, Serialize, ToSchema)]
struct Brief {
    #[serde(flatten)]
    status: RequestStatus,
    /// The directory of the key files, or the first of them.
    input: String,
    /// How many files were named, if files were.
    input_files: Option<usize>,
}

impl Brief {
    fn of(record: &Record) -> Self {
        let (input, input_files) = match &record.spec.inputs {
            InputSpec::Tree { root, .. } => (Some(root), None),
            InputSpec::Files(files) => (files.first(), Some(files.len())),
        };
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let mut status = record.status();
        // Of one that could not be taken up again it is known what it named.
        let named = record.spec.output.as_ref().map(|output| text(&output.directory));
        status.output = status.output.or(named);
        Self { status, input: input.map(text).unwrap_or_default(), input_files }
    }
}

impl Overview {
    fn of(records: &[Arc<Record>], window: &Window) -> Self {
        let mut requests = RequestCounts::default();
        let (mut running, mut queued, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for record in records {
            let (count, alike) = match record.state() {
                RequestState::Queued => (&mut requests.queued, &mut queued),
                RequestState::Running => (&mut requests.running, &mut running),
                RequestState::Done => (&mut requests.done, &mut ended),
                RequestState::Cancelled => (&mut requests.cancelled, &mut ended),
                RequestState::Failed => (&mut requests.failed, &mut ended),
                RequestState::Expired => (&mut requests.expired, &mut ended),
            };
            *count += 1;
            alike.push(record);
        }
        // What ends this moment has no time yet, and is the last.
        ended.sort_by_key(|record| Reverse(record.ended_at().unwrap_or(Duration::MAX)));
        running.append(&mut queued);
        let page = |records: Vec<&Arc<Record>>, offset: usize| {
            records
                .into_iter()
                .skip(offset)
                .take(window.limit)
                .map(|record| Brief::of(record))
                .collect()
        };
        Self {
            requests,
            outstanding: page(running, window.outstanding_offset),
            ended: page(ended, window.ended_offset),
        }
    }
}

async fn overview(
    State(control): Shared,
    window: Asked<Window>,
) -> Result<Json<Overview>, Problem> {
    let window = asked(window)?;
    at_most("limit", window.limit as u64, LIMIT_MAX as u64)?;
    let records = control.registry.lock().all();
    Ok(Json(Overview::of(&records, &window)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn history(State(control): Shared, after: Asked<After>) -> Result<Json<Samples>, Problem> {
    Ok(Json(control.history.after(asked(after)?.after)))
}

async fn spec(State(control): Shared, Path(id): Path<String>) -> Result<Json<JobSpec>, Problem> {
    let record = control.registry.lock().find(&id)?;
    Ok(Json(record.spec.in_force()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Slowest {
    #[serde(default = "slowest_limit")]
    limit: usize,
}

const fn slowest_limit() -> usize {
    10
}

async fn slowest(
    State(control): Shared,
    Path(id): Path<String>,
    query: Asked<Slowest>,
) -> Result<Json<Vec<TableLine>>, Problem> {
    let limit = asked(query)?.limit;
    at_most("limit", limit as u64, LIMIT_MAX as u64)?;
    let record = control.registry.lock().find(&id)?;
    Ok(Json(record.slowest(limit)))
}

#[cfg(test)]
mod tests {
    use axum::extract::Query;
    use futures_util::FutureExt as _;
    use perfecta_jobs::{Event, Progress, Summary};

    use super::*;
    use crate::access::Caller;
    use crate::registry::{Admission, Registry, RegistryLimits};
    use crate::report::ProcessUse;

    fn registry() -> Registry {
        let keep = Duration::from_secs(1_000);
        Registry::new(
            RegistryLimits {
                outstanding_max: 100,
                outstanding_user_max: 100,
                files_named_max: 100,
                files_named_user_max: 100,
                items_queued_max: 100,
                ended_max: 100,
                tables_max: 100,
                keep,
            },
            1,
            crate::clock::tests::any(),
        )
    }

    fn admit(registry: &mut Registry, inputs: &str) -> Arc<Record> {
        let json = format!(r#"{{"inputs": {inputs}, "output": null}}"#);
        let spec = serde_json::from_str(&json).unwrap();
        match registry.admit(Caller::Owner, spec, None, Duration::ZERO).unwrap() {
            Admission::Fresh(record) => record,
            Admission::Repeated(_) => panic!("no key was sent"),
        }
    }

    fn end(record: &Record, second: u64) {
        let process = ProcessUse { threads_max: 1, memory_peak_bytes: None };
        record.end(Ok(Summary::default()), process, Duration::from_secs(second), drop);
    }

    fn ids(rows: &[Brief]) -> Vec<&str> {
        rows.iter().map(|row| row.status.id.as_str()).collect()
    }

    #[test]
    fn what_runs_comes_before_what_waits_and_what_ended_last_before_the_rest() {
        let mut registry = registry();
        let records: Vec<Arc<Record>> =
            (0..5).map(|_| admit(&mut registry, r#"{"files": ["/a"]}"#)).collect();
        records[2].observe(&Event::Planned(&Progress::default()));
        end(&records[3], 9);
        end(&records[1], 5);
        let id = |number: usize| records[number].id.as_str();
        let all = Overview::of(&registry.all(), &Window::default());
        assert_eq!(ids(&all.outstanding), [id(2), id(0), id(4)]);
        assert_eq!(ids(&all.ended), [id(3), id(1)]);
        let counted = RequestCounts { queued: 2, running: 1, done: 2, ..RequestCounts::default() };
        assert_eq!(all.requests, counted);
        let window = Window { outstanding_offset: 1, ended_offset: 1, limit: 1 };
        let page = Overview::of(&registry.all(), &window);
        assert_eq!((ids(&page.outstanding), ids(&page.ended)), (vec![id(0)], vec![id(1)]));
        assert_eq!(page.requests, counted);
    }

    #[test]
    fn a_line_says_what_is_read() {
        let mut registry = registry();
        let mut check = |inputs: &str, expected: (&str, Option<usize>)| {
            let brief = Brief::of(&admit(&mut registry, inputs));
            assert_eq!((brief.input.as_str(), brief.input_files), expected);
        };
        check(r#"{"tree": {"root": "/k"}}"#, ("/k", None));
        check(r#"{"files": ["/a", "/b"]}"#, ("/a", Some(2)));
    }

    /// Whoever looks at all requests waits for the lock of one of them.
    #[test]
    fn nobody_waits_for_the_registry_while_a_request_is_looked_at() {
        let check = |look: fn(&Arc<Control>)| {
            let control = crate::api::tests::control();
            let record = admit(&mut control.registry.lock(), r#"{"files": ["/a"]}"#);
            std::thread::scope(|scope| {
                let process = ProcessUse { threads_max: 1, memory_peak_bytes: None };
                record.end(Ok(Summary::default()), process, Duration::ZERO, |_| {
                    let holders = Arc::strong_count(&record);
                    let looking = scope.spawn(|| look(&control));
                    let mut is_looked_at = false;
                    while !is_looked_at {
                        is_looked_at = Arc::strong_count(&record) > holders;
                        // Once it looks, it has the registry for a moment, or for as long as we wait here.
                        let registry = control.registry.try_lock_for(Duration::from_secs(5));
                        assert!(registry.is_some(), "the registry is locked meanwhile");
                        drop(registry);
                        assert!(!looking.is_finished(), "the request is not looked at");
                        std::thread::yield_now();
                    }
                });
            });
        };
        check(|control| assert_eq!(control.ledger_difference(), 0));
        check(|control| {
            let page = overview(State(Arc::clone(control)), Ok(Query(Window::default())));
            assert!(page.now_or_never().unwrap().is_ok());
        });
    }
}
