//! An address by DHCP (RFC 2131), asked for and renewed, from a server on the other end of a wire.

use crate::wire::{CLIENT, Pair, SERVER};
use bespoke_net::{Error, IpAddress, IpEndpoint, Ipv4Address, Ipv4Configuration};

const SECOND: u64 = 1_000_000_000;
const LEASE_SECONDS: u32 = 60;
const NAME_SERVER: Ipv4Address = Ipv4Address::new(10, 0, 0, 53);
const MAGIC: [u8; 4] = [99, 130, 83, 99];

/// The value of an option of a message.
fn option(message: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut rest = message.get(240..)?;
    while let [code, length, tail @ ..] = rest {
        let (value, next) = tail.split_at_checked((*length).into())?;
        if *code == wanted {
            return Some(value);
        }
        rest = next;
    }
    None
}

/// The answer to a client's message: an offer to a discovery (1), a lease to a request (3).
fn answer(message: &[u8]) -> Option<Vec<u8>> {
    let kind = match option(message, 53)? {
        [1] => 2,
        [3] => 5,
        _ => return None,
    };
    let mut reply = vec![0; 236];
    reply[..3].copy_from_slice(&[2, 1, 6]);
    reply[4..8].copy_from_slice(&message[4..8]);
    reply[16..20].copy_from_slice(&CLIENT.octets());
    reply[28..44].copy_from_slice(&message[28..44]);
    reply.extend(MAGIC);
    reply.extend([53, 1, kind]);
    for (code, value) in [
        (54, SERVER.octets()),
        (1, [255, 255, 255, 0]),
        (3, SERVER.octets()),
        (6, NAME_SERVER.octets()),
        (51, LEASE_SECONDS.to_be_bytes()),
    ] {
        reply.extend([code, 4]);
        reply.extend(value);
    }
    reply.push(255);
    Some(reply)
}

#[test]
fn an_address_is_asked_for_renewed_and_given_up() {
    let mut pair = Pair::with_client(1 << 20, 9, Ipv4Configuration::Dhcp);
    let server = pair.server.datagram(false).unwrap();
    let broadcast = bespoke_net::IntegerOption::Broadcast;
    pair.server.set_option(server, broadcast, 1).unwrap();
    let any = IpAddress::v4(0, 0, 0, 0);
    pair.server.bind(server, IpEndpoint::new(any, 67)).unwrap();
    let client = pair.client.stream(false).unwrap();
    let peer = IpEndpoint::new(IpAddress::Ipv4(SERVER), 80);
    assert!(pair.client.is_configuring());
    assert_eq!(
        pair.client.connect(client, peer),
        Err(Error::NetworkUnreachable)
    );
    let everybody = IpEndpoint::new(IpAddress::v4(255, 255, 255, 255), 68);
    let mut now = 0;
    let mut leases = 0;
    let mut serve = |pair: &mut Pair, answers: bool, until: u64| {
        while now < until {
            now += SECOND / 10;
            pair.client.poll(now);
            pair.server.poll(now);
            let mut buffer = [0; 1024];
            while let Ok((bytes, _, from)) = pair.server.receive_from(server, &mut buffer, false) {
                let reply = answer(&buffer[..bytes]).filter(|_| answers);
                if let Some(reply) = reply {
                    leases += u32::from(option(&reply, 53) == Some(&[5]));
                    let to = if from.addr.is_unspecified() {
                        everybody
                    } else {
                        from
                    };
                    pair.server.send_to(server, &reply, to).unwrap();
                }
            }
        }
        leases
    };
    assert_eq!(serve(&mut pair, true, 5 * SECOND), 1);
    assert_eq!(pair.client.ipv4_address(), Some(CLIENT));
    assert_eq!(pair.client.name_server(), Some(NAME_SERVER));
    assert!(!pair.client.is_configuring());
    assert_eq!(pair.client.connect(client, peer), Err(Error::InProgress));
    let renewed = serve(&mut pair, true, 300 * SECOND);
    assert!((5..=20).contains(&renewed), "{renewed} leases in 300 s");
    assert_eq!(pair.client.ipv4_address(), Some(CLIENT));
    serve(&mut pair, false, 400 * SECOND);
    assert_eq!(pair.client.ipv4_address(), None);
    assert_eq!(pair.client.name_server(), None);
}
