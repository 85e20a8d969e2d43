//! Datagrams: names, peers, queues, and where they go.

use super::bench::*;
use super::frames;
use crate::{Error, IntegerOption, IpAddress, IpEndpoint, SocketId, ready};
use std::vec;
use std::vec::Vec;

const BROADCAST: IpAddress = IpAddress::v4(255, 255, 255, 255);
const MULTICAST: IpAddress = IpAddress::v4(224, 0, 0, 5);

fn peer(port: u16) -> IpEndpoint {
    IpEndpoint::new(PEER, port)
}

impl Bench {
    /// A datagram socket with this name.
    fn socket(&mut self, address: IpAddress, port: u16) -> SocketId {
        let v6 = matches!(address, IpAddress::Ipv6(_));
        let id = self.stack.datagram(v6).unwrap();
        self.stack.bind(id, IpEndpoint::new(address, port)).unwrap();
        id
    }

    /// A datagram comes.
    fn datagram(&mut self, from: IpEndpoint, to: IpEndpoint, payload: &[u8]) {
        let udp = frames::udp(from, to, payload);
        self.receive_packet(&frames::ip(from.addr, to.addr, frames::UDP, &udp));
    }

    /// The packets of datagrams that were sent, without their frames.
    fn packets(&mut self) -> Vec<Vec<u8>> {
        let frames = self.frames();
        let packets = frames.into_iter().map(|(frame, _)| frame[14..].to_vec());
        packets.collect()
    }
}

#[test]
fn a_datagram_is_sent_and_received_whole() {
    let mut bench = Bench::new();
    let id = bench.socket(ANY, 500);
    assert_eq!(bench.stack.readiness(id), Ok(ready::OUT));
    let mut buffer = [0; 16];
    assert_eq!(
        bench.stack.receive_from(id, &mut buffer, false),
        Err(Error::WouldBlock)
    );
    bench.datagram(peer(90), IpEndpoint::new(OWN, 500), b"question");
    bench.datagram(peer(91), IpEndpoint::new(OWN, 500), b"");
    assert_eq!(bench.told(id), Some(ready::IN | ready::OUT));
    assert_eq!(bench.stack.readable_bytes(id), Ok(8));
    assert_eq!(
        bench.stack.receive_from(id, &mut buffer[..3], true),
        Ok((3, 8, peer(90)))
    );
    let told = bench
        .stack
        .receive_from_with(id, true, &mut |data| data.len())
        .unwrap();
    assert_eq!(
        (told.bytes, told.from, told.to, told.by_loopback),
        (8, peer(90), OWN, false)
    );
    // What does not fit is lost.
    assert_eq!(
        bench.stack.receive_from(id, &mut buffer[..3], false),
        Ok((3, 8, peer(90)))
    );
    assert_eq!(&buffer[..3], b"que");
    assert_eq!(
        bench.stack.receive_from(id, &mut buffer, false),
        Ok((0, 0, peer(91)))
    );
    assert_eq!(bench.stack.readable_bytes(id), Ok(0));
    assert_eq!(bench.stack.readiness(id), Ok(ready::OUT));
    bench.sent();
    assert_eq!(bench.stack.send_to(id, b"answer", peer(90)), Ok(6));
    let udp = frames::udp(IpEndpoint::new(OWN, 500), peer(90), b"answer");
    let packets = bench.packets();
    assert_eq!(packets.len(), 1);
    assert_eq!(packets[0][20..], udp);
    assert_eq!(packets[0][..2], [0x45, 0]);
    assert_eq!(packets[0][8..10], [64, frames::UDP]);
    assert_eq!(frames::checksum(&[&packets[0][..20]]), 0);
    assert_eq!(bench.stack.unsent_bytes(id), Ok(0));
}

#[test]
fn hops_and_service_are_those_of_the_socket() {
    let mut bench = Bench::new();
    let id = bench.socket(ANY, 500);
    bench
        .stack
        .set_option(id, IntegerOption::HopLimit4, 7)
        .unwrap();
    bench.stack.set_service(id, false, 0x28).unwrap();
    bench.stack.send_to(id, b"x", peer(90)).unwrap();
    let packet = bench.packets().remove(0);
    assert_eq!((packet[8], packet[1]), (7, 0x28));
    assert_eq!(frames::checksum(&[&packet[..20]]), 0);
    // Others have their own.
    let id = bench.socket(ANY, 501);
    bench.stack.send_to(id, b"x", peer(90)).unwrap();
    let packet = bench.packets().remove(0);
    assert_eq!((packet[8], packet[1]), (64, 0));
}

