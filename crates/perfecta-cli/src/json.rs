//! Lines for machines: one JSON object a line, documented in `docs/formats.md`.
//!
//! Fields are added, never renamed or taken away, within one number of `schema`.

use std::borrow::Cow;
use std::time::Duration;

use perfecta_core::family::Family;
use perfecta_core::key::KeySet;
use perfecta_core::search::{PlanError, Verdict};
use perfecta_jobs::{DryRun, ItemError, ItemReport, Summary};
use serde::Serialize;

use crate::exit::Exit;
use crate::machine;

/// The version of all lines.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Line<'a, T> {
    schema: u32,
    r#type: &'a str,
    #[serde(flatten)]
    fields: T,
}

#[derive(Serialize)]
struct TableFields<'a> {
    keys_file: &'a str,
    table: &'a str,
    status: &'a str,
    keys: u64,
    #[serde(flatten)]
    search: Option<SearchFields<'a>>,
    bytes: u64,
    files: u32,
    error: Option<ErrorFields>,
}

#[derive(Serialize)]
struct SearchFields<'a> {
    edge_capacity: u32,
    vertices: u32,
    hash: &'a str,
    seeds: &'a [u32],
    attempts: u64,
    winning_attempt: Option<u64>,
    vertex_collisions: u64,
    cyclic: u64,
    solved: u64,
    grows: u8,
    solve_seconds: f64,
}

#[derive(Serialize)]
struct ErrorFields {
    class: &'static str,
    exit_code: u8,
    message: String,
    remedy: Option<&'static str>,
}

#[derive(Serialize)]
struct SummaryFields {
    tables: u32,
    ok: u32,
    unchanged: u32,
    failed: u32,
    cancelled: u32,
    keys: u64,
    wall_seconds: f64,
    cpu_seconds: f64,
    bytes: u64,
    files: u64,
    threads_max: usize,
    memory_peak_bytes: Option<u64>,
    exit_code: u8,
}

#[derive(Serialize)]
struct DryRunFields<'a> {
    tables: u32,
    keys: u64,
    files: u64,
    bytes: u64,
    refused: Vec<RefusedFields<'a>>,
}

#[derive(Serialize)]
struct RefusedFields<'a> {
    keys_file: Cow<'a, str>,
    error: ErrorFields,
}

impl From<&ItemError> for ErrorFields {
    fn from(error: &ItemError) -> Self {
        Self {
            class: error.exit_class().name(),
            exit_code: error.exit_class().code(),
            message: error.to_string(),
            remedy: error.remedy(),
        }
    }
}

#[derive(Serialize)]
struct BenchFields<'a> {
    hash: &'a str,
    id: u8,
    keys: usize,
    attempts: u64,
    vertex_collisions: u64,
    cyclic: u64,
    solved: u64,
    first_solved: Option<u64>,
    cpu_seconds: f64,
    refused: Option<String>,
}

/// The line of a family in a benchmark.
pub(crate) fn bench_line(
    family: Family,
    keys: &KeySet,
    verdict: Result<Verdict, PlanError>,
    time: Duration,
) -> String {
    let tally = verdict.as_ref().map(|verdict| verdict.tally).unwrap_or_default();
    line(
        "bench",
        BenchFields {
            hash: family.name(),
            id: family.id(),
            keys: keys.len(),
            attempts: tally.attempts(),
            vertex_collisions: tally.vertex_collisions,
            cyclic: tally.cyclic,
            solved: tally.acyclic,
            first_solved: verdict.as_ref().ok().and_then(|verdict| Some(verdict.win()?.attempt)),
            cpu_seconds: time.as_secs_f64(),
            refused: verdict.err().map(|refusal| refusal.to_string()),
        },
    )
}

/// The line of a table.
pub(crate) fn table_line(report: &ItemReport) -> String {
    let search = report.search.as_ref().map(|search| SearchFields {
        edge_capacity: search.edge_capacity,
        vertices: search.vertices,
        hash: search.hash.name(),
        seeds: search.seeds.of_family(search.hash),
        attempts: search.attempts,
        winning_attempt: search.winning_attempt,
        vertex_collisions: search.vertex_collisions,
        cyclic: search.cyclic,
        solved: search.attempts - search.vertex_collisions - search.cyclic,
        grows: search.grows,
        solve_seconds: search.seconds,
    });
    let error = report.error.as_ref().map(ErrorFields::from);
    let keys_file = report.keys_file.to_string_lossy();
    line(
        "table",
        TableFields {
            keys_file: &keys_file,
            table: &report.identifier,
            status: report.status.name(),
            keys: report.keys,
            search,
            bytes: report.bytes,
            files: report.files,
            error,
        },
    )
}

/// The line that ends a run.
pub(crate) fn summary_line(summary: &Summary, threads_max: usize, exit: Exit) -> String {
    line(
        "summary",
        SummaryFields {
            tables: summary.tables,
            ok: summary.ok,
            unchanged: summary.unchanged,
            failed: summary.failed,
            cancelled: summary.cancelled,
            keys: summary.keys,
            wall_seconds: summary.wall_seconds,
            cpu_seconds: summary.cpu_seconds,
            bytes: summary.bytes,
            files: summary.files,
            threads_max,
            memory_peak_bytes: machine::memory_peak_bytes(),
            exit_code: exit.code(),
        },
    )
}

/// The line of what a run would do.
pub(crate) fn dry_run_line(plan: &DryRun) -> String {
    let refused = plan.refused.iter().map(|(path, error)| RefusedFields {
        keys_file: path.to_string_lossy(),
        error: error.into(),
    });
    line(
        "dry_run",
        DryRunFields {
            tables: plan.tables,
            keys: plan.keys,
            files: plan.files,
            bytes: plan.bytes,
            refused: refused.collect(),
        },
    )
}

fn line<T: Serialize>(r#type: &str, fields: T) -> String {
    serde_json::to_string(&Line { schema: SCHEMA, r#type, fields })
        .expect("lines hold strings and numbers only")
}
