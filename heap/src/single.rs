//! The cell for every value of which an image has exactly one.
//! It gives mutable access through a shared reference, which crate rule 2 makes sound.

use core::cell::UnsafeCell;
#[cfg(debug_assertions)]
use core::{
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicBool, Ordering},
};

/// A value that only one thread at a time uses, and never code that may be interrupted.
///
/// With debug assertions, a second access during the first one
/// panics. Images do not have this check.
#[cfg_attr(not(debug_assertions), repr(transparent))]
#[cfg_attr(debug_assertions, repr(C))]
pub struct Single<T> {
    /// First, because assembly code finds some of these values by the name of the static.
    value: UnsafeCell<T>,
    #[cfg(debug_assertions)]
    is_entered: AtomicBool,
}

// SAFETY: the caller of `new` promised that accesses never overlap.
unsafe impl<T> Sync for Single<T> {}

impl<T> Single<T> {
    /// Wraps `value`.
    ///
    /// # Safety
    ///
    /// Two accesses never overlap: one thread at a time uses the value.
    /// Code inside [`Single::with`] neither accesses the same value
    /// again nor yields to another thread.
    /// In an image this holds because there is one vCPU, and library OS code
    /// loses it only where it yields.
    pub const unsafe fn new(value: T) -> Self {
        Self {
            value: UnsafeCell::new(value),
            #[cfg(debug_assertions)]
            is_entered: AtomicBool::new(false),
        }
    }

    /// Runs `work` on the value.
    #[inline(always)]
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut *self.enter())
    }

    /// Gives access to the value; with debug assertions, until the guard is dropped.
    #[inline(always)]
    #[cfg(not(debug_assertions))]
    #[expect(clippy::mut_from_ref, reason = "the promise of `new`")]
    pub(crate) fn enter(&self) -> Entered<'_, T> {
        // SAFETY: the promise of `new`.
        unsafe { &mut *self.value.get() }
    }

    /// Gives access to the value until the guard is dropped.
    #[cfg(debug_assertions)]
    pub(crate) fn enter(&self) -> Entered<'_, T> {
        assert!(
            !self.is_entered.swap(true, Ordering::Acquire),
            "{} is entered by who already works on it",
            core::any::type_name::<T>()
        );
        Entered {
            // SAFETY: the promise of `new`.
            value: unsafe { &mut *self.value.get() },
            is_entered: &self.is_entered,
        }
    }
}

impl<T> core::fmt::Debug for Single<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Single").finish_non_exhaustive()
    }
}

/// Access to the value of a [`Single`]: a plain reference in images.
#[cfg(not(debug_assertions))]
pub(crate) type Entered<'a, T> = &'a mut T;

/// Access to the value of a [`Single`].
#[cfg(debug_assertions)]
pub(crate) struct Entered<'a, T> {
    value: &'a mut T,
    is_entered: &'a AtomicBool,
}

#[cfg(debug_assertions)]
impl<T> Deref for Entered<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
    }
}

#[cfg(debug_assertions)]
impl<T> DerefMut for Entered<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value
    }
}

#[cfg(debug_assertions)]
impl<T> Drop for Entered<'_, T> {
    fn drop(&mut self) {
        self.is_entered.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::Single;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn one_access_after_another_is_served() {
        // SAFETY: this thread alone, one access after the other.
        let single = unsafe { Single::new(1) };
        single.with(|value| *value += 1);
        assert_eq!(single.with(|value| *value), 2);
    }

    #[test]
    #[cfg(debug_assertions)]
    fn an_access_within_an_access_panics() {
        // SAFETY: the second access is refused before it begins.
        let single = unsafe { Single::new(1) };
        let nested = catch_unwind(AssertUnwindSafe(|| {
            single.with(|_| single.with(|value| *value))
        }));
        let message = *nested
            .expect_err("no panic")
            .downcast::<std::string::String>()
            .expect("a message");
        assert!(message.contains("i32 is entered"), "{message}");
        assert_eq!(single.with(|value| *value), 1, "free again after the panic");
    }

    #[test]
    #[cfg(not(debug_assertions))]
    fn the_check_takes_no_room() {
        assert_eq!(size_of::<Single<u8>>(), 1);
    }
}
