//! System calls that wait for something other than a descriptor: futex, sleep, signals, a turn; and the
//! one that starts a thread, whose entry is a function of its own.
//! Owns nothing; what it waits for belongs to `crate::threads`.

use super::time::{deadline_on, load};
use super::{Arguments, Outcome, errno, pointer, target};
use crate::signals::{self, Delivery};
use crate::threads::{self, Cause, Reason, Request};
use crate::time::{monotonic_ns, wall_ns};
use linux_raw_sys::general::{
    __NR_clock_nanosleep, __NR_futex, __NR_nanosleep, __NR_pause, __NR_rt_sigsuspend,
    __NR_rt_sigtimedwait, __NR_sched_yield, CLOCK_MONOTONIC, FUTEX_BITSET_MATCH_ANY,
    FUTEX_CLOCK_REALTIME, FUTEX_CMD_MASK, FUTEX_CMP_REQUEUE, FUTEX_PRIVATE_FLAG, FUTEX_REQUEUE,
    FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_WAKE, FUTEX_WAKE_BITSET, TIMER_ABSTIME, timespec,
};

/// Answers calls that wait.
///
/// # Safety
///
/// As for [`super::bespoke_syscall`].
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    // SAFETY: the caller's promise.
    let outcome = unsafe { wait(number, arguments)? };
    // A signal that came after the wait was over and before this thread ran on.
    signals::deliver_pending();
    Some(outcome)
}

/// # Safety
///
/// As for [`super::bespoke_syscall`].
unsafe fn wait(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, c, d, ..] = arguments;
    // SAFETY: pointers are the program's own, checked against null in each.
    unsafe {
        Some(match number as u32 {
            __NR_futex => return futex(arguments),
            __NR_nanosleep => sleep(CLOCK_MONOTONIC as usize, 0, a, b),
            __NR_clock_nanosleep => sleep(a, b, c, d),
            __NR_sched_yield => {
                threads::yield_now();
                Ok(0)
            }
            __NR_pause => suspend(None),
            __NR_rt_sigsuspend if b != size_of::<u64>() => Err(errno::EINVAL),
            __NR_rt_sigsuspend => pointer::<u64>(a).and_then(|mask| suspend(Some(mask.read()))),
            __NR_rt_sigtimedwait if d != size_of::<u64>() => Err(errno::EINVAL),
            __NR_rt_sigtimedwait => wait_for_signal(a, b, c),
            _ => return None,
        })
    }
}

/// `clone`, called by the C library's `__clone` with that function's arguments.
///
/// # Safety
///
/// As for [`threads::clone`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bespoke_clone(
    function: usize,
    stack: usize,
    flags: i32,
    argument: usize,
    parent_tid: usize,
    thread_pointer: usize,
    child_tid: usize,
) -> i32 {
    crate::stats().calls.add(1);
    let request = Request {
        function,
        argument,
        stack,
        flags: flags as u32,
        parent_tid,
        thread_pointer,
        child_tid,
    };
    // SAFETY: the caller's promise.
    match unsafe { threads::clone(request) } {
        Ok(tid) => tid as i32,
        Err(error) => error as i32,
    }
}

/// Number of the call whose rarer operations are those of a call group.
pub const FUTEX: usize = __NR_futex as usize;

/// Operations on words that wait and wake; `None` for others.
unsafe fn futex(arguments: Arguments) -> Option<Outcome> {
    let command = arguments[1] as u32 & FUTEX_CMD_MASK as u32;
    let is_known = matches!(
        command,
        FUTEX_WAIT
            | FUTEX_WAIT_BITSET
            | FUTEX_WAKE
            | FUTEX_WAKE_BITSET
            | FUTEX_REQUEUE
            | FUTEX_CMP_REQUEUE
    );
    // SAFETY: the caller's promise.
    is_known.then(|| unsafe { wait_or_wake(command, arguments) })
}

