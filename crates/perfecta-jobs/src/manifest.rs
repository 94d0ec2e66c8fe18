//! `manifest.json`: what a published table was made of, and the hash of every file of it.

use perfecta_io::FileContent;
use serde_json::{Value, json};

use crate::places::{MANIFEST, PACKED_FILE};
use crate::render::{Facts, PackedEntry};

/// A BLAKE3 hash.
pub(crate) type Digest = [u8; 32];

/// Version of the manifest's form.
const SCHEMA: u64 = 1;

/// What has to be equal for what is published to be what would be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Hash of the key file's bytes.
    pub(crate) keys_blake3: Digest,
    /// Hash of everything else that shapes the bytes: search, key options, artifacts, version.
    pub(crate) options_blake3: Digest,
}

/// A manifest that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) identifier: String,
    pub(crate) origin: Origin,
    pub(crate) num_keys: u64,
    pub(crate) files: Vec<ManifestFile>,
}

/// A file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestFile {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) blake3: Digest,
}

/// The manifest of a bundle. It holds no date, no host and no path, so that equal tables have equal
/// manifests.
pub(crate) fn render(facts: &Facts<'_>, origin: &Origin, files: &[FileContent]) -> FileContent {
    let stage = &facts.verdict.stage;
    let win = facts.verdict.win().expect("a table that is published has a winner");
    let listed: Vec<Value> = files
        .iter()
        .map(|file| {
            json!({
                "name": file.name.to_string_lossy(),
                "bytes": file.bytes.len(),
                "blake3": hex(blake3::hash(&file.bytes).as_bytes()),
            })
        })
        .collect();
    let manifest = json!({
        "schema": SCHEMA,
        "generator": concat!("perfecta ", env!("CARGO_PKG_VERSION")),
        "identifier": facts.identifier,
        "keys_file": facts.keys_file,
        "keys_file_bytes": facts.keys_file_bytes,
        "keys_blake3": hex(&origin.keys_blake3),
        "options_blake3": hex(&origin.options_blake3),
        "keys": facts.keys.len(),
        "key_bits": facts.keys.width().bits(),
        "hash": stage.family.name(),
        "seeds": win.seeds.of_family(stage.family),
        "edge_capacity": stage.geometry.edge_capacity(),
        "vertices": stage.geometry.vertices(),
        "attempts": facts.verdict.tally.attempts(),
        "winning_attempt": win.attempt,
        "grows": stage.grows,
        "files": listed,
    });
    let mut bytes = format!("{manifest:#}").into_bytes();
    bytes.push(b'\n');
    FileContent { name: MANIFEST.into(), bytes }
}

/// The manifest in `bytes`, or `None` if it is torn, or of another form.
pub(crate) fn parse(bytes: &[u8]) -> Option<Manifest> {
    let manifest: Value = serde_json::from_slice(bytes).ok()?;
    if manifest["schema"].as_u64()? != SCHEMA {
        return None;
    }
    let file = |file: &Value| {
        Some(ManifestFile {
            name: file["name"].as_str()?.to_owned(),
            bytes: file["bytes"].as_u64()?,
            blake3: digest(&file["blake3"])?,
        })
    };
    Some(Manifest {
        identifier: manifest["identifier"].as_str()?.to_owned(),
        origin: Origin {
            keys_blake3: digest(&manifest["keys_blake3"])?,
            options_blake3: digest(&manifest["options_blake3"])?,
        },
        num_keys: manifest["keys"].as_u64()?,
        files: manifest["files"].as_array()?.iter().map(file).collect::<Option<_>>()?,
    })
}

impl Manifest {
    /// Whether `found`, the manifest's own file left out, is exactly what is listed.
    ///
    /// # Errors
    /// The first file that differs, and how.
    pub(crate) fn check(&self, found: &[FileContent]) -> Result<(), (String, String)> {
        for listed in &self.files {
            let file = found.iter().find(|file| file.name == *listed.name);
            let failed = |reason: String| Err((listed.name.clone(), reason));
            let Some(file) = file else { return failed("it is missing".to_owned()) };
            if file.bytes.len() as u64 != listed.bytes {
                let bytes = file.bytes.len();
                return failed(format!("it has {bytes} bytes, the manifest says {}", listed.bytes));
            }
            if *blake3::hash(&file.bytes).as_bytes() != listed.blake3 {
                return failed("its hash is not that of the manifest".to_owned());
            }
        }
        match self.first_unlisted(found) {
            Some(name) => Err((name, "the manifest does not list it".to_owned())),
            None => Ok(()),
        }
    }

    /// A file that is there and not listed.
    pub(crate) fn first_unlisted(&self, found: &[FileContent]) -> Option<String> {
        let is_listed = |file: &FileContent| {
            file.name == MANIFEST || self.files.iter().any(|listed| file.name == *listed.name)
        };
        let unlisted = found.iter().find(|file| !is_listed(file))?;
        Some(unlisted.name.to_string_lossy().into_owned())
    }
}

/// The manifest of a packed output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackManifest {
    pub(crate) options_blake3: Digest,
    pub(crate) tables: Vec<PackedEntry>,
    pub(crate) bytes: u64,
    pub(crate) blake3: Digest,
}

impl PackManifest {
    /// As it is published.
    pub(crate) fn render(&self) -> FileContent {
        let table = |entry: &PackedEntry| {
            json!({
                "name": entry.name,
                "offset": entry.offset,
                "bytes": entry.bytes,
                "keys": entry.num_keys,
                "keys_blake3": hex(&entry.keys_blake3),
            })
        };
        let tables: Vec<Value> = self.tables.iter().map(table).collect();
        let manifest = json!({
            "schema": SCHEMA,
            "generator": concat!("perfecta ", env!("CARGO_PKG_VERSION")),
            "options_blake3": hex(&self.options_blake3),
            "tables": tables,
            "files": [{ "name": PACKED_FILE, "bytes": self.bytes, "blake3": hex(&self.blake3) }],
        });
        let mut bytes = format!("{manifest:#}").into_bytes();
        bytes.push(b'\n');
        FileContent { name: MANIFEST.into(), bytes }
    }

    /// The manifest in `bytes`, or `None` if it is torn, or of another form.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let manifest: Value = serde_json::from_slice(bytes).ok()?;
        if manifest["schema"].as_u64()? != SCHEMA {
            return None;
        }
        let table = |table: &Value| {
            Some(PackedEntry {
                name: table["name"].as_str()?.to_owned(),
                offset: table["offset"].as_u64()?,
                bytes: table["bytes"].as_u64()?,
                num_keys: table["keys"].as_u64()?,
                keys_blake3: digest(&table["keys_blake3"])?,
            })
        };
        let file = &manifest["files"][0];
        Some(Self {
            options_blake3: digest(&manifest["options_blake3"])?,
            tables: manifest["tables"].as_array()?.iter().map(table).collect::<Option<_>>()?,
            bytes: file["bytes"].as_u64()?,
            blake3: digest(&file["blake3"])?,
        })
    }
}

fn hex(digest: &Digest) -> String {
    blake3::Hash::from_bytes(*digest).to_hex().to_string()
}

fn digest(value: &Value) -> Option<Digest> {
    Some(*blake3::Hash::from_hex(value.as_str()?).ok()?.as_bytes())
}
