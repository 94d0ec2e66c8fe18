//! `manifest.json`: what a table was made from, and how to tell that its files are whole.
//!
//! Fields stand in the order of the types below, numbers of 64 bits as hex texts (JSON readers round
//! them), and nothing in it depends on when, where or by whom it was made. It is written last, so
//! that a directory that holds one is complete.

use std::borrow::Cow;
use std::collections::BTreeMap;

use perfecta_core::family::Family;
use perfecta_core::geometry::Geometry;
use perfecta_core::key::{Downsize, KeyWidth};
use perfecta_core::seeds::{SEEDS_MAX, Seeds};
use perfecta_core::table::Parameters;
use serde::{Deserialize, Serialize};

use crate::artifact::ArtifactKind;
use crate::description::PERFECTA_VERSION;
use crate::hashing::ContentHash;
use crate::identifier::Identifier;
use crate::original_name::OriginalName;

pub mod hex;

pub use self::hex::{Hex64, NoHex};

/// The name under which a manifest is published.
pub const MANIFEST_FILE_NAME: &str = "manifest.json";

/// A manifest. Fields may be added within a schema; readers pass over those they do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`Manifest::SCHEMA`].
    pub schema: u32,
    /// The version of perfecta that made the table.
    pub perfecta: String,
    /// The table's identifier.
    pub identifier: String,
    /// What the table was made from.
    pub key_file: KeyFile,
    /// The table.
    pub table: TableParameters,
    /// How it was found.
    pub search: SearchRecord,
    /// Its artifacts, in the order of [`ArtifactKind::ALL`].
    pub files: Vec<ManifestFile>,
}

/// A key file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFile {
    /// The file name without directories; bytes that are not UTF-8 are replaced.
    pub name: String,
    /// The file name's bytes in hex, if `name` is not all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_hex: Option<String>,
    /// Bytes of the file.
    pub bytes: u64,
    /// Hash of its contents.
    pub blake3: ContentHash,
    /// Keys that the table was made of.
    pub num_keys: u32,
    /// Bits of a key.
    pub key_bits: u32,
}

/// All of a table but its array.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableParameters {
    /// Name of the hash family.
    pub family: String,
    /// The seeds that the family takes.
    pub seeds: Vec<u32>,
    /// Bits of a key as `index` takes it.
    pub key_bits: u32,
    /// The bits of a key that are hashed, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downsize_bitmap: Option<Hex64>,
    /// Number of keys.
    pub num_keys: u32,
    /// The smallest key.
    pub first_key: Hex64,
    /// The greatest key.
    pub last_key: Hex64,
    /// Every index is below it.
    pub edge_capacity: u32,
    /// Number of elements of the assigned array.
    pub vertices: u32,
    /// Bits of an element.
    pub element_bits: u32,
}

/// How a table was found: enough to find it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchRecord {
    /// Seed of the generator of seeds.
    pub rng_seed: Hex64,
    /// Number of the winning attempt within its geometry, counted from 1.
    pub attempt: u64,
    /// How often the vertices were doubled before.
    pub grows: u8,
    /// What says which options shaped the bytes, by name: their hash, `options_blake3`.
    pub options: BTreeMap<String, String>,
}

/// A published file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// The file's name, in the manifest's directory.
    pub name: String,
    /// Name of its kind.
    pub kind: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// Hash of its contents.
    pub blake3: ContentHash,
}

/// Why a text is no manifest that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is no JSON, or a field is missing or of another type.
    #[error("the manifest cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It is of a later schema, or of none.
    #[error("the manifest is of schema {found}, this version reads schema {expected}")]
    Schema {
        /// What it says.
        found: u64,
        /// [`Manifest::SCHEMA`].
        expected: u32,
    },
    /// A file's name would lead out of the manifest's directory.
    #[error("the manifest lists {name:?}, which is no plain file name")]
    FileName {
        /// The name.
        name: String,
    },
    /// A field of the table has a value that no table has.
    #[error("the manifest's table has no valid {field}")]
    Table {
        /// The field.
        field: &'static str,
    },
}

/// What is known of a manifest before its schema is.
#[derive(Deserialize)]
struct SchemaOnly {
    schema: u64,
}

impl Manifest {
    /// The schema that this version writes and reads.
    pub const SCHEMA: u32 = 1;

    /// A manifest of a table; its files are added as they are written.
    #[must_use]
    pub fn new(
        identifier: &Identifier,
        key_file: KeyFile,
        table: &Parameters,
        search: SearchRecord,
    ) -> Self {
        Self {
            schema: Self::SCHEMA,
            perfecta: PERFECTA_VERSION.to_owned(),
            identifier: identifier.to_string(),
            key_file,
            table: TableParameters::new(table),
            search,
            files: Vec::new(),
        }
    }

