//! `setsockopt` and `getsockopt`, whatever the family: arguments, options that all sockets have, and what goes to the
//! family (`inet::options`) or is only kept (`kept`). Owns nothing.

use super::kept::{Family, Kept};
use super::packets::Sort;
use super::socket::give;
use super::unix::{BUFFER_BYTES, State};
use super::{Errno, Files, Guest, Host, Result, Waitable};
use crate::time::TICKS_PER_S;
use linux_raw_sys::net::{
    AF_NETLINK, AF_UNIX, IP_TOS, IPV6_TCLASS, SO_ACCEPTCONN, SO_ATTACH_FILTER, SO_DETACH_FILTER,
    SO_DOMAIN, SO_ERROR, SO_LINGER, SO_MAX_PACING_RATE, SO_PEERCRED, SO_PEERNAME, SO_PROTOCOL,
    SO_RCVBUF, SO_SNDBUF, SO_TIMESTAMPING_NEW, SO_TIMESTAMPING_OLD, SO_TYPE, SOCK_DGRAM, SOCK_RAW,
    SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET, ucred,
};

/// `IPPROTO_IP` and `IPPROTO_IPV6`.
const LEVEL_IP: u32 = 0;
const LEVEL_IPV6: u32 = 41;
/// Half of what `SO_SNDBUF` and `SO_RCVBUF` are raised to.
const LEAST_BUFFER_BYTES: [usize; 2] = [2304, 1152];
/// Whether `SO_LINGER` is on, beside its time, among the options that are kept: no option of Linux's.
const LINGER_IS_ON: u32 = u32::MAX;
/// Linux rounds the timeouts of sockets up to its ticks, of which most kernels count 250 a second.
const TICK_NS: u64 = 1_000_000_000 / TICKS_PER_S;
/// The peer of a socket that never had one.
const NOBODY: ucred = ucred {
    pid: 0,
    uid: u32::MAX,
    gid: u32::MAX,
};
/// `SO_RCVTIMEO`, `SO_SNDTIMEO` in both the old and the new encoding, which are the same here.
const RECEIVE_TIMEOUTS: [u32; 2] = [20, 66];
const SEND_TIMEOUTS: [u32; 2] = [21, 67];

impl<H: Host> Files<H> {
    /// What a socket is as far as options go, and what it keeps of them.
    fn kept(&mut self, waitable: Waitable) -> Result<(Family, &mut Kept)> {
        match waitable {
            Waitable::Unix(socket) => Ok((Family::Unix, &mut self.objects.unix[socket].kept)),
            Waitable::Inet(socket) => Ok((
                self.objects.inet_family(socket),
                self.objects.inet_kept(socket),
            )),
            _ => Err(Errno::NOTSOCK),
        }
    }

    /// `setsockopt`
    pub(crate) fn set_option(&mut self, guest: Guest, arguments: [usize; 6]) -> Result {
        let [descriptor, level, name, at, bytes, _] = arguments;
        let waitable = self.socket_behind(descriptor)?;
        let bytes = usize::try_from(bytes as i32).map_err(|_| Errno::INVAL)?;
        let (level, name) = (level as u32, name as u32);
        if level == SOL_SOCKET && bytes < size_of::<i32>() {
            return Err(Errno::INVAL);
        }
        if let Some(side) = timeout_side(level, name) {
            return self.set_socket_timeout(guest, waitable, side, [at, bytes]);
        }
        match (level, name) {
            (SOL_SOCKET, SO_LINGER) => return self.set_linger(guest, waitable, [at, bytes]),
            (SOL_SOCKET, SO_TYPE | SO_DOMAIN | SO_PROTOCOL | SO_ACCEPTCONN | SO_ERROR) => {
                return Err(Errno::NOPROTOOPT);
            }
            (SOL_SOCKET, SO_DETACH_FILTER) => return Err(Errno::NOENT),
            (SOL_SOCKET, SO_ATTACH_FILTER) => return Err(Errno::NOPROTOOPT),
            _ => {}
        }
        if let Waitable::Inet(socket) = waitable
            && let Some(answer) = self.set_inet_option(guest, socket, [level, name], [at, bytes])
        {
            return answer;
        }
        let value = match bytes {
            4.. => guest.read::<i32>(at)?,
            // The oldest options may come as a byte.
            1.. if level == LEVEL_IP => guest.read::<u8>(at)?.into(),
            _ if level == LEVEL_IP => 0,
            _ => return Err(Errno::INVAL),
        };
        if let Waitable::Unix(socket) = waitable
            && let Some(side) = buffer_side(level, name)
        {
            let least = LEAST_BUFFER_BYTES[side];
            let half = (value as u32 as usize).clamp(least, BUFFER_BYTES);
            self.objects.unix[socket].buffer_bytes[side] = Some(half);
            return Ok(0);
        }
        let (family, kept) = self.kept(waitable)?;
        kept.set(family, level, name, value)?;
        let service = kept.kept(level, name).unwrap_or(0) as u8;
        match (waitable, level, name) {
            (Waitable::Inet(socket), LEVEL_IP, IP_TOS) => {
                self.objects.set_inet_service(socket, false, service)
            }
            (Waitable::Inet(socket), LEVEL_IPV6, IPV6_TCLASS) => {
                self.objects.set_inet_service(socket, true, service)
            }
            _ => Ok(0),
        }
    }

