//! Calls with flags that older calls do not have, and `chroot`: numbers and arguments to methods of [`Files`], and
//! nothing else. Owns nothing.

use super::call_group;
use crate::calls::Arguments;
use crate::files::{Files, Guest, Host, Result};
use linux_raw_sys::general::*;

impl<H: Host> Files<H> {
    /// Answers such calls; `None` when the number is none of them.
    pub(crate) fn extended_call(
        &mut self,
        guest: Guest,
        number: usize,
        arguments: Arguments,
    ) -> Option<Result> {
        let [a, b, c, d, _, f] = arguments;
        Some(match number as u32 {
            __NR_openat2 => self.open_how(guest, a, b, c, d),
            __NR_preadv2 => self.vector_with_flags(guest, (a, b, c), d, f as u32, false),
            __NR_pwritev2 => self.vector_with_flags(guest, (a, b, c), d, f as u32, true),
            __NR_chroot => guest.path(a).and_then(|path| self.change_root(path)),
            _ => return None,
        })
    }
}

call_group!(bespoke_calls_extended, method: extended_call);
