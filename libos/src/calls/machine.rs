//! System calls that describe the machine, and its random numbers.

use super::identity::PID;
use super::{Arguments, Outcome, errno, pointer, target};
use crate::limits::{self, Limit};
use crate::memory::{self, Rights};
use crate::platform::boot_info;
use crate::single::Single;
use crate::time::monotonic_ns;
use crate::{random, stats, threads};
use linux_raw_sys::general::{
    __NR_getrandom, __NR_getrlimit, __NR_getrusage, __NR_prlimit64, __NR_setrlimit, __NR_sysinfo,
    __NR_uname, GRND_INSECURE, GRND_NONBLOCK, GRND_RANDOM, RUSAGE_CHILDREN, RUSAGE_SELF,
    RUSAGE_THREAD, rusage,
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
            __NR_getrandom => get_random(a, b, c as u32),
            __NR_uname => uname(a),
            __NR_sysinfo => system_info(a),
            __NR_getrusage => usage(a as i32, b),
            __NR_getrlimit => limits::get(a).and_then(|limit| store_limit(b, limit)),
            __NR_setrlimit => load_limit(b).and_then(|limit| set_limit(a, limit)),
            __NR_prlimit64 => change_limit(a, b, c, d),
            _ => return None,
        })
    }
}

/// Most that one `getrandom` gives: `INT_MAX`, in whole pages.
const MOST_RANDOM_BYTES: usize = 0x7fff_f000;

unsafe fn get_random(address: usize, bytes: usize, flags: u32) -> Outcome {
    let both = GRND_RANDOM | GRND_INSECURE;
    if flags & !(both | GRND_NONBLOCK) != 0 || flags & both == both {
        return Err(errno::EINVAL);
    }
    // As Linux: as far as there is room, and from here on never more than this.
    let bytes = bytes.min(MOST_RANDOM_BYTES);
    let room = match memory::allows(address, bytes, Rights::Write) {
        true => bytes,
        false => memory::reach(address, bytes, Rights::Write),
    };
    if bytes > 0 && room == 0 {
        return Err(errno::EFAULT);
    }
    if room > 0 {
        // SAFETY: checked memory of the application's.
        random::fill(unsafe { core::slice::from_raw_parts_mut(address as *mut u8, room) });
    }
    Ok(room)
}

/// Bytes of a field of `struct utsname`, its NUL among them.
pub const FIELD_BYTES: usize = 65;

/// What the program named the machine and its domain, if it did.
// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
pub static OWN_NAMES: Single<[Option<[u8; FIELD_BYTES]>; 2]> = unsafe { Single::new([None; 2]) };
/// Their fields.
const OWN_FIELDS: [usize; 2] = [1, 5];

unsafe fn uname(address: usize) -> Outcome {
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
    OWN_NAMES.with(|names| {
        for (index, name) in OWN_FIELDS.iter().zip(names) {
            if let Some(name) = name {
                // SAFETY: as above.
                unsafe {
                    start
                        .add(index * FIELD_BYTES)
                        .cast::<[u8; FIELD_BYTES]>()
                        .write(*name)
                };
            }
        }
    });
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

unsafe fn usage(who: i32, address: usize) -> Outcome {
    // SAFETY: `struct rusage` is plain numbers.
    let mut usage: rusage = unsafe { core::mem::zeroed() };
    let (of_all, own) = threads::waits();
    let (ns, waits) = match who {
        _ if who == RUSAGE_SELF as i32 => (threads::process_time_ns(), of_all),
        _ if who == RUSAGE_THREAD as i32 => (threads::thread_time_ns(None).unwrap_or(0), own),
        RUSAGE_CHILDREN => (0, 0),
        _ => return Err(errno::EINVAL),
    };
    if who != RUSAGE_CHILDREN {
        let us = ns / 1000;
        usage.ru_nvcsw = waits as i64;
        usage.ru_utime.tv_sec = (us / 1_000_000) as i64;
        usage.ru_utime.tv_usec = (us % 1_000_000) as i64;
        usage.ru_maxrss = (stats().pages.high_water.get() * 4) as i64;
    }
    // SAFETY: the program's own structure; null was refused.
    unsafe { target::<rusage>(address)?.write(usage) };
    Ok(0)
}

unsafe fn store_limit(address: usize, limit: Limit) -> Outcome {
    // SAFETY: the program's own structure; null was refused.
    unsafe { target::<Limit>(address)?.write(limit) };
    Ok(0)
}

unsafe fn load_limit(address: usize) -> Result<Limit, isize> {
    // SAFETY: the program's own structure; null was refused.
    Ok(unsafe { pointer::<Limit>(address)?.read() })
}

fn set_limit(resource: usize, limit: Limit) -> Outcome {
    limits::set(resource, limit).map(|()| 0)
}

/// `prlimit64`: of this process, for there is no other.
unsafe fn change_limit(pid: usize, resource: usize, new: usize, old: usize) -> Outcome {
    let before = limits::get(resource)?;
    // SAFETY: the program's own structure.
    let wanted = (new != 0).then(|| unsafe { load_limit(new) }).transpose()?;
    if !matches!(pid as i32, 0) && pid != PID {
        return Err(errno::ESRCH);
    }
    if let Some(wanted) = wanted {
        set_limit(resource, wanted)?;
    }
    if old != 0 {
        // SAFETY: as above.
        unsafe { store_limit(old, before)? };
    }
    Ok(0)
}
