//! The daemon: jobs over HTTP on a local socket; and the client of it.
//!
//! ```text
//!  client ---HTTP---> control thread ---orders---> data thread ---jobs---> Session, workers
//!                      |   records  <---events----------------------------------'
//!                      `---> answers, event streams
//! ```
//!
//! The control thread serves all connections and never computes; workers never wait for a client.
//! What was told of a request lies in its record, and whoever asks reads it from there: a slow reader
//! holds nothing back, and no queue grows.

// What is said on the wire.
mod problem;
mod random;
mod report;
mod spec;
mod wire;

// The daemon.
mod access;
mod answers;
mod api;
mod body;
mod clock;
mod crash;
mod daemon;
mod dashboard;
mod endpoint;
mod follow;
mod history;
mod journal;
mod limits;
mod metrics;
mod openapi;
mod overview;
mod record;
mod registry;
mod sockets;
mod state;

pub mod client;

#[cfg(any(test, feature = "fuzzing"))]
pub mod hostile;

pub use self::access::{Access, ClientLimits, Tcp, TcpError, TcpFiles, Token, TokenError};
pub use self::daemon::{News, ServeError, ServeOptions, Supervisor, is_hang_up_ignored, serve};
pub use self::endpoint::{Endpoint, EndpointError};
pub use self::journal::JournalError;
pub use self::problem::{Problem, ProblemKind};
pub use self::report::{
    ErrorLine, Line, ProcessUse, SCHEMA, SearchLine, SummaryLine, TableLine, line,
};
pub use self::sockets::runtime;
pub use self::spec::{
    Bounds, InputSpec, JobSpec, KeySize, KeySpec, LayoutSpec, LimitSpec, OutputSpec, SearchSpec,
    ShareSpec,
};
pub use self::state::{StateDirectory, StateError, own_session, private_file};
pub use self::wire::{
    Accepted, HardestLine, Items, PROTOCOL, PROTOCOL_HEADER, Ping, ProgressLine, RequestState,
    RequestStatus, StateTold,
};
