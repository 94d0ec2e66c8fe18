//! The pack: the table files of a whole bulk run in one file, with an index by name.
//!
//! ```text
//! header (64 bytes) | image | image | ... | index: entries by name, names | trailer (64 bytes)
//! ```
//!
//! Images are put down as they come, the index is written when all are there: a writer keeps no more
//! than the index in memory. Names are bytes without meaning to the pack: whoever makes a path of one
//! must check it first.

#[cfg(feature = "alloc")]
mod writer;

use core::fmt;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::{check_equal, check_limit};
use super::{ALIGNMENT, FormatError};
use crate::table::TableView;

#[cfg(feature = "alloc")]
pub use self::writer::{PackError, PackWriter};

/// First bytes of a pack; see [`super::MAGIC`].
pub const MAGIC: [u8; 8] = *b"\x89PPK\r\n\x1a\n";
/// The version that is written and read.
pub const VERSION: u32 = 1;
/// The longest name in bytes.
pub const NAME_BYTES_MAX: usize = 4096;

/// The first 64 bytes of a pack.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    version: U32,
    header_bytes: U32,
    reserved: [u8; 44],
    /// Of the 60 bytes before it.
    crc: U32,
}

/// The last 64 bytes of a pack.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Trailer {
    index_offset: U64,
    index_bytes: U64,
    total_bytes: U64,
    num_entries: U32,
    index_crc: U32,
    reserved: [u8; 20],
    /// Of the 52 bytes before it.
    crc: U32,
    magic: [u8; 8],
}

/// One entry of the index.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct IndexEntry {
    /// From the first name.
    name_offset: U32,
    name_bytes: U32,
    image_offset: U64,
    image_bytes: U64,
    image_crc: U32,
    reserved: U32,
    keys_blake3: [u8; 32],
}

const PART_BYTES: usize = 64;
const _: () = assert!(size_of::<Header>() == PART_BYTES);
const _: () = assert!(size_of::<Trailer>() == PART_BYTES);
const _: () = assert!(size_of::<IndexEntry>() == PART_BYTES);
const TRAILER_CRC_AT: usize = 52;

/// A pack in memory, its index checked.
#[derive(Clone, Copy)]
pub struct PackView<'a> {
    bytes: &'a [u8],
    index: PackIndex<'a>,
}

/// The index of a pack, checked: which tables there are, and where. For who reads a pack part by part.
#[derive(Clone, Copy)]
pub struct PackIndex<'a> {
    entries: &'a [IndexEntry],
    names: &'a [u8],
}

/// Sizes alone: a pack holds the tables of thousands of files.
impl fmt::Debug for PackView<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("PackView");
        shown.field("bytes", &self.bytes.len()).field("tables", &self.index.entries.len());
        shown.finish_non_exhaustive()
    }
}

/// Their number alone.
impl fmt::Debug for PackIndex<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("PackIndex");
        shown.field("tables", &self.entries.len()).finish_non_exhaustive()
    }
}

/// What the index says of a table.
#[derive(Debug, Clone, Copy)]
pub struct IndexedTable<'a> {
    /// The table's name.
    pub name: &'a [u8],
    /// BLAKE3 of the key file that the table was made of.
    pub keys_blake3: &'a [u8; 32],
    /// Where its table file lies.
    pub place: ImagePlace,
}

/// Where an image lies in a pack, before the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImagePlace {
    /// Where it begins.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    crc: u32,
}

/// One table of a pack.
#[derive(Clone, Copy)]
pub struct PackEntry<'a> {
    /// The table's name.
    pub name: &'a [u8],
    /// Its table file.
    pub image: &'a [u8],
    /// BLAKE3 of the key file that the table was made of.
    pub keys_blake3: &'a [u8; 32],
    place: ImagePlace,
}

impl ImagePlace {
    /// The table of `image`, the bytes that lie here, after a check of every one of them.
    ///
    /// # Errors
    /// [`FormatError`]. Offsets count from the beginning of the image, but for the checksum over all
    /// of it.
    pub fn table<'i>(&self, image: &'i [u8]) -> Result<TableView<'i>, FormatError> {
        check_part("image of a table", self.offset, self.crc, image)?;
        super::decode(image)
    }
}

