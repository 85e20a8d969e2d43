//! Connections that are made, from both sides, and those that cannot be.

use super::bench::*;
use super::frames::{self, ACK, FIN, PSH, RST, SYN};
use crate::random::Random;
use crate::{Error, IntegerOption, IpAddress, IpEndpoint, ready};
use smoltcp::socket::tcp::State;
use std::vec::Vec;

#[test]
fn a_client_is_answered_and_accepted() {
    let mut bench = Bench::new();
    let listener = bench.listener(4);
    assert_eq!(bench.stack.accept(listener), Err(Error::WouldBlock));
    assert_eq!(bench.stack.readiness(listener), Ok(0));
    let mut peer = Peer::new(4000, 80);
    peer.options = &[2, 4, 2, 0x58];
    peer.send(&mut bench, SYN, b"");
    let reply = bench.one();
    assert_eq!((reply.flags, reply.acknowledgement), (SYN | ACK, 1001));
    assert_eq!((reply.from, reply.to), (peer.ends.1, peer.ends.0));
    assert_eq!((reply.hops, reply.service), (64, 0));
    // The largest segment of 1500 bytes of packet.
    assert_eq!(reply.options[..4], [2, 4, 5, 0xb4]);
    assert_eq!(bench.state_of(&peer), Some(State::SynReceived));
    assert_eq!(bench.changes(), []);
    peer.options = &[];
    peer.heard = reply.sequence.wrapping_add(1);
    peer.send(&mut bench, ACK, b"");
    assert_eq!(bench.told(listener), Some(ready::IN));
    let id = bench.stack.accept(listener).expect("one");
    assert_eq!(bench.stack.accept(listener), Err(Error::WouldBlock));
    assert_eq!(bench.stack.readiness(listener), Ok(0));
    assert_eq!(bench.stack.readiness(id), Ok(ready::OUT));
    assert_eq!(bench.stack.local_name(id), Ok(peer.ends.1));
    assert_eq!(bench.stack.peer_name(id), Ok(peer.ends.0));
    assert_eq!(bench.stack.tcp_info(id).map(|info| info.state), Ok(1));
    // What the peer takes: 600 bytes.
    assert_eq!(
        bench.stack.tcp_info(id).map(|info| info.segment_bytes),
        Ok(600)
    );
    assert_eq!(bench.stack.send(id, b"hello", false), Ok(5));
    let data = bench.one();
    assert_eq!((data.flags, &data.payload[..]), (PSH | ACK, &b"hello"[..]));
    assert_eq!(data.sequence, peer.heard);
}

#[test]
fn segments_are_as_large_as_both_sides_and_the_link_take() {
    for (options, mtu, v6, bytes) in [
        (&[][..], 1500, false, 536),
        (&[2, 4, 0x05, 0xb4][..], 1500, false, 1460),
        (&[2, 4, 0x23, 0x28][..], 1500, false, 1460),
        (&[2, 4, 0x23, 0x28][..], 1500, true, 1440),
        (&[2, 4, 0x05, 0xa0][..], 1500, true, 1440),
        (&[2, 4, 0x05, 0x9f][..], 1500, true, 1439),
        (&[2, 4, 0x23, 0x28][..], 600, false, 560),
        (&[2, 4, 0, 0][..], 1500, false, 1),
    ] {
        let mut cable = Cable::new();
        cable.mtu = mtu;
        let mut bench = Bench::with(&configuration(), cable);
        let listener = bench.stack.stream(true).unwrap();
        bench
            .stack
            .bind(listener, IpEndpoint::new(ANY6, 80))
            .unwrap();
        bench.stack.listen(listener, 4).unwrap();
        let mut peer = Peer::new(4000, 80);
        peer.options = options;
        if v6 {
            peer.ends = (IpEndpoint::new(PEER6, 4000), IpEndpoint::new(OWN6, 80));
        }
        peer.send(&mut bench, SYN, b"");
        let slot = bench
            .stack
            .engine
            .connection(&peer.flow())
            .expect("a connection");
        let tcp = bench.stack.engine.tcp_at(slot).unwrap();
        let info = tcp.info();
        assert_eq!(info.segment_bytes, bytes, "{options:?} {mtu} {v6}");
        assert_eq!(info.window_segments, (16 << 10) / bytes);
    }
}

