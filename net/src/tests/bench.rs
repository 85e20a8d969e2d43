//! One stack on a cable whose other end is the test's: frames byte by byte, and a clock that the test moves.

use super::frames::{self, Tcp, ethernet};
use crate::device::{Device, Offload, Receive, Received, Transmit};
use crate::engine::Kind;
use crate::tcp::Role;
use crate::{
    Change, Configuration, Error, IntegerOption, IpAddress, IpEndpoint, Ipv4Address,
    Ipv4Configuration, Ipv6Address, Ipv6Configuration, SocketId, Stack, packet,
};
use allocator_api2::alloc::Global;
use core::num::NonZeroU16;
use smoltcp::socket::tcp::State;
use std::collections::VecDeque;
use std::vec::Vec;

pub(super) const MILLISECOND: u64 = 1_000_000;
pub(super) const SECOND: u64 = 1_000_000_000;

/// This machine, and the one on the other end, which is the router, too.
pub(super) const OWN: IpAddress = IpAddress::v4(10, 0, 0, 2);
pub(super) const PEER: IpAddress = IpAddress::v4(10, 0, 0, 1);
pub(super) const OWN6: IpAddress = IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, 2);
pub(super) const PEER6: IpAddress = IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, 1);
pub(super) const ANY: IpAddress = IpAddress::v4(0, 0, 0, 0);
pub(super) const ANY6: IpAddress = IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 0);
pub(super) const LOCAL: IpAddress = IpAddress::v4(127, 0, 0, 1);
pub(super) const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub(super) const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// The receiving half of the cable.
#[derive(Default)]
pub(super) struct Incoming {
    pub frames: VecDeque<(Vec<u8>, bool)>,
    current: Vec<u8>,
}

/// The transmitting half: each frame with the size of the segments it is to be cut to.
pub(super) struct Outgoing {
    pub frames: Vec<(Vec<u8>, Option<u16>)>,
    pub most_frames: usize,
    pub flushes: usize,
}

/// The device.
pub(super) struct Cable {
    pub incoming: Incoming,
    pub outgoing: Outgoing,
    pub offload: Offload,
    pub mtu: usize,
    pub mac: [u8; 6],
    pub shows_all: bool,
    pub has_news: bool,
    pub exchanged: Option<u64>,
}

impl Cable {
    pub(super) fn new() -> Self {
        Self {
            incoming: Incoming::default(),
            outgoing: Outgoing {
                frames: Vec::new(),
                most_frames: 10_000,
                flushes: 0,
            },
            offload: Offload::default(),
            mtu: 1500,
            mac: OWN_MAC,
            shows_all: true,
            has_news: false,
            exchanged: None,
        }
    }
}

impl Receive for Incoming {
    fn receive(&mut self) -> Option<Received<'_>> {
        let (frame, checked) = self.frames.pop_front()?;
        self.current = frame;
        Some(Received {
            frame: &self.current,
            checked,
        })
    }
}

impl Transmit for Outgoing {
    fn ready(&mut self) -> bool {
        self.frames.len() < self.most_frames
    }
    fn send(&mut self, bytes: usize, segment: Option<NonZeroU16>, fill: &mut dyn FnMut(&mut [u8])) {
        let mut frame = std::vec![0; bytes];
        fill(&mut frame);
        self.frames.push((frame, segment.map(NonZeroU16::get)));
    }
    fn flush(&mut self) {
        self.flushes += 1;
    }
}

impl Device for Cable {
    fn exchange(&mut self, now_nanoseconds: u64) {
        self.exchanged = Some(now_nanoseconds);
    }
    fn shows_all(&self) -> bool {
        self.shows_all
    }
    fn prepare_to_sleep(&mut self) -> bool {
        self.has_news
    }
    fn split(&mut self) -> (&mut dyn Receive, &mut dyn Transmit) {
        (&mut self.incoming, &mut self.outgoing)
    }
    fn offload(&self) -> Offload {
        self.offload
    }
    fn mtu(&self) -> usize {
        self.mtu
    }
    fn hardware_address(&self) -> [u8; 6] {
        self.mac
    }
}

