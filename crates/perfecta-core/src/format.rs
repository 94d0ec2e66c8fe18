//! The table file (`.pht`) and the pack: bytes that are mapped and used as they are.
//!
//! `docs/formats.md` describes every byte. Here is what that page leaves to the code: a decoder
//! trusts nothing. Each length and offset is compared with the bytes at hand before it is used, there
//! is exactly one place where a section may lie, and bytes without meaning must be zero. Neither decoder allocates, nor wants its input aligned.
//!
//! What is *not* checked: that elements are below the edge capacity (an index is cut to it, whatever
//! they are), and that keys get their ranks ([`TableView::verify`] does, given the keys).
//!
//! [`TableView::verify`]: crate::table::TableView::verify

mod error;
pub mod pack;
mod wire;

pub use self::error::FormatError;

use self::error::{check_equal, check_limit};
use self::wire::{Header, Section};
use crate::family::Family;
use crate::geometry::Geometry;
use crate::key::{Downsize, KeyWidth};
use crate::seeds::Seeds;
use crate::table::{PADDING_BYTES, Parameters, TableView};
use zerocopy::{FromBytes as _, IntoBytes as _};

/// First bytes of a table file. As in PNG: a byte that is no text, the name, and line ends that a
/// transfer as text would change.
pub const MAGIC: [u8; 8] = *b"\x89PHT\r\n\x1a\n";
/// The version that is written and read.
pub const VERSION: u32 = 1;
/// Sections begin at multiples of this, so that a mapped array shares no cache line.
pub const ALIGNMENT: usize = 64;
/// Every section is followed by this many zero bytes at least, so that four bytes can be read at its
/// last element.
pub(crate) const SECTION_PADDING_BYTES: usize = PADDING_BYTES;
/// The most sections that a file may have.
pub(crate) const SECTIONS_MAX: usize = 64;

/// What a section holds.
pub mod kind {
    /// The assigned array.
    pub const ASSIGNED: u32 = 1;
}

/// Flags of a section.
pub mod section_flag {
    /// A reader that does not know the section's kind may go on without it. Else it must not.
    pub const MAY_BE_IGNORED: u32 = 1;
}

const HEADER_BYTES: usize = size_of::<Header>();
const SECTION_BYTES: usize = size_of::<Section>();
const FLAG_DOWNSIZED: u16 = 1;

/// The table of a file that is complete and undamaged.
///
/// # Errors
/// [`FormatError`]: where the first thing is that is not as it must be.
pub fn decode(bytes: &[u8]) -> Result<TableView<'_>, FormatError> {
    let header = header_of(bytes)?;
    let view = table_of(bytes, header)?;
    let mut offset = header.header_bytes.get() as usize;
    check_zero(bytes, HEADER_BYTES + sections_of(bytes, header).len() * SECTION_BYTES, offset)?;
    for section in sections_of(bytes, header) {
        let end = offset + section.length.get() as usize;
        let found = crc32fast::hash(&bytes[offset..end]);
        let (kind, expected) = (section.kind.get(), section.crc.get());
        if found != expected {
            return Err(FormatError::SectionChecksum {
                kind,
                offset: offset as u64,
                expected,
                found,
            });
        }
        offset = next_section(end).ok_or(FormatError::TooLarge)?;
        check_zero(bytes, end, offset)?;
    }
    Ok(view)
}

/// As [`decode`], without a look at the sections: for files larger than one wants to read before the
/// first look-up. Damage to a section shows as wrong indexes, still below the edge capacity.
///
/// # Errors
/// [`FormatError`], if the header, the section table or a length is not as it must be.
pub fn decode_trusting_sections(bytes: &[u8]) -> Result<TableView<'_>, FormatError> {
    table_of(bytes, header_of(bytes)?)
}

/// The section of a kind, without its padding, if the file of `bytes` has one: for kinds that this
/// version does not know.
///
/// # Errors
/// As [`decode_trusting_sections`].
pub fn section(bytes: &[u8], kind: u32) -> Result<Option<&[u8]>, FormatError> {
    let header = header_of(bytes)?;
    let section = sections_of(bytes, header).iter().find(|section| section.kind.get() == kind);
    Ok(section.map(|section| &bytes[section.range()]))
}

