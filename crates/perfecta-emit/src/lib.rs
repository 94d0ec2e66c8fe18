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

pub use self::artifact::{ArtifactKind, ArtifactKinds, UnknownArtifact};
pub use self::bundle::{Artifact, Bundle};
pub use self::description::{Description, SelfTestKeys};
pub use self::hashing::{ContentHash, HashingWriter};
pub use self::identifier::{Identifier, IdentifierError};
pub use self::manifest::{Manifest, ManifestError};
pub use self::original_name::OriginalName;
