//! Classifies packets: finds the flow of each. It reads only headers; smoltcp does the rest.
//! Lengths are not trusted: every read is bounded by the packet itself.

use crate::link::is_loopback;
use smoltcp::wire::{IpAddress, IpEndpoint, Ipv4Address, Ipv6Address};

/// Bytes of an Ethernet header.
pub(crate) const ETHERNET_BYTES: usize = 14;

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;
const HOP_BY_HOP: u8 = 0;

/// TCP header flags.
pub(crate) mod flag {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const ACK: u8 = 0x10;
}

/// Both ends of a flow, seen from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub local: IpEndpoint,
    pub remote: IpEndpoint,
}

/// A TCP segment's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub flow: Flow,
    pub flags: u8,
    pub sequence: u32,
    pub acknowledgement: u32,
    /// Bytes of payload.
    pub payload: usize,
}

/// Kind of packet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Packet {
    /// A TCP segment.
    Tcp(Segment),
    /// A UDP datagram.
    Udp(Flow),
    /// An ICMP error about a flow of ours. `tcp`: the protocol is TCP.
    Unreachable { flow: Flow, tcp: bool, code: u8 },
    /// A packet for the interface itself: ARP, neighbour discovery, echo.
    Interface,
    /// A packet that is not usable.
    Unusable,
}

impl Packet {
    /// Whether one end of the flow is a loopback address.
    pub(crate) fn names_loopback(&self) -> bool {
        match self {
            Packet::Tcp(Segment { flow, .. })
            | Packet::Udp(flow)
            | Packet::Unreachable { flow, .. } => {
                is_loopback(flow.local.addr) || is_loopback(flow.remote.addr)
            }
            Packet::Interface | Packet::Unusable => false,
        }
    }
}

/// Whether the frame contains the hardware address of a neighbour: an ARP
/// reply or a neighbour advertisement.
pub(crate) fn tells_neighbour(frame: &[u8]) -> bool {
    match u16_at(frame, 12) {
        Some(0x0806) => u16_at(frame, ETHERNET_BYTES + 6) == Some(2),
        Some(0x86dd) => frame.get(ETHERNET_BYTES + 40) == Some(&136),
        _ => false,
    }
}

/// Classifies the packet behind `header_bytes` of link header: 14 for Ethernet, 0 for none.
pub(crate) fn look(frame: &[u8], header_bytes: usize) -> Packet {
    let inspect = || -> Option<Packet> {
        let ip = frame.get(header_bytes..)?;
        if header_bytes == ETHERNET_BYTES {
            return match u16_at(frame, 12)? {
                0x0800 => look4(ip),
                0x86dd => look6(ip),
                0x0806 => Some(Packet::Interface),
                _ => None,
            };
        }
        match ip.first()? >> 4 {
            4 => look4(ip),
            6 => look6(ip),
            _ => None,
        }
    };
    inspect().unwrap_or(Packet::Unusable)
}

fn look4(ip: &[u8]) -> Option<Packet> {
    let header = usize::from(*ip.first()? & 0x0f) * 4;
    let total = usize::from(u16_at(ip, 2)?);
    // Fragments are not reassembled: TCP never sends them, and our datagrams fit into a packet.
    let fragment = u16_at(ip, 6)? & 0x3fff != 0;
    if ip[0] >> 4 != 4 || header < 20 || total < header || fragment {
        return None;
    }
    let payload = ip.get(header..total)?;
    let source = IpAddress::Ipv4(address4(ip, 12)?);
    let destination = IpAddress::Ipv4(address4(ip, 16)?);
    match ip[9] {
        ICMP if *payload.first()? == 3 => unreachable4(payload),
        ICMP => Some(Packet::Interface),
        protocol => transport(protocol, payload, source, destination),
    }
}

fn look6(ip: &[u8]) -> Option<Packet> {
    let length = usize::from(u16_at(ip, 4)?);
    if ip[0] >> 4 != 6 {
        return None;
    }
    let payload = ip.get(40..)?.get(..length)?;
    let source = IpAddress::Ipv6(address6(ip, 8)?);
    let destination = IpAddress::Ipv6(address6(ip, 24)?);
    match ip[6] {
        ICMP6 if *payload.first()? == 1 => unreachable6(payload),
        ICMP6 | HOP_BY_HOP => Some(Packet::Interface),
        protocol => transport(protocol, payload, source, destination),
    }
}

