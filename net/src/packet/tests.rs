//! What a packet is, from its bytes alone, and what is written into packets.

use super::*;
use crate::passing::Outgoing;
use smoltcp::wire::checksum;
use std::vec;

fn datagram(from: IpAddress, to: IpAddress) -> vec::Vec<u8> {
    let datagram = Outgoing {
        hardware: ([2; 6], [4; 6]),
        ends: (IpEndpoint::new(from, 1), IpEndpoint::new(to, 2)),
        payload: b"word",
    };
    let mut frame = vec![0; datagram.frame_bytes()];
    datagram.write(&mut frame);
    frame
}

#[test]
fn a_type_of_service_changes_nothing_else() {
    let four = |last| IpAddress::v4(10, 0, 0, last);
    let mut frame = datagram(four(1), four(2));
    let before = frame.clone();
    set_service(&mut frame, ETHERNET_BYTES, 0xb8);
    let header = &frame[ETHERNET_BYTES..ETHERNET_BYTES + 20];
    assert_eq!(header[1], 0xb8);
    assert_eq!(checksum::data(header), 0xffff);
    set_service(&mut frame, ETHERNET_BYTES, 0);
    assert_eq!(frame, before);

    let six = |last| IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, last);
    let mut frame = datagram(six(1), six(2));
    let before = frame.clone();
    set_service(&mut frame, ETHERNET_BYTES, 0xb8);
    assert_eq!(frame[ETHERNET_BYTES..][..2], [0x6b, 0x80]);
    assert!(checksum_holds(&frame, ETHERNET_BYTES));
    set_service(&mut frame, ETHERNET_BYTES, 0);
    assert_eq!(frame, before);
    // What is too short for a header stays as it is.
    for bytes in 0..ETHERNET_BYTES + 20 {
        set_service(&mut frame[..bytes], ETHERNET_BYTES, 1);
    }
}

#[test]
fn the_largest_segment_is_found_among_options() {
    let mut frame = vec![0; 20 + 32];
    frame[0] = 0x45;
    frame[20 + 12] = 8 << 4;
    assert_eq!(maximum_segment(&frame, 0), None);
    frame[40..48].copy_from_slice(&[1, 3, 3, 7, 2, 4, 0x05, 0xb4]);
    assert_eq!(maximum_segment(&frame, 0), Some(1460));
    // A length that cannot be one does not keep it for ever.
    frame[40..48].copy_from_slice(&[8, 0, 1, 1, 1, 1, 1, 1]);
    assert_eq!(maximum_segment(&frame, 0), None);
    for bytes in 0..frame.len() {
        maximum_segment(&frame[..bytes], 0);
    }
}

use crate::tests::frames::{self, ICMP, ICMP6, Tcp};
use std::format;
use std::string::String;

const V4: (IpAddress, IpAddress) = (IpAddress::v4(192, 168, 3, 77), IpAddress::v4(10, 200, 0, 9));
const V6: (IpAddress, IpAddress) = (
    IpAddress::v6(0xfd00, 1, 2, 3, 4, 5, 6, 7),
    IpAddress::v6(0xfe80, 0xa, 0xb, 0xc, 0xd, 0xe, 0xf, 0x10),
);
const FROM: [u8; 6] = [2, 3, 4, 5, 6, 7];
const TO: [u8; 6] = [2, 9, 8, 7, 6, 5];

/// The sender and the receiver with their ports.
fn ends((from, to): (IpAddress, IpAddress)) -> (IpEndpoint, IpEndpoint) {
    (IpEndpoint::new(from, 0x1234), IpEndpoint::new(to, 0x5678))
}

/// The flow of packets from the first to the second, as the second sees it.
fn flow(addresses: (IpAddress, IpAddress)) -> Flow {
    let (remote, local) = ends(addresses);
    Flow { local, remote }
}

/// The packet alone, and in a frame: with the bytes of their link headers.
fn both(packet: &[u8]) -> [(vec::Vec<u8>, usize); 2] {
    let frame = frames::ethernet(TO, FROM, packet);
    [(packet.to_vec(), 0), (frame, ETHERNET_BYTES)]
}

/// What a packet is, alone and in a frame.
fn seen(packet: &[u8]) -> String {
    let [alone, framed] = both(packet).map(|(bytes, header)| format!("{:?}", look(&bytes, header)));
    assert_eq!(alone, framed);
    alone
}

fn is(packet: Packet) -> String {
    format!("{packet:?}")
}

