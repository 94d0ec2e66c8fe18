//! The daemon's limits that nobody sets, as `/v1/config` tells them; `docs/operations.md` lists them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::access::BODY_BYTES_MAX;
use crate::api::{IDEMPOTENCY_KEY_BYTES_MAX, ITEMS_MAX, WAIT_MAX};
use crate::daemon::{
    CONNECTION_BYTES_MAX, ENDED_MAX, FILES_NAMED_MAX, HEAD_TIME_MAX, JOBS_ACTIVE_MAX,
    OUTSTANDING_MAX, TABLES_MAX,
};
use crate::spec::{FILES_MAX, PATH_BYTES_MAX, PATTERN_BYTES_MAX, PATTERNS_BYTES_MAX, PATTERNS_MAX};

/// The limits.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FixedLimits {
    /// Requests that have not ended.
    requests_outstanding_max: usize,
    /// Key files that these name.
    files_named_max: usize,
    /// Requests that have, and are kept.
    requests_ended_max: usize,
    /// Tables that these tell of, and key files that they name, together.
    tables_kept_max: usize,
    /// Requests whose key files are known at once.
    jobs_active_max: usize,
    /// What is read of a connection before it is understood.
    connection_bytes_max: usize,
    /// How long the head of a message may take.
    head_seconds_max: u64,
    /// The body of a request.
    body_bytes_max: usize,
    /// Key files that a request names.
    files_max: usize,
    /// Patterns that it includes, or excludes.
    patterns_max: usize,
    /// Bytes of one.
    pattern_bytes_max: usize,
    /// Bytes of all that it has.
    patterns_bytes_max: usize,
    /// Bytes of a path.
    path_bytes_max: usize,
    /// Characters of an idempotency key.
    idempotency_key_bytes_max: usize,
    /// Items of a page.
    items_max: usize,
    /// How long a poll may wait.
    wait_ms_max: u64,
}

/// The limits, each from where it is kept.
pub(crate) const LIMITS: FixedLimits = FixedLimits {
    requests_outstanding_max: OUTSTANDING_MAX,
    files_named_max: FILES_NAMED_MAX,
    requests_ended_max: ENDED_MAX,
    tables_kept_max: TABLES_MAX,
    jobs_active_max: JOBS_ACTIVE_MAX.get(),
    connection_bytes_max: CONNECTION_BYTES_MAX,
    head_seconds_max: HEAD_TIME_MAX.as_secs(),
    body_bytes_max: BODY_BYTES_MAX,
    files_max: FILES_MAX,
    patterns_max: PATTERNS_MAX,
    pattern_bytes_max: PATTERN_BYTES_MAX,
    patterns_bytes_max: PATTERNS_BYTES_MAX,
    path_bytes_max: PATH_BYTES_MAX,
    idempotency_key_bytes_max: IDEMPOTENCY_KEY_BYTES_MAX,
    items_max: ITEMS_MAX,
    wait_ms_max: WAIT_MAX.as_secs() * 1_000,
};