#[test]
fn a_handshake_has_thirty_seconds() {
    let mut bench = Bench::new();
    let listener = bench.listener(4);
    let mut peer = Peer::new(4000, 80);
    peer.send(&mut bench, SYN, b"");
    let begun = bench.now;
    bench.pass(30 * SECOND - MILLISECOND);
    assert_eq!(bench.state_of(&peer), Some(State::SynReceived));
    assert_eq!(bench.sockets(), 2);
    // It says at the latest when.
    assert!(
        bench
            .stack
            .next_deadline()
            .is_some_and(|due| due <= begun + 30 * SECOND)
    );
    bench.pass(2 * MILLISECOND);
    assert_eq!((bench.state_of(&peer), bench.sockets()), (None, 1));
    assert_eq!(bench.changes(), []);
    // The listener counts no half-open connection any more.
    let tcp = bench.stack.engine.tcp(listener).unwrap();
    let crate::tcp::Role::Listener(state) = &tcp.role else {
        panic!("a listener");
    };
    assert_eq!((state.half_open_count, state.half_open.len()), (0, 0));
    assert_eq!(
        bench.stack.engine.budget.buffer_bytes(Some(usize::MAX)),
        4 << 20
    );
}

#[test]
fn the_queue_of_a_listener_holds_one_more_than_its_backlog() {
    for (asked, holds) in [(0, 2), (1, 2), (3, 4)] {
        let mut bench = Bench::new();
        let listener = bench.listener(asked);
        for port in 4000..4010 {
            let mut peer = Peer::new(port, 80);
            peer.send(&mut bench, SYN, b"");
            let Some(reply) = bench.sent().pop() else {
                continue;
            };
            peer.heard = reply.sequence.wrapping_add(1);
            peer.send(&mut bench, ACK, b"");
        }
        let count = core::iter::from_fn(|| bench.stack.accept(listener).ok()).count();
        assert_eq!(count, holds, "{asked}");
    }
    // A backlog is raised for a listener that is one already, to 4096 at most.
    let mut bench = Bench::new();
    let listener = bench.listener(1);
    for (asked, backlog) in [(5, 5), (4096, 4096), (4097, 4096), (0, 1)] {
        bench.stack.listen(listener, asked).unwrap();
        let tcp = bench.stack.engine.tcp(listener).unwrap();
        let crate::tcp::Role::Listener(state) = &tcp.role else {
            panic!("a listener");
        };
        assert_eq!(state.backlog, backlog);
    }
}

/// Handshakes under way: sixteen for a small backlog; then the oldest gives way if it has had time.
#[test]
fn the_oldest_handshake_gives_way_after_a_round_trip() {
    for (backlog, limit) in [(1, 16), (16, 16), (17, 17)] {
        let mut bench = Bench::new();
        bench.listener(backlog);
        let syn = |bench: &mut Bench, port| {
            Peer::new(port, 80).send(bench, SYN, b"");
            bench.sent().len()
        };
        for port in 0..limit {
            assert_eq!(syn(&mut bench, 4000 + port), 1);
        }
        assert_eq!(syn(&mut bench, 5000), 0);
        bench.pass(299 * MILLISECOND);
        bench.sent();
        assert_eq!(syn(&mut bench, 5001), 0);
        // The device was found empty a round trip after the SYN came.
        bench.pass(MILLISECOND);
        bench.sent();
        assert_eq!(syn(&mut bench, 5002), 1);
        assert_eq!(bench.state_of(&Peer::new(4000, 80)), None);
        assert_eq!(
            bench.state_of(&Peer::new(4001, 80)),
            Some(State::SynReceived)
        );
        assert_eq!(bench.sockets(), 1 + usize::from(limit));
    }
    // A device that does not show all it has gives them two seconds.
    let mut cable = Cable::new();
    cable.shows_all = false;
    let mut bench = Bench::with(&configuration(), cable);
    bench.listener(1);
    for port in 4000..4016 {
        Peer::new(port, 80).send(&mut bench, SYN, b"");
    }
    for (wait, answered) in [(1999, false), (1, true)] {
        bench.pass(wait * MILLISECOND);
        bench.sent();
        Peer::new(5000, 80).send(&mut bench, SYN, b"");
        assert_eq!(bench.sent().len() == 1, answered);
    }
}

