//! Answers of the daemon.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use perfecta_jobs::Progress;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use crate::report::{ErrorLine, SummaryLine, TableLine};

/// The version of the protocol; a client and a daemon of different versions do not talk.
pub const PROTOCOL: u32 = 1;

/// The header that carries [`PROTOCOL`], both ways. A client that sends none is taken for a current
/// one.
pub const PROTOCOL_HEADER: &str = "perfecta-protocol";

/// The header of a list of requests that there is more of: what to ask for the rest with, as `after`.
pub(crate) const NEXT_HEADER: &str = "perfecta-next";

/// A request was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// Its id.
    pub id: String,
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// Its key files are not known yet.
    Queued,
    /// Its items run, or wait.
    Running,
    /// Everything that could be done was done; single tables may have failed.
    Done,
    /// It was cancelled before all was done.
    Cancelled,
    /// Its deadline came before all was done.
    Expired,
    /// It could not run.
    Failed,
}

impl RequestState {
    /// All states, in the order in which a request may come to them.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Done, Self::Cancelled, Self::Expired, Self::Failed];

    /// The state as a word, the same in answers, metrics and the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing will change any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Done | Self::Cancelled | Self::Expired | Self::Failed => true,
        }
    }
}

/// A state as a client is told it: that of a later daemon may have a word of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StateTold {
    /// One of this version.
    Known(RequestState),
    /// The word of a later one.
    Unknown(String),
}

impl StateTold {
    /// The state as a word.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Known(state) => state.name(),
            Self::Unknown(word) => word,
        }
    }
}

/// A request: where it is, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = RequestStatus)]
pub struct RequestStatus<S = RequestState> {
    /// Its id.
    pub id: String,
    /// Where it is.
    #[schema(value_type = RequestState)]
    pub state: S,
    /// When it was accepted, in milliseconds since 1970.
    #[serde(default)]
    pub accepted_unix_ms: u64,
    /// When it ended, if it has.
    #[serde(default)]
    pub ended_unix_ms: Option<u64>,
    /// The directory that its tables are published in, absolute, if they are published.
    #[serde(default)]
    pub output: Option<String>,
    /// Counts of its items, once they are known.
    pub progress: Option<ProgressLine>,
    /// What it came to, if it ran.
    pub summary: Option<SummaryLine>,
    /// Why it could not run.
    pub error: Option<ErrorLine>,
    /// Why it was cancelled, if it was not asked for.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Where the items of a request are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct ProgressLine {
    /// Items.
    pub tables: u32,
    /// Not begun.
    pub queued: u32,
    /// Begun.
    pub running: u32,
    /// Built.
    pub ok: u32,
    /// Published already.
    pub unchanged: u32,
    /// Failed.
    pub failed: u32,
    /// Cancelled.
    pub cancelled: u32,
    /// Keys of settled items.
    pub keys_done: u64,
    /// Keys of all items.
    pub keys_total: u64,
    /// Seconds since it began.
    pub wall_seconds: f64,
    /// The running item with the most attempts.
    pub hardest: Option<HardestLine>,
}

/// A running item that takes many attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HardestLine {
    /// The key file; what of its name is not UTF-8 is replaced where it is sent.
    #[serde(serialize_with = "shown")]
    #[schema(value_type = String)]
    pub keys_file: PathBuf,
    /// Attempts so far.
    pub attempts: u64,
}

fn shown<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

impl From<&Progress> for ProgressLine {
    fn from(progress: &Progress) -> Self {
        let ledger = &progress.ledger;
        Self {
            tables: ledger.admitted(),
            queued: ledger.queued(),
            running: ledger.running(),
            ok: ledger.ok(),
            unchanged: ledger.unchanged(),
            failed: ledger.failed(),
            cancelled: ledger.cancelled(),
            keys_done: progress.keys_done,
            keys_total: progress.keys_total,
            wall_seconds: progress.wall_seconds,
            hardest: progress.hardest.as_ref().map(|hardest| HardestLine {
                keys_file: hardest.keys_file.clone(),
                attempts: hardest.attempts,
            }),
        }
    }
}

impl ProgressLine {
    /// Items in a final state.
    #[must_use]
    pub const fn settled(&self) -> u32 {
        self.ok + self.unchanged + self.failed + self.cancelled
    }

    /// Items that are in no state, or in two: 0, or the counts are wrong.
    #[must_use]
    pub fn difference(&self) -> i64 {
        let placed = self.queued + self.running + self.settled();
        i64::from(self.tables) - i64::from(placed)
    }

    /// Seconds to go, by keys; `None` before anything is done.
    #[must_use]
    pub fn seconds_left(&self) -> Option<f64> {
        let left = self.keys_total - self.keys_done;
        (self.keys_done > 0).then(|| self.wall_seconds * left as f64 / self.keys_done as f64)
    }
}

/// A page of a request's items, in the order in which they settled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Items {
    /// Items that have settled so far.
    pub settled: usize,
    /// The number of the first of these.
    pub offset: usize,
    /// The items.
    pub items: Vec<TableLine>,
}

/// A daemon that is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ping {
    /// Of the program.
    pub version: Cow<'static, str>,
    /// Of the wire.
    pub protocol: u32,
    /// How it was built.
    pub build: Cow<'static, str>,
    /// Its process.
    pub process: u32,
    /// Seconds since it began.
    pub uptime_seconds: f64,
    /// Requests that have not ended.
    pub requests_outstanding: usize,
    /// Key files in hand.
    pub items_running: u64,
    /// Key files that wait.
    pub items_queued: u64,
    /// Whether it ends, and takes no request any more.
    pub is_draining: bool,
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_name_that_is_no_text_is_told_all_the_same() {
        let keys_file = OsStr::from_bytes(b"k\xff.keys").into();
        let line = serde_json::to_string(&HardestLine { keys_file, attempts: 1 }).unwrap();
        assert_eq!(line, "{\"keys_file\":\"k\u{fffd}.keys\",\"attempts\":1}");
    }
}
