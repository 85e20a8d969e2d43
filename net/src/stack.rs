//! The stack, which the library OS holds: BSD calls on handles, `poll`, and changes of readiness.
//! It contains the device, both links and the engine. All access to their state goes through it.

use crate::device::Device;
use crate::engine::{Engine, Kind};
use crate::link::{Link, Links, Path};
use crate::local::{LOCAL_MTU, Local};
use crate::memory::{Memory, boxed};
use crate::slab::SocketId;
use crate::tcp::Tcp;
use crate::udp::Udp;
use crate::wire::{BATCH_FRAMES, Wire};
use crate::{Error, Result};
use smoltcp::time::Instant;
use smoltcp::wire::{IpAddress, IpEndpoint, Ipv4Address, Ipv6Address};

/// Most turns of the loopback link in one poll.
const LOCAL_TURNS: usize = 64;

/// How the image gets its IPv4 address.
#[derive(Clone, Copy, Debug)]
pub enum Ipv4Configuration {
    /// It has none.
    None,
    /// By DHCP.
    Dhcp,
    /// With a static address.
    Static {
        /// This machine's address.
        address: Ipv4Address,
        /// Length of the network's prefix in bits, at most 32.
        prefix_bits: u8,
        /// The router.
        gateway: Option<Ipv4Address>,
        /// The name server.
        name_server: Option<Ipv4Address>,
    },
}

/// The image's IPv6 address besides the link-local one.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6Configuration {
    /// This machine's address.
    pub address: Ipv6Address,
    /// Length of the network's prefix in bits, at most 128.
    pub prefix_bits: u8,
    /// The router.
    pub gateway: Option<Ipv6Address>,
}

/// Properties of the network device's interface.
#[derive(Clone, Copy, Debug)]
pub struct WireInfo {
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Bytes of the largest IP packet.
    pub mtu: usize,
    /// Its addresses, with the length of the network's prefix in bits.
    pub addresses: [Option<(IpAddress, u8)>; 4],
    /// The routers of IPv4 and of IPv6.
    pub gateways: [Option<IpAddress>; 2],
}

/// The network configuration, except for the device.
#[derive(Clone, Copy, Debug)]
pub struct Configuration {
    /// The IPv4 address.
    pub ipv4: Ipv4Configuration,
    /// The IPv6 address.
    pub ipv6: Option<Ipv6Configuration>,
    /// The peer of the link terminates TCP itself, as the monitor's port relay does,
    /// and nothing is lost on the way.
    /// So there is no congestion, and no old segment can reach a new connection.
    pub relayed: bool,
    /// Every address is this machine's: it is the relay for a network behind it.
    pub serves_all: bool,
    /// Most bytes of socket buffers.
    pub budget_bytes: usize,
    /// Seed for sequence numbers and ports; secret.
    pub seed: u64,
}

/// A socket whose readiness has changed, or that has received something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The socket.
    pub socket: SocketId,
    /// Its readiness now, bits of [`crate::ready`].
    pub ready: u32,
}

/// The network stack.
pub struct Stack<D: Device> {
    pub(crate) engine: Engine,
    pub(crate) wire: Option<Wire<D>>,
    pub(crate) local_link: Link,
    pub(crate) local: Local,
}

impl<D: Device> core::fmt::Debug for Stack<D> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Stack").finish_non_exhaustive()
    }
}

/// Borrows links and the engine at the same time.
macro_rules! parts {
    ($stack:expr) => {{
        let wire = $stack.wire.as_mut().map(|wire| {
            let (_, out) = wire.device.split();
            (&mut wire.link, out)
        });
        let links = Links {
            wire,
            local: (&mut $stack.local_link, &mut $stack.local),
        };
        (&mut $stack.engine, links)
    }};
}
pub(crate) use parts;