#[test]
fn segments_and_datagrams_are_read_behind_every_header() {
    let segment = Tcp {
        options: &[1; 12],
        payload: b"eleven byte",
        ..Tcp::new(0x12, 0x0102_0304, 0x5060_7080)
    };
    for addresses in [V4, V6] {
        let (from, to) = ends(addresses);
        let tcp = segment.bytes(from, to);
        let udp = frames::udp(from, to, b"word");
        let read = Packet::Tcp(Segment {
            flow: flow(addresses),
            flags: 0x12,
            sequence: 0x0102_0304,
            acknowledgement: 0x5060_7080,
            payload: 11,
        });
        for options in [&[][..], &[1; 4], &[1; 40]] {
            let packet = |protocol, payload: &[u8]| {
                let mut packet = frames::ip_with(from.addr, to.addr, protocol, options, payload);
                // The padding of a short frame is no part of it.
                packet.extend([0xaa; 9]);
                packet
            };
            assert_eq!(seen(&packet(TCP, &tcp)), is(read));
            let datagram = Packet::Udp(flow(addresses));
            assert_eq!(seen(&packet(UDP, &udp)), is(datagram));
            // No other transport is known, and ports alone are not enough.
            assert_eq!(seen(&packet(132, &tcp)), is(Packet::Unusable));
            assert_eq!(seen(&packet(UDP, &udp[..3])), is(Packet::Unusable));
            assert_eq!(seen(&packet(UDP, &udp[..4])), is(datagram));
            for end in 0..32 {
                assert_eq!(seen(&packet(TCP, &tcp[..end])), is(Packet::Unusable));
            }
        }
    }
}

#[test]
fn a_segment_occupies_its_payload_and_its_flags() {
    let segment = |flags, payload| Segment {
        flow: flow(V4),
        flags,
        sequence: u32::MAX - 1,
        acknowledgement: 77,
        payload,
    };
    for (flags, payload, length) in [
        (flag::ACK, 0, 0),
        (flag::ACK, 5, 5),
        (flag::SYN, 0, 1),
        (flag::FIN | flag::ACK, 7, 8),
        (flag::SYN | flag::FIN, 7, 9),
        (flag::RST, 0, 0),
    ] {
        let segment = segment(flags, payload);
        assert_eq!(segment.sequence_length(), length);
        let next = (u32::MAX - 1).wrapping_add(length);
        assert_eq!(segment.next_numbers(), (next, 77));
    }
    let segment = segment(flag::SYN | flag::ACK, 0);
    let flags = [flag::FIN, flag::SYN, flag::RST, flag::ACK];
    assert_eq!(flags, [1, 2, 4, 16]);
    let has = flags.map(|flag| segment.has(flag));
    assert_eq!(has, [false, true, false, true]);
}

#[test]
fn what_is_for_the_interface_is_told_from_what_is_for_nobody() {
    let interface = is(Packet::Interface);
    let unusable = is(Packet::Unusable);
    for (kind, four, six) in [
        (8, &interface, &interface),
        (0, &interface, &interface),
        // An error about nothing: 3 in version 4, 1 in version 6.
        (3, &unusable, &interface),
        (1, &interface, &unusable),
    ] {
        let message = |(from, to)| seen(&frames::icmp(from, to, kind, 0, &[]));
        assert_eq!((&message(V4), &message(V6)), (four, six), "{kind}");
    }
    // Version 4 has no header by hop, and no message without a byte.
    assert_eq!(seen(&frames::ip(V6.0, V6.1, 0, &[1; 8])), interface);
    assert_eq!(seen(&frames::ip(V4.0, V4.1, 0, &[1; 8])), unusable);
    assert_eq!(seen(&frames::ip(V4.0, V4.1, ICMP6, &[1; 8])), unusable);
    assert_eq!(seen(&frames::ip(V6.0, V6.1, ICMP, &[1; 8])), unusable);
    assert_eq!(seen(&frames::ip(V4.0, V4.1, ICMP, &[])), unusable);
    assert_eq!(seen(&frames::ip(V6.0, V6.1, ICMP6, &[])), unusable);

    let question = frames::arp(1, (FROM, [10, 0, 0, 1]), (TO, [10, 0, 0, 2]), [0xff; 6]);
    assert_eq!(is(look(&question, ETHERNET_BYTES)), interface);
    assert_eq!(is(look(&question[..13], ETHERNET_BYTES)), unusable);
    // Another kind of frame, whatever is in it; and a version that is not what the frame says.
    let (from, to) = ends(V4);
    let packet = frames::ip(V4.0, V4.1, UDP, &frames::udp(from, to, b""));
    let packet6 = frames::ip(V6.0, V6.1, UDP, &frames::udp(ends(V6).0, ends(V6).1, b""));
    for (kind, packet) in [
        ([0x81, 0], &packet),
        ([0x86, 0xdd], &packet),
        ([8, 0], &packet6),
        ([8, 1], &packet),
    ] {
        let mut frame = frames::ethernet(TO, FROM, packet);
        frame[12..14].copy_from_slice(&kind);
        assert_eq!(is(look(&frame, ETHERNET_BYTES)), unusable, "{kind:?}");
    }
    for version in [0, 5, 7, 15] {
        for packet in [&packet, &packet6] {
            let mut packet = packet.clone();
            packet[0] = version << 4 | packet[0] & 15;
            assert_eq!(is(look(&packet, 0)), unusable, "{version}");
        }
    }
    assert_eq!(is(look(&[], 0)), unusable);
}

