//! The stack as a machine on its network: addresses, names, routes, and turns.

use super::bench::*;
use super::frames::{self, ACK, RST, SYN};
use crate::{
    Configuration, Error, IntegerOption, IpAddress, IpEndpoint, Ipv4Address, Ipv4Configuration,
    Ipv6Address, Ipv6Configuration, Stack, ready,
};
use allocator_api2::alloc::Global;
use std::vec;
use std::vec::Vec;

fn new(configuration: &Configuration, cable: Cable) -> Result<Stack<Cable>, Error> {
    Stack::new(Some(cable), configuration, &Global)
}

#[test]
fn set_ups_that_cannot_be_are_refused() {
    let v4 = |address, prefix_bits| Configuration {
        ipv4: Ipv4Configuration::Static {
            address,
            prefix_bits,
            gateway: None,
            name_server: None,
        },
        ..configuration()
    };
    let own = Ipv4Address::new(10, 0, 0, 2);
    for (address, bits, is_good) in [
        (own, 0, true),
        (own, 32, true),
        (own, 33, false),
        (Ipv4Address::new(224, 0, 0, 1), 24, false),
        (Ipv4Address::new(0, 0, 0, 0), 24, false),
        (Ipv4Address::new(255, 255, 255, 255), 24, false),
    ] {
        let answer = new(&v4(address, bits), Cable::new()).map(drop);
        let expected = if is_good { Ok(()) } else { Err(Error::Invalid) };
        assert_eq!(answer, expected, "{address}/{bits}");
    }
    for (prefix_bits, is_good) in [(0, true), (128, true), (129, false)] {
        let configuration = Configuration {
            ipv6: Some(Ipv6Configuration {
                address: Ipv6Address::new(0xfd00, 0, 0, 0, 0, 0, 0, 2),
                prefix_bits,
                gateway: None,
            }),
            ..configuration()
        };
        assert_eq!(
            new(&configuration, Cable::new()).is_ok(),
            is_good,
            "{prefix_bits}"
        );
    }
    for (mac, is_good) in [
        ([2, 0, 0, 0, 0, 1], true),
        ([3, 0, 0, 0, 0, 1], false),
        ([0xff; 6], false),
        ([0; 6], false),
        ([0, 0, 0, 0, 0, 1], true),
    ] {
        let mut cable = Cable::new();
        cable.mac = mac;
        assert_eq!(new(&configuration(), cable).is_ok(), is_good, "{mac:?}");
    }
}

