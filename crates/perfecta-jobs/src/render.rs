//! The interface to whatever turns a table into files.

use perfecta_core::format;
use perfecta_core::geometry::Geometry;
use perfecta_core::interrupt::{Interrupted, KeepGoing};
use perfecta_core::key::{KeySet, KeyWidth};
use perfecta_core::search::Verdict;
use perfecta_core::table::{Parameters, Table};
use perfecta_emit::{ArtifactKind, Identifier, OriginalName};
use perfecta_io::FileContent;

use crate::error::{ItemError, RenderError};

/// Turns tables into artifacts. One for all workers.
///
/// What it writes depends on its arguments and its own options alone.
pub trait Renderer: Send + Sync {
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
        artifacts: &mut Vec<RenderedFile>,
    ) -> Result<(), RenderError>;

    /// Checks bytes that were read back: whatever among `files` can be decoded here must decode,
    /// and give every key of `keys`, where they are known, its rank. Of large sets, `keep_going` is asked
    /// many times.
    ///
    /// # Errors
    /// [`Interrupted`], if `keep_going` said no; [`ItemError::Verify`] or [`ItemError::Damaged`] is the result.
    fn check(
        &self,
        files: &[FileContent],
        keys: Option<&KeySet>,
        keep_going: &KeepGoing<'_>,
    ) -> Result<Result<(), ItemError>, Interrupted>;

    /// The parameters of the table in `files`, if one of them holds them in a form that is read here: then
    /// a manifest beside it must say the same.
    fn parameters(&self, files: &[FileContent]) -> Option<Parameters> {
        let _ = files;
        None
    }

    /// Whether a file of the table `identifier` may be called so, whatever this one is asked to emit: what
    /// lies beside a manifest that cannot be read is replaced only if all of it is.
    fn may_emit(&self, identifier: &str, name: &str) -> bool {
        ArtifactKind::is_any_file_name(identifier, name)
    }

    /// About what the artifacts of a set of so many keys come to, for `--dry-run`.
    fn estimate(&self, num_keys: u64, width: KeyWidth, geometry: Geometry) -> Estimate;
}

impl<R: Renderer + ?Sized> Renderer for &R {
    fn fingerprint(&self) -> String {
        (**self).fingerprint()
    }

    fn render(
        &self,
        facts: &Facts<'_>,
        table: &Table,
        artifacts: &mut Vec<RenderedFile>,
    ) -> Result<(), RenderError> {
        (**self).render(facts, table, artifacts)
    }

    fn check(
        &self,
        files: &[FileContent],
        keys: Option<&KeySet>,
        keep_going: &KeepGoing<'_>,
    ) -> Result<Result<(), ItemError>, Interrupted> {
        (**self).check(files, keys, keep_going)
    }

    fn parameters(&self, files: &[FileContent]) -> Option<Parameters> {
        (**self).parameters(files)
    }

    fn may_emit(&self, identifier: &str, name: &str) -> bool {
        (**self).may_emit(identifier, name)
    }

    fn estimate(&self, num_keys: u64, width: KeyWidth, geometry: Geometry) -> Estimate {
        (**self).estimate(num_keys, width, geometry)
    }
}

/// A file of a table, in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedFile {
    /// The name of its kind, for the manifest.
    pub kind: &'static str,
    /// Name and bytes.
    pub file: FileContent,
}

/// What is known of a table beside the table.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The table's name.
    pub identifier: &'a Identifier,
    /// Name of the key file, without directories.
    pub keys_file: &'a OriginalName,
    /// Hash of the key file's bytes.
    pub keys_blake3: [u8; 32],
    /// Bytes of the key file.
    pub keys_file_bytes: u64,
    /// The keys.
    pub keys: &'a KeySet,
    /// What the attempts came to.
    pub verdict: &'a Verdict,
}

/// Files and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Estimate {
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Checks a table file that was read back: it must decode, and give every key of `keys`, where they
/// are known, its rank. As [`Renderer::check`].
pub(crate) fn check_image(
    file: &str,
    image: &[u8],
    keys: Option<&KeySet>,
    keep_going: &KeepGoing<'_>,
) -> Result<Result<(), ItemError>, Interrupted> {
    let damaged = |reason: String| ItemError::Damaged { file: file.into(), reason };
    let table = match format::decode(image) {
        Ok(table) => table,
        Err(error) => return Ok(Err(damaged(error.to_string()))),
    };
    let Some(keys) = keys else { return Ok(Ok(())) };
    Ok(table.verify_while(keys, keep_going)?.map_err(ItemError::Verify))
}
