//! Mappings: the work is in `crate::memory`.

use super::call_group;
use crate::calls::{Arguments, Outcome};
use crate::memory;
use linux_raw_sys::general::{__NR_mmap, __NR_mprotect, __NR_munmap, MAP_ANONYMOUS};

/// Answers them.
///
/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, c, d, e, f] = arguments;
    Some(match number as u32 {
        __NR_mmap if d as u32 & MAP_ANONYMOUS == 0 => memory::map_file(a, b, c, d, e, f),
        __NR_mmap => memory::mmap(a, b, c, d),
        __NR_munmap => memory::munmap(a, b),
        __NR_mprotect => memory::mprotect(a, b, c),
        _ => return None,
    })
}

call_group!(bespoke_calls_mappings, plain: Some(call), files: None);