#[test]
fn a_reset_ends_a_handshake() {
    let mut bench = Bench::new();
    let listener = bench.listener(4);
    let mut peer = Peer::new(4000, 80);
    peer.send(&mut bench, SYN, b"");
    peer.heard = bench.one().sequence.wrapping_add(1);
    peer.send(&mut bench, RST, b"");
    assert_eq!(bench.sockets(), 1);
    assert_eq!(bench.stack.accept(listener), Err(Error::WouldBlock));
    // One that was complete is accepted all the same.
    let mut peer = Peer::new(4001, 80);
    peer.open(&mut bench);
    peer.send(&mut bench, RST, b"");
    let id = bench.stack.accept(listener).expect("as on Linux");
    assert_eq!(
        bench.stack.receive(id, &mut [0; 4], false),
        Err(Error::Reset)
    );
    assert_eq!(bench.stack.receive(id, &mut [0; 4], false), Ok(0));
    assert_eq!(bench.stack.send(id, b"x", false), Err(Error::BrokenPipe));
}

#[test]
fn segments_without_a_connection_are_reset() {
    let mut bench = Bench::new();
    bench.listener(4);
    for (port, flags) in [
        (81, SYN),
        (80, ACK),
        (80, SYN | ACK),
        (80, FIN | ACK),
        (80, PSH | ACK),
    ] {
        let mut peer = Peer::new(4000, port);
        peer.heard = 77;
        peer.send(&mut bench, flags, b"");
        let reset = bench.one();
        assert_eq!(reset.flags & RST, RST, "{flags}");
        if flags & ACK != 0 {
            assert_eq!(reset.sequence, 77);
        } else {
            assert_eq!(reset.acknowledgement, 1001);
        }
    }
    for flags in [RST, RST | ACK, SYN | FIN, SYN | RST] {
        Peer::new(4000, 80).send(&mut bench, flags, b"");
        assert_eq!(bench.sockets(), 1, "{flags}");
        bench.sent();
    }
    // Not to this machine.
    let mut peer = Peer::new(4000, 80);
    peer.ends.1.addr = IpAddress::v4(10, 0, 0, 77);
    peer.send(&mut bench, SYN, b"");
    assert_eq!((bench.sent().len(), bench.sockets()), (0, 1));
}

