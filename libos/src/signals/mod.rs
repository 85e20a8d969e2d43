//! Signals that the program sends to itself, the user sends to the monitor, or a fault raises: actions, masks, delivery.
//!
//! Delivery is a function call in the receiving thread: at once when it sends the signal to itself, else when it comes back
//! from the switch that let others run, or when an interrupt finds it in its own code (`crate::interrupt`). Signals of the
//! host are looked for at each call and where devices are.
//! Must never deliver a blocked signal, nor hold state while a handler runs, for a handler may call anything and may leave
//! by `siglongjmp`.
//!
//! | file | decides |
//! |---|---|
//! | `queue` | what is known of signals that wait |
//! | `frame` | what a handler is told, and what it changes |
//! | `alternate` | `sigaltstack` |

pub mod alternate;
mod frame;
mod queue;

use crate::calls::{Outcome, errno};
use crate::interrupt::Context;
use crate::memory::{self, Rights};
use crate::platform;
use crate::single::Single;
use crate::threads::{self, Posted};
use bespoke_abi::hypercall::FATAL_SIGNAL;
use bespoke_abi::stats::{MISSED_INTERRUPT, USER_SIGNALS};
use core::sync::atomic::Ordering::Relaxed;
use linux_raw_sys::general::{
    SA_NOCLDSTOP, SA_NOCLDWAIT, SA_NODEFER, SA_ONSTACK, SA_RESETHAND, SA_RESTART, SA_SIGINFO,
    SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK, SIGBUS, SIGCHLD, SIGCONT, SIGFPE, SIGILL, SIGKILL,
    SIGSEGV, SIGSTOP, SIGTRAP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH,
};

const SIGNALS: usize = 64;
const DEFAULT: usize = 0;
const IGNORE: usize = 1;
/// The signal by which the C library cancels threads (musl's `SIGCANCEL`).
const CANCEL: u32 = 33;
/// The flags of an action that Linux keeps. The last two are `SA_RESTORER` and `SA_EXPOSE_TAGBITS`.
const KNOWN_FLAGS: u64 = (SA_NOCLDSTOP
    | SA_NOCLDWAIT
    | SA_SIGINFO
    | SA_ONSTACK
    | SA_RESTART
    | SA_NODEFER
    | SA_RESETHAND) as u64
    | 0x0400_0000
    | 0x800;
/// Signals of faults: the monitor must know which of them are handled.
const FAULTS: [u32; 5] = [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP];
/// `si_code` of `kill`, of `tgkill`, and of a timer (`SI_USER`, `SI_TKILL`, `SI_KERNEL`).
const BY_USER: i32 = 0;
const BY_THREAD: i32 = -6;
const BY_KERNEL: i32 = 0x80;

pub use alternate::Alternate;
use queue::PROCESS;
pub use queue::{Detail, Info, holds_timer, watch_timers};

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

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static STATE: Single<State> = unsafe {
    Single::new(State {
        actions: [Action {
            handler: DEFAULT,
            flags: 0,
            restorer: 0,
            mask: 0,
        }; SIGNALS],
        pending: 0,
    })
};

/// Is told signals that begin to wait, as a set.
type Arrived = fn(u64);

/// The signals that somebody reads from descriptors, and who tells them.
// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static WATCHED: Single<Option<(u64, Arrived)>> = unsafe { Single::new(None) };

/// From now on `arrived` is told of signals of `set`.
pub fn watch(set: u64, arrived: Arrived) {
    WATCHED.with(|watched| *watched = Some((set, arrived)));
}

/// Signals of `set` have begun to wait.
fn tell_watchers(set: u64) {
    if let Some((watched, arrived)) = WATCHED.with(|watched| *watched)
        && watched & set != 0
    {
        arrived(set);
    }
}

/// Signals that wait for the running thread or the process.
pub fn waiting() -> u64 {
    let process = STATE.with(|state| state.pending);
    threads::with_running(|thread| thread.pending | process)
}

/// Whether [`explain_bus`] was called.
// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static EXPLAINS_BUS: Single<bool> = unsafe { Single::new(false) };

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
    let new = (!new.is_null()).then(|| {
        // SAFETY: the caller's promise.
        let new = unsafe { new.read() };
        Action {
            flags: new.flags & KNOWN_FLAGS,
            mask: new.mask & !unblockable(),
            ..new
        }
    });
    let before = STATE.with(|state| {
        let slot = &mut state.actions[signal as usize - 1];
        let before = *slot;
        if let Some(new) = new {
            *slot = new;
        }
        before
    });
    if !old.is_null() {
        // SAFETY: the caller's promise.
        unsafe { old.write(before) };
    }
    if let Some(new) = new {
        note_faults(signal, new.handler);
        if is_ignored(signal) {
            // One that waits is ignored, too, blocked or not.
            STATE.with(|state| state.pending &= !bit(signal));
            threads::discard(bit(signal));
            queue::forget_signal(signal);
        }
    }
    Ok(0)
}

