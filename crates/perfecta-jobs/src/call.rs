//! One operation at a time: for set-up, teardown, and whatever has nothing else in flight.

use std::path::PathBuf;

use perfecta_io::{Engine, IoError, Op, Payload, Symlinks, Token};

/// Submits one operation and waits for it.
///
/// # Panics
/// If another is in flight.
pub(crate) fn call(engine: &mut dyn Engine, op: Op) -> Result<Payload, IoError> {
    assert_eq!(engine.num_in_flight(), 0, "operations in flight");
    engine.submit(Token(0), op);
    let completion = engine.next_completion().expect("an operation is in flight");
    assert_eq!(completion.token, Token(0));
    completion.outcome.map_err(|failure| failure.error)
}

/// Reads a whole file.
pub(crate) fn read_file(
    engine: &mut dyn Engine,
    path: PathBuf,
    bytes_max: u64,
    symlinks: Symlinks,
) -> Result<Vec<u8>, IoError> {
    let buffer = Vec::new();
    call(engine, Op::ReadFile { path, buffer, bytes_max, symlinks }).map(Payload::into_bytes)
}