#[test]
fn a_connection_is_made_or_refused() {
    let mut bench = Bench::new();
    let id = bench.stack.stream(false).unwrap();
    assert_eq!(bench.stack.readiness(id), Ok(ready::OUT | ready::HUP));
    let to = IpEndpoint::new(PEER, 90);
    assert_eq!(bench.stack.connect(id, to), Err(Error::InProgress));
    let syn = bench.one();
    assert_eq!((syn.flags, syn.to, syn.from.addr), (SYN, to, OWN));
    assert!((32_768..61_000).contains(&syn.from.port));
    assert_eq!(bench.stack.connect(id, to), Err(Error::Already));
    assert_eq!(bench.stack.readiness(id), Ok(0));
    assert_eq!(bench.stack.local_name(id), Ok(syn.from));
    assert_eq!(bench.stack.peer_name(id), Err(Error::NotConnected));
    assert_eq!(bench.stack.send(id, b"x", false), Err(Error::WouldBlock));
    assert_eq!(
        bench.stack.receive(id, &mut [0; 4], false),
        Err(Error::WouldBlock)
    );
    assert_eq!(
        bench.stack.shutdown(id, true, true),
        Err(Error::NotConnected)
    );
    assert_eq!(bench.stack.tcp_info(id).unwrap().state, 2);
    let mut peer = Peer {
        ends: (to, syn.from),
        heard: syn.sequence.wrapping_add(1),
        ..Peer::new(90, 0)
    };
    peer.send(&mut bench, RST | ACK, b"");
    let all = ready::IN | ready::OUT | ready::HUP | ready::RDHUP;
    assert_eq!(bench.told(id), Some(all | ready::ERR));
    assert_eq!(bench.stack.take_error(id), Ok(Some(Error::Refused)));
    assert_eq!(bench.stack.take_error(id), Ok(None));
    assert_eq!(bench.stack.readiness(id), Ok(all));
    assert_eq!(bench.stack.tcp_info(id).unwrap().state, 7);
    // Its error was taken; it may try again after that.
    assert_eq!(bench.stack.connect(id, to), Err(Error::Aborted));
    let peer = bench.connect(id);
    assert_eq!(bench.stack.connect(id, to), Err(Error::IsConnected));
    assert_eq!(bench.stack.peer_name(id), Ok(peer.ends.0));
    assert_eq!(bench.stack.readiness(id), Ok(ready::OUT));
    // The error of one that failed is told by the next try if nobody took it.
    let (id, mut peer) = bench.connected();
    peer.send(&mut bench, RST | ACK, b"");
    assert_eq!(bench.stack.connect(id, to), Err(Error::Reset));
    let info = bench.stack.engine.tcp(id).unwrap();
    assert!(matches!(info.role, crate::tcp::Role::Idle));
}

#[test]
fn nothing_is_connected_to_what_cannot_be_reached() {
    let mut bench = Bench::new();
    let mut try_to = |address, port| {
        let id = bench
            .stack
            .stream(matches!(address, IpAddress::Ipv6(_)))
            .unwrap();
        let answer = bench.stack.connect(id, IpEndpoint::new(address, port));
        let count = bench.sent().len();
        bench.stack.close(id).unwrap();
        bench.sent();
        (answer, count)
    };
    let unreachable = (Err(Error::NetworkUnreachable), 0);
    assert_eq!(try_to(PEER, 0), (Err(Error::Refused), 0));
    assert_eq!(try_to(PEER, 1), (Err(Error::InProgress), 1));
    assert_eq!(try_to(IpAddress::v4(224, 0, 0, 1), 1), unreachable);
    assert_eq!(try_to(IpAddress::v4(255, 255, 255, 255), 1), unreachable);
    // There is a router of version 4, and none of version 6.
    assert_eq!(
        try_to(IpAddress::v4(8, 8, 8, 8), 1),
        (Err(Error::InProgress), 1)
    );
    assert_eq!(
        try_to(IpAddress::v6(0x2001, 0, 0, 0, 0, 0, 0, 1), 1),
        unreachable
    );
    // The neighbour of version 6 is asked for first.
    assert_eq!(try_to(PEER6, 1), (Err(Error::InProgress), 0));
    // A name of the other version.
    let id = bench.stack.stream(true).unwrap();
    bench.stack.bind(id, IpEndpoint::new(OWN6, 0)).unwrap();
    let answer = bench.stack.connect(id, IpEndpoint::new(PEER, 1));
    assert_eq!(answer, Err(Error::NetworkUnreachable));
    // A listener, and one that listened.
    let listener = bench.listener(1);
    let to = IpEndpoint::new(PEER, 90);
    assert_eq!(bench.stack.connect(listener, to), Err(Error::IsConnected));
    assert_eq!(bench.stack.shutdown(listener, false, true), Ok(()));
    assert_eq!(bench.stack.is_listening(listener), Ok(true));
    assert_eq!(bench.stack.shutdown(listener, true, false), Ok(()));
    assert_eq!(bench.stack.is_listening(listener), Ok(false));
    assert_eq!(bench.stack.accept(listener), Err(Error::Invalid));
    assert_eq!(bench.stack.listen(listener, 1), Err(Error::Invalid));
    assert_eq!(bench.stack.connect(listener, to), Err(Error::Aborted));
    let over = ready::IN | ready::OUT | ready::HUP | ready::RDHUP;
    assert_eq!(bench.stack.readiness(listener), Ok(over));
}

