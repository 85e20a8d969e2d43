//! Calls of inotify: numbers and arguments to methods of [`Files`], and the observer of all other calls, which begins
//! with the first instance. Owns the cookies that tell which events are one move.

use super::call_group;
use crate::calls::Arguments;
use crate::calls::files::answered;
use crate::calls::observers::{self, Place, Proceed};
use crate::files::{Files, Guest, Host, Released, Result};
use crate::filesystem::{self, Root};
use crate::single::Single;
use alloc::vec::Vec;
use linux_raw_sys::general::*;

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static RELEASED: Released = unsafe { Single::new(Vec::new()) };
// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static COOKIES: Single<u32> = unsafe { Single::new(0) };

impl<H: Host> Files<H> {
    /// Answers calls of inotify; `None` when the number is none of them.
    pub(crate) fn inotify_call(
        &mut self,
        guest: Guest,
        number: usize,
        arguments: Arguments,
    ) -> Option<Result> {
        let [a, b, c, ..] = arguments;
        Some(match number as u32 {
            __NR_inotify_init => self.make_inotify(0, &RELEASED),
            __NR_inotify_init1 => self.make_inotify(a as u32, &RELEASED),
            __NR_inotify_add_watch => self.add_watch(guest, a, b, c as u32),
            __NR_inotify_rm_watch => self.remove_watch(a, b),
            _ => return None,
        })
    }
}

unsafe fn observe(number: usize, arguments: &Arguments, proceed: Proceed<'_>) -> isize {
    // SAFETY: the caller's promise, for this call.
    let guest = unsafe { Guest::new() };
    let foreseen = filesystem::with(|root| root.foresee(guest, number, *arguments));
    let answer = proceed();
    filesystem::with(|root| {
        root.let_go(&RELEASED);
        COOKIES.with(|cookies| {
            root.tell_watches(guest, number, *arguments, answer, foreseen, cookies);
        });
    });
    answer
}

/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
unsafe fn call(root: &mut Root, number: usize, arguments: Arguments) -> Option<isize> {
    // SAFETY: the caller's promise, for this call.
    let guest = unsafe { Guest::new() };
    let answer = root.inotify_call(guest, number, arguments)?;
    observers::observe(Place::Watches, observe);
    Some(answered(answer))
}

call_group!(bespoke_calls_inotify, plain: None, files: Some(call));
