//! Lines for machines: one JSON object a line, documented in `docs/formats.md`.

use std::borrow::Cow;
use std::time::Duration;

use perfecta_core::family::Family;
use perfecta_core::key::KeySet;
use perfecta_core::search::{PlanError, Verdict};
use perfecta_jobs::DryRun;
use perfecta_server::{Accepted, ErrorLine, ProcessUse, SummaryLine, TableLine, line};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::machine;

#[derive(Serialize)]
struct DryRunFields<'a> {
    tables: u32,
    keys: u64,
    files: u64,
    bytes: u64,
    refused: Vec<RefusedFields<'a>>,
    exit_code: u8,
}

#[derive(Serialize)]
struct RefusedFields<'a> {
    keys_file: Cow<'a, str>,
    error: ErrorLine,
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

#[derive(Serialize)]
struct ForgottenFields<'a> {
    id: &'a str,
}

#[derive(Serialize)]
struct HashFields {
    hash: &'static str,
    id: u8,
    hashed_bits: &'static [u32],
    takes_key_zero: bool,
    seed_masks: Vec<u32>,
}

/// The line of a family in a list.
pub(crate) fn hash_line(family: Family, takes_key_zero: bool) -> String {
    line(
        "hash",
        HashFields {
            hash: family.name(),
            id: family.id(),
            hashed_bits: if family.hashes_64() { &[32, 64] } else { &[32] },
            takes_key_zero,
            seed_masks: (1..=usize::from(family.num_seeds()))
                .map(|n| family.free_mask(n))
                .collect(),
        },
    )
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
pub(crate) fn table_line(table: &TableLine) -> String {
    line("table", table)
}

/// The line that ends a run.
pub(crate) fn summary_line(summary: &SummaryLine) -> String {
    line("summary", summary)
}

/// The line that ends a command that did not do its work, in the place of another last one.
pub(crate) fn error_line(failure: &Failure) -> String {
    let remedy = failure.remedy().map(ToOwned::to_owned);
    let (class, exit_code) = (failure.class().to_owned(), failure.exit().code());
    line("error", ErrorLine { class, exit_code, message: failure.to_string(), remedy })
}

/// The line of a request that was accepted, and is not waited for.
pub(crate) fn accepted_line(id: &str) -> String {
    line("accepted", Accepted { id: id.to_owned() })
}

/// The line of a request that the daemon keeps no more.
pub(crate) fn forgotten_line(id: &str) -> String {
    line("forgotten", ForgottenFields { id })
}

/// What this process has used.
pub(crate) fn process_use(threads_max: usize) -> ProcessUse {
    ProcessUse { threads_max, memory_peak_bytes: machine::memory_peak_bytes() }
}

/// The line of what a run would do.
pub(crate) fn dry_run_line(plan: &DryRun, exit: Exit) -> String {
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
            exit_code: exit.code(),
        },
    )
}
