//! System calls that transfer messages with a header, one or several: numbers and arguments to methods of [`Files`], and nothing else.
//! Owns nothing.

use super::call_group;
use crate::calls::Arguments;
use crate::files::{Files, Guest, Host, Result};
use linux_raw_sys::general::*;

impl<H: Host> Files<H> {
    /// Answers calls that transfer messages with a header; `None` when the number is none of them.
    pub(crate) fn message_call(
        &mut self,
        guest: Guest,
        number: usize,
        arguments: Arguments,
    ) -> Option<Result> {
        let [a, b, c, ..] = arguments;
        Some(match number as u32 {
            __NR_sendmsg => self.send_message(guest, a, b, c as u32),
            __NR_recvmsg => self.receive_message(guest, a, b, c as u32),
            __NR_recvmmsg => self.receive_messages(guest, arguments),
            __NR_sendmmsg => self.send_messages(guest, arguments),
            _ => return None,
        })
    }
}

call_group!(bespoke_calls_messages, method: message_call);
