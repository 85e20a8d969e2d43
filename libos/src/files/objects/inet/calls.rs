//! The socket calls of this family, behind `socket` in the folder above: that file reads
//! arguments and waits, this one says what happens. Owns nothing.

use super::super::control::{self, Room};
use super::super::kept::{Family, Kept};
use super::super::vector::{Gather, Scatter};
use super::super::{Errno, Files, Guest, Host, Objects, Result, Waitable};
use super::address::{Address, any, family, parse};
use super::interfaces::{LOOPBACK, WIRE};
use super::{Handle, errno};
use crate::platform;
use crate::stats;
use crate::time;
use bespoke_abi::hypercall::WAIT_NET;
use bespoke_abi::stats::BootPoint;
use bespoke_net::{Datagram, Error, IpAddress, IpEndpoint, Ipv6Address};
use linux_raw_sys::general::{O_NONBLOCK, O_RDWR, POLLOUT};
use linux_raw_sys::net::{
    AF_UNSPEC, IP_PKTINFO, IP_TOS, IP_TTL, IPV6_HOPLIMIT, IPV6_PKTINFO, IPV6_RECVPKTINFO,
    IPV6_TCLASS, MSG_MORE, SCM_CREDENTIALS, SCM_RIGHTS, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET,
    msghdr,
};

const IPPROTO_TCP: u32 = 6;
const IPPROTO_UDP: u32 = 17;
const LEVEL_IP: u32 = 0;
const LEVEL_IPV6: u32 = 41;
/// Bytes of `struct in_pktinfo` and `struct in6_pktinfo`.
const PACKET_INFO4: usize = 12;
const PACKET_INFO6: usize = 20;
/// How long `connect` and `sendto` wait for an address from DHCP that is not there yet.
const DHCP_LIMIT_NS: u64 = 5_000_000_000;
/// How long one wait of these may be.
const DHCP_STEP_NS: u64 = 10_000_000;

/// What a read from a datagram socket learnt besides the bytes.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    datagram: Datagram,
    v6: bool,
    copied: usize,
}

/// The address of this machine that a datagram is to leave from.
#[derive(Clone, Copy)]
pub(crate) struct OwnAddress(IpAddress);

impl Source {
    /// Whether the datagram was longer than the room for it.
    pub fn is_truncated(self) -> bool {
        self.copied < self.datagram.bytes
    }

    /// Bytes the datagram had.
    pub fn whole_bytes(self) -> usize {
        self.datagram.bytes
    }

    /// Writes the control messages that `kept` asks for: which address of this machine the datagram was sent to.
    pub fn put_control(self, guest: Guest, kept: &Kept, room: &mut Room) -> Result<()> {
        let interface = if self.datagram.by_loopback {
            LOOPBACK
        } else {
            WIRE
        };
        if self.v6 && kept.is_on(LEVEL_IPV6, IPV6_RECVPKTINFO) {
            let to = match self.datagram.to {
                IpAddress::Ipv4(address) => address.to_ipv6_mapped(),
                IpAddress::Ipv6(address) => address,
            };
            let mut data = [0; PACKET_INFO6];
            data[..16].copy_from_slice(&to.octets());
            data[16..].copy_from_slice(&interface.to_ne_bytes());
            room.put(guest, LEVEL_IPV6, IPV6_PKTINFO, &data)?;
        }
        if let IpAddress::Ipv4(to) = self.datagram.to
            && kept.is_on(LEVEL_IP, IP_PKTINFO)
        {
            let mut data = [0; PACKET_INFO4];
            data[..4].copy_from_slice(&interface.to_ne_bytes());
            data[4..8].copy_from_slice(&to.octets());
            data[8..].copy_from_slice(&to.octets());
            room.put(guest, LEVEL_IP, IP_PKTINFO, &data)?;
        }
        Ok(())
    }

    /// Writes the address as far as there is room, and its whole length.
    pub fn give(self, guest: Guest, at: usize, length_at: usize) -> Result {
        give(guest, self.datagram.from, self.v6, at, length_at)
    }
}

