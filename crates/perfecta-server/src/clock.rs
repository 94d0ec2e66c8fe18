//! The daemon's clock: whatever it tells or keeps of times is read off this one. What merely waits has the
//! runtime's timers, which tests turn as well.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use perfecta_jobs::{Clock, SystemClock};

/// A clock that also shows what outlives a daemon.
pub(crate) trait WallClock: Clock + Send {
    /// The time since the beginning of 1970; it may be set, and go back. One before it is as good as none.
    fn since_1970(&self) -> Duration;
}

impl WallClock for SystemClock {
    fn since_1970(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
    }
}

/// A clock that all who go by it share.
pub(crate) type SharedClock = Arc<dyn WallClock>;

#[cfg(test)]
pub(crate) mod tests {
    use parking_lot::Mutex;

    use super::*;

    /// A clock that goes when it is turned.
    #[derive(Default)]
    pub(crate) struct Turned(Mutex<(Duration, Duration)>);

    impl Turned {
        /// So much time goes by.
        pub(crate) fn turn(&self, by: Duration) {
            let mut shown = self.0.lock();
            *shown = (shown.0 + by, shown.1 + by);
        }

        /// Somebody sets it.
        pub(crate) fn set(&self, since_1970: Duration) {
            self.0.lock().1 = since_1970;
        }
    }

    impl Clock for Turned {
        fn now(&self) -> Duration {
            self.0.lock().0
        }

        fn cpu(&self) -> Duration {
            Duration::ZERO
        }
    }

    impl WallClock for Turned {
        fn since_1970(&self) -> Duration {
            self.0.lock().1
        }
    }

    /// The system's, where a test has nothing to do with times.
    pub(crate) fn any() -> SharedClock {
        Arc::new(SystemClock)
    }
}
