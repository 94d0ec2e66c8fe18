//! Where other threads leave what an engine's thread waits for.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Wake;
use std::time::Duration;

use crate::engine::Completion;
use crate::monitor::{Monitor, Watched};

/// Completions for one thread, and whether somebody woke it.
#[derive(Debug)]
pub(crate) struct Mailbox<M = Watched<Mail>, B = OwnedFd> {
    mail: M,
    /// For a thread that sleeps elsewhere than here.
    bell: Option<Arc<B>>,
}

/// What a thread hears where it sleeps: an event descriptor, or that of a model.
pub(crate) trait Bell {
    fn ring(&self);
}

/// What there is for the thread.
#[derive(Debug, Default)]
pub(crate) struct Mail {
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

impl Bell for OwnedFd {
    fn ring(&self) {
        // A count that overflows says that the bell was rung and not heard yet.
        let _ = rustix::io::write(self, &1_u64.to_ne_bytes());
    }
}

impl<M: Monitor<Mail>, B> Default for Mailbox<M, B> {
    fn default() -> Self {
        Self { mail: M::new(Mail::default()), bell: None }
    }
}

impl<M: Monitor<Mail>, B: Bell> Mailbox<M, B> {
    /// A mailbox whose thread may also sleep where it hears `bell`.
    #[cfg(ring)]
    pub(crate) fn with_bell(bell: Arc<B>) -> Self {
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
        let is_asleep = self.mail.with(|mail| {
            leave(mail);
            std::mem::take(&mut mail.is_asleep)
        });
        self.mail.notify_one();
        if let Some(bell) = self.bell.as_ref().filter(|_| is_asleep) {
            bell.ring();
        }
    }

    /// Says that the thread is about to sleep where it hears the bell; false if there is something
    /// for it.
    #[cfg(ring)]
    pub(crate) fn fall_asleep(&self) -> bool {
        self.mail.with(|mail| {
            mail.is_asleep = !mail.has_news();
            mail.is_woken = false;
            mail.is_asleep
        })
    }

    /// Says that the thread is awake again.
    #[cfg(ring)]
    pub(crate) fn rise(&self) {
        self.mail.with(|mail| {
            mail.is_asleep = false;
            mail.is_woken = false;
        });
    }

    /// Takes a completion that is there.
    ///
    /// # Panics
    /// If one will never come: whoever waits for all of them would do so for ever.
    pub(crate) fn take(&self) -> Option<Completion> {
        self.mail.with(|mail| {
            assert!(!mail.is_failed, "an I/O thread panicked");
            mail.completions.pop_front()
        })
    }

    /// Waits for a completion, for being woken, or for `timeout`.
    pub(crate) fn wait(&self, timeout: Option<Duration>) {
        self.mail.wait_for(timeout, |mail| mail.has_news().then(|| mail.is_woken = false));
    }
}

impl<M, B> Wake for Mailbox<M, B>
where
    M: Monitor<Mail> + Send + Sync + 'static,
    B: Bell + Send + Sync + 'static,
{
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.leave(|mail| mail.is_woken = true);
    }
}
