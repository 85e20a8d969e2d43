//! Bytes of connections: what is queued, when it leaves, and what is told of it.

use super::bench::*;
use super::frames::{ACK, FIN, PSH, RST};
use crate::device::Offload;
use crate::{Error, IntegerOption, ready};
use std::vec;
use std::vec::Vec;

#[test]
fn bytes_are_read_and_peeked_at() {
    let mut bench = Bench::new();
    let (id, mut peer) = bench.accepted(4000);
    let mut buffer = [0; 16];
    assert_eq!(
        bench.stack.receive(id, &mut buffer, false),
        Err(Error::WouldBlock)
    );
    assert_eq!(bench.stack.receive(id, &mut [], false), Ok(0));
    peer.send(&mut bench, PSH | ACK, b"some words");
    assert_eq!(bench.told(id), Some(ready::IN | ready::OUT));
    assert_eq!(bench.stack.readable_bytes(id), Ok(10));
    assert_eq!(bench.stack.receive(id, &mut buffer, true), Ok(10));
    assert_eq!(bench.stack.receive(id, &mut [], false), Ok(0));
    assert_eq!(bench.stack.receive(id, &mut buffer[..4], false), Ok(4));
    assert_eq!(&buffer[..4], b"some");
    assert_eq!(bench.stack.readable_bytes(id), Ok(6));
    assert_eq!(bench.stack.tcp_info(id).unwrap().receive_queue, 6);
    // Only more than there was is news.
    bench.pass(MILLISECOND);
    assert_eq!(bench.changes(), []);
    peer.send(&mut bench, PSH | ACK, b"!");
    assert_eq!(bench.told(id), Some(ready::IN | ready::OUT));
    assert_eq!(bench.stack.receive(id, &mut buffer, false), Ok(7));
    assert_eq!(&buffer[..7], b" words!");
    assert_eq!(bench.stack.readiness(id), Ok(ready::OUT));
    peer.send(&mut bench, FIN | ACK, b"end");
    let all = ready::IN | ready::OUT | ready::RDHUP;
    assert_eq!(bench.told(id), Some(all));
    assert_eq!(bench.stack.tcp_info(id).unwrap().state, 8);
    assert_eq!(bench.stack.receive(id, &mut buffer, false), Ok(3));
    assert_eq!(bench.stack.receive(id, &mut buffer, false), Ok(0));
    assert_eq!(bench.stack.readiness(id), Ok(all));
    assert_eq!(bench.stack.send(id, b"still", false), Ok(5));
}

/// What lies in two runs of the receive ring is read at once, and peeked at as far as the first goes.
#[test]
fn both_runs_of_the_ring_are_read() {
    let mut bench = Bench::new();
    let id = bench.listener(4);
    bench
        .stack
        .set_option(id, IntegerOption::ReceiveBuffer, 2048)
        .unwrap();
    let mut peer = Peer::new(4000, 80);
    peer.open(&mut bench);
    let id = bench.stack.accept(id).unwrap();
    let mut buffer = [0; 4096];
    peer.send(&mut bench, ACK, &[1; 1400]);
    assert_eq!(bench.stack.receive(id, &mut buffer, false), Ok(1400));
    peer.send(&mut bench, ACK, &[2; 1400]);
    peer.send(&mut bench, ACK, &[3; 600]);
    assert_eq!(bench.stack.receive(id, &mut buffer, true), Ok(648));
    assert_eq!(bench.stack.receive(id, &mut buffer, false), Ok(2000));
    assert!(buffer[..1400] == [2; 1400] && buffer[1400..2000] == [3; 600]);
    assert_eq!(
        bench.stack.receive(id, &mut buffer, false),
        Err(Error::WouldBlock)
    );
}

#[test]
fn a_window_is_opened_at_once_when_it_was_half_closed() {
    for (bytes, tells) in [(2047, false), (2048, true)] {
        let mut bench = Bench::new();
        let listener = bench.listener(4);
        bench
            .stack
            .set_option(listener, IntegerOption::ReceiveBuffer, 4096)
            .unwrap();
        let mut peer = Peer::new(4000, 80);
        peer.open(&mut bench);
        let id = bench.stack.accept(listener).unwrap();
        // 2,048 of 4,096 bytes free, or one more.
        for part in vec![5; bytes].chunks(1200) {
            peer.send(&mut bench, ACK, part);
        }
        bench.pass(SECOND);
        bench.sent();
        let mut buffer = vec![0; bytes];
        assert_eq!(bench.stack.receive(id, &mut buffer, true), Ok(bytes));
        assert_eq!(bench.sent(), []);
        assert_eq!(bench.stack.receive(id, &mut buffer, false), Ok(bytes));
        let sent = bench.sent();
        assert_eq!(sent.len(), usize::from(tells), "{bytes}");
        assert!(sent.iter().all(|sent| sent.window == 4096));
    }
}

