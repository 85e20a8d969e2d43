//! Datagrams: those to a forwarded port, the image's replies, and those that the image sends first.
//! There is a socket for each forwarded port, and one for each pair of ends of the image's
//! own flows. Idle ones are forgotten.

use super::addresses::{self, IMAGE_MAC, MTU_BYTES, RELAY_MAC};
use super::bind::Led;
use super::wire::Wire;
use bespoke_net::passing::Outgoing;
use bespoke_net::{IpAddress, IpEndpoint};
use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

/// Most clients, and most flows of the image, that are kept.
const MOST: usize = 1024;
/// Idle time after which an entry may be removed.
const IDLE: Duration = Duration::from_secs(180);
/// Most datagrams taken from one socket in one turn, so that others are served, too.
const TURN: usize = 64;
/// First of the ports that identify the host's clients to the image.
const FIRST_PORT: u16 = 1024;

/// The image's port, and the client as seen by the image.
type Seen = (IpEndpoint, IpEndpoint);

/// A client of a forwarded port.
struct Client {
    address: SocketAddr,
    led: usize,
    heard: Instant,
}

/// A flow that the image started.
struct Flow {
    ends: (IpEndpoint, IpEndpoint),
    socket: UdpSocket,
    heard: Instant,
}

/// See the module.
pub(super) struct Datagrams {
    led: Vec<(Led, UdpSocket)>,
    clients: HashMap<Seen, Client>,
    /// The inverse map: by socket and client address.
    seen: HashMap<(usize, SocketAddr), Seen>,
    flows: HashMap<u32, Flow>,
    by_ends: HashMap<(IpEndpoint, IpEndpoint), u32>,
    next: u32,
    next_port: u16,
    buffer: Vec<u8>,
}

impl Datagrams {
    pub(super) fn new(led: Vec<(Led, UdpSocket)>) -> Self {
        Self {
            led,
            clients: HashMap::new(),
            seen: HashMap::new(),
            flows: HashMap::new(),
            by_ends: HashMap::new(),
            next: 0,
            next_port: FIRST_PORT,
            buffer: vec![0; 1 << 16],
        }
    }

