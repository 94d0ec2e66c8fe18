//! A pool as its users see it, with every kind of memory.

#[cfg(target_os = "linux")]
mod guards;
mod model;
mod waiting;

use super::arena::heap::HeapBlock;
use super::*;

#[cfg(target_os = "linux")]
pub(super) use self::guards::check_that_it_ends_the_process;

const SMALL: usize = SizeClass::SMALL_BYTES;
const LARGE: usize = SizeClass::LARGE_BYTES;

fn options(budget_bytes: usize) -> PoolOptions {
    PoolOptions { guards: GuardPages::On, ..PoolOptions::with_budget(budget_bytes) }
}

/// Runs a check on a pool of every kind of memory.
fn for_every_memory(options: &PoolOptions, check: impl Fn(BufferPool)) {
    check(BufferPool::reserve_of::<SystemMemory>(options).unwrap());
    check(BufferPool::reserve_of::<HeapBlock>(options).unwrap());
}

fn acquire(pool: &BufferPool, bytes: usize) -> PooledBuffer {
    pool.try_acquire(bytes).unwrap().expect("there is budget")
}

fn has_room(pool: &BufferPool, bytes: usize) -> bool {
    pool.try_acquire(bytes).unwrap().is_some()
}

#[test]
fn a_buffer_is_as_long_as_its_size_class_aligned_to_pages_and_zero() {
    for_every_memory(&options(8 * LARGE), |pool| {
        let sizes = [
            (0, SMALL),
            (1, SMALL),
            (SMALL, SMALL),
            (SMALL + 1, LARGE),
            (LARGE, LARGE),
            (LARGE + 1, LARGE + 4096),
            (3 * LARGE, 3 * LARGE),
        ];
        for (asked, given) in sizes {
            let buffer = acquire(&pool, asked);
            assert_eq!(buffer.len(), given);
            assert_eq!(buffer.as_ptr().align_offset(4096), 0);
            assert!(buffer.iter().all(|&byte| byte == 0));
        }
    });
}

#[test]
fn a_buffer_that_came_back_is_the_next_one() {
    for_every_memory(&options(2 * LARGE), |pool| {
        for bytes in [SMALL, LARGE] {
            let mut first = acquire(&pool, bytes);
            first[0] = 7;
            let address = first.as_ptr();
            drop(first);
            let second = acquire(&pool, bytes);
            assert_eq!((second.as_ptr(), second[0]), (address, 7));
        }
        let statistics = pool.statistics();
        assert_eq!((statistics.small.num_acquired, statistics.small.num_reused), (2, 1));
        assert_eq!((statistics.large.num_acquired, statistics.large.num_reused), (2, 1));
    });
}

#[test]
fn without_budget_there_is_no_buffer_until_one_comes_back() {
    for_every_memory(&options(3 * SMALL), |pool| {
        let mut buffers = [SMALL; 3].map(|bytes| Some(acquire(&pool, bytes)));
        assert!(!has_room(&pool, 1));
        buffers[1] = None;
        assert!(has_room(&pool, 1));
    });
}

#[test]
fn a_request_that_never_fits_is_an_error_that_says_what_would() {
    for_every_memory(&options(2 * LARGE), |pool| {
        let message =
            "a buffer of 2,097,153 bytes takes 2,101,248 and never fits into a budget of 2,097,152";
        assert_eq!(pool.try_acquire(2 * LARGE + 1).unwrap_err().to_string(), message);
        assert!(pool.try_acquire(usize::MAX).is_err());
        let waker = Waker::noop();
        assert!(pool.acquire_or_wait(2 * LARGE + 1, Duration::ZERO, waker).is_err());
        assert!(has_room(&pool, 2 * LARGE));
    });
    for_every_memory(&options(LARGE - 1), |pool| assert!(pool.try_acquire(SMALL + 1).is_err()));
}

#[test]
fn a_pool_that_cannot_be_is_an_error() {
    let refused = |options: &PoolOptions| BufferPool::reserve(options).unwrap_err().to_string();
    let small = refused(&options(SMALL - 1));
    assert_eq!(small, "a pool of 65,535 bytes has no room for a buffer of 65,536 bytes");
    let beyond = refused(&options(1 << 60));
    let (bytes, reason) = beyond.split_once(" bytes of addresses: ").unwrap();
    assert!(bytes.starts_with("cannot reserve ") && !reason.is_empty(), "{beyond}");
    assert_eq!(bytes.matches(',').count(), 6, "grouped, whatever a page has: {beyond}");
}

#[test]
fn memory_kept_for_one_size_makes_room_for_another() {
    for_every_memory(&options(2 * LARGE), |pool| {
        let small: Vec<PooledBuffer> = (0..32).map(|_| acquire(&pool, SMALL)).collect();
        assert!(!has_room(&pool, LARGE));
        drop(small);
        assert_eq!(pool.statistics().cached_bytes, 2 * LARGE);
        let large = acquire(&pool, LARGE);
        let statistics = pool.statistics();
        assert_eq!((statistics.in_use_bytes, statistics.cached_bytes), (LARGE, LARGE));
        assert_eq!(statistics.num_evicted, 16);
        drop(large);
        drop(acquire(&pool, 2 * LARGE));
        let statistics = pool.statistics();
        assert_eq!((statistics.in_use_bytes, statistics.cached_bytes), (0, 0));
        assert_eq!(statistics.num_evicted, 16 + 1 + 16);
        assert_eq!((0..32).map(|_| acquire(&pool, SMALL)).collect::<Vec<_>>().len(), 32);
    });
}

