//! A pack as a whole: whether its bytes, its own index and its manifest say the same.
//!
//! Only then are its tables looked at, at the places that the index gives: what a manifest says is
//! nowhere allocated or read before it was held against the file. A pack with a fault is no table's
//! fault more than another's, so all of them fail with it.
//!
//! Its files are read one after another, and a run may put another pack in its place between two of them:
//! what is found wrong is no fault of the pack if its manifest is another by then.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use perfecta_core::format::FormatError;
use perfecta_core::format::pack::{ImagePlace, PackIndex};
use perfecta_emit::ContentHash;
use perfecta_io::{
    Buffer, Engine, EntryKind, IoError, IoErrorKind, Op, Operation, Payload, Symlinks, thousands,
};

use crate::call::{call, read_file};
use crate::error::{ItemError, Stop};
use crate::guard::guarded;
use crate::manifest::{PackManifest, PackedEntry};
use crate::packed;
use crate::places::{MANIFEST, PACKED_FILE};
use crate::runtime::CancelFlag;

/// A pack that was looked at.
pub(super) struct Pack {
    /// Its tables, or the first fault of all of it.
    pub(super) tables: Result<Vec<TableOfPack>, Fault>,
    /// Bytes of its files, as far as they are there.
    pub(super) bytes: u64,
    /// How many of its files are there.
    pub(super) files: u32,
}

/// A table of a pack that is, as a whole, what index and manifest say.
#[derive(Clone)]
pub(super) struct TableOfPack {
    pub(super) name: Vec<u8>,
    pub(super) place: ImagePlace,
    pub(super) keys_blake3: ContentHash,
    /// Where the manifest lists it.
    position: usize,
    manifest_head: ManifestHead,
    /// Keys, as the manifest says.
    pub(super) num_keys: u64,
}

/// The beginning of a manifest, where the hash of the pack stands: by it a pack is known again.
type ManifestHead = Arc<[u8]>;

/// So far a manifest comes to its first table, or nearly so; the shortest has more.
const HEAD_BYTES: u64 = 400;

/// Why no table of a pack can be relied on.
pub(super) struct Fault {
    pub(super) error: ItemError,
    /// The names of its tables, as far as they can be known.
    pub(super) names: Vec<Vec<u8>>,
}

/// What a pack's index says of a table.
struct Indexed {
    name: Vec<u8>,
    place: ImagePlace,
    keys_blake3: ContentHash,
}

impl Indexed {
    /// The most bytes that a manifest has of it.
    fn manifest_bytes_max(&self) -> u64 {
        let keys_blake3 = *self.keys_blake3.as_bytes();
        PackedEntry::new(&self.name, u64::MAX, self.place.bytes, u64::MAX, keys_blake3)
            .manifest_bytes()
    }
}

/// The files of a pack, and how much of them may be in memory.
struct Reader<'a> {
    manifest: PathBuf,
    file: PathBuf,
    bytes_max: u64,
    engine: &'a mut dyn Engine,
    cancel: &'a CancelFlag,
}

/// Looks at the pack in `directory`, of whose index at most `bytes_max` are taken into memory at once, and of
/// its manifest as many, or what such an index comes to there. A bug that shows with it is its fault.
pub(super) fn look(
    directory: &Path,
    bytes_max: u64,
    engine: &mut dyn Engine,
    cancel: &CancelFlag,
) -> Pack {
    let looked = guarded(|| look_unguarded(directory, bytes_max, engine, cancel));
    looked.unwrap_or_else(|bug| {
        let fault = Fault { error: ItemError::Panicked(bug), names: Vec::new() };
        Pack { tables: Err(fault), bytes: 0, files: 0 }
    })
}