#[test]
fn lengths_of_headers_are_held_to_at_their_edges() {
    let unusable = is(Packet::Unusable);
    let good = is(Packet::Udp(flow(V4)));
    let (from, to) = ends(V4);
    let packet = |length: u8, total: u16| {
        let mut packet = frames::ip(V4.0, V4.1, UDP, &frames::udp(from, to, b"abcdefgh"));
        packet[0] = 0x40 | length;
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        seen(&packet)
    };
    assert_eq!(packet(5, 36), good);
    assert_eq!(packet(5, 24), good);
    assert_eq!(packet(5, 23), unusable);
    assert_eq!(packet(5, 37), unusable);
    assert_eq!(packet(4, 36), unusable);
    assert_eq!(packet(0, 36), unusable);
    assert_eq!(packet(9, 36), unusable);
    assert_eq!(packet(5, 0), unusable);
    let fragment = |bits: u16| {
        let mut packet = frames::ip(V4.0, V4.1, UDP, &frames::udp(from, to, b""));
        packet[6..8].copy_from_slice(&bits.to_be_bytes());
        seen(&packet) == unusable
    };
    for bit in 0..16 {
        assert_eq!(fragment(1 << bit), bit < 14, "{bit}");
    }
    let good = is(Packet::Udp(flow(V6)));
    let packet = |length: u16| {
        let (from, to) = ends(V6);
        let mut packet = frames::ip(V6.0, V6.1, UDP, &frames::udp(from, to, b"ab"));
        packet[4..6].copy_from_slice(&length.to_be_bytes());
        seen(&packet)
    };
    let found = [10, 4, 3, 11, 0].map(|length| packet(length) == good);
    assert_eq!(found, [true, true, false, false, false]);
}

#[test]
fn errors_about_our_packets_name_our_flow() {
    // What we sent from the second to the first, and what a router says of it.
    for ((remote, local), kind, options) in [(V4, 3, &[][..]), (V4, 3, &[1; 8]), (V6, 1, &[])] {
        let (there, here) = ends((remote, local));
        for code in [0, 1, 3, 4, 13] {
            for (protocol, tcp) in [(TCP, Some(true)), (UDP, Some(false)), (132, None)] {
                let sent = frames::udp(here, there, b"");
                let about = frames::ip_with(local, remote, protocol, options, &sent);
                let expected = tcp.map_or(Packet::Unusable, |tcp| Packet::Unreachable {
                    flow: Flow {
                        local: here,
                        remote: there,
                    },
                    tcp,
                    code: match (kind, code) {
                        (3, code) => code,
                        // Version 6: the port is 4; all others say that the host is not there.
                        (_, 4) => 3,
                        _ => 1,
                    },
                });
                let message = frames::icmp(remote, local, kind, code, &about);
                assert_eq!(seen(&message), is(expected), "{code} {protocol}");
            }
        }
        // Eight bytes of the transport are enough, three are not.
        let sent = frames::udp(here, there, b"");
        for (bytes, is_enough) in [(8, true), (4, true), (3, false), (0, false)] {
            let about = frames::ip_with(local, remote, UDP, options, &sent[..bytes]);
            let message = frames::icmp(remote, local, kind, 0, &about);
            assert_eq!(seen(&message) != is(Packet::Unusable), is_enough, "{bytes}");
        }
    }
}

