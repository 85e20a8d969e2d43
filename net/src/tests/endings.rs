//! Connections that end: politely, by a reset, by a timer, or held by nobody.

use super::bench::*;
use super::frames::{ACK, FIN, PSH, RST, SYN};
use crate::{Error, IntegerOption, IpEndpoint, ready};
use smoltcp::socket::tcp::State;

#[test]
fn each_direction_is_closed_by_itself() {
    let mut bench = Bench::new();
    let (id, mut peer) = bench.accepted(4000);
    assert_eq!(bench.stack.shutdown(id, false, true), Ok(()));
    let fin = peer.hear_one(&mut bench);
    assert_eq!(fin.flags & FIN, FIN);
    assert_eq!(bench.state(id), State::FinWait2);
    // Writing fails, and so does not block; reading goes on.
    assert_eq!(bench.told(id), Some(ready::OUT));
    assert_eq!(bench.stack.send(id, b"x", false), Err(Error::BrokenPipe));
    peer.send(&mut bench, PSH | ACK, b"late");
    let mut buffer = [0; 8];
    assert_eq!(bench.stack.receive(id, &mut buffer, false), Ok(4));
    assert_eq!(
        bench.stack.receive(id, &mut buffer, false),
        Err(Error::WouldBlock)
    );
    bench.changes();
    peer.send(&mut bench, FIN | ACK, b"");
    let all = ready::IN | ready::OUT | ready::RDHUP | ready::HUP;
    assert_eq!(bench.told(id), Some(all));
    assert_eq!(bench.state(id), State::TimeWait);
    assert_eq!(bench.stack.peer_name(id), Err(Error::NotConnected));
    assert_eq!(bench.stack.receive(id, &mut buffer, false), Ok(0));
    assert_eq!(
        bench.stack.shutdown(id, false, true),
        Err(Error::NotConnected)
    );
    // A second shutdown changes nothing; of reading it is told.
    let (id, mut peer) = bench.accepted(4001);
    assert_eq!(bench.stack.shutdown(id, true, false), Ok(()));
    assert_eq!(bench.told(id), Some(ready::IN | ready::OUT | ready::RDHUP));
    assert_eq!(bench.sent(), []);
    assert_eq!(bench.stack.receive(id, &mut buffer, false), Ok(0));
    // What comes all the same can be read, as on Linux.
    peer.send(&mut bench, PSH | ACK, b"more");
    assert_eq!(bench.stack.receive(id, &mut buffer, false), Ok(4));
    assert_eq!(bench.stack.receive(id, &mut buffer, false), Ok(0));
    assert_eq!(bench.stack.shutdown(id, true, true), Ok(()));
    assert_eq!(bench.told(id), Some(all));
    assert_eq!(bench.stack.shutdown(id, true, true), Ok(()));
    assert_eq!(
        bench
            .sent()
            .iter()
            .filter(|sent| sent.flags & FIN != 0)
            .count(),
        1
    );
}

#[test]
fn states_have_linux_s_numbers() {
    let mut bench = Bench::new();
    let state = |bench: &mut Bench, id| bench.stack.tcp_info(id).unwrap().state;
    let idle = bench.stack.stream(false).unwrap();
    assert_eq!(state(&mut bench, idle), 7);
    let info = bench.stack.tcp_info(idle).unwrap();
    assert_eq!((info.segment_bytes, info.window_segments), (536, 1));
    assert_eq!((info.send_queue, info.receive_queue), (0, 0));
    let listener = bench.listener(4);
    assert_eq!(state(&mut bench, listener), 10);
    bench.stack.close(listener).unwrap();
    let (id, mut peer) = bench.connected();
    assert_eq!(
        (state(&mut bench, id), bench.stack.unacknowledged()),
        (1, 1)
    );
    bench.stack.send(id, b"four", false).unwrap();
    assert_eq!(bench.stack.unacknowledged(), 5);
    let info = bench.stack.tcp_info(id).unwrap();
    assert_eq!(
        (info.send_queue, info.window_segments),
        (4, (16 << 10) / 1460)
    );
    bench.stack.shutdown(id, false, true).unwrap();
    assert_eq!(
        (state(&mut bench, id), bench.stack.unacknowledged()),
        (4, 5)
    );
    // Both ends cross.
    peer.send(&mut bench, FIN | ACK, b"");
    assert_eq!(
        (state(&mut bench, id), bench.stack.unacknowledged()),
        (11, 5)
    );
    peer.hear(&mut bench);
    assert_eq!(
        (state(&mut bench, id), bench.stack.unacknowledged()),
        (6, 0)
    );
    let (id, mut peer) = bench.connected();
    bench.stack.shutdown(id, false, true).unwrap();
    peer.hear(&mut bench);
    assert_eq!(
        (state(&mut bench, id), bench.stack.unacknowledged()),
        (5, 0)
    );
    let (id, mut peer) = bench.connected();
    peer.send(&mut bench, FIN | ACK, b"");
    assert_eq!(
        (state(&mut bench, id), bench.stack.unacknowledged()),
        (8, 1)
    );
    bench.stack.shutdown(id, false, true).unwrap();
    assert_eq!(
        (state(&mut bench, id), bench.stack.unacknowledged()),
        (9, 1)
    );
    let all = ready::IN | ready::OUT | ready::RDHUP | ready::HUP;
    assert_eq!(bench.stack.readiness(id), Ok(all));
    peer.hear(&mut bench);
    assert_eq!(
        (state(&mut bench, id), bench.stack.unacknowledged()),
        (7, 0)
    );
    let udp = bench.stack.datagram(false).unwrap();
    assert_eq!(bench.stack.tcp_info(udp), Err(Error::NoProtocolOption));
}

