//! The header and the section table as they stand in a table file.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

#[cfg(feature = "alloc")]
use crate::table::Parameters;

/// The first 128 bytes of a table file.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) magic: [u8; 8],
    pub(super) version: U32,
    pub(super) header_bytes: U32,
    pub(super) total_bytes: U64,
    pub(super) crc: U32,
    pub(super) num_sections: U32,
    pub(super) family: u8,
    pub(super) num_seeds: u8,
    pub(super) key_bits: u8,
    pub(super) element_bits: u8,
    pub(super) edge_capacity_log2: u8,
    pub(super) vertices_log2: u8,
    pub(super) flags: U16,
    pub(super) num_keys: U32,
    pub(super) reserved_44: U32,
    pub(super) first_key: U64,
    pub(super) last_key: U64,
    pub(super) downsize_bitmap: U64,
    pub(super) seeds: [U32; 8],
    pub(super) reserved: [u8; 24],
}

const _: () = assert!(size_of::<Header>() == 128);

/// One entry of the section table.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Section {
    pub(super) kind: U32,
    pub(super) flags: U32,
    pub(super) offset: U64,
    pub(super) length: U64,
    pub(super) crc: U32,
    pub(super) reserved: U32,
}

const _: () = assert!(size_of::<Section>() == 32);

impl Section {
    /// Where the section lies, once its place was checked.
    pub(super) fn range(&self) -> core::ops::Range<usize> {
        let start = self.offset.get() as usize;
        start..start + self.length.get() as usize
    }
}

#[cfg(feature = "alloc")]
impl Header {
    /// The header of a table, its checksum still zero.
    pub(super) fn new(
        parameters: &Parameters,
        header_bytes: u32,
        total_bytes: u64,
        num_sections: u32,
    ) -> Self {
        let Parameters { family, seeds, geometry, key_width, downsize, .. } = parameters;
        Self {
            magic: super::MAGIC,
            version: super::VERSION.into(),
            header_bytes: header_bytes.into(),
            total_bytes: total_bytes.into(),
            crc: 0.into(),
            num_sections: num_sections.into(),
            family: family.id(),
            num_seeds: family.num_seeds(),
            key_bits: key_width.bits() as u8,
            element_bits: 8 * geometry.element_width().bytes() as u8,
            edge_capacity_log2: geometry.edge_capacity_log2(),
            vertices_log2: geometry.vertices_log2(),
            flags: if downsize.is_some() { super::FLAG_DOWNSIZED } else { 0 }.into(),
            num_keys: parameters.num_keys.into(),
            reserved_44: 0.into(),
            first_key: parameters.first_key.into(),
            last_key: parameters.last_key.into(),
            downsize_bitmap: downsize.map_or(0, |downsize| downsize.bitmap()).into(),
            seeds: seeds.words().map(U32::new),
            reserved: [0; 24],
        }
    }
}
