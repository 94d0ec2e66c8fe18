//! `manifest.json`: what a published table was made of, and the hash of every file of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use perfecta_core::interrupt::{Interrupted, KeepGoing};
use perfecta_core::key::{KeySet, KeyWidth};
use perfecta_core::table::{Parameters, Table};
pub(crate) use perfecta_emit::Manifest;
use perfecta_emit::manifest::{Hex64, KeyFile, ManifestFile, SearchRecord, TableParameters, hex};
use perfecta_emit::{ContentHash, Identifier};
use perfecta_io::{FileContent, thousands};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::places::{MANIFEST, PACKED_FILE};
use crate::render::{Facts, RenderedFile};

/// A BLAKE3 hash.
pub(crate) type Digest = [u8; 32];

/// What stands before each line of a table in a pack's manifest, and after its last.
const ENTRY_INDENT: &str = "    ";
const ENTRY_END: &str = ",\n";
/// What stands there after the last table, and not where there is none.
const TABLES_END: &str = "\n  ";

/// Version of the form of a pack's manifest.
const SCHEMA: u64 = 1;

/// What has to be equal for what is published to be what would be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Hash of the key file's bytes.
    pub(crate) keys_blake3: Digest,
    /// Hash of everything else that shapes the bytes: search, key options, artifacts, version.
    pub(crate) options_blake3: Digest,
}

/// The manifest of a bundle. It holds no date, no host and no path, so that equal tables have equal
/// manifests.
pub(crate) fn render(
    facts: &Facts<'_>,
    table: &Table,
    rng_seed: u64,
    origin: &Origin,
    artifacts: &[RenderedFile],
) -> FileContent {
    let win = facts.verdict.win().expect("a table that is published has a winner");
    let keys_blake3 = ContentHash::from_bytes(origin.keys_blake3);
    let parameters = table.parameters();
    let key_file = KeyFile::new(facts.keys_file, facts.keys_file_bytes, keys_blake3, parameters);
    let search = SearchRecord {
        rng_seed: Hex64(rng_seed),
        attempt: win.attempt,
        grows: facts.verdict.stage.grows,
        options: BTreeMap::from([(OPTIONS.to_owned(), hex_of(&origin.options_blake3))]),
    };
    let mut manifest = Manifest::new(facts.identifier, key_file, parameters, search);
    manifest.files.extend(artifacts.iter().map(|artifact| ManifestFile {
        name: artifact.file.name.to_string_lossy().into_owned(),
        kind: artifact.kind.to_owned(),
        bytes: artifact.file.bytes.len() as u64,
        blake3: ContentHash::of(&artifact.file.bytes),
    }));
    FileContent { name: MANIFEST.into(), bytes: manifest.to_json().into_bytes() }
}

/// The hash of a job's options and of what a key file's name says: it stands in what is emitted, and may
/// give the width of the keys.
pub(crate) fn with_key_file(options: &Digest, keys_file: &Path, width: KeyWidth) -> Digest {
    let name = keys_file.file_name().unwrap_or_default().as_encoded_bytes();
    let mut hasher = blake3::Hasher::new();
    hasher.update(options).update(&[width.bytes() as u8]).update(name);
    *hasher.finalize().as_bytes()
}

/// The option under which a manifest holds [`Origin::options_blake3`].
const OPTIONS: &str = "options_blake3";

/// What a table was made of, as its manifest says; `None` if a foreign tool made it.
pub(crate) fn origin(manifest: &Manifest) -> Option<Origin> {
    let options = manifest.search.options.get(OPTIONS)?;
    Some(Origin {
        keys_blake3: *manifest.key_file.blake3.as_bytes(),
        options_blake3: *blake3::Hash::from_hex(options).ok()?.as_bytes(),
    })
}

/// Bytes that are hashed between two looks at the caller's flag.
const HASHED_AT_ONCE: usize = 4 << 20;

/// The hash of all bytes, if `keep_going` lets it.
///
/// # Errors
/// [`Interrupted`].
pub(crate) fn hash_while(
    bytes: &[u8],
    keep_going: &KeepGoing<'_>,
) -> Result<ContentHash, Interrupted> {
    let mut hasher = blake3::Hasher::new();
    for (number, part) in bytes.chunks(HASHED_AT_ONCE).enumerate() {
        if number > 0 && !keep_going() {
            return Err(Interrupted);
        }
        hasher.update(part);
    }
    Ok(ContentHash::from_bytes(*hasher.finalize().as_bytes()))
}