#[test]
fn a_writer_is_told_of_room_when_a_third_is_free() {
    // Without congestion control: all of it is sent at once.
    let relayed = crate::Configuration {
        relayed: true,
        ..configuration()
    };
    let mut bench = Bench::with(&relayed, Cable::new());
    let listener = bench.listener(4);
    bench
        .stack
        .set_option(listener, IntegerOption::SendBuffer, 3000)
        .unwrap();
    bench
        .stack
        .set_option(listener, IntegerOption::NoDelay, 1)
        .unwrap();
    let mut peer = Peer::new(4000, 80);
    peer.open(&mut bench);
    let id = bench.stack.accept(listener).unwrap();
    bench.changes();
    for (bytes, room) in [(1999, true), (1, true), (1, false), (999, false)] {
        assert_eq!(bench.stack.send(id, &vec![1; bytes], false), Ok(bytes));
        let found = bench.stack.readiness(id).unwrap() & ready::OUT != 0;
        assert_eq!(found, room, "{bytes}");
    }
    assert_eq!(bench.stack.unsent_bytes(id), Ok(3000));
    assert_eq!(bench.stack.send(id, b"x", false), Err(Error::WouldBlock));
    assert_eq!(bench.stack.send(id, b"", false), Ok(0));
    assert_eq!(bench.changes(), []);
    // The peer acknowledges 999, then one more.
    for (bytes, told) in [(999, None), (1, Some(ready::OUT))] {
        peer.heard = peer.heard.wrapping_add(bytes);
        peer.send(&mut bench, ACK, b"");
        assert_eq!(bench.told(id), told, "{bytes}");
    }
    assert_eq!(bench.stack.unsent_bytes(id), Ok(2000));
    assert_eq!(bench.stack.send(id, &[2; 2000], false), Ok(1000));
    // Who wrote less than he wanted is told, too; once.
    peer.hear(&mut bench);
    assert_eq!(bench.told(id), Some(ready::OUT));
    bench.pass(MILLISECOND);
    peer.hear(&mut bench);
    assert_eq!(bench.told(id), None);
    // And who wrote all of it is not.
    assert_eq!(bench.stack.send(id, &[2; 100], false), Ok(100));
    peer.hear(&mut bench);
    assert_eq!(bench.told(id), None);
}

#[test]
fn what_more_follows_waits_for_the_next_poll() {
    let mut bench = Bench::new();
    let (id, mut peer) = bench.connected();
    assert_eq!(bench.stack.send(id, b"first", true), Ok(5));
    assert_eq!(bench.sent(), []);
    assert_eq!(bench.stack.next_deadline(), Some(bench.now));
    assert_eq!(bench.stack.send(id, b" rest", false), Ok(5));
    assert_eq!(peer.hear_one(&mut bench).payload, b"first rest");
    assert_eq!(bench.stack.send(id, b"first", true), Ok(5));
    bench.stack.poll(bench.now);
    assert_eq!(peer.hear_one(&mut bench).payload, b"first");
    // A full buffer does not wait.
    let sent = bench.stack.send(id, &vec![7; 100_000], true).unwrap();
    assert!(sent < 100_000);
    assert!(!bench.sent().is_empty());
}

#[test]
fn a_small_packet_waits_for_the_one_before_unless_it_is_asked_not_to() {
    for no_delay in [false, true] {
        let mut bench = Bench::new();
        let (id, mut peer) = bench.connected();
        bench
            .stack
            .set_option(id, IntegerOption::NoDelay, no_delay.into())
            .unwrap();
        bench.stack.send(id, b"one", false).unwrap();
        bench.stack.send(id, b"two", false).unwrap();
        let payloads: Vec<Vec<u8>> = bench.sent().into_iter().map(|sent| sent.payload).collect();
        match no_delay {
            true => assert_eq!(payloads, [b"one", b"two"]),
            false => {
                assert_eq!(payloads, [b"one"]);
                // Asked now, it leaves.
                bench
                    .stack
                    .set_option(id, IntegerOption::NoDelay, 1)
                    .unwrap();
                assert_eq!(bench.one().payload, b"two");
            }
        }
        peer.hear(&mut bench);
    }
}