fn look_unguarded(
    directory: &Path,
    bytes_max: u64,
    engine: &mut dyn Engine,
    cancel: &CancelFlag,
) -> Pack {
    let (manifest, file) = (directory.join(MANIFEST), directory.join(PACKED_FILE));
    let listed = call(engine, Op::ListDirectory { path: directory.to_owned() });
    let mut reader = Reader { manifest, file, bytes_max, engine: &mut *engine, cancel };
    let head = reader.read_head();
    let file_bytes = file_bytes(&reader.file, reader.engine);
    let index = file_bytes.clone().and_then(|bytes| reader.read_index(bytes));
    let manifest = reader.read_manifest(index.as_deref());
    let sizes =
        [manifest.as_ref().map(|(_, bytes)| *bytes).ok(), file_bytes.as_ref().copied().ok()];
    let files = sizes.iter().flatten().count() as u32;
    let bytes = sizes.iter().flatten().sum();
    let names = match (&index, &manifest) {
        (Ok(index), _) => index.iter().map(|table| table.name.clone()).collect(),
        (Err(_), Ok((manifest, _))) => {
            let names = manifest.tables.iter().filter_map(PackedEntry::name_bytes);
            names.map(Cow::into_owned).collect()
        }
        (Err(_), Err(_)) => Vec::new(),
    };
    let agreed = manifest.and_then(|(manifest, _)| {
        check_names(directory, &listed.map_err(ItemError::Output)?.into_names())?;
        let index = index?;
        reader.check_bytes(&manifest, file_bytes?)?;
        // There was none a moment ago.
        let head = head.as_ref().ok_or_else(|| replaced(directory))?;
        reader.agree(&manifest, head, index)
    });
    let tables = agreed.map_err(|error| {
        let is_replaced = head.is_some_and(|head| is_replaced(&head, &reader.manifest, engine));
        let error = if is_replaced { replaced(directory) } else { error };
        Fault { error, names }
    });
    Pack { tables, bytes, files }
}

