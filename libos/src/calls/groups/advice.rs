//! Calls on ranges of memory that change no mapping: the work is in `crate::memory`.

use super::call_group;
use crate::calls::{Arguments, Outcome, errno};
use crate::memory;
use linux_raw_sys::general::{
    __NR_madvise, __NR_mincore, __NR_mlock, __NR_mlock2, __NR_mlockall, __NR_msync, __NR_munlock,
    __NR_munlockall, MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT,
};

/// Answers them.
///
/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, c, ..] = arguments;
    Some(match number as u32 {
        __NR_madvise => memory::madvise(a, b, c),
        __NR_msync => memory::msync(a, b, c),
        __NR_mincore => memory::mincore(a, b, c),
        __NR_mlock => memory::mlock(a, b),
        __NR_munlock => memory::munlock(a, b),
        __NR_mlock2 if c & !MLOCK_ONFAULT != 0 => Err(errno::EINVAL),
        __NR_mlock2 if c == 0 => memory::mlock(a, b),
        __NR_mlock2 => memory::munlock(a, b),
        __NR_mlockall if !is_mlockall(a as u32) => Err(errno::EINVAL),
        __NR_mlockall | __NR_munlockall => Ok(0),
        _ => return None,
    })
}

/// Not among the kernel headers' names.
const MLOCK_ONFAULT: usize = 1;

fn is_mlockall(flags: u32) -> bool {
    flags != 0 && flags & !(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0 && flags != MCL_ONFAULT
}

call_group!(bespoke_calls_advice, plain: Some(call), files: None);
