//! Which bytes of the arena are whose.
//!
//! ```text
//!   small chunks, a guard after each | large chunks, a guard after each | pages of spans and guards
//! ```
//!
//! Each of the three parts could hold the whole budget, so that no mix of requests runs out of
//! addresses before it runs out of budget; spans may have to wait for contiguous pages. Addresses
//! cost nothing: the arena is three times the budget.

use super::{GuardPages, PoolError, PoolOptions};

/// The three kinds of buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SizeClass {
    /// 64 KiB: most key files, most outputs.
    Small,
    /// 1 MiB.
    Large,
    /// More: whole pages, contiguous, not kept after release.
    Span,
}

impl SizeClass {
    /// Bytes of a small chunk.
    pub const SMALL_BYTES: usize = 64 << 10;
    /// Bytes of a large chunk.
    pub const LARGE_BYTES: usize = 1 << 20;

    const fn of(bytes: usize) -> Self {
        if bytes <= Self::SMALL_BYTES {
            Self::Small
        } else if bytes <= Self::LARGE_BYTES {
            Self::Large
        } else {
            Self::Span
        }
    }
}

/// What a request takes: a chunk, or a span of whole pages. It fits into the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Demand {
    /// Which kind of buffer.
    pub(super) class: SizeClass,
    /// Bytes that it will have.
    pub(super) bytes: usize,
}

/// Where everything is in the arena.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// Of the whole pool.
    pub(super) budget_bytes: usize,
    /// Of the system; a guard is one page.
    pub(super) page_bytes: usize,
    /// One page, or nothing.
    pub(super) guard_bytes: usize,
    /// Small chunks that there is address space for.
    pub(super) num_small: usize,
    /// Large chunks that there is address space for.
    pub(super) num_large: usize,
    /// Pages for spans and their guards.
    pub(super) num_span_pages: usize,
}

impl Layout {
    /// For a budget of at least one small chunk.
    pub(super) fn of(options: &PoolOptions, page_bytes: usize) -> Self {
        let budget_bytes = options.budget_bytes;
        let num_large = budget_bytes / SizeClass::LARGE_BYTES;
        let (guard_bytes, num_span_guards) = match options.guards {
            GuardPages::On => (page_bytes, num_large), // a span is more than a large chunk
            GuardPages::Off => (0, 0),
        };
        Self {
            budget_bytes,
            page_bytes,
            guard_bytes,
            num_small: budget_bytes / SizeClass::SMALL_BYTES,
            num_large,
            num_span_pages: budget_bytes / page_bytes + num_span_guards,
        }
    }

    /// What a request of `bytes` takes.
    pub(super) fn demand(&self, bytes: usize) -> Result<Demand, PoolError> {
        let class = SizeClass::of(bytes);
        let taken_bytes = match class {
            SizeClass::Small => SizeClass::SMALL_BYTES,
            SizeClass::Large => SizeClass::LARGE_BYTES,
            SizeClass::Span => bytes.checked_next_multiple_of(self.page_bytes).unwrap_or(bytes),
        };
        let budget_bytes = self.budget_bytes;
        if taken_bytes > budget_bytes {
            return Err(PoolError::NeverFits { bytes, taken_bytes, budget_bytes });
        }
        Ok(Demand { class, bytes: taken_bytes })
    }

    /// Pages that a span of `bytes` takes, with its guard.
    pub(super) fn span_pages(&self, bytes: usize) -> usize {
        (bytes + self.guard_bytes) / self.page_bytes
    }

    /// Where a buffer begins: the chunk's index, or the span's first page, says `start`.
    pub(super) fn offset(&self, class: SizeClass, start: usize) -> usize {
        let small = SizeClass::SMALL_BYTES + self.guard_bytes;
        let large = SizeClass::LARGE_BYTES + self.guard_bytes;
        match class {
            SizeClass::Small => start * small,
            SizeClass::Large => self.num_small * small + start * large,
            SizeClass::Span => {
                self.num_small * small + self.num_large * large + start * self.page_bytes
            }
        }
    }

    /// Bytes of addresses.
    pub(super) fn arena_bytes(&self) -> usize {
        self.offset(SizeClass::Span, self.num_span_pages)
    }
}
