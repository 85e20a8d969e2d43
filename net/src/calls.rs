//! Names, options and counters of sockets: the calls of [`Stack`] that do not move data.

use crate::device::Device;
use crate::engine::Kind;
use crate::link::Links;
use crate::options::{HOPS, IntegerOption, Options, TcpInfo};
use crate::slab::SocketId;
use crate::stack::{Stack, parts};
use crate::tcp::Role;
use crate::{Error, Result};
use smoltcp::socket::tcp::State;
use smoltcp::time::Duration;
use smoltcp::wire::{IpAddress, IpEndpoint};

/// Checks a hop limit; -1 is the default.
fn hops(value: i32) -> Result<u8> {
    match value {
        -1 => Ok(HOPS),
        1..=255 => Ok(value as u8),
        _ => Err(Error::Invalid),
    }
}

/// Highest `TCP_KEEPCNT`.
const MOST_PROBES: u32 = 127;
/// Lower limit of `SO_SNDBUF` and `SO_RCVBUF` (half of what Linux reports).
const LEAST_SEND_BYTES: usize = 2304;
const LEAST_RECEIVE_BYTES: usize = 1152;
const MOST_BUFFER_BYTES: usize = 212_992;

impl<D: Device> Stack<D> {
    fn kind(&mut self, id: SocketId) -> Result<&mut Kind> {
        let slot = self.engine.held(id)?;
        let socket = self.engine.sockets.get_mut(slot);
        Ok(&mut socket.ok_or(Error::BadDescriptor)?.kind)
    }

    pub(crate) fn options_mut(&mut self, id: SocketId) -> Result<&mut Options> {
        Ok(match self.kind(id)? {
            Kind::Tcp(tcp) => &mut tcp.options,
            Kind::Udp(udp) => &mut udp.options,
        })
    }

    /// Whether the socket was made for IPv6.
    pub fn is_v6(&mut self, id: SocketId) -> Result<bool> {
        Ok(match self.kind(id)? {
            Kind::Tcp(tcp) => tcp.v6,
            Kind::Udp(udp) => udp.v6,
        })
    }

    /// Whether the socket is a listener.
    pub fn is_listening(&mut self, id: SocketId) -> Result<bool> {
        Ok(matches!(self.kind(id)?, Kind::Tcp(tcp) if matches!(tcp.role, Role::Listener(_))))
    }

    /// Returns the port of any listener. O(sockets).
    pub fn listening_port(&self) -> Option<u16> {
        let mut sockets = self.engine.sockets.iter();
        sockets.find_map(|(_, socket)| match &socket.kind {
            Kind::Tcp(tcp) if matches!(tcp.role, Role::Listener(_)) => Some(tcp.name?.port),
            _ => None,
        })
    }

