//! Keys: what is read, checked and carried on as sorted and distinct.

#[cfg(feature = "alloc")]
mod generate;
#[cfg(feature = "alloc")]
mod misread;
#[cfg(feature = "alloc")]
mod set;
#[cfg(feature = "alloc")]
mod statistics;
#[cfg(feature = "alloc")]
mod text;

mod downsize;

pub use self::downsize::{Downsize, Run};
#[cfg(feature = "alloc")]
pub use self::generate::{Shape, UnknownShape, generate};
#[cfg(feature = "alloc")]
pub use self::misread::looks_paired;
#[cfg(feature = "alloc")]
pub use self::set::{At, KeyError, KeySet, Keys, Place, Repair};
#[cfg(feature = "alloc")]
pub use self::statistics::{BitRun, KeyStatistics};
#[cfg(feature = "alloc")]
pub use self::text::{TextError, TextErrorKind, looks_like_text};

/// Width of a key in files and in look-ups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyWidth {
    /// 32 bits, 4 bytes.
    Bits32,
    /// 64 bits, 8 bytes.
    Bits64,
}

impl KeyWidth {
    /// Bytes of one key.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bits32 => 4,
            Self::Bits64 => 8,
        }
    }

    /// Bits of one key.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Bits32 => 32,
            Self::Bits64 => 64,
        }
    }

    /// The width of `bits` bits, if there is one.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Option<Self> {
        match bits {
            32 => Some(Self::Bits32),
            64 => Some(Self::Bits64),
            _ => None,
        }
    }
}

/// An unsigned integer that can be a key: `u32` or `u64`.
pub trait Key:
    Copy + Ord + Into<u64> + core::fmt::Debug + Send + Sync + sealed::Sealed + 'static
{
    /// The key's width.
    const WIDTH: KeyWidth;
}

impl Key for u32 {
    const WIDTH: KeyWidth = KeyWidth::Bits32;
}

impl Key for u64 {
    const WIDTH: KeyWidth = KeyWidth::Bits64;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for u32 {}
    impl Sealed for u64 {}
}
