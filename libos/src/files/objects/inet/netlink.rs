//! `NETLINK_ROUTE` sockets (rtnetlink(7)), as far as programs ask what interfaces, addresses and routes there are: `getifaddrs`
//! and `if_nameindex` do. Nothing can be changed this way.
//!
//! Such a socket is one of the local ones, to which the answers come as messages. Owns nothing.

use super::super::packets::Sort;
use super::super::vector::Gather;
use super::super::{Errno, Files, Host, Result, Waitable};
use super::interfaces::{Interface, LOOPBACK, LOOPBACK_FLAGS, WIRE, broadcast};
use alloc::vec::Vec;
use bespoke_net::IpAddress;
use linux_raw_sys::general::O_RDWR;
use linux_raw_sys::net::{AF_INET, AF_INET6, SOCK_DGRAM, SOCK_RAW};

const NETLINK_ROUTE: u32 = 0;
const HEADER: usize = 16;
/// Types of messages.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
/// Types of requests there may be, of which every fourth asks for something.
const REQUESTS: core::ops::Range<u16> = 16..124;
/// Flags of messages.
const REQUEST: u16 = 1;
const MULTI: u16 = 2;
const ACKNOWLEDGE: u16 = 4;
const DUMP: u16 = 0x300;
/// `IFF_LOWER_UP`, which only netlink tells.
const LOWER_UP: u32 = 1 << 16;
const UP: u8 = 6;
const UNKNOWN: u8 = 0;
/// `RT_SCOPE_*`, `RTPROT_*`, `RT_TABLE_MAIN`, `RTN_UNICAST`, `IFA_F_PERMANENT`.
const UNIVERSE: u8 = 0;
const LINK: u8 = 253;
const HOST: u8 = 254;
const BY_KERNEL: u8 = 2;
const AT_BOOT: u8 = 3;
const MAIN: u8 = 254;
const UNICAST: u8 = 1;
const PERMANENT: u8 = 0x80;

/// A request.
struct Request<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

/// Answers to one request.
struct Answers {
    bytes: Vec<u8>,
    sequence: u32,
    /// Where the message being written begins.
    start: usize,
}

