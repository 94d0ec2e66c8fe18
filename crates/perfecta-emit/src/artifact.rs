//! The registry: which kinds of artifacts there are, by name.

use std::fmt;
use std::io;
use std::str::FromStr;

use crate::description::Description;
use crate::language;
use crate::output::Output;

/// One kind of artifact: what its name is and which files it is made of.
pub(crate) struct Generator {
    /// The name on the command line.
    pub(crate) name: &'static str,
    /// The kind in one phrase, for help texts.
    pub(crate) summary: &'static str,
    /// The files, in the order in which they are listed.
    pub(crate) files: &'static [FileGenerator],
}

/// One file of a kind of artifact.
pub(crate) struct FileGenerator {
    /// Follows the identifier in the file's name.
    pub(crate) suffix: &'static str,
    /// Whether this table has the file.
    pub(crate) is_needed: fn(&Description<'_>) -> bool,
    /// The straight function that writes it.
    pub(crate) render: fn(&Description<'_>, &mut dyn Output) -> io::Result<()>,
}

/// Defines the enum, the list of all kinds and where each is generated.
macro_rules! artifact_kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident => $generator:path,)+) => {
        /// A kind of artifact that can be emitted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ArtifactKind {
            $($(#[doc = $doc])+ $kind,)+
        }

        impl ArtifactKind {
            /// All kinds, in the order in which they are listed.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            pub(crate) const fn generator(self) -> &'static Generator {
                match self {
                    $(Self::$kind => &$generator,)+
                }
            }
        }
    };
}

artifact_kinds! {
    /// The table file, to be mapped.
    Pht => language::table_file::GENERATOR,
    /// C99, also for C++.
    C => language::c::GENERATOR,
    /// Rust without dependencies.
    Rust => language::rust::GENERATOR,
}

impl ArtifactKind {
    /// The name on the command line and in manifests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.generator().name
    }

    /// Whether a file of some kind is called so, of the table `identifier`.
    #[must_use]
    pub fn is_any_file_name(identifier: &str, name: &str) -> bool {
        Self::ALL.iter().any(|kind| kind.is_file_name(identifier, name))
    }

    /// Whether a file of this kind is called so, of the table `identifier`.
    pub(crate) fn is_file_name(self, identifier: &str, name: &str) -> bool {
        let suffix = name.strip_prefix(identifier);
        self.generator().files.iter().any(|file| suffix == Some(file.suffix))
    }

    /// The kind in one phrase.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        self.generator().summary
    }

    /// Whether it is source code, with a head that says what it was made of.
    #[must_use]
    pub const fn is_source(self) -> bool {
        match self {
            Self::Pht => false,
            Self::C | Self::Rust => true,
        }
    }
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A choice of kinds, each once, in the order of [`ArtifactKind::ALL`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactKinds(Vec<ArtifactKind>);

impl ArtifactKinds {
    /// These kinds; order and repetition do not matter.
    #[must_use]
    pub fn new(kinds: &[ArtifactKind]) -> Self {
        Self(ArtifactKind::ALL.iter().copied().filter(|kind| kinds.contains(kind)).collect())
    }

    /// Every kind.
    #[must_use]
    pub fn all() -> Self {
        Self::new(ArtifactKind::ALL)
    }

    /// The kinds, in order.
    pub fn iter(&self) -> impl Iterator<Item = ArtifactKind> + '_ {
        self.0.iter().copied()
    }
}

/// Just the table file.
impl Default for ArtifactKinds {
    fn default() -> Self {
        Self::new(&[ArtifactKind::Pht])
    }
}

impl fmt::Display for ArtifactKinds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.iter().map(ArtifactKind::name).collect::<Vec<_>>().join(","))
    }
}

/// A name that no kind of artifact has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown artifact {name:?}; there are {valid}, and all", valid = ArtifactKinds::all().to_string().replace(',', ", "))]
pub struct UnknownArtifact {
    /// The name.
    pub name: String,
}

/// Names with commas between: `pht,c`, or `all`.
impl FromStr for ArtifactKinds {
    type Err = UnknownArtifact;

    fn from_str(names: &str) -> Result<Self, UnknownArtifact> {
        let mut kinds = Vec::new();
        for name in names.split(',').map(str::trim) {
            if name == "all" {
                return check_rest(names).map(|()| Self::all());
            }
            kinds.push(kind_of_name(name)?);
        }
        Ok(Self::new(&kinds))
    }
}

/// A wrong name is told also where `all` stands beside it.
fn check_rest(names: &str) -> Result<(), UnknownArtifact> {
    let mut rest = names.split(',').map(str::trim).filter(|name| *name != "all");
    rest.try_for_each(|name| kind_of_name(name).map(drop))
}

fn kind_of_name(name: &str) -> Result<ArtifactKind, UnknownArtifact> {
    let kind = ArtifactKind::ALL.iter().copied().find(|kind| kind.name() == name);
    kind.ok_or_else(|| UnknownArtifact { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &str, expected: &str) {
        assert_eq!(names.parse::<ArtifactKinds>().unwrap().to_string(), expected);
    }

    #[test]
    fn names_lead_to_kinds_in_one_order() {
        check("pht", "pht");
        check("rust, c,c", "c,rust");
        check("all", "pht,c,rust");
        check("c,all", "pht,c,rust");
        check(&ArtifactKinds::default().to_string(), "pht");
    }

    #[test]
    fn an_unknown_name_is_told_with_the_valid_ones() {
        for names in ["c,cobol", "all,cobol", "cobol"] {
            let error = names.parse::<ArtifactKinds>().unwrap_err().to_string();
            assert_eq!(error, r#"unknown artifact "cobol"; there are pht, c, rust, and all"#);
        }
        assert!("".parse::<ArtifactKinds>().is_err());
    }
}
