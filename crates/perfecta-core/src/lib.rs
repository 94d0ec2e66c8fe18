//! Turns a set of keys into an order-preserving perfect hash table: `index(key)` is the key's rank
//! in the sorted set, read from two vertices of a graph without probing or comparison.
//!
//! The way of the data, left to right; a later stage borrows the results of earlier ones and never
//! calls back:
//!
//! ```text
//! bytes -> KeySet -> Seeds -> attempt: vertices -> graph -> peel order -> assigned -> Table -> .pht
//! ```
//!
//! This crate does no I/O, reads no clock, starts no thread and asks no environment: whoever calls
//! it brings these. Without the feature `alloc` only the look-up side remains.

#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(feature = "alloc")]
pub mod interrupt;

pub mod key;
mod philox;
pub mod seeds;

pub mod family;
pub mod geometry;

#[cfg(feature = "alloc")]
pub mod graph;
#[cfg(feature = "alloc")]
pub mod search;

pub mod table;

pub mod format;
