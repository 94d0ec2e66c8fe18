//! Whether the pack that is there is exactly what would be built: the same key files in the same order,
//! and the bytes that its manifest says. All workers find out, part by part.
//!
//! ```text
//!  Pack, Tables, Tables, ... -- all the same --> [Sync] --> unchanged
//!              `------------- one differs ----------------> packed anew
//! ```

use std::ops::Range;

use crate::config::Doubt;

/// What a worker compares at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// The bytes of the pack.
    Pack,
    /// The key files of so many items.
    Tables(Range<usize>),
    /// Nothing: whoever published what is there may have died before its name was safe.
    Sync,
}

/// What came of a part.
#[derive(Debug)]
pub(crate) enum Compared {
    /// It is the same; the key files of these items, by their positions, may be something else besides.
    Same(Vec<(u32, Doubt)>),
    Different,
}

/// Parts, in the order in which they are handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comparison {
    num_tables: usize,
    is_durable: bool,
    /// Tables that were handed out.
    next: usize,
    is_pack_out: bool,
    is_sync_out: bool,
    /// Parts that were handed out and did not come back.
    num_out: usize,
}

impl Comparison {
    /// Some milliseconds for most key files, so that a cancel is heeded and workers end together.
    const TABLES_AT_ONCE: usize = 64;

    pub(crate) const fn new(num_tables: usize, is_durable: bool) -> Self {
        Self { num_tables, is_durable, next: 0, is_pack_out: false, is_sync_out: false, num_out: 0 }
    }

    /// The next part, if there is one by now.
    pub(crate) fn next(&self) -> Option<Part> {
        if !self.is_pack_out {
            return Some(Part::Pack);
        }
        if self.next < self.num_tables {
            let end = self.num_tables.min(self.next + Self::TABLES_AT_ONCE);
            return Some(Part::Tables(self.next..end));
        }
        (self.is_durable && !self.is_sync_out && self.num_out == 0).then_some(Part::Sync)
    }

    /// The next part is handed out.
    pub(crate) fn take(&mut self, part: &Part) {
        assert_eq!(Some(part), self.next().as_ref(), "parts leave in order");
        self.num_out += 1;
        match part {
            Part::Pack => self.is_pack_out = true,
            Part::Tables(tables) => self.next = tables.end,
            Part::Sync => self.is_sync_out = true,
        }
    }

    /// Takes back a part that is the same. Whether all of them are.
    pub(crate) fn take_back(&mut self) -> bool {
        self.num_out -= 1;
        self.num_out == 0 && self.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(comparison: &mut Comparison) -> Option<Part> {
        let part = comparison.next()?;
        comparison.take(&part);
        Some(part)
    }

    #[test]
    fn every_table_is_compared_once_and_a_sync_comes_after_all_of_them() {
        for (num_tables, is_durable) in [(0, false), (1, true), (64, false), (150, true)] {
            let mut comparison = Comparison::new(num_tables, is_durable);
            assert_eq!(take(&mut comparison), Some(Part::Pack));
            let mut seen = 0;
            let mut num_parts = 1;
            while let Some(part) = take(&mut comparison) {
                let Part::Tables(tables) = part else { panic!("{part:?} before the tables") };
                assert!(tables.start == seen && !tables.is_empty(), "{tables:?}");
                seen = tables.end;
                num_parts += 1;
            }
            assert_eq!(seen, num_tables);
            for left in (0..num_parts).rev() {
                assert_eq!(comparison.take_back(), left == 0 && !is_durable, "{left} are out");
            }
            if is_durable {
                assert_eq!(take(&mut comparison), Some(Part::Sync));
                assert_eq!(take(&mut comparison), None);
                assert!(comparison.take_back());
            }
        }
    }
}
