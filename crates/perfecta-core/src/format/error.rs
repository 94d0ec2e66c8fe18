//! Why bytes are no table file or no pack.

/// What is wrong with a file, and where. Offsets count bytes from the file's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The file ends too early.
    #[error("the file is cut off: {found} bytes, at least {needed} are needed")]
    Truncated {
        /// Bytes that the part read so far asks for.
        needed: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// The file goes on after its end.
    #[error("the file has {found} bytes, its header says {said}")]
    Surplus {
        /// Bytes that the header says there are.
        said: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// It begins with something else: another kind of file, or one that was transferred as text.
    #[error("not a {expected}: its first bytes are {found:02x?}")]
    Magic {
        /// What is looked for.
        expected: &'static str,
        /// The first eight bytes.
        found: [u8; 8],
    },
    /// It was written by a version that this one does not know.
    #[error("format version {found} at byte 8, this program reads version {expected}")]
    Version {
        /// The version that is read.
        expected: u32,
        /// The file's.
        found: u32,
    },
    /// The header of a table file, or its section table, is damaged.
    #[error("the header is damaged: its checksum is {found:#010x}, byte 24 says {expected:#010x}")]
    HeaderChecksum {
        /// What the header says.
        expected: u32,
        /// What its bytes come to.
        found: u32,
    },
    /// A pack does not end with a trailer.
    #[error("the file is cut off, or its end is damaged: no trailer at byte {offset:#x}")]
    NoEnd {
        /// Where the trailer of a file of this length begins.
        offset: u64,
    },
    /// A part of a pack is damaged: header, index, trailer, or the image of a table.
    #[error(
        "the {part} at byte {offset:#x} is damaged: its checksum is {found:#010x}, not {expected:#010x}"
    )]
    PartChecksum {
        /// The part.
        part: &'static str,
        /// Where it begins.
        offset: u64,
        /// What the pack says.
        expected: u32,
        /// What its bytes come to.
        found: u32,
    },
    /// A section is damaged.
    #[error(
        "the section of kind {kind} at byte {offset:#x} is damaged: its checksum is {found:#010x}, not {expected:#010x}"
    )]
    SectionChecksum {
        /// The section's kind.
        kind: u32,
        /// Where it begins.
        offset: u64,
        /// What the section table says.
        expected: u32,
        /// What its bytes come to.
        found: u32,
    },
    /// A field is not what the others make it.
    #[error("{field} at byte {offset:#x} is {found}, must be {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// Where it is.
        offset: u64,
        /// What it must be.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// A field is out of its limits.
    #[error("{field} at byte {offset:#x} is {found}, out of limits (at most {max})")]
    Limit {
        /// The field.
        field: &'static str,
        /// Where it is.
        offset: u64,
        /// The greatest value.
        max: u64,
        /// What it is.
        found: u64,
    },
    /// A field is out of its limits, of which the least is not 0.
    #[error("{field} at byte {offset:#x} is {found}, out of limits ({min} to {max})")]
    Range {
        /// The field.
        field: &'static str,
        /// Where it is.
        offset: u64,
        /// The least value.
        min: u64,
        /// The greatest value.
        max: u64,
        /// What it is.
        found: u64,
    },
    /// No key has so many bits.
    #[error("key bits at byte {offset:#x} is {found}, must be 32 or 64")]
    KeyBits {
        /// Where it is.
        offset: u64,
        /// What it is.
        found: u8,
    },
    /// A byte without meaning is not zero.
    #[error("byte {offset:#x} must be zero and is {found:#04x}")]
    Padding {
        /// Where it is.
        offset: u64,
        /// What it is.
        found: u8,
    },
    /// A section of a kind that this version does not know, and that must be understood.
    #[error(
        "section of unknown kind {kind}, listed at byte {offset:#x}: a later version is needed"
    )]
    UnknownSection {
        /// The kind.
        kind: u32,
        /// Where the section table lists it.
        offset: u64,
    },
    /// A section that a table has once is there again.
    #[error("a second section of kind {kind}, listed at byte {offset:#x}")]
    DuplicateSection {
        /// The kind.
        kind: u32,
        /// Where the section table lists the second.
        offset: u64,
    },
    /// The names of a pack are not each greater than the one before it.
    #[error("the names of the index are not in order at entry {entry} (byte {offset:#x})")]
    NameOrder {
        /// The entry, counted from 0.
        entry: u64,
        /// Where it begins.
        offset: u64,
    },
    /// A section that every table has is not there.
    #[error("no section of kind {kind}")]
    MissingSection {
        /// The kind.
        kind: u32,
    },
    /// No hash family has this number.
    #[error("no hash family has the number {id} (byte 32)")]
    UnknownFamily {
        /// The number.
        id: u8,
    },
    /// The header's fields and the length of the array are no table together. Each rule has an
    /// error that names the field; this one is for what they leave out.
    #[error("number of keys, first and last key, seeds and widths do not fit each other")]
    Inconsistent,
    /// The file has parts that no address of this machine reaches.
    #[error("the file is too large for this machine")]
    TooLarge,
}

impl FormatError {
    /// What the user can do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Truncated { .. } | Self::NoEnd { .. } | Self::Surplus { .. } => {
                "copy the file again from where it is whole, or build it again"
            }
            Self::Magic { .. } => {
                "check that this is the file that was meant; if it is, it is damaged: copy it again, as a binary file, or build it again"
            }
            Self::Version { expected, found } if *found < *expected => {
                "build it again with this version"
            }
            Self::Version { .. } | Self::UnknownSection { .. } | Self::UnknownFamily { .. } => {
                "read it with a later version of perfecta, or build it again with this one"
            }
            Self::TooLarge => "read it on a machine of 64 bits",
            Self::HeaderChecksum { .. }
            | Self::PartChecksum { .. }
            | Self::SectionChecksum { .. }
            | Self::Field { .. }
            | Self::Limit { .. }
            | Self::Range { .. }
            | Self::KeyBits { .. }
            | Self::Padding { .. }
            | Self::DuplicateSection { .. }
            | Self::NameOrder { .. }
            | Self::MissingSection { .. }
            | Self::Inconsistent => "build it again; if it persists, check disk and memory",
        }
    }
}

/// `found` must be `max` at most.
pub(super) fn check_limit(
    field: &'static str,
    offset: u64,
    max: u64,
    found: u64,
) -> Result<(), FormatError> {
    if found <= max { Ok(()) } else { Err(FormatError::Limit { field, offset, max, found }) }
}

/// `found` must be `expected`.
pub(super) fn check_equal(
    field: &'static str,
    offset: u64,
    expected: u64,
    found: u64,
) -> Result<(), FormatError> {
    if found == expected {
        Ok(())
    } else {
        Err(FormatError::Field { field, offset, expected, found })
    }
}
