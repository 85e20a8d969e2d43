//! The engine: every socket, and what happens to a packet, a timer and a change.
//! Owns all tables; links and devices are lent to it call by call. Must never walk over all
//! sockets for one packet.

use crate::budget::Budget;
use crate::device::Transmit;
use crate::fifo::Fifo;
use crate::flow::FlowTable;
use crate::link::{Link, Links, Path};
use crate::memory::{Box, Memory};
use crate::packet::{self, Flow, Packet, Segment, flag};
use crate::ports::Ports;
use crate::random::Random;
use crate::slab::{Slab, SocketId};
use crate::tcp::{Role, Tcp};
use crate::timers::Timers;
use crate::udp::Udp;
use crate::waiting::Waiting;
use crate::{Error, Result};
use smoltcp::iface::SocketSet;
use smoltcp::time::Instant;

/// A socket.
pub(crate) struct Socket {
    pub kind: Kind,
    /// The application has a handle.
    pub held: bool,
    /// It is in the queue of changes.
    changed: bool,
    /// It is in the queue of those with something to send or to look after.
    dirty: bool,
    /// It is in the queue of those that wait for a neighbour.
    stuck: bool,
    /// When the timer heap looks at it next.
    scheduled: Option<Instant>,
}

/// What a socket is.
pub(crate) enum Kind {
    Tcp(Box<Tcp>),
    Udp(Box<Udp>),
}

/// All sockets.
pub(crate) struct Engine {
    pub memory: Memory,
    pub sockets: Slab<Socket>,
    pub flows: FlowTable,
    pub ports: Ports,
    pub waiting: Waiting,
    pub budget: Budget,
    /// A connection was not taken for want of memory.
    pub lacks_memory: bool,
    /// The largest datagram that the wire carries in one packet; 0 without a wire.
    pub datagram_bytes: usize,
    pub random: Random,
    pub now: Instant,
    /// When the device was last found empty: what was sent to us long before has been heard.
    pub heard: Instant,
    timers: Timers,
    changes: Fifo<SocketId>,
    dirty: Fifo<u32>,
    stuck: Fifo<u32>,
    nobody: SocketSet<'static>,
}

