//! The configuration of an image's network, and its syntax on the command line. Plain data.

use super::forward::PortForward;
use bespoke_abi::devices::{NET_DHCP, NetInfo};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Longest interface name: the kernel's `IFNAMSIZ` without its NUL.
const MAX_NAME_BYTES: usize = 15;

/// The network of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// None.
    #[default]
    None,
    /// A TAP device of the host.
    Tap(InterfaceNetwork),
    /// An end of a veth pair; only for the process monitor.
    Veth(InterfaceNetwork),
    /// The monitor's relay: it uses the host's own connectivity without any privilege, and
    /// forwards these ports to the image.
    Ports(Vec<PortForward>),
}

/// An interface of the host (a TAP device or an end of a veth pair)
/// and the image's addresses on it.
///
/// Syntax: `NAME[,address=A/LENGTH][,gateway=A][,dns=A][,mac=M]`. `address` and `gateway` may be
/// given once for IPv4 and once for IPv6.
/// Without an IPv4 address the image requests one by DHCP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceNetwork {
    /// The interface.
    pub name: String,
    /// Address of the image and length of its network's prefix in bits.
    pub address4: Option<(Ipv4Addr, u8)>,
    /// See `address4`.
    pub address6: Option<(Ipv6Addr, u8)>,
    /// Router.
    pub gateway4: Option<Ipv4Addr>,
    /// See `gateway4`.
    pub gateway6: Option<Ipv6Addr>,
    /// Name server.
    pub name_server4: Option<Ipv4Addr>,
    /// Hardware address of the image; by default one derived from the interface's name.
    pub mac: Option<[u8; 6]>,
}

impl InterfaceNetwork {
    /// Returns the information for the image, except for link kind, descriptor and MTU.
    pub(super) fn info(&self, mac: [u8; 6]) -> NetInfo {
        let (address4, prefix4) = self
            .address4
            .map_or(([0; 4], 0), |(address, bits)| (address.octets(), bits));
        let (address6, prefix6) = self
            .address6
            .map_or(([0; 16], 0), |(address, bits)| (address.octets(), bits));
        NetInfo {
            flags: if self.address4.is_none() { NET_DHCP } else { 0 },
            mac,
            address4,
            gateway4: self.gateway4.map_or([0; 4], |address| address.octets()),
            name_server4: self.name_server4.map_or([0; 4], |address| address.octets()),
            address6,
            gateway6: self.gateway6.map_or([0; 16], |address| address.octets()),
            prefix4,
            prefix6,
            ..Default::default()
        }
    }
}

impl FromStr for InterfaceNetwork {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let name = parts.next().unwrap_or_default();
        let bad = |byte: u8| byte <= b' ' || byte >= 0x7f || b"/:%".contains(&byte);
        if name.is_empty()
            || name.len() > MAX_NAME_BYTES
            || name == "."
            || name == ".."
            || name.bytes().any(bad)
        {
            return Err(format!(
                "{name:?} is not an interface name (1 to {MAX_NAME_BYTES} letters, digits, - or _)"
            ));
        }
        let mut network = Self {
            name: name.into(),
            ..Default::default()
        };
        for part in parts {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| format!("unexpected {part:?}; expected KEY=VALUE"))?;
            network.set(key, value)?;
        }
        network.check()?;
        Ok(network)
    }
}