#[test]
fn a_datagram_fits_one_packet() {
    for (mtu, v4, v6) in [(1500, 1472, 1452), (600, 572, 552)] {
        let mut cable = Cable::new();
        cable.mtu = mtu;
        let mut bench = Bench::with(&configuration(), cable);
        let id = bench.stack.datagram(true).unwrap();
        for (to, most) in [(peer(90), v4), (IpEndpoint::new(PEER6, 90), v6)] {
            let send =
                |bench: &mut Bench, bytes: usize| bench.stack.send_to(id, &vec![1; bytes], to);
            assert_eq!(send(&mut bench, most + 1), Err(Error::MessageTooLong));
            assert_eq!(send(&mut bench, most), Ok(most));
        }
    }
    // To this machine: 16 KiB.
    let mut bench = Bench::new();
    let id = bench.stack.datagram(true).unwrap();
    for (to, most) in [(LOCAL, 16_384 - 28), (OWN6, 16_384 - 48)] {
        let to = IpEndpoint::new(to, 90);
        assert_eq!(
            bench.stack.send_to(id, &vec![1; most + 1], to),
            Err(Error::MessageTooLong)
        );
        assert_eq!(bench.stack.send_to(id, &vec![1; most], to), Ok(most));
    }
    // Never more than the buffer has.
    let id = bench.stack.datagram(false).unwrap();
    bench
        .stack
        .set_option(id, IntegerOption::SendBuffer, 0)
        .unwrap();
    bench.answers = false;
    let mut sent = 0;
    while bench
        .stack
        .send_to(
            id,
            &[1; 1000],
            IpEndpoint::new(IpAddress::v4(10, 0, 0, 9), 1),
        )
        .is_ok()
    {
        sent += 1;
    }
    assert_eq!(sent, 2, "2,304 bytes");
}

#[test]
fn what_cannot_be_sent_says_why() {
    let mut bench = Bench::new();
    let id = bench.stack.datagram(false).unwrap();
    assert_eq!(
        bench.stack.send(id, b"x", false),
        Err(Error::DestinationRequired)
    );
    let to = |address, port| IpEndpoint::new(address, port);
    let six = IpAddress::v6(0x2001, 0, 0, 0, 0, 0, 0, 1);
    for (to, answer) in [
        (to(PEER, 0), Err(Error::Invalid)),
        (to(PEER, 1), Ok(1)),
        (to(BROADCAST, 1), Err(Error::AccessDenied)),
        (to(six, 1), Err(Error::NetworkUnreachable)),
        (to(IpAddress::v4(8, 8, 8, 8), 1), Ok(1)),
        (to(MULTICAST, 1), Ok(1)),
    ] {
        assert_eq!(bench.stack.send_to(id, b"x", to), answer, "{to}");
    }
    bench
        .stack
        .set_option(id, IntegerOption::Broadcast, 1)
        .unwrap();
    assert_eq!(bench.stack.send_to(id, b"x", to(BROADCAST, 1)), Ok(1));
    // From an address of this machine, of the same version.
    let mut from = |to: IpEndpoint, from| {
        bench
            .stack
            .send_to_with(id, 1, Some(to), Some(from), &mut |room| {
                room[0] = 1;
                1
            })
    };
    assert_eq!(from(to(PEER, 1), OWN), Ok(1));
    assert_eq!(from(to(PEER, 1), PEER), Err(Error::NetworkUnreachable));
    assert_eq!(from(to(PEER, 1), OWN6), Err(Error::AddressFamily));
    assert_eq!(from(to(PEER6, 1), six), Err(Error::Invalid));
    // Shut for writing.
    assert_eq!(
        bench.stack.shutdown(id, false, true),
        Err(Error::NotConnected)
    );
    assert_eq!(
        bench.stack.send_to(id, b"x", to(PEER, 1)),
        Err(Error::BrokenPipe)
    );
    // One of version 6 alone.
    let id = bench.stack.datagram(true).unwrap();
    bench
        .stack
        .set_option(id, IntegerOption::V6Only, 1)
        .unwrap();
    assert_eq!(
        bench.stack.send_to(id, b"x", to(PEER, 1)),
        Err(Error::NetworkUnreachable)
    );
    assert_eq!(
        bench.stack.connect(id, to(PEER, 1)),
        Err(Error::NetworkUnreachable)
    );
    // One whose name is of the other version.
    let id = bench.socket(OWN6, 77);
    bench.stack.options_mut(id).unwrap().v6_only = false;
    assert_eq!(
        bench.stack.send_to(id, b"x", to(PEER, 1)),
        Err(Error::AddressFamily)
    );
    // A stream is no socket of datagrams.
    let stream = bench.stack.stream(false).unwrap();
    assert_eq!(
        bench.stack.send_to(stream, b"x", to(PEER, 1)),
        Err(Error::NotSupported)
    );
    assert_eq!(
        bench.stack.receive_from(stream, &mut [], false),
        Err(Error::NotSupported)
    );
    assert!(!bench.stack.is_shut(stream));
}

