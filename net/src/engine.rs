//! The engine: all sockets and tables, and the processing of packets, timers and changes.
//! Links and devices are passed to it call by call. No packet causes a walk over all sockets.

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
    /// It is in the queue of sockets with something to send or to check.
    dirty: bool,
    /// It is in the queue of sockets that wait for a neighbour's address.
    stuck: bool,
    /// When the timer heap checks it next.
    scheduled: Option<Instant>,
}

/// Kind of socket.
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
    /// A connection was refused for lack of memory.
    pub lacks_memory: bool,
    /// The largest datagram that fits into one packet of the link; 0 without a link.
    pub datagram_bytes: usize,
    pub random: Random,
    pub now: Instant,
    /// When the device was last found empty: packets sent to us long before have been processed.
    pub heard: Instant,
    timers: Timers,
    changes: Fifo<SocketId>,
    dirty: Fifo<u32>,
    stuck: Fifo<u32>,
    nobody: SocketSet<'static>,
}

impl Engine {
    /// Makes an engine without sockets.
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

    /// Adds a socket. Reserves its place in every queue, so that queueing it later cannot fail.
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

    /// Returns the slot of a handle that the application holds.
    pub(crate) fn held(&self, id: SocketId) -> Result<u32> {
        let slot = self.sockets.slot(id)?;
        let held = self.sockets.get(slot).is_some_and(|socket| socket.held);
        held.then_some(slot).ok_or(Error::BadDescriptor)
    }

    /// Returns the TCP socket of a handle.
    pub(crate) fn tcp(&mut self, id: SocketId) -> Result<&mut Tcp> {
        let slot = self.sockets.slot(id)?;
        self.tcp_at(slot).ok_or(Error::NotSupported)
    }

    /// Returns the TCP socket in a slot.
    pub(crate) fn tcp_at(&mut self, slot: u32) -> Option<&mut Tcp> {
        match &mut self.sockets.get_mut(slot)?.kind {
            Kind::Tcp(tcp) => Some(tcp),
            Kind::Udp(_) => None,
        }
    }

    /// Queues a change of a socket that the application holds.
    pub(crate) fn report(&mut self, slot: u32) {
        let id = self.sockets.id(slot);
        if let Some(socket) = self.sockets.get_mut(slot)
            && socket.held
            && !core::mem::replace(&mut socket.changed, true)
        {
            // `insert` reserved the place; stale entries of closed sockets are skipped below.
            let _ = self.changes.push(id);
        }
    }

    /// Takes the oldest change.
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

    /// Queues a socket with something to send or to check.
    pub(crate) fn touch(&mut self, slot: u32) {
        if let Some(socket) = self.sockets.get_mut(slot)
            && !core::mem::replace(&mut socket.dirty, true)
        {
            // `insert` reserved the place: a slot is queued at most once.
            let _ = self.dirty.push(slot);
        }
    }

    /// Removes a socket from every table and frees it.
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

    /// Returns the slot of the connection with both ends.
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

    /// Processes a frame that has arrived on `link`.
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
        // A relay uses its clients' loopback addresses. From any other link such a packet
        // is forged (RFC 1122, 3.2.1.3).
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
                // A connection that has ended does not block its successor.
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
                // The peer has forgotten the old connection (RFC 5961, 3.2).
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

    /// Passes a frame to the interface only.
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

    /// Sends the data of every queued socket and updates its state.
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

    /// Sends the data of one socket and updates its state.
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
            // `insert` reserved the place.
            let _ = self.stuck.push(slot);
        }
        let Some(due) = due else { return };
        // A full device or a missing neighbour held up what is due now.
        let due = due.max(now + smoltcp::time::Duration::from_millis(1));
        if let Some(socket) = self.sockets.get_mut(slot)
            && socket.scheduled.is_none_or(|scheduled| due < scheduled)
        {
            // Without memory for a timer, every poll checks the socket instead.
            if self.timers.add(due, slot).is_ok() {
                socket.scheduled = Some(due);
            } else {
                self.touch(slot);
            }
        }
    }

    /// Retries the sockets that wait for a neighbour.
    pub(crate) fn unstick(&mut self) {
        while let Some(slot) = self.stuck.pop() {
            if let Some(socket) = self.sockets.get_mut(slot) {
                socket.stuck = false;
            }
            self.touch(slot);
        }
    }

    /// Serves the sockets whose timers have expired.
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

    /// Returns when `run_timers` has work: now, if sockets are already queued.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.dirty.is_empty() {
            self.timers.next()
        } else {
            Some(self.now)
        }
    }
}