    /// The manifest as it is published: indented, with a line break at the end.
    #[must_use]
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self);
        json.expect("strings, numbers and maps of them can be written") + "\n"
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// [`ManifestError`]; also where the table's fields do not fit each other.
    pub fn from_json(json: &[u8]) -> Result<Self, ManifestError> {
        let SchemaOnly { schema: found } = serde_json::from_slice(json)?;
        if found != u64::from(Self::SCHEMA) {
            return Err(ManifestError::Schema { found, expected: Self::SCHEMA });
        }
        let manifest: Self = serde_json::from_slice(json)?;
        for file in &manifest.files {
            if !is_plain_file_name(&file.name) {
                return Err(ManifestError::FileName { name: file.name.clone() });
            }
        }
        manifest.table.parameters()?;
        Ok(manifest)
    }
}

fn is_plain_file_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_allowed)
}

impl ManifestFile {
    /// Whether a file of its kind is called so, of the table `identifier`.
    #[must_use]
    pub fn is_named_by_its_kind(&self, identifier: &str) -> bool {
        let mut kinds = ArtifactKind::ALL.iter().filter(|kind| kind.name() == self.kind);
        kinds.any(|kind| kind.is_file_name(identifier, &self.name))
    }
}

impl KeyFile {
    /// The file name's bytes; `None` if its two forms do not say the same.
    #[must_use]
    pub fn name_bytes(&self) -> Option<Cow<'_, [u8]>> {
        hex::name_bytes(&self.name, self.name_hex.as_deref())
    }

    /// Describes the key file of this name, whose contents were hashed while they were read.
    #[must_use]
    pub fn new(name: &OriginalName, bytes: u64, blake3: ContentHash, table: &Parameters) -> Self {
        let lossy = String::from_utf8_lossy(name.as_bytes()).into_owned();
        let is_whole = lossy.as_bytes() == name.as_bytes();
        Self {
            name: lossy,
            name_hex: (!is_whole).then(|| hex::text(name.as_bytes())),
            bytes,
            blake3,
            num_keys: table.num_keys,
            key_bits: table.key_width.bits(),
        }
    }
}