fn transport(
    protocol: u8,
    payload: &[u8],
    source: IpAddress,
    destination: IpAddress,
) -> Option<Packet> {
    let flow = Flow {
        local: IpEndpoint::new(destination, u16_at(payload, 2)?),
        remote: IpEndpoint::new(source, u16_at(payload, 0)?),
    };
    match protocol {
        TCP => {
            let header = usize::from(*payload.get(12)? >> 4) * 4;
            Some(Packet::Tcp(Segment {
                flow,
                flags: *payload.get(13)?,
                sequence: u32_at(payload, 4)?,
                acknowledgement: u32_at(payload, 8)?,
                payload: payload.len().checked_sub(header)?,
            }))
        }
        UDP => Some(Packet::Udp(flow)),
        _ => None,
    }
}

/// Writes the type of service (IPv4) or the traffic class (IPv6) of a packet behind `header_bytes` of link header.
pub(crate) fn set_service(frame: &mut [u8], header_bytes: usize, service: u8) {
    const SUM: usize = 10;
    let Some(ip) = frame.get_mut(header_bytes..) else {
        return;
    };
    match ip {
        [first, second, ..] if *first >> 4 == 6 => {
            *first = 0x60 | service >> 4;
            *second = service << 4 | *second & 0x0f;
        }
        [first, second, ..] => {
            let bytes = usize::from(*first & 0x0f) * 4;
            *second = service;
            if let Some(header) = ip.get_mut(..bytes.max(20)) {
                header[SUM..SUM + 2].fill(0);
                let sum = !smoltcp::wire::checksum::data(header);
                header[SUM..SUM + 2].copy_from_slice(&sum.to_be_bytes());
            }
        }
        _ => {}
    }
}

/// Returns the maximum segment size of a SYN's sender (RFC 9293, 3.7.1),
/// behind `header_bytes` of link header.
pub(crate) fn maximum_segment(frame: &[u8], header_bytes: usize) -> Option<u16> {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const SEGMENT: u8 = 2;
    let ip = frame.get(header_bytes..)?;
    let header = match ip.first()? >> 4 {
        4 => usize::from(ip[0] & 0x0f) * 4,
        _ => 40,
    };
    let tcp = ip.get(header..)?;
    let mut options = tcp.get(20..usize::from(tcp.get(12)? >> 4) * 4)?;
    loop {
        match *options.first()? {
            END => return None,
            NOTHING => options = &options[1..],
            SEGMENT => return u16_at(options, 2),
            _ => options = options.get(usize::from(*options.get(1)?).max(2)..)?,
        }
    }
}

/// RFC 792: the payload is the header and 8 bytes of our packet that could not be delivered.
fn unreachable4(icmp: &[u8]) -> Option<Packet> {
    let inner = icmp.get(8..)?;
    let header = usize::from(*inner.first()? & 0x0f) * 4;
    let (local, remote) = (address4(inner, 12)?, address4(inner, 16)?);
    unreachable(
        *inner.get(9)?,
        inner.get(header..)?,
        IpAddress::Ipv4(local),
        IpAddress::Ipv4(remote),
        icmp[1],
    )
}

/// RFC 4443, section 3.1. Returns the codes of ICMPv4 (3: port, 1: host).
fn unreachable6(icmp: &[u8]) -> Option<Packet> {
    let inner = icmp.get(8..)?;
    let (local, remote) = (address6(inner, 8)?, address6(inner, 24)?);
    let code = if *icmp.get(1)? == 4 { 3 } else { 1 };
    unreachable(
        *inner.get(6)?,
        inner.get(40..)?,
        IpAddress::Ipv6(local),
        IpAddress::Ipv6(remote),
        code,
    )
}

fn unreachable(
    protocol: u8,
    transport: &[u8],
    local: IpAddress,
    remote: IpAddress,
    code: u8,
) -> Option<Packet> {
    let flow = Flow {
        local: IpEndpoint::new(local, u16_at(transport, 0)?),
        remote: IpEndpoint::new(remote, u16_at(transport, 2)?),
    };
    match protocol {
        TCP | UDP => Some(Packet::Unreachable {
            flow,
            tcp: protocol == TCP,
            code,
        }),
        _ => None,
    }
}

