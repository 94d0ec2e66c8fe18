//! [`Elements`]: the assigned array, read without a bounds check.
//!
//! A look-up is two loads and a few instructions, so that checks which can never fail are a good
//! part of it. This module is the only one that leaves them out.

use core::marker::PhantomData;

use crate::geometry::Geometry;

/// Bytes that must follow the assigned array in memory, so that an element of any width can be read
/// as four bytes.
pub const PADDING_BYTES: usize = 4;

/// The elements of all vertices of one geometry, little-endian.
///
/// Invariant: `(vertices << width_log2) + PADDING_BYTES` bytes can be read at `start`, for `'a`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elements<'a> {
    start: *const u8,
    width_log2: u8,
    vertices_log2: u8,
    bytes: PhantomData<&'a [u8]>,
}

// SAFETY: it is a shared slice of bytes in all but its type.
unsafe impl Send for Elements<'_> {}
// SAFETY: it is a shared slice of bytes in all but its type.
unsafe impl Sync for Elements<'_> {}

impl<'a> Elements<'a> {
    /// The elements that `bytes` begins with, or `None` where these and their padding are too few.
    pub(super) fn new(bytes: &'a [u8], geometry: Geometry) -> Option<Self> {
        let width_log2 = geometry.element_width().bytes_log2();
        let length = (geometry.vertices() as usize).checked_mul(1 << width_log2)?;
        let fits = bytes.len() >= length.checked_add(PADDING_BYTES)?;
        fits.then_some(Self {
            start: bytes.as_ptr(),
            width_log2,
            vertices_log2: geometry.vertices_log2(),
            bytes: PhantomData,
        })
    }

    /// The elements' bytes, without padding.
    pub(super) fn bytes(self) -> &'a [u8] {
        let length = 1 << (self.vertices_log2 + self.width_log2);
        // SAFETY: by the invariant, more than `length` bytes can be read there for `'a`.
        unsafe { core::slice::from_raw_parts(self.start, length) }
    }

    pub(super) const fn width_log2(self) -> u8 {
        self.width_log2
    }

    /// The sum of two elements in its low bits; no index mask lets higher ones through, which are
    /// their neighbours'.
    ///
    /// # Safety
    /// Both vertices are below the geometry's, as every member of every family promises.
    #[inline(always)]
    pub(super) unsafe fn sum(self, (first, second): (u32, u32)) -> u32 {
        // SAFETY: the caller's.
        let first = unsafe { self.four_bytes((first as usize) << self.width_log2) };
        // SAFETY: the caller's.
        let second = unsafe { self.four_bytes((second as usize) << self.width_log2) };
        first.wrapping_add(second)
    }

    /// As [`Self::sum`], with the elements' width known to the compiler.
    ///
    /// # Safety
    /// As there, and an element is `1 << WIDTH_LOG2` bytes wide.
    #[inline(always)]
    pub(super) unsafe fn sum_fixed<const WIDTH_LOG2: u8>(self, (first, second): (u32, u32)) -> u32 {
        debug_assert_eq!(WIDTH_LOG2, self.width_log2);
        // SAFETY: the caller's.
        let first = unsafe { self.four_bytes((first as usize) << WIDTH_LOG2) };
        // SAFETY: the caller's.
        let second = unsafe { self.four_bytes((second as usize) << WIDTH_LOG2) };
        first.wrapping_add(second)
    }

    /// # Safety
    /// `offset` is that of an element.
    #[inline(always)]
    unsafe fn four_bytes(self, offset: usize) -> u32 {
        debug_assert!(offset >> self.width_log2 >> self.vertices_log2 == 0);
        // SAFETY: the offset of an element is within what can be read at `start`.
        let element = unsafe { self.start.add(offset) };
        // SAFETY: an element and the padding after the last one are four bytes at least.
        u32::from_le(unsafe { element.cast::<u32>().read_unaligned() })
    }
}