/// The addresses of most tests.
pub(super) fn configuration() -> Configuration {
    Configuration {
        ipv4: Ipv4Configuration::Static {
            address: Ipv4Address::new(10, 0, 0, 2),
            prefix_bits: 24,
            gateway: Some(Ipv4Address::new(10, 0, 0, 1)),
            name_server: Some(Ipv4Address::new(10, 0, 0, 53)),
        },
        ipv6: Some(Ipv6Configuration {
            address: Ipv6Address::new(0xfd00, 0, 0, 0, 0, 0, 0, 2),
            prefix_bits: 64,
            gateway: None,
        }),
        relayed: false,
        serves_all: false,
        budget_bytes: 8 << 20,
        seed: 7,
    }
}

/// A segment that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub from: IpEndpoint,
    pub to: IpEndpoint,
    pub flags: u8,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub window: u16,
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
    /// Hops, and the type of service or traffic class.
    pub hops: u8,
    pub service: u8,
    pub segment: Option<u16>,
}

/// The stack, and the time.
pub(super) struct Bench {
    pub stack: Stack<Cable>,
    pub now: u64,
    /// Whether the peer tells its hardware address when it is asked.
    pub answers: bool,
}

impl Bench {
    /// A stack whose neighbours are known.
    pub(super) fn new() -> Self {
        Self::with(&configuration(), Cable::new())
    }

    pub(super) fn with(configuration: &Configuration, cable: Cable) -> Self {
        let stack = Stack::new(Some(cable), configuration, &Global).expect("a valid set-up");
        let mut bench = Self {
            stack,
            now: 0,
            answers: true,
        };
        bench.pass(SECOND);
        bench.introduce(PEER, PEER_MAC);
        bench.frames();
        bench
    }

    pub(super) fn cable(&mut self) -> &mut Cable {
        self.stack.device().expect("a device")
    }

    /// A neighbour asks for this machine's hardware address, and so tells its own.
    pub(super) fn introduce(&mut self, address: IpAddress, mac: [u8; 6]) {
        if let IpAddress::Ipv4(address) = address {
            let own = (([0; 6]), [10, 0, 0, 2]);
            let question = frames::arp(1, (mac, address.octets()), own, [0xff; 6]);
            self.receive(&question);
        }
    }

    /// Lets time pass, and everything happen that is due in it.
    pub(super) fn pass(&mut self, time: u64) {
        let end = self.now + time;
        for _ in 0..1_000_000 {
            match self.stack.next_deadline() {
                Some(due) if due <= end => self.now = self.now.max(due),
                _ => break,
            }
            self.poll();
        }
        self.now = end;
        self.poll();
    }

    /// Lets happen what is due now; the peer answers who asks for it.
    pub(super) fn poll(&mut self) {
        self.stack.poll(self.now);
        let asks = |frame: &(Vec<u8>, Option<u16>)| {
            frame.0[12..14] == [8, 6] && frame.0[21] == 1 && frame.0[38..42] == [10, 0, 0, 1]
        };
        let frames = &mut self.cable().outgoing.frames;
        let before = frames.len();
        frames.retain(|frame| !asks(frame));
        if frames.len() < before && self.answers {
            let ends = ((PEER_MAC, [10, 0, 0, 1]), (OWN_MAC, [10, 0, 0, 2]));
            let answer = frames::arp(2, ends.0, ends.1, OWN_MAC);
            self.cable().incoming.frames.push_back((answer, false));
            self.stack.poll(self.now);
        }
    }

    /// A frame comes.
    pub(super) fn receive(&mut self, frame: &[u8]) {
        self.receive_as(frame, false);
    }

    pub(super) fn receive_as(&mut self, frame: &[u8], checked: bool) {
        let frame = (frame.to_vec(), checked);
        self.cable().incoming.frames.push_back(frame);
        self.poll();
    }

    /// An IP packet comes from the peer.
    pub(super) fn receive_packet(&mut self, packet: &[u8]) {
        self.receive(&ethernet(OWN_MAC, PEER_MAC, packet));
    }

