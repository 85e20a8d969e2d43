//! Calls that make files of every kind, FIFOs among them. Owns nothing.
//!
//! Opening a FIFO waits for its other end. Opening is among the calls that never wait, which the library OS answers
//! first of all; so once there is a FIFO, an observer looks whether an open is to wait.

use super::call_group;
use crate::calls::files::{HERE, answered};
use crate::calls::observers::{self, Place, Proceed};
use crate::calls::{Arguments, blocking};
use crate::files::{Errno, Files, Guest, Host, Result};
use crate::filesystem::Root;
use linux_raw_sys::general::*;

impl<H: Host> Files<H> {
    /// Answers calls that make files; `None` when the number is none of them.
    pub(crate) fn node_call(
        &mut self,
        guest: Guest,
        number: usize,
        arguments: Arguments,
    ) -> Option<Result> {
        let [a, b, c, d, ..] = arguments;
        let mut make = |base, path, mode, device| {
            self.make_node(base, guest.path(path)?, mode as u32, device as u32 as usize)
        };
        Some(match number as u32 {
            __NR_mknod => make(HERE, a, b, c),
            __NR_mknodat => make(a, b, c, d),
            _ => return None,
        })
    }
}

/// Lets an open wait that answered so.
unsafe fn observe(number: usize, arguments: &Arguments, proceed: Proceed<'_>) -> isize {
    let answer = proceed();
    if answer == Errno::RESTART.answer() {
        // SAFETY: the caller's promise, for the call that answered so.
        return unsafe { blocking::settle(number, *arguments, answer) };
    }
    answer
}

/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
unsafe fn call(root: &mut Root, number: usize, arguments: Arguments) -> Option<isize> {
    // SAFETY: the caller's promise, for this call.
    let guest = unsafe { Guest::new() };
    let answer = root.node_call(guest, number, arguments)?;
    observers::observe(Place::Opening, observe);
    Some(answered(answer))
}

call_group!(bespoke_calls_nodes, plain: None, files: Some(call));
