//! Where other threads leave what an engine's thread waits for.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Wake;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::engine::Completion;

/// Completions for one thread, and whether somebody woke it.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    mail: Mutex<Mail>,
    arrived: Condvar,
    /// An event descriptor, for a thread that sleeps elsewhere than here.
    bell: Option<Arc<OwnedFd>>,
}

#[derive(Debug, Default)]
struct Mail {
    completions: VecDeque<Completion>,
    is_woken: bool,
    /// A completion will never come: who should have brought it panicked.
    is_failed: bool,
    /// The thread sleeps elsewhere, and hears the bell.
    is_asleep: bool,
}

impl Mail {
    /// Whether there is something for the thread.
    fn has_news(&self) -> bool {
        !self.completions.is_empty() || self.is_woken || self.is_failed
    }
}

impl Mailbox {
    /// A mailbox whose thread may also sleep where it hears `bell`.
    #[cfg(ring)]
    pub(crate) fn with_bell(bell: Arc<OwnedFd>) -> Self {
        Self { bell: Some(bell), ..Self::default() }
    }

    /// Leaves a completion.
    pub(crate) fn post(&self, completion: Completion) {
        self.leave(|mail| mail.completions.push_back(completion));
    }

    /// Leaves word that a completion will never come.
    pub(crate) fn fail(&self) {
        self.leave(|mail| mail.is_failed = true);
    }

    /// Wakes once who sleeps; who is awake looks into the mail before it falls asleep.
    fn leave(&self, leave: impl FnOnce(&mut Mail)) {
        let mut mail = self.mail.lock();
        leave(&mut mail);
        let is_asleep = std::mem::take(&mut mail.is_asleep);
        drop(mail);
        self.arrived.notify_one();
        if let Some(bell) = self.bell.as_ref().filter(|_| is_asleep) {
            // A count that overflows says that the bell was rung and not heard yet.
            let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
        }
    }

    /// Says that the thread is about to sleep where it hears the bell; false if there is something
    /// for it.
    #[cfg(ring)]
    pub(crate) fn fall_asleep(&self) -> bool {
        let mut mail = self.mail.lock();
        mail.is_asleep = !mail.has_news();
        mail.is_woken = false;
        mail.is_asleep
    }

    /// Says that the thread is awake again.
    #[cfg(ring)]
    pub(crate) fn rise(&self) {
        let mut mail = self.mail.lock();
        mail.is_asleep = false;
        mail.is_woken = false;
    }

    /// Takes a completion that is there.
    ///
    /// # Panics
    /// If one will never come: whoever waits for all of them would do so for ever.
    pub(crate) fn take(&self) -> Option<Completion> {
        let mut mail = self.mail.lock();
        assert!(!mail.is_failed, "an I/O thread panicked");
        mail.completions.pop_front()
    }

    /// Waits for a completion, for being woken, or for `timeout`.
    pub(crate) fn wait(&self, timeout: Option<Duration>) {
        let mut mail = self.mail.lock();
        while !mail.has_news() {
            match timeout {
                None => self.arrived.wait(&mut mail),
                Some(timeout) => {
                    // Waking early is allowed, and the caller knows the time.
                    self.arrived.wait_for(&mut mail, timeout);
                    break;
                }
            }
        }
        mail.is_woken = false;
    }
}

impl Wake for Mailbox {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.leave(|mail| mail.is_woken = true);
    }
}