impl Answers {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let padded = bytes.len().next_multiple_of(4);
        self.bytes.try_reserve(padded).map_err(|_| Errno::NOMEM)?;
        self.bytes.extend_from_slice(bytes);
        self.bytes
            .resize(self.bytes.len() + padded - bytes.len(), 0);
        Ok(())
    }

    #[cold]
    fn begin(&mut self, kind: u16, flags: u16, body: &[u8]) -> Result<()> {
        self.start = self.bytes.len();
        let mut header = [0; HEADER];
        header[4..6].copy_from_slice(&kind.to_ne_bytes());
        header[6..8].copy_from_slice(&flags.to_ne_bytes());
        header[8..12].copy_from_slice(&self.sequence.to_ne_bytes());
        header[12..].copy_from_slice(&(crate::files::PROCESS_ID as u32).to_ne_bytes());
        self.put(&header)?;
        self.put(body)?;
        self.end();
        Ok(())
    }

    #[cold]
    fn attribute(&mut self, kind: u16, value: &[u8]) -> Result<()> {
        let length = (4 + value.len()) as u16;
        let [a, b] = length.to_ne_bytes();
        let [c, d] = kind.to_ne_bytes();
        self.put(&[a, b, c, d])?;
        self.put(value)?;
        self.end();
        Ok(())
    }

    /// The message is as long as it is by now.
    fn end(&mut self) {
        let length = (self.bytes.len() - self.start) as u32;
        self.bytes[self.start..self.start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    fn link(&mut self, interface: &Interface, flags: u16) -> Result<()> {
        let mut body = [0; 16];
        body[2..4].copy_from_slice(&interface.hardware.to_ne_bytes());
        body[4..8].copy_from_slice(&interface.index.to_ne_bytes());
        body[8..12].copy_from_slice(&(interface.flags | LOWER_UP).to_ne_bytes());
        self.begin(NEW_LINK, flags, &body)?;
        self.attribute(3, &with_nul(interface.name))?;
        self.attribute(13, &1000u32.to_ne_bytes())?;
        let is_loopback = interface.index == LOOPBACK;
        self.attribute(16, &[if is_loopback { UNKNOWN } else { UP }])?;
        self.attribute(4, &(interface.mtu as u32).to_ne_bytes())?;
        self.attribute(1, &interface.mac)?;
        self.attribute(2, &[if is_loopback { 0 } else { 0xff }; 6])
    }

    fn address(&mut self, interface: &Interface, address: IpAddress, bits: u8) -> Result<()> {
        let is_loopback = interface.flags == LOOPBACK_FLAGS;
        let link_local = matches!(address, IpAddress::Ipv6(six) if six.is_unicast_link_local());
        let scope = match (is_loopback, link_local) {
            (true, _) => HOST,
            (_, true) => LINK,
            _ => UNIVERSE,
        };
        let [a, b, c, d] = interface.index.to_ne_bytes();
        let family = family_of(address) as u8;
        self.begin(
            NEW_ADDRESS,
            MULTI,
            &[family, bits, PERMANENT, scope, a, b, c, d],
        )?;
        match address {
            IpAddress::Ipv4(four) => {
                self.attribute(1, &four.octets())?;
                self.attribute(2, &four.octets())?;
                if !is_loopback {
                    self.attribute(4, &broadcast(four, bits))?;
                }
                self.attribute(3, &with_nul(interface.name))?;
            }
            IpAddress::Ipv6(six) => self.attribute(1, &six.octets())?,
        }
        self.attribute(8, &u32::from(PERMANENT).to_ne_bytes())
    }

    /// A route out of the device to a network (the address and bits of it), or by a gateway to everything else.
    fn route(&mut self, to: IpAddress, bits: Option<u8>) -> Result<()> {
        let (protocol, scope) = match bits {
            Some(_) => (BY_KERNEL, LINK),
            None => (AT_BOOT, UNIVERSE),
        };
        let family = family_of(to) as u8;
        let body = [
            family,
            bits.unwrap_or(0),
            0,
            0,
            MAIN,
            protocol,
            scope,
            UNICAST,
            0,
            0,
            0,
            0,
        ];
        self.begin(NEW_ROUTE, MULTI, &body)?;
        self.attribute(15, &u32::from(MAIN).to_ne_bytes())?;
        let kind = if bits.is_some() { 1 } else { 5 };
        match to {
            IpAddress::Ipv4(four) => {
                let mask = match bits {
                    Some(bits) => u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0),
                    None => u32::MAX,
                };
                self.attribute(kind, &(u32::from(four) & mask).to_be_bytes())?;
            }
            IpAddress::Ipv6(six) => {
                let mask = match bits {
                    Some(bits) => u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0),
                    None => u128::MAX,
                };
                self.attribute(kind, &(u128::from(six) & mask).to_be_bytes())?;
            }
        }
        self.attribute(4, &WIRE.to_ne_bytes())
    }

    fn error(&mut self, number: i32, request: &[u8]) -> Result<()> {
        let mut body = [0; 4 + HEADER];
        body[..4].copy_from_slice(&number.to_ne_bytes());
        body[4..].copy_from_slice(&request[..HEADER]);
        self.begin(ERROR, 0, &body)
    }
}

fn with_nul(name: &[u8]) -> [u8; 5] {
    let mut padded = [0; 5];
    padded[..name.len()].copy_from_slice(name);
    padded
}

fn family_of(address: IpAddress) -> u32 {
    match address {
        IpAddress::Ipv4(_) => AF_INET,
        IpAddress::Ipv6(_) => AF_INET6,
    }
}

impl<H: Host> Files<H> {
    /// `socket` of this family.
    #[cold]
    pub(in super::super) fn socket_netlink(
        &mut self,
        kind: u32,
        protocol: u32,
        flags: u32,
    ) -> Result {
        if !matches!(kind, SOCK_RAW | SOCK_DGRAM) {
            return Err(Errno::SOCKTNOSUPPORT);
        }
        if protocol != NETLINK_ROUTE {
            return Err(Errno::PROTONOSUPPORT);
        }
        let socket = self.objects.new_unix(Sort::Netlink)?;
        self.open_waitable(Waitable::Unix(socket), flags | O_RDWR)
    }

