//! What is at the place of a table before it is built.

use std::path::{Path, PathBuf};

use perfecta_io::{Failure, IoError, IoErrorKind, Outcome};

use crate::manifest::{self, Manifest, Origin};
use crate::places::MANIFEST;

/// What is at the place of a table before it is built.
pub(super) enum Found {
    Nothing,
    /// Exactly what would be built.
    Same {
        num_keys: u64,
    },
    /// A table of ours that is older, or torn by a power cut.
    Ours,
    /// Something that is not ours to replace.
    Foreign(PathBuf),
    Failed(IoError),
}

pub(super) fn what_is_there(
    outcome: Outcome,
    target: &Path,
    identifier: &str,
    origin: &Origin,
) -> Found {
    let files = match outcome {
        Ok(payload) => payload.into_files(),
        Err(Failure { error, .. }) if error.path == target && error.is_absent() => {
            return Found::Nothing;
        }
        Err(Failure { error, .. }) if error.is_not_a_directory() => {
            return Found::Foreign(error.path);
        }
        Err(Failure { error, .. }) => {
            return match error.kind {
                IoErrorKind::NotAFile(_) => Found::Foreign(error.path),
                IoErrorKind::TooLarge { .. } => Found::Ours,
                _ => Found::Failed(error),
            };
        }
    };
    let Some(manifest) = files.iter().find(|file| file.name == MANIFEST) else {
        return Found::Foreign(target.to_owned());
    };
    let Ok(manifest) = Manifest::from_json(&manifest.bytes) else { return Found::Ours };
    if let Some(name) = manifest::first_unlisted(&manifest, &files) {
        return Found::Foreign(target.join(name));
    }
    let is_same = manifest::origin(&manifest).as_ref() == Some(origin)
        && manifest.identifier == identifier
        && manifest::check(&manifest, &files).is_ok();
    if is_same { Found::Same { num_keys: u64::from(manifest.table.num_keys) } } else { Found::Ours }
}
