//! How long a look-up takes: alone in a loop, and with each key waiting for the index before.

use std::arch::asm;
use std::time::Instant;

/// What the time of a look-up is measured in, for one contender.
#[derive(Debug, Clone, Copy)]
pub struct Nanoseconds {
    /// A look-up in a loop of independent ones.
    pub independent: f64,
    /// A look-up whose key is known only when the one before is done.
    pub chain: f64,
}

/// Takes a value from the compiler's sight without an instruction, so that no look-up is left out,
/// moved out of its loop or put into a vector.
#[inline(always)]
fn consume(index: u32) {
    // SAFETY: a comment, no instruction.
    unsafe { asm!("/* {0:e} */", in(reg) index, options(nomem, nostack, preserves_flags)) };
}

/// Nanoseconds of one call of `index`, over all queries.
#[inline(never)]
pub fn independent<K: Copy>(queries: &[K], index: impl Fn(K) -> u32) -> f64 {
    let start = now();
    for &key in queries {
        consume(index(key));
    }
    per_query(start, queries.len())
}

/// As [`independent`], when each key is made from the index before (two instructions: an `and` that
/// always gives 0, and a `xor`).
#[inline(never)]
pub fn chain<K: Copy + std::ops::BitXor<Output = K> + From<u32>>(
    queries: &[K],
    index: impl Fn(K) -> u32,
) -> f64 {
    let zero = std::hint::black_box(0);
    let start = now();
    let mut previous = 0;
    for &key in queries {
        previous = index(key ^ K::from(previous & zero));
    }
    consume(previous);
    per_query(start, queries.len())
}

/// Nanoseconds a query of `all`, which looks up all queries in one call.
#[inline(never)]
pub fn batch<K>(queries: &[K], all: impl FnOnce(&[K])) -> f64 {
    let start = now();
    all(queries);
    per_query(start, queries.len())
}

fn per_query(start: Instant, queries: usize) -> f64 {
    start.elapsed().as_secs_f64() * 1e9 / queries as f64
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}
