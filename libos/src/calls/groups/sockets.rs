//! System calls on sockets: numbers and arguments to methods of [`Files`], and nothing else.
//! Owns nothing.

use super::call_group;
use crate::calls::Arguments;
use crate::files::{Files, Guest, Host, Result};
use linux_raw_sys::general::*;

impl<H: Host> Files<H> {
    /// Answers calls on sockets; `None` when the number is none of them.
    pub(crate) fn socket_call(
        &mut self,
        guest: Guest,
        number: usize,
        arguments: Arguments,
    ) -> Option<Result> {
        let [a, b, c, d, ..] = arguments;
        Some(match number as u32 {
            __NR_sendto => self.send_to(guest, arguments),
            __NR_recvfrom => self.receive_from(guest, arguments),
            __NR_accept => self.accept(guest, a, b, c, 0),
            __NR_accept4 => self.accept(guest, a, b, c, d as u32),
            __NR_socket => self.socket(a as u32, b as u32, c as u32),
            __NR_socketpair => self.socket_pair(guest, a as u32, b as u32, c as u32, d),
            __NR_bind => self.bind(guest, a, b, c),
            __NR_listen => self.listen(a, b),
            __NR_connect => self.connect(guest, a, b, c),
            __NR_shutdown => self.shutdown(a, b),
            __NR_getsockname => self.socket_name(guest, a, b, c),
            __NR_getpeername => self.peer_name(guest, a, b, c),
            __NR_setsockopt => self.set_option(guest, arguments),
            __NR_getsockopt => self.option(guest, arguments),
            _ => return None,
        })
    }
}

call_group!(bespoke_calls_sockets, method: socket_call);