#[test]
fn a_router_says_why_there_is_no_connection() {
    use Error::{HostUnreachable, NetworkUnreachable, Refused};
    for (code, error) in [
        (0, NetworkUnreachable),
        (1, HostUnreachable),
        (2, Refused),
        (3, Refused),
        (4, HostUnreachable),
        (5, HostUnreachable),
        (6, NetworkUnreachable),
        (7, HostUnreachable),
        (13, HostUnreachable),
    ] {
        let mut bench = Bench::new();
        let id = bench.stack.stream(false).unwrap();
        let to = IpEndpoint::new(PEER, 90);
        assert_eq!(bench.stack.connect(id, to), Err(Error::InProgress));
        let (frame, _) = bench.frames().pop().expect("a SYN");
        // About another connection it changes nothing.
        let mut other = frame[14..].to_vec();
        other[20] ^= 1;
        bench.receive_packet(&frames::icmp(PEER, OWN, 3, code, &other));
        assert_eq!(bench.changes(), []);
        bench.receive_packet(&frames::icmp(PEER, OWN, 3, code, &frame[14..]));
        assert!(bench.told(id).is_some_and(|ready| ready & ready::ERR != 0));
        assert_eq!(bench.stack.take_error(id), Ok(Some(error)), "{code}");
        assert!(bench.sent().iter().all(|sent| sent.flags & RST != 0));
        // About one that is established it is a hint only.
        let (id, peer) = bench.connected();
        let about = frames::ip(
            OWN,
            PEER,
            frames::TCP,
            &frames::Tcp::new(ACK, 1, 1).bytes(peer.ends.1, peer.ends.0),
        );
        bench.receive_packet(&frames::icmp(PEER, OWN, 3, code, &about));
        assert_eq!(
            (bench.state(id), bench.changes()),
            (State::Established, std::vec![])
        );
    }
}

#[test]
fn a_connection_is_tried_for_127_seconds_or_as_long_as_the_user_says() {
    for (timeout, limit) in [
        (None, 127_000),
        (Some(5_000), 5_000),
        (Some(200_000), 200_000),
    ] {
        let mut bench = Bench::new();
        let id = bench.stack.stream(false).unwrap();
        if let Some(timeout) = timeout {
            bench
                .stack
                .set_option(id, IntegerOption::UserTimeout, timeout)
                .unwrap();
        }
        let to = IpEndpoint::new(PEER, 90);
        assert_eq!(bench.stack.connect(id, to), Err(Error::InProgress));
        bench.pass((limit - 1) * MILLISECOND);
        assert_eq!(
            (bench.state(id), bench.stack.take_error(id)),
            (State::SynSent, Ok(None))
        );
        assert!(bench.sent().len() >= 2, "it is sent again");
        bench.pass(2 * MILLISECOND);
        assert_eq!(bench.state(id), State::Closed);
        assert_eq!(bench.stack.take_error(id), Ok(Some(Error::TimedOut)));
        assert!(bench.told(id).is_some());
        let last: Vec<u8> = bench.sent().iter().map(|sent| sent.flags).collect();
        assert!(last.iter().all(|flags| flags & RST != 0), "{last:?}");
        bench.pass(SECOND);
        assert_eq!(bench.sent(), []);
    }
}

