//! File operations as owned values: an [`Op`] is submitted with a [`Token`], and its
//! [`Completion`] comes back exactly once.
//!
//! The grain is a whole file or a whole directory, because that is what measurement favours: the
//! kernel creates files synchronously whatever the interface, so "write this directory" is one
//! operation of plain calls. A backend owns every buffer from submission to completion. One engine
//! belongs to one worker thread.
//!
//! This crate knows nothing of jobs, keys or tables.

mod engine;
mod error;
mod op;

mod blocking;
mod sys;

pub use self::blocking::BlockingEngine;
pub use self::engine::{Completion, Engine, Token};
pub use self::error::{IoError, IoErrorKind, Operation};
pub use self::op::{
    Entry, EntryKind, Failure, FileContent, Held, Listing, Op, Outcome, Payload, Replace, Symlinks,
};
