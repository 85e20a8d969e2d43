//! System calls that describe the machine, and its random numbers.

use super::{Arguments, Outcome, checked, errno, pointer, target};
use crate::files::MAX_DESCRIPTORS;
use crate::memory::{self, Rights};
use crate::platform::boot_info;
use crate::time::monotonic_ns;
use crate::{random, stats};
use linux_raw_sys::general::{
    __NR_getcpu, __NR_getpriority, __NR_getrandom, __NR_getrlimit, __NR_getrusage, __NR_prlimit64,
    __NR_sched_getaffinity, __NR_setrlimit, __NR_sysinfo, __NR_uname, RLIM_NLIMITS, RLIMIT_AS,
    RLIMIT_CORE, RLIMIT_DATA, RLIMIT_MEMLOCK, RLIMIT_NOFILE, RLIMIT_STACK, rusage,
};
use linux_raw_sys::system::{new_utsname, sysinfo};

/// Answers calls about the machine.
///
/// # Safety
///
/// As for [`super::bespoke_syscall`].
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, c, d, ..] = arguments;
    // SAFETY: pointers are the program's own, checked against null in each.
    unsafe {
        Some(match number as u32 {
            __NR_getrandom => get_random(a, b),
            __NR_uname => uname(a),
            __NR_sysinfo => system_info(a),
            __NR_getrusage => usage(b),
            __NR_getrlimit => limit(a, b),
            __NR_prlimit64 => limit(b, d).and_then(|_| set_limit(b, c)),
            __NR_setrlimit => pointer::<u8>(b).and_then(|_| set_limit(a, b)),
            __NR_sched_getaffinity => affinity(b, c),
            __NR_getcpu | __NR_getpriority => Ok(0),
            _ => return None,
        })
    }
}

unsafe fn get_random(address: usize, bytes: usize) -> Outcome {
    if bytes > 0 {
        let start = checked(address, bytes, Rights::Write)?;
        // SAFETY: checked memory of the application's.
        random::fill(unsafe { core::slice::from_raw_parts_mut(start, bytes) });
    }
    Ok(bytes)
}

unsafe fn uname(address: usize) -> Outcome {
    const FIELD_BYTES: usize = 65;
    let fields = [
        "Linux",
        "bespoke",
        "5.10.0-bespoke",
        concat!("#", env!("CARGO_PKG_VERSION")),
        "x86_64",
        "(none)",
    ];
    const { assert!(size_of::<new_utsname>() == 6 * FIELD_BYTES) };
    let start: *mut u8 = target::<new_utsname>(address)?.cast();
    for (index, text) in fields.iter().enumerate() {
        // SAFETY: `struct utsname` is six fields of 65 bytes, each text shorter.
        unsafe {
            let field = start.add(index * FIELD_BYTES);
            field.write_bytes(0, FIELD_BYTES);
            field.copy_from_nonoverlapping(text.as_ptr(), text.len());
        }
    }
    Ok(0)
}

unsafe fn system_info(address: usize) -> Outcome {
    // SAFETY: `struct sysinfo` is plain numbers.
    let mut info: sysinfo = unsafe { core::mem::zeroed() };
    info.uptime = (monotonic_ns() / 1_000_000_000) as _;
    info.totalram = boot_info().total_bytes;
    info.freeram = memory::free_bytes() as u64;
    info.procs = 1;
    info.mem_unit = 1;
    // SAFETY: the program's own structure; null was refused.
    unsafe { target::<sysinfo>(address)?.write(info) };
    Ok(0)
}

unsafe fn usage(address: usize) -> Outcome {
    // SAFETY: `struct rusage` is plain numbers.
    let mut usage: rusage = unsafe { core::mem::zeroed() };
    let us = monotonic_ns() / 1000;
    usage.ru_utime.tv_sec = (us / 1_000_000) as i64;
    usage.ru_utime.tv_usec = (us % 1_000_000) as i64;
    usage.ru_maxrss = (stats().pages.high_water.get() * 4) as i64;
    // SAFETY: the program's own structure; null was refused.
    unsafe { target::<rusage>(address)?.write(usage) };
    Ok(0)
}

unsafe fn limit(resource: usize, address: usize) -> Outcome {
    if resource >= RLIM_NLIMITS as usize {
        return Err(errno::EINVAL);
    }
    let value = match resource as u32 {
        RLIMIT_NOFILE => crate::root::with(|root| root.descriptor_limit()) as u64,
        RLIMIT_STACK => crate::stack_bytes() as u64,
        _ => u64::MAX,
    };
    if address != 0 {
        let hard = if resource as u32 == RLIMIT_NOFILE {
            MAX_DESCRIPTORS as u64
        } else {
            value
        };
        // SAFETY: the program's own structure: soft limit, hard limit.
        unsafe { pointer::<[u64; 2]>(address)?.write([value, hard]) };
    }
    Ok(0)
}

/// The soft limit of descriptors is kept; others are what the image is, and cannot be changed.
unsafe fn set_limit(resource: usize, address: usize) -> Outcome {
    if address == 0 {
        return Ok(0);
    }
    // SAFETY: the program's own structure: soft limit, hard limit.
    let [soft, hard] = unsafe { pointer::<[u64; 2]>(address)?.read() };
    if soft > hard || resource >= RLIM_NLIMITS as usize {
        return Err(errno::EINVAL);
    }
    match resource as u32 {
        RLIMIT_NOFILE if soft <= MAX_DESCRIPTORS as u64 => {
            crate::root::with(|root| root.set_descriptor_limit(soft as usize));
            Ok(0)
        }
        RLIMIT_NOFILE => Err(errno::EPERM),
        RLIMIT_AS | RLIMIT_DATA => {
            memory::set_limit(resource as u32, soft);
            Ok(0)
        }
        // No core is ever written, and locked memory is no different from other memory.
        RLIMIT_CORE | RLIMIT_MEMLOCK => Ok(0),
        _ => Err(errno::EPERM),
    }
}

unsafe fn affinity(bytes: usize, address: usize) -> Outcome {
    if bytes < size_of::<u64>() {
        return Err(errno::EINVAL);
    }
    // SAFETY: the program's own set; one CPU, number 0.
    unsafe { target::<u64>(address)?.write_unaligned(1) };
    Ok(size_of::<u64>())
}
