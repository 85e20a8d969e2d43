//! `mremap`: the work is in `crate::memory`.

use super::call_group;
use crate::calls::{Arguments, Outcome};
use crate::memory;
use linux_raw_sys::general::__NR_mremap;

/// Answers them.
///
/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, c, d, e, _] = arguments;
    Some(match number as u32 {
        __NR_mremap => memory::mremap(a, b, c, d, e),
        _ => return None,
    })
}

call_group!(bespoke_calls_remap, plain: Some(call), files: None);
