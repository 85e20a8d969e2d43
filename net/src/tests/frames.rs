//! Frames byte by byte, built and read without the code under test: what a peer on the wire puts there and finds there.

use crate::{IpAddress, IpEndpoint};
use std::vec;
use std::vec::Vec;

/// Protocol numbers.
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMP6: u8 = 58;

/// Flags of TCP.
pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;

/// The Internet checksum of all parts, each of which starts at an even place (RFC 1071).
pub(crate) fn checksum(parts: &[&[u8]]) -> u16 {
    let pairs = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = pairs
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The bytes of an address.
pub(crate) fn octets(address: IpAddress) -> Vec<u8> {
    match address {
        IpAddress::Ipv4(address) => address.octets().to_vec(),
        IpAddress::Ipv6(address) => address.octets().to_vec(),
    }
}

/// The sum that a datagram or segment has to come to, with its pseudo-header.
pub(crate) fn transport_sum(from: IpAddress, to: IpAddress, protocol: u8, payload: &[u8]) -> u16 {
    let length = (payload.len() as u32).to_be_bytes();
    let pseudo = [
        &octets(from)[..],
        &octets(to),
        &length,
        &[0, 0, 0, protocol],
    ]
    .concat();
    checksum(&[&pseudo, payload])
}

/// A datagram of UDP with its checksum.
pub(crate) fn udp(from: IpEndpoint, to: IpEndpoint, payload: &[u8]) -> Vec<u8> {
    let mut udp = Vec::new();
    udp.extend(from.port.to_be_bytes());
    udp.extend(to.port.to_be_bytes());
    udp.extend((8 + payload.len() as u16).to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    let sum = transport_sum(from.addr, to.addr, UDP, &udp);
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    udp
}

/// A segment to be built.
#[derive(Clone, Debug)]
pub(crate) struct Tcp<'a> {
    pub flags: u8,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub window: u16,
    pub options: &'a [u8],
    pub payload: &'a [u8],
}

impl Tcp<'_> {
    /// A segment without options and payload.
    pub(crate) fn new(flags: u8, sequence: u32, acknowledgement: u32) -> Self {
        Self {
            flags,
            sequence,
            acknowledgement,
            window: 0xffff,
            options: &[],
            payload: &[],
        }
    }

    /// Its bytes with their checksum.
    pub(crate) fn bytes(&self, from: IpEndpoint, to: IpEndpoint) -> Vec<u8> {
        let mut tcp = Vec::new();
        tcp.extend(from.port.to_be_bytes());
        tcp.extend(to.port.to_be_bytes());
        tcp.extend(self.sequence.to_be_bytes());
        tcp.extend(self.acknowledgement.to_be_bytes());
        tcp.extend([((20 + self.options.len()) as u8 / 4) << 4, self.flags]);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0; 4]);
        tcp.extend(self.options);
        tcp.extend(self.payload);
        let sum = transport_sum(from.addr, to.addr, TCP, &tcp);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        tcp
    }
}

/// An IP packet; one of IPv4 with these options, whose bytes are a multiple of 4.
pub(crate) fn ip_with(
    from: IpAddress,
    to: IpAddress,
    protocol: u8,
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    if matches!(from, IpAddress::Ipv6(_)) {
        let mut ip = vec![0x60, 0, 0, 0];
        ip.extend((payload.len() as u16).to_be_bytes());
        ip.extend([protocol, 64]);
        ip.extend(octets(from));
        ip.extend(octets(to));
        ip.extend(payload);
        return ip;
    }
    let header = 20 + options.len();
    let mut ip = vec![0x40 | (header / 4) as u8, 0];
    ip.extend(((header + payload.len()) as u16).to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    ip.extend(octets(from));
    ip.extend(octets(to));
    ip.extend(options);
    let sum = checksum(&[&ip]);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    ip.extend(payload);
    ip
}

/// An IP packet without options.
pub(crate) fn ip(from: IpAddress, to: IpAddress, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ip_with(from, to, protocol, &[], payload)
}

/// A message of ICMP about a packet; the version is that of the addresses.
pub(crate) fn icmp(from: IpAddress, to: IpAddress, kind: u8, code: u8, about: &[u8]) -> Vec<u8> {
    let mut icmp = vec![kind, code, 0, 0, 0, 0, 0, 0];
    icmp.extend(about);
    let (protocol, sum) = match from {
        IpAddress::Ipv4(_) => (ICMP, checksum(&[&icmp])),
        IpAddress::Ipv6(_) => (ICMP6, transport_sum(from, to, ICMP6, &icmp)),
    };
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    ip(from, to, protocol, &icmp)
}

/// A frame with an IP packet.
pub(crate) fn ethernet(to: [u8; 6], from: [u8; 6], packet: &[u8]) -> Vec<u8> {
    let kind = match packet[0] >> 4 {
        4 => [8, 0],
        _ => [0x86, 0xdd],
    };
    [&to[..], &from, &kind, packet].concat()
}

/// A message of ARP in a frame: who says what (1: asks, 2: answers) about which address.
pub(crate) fn arp(
    operation: u8,
    from: ([u8; 6], [u8; 4]),
    to: ([u8; 6], [u8; 4]),
    frame_to: [u8; 6],
) -> Vec<u8> {
    let mut frame = [&frame_to[..], &from.0, &[8, 6]].concat();
    frame.extend([0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend([&from.0[..], &from.1, &to.0, &to.1].concat());
    frame
}
