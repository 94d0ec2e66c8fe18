//! What is due when, over all engines of a machine.
//!
//! ```text
//!             begins             goes on               is told
//!  submitted ---------> waiting ---------> ... ---------> done ---------> completion
//!      `------------------------------------------------------^
//! ```
//!
//! An operation makes its first calls some time after it was submitted, goes on each time that its
//! device answered, and is told of some time after its last call. All of these times are drawn, so
//! that operations overtake each other in what they do and again in when it is heard of. That finds
//! more than either of its extremes, to do everything at submission or everything at completion:
//! the one never lets operations meet each other out of order, the other never lets anything happen
//! between what was done and who has heard of it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::MutexGuard;

use super::system::SimulatedSystem;
use super::{Inner, State};
use crate::engine::{Completion, Token};
use crate::faults::Faulty;
use crate::op::{Op, Outcome};
use crate::ops::{self, Paused, Progress};
use crate::random::Random;
use crate::system::{System, Wait};

/// The calls of a process.
pub(super) type Calls = Faulty<SimulatedSystem>;

/// Steps in the order in which they are due, and what came of those that were.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    steps: BTreeMap<Due, Step>,
    num_steps: u64,
    pub(super) ports: Vec<Port>,
}

/// When a step is due; of those due at once the one that was planned first comes first.
type Due = (Duration, u64);

/// Where an engine finds what is for it.
#[derive(Debug, Default)]
pub(super) struct Port {
    pub(super) completed: VecDeque<Completion>,
    pub(super) num_in_flight: usize,
}

/// Whether somebody woke an engine.
#[derive(Debug, Default)]
pub(super) struct Bell(AtomicBool);

impl std::task::Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Bell {
    pub(super) fn is_rung(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn silence(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The next that happens to an operation.
pub(super) struct Step {
    pub(super) engine: usize,
    pub(super) token: Token,
    pub(super) calls: Calls,
    pub(super) phase: Phase,
}

/// How far an operation is.
pub(super) enum Phase {
    Submitted(Op),
    Waiting(Paused<Calls>),
    Done(Outcome),
}

impl fmt::Debug for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match &self.phase {
            Phase::Submitted(_) => "submitted",
            Phase::Waiting(_) => "waiting",
            Phase::Done(_) => "done",
        };
        write!(formatter, "engine {} operation {} {phase}", self.engine, self.token.0)
    }
}

impl Agenda {
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.steps.keys().next().map(|(time, _)| *time)
    }

    pub(super) fn plan(&mut self, time: Duration, step: Step) {
        self.steps.insert((time, self.num_steps), step);
        self.num_steps += 1;
    }

    /// Takes an operation of an engine out.
    pub(super) fn take(&mut self, is_meant: impl Fn(&Step) -> bool) -> Option<Step> {
        let due = self.steps.iter().find(|(_, step)| is_meant(step)).map(|(&due, _)| due)?;
        self.steps.remove(&due)
    }

    /// Takes all that an engine has in flight, because it is no more.
    pub(super) fn close(&mut self, engine: usize) -> (Vec<Step>, VecDeque<Completion>) {
        let mut steps = Vec::new();
        while let Some(step) = self.take(|step| step.engine == engine) {
            steps.push(step);
        }
        (steps, mem::take(&mut self.ports[engine].completed))
    }
}

/// Time that calls take; often none that could be measured.
pub(super) fn short_delay(random: &mut Random) -> Duration {
    if random.one_in(4) { Duration::ZERO } else { Duration::from_nanos(random.below(1_000_000)) }
}

/// Time that a device takes.
fn device_delay(random: &mut Random) -> Duration {
    Duration::from_nanos(50_000 + random.below(10_000_000))
}

impl Inner {
    /// Lets all happen that is due until `time`.
    pub(super) fn advance_to(self: &Arc<Self>, time: Duration, turn: &MutexGuard<'_, ()>) {
        while self.step(time, turn) {}
        let mut state = self.state.lock();
        state.now = state.now.max(time);
    }

    /// Lets the next thing happen that is due until `time`, if there is one.
    pub(super) fn step(&self, time: Duration, _turn: &MutexGuard<'_, ()>) -> bool {
        let step = {
            let mut state = self.state.lock();
            let State { agenda, now, .. } = &mut *state;
            match agenda.steps.first_entry() {
                Some(entry) if entry.key().0 <= time => {
                    let (due, _) = *entry.key();
                    assert!(due >= *now, "a step was left behind");
                    *now = due;
                    entry.remove()
                }
                Some(_) | None => return false,
            }
        };
        // Calls lock the state each for itself.
        let Step { engine, token, calls, phase } = step;
        let first_call = calls.plan().num_calls();
        let progress = match phase {
            Phase::Submitted(op) => ops::begin(&calls, op),
            Phase::Waiting(paused) => self.go_on(&calls, paused),
            Phase::Done(outcome) => {
                self.tell_completed(engine, token, outcome);
                return true;
            }
        };
        let made = calls.plan().calls(first_call);
        let mut state = self.state.lock();
        for call in made {
            state.tell(format_args!("engine {engine} operation {} call {call}", token.0));
        }
        let lag = mem::take(&mut state.lag);
        let (phase, delay) = match progress {
            Progress::Done(outcome) => (Phase::Done(outcome), short_delay(&mut state.random)),
            Progress::Paused(paused) => (Phase::Waiting(paused), device_delay(&mut state.random)),
        };
        let due = state.now + lag + delay;
        state.agenda.plan(due, Step { engine, token, calls, phase });
        true
    }

    /// A reading goes on as with blocking calls or as with a ring, which reads for it.
    fn go_on(&self, calls: &Calls, paused: Paused<Calls>) -> Progress<Calls> {
        let mut reading = match paused {
            Paused::Read(reading) if self.state.lock().random.one_in(2) => reading,
            Paused::Read(_) | Paused::Sync(_) => return Progress::Done(paused.finish(calls)),
        };
        let request = reading.request();
        let read = calls.read(request.file, request.into, request.offset, Wait::ForDevice);
        reading.take(calls, read)
    }

    fn tell_completed(&self, engine: usize, token: Token, outcome: Outcome) {
        let mut state = self.state.lock();
        match &outcome {
            Ok(_) => state.tell(format_args!("engine {engine} operation {} succeeds", token.0)),
            Err(failure) => state.tell(format_args!(
                "engine {engine} operation {} fails: {}",
                token.0, failure.error
            )),
        }
        state.agenda.ports[engine].completed.push_back(Completion { token, outcome });
    }
}
