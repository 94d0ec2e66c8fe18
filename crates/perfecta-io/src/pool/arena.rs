//! The memory of a pool: one stretch of addresses, initialised from end to end for as long as it
//! exists. Fresh memory is zero, and so is memory that was given back and is touched again.
//!
//! Where it comes from is a [`Memory`]: mapped and bound to a node on Linux, elsewhere (and in tests)
//! one block of the global allocator, which knows neither nodes nor guards.

#[cfg(any(test, not(target_os = "linux")))]
pub(super) mod heap;
#[cfg(target_os = "linux")]
pub(super) mod mapped;

use std::ffi::c_int;
use std::fmt::Debug;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;

use super::layout::{Layout, SizeClass};
use super::stock::Slot;
use crate::thousands;

#[cfg(not(target_os = "linux"))]
pub(super) use self::heap::HeapBlock as SystemMemory;
#[cfg(target_os = "linux")]
pub(super) use self::mapped::Mapping as SystemMemory;

/// The system has no room for an arena.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot reserve {} bytes of addresses: {}",
    thousands(*.bytes as u64), std::io::Error::from_raw_os_error(*.errno)
)]
pub struct ArenaError {
    /// Asked for.
    pub bytes: usize,
    /// The system's reason.
    pub errno: c_int,
}

/// Something that a pool works without.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolWarning {
    /// Memory will come from wherever the system takes it.
    #[error("memory is not bound to node {node}: {}", std::io::Error::from_raw_os_error(*.errno))]
    NotBound {
        /// Where it should be.
        node: u32,
        /// The system's reason.
        errno: c_int,
    },
    /// Overruns of buffers will go unnoticed.
    #[error("buffers have no guard pages: {}", std::io::Error::from_raw_os_error(*.errno))]
    NotGuarded {
        /// The system's reason.
        errno: c_int,
    },
}

/// A stretch of initialised memory that is written and read by whoever owns a part of it.
pub(super) trait Memory: Debug + Send + Sync {
    /// The unit of guards and of giving back.
    fn page_bytes() -> usize
    where
        Self: Sized;

    /// Reserves addresses.
    fn reserve(bytes: usize) -> Result<Self, ArenaError>
    where
        Self: Sized;

    /// Takes its memory from a node, from now on and where there is some.
    fn bind(&self, node: u32) -> Result<(), Errno>;

    /// Finds out how pages are guarded here, by guarding this one.
    fn choose_guard(&mut self, offset: usize) -> Result<(), Errno>;

    /// The beginning.
    fn base(&self) -> NonNull<u8>;

    /// From now on, whoever touches this page ends the process.
    ///
    /// # Safety
    /// Nobody may own a byte of the page.
    unsafe fn guard(&self, offset: usize) -> Result<(), Errno>;

    /// The page is memory again.
    fn unguard(&self, offset: usize) -> Result<(), Errno>;

    /// Gives memory back; the bytes are initialised still.
    ///
    /// # Safety
    /// The caller owns these bytes, and nothing borrows from them.
    unsafe fn discard(&self, offset: usize, bytes: usize) -> Result<(), Errno>;
}

/// The memory of a pool, by slots.
#[derive(Debug)]
pub(super) struct Arena {
    layout: Layout,
    memory: Box<dyn Memory>,
    is_guarded: bool,
    warnings: Vec<PoolWarning>,
    num_guards_refused: AtomicU64,
    num_discards_refused: AtomicU64,
}

impl Arena {
    pub(super) fn reserve<M: Memory + 'static>(
        layout: &Layout,
        node: Option<u32>,
    ) -> Result<Self, ArenaError> {
        let mut memory = M::reserve(layout.arena_bytes())?;
        let mut warnings = Vec::new();
        if let Some(node) = node
            && let Err(errno) = memory.bind(node)
        {
            warnings.push(PoolWarning::NotBound { node, errno: errno.raw_os_error() });
        }
        let mut is_guarded = layout.guard_bytes > 0;
        if is_guarded && let Err(errno) = memory.choose_guard(SizeClass::SMALL_BYTES) {
            warnings.push(PoolWarning::NotGuarded { errno: errno.raw_os_error() });
            is_guarded = false;
        }
        Ok(Self {
            layout: layout.clone(),
            memory: Box::new(memory),
            is_guarded,
            warnings,
            num_guards_refused: AtomicU64::new(0),
            num_discards_refused: AtomicU64::new(0),
        })
    }

    pub(super) fn warnings(&self) -> &[PoolWarning] {
        &self.warnings
    }

    /// Where a buffer begins. All of it is in the arena.
    pub(super) fn pointer(&self, class: SizeClass, start: usize, bytes: usize) -> NonNull<u8> {
        let offset = self.layout.offset(class, start);
        assert!(offset + bytes <= self.layout.arena_bytes(), "a buffer ends in its arena");
        // SAFETY: the offset is within the stretch of memory that begins here, as was just checked.
        unsafe { self.memory.base().add(offset) }
    }

    /// Guards the end of a chunk or span. Without, the buffer is as good.
    pub(super) fn guard(&self, class: SizeClass, start: usize, bytes: usize) {
        if !self.is_guarded {
            return;
        }
        let offset = self.layout.offset(class, start) + bytes;
        // SAFETY: the layout leaves this page to nobody: it is behind a buffer and before the next.
        if unsafe { self.memory.guard(offset) }.is_err() {
            self.num_guards_refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The pages of a span may be anybody's next: no guard may stay among them.
    pub(super) fn unguard(&self, slot: &Slot) {
        if self.is_guarded {
            let offset = self.layout.offset(slot.class(), slot.start()) + slot.bytes();
            self.memory.unguard(offset).expect("a guard that was installed can be removed");
        }
    }

    /// Gives the memory of a slot back, to be done by the slot's owner.
    ///
    /// # Safety
    /// Nothing borrows from the slot's memory.
    pub(super) unsafe fn discard(&self, slot: &Slot) {
        let offset = self.layout.offset(slot.class(), slot.start());
        // SAFETY: there is one slot for these bytes, the caller has it, and nothing borrows from them.
        if unsafe { self.memory.discard(offset, slot.bytes()) }.is_err() {
            self.num_discards_refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn num_guards_refused(&self) -> u64 {
        self.num_guards_refused.load(Ordering::Relaxed)
    }

    pub(super) fn num_discards_refused(&self) -> u64 {
        self.num_discards_refused.load(Ordering::Relaxed)
    }
}