impl Engine {
    /// No sockets.
    pub(crate) fn new(memory: Memory, budget_bytes: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            memory,
            sockets: Slab::new(memory),
            flows: FlowTable::new(random.next(), memory),
            ports: Ports::new(memory),
            waiting: Waiting::new(random.next(), memory),
            budget: Budget::new(budget_bytes),
            lacks_memory: false,
            datagram_bytes: 0,
            random,
            now: Instant::ZERO,
            heard: Instant::ZERO,
            timers: Timers::new(memory),
            changes: Fifo::new(memory),
            dirty: Fifo::new(memory),
            stuck: Fifo::new(memory),
            nobody: SocketSet::new(&mut [][..]),
        }
    }

    /// Adds a socket; room in every queue it can be in is made now, so that queueing it later
    /// cannot fail.
    pub(crate) fn insert(&mut self, kind: Kind, held: bool) -> Result<u32> {
        let socket = Socket {
            kind,
            held,
            changed: false,
            dirty: false,
            stuck: false,
            scheduled: None,
        };
        let slot = self.sockets.insert(socket)?;
        let count = slot as usize + 1;
        let id = self.sockets.id(slot);
        let room = self
            .dirty
            .reserve(count, slot)
            .and_then(|()| self.stuck.reserve(count, slot))
            .and_then(|()| self.changes.reserve(count, id));
        if room.is_err() {
            self.sockets.remove(slot);
            return Err(Error::NoMemory);
        }
        Ok(slot)
    }

    /// The slot of a handle that the application holds.
    pub(crate) fn held(&self, id: SocketId) -> Result<u32> {
        let slot = self.sockets.slot(id)?;
        let held = self.sockets.get(slot).is_some_and(|socket| socket.held);
        held.then_some(slot).ok_or(Error::BadDescriptor)
    }

    /// The TCP socket of a handle.
    pub(crate) fn tcp(&mut self, id: SocketId) -> Result<&mut Tcp> {
        let slot = self.sockets.slot(id)?;
        self.tcp_at(slot).ok_or(Error::NotSupported)
    }

    /// The TCP socket in a slot.
    pub(crate) fn tcp_at(&mut self, slot: u32) -> Option<&mut Tcp> {
        match &mut self.sockets.get_mut(slot)?.kind {
            Kind::Tcp(tcp) => Some(tcp),
            Kind::Udp(_) => None,
        }
    }

    /// Queues a change of a socket the application holds.
    pub(crate) fn report(&mut self, slot: u32) {
        let id = self.sockets.id(slot);
        if let Some(socket) = self.sockets.get_mut(slot)
            && socket.held
            && !core::mem::replace(&mut socket.changed, true)
        {
            // Room was made in `insert`; stale entries of closed sockets are skipped below.
            let _ = self.changes.push(id);
        }
    }

    /// The oldest change.
    pub(crate) fn take_change(&mut self) -> Option<u32> {
        loop {
            let id = self.changes.pop()?;
            if let Ok(slot) = self.sockets.slot(id)
                && let Some(socket) = self.sockets.get_mut(slot)
            {
                socket.changed = false;
                return Some(slot);
            }
        }
    }

    /// Queues a socket that has something to send or to look after.
    pub(crate) fn touch(&mut self, slot: u32) {
        if let Some(socket) = self.sockets.get_mut(slot)
            && !core::mem::replace(&mut socket.dirty, true)
        {
            // Room was made in `insert`: a slot is queued once at most.
            let _ = self.dirty.push(slot);
        }
    }

    /// Takes a socket out of every table and frees it.
    pub(crate) fn remove(&mut self, slot: u32) {
        self.ports.remove(slot);
        let Some(socket) = self.sockets.remove(slot) else {
            return;
        };
        if socket.dirty {
            self.dirty.remove(slot);
        }
        if socket.stuck {
            self.stuck.remove(slot);
        }
        if let Kind::Tcp(tcp) = &socket.kind
            && let Role::Connection(connection) = &tcp.role
        {
            self.flows.remove(&connection.flow, slot);
        }
        let bytes = match &socket.kind {
            Kind::Tcp(tcp) => tcp.buffer_bytes(),
            Kind::Udp(udp) => udp.buffer_bytes(),
        };
        self.budget.give(bytes);
    }

    /// The slot of the connection with both ends.
    pub(crate) fn connection(&self, flow: &Flow) -> Option<u32> {
        self.flows.find(flow, |slot| {
            self.sockets
                .get(slot)
                .is_some_and(|socket| match &socket.kind {
                    Kind::Tcp(tcp) => tcp.is_connection_of(flow),
                    Kind::Udp(_) => false,
                })
        })
    }

    /// A frame has come over `link`.
    pub(crate) fn ingress(
        &mut self,
        link: &mut Link,
        path: Path,
        out: &mut dyn Transmit,
        frame: &[u8],
        checked: bool,
    ) {
        let packet = packet::look(frame, link.header_bytes);
        if link.offload.checksum && !checked && !packet::checksum_holds(frame, link.header_bytes) {
            return;
        }
        // A relay speaks for clients of its own machine by their address; from any other wire that is forged (RFC 1122, 3.2.1.3).
        if path == Path::Wire && !link.relayed && packet.names_loopback() {
            return;
        }
        match packet {
            Packet::Tcp(segment) => self.segment(link, path, out, frame, &segment),
            Packet::Udp(flow) => self.datagram(link, path, out, frame, &flow),
            Packet::Unreachable { flow, tcp, code } => self.unreachable(&flow, tcp, code),
            Packet::Interface => {
                if packet::tells_neighbour(frame) {
                    self.unstick();
                }
                link.ingress(frame, out, &mut self.nobody, self.now);
            }
            Packet::Unusable => {}
        }
    }

    fn segment(
        &mut self,
        link: &mut Link,
        path: Path,
        out: &mut dyn Transmit,
        frame: &[u8],
        segment: &Segment,
    ) {
        if let Some(slot) = self.connection(&segment.flow) {
            let now = self.now;
            let Some(tcp) = self.tcp_at(slot) else { return };
            if tcp.is_over(segment, link.relayed) {
                // A connection that has ended does not keep its successor out.
                self.flows.remove(&segment.flow, slot);
            } else {
                tcp.ingress(link, out, frame, segment, now);
                if let Some(listener) = tcp.complete_handshake() {
                    self.established(slot, listener);
                }
                self.touch(slot);
                return;
            }
        } else if let Some(numbers) = self.waiting.find(&segment.flow) {
            let newer =
                link.relayed || segment.sequence.wrapping_sub(numbers.receive_next) as i32 > 0;
            if segment.has(flag::SYN) && !segment.has(flag::ACK) && newer {
                self.waiting.remove(&segment.flow);
            } else if segment.has(flag::RST) {
                // The peer knows nothing of the old connection any more (RFC 5961, 3.2).
                if segment.sequence == numbers.receive_next {
                    self.waiting.remove(&segment.flow);
                }
                return;
            } else {
                if segment.sequence_length() > 0 {
                    crate::tcp::acknowledge(link, out, frame, &segment.flow, numbers);
                }
                return;
            }
        }
        let only_syn = segment.flags & (flag::SYN | flag::ACK | flag::RST | flag::FIN) == flag::SYN;
        if only_syn && link.interface.has_ip_addr(segment.flow.local.addr) {
            let spread = self.random.next() as u32;
            let flow = segment.flow;
            let listener = self.ports.find(
                crate::ports::Transport::Tcp,
                flow.local.addr,
                flow.local.port,
                spread,
                |binding| binding.listening,
            );
            if let Some(listener) = listener {
                return self.welcome(listener, link, path, out, frame, segment);
            }
        }
        link.ingress(frame, out, &mut self.nobody, self.now);
    }

    /// Gives a frame to the interface alone.
    pub(crate) fn hand_to_interface(
        &mut self,
        link: &mut Link,
        out: &mut dyn Transmit,
        frame: &[u8],
    ) {
        link.ingress(frame, out, &mut self.nobody, self.now);
    }

    fn unreachable(&mut self, flow: &Flow, tcp: bool, code: u8) {
        if tcp {
            if let Some(slot) = self.connection(flow)
                && let Some(tcp) = self.tcp_at(slot)
                && tcp.cannot_connect(code)
            {
                self.touch(slot);
            }
        } else {
            self.datagram_refused(flow, code);
        }
    }

    /// Sends what every queued socket has to send, and follows what became of it.
    pub(crate) fn flush(&mut self, links: &mut Links<'_>) {
        // Sockets that still cannot send are queued again behind these.
        for _ in 0..self.dirty.len() {
            let Some(slot) = self.dirty.pop() else { return };
            if let Some(socket) = self.sockets.get_mut(slot) {
                socket.dirty = false;
                self.serve(slot, links);
            }
        }
    }

    /// Sends what one socket has to send, and follows what became of it.
    pub(crate) fn serve(&mut self, slot: u32, links: &mut Links<'_>) {
        let now = self.now;
        let Some(socket) = self.sockets.get_mut(slot) else {
            return;
        };
        let mut stuck = false;
        let due = match &mut socket.kind {
            Kind::Tcp(tcp) => {
                stuck = tcp.egress(links, now);
                if let Some(listener) = tcp.complete_handshake() {
                    self.established(slot, listener);
                }
                self.follow(slot, links)
            }
            Kind::Udp(udp) => {
                let due = udp.egress(links, now, &mut stuck);
                self.datagram_follow(slot);
                due
            }
        };
        if stuck
            && let Some(socket) = self.sockets.get_mut(slot)
            && !core::mem::replace(&mut socket.stuck, true)
        {
            // Room was made in `insert`.
            let _ = self.stuck.push(slot);
        }
        let Some(due) = due else { return };
        // What is due at once was held up by a full device or a missing neighbour.
        let due = due.max(now + smoltcp::time::Duration::from_millis(1));
        if let Some(socket) = self.sockets.get_mut(slot)
            && socket.scheduled.is_none_or(|scheduled| due < scheduled)
        {
            // Without memory for a timer the socket is looked at in every poll instead.
            if self.timers.add(due, slot).is_ok() {
                socket.scheduled = Some(due);
            } else {
                self.touch(slot);
            }
        }
    }

    /// Lets those try again that wait for a neighbour.
    pub(crate) fn unstick(&mut self) {
        while let Some(slot) = self.stuck.pop() {
            if let Some(socket) = self.sockets.get_mut(slot) {
                socket.stuck = false;
            }
            self.touch(slot);
        }
    }

    /// Serves the sockets whose time has come.
    pub(crate) fn run_timers(&mut self) {
        while let Some((due, slot)) = self.timers.take_due(self.now) {
            if let Some(socket) = self.sockets.get_mut(slot)
                && socket.scheduled == Some(due)
            {
                socket.scheduled = None;
                self.touch(slot);
            }
        }
        self.waiting.expire(self.now);
    }

    /// When `run_timers` has something to do; now, if sockets are queued already.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.dirty.is_empty() {
            self.timers.next()
        } else {
            Some(self.now)
        }
    }
}
