//! A forwarded port and its syntax on the command line. Plain data.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Protocol of a forwarded port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port of the host that is forwarded to the image.
///
/// Syntax: `[HOSTADDRESS:]HOST:GUEST[/udp]`, with an IPv6 address in brackets.
/// Clients at an explicit IPv6 address reach the image over IPv6, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortForward {
    /// Host address to listen on. If absent: 127.0.0.1 and ::1, and the image is reached over IPv4.
    pub address: Option<IpAddr>,
    /// Port of the host.
    pub host: u16,
    /// Port of the image.
    pub guest: u16,
    /// TCP by default.
    pub protocol: Protocol,
}

impl FromStr for PortForward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "expected HOST:GUEST, ADDRESS:HOST:GUEST or HOST:GUEST/udp, such as 8080:80 or [::1]:8080:80";
        let (ports, protocol) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.split('/').next().unwrap_or_default(), Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some((_, other)) => return Err(format!("{other:?} is neither tcp nor udp")),
        };
        let (rest, guest) = ports.rsplit_once(':').ok_or(FORM)?;
        let (address, host) = match rest.rsplit_once(':') {
            None => (None, rest),
            Some((text, host)) => {
                let inner = text
                    .strip_prefix('[')
                    .and_then(|text| text.strip_suffix(']'));
                let address = match inner {
                    Some(text) => text.parse().map(IpAddr::V6),
                    None => text.parse().map(IpAddr::V4),
                };
                match address {
                    Ok(address) => (Some(address), host),
                    Err(_) => return Err(format!("{text:?} is not an IP address; {FORM}")),
                }
            }
        };
        let port = |text: &str| match text.parse() {
            _ if text.starts_with('+') => Err(format!("{text:?} is not a port (1 to 65535)")),
            Ok(0) | Err(_) => Err(format!("{text:?} is not a port (1 to 65535)")),
            Ok(port) => Ok(port),
        };
        Ok(Self {
            address,
            host: port(host)?,
            guest: port(guest)?,
            protocol,
        })
    }
}

impl fmt::Display for PortForward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            None => {}
        }
        let suffix = if self.protocol == Protocol::Udp {
            "/udp"
        } else {
            ""
        };
        write!(f, "{}:{}{suffix}", self.host, self.guest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_they_are_shown() {
        for line in [
            "8080:80",
            "53:53/udp",
            "127.0.0.1:8080:80",
            "0.0.0.0:1:65535/udp",
            "[::1]:8080:80",
            "[::]:53:53/udp",
        ] {
            assert_eq!(line.parse::<PortForward>().unwrap().to_string(), line);
        }
        assert_eq!("1:2/tcp".parse::<PortForward>().unwrap().to_string(), "1:2");
        for line in [
            "",
            "80",
            ":80",
            "80:",
            "0:80",
            "80:0",
            "65536:1",
            "1:2/sctp",
            "x:1:2",
            "::1:80:80:80x",
            "-1:2",
            "+1:2",
            "[::1:8080:80",
            "[127.0.0.1]:8080:80",
            "::1:8080:80",
            "1:2/",
        ] {
            assert!(line.parse::<PortForward>().is_err(), "{line}");
        }
    }
}
