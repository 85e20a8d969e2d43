//! State of which the guest has exactly one, behind a shared reference.
//! Owns nothing itself; must never be used for state that outlives a yield to another thread.

use core::cell::UnsafeCell;

/// A value that one thread at a time works on, and never in code that may be interrupted.
#[repr(transparent)]
pub struct Single<T>(UnsafeCell<T>);

// SAFETY: the guest has one vCPU, and a thread loses it in code of the library OS only where that yields; see `with`.
unsafe impl<T> Sync for Single<T> {}

impl<T> Single<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Runs `work` on the value. `work` must not enter `with` of the same value again, nor
    /// yield: system calls do neither, by the order of modules in `calls`.
    #[inline(always)]
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: one vCPU, no yield and no reentry inside `work`.
        work(unsafe { &mut *self.0.get() })
    }
}