/// The table's name and sizes, without its file.
impl fmt::Debug for PackEntry<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("PackEntry");
        shown.field("name", &format_args!("\"{}\"", self.name.escape_ascii()));
        shown.field("image_offset", &self.place.offset).field("image_bytes", &self.image.len());
        shown.finish_non_exhaustive()
    }
}

impl<'a> PackEntry<'a> {
    /// The table, after a check of every byte of its file.
    ///
    /// # Errors
    /// As [`ImagePlace::table`].
    pub fn table(&self) -> Result<TableView<'a>, FormatError> {
        self.place.table(self.image)
    }

    /// The table, after a check of its header; see [`super::decode_trusting_sections`].
    ///
    /// # Errors
    /// [`FormatError`], offsets counted from the beginning of the image.
    pub fn table_trusting_sections(&self) -> Result<TableView<'a>, FormatError> {
        super::decode_trusting_sections(self.image)
    }

    /// Where the image begins in the pack.
    #[must_use]
    pub const fn image_offset(&self) -> u64 {
        self.place.offset
    }
}

impl<'a> PackView<'a> {
    /// A pack whose header, trailer and index are complete and undamaged. Images are checked when
    /// they are asked for.
    ///
    /// # Errors
    /// [`FormatError`]: where the first thing is that is not as it must be.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let total_bytes = bytes.len() as u64;
        check_header(bytes)?;
        let index_offset = PackIndex::offset(bytes, total_bytes)?;
        let index_start = usize::try_from(index_offset).map_err(|_| FormatError::TooLarge)?;
        let index = PackIndex::decode(&bytes[index_start..], total_bytes)?;
        Ok(Self { bytes, index })
    }

    /// Number of tables.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.index.entries.len()
    }

    /// Whether there is no table.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.index.entries.is_empty()
    }

    /// The table of a name, by binary search.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<PackEntry<'a>> {
        let entries = self.index.entries;
        let place = entries.binary_search_by(|entry| self.index.name(entry).cmp(name));
        place.ok().map(|place| self.entry(self.index.table(&entries[place])))
    }

    /// All tables, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = PackEntry<'a>> {
        let view = *self;
        self.index.iter().map(move |table| view.entry(table))
    }

    fn entry(&self, table: IndexedTable<'a>) -> PackEntry<'a> {
        let IndexedTable { name, keys_blake3, place } = table;
        let image = part(self.bytes, place.offset, place.bytes);
        PackEntry { name, image, keys_blake3, place }
    }
}

impl<'a> PackIndex<'a> {
    /// Bytes of the trailer, with which every pack ends.
    pub const TRAILER_BYTES: usize = PART_BYTES;

    /// Where the index begins in a pack of `total_bytes` whose last bytes, the trailer at least, are
    /// `end`.
    ///
    /// # Errors
    /// [`FormatError`]: also where the pack was cut off, which its end tells.
    pub fn offset(end: &[u8], total_bytes: u64) -> Result<u64, FormatError> {
        let trailer = trailer_of(end, total_bytes)?;
        let trailer_offset = total_bytes - PART_BYTES as u64;
        let index_offset = trailer.index_offset.get();
        check_equal(
            "length of the index",
            trailer_offset + 8,
            trailer_offset.checked_sub(index_offset).ok_or(FormatError::TooLarge)?,
            trailer.index_bytes.get(),
        )?;
        if index_offset < PART_BYTES as u64 || !index_offset.is_multiple_of(ALIGNMENT as u64) {
            let (field, offset) = ("offset of the index", trailer_offset);
            let (expected, found) = (index_offset.next_multiple_of(64).max(64), index_offset);
            return Err(FormatError::Field { field, offset, expected, found });
        }
        Ok(index_offset)
    }