impl Reader<'_> {
    /// The beginning of the manifest, if it can be read.
    fn read_head(&mut self) -> Option<ManifestHead> {
        let bytes = file_bytes(&self.manifest, self.engine).ok()?.min(HEAD_BYTES);
        let head = read_part(self.engine, &self.manifest, 0, bytes, HEAD_BYTES);
        head.ok().map(|head| head.bytes().into())
    }

    /// The manifest, and its length. One above the limit is read where it is no longer than one of the tables
    /// that the index has: what is kept of these takes more.
    fn read_manifest(
        &mut self,
        index: Result<&[Indexed], &ItemError>,
    ) -> Result<(PackManifest, u64), ItemError> {
        let bytes = match self.read_whole_manifest(self.bytes_max) {
            Err(IoError { kind: IoErrorKind::TooLarge { .. }, .. }) => {
                let listed =
                    index.map_err(ItemError::clone)?.iter().map(Indexed::manifest_bytes_max);
                let manifest_bytes_max = PackManifest::frame_bytes_max() + listed.sum::<u64>();
                self.read_whole_manifest(manifest_bytes_max.max(self.bytes_max))
            }
            read => read,
        };
        let bytes = bytes.map_err(unreadable)?;
        let manifest = PackManifest::parse(&bytes)
            .ok_or_else(|| damaged(&self.manifest, "it is torn, or of another version"))?;
        Ok((manifest, bytes.len() as u64))
    }

    fn read_whole_manifest(&mut self, bytes_max: u64) -> Result<Buffer, IoError> {
        let (path, interrupt) = (self.manifest.clone(), self.cancel.interrupt());
        read_file(self.engine, path, bytes_max, Symlinks::Refuse, interrupt)
    }

    /// What the pack's own index says, in the order in which the images lie.
    fn read_index(&mut self, total_bytes: u64) -> Result<Vec<Indexed>, ItemError> {
        let trailer_bytes = total_bytes.min(PackIndex::TRAILER_BYTES as u64);
        let trailer = self.read(total_bytes - trailer_bytes, trailer_bytes)?;
        let offset = PackIndex::offset(&trailer, total_bytes);
        let offset = offset.map_err(|error| self.damaged_file(error))?;
        let end = self.read(offset, total_bytes - offset)?;
        let index = PackIndex::decode(&end, total_bytes);
        let index = index.map_err(|error| self.damaged_file(error))?;
        let mut tables: Vec<_> = index
            .iter()
            .map(|table| Indexed {
                name: table.name.to_vec(),
                place: table.place,
                keys_blake3: ContentHash::from_bytes(*table.keys_blake3),
            })
            .collect();
        tables.sort_by_key(|table| table.place.offset);
        Ok(tables)
    }

    fn read(&mut self, offset: u64, bytes: u64) -> Result<Buffer, ItemError> {
        read_part(self.engine, &self.file, offset, bytes, self.bytes_max)
    }

    /// Whether the file is the one that the manifest was written for.
    fn check_bytes(&mut self, manifest: &PackManifest, found: u64) -> Result<(), ItemError> {
        if manifest.file_name() != PACKED_FILE {
            return Err(self.differs("files[0].name", manifest.file_name(), PACKED_FILE));
        }
        if manifest.bytes() != found {
            let [found, says] = [found, manifest.bytes()].map(thousands);
            let reason = format!("it has {found} bytes, the manifest says {says}");
            return Err(damaged(&self.file, &reason));
        }
        let (file, symlinks) = (&self.file, Symlinks::Refuse);
        let hash = packed::hash_file(self.engine, file, found, symlinks, self.cancel);
        if hash.map_err(ItemError::Output)?.as_ref() != Some(manifest.blake3()) {
            return Err(damaged(&self.file, "its hash is not that of the manifest"));
        }
        Ok(())
    }

    /// The tables, if the manifest lists exactly those of the index, and as they lie there.
    fn agree(
        &self,
        manifest: &PackManifest,
        head: &ManifestHead,
        index: Vec<Indexed>,
    ) -> Result<Vec<TableOfPack>, ItemError> {
        if manifest.tables.len() != index.len() {
            return Err(self.differs("the number of tables", manifest.tables.len(), index.len()));
        }
        let pairs = manifest.tables.iter().zip(index).enumerate();
        let tables = pairs.map(|(position, (entry, indexed))| {
            self.agree_on(position, entry, &indexed)?;
            let Indexed { name, place, keys_blake3 } = indexed;
            let (manifest_head, num_keys) = (Arc::clone(head), entry.num_keys);
            Ok(TableOfPack { name, place, keys_blake3, position, manifest_head, num_keys })
        });
        tables.collect()
    }

    fn agree_on(
        &self,
        position: usize,
        entry: &PackedEntry,
        indexed: &Indexed,
    ) -> Result<(), ItemError> {
        let Indexed { name, place, keys_blake3 } = indexed;
        let field = |field| format!("tables[{position}].{field}");
        let says = entry.name_bytes().ok_or_else(|| {
            let reason = format!("{} and name_hex do not agree", field("name"));
            damaged(&self.manifest, &reason)
        })?;
        if *says != **name {
            let (says, found) = (says.escape_ascii(), name.escape_ascii());
            return Err(self.differs(&field("name"), says, found));
        }
        if entry.offset != place.offset {
            return Err(self.differs(&field("offset"), entry.offset, place.offset));
        }
        if entry.bytes != place.bytes {
            return Err(self.differs(&field("bytes"), entry.bytes, place.bytes));
        }
        if entry.keys_blake3 != *keys_blake3 {
            return Err(self.differs(&field("keys_blake3"), entry.keys_blake3, keys_blake3));
        }
        Ok(())
    }

    fn differs(
        &self,
        field: &str,
        says: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> ItemError {
        damaged(&self.manifest, &format!("{field} is {says}, {PACKED_FILE} says {found}"))
    }

    fn damaged_file(&self, error: FormatError) -> ItemError {
        damaged(&self.file, &error.to_string())
    }
}

impl TableOfPack {
    /// What is wrong with it, of which this was found in the pack `file`: nothing, where another pack is in its
    /// place by now.
    pub(super) fn or_replaced(&self, stop: Stop, file: &Path, engine: &mut dyn Engine) -> Stop {
        match stop {
            Stop::Failed(_)
                if is_replaced(&self.manifest_head, &file.with_file_name(MANIFEST), engine) =>
            {
                Stop::Failed(replaced(file.parent().unwrap_or(Path::new(""))))
            }
            stop => stop,
        }
    }

