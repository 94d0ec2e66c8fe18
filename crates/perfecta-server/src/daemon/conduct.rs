//! How long a client may take: to ask, to send what it began, and to read what it is told.
//!
//! ```text
//!  Idle --first byte--> Head --all of it--> Answering --all is told--> Idle
//! ```
//!
//! A connection that stays longer than allowed in one of them fails in its next call, and is closed.
//! While it is answered only a write that nobody reads is too long. Meanwhile nothing is read, so whoever
//! has hung up is looked for: a client that closed its sending half only waits for the answer.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep, sleep_until};

/// A client that sends its head more slowly is not one.
pub(crate) const HEAD_TIME_MAX: Duration = Duration::from_secs(30);

/// A client that reads nothing for so long of what it is told is not one.
pub(crate) const STALL_TIME_MAX: Duration = Duration::from_secs(30);

/// Between two looks whether a client is there that waits for its answer.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The other end of a connection.
pub(crate) trait Peer {
    /// Whether it neither sends nor hears any more. Over TCP that is known only after it was sent something.
    fn is_gone(&self) -> bool;
}

impl Peer for UnixStream {
    fn is_gone(&self) -> bool {
        is_hung_up(self)
    }
}

impl Peer for TcpStream {
    fn is_gone(&self) -> bool {
        is_hung_up(self)
    }
}

impl<S: Peer> Peer for tokio_rustls::server::TlsStream<S> {
    fn is_gone(&self) -> bool {
        self.get_ref().0.is_gone()
    }
}

fn is_hung_up(stream: &impl AsFd) -> bool {
    const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    // These two are told unasked.
    let mut looked = [PollFd::new(stream, PollFlags::empty())];
    let told = poll(&mut looked, Some(&AT_ONCE));
    told.is_ok() && looked[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// What is being answered on a connection.
#[derive(Debug)]
pub(super) struct Turns(Mutex<Turn>);

#[derive(Debug, Clone, Copy)]
struct Turn {
    /// How often a request began or ended: while it is odd, one is being answered.
    count: u64,
    /// When the last one ended.
    ended: Instant,
}

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
pub(super) struct Answering(Arc<Turns>);

impl Turns {
    pub(super) fn none() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Turn { count: 0, ended: Instant::now() })))
    }

    pub(super) fn begin(self: &Arc<Self>) -> Answering {
        self.0.lock().count += 1;
        Answering(Arc::clone(self))
    }
}

impl Turn {
    fn is_answering(self) -> bool {
        self.count % 2 == 1
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut turn = self.0.0.lock();
        *turn = Turn { count: turn.count + 1, ended: Instant::now() };
    }
}

/// A connection that fails when its client takes too long.
pub(super) struct Attended<S> {
    stream: S,
    turns: Arc<Turns>,
    turn_seen: u64,
    idle_max: Duration,
    has_begun_head: bool,
    reading: Deadline,
    writing: Deadline,
    /// Until the client is looked for again.
    looking: Deadline,
}

impl<S> Attended<S> {
    pub(super) fn new(stream: S, turns: Arc<Turns>, idle_max: Duration) -> Self {
        Self {
            stream,
            turns,
            turn_seen: 0,
            idle_max,
            has_begun_head: false,
            reading: Deadline::default(),
            writing: Deadline::default(),
            looking: Deadline::default(),
        }
    }

    /// Takes note of where the client is, and says whether it is being answered.
    fn note_turn(&mut self) -> bool {
        let turn = *self.turns.0.lock();
        if turn.count != self.turn_seen {
            self.turn_seen = turn.count;
            self.has_begun_head = false;
            self.reading.since = (!turn.is_answering()).then_some(turn.ended);
        }
        turn.is_answering()
    }

