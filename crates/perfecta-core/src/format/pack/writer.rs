//! [`PackWriter`]: what goes where in a pack, without writing it.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use zerocopy::IntoBytes as _;

use super::super::ALIGNMENT;
use super::{
    Header, ImagePlace, IndexEntry, IndexedTable, MAGIC, NAME_BYTES_MAX, PART_BYTES,
    TRAILER_CRC_AT, Trailer, VERSION,
};

/// Places images in a pack and makes its index.
///
/// The caller writes: [`Self::header`] at 0, every image at the offset that [`Self::append`] gave it,
/// in any order and by any thread, and the bytes of [`Self::finish`] at [`Self::end`]. The pack's
/// bytes depend on the order of the appends, so a run that is to give the same bytes every time
/// appends in an order of its own, by name say.
#[derive(Debug)]
pub struct PackWriter {
    entries: BTreeMap<Box<[u8]>, Placed>,
    names_bytes: u64,
    end: u64,
}

#[derive(Debug, Clone)]
struct Placed {
    offset: u64,
    bytes: u64,
    crc: u32,
    keys_blake3: [u8; 32],
}

impl Placed {
    fn table<'a>(&'a self, name: &'a [u8]) -> IndexedTable<'a> {
        let place = ImagePlace { offset: self.offset, bytes: self.bytes, crc: self.crc };
        IndexedTable { name, keys_blake3: &self.keys_blake3, place }
    }
}

/// Why a table cannot be put in a pack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// A name that is there already.
    #[error("the pack has a table of the name {:?}", alloc::string::String::from_utf8_lossy(.0))]
    DuplicateName(Box<[u8]>),
    /// A name without bytes, or with more than [`NAME_BYTES_MAX`].
    #[error("a name of {0} bytes; 1 to {NAME_BYTES_MAX} can be stored")]
    NameLength(usize),
    /// All names together, or all tables, are more than the index has numbers for.
    #[error("names of more than 4 GiB, or more than 2^32 tables")]
    TooMany,
    /// What [`super::super::encode`] gives is a multiple of 64 bytes, and this is not.
    #[error("an image of {0} bytes is no table file")]
    ImageLength(usize),
}

impl Default for PackWriter {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), names_bytes: 0, end: PART_BYTES as u64 }
    }
}

impl PackWriter {
    /// The first bytes of every pack.
    #[must_use]
    pub fn header() -> [u8; 64] {
        let mut header = Header {
            magic: MAGIC,
            version: VERSION.into(),
            header_bytes: (PART_BYTES as u32).into(),
            reserved: [0; 44],
            crc: 0.into(),
        };
        header.crc = crc32fast::hash(&header.as_bytes()[..PART_BYTES - 4]).into();
        zerocopy::transmute!(header)
    }

    /// The most bytes of a pack that are no table's: header, trailer, and what follows the names.
    pub const FRAME_BYTES_MAX: usize = 2 * PART_BYTES + ALIGNMENT - 1;

    /// Bytes of a pack that a table of this name takes beside its image: an entry of the index, and the name.
    #[must_use]
    pub const fn index_bytes(name: &[u8]) -> usize {
        PART_BYTES + name.len()
    }

    /// Takes note of the table file `image`; it belongs at the offset that comes back.
    ///
    /// # Errors
    /// [`PackError`]; then nothing is noted.
    pub fn append(
        &mut self,
        name: &[u8],
        image: &[u8],
        keys_blake3: [u8; 32],
    ) -> Result<u64, PackError> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(PackError::NameLength(name.len()));
        }
        if image.is_empty() || !image.len().is_multiple_of(ALIGNMENT) {
            return Err(PackError::ImageLength(image.len()));
        }
        if self.entries.contains_key(name) {
            return Err(PackError::DuplicateName(name.into()));
        }
        let names_bytes = self.names_bytes + name.len() as u64;
        if names_bytes > u32::MAX.into() || self.entries.len() >= u32::MAX as usize {
            return Err(PackError::TooMany);
        }
        let offset = self.end;
        let (bytes, crc) = (image.len() as u64, crc32fast::hash(image));
        self.entries.insert(name.into(), Placed { offset, bytes, crc, keys_blake3 });
        self.names_bytes = names_bytes;
        self.end += bytes;
        Ok(offset)
    }

    /// Where the next image, or the index, belongs.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// What was appended, in the order in which the images lie.
    #[must_use]
    pub fn images(&self) -> Vec<IndexedTable<'_>> {
        let mut images: Vec<_> =
            self.entries.iter().map(|(name, placed)| placed.table(name)).collect();
        images.sort_unstable_by_key(|image| image.place.offset);
        images
    }

    /// Index and trailer: the last bytes of the pack, which belong at [`Self::end`].
    #[must_use]
    pub fn finish(&self) -> Vec<u8> {
        let names_start = self.entries.len() * PART_BYTES;
        let index_bytes = (names_start + self.names_bytes as usize).next_multiple_of(ALIGNMENT);
        let mut bytes = Vec::with_capacity(index_bytes + PART_BYTES);
        let mut name_offset = 0;
        for (name, placed) in &self.entries {
            let entry = IndexEntry {
                name_offset: name_offset.into(),
                name_bytes: (name.len() as u32).into(),
                image_offset: placed.offset.into(),
                image_bytes: placed.bytes.into(),
                image_crc: placed.crc.into(),
                reserved: 0.into(),
                keys_blake3: placed.keys_blake3,
            };
            bytes.extend_from_slice(entry.as_bytes());
            name_offset += name.len() as u32;
        }
        for name in self.entries.keys() {
            bytes.extend_from_slice(name);
        }
        bytes.resize(index_bytes, 0);
        let mut trailer = Trailer {
            index_offset: self.end.into(),
            index_bytes: (index_bytes as u64).into(),
            total_bytes: (self.end + (index_bytes + PART_BYTES) as u64).into(),
            num_entries: (self.entries.len() as u32).into(),
            index_crc: crc32fast::hash(&bytes).into(),
            reserved: [0; 20],
            crc: 0.into(),
            magic: MAGIC,
        };
        trailer.crc = crc32fast::hash(&trailer.as_bytes()[..TRAILER_CRC_AT]).into();
        bytes.extend_from_slice(trailer.as_bytes());
        bytes
    }
}
