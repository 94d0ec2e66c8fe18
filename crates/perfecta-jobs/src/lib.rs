//! Jobs: from key files to published tables, many at once, each all or nothing.
//!
//! ```text
//! Job (what) + Runtime (with what) -> run -> events -> Observer
//!                                      `-> Summary
//! ```
//!
//! Items, ledger, schedule and publish plan are machines that take an event and return what is to
//! be done; they do no I/O. [`Runtime`] joins them with engines and worker threads, and is the only
//! place with threads and a clock. The same input and options give the same bytes for any number
//! of threads.

mod apart;
mod artifacts;
mod config;
mod error;
mod event;
mod names;
mod render;

mod item;
mod job;
mod ledger;
mod manifest;
mod pack;
mod packed;
mod places;
mod schedule;
mod stage;

mod hard;
mod runtime;
mod verify;
mod worker;

pub use self::artifacts::{Artifacts, SelfTest};
pub use self::config::{
    Conflicts, Durability, Inputs, Job, KeyEncoding, KeyOptions, Layout, Limits, Output, WidthRule,
};
pub use self::error::{ExitClass, ItemError, JobError};
pub use self::event::{
    DryRun, Event, Hardest, ItemReport, Observer, Progress, SearchReport, Status, Summary,
};
pub use self::ledger::Ledger;
pub use self::names::{NameFilter, PatternError};
pub use self::render::{Estimate, Facts, RenderError, RenderedFile, Renderer};
pub use self::runtime::{CancelFlag, Clock, EngineSource, Runtime, SystemClock, dry_run, run};
pub use self::verify::{Verification, verify};
