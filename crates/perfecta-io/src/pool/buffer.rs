//! A buffer in use, and the wait for one.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use super::arena::Arena;
use super::depot::{Counter, Depot, TicketNumber};
use super::layout::{Layout, SizeClass};
use super::statistics::PoolStatistics;
use super::stock::{Grant, Slot};

/// What a pool, its buffers and its tickets share. The last of them unmaps the arena.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) layout: Layout,
    pub(super) arena: Arena,
    pub(super) depot: Depot<parking_lot::Mutex<Counter>>,
}

impl Shared {
    pub(super) fn new(layout: Layout, arena: Arena) -> Self {
        Self { depot: Depot::new(&layout), layout, arena }
    }

    pub(super) fn statistics(&self) -> PoolStatistics {
        PoolStatistics {
            num_guards_refused: self.arena.num_guards_refused(),
            num_discards_refused: self.arena.num_discards_refused(),
            ..self.depot.statistics()
        }
    }
}

/// Bytes of a pool, all initialised (to what the last user left, or zero), aligned to 4 KiB. They go
/// back when it is dropped.
pub struct PooledBuffer {
    shared: Arc<Shared>,
    memory: NonNull<u8>,
    bytes: usize,
    /// Taken out once, by `drop`.
    slot: Option<Slot>,
}

// SAFETY: the slot gives its owner alone the memory, and memory belongs to no thread.
unsafe impl Send for PooledBuffer {}
// SAFETY: a shared reference only reads.
unsafe impl Sync for PooledBuffer {}

impl PooledBuffer {
    /// Does what a grant asks for first: memory of others goes back before its own is touched.
    pub(super) fn of_grant(shared: &Arc<Shared>, grant: Grant) -> Self {
        let Grant { slot, is_new, leaving } = grant;
        for slot in &leaving {
            // SAFETY: a slot that leaves was free: nobody borrows from its memory.
            unsafe { shared.arena.discard(slot) };
        }
        if !leaving.is_empty() {
            shared.depot.vacate(leaving);
        }
        if is_new {
            shared.arena.guard(slot.class(), slot.start(), slot.bytes());
        }
        let memory = shared.arena.pointer(slot.class(), slot.start(), slot.bytes());
        let (shared, bytes) = (Arc::clone(shared), slot.bytes());
        Self { shared, memory, bytes, slot: Some(slot) }
    }

    /// Gives its budget back and its memory never: somebody else may write there as long as the process
    /// lives.
    #[cfg(any(ring, test))]
    pub(crate) fn lose(mut self) {
        let slot = self.slot.take().expect("the slot is there until the end");
        self.shared.depot.lose(slot);
        // The arena stays mapped as well.
        std::mem::forget(self);
    }
}

impl Deref for PooledBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: initialised memory of the arena that `shared` keeps, and the slot's owner's alone.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.bytes) }
    }
}

impl DerefMut for PooledBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: initialised memory of the arena that `shared` keeps, and the slot's owner's alone.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.bytes) }
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        let slot = self.slot.take().expect("a buffer is dropped once");
        match slot.class() {
            SizeClass::Small | SizeClass::Large => {}
            SizeClass::Span => {
                self.shared.arena.unguard(&slot);
                // SAFETY: whoever borrowed from the buffer borrowed the buffer, which ends here.
                unsafe { self.shared.arena.discard(&slot) };
            }
        }
        self.shared.depot.give_back(slot);
    }
}

impl fmt::Debug for PooledBuffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PooledBuffer({} bytes)", self.bytes)
    }
}

/// The answer to a request that may wait.
#[derive(Debug)]
pub enum Acquisition {
    /// There was budget.
    Ready(PooledBuffer),
    /// There will be: collect it when woken.
    Waiting(Ticket),
}

/// A place in the queue, and then the right to the buffer that was set aside. Dropping it gives
/// both up.
#[must_use = "a buffer that is set aside is collected or given up"]
#[derive(Debug)]
pub struct Ticket {
    shared: Arc<Shared>,
    number: Option<TicketNumber>,
}

impl Ticket {
    pub(super) fn new(shared: &Arc<Shared>, number: TicketNumber) -> Self {
        Self { shared: Arc::clone(shared), number: Some(number) }
    }

    /// The buffer, or the ticket again if it has not been woken yet. `now` is the time, by the
    /// same clock as when it began to wait.
    ///
    /// # Errors
    /// The ticket: it waits on.
    pub fn collect(mut self, now: Duration) -> Result<PooledBuffer, Self> {
        let grant = self.number.and_then(|number| self.shared.depot.collect(number, now));
        match grant {
            Some(grant) => {
                self.number = None;
                Ok(PooledBuffer::of_grant(&self.shared, grant))
            }
            None => Err(self),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let grant = self.number.take().and_then(|number| self.shared.depot.give_up(number));
        drop(grant.map(|grant| PooledBuffer::of_grant(&self.shared, grant)));
    }
}
