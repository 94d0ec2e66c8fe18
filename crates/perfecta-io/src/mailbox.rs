//! Where other threads leave what an engine's thread waits for.

use std::collections::VecDeque;
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
}

#[derive(Debug, Default)]
struct Mail {
    completions: VecDeque<Completion>,
    is_woken: bool,
}

impl Mailbox {
    /// Leaves a completion.
    pub(crate) fn post(&self, completion: Completion) {
        self.mail.lock().completions.push_back(completion);
        self.arrived.notify_one();
    }

    /// Takes a completion that is there.
    pub(crate) fn take(&self) -> Option<Completion> {
        self.mail.lock().completions.pop_front()
    }

    /// Waits for a completion, for being woken, or for `timeout`.
    pub(crate) fn wait(&self, timeout: Option<Duration>) {
        let mut mail = self.mail.lock();
        while mail.completions.is_empty() && !mail.is_woken {
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
        self.mail.lock().is_woken = true;
        self.arrived.notify_one();
    }
}
