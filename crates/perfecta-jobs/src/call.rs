//! One operation at a time: for set-up, teardown, and whatever has nothing else in flight.

use std::path::PathBuf;

use perfecta_io::{Buffer, Engine, Interrupt, IoError, Op, Payload, Symlinks};

/// Submits one operation and waits for it.
///
/// # Panics
/// If another is in flight.
pub(crate) fn call(engine: &mut dyn Engine, op: Op) -> Result<Payload, IoError> {
    perfecta_io::call(engine, op).map_err(|failure| failure.error)
}

/// Reads a whole file.
pub(crate) fn read_file(
    engine: &mut dyn Engine,
    path: PathBuf,
    bytes_max: u64,
    symlinks: Symlinks,
    interrupt: Interrupt,
) -> Result<Buffer, IoError> {
    let buffer = Buffer::default();
    call(engine, Op::ReadFile { path, buffer, bytes_max, symlinks, interrupt })
        .map(Payload::into_bytes)
}
