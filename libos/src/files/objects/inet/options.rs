//! `setsockopt` and `getsockopt` of Internet sockets (socket(7), tcp(7), ip(7), ipv6(7)).
//! Those with an effect are here; those without are kept and read back by `kept`.

use super::super::socket::give;
use super::super::{Errno, Files, Guest, Host, Objects, Result};
use super::{Handle, errno};
use bespoke_net::{Error, IntegerOption, TcpInfo};
use linux_raw_sys::net::*;

const LEVEL_IP: u32 = 0;
const LEVEL_TCP: u32 = 6;
const LEVEL_UDP: u32 = 17;
const LEVEL_IPV6: u32 = 41;
/// Bytes of `struct tcp_info` up to the fields every Linux has.
const TCP_INFO_BYTES: usize = 104;

/// How TCP reacts to losses here, in the 16 bytes of `TCP_CONGESTION`.
const CONGESTION: &[u8; 16] = b"reno\0\0\0\0\0\0\0\0\0\0\0\0";

/// The option of the stack, if it has it for such sockets.
fn of_the_stack(handle: Handle, v6: bool, level: u32, name: u32) -> Option<IntegerOption> {
    use IntegerOption::*;
    Some(match (level, name) {
        (SOL_SOCKET, SO_REUSEADDR) => ReuseAddress,
        (SOL_SOCKET, SO_REUSEPORT) => ReusePort,
        (SOL_SOCKET, SO_KEEPALIVE) => KeepAlive,
        (SOL_SOCKET, SO_BROADCAST) => Broadcast,
        (SOL_SOCKET, SO_SNDBUF | SO_SNDBUFFORCE) => SendBuffer,
        (SOL_SOCKET, SO_RCVBUF | SO_RCVBUFFORCE) => ReceiveBuffer,
        (LEVEL_TCP, TCP_NODELAY) if handle.stream => NoDelay,
        (LEVEL_TCP, TCP_CORK) if handle.stream => Cork,
        (LEVEL_TCP, TCP_KEEPIDLE) if handle.stream => KeepIdle,
        (LEVEL_TCP, TCP_KEEPINTVL) if handle.stream => KeepInterval,
        (LEVEL_TCP, TCP_KEEPCNT) if handle.stream => KeepCount,
        (LEVEL_TCP, TCP_USER_TIMEOUT) if handle.stream => UserTimeout,
        (LEVEL_IPV6, IPV6_V6ONLY) if v6 => V6Only,
        (LEVEL_IP, IP_TTL) => HopLimit4,
        (LEVEL_IPV6, IPV6_UNICAST_HOPS) if v6 => HopLimit6,
        _ => return None,
    })
}

impl<H: Host> Files<H> {
    /// `setsockopt` of options that have an effect here; `None` for others.
    pub(in super::super) fn set_inet_option(
        &mut self,
        guest: Guest,
        handle: Handle,
        [level, name]: [u32; 2],
        [at, bytes]: [usize; 2],
    ) -> Option<Result> {
        let v6 = self.objects.net.sockets[handle.number].v6;
        match (level, name) {
            (LEVEL_TCP, TCP_CONGESTION) if handle.stream => {
                return Some(set_congestion(guest, at, bytes));
            }
            // Nobody can join a group, for multicast does not exist here.
            (LEVEL_IP, IP_MULTICAST_IF..=MCAST_MSFILTER)
                if !matches!(name, IP_MULTICAST_TTL | IP_MULTICAST_LOOP) =>
            {
                let error = if handle.stream {
                    Errno::PROTO
                } else {
                    Errno::NODEV
                };
                return Some(Err(error));
            }
            _ => {}
        }
        let option = of_the_stack(handle, v6, level, name)?;
        let value = match bytes {
            4.. => guest.read::<i32>(at),
            1.. if level == LEVEL_IP => guest.read::<u8>(at).map(i32::from),
            _ => Err(Errno::INVAL),
        };
        Some(value.and_then(|value| {
            let (stack, id) = self.objects.net.socket(handle.number)?;
            stack.set_option(id, option, value).map_err(errno)?;
            Ok(0)
        }))
    }

    /// `SO_LINGER` of a socket: seconds, if it is on.
    pub(in super::super) fn set_inet_linger(
        &mut self,
        handle: Handle,
        seconds: Option<u32>,
    ) -> Result {
        let (stack, id) = self.objects.net.socket(handle.number)?;
        stack.set_linger(id, seconds).map_err(errno)?;
        Ok(0)
    }

