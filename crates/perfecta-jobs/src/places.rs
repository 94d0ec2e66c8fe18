//! Names in the output that are no table's.

/// The manifest of a table's directory: written last, so that its presence says that all is there.
pub(crate) const MANIFEST: &str = perfecta_emit::manifest::MANIFEST_FILE_NAME;

/// The directory of a packed output: a dot is in no identifier, so it is no table's.
pub(crate) const PACKED_DIRECTORY: &str = "tables.packed";

/// The file in it that holds the tables.
pub(crate) const PACKED_FILE: &str = "tables.phtpack";

/// How the staging directory of a run begins.
pub(crate) const STAGE_PREFIX: &str = ".perfecta-stage-";

/// The lock file in it, locked as long as the run lives.
pub(crate) const STAGE_LOCK: &str = "lock";

/// A file in one that no run removes: what a table was to replace lies there, and nowhere else.
pub(crate) const STAGE_KEPT: &str = "kept";
