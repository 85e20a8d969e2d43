//! Packets that a relay handles outside of the stack: datagrams, which it forwards itself, and
//! segments that open a connection, which it answers only after its other side is connected.
//! This module reads and writes whole Ethernet frames.

use crate::packet::{self, ETHERNET_BYTES, Packet, flag};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpEndpoint,
    IpProtocol, IpRepr, UdpPacket, UdpRepr,
};

/// Bytes of a UDP header.
const UDP_BYTES: usize = 8;

/// Classification of a frame for a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing<'a> {
    /// A complete datagram with a valid checksum.
    Datagram {
        /// Sender.
        from: IpEndpoint,
        /// Receiver.
        to: IpEndpoint,
        /// Data.
        payload: &'a [u8],
    },
    /// A TCP segment that opens a connection.
    Opening {
        /// Sender.
        from: IpEndpoint,
        /// Receiver.
        to: IpEndpoint,
    },
    /// A frame for the stack.
    Other,
}

/// Classifies `frame`. Damaged datagrams are [`Passing::Other`]: the stack, which has
/// no datagram sockets, drops them.
pub fn look(frame: &[u8]) -> Passing<'_> {
    match packet::look(frame, ETHERNET_BYTES) {
        Packet::Udp(flow) => datagram(frame).map_or(Passing::Other, |payload| Passing::Datagram {
            from: flow.remote,
            to: flow.local,
            payload,
        }),
        Packet::Tcp(segment)
            if segment.flags & (flag::SYN | flag::ACK | flag::RST | flag::FIN) == flag::SYN =>
        {
            Passing::Opening {
                from: segment.flow.remote,
                to: segment.flow.local,
            }
        }
        _ => Passing::Other,
    }
}

fn datagram(frame: &[u8]) -> Option<&[u8]> {
    if !packet::checksum_holds(frame, ETHERNET_BYTES) {
        return None;
    }
    // The classification before has checked versions and lengths, and that it is not a fragment.
    let ip = frame.get(ETHERNET_BYTES..)?;
    let header = match ip.first()? >> 4 {
        4 => usize::from(ip[0] & 0x0f) * 4,
        _ => 40,
    };
    let udp = ip.get(header..)?;
    let bytes = usize::from(u16::from_be_bytes(udp.get(4..6)?.try_into().ok()?));
    udp.get(UDP_BYTES..bytes)
}

/// A datagram to be written.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Hardware addresses of sender and receiver.
    pub hardware: ([u8; 6], [u8; 6]),
    /// Sender and receiver, of the same family.
    pub ends: (IpEndpoint, IpEndpoint),
    /// Data.
    pub payload: &'a [u8],
}

