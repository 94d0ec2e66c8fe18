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
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;

    use tokio::time::advance;

    use super::*;

    /// The least that the clock of these tests moves.
    const MOMENT: Duration = Duration::from_nanos(1);

    /// What keeps a thread awake, and how often it looked.
    struct Kept {
        attention: Arc<Attention>,
        looks: Arc<AtomicUsize>,
    }

    impl Kept {
        fn begin() -> Self {
            let kept = Self { attention: Arc::default(), looks: Arc::default() };
            let (attention, looks) = (Arc::clone(&kept.attention), Arc::clone(&kept.looks));
            tokio::spawn(async move {
                let mut keep = pin!(attention.keep());
                poll_fn(|context| {
                    looks.fetch_add(1, Relaxed);
                    keep.as_mut().poll(context)
                })
                .await
            });
            kept
        }

        /// Asks, and says whether the thread stays awake.
        async fn asked(&self) -> bool {
            self.attention.asked();
            self.is_awake().await
        }

        /// Whether the thread looks again and again.
        async fn is_awake(&self) -> bool {
            // What was asked, or the time, is to be noticed first.
            turns().await;
            let before = self.looks.load(Relaxed);
            turns().await;
            self.looks.load(Relaxed) > before
        }
    }

    /// Lets others run so often that each has had its turn.
    async fn turns() {
        for _ in 0..10 {
            yield_now().await;
        }
    }

    /// Runs a test on a clock that only the test moves.
    fn on_a_still_clock(test: impl AsyncFnOnce(Kept)) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async { test(Kept::begin()).await });
    }

    #[test]
    fn after_one_question_it_sleeps_at_once() {
        on_a_still_clock(async |kept| {
            assert!(!kept.is_awake().await);
            assert!(!kept.asked().await);
        });
    }

    #[test]
    fn questions_that_are_far_apart_are_no_burst() {
        on_a_still_clock(async |kept| {
            assert!(!kept.asked().await);
            advance(BURST_GAP_MAX + MOMENT).await;
            assert!(!kept.asked().await);
            advance(BURST_GAP_MAX).await;
            assert!(kept.asked().await);
        });
    }

    #[test]
    fn after_a_burst_of_questions_it_waits_for_more_and_then_sleeps() {
        on_a_still_clock(async |kept| {
            kept.asked().await;
            assert!(kept.asked().await);
            for _ in 0..3 {
                advance(WATCH_TIME_MAX - MOMENT).await;
                assert!(kept.is_awake().await);
                assert!(kept.asked().await);
            }
            advance(WATCH_TIME_MAX).await;
            assert!(!kept.is_awake().await);
        });
    }
}
