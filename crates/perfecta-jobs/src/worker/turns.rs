//! Whose turn it is on a worker that leads hard searches while every other worker of its node does too.
//!
//! A search may have no end, so whatever else there is has as much time: not more, or searches would
//! wait for as long as requests come.

use std::time::Duration;

/// Whose turn it is: the searches that a worker leads, or whatever else there is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// What the searches had since the rest had as much.
    owed: Duration,
}

impl Turns {
    /// How long the searches have before the rest has its turn: most hard searches are over by then.
    pub(super) const TURN: Duration = Duration::from_millis(20);

    /// For a turn that was too short for the clock.
    const OWED_MIN: Duration = Duration::from_nanos(1);
    /// For a turn that went on when other workers had time again.
    const OWED_MAX: Duration = Duration::from_secs(1);

    /// Whether the rest had as much time as the searches.
    pub(super) const fn is_of_searches(&self) -> bool {
        self.owed.is_zero()
    }

    pub(super) fn searches_had(&mut self, time: Duration) {
        self.owed += time.clamp(Self::OWED_MIN, Self::OWED_MAX);
    }

    pub(super) fn others_had(&mut self, time: Duration) {
        self.owed = self.owed.saturating_sub(time);
    }

    /// There is nothing else: what was not wanted is not owed later.
    pub(super) fn forget(&mut self) {
        self.owed = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_rest_has_as_much_time_as_the_searches() {
        let mut turns = Turns::default();
        assert!(turns.is_of_searches());
        turns.searches_had(ms(10));
        for _ in 0..3 {
            turns.others_had(ms(3));
            assert!(!turns.is_of_searches());
        }
        // What it takes too long is not owed to the searches: they have their turn at once.
        turns.others_had(ms(50));
        assert!(turns.is_of_searches());
        turns.searches_had(ms(0));
        assert!(!turns.is_of_searches());
    }

    #[test]
    fn no_search_waits_for_long_because_it_went_on_for_long() {
        let mut turns = Turns::default();
        turns.searches_had(ms(3_600_000));
        turns.others_had(ms(1_000));
        assert!(turns.is_of_searches());
        turns.searches_had(ms(500));
        turns.forget();
        assert!(turns.is_of_searches());
    }
}
