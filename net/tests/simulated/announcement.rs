//! What a stack says when its address is new (RFC 5227): those who asked for it too early hear it then.

use crate::wire::{CLIENT, Pair, SERVER, given};

#[test]
fn an_address_is_announced_once_and_not_to_a_relay() {
    for relayed in [false, true] {
        let mut pair = Pair::with(1 << 20, 5, given(CLIENT), relayed);
        pair.server.poll(0);
        let frames: Vec<_> = pair.to_client.borrow_mut().drain(..).collect();
        if relayed {
            assert!(frames.is_empty());
            continue;
        }
        let [frame] = &frames[..] else {
            panic!("{} frames", frames.len());
        };
        let mac = [2, 0, 0, 0, 0, 2];
        assert_eq!(frame[..12], [[0xff; 6], mac].concat());
        assert_eq!(frame[12..22], [8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!(frame[22..32], [&mac[..], &SERVER.octets()].concat());
        assert_eq!(frame[32..], [&[0; 6][..], &SERVER.octets()].concat());
        pair.server.poll(1_000_000);
        assert!(pair.to_client.borrow().is_empty());
    }
}
