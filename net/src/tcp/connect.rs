//! Connecting: a source address, a port, and a SYN.

use super::{Connection, Role, Tcp};
use crate::engine::Engine;
use crate::link::Links;
use crate::packet::Flow;
use crate::ports::Transport;
use crate::slab::SocketId;
use crate::{Error, Result};
use smoltcp::socket::tcp::State;
use smoltcp::wire::{IpAddress, IpEndpoint};

/// Range of ports for outgoing connections (`ip_local_port_range`).
const FIRST_PORT: u16 = 32768;
const PORT_COUNT: u16 = 28232;

/// The unspecified address means this machine, as on Linux.
pub(crate) fn destination(address: IpAddress) -> IpAddress {
    match address {
        IpAddress::Ipv4(address) if address.is_unspecified() => IpAddress::v4(127, 0, 0, 1),
        IpAddress::Ipv6(address) if address.is_unspecified() => {
            IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 1)
        }
        address => address,
    }
}

impl Engine {
    /// Finds a port that no socket is bound to.
    pub(crate) fn free_port(&mut self, transport: Transport) -> Result<u16> {
        let start = self.random.next() as u16 % PORT_COUNT;
        (0..PORT_COUNT)
            .map(|step| FIRST_PORT + (start + step) % PORT_COUNT)
            .find(|port| !self.ports.is_bound(transport, *port))
            .ok_or(Error::AddressInUse)
    }

    /// Finds a flow to `remote` that is not in use.
    fn free_flow(&mut self, address: IpAddress, remote: IpEndpoint) -> Result<Flow> {
        let start = self.random.next() as u16 % PORT_COUNT;
        for step in 0..PORT_COUNT {
            let port = FIRST_PORT + (start + step) % PORT_COUNT;
            let flow = Flow {
                local: IpEndpoint::new(address, port),
                remote,
            };
            let free = !self.ports.is_bound(Transport::Tcp, port)
                && self.connection(&flow).is_none()
                && self.waiting.find(&flow).is_none();
            if free {
                return Ok(flow);
            }
        }
        Err(Error::AddressNotAvailable)
    }

    /// Resets a socket whose connection has ended; returns the error it ended with.
    fn forget_connection(&mut self, slot: u32) -> Error {
        let Some(tcp) = self.tcp_at(slot) else {
            return Error::BadDescriptor;
        };
        let (error, bytes) = (tcp.error.take(), tcp.buffer_bytes());
        let role = core::mem::replace(&mut tcp.role, Role::Idle);
        if let Role::Connection(connection) = &role {
            self.flows.remove(&connection.flow, slot);
        }
        self.budget.give(bytes);
        error.unwrap_or(Error::Aborted)
    }

    /// `connect` of a stream: returns [`Error::InProgress`] when it has started.
    pub(crate) fn connect(
        &mut self,
        id: SocketId,
        remote: IpEndpoint,
        links: &mut Links<'_>,
    ) -> Result<()> {
        let slot = self.sockets.slot(id)?;
        let now = self.now;
        let tcp = self.tcp(id)?;
        match &mut tcp.role {
            Role::Idle => {}
            Role::Listener(_) => return Err(Error::IsConnected),
            Role::Over => return Err(tcp.error.take().unwrap_or(Error::Aborted)),
            Role::Connection(connection) => {
                return match connection.state {
                    State::SynSent | State::SynReceived => Err(Error::Already),
                    // A failed attempt may be repeated.
                    State::Closed => Err(self.forget_connection(slot)),
                    _ => Err(Error::IsConnected),
                };
            }
        }
        let (name, options) = (tcp.name, tcp.options);
        let remote = IpEndpoint::new(destination(remote.addr), remote.port);
        if remote.addr.is_multicast() || remote.addr.is_broadcast() {
            return Err(Error::NetworkUnreachable);
        }
        if remote.port == 0 {
            return Err(Error::Refused);
        }
        if !links.reaches(remote.addr) {
            return Err(Error::NetworkUnreachable);
        }
        let source = match name.and_then(|name| name.address) {
            Some(address) => address,
            None => links.source(remote.addr).ok_or(Error::NetworkUnreachable)?,
        };
        if source.version() != remote.addr.version() {
            return Err(Error::NetworkUnreachable);
        }
        let path = links.path(remote.addr);
        let flow = match name {
            Some(name) => Flow {
                local: IpEndpoint::new(source, name.port),
                remote,
            },
            None => self.free_flow(source, remote)?,
        };
        if self.connection(&flow).is_some() {
            return Err(Error::AddressNotAvailable);
        }
        self.waiting.remove(&flow);
        let (link, _) = links.get(path).ok_or(Error::NetworkUnreachable)?;
        let over = (path, link.relayed);
        let mut connection =
            Connection::new(flow, over, &options, &mut self.budget, self.memory, now)?;
        let bytes = connection.buffer_bytes;
        let begun = connection
            .socket()
            .connect(link.interface.context(), remote, flow.local);
        if begun.is_err() || self.flows.insert(&flow, slot).is_err() {
            self.budget.give(bytes);
            return Err(Error::NoMemory);
        }
        connection.state = State::SynSent;
        self.tcp(id)?.role = Role::Connection(connection);
        self.serve(slot, links);
        Err(Error::InProgress)
    }
}

impl Tcp {
    /// Processes a router's report that the peer of a new connection is
    /// unreachable; returns whether that ends it.
    /// (Errors about established connections are hints only, RFC 1122, 4.2.3.9.)
    pub(crate) fn cannot_connect(&mut self, code: u8) -> bool {
        let Role::Connection(connection) = &mut self.role else {
            return false;
        };
        if connection.state != State::SynSent {
            return false;
        }
        self.error = Some(match code {
            0 | 6 => Error::NetworkUnreachable,
            2 | 3 => Error::Refused,
            _ => Error::HostUnreachable,
        });
        // A reset follows. It is harmless: the peer has no such connection.
        connection.socket().close();
        true
    }
}
