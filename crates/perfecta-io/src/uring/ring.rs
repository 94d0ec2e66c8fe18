//! One ring, and all that the kernel touches for it: the only place that hands memory to the kernel.
//!
//! Cargo is moved in before the kernel hears of it and out at its own answer, so the kernel owns a
//! buffer for exactly as long as it may write to it. A ring that is dropped waits for all that
//! flies; if it cannot, it leaks that rather than free it. A ring that was given up is neither entered
//! nor looked at any more: answers may still come to it, and what they are about is told of as lost.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode, squeue};
use rustix::io::Errno;

use super::flights::{Entered, Flights, Key, Landed};
use crate::engine::Token;
use crate::engines::RingRefusal;
use crate::error::IoErrorKind;
use crate::op::Failure;
use crate::ops::{ReadRequest, Reading};
use crate::system::System;

/// Entries of the submission queue. Small, because the memory of all rings of a user together is
/// limited: with the completion queue some 24 KiB, so 64 rings take a fifth of the usual 8 MiB.
const SUBMISSIONS: u32 = 64;
/// Entries of the completion queue: two for everything that flies (itself and the answer to its
/// cancelling), twice over.
const COMPLETIONS: u32 = 1024;
/// The most that flies.
pub(super) const FLIGHTS_MAX: usize = 256;
/// The most bytes that one read asks for; longer ones go on where it ended.
const READ_BYTES_MAX: usize = 1 << 30;
/// How often the kernel is entered for want of room before the ring is given up.
const TRIES_MAX: usize = 10_000;

/// What the kernel works on.
pub(super) enum Cargo<S: System> {
    /// Pages of a file, so many bytes at most.
    Read { token: Token, reading: Box<Reading<S>>, bytes_max: usize },
    /// The bell of a mailbox.
    Bell { count: Box<[u8; 8]> },
}

impl<S: System> Cargo<S> {
    fn token(&self) -> Option<Token> {
        match self {
            Self::Read { token, .. } => Some(*token),
            Self::Bell { .. } => None,
        }
    }
}

/// A ring of the thread that made it.
pub(super) struct Ring<S: System<File: AsFd>> {
    ring: IoUring,
    flights: Flights<Cargo<S>>,
    landed: VecDeque<Landed<Cargo<S>>>,
    bell: Arc<OwnedFd>,
    state: Entered,
    /// The kernel takes entries from one thread alone.
    _not_send: PhantomData<*const ()>,
}

impl<S: System<File: AsFd>> Ring<S> {
    /// A ring that hears `bell`, with as many of the kernel's conveniences as there are.
    pub(super) fn open(bell: Arc<OwnedFd>) -> Result<Self, RingRefusal> {
        let ring = build().map_err(refusal)?;
        let parameters = ring.params();
        if !parameters.is_feature_ext_arg() || !parameters.is_feature_nodrop() {
            return Err(RingRefusal::Old);
        }
        // One worker of the kernel's for each kind of work: no less can be asked for.
        let capped = ring.submitter().register_iowq_max_workers(&mut [1, 1]);
        capped.map_err(|_| RingRefusal::Old)?;
        Ok(Self {
            ring,
            flights: Flights::new(),
            landed: VecDeque::new(),
            bell,
            state: Entered::Back,
            _not_send: PhantomData,
        })
    }

    /// Has the next wait end when the bell rings.
    pub(super) fn listen(&mut self) {
        if self.flights.count_if(|cargo| matches!(cargo, Cargo::Bell { .. })) == 0 {
            self.launch(Cargo::Bell { count: Box::default() });
        }
    }

    /// Gives cargo to the kernel, which hears of it when it is entered next. That is soon enough: the
    /// read that did not find its pages in memory has already had them fetched.
    pub(super) fn launch(&mut self, cargo: Cargo<S>) {
        self.make_room();
        let (key, cargo) = self.flights.launch(cargo);
        let entry = entry(cargo, &self.bell).user_data(key.0);
        self.push(&entry);
    }