    /// Whether the table at its place, of `num_keys`, is the one that the manifest lists.
    ///
    /// # Errors
    /// [`ItemError::Damaged`], of the manifest beside `file`.
    pub(super) fn check_num_keys(&self, num_keys: u32, file: &Path) -> Result<(), ItemError> {
        if self.num_keys == u64::from(num_keys) {
            return Ok(());
        }
        let Self { position, num_keys: says, .. } = self;
        let reason = format!("tables[{position}].keys is {says}, {PACKED_FILE} says {num_keys}");
        Err(damaged(&file.with_file_name(MANIFEST), &reason))
    }
}

/// The length of a file of a pack.
fn file_bytes(file: &Path, engine: &mut dyn Engine) -> Result<u64, ItemError> {
    let inspected = call(engine, Op::Inspect { path: file.to_owned() });
    match inspected.map_or_else(EntryKind::Unreadable, Payload::into_kind) {
        EntryKind::File { bytes } => Ok(bytes),
        EntryKind::Unreadable(error) | EntryKind::BrokenLink(error) => Err(unreadable(error)),
        EntryKind::Unmeasured | EntryKind::Directory | EntryKind::Special(_) => {
            Err(damaged(file, "it is no regular file"))
        }
    }
}

/// Whether the manifest begins otherwise by now. One that cannot be read is no other pack's.
fn is_replaced(head: &ManifestHead, manifest: &Path, engine: &mut dyn Engine) -> bool {
    let bytes = head.len() as u64;
    let read = read_part(engine, manifest, 0, bytes, bytes);
    read.is_ok_and(|read| read.bytes() != &**head)
}

fn replaced(directory: &Path) -> ItemError {
    ItemError::PublishedMeanwhile { target: directory.to_owned() }
}

/// Whether nothing is in the pack's directory but what was published there.
fn check_names(directory: &Path, names: &[OsString]) -> Result<(), ItemError> {
    match names.iter().find(|name| *name != MANIFEST && *name != PACKED_FILE) {
        Some(name) => Err(damaged(&directory.join(name), "the manifest does not list it")),
        None => Ok(()),
    }
}

/// A part of a file, unless it is more than may be in memory.
pub(super) fn read_part(
    engine: &mut dyn Engine,
    path: &Path,
    offset: u64,
    bytes: u64,
    bytes_max: u64,
) -> Result<Buffer, ItemError> {
    let too_large = IoErrorKind::TooLarge { bytes, bytes_max };
    let length = usize::try_from(bytes).ok().filter(|_| bytes <= bytes_max);
    let length = length.ok_or_else(|| IoError::new(Operation::Read, path, too_large));
    let length = length.map_err(ItemError::Output)?;
    let (path, buffer, symlinks) = (path.to_owned(), Buffer::default(), Symlinks::Refuse);
    let op = Op::ReadRange { path, offset, bytes: length, buffer, symlinks };
    call(engine, op).map(Payload::into_bytes).map_err(ItemError::Output)
}

/// Why a file of a published output cannot be read: nothing but regular files was ever published.
pub(super) fn unreadable(error: IoError) -> ItemError {
    let reason = match error.kind {
        _ if error.is_absent() => "it is missing".to_owned(),
        IoErrorKind::NotAFile(kind) => format!("it is a {kind}, and nobody here made it"),
        // Links are not followed: who published made none.
        _ if error.is_link() => "it is a symbolic link, and nobody here made it".to_owned(),
        _ if error.is_not_a_directory() => "it is no directory, or a link to one".to_owned(),
        _ => return ItemError::Output(error),
    };
    damaged(&error.path, &reason)
}

pub(super) fn damaged(file: &Path, reason: &str) -> ItemError {
    ItemError::Damaged { file: file.to_owned(), reason: reason.to_owned() }
}
