//! All artifacts of one table.

use std::fmt;
use std::io::{self, Write};

use crate::artifact::{ArtifactKind, ArtifactKinds, FileGenerator};
use crate::description::{Description, Elements};
use crate::output::{Counting, Rendering};

/// The artifacts of one table: what is written, published and listed in its manifest together.
#[derive(Debug, Clone)]
pub struct Bundle<'a> {
    description: Description<'a>,
    kinds: ArtifactKinds,
}

/// One file of a bundle, not yet rendered.
#[derive(Clone, Copy)]
pub struct Artifact<'b> {
    kind: ArtifactKind,
    file: &'static FileGenerator,
    description: &'b Description<'b>,
}

impl<'a> Bundle<'a> {
    /// The artifacts of `kinds` for the table that `description` describes.
    #[must_use]
    pub const fn new(description: Description<'a>, kinds: ArtifactKinds) -> Self {
        Self { description, kinds }
    }

    /// What the artifacts are rendered from.
    #[must_use]
    pub const fn description(&self) -> &Description<'a> {
        &self.description
    }

    /// The files, always in the same order.
    pub fn artifacts(&self) -> impl Iterator<Item = Artifact<'_>> {
        self.kinds.iter().flat_map(move |kind| {
            let files = kind.generator().files.iter();
            let files = files.filter(|file| (file.is_needed)(&self.description));
            files.map(move |file| Artifact { kind, file, description: &self.description })
        })
    }

    /// Bytes of all artifacts; see [`Artifact::size_bytes`].
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.artifacts().map(|artifact| artifact.size_bytes()).sum()
    }
}

impl Artifact<'_> {
    /// The kind it belongs to.
    #[must_use]
    pub const fn kind(&self) -> ArtifactKind {
        self.kind
    }

    /// Its file name: the identifier and a suffix, the same on every system.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}{}", self.description.identifier, self.file.suffix)
    }

    /// Writes it.
    ///
    /// Small pieces and large ones come in turn: buffer what is costly to call.
    ///
    /// # Errors
    /// Those of `out`.
    ///
    /// # Panics
    /// If the table is only expected, not solved.
    pub fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let is_solved = matches!(self.description.elements, Elements::Solved(_));
        assert!(is_solved, "an expected table cannot be rendered");
        (self.file.render)(self.description, &mut Rendering(out))
    }

    /// Bytes that [`Self::render`] writes: exact for a solved table, the mean for an expected one.
    ///
    /// Counts the digits of the elements without writing them.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        let mut counting = Counting::default();
        let counted = (self.file.render)(self.description, &mut counting);
        assert!(counted.is_ok(), "counting does not fail");
        counting.bytes
    }
}

impl fmt::Debug for Artifact<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Artifact")
            .field("kind", &self.kind)
            .field("file_name", &self.file_name())
            .finish_non_exhaustive()
    }
}