#[test]
fn only_answers_tell_a_neighbour() {
    let ends = ((FROM, [10, 0, 0, 1]), (TO, [10, 0, 0, 2]));
    for operation in [0, 1, 2, 3] {
        let frame = frames::arp(operation, ends.0, ends.1, TO);
        assert_eq!(tells_neighbour(&frame), operation == 2);
        assert!(!tells_neighbour(&frame[..21]));
    }
    for kind in [135, 136, 137] {
        let message = frames::icmp(V6.0, V6.1, kind, 0, &[0; 16]);
        let mut frame = frames::ethernet(TO, FROM, &message);
        assert_eq!(tells_neighbour(&frame), kind == 136);
        assert!(!tells_neighbour(&frame[..54]));
        frame[12..14].copy_from_slice(&[8, 0]);
        assert!(!tells_neighbour(&frame));
    }
    assert!(!tells_neighbour(&[]));
}

#[test]
fn the_largest_segment_is_found_behind_every_header() {
    let syn = Tcp {
        options: &[1, 1, 1, 0x3, 3, 7, 2, 4, 0x12, 0x34, 0, 0],
        ..Tcp::new(flag::SYN, 1, 0)
    };
    // 3, 3, 7 is a window scale behind three fillers.
    for addresses in [V4, V6] {
        let (from, to) = ends(addresses);
        for options in [&[][..], &[1; 8]] {
            let packet = frames::ip_with(from.addr, to.addr, TCP, options, &syn.bytes(from, to));
            for (bytes, header) in both(&packet) {
                assert_eq!(maximum_segment(&bytes, header), Some(0x1234));
            }
        }
        for (options, expected) in [
            // Behind the end of options nothing counts.
            (&[0, 2, 4, 1][..], None),
            (&[2, 4, 0x05, 0xdc], Some(1500)),
            (&[1, 1, 1, 1], None),
            // Options that are not known are passed by with their lengths.
            (
                &[5, 10, 2, 4, 9, 9, 2, 4, 9, 9, 1, 2, 4, 0x02, 0x18, 0],
                Some(536),
            ),
            (&[8, 2, 2, 4, 0x05, 0xb4, 1, 1], Some(1460)),
            // Cut, or longer than the header.
            (&[1, 1, 2, 4], None),
            (&[1, 1, 1, 5], None),
            (&[9, 200, 2, 4, 1, 1, 0, 0], None),
            (&[], None),
        ] {
            let syn = Tcp {
                options,
                ..Tcp::new(flag::SYN, 1, 0)
            };
            let packet = frames::ip(from.addr, to.addr, TCP, &syn.bytes(from, to));
            assert_eq!(maximum_segment(&packet, 0), expected, "{options:?}");
        }
        // Payload is no option.
        let data = Tcp {
            payload: &[2, 4, 1, 1],
            ..Tcp::new(flag::SYN, 1, 0)
        };
        let packet = frames::ip(from.addr, to.addr, TCP, &data.bytes(from, to));
        assert_eq!(maximum_segment(&packet, 0), None);
    }
}

