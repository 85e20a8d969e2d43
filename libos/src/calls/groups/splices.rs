//! Calls that move bytes into and out of pipes: numbers and arguments to methods of [`Files`], and nothing else.
//! Owns nothing.

use super::call_group;
use crate::calls::Arguments;
use crate::calls::files::answered;
use crate::files::{Files, Guest, Host, Result};
use crate::root::Root;
use linux_raw_sys::general::*;

impl<H: Host> Files<H> {
    /// Answers such calls; `None` when the number is none of them.
    pub(crate) fn splice_call(
        &mut self,
        guest: Guest,
        number: usize,
        arguments: Arguments,
    ) -> Option<Result> {
        let [a, b, c, d, e, f] = arguments;
        Some(match number as u32 {
            __NR_splice => self.splice(guest, (a, b), (c, d), e, f as u32),
            __NR_tee => self.tee(a, b, c, d as u32),
            __NR_vmsplice => self.splice_memory(guest, a, b, c, d as u32),
            _ => return None,
        })
    }
}

/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
unsafe fn call(root: &mut Root, number: usize, arguments: Arguments) -> Option<isize> {
    // SAFETY: the caller's promise, for this call.
    let guest = unsafe { Guest::new() };
    root.splice_call(guest, number, arguments).map(answered)
}

call_group!(bespoke_calls_splices, plain: None, files: Some(call));
