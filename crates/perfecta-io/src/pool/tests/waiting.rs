//! Who waits gets a buffer, in order, and is told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;

/// Counts how often it was woken.
#[derive(Debug, Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Bell {
    fn rung(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn wait(pool: &BufferPool, bytes: usize, now: Duration) -> (Ticket, Arc<Bell>) {
    let bell = Arc::new(Bell::default());
    match pool.acquire_or_wait(bytes, now, &Waker::from(Arc::clone(&bell))).unwrap() {
        Acquisition::Waiting(ticket) => (ticket, bell),
        Acquisition::Ready(buffer) => panic!("nobody waits for {buffer:?}"),
    }
}

fn collect(ticket: Ticket) -> PooledBuffer {
    ticket.collect(Duration::ZERO).expect("it was set aside")
}

#[test]
fn with_budget_nobody_waits() {
    for_every_memory(&options(LARGE), |pool| {
        let acquired = pool.acquire_or_wait(LARGE, Duration::ZERO, Waker::noop()).unwrap();
        assert!(matches!(acquired, Acquisition::Ready(_)));
        assert_eq!(pool.statistics().large.num_waits, 0);
    });
}

#[test]
fn a_waiter_is_woken_once_and_finds_its_buffer() {
    for_every_memory(&options(LARGE), |pool| {
        let buffer = acquire(&pool, LARGE);
        let (ticket, bell) = wait(&pool, 1, Duration::from_secs(5));
        let ticket = ticket.collect(Duration::from_secs(6)).unwrap_err();
        assert_eq!((bell.rung(), pool.statistics().num_waiting), (0, 1));
        drop(buffer);
        assert_eq!((bell.rung(), pool.statistics().num_waiting), (1, 0));
        assert_eq!(ticket.collect(Duration::from_secs(7)).unwrap().len(), SMALL);
        let small = pool.statistics().small;
        assert_eq!((small.num_waits, small.waited), (1, Duration::from_secs(2)));
        assert_eq!(bell.rung(), 1);
    });
}

#[test]
fn nobody_overtakes() {
    for_every_memory(&options(LARGE + SMALL), |pool| {
        let large = acquire(&pool, LARGE);
        let (second, second_bell) = wait(&pool, LARGE, Duration::ZERO);
        let (third, third_bell) = wait(&pool, SMALL, Duration::ZERO);
        assert!(!has_room(&pool, SMALL), "there is budget for it, but others were first");
        assert_eq!((second_bell.rung(), third_bell.rung()), (0, 0));
        drop(large);
        assert_eq!((second_bell.rung(), third_bell.rung()), (1, 1));
        assert!(!has_room(&pool, SMALL));
        drop((collect(third), collect(second)));
        assert_eq!(pool.statistics().in_use_bytes, 0);
    });
}

#[test]
fn one_release_serves_all_that_fit() {
    for_every_memory(&options(2 * LARGE), |pool| {
        let span = acquire(&pool, 2 * LARGE);
        let waiters: Vec<_> = (0..33).map(|_| wait(&pool, SMALL, Duration::ZERO)).collect();
        drop(span);
        let rung: usize = waiters.iter().map(|(_, bell)| bell.rung()).sum();
        assert_eq!(rung, 32);
        assert_eq!(waiters[32].1.rung(), 0);
        drop(waiters);
        assert!(has_room(&pool, 2 * LARGE));
    });
}

#[test]
fn who_gives_up_lets_the_next_through() {
    for_every_memory(&options(2 * LARGE), |pool| {
        let _large = acquire(&pool, LARGE);
        let (first, _) = wait(&pool, 2 * LARGE, Duration::ZERO);
        let (second, bell) = wait(&pool, SMALL, Duration::ZERO);
        assert_eq!(bell.rung(), 0);
        drop(first);
        assert_eq!(bell.rung(), 1);
        drop(collect(second));
    });
}

#[test]
fn who_gives_up_after_being_served_lets_the_next_through() {
    for_every_memory(&options(2 * LARGE), |pool| {
        drop((0..32).map(|_| acquire(&pool, SMALL)).collect::<Vec<_>>());
        let span = acquire(&pool, LARGE + 1);
        let (first, first_bell) = wait(&pool, 2 * LARGE, Duration::ZERO);
        let (second, second_bell) = wait(&pool, LARGE, Duration::ZERO);
        drop(span);
        assert_eq!((first_bell.rung(), second_bell.rung()), (1, 0));
        drop(first);
        assert_eq!(second_bell.rung(), 1);
        drop(collect(second));
        assert_eq!(pool.statistics().in_use_bytes, 0);
    });
}

#[test]
fn chunks_that_leave_for_a_waiter_come_back_when_it_collects() {
    for_every_memory(&options(LARGE), |pool| {
        let small: Vec<PooledBuffer> = (0..16).map(|_| acquire(&pool, SMALL)).collect();
        let (ticket, _) = wait(&pool, LARGE, Duration::ZERO);
        drop(small);
        drop(collect(ticket));
        assert_eq!((0..16).map(|_| acquire(&pool, SMALL)).collect::<Vec<_>>().len(), 16);
    });
}

#[test]
fn waiting_threads_are_all_served() {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    for_every_memory(&options(2 * LARGE), |pool| {
        let wait_and_use = |bytes: usize| {
            let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
            let mut acquired = pool.acquire_or_wait(bytes, Duration::ZERO, &waker).unwrap();
            loop {
                match acquired {
                    Acquisition::Ready(mut buffer) => break buffer[bytes - 1] = 7,
                    Acquisition::Waiting(ticket) => {
                        acquired = match ticket.collect(Duration::ZERO) {
                            Ok(buffer) => Acquisition::Ready(buffer),
                            Err(ticket) => {
                                std::thread::park();
                                Acquisition::Waiting(ticket)
                            }
                        }
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            let all = acquire(&pool, 2 * LARGE);
            for seed in 0..4 {
                let wait_and_use = &wait_and_use;
                scope.spawn(move || {
                    let mut numbers = Numbers(seed);
                    let sizes = [SMALL, LARGE, LARGE + 4096, 2 * LARGE];
                    (0..500).for_each(|_| wait_and_use(sizes[numbers.below(sizes.len())]));
                });
            }
            while pool.statistics().num_waiting < 4 {
                std::thread::yield_now();
            }
            drop(all);
        });
        let statistics = pool.statistics();
        assert_eq!((statistics.in_use_bytes, statistics.num_waiting), (0, 0));
    });
}