fn give(guest: Guest, endpoint: IpEndpoint, v6: bool, at: usize, length_at: usize) -> Result {
    let room = usize::try_from(guest.read::<i32>(length_at)?).map_err(|_| Errno::INVAL)?;
    let address = Address::new(endpoint, v6);
    let address = address.bytes();
    let bytes = address.len().min(room);
    guest
        .bytes_mut(at, bytes)?
        .copy_from_slice(&address[..bytes]);
    guest.write(length_at, address.len() as u32)?;
    Ok(0)
}

impl Objects {
    /// Reads a datagram; see [`Objects::inet_source`].
    pub(super) fn read_datagram<H: Host>(
        &mut self,
        host: &H,
        number: u32,
        to: &mut Scatter<'_>,
        peek: bool,
    ) -> Result {
        let mut copied = 0;
        let (stack, id) = self.net.socket(number)?;
        let mut result = stack.receive_from_with(id, peek, &mut |data| {
            copied = to.put(data);
            copied
        });
        if result == Err(Error::WouldBlock) {
            self.poll_inet(host, host.monotonic_ns());
            let (stack, id) = self.net.socket(number)?;
            result = stack.receive_from_with(id, peek, &mut |data| {
                copied = to.put(data);
                copied
            });
        }
        let datagram = result.map_err(errno)?;
        let socket = &mut self.net.sockets[number];
        socket.source = Some(Source {
            datagram,
            v6: socket.v6,
            copied,
        });
        Ok(copied)
    }

    /// Where the datagram came from that was read last; `None` for streams.
    pub fn inet_source(&mut self, handle: Handle) -> Option<Source> {
        self.net.sockets[handle.number].source.take()
    }

    /// What the socket keeps of its options.
    pub fn inet_kept(&mut self, handle: Handle) -> &mut Kept {
        &mut self.net.sockets[handle.number].kept
    }

    /// What the socket is as far as options go.
    pub fn inet_family(&self, handle: Handle) -> Family {
        Family::Inet {
            v6: self.net.sockets[handle.number].v6,
            stream: handle.stream,
        }
    }

    /// Says of the transfer that follows whether the rest of its packet comes later.
    pub fn set_inet_more(&mut self, handle: Handle, flags: u32) {
        self.net.sockets[handle.number].more = flags & MSG_MORE != 0;
    }

    /// `SO_RCVTIMEO` (0) or `SO_SNDTIMEO` (1) in nanoseconds.
    pub fn inet_timeout_ns(&mut self, handle: Handle, side: usize) -> &mut u64 {
        &mut self.net.sockets[handle.number].timeouts_ns[side]
    }
}

impl<H: Host> Files<H> {
    /// `socket` of this family.
    pub(in super::super) fn socket_inet(
        &mut self,
        v6: bool,
        kind: u32,
        protocol: u32,
        flags: u32,
    ) -> Result {
        let stream = match (kind, protocol) {
            (SOCK_STREAM, 0 | IPPROTO_TCP) => true,
            (SOCK_DGRAM, 0 | IPPROTO_UDP) => false,
            (SOCK_STREAM | SOCK_DGRAM, _) => return Err(Errno::PROTONOSUPPORT),
            _ => return Err(Errno::SOCKTNOSUPPORT),
        };
        let handle = self.objects.new_inet(&self.host, v6, stream)?;
        self.open_waitable(Waitable::Inet(handle), flags | O_RDWR)
    }

    /// `bind`
    pub(in super::super) fn bind_inet(&mut self, handle: Handle, address: &[u8]) -> Result {
        let v6 = self.objects.net.sockets[handle.number].v6;
        let name = match family(address)? {
            // Old programs name every address so (`ip(7)`).
            AF_UNSPEC if !v6 => any(address)?,
            _ => parse(address, v6)?,
        };
        let (stack, id) = self.objects.net.socket(handle.number)?;
        stack.bind(id, name).map_err(errno)?;
        Ok(0)
    }