#[test]
fn a_peer_that_is_chosen_is_the_only_one() {
    let mut bench = Bench::new();
    let id = bench.stack.datagram(false).unwrap();
    assert_eq!(bench.stack.peer_name(id), Err(Error::NotConnected));
    assert_eq!(bench.stack.connect(id, peer(90)), Ok(()));
    let name = bench.stack.local_name(id).unwrap();
    assert_eq!(name.addr, OWN);
    assert!((32_768..61_000).contains(&name.port));
    assert_eq!(bench.stack.peer_name(id), Ok(peer(90)));
    assert_eq!(bench.stack.send(id, b"x", false), Ok(1));
    let packet = bench.packets().remove(0);
    assert_eq!(packet[20..], frames::udp(name, peer(90), b"x"));
    let mut buffer = [0; 4];
    bench.datagram(peer(91), name, b"no");
    bench.datagram(IpEndpoint::new(IpAddress::v4(10, 0, 0, 3), 90), name, b"no");
    assert_eq!(
        bench.stack.receive(id, &mut buffer, false),
        Err(Error::WouldBlock)
    );
    bench.datagram(peer(90), name, b"yes");
    assert_eq!(bench.stack.receive(id, &mut buffer, false), Ok(3));
    // Another peer.
    assert_eq!(bench.stack.connect(id, peer(91)), Ok(()));
    assert_eq!(bench.stack.peer_name(id), Ok(peer(91)));
    assert_eq!(bench.stack.local_name(id), Ok(name));
    // No peer: the port that was chosen for it goes, too, unless something waits.
    bench.datagram(peer(91), name, b"yes");
    bench.stack.disconnect(id).unwrap();
    let any = IpEndpoint::new(ANY, name.port);
    assert_eq!(bench.stack.local_name(id), Ok(any));
    assert_eq!(bench.stack.receive(id, &mut buffer, false), Ok(3));
    bench.stack.disconnect(id).unwrap();
    assert_eq!(bench.stack.local_name(id), Ok(IpEndpoint::new(ANY, 0)));
    assert!(
        bench.stack.engine.budget.take(8 << 20),
        "its buffers are free"
    );
    bench.stack.engine.budget.give(8 << 20);
    assert_eq!(bench.stack.peer_name(id), Err(Error::NotConnected));
    // A port that was asked for stays.
    let id = bench.socket(ANY, 600);
    bench.stack.connect(id, peer(90)).unwrap();
    bench.stack.disconnect(id).unwrap();
    assert_eq!(bench.stack.local_name(id), Ok(IpEndpoint::new(ANY, 600)));
    // So does the port of an address.
    let id = bench.socket(OWN, 0);
    let name = bench.stack.local_name(id).unwrap();
    bench.stack.connect(id, peer(90)).unwrap();
    bench.stack.disconnect(id).unwrap();
    assert_eq!(bench.stack.local_name(id), Ok(name));
    // So does one with something to be sent.
    bench.answers = false;
    let id = bench.stack.datagram(false).unwrap();
    let unknown = IpEndpoint::new(IpAddress::v4(10, 0, 0, 9), 90);
    bench.stack.connect(id, unknown).unwrap();
    bench.stack.send(id, b"waits", false).unwrap();
    assert_eq!(bench.stack.unsent_bytes(id), Ok(5));
    bench.stack.disconnect(id).unwrap();
    assert_ne!(bench.stack.local_name(id).unwrap().port, 0);
    // Peers that cannot be.
    let id = bench.stack.datagram(false).unwrap();
    let to = |address| IpEndpoint::new(address, 90);
    assert_eq!(
        bench.stack.connect(id, to(BROADCAST)),
        Err(Error::AccessDenied)
    );
    bench
        .stack
        .set_option(id, IntegerOption::Broadcast, 1)
        .unwrap();
    assert_eq!(bench.stack.connect(id, to(BROADCAST)), Ok(()));
    assert_eq!(
        bench
            .stack
            .connect(id, to(IpAddress::v6(0x2001, 0, 0, 0, 0, 0, 0, 1))),
        Err(Error::NetworkUnreachable)
    );
    assert_eq!(bench.stack.connect(id, IpEndpoint::new(PEER, 0)), Ok(()));
    assert_eq!(bench.stack.peer_name(id), Err(Error::NotConnected));
}

