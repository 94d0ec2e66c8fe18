//! The runtime that sockets are served and used with.

use std::io;
use std::os::unix::net::UnixStream;

use tokio::runtime::{Builder, Runtime};

/// Descriptors that a runtime opens, in pairs.
const PAIRS: usize = 3;

/// A runtime of the calling thread, with sockets, times and signals.
///
/// # Errors
/// If the system gives no descriptors for it: opening those for signals would panic then.
pub fn runtime() -> io::Result<Runtime> {
    drop((0..PAIRS).map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>()?);
    Builder::new_current_thread().enable_all().build()
}