#[test]
fn the_wire_is_what_was_configured() {
    let configuration = Configuration {
        ipv6: Some(Ipv6Configuration {
            address: Ipv6Address::new(0xfd00, 0, 0, 0, 0, 0, 0, 2),
            prefix_bits: 72,
            gateway: Some(Ipv6Address::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
        }),
        ..configuration()
    };
    for (mtu, used) in [
        (100, 576),
        (575, 576),
        (576, 576),
        (1400, 1400),
        (65_535, 65_535),
        (70_000, 65_535),
    ] {
        let mut cable = Cable::new();
        (cable.mtu, cable.mac) = (mtu, [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc]);
        let stack = new(&configuration, cable).unwrap();
        let info = stack.wire_info().unwrap();
        assert_eq!(
            (info.mac, info.mtu),
            ([0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc], used)
        );
        let local = IpAddress::v6(0xfe80, 0, 0, 0, 0x1034, 0x56ff, 0xfe78, 0x9abc);
        let addresses = [Some((OWN, 24)), Some((local, 64)), Some((OWN6, 72)), None];
        assert_eq!(info.addresses, addresses);
        assert_eq!(info.gateways, [Some(PEER), Some(PEER6)]);
        assert_eq!(stack.name_server(), Some(Ipv4Address::new(10, 0, 0, 53)));
        assert_eq!(stack.ipv4_address(), Some(Ipv4Address::new(10, 0, 0, 2)));
        assert!(!stack.is_configuring());
    }
    let stack = new(&super::bench::configuration(), Cable::new()).unwrap();
    assert_eq!(stack.wire_info().unwrap().gateways, [Some(PEER), None]);
    let none = Configuration {
        ipv4: Ipv4Configuration::None,
        ipv6: None,
        ..configuration
    };
    let stack = new(&none, Cable::new()).unwrap();
    assert_eq!((stack.ipv4_address(), stack.name_server()), (None, None));
    assert_eq!(
        (stack.is_configuring(), stack.next_deadline()),
        (false, None)
    );
    assert_eq!(stack.wire_info().unwrap().gateways, [None; 2]);
    let stack = new(
        &Configuration {
            ipv4: Ipv4Configuration::Dhcp,
            ..none
        },
        Cable::new(),
    )
    .unwrap();
    assert!(stack.is_configuring());
    assert_eq!(stack.next_deadline(), Some(0));
    let mut alone = Stack::<Cable>::new(None, &configuration, &Global).unwrap();
    assert!(alone.wire_info().is_none() && alone.ipv4_address().is_none());
    assert!(!alone.is_configuring() && alone.name_server().is_none());
    assert!(alone.device().is_none() && !alone.prepare_to_sleep());
}

#[test]
fn a_turn_takes_64_frames() {
    let mut bench = Bench::new();
    let question = frames::arp(
        1,
        (PEER_MAC, [10, 0, 0, 1]),
        ([0; 6], [10, 0, 0, 2]),
        [0xff; 6],
    );
    for (waiting, left, more) in [
        (0, 0, false),
        (63, 0, false),
        (64, 0, true),
        (65, 1, true),
        (0, 0, false),
    ] {
        let frames = &mut bench.cable().incoming.frames;
        while frames.len() < waiting {
            frames.push_back((question.clone(), false));
        }
        let now = bench.now + SECOND;
        bench.now = now;
        let flushes = bench.cable().outgoing.flushes;
        assert_eq!(bench.stack.poll(now), more, "{waiting}");
        assert_eq!(bench.cable().outgoing.flushes, flushes + 1);
        assert_eq!(bench.cable().incoming.frames.len(), left);
        assert_eq!(bench.cable().exchanged, Some(now));
        // The device was found empty, or not.
        let heard = bench.stack.engine.heard.total_micros() as u64 * 1000;
        assert_eq!(heard == now, !more, "{waiting}");
        if left == 1 {
            assert!(!bench.stack.poll(now));
        }
    }
    for has_news in [true, false] {
        bench.cable().has_news = has_news;
        assert_eq!(bench.stack.prepare_to_sleep(), has_news);
    }
    bench.cable().shows_all = false;
    bench.pass(SECOND);
    assert!((bench.stack.engine.heard.total_micros() as u64) * 1000 < bench.now);
}

#[test]
fn an_echo_is_answered() {
    let mut bench = Bench::new();
    let ping = frames::icmp(PEER, OWN, 8, 0, b"payload");
    bench.receive_packet(&ping);
    let (frame, _) = bench.frames().remove(0);
    assert_eq!(frame[..12], [PEER_MAC, OWN_MAC].concat());
    assert_eq!(frame[34..36], [0, 0]);
    assert_eq!(frame[42..], *b"payload");
    assert_eq!(frames::checksum(&[&frame[34..]]), 0);
    // Not one for somebody else.
    bench.receive_packet(&frames::icmp(PEER, IpAddress::v4(10, 0, 0, 3), 8, 0, b""));
    assert_eq!(bench.frames(), []);
    // Nor what is cut, or of no protocol.
    for end in 0..ping.len() {
        let mut frame = frames::ethernet(OWN_MAC, PEER_MAC, &ping);
        frame.truncate(14 + end);
        bench.receive(&frame);
        assert_eq!(bench.frames(), [], "{end}");
    }
}

#[test]
fn names_are_addresses_of_this_machine() {
    let mut bench = Bench::new();
    let multicast = IpAddress::v4(224, 0, 0, 5);
    let broadcast = IpAddress::v4(255, 255, 255, 255);
    let not_own = Err(Error::AddressNotAvailable);
    for (address, v6, answer) in [
        (ANY, false, Ok(())),
        (OWN, false, Ok(())),
        (LOCAL, false, Ok(())),
        (IpAddress::v4(127, 1, 2, 3), false, Ok(())),
        (PEER, false, not_own),
        (multicast, false, Ok(())),
        (broadcast, false, Ok(())),
        (ANY6, true, Ok(())),
        (OWN6, true, Ok(())),
        (PEER6, true, not_own),
        (IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 1), true, Ok(())),
    ] {
        for stream in [true, false] {
            let id = match stream {
                true => bench.stack.stream(v6).unwrap(),
                false => bench.stack.datagram(v6).unwrap(),
            };
            assert_eq!(bench.stack.is_v6(id), Ok(v6));
            let any = if v6 { ANY6 } else { ANY };
            assert_eq!(bench.stack.local_name(id), Ok(IpEndpoint::new(any, 0)));
            let name = IpEndpoint::new(address, 700);
            assert_eq!(bench.stack.bind(id, name), answer, "{address}");
            if answer.is_ok() {
                assert_eq!(bench.stack.local_name(id), Ok(name));
            }
            // An address of version 6 leaves no other.
            let only = v6 && answer.is_ok() && address != ANY6;
            assert_eq!(
                bench.stack.option(id, IntegerOption::V6Only),
                Ok(only.into())
            );
            bench.stack.close(id).unwrap();
        }
    }
    // What is for version 6 alone is not for 4.
    for (only, answer) in [(1, Err(Error::Invalid)), (0, Ok(()))] {
        let id = bench.stack.stream(true).unwrap();
        bench
            .stack
            .set_option(id, IntegerOption::V6Only, only)
            .unwrap();
        assert_eq!(bench.stack.bind(id, IpEndpoint::new(OWN, 701)), answer);
        bench.stack.close(id).unwrap();
    }
    // Which packets a name of all addresses gets.
    for (v6, only, gets) in [
        (false, 0, [true, false]),
        (true, 0, [true, true]),
        (true, 1, [false, true]),
    ] {
        let id = bench.stack.datagram(v6).unwrap();
        bench
            .stack
            .set_option(id, IntegerOption::V6Only, only)
            .unwrap();
        let any = if v6 { ANY6 } else { ANY };
        bench.stack.bind(id, IpEndpoint::new(any, 702)).unwrap();
        for (ends, gets) in [((PEER, OWN), gets[0]), ((PEER6, OWN6), gets[1])] {
            let (from, to) = (IpEndpoint::new(ends.0, 1), IpEndpoint::new(ends.1, 702));
            let udp = frames::udp(from, to, b"x");
            bench.receive_packet(&frames::ip(from.addr, to.addr, frames::UDP, &udp));
            let got = bench.stack.receive(id, &mut [0; 4], false).is_ok();
            assert_eq!(got, gets, "{v6} {only} {to}");
        }
        bench.stack.close(id).unwrap();
    }
}

