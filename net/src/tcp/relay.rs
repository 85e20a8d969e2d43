//! Handshakes through a relay that ends TCP itself (`passt`). Its client is there already, and it takes our SYN-ACK for
//! the end of the handshake, but old ones (2023_03 among them) acknowledge it only together with the first data of
//! their client: a server that speaks first would never speak. So what they do not say for a while is put in
//! their mouth. Not before the relay has read the SYN-ACK: data that `passt` 2023_03 finds in one batch with it sends it
//! round in circles for ever. Must never be done for peers on a network: who floods us with SYNs would have connections.

use super::Connection;
use crate::device::Transmit;
use crate::link::Link;
use crate::packet::{ETHERNET_BYTES, Segment};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::tcp::State;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    IpAddress, IpProtocol, IpRepr, TcpControl, TcpOption, TcpPacket, TcpRepr, TcpSeqNumber,
};

/// Ethernet, the largest IP header, and TCP without options.
const FRAME_BYTES: usize = ETHERNET_BYTES + 40 + 20;

/// The window that a SYN offers, as later segments would write it (RFC 7323, 2.3); at least 1. `frame` holds
/// `segment` behind `header_bytes` of link header.
fn offered_window(frame: &[u8], header_bytes: usize, segment: &Segment) -> Option<u16> {
    let ip = frame.get(header_bytes..)?;
    let (start, end) = match segment.flow.local.addr {
        IpAddress::Ipv4(_) => {
            let total = u16::from_be_bytes(ip.get(2..4)?.try_into().ok()?);
            (usize::from(ip.first()? & 0x0f) * 4, usize::from(total))
        }
        IpAddress::Ipv6(_) => (40, ip.len()),
    };
    let packet = TcpPacket::new_checked(ip.get(start..end)?).ok()?;
    let (mut options, mut scale) = (packet.options(), 0);
    while !options.is_empty() {
        let (rest, option) = TcpOption::parse(options).ok()?;
        match option {
            TcpOption::EndOfList => break,
            TcpOption::WindowScale(shift) => scale = shift.min(14),
            _ => {}
        }
        options = rest;
    }
    Some((packet.window_len() >> scale).max(1))
}

/// How long a relay may keep silent before it is asked: most clients speak sooner.
const SILENCE: Duration = Duration::from_millis(1);

/// A handshake that waits for a relay.
pub(crate) struct Silence {
    /// The window that the client's SYN offered, as later segments would write it.
    window: u16,
    /// When our SYN-ACK left.
    since: Option<Instant>,
}

impl Silence {
    /// Begins with a client's SYN, `segment` in `frame`, behind `header_bytes` of link header.
    pub fn new(frame: &[u8], header_bytes: usize, segment: &Segment) -> Option<Self> {
        let window = offered_window(frame, header_bytes, segment)?;
        Some(Self {
            window,
            since: None,
        })
    }
}

impl Connection {
    /// Ends the handshake of a relay's client when the relay has read our part of it, and sees to it that it tells.
    pub(super) fn break_silence(&mut self, link: &mut Link, out: &mut dyn Transmit, now: Instant) {
        if self.peek().state() != State::SynReceived {
            self.silence = None;
        }
        let (Some(silence), Some(relay), Some(numbers)) =
            (&mut self.silence, &mut link.relay, self.numbers)
        else {
            return;
        };
        let since = *silence.since.get_or_insert(now);
        if relay.has_read(since) {
            let window = silence.window;
            self.silence = None;
            self.hear_acknowledgement(link, out, window, numbers, now);
        } else if now >= since + SILENCE {
            relay.ask(out, now);
        }
    }

    /// When to look at the relay again.
    pub(super) fn silence_due(&self, now: Instant) -> Option<Instant> {
        self.silence.as_ref().map(|_| now + SILENCE)
    }

    /// As if the peer had acknowledged all that was sent, `(next to send, next expected)`.
    fn hear_acknowledgement(
        &mut self,
        link: &mut Link,
        out: &mut dyn Transmit,
        window: u16,
        (send_next, receive_next): (u32, u32),
        now: Instant,
    ) {
        let tcp = TcpRepr {
            src_port: self.flow.remote.port,
            dst_port: self.flow.local.port,
            control: TcpControl::None,
            seq_number: TcpSeqNumber(receive_next as i32),
            ack_number: Some(TcpSeqNumber(send_next as i32)),
            window_len: window,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        };
        let (source, destination) = (self.flow.remote.addr, self.flow.local.addr);
        let ip = IpRepr::new(source, destination, IpProtocol::Tcp, tcp.buffer_len(), 64);
        let mut frame = [0; FRAME_BYTES];
        frame[..6].copy_from_slice(&link.hardware_address());
        let kind: [u8; 2] = match source {
            IpAddress::Ipv4(_) => [0x08, 0x00],
            IpAddress::Ipv6(_) => [0x86, 0xdd],
        };
        frame[12..ETHERNET_BYTES].copy_from_slice(&kind);
        let packet = &mut frame[ETHERNET_BYTES..ETHERNET_BYTES + ip.buffer_len()];
        let checksums = ChecksumCapabilities::default();
        ip.emit(&mut *packet, &checksums);
        let mut segment = TcpPacket::new_unchecked(&mut packet[ip.header_len()..]);
        tcp.emit(&mut segment, &source, &destination, &checksums);
        self.ingress(link, out, &frame[..ETHERNET_BYTES + ip.buffer_len()], now);
    }
}