/// Checks all of the header and the places of the sections. What it lets pass can be sliced.
fn header_of(bytes: &[u8]) -> Result<&Header, FormatError> {
    let length = bytes.len() as u64;
    let truncated = |needed: usize| FormatError::Truncated { needed: needed as u64, found: length };
    let magic = bytes.first_chunk::<8>().ok_or(truncated(8))?;
    if *magic != MAGIC {
        return Err(FormatError::Magic { expected: "table file", found: *magic });
    }
    let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| truncated(HEADER_BYTES))?;
    if header.version.get() != VERSION {
        return Err(FormatError::Version { expected: VERSION, found: header.version.get() });
    }
    let num_sections = header.num_sections.get();
    if num_sections as usize > SECTIONS_MAX {
        let (max, found) = (SECTIONS_MAX as u64, num_sections.into());
        return Err(FormatError::Limit { field: "number of sections", offset: 28, max, found });
    }
    let table_end = HEADER_BYTES + num_sections as usize * SECTION_BYTES;
    let header_bytes = table_end.next_multiple_of(ALIGNMENT);
    check_equal("header length", 12, header_bytes as u64, header.header_bytes.get().into())?;
    let before_crc = bytes.get(..header_bytes).ok_or(truncated(header_bytes))?;
    let found = header_crc(before_crc);
    if found != header.crc.get() {
        return Err(FormatError::HeaderChecksum { expected: header.crc.get(), found });
    }
    let total_bytes = header.total_bytes.get();
    if length < total_bytes {
        return Err(FormatError::Truncated { needed: total_bytes, found: length });
    }
    if length > total_bytes {
        return Err(FormatError::Surplus { said: total_bytes, found: length });
    }
    check_equal("reserved field", 44, 0, header.reserved_44.get().into())?;
    check_zero(header.as_bytes(), HEADER_BYTES - header.reserved.len(), HEADER_BYTES)?;
    check_sections(bytes, header)?;
    Ok(header)
}

/// Every section lies at the first place after the one before it, and the last one ends the file.
fn check_sections(bytes: &[u8], header: &Header) -> Result<(), FormatError> {
    let mut offset = header.header_bytes.get() as usize;
    let mut assigned = false;
    for (place, section) in sections_of(bytes, header).iter().enumerate() {
        let entry = (HEADER_BYTES + place * SECTION_BYTES) as u64;
        let (kind, flags) = (section.kind.get(), section.flags.get());
        check_equal("section flags", entry + 4, (flags & 1).into(), flags.into())?;
        check_equal("section offset", entry + 8, offset as u64, section.offset.get())?;
        check_equal("reserved of a section", entry + 28, 0, section.reserved.get().into())?;
        if kind == kind::ASSIGNED {
            if assigned {
                return Err(FormatError::DuplicateSection { kind, offset: entry });
            }
            assigned = true;
        } else if flags & section_flag::MAY_BE_IGNORED == 0 {
            return Err(FormatError::UnknownSection { kind, offset: entry });
        }
        let end = usize::try_from(section.length.get())
            .ok()
            .and_then(|length| offset.checked_add(length));
        let next = end.and_then(next_section).filter(|&next| next <= bytes.len());
        offset = next.ok_or(FormatError::Limit {
            field: "section length",
            offset: entry + 16,
            max: (bytes.len() - offset) as u64,
            found: section.length.get(),
        })?;
    }
    check_equal("total length", 16, offset as u64, bytes.len() as u64)?;
    if !assigned {
        return Err(FormatError::MissingSection { kind: kind::ASSIGNED });
    }
    Ok(())
}

/// The table of a header that [`header_of`] let pass.
fn table_of<'a>(bytes: &'a [u8], header: &Header) -> Result<TableView<'a>, FormatError> {
    let parameters = parameters_of(header)?;
    let sections = sections_of(bytes, header).iter();
    let mut assigned = sections.filter(|section| section.kind.get() == kind::ASSIGNED);
    let assigned = assigned.next().ok_or(FormatError::MissingSection { kind: kind::ASSIGNED })?;
    let expected = parameters.assigned_bytes() as u64;
    check_equal(
        "length of the assigned array",
        HEADER_BYTES as u64,
        expected,
        assigned.length.get(),
    )?;
    let range = assigned.range();
    let padded = &bytes[range.start..range.end + SECTION_PADDING_BYTES];
    TableView::new(parameters, padded).ok_or(FormatError::Inconsistent)
}