    /// What a write came to, which must not wait too long.
    fn written<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match poll {
            Poll::Ready(written) => {
                self.writing.lift();
                Poll::Ready(written)
            }
            Poll::Pending => {
                ready!(self.writing.poll(context, STALL_TIME_MAX));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl<S: Peer> Attended<S> {
    /// Fails when the client has gone while it is answered.
    fn look(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if !self.note_turn() {
            self.looking.lift();
            return Ok(());
        }
        while self.looking.poll(context, LOOK_EVERY).is_ready() {
            self.looking.lift();
            if self.stream.is_gone() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Attended<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_read(context, into);
        let is_answering = self.note_turn();
        match poll {
            Poll::Ready(read) => {
                if !is_answering && !self.has_begun_head {
                    self.has_begun_head = true;
                    self.reading.lift();
                }
                Poll::Ready(read)
            }
            Poll::Pending if is_answering => {
                // Looks again from time to time: nobody asks for bytes when the answer is told.
                let longest = self.idle_max;
                while self.reading.poll(context, longest).is_ready() {
                    self.reading.lift();
                }
                Poll::Pending
            }
            Poll::Pending => {
                let longest = if self.has_begun_head { HEAD_TIME_MAX } else { self.idle_max };
                ready!(self.reading.poll(context, longest));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl<S: Peer + AsyncWrite + Unpin> AsyncWrite for Attended<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Whoever answers flushes whenever it is woken, also where there is nothing to write yet.
        self.look(context)?;
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.written(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.written(context, poll)
    }
}

/// How long something has been waited for, until it comes.
#[derive(Default)]
struct Deadline {
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    fn lift(&mut self) {
        self.since = None;
    }

    /// Ready when it has been waited for that long. What it waits for mostly comes, so its timer is
    /// set anew only when it rings early.
    fn poll(&mut self, context: &mut Context<'_>, longest: Duration) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        // A time that no clock shows does not come.
        let Some(due) = since.checked_add(longest) else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        loop {
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= due {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::sleep;

    use super::*;

    const IDLE: Duration = Duration::from_secs(600);
    const SECOND: Duration = Duration::from_secs(1);

    impl Peer for DuplexStream {
        fn is_gone(&self) -> bool {
            false
        }
    }

    /// Runs under a clock that goes on when everybody waits.
    fn check(scenario: impl AsyncFnOnce(Attended<DuplexStream>, DuplexStream, Arc<Turns>)) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (ours, theirs) = duplex(16);
            let turns = Turns::none();
            let attended = Attended::new(ours, Arc::clone(&turns), IDLE);
            let played = tokio::time::timeout(100 * IDLE, scenario(attended, theirs, turns)).await;
            played.expect("nobody waits for ever");
        });
    }

    async fn read_until_failure(attended: &mut Attended<DuplexStream>) -> Duration {
        let (begun, mut byte) = (Instant::now(), [0]);
        while matches!(attended.read(&mut byte).await, Ok(1)) {}
        begun.elapsed()
    }

    fn is_about(time: Duration, expected: Duration) -> bool {
        time >= expected && time < expected + SECOND
    }

    #[test]
    fn a_silent_client_goes_after_the_idle_time() {
        check(async |mut attended, _theirs, _| {
            assert!(is_about(read_until_failure(&mut attended).await, IDLE));
        });
    }

    #[test]
    fn a_time_that_no_clock_shows_does_not_come() {
        let poll = Deadline::default().poll(&mut Context::from_waker(Waker::noop()), Duration::MAX);
        assert!(poll.is_pending());
    }

    #[test]
    fn a_head_that_comes_byte_by_byte_has_to_come_in_time() {
        check(async |mut attended, mut theirs, _| {
            tokio::spawn(async move {
                while theirs.write_all(b"x").await.is_ok() {
                    sleep(SECOND / 2).await;
                }
            });
            assert!(is_about(read_until_failure(&mut attended).await, HEAD_TIME_MAX));
        });
    }

    #[test]
    fn a_request_that_is_answered_may_take_its_time_and_then_idleness_counts_anew() {
        check(async |mut attended, mut theirs, turns| {
            theirs.write_all(b"x").await.unwrap();
            attended.read_exact(&mut [0]).await.unwrap();
            let answering = turns.begin();
            let served = tokio::spawn(async move {
                sleep(3 * IDLE).await;
                drop(answering);
                sleep(3 * IDLE).await;
                theirs
            });
            assert!(is_about(read_until_failure(&mut attended).await, 4 * IDLE));
            served.await.unwrap();
        });
    }

    #[test]
    fn a_client_that_does_not_read_goes_and_a_slow_one_stays() {
        check(async |mut attended, mut theirs, turns| {
            let _answering = turns.begin();
            let reader = tokio::spawn(async move {
                let mut bytes = [0; 16];
                for _ in 0..4 {
                    sleep(STALL_TIME_MAX - SECOND).await;
                    theirs.read_exact(&mut bytes).await.unwrap();
                }
                theirs
            });
            attended.write_all(&[7; 5 * 16]).await.unwrap();
            let begun = Instant::now();
            let _theirs = reader.await.unwrap();
            let refused = attended.write_all(&[7; 5 * 16]).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
            assert!(is_about(begun.elapsed(), STALL_TIME_MAX));
        });
    }

    #[test]
    fn who_closed_its_sending_half_is_there_and_who_closed_both_is_gone() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let (ours, theirs) = UnixStream::pair().unwrap();
            assert!(!ours.is_gone());
            let theirs = theirs.into_std().unwrap();
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
            assert!(!ours.is_gone());
            drop(theirs);
            assert!(ours.is_gone());
        });
    }
}
