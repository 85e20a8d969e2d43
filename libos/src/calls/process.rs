//! System calls on the process and its one thread: identity, signals, exit, waiting.
//! Cooperative threads will live behind `futex`, `clone` and `set_tid_address`.

use super::{Arguments, Outcome, errno, pointer};
use crate::platform;
use crate::signals::{self, Action};
use linux_raw_sys::general::{
    __NR_arch_prctl, __NR_exit, __NR_exit_group, __NR_futex, __NR_getegid, __NR_geteuid,
    __NR_getgid, __NR_getgroups, __NR_getpgid, __NR_getpgrp, __NR_getpid, __NR_getppid,
    __NR_getsid, __NR_gettid, __NR_getuid, __NR_kill, __NR_membarrier, __NR_prctl,
    __NR_rt_sigaction, __NR_rt_sigpending, __NR_rt_sigprocmask, __NR_sched_yield,
    __NR_set_robust_list, __NR_set_tid_address, __NR_setgid, __NR_setpgid, __NR_setsid,
    __NR_setuid, __NR_sigaltstack, __NR_tgkill, __NR_tkill, FUTEX_CMD_MASK, FUTEX_REQUEUE,
    FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_WAKE, FUTEX_WAKE_BITSET, timespec,
};

/// The image is process 1 and its first thread is thread 1.
const PID: usize = 1;

/// Answers calls on the process.
///
/// # Safety
///
/// As for [`super::bespoke_syscall`].
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, c, d, ..] = arguments;
    // SAFETY: pointers are the program's own.
    unsafe {
        Some(match number as u32 {
            __NR_getpid | __NR_gettid | __NR_getpgrp | __NR_getsid | __NR_getpgid
            | __NR_set_tid_address | __NR_setsid => Ok(PID),
            // The image runs as root of itself: there is nobody else.
            __NR_getuid | __NR_geteuid | __NR_getgid | __NR_getegid | __NR_getppid
            | __NR_getgroups => Ok(0),
            __NR_setuid | __NR_setgid => {
                if a == 0 {
                    Ok(0)
                } else {
                    Err(errno::EPERM)
                }
            }
            __NR_setpgid | __NR_set_robust_list | __NR_sched_yield | __NR_prctl
            | __NR_sigaltstack => Ok(0),
            // One vCPU: memory is always in order for this thread.
            __NR_membarrier => Ok(0),
            __NR_exit | __NR_exit_group => crate::exit(a as u8),
            __NR_kill if a as isize > 1 => Err(errno::ESRCH),
            __NR_kill | __NR_tkill => signals::raise(b),
            __NR_tgkill => signals::raise(c),
            __NR_rt_sigaction => signals::action(a, b as *const Action, c as *mut Action, d),
            __NR_rt_sigprocmask => signals::mask(a, b as *const u64, c as *mut u64, d),
            __NR_rt_sigpending => pointer(a).and_then(|set| signals::pending(set)),
            __NR_futex => futex(a, b as u32, c as u32, d),
            __NR_arch_prctl => arch_prctl(a, b),
            _ => return None,
        })
    }
}

fn arch_prctl(code: usize, address: usize) -> Outcome {
    const ARCH_SET_FS: usize = 0x1002;
    match code {
        ARCH_SET_FS => match platform::set_thread_pointer(address) {
            0 => Ok(0),
            error => Err(error as isize),
        },
        _ => Err(errno::EINVAL),
    }
}

/// With one thread, nobody is there to wake or be woken: a wait whose value still holds can
/// only end by its timeout, and without one it would never end.
unsafe fn futex(address: usize, operation: u32, expected: u32, timeout: usize) -> Outcome {
    match operation & FUTEX_CMD_MASK as u32 {
        FUTEX_WAIT | FUTEX_WAIT_BITSET => {
            // SAFETY: the program's own word; null was refused.
            let value = unsafe { pointer::<u32>(address)?.read_volatile() };
            if value != expected {
                return Err(errno::EAGAIN);
            }
            if timeout == 0 {
                crate::report::deadlock(address)
            }
            // SAFETY: the program's own timeout.
            let limit = unsafe { pointer::<timespec>(timeout)?.read() };
            platform::wait(
                (limit.tv_sec as u64)
                    .saturating_mul(1_000_000_000)
                    .saturating_add(limit.tv_nsec as u64),
            );
            Err(errno::ETIMEDOUT)
        }
        FUTEX_WAKE | FUTEX_WAKE_BITSET | FUTEX_REQUEUE => Ok(0),
        _ => Err(errno::ENOSYS),
    }
}
