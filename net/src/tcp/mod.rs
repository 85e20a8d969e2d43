//! A TCP socket: idle, a listener, or a connection. It has smoltcp's state machine in a socket
//! set of its own, and both buffers.

mod close;
mod connect;
mod data;
mod follow;
mod listen;
mod surplus;

pub(crate) use close::acknowledge;
pub(crate) use connect::destination;

use crate::budget::Budget;
use crate::device::Transmit;
use crate::fifo::Fifo;
use crate::link::{Link, Links, Path};
use crate::memory::{Lease, Memory};
use crate::options::Options;
use crate::packet::{self, Flow, Segment, flag};
use crate::ports::Name;
use crate::slab::SocketId;
use crate::{Error, Result, ready};
use smoltcp::iface::{SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp::{self, CongestionControl, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::IpAddress;
use surplus::Surplus;

/// Payload that is acknowledged at once. It exceeds a packet, so the device has merged several.
const MERGED_BYTES: usize = 2048;

/// Segment size for a peer that does not announce one (RFC 9293, 3.7.1).
const LEAST_SEGMENT_BYTES: usize = 536;

/// A TCP socket.
pub(crate) struct Tcp {
    pub role: Role,
    pub name: Option<Name>,
    pub options: Options,
    /// The error that `SO_ERROR` returns and the next call reports.
    pub error: Option<Error>,
    pub v6: bool,
}

/// Role of a TCP socket.
pub(crate) enum Role {
    /// Neither listener nor connection.
    Idle,
    Listener(Listener),
    Connection(Connection),
    /// A connection that failed, or has ended completely.
    Over,
}

/// A listener.
pub(crate) struct Listener {
    pub backlog: usize,
    /// Established connections for `accept`.
    pub established: Fifo<SocketId>,
    /// Connections in their handshake, the oldest first; some have left it since.
    pub half_open: Fifo<SocketId>,
    pub half_open_count: usize,
}

/// A connection.
pub(crate) struct Connection {
    // First, because it borrows from the leases below.
    set: SocketSet<'static>,
    handle: SocketHandle,
    pub flow: Flow,
    pub path: Path,
    /// The listener that has it in its queues.
    pub listener: Option<SocketId>,
    /// The last state that `follow` saw.
    pub state: State,
    /// The last number of readable bytes that `follow` saw.
    pub seen: usize,
    pub peer_closed: bool,
    pub read_closed: bool,
    pub write_closed: bool,
    /// A writer, or a caller of `poll`, found no room: report when there is.
    pub wants_room: bool,
    /// A reset has arrived.
    pub reset: bool,
    /// When the peer was last heard, or a first byte was queued.
    pub active: Instant,
    /// When this state began, for states that must end.
    pub since: Instant,
    pub probing: bool,
    pub numbers: Option<(u32, u32)>,
    /// Bytes of data in a full segment to the peer.
    pub segment_bytes: usize,
    /// Written data that does not fit into the send buffer.
    pub surplus: Surplus,
    buffer_bytes: usize,
    _storage: Lease<SocketStorage<'static>>,
    _receive: Lease<u8>,
    _send: Lease<u8>,
}

impl Connection {
    /// Makes a connection that has sent nothing yet, over a relayed link or another one. The budget
    /// decides the size of its buffers.
    pub(crate) fn new(
        flow: Flow,
        (path, relayed): (Path, bool),
        options: &Options,
        budget: &mut Budget,
        memory: Memory,
        now: Instant,
    ) -> Result<Self> {
        let receive_bytes = budget.buffer_bytes(options.receive_bytes);
        let send_bytes = match options.send_bytes {
            None if relayed => budget.relayed_send_bytes(),
            chosen => budget.buffer_bytes(chosen),
        };
        if !budget.take(receive_bytes + send_bytes) {
            return Err(Error::NoMemory);
        }
        let build = || -> Result<Self> {
            // SAFETY: `set`, which has the slices, is declared before the leases and so drops first.
            let (storage_lease, storage) =
                unsafe { Lease::new(1, || SocketStorage::EMPTY, memory)? };
            // SAFETY: as above.
            let (receive_lease, receive) = unsafe { Lease::of_bytes(receive_bytes, memory)? };
            // SAFETY: as above.
            let (send_lease, send) = unsafe { Lease::of_bytes(send_bytes, memory)? };
            let mut set = SocketSet::new(storage);
            let mut socket = tcp::Socket::new(
                tcp::SocketBuffer::new(receive),
                tcp::SocketBuffer::new(send),
            );
            socket.set_congestion_control(match path {
                Path::Wire if !relayed => CongestionControl::Reno,
                // Nothing is lost on the way, so congestion control is off.
                Path::Wire | Path::Local => CongestionControl::None,
            });
            socket.set_nagle_enabled(!options.no_delay);
            socket.set_ack_delay(options.ack_delay());
            socket.set_hop_limit(Some(options.hop_limit(flow.remote.addr)));
            let handle = set.add(socket);
            Ok(Self {
                set,
                handle,
                flow,
                path,
                listener: None,
                state: State::Closed,
                seen: 0,
                peer_closed: false,
                read_closed: false,
                write_closed: false,
                wants_room: false,
                reset: false,
                active: now,
                since: now,
                probing: false,
                numbers: None,
                segment_bytes: LEAST_SEGMENT_BYTES,
                surplus: Surplus::new(memory),
                buffer_bytes: receive_lease.bytes() + send_lease.bytes(),
                _storage: storage_lease,
                _receive: receive_lease,
                _send: send_lease,
            })
        };
        build().inspect_err(|_| budget.give(receive_bytes + send_bytes))
    }

    /// smoltcp's socket.
    pub(crate) fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.set.get_mut(self.handle)
    }

    /// smoltcp's socket.
    pub(crate) fn peek(&self) -> &tcp::Socket<'static> {
        self.set.get(self.handle)
    }

    /// Passes a frame to the state machine.
    fn ingress(
        &mut self,
        link: &mut Link,
        out: &mut dyn Transmit,
        frame: &[u8],
        segment: &Segment,
        now: Instant,
    ) {
        if segment.has(flag::SYN) {
            let peer = packet::maximum_segment(frame, link.header_bytes).map(usize::from);
            let headers = match self.flow.remote.addr {
                IpAddress::Ipv4(_) => 40,
                IpAddress::Ipv6(_) => 60,
            };
            let peer = peer.unwrap_or(LEAST_SEGMENT_BYTES);
            self.segment_bytes = peer.min(link.mtu() - headers).max(1);
        }
        let written = link.ingress(frame, out, &mut self.set, now);
        self.numbers = written.numbers.or(self.numbers);
    }

    /// Whether a write would find room, by Linux's rule: a third of the buffer.
    /// A writer that is not done when the peer's FIN arrives is woken at once for the rest.
    pub(crate) fn has_room(&self) -> bool {
        let socket = self.peek();
        let free = socket.send_capacity() - socket.send_queue();
        let fits =
            free * 3 >= socket.send_capacity() || self.surplus.refused && self.takes_surplus();
        socket.may_send() && !self.write_closed && self.surplus.is_empty() && fits
    }
}

