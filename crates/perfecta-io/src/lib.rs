//! File operations as owned values: an [`Op`] is submitted with a [`Token`], and its
//! [`Completion`] comes back exactly once.
//!
//! ```text
//!  Engine (who waits for what)   blocking · io_uring · simulated
//!     `-> ops (what is done, call by call)
//!            `-> System (the calls)   host · simulated · either with faults
//! ```
//!
//! The grain is a whole file or a whole directory, because that is what measurement favours: the
//! kernel creates files synchronously whatever the interface, so "write this directory" is one
//! operation of plain calls. A backend owns every buffer from submission to completion. One engine
//! belongs to one worker thread.
//!
//! This crate knows nothing of jobs, keys or tables.

// What is asked for, and what is told.
mod buffer;
mod clock;
mod engine;
mod error;
mod op;
mod thousands;

// What an operation does, over any machine's calls.
mod ops;
mod system;

mod host;
mod roots;

// The backends, and who waits for them.
mod blocking;
mod engines;
mod io_threads;
mod mailbox;
mod monitor;
#[cfg(ring)]
mod uring;
#[cfg(not(ring))]
#[path = "uring/absent.rs"]
mod uring;

pub mod pool;
pub mod topology;

// For tests: machines of which everything is known.
#[cfg(feature = "simulation")]
mod faults;
#[cfg(feature = "simulation")]
mod random;
#[cfg(feature = "simulation")]
mod simulated;

pub use self::blocking::BlockingEngine;
pub use self::buffer::Buffer;
pub use self::clock::{Clock, SystemClock};
pub use self::engine::{Completion, Engine, Token, call};
pub use self::engines::{Backend, BackendError, Engines, RingRefusal};
pub use self::error::{IoError, IoErrorKind, Operation, remedy_for_errno};
#[cfg(feature = "simulation")]
pub use self::faults::{Call, Fault, FaultPlan};
pub use self::io_threads::IoThreads;
pub use self::op::{
    Entry, EntryKind, Failure, FileContent, Held, Interrupt, Lengths, Listing, Op, Outcome,
    Payload, Replace, Symlinks,
};
#[cfg(feature = "simulation")]
pub use self::random::Random;
pub use self::roots::{RootError, Roots};
#[cfg(feature = "simulation")]
pub use self::simulated::{PowerCut, SimulatedEngine, SimulatedMachine};
pub use self::thousands::thousands;
#[cfg(ring)]
pub use self::uring::UringEngine;