#[test]
fn ports_that_are_chosen_are_free_ones_of_the_range() {
    let mut bench = Bench::new();
    let mut ports = std::collections::HashSet::new();
    for _ in 0..2000 {
        let id = bench.stack.stream(false).unwrap();
        bench.stack.bind(id, IpEndpoint::new(OWN, 0)).unwrap();
        let port = bench.stack.local_name(id).unwrap().port;
        assert!((32_768..61_000).contains(&port));
        assert!(ports.insert(port), "{port} twice");
    }
    assert!(ports.iter().any(|port| *port > 60_500) && ports.iter().any(|port| *port < 33_300));
    // One range for each transport.
    let id = bench.stack.datagram(false).unwrap();
    let used = *ports.iter().next().unwrap();
    bench.stack.bind(id, IpEndpoint::new(OWN, used)).unwrap();
    // A search that begins at the last port goes on at the first.
    let seed = (0..u64::MAX)
        .find(|seed| Random::new(*seed).next() as u16 % 28_232 == 28_231)
        .unwrap();
    for stream in [true, false] {
        let mut bench = Bench::new();
        let mut port = |random, bind| {
            bench.stack.engine.random = Random::new(random);
            let id = match stream {
                true => bench.stack.stream(false).unwrap(),
                false => bench.stack.datagram(false).unwrap(),
            };
            match bind {
                true => bench.stack.bind(id, IpEndpoint::new(OWN, 0)).unwrap(),
                false => drop(bench.stack.connect(id, IpEndpoint::new(PEER, 90))),
            }
            bench.stack.local_name(id).unwrap().port
        };
        let ports = [true, false, true, true, false].map(|bind| port(seed, bind));
        assert_eq!(ports[..3], [60_999, 32_768, 32_769 - u16::from(stream)]);
        // A connection never takes a bound port; a name may take one that only a connection has.
        assert_eq!(
            ports[3..],
            [32_769 + u16::from(!stream), 32_770 + u16::from(!stream)]
        );
    }
    // Flows that are in use or waited for are passed by.
    let mut bench = Bench::new();
    let mut flows = Vec::new();
    for _ in 0..3 {
        bench.stack.engine.random = Random::new(seed);
        let (id, mut peer) = bench.connected();
        flows.push(peer.ends.1.port);
        if flows.len() == 1 {
            bench.stack.close(id).unwrap();
            peer.hear(&mut bench);
            peer.send(&mut bench, FIN | ACK, b"");
            assert!(bench.waits(peer.flow()));
            bench.sent();
        }
    }
    assert_eq!(flows, [60_999, 32_768, 32_769]);
}

#[test]
fn what_is_left_of_a_connection_keeps_its_name() {
    let mut bench = Bench::new();
    let id = bench.stack.stream(false).unwrap();
    bench.stack.bind(id, IpEndpoint::new(OWN, 4000)).unwrap();
    let mut peer = bench.connect(id);
    assert_eq!(peer.ends.1.port, 4000);
    bench.stack.close(id).unwrap();
    let busy = |bench: &mut Bench, address, port, reuse| {
        let id = bench.stack.stream(false).unwrap();
        bench
            .stack
            .set_option(id, IntegerOption::ReuseAddress, reuse)
            .unwrap();
        let answer = bench.stack.bind(id, IpEndpoint::new(address, port));
        bench.stack.close(id).unwrap();
        answer
    };
    for step in 0..3 {
        let (expected_any, expected_own) = match step {
            2 => (Ok(()), Ok(())),
            _ => (Err(Error::AddressInUse), Err(Error::AddressInUse)),
        };
        assert_eq!(busy(&mut bench, ANY, 4000, 0), expected_any, "{step}");
        assert_eq!(busy(&mut bench, OWN, 4000, 0), expected_own);
        assert_eq!(busy(&mut bench, OWN, 4000, 1), Ok(()));
        assert_eq!(busy(&mut bench, LOCAL, 4000, 0), Ok(()));
        assert_eq!(busy(&mut bench, OWN, 4001, 0), Ok(()));
        match step {
            0 => {
                // It waits for late segments.
                peer.hear(&mut bench);
                peer.send(&mut bench, FIN | ACK, b"");
                assert_eq!((bench.sockets(), bench.waits(peer.flow())), (0, true));
            }
            1 => bench.pass(60 * SECOND),
            _ => {}
        }
    }
}

