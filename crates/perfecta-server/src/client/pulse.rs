//! When something was last heard of a daemon: a slow line is no silence. And what was heard first: one
//! that speaks TLS says so where it is spoken to without.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// What was heard on a connection.
#[derive(Debug, Clone)]
pub(super) struct Pulse(Arc<Mutex<Beats>>);

#[derive(Debug)]
struct Beats {
    /// When a byte last went either way.
    last: Instant,
    /// The first byte that came.
    first_byte: Option<u8>,
}

impl Pulse {
    /// Of a connection that is made now.
    pub(super) fn now() -> Self {
        Self(Arc::new(Mutex::new(Beats { last: Instant::now(), first_byte: None })))
    }

    /// Whether the answer began as an alert of TLS does (RFC 8446, section 5.1), and no word of HTTP.
    pub(super) fn began_with_alert(&self) -> bool {
        const ALERT: u8 = 21;
        self.0.lock().first_byte == Some(ALERT)
    }

    fn beat(&self) {
        self.0.lock().last = Instant::now();
    }

    fn hear(&self, bytes: &[u8]) {
        let mut beats = self.0.lock();
        beats.last = Instant::now();
        beats.first_byte = beats.first_byte.or(bytes.first().copied());
    }

    /// What comes out of `future`; `None` if no byte goes either way for so long.
    pub(super) async fn patient<T>(
        &self,
        longest: Duration,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut future = pin!(future);
        self.beat();
        loop {
            let due = self.0.lock().last + longest;
            tokio::select! {
                biased;
                value = future.as_mut() => return Some(value),
                () = sleep_until(due) => {}
            }
            if self.0.lock().last + longest <= Instant::now() {
                return None;
            }
        }
    }
}

/// A stream whose bytes are heard.
pub(super) struct Heard<S> {
    pub(super) stream: S,
    pub(super) pulse: Pulse,
}

impl<S> Heard<S> {
    /// What a write came to.
    fn written(&self, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(poll, Poll::Ready(Ok(1..))) {
            self.pulse.beat();
        }
        poll
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(context, into);
        if into.filled().len() > before {
            self.pulse.hear(&into.filled()[before..]);
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Runs under a clock that goes on when everybody waits.
    fn check(scenario: impl Future<Output = ()>) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(scenario);
    }

    #[test]
    fn an_answer_may_take_as_long_as_its_bytes_come_and_no_longer() {
        check(async {
            let (ours, mut theirs) = duplex(16);
            let pulse = Pulse::now();
            let mut heard = Heard { stream: ours, pulse: pulse.clone() };
            let telling = tokio::spawn(async move {
                for _ in 0..10 {
                    sleep(2 * SECOND).await;
                    theirs.write_all(b"x").await.unwrap();
                }
                theirs
            });
            let mut answer = [0; 10];
            let read = pulse.patient(3 * SECOND, heard.read_exact(&mut answer)).await;
            assert_eq!(read.unwrap().unwrap(), 10);
            let _theirs = telling.await.unwrap();
            let begun = Instant::now();
            let read = pulse.patient(3 * SECOND, heard.read_exact(&mut answer)).await;
            assert!(read.is_none() && begun.elapsed() < 4 * SECOND);
        });
    }

    #[test]
    fn what_is_sent_may_take_as_long_as_it_goes() {
        check(async {
            let (ours, mut theirs) = duplex(1);
            let pulse = Pulse::now();
            let mut heard = Heard { stream: ours, pulse: pulse.clone() };
            let hearing = tokio::spawn(async move {
                for _ in 0..10 {
                    sleep(2 * SECOND).await;
                    theirs.read_exact(&mut [0]).await.unwrap();
                }
                theirs
            });
            let written = pulse.patient(3 * SECOND, heard.write_all(&[7; 10])).await;
            written.unwrap().unwrap();
            let _theirs = hearing.await.unwrap();
            let written = pulse.patient(3 * SECOND, heard.write_all(&[7; 10])).await;
            assert!(written.is_none());
        });
    }
}
