//! How threads ask to be scheduled: policies, priorities, processors.
//! What they ask for is kept for each and read back, and changes nothing: one processor runs one process, whose threads take
//! turns. Real-time policies are refused, as to a process without the right to them, for a program would miss their effect.

use super::call_group;
use super::identity::{SYS_NICE, has};
use crate::calls::identity::process;
use crate::calls::{Arguments, Outcome, checked, errno, pointer, target};
use crate::memory::{self, Rights};
use crate::threads::{self, MAIN_TID, Rank};
use bespoke_abi::PAGE_BYTES;
use linux_raw_sys::general::{
    __NR_getcpu, __NR_getpriority, __NR_ioprio_get, __NR_ioprio_set, __NR_sched_get_priority_max,
    __NR_sched_get_priority_min, __NR_sched_getaffinity, __NR_sched_getattr, __NR_sched_getparam,
    __NR_sched_getscheduler, __NR_sched_rr_get_interval, __NR_sched_setaffinity,
    __NR_sched_setattr, __NR_sched_setparam, __NR_sched_setscheduler, __NR_setpriority, PRIO_PGRP,
    PRIO_PROCESS, PRIO_USER, SCHED_BATCH, SCHED_DEADLINE, SCHED_FIFO, SCHED_FLAG_KEEP_PARAMS,
    SCHED_FLAG_KEEP_POLICY, SCHED_FLAG_RESET_ON_FORK, SCHED_IDLE, SCHED_NORMAL,
    SCHED_RESET_ON_FORK, SCHED_RR, timespec,
};

/// A later policy than the headers know (`SCHED_EXT`).
const SCHED_EXT: u32 = 7;
/// Highest real-time priority.
const HIGHEST: usize = 99;
/// `getpriority` answers 20 less the nice value, so that no answer is negative.
const NICE_BASE: i32 = 20;
/// How long a thread may run while others are ready.
const SLICE_NS: i64 = 4_000_000;

