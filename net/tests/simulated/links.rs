//! Two stacks on links that lose, double, reorder and damage frames: what arrives is what was
//! sent. Time is simulated: a minute of retransmissions takes no time.

use crate::wire::{CLIENT, End, Pair, Queue, SERVER};
use bespoke_net::{Error, IpAddress, IpEndpoint, SocketId, Stack, ready};
use proptest::prelude::*;

const MILLISECOND: u64 = 1_000_000;

/// What a link does to frames, in frames of a thousand.
#[derive(Clone, Copy, Debug)]
struct Faults {
    lost: u32,
    doubled: u32,
    swapped: u32,
    damaged: u32,
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as u32
    }
    fn hits(&mut self, per_thousand: u32) -> bool {
        self.next() % 1000 < per_thousand
    }
}

fn disturb(queue: &Queue, faults: Faults, random: &mut Random) {
    let mut frames = queue.borrow_mut();
    let mut out = std::collections::VecDeque::new();
    while let Some(mut frame) = frames.pop_front() {
        if random.hits(faults.lost) {
            continue;
        }
        if random.hits(faults.damaged) {
            // One flipped bit: the checksums find every one. Not in the Ethernet header, which a
            // real link protects.
            let at = 14 + random.next() as usize % (frame.len() - 14);
            frame[at] ^= 1 << (random.next() % 8);
        }
        if random.hits(faults.doubled) {
            out.push_back(frame.clone());
        }
        if random.hits(faults.swapped) && !out.is_empty() {
            let at = random.next() as usize % out.len();
            out.insert(at, frame);
        } else {
            out.push_back(frame);
        }
    }
    *frames = out;
}

