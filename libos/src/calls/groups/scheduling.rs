//! How threads ask to be scheduled: policies, real-time priorities. See also `priorities`, `affinity`, `scheduling_attributes`.
//! What they ask for is kept for each and read back, and changes nothing: one processor runs one process, whose threads take
//! turns. Real-time policies are refused, as to a process without the right to them, for a program would miss their effect.

use super::call_group;
use crate::calls::{Arguments, Outcome, errno, pointer, target};
use crate::threads::{self, Rank};
use linux_raw_sys::general::{
    __NR_sched_get_priority_max, __NR_sched_get_priority_min, __NR_sched_getparam,
    __NR_sched_getscheduler, __NR_sched_rr_get_interval, __NR_sched_setparam,
    __NR_sched_setscheduler, SCHED_BATCH, SCHED_DEADLINE, SCHED_FIFO, SCHED_IDLE, SCHED_NORMAL,
    SCHED_RESET_ON_FORK, SCHED_RR, timespec,
};

/// A later policy than the headers know (`SCHED_EXT`).
const SCHED_EXT: u32 = 7;
/// Highest real-time priority.
const HIGHEST: usize = 99;
/// How long a thread may run while others are ready.
const SLICE_NS: i64 = 4_000_000;

/// Answers calls on scheduling.
///
/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, c, ..] = arguments;
    // SAFETY: pointers are the program's own, checked against null in each.
    unsafe {
        Some(match number as u32 {
            __NR_sched_getscheduler => thread(a, |rank| rank.policy as usize),
            __NR_sched_getparam => priority(a, b),
            __NR_sched_setscheduler => set_policy(a, Some(b as u32), c),
            __NR_sched_setparam => set_policy(a, None, b),
            __NR_sched_get_priority_max => bound(a, HIGHEST),
            __NR_sched_get_priority_min => bound(a, 1),
            __NR_sched_rr_get_interval => interval(a, b),
            _ => return None,
        })
    }
}

/// Reads or changes the rank of one thread.
pub(super) fn thread<R>(tid: usize, work: impl FnOnce(&mut Rank) -> R) -> Result<R, isize> {
    if (tid as i32) < 0 {
        return Err(errno::EINVAL);
    }
    let tid = match tid as u32 {
        0 => threads::tid(),
        tid => tid,
    };
    threads::with_thread(tid, |thread| work(&mut thread.rank)).ok_or(errno::ESRCH)
}

unsafe fn priority(tid: usize, address: usize) -> Outcome {
    if address == 0 {
        return Err(errno::EINVAL);
    }
    thread(tid, |_| ())?;
    // SAFETY: `struct sched_param` of the program's own; null was refused.
    unsafe { target::<i32>(address)?.write(0) };
    Ok(0)
}

/// A policy that threads may have, with its flag, of a real-time priority.
pub(super) fn check(policy: u32, priority: i32) -> Result<u32, isize> {
    match policy & !SCHED_RESET_ON_FORK {
        SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE if priority == 0 => Ok(policy),
        SCHED_FIFO | SCHED_RR if (1..=HIGHEST as i32).contains(&priority) => Err(errno::EPERM),
        _ => Err(errno::EINVAL),
    }
}

/// `sched_setscheduler`, and `sched_setparam` for the policy there is.
unsafe fn set_policy(tid: usize, policy: Option<u32>, address: usize) -> Outcome {
    if address == 0 || (tid as i32) < 0 || policy.is_some_and(|policy| (policy as i32) < 0) {
        return Err(errno::EINVAL);
    }
    // SAFETY: `struct sched_param` of the program's own; null was refused.
    let priority = unsafe { pointer::<i32>(address)?.read() };
    thread(tid, |rank| {
        rank.policy = check(policy.unwrap_or(rank.policy), priority)?;
        Ok(0)
    })?
}

/// The highest or lowest priority of a policy: `real_time` for those that have any.
fn bound(policy: usize, real_time: usize) -> Outcome {
    match policy as u32 {
        SCHED_FIFO | SCHED_RR => Ok(real_time),
        SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE | SCHED_DEADLINE | SCHED_EXT => Ok(0),
        _ => Err(errno::EINVAL),
    }
}

unsafe fn interval(tid: usize, address: usize) -> Outcome {
    thread(tid, |_| ())?;
    let slice = timespec {
        tv_sec: 0,
        tv_nsec: SLICE_NS,
    };
    // SAFETY: the program's own structure; null was refused.
    unsafe { target::<timespec>(address)?.write(slice) };
    Ok(0)
}

call_group!(bespoke_calls_scheduling, plain: Some(call), files: None);
