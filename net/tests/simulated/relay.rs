//! A relay that ends TCP itself, such as `passt`: it may take our part of the handshake and say nothing to it until
//! its client sends.

use crate::wire::{CLIENT as GATEWAY, Pair, SERVER, given};
use bespoke_net::{Error, IpAddress, IpEndpoint};

const MILLISECOND: u64 = 1_000_000;
const BUDGET_BYTES: usize = 4 << 20;
/// Ethernet, IPv4 and TCP without options: an acknowledgement and no more.
const BARE_BYTES: usize = 14 + 20 + 20;
const SYN_ACK: u8 = 0x12;

/// What a client gets within 500 ms from a server that sends `total` bytes after `accept`, when its acknowledgement of
/// the handshake is lost if `silent`.
fn greeting(silent: bool, total: usize) -> usize {
    let mut pair = Pair::with(BUDGET_BYTES, 21, given(GATEWAY), true);
    let mut now = MILLISECOND;
    let listener = pair.server.stream(false).unwrap();
    let name = |address| IpEndpoint::new(address, 80);
    let any = name(IpAddress::v4(0, 0, 0, 0));
    pair.server.bind(listener, any).unwrap();
    pair.server.listen(listener, 8).unwrap();
    let client = pair.client.stream(false).unwrap();
    let begun = pair.client.connect(client, name(IpAddress::Ipv4(SERVER)));
    assert_eq!(begun, Err(Error::InProgress));
    let (mut accepted, mut sent, mut got) = (None, 0, 0);
    let mut buffer = vec![0; 1 << 16];
    for _ in 0..500 {
        now += MILLISECOND;
        pair.client.poll(now);
        if silent && got == 0 {
            let mut frames = pair.to_server.borrow_mut();
            frames.retain(|frame| frame.len() != BARE_BYTES);
        }
        pair.server.poll(now);
        relay(&pair);
        accepted = accepted.or_else(|| pair.server.accept(listener).ok());
        if let Some(server) = accepted {
            while sent < total {
                let bytes: Vec<u8> = (sent..total.min(sent + 4096)).map(pattern).collect();
                match pair.server.send(server, &bytes, false) {
                    Ok(taken) => sent += taken,
                    Err(Error::WouldBlock) => break,
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
        pair.client.poll(now);
        while let Ok(taken @ 1..) = pair.client.receive(client, &mut buffer, false) {
            for (at, byte) in buffer[..taken].iter().enumerate() {
                assert_eq!(*byte, pattern(got + at));
            }
            got += taken;
        }
    }
    got
}

/// Does the relay's part with the frames that have come since it last read, one batch: answers questions for the
/// gateway, and must not find data with a SYN-ACK.
fn relay(pair: &Pair) {
    let frames = pair.to_client.borrow();
    let is_greeted = frames
        .iter()
        .any(|frame| frame[12..14] == [8, 0] && frame[47] == SYN_ACK);
    for frame in frames.iter() {
        assert!(
            !is_greeted || frame.len() < 200,
            "data in one batch with a SYN-ACK"
        );
        if frame[12..14] == [8, 6] && frame[28..32] == [0; 4] && frame[38..42] == GATEWAY.octets() {
            let mut answer = frame.clone();
            answer[..6].copy_from_slice(&frame[6..12]);
            answer[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
            answer[21] = 2;
            answer[22..28].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
            answer[28..32].copy_from_slice(&frame[38..42]);
            answer[32..38].copy_from_slice(&frame[22..28]);
            answer[38..42].copy_from_slice(&[0; 4]);
            pair.to_server.borrow_mut().push_back(answer);
        }
    }
}

fn pattern(at: usize) -> u8 {
    (at * 7 + (at >> 8)) as u8
}

#[test]
fn a_server_speaks_first_through_a_relay_that_waits_for_data() {
    const TOTAL: usize = 1 << 20;
    assert_eq!(greeting(true, TOTAL), TOTAL);
}

#[test]
fn a_relay_may_acknowledge_at_once() {
    const TOTAL: usize = 1 << 20;
    assert_eq!(greeting(false, TOTAL), TOTAL);
}