fn pattern(at: usize, salt: u8) -> u8 {
    ((at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8 ^ salt
}

/// One direction of a connection.
struct Direction {
    total: usize,
    sent: usize,
    received: usize,
    salt: u8,
    ended: bool,
}

impl Direction {
    fn send(&mut self, stack: &mut Stack<End>, socket: SocketId) {
        while self.sent < self.total {
            let chunk: Vec<u8> = (self.sent..self.total.min(self.sent + 5000))
                .map(|at| pattern(at, self.salt))
                .collect();
            match stack.send(socket, &chunk, false) {
                Ok(bytes) => self.sent += bytes,
                Err(Error::WouldBlock) => return,
                Err(error) => panic!("after {} bytes: {error:?}", self.sent),
            }
            if self.sent == self.total {
                stack.shutdown(socket, false, true).unwrap();
            }
        }
    }

    fn receive(&mut self, stack: &mut Stack<End>, socket: SocketId) {
        let mut buffer = [0; 3000];
        loop {
            match stack.receive(socket, &mut buffer, false) {
                Ok(0) => {
                    self.ended = true;
                    return;
                }
                Ok(bytes) => {
                    for (at, byte) in buffer[..bytes].iter().enumerate() {
                        assert_eq!(*byte, pattern(self.received + at, self.salt));
                    }
                    self.received += bytes;
                }
                Err(Error::WouldBlock) => return,
                Err(error) => panic!("after {} bytes: {error:?}", self.received),
            }
        }
    }
}

/// Carries both directions over the link to their ends; simulated seconds it took.
fn carry(faults: Faults, seed: u64, totals: [usize; 2]) -> f64 {
    let mut random = Random(seed);
    let mut pair = Pair::new(16 << 20, seed);
    let mut now = MILLISECOND;
    let listener = pair.server.stream(false).unwrap();
    let any = IpEndpoint::new(IpAddress::v4(0, 0, 0, 0), 80);
    pair.server.bind(listener, any).unwrap();
    pair.server.listen(listener, 4).unwrap();
    pair.server.poll(now);
    pair.client.poll(now);
    let client = pair.client.stream(false).unwrap();
    let server = IpEndpoint::new(IpAddress::Ipv4(SERVER), 80);
    assert_eq!(pair.client.connect(client, server), Err(Error::InProgress));
    let direction = |total, salt| Direction {
        total,
        sent: 0,
        received: 0,
        salt,
        ended: false,
    };
    let mut up = direction(totals[0], 0);
    let mut down = direction(totals[1], 0x55);
    let mut accepted = None;
    while !(up.ended && down.ended) {
        now += MILLISECOND / 5;
        assert!(now < 3600 * 1000 * MILLISECOND, "it never ends");
        disturb(&pair.to_server, faults, &mut random);
        disturb(&pair.to_client, faults, &mut random);
        pair.client.poll(now);
        pair.server.poll(now);
        accepted = accepted.or_else(|| pair.server.accept(listener).ok());
        if pair.client.readiness(client).unwrap() & ready::OUT != 0 {
            up.send(&mut pair.client, client);
        }
        down.receive(&mut pair.client, client);
        if let Some(accepted) = accepted {
            down.send(&mut pair.server, accepted);
            up.receive(&mut pair.server, accepted);
        }
        // Nothing under way: on to the next timer.
        if pair.to_server.borrow().is_empty() && pair.to_client.borrow().is_empty() {
            let due = [pair.client.next_deadline(), pair.server.next_deadline()];
            let due = due.into_iter().flatten().min();
            now = now.max(due.expect("somebody waits for something"));
        }
    }
    assert_eq!([up.received, down.received], totals);
    now as f64 / 1e9
}

const CLEAN: Faults = Faults {
    lost: 0,
    doubled: 0,
    swapped: 0,
    damaged: 0,
};

#[test]
fn a_clean_link_needs_no_timer() {
    let seconds = carry(CLEAN, 1, [1 << 20, 1 << 20]);
    assert!(seconds < 1.0, "{seconds} simulated seconds");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn streams_arrive_over_bad_links(
        lost in 0..150_u32, doubled in 0..150_u32, swapped in 0..200_u32, damaged in 0..60_u32,
        seed in any::<u64>(), up in 1..150_000_usize, down in 1..150_000_usize,
    ) {
        carry(Faults { lost, doubled, swapped, damaged }, seed, [up, down]);
    }
}

#[test]
fn both_sides_may_close_at_once_and_the_ports_are_free_again() {
    let mut pair = Pair::new(16 << 20, 3);
    let listener = pair.server.stream(false).unwrap();
    let any = IpEndpoint::new(IpAddress::v4(0, 0, 0, 0), 80);
    pair.server.bind(listener, any).unwrap();
    pair.server.listen(listener, 4).unwrap();
    let mut now = MILLISECOND;
    for _ in 0..300 {
        let client = pair.client.stream(false).unwrap();
        let from = IpEndpoint::new(IpAddress::Ipv4(CLIENT), 4000);
        // The same port again and again: TIME_WAIT on either side gives way.
        pair.client
            .set_option(client, bespoke_net::IntegerOption::ReuseAddress, 1)
            .unwrap();
        pair.client.bind(client, from).unwrap();
        let server = IpEndpoint::new(IpAddress::Ipv4(SERVER), 80);
        assert_eq!(pair.client.connect(client, server), Err(Error::InProgress));
        let mut accepted = None;
        for _ in 0..10 {
            // A SYN that the old connection's record takes for an old one is sent again.
            now += 150 * MILLISECOND;
            pair.client.poll(now);
            pair.server.poll(now);
            accepted = accepted.or_else(|| pair.server.accept(listener).ok());
        }
        let accepted = accepted.expect("established");
        pair.client.close(client).unwrap();
        pair.server.close(accepted).unwrap();
        for _ in 0..8 {
            now += MILLISECOND;
            pair.client.poll(now);
            pair.server.poll(now);
        }
    }
}

#[test]
fn loopback_serves_this_machine_alone() {
    let configuration = bespoke_net::Configuration {
        ipv4: bespoke_net::Ipv4Configuration::None,
        ipv6: None,
        relayed: false,
        serves_all: false,
        budget_bytes: 16 << 20,
        seed: 5,
    };
    let memory = &allocator_api2::alloc::Global;
    let mut stack = Stack::<End>::new(None, &configuration, memory).unwrap();
    for (v6, address) in [
        (false, IpAddress::v4(127, 0, 0, 1)),
        (true, IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 1)),
    ] {
        let listener = stack.stream(v6).unwrap();
        let name = IpEndpoint::new(address, 80);
        stack.bind(listener, name).unwrap();
        stack.listen(listener, 4).unwrap();
        let client = stack.stream(v6).unwrap();
        assert_eq!(stack.connect(client, name), Err(Error::InProgress));
        let mut now = MILLISECOND;
        stack.poll(now);
        let accepted = stack.accept(listener).unwrap();
        let block = vec![7; 200_000];
        let (mut sent, mut received) = (0, 0);
        let mut buffer = vec![0; 70_000];
        while received < block.len() {
            now += MILLISECOND;
            if let Ok(bytes) = stack.send(client, &block[sent..], false) {
                sent += bytes;
            }
            stack.poll(now);
            if let Ok(bytes) = stack.receive(accepted, &mut buffer, false) {
                received += bytes;
            }
        }
        assert!(now < 100 * MILLISECOND, "nothing was lost and sent again");
        let refused = stack.stream(v6).unwrap();
        let nobody = IpEndpoint::new(address, 81);
        assert_eq!(stack.connect(refused, nobody), Err(Error::InProgress));
        stack.poll(now + MILLISECOND);
        assert_eq!(stack.take_error(refused), Ok(Some(Error::Refused)));
        let away = IpEndpoint::new(IpAddress::v4(10, 1, 2, 3), 80);
        let lost = stack.stream(false).unwrap();
        assert_eq!(stack.connect(lost, away), Err(Error::NetworkUnreachable));
        let datagrams = stack.datagram(v6).unwrap();
        stack.bind(datagrams, IpEndpoint::new(address, 53)).unwrap();
        let sender = stack.datagram(v6).unwrap();
        stack
            .send_to(sender, b"datagram", IpEndpoint::new(address, 53))
            .unwrap();
        stack.poll(now + 2 * MILLISECOND);
        let mut buffer = [0; 3];
        let (copied, whole, _) = stack.receive_from(datagrams, &mut buffer, false).unwrap();
        assert_eq!((copied, whole, &buffer), (3, 8, b"dat"));
        for socket in [listener, client, accepted, refused, lost, datagrams, sender] {
            stack.close(socket).unwrap();
            assert_eq!(stack.close(socket), Err(Error::BadDescriptor));
        }
    }
}

/// Who polls before a write, and never writes short, is told when there is room again (Linux arms that in `poll`).
#[test]
fn a_socket_that_was_polled_tells_of_room() {
    let mut pair = Pair::new(16 << 20, 5);
    let listener = pair.server.stream(false).unwrap();
    let any = IpEndpoint::new(IpAddress::v4(0, 0, 0, 0), 80);
    pair.server.bind(listener, any).unwrap();
    pair.server.listen(listener, 4).unwrap();
    let client = pair.client.stream(false).unwrap();
    let mut now = MILLISECOND;
    pair.server.poll(now);
    pair.client.poll(now);
    let server = IpEndpoint::new(IpAddress::Ipv4(SERVER), 80);
    assert_eq!(pair.client.connect(client, server), Err(Error::InProgress));
    let mut accepted = None;
    while accepted.is_none() {
        now += MILLISECOND;
        assert!(now < 1000 * MILLISECOND, "no connection");
        pair.client.poll(now);
        pair.server.poll(now);
        accepted = pair.server.accept(listener).ok();
    }
    let accepted = accepted.unwrap();
    // Until neither the peer nor this side has room; every write is whole.
    while pair.client.readiness(client).unwrap() & ready::OUT != 0 {
        assert_eq!(pair.client.send(client, &[7; 512], false), Ok(512));
        now += MILLISECOND;
        pair.client.poll(now);
        pair.server.poll(now);
    }
    while pair.client.take_change().is_some() {}
    let mut told = false;
    while !told {
        now += MILLISECOND;
        assert!(now < 100_000 * MILLISECOND, "never told");
        let _ = pair.server.receive(accepted, &mut [0; 4096], false);
        pair.server.poll(now);
        pair.client.poll(now);
        while let Some(change) = pair.client.take_change() {
            told |= change.socket == client && change.ready & ready::OUT != 0;
        }
    }
}

/// A connection from the client to port 80 of the server, accepted there.
fn connected(pair: &mut Pair, now: &mut u64) -> (SocketId, SocketId) {
    let listener = pair.server.stream(false).unwrap();
    let any = IpEndpoint::new(IpAddress::v4(0, 0, 0, 0), 80);
    pair.server.bind(listener, any).unwrap();
    pair.server.listen(listener, 4).unwrap();
    let client = pair.client.stream(false).unwrap();
    turn(pair, now);
    let server = IpEndpoint::new(IpAddress::Ipv4(SERVER), 80);
    assert_eq!(pair.client.connect(client, server), Err(Error::InProgress));
    loop {
        turn(pair, now);
        assert!(*now < 1000 * MILLISECOND, "no connection");
        if let Ok(accepted) = pair.server.accept(listener) {
            return (client, accepted);
        }
    }
}

/// A millisecond passes.
fn turn(pair: &mut Pair, now: &mut u64) {
    *now += MILLISECOND;
    pair.client.poll(*now);
    pair.server.poll(*now);
}

/// A peer whose end comes after the first bytes of a reply, for which there was no room: the end is shown once the writer had
/// its turn, which then finds room for all the rest.
#[test]
fn the_end_of_a_peer_is_shown_behind_a_reply_that_waits_for_room() {
    static REPLY: [u8; 1 << 20] = [7; 1 << 20];
    let mut pair = Pair::new(64 << 20, 5);
    let mut now = 0;
    let (client, server) = connected(&mut pair, &mut now);
    let mut sent = pair.server.send(server, &REPLY, false).unwrap();
    assert!(sent < REPLY.len());
    pair.client.shutdown(client, false, true).unwrap();
    turn(&mut pair, &mut now);
    turn(&mut pair, &mut now);
    let seen = pair.server.readiness(server).unwrap();
    assert_eq!(seen, ready::OUT);
    let mut byte = [0];
    let read = pair.server.receive(server, &mut byte, false);
    assert_eq!(read, Err(Error::WouldBlock));
    sent += pair.server.send(server, &REPLY[sent..], false).unwrap();
    assert_eq!(sent, REPLY.len());
    turn(&mut pair, &mut now);
    let seen = pair.server.readiness(server).unwrap();
    assert_eq!(seen & (ready::IN | ready::RDHUP), ready::IN | ready::RDHUP);
    assert_eq!(pair.server.receive(server, &mut byte, false), Ok(0));
    pair.server.close(server).unwrap();
    let mut received = 0;
    let mut buffer = vec![0; 1 << 16];
    while received < REPLY.len() {
        assert!(now < 100_000 * MILLISECOND, "{received} bytes");
        if let Ok(bytes) = pair.client.receive(client, &mut buffer, false) {
            assert!(bytes > 0, "cut off after {received} bytes");
            received += bytes;
        }
        turn(&mut pair, &mut now);
    }
}

/// Who gave up writing hears of the peer's end all the same, soon.
#[test]
fn the_end_of_a_peer_does_not_wait_for_a_writer_for_ever() {
    let mut pair = Pair::new(64 << 20, 5);
    let mut now = 0;
    let (client, server) = connected(&mut pair, &mut now);
    assert!(pair.server.send(server, &[7; 1 << 20], false).unwrap() < 1 << 20);
    pair.client.shutdown(client, false, true).unwrap();
    turn(&mut pair, &mut now);
    turn(&mut pair, &mut now);
    let start = now;
    while pair.server.take_change().is_some() {}
    let mut ended = false;
    while !ended {
        turn(&mut pair, &mut now);
        assert!(now < start + 1_100 * MILLISECOND, "never told");
        while let Some(change) = pair.server.take_change() {
            ended |= change.socket == server && change.ready & ready::RDHUP != 0;
        }
    }
    assert!(now > start + 900 * MILLISECOND, "told at once");
    assert_eq!(pair.server.receive(server, &mut [0], false), Ok(0));
}

/// A relay says how much it could send and has less: nothing waits for room then, and the end is shown at once.
#[test]
fn a_writer_that_has_less_than_it_said_sees_the_end_at_once() {
    let mut pair = Pair::new(4 << 20, 5);
    let mut now = 0;
    let (client, server) = connected(&mut pair, &mut now);
    let mut rest: &[u8] = b"word";
    let sent = pair.server.send_with(server, 1000, false, &mut |room| {
        let taken = rest.len().min(room.len());
        room[..taken].copy_from_slice(&rest[..taken]);
        rest = &rest[taken..];
        taken
    });
    assert_eq!(sent, Ok(4));
    pair.client.shutdown(client, false, true).unwrap();
    turn(&mut pair, &mut now);
    turn(&mut pair, &mut now);
    let seen = pair.server.readiness(server).unwrap();
    assert_eq!(seen & ready::RDHUP, ready::RDHUP);
}
