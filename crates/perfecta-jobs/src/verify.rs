//! Checks what was published: manifests, hashes, and the index of every key.

use std::path::PathBuf;

use crate::config::{Inputs, KeyOptions, Limits};

/// A request to check an output.
#[derive(Debug, Clone)]
pub struct Verification {
    /// The output directory of a job, or the directory of one table.
    pub directory: PathBuf,
    /// The key files; without them only manifests and hashes are checked.
    pub keys: Option<Inputs>,
    /// How a key file is read.
    pub key_options: KeyOptions,
    /// Bounds.
    pub limits: Limits,
}

impl Verification {
    /// A check of `directory` against its manifests.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            keys: None,
            key_options: KeyOptions::default(),
            limits: Limits::default(),
        }
    }
}
