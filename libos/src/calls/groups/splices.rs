//! Calls that move bytes into and out of pipes: numbers and arguments to methods of [`Files`], and nothing else.
//! Owns nothing.

use super::call_group;
use crate::calls::Arguments;
use crate::files::{Files, Guest, Host, Result};
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

call_group!(bespoke_calls_splices, method: splice_call);
