//! Calls before the first one that needs the file system, which is made for that one.
//!
//! A program that only writes to the console never needs it: where code is translated before it runs, that is a third of
//! what such a program takes. Owns nothing; what is answered here must be what the file system would answer.

use super::{Arguments, dispatch, errno};
use crate::files::Guest;
use crate::platform::{self, boot_info};
use crate::{filesystem, threads};
use bespoke_abi::hypercall::MAX_SPANS;
use linux_raw_sys::general::{__NR_exit_group, __NR_ioctl, __NR_set_tid_address, __NR_writev};
use linux_raw_sys::ioctl::TIOCGWINSZ;

/// Answers a call while there is no file system.
///
/// # Safety
///
/// As for [`super::bespoke_syscall`].
#[cold]
pub unsafe fn call(number: usize, arguments: Arguments) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let is_output = matches!(a, 1 | 2);
    match number as u32 {
        __NR_set_tid_address => return threads::set_clear_tid(a) as isize,
        __NR_exit_group => crate::exit(a as u8),
        // The C library asks before it writes to standard output for the first time.
        __NR_ioctl if is_output && b as u32 == TIOCGWINSZ && !is_terminal(a) => {
            return errno::ENOTTY;
        }
        __NR_writev if is_output => {
            // SAFETY: the caller's promise, for this call.
            let guest = unsafe { Guest::new() };
            match filesystem::vector(guest, b, c) {
                Ok(spans) if spans.len() <= MAX_SPANS as usize => {
                    return platform::write(a as u64, spans) as isize;
                }
                _ => {}
            }
        }
        _ => {}
    }
    if !filesystem::start_late() {
        return errno::ENOMEM;
    }
    // SAFETY: the caller's promise.
    unsafe { dispatch(number, a, b, c, d, e, f) }
}

fn is_terminal(descriptor: usize) -> bool {
    boot_info().terminals >> descriptor & 1 == 1
}
