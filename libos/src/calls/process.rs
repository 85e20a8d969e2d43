//! System calls on the process and its threads: signals, children, exit.
//! Owns whether barriers were asked for; other state belongs to `signals`, `threads`.

use super::identity::PID;
use super::{Arguments, Outcome, checked_or_null, errno, names, target};
use crate::memory::Rights;
use crate::signals::{self, Action};
use crate::single::Single;
use crate::threads;
use linux_raw_sys::general::{
    __NR_arch_prctl, __NR_exit, __NR_exit_group, __NR_kill, __NR_membarrier, __NR_rt_sigaction,
    __NR_rt_sigpending, __NR_rt_sigprocmask, __NR_rt_sigqueueinfo, __NR_rt_tgsigqueueinfo,
    __NR_set_robust_list, __NR_set_tid_address, __NR_sigaltstack, __NR_tgkill, __NR_tkill,
    __NR_wait4, __NR_waitid, P_ALL, P_PGID, P_PID, P_PIDFD, WCONTINUED, WEXITED, WNOHANG, WNOWAIT,
    WSTOPPED,
};

/// `__WNOTHREAD`, `__WALL`, `__WCLONE`.
const WAIT_KINDS: u32 = 0x2000_0000 | 0x4000_0000 | 0x8000_0000;
/// Bytes of `struct robust_list_head`.
pub const ROBUST_LIST_BYTES: usize = 24;
/// Whether private expedited barriers were asked for (`MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED`).
// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static IS_REGISTERED: Single<bool> = unsafe { Single::new(false) };

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
            __NR_set_tid_address => Ok(threads::set_clear_tid(a) as usize),
            __NR_set_robust_list if b != ROBUST_LIST_BYTES => Err(errno::EINVAL),
            __NR_set_robust_list => {
                threads::with_running(|thread| thread.robust_list = a);
                Ok(0)
            }
            __NR_sigaltstack => {
                // This frame lies on the stack that the program is on.
                let here = (&raw const arguments) as usize;
                let new = checked_or_null(a, Rights::Read);
                let old = checked_or_null(b, Rights::Write);
                new.and_then(|new| signals::alternate::set(new, old?, here))
            }
            __NR_rt_sigqueueinfo => signals::queue_to_process(a as i32, b, c),
            __NR_rt_tgsigqueueinfo => signals::queue_to_thread(a as i32, b as u32, c, d),
            __NR_membarrier => barrier(a as u32, b),
            __NR_wait4 => wait(a as i32, c as u32),
            __NR_waitid => wait_id(a as u32, b as i32, d as u32),
            __NR_exit => threads::exit_thread(a as u8),
            __NR_exit_group => crate::exit(names::exit_code(a as u8)),
            // Process 1 and its group: the image each time.
            __NR_kill if b > 64 => Err(errno::EINVAL),
            // All others are nobody. -1 is the group of process 1, as `killpg` names it.
            __NR_kill if !matches!(a as i32, -1..=1) => Err(errno::ESRCH),
            __NR_kill => signals::send_to_process(b),
            __NR_tkill if a as i32 <= 0 => Err(errno::EINVAL),
            __NR_tkill => signals::send_to_thread(a as u32, b),
            __NR_tgkill if a as i32 <= 0 || b as i32 <= 0 || c > 64 => Err(errno::EINVAL),
            __NR_tgkill if a != PID => Err(errno::ESRCH),
            __NR_tgkill => signals::send_to_thread(b as u32, c),
            __NR_rt_sigaction => set_action(a, b, c, d),
            __NR_rt_sigprocmask => {
                names::pass_over_mask();
                set_mask(a, b, c, d)
            }
            __NR_rt_sigpending if b > size_of::<u64>() => Err(errno::EINVAL),
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

unsafe fn arch_prctl(code: usize, address: usize) -> Outcome {
    const ARCH_SET_FS: usize = 0x1002;
    const ARCH_GET_FS: usize = 0x1003;
    /// Where the addresses of a process end.
    const END: usize = 1 << 47;
    match code {
        ARCH_SET_FS if address >= END => Err(errno::EPERM),
        ARCH_SET_FS => match threads::set_thread_pointer(address) {
            0 => Ok(0),
            error => Err(error as isize),
        },
        ARCH_GET_FS => {
            let base = threads::with_running(|thread| thread.thread_pointer);
            // SAFETY: the program's own word; null was refused.
            unsafe { target::<usize>(address)?.write(base) };
            Ok(0)
        }
        _ => Err(errno::EINVAL),
    }
}

/// `membarrier`: with one vCPU, memory is always in order for every thread.
fn barrier(command: u32, flags: usize) -> Outcome {
    const QUERY: u32 = 0;
    const GLOBAL: u32 = 1;
    const GLOBAL_EXPEDITED: u32 = 1 << 1;
    const REGISTER_GLOBAL_EXPEDITED: u32 = 1 << 2;
    const PRIVATE_EXPEDITED: u32 = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: u32 = 1 << 4;
    if flags != 0 {
        return Err(errno::EINVAL);
    }
    match command {
        QUERY => Ok((GLOBAL
            | GLOBAL_EXPEDITED
            | REGISTER_GLOBAL_EXPEDITED
            | PRIVATE_EXPEDITED
            | REGISTER_PRIVATE_EXPEDITED) as usize),
        GLOBAL | GLOBAL_EXPEDITED | REGISTER_GLOBAL_EXPEDITED => Ok(0),
        REGISTER_PRIVATE_EXPEDITED => {
            IS_REGISTERED.with(|registered| *registered = true);
            Ok(0)
        }
        PRIVATE_EXPEDITED if IS_REGISTERED.with(|registered| *registered) => Ok(0),
        PRIVATE_EXPEDITED => Err(errno::EPERM),
        _ => Err(errno::EINVAL),
    }
}

/// `wait4`: there are no children, and never will be.
fn wait(pid: i32, options: u32) -> Outcome {
    if options & !(WNOHANG | WSTOPPED | WCONTINUED | WAIT_KINDS) != 0 {
        return Err(errno::EINVAL);
    }
    // It has no opposite.
    Err(if pid == i32::MIN {
        errno::ESRCH
    } else {
        errno::ECHILD
    })
}

/// `waitid`
fn wait_id(kind: u32, id: i32, options: u32) -> Outcome {
    let states = WEXITED | WSTOPPED | WCONTINUED;
    let known = WNOHANG | WNOWAIT | states | WAIT_KINDS;
    if options & !known != 0 || options & states == 0 {
        return Err(errno::EINVAL);
    }
    match kind {
        P_ALL => Err(errno::ECHILD),
        P_PID if id > 0 => Err(errno::ECHILD),
        P_PGID if id >= 0 => Err(errno::ECHILD),
        // No descriptor is one of a process.
        P_PIDFD if id >= 0 => Err(errno::EBADF),
        _ => Err(errno::EINVAL),
    }
}