impl<D: Device> Stack<D> {
    /// Makes a stack on `device`, or with loopback alone.
    ///
    /// # Errors
    ///
    /// `Invalid` when an address or prefix of the configuration is invalid; `NoMemory`.
    pub fn new(device: Option<D>, configuration: &Configuration, memory: Memory) -> Result<Self> {
        let mut engine = Engine::new(memory, configuration.budget_bytes, configuration.seed);
        let wire = match device {
            Some(device) => Some(Wire::new(device, configuration, &mut engine, memory)?),
            None => None,
        };
        let local_link = Link::local(LOCAL_MTU, engine.random.next());
        Ok(Self {
            engine,
            wire,
            local_link,
            local: Local::new(memory),
        })
    }

    /// Sets the clock, in nanoseconds, and does nothing else; for calls before the first poll.
    pub fn set_clock(&mut self, now_nanoseconds: u64) {
        self.engine.now = Instant::from_micros((now_nanoseconds / 1000) as i64);
    }

    /// Advances time to `now`, in nanoseconds of a monotonic clock: takes frames from the device,
    /// fires timers and sends queued data.
    /// Returns whether frames may be left in the device.
    pub fn poll(&mut self, now_nanoseconds: u64) -> bool {
        self.set_clock(now_nanoseconds);
        let (mut taken, mut is_all) = (0, true);
        if let Some(wire) = &mut self.wire {
            wire.device.exchange(now_nanoseconds);
            is_all = wire.device.shows_all();
            taken = wire.ingress(&mut self.engine);
        }
        if is_all && taken < BATCH_FRAMES {
            self.engine.heard = self.engine.now;
        }
        self.engine.run_timers();
        self.flush();
        for _ in 0..LOCAL_TURNS {
            if !self.local.pending() {
                break;
            }
            self.local_ingress();
            self.flush();
        }
        if let Some(wire) = &mut self.wire {
            wire.device.split().1.flush();
        }
        taken == BATCH_FRAMES || self.local.pending()
    }

    fn local_ingress(&mut self) {
        // Only packets sent before this turn; replies come in the next.
        for _ in 0..LOCAL_TURNS {
            let Some(packet) = self.local.take() else {
                return;
            };
            self.engine.ingress(
                &mut self.local_link,
                Path::Local,
                &mut self.local,
                packet.bytes(),
                true,
            );
            self.local.recycle(packet);
        }
    }

    fn flush(&mut self) {
        let (engine, mut links) = parts!(self);
        engine.flush(&mut links);
    }

    /// Returns the latest time for the next `poll`, in nanoseconds of its clock.
    /// `None`: not before a frame arrives.
    pub fn next_deadline(&self) -> Option<u64> {
        let mut due = self.engine.next_deadline();
        if self.local.pending() {
            due = Some(self.engine.now);
        }
        if let Some(dhcp) = self.wire.as_ref().and_then(|wire| wire.dhcp.as_ref()) {
            due = match (due, dhcp.due()) {
                (Some(due), Some(other)) => Some(due.min(other)),
                (due, other) => due.or(other),
            };
        }
        due.map(|due| (due.total_micros().max(0) as u64).saturating_mul(1000))
    }

    /// Enables the device's notifications; called before the image sleeps.
    /// Returns whether frames have arrived meanwhile, so that it must not sleep.
    pub fn prepare_to_sleep(&mut self) -> bool {
        match &mut self.wire {
            Some(wire) => wire.device.prepare_to_sleep(),
            None => false,
        }
    }

    /// Takes the oldest pending change.
    pub fn take_change(&mut self) -> Option<Change> {
        let slot = self.engine.take_change()?;
        let socket = self.engine.sockets.id(slot);
        let ready = self.readiness(socket).unwrap_or(0);
        Some(Change { socket, ready })
    }

    /// The device.
    pub fn device(&mut self) -> Option<&mut D> {
        self.wire.as_mut().map(|wire| &mut wire.device)
    }

    /// Returns the number of sockets if a connection was refused, since the last call, for
    /// lack of memory for its buffers.
    pub fn take_lack_of_memory(&mut self) -> Option<usize> {
        let lacks = core::mem::take(&mut self.engine.lacks_memory);
        lacks.then(|| self.engine.sockets.iter().count())
    }

    /// Returns the name server, if it is known.
    pub fn name_server(&self) -> Option<Ipv4Address> {
        self.wire.as_ref()?.name_server
    }