impl Segment {
    /// Whether `flag` is set.
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Returns the sequence number after this segment, and the number that it acknowledges.
    pub(crate) fn next_numbers(&self) -> (u32, u32) {
        let next = self.sequence.wrapping_add(self.sequence_length());
        (next, self.acknowledgement)
    }

    /// Length in sequence space.
    pub(crate) fn sequence_length(&self) -> u32 {
        let control = u32::from(self.has(flag::SYN)) + u32::from(self.has(flag::FIN));
        control.wrapping_add(self.payload as u32)
    }
}

/// A checksum that is still to be computed: where the sum starts and where it
/// is stored, from the frame's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partial {
    pub start: u16,
    pub offset: u16,
    /// Bytes of all headers; IPv4 or not.
    pub headers: u16,
    pub ipv4: bool,
}

/// If the frame is TCP or UDP, stores the pseudo-header's sum where the device will add
/// the rest (virtio 1.2, 5.1.6.2.1).
pub(crate) fn prepare_checksum(frame: &mut [u8], header_bytes: usize) -> Option<Partial> {
    let ip = frame.get(header_bytes..)?;
    let ipv4 = ip.first()? >> 4 == 4;
    let (protocol, header, addresses, length) = if ipv4 {
        let header = usize::from(ip[0] & 0x0f) * 4;
        let length = usize::from(u16_at(ip, 2)?).checked_sub(header)?;
        (*ip.get(9)?, header, ip.get(12..20)?, length)
    } else {
        (*ip.get(6)?, 40, ip.get(8..40)?, usize::from(u16_at(ip, 4)?))
    };
    let (field, fixed) = match protocol {
        TCP => (16, usize::from(*ip.get(header + 12)? >> 4) * 4),
        UDP => (6, 8),
        _ => return None,
    };
    let mut sum = u32::from(protocol) + length as u32;
    for pair in addresses.chunks_exact(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let start = header_bytes + header;
    let place = frame.get_mut(start + field..start + field + 2)?;
    place.copy_from_slice(&(sum as u16).to_be_bytes());
    Some(Partial {
        start: start as u16,
        offset: field as u16,
        headers: (start + fixed) as u16,
        ipv4,
    })
}

/// Whether the TCP or UDP checksum of the packet is valid; true for all other packets.
pub(crate) fn checksum_holds(frame: &[u8], header_bytes: usize) -> bool {
    use smoltcp::wire::{IpProtocol, checksum};
    let verify = || -> Option<bool> {
        let ip = frame.get(header_bytes..)?;
        let (protocol, source, destination, payload) = if ip.first()? >> 4 == 4 {
            let header = usize::from(ip[0] & 0x0f) * 4;
            let payload = ip.get(header..usize::from(u16_at(ip, 2)?))?;
            (
                *ip.get(9)?,
                IpAddress::Ipv4(address4(ip, 12)?),
                IpAddress::Ipv4(address4(ip, 16)?),
                payload,
            )
        } else {
            let payload = ip.get(40..)?.get(..usize::from(u16_at(ip, 4)?))?;
            (
                *ip.get(6)?,
                IpAddress::Ipv6(address6(ip, 8)?),
                IpAddress::Ipv6(address6(ip, 24)?),
                payload,
            )
        };
        if protocol != TCP && protocol != UDP {
            return None;
        }
        // An IPv4 datagram may have no checksum.
        if protocol == UDP && u16_at(payload, 6)? == 0 {
            return Some(ip[0] >> 4 == 4);
        }
        let length = u32::try_from(payload.len()).ok()?;
        let pseudo =
            checksum::pseudo_header(&source, &destination, IpProtocol::from(protocol), length);
        Some(checksum::combine(&[pseudo, checksum::data(payload)]) == 0xffff)
    };
    verify().unwrap_or(true)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn address4(bytes: &[u8], at: usize) -> Option<Ipv4Address> {
    let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(octets.into())
}

fn address6(bytes: &[u8], at: usize) -> Option<Ipv6Address> {
    let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
    Some(octets.into())
}

#[cfg(test)]
mod tests;
