//! Options of sockets that change nothing here: they are kept and read back as on Linux.
//!
//! Owns the table of such options and what a socket set of them. An option whose effect a program would see (time
//! stamps, real-time pacing, urgent data in a queue of its own) takes nothing but "off": whoever wants more learns
//! that it is not there. What an option that works does is in `inet::options`.

use super::{Errno, Result};
use alloc::vec::Vec;
use linux_raw_sys::net::*;

const LEVEL_IP: u32 = 0;
const LEVEL_TCP: u32 = 6;
const LEVEL_UDP: u32 = 17;
const LEVEL_IPV6: u32 = 41;
/// `UDP_CORK`, `UDP_ENCAP`, `UDP_SEGMENT`, `UDP_GRO` (<linux/udp.h>).
const UDP_OPTIONS: [u32; 4] = [1, 100, 103, 104];

/// What a socket is, as far as options go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Of the Internet protocols.
    Inet {
        /// For IPv6.
        v6: bool,
        /// TCP, else UDP.
        stream: bool,
    },
    /// Local.
    Unix,
}

/// How an option takes a value.
#[derive(Clone, Copy)]
enum Rule {
    /// On or off.
    Switch(bool),
    /// Only this.
    Only(i32),
    /// A value from the first to the second.
    Between(i32, i32, i32),
    /// As that, and -1 for the default.
    OrDefault(i32, i32, i32),
    /// Anything.
    Any(i32),
    /// It can be read.
    Fixed(i32),
    /// Seconds, as a number of retransmissions.
    Retransmissions,
    /// Seconds that an orphan stays, with a limit.
    Linger,
    /// The type of service; a stream keeps the two bits of congestion.
    Service { stream: bool },
}