impl InterfaceNetwork {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let twice = match key {
            "address" => match prefixed(value)? {
                (IpAddr::V4(address), bits) => self.address4.replace((address, bits)).is_some(),
                (IpAddr::V6(address), bits) => self.address6.replace((address, bits)).is_some(),
            },
            "gateway" => match address(value)? {
                IpAddr::V4(address) => self.gateway4.replace(address).is_some(),
                IpAddr::V6(address) => self.gateway6.replace(address).is_some(),
            },
            "dns" => match address(value)? {
                IpAddr::V4(address) => self.name_server4.replace(address).is_some(),
                IpAddr::V6(_) => return Err("the name server must have an IPv4 address".into()),
            },
            "mac" => self.mac.replace(mac(value)?).is_some(),
            _ => {
                return Err(format!(
                    "unknown key {key:?}; the keys are address, gateway, dns and mac"
                ));
            }
        };
        if twice {
            Err(format!("{key} is given twice"))
        } else {
            Ok(())
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.address4.is_none() && (self.gateway4.is_some() || self.name_server4.is_some()) {
            return Err(
                "gateway and dns need an address; without one all three come by DHCP".into(),
            );
        }
        if let (Some((address, bits)), Some(gateway)) = (self.address4, self.gateway4) {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            if (u32::from(address) ^ u32::from(gateway)) & mask != 0 || address == gateway {
                return Err(format!(
                    "the gateway {gateway} is not another host of the network {address}/{bits}"
                ));
            }
        }
        if self.gateway6.is_some() && self.address6.is_none() {
            return Err("an IPv6 gateway needs an IPv6 address".into());
        }
        Ok(())
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text
        .parse()
        .map_err(|_| format!("{text:?} is not an IP address"))?;
    if address.is_unspecified() || address.is_multicast() {
        return Err(format!("{address} is not the address of a single host"));
    }
    Ok(address)
}

fn prefixed(text: &str) -> Result<(IpAddr, u8), String> {
    let (host, bits) = text
        .split_once('/')
        .ok_or_else(|| format!("{text} lacks a prefix length, such as /24"))?;
    let address = address(host)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    match bits.parse() {
        Ok(bits) if (1..=most).contains(&bits) => Ok((address, bits)),
        _ => Err(format!("{bits:?} is not a prefix length (1 to {most})")),
    }
}

fn mac(text: &str) -> Result<[u8; 6], String> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    let two_digits = |part: &str| {
        let is_hex = part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_hex.then(|| u8::from_str_radix(part, 16).ok()).flatten()
    };
    let complete = mac.iter_mut().all(|byte| {
        parts
            .next()
            .and_then(two_digits)
            .map(|value| *byte = value)
            .is_some()
    });
    if !complete || parts.next().is_some() {
        return Err(format!(
            "{text:?} is not a hardware address, such as 02:00:00:00:00:01"
        ));
    }
    if mac[0] & 1 != 0 || mac == [0; 6] {
        return Err(format!(
            "{text} is not the hardware address of a single host"
        ));
    }
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tap_line_says_everything_the_image_learns() {
        let line = "tap0,address=10.0.0.2/24,gateway=10.0.0.1,dns=9.9.9.9,address=fd00::2/64,gateway=fd00::1,mac=02:00:00:00:00:0a";
        let network: InterfaceNetwork = line.parse().unwrap();
        let info = network.info(network.mac.unwrap());
        assert_eq!((network.name.as_str(), info.flags), ("tap0", 0));
        assert_eq!(
            (info.address4, info.prefix4, info.gateway4),
            ([10, 0, 0, 2], 24, [10, 0, 0, 1])
        );
        assert_eq!(
            (info.name_server4, info.mac),
            ([9, 9, 9, 9], [2, 0, 0, 0, 0, 10])
        );
        assert_eq!(
            (info.address6[15], info.prefix6, info.gateway6[15]),
            (2, 64, 1)
        );
        assert_eq!(
            "tap0"
                .parse::<InterfaceNetwork>()
                .unwrap()
                .info([2; 6])
                .flags,
            NET_DHCP
        );
    }

    #[test]
    fn refuses_absurd_taps() {
        for line in [
            "",
            ",",
            "a/b",
            "interface-too-long",
            "tap0,",
            "tap0,speed=9",
            "tap0,address=10.0.0.2",
            "tap0,address=10.0.0.2/33",
            "tap0,address=10.0.0.2/0",
            "tap0,address=0.0.0.0/8",
            "tap0,address=224.0.0.1/8",
            "tap0,address=fd00::1/129",
            "tap0,gateway=10.0.0.1",
            "tap0,address=10.0.0.2/24,gateway=10.0.1.1",
            "tap0,address=10.0.0.2/24,gateway=10.0.0.2",
            "tap0,mac=01:00:00:00:00:01",
            "tap0,mac=2:0:0:0:0:1",
            "tap0,mac=02:00:00:00:00",
            "tap0,mac=02:00:00:00:00:01:02",
            "tap0,mac=+2:00:00:00:00:01",
            "tap0,mac=00:00:00:00:00:00",
            "tap0,address=10.0.0.2/24,address=10.0.0.3/24",
            "tap0,gateway=fd00::1",
            "tap0,address=10.0.0.2/24,dns=fd00::1",
        ] {
            assert!(line.parse::<InterfaceNetwork>().is_err(), "{line}");
        }
    }
}