impl TableParameters {
    /// The record of `parameters`.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        let Parameters { family, seeds, geometry, .. } = parameters;
        Self {
            family: family.name().to_owned(),
            seeds: seeds.of_family(*family).to_vec(),
            key_bits: parameters.key_width.bits(),
            downsize_bitmap: parameters.downsize.map(|downsize| Hex64(downsize.bitmap())),
            num_keys: parameters.num_keys,
            first_key: Hex64(parameters.first_key),
            last_key: Hex64(parameters.last_key),
            edge_capacity: geometry.edge_capacity(),
            vertices: geometry.vertices(),
            element_bits: parameters.element_width().bytes() as u32 * 8,
        }
    }

    /// The parameters that were recorded.
    ///
    /// # Errors
    /// [`ManifestError::Table`] if they are those of no table.
    pub fn parameters(&self) -> Result<Parameters, ManifestError> {
        let invalid = |field| ManifestError::Table { field };
        let family = Family::from_name(&self.family).ok_or(invalid("family"))?;
        let downsize = self.downsize_bitmap.map(|bitmap| Downsize::new(bitmap.0));
        let parameters = Parameters {
            family,
            seeds: self.seeds(family).ok_or(invalid("seeds"))?,
            geometry: self.geometry().ok_or(invalid("edge_capacity"))?,
            key_width: KeyWidth::from_bits(self.key_bits).ok_or(invalid("key_bits"))?,
            downsize: downsize.map(|fits| fits.ok_or(invalid("downsize_bitmap"))).transpose()?,
            num_keys: self.num_keys,
            first_key: self.first_key.0,
            last_key: self.last_key.0,
        };
        if !parameters.are_consistent() || Self::new(&parameters) != *self {
            return Err(invalid("combination of fields"));
        }
        Ok(parameters)
    }

    fn seeds(&self, family: Family) -> Option<Seeds> {
        let mut words = [0; SEEDS_MAX];
        let taken = words.get_mut(..usize::from(family.num_seeds()))?;
        if taken.len() != self.seeds.len() {
            return None;
        }
        taken.copy_from_slice(&self.seeds);
        Some(Seeds::from_words(words))
    }

    fn geometry(&self) -> Option<Geometry> {
        let log2 = self.edge_capacity.checked_ilog2()?;
        Geometry::from_edge_capacity_log2(log2 as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perfecta_core::seeds::SeedSource;
    use proptest::prelude::*;

    fn manifest(name: &[u8]) -> Manifest {
        let geometry = Geometry::for_keys(100).unwrap();
        let parameters = Parameters {
            family: Family::Folded,
            seeds: SeedSource::default().draw(5, Family::Folded, geometry),
            geometry,
            key_width: KeyWidth::Bits64,
            downsize: Downsize::new(0xff_0000_00ff),
            num_keys: 100,
            first_key: 1,
            last_key: 0xff_0000_0000,
        };
        let name = OriginalName::new(name);
        let key_file = KeyFile::new(&name, 800, ContentHash::of(b"keys"), &parameters);
        let search = SearchRecord {
            rng_seed: Hex64(0x2019_0903_1981_1025),
            attempt: 5,
            grows: 0,
            options: BTreeMap::from([("hash".to_owned(), "Folded".to_owned())]),
        };
        let identifier = Identifier::of_file_name(name.as_bytes());
        let mut manifest = Manifest::new(&identifier, key_file, &parameters, search);
        let blake3 = ContentHash::of(b"content");
        manifest.files =
            vec![ManifestFile { name: "a.pht".into(), kind: "pht".into(), bytes: 7, blake3 }];
        manifest
    }

    #[test]
    fn a_manifest_reads_as_it_was_written() {
        for name in [b"a \"quoted\"\n name".as_slice(), b"plain.keys", b"\xff\xfe", b""] {
            let manifest = manifest(name);
            let read = Manifest::from_json(manifest.to_json().as_bytes()).unwrap();
            assert_eq!(read, manifest);
            assert_eq!(read.key_file.name_hex.is_some(), name.starts_with(b"\xff"));
            assert_eq!(read.key_file.name_bytes().as_deref(), Some(name));
        }
        let mut key_file = manifest(b"\xff\xfe").key_file;
        assert_eq!(key_file.name_hex.as_deref(), Some("fffe"));
        for (name, hex) in [("b", "fffe"), ("a", "61"), ("\u{fffd}", "f"), ("\u{fffd}", "+f")] {
            key_file.name = name.to_owned();
            key_file.name_hex = Some(hex.to_owned());
            assert_eq!(key_file.name_bytes(), None, "{name} {hex}");
        }
    }

    #[test]
    fn a_file_is_named_by_table_and_kind() {
        let check = |name: &str, kind: &str, expected: bool| {
            let (name, kind) = (name.to_owned(), kind.to_owned());
            let file = ManifestFile { name, kind, bytes: 0, blake3: ContentHash::of(b"") };
            assert_eq!(file.is_named_by_its_kind("a"), expected, "{file:?}");
        };
        for (name, kind) in [("a.pht", "pht"), ("a.h", "c"), ("a_data.c", "c"), ("a.rs", "rust")] {
            check(name, kind, true);
        }
        for (name, kind) in [("a.pht", "c"), ("b.h", "c"), ("ab.rs", "rust"), ("a.go", "go")] {
            check(name, kind, false);
        }
    }

    #[test]
    fn fields_stand_in_order_and_unknown_ones_are_passed_over() {
        let json = manifest(b"a.keys").to_json();
        let places = ["schema", "perfecta", "identifier", "key_file", "table", "search", "files"]
            .map(|field| json.find(&format!("\n  \"{field}\"")).unwrap());
        assert!(places.is_sorted());
        let extended = json.replacen('{', "{\n  \"added_later\": [1],", 1);
        assert_eq!(Manifest::from_json(extended.as_bytes()).unwrap(), manifest(b"a.keys"));
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_the_reason() {
        let json = manifest(b"a.keys").to_json();
        let check = |from: &str, to: &str, reason: &str| {
            assert!(json.contains(from), "{from}");
            let error = Manifest::from_json(json.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        };
        check("\"schema\": 1", "\"schema\": 2", "schema 2");
        check("{", "", "cannot be read");
        check("\"attempt\": 5", "\"attempt\": \"5\"", "line");
        check("a.pht", "../a.pht", "no plain file name");
        check("\"a.pht", "\"/etc/passwd", "no plain file name");
        check("Folded", "Fold", "family");
        check("\"edge_capacity\": 128", "\"edge_capacity\": 0", "edge_capacity");
        check("\"edge_capacity\": 128", "\"edge_capacity\": 129", "combination");
        check("\"vertices\": 256", "\"vertices\": 512", "combination");
        check("\"key_bits\": 64,\n    \"downsize", "\"key_bits\": 63,\n    \"downsize", "key_bits");
        check("000000ff\"", "ffffffff\"", "downsize_bitmap");
        check("\"blake3\": \"", "\"blake3\": \"0", "64 hex digits");
        check("0x2019", "2019", "16 hex digits");
    }

    proptest! {
        #[test]
        fn damage_is_refused_or_harmless(place in 0..1500usize, byte: u8) {
            let mut json = manifest(b"a.keys").to_json().into_bytes();
            let place = place % json.len();
            json[place] = byte;
            if let Ok(read) = Manifest::from_json(&json) {
                prop_assert!(read.table.parameters().is_ok());
                prop_assert!(read.files.iter().all(|file| is_plain_file_name(&file.name)));
            }
        }
    }
}