fn rule(family: Family, level: u32, name: u32) -> Result<Rule> {
    use Rule::*;
    let unknown = Errno::NOPROTOOPT;
    let (v6, stream) = match family {
        Family::Inet { v6, stream } => (v6, stream),
        Family::Unix if level == SOL_SOCKET => (false, true),
        Family::Unix => return Err(Errno::OPNOTSUPP),
    };
    let local = family == Family::Unix;
    Ok(match (level, name) {
        (SOL_SOCKET, SO_PASSCRED | SO_PASSSEC) if !local => return Err(Errno::OPNOTSUPP),
        (SOL_SOCKET, SO_PASSCRED) => Switch(false),
        (SOL_SOCKET, SO_REUSEADDR | SO_BROADCAST | SO_KEEPALIVE) => Switch(false),
        (SOL_SOCKET, SO_DEBUG | SO_DONTROUTE | SO_OOBINLINE | SO_NO_CHECK) => Switch(false),
        (SOL_SOCKET, SO_PRIORITY | SO_MARK) => Any(0),
        (SOL_SOCKET, SO_BUSY_POLL) => Between(0, i32::MAX, 0),
        (SOL_SOCKET, SO_INCOMING_CPU) => Any(-1),
        (SOL_SOCKET, SO_RCVLOWAT) => Between(0, 1, 1),
        (SOL_SOCKET, SO_SNDLOWAT) => Fixed(1),
        (SOL_SOCKET, SO_PEEK_OFF | SO_MAX_PACING_RATE) => Only(-1),
        (
            SOL_SOCKET,
            SO_PASSSEC | SO_RXQ_OVFL | SO_WIFI_STATUS | SO_NOFCS | SO_LOCK_FILTER
            | SO_SELECT_ERR_QUEUE | SO_ZEROCOPY | SO_REUSEPORT | SO_TIMESTAMP_OLD
            | SO_TIMESTAMPNS_OLD | SO_TIMESTAMPING_OLD | SO_TIMESTAMP_NEW | SO_TIMESTAMPNS_NEW
            | SO_TIMESTAMPING_NEW,
        ) => Only(0),
        (LEVEL_TCP, _) if stream => match name {
            TCP_MAXSEG => Between(88, 32_767, 536),
            TCP_SYNCNT => Between(1, 127, 6),
            TCP_LINGER2 => Linger,
            TCP_DEFER_ACCEPT => Retransmissions,
            TCP_WINDOW_CLAMP | TCP_NOTSENT_LOWAT => Any(0),
            TCP_QUICKACK => Switch(true),
            TCP_FASTOPEN => Between(0, i32::MAX, 0),
            TCP_THIN_LINEAR_TIMEOUTS | TCP_THIN_DUPACK => Between(0, 1, 0),
            TCP_SAVE_SYN | TCP_REPAIR | TCP_FASTOPEN_CONNECT | TCP_INQ => Only(0),
            _ => return Err(unknown),
        },
        (LEVEL_UDP, _) if !stream && UDP_OPTIONS.contains(&name) => Only(0),
        (LEVEL_UDP, _) if !stream => return Err(unknown),
        (LEVEL_IP, _) => match name {
            IP_TOS => Service { stream },
            IP_PKTINFO | IP_FREEBIND | IP_BIND_ADDRESS_NO_PORT => Switch(false),
            IP_MTU_DISCOVER => Between(0, 5, 1),
            IP_MULTICAST_TTL if stream => Fixed(1),
            IP_MULTICAST_TTL => OrDefault(0, 255, 1),
            IP_MULTICAST_LOOP => Switch(true),
            IP_MULTICAST_ALL => Between(0, 1, i32::from(!v6)),
            IP_HDRINCL | IP_NODEFRAG => Fixed(0),
            IP_RECVTOS | IP_RECVTTL | IP_RECVOPTS | IP_RETOPTS | IP_RECVERR | IP_PASSSEC
            | IP_TRANSPARENT | IP_RECVORIGDSTADDR | IP_MINTTL | IP_CHECKSUM | IP_UNICAST_IF
            | IP_RECVFRAGSIZE => Only(0),
            _ => return Err(unknown),
        },
        (LEVEL_IPV6, _) if v6 => match name {
            IPV6_MULTICAST_HOPS if stream => Fixed(1),
            IPV6_MULTICAST_HOPS => OrDefault(0, 255, 1),
            IPV6_MULTICAST_LOOP => Between(0, 1, 1),
            IPV6_RECVPKTINFO => Switch(false),
            IPV6_TCLASS => OrDefault(0, 255, 0),
            IPV6_MTU_DISCOVER => Between(0, 5, 1),
            IPV6_RECVHOPLIMIT | IPV6_RECVTCLASS | IPV6_RECVERR | IPV6_RECVRTHDR
            | IPV6_RECVHOPOPTS | IPV6_RECVDSTOPTS | IPV6_DONTFRAG | IPV6_FREEBIND
            | IPV6_TRANSPARENT => Only(0),
            _ => return Err(unknown),
        },
        (SOL_SOCKET, _) => return Err(unknown),
        _ => return Err(Errno::OPNOTSUPP),
    })
}

impl Rule {
    fn default(self) -> i32 {
        match self {
            Self::Switch(on) => on.into(),
            Self::Only(value) | Self::Any(value) | Self::Fixed(value) => value,
            Self::Between(_, _, value) | Self::OrDefault(_, _, value) => value,
            Self::Retransmissions | Self::Service { .. } => 0,
            Self::Linger => ORPHAN_SECONDS,
        }
    }

    fn take(self, value: i32) -> Result<i32> {
        let between = |least, most| {
            if (least..=most).contains(&value) {
                Ok(value)
            } else {
                Err(Errno::INVAL)
            }
        };
        match self {
            Self::Switch(_) => Ok((value != 0).into()),
            Self::Only(one) if value == one => Ok(value),
            Self::Only(_) | Self::Fixed(_) => Err(Errno::NOPROTOOPT),
            Self::Between(least, most, _) => between(least, most),
            Self::OrDefault(_, _, default) if value == -1 => Ok(default),
            Self::OrDefault(least, most, _) => between(least, most),
            Self::Any(_) => Ok(value),
            Self::Retransmissions => Ok(seconds_of_retransmissions(value)),
            Self::Linger if value < 0 => Ok(-1),
            Self::Linger if value == 0 => Ok(ORPHAN_SECONDS),
            Self::Linger => Ok(value.min(MOST_ORPHAN_SECONDS)),
            Self::Service { stream: true } => Ok(value & 0xfc),
            Self::Service { stream: false } => Ok(value & 0xff),
        }
    }
}