#[test]
fn a_relay_serves_every_address() {
    let serves = Configuration {
        serves_all: true,
        ..configuration()
    };
    for all in [true, false] {
        let mut bench = match all {
            true => Bench::with(&serves, Cable::new()),
            false => Bench::new(),
        };
        let foreign = IpAddress::v4(192, 0, 2, 7);
        let id = bench.stack.stream(false).unwrap();
        let bound = bench.stack.bind(id, IpEndpoint::new(foreign, 80));
        assert_eq!(bound.is_ok(), all);
        let id = bench.stack.stream(false).unwrap();
        let from = IpEndpoint::new(foreign, 4000);
        let begun = bench
            .stack
            .connect_from(id, from, IpEndpoint::new(PEER, 90));
        if !all {
            assert_eq!(begun, Err(Error::AddressNotAvailable));
            continue;
        }
        assert_eq!(begun, Err(Error::InProgress));
        assert_eq!(bench.one().from, from);
        // The same flow again is in use; another one from the same name is not.
        let id = bench.stack.stream(false).unwrap();
        let again = bench
            .stack
            .connect_from(id, from, IpEndpoint::new(PEER, 90));
        assert_eq!(again, Err(Error::AddressNotAvailable));
        let id = bench.stack.stream(false).unwrap();
        let other = bench
            .stack
            .connect_from(id, from, IpEndpoint::new(PEER, 91));
        assert_eq!(other, Err(Error::InProgress));
    }
}