    /// The index of a pack of `total_bytes`, of which `end` is all from [`Self::offset`] on.
    ///
    /// # Errors
    /// [`FormatError`]: where the first thing is that is not as it must be.
    pub fn decode(end: &'a [u8], total_bytes: u64) -> Result<Self, FormatError> {
        let trailer = trailer_of(end, total_bytes)?;
        let index_offset = Self::offset(end, total_bytes)?;
        let found = total_bytes.checked_sub(end.len() as u64).ok_or(FormatError::TooLarge)?;
        check_equal("offset of the index", total_bytes - PART_BYTES as u64, found, index_offset)?;
        let index = &end[..end.len() - PART_BYTES];
        check_part("index", index_offset, trailer.index_crc.get(), index)?;
        let count = trailer.num_entries.get() as usize;
        let truncated = |_| FormatError::Truncated {
            needed: count as u64 * PART_BYTES as u64,
            found: index.len() as u64,
        };
        // The lengths say the same of the index, so that this can fail only where a writer erred.
        let (entries, names) = index_parts(index, count).map_err(truncated)?;
        let index = Self { entries, names };
        index.check_entries(index_offset)?;
        Ok(index)
    }

    /// All tables, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = IndexedTable<'a>> {
        let index = *self;
        self.entries.iter().map(move |entry| index.table(entry))
    }

    fn name(&self, entry: &IndexEntry) -> &'a [u8] {
        part(self.names, entry.name_offset.get().into(), entry.name_bytes.get().into())
    }

    fn table(&self, entry: &'a IndexEntry) -> IndexedTable<'a> {
        IndexedTable {
            name: self.name(entry),
            keys_blake3: &entry.keys_blake3,
            place: ImagePlace {
                offset: entry.image_offset.get(),
                bytes: entry.image_bytes.get(),
                crc: entry.image_crc.get(),
            },
        }
    }

    /// Names follow each other without gaps in strict order, and images lie before the index. That
    /// two names share an image is no error.
    fn check_entries(&self, index_offset: u64) -> Result<(), FormatError> {
        let mut names_end = 0;
        let mut previous: Option<&[u8]> = None;
        for (place, entry) in self.entries.iter().enumerate() {
            let at = index_offset + (place * PART_BYTES) as u64;
            check_equal("offset of a name", at, names_end, entry.name_offset.get().into())?;
            let name_bytes = u64::from(entry.name_bytes.get());
            let room = (self.names.len() as u64 - names_end).min(NAME_BYTES_MAX as u64);
            check_limit("length of a name", at + 4, room, name_bytes)?;
            names_end += name_bytes;
            let name = self.name(entry);
            if name.is_empty() || previous.is_some_and(|previous| previous >= name) {
                return Err(FormatError::NameOrder { entry: place as u64, offset: at });
            }
            previous = Some(name);
            let (image_offset, image_bytes) = (entry.image_offset.get(), entry.image_bytes.get());
            let misaligned = image_offset % ALIGNMENT as u64 + image_bytes % ALIGNMENT as u64;
            check_equal("alignment of an image", at + 8, 0, misaligned)?;
            if image_offset < PART_BYTES as u64 {
                let (field, offset, expected) = ("offset of an image", at + 8, PART_BYTES as u64);
                return Err(FormatError::Field { field, offset, expected, found: image_offset });
            }
            check_limit("offset of an image", at + 8, index_offset, image_offset)?;
            let room = index_offset - image_offset;
            check_limit("length of an image", at + 16, room, image_bytes)?;
            check_equal("reserved of an entry", at + 28, 0, entry.reserved.get().into())?;
        }
        let names_start = index_offset + (self.entries.len() * PART_BYTES) as u64;
        let padding = &self.names[names_end as usize..];
        check_limit("zero bytes after the names", names_start, 63, padding.len() as u64)?;
        super::check_zero(self.names, names_end as usize, self.names.len())
    }
}