/// The parameters, each field within its own limits.
fn parameters_of(header: &Header) -> Result<Parameters, FormatError> {
    let family_id = header.family;
    let family = Family::from_id(family_id).ok_or(FormatError::UnknownFamily { id: family_id })?;
    let num_seeds = family.num_seeds().into();
    check_equal("number of seeds", 33, num_seeds, header.num_seeds.into())?;
    let key_width = KeyWidth::from_bits(header.key_bits.into());
    let key_width = key_width.ok_or(FormatError::KeyBits { offset: 34, found: header.key_bits })?;
    let edge_log2 = header.edge_capacity_log2;
    let geometry = Geometry::from_edge_capacity_log2(edge_log2).ok_or(FormatError::Range {
        field: "logarithm of the edge capacity",
        offset: 36,
        min: Geometry::EDGE_CAPACITY_LOG2_MIN.into(),
        max: Geometry::EDGE_CAPACITY_LOG2_MAX.into(),
        found: edge_log2.into(),
    })?;
    let vertices_log2 = geometry.vertices_log2().into();
    check_equal("logarithm of the vertices", 37, vertices_log2, header.vertices_log2.into())?;
    let element_bits = 8 * geometry.element_width().bytes() as u64;
    check_equal("element bits", 35, element_bits, header.element_bits.into())?;
    let parameters = Parameters {
        family,
        seeds: Seeds::from_words(header.seeds.map(|word| word.get())),
        geometry,
        key_width,
        downsize: downsize_of(header)?,
        num_keys: header.num_keys.get(),
        first_key: header.first_key.get(),
        last_key: header.last_key.get(),
    };
    check_keys(&parameters)?;
    check_widths(&parameters)?;
    check_seeds(&parameters)?;
    Ok(parameters)
}

/// There is a key, the graph has an edge for each, and between the first and the last there is room
/// for all.
fn check_keys(parameters: &Parameters) -> Result<(), FormatError> {
    let Parameters { num_keys, first_key, last_key, .. } = *parameters;
    check_equal("number of keys", 40, u64::from(num_keys.max(1)), num_keys.into())?;
    let edge_capacity = parameters.geometry.edge_capacity();
    check_limit("number of keys", 40, edge_capacity.into(), num_keys.into())?;
    if parameters.key_width == KeyWidth::Bits32 {
        check_limit("last key", 56, u32::MAX.into(), last_key)?;
    }
    check_limit("first key", 48, last_key, first_key)?;
    let between = (last_key - first_key).saturating_add(1);
    check_limit("number of keys from the first to the last", 40, between, num_keys.into())
}

/// The first and the last key have no bit that is left out, and between what is left of them there is
/// room for all.
fn check_downsized(parameters: &Parameters, downsize: Downsize) -> Result<(), FormatError> {
    let Parameters { num_keys, first_key, last_key, .. } = *parameters;
    let bitmap = downsize.bitmap();
    check_equal("first key in the bits of the downsize bitmap", 48, first_key & bitmap, first_key)?;
    check_equal("last key in the bits of the downsize bitmap", 56, last_key & bitmap, last_key)?;
    let between = u64::from(downsize.apply(last_key)) - u64::from(downsize.apply(first_key)) + 1;
    check_limit("number of keys in the bits of the downsize bitmap", 40, between, num_keys.into())
}

/// Only keys of 64 bits are downsized, and not every family hashes them as they are.
fn check_widths(parameters: &Parameters) -> Result<(), FormatError> {
    let Parameters { family, key_width, downsize, .. } = parameters;
    match (key_width, downsize) {
        (KeyWidth::Bits32, Some(_)) => check_equal("key bits of downsized keys", 34, 64, 32),
        (KeyWidth::Bits64, None) if !family.hashes_64() => {
            let (expected, found) = (Family::Folded.id().into(), family.id().into());
            check_equal("hash family of 64-bit keys", 32, expected, found)
        }
        (KeyWidth::Bits64, Some(downsize)) => check_downsized(parameters, *downsize),
        (KeyWidth::Bits32 | KeyWidth::Bits64, None) => Ok(()),
    }
}

