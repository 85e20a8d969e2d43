//! Signals that the program sends to itself or the user sends to the monitor, with a mask and a pending set for each thread.
//!
//! Delivery is a function call on the stack of the receiving thread: at once when it sends the
//! signal to itself, else when it comes back from the switch that let others run. Signals of the host are looked
//! for at each call and where devices are. There are no asynchronous signals, so a thread is only ever interrupted in a system call.
//! Owns the table of actions; must never deliver a blocked signal, nor hold state while a handler
//! runs, for a handler may call anything and may leave by `siglongjmp`.

use crate::calls::{Outcome, errno};
use crate::platform;
use crate::single::Single;
use crate::threads;
use bespoke_abi::hypercall::FATAL_SIGNAL;
use core::sync::atomic::Ordering::Relaxed;
use linux_raw_sys::general::{
    SA_NODEFER, SA_RESETHAND, SA_RESTART, SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK, SIGCHLD, SIGCONT,
    SIGHUP, SIGINT, SIGKILL, SIGSTOP, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH,
};

const SIGNALS: usize = 64;
const DEFAULT: usize = 0;
const IGNORE: usize = 1;
/// The signal by which the C library cancels threads (musl's `SIGCANCEL`).
const CANCEL: u32 = 33;
/// Bytes of `siginfo_t` and an upper bound of `ucontext_t` (x86-64).
const SIGINFO_BYTES: usize = 128;
const UCONTEXT_BYTES: usize = 968;
/// Words of `uc_mcontext.gregs[REG_RIP]` and of `uc_sigmask` in a `ucontext_t` (x86-64).
const RIP: usize = 5 + 16;
const MASK: usize = 37;

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
    /// Sent to the process while every thread blocked them.
    pending: u64,
}

static STATE: Single<State> = Single::new(State {
    actions: [Action {
        handler: DEFAULT,
        flags: 0,
        restorer: 0,
        mask: 0,
    }; SIGNALS],
    pending: 0,
});

/// What delivery did to the call it interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// No handler ran.
    Nothing,
    /// Handlers ran that let calls begin again (`SA_RESTART`).
    Restart,
    /// A handler ran that ends the call with `EINTR`.
    Interrupt,
}

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
    // SAFETY: the caller's promise.
    let given = (!set.is_null()).then(|| unsafe { set.read() });
    let before = threads::with_running(|thread| {
        let before = thread.blocked;
        if let Some(given) = given {
            thread.blocked = match how as u32 {
                SIG_BLOCK => before | given,
                SIG_UNBLOCK => before & !given,
                SIG_SETMASK => given,
                _ => return Err(errno::EINVAL),
            } & !unblockable();
        }
        Ok(before)
    })?;
    if !old.is_null() {
        // SAFETY: the caller's promise.
        unsafe { old.write(before) };
    }
    if given.is_some() {
        deliver_pending();
    }
    Ok(0)
}

/// Replaces the running thread's mask for the time of `work`, as `ppoll` and `sigsuspend` do.
/// Signals that the new mask lets through are delivered under it.
pub fn with_mask<R>(mask: u64, work: impl FnOnce() -> R) -> R {
    let swap = |mask: u64| {
        threads::with_running(|thread| {
            core::mem::replace(&mut thread.blocked, mask & !unblockable())
        })
    };
    let before = swap(mask);
    let result = work();
    swap(before);
    deliver_pending();
    result
}

/// `rt_sigpending`.
///
/// # Safety
///
/// `set` is valid for a 64-bit set.
pub unsafe fn pending(set: *mut u64) -> Outcome {
    let process = STATE.with(|state| state.pending);
    let all = threads::with_running(|thread| (thread.pending | process) & thread.blocked);
    // SAFETY: the caller's promise.
    unsafe { set.write(all) };
    Ok(0)
}

/// `kill` to the image itself: some thread that does not block it gets it. Signal 0 only asks.
pub fn send_to_process(signal: usize) -> Outcome {
    if signal == 0 {
        return Ok(0);
    }
    let signal = check(signal)?;
    match threads::receiver(bit(signal)) {
        Some(tid) => send(signal, tid),
        None => {
            pend(signal);
            Ok(0)
        }
    }
}

/// For the process, of which every thread blocks it.
fn pend(signal: u32) {
    STATE.with(|state| state.pending |= bit(signal));
    threads::wake_awaiting(bit(signal));
}

/// Whether a signal that the user may send would end a wait.
pub fn may_wake() -> bool {
    let from_user = [SIGHUP, SIGINT, SIGTERM];
    let is_handled = |signal: &u32| {
        let handler = STATE.with(|state| state.actions[*signal as usize - 1].handler);
        !matches!(handler, DEFAULT | IGNORE)
    };
    let set =
        |signals: &mut dyn Iterator<Item = u32>| signals.fold(0, |set, signal| set | bit(signal));
    let handled = set(&mut from_user.into_iter().filter(is_handled));
    threads::wakes_on(handled, set(&mut from_user.into_iter()))
}

/// Whether signals of the user wait to be taken.
#[inline(always)]
pub fn wait_from_host() -> bool {
    crate::stats().host_signals.load(Relaxed) != 0
}

