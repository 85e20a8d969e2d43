//! `setsockopt` and `getsockopt` of Internet sockets (socket(7), tcp(7), ip(7), ipv6(7)).
//! Options that tune what this stack does not have are taken and change nothing, as Linux takes
//! them on a machine where they change nothing; unknown ones are refused.

use super::super::socket::give;
use super::super::{Errno, Files, Guest, Host, Result};
use super::{Handle, errno};
use bespoke_net::{Error, IntegerOption};
use linux_raw_sys::net::*;

const LEVEL_IP: u32 = 0;
const LEVEL_TCP: u32 = 6;
const LEVEL_UDP: u32 = 17;
const LEVEL_IPV6: u32 = 41;
/// Bytes of `struct tcp_info` up to the fields every Linux has.
const TCP_INFO_BYTES: usize = 104;

/// What an option is here.
enum Meaning {
    Value(IntegerOption),
    /// Taken, without effect; reads as 0.
    Nothing,
    Unknown,
}

fn meaning(level: u32, name: u32) -> Meaning {
    use IntegerOption::*;
    Meaning::Value(match (level, name) {
        (SOL_SOCKET, SO_REUSEADDR) => ReuseAddress,
        (SOL_SOCKET, SO_REUSEPORT) => ReusePort,
        (SOL_SOCKET, SO_KEEPALIVE) => KeepAlive,
        (SOL_SOCKET, SO_BROADCAST) => Broadcast,
        (SOL_SOCKET, SO_SNDBUF | SO_SNDBUFFORCE) => SendBuffer,
        (SOL_SOCKET, SO_RCVBUF | SO_RCVBUFFORCE) => ReceiveBuffer,
        (LEVEL_TCP, TCP_NODELAY) => NoDelay,
        (LEVEL_TCP, TCP_CORK) => Cork,
        (LEVEL_TCP, TCP_KEEPIDLE) => KeepIdle,
        (LEVEL_TCP, TCP_KEEPINTVL) => KeepInterval,
        (LEVEL_TCP, TCP_KEEPCNT) => KeepCount,
        (LEVEL_TCP, TCP_USER_TIMEOUT) => UserTimeout,
        (LEVEL_IPV6, IPV6_V6ONLY) => V6Only,
        (
            SOL_SOCKET,
            SO_DEBUG | SO_DONTROUTE | SO_OOBINLINE | SO_NO_CHECK | SO_PRIORITY | SO_RCVLOWAT
            | SO_MARK | SO_BUSY_POLL | SO_INCOMING_CPU | SO_MAX_PACING_RATE | SO_ZEROCOPY,
        )
        | (
            LEVEL_TCP,
            TCP_MAXSEG | TCP_SYNCNT | TCP_LINGER2 | TCP_DEFER_ACCEPT | TCP_WINDOW_CLAMP
            | TCP_QUICKACK | TCP_CONGESTION | TCP_FASTOPEN | TCP_NOTSENT_LOWAT,
        )
        | (LEVEL_IP | LEVEL_IPV6 | LEVEL_UDP, _) => return Meaning::Nothing,
        _ => return Meaning::Unknown,
    })
}

impl<H: Host> Files<H> {
    /// `setsockopt`
    pub(in super::super) fn set_inet_option(
        &mut self,
        guest: Guest,
        handle: Handle,
        [level, name, at, bytes]: [usize; 4],
    ) -> Result {
        let (level, name) = (level as u32, name as u32);
        if level == SOL_SOCKET && name == SO_LINGER {
            if bytes < size_of::<[i32; 2]>() {
                return Err(Errno::INVAL);
            }
            let [on, seconds] = guest.read::<[i32; 2]>(at)?;
            let linger = (on != 0).then_some(seconds.max(0) as u32);
            let (stack, id) = self.objects.net.socket(handle.number)?;
            return stack.set_linger(id, linger).map(|()| 0).map_err(errno);
        }
        let option = match meaning(level, name) {
            Meaning::Value(option) => option,
            Meaning::Nothing => {
                guest.bytes(at, bytes)?;
                return Ok(0);
            }
            Meaning::Unknown => return Err(errno(Error::NoProtocolOption)),
        };
        if bytes < size_of::<i32>() {
            return Err(Errno::INVAL);
        }
        let value = guest.read::<i32>(at)?;
        let (stack, id) = self.objects.net.socket(handle.number)?;
        stack.set_option(id, option, value).map_err(errno)?;
        Ok(0)
    }

    /// `getsockopt`
    pub(in super::super) fn inet_option(
        &mut self,
        guest: Guest,
        handle: Handle,
        [level, name, at, length_at]: [usize; 4],
    ) -> Result {
        let (level, name) = (level as u32, name as u32);
        let socket = &self.objects.net.sockets[handle.number];
        let (v6, stream) = (socket.v6, handle.stream);
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
            (SOL_SOCKET, SO_LINGER) => {
                let linger = stack.linger(id).map_err(errno)?;
                let value = [i32::from(linger.is_some()), linger.unwrap_or(0) as i32];
                return give(guest, &value, at, length_at);
            }
            (LEVEL_TCP, TCP_INFO) => {
                let info = stack.tcp_info(id).map_err(errno)?;
                let mut bytes = [0_u8; TCP_INFO_BYTES];
                bytes[0] = info.state;
                return give(guest, &bytes, at, length_at);
            }
            _ => match meaning(level, name) {
                Meaning::Value(option) => {
                    let value = stack.option(id, option).map_err(errno)?;
                    // Linux tells twice what was asked for.
                    match option {
                        IntegerOption::SendBuffer | IntegerOption::ReceiveBuffer => {
                            value.saturating_mul(2)
                        }
                        _ => value,
                    }
                }
                Meaning::Nothing => 0,
                Meaning::Unknown => return Err(errno(Error::NoProtocolOption)),
            },
        };
        give(guest, &[value], at, length_at)
    }
}