#[test]
fn the_device_completes_what_is_prepared() {
    // Completes a checksum as a device does (virtio 1.2, 5.1.6.2).
    fn complete(frame: &mut [u8], partial: Partial) {
        let (start, offset) = (usize::from(partial.start), usize::from(partial.offset));
        let sum = frames::checksum(&[&frame[start..]]);
        frame[start + offset..start + offset + 2].copy_from_slice(&sum.to_be_bytes());
    }
    for addresses in [V4, V6] {
        let (from, to) = ends(addresses);
        let ip_bytes = |options: &[u8]| match from.addr {
            IpAddress::Ipv4(_) => 20 + options.len(),
            IpAddress::Ipv6(_) => 40,
        };
        for options in [&[][..], &[1; 4]] {
            let segment = Tcp {
                options: &[1; 8],
                payload: b"odd",
                ..Tcp::new(flag::ACK, 5, 6)
            };
            for (protocol, transport, offset, fixed) in [
                (TCP, segment.bytes(from, to), 16, 28),
                (UDP, frames::udp(from, to, b"payload"), 6, 8),
            ] {
                let packet = frames::ip_with(from.addr, to.addr, protocol, options, &transport);
                for (mut bytes, header) in both(&packet) {
                    let whole = bytes.clone();
                    let start = (header + ip_bytes(options)) as u16;
                    bytes[usize::from(start) + offset..][..2].fill(0x77);
                    let partial = prepare_checksum(&mut bytes, header).expect("a transport");
                    let expected = Partial {
                        start,
                        offset: offset as u16,
                        headers: start + fixed,
                        ipv4: matches!(from.addr, IpAddress::Ipv4(_)),
                    };
                    assert_eq!(partial, expected);
                    complete(&mut bytes, partial);
                    assert_eq!(bytes, whole);
                }
            }
        }
        for protocol in [ICMP, ICMP6, 132] {
            let packet = frames::ip(from.addr, to.addr, protocol, &[9; 40]);
            let mut same = packet.clone();
            assert_eq!(prepare_checksum(&mut same, 0), None);
            assert_eq!(same, packet);
        }
    }
    // Sums of all sizes, those that are carried once, twice, or not at all.
    for tail in (0..=0xffff).step_by(3).chain([0xfff0 - 0x1f]) {
        for high in [0, 0xffff] {
            let words = [high, high, high, high, high, high, high, tail];
            let [a, b, c, d, e, f, g, h] = words;
            let one = IpEndpoint::new(IpAddress::v6(a, b, c, d, e, f, g, h), 1);
            let other = IpEndpoint::new(IpAddress::v6(high, 0, 0, 0, 0, 0, 0, 0xf), 2);
            let mut packet = frames::ip(one.addr, other.addr, UDP, &frames::udp(one, other, b""));
            let whole = packet.clone();
            let partial = prepare_checksum(&mut packet, 0).expect("a datagram");
            complete(&mut packet, partial);
            // The sum of a datagram is never written as 0, which a device has to see to.
            if whole[46..48] != [0xff, 0xff] {
                assert_eq!(packet, whole, "{tail:#x}");
            }
        }
    }
    // A sum of 0xffff is carried no further.
    let (one, other) = (IpAddress::v4(0xff, 0xe6, 0, 0), IpAddress::v4(0, 0, 0, 0));
    let mut packet = frames::ip(one, other, UDP, &[0; 8]);
    prepare_checksum(&mut packet, 0).expect("a datagram");
    assert_eq!(packet[26..28], [0xff, 0xff]);
    // Nothing is written where a packet ends too early.
    let (from, to) = ends(V4);
    let whole = frames::ip(V4.0, V4.1, TCP, &Tcp::new(flag::ACK, 5, 6).bytes(from, to));
    for bytes in 0..whole.len() {
        let mut cut = whole[..bytes].to_vec();
        assert_eq!(
            prepare_checksum(&mut cut, 0).is_some(),
            bytes >= 38,
            "{bytes}"
        );
    }
    let mut short = whole.clone();
    short[3] = 19;
    assert_eq!(prepare_checksum(&mut short, 0), None);
}

#[test]
fn every_damaged_byte_of_a_transport_is_noticed() {
    for addresses in [V4, V6] {
        let (from, to) = ends(addresses);
        let segment = Tcp {
            options: &[1; 4],
            payload: b"odd",
            ..Tcp::new(flag::ACK, 5, 6)
        };
        for options in [&[][..], &[1; 12]] {
            for (protocol, transport) in [
                (TCP, segment.bytes(from, to)),
                (UDP, frames::udp(from, to, b"some words")),
            ] {
                let packet = frames::ip_with(from.addr, to.addr, protocol, options, &transport);
                for (mut bytes, header) in both(&packet) {
                    assert!(checksum_holds(&bytes, header));
                    let start = bytes.len() - transport.len();
                    for at in start..bytes.len() {
                        bytes[at] ^= 0x10;
                        assert!(!checksum_holds(&bytes, header), "{protocol} {at}");
                        bytes[at] ^= 0x10;
                    }
                    // The addresses belong to the sum, what is behind the packet does not.
                    let addresses = match from.addr {
                        IpAddress::Ipv4(_) => header + 12..header + 20,
                        IpAddress::Ipv6(_) => header + 8..header + 40,
                    };
                    for at in addresses {
                        bytes[at] ^= 0x10;
                        assert!(!checksum_holds(&bytes, header), "{protocol} {at}");
                        bytes[at] ^= 0x10;
                    }
                    bytes.extend([0xaa; 5]);
                    assert!(checksum_holds(&bytes, header));
                }
            }
        }
        // A datagram without a sum: allowed in version 4 alone.
        let mut none = frames::udp(from, to, b"word");
        none[6..8].fill(0);
        let packet = frames::ip(from.addr, to.addr, UDP, &none);
        assert_eq!(checksum_holds(&packet, 0), addresses == V4);
        // Only a segment cannot say that it has none.
        let mut none = segment.bytes(from, to);
        none[16..18].fill(0);
        none[6..8].fill(0);
        let packet = frames::ip(from.addr, to.addr, TCP, &none);
        assert!(!checksum_holds(&packet, 0));
        // What is no transport has no sum to be wrong.
        assert!(checksum_holds(
            &frames::ip(from.addr, to.addr, 132, &[9; 40]),
            0
        ));
    }
    assert!(checksum_holds(&[], 0));
    assert!(checksum_holds(&[0x45, 0], 0));
}
