//! Threads that wait for devices, so that workers need not.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::engine::{Completion, Token};
use crate::mailbox::Mailbox;
use crate::monitor::{Monitor, Watched};
use crate::op::Outcome;

/// A fixed number of threads that finish operations of all engines that share them.
///
/// Dropping it ends the threads after all that was sent to them, and waits for that. What an engine
/// sent that is gone is finished, too, and nobody hears of it.
#[derive(Debug)]
pub struct IoThreads {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

/// Errands, and threads that wait for them.
#[derive(Debug)]
struct Queue<M = Watched<QueueState>> {
    state: M,
}

#[derive(Default)]
struct QueueState {
    waiting: VecDeque<Errand>,
    is_closed: bool,
}

/// An operation that a thread finishes.
pub(crate) struct Errand {
    pub(crate) token: Token,
    /// To whom the completion goes.
    pub(crate) mailbox: Arc<Mailbox>,
    /// Ends it.
    pub(crate) end: Box<dyn FnOnce(Ending) -> Outcome + Send>,
}

/// How an errand ends.
pub(crate) enum Ending {
    /// As it is meant to; this waits.
    Finished,
    /// Before it began.
    Cancelled,
}

impl IoThreads {
    /// Starts threads: as many of `count` as the system allows, one at least.
    ///
    /// # Errors
    /// If not even one can be started.
    pub fn start(count: NonZeroUsize) -> io::Result<Self> {
        let mut io_threads = Self { queue: Arc::new(Queue::new()), threads: Vec::new() };
        for number in 0..count.get() {
            let queue = Arc::clone(&io_threads.queue);
            let name = format!("io-{number}");
            match std::thread::Builder::new().name(name).spawn(move || queue.work()) {
                Ok(thread) => io_threads.threads.push(thread),
                Err(error) if number == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(io_threads)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.threads.len()
    }

    pub(crate) fn send(&self, errand: Errand) {
        self.queue.send(errand);
    }

    /// Completes an errand that no thread has begun as cancelled.
    pub(crate) fn cancel(&self, mailbox: &Arc<Mailbox>, token: Token) {
        let is_meant =
            |errand: &Errand| errand.token == token && Arc::ptr_eq(&errand.mailbox, mailbox);
        if let Some(errand) = self.queue.take_back(is_meant) {
            mailbox.post(Completion { token, outcome: (errand.end)(Ending::Cancelled) });
        }
    }
}

impl Drop for IoThreads {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

impl<M: Monitor<QueueState>> Queue<M> {
    fn new() -> Self {
        Self { state: M::new(QueueState::default()) }
    }

    fn send(&self, errand: Errand) {
        self.state.with(|state| state.waiting.push_back(errand));
        self.state.notify_one();
    }

    /// Takes an errand out that no thread has begun.
    fn take_back(&self, is_meant: impl Fn(&Errand) -> bool) -> Option<Errand> {
        self.state.with(|state| {
            let place = state.waiting.iter().position(is_meant)?;
            state.waiting.remove(place)
        })
    }

    /// Lets threads go after all errands that are there.
    fn close(&self) {
        self.state.with(|state| state.is_closed = true);
        self.state.notify_all();
    }

    fn work(&self) {
        while let Some(errand) = self.next() {
            let Errand { token, mailbox, end } = errand;
            match catch_unwind(AssertUnwindSafe(|| end(Ending::Finished))) {
                Ok(outcome) => mailbox.post(Completion { token, outcome }),
                // The message is out. Nothing of it comes any more, so nobody may wait for it.
                Err(_) => mailbox.fail(),
            }
        }
    }

    /// The next errand, waited for; `None` at the end.
    fn next(&self) -> Option<Errand> {
        self.state.wait_for(None, |state| match state.waiting.pop_front() {
            Some(errand) => Some(Some(errand)),
            None => state.is_closed.then_some(None),
        })?
    }
}

impl std::fmt::Debug for QueueState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} errands wait", self.waiting.len())
    }
}

#[cfg(all(test, ring))]
mod model;

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc;

    use super::*;
    use crate::buffer::Buffer;
    use crate::error::{IoError, IoErrorKind, Operation};
    use crate::op::{Failure, Payload};

    #[test]
    fn what_no_thread_has_begun_is_cancelled_with_its_buffer_and_the_rest_is_finished() {
        let io_threads = IoThreads::start(NonZeroUsize::MIN).expect("a thread");
        let (mailbox, (go_on, wait)) = (Arc::<Mailbox>::default(), mpsc::channel::<()>());
        let (begun, begins) = mpsc::channel::<()>();
        let waits = move |_| {
            begun.send(()).expect("the test waits for it");
            wait.recv().expect("the test lets it go on");
            Ok(Payload::Done)
        };
        let ends = |ending| match ending {
            Ending::Finished => Ok(Payload::Done),
            Ending::Cancelled => {
                let error = IoError::new(Operation::Read, Path::new("a"), IoErrorKind::Cancelled);
                Err(Failure { error, buffer: Some(Buffer::default()) })
            }
        };
        let send = |token, end| {
            let mailbox = Arc::clone(&mailbox);
            io_threads.send(Errand { token: Token(token), mailbox, end });
        };
        send(1, Box::new(waits));
        begins.recv().expect("it begins");
        send(2, Box::new(ends));
        for token in [1, 2, 2, 3] {
            io_threads.cancel(&mailbox, Token(token));
        }
        let cancelled = mailbox.take().expect("it is cancelled at once");
        assert_eq!(cancelled.token, Token(2));
        assert!(cancelled.outcome.expect_err("it is cancelled").buffer.is_some());
        go_on.send(()).expect("it waits");
        drop(io_threads);
        let finished = mailbox.take().expect("it is finished");
        assert_eq!(finished.token, Token(1));
        assert!(finished.outcome.is_ok() && mailbox.take().is_none());
    }

    #[test]
    fn whoever_waits_for_a_thread_that_panics_panics_too_and_the_thread_goes_on() {
        let io_threads = IoThreads::start(NonZeroUsize::MIN).expect("a thread");
        let (broken, other) = (Arc::<Mailbox>::default(), Arc::<Mailbox>::default());
        let send = |mailbox: &Arc<Mailbox>, token, end| {
            io_threads.send(Errand { token: Token(token), mailbox: Arc::clone(mailbox), end });
        };
        send(&broken, 1, Box::new(|_| panic!("a fault of this program")));
        send(&other, 2, Box::new(|_| Ok(Payload::Done)));
        broken.wait(None);
        let taken = catch_unwind(AssertUnwindSafe(|| broken.take().map(|mail| mail.token)));
        assert!(taken.is_err(), "{taken:?}");
        other.wait(None);
        assert_eq!(other.take().map(|mail| mail.token), Some(Token(2)));
    }
}