#[test]
fn behind_a_relay_every_syn_is_new_and_nothing_is_announced() {
    let relayed = Configuration {
        relayed: true,
        ..configuration()
    };
    let mut stack = new(&relayed, Cable::new()).unwrap();
    stack.poll(0);
    assert!(stack.device().unwrap().outgoing.frames.is_empty());
    let mut bench = Bench::with(&relayed, Cable::new());
    let listener = bench.listener(4);
    for record in [true, false] {
        let mut peer = Peer::new(4000 + u16::from(record), 80);
        peer.open(&mut bench);
        let id = bench.stack.accept(listener).unwrap();
        // Its send buffer is the largest.
        let slot = bench.stack.engine.connection(&peer.flow()).unwrap();
        let tcp = bench.stack.engine.tcp_at(slot).unwrap();
        let socket = tcp.connection().unwrap().peek();
        assert_eq!(socket.send_capacity(), 64 << 10);
        match record {
            true => bench.stack.close(id).unwrap(),
            false => bench.stack.shutdown(id, false, true).unwrap(),
        }
        peer.hear(&mut bench);
        peer.send(&mut bench, frames::FIN | ACK, b"");
        bench.sent();
        let syn = peer.frame(SYN, peer.next.wrapping_sub(100), b"");
        bench.receive(&syn);
        assert_eq!(bench.one().flags, SYN | ACK);
    }
}

#[test]
fn an_announcement_waits_for_room() {
    let mut cable = Cable::new();
    cable.outgoing.most_frames = 0;
    let mut stack = new(&configuration(), cable).unwrap();
    stack.poll(0);
    assert!(stack.device().unwrap().outgoing.frames.is_empty());
    stack.device().unwrap().outgoing.most_frames = 9;
    stack.poll(MILLISECOND);
    assert_eq!(stack.device().unwrap().outgoing.frames.len(), 1);
    stack.poll(2 * MILLISECOND);
    assert_eq!(stack.device().unwrap().outgoing.frames.len(), 1);
}

#[test]
fn changes_are_told_once_and_of_open_sockets_alone() {
    let mut bench = Bench::new();
    let ids = [500, 501, 502].map(|port| {
        let id = bench.stack.datagram(false).unwrap();
        bench.stack.bind(id, IpEndpoint::new(ANY, port)).unwrap();
        id
    });
    for _ in 0..2 {
        for port in [501, 500, 502] {
            let (from, to) = (IpEndpoint::new(PEER, 1), IpEndpoint::new(OWN, port));
            let udp = frames::udp(from, to, b"x");
            bench.receive_packet(&frames::ip(PEER, OWN, frames::UDP, &udp));
        }
    }
    bench.stack.close(ids[0]).unwrap();
    let changed: Vec<_> = bench.changes().iter().map(|change| change.socket).collect();
    assert_eq!(changed, [ids[1], ids[2]]);
    // A handle that was closed stays void when its place is used again.
    let next = bench.stack.datagram(false).unwrap();
    assert_eq!(next.index(), ids[0].index());
    assert_eq!(bench.stack.close(ids[0]), Err(Error::BadDescriptor));
    assert_eq!(
        bench.stack.send(ids[0], b"", false),
        Err(Error::BadDescriptor)
    );
    assert_eq!(bench.changes(), []);
}