/// Tells the monitor whether the fault of `signal` has a handler, or is to be explained.
fn note_faults(signal: u32, handler: usize) {
    if FAULTS.contains(&signal) {
        let handled = &crate::stats().handled;
        handled.set(match handler {
            DEFAULT | IGNORE if signal == SIGBUS && EXPLAINS_BUS.with(|explains| *explains) => {
                return;
            }
            DEFAULT | IGNORE => handled.get() & !bit(signal),
            _ => handled.get() | bit(signal),
        });
    }
}

/// Some mapping shows more than its file has: from now on the monitor asks about faults of memory, handled or not, for only
/// the image knows that such a one is `SIGBUS`.
pub fn explain_bus() {
    EXPLAINS_BUS.with(|explains| *explains = true);
    let handled = &crate::stats().handled;
    handled.set(handled.get() | bit(SIGBUS));
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
    claim();
    let result = work();
    swap(before);
    deliver_pending();
    result
}

/// Makes what is pending for the process pending for the running thread, as far as that does not block it: then it ends
/// the thread's waits.
fn claim() {
    let (tid, open) = threads::with_running(|thread| (thread.tid, !thread.blocked));
    let claimed = STATE.with(|state| {
        let claimed = state.pending & open;
        state.pending &= !claimed;
        claimed
    });
    if claimed != 0 {
        queue::hand_over(claimed, tid);
        threads::with_running(|thread| thread.pending |= claimed);
    }
}

/// `rt_sigpending`.
///
/// # Safety
///
/// `set` is valid for a 64-bit set.
pub unsafe fn pending(set: *mut u64) -> Outcome {
    let all = waiting() & threads::with_running(|thread| thread.blocked);
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
    let info = Info::sent(signal, BY_USER, threads::MAIN_TID);
    match threads::receiver(bit(signal)) {
        Some(tid) => send(info, tid),
        None => {
            pend(info);
            Ok(0)
        }
    }
}

/// `rt_sigqueueinfo`: as [`send_to_process`], with the program's own details.
///
/// # Safety
///
/// `info` is null or valid for a `siginfo_t`.
pub unsafe fn queue_to_process(pid: i32, signal: usize, info: usize) -> Outcome {
    // SAFETY: the caller's promise.
    let info = unsafe { load_info(signal, info)? };
    if pid != threads::MAIN_TID as i32 {
        return Err(errno::ESRCH);
    }
    let Some(info) = info else {
        return Ok(0);
    };
    queue::reserve(info.signal())?;
    match threads::receiver(bit(info.signal())) {
        Some(tid) => send(info, tid),
        None => {
            pend(info);
            Ok(0)
        }
    }
}

/// `rt_tgsigqueueinfo`.
///
/// # Safety
///
/// As for [`queue_to_process`].
pub unsafe fn queue_to_thread(pid: i32, tid: u32, signal: usize, info: usize) -> Outcome {
    // SAFETY: the caller's promise.
    let info = unsafe { load_info(signal, info)? };
    if pid <= 0 || tid as i32 <= 0 {
        return Err(errno::EINVAL);
    }
    if pid != threads::MAIN_TID as i32 || !threads::exists(tid) {
        return Err(errno::ESRCH);
    }
    let Some(info) = info else {
        return Ok(0);
    };
    queue::reserve(info.signal())?;
    send(info, tid)
}

/// What the program says of a signal; `None` for signal 0.
unsafe fn load_info(signal: usize, info: usize) -> Result<Option<Info>, isize> {
    if !memory::allows(info, frame::SIGINFO_BYTES, Rights::Read) {
        return Err(errno::EFAULT);
    }
    if signal == 0 {
        return Ok(None);
    }
    let signal = check(signal)?;
    // SAFETY: the caller's promise; null was refused.
    let mut info = unsafe { (info as *const Info).read() };
    info.0[0] = info.0[0] >> 32 << 32 | u64::from(signal);
    Ok(Some(info))
}

/// For the process, of which every thread blocks it.
fn pend(info: Info) {
    let signal = info.signal();
    STATE.with(|state| state.pending |= bit(signal));
    queue::note(PROCESS, info);
    threads::wake_awaiting(bit(signal));
    tell_watchers(bit(signal));
}

