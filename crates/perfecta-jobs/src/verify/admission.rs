//! Which check begins next: in order, once what it needs of the memory that all threads share is free.
//!
//! ```text
//!            what it needs is free             dropped
//!  in line -----------------------> Admitted ----------> its memory is free
//!     `-> Refused, if it can never fit    `-> Cancelled, if the run is
//! ```
//!
//! The first in line is waited for and never passed over, so that the largest come to be checked, too.
//! Nobody waits for ever: all that is out comes back, and who cancels the run ends every wait.

use std::sync::Arc;
use std::task::Wake;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::error::ItemError;
use crate::memory::{MemoryBudget, Reservation};
use crate::runtime::CancelFlag;

/// What all checks need, in order, and what there is for them.
pub(super) struct Admission {
    /// Bytes of memory of each check.
    needs: Vec<u64>,
    cancel: CancelFlag,
    line: Arc<Line>,
}

/// What the threads share, and whoever wakes them.
struct Line {
    state: Mutex<State>,
    /// Memory is free again, another check is the first, or the run was cancelled.
    moved: Condvar,
}

struct State {
    /// The first check that did not come to its turn.
    first: usize,
    memory: MemoryBudget,
    /// Threads that wait in line.
    num_waiting: usize,
}

/// The turn of a check.
#[derive(Debug)]
pub(super) enum Turn<'a> {
    /// It begins.
    Admitted(Admitted<'a>),
    /// It needs more memory than there is.
    Refused(ItemError),
    /// The run was cancelled before it could begin.
    Cancelled,
}

/// What a check may have in memory until this is dropped.
#[must_use = "a check has its memory as long as this lives"]
pub(super) struct Admitted<'a> {
    line: &'a Line,
    /// It is there until the drop.
    memory: Option<Reservation>,
}

impl Admission {
    /// The checks that need so many bytes each, `memory_bytes_max` together at once.
    pub(super) fn new(needs: Vec<u64>, memory_bytes_max: u64, cancel: &CancelFlag) -> Self {
        let memory = MemoryBudget::new(memory_bytes_max);
        let state = Mutex::new(State { first: 0, memory, num_waiting: 0 });
        let line = Arc::new(Line { state, moved: Condvar::new() });
        cancel.add_waker(Arc::clone(&line).into());
        Self { needs, cancel: cancel.clone(), line }
    }

    /// The position of the next check, and what becomes of it; `None` after the last. Waits while others
    /// have the memory that it needs.
    pub(super) fn next(&self) -> Option<(usize, Turn<'_>)> {
        let mut state = self.line.state.lock();
        loop {
            let position = state.first;
            let needed = *self.needs.get(position)?;
            let turn = self.turn(&mut state.memory, needed);
            if let Some(turn) = turn {
                state.first += 1;
                drop(state);
                // Another is the first now, and may need less.
                self.line.moved.notify_all();
                return Some((position, turn));
            }
            state.num_waiting += 1;
            self.line.moved.wait(&mut state);
            state.num_waiting -= 1;
        }
    }

    /// What becomes of the first in line, or nothing yet.
    fn turn(&self, memory: &mut MemoryBudget, needed: u64) -> Option<Turn<'_>> {
        let limit = memory.limit();
        if self.cancel.is_cancelled() {
            return Some(Turn::Cancelled);
        }
        if needed > limit {
            return Some(Turn::Refused(ItemError::Memory { needed, limit }));
        }
        // Nobody asks since when it is held.
        let memory = Some(memory.reserve(needed, Duration::ZERO)?);
        Some(Turn::Admitted(Admitted { line: &self.line, memory }))
    }
}

impl std::fmt::Debug for Admitted<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.memory.fmt(formatter)
    }
}

/// Also of a thread that panics: others wait for its memory.
impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        let memory = self.memory.take().expect("it is there until the drop");
        self.line.state.lock().memory.release(memory);
        self.line.moved.notify_all();
    }
}

