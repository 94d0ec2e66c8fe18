//! The engine of one simulated worker.

use std::path::PathBuf;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::agenda::{Bell, Calls, Phase, Port, Step, short_delay};
use super::system::SimulatedSystem;
use super::{Inner, State};
use crate::engine::{Completion, Engine, Token};
use crate::error::{IoError, IoErrorKind, Operation};
use crate::faults::{FaultPlan, Faulty};
use crate::op::{Failure, Op};

/// An engine on a [`SimulatedMachine`](super::SimulatedMachine).
///
/// [`Engine::wait`] lets the machine's time pass. Who drives several engines in one thread never
/// waits, but asks each whether it [is ready](Self::is_ready) and, if none is, lets time pass for
/// all of them by [`advance_to`](super::SimulatedMachine::advance_to).
#[derive(Debug)]
pub struct SimulatedEngine {
    inner: Arc<Inner>,
    number: usize,
    calls: Calls,
    bell: Arc<Bell>,
}

impl SimulatedEngine {
    /// As few as a real worker has, so that limits are met.
    const IN_FLIGHT_MAX: usize = 64;

    pub(super) fn new(inner: &Arc<Inner>, plan: Arc<FaultPlan>) -> Self {
        let calls = Faulty::new(SimulatedSystem::new(inner), plan);
        let ports = &mut inner.state.lock().agenda.ports;
        let number = ports.len();
        ports.push(Port::default());
        Self { inner: Arc::clone(inner), number, calls, bell: Arc::default() }
    }

    /// Whether there is a completion, or somebody used a waker since the last wait.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let state = self.inner.state.lock();
        !state.agenda.ports[self.number].completed.is_empty() || self.bell.is_rung()
    }
}

impl Engine for SimulatedEngine {
    fn submit(&mut self, token: Token, op: Op) {
        let (operation, path) = subject(&op);
        let mut state = self.inner.state.lock();
        let State { agenda, random, now, .. } = &mut *state;
        let port = &mut agenda.ports[self.number];
        assert!(port.num_in_flight < Self::IN_FLIGHT_MAX, "{token:?} has no room");
        port.num_in_flight += 1;
        let due = *now + short_delay(random);
        let (engine, calls, phase) = (self.number, self.calls.clone(), Phase::Submitted(op));
        agenda.plan(due, Step { engine, token, calls, phase });
        let (verb, path) = (operation.verb(), path.display());
        state.tell(format_args!("engine {engine} operation {} is to {verb} {path}", token.0));
    }

    fn poll(&mut self) -> Option<Completion> {
        if !self.is_ready() {
            let turn = self.inner.turn.lock();
            let now = self.inner.state.lock().now;
            self.inner.advance_to(now, &turn);
        }
        let mut state = self.inner.state.lock();
        let port = &mut state.agenda.ports[self.number];
        let completion = port.completed.pop_front()?;
        port.num_in_flight -= 1;
        Some(completion)
    }

    /// # Panics
    /// If nothing would ever end the wait: nothing of this machine is in flight, nobody used a waker,
    /// and there is no timeout.
    fn wait(&mut self, timeout: Option<Duration>) {
        let deadline = timeout.map(|timeout| self.inner.state.lock().now + timeout);
        loop {
            // Others may let time pass, too: what they do is done once it is our turn.
            let turn = self.inner.turn.lock();
            if self.is_ready() {
                break;
            }
            let due = self.inner.state.lock().agenda.next_due();
            match (due, deadline) {
                (Some(due), None) => drop(self.inner.step(due, &turn)),
                (Some(due), Some(deadline)) if due <= deadline => {
                    self.inner.step(due, &turn);
                }
                (_, Some(deadline)) => {
                    self.inner.advance_to(deadline, &turn);
                    break;
                }
                (None, None) => panic!("engine {} waits for ever", self.number),
            }
        }
        self.bell.silence();
    }

    fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.bell))
    }

    /// Ends early what has not begun or waits for its device, or lets it go on, as the seed wants.
    fn cancel(&mut self, token: Token) {
        let _turn = self.inner.turn.lock();
        let mut state = self.inner.state.lock();
        let is_late = state.random.one_in(2);
        let is_meant = |step: &Step| {
            let may_end = matches!(step.phase, Phase::Submitted(_) | Phase::Waiting(_));
            step.engine == self.number && step.token == token && may_end
        };
        state.tell(format_args!("engine {} cancels operation {}", self.number, token.0));
        if is_late {
            return;
        }
        let Some(step) = state.agenda.take(is_meant) else { return };
        drop(state);
        let Step { engine, token, calls, phase } = step;
        let outcome = match phase {
            Phase::Submitted(op) => Err(cancelled(op)),
            Phase::Waiting(paused) => paused.cancelled(),
            Phase::Done(_) => unreachable!("what is done is not cancelled"),
        };
        let mut state = self.inner.state.lock();
        let due = state.now + short_delay(&mut state.random);
        state.agenda.plan(due, Step { engine, token, calls, phase: Phase::Done(outcome) });
    }

    fn num_in_flight(&self) -> usize {
        self.inner.state.lock().agenda.ports[self.number].num_in_flight
    }

    fn capacity(&self) -> usize {
        Self::IN_FLIGHT_MAX
    }
}

impl Drop for SimulatedEngine {
    fn drop(&mut self) {
        // Open files lock the state when they are closed, so it is not held meanwhile.
        let closed = self.inner.state.lock().agenda.close(self.number);
        drop(closed);
    }
}

/// What an operation does, and to what.
fn subject(op: &Op) -> (Operation, PathBuf) {
    let (operation, path) = match op {
        Op::ReadFile { path, .. } | Op::ReadRange { path, .. } => (Operation::Read, path),
        Op::ReadDirectory { path, .. } => (Operation::Read, path),
        Op::ListTree { root: path, .. } | Op::ListDirectory { path } => (Operation::List, path),
        Op::Inspect { path } | Op::Resolve { path } => (Operation::Inspect, path),
        Op::MakeDirectories { path } => (Operation::MakeDirectory, path),
        Op::MakeDirectoriesApart { parent, .. } => (Operation::MakeDirectory, parent),
        Op::WriteDirectory { parent, name, .. } => return (Operation::Write, parent.join(name)),
        Op::WriteFile { directory, file } => return (Operation::Write, directory.join(&file.name)),
        Op::Append { path, .. } => (Operation::Write, path),
        Op::Publish { target, .. } => (Operation::Publish, target),
        Op::RemoveTree { path } | Op::RemoveDirectory { path } => (Operation::Remove, path),
        Op::OpenFilesystem { path } => (Operation::Open, path),
        Op::SyncFilesystem { path, .. } => (Operation::SyncFilesystem, path),
        Op::SyncDirectory { path } => (Operation::SyncDirectory, path),
        Op::CreateLock { path } | Op::TryLock { path } => (Operation::Lock, path),
    };
    (operation, path.clone())
}

/// What an operation fails with that never began; its buffer comes back.
fn cancelled(op: Op) -> Failure {
    let (operation, path) = subject(&op);
    let error = IoError::new(operation, &path, IoErrorKind::Cancelled);
    let buffer = match op {
        Op::ReadFile { buffer, .. } | Op::ReadRange { buffer, .. } => Some(buffer),
        _ => None,
    };
    Failure { error, buffer }
}
