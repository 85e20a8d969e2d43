//! A UDP socket, with smoltcp's socket in a set of its own and the buffers of both queues.

use crate::device::Transmit;
use crate::engine::{Engine, Kind};
use crate::link::{Link, Links, Path};
use crate::memory::Lease;
use crate::options::Options;
use crate::packet::Flow;
use crate::ports::{Binding, Name, Transport};
use crate::slab::SocketId;
use crate::{Error, Result, ready};
use smoltcp::iface::{SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::udp::{self, PacketBuffer, PacketMetadata, UdpMetadata};
use smoltcp::time::Instant;
use smoltcp::wire::{
    IpAddress, IpEndpoint, IpListenEndpoint, IpProtocol, IpRepr, UdpPacket, UdpRepr,
};

const UDP_HEADER_BYTES: usize = 8;
/// Largest number of datagrams in a queue.
const DATAGRAMS: usize = 32;

/// A UDP socket.
pub(crate) struct Udp {
    pub name: Option<Name>,
    pub peer: Option<IpEndpoint>,
    /// This machine's address towards `peer`, for a socket bound to every address.
    pub local: Option<IpAddress>,
    pub options: Options,
    pub error: Option<Error>,
    pub v6: bool,
    pub read_closed: bool,
    pub write_closed: bool,
    /// The port was chosen automatically.
    chosen_port: bool,
    /// A sender found no room: report when there is.
    wants_room: bool,
    /// The type of service of the queued datagrams.
    service: u8,
    queues: Option<Queues>,
}

struct Queues {
    // First, because it borrows from the leases below.
    set: SocketSet<'static>,
    handle: SocketHandle,
    bytes: usize,
    _storage: Lease<SocketStorage<'static>>,
    _metadata: [Lease<PacketMetadata>; 2],
    _payload: [Lease<u8>; 2],
}

impl Udp {
    /// Makes an unbound socket.
    pub(crate) fn new(v6: bool) -> Self {
        Self {
            name: None,
            peer: None,
            local: None,
            options: Options::DEFAULT,
            error: None,
            v6,
            read_closed: false,
            write_closed: false,
            chosen_port: false,
            wants_room: false,
            service: 0,
            queues: None,
        }
    }

    /// Bytes of buffers, as counted in the budget.
    pub(crate) fn buffer_bytes(&self) -> usize {
        self.queues.as_ref().map_or(0, |queues| queues.bytes)
    }

    fn socket(&mut self) -> Option<&mut udp::Socket<'static>> {
        let queues = self.queues.as_mut()?;
        Some(queues.set.get_mut(queues.handle))
    }

    fn peek(&self) -> Option<&udp::Socket<'static>> {
        let queues = self.queues.as_ref()?;
        Some(queues.set.get(queues.handle))
    }

    /// Returns the readiness for `poll`. A socket without room reports when there is some.
    pub(crate) fn readiness(&mut self) -> u32 {
        let mut mask = if self.error.is_some() { ready::ERR } else { 0 };
        if self.read_closed {
            mask |= ready::IN | ready::RDHUP;
        }
        if self.read_closed && self.write_closed {
            mask |= ready::HUP;
        }
        match self.peek() {
            Some(socket) => {
                if socket.can_recv() {
                    mask |= ready::IN;
                }
                if socket.can_send() {
                    mask |= ready::OUT;
                }
            }
            None => mask |= ready::OUT,
        }
        self.wants_room |= mask & ready::OUT == 0;
        mask
    }

    /// Sends the queued datagrams. If a neighbour's address is missing, returns when to retry.
    pub(crate) fn egress(
        &mut self,
        links: &mut Links<'_>,
        now: Instant,
        stuck: &mut bool,
    ) -> Option<Instant> {
        let queues = self.queues.as_mut()?;
        // Datagrams to this machine are delivered without a queue.
        let (link, out) = links.get(Path::Wire)?;
        link.service = self.service;
        *stuck = link.egress(out, &mut queues.set, now).stuck;
        link.service = 0;
        let due = link.interface.poll_at(now, &queues.set)?;
        let socket: &udp::Socket<'static> = queues.set.get(queues.handle);
        (socket.send_queue() > 0).then_some(due)
    }

    /// Returns the bytes that wait for the device.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.peek().map_or(0, udp::Socket::send_queue)
    }

    /// Returns the bytes of the first datagram in the queue.
    pub(crate) fn first_bytes(&mut self) -> usize {
        self.socket()
            .and_then(|socket| socket.peek().ok().map(|(data, _)| data.len()))
            .unwrap_or(0)
    }
}

