//! Many SYNs at once. A flood of them from addresses that never answer: memory stays bounded, established connections go
//! on, and honest clients get in again.

use crate::wire::{CLIENT, Pair, SERVER};
use bespoke_net::{Error, IpAddress, IpEndpoint};

const MILLISECOND: u64 = 1_000_000;

fn checksum(parts: &[&[u8]]) -> u16 {
    let pairs = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = pairs
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A SYN from host `from` of the network, port 1000 and on.
fn syn(from: u8, port: u16, sequence: u32) -> Vec<u8> {
    syn_from([10, 0, 0, from], port, sequence)
}

/// A SYN to port 80 of the server.
pub(crate) fn syn_from(source: [u8; 4], port: u16, sequence: u32) -> Vec<u8> {
    let destination = SERVER.octets();
    let mut tcp = [0; 20];
    tcp[..2].copy_from_slice(&port.to_be_bytes());
    tcp[2..4].copy_from_slice(&80_u16.to_be_bytes());
    tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
    tcp[12..16].copy_from_slice(&[0x50, 2, 0xff, 0xff]);
    let sum = checksum(&[&source, &destination, &[0, 6, 0, 20], &tcp]);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    let mut ip = [0; 20];
    ip[..4].copy_from_slice(&[0x45, 0, 0, 40]);
    ip[8..10].copy_from_slice(&[64, 6]);
    ip[12..16].copy_from_slice(&source);
    ip[16..20].copy_from_slice(&destination);
    let sum = checksum(&[&ip]);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 9, 8, 0];
    frame.extend(ip);
    frame.extend(tcp);
    frame
}

/// Lets both sides work for a while.
fn pass(pair: &mut Pair, now: &mut u64, milliseconds: u64) {
    for _ in 0..milliseconds {
        *now += MILLISECOND;
        pair.client.poll(*now);
        pair.server.poll(*now);
    }
}

#[test]
fn a_flood_of_syns_takes_no_more_than_the_backlog() {
    const BUDGET_BYTES: usize = 4 << 20;
    let mut pair = Pair::new(BUDGET_BYTES, 11);
    let mut now = MILLISECOND;
    let listener = pair.server.stream(false).unwrap();
    let name = |address| IpEndpoint::new(address, 80);
    pair.server
        .bind(listener, name(IpAddress::v4(0, 0, 0, 0)))
        .unwrap();
    pair.server.listen(listener, 32).unwrap();
    let connect = |pair: &mut Pair| {
        let id = pair.client.stream(false).unwrap();
        let result = pair.client.connect(id, name(IpAddress::Ipv4(SERVER)));
        assert_eq!(result, Err(Error::InProgress));
        id
    };
    let early = connect(&mut pair);
    pass(&mut pair, &mut now, 20);
    let accepted = pair.server.accept(listener).expect("before the flood");

    for step in 0..20_000_u32 {
        let frame = syn(10 + (step % 200) as u8, 1000 + (step / 200) as u16, step);
        pair.to_server.borrow_mut().push_back(frame);
        if step % 50 == 0 {
            pass(&mut pair, &mut now, 1);
        }
    }
    pass(&mut pair, &mut now, 100);
    // Those established before hear nothing of it.
    pair.client.send(early, b"still here", false).unwrap();
    pass(&mut pair, &mut now, 5);
    let mut buffer = [0; 16];
    let taken = pair.server.receive(accepted, &mut buffer, false).unwrap();
    assert_eq!(&buffer[..taken], b"still here");
    assert_eq!(pair.server.accept(listener), Err(Error::WouldBlock));
    // Nobody floods any more: who comes now, or tries again after a second, gets in.
    let late = connect(&mut pair);
    pass(&mut pair, &mut now, 2500);
    pair.server.accept(listener).expect("after the flood");
    assert_eq!(
        pair.client.local_name(late).unwrap().addr,
        IpAddress::Ipv4(CLIENT)
    );
    // The half-open ones are gone in the end, and with them their buffers.
    pass(&mut pair, &mut now, 40_000);
    for _ in 0..30 {
        connect(&mut pair);
        pass(&mut pair, &mut now, 20);
        pair.server.accept(listener).expect("there is memory again");
    }
}

/// A server that the machine lets stand for a while finds SYNs in the device, and behind them the last
/// words of handshakes that it had answered before: these are honest peers.
#[test]
fn handshakes_outlive_a_pause_of_the_server() {
    const BACKLOG: usize = 100;
    let mut pair = Pair::new(64 << 20, 12);
    let mut now = MILLISECOND;
    let listener = pair.server.stream(false).unwrap();
    let name = |address| IpEndpoint::new(address, 80);
    pair.server
        .bind(listener, name(IpAddress::v4(0, 0, 0, 0)))
        .unwrap();
    pair.server.listen(listener, BACKLOG).unwrap();
    let connect = |pair: &mut Pair| {
        let id = pair.client.stream(false).unwrap();
        let result = pair.client.connect(id, name(IpAddress::Ipv4(SERVER)));
        assert_eq!(result, Err(Error::InProgress));
        id
    };
    // The addresses are known to each other.
    connect(&mut pair);
    pass(&mut pair, &mut now, 20);
    pair.server.accept(listener).expect("the first");

    let early: Vec<_> = (0..BACKLOG).map(|_| connect(&mut pair)).collect();
    pair.client.poll(now);
    while pair.server.poll(now) {}
    for _ in 0..70 {
        connect(&mut pair);
    }
    pair.client.poll(now);
    while pair.client.poll(now) {}
    now += 500 * MILLISECOND;
    while pair.server.poll(now) {}
    for _ in &early {
        pair.server
            .accept(listener)
            .expect("its handshake was complete");
    }
    pass(&mut pair, &mut now, 20);
    for id in early {
        pair.client
            .send(id, b"hello", false)
            .expect("nobody reset it");
    }
}
