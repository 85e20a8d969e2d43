//! The private network between an image and the relay, and its address mapping. The relay has the
//! gateway's address, through which the image reaches the host's loopback. Plain data.

use bespoke_abi::devices::{NET_RELAYED, NET_STREAM, NetInfo};
use bespoke_net::{
    Configuration, IpAddress, IpEndpoint, Ipv4Address, Ipv4Configuration, Ipv6Configuration,
};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const IMAGE: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
const PREFIX_BITS: u8 = 24;
/// The same for IPv6, for runs with a forwarded IPv6 port.
const IMAGE6: Ipv6Addr = Ipv6Addr::new(0xfd62, 0x6573, 0x706b, 0, 0, 0, 0, 0x15);
const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd62, 0x6573, 0x706b, 0, 0, 0, 0, 2);
const PREFIX6_BITS: u8 = 64;
/// Hardware addresses of image and relay: locally administered, and the same for every image,
/// because the link has only two ends.
pub(super) const IMAGE_MAC: [u8; 6] = [0x02, 0x62, 0x65, 0x73, 0x70, 0x6b];
pub(super) const RELAY_MAC: [u8; 6] = [0x02, 0x62, 0x65, 0x73, 0x70, 0x72];
/// A window of 32 or 64 KiB should hold several packets; otherwise each packet closes it.
pub(super) const MTU_BYTES: u16 = 16_384;
/// Most bytes of the relay's socket buffers, enough for about 2,000 connections with 64
/// KiB each way. Later ones get less.
const BUDGET_BYTES: usize = 256 << 20;
const DNS_PORT: u16 = 53;
const RESOLVER_FILE: &str = "/etc/resolv.conf";

/// Returns the image's network configuration.
pub(super) fn info(has_ipv6: bool) -> NetInfo {
    let info = NetInfo {
        kind: NET_STREAM,
        flags: NET_RELAYED,
        mtu: MTU_BYTES,
        mac: IMAGE_MAC,
        address4: IMAGE.octets(),
        gateway4: GATEWAY.octets(),
        name_server4: NAME_SERVER.octets(),
        prefix4: PREFIX_BITS,
        ..Default::default()
    };
    if !has_ipv6 {
        return info;
    }
    NetInfo {
        address6: IMAGE6.octets(),
        gateway6: GATEWAY6.octets(),
        prefix6: PREFIX6_BITS,
        ..info
    }
}

/// Returns the relay's own network configuration.
pub(super) fn configuration(seed: u64) -> Configuration {
    Configuration {
        ipv4: Ipv4Configuration::Static {
            address: Ipv4Address::from(GATEWAY.octets()),
            prefix_bits: PREFIX_BITS,
            gateway: Some(Ipv4Address::from(IMAGE.octets())),
            name_server: None,
        },
        ipv6: Some(Ipv6Configuration {
            address: GATEWAY6.octets().into(),
            prefix_bits: PREFIX6_BITS,
            gateway: Some(IMAGE6.octets().into()),
        }),
        relayed: true,
        serves_all: true,
        budget_bytes: BUDGET_BYTES,
        seed,
    }
}

/// Returns the image's end of a connection to its port `port`.
pub(super) fn image(is_ipv6: bool, port: u16) -> IpEndpoint {
    if is_ipv6 {
        endpoint(SocketAddr::new(IMAGE6.into(), port))
    } else {
        endpoint(SocketAddr::new(IMAGE.into(), port))
    }
}

/// Returns a TCP client as seen by the image: as for [`seen`], except that a client with a loopback
/// address of this machine keeps it, as for a program on this machine.
pub(super) fn seen_stream(client: SocketAddr, is_ipv6: bool) -> (IpAddress, Option<u16>) {
    let address = match client.ip() {
        IpAddr::V4(address) if address.is_loopback() && !is_ipv6 => address.into(),
        address if address.is_loopback() && is_ipv6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address if address.is_loopback() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => return seen(client, is_ipv6),
    };
    let end = endpoint(SocketAddr::new(address, client.port()));
    (end.addr, Some(end.port))
}

/// Returns a client of the host's side as seen by the image: with its own address and port. The
/// gateway's address replaces this machine and clients of another address family. Port `None`: any.
/// A reply to a loopback address would not leave the image unless a connection requires it.
pub(super) fn seen(client: SocketAddr, is_ipv6: bool) -> (IpAddress, Option<u16>) {
    let is_near = |address: Ipv4Addr| address.octets()[..3] == GATEWAY.octets()[..3];
    let own = match client.ip() {
        IpAddr::V4(address) => {
            !is_ipv6 && !address.is_loopback() && !address.is_unspecified() && !is_near(address)
        }
        IpAddr::V6(address) => {
            let is_near = address.segments()[..4] == GATEWAY6.segments()[..4];
            let is_routed = !address.is_loopback() && !address.is_unicast_link_local();
            is_ipv6 && is_routed && !address.is_unspecified() && !is_near
        }
    };
    if own {
        let end = endpoint(client);
        return (end.addr, Some(end.port));
    }
    (gateway(is_ipv6), None)
}

