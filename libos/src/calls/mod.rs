//! System calls: the C library calls [`bespoke_syscall`] where it would trap into Linux.
//!
//! Related calls share a file here, which answers `None` for numbers that are not its own; the
//! calls that few programs make are in [`groups`], of which an image has those that it needs.
//! Owns the dispatch and nothing else; a number nobody knows is ENOSYS, and is named
//! once on the console, never silently ignored.

#![allow(
    non_upper_case_globals,
    reason = "system call numbers carry the names of the kernel headers"
)]

mod blocking;
mod early;
pub mod errno;
mod events;
pub mod files;
pub mod groups;
mod identity;
mod machine;
mod masked;
mod names;
pub mod observers;
pub mod probe;
mod process;
#[cfg(test)]
mod reference;
mod time;
mod waiting;

use crate::memory::Rights;
use crate::platform::{FLAG_OBSERVE_CALLS, boot_info};
use crate::{filesystem, signals, stats, threads};
use bespoke_abi::boot::{FLAG_PROBE_STACK, FLAG_TRACE_CALLS};
use linux_raw_sys::general::{__NR_clock_gettime, __NR_mmap};

/// What a system call returns: a value, or `-errno` (constants in [`errno`]).
pub type Outcome = Result<usize, isize>;

/// Arguments of a system call.
pub type Arguments = [usize; 6];

fn encode(outcome: Outcome) -> isize {
    match outcome {
        Ok(value) => value as isize,
        Err(error) => error,
    }
}

/// With any of these a call is more than its dispatch.
const UNUSUAL: u32 = FLAG_TRACE_CALLS | FLAG_PROBE_STACK | FLAG_OBSERVE_CALLS;

/// The system call entry of the C library.
///
/// # Safety
///
/// The arguments mean what the Linux system call `number` says; pointers are the program's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bespoke_syscall(
    number: usize,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> isize {
    stats().calls.add(1);
    if boot_info().flags & UNUSUAL != 0 || signals::wait_from_host() {
        // SAFETY: the caller's promise.
        return unsafe { probe::bespoke_probe(number, a, b, c, d, e, f) };
    }
    // SAFETY: the caller's promise.
    unsafe { dispatch(number, a, b, c, d, e, f) }
}

/// A call for which there is room on the stack.
#[cold]
unsafe extern "C" fn probed(
    number: usize,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> isize {
    if boot_info().flags & (FLAG_TRACE_CALLS | FLAG_OBSERVE_CALLS) != 0 || signals::wait_from_host()
    {
        // SAFETY: the caller's promise.
        return unsafe { announced(number, a, b, c, d, e, f) };
    }
    // SAFETY: the caller's promise.
    unsafe { dispatch(number, a, b, c, d, e, f) }
}

/// A call that is traced or observed, or after which signals of the user are delivered.
/// Apart from [`bespoke_syscall`] so that the usual call need not keep its arguments for later.
#[cold]
unsafe extern "C" fn announced(
    number: usize,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> isize {
    let is_due = signals::take_from_host();
    let arguments = [a, b, c, d, e, f];
    if boot_info().flags & FLAG_TRACE_CALLS != 0 {
        names::trace(number, &arguments);
    }
    // SAFETY: the caller's promise.
    let mut call = || unsafe { dispatch(number, a, b, c, d, e, f) };
    let result = match boot_info().flags & FLAG_OBSERVE_CALLS {
        0 => call(),
        // SAFETY: the caller's promise.
        _ => unsafe { observers::pass(0, number, &arguments, &mut call) },
    };
    if is_due {
        // After the call, as Linux does: a handler that runs before one that waits would not end that wait.
        threads::preempt();
        signals::deliver_pending();
    }
    result
}

#[inline(never)]
unsafe extern "C" fn dispatch(
    number: usize,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> isize {
    // Servers read the clock around every request: before the long way round all files.
    if number == __NR_clock_gettime as usize {
        // SAFETY: the caller's promise.
        return encode(unsafe { time::clock_gettime(a, b) });
    }
    if !filesystem::is_started() {
        // SAFETY: the caller's promise.
        return unsafe { early::call(number, [a, b, c, d, e, f]) };
    }
    // SAFETY: the caller's promise.
    match unsafe { filesystem::prompt_call(number, a, b, c, d) } {
        Some(result) => result,
        // SAFETY: the caller's promise.
        None => unsafe { other(number, [a, b, c, d, e, f]) },
    }
}

/// All calls but the prompt ones.
#[inline(never)]
unsafe fn other(number: usize, arguments: Arguments) -> isize {
    // Before the long way round all files, for databases ask whether they are root.
    // SAFETY: the caller's promise.
    if let Some(outcome) = unsafe { identity::call(number, arguments) } {
        return encode(outcome);
    }
    // SAFETY: the caller's promise.
    if let Some(result) = unsafe { filesystem::call(number, arguments) } {
        if result < 0 {
            // SAFETY: the caller's promise.
            let answer = unsafe { blocking::settle(number, arguments, result) };
            if result == blocking::RESTART {
                // A signal that came after the wait was over and before this thread ran on.
                signals::deliver_pending();
            }
            return answer;
        }
        return result;
    }
    // SAFETY: the caller's promise.
    let outcome = unsafe {
        time::call(number, arguments)
            .or_else(|| waiting::call(number, arguments))
            .or_else(|| masked::call(number, arguments))
            .or_else(|| process::call(number, arguments))
            .or_else(|| machine::call(number, arguments))
            .or_else(|| groups::call(number, arguments))
            .or_else(|| start_call(number, arguments))
    };
    encode(outcome.unwrap_or_else(|| names::unknown(number)))
}

/// What the start of the C library asks for where the program maps nothing: zeros for thread-local storage, for ever.
fn start_call(number: usize, [_, bytes, ..]: Arguments) -> Option<Outcome> {
    (number == __NR_mmap as usize).then(|| crate::memory::zeros(bytes))
}

/// What the C library calls to set the thread pointer: 0 or `-errno`.
#[unsafe(no_mangle)]
pub extern "C" fn bespoke_set_thread_pointer(address: usize) -> i32 {
    crate::threads::set_thread_pointer(address) as i32
}

/// A pointer argument to something that the call reads.
fn pointer<T>(address: usize) -> Result<*mut T, isize> {
    checked(address, size_of::<T>(), Rights::Read)
}

/// A pointer argument to something that the call writes.
fn target<T>(address: usize) -> Result<*mut T, isize> {
    checked(address, size_of::<T>(), Rights::Write)
}

/// A pointer argument to `bytes` bytes that the application may use so.
fn checked<T>(address: usize, bytes: usize, rights: Rights) -> Result<*mut T, isize> {
    if crate::memory::allows(address, bytes, rights) {
        Ok(address as *mut T)
    } else {
        Err(errno::EFAULT)
    }
}

/// As [`checked`], or null.
fn checked_or_null<T>(address: usize, rights: Rights) -> Result<*mut T, isize> {
    match address {
        0 => Ok(core::ptr::null_mut()),
        _ => checked(address, size_of::<T>(), rights),
    }
}