#[test]
fn the_socket_that_is_connected_comes_first() {
    let mut bench = Bench::new();
    let share = |bench: &mut Bench| {
        let id = bench.stack.datagram(false).unwrap();
        bench
            .stack
            .set_option(id, IntegerOption::ReuseAddress, 1)
            .unwrap();
        bench.stack.bind(id, IpEndpoint::new(ANY, 500)).unwrap();
        id
    };
    let (all, one) = (share(&mut bench), share(&mut bench));
    bench.stack.connect(one, peer(90)).unwrap();
    let to = IpEndpoint::new(OWN, 500);
    let mut buffer = [0; 8];
    for (from, connected, other) in [
        (90, Ok(1), Err(Error::WouldBlock)),
        (91, Err(Error::WouldBlock), Ok(1)),
    ] {
        bench.datagram(peer(from), to, b"x");
        assert_eq!(
            bench.stack.receive(one, &mut buffer, false),
            connected,
            "{from}"
        );
        assert_eq!(
            bench.stack.receive(all, &mut buffer, false),
            other,
            "{from}"
        );
    }
    // To another address than the one it speaks from it is not its.
    bench.datagram(peer(90), IpEndpoint::new(BROADCAST, 500), b"x");
    assert_eq!(
        bench.stack.receive(one, &mut buffer, false),
        Err(Error::WouldBlock)
    );
    assert_eq!(bench.stack.receive(all, &mut buffer, false), Ok(1));
    // Nobody's: the sender is told, by an error of ICMP.
    bench.frames();
    bench.datagram(peer(90), IpEndpoint::new(OWN, 501), b"x");
    let packet = bench.packets().remove(0);
    assert_eq!((packet[9], packet[20], packet[21]), (frames::ICMP, 3, 3));
}

#[test]
fn a_refusal_is_told_to_the_socket_that_is_connected() {
    for (code, error) in [
        (3, Error::Refused),
        (0, Error::HostUnreachable),
        (1, Error::HostUnreachable),
        (2, Error::HostUnreachable),
    ] {
        let mut bench = Bench::new();
        let id = bench.socket(ANY, 500);
        let other = bench.socket(ANY, 501);
        bench.stack.connect(id, peer(90)).unwrap();
        let about = |port: u16, to| {
            frames::ip(
                OWN,
                PEER,
                frames::UDP,
                &frames::udp(IpEndpoint::new(OWN, port), to, b"x"),
            )
        };
        for wrong in [
            about(501, peer(90)),
            about(500, peer(91)),
            about(502, peer(90)),
        ] {
            bench.receive_packet(&frames::icmp(PEER, OWN, 3, code, &wrong));
            assert_eq!(bench.changes(), []);
        }
        bench.receive_packet(&frames::icmp(PEER, OWN, 3, code, &about(500, peer(90))));
        assert_eq!(bench.told(id), Some(ready::OUT | ready::ERR));
        assert_eq!(bench.stack.take_error(other), Ok(None));
        match code {
            0 => assert_eq!(bench.stack.receive(id, &mut [], false), Err(error)),
            1 => assert_eq!(bench.stack.send(id, b"x", false), Err(error)),
            _ => assert_eq!(bench.stack.take_error(id), Ok(Some(error))),
        }
        assert_eq!(bench.stack.take_error(id), Ok(None));
        assert_eq!(
            bench.stack.receive(id, &mut [], false),
            Err(Error::WouldBlock)
        );
    }
}