    /// Returns this machine's IPv4 address on the link, if it has one.
    pub fn ipv4_address(&self) -> Option<Ipv4Address> {
        self.wire.as_ref()?.link.interface.ipv4_addr()
    }

    /// Returns the properties of the interface, if there is one.
    pub fn wire_info(&self) -> Option<WireInfo> {
        let link = &self.wire.as_ref()?.link;
        let mac = match link.interface.hardware_addr() {
            smoltcp::wire::HardwareAddress::Ethernet(address) => address.0,
            smoltcp::wire::HardwareAddress::Ip => [0; 6],
        };
        let mut info = WireInfo {
            mac,
            mtu: link.mtu(),
            addresses: [None; 4],
            gateways: [None; 2],
        };
        for (place, cidr) in info.addresses.iter_mut().zip(link.interface.ip_addrs()) {
            *place = Some((cidr.address(), cidr.prefix_len()));
        }
        let routes = link.interface.routes();
        info.gateways = [
            routes
                .get_default_ipv4_route()
                .map(|route| route.via_router),
            routes
                .get_default_ipv6_route()
                .map(|route| route.via_router),
        ];
        Some(info)
    }

    /// Whether an address is still being requested.
    pub fn is_configuring(&self) -> bool {
        self.wire
            .as_ref()
            .is_some_and(|wire| wire.dhcp.is_some() && wire.link.interface.ipv4_addr().is_none())
    }

    /// Makes a stream socket of one address family.
    pub fn stream(&mut self, v6: bool) -> Result<SocketId> {
        let tcp = boxed(Tcp::new(v6), self.engine.memory)?;
        let slot = self.engine.insert(Kind::Tcp(tcp), true)?;
        Ok(self.engine.sockets.id(slot))
    }

    /// Makes a datagram socket of one address family.
    pub fn datagram(&mut self, v6: bool) -> Result<SocketId> {
        let udp = boxed(Udp::new(v6), self.engine.memory)?;
        let slot = self.engine.insert(Kind::Udp(udp), true)?;
        Ok(self.engine.sockets.id(slot))
    }

    pub(crate) fn is_stream(&self, id: SocketId) -> Result<bool> {
        let slot = self.engine.held(id)?;
        let socket = self.engine.sockets.get(slot).ok_or(Error::BadDescriptor)?;
        Ok(matches!(socket.kind, Kind::Tcp(_)))
    }

    /// Binds a socket. An unspecified address means all; port 0 requests a free one.
    pub fn bind(&mut self, id: SocketId, name: IpEndpoint) -> Result<()> {
        let stream = self.is_stream(id)?;
        let (engine, links) = parts!(self);
        let (v6, v6_only) = if stream {
            let tcp = engine.tcp(id)?;
            (tcp.v6, tcp.options.v6_only)
        } else {
            let udp = engine.udp(id)?;
            (udp.v6, udp.options.v6_only)
        };
        if v6 && v6_only && matches!(name.addr, IpAddress::Ipv4(_)) {
            return Err(Error::Invalid);
        }
        let any = name.addr.is_unspecified();
        let usable = any || links.serves(name.addr) || name.addr.is_broadcast();
        if !usable && !name.addr.is_multicast() {
            return Err(Error::AddressNotAvailable);
        }
        let name = crate::ports::Name {
            address: (!any).then_some(name.addr),
            port: name.port,
            v4: !v6 || (any && !v6_only && matches!(name.addr, IpAddress::Ipv6(_))),
            v6,
        };
        if stream {
            engine.bind(id.slot, name)?;
        } else {
            engine.bind_udp(id, name)?;
        }
        // As on Linux, an IPv6 address excludes IPv4.
        if matches!(name.address, Some(IpAddress::Ipv6(_))) {
            self.options_mut(id)?.v6_only = true;
        }
        Ok(())
    }

    /// Makes a stream socket a listener.
    pub fn listen(&mut self, id: SocketId, backlog: usize) -> Result<()> {
        self.engine.listen(id, backlog)
    }