    /// `listen`
    pub(in super::super) fn listen_inet(&mut self, handle: Handle, backlog: usize) -> Result {
        let (stack, id) = self.objects.net.socket(handle.number)?;
        stack.listen(id, backlog).map_err(errno)?;
        let page = stats();
        if page.boot[BootPoint::Ready as usize].get() == 0 {
            page.stamp(BootPoint::Ready, time::tsc());
        }
        Ok(0)
    }

    /// `connect`
    pub(in super::super) fn connect_inet(
        &mut self,
        descriptor: usize,
        handle: Handle,
        address: &[u8],
    ) -> Result {
        let v6 = self.objects.net.sockets[handle.number].v6;
        if !handle.stream && family(address)? == AF_UNSPEC {
            let (stack, id) = self.objects.net.socket(handle.number)?;
            return stack.disconnect(id).map(|()| 0).map_err(errno);
        }
        if family(address)? == AF_UNSPEC {
            let (stack, id) = self.objects.net.socket(handle.number)?;
            // A connection is not cut this way here.
            return match stack.peer_name(id) {
                Err(Error::NotConnected) => Ok(0),
                _ => Err(Errno::OPNOTSUPP),
            };
        }
        let remote = parse(address, v6)?;
        self.await_address();
        let no_wait = self.descriptors.get(descriptor)?.flags & O_NONBLOCK != 0;
        let (stack, id) = self.objects.net.socket(handle.number)?;
        let result = stack.connect(id, remote);
        let timeout = self.objects.net.sockets[handle.number].timeouts_ns[1];
        let socket = &mut self.objects.net.sockets[handle.number];
        let began = socket.connecting;
        match result {
            Err(Error::InProgress) => {
                socket.connecting = true;
                if no_wait {
                    return Err(errno(Error::InProgress));
                }
                self.set_timeout(timeout);
                self.would_block(descriptor, POLLOUT, 0, false)
            }
            Err(Error::Already) if no_wait => Err(errno(Error::Already)),
            // The call of before, made again: not there yet, or there. The first call after the
            // connection is there learns of it.
            Err(Error::Already) if began => match self.would_block(descriptor, POLLOUT, 0, false) {
                Err(Errno::AGAIN) => Err(errno(Error::InProgress)),
                other => other,
            },
            Err(Error::IsConnected) if began => {
                socket.connecting = false;
                Ok(0)
            }
            result => {
                socket.connecting = false;
                result.map(|()| 0).map_err(errno)
            }
        }
    }

    /// Waits until DHCP has told this machine's address, for a while, if it has not yet. The whole
    /// image waits: this happens once, right after the start.
    pub(super) fn await_address(&mut self) {
        let begin = self.host.monotonic_ns();
        loop {
            let Some(stack) = self.objects.net.stack.as_deref_mut() else {
                return;
            };
            let now = self.host.monotonic_ns();
            if !stack.is_configuring() || now - begin > DHCP_LIMIT_NS {
                return;
            }
            stack.poll(now);
            if stack.is_configuring() && !stack.prepare_to_sleep() {
                platform::wait(DHCP_STEP_NS, WAIT_NET);
            }
        }
    }

    /// `accept`: the new socket.
    pub(in super::super) fn accept_inet(&mut self, handle: Handle) -> Result<Waitable> {
        let accepted = self.objects.accept_inet(&self.host, handle)?;
        Ok(Waitable::Inet(accepted))
    }

    /// `shutdown`
    pub(in super::super) fn shutdown_inet(
        &mut self,
        handle: Handle,
        input: bool,
        output: bool,
    ) -> Result {
        let (stack, id) = self.objects.net.socket(handle.number)?;
        let result = stack.shutdown(id, input, output);
        // Waiters on this very socket learn of it at once.
        self.objects.poll_inet(&self.host, self.host.monotonic_ns());
        result.map(|()| 0).map_err(errno)
    }

    /// `getsockname` and `getpeername`
    pub(in super::super) fn name_inet(
        &mut self,
        guest: Guest,
        handle: Handle,
        peer: bool,
        at: usize,
        length_at: usize,
    ) -> Result {
        let v6 = self.objects.net.sockets[handle.number].v6;
        let (stack, id) = self.objects.net.socket(handle.number)?;
        let name = if peer {
            stack.peer_name(id)
        } else {
            stack.local_name(id)
        };
        give(guest, name.map_err(errno)?, v6, at, length_at)
    }