#[test]
fn a_cork_holds_less_than_a_packet_for_200_ms() {
    for (bytes, is_held) in [(1, true), (1399, true), (1400, false), (0, true)] {
        let mut bench = Bench::new();
        let (id, mut peer) = bench.connected();
        bench
            .stack
            .set_option(id, IntegerOption::NoDelay, 1)
            .unwrap();
        bench.stack.set_option(id, IntegerOption::Cork, 1).unwrap();
        bench.pass(SECOND);
        bench.sent();
        bench.stack.send(id, &vec![1; bytes], false).unwrap();
        assert_eq!(bench.sent().is_empty(), is_held, "{bytes}");
        if !is_held || bytes == 0 {
            continue;
        }
        let begun = bench.now;
        assert_eq!(bench.stack.next_deadline(), Some(begun + 200 * MILLISECOND));
        bench.pass(199 * MILLISECOND);
        assert_eq!(bench.sent(), []);
        bench.pass(MILLISECOND);
        assert_eq!(peer.hear_one(&mut bench).payload.len(), bytes);
        // Uncorked, it leaves at once.
        bench.stack.send(id, &vec![1; bytes], false).unwrap();
        assert_eq!(bench.sent(), []);
        bench.stack.set_option(id, IntegerOption::Cork, 0).unwrap();
        assert_eq!(peer.hear_one(&mut bench).payload.len(), bytes);
        // So it does at a shutdown.
        bench.stack.set_option(id, IntegerOption::Cork, 1).unwrap();
        bench.stack.send(id, &vec![1; bytes], false).unwrap();
        assert_eq!(bench.sent(), []);
        bench.stack.shutdown(id, false, true).unwrap();
        assert_eq!(bench.one().payload.len(), bytes);
    }
    // And when the peer has closed its side.
    let mut bench = Bench::new();
    let (id, mut peer) = bench.connected();
    bench.stack.set_option(id, IntegerOption::Cork, 1).unwrap();
    peer.send(&mut bench, FIN | ACK, b"");
    bench.pass(SECOND);
    bench.sent();
    bench.stack.send(id, b"x", false).unwrap();
    assert_eq!(bench.sent(), []);
    bench.stack.close(id).unwrap();
    assert!(bench.sent().iter().any(|sent| sent.payload == b"x"));
}

#[test]
fn acknowledgements_wait_ten_milliseconds_or_not_at_all() {
    let mut bench = Bench::new();
    let (id, mut peer) = bench.connected();
    bench.pass(SECOND);
    peer.send(&mut bench, ACK, b"x");
    assert_eq!(bench.sent(), []);
    bench.pass(9 * MILLISECOND);
    assert_eq!(bench.sent(), []);
    bench.pass(MILLISECOND);
    assert_eq!(bench.one().acknowledgement, peer.next);
    // Several packets in one are answered at once: more than 2,048 bytes.
    for (bytes, at_once) in [(2048, false), (2049, true), (2048, false)] {
        peer.send(&mut bench, ACK, &vec![1; bytes]);
        assert_eq!(!bench.sent().is_empty(), at_once, "{bytes}");
        bench.stack.receive(id, &mut [0; 4096], false).unwrap();
        bench.pass(SECOND);
        bench.sent();
    }
    // Connections made later take the option.
    let other = bench.stack.stream(false).unwrap();
    bench
        .stack
        .set_option(other, IntegerOption::QuickAck, 1)
        .unwrap();
    let mut peer = bench.connect(other);
    bench.pass(SECOND);
    peer.send(&mut bench, ACK, b"x");
    assert_eq!(bench.one().acknowledgement, peer.next);
}

#[test]
fn packets_carry_the_options_of_their_socket() {
    let mut bench = Bench::new();
    let (id, mut peer) = bench.connected();
    bench
        .stack
        .set_option(id, IntegerOption::NoDelay, 1)
        .unwrap();
    for (hops, service) in [(64, 0), (9, 0xb8), (255, 4)] {
        bench
            .stack
            .set_option(id, IntegerOption::HopLimit4, hops)
            .unwrap();
        bench
            .stack
            .set_option(id, IntegerOption::HopLimit6, 77)
            .unwrap();
        bench.stack.set_service(id, false, service).unwrap();
        bench.stack.set_service(id, true, 0x33).unwrap();
        bench.stack.send(id, b"x", false).unwrap();
        let sent = bench.one();
        assert_eq!((i32::from(sent.hops), sent.service), (hops, service));
        // An answer of the state machine, too; and what is for nobody is nobody's.
        peer.send(&mut bench, ACK, &[1; 2100]);
        assert_eq!(bench.one().service, service);
        bench.stack.receive(id, &mut [0; 4096], false).unwrap();
        Peer::new(1, 1).send(&mut bench, ACK, b"");
        assert_eq!(bench.one().service, 0);
    }
}

