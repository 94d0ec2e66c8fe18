//! The interface to whatever turns a table into files.

use perfecta_core::geometry::Geometry;
use perfecta_core::key::{KeySet, KeyWidth};
use perfecta_core::search::Verdict;
use perfecta_core::table::Table;
use perfecta_io::FileContent;

use crate::error::ItemError;

/// Turns tables into artifacts. One for all workers.
///
/// What it writes depends on its arguments and its own options alone.
pub trait Renderer: Sync {
    /// A line that names everything that shapes the bytes: kinds of artifacts, versions, options.
    /// Bundles of equal inputs, equal searches and equal fingerprints are equal.
    fn fingerprint(&self) -> String;

    /// The artifacts of a table, in a fixed order, without the manifest.
    ///
    /// # Errors
    /// [`RenderError`] if the table cannot be expressed.
    fn render(
        &self,
        facts: &Facts<'_>,
        table: &Table,
        files: &mut Vec<FileContent>,
    ) -> Result<(), RenderError>;

    /// Checks bytes that were read back: whatever among `files` can be decoded here must decode,
    /// and give every key of `keys`, where they are known, its rank.
    ///
    /// # Errors
    /// [`ItemError::Verify`] or [`ItemError::Damaged`].
    fn check(&self, files: &[FileContent], keys: Option<&KeySet>) -> Result<(), ItemError>;

    /// About what the artifacts of a set of so many keys come to, for `--dry-run`.
    fn estimate(&self, num_keys: u64, width: KeyWidth, geometry: Geometry) -> Estimate;
}

/// Lays the tables of a whole job into one file: header, entries in the order of the plan, index.
///
/// What it writes depends on its arguments and its own options alone.
pub trait Packer: Sync {
    /// A line that names everything that shapes the bytes; see [`Renderer::fingerprint`].
    fn fingerprint(&self) -> String;

    /// The bytes before the first entry.
    fn header(&self) -> Vec<u8>;

    /// The entry of a table, padded so that another can follow it.
    ///
    /// # Errors
    /// [`RenderError`] if the table cannot be expressed.
    fn entry(&self, facts: &Facts<'_>, table: &Table) -> Result<Vec<u8>, RenderError>;

    /// The bytes after the last entry.
    fn index(&self, entries: &[PackedEntry]) -> Vec<u8>;

    /// Checks an entry that was read back: it must decode, and give every key of `keys`, where they
    /// are known, its rank.
    ///
    /// # Errors
    /// [`ItemError::Verify`] or [`ItemError::Damaged`].
    fn check(&self, entry: &[u8], keys: Option<&KeySet>) -> Result<(), ItemError>;
}

/// Where a table lies in a packed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedEntry {
    /// Where its directory would be: the key file's directory below the input's root, and the
    /// identifier, with `/` between.
    pub name: String,
    /// Where its entry begins.
    pub offset: u64,
    /// Bytes of the entry, padding included.
    pub bytes: u64,
    /// Keys of the table.
    pub num_keys: u64,
    /// Hash of the key file.
    pub keys_blake3: [u8; 32],
}

/// What is known of a table beside the table.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The table's name: `[A-Za-z_][A-Za-z0-9_]*`.
    pub identifier: &'a str,
    /// Name of the key file, without directories; not UTF-8 parts replaced.
    pub keys_file: &'a str,
    /// Hash of the key file's bytes.
    pub keys_blake3: [u8; 32],
    /// Bytes of the key file.
    pub keys_file_bytes: u64,
    /// The keys.
    pub keys: &'a KeySet,
    /// What the attempts came to.
    pub verdict: &'a Verdict,
}

/// A table that cannot be expressed in an artifact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{artifact} cannot be rendered: {reason}")]
pub struct RenderError {
    /// The artifact.
    pub artifact: String,
    /// Why not.
    pub reason: String,
}

/// Files and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Estimate {
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}
