//! `sched_setattr` and `sched_getattr`: policy and nice value of a thread at once. The C library has no functions for them.

use super::call_group;
use super::scheduling::{check, thread};
use crate::calls::{Arguments, Outcome, checked, errno, target};
use crate::memory::{self, Rights};
use crate::threads::NICE_BASE;
use bespoke_abi::PAGE_BYTES;
use linux_raw_sys::general::{
    __NR_sched_getattr, __NR_sched_setattr, SCHED_FLAG_KEEP_PARAMS, SCHED_FLAG_KEEP_POLICY,
    SCHED_FLAG_RESET_ON_FORK, SCHED_RESET_ON_FORK,
};

/// Answers these calls.
///
/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, c, d, ..] = arguments;
    // SAFETY: pointers are the program's own, checked against null in each.
    unsafe {
        Some(match number as u32 {
            __NR_sched_getattr => attributes(a, b, c, d),
            __NR_sched_setattr => set_attributes(a, b, c),
            _ => return None,
        })
    }
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

call_group!(bespoke_calls_scheduling_attributes, plain: Some(call), files: None);
