//! Processors: an image has one, number 0.

use super::call_group;
use crate::calls::identity::process;
use crate::calls::{Arguments, Outcome, errno, pointer, target};
use linux_raw_sys::general::{__NR_getcpu, __NR_sched_getaffinity, __NR_sched_setaffinity};

/// Answers calls on processors.
///
/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, c, ..] = arguments;
    // SAFETY: pointers are the program's own, checked against null in each.
    unsafe {
        Some(match number as u32 {
            __NR_sched_getaffinity => affinity(a, b, c),
            __NR_sched_setaffinity => set_affinity(a, b, c),
            __NR_getcpu => processor([a, b]),
            _ => return None,
        })
    }
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

call_group!(bespoke_calls_affinity, plain: Some(call), files: None);