#[test]
fn a_reset_is_told_once() {
    let mut bench = Bench::new();
    let (id, mut peer) = bench.accepted(4000);
    peer.send(&mut bench, PSH | ACK, b"word");
    bench.changes();
    peer.send(&mut bench, RST | ACK, b"");
    let all = ready::IN | ready::OUT | ready::RDHUP | ready::HUP;
    assert_eq!(bench.told(id), Some(all | ready::ERR));
    // What came before can be read.
    let mut buffer = [0; 8];
    assert_eq!(bench.stack.receive(id, &mut buffer, false), Ok(4));
    assert_eq!(
        bench.stack.receive(id, &mut buffer, false),
        Err(Error::Reset)
    );
    assert_eq!(bench.stack.receive(id, &mut buffer, false), Ok(0));
    assert_eq!(bench.stack.send(id, b"x", false), Err(Error::BrokenPipe));
    // Or it is told to a writer.
    let (id, mut peer) = bench.accepted(4001);
    peer.send(&mut bench, RST | ACK, b"");
    assert_eq!(bench.stack.send(id, b"x", false), Err(Error::Reset));
    assert_eq!(bench.stack.send(id, b"x", false), Err(Error::BrokenPipe));
}

#[test]
fn data_may_go_unanswered_for_924_seconds_or_as_long_as_the_user_says() {
    for (timeout, limit) in [(None, 924_000), (Some(7_000), 7_000)] {
        let mut bench = Bench::new();
        let (id, mut peer) = bench.connected();
        if let Some(timeout) = timeout {
            bench
                .stack
                .set_option(id, IntegerOption::UserTimeout, timeout)
                .unwrap();
        }
        bench.pass(1000 * SECOND);
        bench.sent();
        // Counted from the first byte that waits, and from the last that was heard.
        bench.stack.send(id, b"first", false).unwrap();
        bench.pass((limit - 10) * MILLISECOND);
        bench.stack.send(id, b"second", false).unwrap();
        bench.pass(9 * MILLISECOND);
        assert_eq!(
            (bench.state(id), bench.stack.take_error(id)),
            (State::Established, Ok(None))
        );
        peer.send(&mut bench, ACK, b"");
        bench.pass((limit - 1) * MILLISECOND);
        assert_eq!(bench.state(id), State::Established);
        assert!(bench.sent().len() > 1, "it is sent again");
        bench.changes();
        bench.pass(2 * MILLISECOND);
        assert_eq!(bench.state(id), State::Closed);
        let all = ready::IN | ready::OUT | ready::RDHUP | ready::HUP;
        assert_eq!(bench.told(id), Some(all | ready::ERR));
        assert_eq!(bench.one().flags & RST, RST);
        let mut buffer = [0; 8];
        assert_eq!(
            bench.stack.receive(id, &mut buffer, false),
            Err(Error::TimedOut)
        );
        assert_eq!(bench.stack.receive(id, &mut buffer, false), Ok(0));
    }
}

