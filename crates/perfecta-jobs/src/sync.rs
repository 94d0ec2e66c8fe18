//! Locks and counts that threads of a session share: the system's, or, with the feature `schedules`,
//! those of a model that lets threads come to them in many orders.

#[cfg(not(feature = "schedules"))]
pub(crate) use std::sync::atomic;

#[cfg(not(feature = "schedules"))]
pub(crate) use parking_lot::Mutex;
#[cfg(feature = "schedules")]
pub(crate) use shuttle::sync::atomic;

#[cfg(feature = "schedules")]
pub(crate) use self::modelled::Mutex;

#[cfg(feature = "schedules")]
mod modelled {
    use shuttle::sync::MutexGuard;

    /// A lock of the model that is used like one of `parking_lot`.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no thread panics with a lock")
        }
    }
}
