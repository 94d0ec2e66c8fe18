//! Key sets and clocks of the look-up benchmark.

pub mod clock;
pub mod sets;