/// Whether a signal that the user may send would end a wait.
pub fn may_wake() -> bool {
    let from_user = USER_SIGNALS.map(u32::from);
    let is_handled = |signal: &u32| {
        let handler = STATE.with(|state| state.actions[*signal as usize - 1].handler);
        !matches!(handler, DEFAULT | IGNORE)
    };
    let set =
        |signals: &mut dyn Iterator<Item = u32>| signals.fold(0, |set, signal| set | bit(signal));
    let handled = set(&mut from_user.into_iter().filter(is_handled));
    let all = set(&mut from_user.into_iter());
    let is_read = WATCHED.with(|watched| watched.is_some_and(|(watched, _)| watched & all != 0));
    is_read || threads::wakes_on(handled, all)
}

/// Whether signals of the user wait to be taken, or an interrupt came at a bad time.
#[inline(always)]
pub fn wait_from_host() -> bool {
    crate::stats().host_signals.load(Relaxed) != 0
}

/// Whether signals of the user wait to be taken.
pub fn wait_from_user() -> bool {
    crate::stats().host_signals.load(Relaxed) & !MISSED_INTERRUPT != 0
}

/// Takes the signals that the user sent to the monitor: posted to a thread, which gets them when its call returns.
/// One that nobody handles ends the image as it ends a process, with the files that are to be taken out. Whether
/// there were any, or an interrupt that is to be made up for.
pub fn take_from_host() -> bool {
    // The usual answer, without the price of an exchange.
    if !wait_from_host() {
        return false;
    }
    let mut set = crate::stats().host_signals.swap(0, Relaxed) & !MISSED_INTERRUPT;
    while let Some(signal) = lowest(set) {
        set &= !bit(signal);
        let handler = STATE.with(|state| state.actions[signal as usize - 1].handler);
        match threads::receiver(bit(signal)) {
            Some(_) if handler == DEFAULT && !is_harmless(signal) => {
                crate::exit(128 + signal as u8)
            }
            _ => post_to_process(Info::sent(signal, BY_USER, 0)),
        }
    }
    true
}

/// `SIGALRM` and the like: a timer of the process expired.
pub fn post_timer(signal: u32) {
    post_to_process(Info::sent(signal, BY_KERNEL, 0));
}

/// A timer of the program's expired: for thread `tid`, or for the process.
pub fn post_of_timer(info: Info, tid: Option<u32>) {
    match tid {
        // A thread that has ended misses nothing.
        Some(tid) => _ = post(info, tid),
        None => post_to_process(info),
    }
}

/// A message came for the process.
pub fn post_of_queue(info: Info) {
    post_to_process(info);
}

/// Takes back what waits of timer `id`.
pub fn withdraw_timer(id: u32) {
    while let Some((receiver, signal, is_left)) = queue::withdraw_timer(id) {
        match receiver {
            _ if is_left => {}
            PROCESS => STATE.with(|state| state.pending &= !bit(signal)),
            tid => _ = threads::with_thread(tid, |thread| thread.pending &= !bit(signal)),
        }
    }
}

/// To some thread that does not block it, which gets it when its call returns or an interrupt comes.
fn post_to_process(info: Info) {
    match threads::receiver(bit(info.signal())) {
        Some(tid) => {
            // A receiver exists.
            post(info, tid);
        }
        None => pend(info),
    }
}

/// Makes a signal pending for a thread; whether there is such a thread.
fn post(info: Info, tid: u32) -> bool {
    let signal = info.signal();
    match threads::post(tid, bit(signal), is_ignored(signal)) {
        Posted::Nobody => return false,
        Posted::Dropped => {}
        Posted::Kept => {
            queue::note(tid, info);
            tell_watchers(bit(signal));
        }
    }
    true
}

/// What waits for a thread that ends is lost.
pub fn forget_thread(tid: u32) {
    queue::forget_thread(tid);
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
    let signal = check(signal)?;
    send(Info::sent(signal, BY_THREAD, threads::MAIN_TID), tid)
}

/// To the running thread, which made a call that raises `signal`.
pub fn raise(signal: u32) {
    // It runs, so it exists.
    let _ = send(
        Info::sent(signal, BY_USER, threads::MAIN_TID),
        threads::tid(),
    );
}

fn send(info: Info, tid: u32) -> Outcome {
    if !post(info, tid) {
        return Err(errno::ESRCH);
    }
    if tid == threads::tid() {
        deliver_pending();
    }
    Ok(0)
}

/// Takes one of `set` that is pending for the running thread, as `sigtimedwait` does.
pub fn take(set: u64) -> Option<Info> {
    let (tid, own) = threads::with_running(|thread| (thread.tid, lowest(thread.pending & set)));
    if let Some(signal) = own {
        let (info, more) = queue::take(tid, signal);
        if !more {
            threads::with_running(|thread| thread.pending &= !bit(signal));
        }
        return Some(info);
    }
    STATE.with(|state| {
        let signal = lowest(state.pending & set)?;
        let (info, more) = queue::take(PROCESS, signal);
        if !more {
            state.pending &= !bit(signal);
        }
        Some(info)
    })
}

