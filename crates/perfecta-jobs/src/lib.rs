//! Jobs: from key files to published tables, many at once, each all or nothing.
//!
//! ```text
//! Job (what) + Runtime (with what) -> run -> events -> Observer
//!                                      `-> Summary
//! ```
//!
//! Items, ledger, schedule and publish plan are machines that take an event and return what is to
//! be done; they do no I/O. [`run`] and [`verify`] join them with engines, worker threads and a
//! clock, which come from the [`Runtime`] and are nowhere else. The same input and options give the
//! same bytes for any number of threads.

// What is asked for.
mod config;
mod names;

// What is told.
mod error;
mod event;
mod ledger;

// The plan: which key files, in which order.
mod apart;
mod inputs;
mod planned;
mod schedule;

// The machines, and what they make.
mod board;
mod deadlines;
mod dispatch;
mod item;
mod job;
mod memory;
mod pack;
mod queue;
mod remarks;
mod sleepers;

pub mod activity;

mod artifacts;
mod manifest;
mod options;
mod places;
mod render;

// What carries them out.
mod call;
mod compare;
mod guard;
mod hard;
mod lookout;
mod machine;
mod packed;
mod prepare;
mod runtime;
mod session;
mod spare;
mod stage;
mod sync;
mod watch;
mod work;
mod worker;

mod crew;
mod dry_run;
mod run;
mod verify;

pub use self::artifacts::{Artifacts, SelfTest};
pub use self::config::{
    Conflicts, Doubt, Durability, Inputs, Job, KeyEncoding, KeyOptions, Layout, Limits, NodePolicy,
    Output, Ramp, Share, WidthRule,
};
pub use self::crew::start_workers;
pub use self::dry_run::dry_run;
pub use self::error::{ExitClass, ItemError, JobError, RenderError};
pub use self::event::{
    DryRun, Event, Hardest, ItemReport, Observer, Progress, SearchReport, Summary,
};
pub use self::ledger::{Ledger, Status};
pub use self::machine::{Machine, MachineError, MachineOptions};
pub use self::names::{NameFilter, PassedOver, PatternError};
pub use self::render::{Estimate, Facts, RenderedFile, Renderer};
pub use self::run::run;
pub use self::runtime::{CancelFlag, EngineSource, Runtime};
pub use self::session::{Request, Session, SessionLimits, SessionRuntime, SessionStatistics};
pub use self::verify::{Verification, verify};
pub use self::watch::{Span, Tracer};
pub use self::work::JobId;
pub use self::worker::{Stepped, Worker};
pub use perfecta_io::{Clock, SystemClock};