/// How long a connection that nobody holds waits for its peer, and at most (`tcp(7)`).
const ORPHAN_SECONDS: i32 = 60;
const MOST_ORPHAN_SECONDS: i32 = 120;

/// The time that as many retransmissions take as fit `seconds`: one, two, four seconds and so on.
fn seconds_of_retransmissions(seconds: i32) -> i32 {
    const LONGEST: i32 = 120;
    const MOST: u32 = 255;
    if seconds <= 0 {
        return 0;
    }
    let (mut period, mut step, mut count) = (1, 1, 1);
    while seconds > period && count < MOST {
        count += 1;
        step = (step * 2).min(LONGEST);
        period += step;
    }
    period
}

/// What a socket has set.
#[derive(Default)]
pub(crate) struct Kept(Vec<(u32, u32, i32)>);

impl Kept {
    /// Nothing.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// As much of a listener's as a connection inherits, which is all of it.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn inherited(&self) -> Result<Self> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(self.0.len())
            .map_err(|_| Errno::NOMEM)?;
        copy.extend_from_slice(&self.0);
        Ok(Self(copy))
    }

    /// Keeps a value whatever the table says of it.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn keep(&mut self, level: u32, name: u32, value: i32) -> Result<()> {
        let found = self
            .0
            .iter_mut()
            .find(|kept| (kept.0, kept.1) == (level, name));
        if let Some(kept) = found {
            kept.2 = value;
            return Ok(());
        }
        self.0.try_reserve(1).map_err(|_| Errno::NOMEM)?;
        self.0.push((level, name, value));
        Ok(())
    }

    /// What was kept.
    pub fn kept(&self, level: u32, name: u32) -> Option<i32> {
        let found = self.0.iter().find(|kept| (kept.0, kept.1) == (level, name));
        found.map(|kept| kept.2)
    }

    /// Whether a switch is on.
    pub fn is_on(&self, level: u32, name: u32) -> bool {
        self.kept(level, name).is_some_and(|value| value != 0)
    }

    /// `setsockopt` of an option of the table.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `ENOPROTOOPT`, `EOPNOTSUPP`, `ENOMEM`.
    pub fn set(&mut self, family: Family, level: u32, name: u32, value: i32) -> Result<()> {
        let rule = match rule(family, level, name) {
            // Linux says this of what it cannot read, and the other of what it cannot set.
            Err(Errno::OPNOTSUPP) if family != Family::Unix && level != SOL_SOCKET => {
                return Err(Errno::NOPROTOOPT);
            }
            other => other?,
        };
        let value = match (level, name) {
            (SOL_SOCKET, SO_RCVLOWAT) if value == 0 => 1,
            (SOL_SOCKET, SO_RCVLOWAT) if value != 1 => return Err(Errno::NOPROTOOPT),
            (SOL_SOCKET, SO_ZEROCOPY | SO_REUSEPORT) if value != 0 && family == Family::Unix => {
                return Err(Errno::OPNOTSUPP);
            }
            (SOL_SOCKET, SO_ZEROCOPY) if !matches!(value, 0 | 1) => return Err(Errno::INVAL),
            (LEVEL_TCP, TCP_REPAIR) if !matches!(value, -1..=1) => return Err(Errno::INVAL),
            (LEVEL_IP, IP_MULTICAST_TTL) if matches!(family, Family::Inet { stream: true, .. }) => {
                return Err(Errno::INVAL);
            }
            _ => rule.take(value)?,
        };
        self.keep(level, name, value)
    }

    /// `getsockopt` of an option of the table.
    ///
    /// # Errors
    ///
    /// `ENOPROTOOPT`, `EOPNOTSUPP`.
    pub fn get(&self, family: Family, level: u32, name: u32) -> Result<i32> {
        let rule = rule(family, level, name)?;
        Ok(self.kept(level, name).unwrap_or(rule.default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_counted_in_retransmissions() {
        let pairs = [
            (-1, 0),
            (0, 0),
            (1, 1),
            (2, 3),
            (3, 3),
            (4, 7),
            (10, 15),
            (200, 247),
        ];
        for (seconds, counted) in pairs {
            assert_eq!(seconds_of_retransmissions(seconds), counted, "{seconds}");
        }
    }
}