    /// Returns the sockets of the forwarded ports.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.led.iter().map(|(_, socket)| socket.as_raw_fd())
    }

    /// Takes the datagrams at the forwarded port `at`.
    pub(super) fn take_questions(&mut self, at: usize, wire: &mut Wire) {
        let now = Instant::now();
        for _ in 0..TURN {
            let (led, socket) = &self.led[at];
            // An error of an earlier reply, which has no receiver.
            let Ok((bytes, client)) = socket.recv_from(&mut self.buffer) else {
                return;
            };
            let image = addresses::image(led.is_ipv6, led.guest);
            let is_ipv6 = led.is_ipv6;
            let Some(seen) = self.client(at, client, image, is_ipv6, now) else {
                continue;
            };
            wire.send_datagram(&datagram((seen, image), &self.buffer[..bytes]));
        }
    }

    /// Returns the client as seen by the image, and stores it.
    fn client(
        &mut self,
        at: usize,
        client: SocketAddr,
        image: IpEndpoint,
        is_ipv6: bool,
        now: Instant,
    ) -> Option<IpEndpoint> {
        if let Some(seen) = self.seen.get(&(at, client)) {
            if let Some(known) = self.clients.get_mut(seen) {
                known.heard = now;
            }
            return Some(seen.1);
        }
        if self.clients.len() >= MOST {
            self.forget_clients(now);
        }
        let (address, port) = addresses::seen(client, is_ipv6);
        let own = port.map(|port| IpEndpoint::new(address, port));
        let seen = own
            .filter(|seen| !self.clients.contains_key(&(image, *seen)))
            .or_else(|| self.free_end(image, addresses::gateway(is_ipv6)))?;
        self.seen.insert((at, client), (image, seen));
        let client = Client {
            address: client,
            led: at,
            heard: now,
        };
        self.clients.insert((image, seen), client);
        Some(seen)
    }

    fn free_end(&mut self, image: IpEndpoint, address: IpAddress) -> Option<IpEndpoint> {
        (0..=MOST).find_map(|_| {
            let end = IpEndpoint::new(address, self.next_port);
            self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_PORT);
            (!self.clients.contains_key(&(image, end))).then_some(end)
        })
    }

    /// Removes clients that were idle for long, or else the most idle half.
    fn forget_clients(&mut self, now: Instant) {
        let mut heard: Vec<Instant> = self.clients.values().map(|client| client.heard).collect();
        heard.sort_unstable();
        let middle = heard.get(heard.len() / 2).copied().unwrap_or(now);
        let oldest = now
            .checked_sub(IDLE)
            .map_or(middle, |limit| limit.max(middle));
        self.clients.retain(|_, client| client.heard > oldest);
        let clients = &self.clients;
        self.seen.retain(|_, seen| clients.contains_key(seen));
    }

    /// Forwards a datagram of the image. For a new flow, returns its number and
    /// socket, to be watched for reading.
    pub(super) fn pass_on(
        &mut self,
        from: IpEndpoint,
        to: IpEndpoint,
        payload: &[u8],
    ) -> Option<(u32, RawFd)> {
        let now = Instant::now();
        // A datagram that cannot be sent is lost, as datagrams may be.
        if let Some(client) = self.clients.get_mut(&(from, to)) {
            client.heard = now;
            let _ = self.led[client.led].1.send_to(payload, client.address);
            return None;
        }
        if let Some(flow) = self
            .by_ends
            .get(&(from, to))
            .and_then(|number| self.flows.get_mut(number))
        {
            flow.heard = now;
            let _ = flow.socket.send(payload);
            return None;
        }
        let address = addresses::host(to)?;
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => ([0; 4], 0).into(),
            SocketAddr::V6(_) => ([0u16; 8], 0).into(),
        };
        let socket = UdpSocket::bind(any).ok()?;
        socket.set_nonblocking(true).ok()?;
        socket.connect(address).ok()?;
        let _ = socket.send(payload);
        if self.flows.len() >= MOST {
            self.forget_flows(now);
        }
        let (number, descriptor) = (self.next, socket.as_raw_fd());
        self.next = self.next.wrapping_add(1);
        self.by_ends.insert((from, to), number);
        let flow = Flow {
            ends: (from, to),
            socket,
            heard: now,
        };
        self.flows.insert(number, flow);
        Some((number, descriptor))
    }

    fn forget_flows(&mut self, now: Instant) {
        let mut heard: Vec<Instant> = self.flows.values().map(|flow| flow.heard).collect();
        heard.sort_unstable();
        let middle = heard.get(heard.len() / 2).copied().unwrap_or(now);
        let oldest = now
            .checked_sub(IDLE)
            .map_or(middle, |limit| limit.max(middle));
        self.flows.retain(|_, flow| flow.heard > oldest);
        let flows = &self.flows;
        self.by_ends.retain(|_, number| flows.contains_key(number));
    }

    /// Takes the datagrams for a flow of the image.
    pub(super) fn take_answers(&mut self, number: u32, wire: &mut Wire) {
        let Some(flow) = self.flows.get_mut(&number) else {
            return;
        };
        flow.heard = Instant::now();
        let (image, peer) = flow.ends;
        for _ in 0..TURN {
            match flow.socket.recv(&mut self.buffer) {
                Ok(bytes) => wire.send_datagram(&datagram((peer, image), &self.buffer[..bytes])),
                Err(_) => return,
            }
        }
    }
}

fn datagram(ends: (IpEndpoint, IpEndpoint), payload: &[u8]) -> Outgoing<'_> {
    Outgoing {
        hardware: (RELAY_MAC, IMAGE_MAC),
        ends,
        // A datagram that does not fit into a packet is not sent, whatever its length.
        payload: &payload[..payload.len().min(MTU_BYTES.into())],
    }
}