/// Takes the signals that the user sent to the monitor: posted to a thread, which gets them when its call returns.
/// One that nobody handles ends the image as it ends a process, with the files that are to be taken out. Whether
/// there were any.
pub fn take_from_host() -> bool {
    // The usual answer, without the price of an exchange.
    if !wait_from_host() {
        return false;
    }
    let mut set = crate::stats().host_signals.swap(0, Relaxed);
    while let Some(signal) = lowest(set) {
        set &= !bit(signal);
        let handler = STATE.with(|state| state.actions[signal as usize - 1].handler);
        match threads::receiver(bit(signal)) {
            Some(_) if handler == DEFAULT && !is_harmless(signal) => {
                crate::exit(128 + signal as u8)
            }
            _ => post_to_process(signal),
        }
    }
    true
}

/// To some thread that does not block it, which gets it when its call returns.
pub fn post_to_process(signal: u32) {
    match threads::receiver(bit(signal)) {
        Some(tid) => {
            // A receiver exists.
            threads::post(tid, bit(signal), is_ignored(signal));
        }
        None => pend(signal),
    }
}

fn is_ignored(signal: u32) -> bool {
    let handler = STATE.with(|state| state.actions[signal as usize - 1].handler);
    handler == IGNORE || handler == DEFAULT && is_harmless(signal)
}

/// `tkill` and `tgkill`; `ESRCH` when there is no such thread.
pub fn send_to_thread(tid: u32, signal: usize) -> Outcome {
    if signal == 0 {
        return if threads::exists(tid) {
            Ok(0)
        } else {
            Err(errno::ESRCH)
        };
    }
    send(check(signal)?, tid)
}

/// To the running thread, which made a call that raises `signal`.
pub fn raise(signal: u32) {
    // It runs, so it exists.
    let _ = send(signal, threads::tid());
}

fn send(signal: u32, tid: u32) -> Outcome {
    if !threads::post(tid, bit(signal), is_ignored(signal)) {
        return Err(errno::ESRCH);
    }
    if tid == threads::tid() {
        deliver_pending();
    }
    Ok(0)
}

/// Takes one of `set` that is pending for the running thread, as `sigtimedwait` does.
pub fn take(set: u64) -> Option<u32> {
    let own = threads::with_running(|thread| {
        let found = lowest(thread.pending & set)?;
        thread.pending &= !bit(found);
        Some(found)
    });
    own.or_else(|| {
        STATE.with(|state| {
            let found = lowest(state.pending & set)?;
            state.pending &= !bit(found);
            Some(found)
        })
    })
}

fn lowest(set: u64) -> Option<u32> {
    (set != 0).then(|| set.trailing_zeros() + 1)
}

/// Delivers what is pending and not blocked to the running thread, lowest number first.
pub fn deliver_pending() -> Delivery {
    let mut done = Delivery::Nothing;
    loop {
        let open = !threads::with_running(|thread| thread.blocked);
        let Some(signal) = take(open) else {
            return done;
        };
        match deliver(signal) {
            Delivery::Nothing => {}
            Delivery::Restart if done == Delivery::Interrupt => {}
            delivery => done = delivery,
        }
    }
}

fn deliver(signal: u32) -> Delivery {
    let action = STATE.with(|state| {
        let slot = &mut state.actions[signal as usize - 1];
        let action = *slot;
        if action.flags & u64::from(SA_RESETHAND) != 0 {
            slot.handler = DEFAULT;
        }
        action
    });
    match action.handler {
        IGNORE => Delivery::Nothing,
        DEFAULT => {
            default(signal);
            Delivery::Nothing
        }
        _ => call(signal, action),
    }
}

fn call(signal: u32, action: Action) -> Delivery {
    let own = if action.flags & u64::from(SA_NODEFER) == 0 {
        bit(signal)
    } else {
        0
    };
    let blocked = threads::with_running(|thread| {
        let before = thread.blocked;
        thread.blocked = (before | action.mask | own) & !unblockable();
        before
    });
    let mut siginfo = [0u64; SIGINFO_BYTES / 8];
    siginfo[0] = signal.into();
    let mut ucontext = [0u64; UCONTEXT_BYTES / 8];
    ucontext[MASK] = blocked;
    // SAFETY: the program registered this address as its handler; extra arguments are harmless to
    // a handler that takes one (psABI).
    unsafe {
        let handler: extern "C" fn(u32, *mut u64, *mut u64) = core::mem::transmute(action.handler);
        handler(signal, siginfo.as_mut_ptr(), ucontext.as_mut_ptr());
    }
    // The handler may have changed the mask that holds after it.
    let (restored, continuation) = (ucontext[MASK] & !unblockable(), ucontext[RIP]);
    threads::with_running(|thread| thread.blocked = restored);
    if continuation != 0 {
        // Asynchronous cancellation: the handler wants the thread to go on there.
        // SAFETY: an address that the handler wrote for that purpose.
        unsafe {
            let go_on: extern "C" fn() = core::mem::transmute(continuation as usize);
            go_on();
        }
    }
    // The C library's cancellation handler blocks its signal when the thread is to be cancelled at
    // the call it interrupted, which must then end.
    let cancels = signal == CANCEL && restored & !blocked & bit(CANCEL) != 0;
    if action.flags & u64::from(SA_RESTART) == 0 || cancels {
        Delivery::Interrupt
    } else {
        Delivery::Restart
    }
}

/// Signals whose default action is nothing: stop and continue mean nothing to an image.
fn is_harmless(signal: u32) -> bool {
    matches!(
        signal,
        SIGCHLD | SIGCONT | SIGURG | SIGWINCH | SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU
    )
}

fn default(signal: u32) {
    if !is_harmless(signal) {
        platform::fatal(FATAL_SIGNAL, "", signal.into());
    }
}
