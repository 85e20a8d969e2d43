//! How the process asks to be scheduled: policies, priorities, processors.
//! Owns the policy and the nice value, which are kept and read back: one processor runs one process.
//! Real-time policies are refused, as to a process without the right to them.

use super::call_group;
use crate::calls::identity::process;
use crate::calls::{Arguments, Outcome, errno, pointer, target};
use crate::single::Single;
use linux_raw_sys::general::{
    __NR_getcpu, __NR_getpriority, __NR_sched_get_priority_max, __NR_sched_get_priority_min,
    __NR_sched_getaffinity, __NR_sched_getparam, __NR_sched_getscheduler,
    __NR_sched_rr_get_interval, __NR_sched_setaffinity, __NR_sched_setparam,
    __NR_sched_setscheduler, __NR_setpriority, PRIO_PGRP, PRIO_PROCESS, PRIO_USER, SCHED_BATCH,
    SCHED_DEADLINE, SCHED_FIFO, SCHED_IDLE, SCHED_NORMAL, SCHED_RR, timespec,
};

/// A later policy than the headers know (`SCHED_EXT`).
const SCHED_EXT: u32 = 7;
/// The flag of a policy that children do not inherit.
const SCHED_RESET_ON_FORK: u32 = 0x4000_0000;
/// Highest real-time priority.
const HIGHEST: usize = 99;
/// `getpriority` answers 20 less the nice value, so that no answer is negative.
const NICE_BASE: i32 = 20;
/// How long a thread may run while others are ready.
const SLICE_NS: i64 = 4_000_000;

struct State {
    policy: u32,
    nice: i32,
}

static STATE: Single<State> = Single::new(State {
    policy: SCHED_NORMAL,
    nice: 0,
});

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
            __NR_getpriority => {
                someone(a, b).map(|()| (NICE_BASE - STATE.with(|state| state.nice)) as usize)
            }
            __NR_setpriority => someone(a, b).map(|()| {
                STATE.with(|state| state.nice = (c as i32).clamp(-NICE_BASE, NICE_BASE - 1));
                0
            }),
            __NR_sched_getscheduler => {
                thread(a).map(|()| STATE.with(|state| state.policy) as usize)
            }
            __NR_sched_getparam => priority(a, b),
            __NR_sched_setscheduler => set_policy(a, Some(b as u32), c),
            __NR_sched_setparam => set_policy(a, None, b),
            __NR_sched_get_priority_max => bound(a, HIGHEST),
            __NR_sched_get_priority_min => bound(a, 1),
            __NR_sched_rr_get_interval => interval(a, b),
            __NR_sched_getaffinity => affinity(a, b, c),
            __NR_sched_setaffinity => set_affinity(a, b, c),
            __NR_getcpu => processor([a, b]),
            _ => return None,
        })
    }
}

/// Whether `getpriority` and `setpriority` find anybody.
fn someone(which: usize, who: usize) -> Result<(), isize> {
    match which as u32 {
        PRIO_PROCESS | PRIO_PGRP => process(who),
        PRIO_USER if who as u32 == 0 => Ok(()),
        PRIO_USER => Err(errno::ESRCH),
        _ => Err(errno::EINVAL),
    }
}

fn thread(tid: usize) -> Result<(), isize> {
    if (tid as i32) < 0 {
        return Err(errno::EINVAL);
    }
    process(tid)
}

unsafe fn priority(tid: usize, address: usize) -> Outcome {
    if address == 0 {
        return Err(errno::EINVAL);
    }
    thread(tid)?;
    // SAFETY: `struct sched_param` of the program's own; null was refused.
    unsafe { target::<i32>(address)?.write(0) };
    Ok(0)
}

/// `sched_setscheduler`, and `sched_setparam` for the policy there is.
unsafe fn set_policy(tid: usize, policy: Option<u32>, address: usize) -> Outcome {
    if address == 0 || (tid as i32) < 0 || policy.is_some_and(|policy| (policy as i32) < 0) {
        return Err(errno::EINVAL);
    }
    // SAFETY: `struct sched_param` of the program's own; null was refused.
    let priority = unsafe { pointer::<i32>(address)?.read() };
    thread(tid)?;
    let policy = policy.unwrap_or_else(|| STATE.with(|state| state.policy));
    match policy & !SCHED_RESET_ON_FORK {
        plain @ (SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE) if priority == 0 => {
            STATE.with(|state| state.policy = plain);
            Ok(0)
        }
        SCHED_FIFO | SCHED_RR if (1..=HIGHEST as i32).contains(&priority) => Err(errno::EPERM),
        _ => Err(errno::EINVAL),
    }
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
    thread(tid)?;
    let slice = timespec {
        tv_sec: 0,
        tv_nsec: SLICE_NS,
    };
    // SAFETY: the program's own structure; null was refused.
    unsafe { target::<timespec>(address)?.write(slice) };
    Ok(0)
}

unsafe fn affinity(tid: usize, bytes: usize, address: usize) -> Outcome {
    if bytes as u32 == 0 || !(bytes as u32 as usize).is_multiple_of(size_of::<u64>()) {
        return Err(errno::EINVAL);
    }
    process(tid)?;
    // SAFETY: the program's own set; one CPU, number 0.
    unsafe { target::<u64>(address)?.write_unaligned(1) };
    Ok(size_of::<u64>())
}

unsafe fn set_affinity(tid: usize, bytes: usize, address: usize) -> Outcome {
    let first: *const u8 = if bytes as u32 == 0 {
        core::ptr::null()
    } else {
        pointer(address)?
    };
    process(tid)?;
    // SAFETY: the program's own set, of a byte at least.
    if first.is_null() || unsafe { first.read() } & 1 == 0 {
        return Err(errno::EINVAL);
    }
    Ok(0)
}

/// `getcpu`: processor 0 of node 0, where it is asked for.
unsafe fn processor(addresses: [usize; 2]) -> Outcome {
    for address in addresses.into_iter().filter(|&address| address != 0) {
        // SAFETY: the program's own word; null was refused.
        unsafe { target::<u32>(address)?.write(0) };
    }
    Ok(0)
}

call_group!(bespoke_calls_scheduling, plain: Some(call), files: None);