    /// Answers the requests in `from`, all of them at once.
    #[cold]
    pub(in super::super) fn ask_netlink(&mut self, socket: u32, from: &mut Gather<'_>) -> Result {
        let count = from.remaining();
        let mut asked = Vec::new();
        asked.try_reserve_exact(count).map_err(|_| Errno::NOMEM)?;
        asked.resize(count, 0);
        from.take(&mut asked);
        let mut rest = &asked[..];
        while let Some((whole, request)) = next_request(&mut rest) {
            let mut answers = Answers {
                bytes: Vec::new(),
                sequence: request.sequence,
                start: 0,
            };
            let done = self.answer(&request, &mut answers);
            let error = match done {
                Err(Errno::NOMEM) => return Err(Errno::NOMEM),
                Err(error) => error.answer() as i32,
                Ok(()) => 0,
            };
            if !answers.bytes.is_empty() {
                self.objects.deliver(&self.host, socket, &answers.bytes)?;
                answers.bytes.clear();
            }
            if error != 0 || request.flags & ACKNOWLEDGE != 0 && request.flags & DUMP != DUMP {
                answers.error(error, whole)?;
            } else if request.flags & DUMP == DUMP {
                answers.begin(DONE, MULTI, &0u32.to_ne_bytes())?;
            }
            if !answers.bytes.is_empty() {
                self.objects.deliver(&self.host, socket, &answers.bytes)?;
            }
        }
        Ok(count)
    }

    #[cold]
    fn answer(&mut self, request: &Request<'_>, answers: &mut Answers) -> Result<()> {
        if request.flags & REQUEST == 0 || !REQUESTS.contains(&request.kind) {
            return if request.kind < REQUESTS.start {
                Ok(())
            } else {
                Err(Errno::OPNOTSUPP)
            };
        }
        let dumps = request.flags & DUMP == DUMP;
        let family = u32::from(*request.body.first().ok_or(Errno::INVAL)?);
        let wants = |address: IpAddress| family == 0 || family == family_of(address);
        let interfaces = self.interfaces()?;
        let interfaces = interfaces.iter().flatten();
        match request.kind {
            GET_LINK if dumps => {
                for interface in interfaces {
                    answers.link(interface, MULTI)?;
                }
            }
            GET_LINK => {
                let index = request.body.get(4..8).ok_or(Errno::INVAL)?;
                let mut found = interfaces.filter(|one| one.index.to_ne_bytes() == index);
                answers.link(found.next().ok_or(Errno::NODEV)?, 0)?;
            }
            GET_ADDRESS if dumps => {
                for interface in interfaces {
                    for &(address, bits) in interface.addresses.iter().flatten() {
                        if wants(address) {
                            answers.address(interface, address, bits)?;
                        }
                    }
                }
            }
            GET_ROUTE if dumps => {
                let stack = self.objects.net.stack(&self.host)?;
                if let Some(info) = stack.wire_info() {
                    for gateway in info.gateways.into_iter().flatten() {
                        if wants(gateway) {
                            answers.route(gateway, None)?;
                        }
                    }
                    for (address, bits) in info.addresses.into_iter().flatten() {
                        if wants(address) {
                            answers.route(address, Some(bits))?;
                        }
                    }
                }
            }
            // What does not ask for something would change something.
            kind if kind % 4 != 2 => return Err(Errno::PERM),
            _ => return Err(Errno::OPNOTSUPP),
        }
        Ok(())
    }
}

/// The next request of `rest`, as a whole and in parts.
fn next_request<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], Request<'a>)> {
    let word = |at: usize| {
        let bytes = rest.get(at..at + 4)?;
        Some(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    let length = word(0)? as usize;
    if length < HEADER || length > rest.len() {
        return None;
    }
    let (kind, sequence) = (word(4)?, word(8)?);
    let whole = &rest[..length];
    *rest = &rest[length.next_multiple_of(4).min(rest.len())..];
    let request = Request {
        kind: kind as u16,
        flags: (kind >> 16) as u16,
        sequence,
        body: &whole[HEADER..],
    };
    Some((whole, request))
}