impl Engine {
    /// Returns the UDP socket of a handle.
    pub(crate) fn udp(&mut self, id: SocketId) -> Result<&mut Udp> {
        let slot = self.sockets.slot(id)?;
        match self.sockets.get_mut(slot).map(|socket| &mut socket.kind) {
            Some(Kind::Udp(udp)) => Ok(udp),
            _ => Err(Error::NotSupported),
        }
    }

    /// `bind`; port 0 requests a free one.
    pub(crate) fn bind_udp(&mut self, id: SocketId, mut name: Name) -> Result<()> {
        let slot = self.sockets.slot(id)?;
        let udp = self.udp(id)?;
        if udp.name.is_some() {
            return Err(Error::Invalid);
        }
        let options = udp.options;
        let chosen_port = name.port == 0;
        if chosen_port {
            name.port = self.free_port(Transport::Udp)?;
        }
        let queues = self.udp_queues(&options, name)?;
        let bytes = queues.bytes;
        let bound = self.ports.bind(Binding {
            transport: Transport::Udp,
            name,
            slot,
            listening: false,
            reuse_address: options.reuse_address,
            reuse_port: options.reuse_port,
        });
        if bound.is_err() {
            self.budget.give(bytes);
            return bound;
        }
        let udp = self.udp(id)?;
        udp.name = Some(name);
        udp.chosen_port = chosen_port;
        udp.queues = Some(queues);
        Ok(())
    }

    fn udp_queues(&mut self, options: &Options, name: Name) -> Result<Queues> {
        // A datagram larger than the buffer would never arrive.
        let least = self.datagram_bytes;
        let bytes = |chosen: Option<usize>| match chosen {
            Some(_) => self.budget.buffer_bytes(chosen),
            None => self
                .budget
                .buffer_bytes(Some(least.max(self.budget.buffer_bytes(None)))),
        };
        let receive = bytes(options.receive_bytes);
        let send = bytes(options.send_bytes);
        if !self.budget.take(receive + send) {
            return Err(Error::NoMemory);
        }
        let memory = self.memory;
        let build = || -> Result<Queues> {
            // SAFETY: `set`, which has the slices, is declared before the leases and so drops first.
            let (storage_lease, storage) =
                unsafe { Lease::new(1, || SocketStorage::EMPTY, memory)? };
            let metadata = || PacketMetadata::EMPTY;
            // SAFETY: as above.
            let (metadata_in, in_slots) = unsafe { Lease::new(DATAGRAMS, metadata, memory)? };
            // SAFETY: as above.
            let (metadata_out, out_slots) = unsafe { Lease::new(DATAGRAMS, metadata, memory)? };
            // SAFETY: as above.
            let (payload_in, in_bytes) = unsafe { Lease::of_bytes(receive, memory)? };
            // SAFETY: as above.
            let (payload_out, out_bytes) = unsafe { Lease::of_bytes(send, memory)? };
            let mut set = SocketSet::new(storage);
            let mut socket = udp::Socket::new(
                PacketBuffer::new(in_slots, in_bytes),
                PacketBuffer::new(out_slots, out_bytes),
            );
            let local = IpListenEndpoint {
                addr: name.address,
                port: name.port,
            };
            socket.bind(local).map_err(|_| Error::Invalid)?;
            let handle = set.add(socket);
            Ok(Queues {
                set,
                handle,
                bytes: receive + send,
                _storage: storage_lease,
                _metadata: [metadata_in, metadata_out],
                _payload: [payload_in, payload_out],
            })
        };
        build().inspect_err(|_| self.budget.give(receive + send))
    }

    /// Binds a socket that has no name to a free port.
    fn name_udp(&mut self, id: SocketId) -> Result<Name> {
        let udp = self.udp(id)?;
        if let Some(name) = udp.name {
            return Ok(name);
        }
        let name = Name {
            address: None,
            port: 0,
            v4: !(udp.v6 && udp.options.v6_only),
            v6: udp.v6,
        };
        self.bind_udp(id, name)?;
        self.udp(id)?.name.ok_or(Error::Invalid)
    }

