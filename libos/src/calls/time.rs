//! System calls on time.

use super::{Arguments, Outcome, errno, pointer, target};
use crate::alarm::{self, Alarm, Which};
use crate::threads::{self, MAIN_TID};
use crate::time::{monotonic_ns, wall_ns};
use linux_raw_sys::general::{
    __NR_alarm, __NR_clock_getres, __NR_getitimer, __NR_gettimeofday, __NR_setitimer, __NR_time,
    __NR_times, CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE, CLOCK_MONOTONIC_RAW,
    CLOCK_PROCESS_CPUTIME_ID, CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI,
    CLOCK_THREAD_CPUTIME_ID, timespec, timeval,
};

const NS_PER_S: u64 = 1_000_000_000;
/// Ticks per second of `times` (`AT_CLKTCK`).
const USER_TICKS_PER_S: u64 = 100;

/// Answers calls on time.
///
/// # Safety
///
/// As for [`super::bespoke_syscall`].
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, c, ..] = arguments;
    // SAFETY: pointers are the program's own, checked against null in each.
    unsafe {
        Some(match number as u32 {
            __NR_clock_getres => clock(a).and_then(|_| {
                if b == 0 {
                    Ok(0)
                } else {
                    store(b, resolution(a))
                }
            }),
            __NR_gettimeofday => time_of_day(a, b),
            __NR_time => time(a),
            __NR_times => times(a),
            __NR_setitimer => set_alarm(a, b, c),
            __NR_getitimer => which_alarm(a).and_then(|which| store_alarm(b, alarm::get(which))),
            __NR_alarm => Ok(alarm_in(a)),
            _ => return None,
        })
    }
}

/// Answers `clock_gettime`.
///
/// # Safety
///
/// As for [`super::bespoke_syscall`].
#[inline(always)]
pub unsafe fn clock_gettime(id: usize, address: usize) -> Outcome {
    // SAFETY: the caller's promise; null is refused.
    clock(id).and_then(|ns| unsafe { store(address, ns) })
}

/// Reads a clock.
///
/// # Errors
///
/// `EINVAL`: it is none.
#[inline(always)]
pub fn clock(id: usize) -> Result<u64, isize> {
    match id as u32 {
        CLOCK_REALTIME | CLOCK_REALTIME_COARSE | CLOCK_TAI => Ok(wall_ns()),
        CLOCK_MONOTONIC | CLOCK_MONOTONIC_RAW | CLOCK_MONOTONIC_COARSE | CLOCK_BOOTTIME => {
            Ok(monotonic_ns())
        }
        other => processor_clock(other as i32),
    }
}

/// Clocks of the time that is used. Negative numbers hold a process or thread (`clock_getcpuclockid(3)`): its
/// number, inverted, before three bits for what is counted.
#[cold]
fn processor_clock(id: i32) -> Result<u64, isize> {
    const OF_A_THREAD: i32 = 4;
    const KIND: i32 = 3;
    if id >= 0 {
        return match id as u32 {
            CLOCK_PROCESS_CPUTIME_ID => Ok(threads::process_time_ns()),
            CLOCK_THREAD_CPUTIME_ID => threads::thread_time_ns(None).ok_or(errno::EINVAL),
            _ => Err(errno::EINVAL),
        };
    }
    // The fourth kind is a clock behind a descriptor, which no image has.
    if id & KIND == KIND {
        return Err(errno::EINVAL);
    }
    let number = !(id >> 3) as u32;
    if id & OF_A_THREAD != 0 {
        let tid = (number != 0).then_some(number);
        return threads::thread_time_ns(tid).ok_or(errno::EINVAL);
    }
    match number {
        0 | MAIN_TID => Ok(threads::process_time_ns()),
        _ => Err(errno::EINVAL),
    }
}

/// Nanoseconds by which a clock advances.
fn resolution(id: usize) -> u64 {
    match id as u32 {
        CLOCK_REALTIME_COARSE | CLOCK_MONOTONIC_COARSE => NS_PER_S / crate::time::TICKS_PER_S,
        _ => 1,
    }
}

#[inline(always)]
unsafe fn store(address: usize, ns: u64) -> Outcome {
    let value = timespec {
        tv_sec: (ns / NS_PER_S) as i64,
        tv_nsec: (ns % NS_PER_S) as i64,
    };
    // SAFETY: the caller's promise; null was refused.
    unsafe { target::<timespec>(address)?.write(value) };
    Ok(0)
}

/// Stores two times one after the other (`struct itimerspec`).
///
/// # Safety
///
/// `address` is null or valid for two `timespec`.
pub unsafe fn store_pair(address: usize, [first, second]: [u64; 2]) -> Result<(), isize> {
    let pair = |ns: u64| [ns / NS_PER_S, ns % NS_PER_S];
    // SAFETY: the caller's promise; null was refused.
    unsafe { target::<[[u64; 2]; 2]>(address)?.write([pair(first), pair(second)]) };
    Ok(())
}