/// A flood of handshakes leaves the queue's memory bounded.
#[test]
fn entries_of_handshakes_that_have_ended_are_swept() {
    let mut bench = Bench::new();
    let listener = bench.listener(4000);
    // One stays half open, so that the queue is never empty.
    Peer::new(3999, 80).send(&mut bench, SYN, b"");
    let mut most = 0;
    for port in 4000..4500 {
        let mut peer = Peer::new(port, 80);
        peer.send(&mut bench, SYN, b"");
        peer.heard = bench.sent().pop().unwrap().sequence.wrapping_add(1);
        peer.send(&mut bench, RST, b"");
        let tcp = bench.stack.engine.tcp(listener).unwrap();
        let crate::tcp::Role::Listener(state) = &tcp.role else {
            panic!("a listener");
        };
        assert_eq!(state.half_open_count, 1);
        most = most.max(state.half_open.len());
    }
    // Four times one and sixteen.
    assert_eq!(most, 68);
    let ids: Vec<_> = (0..3).map(|_| bench.stack.accept(listener)).collect();
    assert_eq!(ids, [Err(Error::WouldBlock); 3]);
}

#[test]
fn listening_takes_a_port_if_there_is_none_yet() {
    let mut bench = Bench::new();
    assert_eq!(bench.stack.listening_port(), None);
    let id = bench.stack.stream(true).unwrap();
    assert_eq!(bench.stack.is_listening(id), Ok(false));
    bench.stack.listen(id, 1).unwrap();
    let name = bench.stack.local_name(id).unwrap();
    assert!((32_768..61_000).contains(&name.port) && name.addr == ANY6);
    assert_eq!(bench.stack.listening_port(), Some(name.port));
    assert_eq!(bench.stack.is_listening(id), Ok(true));
    // It is for both versions, unless it says otherwise.
    for (v6_only, answered) in [(0, SYN | ACK), (1, RST | ACK)] {
        let id = bench.stack.stream(true).unwrap();
        bench
            .stack
            .set_option(id, IntegerOption::V6Only, v6_only)
            .unwrap();
        bench.stack.listen(id, 1).unwrap();
        let port = bench.stack.local_name(id).unwrap().port;
        Peer::new(4000, port).send(&mut bench, SYN, b"");
        assert_eq!(bench.one().flags, answered);
    }
    let udp = bench.stack.datagram(false).unwrap();
    assert_eq!(bench.stack.is_listening(udp), Ok(false));
    assert_eq!(bench.stack.listen(udp, 1), Err(Error::NotSupported));
    assert_eq!(bench.stack.accept(udp), Err(Error::NotSupported));
}

#[test]
fn without_memory_for_its_buffers_a_client_is_not_answered_or_reset_behind_a_relay() {
    for relayed in [false, true] {
        let mut configuration = configuration();
        configuration.budget_bytes = 20 << 10;
        configuration.relayed = relayed;
        let mut bench = Bench::with(&configuration, Cable::new());
        bench.listener(4);
        assert_eq!(bench.stack.take_lack_of_memory(), None);
        let answers: Vec<u8> = (0..3)
            .flat_map(|port| {
                Peer::new(4000 + port, 80).send(&mut bench, SYN, b"");
                bench.sent().into_iter().map(|sent| sent.flags)
            })
            .collect();
        // Two of 8 KiB fit 20 KiB.
        match relayed {
            false => assert_eq!(answers, [SYN | ACK; 2]),
            true => assert_eq!(answers, [SYN | ACK, SYN | ACK, RST | ACK]),
        }
        assert_eq!(bench.stack.take_lack_of_memory(), Some(3));
        assert_eq!(bench.stack.take_lack_of_memory(), None);
        // After a round trip the oldest makes room.
        bench.pass(300 * MILLISECOND);
        bench.sent();
        Peer::new(5000, 80).send(&mut bench, SYN, b"");
        assert_eq!(bench.one().flags, SYN | ACK);
        assert_eq!(bench.state_of(&Peer::new(4000, 80)), None);
    }
}
