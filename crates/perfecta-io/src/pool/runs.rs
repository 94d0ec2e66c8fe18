//! Free pages, as runs.

use std::collections::BTreeMap;

/// Runs of free pages, by where they begin.
///
/// Invariant: no run touches the next; they would be one.
#[derive(Debug)]
pub(super) struct FreeRuns {
    lengths: BTreeMap<usize, usize>,
}

impl FreeRuns {
    /// All of `num_pages` are free.
    pub(super) fn new(num_pages: usize) -> Self {
        let all = (num_pages > 0).then_some((0, num_pages));
        Self { lengths: all.into_iter().collect() }
    }

    /// The lowest run that is long enough: what is free stays together above.
    pub(super) fn take(&mut self, num_pages: usize) -> Option<usize> {
        let (&start, &length) = self.lengths.iter().find(|(_, length)| **length >= num_pages)?;
        self.lengths.remove(&start);
        if length > num_pages {
            self.lengths.insert(start + num_pages, length - num_pages);
        }
        Some(start)
    }

    /// Gives a run back that was taken.
    pub(super) fn give_back(&mut self, start: usize, num_pages: usize) {
        let (mut start, mut end) = (start, start + num_pages);
        if let Some((&after, &length)) = self.lengths.range(start..).next() {
            assert!(end <= after, "pages {start}..{end} are free already");
            if after == end {
                self.lengths.remove(&after);
                end += length;
            }
        }
        if let Some((&before, &length)) = self.lengths.range(..start).next_back() {
            assert!(before + length <= start, "pages {start}..{end} are free already");
            if before + length == start {
                start = before;
            }
        }
        self.lengths.insert(start, end - start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(free: &FreeRuns) -> Vec<(usize, usize)> {
        free.lengths.iter().map(|(&start, &length)| (start, length)).collect()
    }

    #[test]
    fn the_lowest_run_that_is_long_enough_is_taken() {
        let mut free = FreeRuns::new(10);
        assert_eq!([free.take(3), free.take(3), free.take(3)], [Some(0), Some(3), Some(6)]);
        assert_eq!(free.take(2), None);
        free.give_back(3, 3);
        assert_eq!(free.take(4), None);
        assert_eq!(free.take(2), Some(3));
        assert_eq!(runs(&free), [(5, 1), (9, 1)]);
    }

    #[test]
    fn runs_given_back_in_any_order_become_one() {
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        for order in orders {
            let mut free = FreeRuns::new(9);
            assert_eq!([free.take(3), free.take(3), free.take(3)], [Some(0), Some(3), Some(6)]);
            assert_eq!(runs(&free), []);
            order.iter().for_each(|third| free.give_back(third * 3, 3));
            assert_eq!(runs(&free), [(0, 9)], "{order:?}");
        }
    }

    #[test]
    fn no_pages_are_no_run() {
        assert_eq!(FreeRuns::new(0).take(1), None);
    }

    #[test]
    #[should_panic(expected = "free already")]
    fn a_run_cannot_be_given_back_twice() {
        let mut free = FreeRuns::new(4);
        assert_eq!(free.take(2), Some(0));
        free.give_back(0, 2);
        free.give_back(0, 2);
    }
}