    /// The address that the control messages of `sendmsg` say to send from.
    ///
    /// # Errors
    ///
    /// `EINVAL` for what nobody knows, `EOPNOTSUPP` for what is not done here, `ENODEV` for an interface that is not.
    pub(in super::super) fn inet_control(
        &mut self,
        guest: Guest,
        handle: Handle,
        message: &msghdr,
    ) -> Result<Option<OwnAddress>> {
        let v6 = self.objects.net.sockets[handle.number].v6;
        let mut own = None;
        let on_interface = |bytes: &[u8]| match bytes.try_into().map(u32::from_ne_bytes) {
            Ok(0 | LOOPBACK | WIRE) => Ok(()),
            _ => Err(Errno::NODEV),
        };
        control::for_each(guest, message, |message| {
            let address = match (message.level, message.kind) {
                (SOL_SOCKET, SCM_RIGHTS | SCM_CREDENTIALS) => return Ok(()),
                (SOL_SOCKET, _) => return Err(Errno::INVAL),
                _ if handle.stream => return Ok(()),
                (LEVEL_IP, IP_PKTINFO) => {
                    let data: [u8; PACKET_INFO4] =
                        message.data.try_into().map_err(|_| Errno::INVAL)?;
                    on_interface(&data[..4])?;
                    let octets = [data[4], data[5], data[6], data[7]];
                    IpAddress::Ipv4(octets.into())
                }
                (LEVEL_IPV6, IPV6_PKTINFO) if v6 => {
                    let data = message.data.get(..PACKET_INFO6).ok_or(Errno::INVAL)?;
                    on_interface(&data[16..])?;
                    let octets: [u8; 16] = data[..16].try_into().map_err(|_| Errno::INVAL)?;
                    let address = Ipv6Address::from(octets);
                    let mapped = address.to_ipv4_mapped().map(IpAddress::Ipv4);
                    mapped.unwrap_or(IpAddress::Ipv6(address))
                }
                (LEVEL_IP, IP_TTL | IP_TOS) => return Err(Errno::OPNOTSUPP),
                (LEVEL_IPV6, IPV6_HOPLIMIT | IPV6_TCLASS) if v6 => return Err(Errno::OPNOTSUPP),
                (LEVEL_IP, _) => return Err(Errno::INVAL),
                (LEVEL_IPV6, _) if v6 => return Err(Errno::INVAL),
                _ => return Ok(()),
            };
            own = (!address.is_unspecified()).then_some(OwnAddress(address));
            Ok(())
        })?;
        Ok(own)
    }

    /// `sendto` and `sendmsg` of a datagram with an address: of its target, of this machine, or both.
    pub(in super::super) fn send_inet_to(
        &mut self,
        descriptor: usize,
        handle: Handle,
        from: &mut Gather<'_>,
        no_wait: bool,
        (target, own): (&[u8], Option<OwnAddress>),
    ) -> Result {
        let v6 = self.objects.net.sockets[handle.number].v6;
        let to = match target {
            [] => None,
            target => Some(parse(target, v6)?),
        };
        let own = own.map(|own| own.0);
        self.await_address();
        let bytes = from.remaining();
        let (stack, id) = self.objects.net.socket(handle.number)?;
        let mut result = stack.send_to_with(id, bytes, to, own, &mut |room| from.take(room));
        if result == Err(Error::WouldBlock) {
            // What is on its way to this machine makes room by being delivered.
            self.objects.poll_inet(&self.host, self.host.monotonic_ns());
            let (stack, id) = self.objects.net.socket(handle.number)?;
            result = stack.send_to_with(id, bytes, to, own, &mut |room| from.take(room));
        }
        match result {
            Err(Error::WouldBlock) => {
                self.limit_wait(Waitable::Inet(handle), 1)?;
                self.would_block(descriptor, POLLOUT, 0, no_wait)
            }
            result => result.map_err(errno),
        }
    }
}
