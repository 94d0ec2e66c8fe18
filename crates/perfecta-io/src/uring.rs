//! The ring backend of Linux: what waits for a device waits in the kernel, and costs no thread.
//!
//! Everything that need not wait is done by plain calls where it is submitted, exactly as the
//! blocking backend does it. What is left to the ring is reads of pages that are not in memory. Syncs
//! go to I/O threads: in a ring they take a thread of the kernel's for every worker, and are no
//! quicker. A ring that is lost leaves its engine the blocking backend that it is made upon.

#![expect(
    private_bounds,
    reason = "users have engines of the host; this crate knows other systems"
)]

mod flights;
mod ring;

use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use self::flights::Landed;
use self::ring::{Cargo, FLIGHTS_MAX, Ring};
use crate::blocking::BlockingEngine;
use crate::engine::{Completion, Engine, Token};
use crate::engines::RingRefusal;
#[cfg(feature = "simulation")]
use crate::faults::{FaultPlan, Faulty};
use crate::host::Host;
use crate::io_threads::IoThreads;
use crate::mailbox::Mailbox;
use crate::op::Op;
use crate::ops::{self, Paused, Progress, ReadRequest, Reading};
use crate::system::System;

/// Has the kernel wait for devices, in a ring that belongs to one thread.
pub struct UringEngine<S: System<File: AsFd> = Host> {
    system: S,
    ring: Ring<S>,
    mailbox: Arc<Mailbox>,
    /// Where completions wait, and who does what the ring does not.
    inner: BlockingEngine<S>,
}

impl UringEngine {
    /// Threads of the kernel's that a ring may have: one, for file systems that cannot read without.
    pub(crate) const KERNEL_THREADS_MAX: usize = 1;

    /// An engine for the calling thread. Syncs it leaves to `io_threads`; without them its own thread
    /// waits.
    ///
    /// # Errors
    /// Why there is no ring.
    pub fn new(io_threads: Option<Arc<IoThreads>>) -> Result<Self, RingRefusal> {
        Self::on(Host::default(), io_threads)
    }

    /// An engine like it whose calls go wrong by a plan, those that its ring makes among them.
    ///
    /// # Errors
    /// Why there is no ring.
    #[cfg(feature = "simulation")]
    pub fn with_faults(
        io_threads: Option<Arc<IoThreads>>,
        plan: Arc<FaultPlan>,
    ) -> Result<impl Engine + use<>, RingRefusal> {
        UringEngine::on(Faulty::new(Host::default(), plan), io_threads)
    }
}

impl<S: System<File: AsFd>> UringEngine<S> {
    pub(crate) fn on(system: S, io_threads: Option<Arc<IoThreads>>) -> Result<Self, RingRefusal> {
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).map_err(RingRefusal::of)?);
        let ring = Ring::open(Arc::clone(&bell))?;
        let mailbox = Arc::new(Mailbox::with_bell(bell));
        let inner = BlockingEngine::with_mailbox(system.clone(), io_threads, Arc::clone(&mailbox));
        Ok(Self { system, ring, mailbox, inner })
    }

    fn advance(&mut self, token: Token, progress: Progress<S>) {
        match progress {
            Progress::Done(outcome) => self.inner.complete(token, outcome),
            Progress::Paused(paused) if self.ring.is_lost() => self.inner.send_away(token, paused),
            Progress::Paused(Paused::Read(reading)) => self.read(token, reading),
            Progress::Paused(paused @ Paused::Sync(_)) => self.inner.send_away(token, paused),
        }
    }

    fn read(&mut self, token: Token, mut reading: Box<Reading<S>>) {
        let ReadRequest { file, into, .. } = reading.request();
        match self.system.before_read(file, into.len()) {
            Ok(bytes_max) => self.ring.launch(Cargo::Read { token, reading, bytes_max }),
            Err(errno) => self.has_read(token, reading, Err(errno)),
        }
    }

    fn has_read(&mut self, token: Token, reading: Box<Reading<S>>, read: Result<usize, Errno>) {
        match read {
            // The file is none that a ring can wait for.
            Err(Errno::AGAIN) => self.inner.send_away(token, Paused::Read(reading)),
            read => self.advance(token, reading.take(&self.system, read)),
        }
    }

    /// Goes on with what the ring has done.
    fn take_landed(&mut self) {
        while let Some(landed) = self.ring.next_landed() {
            self.take(landed);
        }
        if self.ring.is_lost() {
            for (token, failure) in self.ring.lose() {
                self.inner.complete(token, Err(failure));
            }
        }
    }

    fn take(&mut self, landed: Landed<Cargo<S>>) {
        let Landed { cargo, result, is_cancelled } = landed;
        let Cargo::Read { token, reading, .. } = cargo else { return };
        if !is_cancelled && result != Err(Errno::CANCELED) {
            return self.has_read(token, reading, result);
        }
        let progress = match result {
            Err(Errno::CANCELED | Errno::AGAIN) => Progress::Paused(Paused::Read(reading)),
            // Asking may have come too late: this may be all that there was to read.
            result => reading.take(&self.system, result),
        };
        let outcome = match progress {
            Progress::Done(outcome) => outcome,
            Progress::Paused(paused) => paused.cancelled(),
        };
        self.inner.complete(token, outcome);
    }
}