#[test]
fn the_device_cuts_segments_when_it_can() {
    let mut cable = Cable::new();
    cable.offload = Offload {
        checksum: true,
        segment_bytes: 9000,
    };
    let mut bench = Bench::with(&configuration(), cable);
    let (id, mut peer) = bench.connected();
    peer.hear(&mut bench);
    bench.stack.send(id, &[7; 5000], false).unwrap();
    let first = bench.sent().remove(0);
    assert!(first.payload.len() > 1460, "{}", first.payload.len());
    assert_eq!(first.segment, Some(1460));
    // What comes without a checked sum is checked here.
    let whole = peer.frame(ACK, peer.next, b"word");
    let mut bad = whole.clone();
    *bad.last_mut().unwrap() ^= 1;
    for (frame, checked, taken) in [(&bad, false, 0), (&bad, true, 4), (&whole, false, 4)] {
        bench.receive_as(frame, checked);
        let got = bench.stack.receive(id, &mut [0; 9], false);
        match taken {
            0 => assert_eq!(got, Err(Error::WouldBlock)),
            _ if checked => assert_eq!(got, Ok(taken)),
            // It was taken before.
            _ => assert_eq!(got, Err(Error::WouldBlock)),
        }
    }
}

/// A peer that has ended its side gets all of a reply, however small the send buffer is.
#[test]
fn what_does_not_fit_is_taken_along_for_a_peer_that_says_no_more() {
    const PIECE: usize = 64 << 10;
    let mut bench = Bench::new();
    let (id, mut peer) = bench.connected();
    let reply: Vec<u8> = (0..300_000u32).map(|at| (at * 7 % 251) as u8).collect();
    // Not while it may say more.
    let fits = bench.stack.send(id, &reply, false).unwrap();
    assert_eq!(fits, 16 << 10);
    peer.hear(&mut bench);
    while !peer.hear(&mut bench).is_empty() {}
    peer.send(&mut bench, FIN | ACK, b"");
    assert_eq!(
        bench.stack.send(id, &reply[fits..], false),
        Ok(reply.len() - fits)
    );
    let used = reply.len() - fits - (16 << 10);
    assert_eq!(bench.stack.unsent_bytes(id), Ok(reply.len() - fits));
    let pieces = used.div_ceil(PIECE);
    let tcp = bench.stack.engine.tcp(id).unwrap();
    assert_eq!(tcp.buffer_bytes(), 2 * (16 << 10) + pieces * PIECE);
    assert_eq!(bench.stack.unacknowledged(), reply.len() - fits + 1);
    // Not writable until all of it is in the buffer; the end comes behind it.
    assert_eq!(bench.stack.readiness(id).unwrap() & ready::OUT, 0);
    bench.stack.close(id).unwrap();
    let mut heard = Vec::new();
    let mut ended = false;
    for _ in 0..1000 {
        let sent = peer.hear(&mut bench);
        for segment in &sent {
            assert!(!ended || segment.payload.is_empty(), "the end");
            heard.extend_from_slice(&segment.payload);
            ended |= segment.flags & FIN != 0;
        }
    }
    assert!(ended && heard == reply[fits..], "{}", heard.len());
    assert_eq!(bench.sockets(), 0);
    assert_eq!(bench.stack.engine.budget.buffer_bytes(None), 16 << 10);
    assert!(bench.stack.engine.budget.take(8 << 20), "all is given back");
}

#[test]
fn no_more_is_taken_along_than_64_pieces_or_what_others_need() {
    const PIECE: usize = 64 << 10;
    for (budget, pieces) in [(64 << 20, 64), (1 << 20, 11)] {
        let mut configuration = configuration();
        configuration.budget_bytes = budget;
        let mut bench = Bench::with(&configuration, Cable::new());
        let (id, mut peer) = bench.connected();
        peer.window = 0;
        peer.send(&mut bench, FIN | ACK, b"");
        let buffer = bench.stack.engine.budget.buffer_bytes(None);
        let most = buffer + pieces * PIECE;
        let data = vec![1; most - 10];
        assert_eq!(bench.stack.send(id, &data, false), Ok(most - 10));
        // The last piece is filled if there might be another one.
        let more = bench.stack.send(id, &data, false);
        match pieces {
            64 => assert_eq!(more, Err(Error::WouldBlock)),
            _ => assert_eq!(more, Ok(10)),
        }
        assert_eq!(bench.stack.send(id, b"x", false), Err(Error::WouldBlock));
        let left = if pieces == 64 { 10 } else { 0 };
        assert_eq!(bench.stack.unsent_bytes(id), Ok(most - left));
        // Nobody will have it after a reset.
        peer.send(&mut bench, RST | ACK, b"");
        bench.pass(MILLISECOND);
        assert_eq!(bench.stack.unsent_bytes(id), Ok(buffer));
        bench.stack.close(id).unwrap();
        bench.pass(SECOND);
        assert!(bench.stack.engine.budget.take(budget), "all is given back");
    }
}
