//! `brk`: the work is in `crate::memory`.

use super::call_group;
use crate::calls::{Arguments, Outcome};
use crate::memory;
use linux_raw_sys::general::__NR_brk;

/// Answers them.
///
/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, ..] = arguments;
    Some(match number as u32 {
        __NR_brk => memory::brk(a),
        _ => return None,
    })
}

call_group!(bespoke_calls_program_break, plain: Some(call), files: None);
