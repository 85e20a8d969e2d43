//! System calls on time.

use super::{Arguments, Outcome, errno, pointer, target};
use crate::alarm::{self, Alarm};
use crate::time::{monotonic_ns, wall_ns};
use linux_raw_sys::general::{
    __NR_alarm, __NR_clock_getres, __NR_getitimer, __NR_gettimeofday, __NR_setitimer, __NR_time,
    __NR_times, CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI, ITIMER_REAL, timespec, timeval,
};

const NS_PER_S: u64 = 1_000_000_000;
/// Ticks per second of `times` (`AT_CLKTCK`).
const TICKS_PER_S: u64 = 100;

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
            __NR_clock_getres => clock(a).and_then(|_| if b == 0 { Ok(0) } else { store(b, 1) }),
            __NR_gettimeofday => time_of_day(a),
            __NR_time => time(a),
            __NR_times => times(a),
            __NR_setitimer => set_alarm(a, b, c),
            __NR_getitimer => which_alarm(a).and_then(|()| store_alarm(b, alarm::get())),
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

/// Reads a clock. CPU-time clocks count from the start: the image has one CPU to itself.
fn clock(id: usize) -> Result<u64, isize> {
    const LAST_CLOCK: usize = CLOCK_TAI as usize;
    match id {
        0..=LAST_CLOCK
            if matches!(
                id as u32,
                CLOCK_REALTIME | CLOCK_REALTIME_COARSE | CLOCK_TAI
            ) =>
        {
            Ok(wall_ns())
        }
        0..=LAST_CLOCK => Ok(monotonic_ns()),
        _ => Err(errno::EINVAL),
    }
}

unsafe fn store(address: usize, ns: u64) -> Outcome {
    let value = timespec {
        tv_sec: (ns / NS_PER_S) as i64,
        tv_nsec: (ns % NS_PER_S) as i64,
    };
    // SAFETY: the caller's promise; null was refused.
    unsafe { target::<timespec>(address)?.write(value) };
    Ok(0)
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

unsafe fn time_of_day(address: usize) -> Outcome {
    let ns = wall_ns();
    let value = timeval {
        tv_sec: (ns / NS_PER_S) as i64,
        tv_usec: (ns % NS_PER_S / 1000) as i64,
    };
    if address != 0 {
        // SAFETY: the caller's promise.
        unsafe { target::<timeval>(address)?.write(value) };
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
    let ticks = monotonic_ns() / (NS_PER_S / TICKS_PER_S);
    if address != 0 {
        // SAFETY: the caller's promise; `struct tms` is four words: user, system, children's.
        unsafe { pointer::<[u64; 4]>(address)?.write([ticks, 0, 0, 0]) };
    }
    Ok(ticks as usize)
}

fn which_alarm(which: usize) -> Result<(), isize> {
    // Those on CPU time have no clock to run on.
    if which as u32 == ITIMER_REAL {
        Ok(())
    } else {
        Err(errno::EINVAL)
    }
}

/// `alarm`: in seconds, rounded up.
fn alarm_in(seconds: usize) -> usize {
    let before = alarm::set(Alarm {
        value_ns: u64::from(seconds as u32) * NS_PER_S,
        interval_ns: 0,
    });
    before.value_ns.div_ceil(NS_PER_S) as usize
}

/// `setitimer`
unsafe fn set_alarm(which: usize, new: usize, old: usize) -> Outcome {
    which_alarm(which)?;
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
    let before = alarm::set(wanted);
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
    unsafe { pointer::<[timeval; 2]>(address)?.write(value) };
    Ok(0)
}

/// The monotonic deadline of a sleep until or for `ns` on `clock`.
pub fn deadline_on(id: usize, absolute: bool, ns: u64) -> Result<u64, isize> {
    let now = clock(id)?;
    let duration = if absolute { ns.saturating_sub(now) } else { ns };
    Ok(monotonic_ns().saturating_add(duration))
}