    /// Accepts an established connection.
    pub fn accept(&mut self, id: SocketId) -> Result<SocketId> {
        self.engine.accept(id)
    }

    /// Connects. A stream returns [`Error::InProgress`] when it has started.
    pub fn connect(&mut self, id: SocketId, remote: IpEndpoint) -> Result<()> {
        let stream = self.is_stream(id)?;
        if self.options_mut(id)?.v6_only && matches!(remote.addr, IpAddress::Ipv4(_)) {
            return Err(Error::NetworkUnreachable);
        }
        let (engine, mut links) = parts!(self);
        if stream {
            engine.connect(id, remote, &mut links)
        } else {
            engine.connect_udp(id, Some(remote), &links)
        }
    }

    /// Connects a new stream from an address and port chosen by the caller,
    /// without entering the port table.
    /// For a relay, whose peers are identified by both ends.
    pub fn connect_from(
        &mut self,
        id: SocketId,
        local: IpEndpoint,
        remote: IpEndpoint,
    ) -> Result<()> {
        let (engine, mut links) = parts!(self);
        if !links.serves(local.addr) {
            return Err(Error::AddressNotAvailable);
        }
        let tcp = engine.tcp(id)?;
        tcp.name = Some(crate::ports::Name {
            address: Some(local.addr),
            port: local.port,
            v4: !tcp.v6,
            v6: tcp.v6,
        });
        engine.connect(id, remote, &mut links)
    }

    /// Dissolves the association of a datagram socket (`connect` with `AF_UNSPEC`).
    pub fn disconnect(&mut self, id: SocketId) -> Result<()> {
        let (engine, links) = parts!(self);
        engine.connect_udp(id, None, &links)
    }

    /// Closes one or both directions.
    pub fn shutdown(&mut self, id: SocketId, read: bool, write: bool) -> Result<()> {
        let stream = self.is_stream(id)?;
        let (engine, mut links) = parts!(self);
        if stream {
            return engine.shutdown(id, read, write, &mut links);
        }
        let udp = engine.udp(id)?;
        udp.read_closed |= read;
        udp.write_closed |= write;
        let is_connected = udp.peer.is_some();
        engine.report(id.slot);
        // Linux also shuts down a socket that is not connected, and returns an error.
        if is_connected {
            Ok(())
        } else {
            Err(Error::NotConnected)
        }
    }

    /// Whether a datagram socket was shut down for reading: received datagrams can be
    /// read, and no caller waits for more.
    pub fn is_shut(&mut self, id: SocketId) -> bool {
        self.engine.udp(id).is_ok_and(|udp| udp.read_closed)
    }

    /// Closes a socket; its handle becomes invalid.
    pub fn close(&mut self, id: SocketId) -> Result<()> {
        let stream = self.is_stream(id)?;
        let (engine, mut links) = parts!(self);
        if stream {
            engine.close_tcp(id, &mut links)
        } else {
            engine.remove(id.slot);
            Ok(())
        }
    }

    /// Returns the bytes that peers beyond the device have not acknowledged yet; each connection's
    /// FIN counts as one. O(sockets).
    pub fn unacknowledged(&self) -> usize {
        let connections = self.engine.sockets.iter().map(|(_, socket)| &socket.kind);
        connections
            .map(|kind| match kind {
                Kind::Tcp(tcp) => tcp.unacknowledged(),
                Kind::Udp(_) => 0,
            })
            .sum()
    }

    /// Returns the readiness now, bits of [`crate::ready`].
    /// A socket that is not writable reports the change when it becomes writable (as Linux arms a
    /// wake-up in `poll`), even if no write has failed.
    pub fn readiness(&mut self, id: SocketId) -> Result<u32> {
        let slot = self.engine.held(id)?;
        let socket = self.engine.sockets.get_mut(slot);
        match socket.map(|socket| &mut socket.kind) {
            Some(Kind::Tcp(tcp)) => Ok(tcp.readiness()),
            Some(Kind::Udp(udp)) => Ok(udp.readiness()),
            None => Err(Error::BadDescriptor),
        }
    }
}
