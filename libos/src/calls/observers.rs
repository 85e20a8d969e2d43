//! What looks at every call as it is made: inotify, and what makes the opening of a FIFO wait.
//!
//! Observers are in call groups, and an image that has none pays nothing for them: they are asked on the way of calls
//! that are traced, which the first observer turns on. Owns the list of them.

use super::Arguments;
use crate::platform;
use crate::single::Single;

/// Makes the call, once, and answers what it answered.
pub type Proceed<'a> = &'a mut dyn FnMut() -> isize;
/// Looks at a call before and after it lets it proceed.
pub type Observer = unsafe fn(usize, &Arguments, Proceed<'_>) -> isize;

/// The observers there can be, outermost first.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// Says what a process that is not root may not do.
    Rights,
    /// Tells who watches files.
    Watches,
    /// Lets the opening of a file wait.
    Opening,
}

const PLACES: usize = 3;

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static OBSERVERS: Single<[Option<Observer>; PLACES]> = unsafe { Single::new([None; PLACES]) };

/// Lets `observer` see every call from now on.
pub fn observe(place: Place, observer: Observer) {
    OBSERVERS.with(|observers| observers[place as usize] = Some(observer));
    platform::announce_calls();
}

/// Makes a call under the eyes of all observers from `place` on.
///
/// # Safety
///
/// As for [`super::bespoke_syscall`].
#[cold]
pub unsafe fn pass(
    place: usize,
    number: usize,
    arguments: &Arguments,
    call: &mut dyn FnMut() -> isize,
) -> isize {
    if place == PLACES {
        return call();
    }
    // SAFETY: the caller's promise.
    let mut proceed = || unsafe { pass(place + 1, number, arguments, call) };
    match OBSERVERS.with(|observers| observers[place]) {
        // SAFETY: the caller's promise.
        Some(observer) => unsafe { observer(number, arguments, &mut proceed) },
        None => proceed(),
    }
}