    /// Asks that an operation end early; its own answer comes all the same.
    pub(super) fn cancel(&mut self, token: Token) {
        if self.cancel_if(|cargo| cargo.token() == Some(token)) {
            self.flush();
        }
    }

    fn cancel_if(&mut self, is_meant: impl Fn(&Cargo<S>) -> bool) -> bool {
        let Some(key) = self.flights.cancel(is_meant) else { return false };
        self.make_room();
        self.push(&opcode::AsyncCancel::new(key.0).build().user_data(key.answer().0));
        true
    }

    /// Has the kernel take in what is queued, and work on what is due.
    pub(super) fn flush(&mut self) {
        if self.is_lost() {
            return;
        }
        let entered = self.ring.submit();
        self.note(entered);
    }

    /// Waits for an answer, or for `timeout`; not at all once the ring is lost.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) {
        if self.is_lost() {
            return;
        }
        let timespec = timeout.map(Timespec::from);
        let entered = match &timespec {
            Some(timespec) => {
                let arguments = SubmitArgs::new().timespec(timespec);
                self.ring.submitter().submit_with_args(1, &arguments)
            }
            None => self.ring.submit_and_wait(1),
        };
        self.note(entered);
    }

    /// Whether the kernel has to be entered for anything to go on.
    pub(super) fn is_due(&mut self) -> bool {
        if self.is_lost() {
            return false;
        }
        let queue = self.ring.submission();
        !queue.is_empty() || queue.taskrun() || queue.cq_overflow()
    }

    /// A flight that ended.
    pub(super) fn next_landed(&mut self) -> Option<Landed<Cargo<S>>> {
        if self.landed.is_empty() {
            self.reap();
        }
        self.landed.pop_front()
    }

    /// Whether nothing more can come of this ring but what [`Self::next_landed`] still gives.
    pub(super) fn is_lost(&self) -> bool {
        self.state == Entered::Lost
    }

    /// Says that nothing more can come of this ring but what it has answered so far.
    pub(super) fn give_up(&mut self) {
        self.reap();
        self.state = Entered::Lost;
    }

    /// Ends what was lost with the ring. The kernel may still write to it, so it is never freed.
    pub(super) fn lose(&mut self) -> Vec<(Token, Failure)> {
        self.flights.lose().into_iter().filter_map(leak).collect()
    }

    /// How many operations it has.
    pub(super) fn num_operations(&self) -> usize {
        let landed = self.landed.iter().filter(|landed| landed.cargo.token().is_some()).count();
        landed + self.flights.count_if(|cargo| cargo.token().is_some())
    }

    fn note(&mut self, entered: std::io::Result<usize>) {
        let entered = entered.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
        match Entered::new(entered) {
            Entered::Back => {}
            Entered::Lost => self.give_up(),
        }
    }

    /// Takes all answers that are there. Those that come after the loss are to nothing that flies.
    fn reap(&mut self) {
        if self.is_lost() {
            return;
        }
        for answer in self.ring.completion() {
            let landed = self.flights.land(Key(answer.user_data()), answer.result());
            self.landed.extend(landed);
        }
    }

    /// Sees to it that one more entry fits into the queue.
    fn make_room(&mut self) {
        for _ in 0..TRIES_MAX {
            if !self.ring.submission().is_full() || self.is_lost() {
                return;
            }
            self.flush();
            self.reap();
        }
        self.give_up();
    }

    fn push(&mut self, entry: &squeue::Entry) {
        if self.is_lost() {
            return;
        }
        // SAFETY: what the entry points to lies on the heap in cargo that flies: nobody else reaches
        // it before its own answer came, and it is not freed before that either.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.expect("room was made");
    }
}

impl<S: System<File: AsFd>> Drop for Ring<S> {
    /// Ends all that flies, waits for it, and only then lets go of it.
    fn drop(&mut self) {
        while self.cancel_if(|_| true) {}
        for _ in 0..TRIES_MAX {
            self.reap();
            self.landed.clear();
            if self.flights.count_if(|_| true) == 0 || self.is_lost() {
                break;
            }
            self.wait(None);
        }
        drop(self.lose());
    }
}

