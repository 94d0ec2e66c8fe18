//! On which processors a thread runs.

use super::processors::ProcessorSet;

/// A thread stays where the system puts it. Nothing but speed is lost: a warning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// The system said no.
    #[error("cannot run on processors {processors}: {}", std::io::Error::from_raw_os_error(*.errno))]
    Refused {
        /// Where to.
        processors: ProcessorSet,
        /// The system's reason.
        errno: i32,
    },
    /// The system has no such call.
    #[error("this system does not let a thread choose its processors")]
    Unsupported,
}

/// Keeps the calling thread on `processors`.
///
/// # Errors
/// [`PlacementError`] if the system refuses; the thread goes on wherever it runs.
pub fn pin_current_thread(processors: &ProcessorSet) -> Result<(), PlacementError> {
    system::pin(processors)
}

/// The processors that the calling thread may run on.
#[must_use]
pub fn processors_of_current_thread() -> ProcessorSet {
    system::allowed().unwrap_or_else(any_processors)
}

fn any_processors() -> ProcessorSet {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    (0..count as u32).collect()
}

#[cfg(target_os = "linux")]
mod system {
    use super::{PlacementError, ProcessorSet};

    /// The kernel's own calls and not `cpu_set_t`, which ends at 1,024 processors.
    pub(super) fn pin(processors: &ProcessorSet) -> Result<(), PlacementError> {
        let words = processors.words();
        // SAFETY: the kernel reads as many bytes as it is told from a slice of that length.
        let code = unsafe {
            libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(words), words.as_ptr())
        };
        if code == 0 {
            return Ok(());
        }
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        Err(PlacementError::Refused { processors: processors.clone(), errno })
    }

    /// `None` if the kernel does not tell.
    pub(super) fn allowed() -> Option<ProcessorSet> {
        let mut words = vec![0_u64; (ProcessorSet::PROCESSORS_MAX / u64::BITS) as usize];
        let length = size_of_val(words.as_slice());
        // SAFETY: the kernel writes at most as many bytes as it is told into a slice of that length.
        let code =
            unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, length, words.as_mut_ptr()) };
        let allowed = ProcessorSet::from_words(&words);
        (code > 0 && !allowed.is_empty()).then_some(allowed)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{PlacementError, ProcessorSet};

    pub(super) fn pin(_processors: &ProcessorSet) -> Result<(), PlacementError> {
        Err(PlacementError::Unsupported)
    }

    pub(super) fn allowed() -> Option<ProcessorSet> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn on_a_thread_of_its_own(check: impl FnOnce() + Send) {
        std::thread::scope(|scope| scope.spawn(check).join().expect("the check holds"));
    }

    #[test]
    fn a_pinned_thread_may_run_where_it_was_pinned_and_nowhere_else() {
        let allowed = processors_of_current_thread();
        on_a_thread_of_its_own(|| {
            let last: ProcessorSet = allowed.iter().last().into_iter().collect();
            pin_current_thread(&last).unwrap();
            assert_eq!(processors_of_current_thread(), last);
        });
        assert_eq!(processors_of_current_thread(), allowed);
    }

    #[test]
    fn a_processor_that_does_not_exist_is_refused_and_the_thread_goes_on() {
        on_a_thread_of_its_own(|| {
            let allowed = processors_of_current_thread();
            let absent = [ProcessorSet::PROCESSORS_MAX - 1].into_iter().collect();
            let error = pin_current_thread(&absent).unwrap_err();
            assert!(error.to_string().starts_with("cannot run on processors 65535: "), "{error}");
            assert_eq!(processors_of_current_thread(), allowed);
        });
    }
}