    /// `connect` of a datagram socket: from now on it exchanges datagrams only with that peer.
    pub(crate) fn connect_udp(
        &mut self,
        id: SocketId,
        peer: Option<IpEndpoint>,
        links: &Links<'_>,
    ) -> Result<()> {
        let Some(peer) = peer else {
            return self.disconnect_udp(id);
        };
        let remote = crate::tcp::destination(peer.addr);
        if !links.reaches(remote) {
            return Err(Error::NetworkUnreachable);
        }
        if remote.is_broadcast() && !self.udp(id)?.options.broadcast {
            return Err(Error::AccessDenied);
        }
        let name = self.name_udp(id)?;
        let udp = self.udp(id)?;
        if name.address.is_none() && udp.local.is_none() {
            udp.local = links.source(remote);
        }
        udp.peer = Some(IpEndpoint::new(remote, peer.port));
        Ok(())
    }

    /// Removes the peer, and the port if it was chosen automatically.
    fn disconnect_udp(&mut self, id: SocketId) -> Result<()> {
        let slot = self.sockets.slot(id)?;
        let udp = self.udp(id)?;
        (udp.peer, udp.local) = (None, None);
        // Received datagrams are not discarded for it.
        let is_empty = udp
            .peek()
            .is_none_or(|socket| !socket.can_recv() && socket.send_queue() == 0);
        if udp.chosen_port && is_empty && udp.name.is_some_and(|name| name.address.is_none()) {
            let bytes = udp.buffer_bytes();
            (udp.name, udp.queues, udp.chosen_port) = (None, None, false);
            self.budget.give(bytes);
            self.ports.remove(slot);
        }
        Ok(())
    }

    /// `sendto`, and `sendmsg` with a source address of this machine.
    pub(crate) fn send_to(
        &mut self,
        id: SocketId,
        bytes: usize,
        to: Option<IpEndpoint>,
        from: Option<IpAddress>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
        links: &mut Links<'_>,
    ) -> Result<usize> {
        let slot = self.sockets.slot(id)?;
        let udp = self.udp(id)?;
        if let Some(error) = udp.error.take() {
            return Err(error);
        }
        if udp.write_closed {
            return Err(Error::BrokenPipe);
        }
        let local = udp.local;
        let peer = udp.peer;
        let name = self.name_udp(id)?;
        let to = to.or(peer).ok_or(Error::DestinationRequired)?;
        let to = IpEndpoint::new(crate::tcp::destination(to.addr), to.port);
        if to.port == 0 {
            return Err(Error::Invalid);
        }
        let options = self.udp(id)?.options;
        if options.v6_only && matches!(to.addr, IpAddress::Ipv4(_)) {
            return Err(Error::NetworkUnreachable);
        }
        if to.addr.is_broadcast() && !options.broadcast {
            return Err(Error::AccessDenied);
        }
        let hop_limit = options.hop_limit(to.addr);
        if !links.reaches(to.addr) {
            return Err(Error::NetworkUnreachable);
        }
        let source = match from.or(name.address).or(local) {
            Some(address) => address,
            None => links.source(to.addr).ok_or(Error::NetworkUnreachable)?,
        };
        if source.version() != to.addr.version() {
            return Err(Error::AddressFamily);
        }
        if from.is_some() && !links.is_own(source) {
            return Err(match source {
                IpAddress::Ipv4(_) => Error::NetworkUnreachable,
                IpAddress::Ipv6(_) => Error::Invalid,
            });
        }
        let path = links.path(to.addr);
        let (link, out) = links.get(path).ok_or(Error::NetworkUnreachable)?;
        let headers = match to.addr {
            IpAddress::Ipv4(_) => 20,
            IpAddress::Ipv6(_) => 40,
        };
        if bytes + UDP_HEADER_BYTES + headers > link.mtu() {
            return Err(Error::MessageTooLong);
        }
        if path == Path::Local {
            let source = IpEndpoint::new(source, name.port);
            return loop_back(out, source, to, hop_limit, bytes, fill);
        }
        self.udp(id)?.service = options.service(to.addr);
        let socket = self.udp(id)?.socket().ok_or(Error::Invalid)?;
        socket.set_hop_limit(Some(hop_limit));
        let mut metadata = UdpMetadata::from(to);
        metadata.local_address = Some(source);
        let sent = socket.send(bytes, metadata).map(fill);
        if sent.is_err() {
            if bytes > socket.payload_send_capacity() {
                return Err(Error::MessageTooLong);
            }
            self.udp(id)?.wants_room = true;
            self.touch(slot);
            return Err(Error::WouldBlock);
        }
        self.serve(slot, links);
        Ok(bytes)
    }