/// Returns the relay's own address.
pub(super) fn gateway(is_ipv6: bool) -> IpAddress {
    let gateway = if is_ipv6 {
        GATEWAY6.into()
    } else {
        GATEWAY.into()
    };
    endpoint(SocketAddr::new(gateway, 0)).addr
}

/// Returns the destination on the host of a packet of the image to `to`: the gateway is this
/// machine, the name server this machine's. `None`: no destination.
pub(super) fn host(to: IpEndpoint) -> Option<SocketAddr> {
    let address = match to.addr {
        IpAddress::Ipv4(address) => IpAddr::from(Ipv4Addr::from(address.octets())),
        IpAddress::Ipv6(address) => IpAddr::from(Ipv6Addr::from(address.octets())),
    };
    if to.port == 0 || address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return None;
    }
    let address = match address {
        IpAddr::V4(NAME_SERVER) if to.port == DNS_PORT => {
            resolver(&fs::read_to_string(RESOLVER_FILE).ok()?)?
        }
        IpAddr::V4(GATEWAY) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(GATEWAY6) => Ipv6Addr::LOCALHOST.into(),
        // That network has no other hosts.
        IpAddr::V4(address) if address.octets()[..3] == GATEWAY.octets()[..3] => return None,
        address => address,
    };
    Some(SocketAddr::new(address, to.port))
}

/// Returns the first name server of a `resolv.conf(5)`.
fn resolver(text: &str) -> Option<IpAddr> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver"))
            .then(|| words.next()?.parse().ok())
            .flatten()
    })
}

/// Converts to the stack's type.
pub(super) fn endpoint(address: SocketAddr) -> IpEndpoint {
    let ip = match address.ip() {
        IpAddr::V4(address) => IpAddress::Ipv4(Ipv4Address::from(address.octets())),
        IpAddr::V6(address) => IpAddress::Ipv6(address.octets().into()),
    };
    IpEndpoint::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_small_network_lead_to_this_machine() {
        let to = |text: &str| host(endpoint(text.parse().unwrap())).map(|end| end.to_string());
        assert_eq!(to("10.0.2.2:80").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(to("192.0.2.7:80").as_deref(), Some("192.0.2.7:80"));
        assert_eq!(to("[fd62:6573:706b::2]:80").as_deref(), Some("[::1]:80"));
        for nowhere in [
            "10.0.2.77:80",
            "10.0.2.15:80",
            "10.0.2.3:80",
            "224.0.0.1:80",
            "192.0.2.7:0",
        ] {
            assert_eq!(to(nowhere), None, "{nowhere}");
        }
        let text =
            "search here\nnameserver nonsense\n nameserver 192.0.2.53\nnameserver 192.0.2.54\n";
        assert_eq!(resolver(text).unwrap().to_string(), "192.0.2.53");
        assert_eq!(resolver("options rotate\n"), None);
    }

    #[test]
    fn clients_are_seen_by_their_address_or_as_the_gateway() {
        let seen = |text: &str, is_ipv6| {
            let (address, port) = seen(text.parse().unwrap(), is_ipv6);
            (address.to_string(), port)
        };
        let gateway = || ("10.0.2.2".to_owned(), None);
        assert_eq!(seen("192.0.2.7:99", false), ("192.0.2.7".into(), Some(99)));
        assert_eq!(
            seen("[2001:db8::7]:99", true),
            ("2001:db8::7".into(), Some(99))
        );
        assert_eq!(seen("127.0.0.9:99", false), gateway());
        assert_eq!(seen("[::1]:99", false), gateway());
        assert_eq!(seen("10.0.2.15:99", false), gateway());
        assert_eq!(seen("[::1]:99", true), ("fd62:6573:706b::2".into(), None));
        let stream = |text: &str, is_ipv6| {
            let (address, port) = seen_stream(text.parse().unwrap(), is_ipv6);
            (address.to_string(), port)
        };
        let own = |address: &str| (address.to_owned(), Some(99));
        assert_eq!(stream("127.0.0.9:99", false), own("127.0.0.9"));
        assert_eq!(stream("[::1]:99", false), own("127.0.0.1"));
        assert_eq!(stream("[::1]:99", true), own("::1"));
        assert_eq!(stream("127.0.0.1:99", true), own("::1"));
        assert_eq!(stream("192.0.2.7:99", false), own("192.0.2.7"));
        assert_eq!(stream("10.0.2.15:99", false), gateway());
        assert_eq!(
            seen("[fe80::7]:99", true),
            ("fd62:6573:706b::2".into(), None)
        );
    }
}