#[test]
fn each_direction_is_shut() {
    let mut bench = Bench::new();
    let id = bench.socket(ANY, 500);
    assert!(!bench.stack.is_shut(id));
    assert_eq!(
        bench.stack.shutdown(id, true, false),
        Err(Error::NotConnected)
    );
    assert!(bench.stack.is_shut(id));
    assert_eq!(bench.told(id), Some(ready::IN | ready::RDHUP | ready::OUT));
    assert_eq!(bench.stack.send_to(id, b"x", peer(90)), Ok(1));
    bench.stack.connect(id, peer(90)).unwrap();
    assert_eq!(bench.stack.shutdown(id, false, true), Ok(()));
    let all = ready::IN | ready::RDHUP | ready::OUT | ready::HUP;
    assert_eq!(bench.told(id), Some(all));
    assert_eq!(bench.stack.send(id, b"x", false), Err(Error::BrokenPipe));
    // What has come can be received.
    bench.datagram(peer(90), IpEndpoint::new(OWN, 500), b"late");
    assert_eq!(bench.stack.receive(id, &mut [0; 8], false), Ok(4));
    let id = bench.socket(ANY, 501);
    bench.stack.connect(id, peer(90)).unwrap();
    bench.stack.shutdown(id, false, true).unwrap();
    assert_eq!(bench.stack.readiness(id), Ok(ready::OUT));
    assert!(!bench.stack.is_shut(id));
}

#[test]
fn what_waits_for_a_neighbour_leaves_when_it_is_known() {
    let mut bench = Bench::new();
    bench.answers = false;
    let id = bench.socket(ANY, 500);
    let unknown = IpAddress::v4(10, 0, 0, 9);
    let to = IpEndpoint::new(unknown, 90);
    // Thirty-two datagrams, or as many bytes as the buffer has.
    for number in 0..32u8 {
        assert_eq!(bench.stack.send_to(id, &[number], to), Ok(1));
    }
    assert_eq!(bench.stack.readiness(id), Ok(0));
    assert_eq!(bench.stack.send_to(id, &[32], to), Err(Error::WouldBlock));
    assert_eq!(bench.stack.unsent_bytes(id), Ok(32));
    bench.pass(500 * MILLISECOND);
    let frames = bench.frames();
    assert!(!frames.is_empty() && frames.iter().all(|(frame, _)| frame[12..14] == [8, 6]));
    bench.changes();
    let own = (OWN_MAC, [10, 0, 0, 2]);
    let mac = [2, 0, 0, 0, 0, 9];
    bench.receive(&frames::arp(2, (mac, [10, 0, 0, 9]), own, OWN_MAC));
    assert_eq!(bench.told(id), Some(ready::OUT));
    assert_eq!(bench.stack.unsent_bytes(id), Ok(0));
    let sent: Vec<u8> = bench
        .frames()
        .iter()
        .filter(|(frame, _)| frame[..6] == mac)
        .map(|(frame, _)| frame[42])
        .collect();
    assert_eq!(sent, (0..32).collect::<Vec<u8>>());
    // Told once.
    bench.pass(SECOND);
    assert_eq!(bench.changes(), []);
}

#[test]
fn a_device_without_room_is_tried_again() {
    let mut bench = Bench::new();
    let id = bench.socket(ANY, 500);
    bench.cable().outgoing.most_frames = 0;
    assert_eq!(bench.stack.send_to(id, b"waits", peer(90)), Ok(5));
    assert_eq!(bench.frames(), []);
    let due = bench.stack.next_deadline().expect("it tries again");
    assert!(due <= bench.now + MILLISECOND);
    bench.cable().outgoing.most_frames = 9;
    bench.pass(MILLISECOND);
    assert_eq!(bench.frames().len(), 1);
}

