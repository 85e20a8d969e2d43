//! Listening: a queue of established connections for `accept`, and a queue of handshakes.
//! A flood of SYNs never takes more than the backlog, and does not exclude honest peers for long.
//! When there are too many handshakes, the oldest is dropped if it had time for a round trip.

use super::{Connection, Listener, Role, Tcp};
use crate::device::Transmit;
use crate::engine::{Engine, Kind};
use crate::fifo::Fifo;
use crate::link::{Link, Path};
use crate::memory::boxed;
use crate::packet::Segment;
use crate::ports::{Binding, Name, Transport};
use crate::slab::SocketId;
use crate::{Error, Result};
use smoltcp::socket::tcp::State;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};

/// Largest backlog for `accept` (`net.core.somaxconn`).
const MOST_BACKLOG: usize = 4096;
/// How long a handshake is protected before another one may take its place.
/// Earlier drops would reset honest peers that arrive all at once.
/// The time counts only if the device was found empty since: after a pause of ours, the final ACK
/// may be queued there behind other frames.
const ROUND_TRIP: Duration = Duration::from_millis(300);
/// The same limit for a device that is never found empty, because frames arrive faster than they
/// are taken, and for devices that do not show all frames.
const LONG_ROUND_TRIP: Duration = Duration::from_secs(2);
/// Number of handshakes allowed for any backlog, however small.
const LEAST_HALF_OPEN: usize = 16;

impl Engine {
    /// `bind`: port 0 requests a free one.
    pub(crate) fn bind(&mut self, slot: u32, mut name: Name) -> Result<()> {
        let tcp = self.tcp_at(slot).ok_or(Error::NotSupported)?;
        if tcp.name.is_some() || !matches!(tcp.role, Role::Idle) {
            return Err(Error::Invalid);
        }
        let (reuse_address, reuse_port) = (tcp.options.reuse_address, tcp.options.reuse_port);
        if name.port == 0 {
            name.port = self.free_port(Transport::Tcp)?;
        } else if !reuse_address && self.is_name_busy(&name) {
            return Err(Error::AddressInUse);
        }
        self.ports.bind(Binding {
            transport: Transport::Tcp,
            name,
            slot,
            listening: false,
            reuse_address,
            reuse_port,
        })?;
        if let Some(tcp) = self.tcp_at(slot) {
            tcp.name = Some(name);
        }
        Ok(())
    }

    /// Whether a connection, or a remainder of one, has `name`.
    fn is_name_busy(&self, name: &Name) -> bool {
        let has = |local: IpEndpoint| local.port == name.port && name.covers(local.addr);
        let connected = self.sockets.iter().any(|(_, socket)| match &socket.kind {
            Kind::Tcp(tcp) => {
                matches!(&tcp.role, Role::Connection(connection) if has(connection.flow.local))
            }
            Kind::Udp(_) => false,
        });
        connected || self.waiting.any(|flow| has(flow.local))
    }

    /// `listen`; also changes the backlog of a listener.
    pub(crate) fn listen(&mut self, id: SocketId, backlog: usize) -> Result<()> {
        let backlog = backlog.clamp(1, MOST_BACKLOG);
        let slot = self.sockets.slot(id)?;
        let memory = self.memory;
        let tcp = self.tcp(id)?;
        match &mut tcp.role {
            Role::Listener(listener) => {
                listener.backlog = backlog;
                return Ok(());
            }
            Role::Idle => {}
            Role::Connection(_) | Role::Over => return Err(Error::Invalid),
        }
        if tcp.name.is_none() {
            let name = Name {
                address: None,
                port: 0,
                v4: !(tcp.v6 && tcp.options.v6_only),
                v6: tcp.v6,
            };
            self.bind(slot, name)?;
        }
        self.ports.listen(slot)?;
        self.tcp(id)?.role = Role::Listener(Listener {
            backlog,
            established: Fifo::new(memory),
            half_open: Fifo::new(memory),
            half_open_count: 0,
        });
        Ok(())
    }

    /// `accept`.
    pub(crate) fn accept(&mut self, id: SocketId) -> Result<SocketId> {
        loop {
            let Role::Listener(listener) = &mut self.tcp(id)?.role else {
                return Err(Error::Invalid);
            };
            let accepted = listener.established.pop().ok_or(Error::WouldBlock)?;
            // A connection that was reset before it was accepted is still accepted, as on Linux.
            let Ok(slot) = self.sockets.slot(accepted) else {
                continue;
            };
            if let Some(socket) = self.sockets.get_mut(slot) {
                socket.held = true;
            }
            if let Ok(connection) = self.tcp(accepted).and_then(Tcp::connection) {
                connection.listener = None;
            }
            return Ok(accepted);
        }
    }

    /// Processes a SYN for a listener.
    pub(crate) fn welcome(
        &mut self,
        listener_slot: u32,
        link: &mut Link,
        path: Path,
        out: &mut dyn Transmit,
        frame: &[u8],
        segment: &Segment,
    ) {
        // An unanswered SYN is sent again: this is the meaning of the backlog on Linux.
        let welcome = self.try_welcome(listener_slot, link, path, out, frame, segment);
        if welcome == Err(Error::NoMemory) {
            self.lacks_memory = true;
            // Memory will not be available soon, and a relay's client need not wait to learn it.
            if link.relayed {
                self.hand_to_interface(link, out, frame);
            }
        }
    }