#[test]
fn an_idle_peer_is_probed_and_given_up() {
    let mut bench = Bench::new();
    let (id, mut peer) = bench.connected();
    for (option, value) in [
        (IntegerOption::KeepAlive, 1),
        (IntegerOption::KeepIdle, 10),
        (IntegerOption::KeepInterval, 5),
        (IntegerOption::KeepCount, 3),
    ] {
        bench.stack.set_option(id, option, value).unwrap();
    }
    bench.stack.send(id, b"x", false).unwrap();
    peer.hear_one(&mut bench);
    for _ in 0..2 {
        let begun = bench.now;
        assert!(
            bench
                .stack
                .next_deadline()
                .is_some_and(|due| due <= begun + 10 * SECOND)
        );
        bench.pass(10 * SECOND - MILLISECOND);
        assert_eq!(bench.sent(), []);
        bench.pass(2 * MILLISECOND);
        let probe = bench.one();
        assert_eq!(probe.sequence, peer.heard.wrapping_sub(1));
        bench.pass(5 * SECOND - MILLISECOND);
        assert_eq!(bench.sent(), []);
        bench.pass(MILLISECOND);
        assert_eq!(bench.one().sequence, probe.sequence);
        // Answered, the peer has another ten seconds.
        peer.send(&mut bench, ACK, b"");
        assert_eq!(bench.sent(), []);
    }
    bench.pass(25 * SECOND - MILLISECOND);
    assert_eq!(bench.sent().len(), 3, "probes");
    assert_eq!(
        (bench.state(id), bench.stack.take_error(id)),
        (State::Established, Ok(None))
    );
    bench.pass(MILLISECOND);
    assert_eq!(bench.one().flags & RST, RST);
    assert_eq!(
        (bench.state(id), bench.stack.take_error(id)),
        (State::Closed, Ok(Some(Error::TimedOut)))
    );
    // Without the option nobody asks.
    let (id, mut peer) = bench.connected();
    peer.hear(&mut bench);
    bench.pass(10_000 * SECOND);
    assert_eq!(
        (bench.sent(), bench.state(id)),
        (std::vec![], State::Established)
    );
}

#[test]
fn a_listener_hands_on_its_options() {
    let mut bench = Bench::new();
    let listener = bench.listener(4);
    for (option, value) in [
        (IntegerOption::KeepAlive, 1),
        (IntegerOption::KeepIdle, 20),
        (IntegerOption::NoDelay, 1),
        (IntegerOption::HopLimit4, 9),
    ] {
        bench.stack.set_option(listener, option, value).unwrap();
    }
    let mut peer = Peer::new(4000, 80);
    peer.open(&mut bench);
    let id = bench.stack.accept(listener).unwrap();
    assert_eq!(bench.stack.option(id, IntegerOption::KeepIdle), Ok(20));
    bench.pass(20 * SECOND + MILLISECOND);
    let probe = bench.sent().pop().expect("a probe");
    assert_eq!(probe.hops, 9);
}

#[test]
fn a_closed_connection_leaves_a_record() {
    let mut bench = Bench::new();
    let (id, mut peer) = bench.connected();
    bench.stack.send(id, b"last", false).unwrap();
    bench.stack.close(id).unwrap();
    assert_eq!(bench.stack.readiness(id), Err(Error::BadDescriptor));
    assert_eq!(bench.stack.close(id), Err(Error::BadDescriptor));
    let sent = peer.hear(&mut bench);
    assert!(sent.iter().any(|sent| sent.payload == b"last"));
    peer.hear(&mut bench);
    assert_eq!(bench.state_of(&peer), Some(State::FinWait2));
    peer.send(&mut bench, FIN | ACK, b"");
    let last = bench.sent().pop().expect("an acknowledgement");
    assert_eq!((bench.sockets(), bench.waits(peer.flow())), (0, true));
    assert_eq!(
        (last.acknowledgement, last.sequence),
        (peer.next, peer.heard)
    );
    assert!(
        bench.stack.engine.budget.take(8 << 20),
        "the buffers are free"
    );
    bench.stack.engine.budget.give(8 << 20);
    // An end that is sent again is acknowledged again, a bare acknowledgement is not.
    peer.next = peer.next.wrapping_sub(1);
    peer.send(&mut bench, FIN | ACK, b"");
    let again = bench.one();
    assert_eq!(
        (again.from, again.to, again.flags),
        (last.from, last.to, ACK)
    );
    assert_eq!(
        (again.sequence, again.acknowledgement),
        (last.sequence, last.acknowledgement)
    );
    assert_eq!((again.window, again.hops), (0, 64));
    peer.send(&mut bench, ACK, b"");
    assert_eq!(bench.sent(), []);
    // Without room the answer is left out.
    bench.cable().outgoing.most_frames = 0;
    let again = peer.frame(FIN | ACK, peer.next.wrapping_sub(1), b"");
    bench.receive(&again);
    bench.cable().outgoing.most_frames = 9;
    assert_eq!(bench.frames(), []);
    // A reset removes it when its number is the one that is expected.
    for (offset, is_left) in [(1, true), (u32::MAX, true), (0, false)] {
        let reset = peer.frame(RST, peer.next.wrapping_add(offset), b"");
        bench.receive(&reset);
        assert_eq!(bench.waits(peer.flow()), is_left);
        assert_eq!(bench.sent(), []);
    }
}