/// The part that an entry names; none of it where there are no such bytes. All of it was checked to be
/// there, but a mapped file may be changed afterwards: such a name is none that is asked for, such an
/// image no table.
fn part(bytes: &[u8], offset: u64, length: u64) -> &[u8] {
    let range = || {
        let start = usize::try_from(offset).ok()?;
        bytes.get(start..start.checked_add(usize::try_from(length).ok()?)?)
    };
    range().unwrap_or_default()
}

fn index_parts(index: &[u8], count: usize) -> Result<(&[IndexEntry], &[u8]), ()> {
    <[IndexEntry]>::ref_from_prefix_with_elems(index, count).map_err(|_| ())
}

fn check_header(bytes: &[u8]) -> Result<(), FormatError> {
    let truncated =
        FormatError::Truncated { needed: 2 * PART_BYTES as u64, found: bytes.len() as u64 };
    let magic = bytes.first_chunk::<8>().ok_or(truncated)?;
    if *magic != MAGIC {
        return Err(FormatError::Magic { expected: "pack of tables", found: *magic });
    }
    let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| truncated)?;
    if header.version.get() != VERSION {
        return Err(FormatError::Version { expected: VERSION, found: header.version.get() });
    }
    check_part("header", 0, header.crc.get(), &bytes[..PART_BYTES - 4])?;
    check_equal("header length", 12, PART_BYTES as u64, header.header_bytes.get().into())?;
    super::check_zero(bytes, 16, PART_BYTES - 4)?;
    if bytes.len() < 2 * PART_BYTES { Err(truncated) } else { Ok(()) }
}

/// The trailer of a pack of `total_bytes` that ends with `end`. Its magic comes first: who cut a file
/// off left no checksum either.
fn trailer_of(end: &[u8], total_bytes: u64) -> Result<&Trailer, FormatError> {
    let truncated = FormatError::Truncated { needed: 2 * PART_BYTES as u64, found: total_bytes };
    let (_, trailer) = Trailer::ref_from_suffix(end).map_err(|_| truncated)?;
    if total_bytes < 2 * PART_BYTES as u64 {
        return Err(truncated);
    }
    let offset = total_bytes - PART_BYTES as u64;
    if trailer.magic != MAGIC {
        return Err(FormatError::NoEnd { offset });
    }
    let bytes = trailer.as_bytes();
    check_part("trailer", offset, trailer.crc.get(), &bytes[..TRAILER_CRC_AT])?;
    check_equal("total length", offset + 16, total_bytes, trailer.total_bytes.get())?;
    super::check_zero(bytes, 32, TRAILER_CRC_AT)?;
    Ok(trailer)
}

fn check_part(
    part: &'static str,
    offset: u64,
    expected: u32,
    bytes: &[u8],
) -> Result<(), FormatError> {
    let found = crc32fast::hash(bytes);
    if found == expected {
        Ok(())
    } else {
        Err(FormatError::PartChecksum { part, offset, expected, found })
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// As of a mapped file that was overwritten in place: the look-up of its only name panicked.
    #[test]
    fn an_index_that_was_changed_after_its_check_gives_no_table_and_no_panic() {
        let mut writer = PackWriter::default();
        let image = [7; 64];
        writer.append(b"a name", &image, [0; 32]).expect("a name");
        let pack: Vec<u8> = [&PackWriter::header()[..], &image, &writer.finish()].concat();
        let entry_at = 2 * PART_BYTES;
        let check = |field: core::ops::Range<usize>, found: usize| {
            let mut changed = pack[entry_at..pack.len() - PART_BYTES].to_vec();
            changed[field].fill(0xff);
            let (entries, names) = index_parts(&changed, 1).expect("one entry");
            let view = PackView { bytes: &pack, index: PackIndex { entries, names } };
            let entries = view.get(b"a name").into_iter().chain(view.iter());
            let opened: Vec<_> = entries.map(|entry| entry.table()).collect();
            assert_eq!(opened.len(), found);
            assert!(opened.iter().all(Result::is_err), "{opened:?}");
        };
        check(0..4, 1);
        check(4..8, 1);
        check(0..8, 1);
        check(8..16, 2);
        check(16..24, 2);
        check(0..64, 1);
    }
}