/// What becomes of an operation whose memory stays where it is for good.
fn leak<S: System>(cargo: Cargo<S>) -> Option<(Token, Failure)> {
    match cargo {
        Cargo::Read { token, reading, .. } => {
            let error = reading.error(IoErrorKind::Lost);
            reading.lose();
            Some((token, error.into()))
        }
        Cargo::Bell { count } => {
            std::mem::forget(count);
            None
        }
    }
}

/// What is asked of the kernel for cargo that flies.
fn entry<S: System<File: AsFd>>(cargo: &mut Cargo<S>, bell: &OwnedFd) -> squeue::Entry {
    match cargo {
        Cargo::Read { reading, bytes_max, .. } => {
            let ReadRequest { file, into, offset } = reading.request();
            let bytes = into.len().min(READ_BYTES_MAX).min(*bytes_max) as u32;
            let file = Fd(file.as_fd().as_raw_fd());
            opcode::Read::new(file, into.as_mut_ptr(), bytes).offset(offset).build()
        }
        Cargo::Bell { count } => {
            opcode::Read::new(Fd(bell.as_raw_fd()), count.as_mut_ptr(), 8).build()
        }
    }
}

/// Tries the flags of recent kernels first: work is deferred to our own entries (6.1), or at least
/// interrupts nobody (5.19).
fn build() -> std::io::Result<IoUring> {
    let mut deferred = IoUring::builder();
    deferred.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_submit_all();
    let mut cooperative = IoUring::builder();
    cooperative.setup_coop_taskrun().setup_taskrun_flag().setup_submit_all();
    let mut plain = IoUring::builder();
    let mut built = Err(std::io::Error::from(Errno::INVAL));
    for builder in [&mut deferred, &mut cooperative, &mut plain] {
        built = builder.setup_cqsize(COMPLETIONS).build(SUBMISSIONS);
        match &built {
            Err(error) if Errno::from_io_error(error) == Some(Errno::INVAL) => {}
            Ok(_) | Err(_) => break,
        }
    }
    built
}

fn refusal(error: std::io::Error) -> RingRefusal {
    RingRefusal::of(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use rustix::event::{EventfdFlags, eventfd};

    use super::*;
    use crate::host::Host;

    fn open() -> Option<Ring<Host>> {
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap());
        super::super::ring_or_skip(Ring::open(bell))
    }

    /// Has the kernel answer to the read of the bell.
    fn ring_bell(ring: &mut Ring<Host>) {
        rustix::io::write(&*ring.bell, &1_u64.to_ne_bytes()).unwrap();
        ring.ring.submit_and_wait(1).unwrap();
        assert_eq!(ring.ring.completion().len(), 1, "the answer is there");
    }

    #[test]
    fn an_answer_that_comes_before_the_loss_is_taken_and_one_that_comes_after_it_is_not() {
        for is_answered_before in [true, false] {
            let Some(mut ring) = open() else { return };
            ring.listen();
            ring.flush();
            if is_answered_before {
                ring_bell(&mut ring);
            }
            ring.give_up();
            assert_eq!(ring.flights.count_if(|_| true), usize::from(!is_answered_before));
            assert!(ring.lose().is_empty(), "the bell is nobody's operation");
            if !is_answered_before {
                ring_bell(&mut ring);
            }
            assert!(!ring.is_due());
            assert_eq!(ring.next_landed().is_some(), is_answered_before);
        }
    }

    #[test]
    fn what_is_queued_when_a_ring_is_lost_never_reaches_the_kernel() {
        let Some(mut ring) = open() else { return };
        ring.listen();
        ring.give_up();
        ring.flush();
        ring.wait(Some(Duration::from_millis(1)));
        assert_eq!(ring.ring.submission().len(), 1);
    }

    #[test]
    fn a_ring_has_one_thread_of_the_kernel_for_each_kind_of_work_at_most() {
        let Some(ring) = open() else { return };
        // Nothing is changed by 0; what is set is told.
        let mut workers_max = [0, 0];
        ring.ring.submitter().register_iowq_max_workers(&mut workers_max).unwrap();
        assert_eq!(workers_max, [1, 1]);
    }
}