    /// `recvfrom`: passes the datagram to `put`; returns its length,
    /// sender and destination address.
    pub(crate) fn receive_from(
        &mut self,
        id: SocketId,
        peek: bool,
        put: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Result<(usize, IpEndpoint, Option<IpAddress>)> {
        let udp = self.udp(id)?;
        if let Some(error) = udp.error.take() {
            return Err(error);
        }
        let Some(socket) = udp.socket() else {
            return Err(Error::WouldBlock);
        };
        let first = if peek {
            socket.peek().ok().map(|(data, metadata)| (data, *metadata))
        } else {
            socket.recv().ok()
        };
        let Some((data, metadata)) = first else {
            return Err(Error::WouldBlock);
        };
        put(data);
        Ok((data.len(), metadata.endpoint, metadata.local_address))
    }

    /// Processes a received datagram.
    pub(crate) fn datagram(
        &mut self,
        link: &mut Link,
        path: Path,
        out: &mut dyn Transmit,
        frame: &[u8],
        flow: &Flow,
    ) {
        let _ = path;
        let sockets = &self.sockets;
        let wants = |binding: &Binding, connected: bool| match sockets
            .get(binding.slot)
            .map(|socket| &socket.kind)
        {
            Some(Kind::Udp(udp)) if connected => {
                udp.peer == Some(flow.remote)
                    && udp.local.is_none_or(|local| local == flow.local.addr)
            }
            Some(Kind::Udp(udp)) => udp.peer.is_none(),
            _ => false,
        };
        let (address, port) = (flow.local.addr, flow.local.port);
        let find = |connected| {
            self.ports
                .find(Transport::Udp, address, port, 0, |binding| {
                    wants(binding, connected)
                })
        };
        let Some(slot) = find(true).or_else(|| find(false)) else {
            return self.hand_to_interface(link, out, frame);
        };
        let now = self.now;
        if let Some(Kind::Udp(udp)) = self.sockets.get_mut(slot).map(|socket| &mut socket.kind)
            && let Some(queues) = &mut udp.queues
        {
            link.ingress(frame, out, &mut queues.set, now);
        }
        self.report(slot);
    }

    /// Reports when a socket has become writable again.
    pub(crate) fn datagram_follow(&mut self, slot: u32) {
        if let Some(Kind::Udp(udp)) = self.sockets.get_mut(slot).map(|socket| &mut socket.kind)
            && udp.wants_room
            && udp.peek().is_some_and(udp::Socket::can_send)
        {
            udp.wants_room = false;
            self.report(slot);
        }
    }

    /// Processes the report that a datagram of a connected socket could not be delivered.
    pub(crate) fn datagram_refused(&mut self, flow: &Flow, code: u8) {
        let sockets = &self.sockets;
        let (address, port) = (flow.local.addr, flow.local.port);
        let slot = self
            .ports
            .find(Transport::Udp, address, port, 0, |binding| {
                matches!(
                    sockets.get(binding.slot).map(|socket| &socket.kind),
                    Some(Kind::Udp(udp)) if udp.peer == Some(flow.remote)
                )
            });
        let Some(slot) = slot else { return };
        if let Some(Kind::Udp(udp)) = self.sockets.get_mut(slot).map(|socket| &mut socket.kind) {
            udp.error = Some(if code == 3 {
                Error::Refused
            } else {
                Error::HostUnreachable
            });
            self.report(slot);
        }
    }
}

/// Sends a datagram over the loopback link.
fn loop_back(
    out: &mut dyn Transmit,
    from: IpEndpoint,
    to: IpEndpoint,
    hop_limit: u8,
    bytes: usize,
    fill: &mut dyn FnMut(&mut [u8]) -> usize,
) -> Result<usize> {
    if !out.ready() {
        return Err(Error::WouldBlock);
    }
    let udp = UdpRepr {
        src_port: from.port,
        dst_port: to.port,
    };
    let length = UDP_HEADER_BYTES + bytes;
    let ip = IpRepr::new(from.addr, to.addr, IpProtocol::Udp, length, hop_limit);
    out.send(ip.buffer_len(), None, &mut |packet| {
        let checksums = ChecksumCapabilities::default();
        ip.emit(&mut *packet, &checksums);
        let mut datagram = UdpPacket::new_unchecked(&mut packet[ip.header_len()..]);
        let write = |payload: &mut [u8]| {
            fill(payload);
        };
        let (source, destination) = (&from.addr, &to.addr);
        udp.emit(&mut datagram, source, destination, bytes, write, &checksums);
    });
    Ok(bytes)
}