#[test]
fn sockets_of_connections_that_are_not_accepted_are_nobody_s() {
    let mut bench = Bench::new();
    bench.listener(4);
    let mut peer = Peer::new(4000, 80);
    peer.open(&mut bench);
    let slot = bench.stack.engine.connection(&peer.flow()).unwrap();
    let id = bench.stack.engine.sockets.id(slot);
    assert_eq!(bench.stack.readiness(id), Err(Error::BadDescriptor));
    assert_eq!(bench.stack.is_v6(id), Err(Error::BadDescriptor));
    assert_eq!(bench.stack.take_error(id), Err(Error::BadDescriptor));
    assert_eq!(
        bench.stack.shutdown(id, true, true),
        Err(Error::BadDescriptor)
    );
}

#[test]
fn streams_to_this_machine_do_not_leave_it() {
    let mut bench = Bench::new();
    let listener = bench.stack.stream(true).unwrap();
    bench
        .stack
        .bind(listener, IpEndpoint::new(ANY6, 80))
        .unwrap();
    bench.stack.listen(listener, 8).unwrap();
    let one = IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 1);
    for (to, meant, from) in [
        (LOCAL, LOCAL, LOCAL),
        (ANY, LOCAL, LOCAL),
        (OWN, OWN, OWN),
        (
            IpAddress::v4(127, 3, 4, 5),
            IpAddress::v4(127, 3, 4, 5),
            LOCAL,
        ),
        (ANY6, one, one),
        (OWN6, OWN6, OWN6),
    ] {
        let id = bench
            .stack
            .stream(matches!(to, IpAddress::Ipv6(_)))
            .unwrap();
        let begun = bench.stack.connect(id, IpEndpoint::new(to, 80));
        assert_eq!(begun, Err(Error::InProgress));
        assert_eq!(bench.stack.next_deadline(), Some(bench.now));
        bench.poll();
        let accepted = bench.stack.accept(listener).expect("at once");
        let name = bench.stack.local_name(id).unwrap();
        assert_eq!(name.addr, from);
        assert_eq!(bench.stack.peer_name(accepted), Ok(name));
        assert_eq!(bench.stack.peer_name(id), Ok(IpEndpoint::new(meant, 80)));
        let data = vec![6; 5000];
        assert_eq!(bench.stack.send(id, &data, false), Ok(5000));
        assert_eq!(bench.stack.unacknowledged(), 0);
        bench.poll();
        let mut buffer = vec![0; 6000];
        assert_eq!(bench.stack.receive(accepted, &mut buffer, false), Ok(5000));
        assert!(buffer[..5000] == data);
        for id in [id, accepted] {
            bench.stack.close(id).unwrap();
        }
        bench.pass(MILLISECOND);
        assert_eq!((bench.frames(), bench.sockets()), (vec![], 1));
    }
    // A port where nobody listens refuses.
    let id = bench.stack.stream(false).unwrap();
    bench
        .stack
        .connect(id, IpEndpoint::new(LOCAL, 81))
        .unwrap_err();
    bench.poll();
    assert_eq!(bench.stack.take_error(id), Ok(Some(Error::Refused)));
}

#[test]
fn options_of_open_connections_take_effect() {
    let mut bench = Bench::new();
    let share = 16 << 10;
    let id = bench.stack.stream(false).unwrap();
    assert_eq!(bench.stack.option(id, IntegerOption::SendBuffer), Ok(share));
    assert_eq!(
        bench.stack.option(id, IntegerOption::ReceiveBuffer),
        Ok(share)
    );
    bench
        .stack
        .set_option(id, IntegerOption::SendBuffer, 5000)
        .unwrap();
    bench
        .stack
        .set_option(id, IntegerOption::ReceiveBuffer, 7000)
        .unwrap();
    let mut peer = bench.connect(id);
    let socket = bench
        .stack
        .engine
        .tcp(id)
        .unwrap()
        .connection()
        .unwrap()
        .peek();
    assert_eq!(
        (socket.send_capacity(), socket.recv_capacity()),
        (5000, 7000)
    );
    // Keep-alive that is switched on late counts from when the peer was last heard.
    peer.hear(&mut bench);
    bench
        .stack
        .set_option(id, IntegerOption::KeepIdle, 5)
        .unwrap();
    bench.pass(20 * SECOND);
    assert_eq!(bench.sent(), []);
    bench
        .stack
        .set_option(id, IntegerOption::KeepAlive, 1)
        .unwrap();
    bench.pass(2 * MILLISECOND);
    assert_eq!(bench.one().sequence, peer.heard.wrapping_sub(1));
    // A name with a port keeps its versions.
    let set = bench.stack.set_option(id, IntegerOption::V6Only, 1);
    assert_eq!(set, Err(Error::Invalid));
    for value in [0, -2, 256] {
        for option in [IntegerOption::HopLimit4, IntegerOption::HopLimit6] {
            assert_eq!(
                bench.stack.set_option(id, option, value),
                Err(Error::Invalid)
            );
        }
    }
    peer.send(&mut bench, RST | ACK, b"");
    assert_eq!(
        bench.stack.readiness(id).map(|mask| mask & ready::HUP),
        Ok(ready::HUP)
    );
}