/// Whether `found`, the manifest's own file left out, is exactly what is listed.
///
/// # Errors
/// [`Interrupted`], if `keep_going` said no; the first file that differs, and how, is the result.
pub(crate) fn check(
    manifest: &Manifest,
    found: &[FileContent],
    keep_going: &KeepGoing<'_>,
) -> Result<Result<(), (String, String)>, Interrupted> {
    for listed in &manifest.files {
        let file = found.iter().find(|file| file.name == *listed.name);
        let failed = |reason: String| Ok(Err((listed.name.clone(), reason)));
        let Some(file) = file else { return failed("it is missing".to_owned()) };
        if file.bytes.len() as u64 != listed.bytes {
            let [bytes, says] = [file.bytes.len() as u64, listed.bytes].map(thousands);
            return failed(format!("it has {bytes} bytes, the manifest says {says}"));
        }
        if hash_while(&file.bytes, keep_going)? != listed.blake3 {
            return failed("its hash is not that of the manifest".to_owned());
        }
    }
    Ok(Ok(()))
}

/// A file that is there and not listed.
pub(crate) fn first_unlisted(manifest: &Manifest, found: &[FileContent]) -> Option<String> {
    let is_listed = |file: &FileContent| {
        file.name == MANIFEST || manifest.files.iter().any(|listed| file.name == *listed.name)
    };
    let unlisted = found.iter().find(|file| !is_listed(file))?;
    Some(unlisted.name.to_string_lossy().into_owned())
}

/// Whether a manifest says the same throughout, and of the table what `found` says, which is the
/// table beside it. `directory` is the name of the one in which it lies.
///
/// # Errors
/// The first field that contradicts another, and what both say.
pub(crate) fn agree(
    manifest: &Manifest,
    directory: &str,
    found: Option<&Parameters>,
) -> Result<(), String> {
    let Manifest { identifier, key_file, table, files, .. } = manifest;
    differ("identifier", identifier, "its directory", directory)?;
    let name = key_file.name_bytes().ok_or("key_file.name and key_file.name_hex do not agree")?;
    let of_name = Identifier::of_file_name(&name);
    differ("identifier", identifier, "key_file.name", of_name.as_str())?;
    differ("key_file.num_keys", key_file.num_keys, "table.num_keys", table.num_keys)?;
    differ("key_file.key_bits", key_file.key_bits, "table.key_bits", table.key_bits)?;
    if key_file.bytes < u64::from(key_file.num_keys) {
        let (bytes, keys) = (key_file.bytes, key_file.num_keys);
        return Err(format!("key_file.bytes is {bytes}, which is less than its {keys} keys take"));
    }
    if manifest.search.attempt == 0 {
        return Err("search.attempt is 0, and attempts are counted from 1".to_owned());
    }
    for (place, file) in files.iter().enumerate() {
        if !file.is_named_by_its_kind(identifier) {
            return Err(format!("files[{place}] is {} of kind {}", file.name, file.kind));
        }
        if files[..place].iter().any(|before| before.name == file.name) {
            return Err(format!("files[{place}] is {} again", file.name));
        }
    }
    match found.map(TableParameters::new) {
        Some(found) if found != *table => Err(first_difference(table, &found)),
        Some(_) | None => Ok(()),
    }
}

/// Whether a manifest says of its key file what that is.
///
/// # Errors
/// The first field that does not, and what both say.
pub(crate) fn agree_with_keys(
    manifest: &Manifest,
    keys: &KeySet,
    file_bytes: u64,
) -> Result<(), String> {
    let Manifest { key_file, table, .. } = manifest;
    let differ_from_keys = |field, says: u64, found| differ(field, says, "the key file", found);
    differ_from_keys("key_file.bytes", key_file.bytes, file_bytes)?;
    differ_from_keys("table.num_keys", table.num_keys.into(), keys.len() as u64)?;
    differ_from_keys("table.key_bits", table.key_bits.into(), keys.width().bits().into())?;
    differ("table.first_key", table.first_key, "the key file", Hex64(keys.first()))?;
    differ("table.last_key", table.last_key, "the key file", Hex64(keys.last()))
}

fn differ<T: PartialEq<U> + Display, U: Display>(
    field: &str,
    says: T,
    other: &str,
    found: U,
) -> Result<(), String> {
    if says == found { Ok(()) } else { Err(format!("{field} is {says}, {other} says {found}")) }
}

