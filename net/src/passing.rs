//! Packets that a relay takes out of the stack's way: datagrams, which it passes on itself, and the segments that open a
//! connection, which it answers only when its other side has one. Reads and writes whole Ethernet frames; owns nothing.

use crate::packet::{self, ETHERNET_BYTES, Packet, flag};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpEndpoint,
    IpProtocol, IpRepr, UdpPacket, UdpRepr,
};

/// Bytes of a UDP header.
const UDP_BYTES: usize = 8;

/// What a relay looks for in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing<'a> {
    /// A whole datagram whose checksum holds.
    Datagram {
        /// Who sent it.
        from: IpEndpoint,
        /// Whom it is for.
        to: IpEndpoint,
        /// What it says.
        payload: &'a [u8],
    },
    /// A TCP segment that opens a connection.
    Opening {
        /// Who connects.
        from: IpEndpoint,
        /// To whom.
        to: IpEndpoint,
    },
    /// A frame for the stack.
    Other,
}

/// What `frame` is to a relay. Damaged datagrams are [`Passing::Other`]: the stack, which has no datagram sockets, drops them.
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
    // The look before has checked versions, lengths and that it is no fragment.
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
    /// What it says.
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
    /// When `frame` has not [`Outgoing::frame_bytes`], or the packet is longer than 65,535 bytes.
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
}
