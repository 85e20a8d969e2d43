//! The host's side of forwarded ports: their addresses, and the listening sockets.
//! Without an address, a port is open only to this machine: on
//! 127.0.0.1, and on ::1 if there is one.

use super::super::forward::{PortForward, Protocol};
use super::system;
use crate::MonitorError;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

/// Target of a forwarded port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Led {
    /// The image's port.
    pub guest: u16,
    /// The image is reached over IPv6.
    pub is_ipv6: bool,
}

/// All listening sockets.
#[derive(Default)]
pub(super) struct Bound {
    pub streams: Vec<(Led, OwnedFd)>,
    pub datagrams: Vec<(Led, UdpSocket)>,
    /// Lines printed for the user.
    pub told: Vec<String>,
}

/// Binds all ports, or none.
pub(super) fn bind(forwards: &[PortForward]) -> Result<Bound, MonitorError> {
    let mut bound = Bound::default();
    for &forward in forwards {
        let mut at = Vec::new();
        for address in addresses(forward, forwards) {
            let name = SocketAddr::new(address, forward.host);
            let led = Led {
                guest: forward.guest,
                is_ipv6: forward.address.is_some_and(|address| address.is_ipv6()),
            };
            let done = match forward.protocol {
                Protocol::Tcp => {
                    system::listen(name).map(|socket| bound.streams.push((led, socket)))
                }
                Protocol::Udp => system::bound(name, libc::SOCK_DGRAM)
                    .map(|socket| bound.datagrams.push((led, socket.into()))),
            };
            match done {
                Ok(()) => at.push(name.to_string()),
                // The host has no IPv6.
                Err(error) if is_extra(forward, address) && is_missing(&error) => {}
                Err(source) => {
                    return Err(MonitorError::Port {
                        forward,
                        at: name,
                        source,
                    });
                }
            }
        }
        if !at.is_empty() {
            bound.told.push(line(forward, &at));
        }
    }
    Ok(bound)
}

fn line(forward: PortForward, at: &[String]) -> String {
    let suffix = match forward.protocol {
        Protocol::Udp => "/udp",
        Protocol::Tcp => "",
    };
    let (at, guest) = (at.join(" and "), forward.guest);
    format!("{at} -> port {guest}{suffix} of the image")
}

/// Returns where the host listens for `forwards`, one line each, as printed at the start on a
/// host with both address families.
pub fn listening(forwards: &[PortForward]) -> impl Iterator<Item = String> {
    forwards.iter().filter_map(|&forward| {
        let at = addresses(forward, forwards).into_iter();
        let at = at.map(|address| SocketAddr::new(address, forward.host).to_string());
        let at: Vec<String> = at.collect();
        (!at.is_empty()).then(|| line(forward, &at))
    })
}

/// Returns the host addresses of a port, without those that another forward names.
fn addresses(forward: PortForward, all: &[PortForward]) -> Vec<IpAddr> {
    if let Some(address) = forward.address {
        return vec![address];
    }
    let same =
        |other: &&PortForward| (other.protocol, other.host) == (forward.protocol, forward.host);
    let named: Vec<IpAddr> = all
        .iter()
        .filter(same)
        .filter_map(|other| other.address)
        .collect();
    let mut own = vec![
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ];
    own.retain(|address| {
        !named.iter().any(|other| {
            let covers = other.is_unspecified() && other.is_ipv4() == address.is_ipv4();
            covers || other == address
        })
    });
    own
}

/// Whether the user did not request this address.
fn is_extra(forward: PortForward, address: IpAddr) -> bool {
    forward.address.is_none() && address.is_ipv6()
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(lines: &[&str]) -> Vec<String> {
        let all: Vec<PortForward> = lines.iter().map(|line| line.parse().unwrap()).collect();
        let addresses = addresses(all[0], &all);
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_port_without_an_address_is_this_machines_alone() {
        assert_eq!(meant(&["8080:80"]), ["127.0.0.1", "::1"]);
        assert_eq!(meant(&["53:53/udp"]), ["127.0.0.1", "::1"]);
        assert_eq!(meant(&["0.0.0.0:8080:80"]), ["0.0.0.0"]);
        assert_eq!(meant(&["[::]:8080:80"]), ["::"]);
    }

    #[test]
    fn an_address_that_another_one_names_is_left_to_it() {
        assert_eq!(meant(&["80:80", "[::]:80:80"]), ["127.0.0.1"]);
        assert_eq!(meant(&["80:80", "[::1]:80:81"]), ["127.0.0.1"]);
        assert_eq!(meant(&["80:80", "0.0.0.0:80:80"]), ["::1"]);
        assert_eq!(meant(&["80:80", "192.0.2.1:80:80"]), ["127.0.0.1", "::1"]);
        assert_eq!(meant(&["80:80", "[::]:80:80/udp"]), ["127.0.0.1", "::1"]);
    }
}