impl<S: System<File: AsFd>> Engine for UringEngine<S> {
    fn submit(&mut self, token: Token, op: Op) {
        assert!(self.num_in_flight() < FLIGHTS_MAX, "{token:?} has no room");
        self.advance(token, ops::begin(&self.system, op));
    }

    fn poll(&mut self) -> Option<Completion> {
        if let Some(completion) = self.inner.poll() {
            return Some(completion);
        }
        if self.ring.is_due() {
            self.ring.flush();
        }
        self.take_landed();
        self.inner.poll()
    }

    fn wait(&mut self, timeout: Option<Duration>) {
        self.take_landed();
        if self.inner.has_completed() {
            return;
        }
        if self.ring.is_lost() {
            return self.inner.wait(timeout);
        }
        self.ring.listen();
        if self.mailbox.fall_asleep() {
            self.ring.wait(timeout);
            self.mailbox.rise();
        }
    }

    fn waker(&self) -> Waker {
        self.inner.waker()
    }

    fn cancel(&mut self, token: Token) {
        self.ring.cancel(token);
        self.inner.cancel(token);
    }

    fn num_in_flight(&self) -> usize {
        self.ring.num_operations() + self.inner.num_in_flight()
    }

    fn capacity(&self) -> usize {
        FLIGHTS_MAX
    }
}

/// A ring of a test, or none, where the system forbids them: nothing is tested then, and that is told.
#[cfg(test)]
fn ring_or_skip<R>(made: Result<R, RingRefusal>) -> Option<R> {
    made.inspect_err(|refusal| eprintln!("skipped: there is no ring here: {refusal:?}")).ok()
}

#[cfg(test)]
#[cfg(feature = "simulation")]
mod tests {
    use std::ops::Range;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::buffer::Buffer;
    use crate::error::IoErrorKind;
    use crate::faults::Fault;
    use crate::op::{Interrupt, Symlinks};
    use crate::pool::{BufferPool, PoolOptions};

    type FaultyUring = UringEngine<Faulty<Host>>;

    fn engine() -> Option<(FaultyUring, Arc<FaultPlan>)> {
        let plan = Arc::new(FaultPlan::default());
        let engine = UringEngine::on(Faulty::new(Host::default(), Arc::clone(&plan)), None);
        Some((ring_or_skip(engine)?, plan))
    }

    fn drain(engine: &mut FaultyUring) -> Vec<Completion> {
        let mut completions = Vec::new();
        while engine.num_in_flight() > 0 {
            match engine.poll() {
                Some(completion) => completions.push(completion),
                None => engine.wait(None),
            }
        }
        completions
    }

    /// Submits reads of files that are said not to be in memory.
    fn submit_cold(
        engine: &mut FaultyUring,
        plan: &FaultPlan,
        directory: &Path,
        numbers: Range<u64>,
    ) {
        let write = |number: u64| {
            let path = directory.join(number.to_string());
            std::fs::write(&path, [number as u8; 50_000]).unwrap();
            path
        };
        let paths: Vec<PathBuf> = numbers.clone().map(write).collect();
        for (number, path) in numbers.zip(paths) {
            // It is opened and inspected first.
            let at = plan.num_calls() + 2;
            plan.inject(at..=at, Fault::Errno(Errno::AGAIN.raw_os_error()));
            engine.submit(Token(number), read(&path));
            assert_eq!(plan.calls(at)[0].name, "read what is in memory");
        }
    }

    fn read(path: &Path) -> Op {
        let (path, buffer) = (path.to_owned(), Buffer::default());
        Op::ReadFile {
            path,
            buffer,
            bytes_max: 50_000,
            symlinks: Symlinks::Refuse,
            interrupt: Interrupt::default(),
        }
    }

