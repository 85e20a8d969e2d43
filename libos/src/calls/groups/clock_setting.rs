//! Calls that would set the clock, which is the host's: what they tell without setting it, and `EPERM`.

use super::call_group;
use crate::calls::time::{clock, load};
use crate::calls::{Arguments, Outcome, errno, pointer, target};
use crate::time::wall_ns;
use linux_raw_sys::general::{
    __NR_adjtimex, __NR_clock_adjtime, __NR_clock_settime, __NR_settimeofday, CLOCK_REALTIME,
    timeval,
};

/// Answers such calls.
///
/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, ..] = arguments;
    // SAFETY: pointers are the program's own, checked in each.
    unsafe {
        Some(match number as u32 {
            __NR_clock_settime if a as u32 != CLOCK_REALTIME => Err(errno::EINVAL),
            __NR_clock_settime => load(b).and(Err(errno::EPERM)),
            __NR_settimeofday => set_time(a, b),
            __NR_adjtimex => adjust(a),
            __NR_clock_adjtime => adjust_clock(a, b),
            _ => return None,
        })
    }
}

unsafe fn set_time(time: usize, zone: usize) -> Outcome {
    if time != 0 {
        // SAFETY: the program's own structure.
        let time = unsafe { pointer::<timeval>(time)?.read() };
        if time.tv_sec < 0 || !(0..1_000_000).contains(&time.tv_usec) {
            return Err(errno::EINVAL);
        }
    }
    if zone != 0 {
        pointer::<[i32; 2]>(zone)?;
    }
    match time | zone {
        0 => Ok(0),
        _ => Err(errno::EPERM),
    }
}

/// `struct timex`, of which nothing but the time changes here.
#[repr(C)]
#[derive(Clone, Copy)]
struct Tuning {
    modes: u32,
    offset: i64,
    frequency: i64,
    most_error_us: i64,
    error_us: i64,
    status: i32,
    constant: i64,
    precision_us: i64,
    tolerance: i64,
    seconds: u64,
    us: u64,
    tick_us: i64,
    rest: [u64; 14],
}

unsafe fn adjust_clock(id: usize, address: usize) -> Outcome {
    pointer::<Tuning>(address)?;
    match id as u32 {
        // SAFETY: the caller's promise.
        CLOCK_REALTIME => unsafe { adjust(address) },
        _ => clock(id).and(Err(errno::EOPNOTSUPP)),
    }
}

unsafe fn adjust(address: usize) -> Outcome {
    const NOT_SYNCHRONISED: i32 = 0x40;
    /// `TIME_ERROR`: nobody vouches for the clock.
    const ERROR: usize = 5;
    let place: *mut Tuning = target(address)?;
    const { assert!(size_of::<Tuning>() == 208) };
    // SAFETY: checked.
    if unsafe { (*place).modes } != 0 {
        return Err(errno::EPERM);
    }
    let us = wall_ns() / 1000;
    let tuning = Tuning {
        modes: 0,
        offset: 0,
        frequency: 0,
        most_error_us: 16_000_000,
        error_us: 16_000_000,
        status: NOT_SYNCHRONISED,
        constant: 2,
        precision_us: 1,
        tolerance: 32_768_000,
        seconds: us / 1_000_000,
        us: us % 1_000_000,
        tick_us: 10_000,
        rest: [0; 14],
    };
    // SAFETY: checked.
    unsafe { place.write(tuning) };
    Ok(ERROR)
}

call_group!(bespoke_calls_clock_setting, plain: Some(call), files: None);