    /// The frames that were sent since the last time.
    pub(super) fn frames(&mut self) -> Vec<(Vec<u8>, Option<u16>)> {
        core::mem::take(&mut self.cable().outgoing.frames)
    }

    /// The segments that were sent since the last time.
    pub(super) fn sent(&mut self) -> Vec<Sent> {
        let frames = self.frames();
        let sent = frames.iter().filter_map(|(frame, segment)| {
            let packet::Packet::Tcp(read) = packet::look(frame, 14) else {
                return None;
            };
            let checksum = self.stack.wire.as_ref()?.link.offload.checksum;
            assert!(checksum || packet::checksum_holds(frame, 14), "a bad sum");
            assert_eq!(frame[6..12], OWN_MAC);
            let ip = &frame[14..];
            let (header, hops, service) = match ip[0] >> 4 {
                4 => (20, ip[8], ip[1]),
                _ => (40, ip[7], ip[0] << 4 | ip[1] >> 4),
            };
            let tcp = &ip[header..];
            let options = usize::from(tcp[12] >> 4) * 4;
            Some(Sent {
                from: read.flow.remote,
                to: read.flow.local,
                flags: read.flags,
                sequence: read.sequence,
                acknowledgement: read.acknowledgement,
                window: u16::from_be_bytes([tcp[14], tcp[15]]),
                options: tcp[20..options].to_vec(),
                payload: tcp[options..].to_vec(),
                hops,
                service,
                segment: *segment,
            })
        });
        sent.collect()
    }

    /// The one segment that was sent since the last time.
    pub(super) fn one(&mut self) -> Sent {
        let sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:x?}");
        sent.into_iter().next().unwrap()
    }

    /// A listener on port 80 of every address.
    pub(super) fn listener(&mut self, backlog: usize) -> SocketId {
        let id = self.stack.stream(false).unwrap();
        // What is left of connections has the port, too.
        let reuse = IntegerOption::ReuseAddress;
        self.stack.set_option(id, reuse, 1).unwrap();
        self.stack.bind(id, IpEndpoint::new(ANY, 80)).unwrap();
        self.stack.listen(id, backlog).unwrap();
        id
    }

    /// The changes since the last time.
    pub(super) fn changes(&mut self) -> Vec<Change> {
        core::iter::from_fn(|| self.stack.take_change()).collect()
    }

    /// Whether a change was told of this socket, and with which readiness.
    pub(super) fn told(&mut self, id: SocketId) -> Option<u32> {
        let changes = self.changes();
        let of = changes.iter().rfind(|change| change.socket == id)?;
        Some(of.ready)
    }

    /// Sockets that there are.
    pub(super) fn sockets(&self) -> usize {
        self.stack.engine.sockets.iter().count()
    }

    /// Records of closed connections.
    pub(super) fn waits(&self, flow: packet::Flow) -> bool {
        self.stack.engine.waiting.find(&flow).is_some()
    }

    /// The state of smoltcp's socket.
    pub(super) fn state(&mut self, id: SocketId) -> State {
        match &self.stack.engine.tcp(id).unwrap().role {
            Role::Connection(connection) => connection.peek().state(),
            _ => State::Closed,
        }
    }

    /// The state of the connection with this peer, also when nobody holds it.
    pub(super) fn state_of(&self, peer: &Peer) -> Option<State> {
        let mut sockets = self.stack.engine.sockets.iter();
        sockets.find_map(|(_, socket)| match &socket.kind {
            Kind::Tcp(tcp) => match &tcp.role {
                Role::Connection(connection) if connection.flow == peer.flow() => {
                    Some(connection.peek().state())
                }
                _ => None,
            },
            Kind::Udp(_) => None,
        })
    }

    /// A connection that was accepted by a listener.
    pub(super) fn accepted(&mut self, port: u16) -> (SocketId, Peer) {
        let listener = self.listener(16);
        let mut peer = Peer::new(port, 80);
        peer.open(self);
        let id = self.stack.accept(listener).expect("one waits");
        self.stack.close(listener).unwrap();
        self.changes();
        self.sent();
        (id, peer)
    }

    /// A connection that this side made, to port 90.
    pub(super) fn connected(&mut self) -> (SocketId, Peer) {
        let id = self.stack.stream(false).unwrap();
        let peer = self.connect(id);
        (id, peer)
    }

    /// Connects a socket to port 90 of the peer.
    pub(super) fn connect(&mut self, id: SocketId) -> Peer {
        let to = IpEndpoint::new(PEER, 90);
        assert_eq!(self.stack.connect(id, to), Err(Error::InProgress));
        self.poll();
        let syn = self.one();
        assert_eq!(syn.flags, frames::SYN);
        let mut peer = Peer {
            ends: (to, syn.from),
            next: 5000,
            heard: syn.sequence.wrapping_add(1),
            window: 0xffff,
            options: &[2, 4, 5, 0xb4],
        };
        peer.send(self, frames::SYN | frames::ACK, b"");
        peer.options = &[];
        assert_eq!(self.state(id), State::Established);
        self.changes();
        self.sent();
        peer
    }
}

