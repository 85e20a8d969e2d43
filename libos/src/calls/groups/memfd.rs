//! `memfd_create`: to a method of [`Files`]. Owns nothing.

use super::call_group;
use crate::calls::Arguments;
use crate::files::{Errno, Files, Guest, Host, Result};
use linux_raw_sys::general::__NR_memfd_create;

impl<H: Host> Files<H> {
    /// Answers the call; `None` when the number is another one's.
    pub(crate) fn memfd_call(
        &mut self,
        guest: Guest,
        number: usize,
        [name, flags, ..]: Arguments,
    ) -> Option<Result> {
        if number as u32 != __NR_memfd_create {
            return None;
        }
        let name = guest.path(name).map_err(|error| match error {
            Errno::NAMETOOLONG => Errno::INVAL,
            other => other,
        });
        Some(name.and_then(|name| self.make_memory_file(name, flags as u32)))
    }
}

call_group!(bespoke_calls_memfd, method: memfd_call);
