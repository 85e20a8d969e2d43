//! `sockaddr_in` and `sockaddr_in6` (ip(7), ipv6(7)). Owns nothing.
//!
//! An IPv6 socket that speaks IPv4 names its peers by mapped addresses (`::ffff:a.b.c.d`); the
//! stack knows plain ones.

use super::{Errno, Result};
use bespoke_net::{IpAddress, IpEndpoint, Ipv4Address, Ipv6Address};
use linux_raw_sys::net::{AF_INET, AF_INET6};

/// Bytes of a `sockaddr_in`.
const BYTES4: usize = 16;
/// Bytes of a `sockaddr_in6`; the scope at its end may be missing (RFC 2133).
const BYTES6: usize = 28;
const LEAST_BYTES6: usize = 24;

/// The family of an address, if it has one.
pub(super) fn family(address: &[u8]) -> Result<u32> {
    match address {
        [low, high, ..] => Ok(u16::from_ne_bytes([*low, *high]).into()),
        _ => Err(Errno::INVAL),
    }
}

/// The endpoint that `address` names for a socket of IPv6 or IPv4.
pub(super) fn parse(address: &[u8], v6: bool) -> Result<IpEndpoint> {
    let port = |bytes: &[u8]| u16::from_be_bytes([bytes[2], bytes[3]]);
    match (family(address)?, v6) {
        (AF_INET, false) => {
            let bytes = address.get(..BYTES4).ok_or(Errno::INVAL)?;
            let octets: [u8; 4] = bytes[4..8].try_into().map_err(|_| Errno::INVAL)?;
            let address = IpAddress::Ipv4(Ipv4Address::from(octets));
            Ok(IpEndpoint::new(address, port(bytes)))
        }
        (AF_INET6, true) => {
            let bytes = address.get(..LEAST_BYTES6).ok_or(Errno::INVAL)?;
            let octets: [u8; 16] = bytes[8..24].try_into().map_err(|_| Errno::INVAL)?;
            let address = Ipv6Address::from(octets);
            let address = match address.to_ipv4_mapped() {
                Some(address) => IpAddress::Ipv4(address),
                None => IpAddress::Ipv6(address),
            };
            Ok(IpEndpoint::new(address, port(bytes)))
        }
        (AF_INET6, false) if address.len() < BYTES4 => Err(Errno::INVAL),
        (AF_INET, true) if address.len() < LEAST_BYTES6 => Err(Errno::INVAL),
        _ => Err(Errno::AFNOSUPPORT),
    }
}

/// The endpoint of a `sockaddr_in` without a family, which is one of all addresses.
pub(super) fn any(address: &[u8]) -> Result<IpEndpoint> {
    let bytes = address.get(..BYTES4).ok_or(Errno::INVAL)?;
    if bytes[4..8] != [0; 4] {
        return Err(Errno::AFNOSUPPORT);
    }
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    let address = IpAddress::Ipv4(Ipv4Address::UNSPECIFIED);
    Ok(IpEndpoint::new(address, port))
}

/// An address to be given to the program.
pub(super) struct Address {
    bytes: [u8; BYTES6],
    length: usize,
}

impl Address {
    /// The address of `endpoint` as a socket of IPv6 or IPv4 tells it.
    pub fn new(endpoint: IpEndpoint, v6: bool) -> Self {
        let mut bytes = [0; BYTES6];
        bytes[2..4].copy_from_slice(&endpoint.port.to_be_bytes());
        let (family, length) = if v6 {
            let address = match endpoint.addr {
                IpAddress::Ipv4(address) => address.to_ipv6_mapped(),
                IpAddress::Ipv6(address) => address,
            };
            bytes[8..24].copy_from_slice(&address.octets());
            (AF_INET6, BYTES6)
        } else {
            if let IpAddress::Ipv4(address) = endpoint.addr {
                bytes[4..8].copy_from_slice(&address.octets());
            }
            (AF_INET, BYTES4)
        };
        bytes[..2].copy_from_slice(&(family as u16).to_ne_bytes());
        Self { bytes, length }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