impl Tcp {
    /// Makes an idle socket.
    pub(crate) fn new(v6: bool) -> Self {
        Self {
            role: Role::Idle,
            name: None,
            options: Options::DEFAULT,
            error: None,
            v6,
        }
    }

    /// Returns the connection, or the error of a socket without one.
    pub(crate) fn connection(&mut self) -> Result<&mut Connection> {
        match &mut self.role {
            Role::Connection(connection) => Ok(connection),
            Role::Idle | Role::Listener(_) | Role::Over => Err(Error::NotConnected),
        }
    }

    /// Bytes of buffers, as counted in the budget.
    pub(crate) fn buffer_bytes(&self) -> usize {
        match &self.role {
            Role::Connection(connection) => connection.buffer_bytes,
            _ => 0,
        }
    }

    /// Whether this is the connection between these ends.
    pub(crate) fn is_connection_of(&self, flow: &Flow) -> bool {
        matches!(&self.role, Role::Connection(connection) if connection.flow == *flow)
    }

    /// Whether the connection has ended with respect to `segment`: it is closed, or a new SYN
    /// arrives in TIME_WAIT (RFC 9293, 3.10.7.4).
    /// Behind a relay every SYN is new: no old segment is on its way.
    pub(crate) fn is_over(&self, segment: &Segment, relayed: bool) -> bool {
        let Role::Connection(connection) = &self.role else {
            return true;
        };
        match connection.peek().state() {
            State::Closed => true,
            State::TimeWait => {
                let newer = relayed
                    || connection.numbers.is_none_or(|(_, receive_next)| {
                        segment.sequence.wrapping_sub(receive_next) as i32 > 0
                    });
                segment.has(flag::SYN) && !segment.has(flag::ACK) && newer
            }
            _ => false,
        }
    }

