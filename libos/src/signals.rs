//! Signals that the program sends to itself: enough for `abort`, `raise` and handlers.
//!
//! Delivery is a function call on the current stack: there are no asynchronous signals, so
//! a handler runs inside the `kill` that raised it, or when its signal is unblocked.
//! Owns the table of actions; must never deliver a blocked signal.

use crate::calls::{Outcome, errno};
use crate::platform;
use crate::single::Single;
use bespoke_abi::hypercall::FATAL_SIGNAL;
use linux_raw_sys::general::{
    SA_NODEFER, SA_RESETHAND, SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK, SIGCHLD, SIGCONT, SIGKILL,
    SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH,
};

const SIGNALS: usize = 64;
const DEFAULT: usize = 0;
const IGNORE: usize = 1;
/// Bytes of `siginfo_t` and an upper bound of `ucontext_t` (x86-64).
const SIGINFO_BYTES: usize = 128;
const UCONTEXT_BYTES: usize = 968;

/// The kernel's `struct sigaction` (x86-64).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Action {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

struct State {
    actions: [Action; SIGNALS],
    blocked: u64,
    pending: u64,
}

static STATE: Single<State> = Single::new(State {
    actions: [Action {
        handler: DEFAULT,
        flags: 0,
        restorer: 0,
        mask: 0,
    }; SIGNALS],
    blocked: 0,
    pending: 0,
});

fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}

fn unblockable() -> u64 {
    bit(SIGKILL) | bit(SIGSTOP)
}

fn check(signal: usize) -> Result<u32, isize> {
    if (1..=SIGNALS).contains(&signal) {
        Ok(signal as u32)
    } else {
        Err(errno::EINVAL)
    }
}

/// `rt_sigaction`.
///
/// # Safety
///
/// Pointers are null or valid for an [`Action`].
pub unsafe fn action(
    signal: usize,
    new: *const Action,
    old: *mut Action,
    set_bytes: usize,
) -> Outcome {
    let signal = check(signal)?;
    if set_bytes != size_of::<u64>() || (!new.is_null() && unblockable() & bit(signal) != 0) {
        return Err(errno::EINVAL);
    }
    STATE.with(|state| {
        let slot = &mut state.actions[signal as usize - 1];
        // SAFETY: the caller's promise.
        unsafe {
            let before = *slot;
            if !new.is_null() {
                *slot = new.read();
            }
            if !old.is_null() {
                old.write(before);
            }
        }
        Ok(0)
    })
}

/// `rt_sigprocmask`.
///
/// # Safety
///
/// Pointers are null or valid for a 64-bit set.
pub unsafe fn mask(how: usize, set: *const u64, old: *mut u64, set_bytes: usize) -> Outcome {
    if set_bytes != size_of::<u64>() {
        return Err(errno::EINVAL);
    }
    STATE.with(|state| {
        // SAFETY: the caller's promise.
        let (given, before) = unsafe { ((!set.is_null()).then(|| set.read()), state.blocked) };
        if let Some(given) = given {
            state.blocked = match how as u32 {
                SIG_BLOCK => before | given,
                SIG_UNBLOCK => before & !given,
                SIG_SETMASK => given,
                _ => return Err(errno::EINVAL),
            } & !unblockable();
        }
        if !old.is_null() {
            // SAFETY: the caller's promise.
            unsafe { old.write(before) };
        }
        Ok(0)
    })?;
    deliver_pending();
    Ok(0)
}

/// `rt_sigpending`.
///
/// # Safety
///
/// `set` is valid for a 64-bit set.
pub unsafe fn pending(set: *mut u64) -> Outcome {
    // SAFETY: the caller's promise.
    unsafe { set.write(STATE.with(|state| state.pending)) };
    Ok(0)
}

/// `kill`, `tkill` and `tgkill` to the image itself; signal 0 only asks whether it is there.
pub fn raise(signal: usize) -> Outcome {
    if signal == 0 {
        return Ok(0);
    }
    let signal = check(signal)?;
    STATE.with(|state| state.pending |= bit(signal));
    deliver_pending();
    Ok(0)
}

/// Delivers what is pending and not blocked, lowest number first.
fn deliver_pending() {
    loop {
        let next = STATE.with(|state| {
            let ready = state.pending & !state.blocked;
            let signal = (ready != 0).then(|| ready.trailing_zeros() + 1)?;
            state.pending &= !bit(signal);
            Some(signal)
        });
        let Some(signal) = next else { return };
        deliver(signal);
    }
}

fn deliver(signal: u32) {
    let (action, blocked) = STATE.with(|state| {
        let slot = &mut state.actions[signal as usize - 1];
        let action = *slot;
        if action.flags & u64::from(SA_RESETHAND) != 0 {
            slot.handler = DEFAULT;
        }
        (action, state.blocked)
    });
    match action.handler {
        IGNORE => {}
        DEFAULT => default(signal),
        handler => {
            let own = if action.flags & u64::from(SA_NODEFER) == 0 {
                bit(signal)
            } else {
                0
            };
            STATE.with(|state| state.blocked = (blocked | action.mask | own) & !unblockable());
            let mut siginfo = [0u64; SIGINFO_BYTES / 8];
            siginfo[0] = signal.into();
            let mut ucontext = [0u64; UCONTEXT_BYTES / 8];
            // SAFETY: the program registered this address as its handler; extra arguments are
            // harmless to a handler that takes one (psABI).
            unsafe {
                let handler: extern "C" fn(u32, *mut u64, *mut u64) = core::mem::transmute(handler);
                handler(signal, siginfo.as_mut_ptr(), ucontext.as_mut_ptr());
            }
            STATE.with(|state| state.blocked = blocked);
        }
    }
}

/// The default action: stop and continue mean nothing to an image, the rest ends it.
fn default(signal: u32) {
    match signal {
        SIGCHLD | SIGCONT | SIGURG | SIGWINCH | SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU => {}
        _ => platform::fatal(FATAL_SIGNAL, "", signal.into()),
    }
}