unsafe fn wait_or_wake(
    command: u32,
    [address, operation, value, timeout, other, third]: Arguments,
) -> Outcome {
    let word = address as *const u32;
    if !word.is_aligned() {
        return Err(errno::EINVAL);
    }
    // Linux wakes the waiters of a private word without a look at it.
    const WAKE_PRIVATE: u32 = FUTEX_WAKE | FUTEX_PRIVATE_FLAG;
    if operation as u32 != WAKE_PRIVATE || address >= 1 << 47 {
        pointer::<u32>(address)?;
    }
    // SAFETY: the program's own word.
    let current = || unsafe { word.read_volatile() };
    let value = value as u32;
    // Only what waits until a time asks for a clock.
    if operation as u32 & FUTEX_CLOCK_REALTIME != 0 && command != FUTEX_WAIT_BITSET {
        return Err(errno::ENOSYS);
    }
    let limit = |value: usize| usize::try_from(value as i32).unwrap_or(0);
    match command {
        FUTEX_WAIT | FUTEX_WAIT_BITSET => {
            let bits = if command == FUTEX_WAIT {
                FUTEX_BITSET_MATCH_ANY
            } else {
                third as u32
            };
            if bits == 0 {
                return Err(errno::EINVAL);
            }
            let deadline = if timeout == 0 {
                None
            } else {
                // SAFETY: the program's own timeout.
                let ns = unsafe { load(timeout)? };
                Some(match (command, operation as u32 & FUTEX_CLOCK_REALTIME) {
                    (FUTEX_WAIT, _) => monotonic_ns().saturating_add(ns),
                    (_, 0) => ns,
                    _ => monotonic_ns().saturating_add(ns.saturating_sub(wall_ns())),
                })
            };
            if current() != value {
                return Err(errno::EAGAIN);
            }
            wait_on_word(address, bits, deadline, current, value)
        }
        // Waking at least one, as Linux does for 0.
        FUTEX_WAKE => Ok(threads::futex_wake(
            address,
            FUTEX_BITSET_MATCH_ANY,
            limit(value as usize).max(1),
        )),
        FUTEX_WAKE_BITSET if third as u32 == 0 => Err(errno::EINVAL),
        FUTEX_WAKE_BITSET => Ok(threads::futex_wake(
            address,
            third as u32,
            limit(value as usize).max(1),
        )),
        _ => {
            let target: *const u32 = pointer(other)?;
            if !target.is_aligned() || (value as i32) < 0 || (timeout as i32) < 0 {
                return Err(errno::EINVAL);
            }
            if command == FUTEX_CMP_REQUEUE && current() != third as u32 {
                return Err(errno::EAGAIN);
            }
            let woken = threads::futex_wake(address, FUTEX_BITSET_MATCH_ANY, limit(value as usize));
            let moved = threads::futex_requeue(address, other, limit(timeout));
            Ok(woken + moved)
        }
    }
}

fn wait_on_word(
    address: usize,
    bits: u32,
    deadline: Option<u64>,
    current: impl Fn() -> u32,
    value: u32,
) -> Outcome {
    loop {
        match threads::futex_wait(address, bits, deadline) {
            Cause::Woken => return Ok(0),
            Cause::Expired => return Err(errno::ETIMEDOUT),
            Cause::Interrupted if signals::deliver_pending() == Delivery::Interrupt => {
                return Err(errno::EINTR);
            }
            // A call that begins again looks at the word again.
            Cause::Interrupted if current() != value => return Err(errno::EAGAIN),
            Cause::Interrupted => {}
        }
    }
}

unsafe fn sleep(clock: usize, flags: usize, request: usize, remainder: usize) -> Outcome {
    let absolute = flags as u32 & TIMER_ABSTIME != 0;
    // SAFETY: the program's own structure.
    let deadline = unsafe { deadline_on(clock, absolute, load(request)?)? };
    loop {
        match threads::park(Reason::Sleep, Some(deadline), true) {
            Cause::Expired => return Ok(0),
            // Sleeps are not restarted after a handler, whatever its flags say.
            Cause::Interrupted if signals::deliver_pending() != Delivery::Nothing => break,
            Cause::Interrupted | Cause::Woken => {}
        }
    }
    if remainder != 0 && !absolute {
        let left = deadline.saturating_sub(monotonic_ns());
        let value = timespec {
            tv_sec: (left / 1_000_000_000) as i64,
            tv_nsec: (left % 1_000_000_000) as i64,
        };
        // SAFETY: the program's own structure; null was refused.
        unsafe { target::<timespec>(remainder)?.write(value) };
    }
    Err(errno::EINTR)
}

/// `pause` and `rt_sigsuspend`: until a handler has run.
fn suspend(mask: Option<u64>) -> Outcome {
    let wait = || {
        while signals::deliver_pending() == Delivery::Nothing {
            threads::park(Reason::Signal, None, true);
        }
    };
    match mask {
        Some(mask) => signals::with_mask(mask, wait),
        None => wait(),
    }
    Err(errno::EINTR)
}

/// `rt_sigtimedwait`: takes a pending signal of the set instead of delivering it.
unsafe fn wait_for_signal(set: usize, info: usize, timeout: usize) -> Outcome {
    // SAFETY: the program's own structures; null was refused where it may not be.
    let set = unsafe { pointer::<u64>(set)?.read() };
    let deadline = match timeout {
        0 => None,
        // SAFETY: as above.
        _ => Some(monotonic_ns().saturating_add(unsafe { load(timeout)? })),
    };
    loop {
        if let Some(taken) = signals::take(set) {
            if info != 0 {
                // SAFETY: room for a `siginfo_t`; the words that are not known are 0.
                unsafe {
                    let info = target::<[u64; 16]>(info)?;
                    info.write([0; 16]);
                    info.cast::<signals::Info>().write(taken);
                }
            }
            return Ok(taken.signal() as usize);
        }
        threads::with_running(|thread| thread.awaited = set);
        let cause = threads::park(Reason::Signal, deadline, true);
        threads::with_running(|thread| thread.awaited = 0);
        match cause {
            Cause::Expired => return Err(errno::EAGAIN),
            Cause::Interrupted if signals::deliver_pending() != Delivery::Nothing => {
                return Err(errno::EINTR);
            }
            Cause::Interrupted | Cause::Woken => {}
        }
    }
}