impl Outgoing<'_> {
    fn ip(&self) -> IpRepr {
        let (from, to) = self.ends;
        let bytes = UDP_BYTES + self.payload.len();
        IpRepr::new(from.addr, to.addr, IpProtocol::Udp, bytes, 64)
    }

    /// Bytes of the IP packet; it must fit the link's MTU.
    pub fn packet_bytes(&self) -> usize {
        self.ip().buffer_len()
    }

    /// Bytes of the frame.
    pub fn frame_bytes(&self) -> usize {
        ETHERNET_BYTES + self.packet_bytes()
    }

    /// Writes the frame.
    ///
    /// # Panics
    ///
    /// When `frame` does not have [`Outgoing::frame_bytes`], or the
    /// packet is longer than 65,535 bytes.
    pub fn write(&self, frame: &mut [u8]) {
        let (from, to) = self.ends;
        let ip = self.ip();
        let checksums = ChecksumCapabilities::default();
        let ethernet = EthernetRepr {
            src_addr: EthernetAddress(self.hardware.0),
            dst_addr: EthernetAddress(self.hardware.1),
            ethertype: match from.addr {
                IpAddress::Ipv4(_) => EthernetProtocol::Ipv4,
                IpAddress::Ipv6(_) => EthernetProtocol::Ipv6,
            },
        };
        let mut frame = EthernetFrame::new_unchecked(frame);
        ethernet.emit(&mut frame);
        let packet = frame.payload_mut();
        ip.emit(&mut *packet, &checksums);
        let udp = UdpRepr {
            src_port: from.port,
            dst_port: to.port,
        };
        udp.emit(
            &mut UdpPacket::new_unchecked(&mut packet[ip.header_len()..]),
            &from.addr,
            &to.addr,
            self.payload.len(),
            |room| room.copy_from_slice(self.payload),
            &checksums,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn a_datagram_reads_as_it_was_written_and_not_when_damaged() {
        let v4 = |last| IpEndpoint::new(IpAddress::v4(10, 0, 2, last), 1000 + u16::from(last));
        let v6 = |last| IpEndpoint::new(IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, last), 53);
        for (ends, payload) in [
            ((v4(2), v4(15)), &b""[..]),
            ((v4(2), v4(15)), b"a word"),
            ((v6(2), v6(15)), b"an odd word"),
        ] {
            let datagram = Outgoing {
                hardware: ([2; 6], [4; 6]),
                ends,
                payload,
            };
            let mut frame = vec![0; datagram.frame_bytes()];
            datagram.write(&mut frame);
            let (from, to) = ends;
            let whole = Passing::Datagram { from, to, payload };
            assert_eq!(look(&frame), whole);
            let last = frame.len() - 1;
            frame[last] ^= 1;
            assert_eq!(look(&frame), Passing::Other);
            assert_eq!(look(&frame[..last]), Passing::Other);
        }
    }

    #[test]
    fn only_a_lone_syn_opens_a_connection() {
        use crate::tests::frames::{self, Tcp};
        let from = IpEndpoint::new(IpAddress::v4(10, 0, 2, 2), 1000);
        let to = IpEndpoint::new(IpAddress::v4(10, 0, 2, 15), 80);
        for flags in 0..=255 {
            let tcp = Tcp::new(flags, 5, 6).bytes(from, to);
            let packet = frames::ip(from.addr, to.addr, frames::TCP, &tcp);
            let frame = frames::ethernet([2; 6], [4; 6], &packet);
            let opens = match flags & 0x17 {
                2 => Passing::Opening { from, to },
                _ => Passing::Other,
            };
            assert_eq!(look(&frame), opens, "{flags:#x}");
        }
        let question = frames::arp(
            1,
            ([2; 6], [10, 0, 2, 2]),
            ([0; 6], [10, 0, 2, 15]),
            [0xff; 6],
        );
        assert_eq!(look(&question), Passing::Other);
    }

    #[test]
    fn a_datagram_is_what_the_wire_has_for_it() {
        use crate::tests::frames;
        let v4 = |last| IpEndpoint::new(IpAddress::v4(10, 0, 2, last), 1000 + u16::from(last));
        let v6 = |last| IpEndpoint::new(IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, last), 53);
        for (ends, ip_bytes) in [((v4(2), v4(15)), 20), ((v6(2), v6(15)), 40)] {
            let payload = b"a word";
            let datagram = Outgoing {
                hardware: ([2, 1, 1, 1, 1, 1], [4; 6]),
                ends,
                payload,
            };
            assert_eq!(datagram.packet_bytes(), ip_bytes + 8 + 6);
            assert_eq!(datagram.frame_bytes(), 14 + ip_bytes + 8 + 6);
            let mut frame = vec![0; datagram.frame_bytes()];
            datagram.write(&mut frame);
            let (from, to) = ends;
            let udp = frames::udp(from, to, payload);
            let mut packet = frames::ip(from.addr, to.addr, frames::UDP, &udp);
            if ip_bytes == 20 {
                // Not to be fragmented.
                packet[6] = 0x40;
                packet[10..12].fill(0);
                let sum = frames::checksum(&[&packet[..20]]);
                packet[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            assert_eq!(frame, frames::ethernet([4; 6], [2, 1, 1, 1, 1, 1], &packet));
            // Options of IPv4, and padding behind the datagram.
            let packet = frames::ip_with(from.addr, to.addr, frames::UDP, &[1; 8], &udp);
            let mut frame = frames::ethernet([4; 6], [2; 6], &packet);
            frame.extend([0; 7]);
            assert_eq!(look(&frame), Passing::Datagram { from, to, payload });
            // A datagram shorter than its packet, and one that says it is longer or has no header.
            for (length, whole) in [
                (13u16, Some(&payload[..5])),
                (15, None),
                (7, None),
                (8, Some(&[])),
            ] {
                let mut udp = udp.clone();
                udp[4..8].copy_from_slice(&[(length >> 8) as u8, length as u8, 0, 0]);
                let sum = frames::transport_sum(from.addr, to.addr, frames::UDP, &udp);
                udp[6..8].copy_from_slice(&sum.to_be_bytes());
                let packet = frames::ip(from.addr, to.addr, frames::UDP, &udp);
                let frame = frames::ethernet([4; 6], [2; 6], &packet);
                let expected = whole.map_or(Passing::Other, |payload| Passing::Datagram {
                    from,
                    to,
                    payload,
                });
                assert_eq!(look(&frame), expected, "{length}");
            }
        }
    }
}