#[test]
fn a_record_gives_way_to_a_newer_connection() {
    for (offset, newer) in [
        (1u32, true),
        (0, false),
        (u32::MAX, false),
        (0x7fff_ffff, true),
        (0x8000_0000, false),
    ] {
        for record in [true, false] {
            let mut bench = Bench::new();
            let listener = bench.listener(4);
            let mut peer = Peer::new(4000, 80);
            peer.open(&mut bench);
            let id = bench.stack.accept(listener).unwrap();
            match record {
                true => bench.stack.close(id).unwrap(),
                false => bench.stack.shutdown(id, false, true).unwrap(),
            }
            peer.hear(&mut bench);
            peer.send(&mut bench, FIN | ACK, b"");
            bench.sent();
            assert_eq!(bench.waits(peer.flow()), record);
            let next = peer.next;
            for flags in [SYN | ACK, SYN] {
                let syn = peer.frame(flags, next.wrapping_add(offset), b"");
                bench.receive(&syn);
                let answers = bench.sent();
                let welcomed = answers.iter().any(|sent| sent.flags == SYN | ACK);
                assert_eq!(
                    welcomed,
                    newer && flags == SYN,
                    "{offset:#x} {record} {flags}"
                );
            }
        }
    }
}

#[test]
fn nobody_s_connection_has_sixty_seconds() {
    // The peer never ends its side.
    let mut bench = Bench::new();
    let (id, mut peer) = bench.connected();
    bench.stack.close(id).unwrap();
    peer.hear(&mut bench);
    bench.pass(60 * SECOND - MILLISECOND);
    assert_eq!(bench.state_of(&peer), Some(State::FinWait2));
    bench.pass(MILLISECOND);
    assert_eq!((bench.state_of(&peer), bench.sockets()), (None, 0));
    // Or goes on sending: a segment does not make it last for ever.
    let (id, mut peer) = bench.connected();
    bench.stack.close(id).unwrap();
    peer.hear(&mut bench);
    bench.pass(59 * SECOND);
    peer.send(&mut bench, ACK, b"");
    bench.pass(2 * SECOND);
    assert_eq!(bench.state_of(&peer), None);
    // Or never answers: two minutes, or at the latest a minute after the retransmission that found them over.
    let (id, peer) = bench.connected();
    bench.stack.send(id, b"lost", false).unwrap();
    bench.stack.close(id).unwrap();
    bench.pass(119 * SECOND);
    assert_eq!(bench.state_of(&peer), Some(State::FinWait1));
    bench.pass(61 * SECOND);
    assert_eq!(bench.state_of(&peer), None);
    bench.sent();
    // Heard in between, it counts from then.
    let (id, mut peer) = bench.connected();
    bench.stack.send(id, b"lost", false).unwrap();
    bench.stack.close(id).unwrap();
    bench.pass(100 * SECOND);
    peer.send(&mut bench, ACK, b"");
    bench.pass(119 * SECOND);
    assert_eq!(bench.state_of(&peer), Some(State::FinWait1));
    bench.pass(61 * SECOND);
    assert_eq!(bench.state_of(&peer), None);
}

