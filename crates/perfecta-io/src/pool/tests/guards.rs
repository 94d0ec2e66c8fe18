//! Writes that end the process, in a process of their own.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use super::*;

/// Set for the process that is to end.
const MARK: &str = "PERFECTA_TEST_ENDS_HERE";

/// Runs the test of this name again, in a child, where `act` is to be its end.
pub(in crate::pool) fn check_that_it_ends_the_process(test: &str, act: impl FnOnce()) {
    if std::env::var_os(MARK).is_some() {
        act();
        std::process::exit(0);
    }
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program);
    child.args(["--exact", test, "--test-threads=1"]).env(MARK, "1");
    let status = child.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGSEGV), "{status}");
}

#[test]
fn one_byte_past_the_end_of_a_small_chunk_ends_the_process() {
    check_overrun("one_byte_past_the_end_of_a_small_chunk_ends_the_process", SMALL);
}

#[test]
fn one_byte_past_the_end_of_a_large_chunk_ends_the_process() {
    check_overrun("one_byte_past_the_end_of_a_large_chunk_ends_the_process", LARGE);
}

#[test]
fn one_byte_past_the_end_of_a_span_ends_the_process() {
    check_overrun("one_byte_past_the_end_of_a_span_ends_the_process", 2 * LARGE);
}

/// With buffers on both sides, so that without a guard the write would hit one; and after everything
/// was given back once.
fn check_overrun(test: &str, bytes: usize) {
    let pool = BufferPool::reserve(&options(8 * LARGE)).unwrap();
    assert_eq!(pool.warnings(), []);
    drop([bytes; 3].map(|bytes| acquire(&pool, bytes)));
    drop(acquire(&pool, 8 * LARGE));
    let mut buffers = [bytes; 3].map(|bytes| acquire(&pool, bytes));
    let buffer = &mut buffers[1];
    let last = buffer.len() - 1;
    buffer[last] = 7;
    let end = buffer.as_mut_ptr_range().end;
    check_that_it_ends_the_process(&format!("pool::tests::guards::{test}"), || {
        // SAFETY: none, which is what is tested: this address is nobody's, and the process ends.
        unsafe { end.write_volatile(1) };
    });
}