    fn try_welcome(
        &mut self,
        listener_slot: u32,
        link: &mut Link,
        path: Path,
        out: &mut dyn Transmit,
        frame: &[u8],
        segment: &Segment,
    ) -> Result<()> {
        let listener_id = self.sockets.id(listener_slot);
        let tcp = self.tcp(listener_id)?;
        let (options, v6) = (tcp.options, tcp.v6);
        let Role::Listener(listener) = &mut tcp.role else {
            return Err(Error::Invalid);
        };
        if listener.established.len() > listener.backlog {
            return Err(Error::WouldBlock);
        }
        let half_open_limit = listener.backlog.max(LEAST_HALF_OPEN);
        while self.half_open_count(listener_id) >= half_open_limit {
            self.drop_oldest_half_open(listener_id)?;
        }
        let (flow, now, memory) = (segment.flow, self.now, self.memory);
        let over = (path, link.relayed);
        let mut connection = Connection::new(flow, over, &options, &mut self.budget, memory, now);
        if connection.is_err() && self.drop_oldest_half_open(listener_id).is_ok() {
            connection = Connection::new(flow, over, &options, &mut self.budget, memory, now);
        }
        let mut connection = connection?;
        let IpEndpoint { addr, port } = flow.local;
        let local = IpListenEndpoint {
            addr: Some(addr),
            port,
        };
        let bytes = connection.buffer_bytes;
        connection.listener = Some(listener_id);
        let mut accepted = Tcp::new(v6);
        accepted.options = options;
        if connection.socket().listen(local).is_err() {
            self.budget.give(bytes);
            return Err(Error::Invalid);
        }
        connection.ingress(link, out, frame, segment, now);
        if connection.peek().state() != State::SynReceived {
            self.budget.give(bytes);
            return Err(Error::Invalid);
        }
        connection.state = State::SynReceived;
        accepted.role = Role::Connection(connection);
        let slot = boxed(accepted, memory)
            .and_then(|tcp| self.insert(Kind::Tcp(tcp), false))
            .inspect_err(|_| self.budget.give(bytes))?;
        let id = self.sockets.id(slot);
        let queued = self.flows.insert(&flow, slot).and_then(|()| {
            let Role::Listener(listener) = &mut self.tcp(listener_id)?.role else {
                return Err(Error::Invalid);
            };
            // Room in the accept queue is reserved now, so that the handshake cannot fail there.
            let room = listener.established.len() + listener.half_open_count + 1;
            listener.established.reserve(room, id)?;
            listener.half_open.push(id)?;
            listener.half_open_count += 1;
            Ok(())
        });
        if queued.is_err() {
            self.remove(slot);
            return queued;
        }
        self.touch(slot);
        Ok(())
    }

    fn half_open_count(&mut self, listener: SocketId) -> usize {
        match self.tcp(listener).map(|tcp| &tcp.role) {
            Ok(Role::Listener(listener)) => listener.half_open_count,
            _ => 0,
        }
    }

    /// Returns since when a connection has been in its handshake, if it is.
    fn half_open_since(&mut self, id: SocketId) -> Option<Instant> {
        match self.tcp(id).map(|tcp| &tcp.role) {
            Ok(Role::Connection(Connection {
                state: State::SynReceived,
                listener: Some(_),
                since,
                ..
            })) => Some(*since),
            _ => None,
        }
    }

    /// Makes room by dropping the oldest handshake, if it had enough time.
    fn drop_oldest_half_open(&mut self, listener_id: SocketId) -> Result<()> {
        loop {
            let Role::Listener(listener) = &mut self.tcp(listener_id)?.role else {
                return Err(Error::Invalid);
            };
            let Some(oldest) = listener.half_open.front() else {
                listener.half_open_count = 0;
                return Err(Error::NoMemory);
            };
            match self.half_open_since(oldest) {
                Some(since)
                    if self.heard < since + ROUND_TRIP && self.now < since + LONG_ROUND_TRIP =>
                {
                    return Err(Error::WouldBlock);
                }
                Some(_) => {
                    self.left_half_open(listener_id);
                    self.remove(oldest.slot);
                    return Ok(());
                }
                None => {
                    if let Role::Listener(listener) = &mut self.tcp(listener_id)?.role {
                        listener.half_open.pop();
                    }
                }
            }
        }
    }

    /// Accounts for a handshake that has ended, completed or not.
    pub(crate) fn left_half_open(&mut self, listener_id: SocketId) {
        let Ok(Tcp {
            role: Role::Listener(listener),
            ..
        }) = self.tcp(listener_id)
        else {
            return;
        };
        listener.half_open_count = listener.half_open_count.saturating_sub(1);
        if listener.half_open_count == 0 {
            while listener.half_open.pop().is_some() {}
        } else if listener.half_open.len() > 4 * (listener.half_open_count + LEAST_HALF_OPEN) {
            self.sweep_half_open(listener_id);
        }
    }

    /// Removes the entries of handshakes that have ended.
    fn sweep_half_open(&mut self, listener_id: SocketId) {
        let memory = self.memory;
        let Ok(Tcp {
            role: Role::Listener(listener),
            ..
        }) = self.tcp(listener_id)
        else {
            return;
        };
        let mut queue = core::mem::replace(&mut listener.half_open, Fifo::new(memory));
        for _ in 0..queue.len() {
            if let Some(id) = queue.pop()
                && self.half_open_since(id).is_some()
            {
                // Its own place has just become free.
                let _ = queue.push(id);
            }
        }
        if let Ok(Tcp {
            role: Role::Listener(listener),
            ..
        }) = self.tcp(listener_id)
        {
            listener.half_open = queue;
        }
    }

    /// Queues a connection with a complete handshake for `accept`.
    pub(crate) fn established(&mut self, slot: u32, listener_id: SocketId) {
        self.left_half_open(listener_id);
        let id = self.sockets.id(slot);
        if let Ok(Tcp {
            role: Role::Listener(listener),
            ..
        }) = self.tcp(listener_id)
        {
            // Room was reserved when the SYN came.
            let _ = listener.established.push(id);
            self.report(listener_id.slot);
        }
    }
}
