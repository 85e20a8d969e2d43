//! Socket options, by meaning. The caller maps level and option numbers.
//! Accepted connections inherit the listener's options.

use smoltcp::time::Duration;
use smoltcp::wire::IpAddress;

/// How long an acknowledgement may be delayed to be sent with data.
const ACK_DELAY: Duration = Duration::from_millis(10);

/// Options whose value is an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerOption {
    /// `SO_REUSEADDR`
    ReuseAddress,
    /// `SO_REUSEPORT`
    ReusePort,
    /// `SO_KEEPALIVE`
    KeepAlive,
    /// `TCP_KEEPIDLE`, in seconds.
    KeepIdle,
    /// `TCP_KEEPINTVL`, in seconds.
    KeepInterval,
    /// `TCP_KEEPCNT`
    KeepCount,
    /// `TCP_NODELAY`
    NoDelay,
    /// `TCP_CORK`
    Cork,
    /// `TCP_QUICKACK`, permanently: acknowledgements are not delayed.
    QuickAck,
    /// `TCP_USER_TIMEOUT`, in milliseconds.
    UserTimeout,
    /// `SO_SNDBUF`, in bytes.
    SendBuffer,
    /// `SO_RCVBUF`, in bytes.
    ReceiveBuffer,
    /// `SO_BROADCAST`
    Broadcast,
    /// `IPV6_V6ONLY`
    V6Only,
    /// `IP_TTL`; -1 for the default.
    HopLimit4,
    /// `IPV6_UNICAST_HOPS`; -1 for the default.
    HopLimit6,
}

/// Hop limit of a packet unless the application sets another.
pub(crate) const HOPS: u8 = 64;

/// A part of `struct tcp_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// State, numbered as on Linux (1: established ... 11: closing).
    pub state: u8,
    /// Bytes sent and not acknowledged, or not sent.
    pub send_queue: usize,
    /// Bytes received and not read.
    pub receive_queue: usize,
    /// Bytes of data in a full segment.
    pub segment_bytes: usize,
    /// Segments that may be in flight at once.
    pub window_segments: usize,
}

/// The options of a socket, initially Linux's defaults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub reuse_address: bool,
    pub reuse_port: bool,
    pub keep_alive: bool,
    pub keep_idle: Duration,
    pub keep_interval: Duration,
    pub keep_count: u32,
    pub no_delay: bool,
    pub cork: bool,
    pub quick_ack: bool,
    pub user_timeout: Option<Duration>,
    /// `SO_LINGER` with a time: 0 resets the connection at close.
    pub linger: Option<u32>,
    pub send_bytes: Option<usize>,
    pub receive_bytes: Option<usize>,
    pub broadcast: bool,
    pub v6_only: bool,
    /// Hop limits of IPv4 and IPv6 packets; not 0.
    pub hop_limits: [u8; 2],
    /// The IPv4 type of service and the IPv6 traffic class.
    pub services: [u8; 2],
}

impl Options {
    /// Linux's defaults.
    pub(crate) const DEFAULT: Self = Self {
        reuse_address: false,
        reuse_port: false,
        keep_alive: false,
        keep_idle: Duration::from_secs(7200),
        keep_interval: Duration::from_secs(75),
        keep_count: 9,
        no_delay: false,
        cork: false,
        quick_ack: false,
        user_timeout: None,
        linger: None,
        send_bytes: None,
        receive_bytes: None,
        broadcast: false,
        v6_only: false,
        hop_limits: [HOPS; 2],
        services: [0; 2],
    };

    /// How long an acknowledgement may be delayed.
    pub(crate) fn ack_delay(&self) -> Option<Duration> {
        (!self.quick_ack).then_some(ACK_DELAY)
    }

    /// Returns the type of service or traffic class of packets to `remote`.
    pub(crate) fn service(&self, remote: IpAddress) -> u8 {
        match remote {
            IpAddress::Ipv4(_) => self.services[0],
            IpAddress::Ipv6(_) => self.services[1],
        }
    }

    /// Returns the hop limit of a packet to `remote`.
    pub(crate) fn hop_limit(&self, remote: IpAddress) -> u8 {
        match remote {
            IpAddress::Ipv4(_) => self.hop_limits[0],
            IpAddress::Ipv6(_) => self.hop_limits[1],
        }
    }
}
