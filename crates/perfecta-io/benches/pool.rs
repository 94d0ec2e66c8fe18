//! `cargo bench -p perfecta-io --bench pool`: what it costs to take a buffer and give it back.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::hint::black_box;
use std::sync::Barrier;
use std::task::Waker;
use std::time::Duration;

use perfecta_io::pool::{Acquisition, BufferPool, GuardPages, PoolOptions};

const SMALL: usize = 64 << 10;
const LARGE: usize = 1 << 20;
const ROUNDS: u32 = 7;

fn main() {
    println!("least of {ROUNDS} rounds, nanoseconds a buffer and thread");
    let pool = |guards| {
        let options = PoolOptions { guards, ..PoolOptions::with_budget(64 * LARGE) };
        BufferPool::reserve(&options).expect("there are addresses")
    };
    let plain = pool(GuardPages::Off);
    for num_threads in [1, 2] {
        let acquire = |bytes: usize| drop(black_box(plain.try_acquire(bytes)));
        report("small, try_acquire", num_threads, 1_000_000, || acquire(SMALL));
        report("large, try_acquire", num_threads, 1_000_000, || acquire(LARGE));
        report("small, acquire_or_wait", num_threads, 1_000_000, || {
            match plain.acquire_or_wait(SMALL, Duration::ZERO, Waker::noop()) {
                Ok(Acquisition::Ready(buffer)) => drop(black_box(buffer)),
                Ok(Acquisition::Waiting(_)) | Err(_) => unreachable!("there is budget"),
            }
        });
        report("span of 4 MiB, not touched", num_threads, 100_000, || acquire(4 * LARGE));
        report("span of 4 MiB, touched", num_threads, 200, || touch(&plain, 4 * LARGE));
        let guarded = pool(GuardPages::On);
        report("span of 4 MiB, not touched, guarded", num_threads, 100_000, || {
            drop(black_box(guarded.try_acquire(4 * LARGE)));
        });
        report("vec![0; 64 KiB], not touched", num_threads, 1_000_000, || {
            drop(black_box(vec![0_u8; SMALL]));
        });
        report("small, touched", num_threads, 200_000, || touch(&plain, SMALL));
        report("vec![0; 64 KiB], touched", num_threads, 200_000, || {
            touch_pages(&mut black_box(vec![0_u8; SMALL]));
        });
    }
}

fn touch(pool: &BufferPool, bytes: usize) {
    let mut buffer = pool.try_acquire(bytes).expect("it fits").expect("there is budget");
    touch_pages(&mut buffer);
}

fn touch_pages(bytes: &mut [u8]) {
    bytes.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    black_box(bytes);
}

fn report(name: &str, num_threads: usize, num_buffers: u32, act: impl Fn() + Sync) {
    let round = || round(num_threads, num_buffers, &act);
    let least = (0..ROUNDS).map(|_| round()).min().expect("there are rounds");
    let nanoseconds = least.as_secs_f64() * 1e9 / f64::from(num_buffers);
    println!("{nanoseconds:12.1}  {num_threads} thread(s)  {name}");
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn round(num_threads: usize, num_buffers: u32, act: &(impl Fn() + Sync)) -> Duration {
    let start = Barrier::new(num_threads);
    let run = || {
        start.wait();
        let begun = std::time::Instant::now();
        (0..num_buffers).for_each(|_| act());
        begun.elapsed()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..num_threads).map(|_| scope.spawn(run)).collect();
        let times = threads.into_iter().map(|thread| thread.join().expect("it ends"));
        times.max().expect("there is a thread")
    })
}
