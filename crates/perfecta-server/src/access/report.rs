//! What `/v1/config` says of access and its limits.

use std::path::PathBuf;

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    ANSWER_TIME_MAX, Access, BODIES_BYTES_MAX, BODY_TIME_MAX, FILES_NAMED_USER_MAX,
    OUTSTANDING_USER_MAX,
};
use crate::daemon::STALL_TIME_MAX;

/// Who may ask for what, and how much; nothing secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccessReport {
    /// Empty: everywhere.
    #[schema(value_type = Vec<String>)]
    roots: Vec<PathBuf>,
    #[schema(value_type = Option<String>)]
    output_root: Option<PathBuf>,
    users_allowed: Vec<u32>,
    connections_max: usize,
    connections_user_max: usize,
    connections_tcp_max: usize,
    requests_outstanding_user_max: usize,
    files_named_user_max: usize,
    items_queued_max: u64,
    bodies_bytes_max: usize,
    idle_seconds_max: f64,
    body_seconds_max: f64,
    answer_seconds_max: f64,
    unread_seconds_max: f64,
}

impl AccessReport {
    pub(crate) fn of(access: &Access) -> Self {
        let roots = access.roots.iter().flat_map(|roots| roots.paths());
        let limits = &access.limits;
        Self {
            roots: roots.map(PathBuf::from).collect(),
            output_root: access.output_root.clone(),
            users_allowed: access.users.clone(),
            connections_max: limits.connections_max.get(),
            connections_user_max: limits.connections_user_max(),
            connections_tcp_max: limits.connections_tcp_max(),
            requests_outstanding_user_max: OUTSTANDING_USER_MAX,
            files_named_user_max: FILES_NAMED_USER_MAX,
            items_queued_max: limits.items_queued_max,
            bodies_bytes_max: BODIES_BYTES_MAX,
            idle_seconds_max: limits.idle_max.as_secs_f64(),
            body_seconds_max: BODY_TIME_MAX.as_secs_f64(),
            answer_seconds_max: ANSWER_TIME_MAX.as_secs_f64(),
            unread_seconds_max: STALL_TIME_MAX.as_secs_f64(),
        }
    }
}
