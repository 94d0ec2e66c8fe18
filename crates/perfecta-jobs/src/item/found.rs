//! What is at the place of a table before it is built.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use perfecta_io::{Failure, IoError, IoErrorKind, Outcome};

use crate::error::ItemError;
use crate::manifest::{self, Manifest, Origin};
use crate::places::MANIFEST;
use crate::render::Renderer;

/// What is at the place of a table before it is built.
pub(super) enum Found {
    Nothing,
    /// Exactly what would be built.
    Same {
        num_keys: u64,
    },
    /// A table of ours that is older, or torn by a power cut.
    Ours {
        /// Its manifest says other options.
        has_other_options: bool,
    },
    /// More than may be read. Its names tell what it is.
    Large,
    /// Something that is not ours to replace, and why.
    Foreign(ItemError),
    Failed(IoError),
}

/// A place of a table.
pub(super) struct Place<'a> {
    pub(super) target: PathBuf,
    pub(super) identifier: &'a str,
    /// The name of its key file.
    pub(super) keys_name: &'a [u8],
    pub(super) renderer: &'a dyn Renderer,
}

impl Place<'_> {
    /// What its files are, that were read.
    pub(super) fn what_is_there(&self, outcome: Outcome, origin: &Origin) -> Found {
        let files = match outcome {
            Ok(payload) => payload.into_files(),
            Err(Failure { error, .. }) => return self.what_failed(error),
        };
        let Some(manifest) = files.iter().find(|file| file.name == MANIFEST) else {
            return self.foreign(&self.target);
        };
        let Ok(manifest) = Manifest::from_json(&manifest.bytes) else {
            return self.whose(files.iter().map(|file| &file.name));
        };
        if let Some(name) = manifest::first_unlisted(&manifest, &files) {
            return self.foreign(&self.target.join(name));
        }
        let found = manifest::origin(&manifest);
        // Another key file's name is part of these, too.
        let has_other_options = manifest.key_file.name_bytes().as_deref() == Some(self.keys_name)
            && found.as_ref().is_some_and(|found| found.options_blake3 != origin.options_blake3);
        let is_same = found.as_ref() == Some(origin)
            && manifest.identifier == self.identifier
            && manifest::check(&manifest, &files, &|| true) == Ok(Ok(()));
        let num_keys = u64::from(manifest.table.num_keys);
        if is_same { Found::Same { num_keys } } else { Found::Ours { has_other_options } }
    }

    /// What it is by its names, which were listed.
    pub(super) fn what_is_listed(&self, outcome: Outcome) -> Found {
        match outcome {
            Ok(payload) => self.whose(payload.into_names().iter()),
            Err(Failure { error, .. }) => self.what_failed(error),
        }
    }

    fn what_failed(&self, error: IoError) -> Found {
        if error.path == self.target && error.is_absent() {
            return Found::Nothing;
        }
        if error.is_not_a_directory() {
            return self.foreign(&error.path);
        }
        match error.kind {
            IoErrorKind::NotAFile(_) => self.foreign(&error.path),
            IoErrorKind::TooLarge { .. } => Found::Large,
            _ => Found::Failed(error),
        }
    }

    /// Whose it is if its manifest cannot tell, because a power cut tore it or it is too much to read:
    /// it is ours with a manifest and nothing that a table would not have.
    fn whose<'n>(&self, names: impl Iterator<Item = &'n OsString>) -> Found {
        let mut has_manifest = false;
        for name in names {
            let is_manifest = name == MANIFEST;
            has_manifest |= is_manifest;
            let may_emit = |name: &str| self.renderer.may_emit(self.identifier, name);
            if !is_manifest && !name.to_str().is_some_and(may_emit) {
                return self.foreign(&self.target.join(name));
            }
        }
        let has_other_options = false;
        if has_manifest { Found::Ours { has_other_options } } else { self.foreign(&self.target) }
    }

    /// The place itself, or something in it, is not ours.
    fn foreign(&self, path: &Path) -> Found {
        let target = self.target.clone();
        Found::Foreign(match path.strip_prefix(&target) {
            Ok(name) if !name.as_os_str().is_empty() => {
                ItemError::ForeignPart { target, name: name.to_owned() }
            }
            _ => ItemError::Foreign { target: path.to_owned() },
        })
    }
}
