//! Who may bind a port that somebody has, by the rules of `socket(7)`, and who then gets its packets.

use super::*;

const ONE: IpAddress = IpAddress::v4(10, 0, 0, 1);
const TWO: IpAddress = IpAddress::v4(10, 0, 0, 2);
const SIX: IpAddress = IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, 1);

fn ports() -> Ports {
    Ports::new(&allocator_api2::alloc::Global)
}

fn any(port: u16, v4: bool, v6: bool) -> Name {
    Name {
        address: None,
        port,
        v4,
        v6,
    }
}

fn at(address: IpAddress, port: u16) -> Name {
    Name {
        address: Some(address),
        ..any(port, false, false)
    }
}

/// A socket that shares with nobody.
fn socket(slot: u32, name: Name) -> Binding {
    Binding {
        transport: Transport::Tcp,
        name,
        slot,
        listening: false,
        reuse_address: false,
        reuse_port: false,
    }
}

/// What the second of two gets that bind in this order.
fn second(first: Binding, second: Binding) -> Result<()> {
    let mut ports = ports();
    ports.bind(first).expect("nobody has the port");
    ports.bind(second)
}

/// Every combination of options on both sides: a port is shared only by agreement.
#[test]
fn a_port_is_shared_only_when_both_say_so() {
    for bits in 0..1 << 6u32 {
        let is = |bit: u32| bits >> bit & 1 == 1;
        let binding = |slot, shift| Binding {
            reuse_port: is(shift),
            reuse_address: is(shift + 1),
            listening: is(shift + 2),
            ..socket(slot, any(80, true, false))
        };
        let (first, other) = (binding(1, 0), binding(2, 3));
        let by_port = first.reuse_port && other.reuse_port;
        let by_address = first.reuse_address && other.reuse_address && !first.listening;
        let expected = match by_port || by_address {
            true => Ok(()),
            false => Err(Error::AddressInUse),
        };
        assert_eq!(second(first, other), expected, "{first:?}, then {other:?}");
    }
}

#[test]
fn names_clash_where_a_packet_could_be_for_both() {
    for (a, b, clash) in [
        (any(80, true, false), any(80, true, false), true),
        (any(80, true, false), any(81, true, false), false),
        (any(80, true, false), any(80, false, true), false),
        (any(80, false, true), any(80, false, true), true),
        (any(80, true, true), any(80, false, true), true),
        (any(80, true, true), any(80, true, false), true),
        (at(ONE, 80), at(ONE, 80), true),
        (at(ONE, 80), at(TWO, 80), false),
        (at(ONE, 80), at(ONE, 81), false),
        (at(ONE, 80), any(80, true, false), true),
        (at(ONE, 80), any(80, false, true), false),
        (at(SIX, 80), any(80, false, true), true),
        (at(SIX, 80), any(80, true, false), false),
    ] {
        for (a, b) in [(a, b), (b, a)] {
            let found = second(socket(1, a), socket(2, b));
            assert_eq!(found == Err(Error::AddressInUse), clash, "{a:?}, {b:?}");
        }
    }
    let datagrams = Binding {
        transport: Transport::Udp,
        ..socket(2, any(80, true, false))
    };
    assert_eq!(second(socket(1, any(80, true, false)), datagrams), Ok(()));
}

#[test]
fn one_of_two_that_share_an_address_listens() {
    let mut ports = ports();
    let shares = |slot| Binding {
        reuse_address: true,
        ..socket(slot, any(80, true, false))
    };
    ports.bind(shares(1)).expect("free");
    ports.bind(shares(2)).expect("nobody listens");
    assert_eq!(ports.listen(3), Err(Error::Invalid));
    ports.listen(1).expect("the first");
    assert_eq!(ports.listen(2), Err(Error::AddressInUse));
    assert_eq!(ports.bind(shares(4)), Err(Error::AddressInUse));
    // Refused, it keeps its port, and does not count as a listener.
    ports.listen(1).expect("it listens already");
    ports.remove(1);
    ports.listen(2).expect("nobody else listens");
}

#[test]
fn a_port_is_free_again_when_its_last_socket_is_gone() {
    let mut ports = ports();
    let shares = |slot| Binding {
        reuse_port: true,
        ..socket(slot, any(80, true, false))
    };
    ports.bind(shares(1)).expect("free");
    ports.bind(shares(2)).expect("shared");
    for (slot, is_bound) in [(3, true), (1, true), (2, false)] {
        ports.remove(slot);
        assert_eq!(ports.is_bound(Transport::Tcp, 80), is_bound);
    }
    ports.bind(shares(1)).expect("free");
    assert!(!ports.is_bound(Transport::Udp, 80));
    assert!(!ports.is_bound(Transport::Tcp, 81));
}

#[test]
fn packets_go_to_the_most_specific_name_and_spread_over_those_that_share_it() {
    let mut ports = ports();
    let shares = |slot, name| Binding {
        reuse_port: true,
        ..socket(slot, name)
    };
    for (slot, name) in [
        (1, any(80, true, false)),
        (2, at(ONE, 80)),
        (3, at(ONE, 80)),
        (4, any(80, true, false)),
        (5, any(80, false, true)),
        (6, at(ONE, 81)),
        (7, at(TWO, 82)),
    ] {
        ports.bind(shares(slot, name)).expect("all share");
    }
    let udp = Binding {
        transport: Transport::Udp,
        ..socket(8, at(ONE, 80))
    };
    ports.bind(udp).expect("another transport");
    let find = |address, port, spread| ports.find(Transport::Tcp, address, port, spread, |_| true);
    let spread = |address, port| [0, 1, 2, 3].map(|spread| find(address, port, spread));
    assert_eq!(spread(ONE, 80), [2, 3, 2, 3].map(Some));
    assert_eq!(spread(TWO, 80), [1, 4, 1, 4].map(Some));
    assert_eq!(spread(SIX, 80), [5; 4].map(Some));
    assert_eq!(spread(ONE, 81), [6; 4].map(Some));
    assert_eq!(spread(ONE, 82), [None; 4]);
    assert_eq!(spread(TWO, 82), [7; 4].map(Some));
    assert_eq!(find(SIX, 81, 0), None);
    // Those that do not fit are as if they were not there.
    let fitting = |slot| ports.find(Transport::Tcp, ONE, 80, 1, move |b| b.slot == slot);
    assert_eq!(fitting(3), Some(3));
    assert_eq!(fitting(4), Some(4));
    assert_eq!(fitting(5), None);
    assert_eq!(ports.find(Transport::Udp, ONE, 80, 5, |_| true), Some(8));
}