    #[test]
    fn a_lost_ring_completes_what_it_had_once_and_plain_calls_take_its_place() {
        let Some((mut engine, plan)) = engine() else { return };
        let directory = tempfile::tempdir().unwrap();
        // Waiting once has it listen to its bell. That read is under way when the ring is lost.
        engine.wait(Some(Duration::from_millis(1)));
        submit_cold(&mut engine, &plan, directory.path(), 0..4);
        // These are answered before the loss; the kernel never hears of the others.
        engine.ring.flush();
        submit_cold(&mut engine, &plan, directory.path(), 4..8);
        engine.ring.give_up();
        assert_eq!((engine.num_in_flight(), engine.ring.num_operations()), (8, 8));
        let mut completions = drain(&mut engine);
        completions.sort_unstable_by_key(|completion| completion.token);
        let outcome = |Completion { token, outcome }| {
            (token.0, outcome.map(drop).map_err(|failure| failure.error.kind))
        };
        let outcomes: Vec<_> = completions.into_iter().map(outcome).collect();
        let read = (0..4).map(|number| (number, Ok(())));
        let lost = (4..8).map(|number| (number, Err(IoErrorKind::Lost)));
        assert_eq!(outcomes, read.chain(lost).collect::<Vec<_>>());
        // The answer to the read of the bell comes now, when nothing flies.
        assert!(engine.mailbox.fall_asleep());
        engine.waker().wake();
        assert!(engine.poll().is_none());
        submit_cold(&mut engine, &plan, directory.path(), 8..10);
        assert_eq!((engine.num_in_flight(), engine.ring.num_operations()), (2, 0));
        engine.cancel(Token(8));
        assert!(drain(&mut engine).into_iter().all(|completion| completion.outcome.is_ok()));
        engine.waker().wake();
        engine.wait(None);
    }

    #[test]
    fn a_lost_ring_gives_a_pool_its_budget_back() {
        let Some((mut engine, plan)) = engine() else { return };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0");
        std::fs::write(&path, [7; 50_000]).unwrap();
        let pool = BufferPool::reserve(&PoolOptions::with_budget(1 << 20)).unwrap();
        plan.inject(2..3, Fault::Errno(Errno::AGAIN.raw_os_error()));
        let buffer = pool.try_acquire(50_001).unwrap().expect("there is budget").into();
        let symlinks = Symlinks::Refuse;
        let interrupt = Interrupt::default();
        let op = Op::ReadFile { path, buffer, bytes_max: 50_000, symlinks, interrupt };
        engine.submit(Token(1), op);
        assert_eq!(engine.ring.num_operations(), 1);
        engine.ring.give_up();
        let failure = drain(&mut engine).remove(0).outcome.unwrap_err();
        assert_eq!(failure.error.kind, IoErrorKind::Lost);
        assert!(failure.buffer.is_none(), "the kernel may write to it");
        assert_eq!(pool.statistics().in_use_bytes, 0);
    }

    #[test]
    fn what_the_ring_has_is_counted_and_its_bell_is_not() {
        let Some((mut engine, plan)) = engine() else { return };
        let directory = tempfile::tempdir().unwrap();
        engine.wait(Some(Duration::from_millis(1)));
        assert_eq!((engine.num_in_flight(), engine.ring.num_operations()), (0, 0));
        submit_cold(&mut engine, &plan, directory.path(), 0..3);
        assert_eq!((engine.num_in_flight(), engine.ring.num_operations()), (3, 3));
        assert!(drain(&mut engine).into_iter().all(|completion| completion.outcome.is_ok()));
        assert_eq!((engine.num_in_flight(), engine.ring.num_operations()), (0, 0));
    }

    #[test]
    fn a_read_that_comes_back_in_part_after_it_was_cancelled_goes_no_further() {
        let Some((mut engine, plan)) = engine() else { return };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0");
        std::fs::write(&path, [7; 50_000]).unwrap();
        // Opened and inspected; then nothing of it is in memory, of which the ring reads a half.
        plan.inject(2..3, Fault::Errno(Errno::AGAIN.raw_os_error()));
        plan.inject(3..4, Fault::ShortByHalf);
        plan.inject(4..5, Fault::Errno(Errno::AGAIN.raw_os_error()));
        engine.submit(Token(1), read(&path));
        engine.ring.flush();
        engine.cancel(Token(1));
        let completion = loop {
            match engine.poll() {
                Some(completion) => break completion,
                None => engine.wait(None),
            }
        };
        let names: Vec<&str> = plan.calls(2).iter().map(|call| call.name).collect();
        assert_eq!(names, ["read what is in memory", "read", "read what is in memory"]);
        let failure = completion.outcome.unwrap_err();
        assert_eq!(failure.error.kind, IoErrorKind::Cancelled);
        assert!(failure.buffer.is_some());
        assert_eq!(engine.num_in_flight(), 0);
    }
}
