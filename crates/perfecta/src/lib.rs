//! Order-preserving perfect hash tables: `index(key)` is the key's rank in the sorted set of keys, in
//! two loads and a few instructions, without probing and without a comparison.
//!
//! Tables come from files, written by the program `perfecta` or by `build` in process:
//!
//! ```
//! # #[cfg(feature = "build")] {
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("ports.pht");
//! # std::fs::write(&path, perfecta::build::table_from_u32(vec![22, 80, 443])?.table.as_bytes())?;
//! let table = perfecta::Table::load(&path)?;
//! assert_eq!(table.index(443u32), 2);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where there are no files, from bytes that the program holds, with neither `std` nor an allocator:
//!
//! ```
//! # const PORTS: &[u8] = include_bytes!("../tests/ports.pht");
//! // const PORTS: &[u8] = include_bytes!("ports.pht");
//! let table = perfecta::decode(PORTS)?;
//! assert_eq!(table.index(80u32), 1);
//! # Ok::<(), perfecta::FormatError>(())
//! ```
//!
//! # Keys that are not in the set
//!
//! A table does not hold its keys. A key of the set gets its rank, from 0 to the number of keys less 1;
//! any other key gets *some* number below [the edge capacity], which may be a rank and may be no
//! rank at all. A program that cannot exclude such keys compares: `keys.get(index) == Some(&key)`, with
//! the sorted keys in an array of its own.
//!
//! # Which way to look up
//!
//! | | nanoseconds |
//! |---|---|
//! | [`TableView::index`], one key of any type in a table of any kind | 0.9 |
//! | [`TableView::lookup`]: a handle for loops, all decided beforehand | 0.9 |
//! | [`TableView::index_batch`], slices of keys | 0.6 |
//!
//! (In a loop, tables that fit the L1 cache, on an AMD Zen 5 core; `docs/benchmarks.md` has the rest.)
//!
//! # Features
//!
//! * `std` (default): `Table` and `Pack`, which read and map files; batches use AVX2 where the CPU
//!   has it. Without it the crate is `no_std` and never allocates.
//! * `build`: the module `build`.
//!
//! [the edge capacity]: perfecta_core::geometry::Geometry::edge_capacity

#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "build")]
pub mod build;
#[cfg(feature = "std")]
mod file;

#[cfg(feature = "std")]
pub use self::file::{LoadError, LoadErrorKind, Pack, Table};

pub use perfecta_core::family::{Family, Reference};
pub use perfecta_core::format::pack::{PackEntry, PackView};
pub use perfecta_core::format::{FormatError, decode, decode_trusting_sections};
pub use perfecta_core::geometry::{ElementWidth, Geometry};
pub use perfecta_core::key::{Downsize, Key, KeyWidth, Run};
pub use perfecta_core::seeds::Seeds;
pub use perfecta_core::table::{Lookup, Parameters, TableView};
