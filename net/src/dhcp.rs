//! The IPv4 address by DHCP: requests it, renews it, and gives it up when the lease ends.
//! Connections are not touched here; smoltcp closes those whose address is gone.

use crate::Result;
use crate::device::Transmit;
use crate::link::Link;
use crate::memory::{Lease, Memory};
use smoltcp::iface::{SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::dhcpv4::{Event, Socket};
use smoltcp::time::Instant;
use smoltcp::wire::{IpCidr, Ipv4Address};

/// The client.
pub(crate) struct Dhcp {
    // First, because it borrows from the lease below.
    set: SocketSet<'static>,
    handle: SocketHandle,
    due: Option<Instant>,
    _storage: Lease<SocketStorage<'static>>,
}

impl Dhcp {
    /// Makes a client that has not sent a request yet.
    pub(crate) fn new(memory: Memory) -> Result<Self> {
        // SAFETY: `set`, which has the slice, is declared before the lease and so drops first.
        let (lease, storage) = unsafe { Lease::new(1, || SocketStorage::EMPTY, memory)? };
        let mut set = SocketSet::new(storage);
        let handle = set.add(Socket::new());
        Ok(Self {
            set,
            handle,
            due: Some(Instant::ZERO),
            _storage: lease,
        })
    }

    /// Returns when it must be served next.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether a frame may be a reply: UDP over IPv4 from port 67 to port 68.
    pub(crate) fn is_reply(frame: &[u8]) -> bool {
        let header = frame.get(14).map_or(0, |byte| usize::from(byte & 0x0f) * 4);
        frame.get(12..14) == Some(&[8, 0])
            && frame.get(23) == Some(&17)
            && frame.get(14 + header..18 + header) == Some(&[0, 67, 0, 68])
    }

    /// Processes a reply.
    pub(crate) fn ingress(
        &mut self,
        link: &mut Link,
        out: &mut dyn Transmit,
        frame: &[u8],
        now: Instant,
    ) {
        link.ingress(frame, out, &mut self.set, now);
        self.due = Some(now);
    }

    /// Performs the due steps. Returns the name server if the configuration has changed.
    pub(crate) fn serve(
        &mut self,
        link: &mut Link,
        out: &mut dyn Transmit,
        now: Instant,
    ) -> Option<Option<Ipv4Address>> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        let changed = match self.set.get_mut::<Socket>(self.handle).poll() {
            Some(Event::Configured(configuration)) => {
                let (address, router) = (configuration.address, configuration.router);
                let server = configuration.dns_servers.first().copied();
                link.set_address4(Some(IpCidr::Ipv4(address)));
                // There is one default route, which is replaced.
                let _ = link.set_gateway4(router);
                Some(server)
            }
            Some(Event::Deconfigured) => {
                link.set_address4(None);
                let _ = link.set_gateway4(None);
                Some(None)
            }
            None => None,
        };
        link.egress(out, &mut self.set, now);
        let due = link.interface.poll_at(now, &self.set);
        // A full device held up what is due now.
        self.due = due.map(|due| due.max(now + smoltcp::time::Duration::from_millis(1)));
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::frames;
    use smoltcp::wire::{IpAddress, IpEndpoint};

    #[test]
    fn an_answer_is_a_datagram_from_port_67_to_port_68() {
        let end = |last, port| IpEndpoint::new(IpAddress::v4(10, 0, 0, last), port);
        for (from, to, protocol, is_reply) in [
            (67, 68, frames::UDP, true),
            (68, 67, frames::UDP, false),
            (67, 67, frames::UDP, false),
            (323, 68, frames::UDP, false),
            (67, 68, frames::TCP, false),
        ] {
            for options in [&[][..], &[1; 4]] {
                let (from, to) = (end(1, from), end(2, to));
                let udp = frames::udp(from, to, b"x");
                let packet = frames::ip_with(from.addr, to.addr, protocol, options, &udp);
                let mut frame = frames::ethernet([2; 6], [4; 6], &packet);
                assert_eq!(Dhcp::is_reply(&frame), is_reply);
                for bytes in 0..38 + options.len() {
                    assert!(!Dhcp::is_reply(&frame[..bytes]));
                }
                frame[13] = 1;
                assert!(!Dhcp::is_reply(&frame));
            }
        }
    }
}