#[test]
fn queues_are_as_large_as_the_socket_says() {
    // By itself: a share, and at least a packet of the wire.
    let mut bench = Bench::new();
    let bytes = |bench: &mut Bench, id| bench.stack.engine.udp(id).unwrap().buffer_bytes();
    let id = bench.socket(ANY, 500);
    assert_eq!(bytes(&mut bench, id), 2 * (16 << 10));
    let id = bench.stack.datagram(false).unwrap();
    assert_eq!(bytes(&mut bench, id), 0);
    bench
        .stack
        .set_option(id, IntegerOption::SendBuffer, 5000)
        .unwrap();
    bench
        .stack
        .set_option(id, IntegerOption::ReceiveBuffer, 3000)
        .unwrap();
    bench.stack.bind(id, IpEndpoint::new(ANY, 501)).unwrap();
    assert_eq!(bytes(&mut bench, id), 8000);
    let to = IpEndpoint::new(OWN, 501);
    for _ in 0..4 {
        bench.datagram(peer(90), to, &[1; 1000]);
    }
    let received = (0..4).filter(|_| bench.stack.receive(id, &mut [0; 8], false).is_ok());
    assert_eq!(received.count(), 3, "three fit");
    for _ in 0..40 {
        bench.datagram(peer(90), to, b"x");
    }
    let received = (0..40).filter(|_| bench.stack.receive(id, &mut [0; 8], false).is_ok());
    assert_eq!(received.count(), 32);
    // A wire with large packets.
    let mut cable = Cable::new();
    cable.mtu = 20_000;
    let mut bench = Bench::with(&configuration(), cable);
    let id = bench.socket(ANY, 500);
    assert_eq!(bytes(&mut bench, id), 40_000);
    bench.stack.close(id).unwrap();
    assert!(bench.stack.engine.budget.take(8 << 20));
    // Without memory there is no name.
    let id = bench.stack.datagram(false).unwrap();
    assert_eq!(
        bench.stack.bind(id, IpEndpoint::new(ANY, 500)),
        Err(Error::NoMemory)
    );
    assert_eq!(
        bench.stack.send_to(id, b"x", peer(90)),
        Err(Error::NoMemory)
    );
    bench.stack.engine.budget.give(8 << 20);
    assert_eq!(bench.stack.bind(id, IpEndpoint::new(ANY, 500)), Ok(()));
    assert_eq!(
        bench.stack.bind(id, IpEndpoint::new(ANY, 501)),
        Err(Error::Invalid)
    );
    // A name that is taken gives its memory back.
    let other = bench.stack.datagram(false).unwrap();
    assert_eq!(
        bench.stack.bind(other, IpEndpoint::new(ANY, 500)),
        Err(Error::AddressInUse)
    );
    let used = bytes(&mut bench, id);
    assert!(bench.stack.engine.budget.take((8 << 20) - used));
}

#[test]
fn datagrams_to_this_machine_do_not_leave_it() {
    let mut bench = Bench::new();
    for (address, from) in [
        (LOCAL, LOCAL),
        (OWN, OWN),
        (ANY, LOCAL),
        (OWN6, OWN6),
        (IpAddress::v4(127, 9, 9, 9), LOCAL),
    ] {
        let any = match address {
            IpAddress::Ipv4(_) => ANY,
            IpAddress::Ipv6(_) => ANY6,
        };
        let (id, client) = (bench.socket(any, 500), bench.socket(any, 501));
        bench
            .stack
            .set_option(client, IntegerOption::HopLimit4, 3)
            .unwrap();
        assert_eq!(
            bench
                .stack
                .send_to(client, b"word", IpEndpoint::new(address, 500)),
            Ok(4)
        );
        assert_eq!(bench.stack.next_deadline(), Some(bench.now));
        bench.poll();
        let got = bench
            .stack
            .receive_from_with(id, false, &mut |data| data.len())
            .unwrap();
        let to = if address == ANY { LOCAL } else { address };
        assert_eq!(
            (got.bytes, got.from, got.to),
            (4, IpEndpoint::new(from, 501), to)
        );
        assert!(got.by_loopback);
        assert_eq!(bench.frames(), []);
        for id in [id, client] {
            bench.stack.close(id).unwrap();
        }
    }
    // A loopback that is full says so.
    let client = bench.socket(ANY, 501);
    let to = IpEndpoint::new(LOCAL, 500);
    let mut sent = 0;
    while bench.stack.send_to(client, &[1; 10_000], to) == Ok(10_000) {
        sent += 1;
    }
    assert_eq!(sent, 5);
    assert_eq!(
        bench.stack.send_to(client, b"x", to),
        Err(Error::WouldBlock)
    );
}
