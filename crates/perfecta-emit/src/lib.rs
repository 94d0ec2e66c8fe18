//! Renders tables as artifacts: source code in several languages, the table file, the manifest.
//!
//! ```text
//! TableView, names, keys -> Description -> one straight function per language -> any Write
//! ```
//!
//! [`Description`] says all that a language needs, and no language is special to it. A
//! [`Bundle`] pairs a description with the registry of [`ArtifactKind`]s. To add a
//! language, write one file beside `language/c.rs` and one line in `artifact.rs`.
//!
//! ```
//! # use perfecta_core::{graph::Scratch, key::{KeySet, Repair}, search::{Plan, search}};
//! use perfecta_emit::{ArtifactKinds, Bundle, Description, Identifier, OriginalName, SelfTestKeys};
//!
//! # let keys = KeySet::from_u32(vec![2, 3, 5, 7], Repair::default()).unwrap();
//! # let found = search(&keys, &Plan::default(), &mut Scratch::default(), &|| true).unwrap();
//! # let table = found.table.unwrap();
//! # let encode_table = || Vec::new();
//! let name = OriginalName::new("primes.keys");
//! let identifier = Identifier::of_file_name(name.as_bytes());
//! let keys = SelfTestKeys::Omitted;
//! let description = Description::new(table.view(), &identifier, &name, keys, &encode_table);
//! let bundle = Bundle::new(description, "c,rust".parse::<ArtifactKinds>().unwrap());
//! for artifact in bundle.artifacts() {
//!     let mut text = Vec::new();
//!     artifact.render(&mut text).unwrap();
//!     assert_eq!(artifact.size_bytes(), text.len() as u64);
//! }
//! let names: Vec<_> = bundle.artifacts().map(|artifact| artifact.file_name()).collect();
//! assert_eq!(names, ["primes.h", "primes.rs"]);
//! ```
//!
//! This crate opens no file, reads no clock and searches nothing. The same table and names give the
//! same bytes, always.

pub mod identifier;
pub mod original_name;

pub mod description;
pub mod formula;

pub mod artifact;
pub mod bundle;
mod language;
mod numbers;
mod output;

pub mod hashing;
pub mod manifest;
pub mod source;

pub use self::artifact::{ArtifactKind, ArtifactKinds, UnknownArtifact};
pub use self::bundle::{Artifact, Bundle};
pub use self::description::{Description, SelfTestKeys};
pub use self::hashing::ContentHash;
pub use self::identifier::{Identifier, IdentifierError};
pub use self::manifest::{Manifest, ManifestError};
pub use self::original_name::OriginalName;