#[test]
fn unread_data_resets_when_the_last_reply_has_arrived() {
    // Nothing to say: at once.
    let mut bench = Bench::new();
    let (id, mut peer) = bench.connected();
    peer.send(&mut bench, PSH | ACK, b"unread");
    bench.sent();
    bench.stack.close(id).unwrap();
    assert_eq!(bench.sent().last().map(|sent| sent.flags & RST), Some(RST));
    assert_eq!(bench.sockets(), 0);
    // Something to say: when it is acknowledged.
    let (id, mut peer) = bench.connected();
    peer.send(&mut bench, PSH | ACK, b"unread");
    bench.stack.send(id, b"reply", false).unwrap();
    bench.stack.close(id).unwrap();
    let sent = peer.hear(&mut bench);
    assert!(
        sent.iter().all(|sent| sent.flags & (RST | FIN) == 0),
        "{sent:x?}"
    );
    assert_eq!(bench.one().flags & RST, RST);
    assert_eq!(bench.sockets(), 0);
    // Or after two seconds.
    let (id, mut peer) = bench.connected();
    peer.send(&mut bench, PSH | ACK, b"unread");
    bench.stack.send(id, b"reply", false).unwrap();
    bench.pass(10 * MILLISECOND);
    bench.sent();
    bench.stack.close(id).unwrap();
    bench.pass(2 * SECOND - MILLISECOND);
    assert!(bench.sent().iter().all(|sent| sent.flags & RST == 0));
    bench.pass(MILLISECOND);
    assert_eq!(bench.sent().last().map(|sent| sent.flags & RST), Some(RST));
    assert_eq!(bench.sockets(), 0);
}

#[test]
fn lingering_for_no_time_resets() {
    for (linger, is_reset) in [(Some(0), true), (Some(1), false), (None, false)] {
        let mut bench = Bench::new();
        let (id, _) = bench.connected();
        bench.stack.set_linger(id, linger).unwrap();
        bench.stack.send(id, b"gone", false).unwrap();
        bench.sent();
        bench.stack.close(id).unwrap();
        let sent = bench.sent();
        assert_eq!(sent.iter().any(|sent| sent.flags & RST != 0), is_reset);
        assert_eq!(sent.iter().any(|sent| sent.flags & FIN != 0), !is_reset);
        assert_eq!(bench.sockets() == 0, is_reset);
    }
}

#[test]
fn a_listener_that_is_closed_resets_who_was_not_accepted() {
    for shutdown in [false, true] {
        let mut bench = Bench::new();
        let listener = bench.listener(4);
        let mut done = Peer::new(4000, 80);
        done.open(&mut bench);
        let mut accepted = Peer::new(4001, 80);
        accepted.open(&mut bench);
        let first = bench.stack.accept(listener).unwrap();
        let mut half = Peer::new(4002, 80);
        half.send(&mut bench, SYN, b"");
        bench.sent();
        match shutdown {
            true => bench.stack.shutdown(listener, true, false).unwrap(),
            false => bench.stack.close(listener).unwrap(),
        }
        let reset: std::vec::Vec<u16> = bench
            .sent()
            .iter()
            .filter(|sent| sent.flags & RST != 0)
            .map(|sent| sent.to.port)
            .collect();
        assert_eq!(reset, [4001, 4002], "the first was accepted");
        assert_eq!(bench.stack.readiness(first), Ok(ready::OUT));
        assert_eq!(bench.sockets(), 1 + usize::from(shutdown));
        // The port is free.
        let other = bench.stack.stream(false).unwrap();
        bench
            .stack
            .set_option(other, IntegerOption::ReuseAddress, 1)
            .unwrap();
        bench.stack.bind(other, IpEndpoint::new(ANY, 80)).unwrap();
        if shutdown {
            assert!(bench.told(listener).is_some());
            bench.stack.close(listener).unwrap();
        }
    }
}

#[test]
fn sockets_that_never_were_anything_are_closed() {
    let mut bench = Bench::new();
    let id = bench.stack.stream(false).unwrap();
    bench.stack.bind(id, IpEndpoint::new(OWN, 4000)).unwrap();
    assert_eq!(
        bench.stack.bind(id, IpEndpoint::new(OWN, 4001)),
        Err(Error::Invalid)
    );
    assert_eq!(bench.stack.send(id, b"x", false), Err(Error::BrokenPipe));
    assert_eq!(
        bench.stack.receive(id, &mut [0; 4], false),
        Err(Error::NotConnected)
    );
    assert_eq!(
        bench.stack.shutdown(id, true, true),
        Err(Error::NotConnected)
    );
    assert_eq!(bench.stack.peer_name(id), Err(Error::NotConnected));
    assert_eq!(bench.sockets(), 1);
    bench.stack.close(id).unwrap();
    assert_eq!(bench.sockets(), 0);
    let other = bench.stack.stream(false).unwrap();
    assert_eq!(bench.stack.bind(other, IpEndpoint::new(OWN, 4000)), Ok(()));
    assert_eq!(bench.stack.readiness(id), Err(Error::BadDescriptor));
}
