//! `recvmmsg` and `sendmmsg`: several messages by one call. Owns nothing.

use super::{Errno, Files, Guest, Host, Result};
use linux_raw_sys::net::{MSG_DONTWAIT, msghdr};

/// Do not wait once a message has come (<linux/socket.h>).
const MSG_WAITFORONE: u32 = 0x10000;

/// Bytes of a `struct mmsghdr`, and where it has the number of bytes that were transferred.
const ENTRY: usize = size_of::<msghdr>() + 8;
const LENGTH: usize = size_of::<msghdr>();
/// Most messages of a call; more are left for the next one (`UIO_MAXIOV`).
const MOST: usize = 1024;
const NS_PER_S: u64 = 1_000_000_000;

impl<H: Host> Files<H> {
    /// `recvmmsg`. As on Linux the timeout is looked at when a message has come.
    pub(crate) fn receive_messages(&mut self, guest: Guest, arguments: [usize; 6]) -> Result {
        let [descriptor, at, count, flags, timeout, _] = arguments;
        let until_ns = self.end_of_messages(guest, timeout)?;
        self.socket_behind(descriptor)?;
        let flags = flags as u32;
        let mut done = core::mem::take(&mut self.objects.attempt.messages);
        while done < (count as u32 as usize).min(MOST) {
            let entry = at + done * ENTRY;
            let later = flags & MSG_WAITFORONE != 0 && done > 0;
            let own = flags & !MSG_WAITFORONE | if later { MSG_DONTWAIT } else { 0 };
            let received = self.receive_message(guest, descriptor, entry, own);
            let bytes = match self.go_on(received, done, until_ns) {
                Some(bytes) => bytes?,
                None => break,
            };
            guest.write(entry + LENGTH, bytes as u32)?;
            done += 1;
            if let Some(until_ns) = until_ns {
                let left = until_ns.saturating_sub(self.host.monotonic_ns());
                guest.write(timeout, [left / NS_PER_S, left % NS_PER_S])?;
                if left == 0 {
                    break;
                }
            }
        }
        Ok(done)
    }

    /// When `recvmmsg` takes no more messages.
    fn end_of_messages(&mut self, guest: Guest, timeout: usize) -> Result<Option<u64>> {
        if timeout == 0 || self.objects.attempt.until_ns.is_some() {
            return Ok(self.objects.attempt.until_ns);
        }
        let [seconds, ns] = guest.read::<[i64; 2]>(timeout)?;
        match (u64::try_from(seconds), u64::try_from(ns)) {
            (Ok(seconds), Ok(ns)) if ns < NS_PER_S => {
                let time = seconds.saturating_mul(NS_PER_S).saturating_add(ns);
                Ok(Some(self.host.monotonic_ns().saturating_add(time)))
            }
            _ => Err(Errno::INVAL),
        }
    }

    /// `sendmmsg`
    pub(crate) fn send_messages(&mut self, guest: Guest, arguments: [usize; 6]) -> Result {
        let [descriptor, at, count, flags, ..] = arguments;
        self.socket_behind(descriptor)?;
        let mut done = core::mem::take(&mut self.objects.attempt.messages);
        while done < (count as u32 as usize).min(MOST) {
            let entry = at + done * ENTRY;
            let sent = self.send_message(guest, descriptor, entry, flags as u32);
            let bytes = match self.go_on(sent, done, None) {
                Some(bytes) => bytes?,
                None => break,
            };
            guest.write(entry + LENGTH, bytes as u32)?;
            done += 1;
        }
        Ok(done)
    }

    /// What becomes of a call of which `done` messages are through when the next one ended so; `None`: it ends with those.
    fn go_on(&mut self, ended: Result, done: usize, until_ns: Option<u64>) -> Option<Result> {
        let attempt = &mut self.objects.attempt;
        match ended {
            Err(Errno::RESTART) => {
                attempt.messages = done;
                attempt.until_ns = until_ns;
            }
            Err(_) if done > 0 => return None,
            // The next message may take as long again.
            _ => (attempt.deadline_ns, attempt.expired) = (None, false),
        }
        Some(ended)
    }
}