#[test]
fn what_is_lost_is_never_used_again_and_its_budget_is() {
    for_every_memory(&options(4 * LARGE), |pool| {
        let mut lost = Vec::new();
        for bytes in [SMALL, LARGE, LARGE + 1] {
            let buffer = acquire(&pool, bytes);
            lost.push(buffer.as_ptr_range());
            buffer.lose();
        }
        let statistics = pool.statistics();
        assert_eq!((statistics.in_use_bytes, statistics.cached_bytes), (0, 0));
        for bytes in [SMALL, LARGE, LARGE + 1] {
            let buffers: Vec<_> = std::iter::from_fn(|| pool.try_acquire(bytes).unwrap()).collect();
            let is_lost =
                |buffer: &PooledBuffer| lost.iter().any(|lost| lost.contains(&buffer.as_ptr()));
            assert!(buffers.len() > 1 && !buffers.iter().any(is_lost));
        }
        let all = acquire(&pool, 2 * LARGE);
        assert!(!lost.iter().any(|lost| all.as_ptr_range().contains(&lost.start)));
    });
}

#[cfg(target_os = "linux")]
#[test]
fn the_memory_of_a_span_goes_back_to_the_system() {
    let pool = BufferPool::reserve(&options(4 * LARGE)).unwrap();
    let mut span = acquire(&pool, 4 * LARGE);
    span.fill(7);
    let address = span.as_ptr();
    drop(span);
    let again = acquire(&pool, 4 * LARGE);
    assert_eq!(again.as_ptr(), address);
    assert!(again.iter().all(|&byte| byte == 0));
    let statistics = pool.statistics();
    assert_eq!((statistics.spans.num_acquired, statistics.spans.num_reused), (2, 0));
    assert_eq!((statistics.num_guards_refused, statistics.num_discards_refused), (0, 0));
}

#[test]
fn buffers_outlive_their_pool_and_go_to_other_threads() {
    for_every_memory(&options(LARGE), |pool| {
        let mut buffer = acquire(&pool, SMALL);
        drop(pool);
        std::thread::spawn(move || buffer.fill(7)).join().expect("the thread ends");
    });
}

#[test]
fn what_the_system_refuses_is_a_warning() {
    let options = PoolOptions { node: Some(1023), ..options(LARGE) };
    for_every_memory(&options, |pool| {
        assert!(matches!(pool.warnings()[0], PoolWarning::NotBound { node: 1023, .. }));
        assert!(has_room(&pool, LARGE));
    });
    let heap = BufferPool::reserve_of::<HeapBlock>(&options).unwrap();
    assert!(matches!(heap.warnings()[1], PoolWarning::NotGuarded { .. }));
}

/// Numbers without order, the same every time (Knuth's generator).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// Takes and drops buffers, each filled with a byte of its own: shared memory would show.
fn churn(pool: &BufferPool, seed: u64, rounds: usize) {
    let mut numbers = Numbers(seed);
    let mut held: Vec<(PooledBuffer, u8)> = Vec::new();
    for _ in 0..rounds {
        let sizes = [1, SMALL, SMALL + 1, LARGE, LARGE + 1, 2 * LARGE + 5000];
        if let Some(mut buffer) = pool.try_acquire(sizes[numbers.below(sizes.len())]).unwrap() {
            let mark = numbers.below(256) as u8;
            buffer.iter_mut().step_by(1024).for_each(|byte| *byte = mark);
            held.push((buffer, mark));
        }
        while numbers.below(2) == 0 && !held.is_empty() {
            let (buffer, mark) = held.swap_remove(numbers.below(held.len()));
            assert!(buffer.iter().step_by(1024).all(|&byte| byte == mark));
        }
        let statistics = pool.statistics();
        let taken = statistics.in_use_bytes + statistics.cached_bytes;
        assert!(taken <= statistics.budget_bytes, "{statistics:?}");
    }
}

#[test]
fn no_byte_is_in_two_buffers_and_the_budget_holds_whatever_is_asked_for() {
    for_every_memory(&options(7 * LARGE + 5 * SMALL + 1), |pool| {
        churn(&pool, 1, 1000);
        let statistics = pool.statistics();
        assert_eq!(statistics.in_use_bytes, 0);
        assert!(statistics.num_evicted > 0, "{statistics:?}");
    });
}

#[test]
fn threads_share_a_pool() {
    for_every_memory(&options(6 * LARGE), |pool| {
        std::thread::scope(|scope| {
            (0..4).for_each(|seed| {
                let pool = &pool;
                scope.spawn(move || churn(pool, seed, 300));
            });
        });
        assert_eq!(pool.statistics().in_use_bytes, 0);
        assert!(has_room(&pool, 6 * LARGE));
    });
}
