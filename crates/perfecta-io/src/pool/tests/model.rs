//! The depot under every order in which threads can come to its lock.

use std::task::Wake;

use loom::cell::UnsafeCell;
use loom::sync::Notify;

use super::super::depot::{Counter, Depot};
use super::super::stock::Grant;
use super::*;

struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

/// A depot of one chunk, and the chunk's memory: loom tells of two threads there at once.
struct One {
    depot: Depot<loom::sync::Mutex<Counter>>,
    memory: UnsafeCell<()>,
}

impl One {
    fn new() -> Arc<Self> {
        let layout = Layout::of(&options(SMALL), 4096);
        Arc::new(Self { depot: Depot::new(&layout), memory: UnsafeCell::new(()) })
    }

    fn demand() -> Demand {
        Demand { class: SizeClass::Small, bytes: SMALL }
    }

    fn use_and_give_back(&self, grant: Grant) {
        assert!(grant.leaving.is_empty());
        self.memory.with_mut(|_| ());
        self.depot.give_back(grant.slot);
    }

    fn wait_and_use(&self) {
        let bell = Arc::new(Bell(Notify::new()));
        let waker = Waker::from(Arc::clone(&bell));
        let grant = match self.depot.take_or_wait(Self::demand(), Duration::ZERO, &waker) {
            Ok(grant) => grant,
            // Loom wakes in vain once, as systems do. A wake-up that is lost is a deadlock here.
            Err(number) => loop {
                match self.depot.collect(number, Duration::ZERO) {
                    Some(grant) => break grant,
                    None => bell.0.wait(),
                }
            },
        };
        self.use_and_give_back(grant);
    }

    fn check_that_all_is_back(&self) {
        let statistics = self.depot.statistics();
        assert_eq!((statistics.in_use_bytes, statistics.num_waiting), (0, 0));
        let grant = self.depot.take(Self::demand()).expect("it is free");
        self.use_and_give_back(grant);
    }
}

// SAFETY: the memory is touched by whoever has its slot; that this is one thread is what is tested.
unsafe impl Send for One {}
// SAFETY: as above.
unsafe impl Sync for One {}

#[test]
fn no_wake_up_is_lost_between_two_threads() {
    loom::model(|| {
        let one = One::new();
        let other = Arc::clone(&one);
        let thread = loom::thread::spawn(move || other.wait_and_use());
        one.wait_and_use();
        thread.join().unwrap();
        one.check_that_all_is_back();
    });
}

#[test]
fn no_wake_up_is_lost_between_three_threads() {
    // All orders take ten seconds. A wake-up that is lost shows when a thread is interrupted once.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let one = One::new();
        let threads = [(), ()].map(|()| {
            let other = Arc::clone(&one);
            loom::thread::spawn(move || other.wait_and_use())
        });
        one.wait_and_use();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        one.check_that_all_is_back();
    });
}

#[test]
fn a_waiter_that_gives_up_while_it_is_served_leaves_the_slot_to_the_next() {
    loom::model(|| {
        let one = One::new();
        let grant = one.depot.take(One::demand()).expect("it is free");
        let fickle = one.depot.take_or_wait(One::demand(), Duration::ZERO, Waker::noop());
        let fickle = fickle.expect_err("it is taken");
        let waits = Arc::clone(&one);
        let waiting = loom::thread::spawn(move || waits.wait_and_use());
        let gives_up = Arc::clone(&one);
        let giving_up = loom::thread::spawn(move || {
            if let Some(grant) = gives_up.depot.give_up(fickle) {
                gives_up.use_and_give_back(grant);
            }
        });
        one.use_and_give_back(grant);
        waiting.join().unwrap();
        giving_up.join().unwrap();
        one.check_that_all_is_back();
    });
}
