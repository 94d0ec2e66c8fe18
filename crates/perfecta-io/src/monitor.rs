//! State that threads share, and wait for: under the system's locks, or those of a model checker,
//! which has the threads of a test come to them in every order.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Mutual exclusion.
pub(crate) trait Lock<T> {
    fn new(state: T) -> Self;

    fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R;
}

/// The same, and threads that wait for the state to change.
pub(crate) trait Monitor<T>: Lock<T> {
    /// Wakes a thread that waits.
    fn notify_one(&self);

    /// Wakes all of them.
    fn notify_all(&self);

    /// Waits until `find` finds something; `None` if it does not after `timeout`, or earlier.
    fn wait_for<R>(
        &self,
        timeout: Option<Duration>,
        find: impl FnMut(&mut T) -> Option<R>,
    ) -> Option<R>;
}

/// State that the system watches over.
#[derive(Debug, Default)]
pub(crate) struct Watched<T> {
    state: Mutex<T>,
    changed: Condvar,
}

impl<T> Lock<T> for Mutex<T> {
    fn new(state: T) -> Self {
        Self::new(state)
    }

    fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        act(&mut self.lock())
    }
}

impl<T> Lock<T> for Watched<T> {
    fn new(state: T) -> Self {
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        act(&mut self.state.lock())
    }
}

impl<T> Monitor<T> for Watched<T> {
    fn notify_one(&self) {
        self.changed.notify_one();
    }

    fn notify_all(&self) {
        self.changed.notify_all();
    }

    fn wait_for<R>(
        &self,
        timeout: Option<Duration>,
        mut find: impl FnMut(&mut T) -> Option<R>,
    ) -> Option<R> {
        let mut state = self.state.lock();
        if let Some(timeout) = timeout {
            return find(&mut state).or_else(|| {
                // Waking early is allowed, and the caller knows the time.
                self.changed.wait_for(&mut state, timeout);
                find(&mut state)
            });
        }
        loop {
            if let Some(found) = find(&mut state) {
                return Some(found);
            }
            self.changed.wait(&mut state);
        }
    }
}

/// The same of loom.
#[cfg(test)]
pub(crate) mod modelled {
    use loom::sync::{Condvar, Mutex};

    use super::*;

    /// State that a model watches over. It knows no time.
    #[derive(Debug)]
    pub(crate) struct Modelled<T> {
        state: Mutex<T>,
        changed: Condvar,
    }

    impl<T> Lock<T> for Mutex<T> {
        fn new(state: T) -> Self {
            Self::new(state)
        }

        fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
            act(&mut self.lock().expect("no thread panics with the lock"))
        }
    }

    impl<T> Lock<T> for Modelled<T> {
        fn new(state: T) -> Self {
            Self { state: Mutex::new(state), changed: Condvar::new() }
        }

        fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
            self.state.with(act)
        }
    }

    impl<T> Monitor<T> for Modelled<T> {
        fn notify_one(&self) {
            self.changed.notify_one();
        }

        fn notify_all(&self) {
            self.changed.notify_all();
        }

        fn wait_for<R>(
            &self,
            timeout: Option<Duration>,
            mut find: impl FnMut(&mut T) -> Option<R>,
        ) -> Option<R> {
            assert_eq!(timeout, None, "a model knows no time");
            let mut state = self.state.lock().expect("no thread panics with the lock");
            loop {
                if let Some(found) = find(&mut state) {
                    return Some(found);
                }
                state = self.changed.wait(state).expect("no thread panics with the lock");
            }
        }
    }
}
