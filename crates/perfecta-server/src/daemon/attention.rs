//! Stays awake between questions that follow one another at once.
//!
//! ```text
//!              asked          asked again within BURST_GAP_MAX
//!  asleep ---------------> asleep ----------------> watching
//!     ^                                                |  asked: begins to watch anew
//!     `------- not asked for WATCH_TIME_MAX -----------'
//! ```
//!
//! To be woken takes a thread as long as a short answer takes it. Who asks once, or from time to time,
//! pays that, and nothing is computed for it while nobody asks.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::Instant;

/// Questions that are further apart are no burst.
const BURST_GAP_MAX: Duration = Duration::from_micros(200);

/// Longer than a client takes from an answer to its next question.
const WATCH_TIME_MAX: Duration = Duration::from_micros(50);

/// Whether the control thread is being asked.
#[derive(Debug, Default)]
pub(crate) struct Attention(Notify);

impl Attention {
    /// A question came.
    pub(super) fn asked(&self) {
        self.0.notify_one();
    }

    /// Keeps the thread that polls this from sleeping during bursts of questions.
    pub(super) async fn keep(&self) -> Infallible {
        let mut asked_before = None;
        loop {
            self.0.notified().await;
            let mut asked = Instant::now();
            if asked_before.is_some_and(|before| asked - before <= BURST_GAP_MAX) {
                asked = self.watch(asked).await;
            }
            asked_before = Some(asked);
        }
    }

    /// Looks for questions until none comes; tells when the last one came.
    async fn watch(&self, mut asked: Instant) -> Instant {
        loop {
            yield_now().await;
            let now = Instant::now();
            if self.0.notified().now_or_never().is_some() {
                asked = now;
            } else if now - asked >= WATCH_TIME_MAX {
                return asked;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::time::sleep;

    use super::*;

    /// For how long the thread stayed awake after so many questions, in each of 100 attempts.
    fn wakefulness(num_questions: usize) -> Vec<Duration> {
        let slept = Arc::new(Mutex::new(None));
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let note = Arc::clone(&slept);
        runtime.enable_time().on_thread_park(move || {
            note.lock().get_or_insert_with(Instant::now);
        });
        let attention = Arc::new(Attention::default());
        let kept = Arc::clone(&attention);
        runtime.build().unwrap().block_on(async {
            tokio::spawn(async move { kept.keep().await });
            let mut times = Vec::new();
            for _ in 0..100 {
                sleep(10 * BURST_GAP_MAX).await;
                for _ in 0..num_questions {
                    attention.asked();
                    yield_now().await;
                }
                let asked = Instant::now();
                *slept.lock() = None;
                sleep(100 * WATCH_TIME_MAX).await;
                times.push(slept.lock().expect("it slept at last") - asked);
            }
            times
        })
    }

    // A thread that is held up by others seems awake, and may find questions far apart.

    #[test]
    fn after_one_question_it_sleeps_at_once() {
        let times = wakefulness(1);
        assert!(times.iter().any(|time| *time < WATCH_TIME_MAX / 2), "{times:?}");
    }

    #[test]
    fn after_a_burst_of_questions_it_waits_for_more_and_then_sleeps() {
        let times = wakefulness(10);
        let num_awake = times.iter().filter(|time| **time >= WATCH_TIME_MAX * 9 / 10).count();
        assert!(num_awake >= times.len() / 4, "{times:?}");
    }
}