/// Two times one after the other (`struct itimerspec`), in nanoseconds.
///
/// # Safety
///
/// `address` is null or valid for two `timespec`.
pub unsafe fn load_pair(address: usize) -> Result<[u64; 2], isize> {
    pointer::<[timespec; 2]>(address)?;
    // SAFETY: the caller's promise.
    unsafe { Ok([load(address)?, load(address + size_of::<timespec>())?]) }
}

/// A duration or a time in nanoseconds.
///
/// # Safety
///
/// `address` is null or valid for a `timespec`.
pub unsafe fn load(address: usize) -> Result<u64, isize> {
    // SAFETY: the caller's promise; null was refused.
    let value = unsafe { pointer::<timespec>(address)?.read() };
    if value.tv_sec < 0 || !(0..NS_PER_S as i64).contains(&value.tv_nsec) {
        return Err(errno::EINVAL);
    }
    Ok((value.tv_sec as u64)
        .saturating_mul(NS_PER_S)
        .saturating_add(value.tv_nsec as u64))
}

unsafe fn time_of_day(address: usize, zone: usize) -> Outcome {
    let ns = wall_ns();
    let value = timeval {
        tv_sec: (ns / NS_PER_S) as i64,
        tv_usec: (ns % NS_PER_S / 1000) as i64,
    };
    if address != 0 {
        // SAFETY: the caller's promise.
        unsafe { target::<timeval>(address)?.write(value) };
    }
    if zone != 0 {
        // SAFETY: as above; `struct timezone` is two numbers, and the kernel's is Greenwich.
        unsafe { target::<[i32; 2]>(zone)?.write([0; 2]) };
    }
    Ok(0)
}

unsafe fn time(address: usize) -> Outcome {
    let seconds = (wall_ns() / NS_PER_S) as usize;
    if address != 0 {
        // SAFETY: the caller's promise.
        unsafe { target::<usize>(address)?.write(seconds) };
    }
    Ok(seconds)
}

unsafe fn times(address: usize) -> Outcome {
    const TICK_NS: u64 = NS_PER_S / USER_TICKS_PER_S;
    let used = threads::process_time_ns() / TICK_NS;
    if address != 0 {
        // SAFETY: the caller's promise; `struct tms` is four words: user, system, children's.
        unsafe { target::<[u64; 4]>(address)?.write([used, 0, 0, 0]) };
    }
    Ok((monotonic_ns() / TICK_NS) as usize)
}

fn which_alarm(which: usize) -> Result<Which, isize> {
    Which::of(which).ok_or(errno::EINVAL)
}

/// `alarm`: in seconds, rounded up.
fn alarm_in(seconds: usize) -> usize {
    let before = alarm::set(
        Which::Real,
        Alarm {
            value_ns: u64::from(seconds as u32) * NS_PER_S,
            interval_ns: 0,
        },
    );
    before.value_ns.div_ceil(NS_PER_S) as usize
}

/// `setitimer`
unsafe fn set_alarm(which: usize, new: usize, old: usize) -> Outcome {
    let which = which_alarm(which)?;
    let ns = |time: timeval| {
        if time.tv_sec < 0 || !(0..1_000_000).contains(&time.tv_usec) {
            return Err(errno::EINVAL);
        }
        Ok((time.tv_sec as u64)
            .saturating_mul(NS_PER_S)
            .saturating_add(time.tv_usec as u64 * 1000))
    };
    let wanted = match new {
        0 => Alarm::default(),
        _ => {
            // SAFETY: the program's own structure; null was refused.
            let [interval, value] = unsafe { pointer::<[timeval; 2]>(new)?.read() };
            Alarm {
                value_ns: ns(value)?,
                interval_ns: ns(interval)?,
            }
        }
    };
    let before = alarm::set(which, wanted);
    if old == 0 {
        return Ok(0);
    }
    // SAFETY: the caller's promise.
    unsafe { store_alarm(old, before) }
}

unsafe fn store_alarm(address: usize, alarm: Alarm) -> Outcome {
    let time = |ns: u64| timeval {
        tv_sec: (ns / NS_PER_S) as i64,
        tv_usec: (ns % NS_PER_S).div_ceil(1000) as i64,
    };
    let value = [time(alarm.interval_ns), time(alarm.value_ns)];
    // SAFETY: the caller's promise; null was refused.
    unsafe { target::<[timeval; 2]>(address)?.write(value) };
    Ok(0)
}

/// The monotonic deadline of a sleep until or for `ns` on `clock`.
///
/// # Errors
///
/// `EINVAL` for what is no clock, `EOPNOTSUPP` for a clock on which nobody can sleep.
pub fn deadline_on(id: usize, absolute: bool, ns: u64) -> Result<u64, isize> {
    let now = clock(id)?;
    match id as u32 {
        CLOCK_REALTIME | CLOCK_TAI | CLOCK_MONOTONIC | CLOCK_BOOTTIME => {}
        _ => return Err(errno::EOPNOTSUPP),
    }
    let duration = if absolute { ns.saturating_sub(now) } else { ns };
    Ok(monotonic_ns().saturating_add(duration))
}
