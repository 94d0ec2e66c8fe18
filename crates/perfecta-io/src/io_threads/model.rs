//! The queue and the mailbox under every order in which threads can come to their locks: loom tells of
//! a thread that sleeps for ever.

use std::task::Waker;

use loom::sync::atomic::AtomicBool;
use loom::sync::atomic::Ordering::Relaxed;
use loom::thread;

use super::*;
use crate::mailbox::{Bell, Mail};
use crate::monitor::Lock;
use crate::monitor::modelled::Modelled;
use crate::op::Payload;

type ModelMailbox = Mailbox<Modelled<Mail>, EventCount>;

/// What an event descriptor is for whoever sleeps at a ring.
struct EventCount(Modelled<u64>);

impl EventCount {
    fn new() -> Arc<Self> {
        Arc::new(Self(Modelled::new(0)))
    }

    fn hear(&self) {
        self.0.wait_for(None, |count| (std::mem::take(count) > 0).then_some(()));
    }
}

impl Bell for EventCount {
    fn ring(&self) {
        self.0.with(|count| *count += 1);
        self.0.notify_one();
    }
}

fn done(token: u64) -> Completion {
    Completion { token: Token(token), outcome: Ok(Payload::Done) }
}

/// Waits for a completion as an engine without a ring does.
fn receive(mailbox: &ModelMailbox) -> u64 {
    loop {
        match mailbox.take() {
            Some(completion) => return completion.token.0,
            None => mailbox.wait(None),
        }
    }
}

/// The same as an engine does that sleeps at its ring.
fn receive_by(mailbox: &ModelMailbox, bell: &EventCount) -> u64 {
    loop {
        if let Some(completion) = mailbox.take() {
            return completion.token.0;
        }
        sleep_at(mailbox, bell);
    }
}

fn sleep_at(mailbox: &ModelMailbox, bell: &EventCount) {
    if mailbox.fall_asleep() {
        bell.hear();
        mailbox.rise();
    }
}

/// Posts by two threads, and what `receive` gets of them.
fn two_posts(mailbox: &Arc<ModelMailbox>, receive: impl Fn(&ModelMailbox) -> u64) -> [u64; 2] {
    let posting = [1, 2].map(|token| {
        let mailbox = Arc::clone(mailbox);
        thread::spawn(move || mailbox.post(done(token)))
    });
    let mut received = [receive(mailbox), receive(mailbox)];
    posting.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
    assert!(mailbox.take().is_none());
    received.sort_unstable();
    received
}

/// Orders in which threads are interrupted twice at most: a sleep that nobody ends shows by then, and
/// all orders of three threads take long, most of all on an emulated machine.
fn model() -> loom::model::Builder {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model
}

#[test]
fn no_completion_is_slept_through() {
    model().check(|| {
        let mailbox = Arc::new(ModelMailbox::default());
        assert_eq!(two_posts(&mailbox, receive), [1, 2]);
    });
}

#[test]
fn no_completion_is_slept_through_at_a_ring() {
    model().check(|| {
        let bell = EventCount::new();
        let mailbox = Arc::new(ModelMailbox::with_bell(Arc::clone(&bell)));
        assert_eq!(two_posts(&mailbox, |mailbox| receive_by(mailbox, &bell)), [1, 2]);
    });
}

/// A thread sleeps by `sleep` until what another thread says, which wakes it then.
fn wakes(mailbox: &Arc<ModelMailbox>, sleep: impl Fn(&ModelMailbox)) {
    let is_said = Arc::new(AtomicBool::new(false));
    let (says, waker) = (Arc::clone(&is_said), Waker::from(Arc::clone(mailbox)));
    let saying = thread::spawn(move || {
        says.store(true, Relaxed);
        waker.wake();
    });
    while !is_said.load(Relaxed) {
        sleep(mailbox);
    }
    saying.join().expect("it does not panic");
}

#[test]
fn no_wake_up_is_slept_through() {
    loom::model(|| {
        let mailbox = Arc::new(ModelMailbox::default());
        wakes(&mailbox, |mailbox| mailbox.wait(None));
    });
    loom::model(|| {
        let bell = EventCount::new();
        let mailbox = Arc::new(ModelMailbox::with_bell(Arc::clone(&bell)));
        wakes(&mailbox, |mailbox| sleep_at(mailbox, &bell));
    });
}

/// An errand that posts to a mailbox of the model, also when it is cancelled.
fn errand(token: u64, mailbox: &Arc<ModelMailbox>) -> Errand {
    let mailbox = Arc::clone(mailbox);
    let end = Box::new(move |_| {
        mailbox.post(done(token));
        Ok(Payload::Done)
    });
    Errand { token: Token(token), mailbox: Arc::default(), end }
}

#[test]
fn every_errand_is_run_or_taken_back_once_and_threads_end() {
    model().check(|| {
        let queue = Arc::new(Queue::<Modelled<QueueState>>::new());
        let mailbox = Arc::new(ModelMailbox::default());
        let threads = [(), ()].map(|()| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.work())
        });
        queue.send(errand(1, &mailbox));
        queue.send(errand(2, &mailbox));
        if let Some(errand) = queue.take_back(|errand| errand.token == Token(2)) {
            let _ = (errand.end)(Ending::Cancelled);
        }
        queue.close();
        let mut received = [receive(&mailbox), receive(&mailbox)];
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
        threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
        assert!(mailbox.take().is_none());
    });
}