    fn set_socket_timeout(
        &mut self,
        guest: Guest,
        waitable: Waitable,
        side: usize,
        [at, bytes]: [usize; 2],
    ) -> Result {
        if bytes < size_of::<[i64; 2]>() {
            return Err(Errno::INVAL);
        }
        let [seconds, us] = guest.read::<[i64; 2]>(at)?;
        if !(0..1_000_000).contains(&us) {
            return Err(Errno::DOM);
        }
        let ns = u64::try_from(seconds)
            .unwrap_or(0)
            .saturating_mul(1_000_000_000);
        let ns = if seconds < 0 {
            0
        } else {
            ns.saturating_add(us as u64 * 1000)
        };
        let ticks = ns.div_ceil(TICK_NS);
        *self.socket_timeout_ns(waitable, side)? = ticks.saturating_mul(TICK_NS);
        Ok(0)
    }

    /// `SO_LINGER`: the time stays what it was when it is switched off.
    fn set_linger(&mut self, guest: Guest, waitable: Waitable, [at, bytes]: [usize; 2]) -> Result {
        if bytes < size_of::<[i32; 2]>() {
            return Err(Errno::INVAL);
        }
        let [on, seconds] = guest.read::<[i32; 2]>(at)?;
        let on = on != 0;
        let (_, kept) = self.kept(waitable)?;
        kept.keep(SOL_SOCKET, LINGER_IS_ON, on.into())?;
        if on {
            kept.keep(SOL_SOCKET, SO_LINGER, seconds)?;
        }
        match waitable {
            Waitable::Inet(socket) => {
                self.set_inet_linger(socket, on.then_some(seconds.max(0) as u32))
            }
            _ => Ok(0),
        }
    }

    /// `getsockopt`
    pub(crate) fn option(&mut self, guest: Guest, arguments: [usize; 6]) -> Result {
        let [descriptor, level, name, at, length_at, _] = arguments;
        let waitable = self.socket_behind(descriptor)?;
        let (level, name) = (level as u32, name as u32);
        // Before anything is taken out of the socket for it.
        let room = usize::try_from(guest.read::<i32>(length_at)?).map_err(|_| Errno::INVAL)?;
        if let Some(side) = timeout_side(level, name) {
            let ns = *self.socket_timeout_ns(waitable, side)?;
            let time = [ns / 1_000_000_000, ns % 1_000_000_000 / 1000];
            return give(guest, &time, at, length_at);
        }
        if (level, name) == (SOL_SOCKET, SO_LINGER) {
            let (_, kept) = self.kept(waitable)?;
            let on = kept.is_on(SOL_SOCKET, LINGER_IS_ON);
            let seconds = kept.kept(SOL_SOCKET, SO_LINGER).unwrap_or(0);
            return give(guest, &[i32::from(on), seconds], at, length_at);
        }
        let own = match waitable {
            Waitable::Inet(socket) => {
                self.inet_option(guest, socket, [level, name], [at, length_at])
            }
            Waitable::Unix(socket) if level == SOL_SOCKET => {
                self.unix_option(guest, socket, name, [at, length_at])
            }
            _ => None,
        };
        if let Some(answer) = own {
            return answer;
        }
        if (level, name) == (SOL_SOCKET, SO_PEERNAME) {
            return self.peer_name_option(guest, descriptor, [at, length_at], room);
        }
        let (family, kept) = self.kept(waitable)?;
        let value = kept.get(family, level, name)?;
        match (level, name) {
            // The second number is a clock, of which there is none.
            (SOL_SOCKET, SO_TIMESTAMPING_OLD | SO_TIMESTAMPING_NEW) => {
                return give(guest, &[value, 0], at, length_at);
            }
            (SOL_SOCKET, SO_MAX_PACING_RATE) if room >= size_of::<i64>() => {
                return give(guest, &[i64::from(value)], at, length_at);
            }
            _ => {}
        }
        if level == LEVEL_IP && room < size_of::<i32>() && room > 0 && (0..=255).contains(&value) {
            return give(guest, &[value as u8], at, length_at);
        }
        give(guest, &[value], at, length_at)
    }

