//! What went wrong in an earlier system of this kind, row by row, and cannot go wrong here.
//!
//! `docs/regressions.md` has all rows: what each promises, its test or why it cannot apply, and what
//! was broken to see the test fail.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod stepped;
mod told;

mod accounting;
mod ending;
mod helping;
mod listed;
mod memory;
mod output;
mod waiting;

#[path = "../common/mod.rs"]
mod common;