    /// Processes a segment of the connection.
    pub(crate) fn ingress(
        &mut self,
        link: &mut Link,
        out: &mut dyn Transmit,
        frame: &[u8],
        segment: &Segment,
        now: Instant,
    ) {
        let Role::Connection(connection) = &mut self.role else {
            return;
        };
        // No peer can answer a SYN that has not left yet (its neighbour's address is still
        // missing). For such an answer, smoltcp would compute a negative window.
        if connection.state == State::SynSent && connection.numbers.is_none() {
            return;
        }
        connection.active = now;
        if core::mem::replace(&mut connection.probing, false) {
            connection.socket().set_keep_alive(None);
        }
        let merged = segment.payload > MERGED_BYTES;
        if merged {
            connection.socket().set_ack_delay(Some(Duration::ZERO));
        }
        link.service = self.options.service(connection.flow.remote.addr);
        connection.ingress(link, out, frame, segment, now);
        link.service = 0;
        if merged {
            let delay = self.options.ack_delay();
            connection.socket().set_ack_delay(delay);
        }
        connection.reset |= segment.has(flag::RST);
    }

    /// Sends what is ready; returns whether a neighbour's address is missing for it.
    pub(crate) fn egress(&mut self, links: &mut Links<'_>, now: Instant) -> bool {
        let options = self.options;
        let corked = options.cork;
        let Role::Connection(connection) = &mut self.role else {
            return false;
        };
        if corked && connection.is_partial() && now < connection.active + CORK_LIMIT {
            return false;
        }
        if !connection.surplus.is_empty() {
            connection.refill();
        }
        let Some((link, out)) = links.get(connection.path) else {
            return false;
        };
        link.service = options.service(connection.flow.remote.addr);
        let written = link.egress(out, &mut connection.set, now);
        link.service = 0;
        connection.numbers = written.numbers.or(connection.numbers);
        written.stuck
    }

    /// Returns the readiness for `poll`. A socket without room reports when there is some.
    pub(crate) fn readiness(&mut self) -> u32 {
        let error = if self.error.is_some() { ready::ERR } else { 0 };
        let mask = match &mut self.role {
            Role::Idle => ready::OUT | ready::HUP,
            Role::Over => ready::IN | ready::OUT | ready::HUP | ready::RDHUP,
            Role::Listener(listener) if listener.established.is_empty() => 0,
            Role::Listener(_) => ready::IN,
            Role::Connection(connection) => {
                let mask = connection.readiness();
                connection.wants_room |= mask & ready::OUT == 0;
                mask
            }
        };
        mask | error
    }
}

/// Longest time for which `TCP_CORK` holds a partial packet back (`tcp(7)`).
const CORK_LIMIT: Duration = Duration::from_millis(200);

impl Connection {
    /// Whether the data to send is less than a full packet.
    fn is_partial(&self) -> bool {
        let socket = self.peek();
        matches!(socket.state(), State::Established | State::CloseWait)
            && (1..1400).contains(&socket.send_queue())
    }

    fn readiness(&self) -> u32 {
        let socket = self.peek();
        let state = socket.state();
        if matches!(state, State::SynSent | State::SynReceived) {
            return 0;
        }
        let dead = state == State::Closed;
        let no_more = self.peer_closed || self.read_closed || dead;
        let mut mask = 0;
        if socket.can_recv() || no_more {
            mask |= ready::IN;
        }
        if no_more {
            mask |= ready::RDHUP;
        }
        // Writing to a dead or closed direction does not block: it fails.
        if self.has_room() || self.write_closed || dead {
            mask |= ready::OUT;
        }
        if dead || (self.write_closed && (self.peer_closed || self.read_closed)) {
            mask |= ready::HUP;
        }
        mask
    }
}