/// The other end of one connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Its own name, and the stack's.
    pub ends: (IpEndpoint, IpEndpoint),
    /// Its next sequence number, and the one it expects.
    pub next: u32,
    pub heard: u32,
    pub window: u16,
    pub options: &'static [u8],
}

impl Peer {
    /// A client, from `port` to `to`.
    pub(super) fn new(port: u16, to: u16) -> Self {
        Self {
            ends: (IpEndpoint::new(PEER, port), IpEndpoint::new(OWN, to)),
            next: 1000,
            heard: 0,
            window: 0xffff,
            options: &[],
        }
    }

    /// Its connection, as the stack sees it.
    pub(super) fn flow(&self) -> packet::Flow {
        packet::Flow {
            local: self.ends.1,
            remote: self.ends.0,
        }
    }

    /// The frame of a segment of its.
    pub(super) fn frame(&self, flags: u8, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let (from, to) = self.ends;
        let segment = Tcp {
            window: self.window,
            options: self.options,
            payload,
            ..Tcp::new(flags, sequence, self.heard)
        };
        let packet = frames::ip(from.addr, to.addr, frames::TCP, &segment.bytes(from, to));
        ethernet(OWN_MAC, PEER_MAC, &packet)
    }

    /// Sends a segment, which counts.
    pub(super) fn send(&mut self, bench: &mut Bench, flags: u8, payload: &[u8]) {
        let frame = self.frame(flags, self.next, payload);
        let control = u32::from(flags & frames::SYN != 0) + u32::from(flags & frames::FIN != 0);
        self.next = self.next.wrapping_add(payload.len() as u32 + control);
        bench.receive(&frame);
    }

    /// Opens the connection: a handshake.
    pub(super) fn open(&mut self, bench: &mut Bench) {
        self.send(bench, frames::SYN, b"");
        let reply = bench.sent().pop().expect("an answer");
        assert_eq!(reply.flags, frames::SYN | frames::ACK);
        self.heard = reply.sequence.wrapping_add(1);
        self.send(bench, frames::ACK, b"");
    }

    /// Counts a segment as heard, without saying so.
    pub(super) fn note(&mut self, segment: &Sent) {
        let control = segment.flags & (frames::SYN | frames::FIN);
        let length = segment.payload.len() as u32 + u32::from(control != 0);
        let end = segment.sequence.wrapping_add(length);
        if end.wrapping_sub(self.heard) as i32 > 0 {
            self.heard = end;
        }
    }

    /// The one segment that was sent since the last time, which it acknowledges.
    pub(super) fn hear_one(&mut self, bench: &mut Bench) -> Sent {
        let sent = bench.one();
        self.note(&sent);
        self.send(bench, frames::ACK, b"");
        sent
    }

    /// Acknowledges what was sent to it since the last time.
    pub(super) fn hear(&mut self, bench: &mut Bench) -> Vec<Sent> {
        let sent = bench.sent();
        for segment in &sent {
            self.note(segment);
        }
        self.send(bench, frames::ACK, b"");
        sent
    }
}
