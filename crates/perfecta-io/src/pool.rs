//! Buffers of one node: memory with a hard limit, handed out in few sizes and taken back by itself.
//!
//! ```text
//!             try_acquire, acquire_or_wait                drop
//!   depot -----------------------------------> buffer ----------> depot, or the first who waits
//! ```
//!
//! * One arena a pool: addresses are reserved at once and bound to the node, memory comes when it is
//!   touched. `in use + cached <= budget` holds at every moment.
//! * Key files alone are read into it, and their length is known before. Two sizes of chunks, and spans
//!   of whole pages for what is longer; a span goes back to the system with its release.
//! * No budget is not an error but back-pressure: the caller is told later. Who waits is served in
//!   order, and nobody overtakes. Who holds a buffer while waiting for another may wait for ever:
//!   take all that a step needs at once.
//! * Nothing is stored in front of a payload, where an overrun would destroy it first. A guard page
//!   after every buffer ends the process at the first byte too many, in debug builds.
//! * No huge pages: one would make 2 MiB resident for 64 KiB taken, and cannot be given back in
//!   part. The limit would not be one. (First touch of 64 MiB took 135 ms with, 20 ms without.)

mod arena;
mod buffer;
mod depot;
mod layout;
mod runs;
mod statistics;
mod stock;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

pub use self::arena::{ArenaError, PoolWarning};
pub use self::buffer::{Acquisition, PooledBuffer, Ticket};
pub use self::layout::SizeClass;
pub use self::statistics::{ClassStatistics, PoolStatistics};

use self::arena::{Arena, Memory, SystemMemory};
use self::buffer::Shared;
use self::layout::{Demand, Layout};
use crate::thousands;

/// What a pool is to be like.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// The most memory that buffers take, those kept for the next user included.
    pub budget_bytes: usize,
    /// Where its memory should be; `None` leaves it to the system (nearest to the first user).
    pub node: Option<u32>,
    /// Whether a page that cannot be touched follows every buffer.
    pub guards: GuardPages,
}

impl PoolOptions {
    /// A pool on no particular node.
    #[must_use]
    pub fn with_budget(budget_bytes: usize) -> Self {
        Self { budget_bytes, node: None, guards: GuardPages::default() }
    }
}

/// Whether a write past the end of a buffer ends the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardPages {
    /// It does, at the cost of half a microsecond when a chunk is first used and for every span.
    On,
    /// It may go unnoticed.
    Off,
}

impl Default for GuardPages {
    /// On in debug builds.
    fn default() -> Self {
        if cfg!(debug_assertions) { Self::On } else { Self::Off }
    }
}

/// A pool, or a buffer of it, that there cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Not even one small chunk fits.
    #[error(
        "a pool of {} bytes has no room for a buffer of {} bytes",
        thousands(*.budget_bytes as u64),
        thousands(SizeClass::SMALL_BYTES as u64)
    )]
    BudgetTooSmall {
        /// The budget.
        budget_bytes: usize,
    },
    /// The system has no address space for it.
    #[error(transparent)]
    Arena(#[from] ArenaError),
    /// A request that could wait for ever.
    #[error(
        "a buffer of {} bytes takes {} and never fits into a budget of {}",
        thousands(*.bytes as u64), thousands(*.taken_bytes as u64), thousands(*.budget_bytes as u64)
    )]
    NeverFits {
        /// Asked for.
        bytes: usize,
        /// What a buffer of that size takes.
        taken_bytes: usize,
        /// The budget.
        budget_bytes: usize,
    },
}

/// The buffers of one node. Clones are the same pool.
#[derive(Debug, Clone)]
pub struct BufferPool {
    shared: Arc<Shared>,
}

impl BufferPool {
    /// Reserves addresses for all that the budget allows. No memory is used yet.
    ///
    /// # Errors
    /// [`PoolError`] if the budget is less than a buffer, or the system has not so many addresses.
    /// That memory could not be bound to the node, or guarded, is only [a warning](Self::warnings).
    pub fn reserve(options: &PoolOptions) -> Result<Self, PoolError> {
        Self::reserve_of::<SystemMemory>(options)
    }

    fn reserve_of<M: Memory + 'static>(options: &PoolOptions) -> Result<Self, PoolError> {
        let budget_bytes = options.budget_bytes;
        if budget_bytes < SizeClass::SMALL_BYTES {
            return Err(PoolError::BudgetTooSmall { budget_bytes });
        }
        let layout = Layout::of(options, M::page_bytes());
        let arena = Arena::reserve::<M>(&layout, options.node)?;
        Ok(Self { shared: Arc::new(Shared::new(layout, arena)) })
    }

    /// A buffer of at least `bytes` bytes, if there is budget now and nobody waits for it.
    ///
    /// # Errors
    /// [`PoolError::NeverFits`] if there never is.
    pub fn try_acquire(&self, bytes: usize) -> Result<Option<PooledBuffer>, PoolError> {
        let demand = self.demand(bytes)?;
        let grant = self.shared.depot.take(demand);
        Ok(grant.map(|grant| PooledBuffer::of_grant(&self.shared, grant)))
    }

    /// A buffer of at least `bytes` bytes, or a ticket for it: `waker` is woken when the buffer is
    /// set aside for the ticket, after everybody who came before. `now` is the time, for the
    /// statistics.
    ///
    /// # Errors
    /// [`PoolError::NeverFits`] if there never is budget for it.
    pub fn acquire_or_wait(
        &self,
        bytes: usize,
        now: Duration,
        waker: &Waker,
    ) -> Result<Acquisition, PoolError> {
        let demand = self.demand(bytes)?;
        Ok(match self.shared.depot.take_or_wait(demand, now, waker) {
            Ok(grant) => Acquisition::Ready(PooledBuffer::of_grant(&self.shared, grant)),
            Err(number) => Acquisition::Waiting(Ticket::new(&self.shared, number)),
        })
    }

    fn demand(&self, bytes: usize) -> Result<Demand, PoolError> {
        self.shared.layout.demand(bytes)
    }

    /// What was given, what is in use, and who waited how long.
    #[must_use]
    pub fn statistics(&self) -> PoolStatistics {
        self.shared.statistics()
    }

    /// What the system refused when the pool was made. Nothing but speed or a check is lost.
    #[must_use]
    pub fn warnings(&self) -> &[PoolWarning] {
        self.shared.arena.warnings()
    }
}
