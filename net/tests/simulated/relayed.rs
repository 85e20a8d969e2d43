//! A stack behind a relay that ends TCP itself: a client that comes again from the same port is new, whatever its sequence
//! numbers, for nothing old is on its way. And the relay's own side: it speaks from any address.

use crate::flood::syn_from;
use crate::wire::{CLIENT, Pair, SERVER, given};
use bespoke_net::{Error, IpAddress, IpEndpoint};

const MILLISECOND: u64 = 1_000_000;

/// How many of `rounds` connections from one port, each closed by the server first, are made within 100 ms each.
fn made_again(relayed: bool, rounds: usize) -> usize {
    let mut pair = Pair::with(4 << 20, 21, given(CLIENT), relayed);
    let mut now = MILLISECOND;
    let listener = pair.server.stream(false).unwrap();
    let server = IpEndpoint::new(IpAddress::Ipv4(SERVER), 80);
    pair.server.bind(listener, server).unwrap();
    pair.server.listen(listener, 8).unwrap();
    let local = IpEndpoint::new(IpAddress::Ipv4(CLIENT), 4000);
    let mut made = 0;
    for _ in 0..rounds {
        let client = pair.client.stream(false).unwrap();
        let begun = pair.client.connect_from(client, local, server);
        assert_eq!(begun, Err(Error::InProgress));
        let mut accepted = None;
        for _ in 0..100 {
            now += MILLISECOND;
            pair.client.poll(now);
            pair.server.poll(now);
            if let Ok(connection) = pair.server.accept(listener) {
                pair.server.close(connection).unwrap();
                accepted = Some(connection);
            }
        }
        made += usize::from(accepted.is_some());
        pair.client.close(client).unwrap();
        for _ in 0..10 {
            now += MILLISECOND;
            pair.client.poll(now);
            pair.server.poll(now);
        }
    }
    made
}

#[test]
fn every_client_of_a_relay_is_new() {
    assert_eq!(made_again(true, 16), 16);
    // Sequence numbers are random: on a network some of them lie before the old connection's.
    assert!(made_again(false, 16) < 16);
}

#[test]
fn only_who_serves_all_addresses_speaks_from_any() {
    let mut pair = Pair::new(4 << 20, 5);
    let client = pair.client.stream(false).unwrap();
    let foreign = IpEndpoint::new(IpAddress::v4(192, 0, 2, 7), 4000);
    let server = IpEndpoint::new(IpAddress::Ipv4(SERVER), 80);
    let begun = pair.client.connect_from(client, foreign, server);
    assert_eq!(begun, Err(Error::AddressNotAvailable));
}

/// A relay speaks for clients of its own machine by their loopback address; anyone else on a wire who does has forged it.
#[test]
fn a_loopback_address_comes_by_a_relay_alone() {
    for relayed in [true, false] {
        let mut pair = Pair::with(4 << 20, 21, given(CLIENT), relayed);
        let listener = pair.server.stream(false).unwrap();
        let server = IpEndpoint::new(IpAddress::Ipv4(SERVER), 80);
        pair.server.bind(listener, server).unwrap();
        pair.server.listen(listener, 8).unwrap();
        pair.server.poll(MILLISECOND);
        pair.to_client.borrow_mut().clear();
        let forged = syn_from([127, 0, 0, 1], 4000, 7);
        pair.to_server.borrow_mut().push_back(forged);
        pair.server.poll(2 * MILLISECOND);
        // The answer, or the question for the router that leads to the client.
        assert_eq!(!pair.to_client.borrow().is_empty(), relayed);
    }
}