/// Ends all waits for a look at the flag. Under the lock: who looked before waits by now.
impl Wake for Line {
    fn wake(self: Arc<Self>) {
        drop(self.state.lock());
        self.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;

    use super::*;

    fn admission(needs: &[u64], memory_bytes_max: u64) -> (Admission, CancelFlag) {
        let cancel = CancelFlag::default();
        (Admission::new(needs.to_vec(), memory_bytes_max, &cancel), cancel)
    }

    fn admitted<'a>(admission: &'a Admission, position: usize) -> Admitted<'a> {
        match admission.next() {
            Some((at, Turn::Admitted(admitted))) if at == position => admitted,
            other => panic!("{other:?}"),
        }
    }

    /// Looks until so many wait in line, of which nothing is heard before.
    fn until_they_wait<T>(admission: &Admission, num_waiting: usize, heard: &mpsc::Receiver<T>) {
        while admission.line.state.lock().num_waiting < num_waiting {
            assert!(heard.try_recv().is_err(), "it did not wait");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_others_have_is_waited_for_and_nobody_is_passed_over() {
        let (admission, _) = admission(&[6, 5, 1], 10);
        let first = admitted(&admission, 0);
        let (tells, told) = mpsc::channel();
        std::thread::scope(|scope| {
            let admission = &admission;
            scope.spawn(move || {
                let second = admitted(admission, 1);
                tells.send(()).unwrap();
                drop(second);
            });
            until_they_wait(admission, 1, &told);
            drop(first);
            told.recv().unwrap();
        });
        drop(admitted(&admission, 2));
        assert!(admission.next().is_none());
        assert!(admission.line.state.lock().memory.is_quiet());
    }

    #[test]
    fn what_can_never_fit_is_refused_while_others_have_all() {
        let (admission, _) = admission(&[10, 11, 10], 10);
        let first = admitted(&admission, 0);
        let Some((1, Turn::Refused(error))) = admission.next() else { panic!("it is refused") };
        assert_eq!(error, ItemError::Memory { needed: 11, limit: 10 });
        drop(first);
        drop(admitted(&admission, 2));
    }

    #[test]
    fn who_cancels_ends_every_wait() {
        let (admission, cancel) = admission(&[10, 10, 10, 10], 10);
        let _all = admitted(&admission, 0);
        let (tells, told) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (admission, tells) = (&admission, tells.clone());
                scope.spawn(move || tells.send(admission.next()).unwrap());
            }
            until_they_wait(&admission, 3, &told);
            cancel.cancel();
            for _ in 0..3 {
                let turn = told.recv().unwrap();
                assert!(matches!(turn, Some((1..4, Turn::Cancelled))), "{turn:?}");
            }
        });
        assert!(admission.next().is_none());
    }

    #[test]
    fn many_threads_come_to_an_end_and_never_have_more_than_there_is() {
        const LIMIT: u64 = 100;
        let needs: Vec<u64> = (0..20_000).map(|number| number * 37 % (LIMIT + 5)).collect();
        let (admission, _) = admission(&needs, LIMIT);
        let (held, admitted, refused) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while let Some((position, turn)) = admission.next() {
                        match turn {
                            Turn::Admitted(memory) => {
                                let needed = needs[position];
                                let sum = held.fetch_add(needed, Ordering::SeqCst) + needed;
                                assert!(sum <= LIMIT, "{sum}");
                                std::thread::yield_now();
                                held.fetch_sub(needed, Ordering::SeqCst);
                                drop(memory);
                                admitted.fetch_add(1, Ordering::SeqCst);
                            }
                            Turn::Refused(_) => {
                                refused.fetch_add(1, Ordering::SeqCst);
                            }
                            Turn::Cancelled => panic!("nobody cancels"),
                        }
                    }
                });
            }
        });
        let too_large = needs.iter().filter(|&&needed| needed > LIMIT).count() as u64;
        assert_eq!((refused.into_inner(), too_large > 0), (too_large, true));
        assert_eq!(admitted.into_inner(), needs.len() as u64 - too_large);
    }
}
