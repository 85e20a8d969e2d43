//! A TAP device: a frame per read and write, each after its header.

use super::*;
use crate::tests::frames::{self, Tcp};
use crate::tests::io::Script;
use crate::{IpAddress, IpEndpoint};
use std::vec;
use std::vec::Vec;

fn tap(offload: Offload) -> (Script, Tap<Script>) {
    let script = Script::default();
    let description = Description {
        hardware_address: [2, 1, 2, 3, 4, 5],
        mtu: 1500,
        offload,
    };
    let memory = &allocator_api2::alloc::Global;
    let tap = Tap::new(script.clone(), description, memory).expect("memory");
    (script, tap)
}

const MUCH: Offload = Offload {
    checksum: true,
    segment_bytes: 65_000,
};

fn send(tap: &mut Tap<Script>, content: &[u8], segment: Option<u16>) {
    let segment = segment.and_then(NonZeroU16::new);
    let mut fill = |frame: &mut [u8]| frame.copy_from_slice(content);
    assert!(tap.transmit.ready());
    tap.transmit.send(content.len(), segment, &mut fill);
}

/// A frame with a segment or a datagram, whose checksum is not there yet.
fn frame(protocol: u8, from: IpAddress, to: IpAddress) -> Vec<u8> {
    let (from, to) = (IpEndpoint::new(from, 1), IpEndpoint::new(to, 2));
    let transport = match protocol {
        frames::TCP => Tcp {
            options: &[1; 4],
            payload: b"payload",
            ..Tcp::new(frames::ACK, 1, 2)
        }
        .bytes(from, to),
        _ => frames::udp(from, to, b"payload"),
    };
    let packet = frames::ip(from.addr, to.addr, protocol, &transport);
    frames::ethernet([2; 6], [4; 6], &packet)
}

#[test]
fn frames_are_read_behind_their_header() {
    for (offload, largest) in [
        (Offload::default(), 14 + 1500),
        // Who leaves checksums to us may merge segments.
        (MUCH, 14 + 65_535),
    ] {
        let (script, mut tap) = tap(offload);
        assert!(tap.receive.receive().is_none());
        assert_eq!(script.0.borrow().room, 12 + largest);
        for (flags, checked) in [
            (0, false),
            (1, true),
            (2, true),
            (3, true),
            (4, false),
            (252, false),
        ] {
            let mut whole = vec![7; 12 + 60];
            whole[0] = flags;
            script.give(&whole);
            let received = tap.receive.receive().expect("a frame");
            assert_eq!((received.frame, received.checked), (&[7; 60][..], checked));
        }
        script.give(&[0; 12]);
        assert_eq!(tap.receive.receive().expect("an empty one").frame, []);
        script.give(&[0; 11]);
        assert!(tap.receive.receive().is_none());
        // What was cut is as long as there was room.
        script.give(&vec![1; 12 + largest + 5]);
        assert_eq!(tap.receive.receive().expect("cut").frame.len(), largest);
        assert_eq!(tap.mtu(), 1500);
        assert_eq!(tap.offload(), offload);
        assert_eq!(tap.hardware_address(), [2, 1, 2, 3, 4, 5]);
        assert!(tap.shows_all() && !tap.prepare_to_sleep());
        // And as much is written at once.
        let most = 12 + offload.segment_bytes.max(1514);
        assert_eq!(tap.transmit.buffer.len(), most);
    }
}

#[test]
fn the_header_says_what_the_other_side_has_to_do() {
    let (here, there) = (IpAddress::v4(10, 0, 0, 2), IpAddress::v4(10, 0, 0, 1));
    let six = |last| IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, last);
    let tcp4 = frame(frames::TCP, here, there);
    let udp4 = frame(frames::UDP, here, there);
    let tcp6 = frame(frames::TCP, six(2), six(1));
    let other = frames::arp(
        1,
        ([2; 6], [10, 0, 0, 2]),
        ([0; 6], [10, 0, 0, 1]),
        [0xff; 6],
    );
    for (content, segment, header) in [
        (&tcp4, None, [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0]),
        // 14 + 20 + 24 bytes of headers, 0x0578 bytes a segment.
        (
            &tcp4,
            Some(1400),
            [1, 1, 58, 0, 0x78, 5, 34, 0, 16, 0, 0, 0],
        ),
        (&tcp6, Some(1400), [1, 0, 0, 0, 0, 0, 54, 0, 16, 0, 0, 0]),
        (&udp4, None, [1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0]),
        (&other, None, [0; 12]),
    ] {
        let (script, mut tap) = tap(MUCH);
        send(&mut tap, content, segment);
        let written = script.written();
        assert_eq!(written.len(), 1);
        assert_eq!(written[0][..12], header);
        assert_eq!(written[0].len(), 12 + content.len());
        // Without the other side's help nothing is touched.
        let (script, mut plain) = self::tap(Offload::default());
        send(&mut plain, content, segment);
        assert_eq!(script.written(), [[&[0; 12][..], content].concat()]);
    }
}

#[test]
fn a_frame_that_the_descriptor_does_not_take_is_lost() {
    let (script, mut tap) = tap(Offload::default());
    script.0.borrow_mut().takes.push_back(None);
    send(&mut tap, b"lost", None);
    send(&mut tap, b"sent", None);
    assert_eq!(script.written(), [[&[0; 12][..], b"sent"].concat()]);
    assert!(!header::is_checked(&[]));
}