    /// `getsockname`; unspecified parts are zero.
    pub fn local_name(&mut self, id: SocketId) -> Result<IpEndpoint> {
        let (name, v6) = match self.kind(id)? {
            Kind::Tcp(tcp) => {
                if let Role::Connection(connection) = &tcp.role {
                    return Ok(connection.flow.local);
                }
                (tcp.name, tcp.v6)
            }
            Kind::Udp(udp) => {
                if let (Some(local), Some(name)) = (udp.local, udp.name) {
                    return Ok(IpEndpoint::new(local, name.port));
                }
                (udp.name, udp.v6)
            }
        };
        let any = if v6 {
            IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 0)
        } else {
            IpAddress::v4(0, 0, 0, 0)
        };
        Ok(name.map_or(IpEndpoint::new(any, 0), |name| {
            IpEndpoint::new(name.address.unwrap_or(any), name.port)
        }))
    }

    /// `getpeername`.
    pub fn peer_name(&mut self, id: SocketId) -> Result<IpEndpoint> {
        match self.kind(id)? {
            // A peer without a port is no peer.
            Kind::Udp(udp) => udp
                .peer
                .filter(|peer| peer.port != 0)
                .ok_or(Error::NotConnected),
            Kind::Tcp(tcp) => {
                let connection = tcp.connection()?;
                match connection.state {
                    // On Linux a socket that only waits for late packets has no peer.
                    State::SynSent | State::Closed | State::TimeWait => Err(Error::NotConnected),
                    _ => Ok(connection.flow.remote),
                }
            }
        }
    }

    /// `SO_ERROR`: returns and clears the pending error.
    pub fn take_error(&mut self, id: SocketId) -> Result<Option<Error>> {
        Ok(match self.kind(id)? {
            Kind::Tcp(tcp) => tcp.error.take(),
            Kind::Udp(udp) => udp.error.take(),
        })
    }

    /// `TCP_INFO`, and the counters of `SIOCOUTQ`.
    pub fn tcp_info(&mut self, id: SocketId) -> Result<TcpInfo> {
        match self.kind(id)? {
            Kind::Tcp(tcp) => Ok(tcp.info()),
            Kind::Udp(_) => Err(Error::NoProtocolOption),
        }
    }

    /// `FIONREAD`: bytes to read; for a datagram socket, those of the next datagram.
    pub fn readable_bytes(&mut self, id: SocketId) -> Result<usize> {
        Ok(match self.kind(id)? {
            Kind::Tcp(tcp) => tcp.info().receive_queue,
            Kind::Udp(udp) => udp.first_bytes(),
        })
    }

    /// `SIOCOUTQ`: bytes of a stream that are not acknowledged, or bytes of
    /// datagrams that wait for the device.
    pub fn unsent_bytes(&mut self, id: SocketId) -> Result<usize> {
        Ok(match self.kind(id)? {
            Kind::Tcp(tcp) => tcp.info().send_queue,
            Kind::Udp(udp) => udp.unsent_bytes(),
        })
    }

    /// `SO_LINGER`: seconds, or `None` when it is off.
    pub fn linger(&mut self, id: SocketId) -> Result<Option<u32>> {
        Ok(self.options_mut(id)?.linger)
    }

    /// Sets `SO_LINGER`. 0 seconds reset the connection at close; longer times do not block.
    pub fn set_linger(&mut self, id: SocketId, linger: Option<u32>) -> Result<()> {
        self.options_mut(id)?.linger = linger;
        Ok(())
    }

    /// Sets the type of service of IPv4 packets, or the traffic class of IPv6 packets.
    pub fn set_service(&mut self, id: SocketId, v6: bool, service: u8) -> Result<()> {
        self.options_mut(id)?.services[usize::from(v6)] = service;
        Ok(())
    }

    /// Returns the value of an option.
    pub fn option(&mut self, id: SocketId, option: IntegerOption) -> Result<i32> {
        let share = self.engine.budget.buffer_bytes(None);
        let bytes = |chosen: Option<usize>| chosen.unwrap_or(share) as i32;
        let options = self.options_mut(id)?;
        let seconds = |duration: Duration| duration.secs() as i32;
        Ok(match option {
            IntegerOption::ReuseAddress => options.reuse_address.into(),
            IntegerOption::ReusePort => options.reuse_port.into(),
            IntegerOption::KeepAlive => options.keep_alive.into(),
            IntegerOption::KeepIdle => seconds(options.keep_idle),
            IntegerOption::KeepInterval => seconds(options.keep_interval),
            IntegerOption::KeepCount => options.keep_count as i32,
            IntegerOption::NoDelay => options.no_delay.into(),
            IntegerOption::Cork => options.cork.into(),
            IntegerOption::QuickAck => options.quick_ack.into(),
            IntegerOption::UserTimeout => options
                .user_timeout
                .map_or(0, |timeout| timeout.total_millis() as i32),
            IntegerOption::SendBuffer => bytes(options.send_bytes),
            IntegerOption::ReceiveBuffer => bytes(options.receive_bytes),
            IntegerOption::Broadcast => options.broadcast.into(),
            IntegerOption::V6Only => options.v6_only.into(),
            IntegerOption::HopLimit4 => options.hop_limits[0].into(),
            IntegerOption::HopLimit6 => options.hop_limits[1].into(),
        })
    }

    /// Sets an option. Buffer sizes take effect on connections made later.
    ///
    /// # Errors
    ///
    /// `Invalid` when the value is out of range.
    pub fn set_option(&mut self, id: SocketId, option: IntegerOption, value: i32) -> Result<()> {
        let on = value != 0;
        let positive = || -> Result<u32> {
            u32::try_from(value)
                .ok()
                .filter(|value| (1..=32_767).contains(value))
                .ok_or(Error::Invalid)
        };
        // Numbers beyond the range of an integer count as very large.
        let between = |least: usize| (value as u32 as usize).clamp(least, MOST_BUFFER_BYTES);
        if option == IntegerOption::V6Only && self.local_name(id)?.port != 0 {
            return Err(Error::Invalid);
        }
        let options = self.options_mut(id)?;
        match option {
            IntegerOption::ReuseAddress => options.reuse_address = on,
            IntegerOption::ReusePort => options.reuse_port = on,
            IntegerOption::KeepAlive => options.keep_alive = on,
            IntegerOption::KeepIdle => {
                options.keep_idle = Duration::from_secs(positive()?.into());
            }
            IntegerOption::KeepInterval => {
                options.keep_interval = Duration::from_secs(positive()?.into());
            }
            IntegerOption::KeepCount => {
                let count = positive()?;
                if count > MOST_PROBES {
                    return Err(Error::Invalid);
                }
                options.keep_count = count;
            }
            IntegerOption::NoDelay => options.no_delay = on,
            IntegerOption::Cork => options.cork = on,
            IntegerOption::QuickAck => options.quick_ack = on,
            IntegerOption::UserTimeout => {
                let milliseconds = u64::try_from(value).map_err(|_| Error::Invalid)?;
                options.user_timeout = on.then(|| Duration::from_millis(milliseconds));
            }
            IntegerOption::SendBuffer => options.send_bytes = Some(between(LEAST_SEND_BYTES)),
            IntegerOption::ReceiveBuffer => {
                options.receive_bytes = Some(between(LEAST_RECEIVE_BYTES));
            }
            IntegerOption::Broadcast => options.broadcast = on,
            IntegerOption::V6Only => options.v6_only = on,
            IntegerOption::HopLimit4 => options.hop_limits[0] = hops(value)?,
            IntegerOption::HopLimit6 => options.hop_limits[1] = hops(value)?,
        }
        let set = *options;
        if let Kind::Tcp(tcp) = self.kind(id)?
            && let Ok(connection) = tcp.connection()
        {
            match option {
                IntegerOption::HopLimit4 | IntegerOption::HopLimit6 => {
                    let limit = set.hop_limit(connection.flow.remote.addr);
                    connection.socket().set_hop_limit(Some(limit));
                    return Ok(());
                }
                IntegerOption::NoDelay => connection.socket().set_nagle_enabled(!on),
                IntegerOption::Cork
                | IntegerOption::KeepAlive
                | IntegerOption::KeepIdle
                | IntegerOption::KeepInterval
                | IntegerOption::UserTimeout => {}
                _ => return Ok(()),
            }
            // Delayed data may be sendable now, and timers may have changed.
            let (engine, mut links) = parts!(self);
            engine.serve(id.slot, &mut links);
        }
        Ok(())
    }
}