/// The first field of a table that is another in the table file; they are not equal.
fn first_difference(says: &TableParameters, found: &TableParameters) -> String {
    let fields = |table| {
        let json = serde_json::to_value(table).expect("texts and numbers can be written");
        BTreeMap::from_iter(json.as_object().expect("a table has fields").clone())
    };
    let (says, found) = (fields(says), fields(found));
    let mut names = says.keys().chain(found.keys());
    let name = names.find(|name| says.get(*name) != found.get(*name)).expect("they differ");
    let shown = |field: Option<&Value>| field.map_or("nothing".to_owned(), Value::to_string);
    let [says, found] = [says.get(name), found.get(name)].map(shown);
    format!("table.{name} is {says}, the table file says {found}")
}

/// The manifest of a packed output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackManifest<Tables = Vec<PackedEntry>> {
    schema: u64,
    generator: Cow<'static, str>,
    pub(crate) options_blake3: ContentHash,
    files: [PackFile; 1],
    /// In the order in which they lie in the pack.
    pub(crate) tables: Tables,
}

/// The file that the tables are in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PackFile {
    name: Cow<'static, str>,
    bytes: u64,
    blake3: ContentHash,
}

/// Where a table lies in a packed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackedEntry {
    /// Where its directory would be: the key file's directory below the input's root, and the
    /// identifier, with `/` between; bytes that are not UTF-8 are replaced.
    name: String,
    /// The name's bytes in hex, if `name` is not all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name_hex: Option<String>,
    /// Where its entry begins.
    pub(crate) offset: u64,
    /// Bytes of the entry, padding included.
    pub(crate) bytes: u64,
    /// Keys of the table.
    #[serde(rename = "keys")]
    pub(crate) num_keys: u64,
    /// Hash of the key file.
    pub(crate) keys_blake3: ContentHash,
}

impl PackedEntry {
    /// The entry of a table of this name.
    pub(crate) fn new(
        name: &[u8],
        offset: u64,
        bytes: u64,
        num_keys: u64,
        keys_blake3: Digest,
    ) -> Self {
        let shown = String::from_utf8_lossy(name).into_owned();
        let name_hex = hex::is_needed(name, &shown).then(|| hex::text(name));
        let keys_blake3 = ContentHash::from_bytes(keys_blake3);
        Self { name: shown, name_hex, offset, bytes, num_keys, keys_blake3 }
    }

    /// Bytes of a manifest that it takes: every line of it is further in.
    pub(crate) fn manifest_bytes(&self) -> u64 {
        let json = serde_json::to_string_pretty(self);
        let json = json.expect("texts and numbers can be written");
        let lines = json.lines().count();
        (json.len() + lines * ENTRY_INDENT.len() + ENTRY_END.len()) as u64
    }

    /// The name in the pack; `None` if its two forms do not say the same.
    pub(crate) fn name_bytes(&self) -> Option<Cow<'_, [u8]>> {
        hex::name_bytes(&self.name, self.name_hex.as_deref())
    }

    /// The name, as it is shown to people.
    pub(crate) fn shown(&self) -> &str {
        &self.name
    }
}

impl<Tables: Serialize> PackManifest<Tables> {
    /// The manifest of a pack of so many bytes.
    pub(crate) fn new(options_blake3: Digest, tables: Tables, bytes: u64, blake3: Digest) -> Self {
        let blake3 = ContentHash::from_bytes(blake3);
        Self {
            schema: SCHEMA,
            generator: concat!("perfecta ", env!("CARGO_PKG_VERSION")).into(),
            options_blake3: ContentHash::from_bytes(options_blake3),
            files: [PackFile { name: PACKED_FILE.into(), bytes, blake3 }],
            tables,
        }
    }

    /// As it is published.
    pub(crate) fn render(&self) -> FileContent {
        let json = serde_json::to_vec_pretty(self);
        let mut bytes = json.expect("texts, numbers and lists of them can be written");
        bytes.push(b'\n');
        FileContent { name: MANIFEST.into(), bytes }
    }
}

impl PackManifest {
    /// The most bytes of a manifest that are no table's.
    pub(crate) fn frame_bytes_max() -> u64 {
        let frame = Self::new([0; 32], Vec::new(), u64::MAX, [0; 32]).render();
        (frame.bytes.len() + TABLES_END.len()) as u64
    }

    /// Name of the pack.
    pub(crate) fn file_name(&self) -> &str {
        &self.files[0].name
    }

    /// Bytes of the pack.
    pub(crate) const fn bytes(&self) -> u64 {
        self.files[0].bytes
    }

    /// Hash of the pack.
    pub(crate) const fn blake3(&self) -> &Digest {
        self.files[0].blake3.as_bytes()
    }