/// Bits that the family does not take are zero, and a shift that stands for the geometry is its own.
fn check_seeds(parameters: &Parameters) -> Result<(), FormatError> {
    let Parameters { family, seeds, geometry, .. } = parameters;
    for (number, word) in (1..).zip(*seeds.words()) {
        let expected = family.nearest_seed(number, word, *geometry);
        let offset = 72 + 4 * (number as u64 - 1);
        check_equal("a seed", offset, expected.into(), word.into())?;
    }
    Ok(())
}

/// Which bits of a key are left, where not all are.
fn downsize_of(header: &Header) -> Result<Option<Downsize>, FormatError> {
    let flags = header.flags.get();
    check_equal("flags", 38, (flags & FLAG_DOWNSIZED).into(), flags.into())?;
    let bitmap = header.downsize_bitmap.get();
    if flags != FLAG_DOWNSIZED {
        check_equal("downsize bitmap without its flag", 64, 0, bitmap)?;
        return Ok(None);
    }
    let too_many = FormatError::Limit {
        field: "bits of the downsize bitmap",
        offset: 64,
        max: Downsize::BITS_MAX.into(),
        found: bitmap.count_ones().into(),
    };
    Downsize::new(bitmap).map(Some).ok_or(too_many)
}

/// The section table of a header whose length was checked.
fn sections_of<'a>(bytes: &'a [u8], header: &Header) -> &'a [Section] {
    let count = header.num_sections.get() as usize;
    <[Section]>::ref_from_prefix_with_elems(&bytes[HEADER_BYTES..], count)
        .map_or(&[][..], |(sections, _)| sections)
}

/// The checksum of header and section table, the checksum itself taken as zero.
fn header_crc(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..24]);
    hasher.update(&[0; 4]);
    hasher.update(&bytes[28..]);
    hasher.finalize()
}

/// Where the section after one that ends at `end` begins.
fn next_section(end: usize) -> Option<usize> {
    end.checked_add(SECTION_PADDING_BYTES)?.checked_next_multiple_of(ALIGNMENT)
}

fn check_zero(bytes: &[u8], from: usize, to: usize) -> Result<(), FormatError> {
    match bytes[from..to].iter().position(|&byte| byte != 0) {
        None => Ok(()),
        Some(place) => {
            Err(FormatError::Padding { offset: (from + place) as u64, found: bytes[from + place] })
        }
    }
}

/// Bytes of the file of a table.
#[cfg(feature = "alloc")]
#[must_use]
pub fn encoded_bytes(parameters: &Parameters) -> usize {
    let header = (HEADER_BYTES + SECTION_BYTES).next_multiple_of(ALIGNMENT);
    next_section(header + parameters.assigned_bytes()).expect("a table in memory is smaller")
}

/// The file of a table.
#[cfg(feature = "alloc")]
#[must_use]
pub fn encode(view: &TableView<'_>) -> alloc::vec::Vec<u8> {
    let mut file = alloc::vec::Vec::with_capacity(encoded_bytes(view.parameters()));
    encode_into(view, &mut file);
    file
}

/// Appends the file of a table, which is the same wherever it is appended.
#[cfg(feature = "alloc")]
pub fn encode_into(view: &TableView<'_>, file: &mut alloc::vec::Vec<u8>) {
    let start = file.len();
    let parameters = view.parameters();
    let assigned = view.assigned_bytes();
    let header_bytes = (HEADER_BYTES + SECTION_BYTES).next_multiple_of(ALIGNMENT);
    let total_bytes = encoded_bytes(parameters);
    let section = Section {
        kind: kind::ASSIGNED.into(),
        flags: 0.into(),
        offset: (header_bytes as u64).into(),
        length: (assigned.len() as u64).into(),
        crc: crc32fast::hash(assigned).into(),
        reserved: 0.into(),
    };
    let header = Header::new(parameters, header_bytes as u32, total_bytes as u64, 1);
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(section.as_bytes());
    file.resize(start + header_bytes, 0);
    let crc = header_crc(&file[start..]);
    file[start + 24..start + 28].copy_from_slice(&crc.to_le_bytes());
    file.extend_from_slice(assigned);
    file.resize(start + total_bytes, 0);
}