/// Answers calls on scheduling.
///
/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, c, d, ..] = arguments;
    // SAFETY: pointers are the program's own, checked against null in each.
    unsafe {
        Some(match number as u32 {
            __NR_getpriority => best(a, b, 0, |rank| (NICE_BASE - i32::from(rank.nice)) as usize),
            __NR_setpriority => {
                let nice = (c as i32).clamp(-NICE_BASE, NICE_BASE - 1) as i8;
                let mut is_refused = false;
                let changed = change(a, b, 0, |rank| {
                    if nice < rank.nice && !has(SYS_NICE) {
                        is_refused = true;
                    } else {
                        rank.nice = nice;
                    }
                });
                match is_refused {
                    true => Err(errno::EACCES),
                    false => changed,
                }
            }
            __NR_ioprio_get => disk_priority(a, b),
            __NR_ioprio_set => set_disk_priority(a, b, c),
            __NR_sched_getscheduler => thread(a, |rank| rank.policy as usize),
            __NR_sched_getparam => priority(a, b),
            __NR_sched_setscheduler => set_policy(a, Some(b as u32), c),
            __NR_sched_setparam => set_policy(a, None, b),
            __NR_sched_getattr => attributes(a, b, c, d),
            __NR_sched_setattr => set_attributes(a, b, c),
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

/// Works on the ranks that `which` and `who` name: of a thread, of the process by its group, of the process by its user.
/// `base` is the number of the first kind, as calls differ in it.
fn change(which: usize, who: usize, base: u32, mut work: impl FnMut(&mut Rank)) -> Outcome {
    let all = match (which as u32).wrapping_sub(base) {
        PRIO_PROCESS => false,
        PRIO_PGRP => {
            let is_own = matches!(who as u32, 0 | MAIN_TID);
            is_own.then_some(true).ok_or(errno::ESRCH)?
        }
        PRIO_USER if who as u32 == 0 => true,
        PRIO_USER => return Err(errno::ESRCH),
        _ => return Err(errno::EINVAL),
    };
    if all {
        threads::each(|thread| work(&mut thread.rank));
        return Ok(0);
    }
    let tid = match who as u32 {
        0 => threads::tid(),
        tid => tid,
    };
    threads::with_thread(tid, |thread| work(&mut thread.rank)).ok_or(errno::ESRCH)?;
    Ok(0)
}

/// The greatest value of those threads.
fn best(which: usize, who: usize, base: u32, value: impl Fn(&Rank) -> usize) -> Outcome {
    let mut best = 0;
    change(which, who, base, |rank| best = best.max(value(rank)))?;
    Ok(best)
}

/// The classes and levels of `ioprio_set`: class, then level, then hints between.
const CLASS_SHIFT: u32 = 13;
const LEVELS: u32 = 8;
/// Real time, best effort, idle.
const BEST_EFFORT: u32 = 2;
const CLASSES: u32 = 4;

fn disk_priority(which: usize, who: usize) -> Outcome {
    const OF_A_PROCESS: u32 = 1;
    if which as u32 == OF_A_PROCESS {
        return best(which, who, OF_A_PROCESS, |rank| rank.disk.into());
    }
    // Of several, the smallest number wins; where nobody asked for one, it follows from the nice value.
    let mut least = None;
    change(which, who, OF_A_PROCESS, |rank| {
        let own = match u32::from(rank.disk) {
            0 => BEST_EFFORT << CLASS_SHIFT | ((i32::from(rank.nice) + NICE_BASE) / 5) as u32,
            asked => asked,
        };
        least = Some(least.map_or(own, |least: u32| least.min(own)));
    })?;
    least.map(|least| least as usize).ok_or(errno::ESRCH)
}

fn set_disk_priority(which: usize, who: usize, value: usize) -> Outcome {
    let value = value as u32;
    let (class, level) = (value >> CLASS_SHIFT & 7, value & (LEVELS - 1));
    if class >= CLASSES || class == 0 && level != 0 {
        return Err(errno::EINVAL);
    }
    change(which, who, 1, |rank| rank.disk = value as u16)
}

/// Reads or changes the rank of one thread.
fn thread<R>(tid: usize, work: impl FnOnce(&mut Rank) -> R) -> Result<R, isize> {
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
fn check(policy: u32, priority: i32) -> Result<u32, isize> {
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

/// `struct sched_attr`: all of it, and what its first version had.
#[repr(C)]
#[derive(Clone, Copy)]
struct Attributes {
    bytes: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    times: [u64; 3],
    bounds: [u32; 2],
}
const ALL_BYTES: usize = size_of::<Attributes>();
const FIRST_BYTES: usize = 48;

unsafe fn attributes(tid: usize, address: usize, bytes: usize, flags: usize) -> Outcome {
    let bytes = bytes as u32 as usize;
    if address == 0 || flags as u32 != 0 || !(FIRST_BYTES..=PAGE_BYTES).contains(&bytes) {
        return Err(errno::EINVAL);
    }
    let rank = thread(tid, |rank| *rank)?;
    let is_reset = rank.policy & SCHED_RESET_ON_FORK != 0;
    let known = bytes.min(ALL_BYTES);
    let attributes = Attributes {
        bytes: known as u32,
        policy: rank.policy & !SCHED_RESET_ON_FORK,
        flags: u64::from(SCHED_FLAG_RESET_ON_FORK) * u64::from(is_reset),
        nice: rank.nice.into(),
        priority: 0,
        times: [0; 3],
        bounds: [0; 2],
    };
    let place: *mut u8 = checked(address, bytes, Rights::Write)?;
    // SAFETY: checked memory of the program's, of which no more is written than there is.
    unsafe {
        place.write_bytes(0, bytes);
        place.copy_from_nonoverlapping((&raw const attributes).cast(), known);
    }
    Ok(0)
}

unsafe fn set_attributes(tid: usize, address: usize, flags: usize) -> Outcome {
    if address == 0 || (tid as i32) < 0 || flags as u32 != 0 {
        return Err(errno::EINVAL);
    }
    let place: *mut u32 = target(address)?;
    // SAFETY: checked.
    let bytes = match unsafe { place.read() } as usize {
        0 => FIRST_BYTES,
        bytes => bytes,
    };
    let is_more = |bytes: usize| {
        let rest = address + ALL_BYTES..address + bytes;
        // SAFETY: checked before.
        rest.into_iter()
            .any(|at| unsafe { *(at as *const u8) } != 0)
    };
    if !(FIRST_BYTES..=PAGE_BYTES).contains(&bytes) {
        // SAFETY: checked.
        unsafe { place.write(ALL_BYTES as u32) };
        return Err(errno::E2BIG);
    }
    if !memory::allows(address, bytes, Rights::Read) {
        return Err(errno::EFAULT);
    }
    if bytes > ALL_BYTES && is_more(bytes) {
        // SAFETY: checked.
        unsafe { place.write(ALL_BYTES as u32) };
        return Err(errno::E2BIG);
    }
    let mut wanted = Attributes {
        bytes: 0,
        policy: 0,
        flags: 0,
        nice: 0,
        priority: 0,
        times: [0; 3],
        bounds: [0; 2],
    };
    // SAFETY: checked, and no more than there is room for.
    unsafe {
        (&raw mut wanted)
            .cast::<u8>()
            .copy_from_nonoverlapping(place.cast(), bytes.min(ALL_BYTES));
    }
    let keeps = |flag: u32| wanted.flags & u64::from(flag) != 0;
    let known = SCHED_FLAG_RESET_ON_FORK | SCHED_FLAG_KEEP_POLICY | SCHED_FLAG_KEEP_PARAMS;
    if (wanted.policy as i32) < 0 {
        return Err(errno::EINVAL);
    }
    thread(tid, |rank| {
        if wanted.flags & !u64::from(known) != 0 {
            return Err(errno::EINVAL);
        }
        let policy = match keeps(SCHED_FLAG_KEEP_POLICY) {
            true => rank.policy & !SCHED_RESET_ON_FORK,
            false => wanted.policy,
        };
        let mut policy = check(policy, wanted.priority as i32)?;
        if keeps(SCHED_FLAG_RESET_ON_FORK) {
            policy |= SCHED_RESET_ON_FORK;
        }
        rank.policy = policy;
        if !keeps(SCHED_FLAG_KEEP_PARAMS) {
            rank.nice = wanted.nice.clamp(-NICE_BASE, NICE_BASE - 1) as i8;
        }
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