fn lowest(set: u64) -> Option<u32> {
    (set != 0).then(|| set.trailing_zeros() + 1)
}

/// Delivers what is pending and not blocked to the running thread, which made a system call; lowest number first.
pub fn deliver_pending() -> Delivery {
    deliver_all(None)
}

/// As [`deliver_pending`], to a thread that was interrupted in its own code.
pub fn deliver_interrupted(context: &mut Context) {
    deliver_all(Some(context));
}

fn deliver_all(mut context: Option<&mut Context>) -> Delivery {
    let mut done = Delivery::Nothing;
    loop {
        let open = !threads::with_running(|thread| thread.blocked);
        let Some(info) = take(open) else {
            return done;
        };
        match deliver(info, context.as_deref_mut()) {
            Delivery::Nothing => {}
            Delivery::Restart if done == Delivery::Interrupt => {}
            delivery => done = delivery,
        }
    }
}

/// Where the handler of a fault is to run: on top of the alternate stack, or where the thread is (the inner `None`);
/// `None` when there is no handler, or the signal is blocked, and the thread cannot go on.
pub fn stack_for_fault(signal: u32, stack_pointer: usize) -> Option<Option<usize>> {
    let action = STATE.with(|state| state.actions[signal as usize - 1]);
    threads::with_running(|thread| {
        let is_handled = !matches!(action.handler, DEFAULT | IGNORE);
        if !is_handled || thread.blocked & bit(signal) != 0 {
            return None;
        }
        let asks = action.flags & u64::from(SA_ONSTACK) != 0;
        Some(asks.then(|| thread.alternate.top(stack_pointer)).flatten())
    })
}

/// Runs the handler of a fault, which [`stack_for_fault`] found.
pub fn deliver_fault(info: Info, context: &mut Context) {
    deliver(info, Some(context));
}

fn deliver(info: Info, context: Option<&mut Context>) -> Delivery {
    let signal = info.signal();
    let action = STATE.with(|state| {
        let slot = &mut state.actions[signal as usize - 1];
        let action = *slot;
        if action.flags & u64::from(SA_RESETHAND) != 0 {
            slot.handler = DEFAULT;
            note_faults(signal, DEFAULT);
        }
        action
    });
    match action.handler {
        IGNORE => Delivery::Nothing,
        DEFAULT => {
            default(signal);
            Delivery::Nothing
        }
        _ => call(info, action, context),
    }
}

fn call(info: Info, action: Action, context: Option<&mut Context>) -> Delivery {
    let signal = info.signal();
    let own = if action.flags & u64::from(SA_NODEFER) == 0 {
        bit(signal)
    } else {
        0
    };
    // This frame lies on the stack that the thread is on.
    let here = (&raw const action) as usize;
    let (blocked, alternate) = threads::with_running(|thread| {
        let before = (thread.blocked, thread.alternate);
        thread.blocked = (thread.blocked | action.mask | own) & !unblockable();
        before
    });
    let stack = match action.flags & u64::from(SA_ONSTACK) {
        0 => None,
        _ => alternate.top(here),
    };
    if stack.is_some() {
        threads::with_running(|thread| thread.alternate = alternate.entered());
    }
    // Linux puts the frame of each signal that may come now above the last one, so the last one's handler runs first.
    let inner = deliver_all(None);
    let interrupted = context.as_ref().map(|context| context.general[7] as usize);
    let setting = frame::Setting {
        handler: action.handler,
        stack,
        alternate: alternate.words(interrupted.unwrap_or(here)),
        blocked,
        stack_pointer: here,
    };
    // SAFETY: the program registered this address as its handler; the stack is its own, and it does not use it.
    let left = unsafe { frame::run(&setting, info, context) };
    // The handler may have changed the mask that holds after it.
    let restored = left.blocked & !unblockable();
    threads::with_running(|thread| {
        thread.blocked = restored;
        if stack.is_some() {
            thread.alternate = alternate;
        }
    });
    if let Some(continuation) = left.continuation {
        // Asynchronous cancellation: the handler wants the thread to go on there.
        // SAFETY: an address that the handler wrote for that purpose.
        unsafe {
            let go_on: extern "C" fn() = core::mem::transmute(continuation);
            go_on();
        }
    }
    // The C library's cancellation handler blocks its signal when the thread is to be cancelled at
    // the call it interrupted, which must then end.
    let cancels = signal == CANCEL && restored & !blocked & bit(CANCEL) != 0;
    if action.flags & u64::from(SA_RESTART) == 0 || cancels || inner == Delivery::Interrupt {
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
