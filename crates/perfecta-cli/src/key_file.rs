//! Key files for commands that look at one without a job.

use std::fs;
use std::path::Path;

use perfecta_core::key::{KeyError, KeySet};
use perfecta_jobs::ExitClass;

use crate::failure::Failure;
use crate::job_options::InputOptions;

/// The key set of a file.
///
/// # Errors
/// [`Failure`] if the file cannot be read, or holds none.
pub(crate) fn load(path: &Path, options: &InputOptions) -> Result<KeySet, Failure> {
    options.parse(path, &read(path)?).map_err(|error| invalid(path, &error))
}

/// All bytes of a regular file.
///
/// # Errors
/// [`Failure`] if it is none, or cannot be read.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    // A FIFO would be waited for without end, a device never ends.
    let metadata = fs::metadata(path).map_err(|error| Failure::io("read", path, &error))?;
    if !metadata.is_file() {
        let message = format!("{}: not a regular file", path.display());
        return Err(Failure::new(ExitClass::Io, message).with_remedy("name a single file"));
    }
    fs::read(path).map_err(|error| Failure::io("read", path, &error))
}

/// A file that holds no key set.
pub(crate) fn invalid(path: &Path, error: &KeyError) -> Failure {
    let message = format!("{}: {error}", path.display());
    Failure::new(ExitClass::InvalidKeys, message).with_remedy(error.remedy())
}
