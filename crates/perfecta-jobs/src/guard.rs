//! Bugs held to where they show: a panic is an error of the item or job at hand, and of no other.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does something for an item or a job.
///
/// # Errors
/// What it panicked with.
pub(crate) fn guarded<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_message(panic.as_ref()))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}