    /// `SO_PEERNAME`: as `getpeername`, but more room than the name needs is an error.
    fn peer_name_option(
        &mut self,
        guest: Guest,
        descriptor: usize,
        [at, length_at]: [usize; 2],
        room: usize,
    ) -> Result {
        self.peer_name(guest, descriptor, at, length_at)?;
        let whole = guest.read::<u32>(length_at)? as usize;
        guest.write(length_at, room as u32)?;
        if whole < room {
            return Err(Errno::INVAL);
        }
        Ok(0)
    }

    /// Options that tell what a local socket is; `None` for others.
    fn unix_option(
        &mut self,
        guest: Guest,
        socket: u32,
        name: u32,
        [at, length_at]: [usize; 2],
    ) -> Option<Result> {
        let state = &self.objects.unix[socket];
        let value = match name {
            SO_TYPE => match state.sort {
                Sort::Stream => SOCK_STREAM,
                Sort::Datagram => SOCK_DGRAM,
                Sort::Packets => SOCK_SEQPACKET,
                Sort::Netlink => SOCK_RAW,
            },
            SO_DOMAIN if state.sort == Sort::Netlink => AF_NETLINK,
            SO_DOMAIN => AF_UNIX,
            SO_PROTOCOL => 0,
            SO_ERROR => {
                let error = self.objects.take_unix_error(socket);
                error.map_or(0, |error| error.answer().unsigned_abs() as u32)
            }
            SO_ACCEPTCONN => u32::from(matches!(state.state, State::Listening(_))),
            SO_SNDBUF | SO_RCVBUF => {
                let side = usize::from(name == SO_RCVBUF);
                state.buffer_bytes[side].map_or(BUFFER_BYTES, |half| 2 * half) as u32
            }
            SO_PEERCRED => {
                // Nobody is the peer of a socket that is not connected.
                let peer = match state.state {
                    _ if state.sort == Sort::Datagram && !state.is_pair => NOBODY,
                    State::Unconnected if !state.is_pair => NOBODY,
                    _ => ucred {
                        pid: crate::files::PROCESS_ID as u32,
                        uid: 0,
                        gid: 0,
                    },
                };
                return Some(give(guest, &[peer.pid, peer.uid, peer.gid], at, length_at));
            }
            _ => return None,
        };
        Some(give(guest, &[value], at, length_at))
    }
}

/// Which buffer an option is the size of: that of sending (0), of receiving (1).
fn buffer_side(level: u32, name: u32) -> Option<usize> {
    match (level, name) {
        (SOL_SOCKET, SO_SNDBUF) => Some(0),
        (SOL_SOCKET, SO_RCVBUF) => Some(1),
        _ => None,
    }
}

/// Which of both timeouts an option is: of receiving (0), of sending (1).
fn timeout_side(level: u32, name: u32) -> Option<usize> {
    match level {
        SOL_SOCKET if RECEIVE_TIMEOUTS.contains(&name) => Some(0),
        SOL_SOCKET if SEND_TIMEOUTS.contains(&name) => Some(1),
        _ => None,
    }
}