    /// `getsockopt` of options that have an effect here, or tell what the socket is; `None` for others.
    pub(in super::super) fn inet_option(
        &mut self,
        guest: Guest,
        handle: Handle,
        what: [u32; 2],
        [at, length_at]: [usize; 2],
    ) -> Option<Result> {
        match what {
            [LEVEL_TCP, TCP_CONGESTION] if handle.stream => {
                return Some(give(guest, CONGESTION, at, length_at));
            }
            // Of the path to the peer, and nobody has one.
            [LEVEL_IP, IP_MTU] => return Some(Err(Errno::NOTCONN)),
            _ => {}
        }
        let value = match self.inet_value(handle, what) {
            Ok(value) => value?,
            Err(error) => return Some(Err(error)),
        };
        Some(match value {
            Told::Number(value) => give(guest, &[value], at, length_at),
            Told::Connection(info) => give(guest, &tcp_info(&info), at, length_at),
        })
    }

    fn inet_value(&mut self, handle: Handle, [level, name]: [u32; 2]) -> Result<Option<Told>> {
        let (v6, stream) = (self.objects.net.sockets[handle.number].v6, handle.stream);
        let (stack, id) = self.objects.net.socket(handle.number)?;
        let value = match (level, name) {
            (SOL_SOCKET, SO_TYPE) if stream => SOCK_STREAM as i32,
            (SOL_SOCKET, SO_TYPE) => SOCK_DGRAM as i32,
            (SOL_SOCKET, SO_DOMAIN) if v6 => AF_INET6 as i32,
            (SOL_SOCKET, SO_DOMAIN) => AF_INET as i32,
            (SOL_SOCKET, SO_PROTOCOL) if stream => LEVEL_TCP as i32,
            (SOL_SOCKET, SO_PROTOCOL) => LEVEL_UDP as i32,
            (SOL_SOCKET, SO_ACCEPTCONN) => stack.is_listening(id).map_err(errno)?.into(),
            (SOL_SOCKET, SO_ERROR) => {
                let error = stack.take_error(id).map_err(errno)?;
                error.map_or(0, Error::number)
            }
            // They can only be set.
            (SOL_SOCKET, SO_SNDBUFFORCE | SO_RCVBUFFORCE) => return Err(Errno::NOPROTOOPT),
            (LEVEL_TCP, TCP_INFO) if stream => {
                let info = stack.tcp_info(id).map_err(errno)?;
                return Ok(Some(Told::Connection(info)));
            }
            _ => {
                let Some(option) = of_the_stack(handle, v6, level, name) else {
                    return Ok(None);
                };
                let value = stack.option(id, option).map_err(errno)?;
                // Linux tells twice what was asked for.
                match option {
                    IntegerOption::SendBuffer | IntegerOption::ReceiveBuffer => {
                        value.saturating_mul(2)
                    }
                    _ => value,
                }
            }
        };
        Ok(Some(Told::Number(value)))
    }
}

impl Objects {
    /// `IP_TOS` and `IPV6_TCLASS`.
    pub(in super::super) fn set_inet_service(
        &mut self,
        handle: Handle,
        v6: bool,
        service: u8,
    ) -> Result {
        let (stack, id) = self.net.socket(handle.number)?;
        stack.set_service(id, v6, service).map_err(errno)?;
        Ok(0)
    }
}

/// What `getsockopt` tells.
enum Told {
    Number(i32),
    /// What a `struct tcp_info` says.
    Connection(TcpInfo),
}

/// A `struct tcp_info`: what this side knows, and 0 for the rest. The window is what the send buffer holds, which is
/// all that bounds it where nothing is lost.
fn tcp_info(info: &TcpInfo) -> [u8; TCP_INFO_BYTES] {
    const RTO_US: u32 = 1_000_000;
    let mut bytes = [0_u8; TCP_INFO_BYTES];
    bytes[0] = info.state;
    let segment = info.segment_bytes as u32;
    let unacknowledged = info.send_queue.div_ceil(info.segment_bytes) as u32;
    for (at, word) in [
        (8, RTO_US),
        (16, segment),
        (20, segment),
        (24, unacknowledged),
        (80, info.window_segments as u32),
        (84, segment),
    ] {
        bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

/// `TCP_CONGESTION`: there is one way.
fn set_congestion(guest: Guest, at: usize, bytes: usize) -> Result {
    if bytes == 0 {
        return Err(Errno::INVAL);
    }
    let name = guest.bytes(at, bytes.min(CONGESTION.len() - 1))?;
    let name = name.split(|&byte| byte == 0).next().unwrap_or(name);
    let own = CONGESTION.split(|&byte| byte == 0).next();
    if own == Some(name) {
        Ok(0)
    } else {
        Err(Errno::NOENT)
    }
}
