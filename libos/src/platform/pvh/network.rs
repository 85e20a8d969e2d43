//! What the network is like: the device says some of it, the command line the rest. Only in images with a network.
//! Owns nothing; must never touch the device's queues.

use super::{command_line, give_up};
use bespoke_abi::devices::{NET_DHCP, NET_RELAYED, NET_VIRTIO, NetInfo};
use core::net::{IpAddr, Ipv4Addr};

const FEATURE_MTU: u64 = 1 << 3;
const FEATURE_MAC: u64 = 1 << 5;
const ETHERNET_MTU: u16 = 1500;
/// Of a device that names none: locally administered.
const OWN_MAC: [u8; 6] = [0x02, 0x62, 0x65, 0x73, 0x70, 0x6b];

/// Takes the addresses from every `net=` of `line`; DHCP where it gives none.
pub fn set_addresses(line: &[u8], info: &mut NetInfo) {
    if info.kind != NET_VIRTIO {
        return;
    }
    for value in command_line::values(line, b"net=") {
        if set_all(value, info).is_err() {
            give_up(format_args!(
                "net= on the command line is not KEY=VALUE,... of address, gateway and dns, or the word relayed"
            ));
        }
    }
    if !has_address(info) {
        info.flags |= NET_DHCP;
    }
}

/// What a device with `features` and this configuration says of itself (section 5.1.4).
pub fn of_device(features: u64, configuration: Option<usize>) -> NetInfo {
    // SAFETY: registers of the device, byte by byte.
    let byte = |start: usize, at: usize| unsafe { ((start + at) as *const u8).read_volatile() };
    let has = |feature| configuration.filter(|_| features & feature != 0);
    NetInfo {
        kind: NET_VIRTIO,
        mac: has(FEATURE_MAC).map_or(OWN_MAC, |start| {
            [0, 1, 2, 3, 4, 5].map(|at| byte(start, at))
        }),
        mtu: has(FEATURE_MTU).map_or(ETHERNET_MTU, |start| {
            u16::from_le_bytes([byte(start, 10), byte(start, 11)])
        }),
        ..Default::default()
    }
}

/// Sets the addresses of `net=`; the part that is not understood.
fn set_all<'a>(value: &'a [u8], info: &mut NetInfo) -> Result<(), &'a [u8]> {
    for part in value
        .split(|byte| *byte == b',')
        .filter(|part| !part.is_empty())
    {
        set(part, info).ok_or(part)?;
    }
    Ok(())
}

fn set(part: &[u8], info: &mut NetInfo) -> Option<()> {
    if part == b"relayed" {
        info.flags |= NET_RELAYED;
        return Some(());
    }
    let text = core::str::from_utf8(part).ok()?;
    let (key, value) = text.split_once('=')?;
    let (address, bits) = match value.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (value, None),
    };
    match (key, address.parse().ok()?, bits) {
        ("address", IpAddr::V4(address), Some(bits @ 1..=32)) => {
            (info.address4, info.prefix4) = (address.octets(), bits);
        }
        ("address", IpAddr::V6(address), Some(bits @ 1..=128)) => {
            (info.address6, info.prefix6) = (address.octets(), bits);
        }
        ("gateway", IpAddr::V4(address), None) => info.gateway4 = address.octets(),
        ("gateway", IpAddr::V6(address), None) => info.gateway6 = address.octets(),
        ("dns", IpAddr::V4(address), None) => info.name_server4 = address.octets(),
        _ => return None,
    }
    Some(())
}

/// Whether an IPv4 address was given.
fn has_address(info: &NetInfo) -> bool {
    Ipv4Addr::from(info.address4) != Ipv4Addr::UNSPECIFIED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_what_its_words_say() {
        let mut info = NetInfo::default();
        let value =
            b"address=10.0.0.2/24,gateway=10.0.0.1,dns=9.9.9.9,address=fd00::2/64,gateway=fd00::1";
        set_all(value, &mut info).unwrap();
        assert!(has_address(&info));
        assert_eq!(info.flags, 0);
        set_all(b"relayed", &mut info).unwrap();
        assert_eq!(info.flags, NET_RELAYED);
        assert_eq!(
            (info.address4, info.prefix4, info.gateway4),
            ([10, 0, 0, 2], 24, [10, 0, 0, 1])
        );
        assert_eq!(
            (info.address6[15], info.prefix6, info.gateway6[15]),
            (2, 64, 1)
        );
        for wrong in [
            "address=10.0.0.2",
            "gateway=10.0.0.1/8",
            "dns=fd00::1",
            "speed=9",
            "x",
            "address=1.1.1.1/33",
        ] {
            assert_eq!(set_all(wrong.as_bytes(), &mut info), Err(wrong.as_bytes()));
        }
    }
}
