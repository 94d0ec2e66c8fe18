//! An arena from the global allocator: zero from the start, never given back in part, without nodes
//! and guards.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use rustix::io::Errno;

use super::{ArenaError, Memory};

/// What direct I/O asks for, on every system.
const PAGE_BYTES: usize = 4096;
/// What every allocator gives anyway: for more, zeroed memory would be touched from end to end.
const ALIGNMENT: usize = 16;

/// One block.
#[derive(Debug)]
pub(in crate::pool) struct HeapBlock {
    block: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the block belongs to whoever has this value, on any thread.
unsafe impl Send for HeapBlock {}
// SAFETY: nothing but the address is read through a shared reference.
unsafe impl Sync for HeapBlock {}

impl Memory for HeapBlock {
    fn page_bytes() -> usize {
        PAGE_BYTES
    }

    fn reserve(bytes: usize) -> Result<Self, ArenaError> {
        let refused = ArenaError { bytes, errno: Errno::NOMEM.raw_os_error() };
        let with_room_to_align = bytes.checked_add(PAGE_BYTES).ok_or_else(|| refused.clone())?;
        let layout = Layout::from_size_align(with_room_to_align, ALIGNMENT);
        let layout = layout.map_err(|_| refused.clone())?;
        // SAFETY: the layout has a page at least.
        let block = unsafe { alloc_zeroed(layout) };
        Ok(Self { block: NonNull::new(block).ok_or(refused)?, layout })
    }

    fn bind(&self, _node: u32) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }

    fn choose_guard(&mut self, _offset: usize) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }

    fn base(&self) -> NonNull<u8> {
        let to_page = self.block.align_offset(PAGE_BYTES);
        assert!(to_page < PAGE_BYTES, "a page begins within a page");
        // SAFETY: the block is a page longer than what was asked for.
        unsafe { self.block.add(to_page) }
    }

    unsafe fn guard(&self, _offset: usize) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }

    fn unguard(&self, _offset: usize) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }

    /// The allocator takes nothing back in part, and nobody expects zeros.
    unsafe fn discard(&self, _offset: usize, _bytes: usize) -> Result<(), Errno> {
        Ok(())
    }
}

impl Drop for HeapBlock {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and given back once.
        unsafe { dealloc(self.block.as_ptr(), self.layout) };
    }
}
