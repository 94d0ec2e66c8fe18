//! What is told of tables and runs: the fields of the lines that commands print and that the daemon
//! sends, documented in `docs/formats.md`.
//!
//! Fields are added, never renamed or taken away, within one number of [`SCHEMA`].

use std::path::Path;

use perfecta_jobs::{ExitClass, ItemError, ItemReport, JobError, Summary};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The version of all lines.
pub const SCHEMA: u32 = 1;

/// A line: its type and its fields.
#[derive(Debug, Serialize)]
pub struct Line<'a, T> {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What the fields are.
    pub r#type: &'a str,
    /// The fields.
    #[serde(flatten)]
    pub fields: T,
}

/// What came of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TableLine {
    /// The key file.
    pub keys_file: String,
    /// The table's name.
    pub table: String,
    /// `ok`, `unchanged`, `failed` or `cancelled`.
    pub status: String,
    /// Keys in the set.
    pub keys: u64,
    /// The search, if there was one to its end.
    #[serde(flatten)]
    pub search: Option<SearchLine>,
    /// Bytes written.
    pub bytes: u64,
    /// Files written.
    pub files: u32,
    /// Why there is no table.
    pub error: Option<ErrorLine>,
}

/// What a search came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SearchLine {
    /// Edges that the graph could hold.
    pub edge_capacity: u32,
    /// Its vertices.
    pub vertices: u32,
    /// The hash family.
    pub hash: String,
    /// Its seeds.
    pub seeds: Vec<u32>,
    /// Attempts made.
    pub attempts: u64,
    /// The winner's number.
    pub winning_attempt: Option<u64>,
    /// Attempts in which some key had the same vertex twice.
    pub vertex_collisions: u64,
    /// Attempts whose graph held a cycle.
    pub cyclic: u64,
    /// Attempts that succeeded.
    pub solved: u64,
    /// Doublings.
    pub grows: u8,
    /// Wall time.
    pub solve_seconds: f64,
}

/// Why there is no table, or no run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorLine {
    /// The class as a word.
    pub class: String,
    /// The exit code of a run that has just this.
    pub exit_code: u8,
    /// What is wrong.
    pub message: String,
    /// What can be done about it.
    pub remedy: Option<String>,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SummaryLine {
    /// Items.
    pub tables: u32,
    /// Built.
    pub ok: u32,
    /// Published already.
    pub unchanged: u32,
    /// Failed.
    pub failed: u32,
    /// Cancelled.
    pub cancelled: u32,
    /// Keys of the tables that there are.
    pub keys: u64,
    /// Wall time.
    pub wall_seconds: f64,
    /// CPU time of the process meanwhile.
    pub cpu_seconds: f64,
    /// Bytes published.
    pub bytes: u64,
    /// Files published.
    pub files: u64,
    /// The most threads of the process.
    pub threads_max: usize,
    /// The most memory that the process ever had resident.
    pub memory_peak_bytes: Option<u64>,
    /// How the command ends.
    pub exit_code: u8,
}

/// What the process has used.
#[derive(Debug, Clone, Copy)]
pub struct ProcessUse {
    /// The most threads of the process.
    pub threads_max: usize,
    /// The most memory that the process ever had resident.
    pub memory_peak_bytes: Option<u64>,
}

impl TableLine {
    /// The line of a report, its key file as the user named it.
    #[must_use]
    pub fn of(report: &ItemReport, keys_file: &Path) -> Self {
        Self {
            keys_file: keys_file.to_string_lossy().into_owned(),
            table: report.identifier.clone(),
            status: report.status.name().to_owned(),
            keys: report.keys,
            search: report.search.as_ref().map(SearchLine::from),
            bytes: report.bytes,
            files: report.files,
            error: report.error.as_ref().map(ErrorLine::from),
        }
    }
}

impl From<&perfecta_jobs::SearchReport> for SearchLine {
    fn from(search: &perfecta_jobs::SearchReport) -> Self {
        Self {
            edge_capacity: search.edge_capacity,
            vertices: search.vertices,
            hash: search.hash.name().to_owned(),
            seeds: search.seeds.of_family(search.hash).to_vec(),
            attempts: search.attempts,
            winning_attempt: search.winning_attempt,
            vertex_collisions: search.vertex_collisions,
            cyclic: search.cyclic,
            solved: search.attempts - search.vertex_collisions - search.cyclic,
            grows: search.grows,
            solve_seconds: search.seconds,
        }
    }
}

impl ErrorLine {
    /// An error of a class.
    #[must_use]
    pub fn new(class: ExitClass, message: String, remedy: Option<&str>) -> Self {
        let remedy = remedy.map(ToOwned::to_owned);
        Self { class: class.name().to_owned(), exit_code: class.code(), message, remedy }
    }
}

impl From<&ItemError> for ErrorLine {
    fn from(error: &ItemError) -> Self {
        Self::new(error.exit_class(), error.to_string(), error.remedy())
    }
}

impl From<&JobError> for ErrorLine {
    fn from(error: &JobError) -> Self {
        Self::new(error.exit_class(), error.to_string(), error.remedy())
    }
}

impl SummaryLine {
    /// The line of a summary.
    #[must_use]
    pub const fn of(summary: &Summary, process: ProcessUse, exit_code: u8) -> Self {
        Self {
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
            threads_max: process.threads_max,
            memory_peak_bytes: process.memory_peak_bytes,
            exit_code,
        }
    }
}

/// A line as text.
///
/// # Panics
/// Never: lines hold strings and numbers only.
pub fn line<T: Serialize>(r#type: &str, fields: T) -> String {
    serde_json::to_string(&Line { schema: SCHEMA, r#type, fields })
        .expect("lines hold strings and numbers only")
}
