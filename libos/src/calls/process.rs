//! System calls on the process and its threads: identity, signals, exit.

use super::{Arguments, Outcome, checked_or_null, errno, target};
use crate::memory::{self, Rights};
use crate::signals::{self, Action};
use crate::threads::{self, MAIN_TID, NAME_BYTES};
use linux_raw_sys::general::{
    __NR_arch_prctl, __NR_exit, __NR_exit_group, __NR_getegid, __NR_geteuid, __NR_getgid,
    __NR_getgroups, __NR_getpgid, __NR_getpgrp, __NR_getpid, __NR_getppid, __NR_getsid,
    __NR_gettid, __NR_getuid, __NR_kill, __NR_membarrier, __NR_prctl, __NR_rt_sigaction,
    __NR_rt_sigpending, __NR_rt_sigprocmask, __NR_sched_yield, __NR_set_robust_list,
    __NR_set_tid_address, __NR_setgid, __NR_setgroups, __NR_setpgid, __NR_setsid, __NR_setuid,
    __NR_sigaltstack, __NR_tgkill, __NR_tkill,
};
use linux_raw_sys::prctl::{PR_GET_NAME, PR_SET_NAME};

/// The image is process 1, as its first thread is thread 1.
const PID: usize = MAIN_TID as usize;

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
            __NR_getpid | __NR_getpgrp | __NR_getsid | __NR_getpgid | __NR_setsid => Ok(PID),
            __NR_gettid => Ok(threads::tid() as usize),
            __NR_set_tid_address => Ok(threads::set_clear_tid(a) as usize),
            // The image runs as root of itself: there is nobody else.
            __NR_getuid | __NR_geteuid | __NR_getgid | __NR_getegid | __NR_getppid
            | __NR_getgroups => Ok(0),
            // Nobody else is there, so no group makes a difference.
            __NR_setgroups => Ok(0),
            __NR_setuid | __NR_setgid => {
                if a == 0 {
                    Ok(0)
                } else {
                    Err(errno::EPERM)
                }
            }
            // The C library itself lets go of robust mutexes when a thread ends.
            __NR_setpgid | __NR_set_robust_list | __NR_sigaltstack => Ok(0),
            __NR_sched_yield => {
                threads::yield_now();
                signals::deliver_pending();
                Ok(0)
            }
            __NR_prctl => prctl(a as u32, b),
            // One vCPU: memory is always in order for this thread.
            __NR_membarrier => Ok(0),
            __NR_exit => threads::exit_thread(a as u8),
            __NR_exit_group => crate::exit(a as u8),
            // Process 1, its group, and all there are: the image each time.
            __NR_kill if !matches!(a as i32, -1..=1) => Err(errno::ESRCH),
            __NR_kill => signals::send_to_process(b),
            __NR_tkill => signals::send_to_thread(a as u32, b),
            __NR_tgkill if a != PID => Err(errno::ESRCH),
            __NR_tgkill => signals::send_to_thread(b as u32, c),
            __NR_rt_sigaction => set_action(a, b, c, d),
            __NR_rt_sigprocmask => set_mask(a, b, c, d),
            __NR_rt_sigpending => target(a).and_then(|set| signals::pending(set)),
            __NR_arch_prctl => arch_prctl(a, b),
            _ => return None,
        })
    }
}

unsafe fn set_action(signal: usize, new: usize, old: usize, set_bytes: usize) -> Outcome {
    let new = checked_or_null::<Action>(new, Rights::Read)?;
    let old = checked_or_null(old, Rights::Write)?;
    // SAFETY: null or checked.
    unsafe { signals::action(signal, new, old, set_bytes) }
}

unsafe fn set_mask(how: usize, set: usize, old: usize, set_bytes: usize) -> Outcome {
    let set = checked_or_null::<u64>(set, Rights::Read)?;
    let old = checked_or_null(old, Rights::Write)?;
    // SAFETY: null or checked.
    unsafe { signals::mask(how, set, old, set_bytes) }
}

fn arch_prctl(code: usize, address: usize) -> Outcome {
    const ARCH_SET_FS: usize = 0x1002;
    match code {
        ARCH_SET_FS => match threads::set_thread_pointer(address) {
            0 => Ok(0),
            error => Err(error as isize),
        },
        _ => Err(errno::EINVAL),
    }
}

/// `prctl`: the thread's name. Other operations change nothing an image has.
unsafe fn prctl(operation: u32, address: usize) -> Outcome {
    match operation {
        PR_SET_NAME => {
            let room = memory::reach(address, NAME_BYTES - 1, Rights::Read);
            let mut name = [0; NAME_BYTES];
            for (index, byte) in name[..NAME_BYTES - 1].iter_mut().enumerate() {
                if index == room {
                    return Err(errno::EFAULT);
                }
                // SAFETY: checked to be readable so far.
                *byte = unsafe { (address as *const u8).add(index).read() };
                if *byte == 0 {
                    break;
                }
            }
            threads::with_running(|thread| thread.name = name);
        }
        PR_GET_NAME => {
            let name = threads::with_running(|thread| thread.name);
            // SAFETY: the program's own buffer of that size; null was refused.
            unsafe { target::<[u8; NAME_BYTES]>(address)?.write(name) };
        }
        _ => {}
    }
    Ok(0)
}
