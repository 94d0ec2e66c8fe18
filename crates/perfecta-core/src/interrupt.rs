//! How long work is stopped: it looks at its caller's flag at bounded intervals.
//!
//! Work over keys or vertices goes in spans of `SPAN` of them, and between two spans, never inside
//! one, the caller is asked whether to go on. What fits in one span is over within some milliseconds
//! and asks nobody, so small sets pay nothing. Work that was told to stop leaves nothing behind that
//! a later call could mistake for a result.

use core::ops::Range;

/// The caller said stop before the work was done. What was done of it counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the caller stopped it before it was done")]
pub struct Interrupted;

/// Says whether to go on. Asked at bounded intervals; it should be quick, and once it has said no it
/// should not say yes again.
pub type KeepGoing<'a> = dyn Fn() -> bool + 'a;

/// Keys or vertices between two looks at the caller's flag.
pub(crate) const SPAN: usize = 1 << 16;

/// `0..len` in spans of at most [`SPAN`], with a look at the caller's flag between two of them.
#[inline]
pub(crate) fn spans(
    len: usize,
    keep_going: &KeepGoing<'_>,
) -> impl Iterator<Item = Result<Range<usize>, Interrupted>> {
    (0..len).step_by(SPAN).map(move |start| {
        if start > 0 && !keep_going() {
            return Err(Interrupted);
        }
        Ok(start..len.min(start + SPAN))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    #[test]
    fn spans_cover_all_and_ask_between_two() {
        let check = |len: usize, looks: usize| {
            let asked = Cell::new(0);
            let keep_going = || {
                asked.set(asked.get() + 1);
                true
            };
            let mut end = 0;
            for span in spans(len, &keep_going) {
                let span = span.unwrap();
                assert_eq!(span.start, end);
                assert!((1..=SPAN).contains(&span.len()));
                end = span.end;
            }
            assert_eq!((end, asked.get()), (len, looks), "{len}");
        };
        check(0, 0);
        check(1, 0);
        check(SPAN, 0);
        check(SPAN + 1, 1);
        check(3 * SPAN, 2);
    }
}