#[test]
fn a_frame_is_checked_unless_the_device_vouches_for_it() {
    for (offload, checked, taken) in [
        (false, false, false),
        (false, true, false),
        (true, false, false),
        (true, true, true),
    ] {
        let mut cable = Cable::new();
        cable.offload.checksum = offload;
        let mut bench = Bench::with(&configuration(), cable);
        let id = bench.stack.datagram(false).unwrap();
        bench.stack.bind(id, IpEndpoint::new(ANY, 500)).unwrap();
        let (from, to) = (IpEndpoint::new(PEER, 1), IpEndpoint::new(OWN, 500));
        let udp = frames::udp(from, to, b"word");
        let mut frame =
            frames::ethernet(OWN_MAC, PEER_MAC, &frames::ip(PEER, OWN, frames::UDP, &udp));
        frame[45] ^= 1;
        bench.receive_as(&frame, checked);
        let got = bench.stack.receive(id, &mut [0; 8], false).is_ok();
        assert_eq!(got, taken, "{offload} {checked}");
        frame[45] ^= 1;
        bench.receive_as(&frame, checked);
        assert_eq!(bench.stack.receive(id, &mut [0; 8], false), Ok(4));
    }
}

/// Neighbours of version 6 are found, too: what waits leaves when one answers.
#[test]
fn a_neighbour_of_version_6_is_asked_for() {
    let mut bench = Bench::new();
    let id = bench.stack.stream(true).unwrap();
    let begun = bench.stack.connect(id, IpEndpoint::new(PEER6, 90));
    assert_eq!(begun, Err(Error::InProgress));
    let (question, _) = bench.frames().remove(0);
    assert_eq!((question[20], question[54]), (58, 135));
    // Nobody answers a SYN that has not left.
    let from = bench.stack.local_name(id).unwrap();
    let early = Peer {
        ends: (IpEndpoint::new(PEER6, 90), from),
        ..Peer::new(90, 0)
    };
    bench.receive(&early.frame(SYN | ACK, 1, b""));
    assert_eq!(bench.sent(), []);
    assert_eq!(bench.stack.tcp_info(id).unwrap().state, 2);
    // A neighbour advertisement: solicited, with the target's hardware address.
    let mut body = vec![136, 0, 0, 0, 0x60, 0, 0, 0];
    body.extend(frames::octets(PEER6));
    body.extend([2, 1]);
    body.extend(PEER_MAC);
    let sum = frames::transport_sum(PEER6, OWN6, frames::ICMP6, &body);
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut packet = frames::ip(PEER6, OWN6, frames::ICMP6, &body);
    packet[7] = 255;
    bench.receive_packet(&packet);
    let syn = bench.one();
    assert_eq!(
        (syn.flags, syn.from, syn.to),
        (SYN, from, IpEndpoint::new(PEER6, 90))
    );
    bench.stack.set_service(id, true, 0x5c).unwrap();
    bench.pass(2 * SECOND);
    assert_eq!(bench.sent().pop().unwrap().service, 0x5c);
}