    /// The manifest in `bytes`, or `None` if it is torn, or of another form.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let manifest: Self = serde_json::from_slice(bytes).ok()?;
        (manifest.schema == SCHEMA).then_some(manifest)
    }
}

fn hex_of(digest: &Digest) -> String {
    blake3::Hash::from_bytes(*digest).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_of_a_pack_says_what_it_is_and_is_read_whatever_the_order_of_its_fields() {
        let entry = PackedEntry::new(b"below/a", 64, 384, 40, [3; 32]);
        let manifest = PackManifest::new([1; 32], vec![entry], 1024, [2; 32]);
        let text = String::from_utf8(manifest.render().bytes).unwrap();
        let [options, pack, keys] = ["01", "02", "03"].map(|byte| byte.repeat(32));
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            r#"{{
  "schema": 1,
  "generator": "perfecta {version}",
  "options_blake3": "{options}",
  "files": [
    {{
      "name": "tables.phtpack",
      "bytes": 1024,
      "blake3": "{pack}"
    }}
  ],
  "tables": [
    {{
      "name": "below/a",
      "offset": 64,
      "bytes": 384,
      "keys": 40,
      "keys_blake3": "{keys}"
    }}
  ]
}}
"#
        );
        assert_eq!(text, expected);
        assert_eq!(PackManifest::parse(text.as_bytes()), Some(manifest.clone()));
        let reordered: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(PackManifest::parse(reordered.to_string().as_bytes()), Some(manifest));
        let later = text.replace("\"schema\": 1", "\"schema\": 2");
        assert_eq!(PackManifest::parse(later.as_bytes()), None);
        assert_eq!(PackManifest::parse(&text.as_bytes()[..text.len() / 2]), None);
    }

    #[test]
    fn a_long_hash_is_interrupted_between_two_parts() {
        use std::cell::Cell;
        let bytes = vec![7; 2 * HASHED_AT_ONCE + 1];
        let looks = Cell::new(0);
        let hash_until = |last| {
            looks.set(0);
            hash_while(&bytes, &|| {
                looks.set(looks.get() + 1);
                looks.get() < last
            })
        };
        assert_eq!(hash_until(u32::MAX), Ok(ContentHash::of(&bytes)));
        assert_eq!(looks.get(), 2);
        assert_eq!((hash_until(1), looks.get()), (Err(Interrupted), 1));
        assert_eq!((hash_until(2), looks.get()), (Err(Interrupted), 2));
        assert_eq!(hash_while(b"short", &|| false), Ok(ContentHash::of(b"short")));
    }

    #[test]
    fn what_a_table_takes_of_a_manifest_is_known_before_but_for_its_offset() {
        for names in [&[&b"a"[..]][..], &[b"below/\"a\"", b"\xff\xfe/a", b"b"]] {
            let entry = |name: &&[u8], offset| PackedEntry::new(name, offset, 384, 40, [3; 32]);
            let before = names.iter().map(|name| entry(name, u64::MAX).manifest_bytes());
            let before = before.sum::<u64>() + PackManifest::frame_bytes_max();
            let tables: Vec<_> = names.iter().map(|name| entry(name, u64::MAX)).collect();
            let longest = PackManifest::new([1; 32], tables, u64::MAX, [2; 32]).render();
            // No comma follows the last table.
            assert_eq!(before, longest.bytes.len() as u64 + 1);
        }
    }

    #[test]
    fn a_name_of_any_bytes_is_kept_and_one_that_is_text_is_kept_as_it_is() {
        let check = |name: &[u8], shown: &str, hex: Option<&str>| {
            let entry = PackedEntry::new(name, 64, 384, 40, [3; 32]);
            let json = serde_json::to_value(&entry).unwrap();
            assert_eq!((json["name"].as_str(), json["name_hex"].as_str()), (Some(shown), hex));
            let read: PackedEntry = serde_json::from_value(json).unwrap();
            assert_eq!(read.name_bytes().as_deref(), Some(name));
        };
        check(b"below/a", "below/a", None);
        check("\u{fffd}/a".as_bytes(), "\u{fffd}/a", None);
        check(b"\xff\xfe/a", "\u{fffd}\u{fffd}/a", Some("fffe2f61"));
        check(b"\xff\xfd/a", "\u{fffd}\u{fffd}/a", Some("fffd2f61"));
        let mut entry = PackedEntry::new(b"\xff/a", 64, 384, 40, [3; 32]);
        entry.name = "b/a".to_owned();
        assert_eq!(entry.name_bytes(), None);
    }
}
