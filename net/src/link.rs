//! A smoltcp interface and its state apart from a device: one for the
//! network device, one for loopback.
//! It has addresses, routes and the neighbour cache, but no sockets.

use crate::device::{Offload, Transmit};
use crate::port::{Port, Written};
use crate::{Error, Result};
use smoltcp::iface::{Config, Interface, PollResult, SocketSet};
use smoltcp::phy::{Checksum, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, HardwareAddress, IpAddress, IpCidr, Ipv4Address, Ipv6Address,
};

/// The link that a flow uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// The network device.
    Wire,
    /// Loopback.
    Local,
}

/// An interface.
pub(crate) struct Link {
    pub interface: Interface,
    capabilities: DeviceCapabilities,
    pub header_bytes: usize,
    pub offload: Offload,
    /// The peer terminates TCP itself, and the link neither loses nor reorders packets.
    pub relayed: bool,
    /// The type of service, or traffic class, of outgoing packets: that of the socket being served.
    pub service: u8,
}

impl Link {
    /// Makes the interface of a network device.
    pub(crate) fn wire(mac: [u8; 6], mtu: usize, offload: Offload, seed: u64) -> Self {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        let header_bytes = crate::packet::ETHERNET_BYTES;
        capabilities.max_transmission_unit = mtu + header_bytes;
        if offload.checksum {
            // Unverified checksums are checked before smoltcp gets the frame.
            capabilities.checksum.tcp = Checksum::None;
            capabilities.checksum.udp = Checksum::None;
            capabilities.segmentation.tcpv4 = core::num::NonZeroUsize::new(offload.segment_bytes);
        }
        let address = HardwareAddress::Ethernet(EthernetAddress(mac));
        Self::new(address, capabilities, header_bytes, offload, seed)
    }

    /// Makes the loopback interface: every address is its own, and no packet is damaged.
    pub(crate) fn local(mtu: usize, seed: u64) -> Self {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = mtu;
        capabilities.checksum.ipv4 = Checksum::None;
        capabilities.checksum.tcp = Checksum::None;
        capabilities.checksum.udp = Checksum::None;
        let mut link = Self::new(
            HardwareAddress::Ip,
            capabilities,
            0,
            Offload::default(),
            seed,
        );
        link.interface.set_any_ip(true);
        link.interface.update_ip_addrs(|addresses| {
            // Capacity 4, fixed by the features of smoltcp.
            let _ = addresses.push(IpCidr::new(IpAddress::v4(127, 0, 0, 1), 8));
            let loopback6 = IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 1);
            let _ = addresses.push(IpCidr::new(loopback6, 128));
        });
        link
    }

    fn new(
        address: HardwareAddress,
        capabilities: DeviceCapabilities,
        header_bytes: usize,
        offload: Offload,
        seed: u64,
    ) -> Self {
        let mut config = Config::new(address);
        config.random_seed = seed;
        let mut device = Port {
            frame: None,
            out: &mut Nowhere,
            capabilities: &capabilities,
            header_bytes,
            service: 0,
            written: Written::default(),
        };
        let interface = Interface::new(config, &mut device, Instant::ZERO);
        Self {
            interface,
            capabilities,
            header_bytes,
            offload,
            relayed: false,
            service: 0,
        }
    }

    /// Passes a frame to `sockets`; replies leave at once.
    pub(crate) fn ingress(
        &mut self,
        frame: &[u8],
        out: &mut dyn Transmit,
        sockets: &mut SocketSet<'static>,
        now: Instant,
    ) -> Written {
        let mut port = Port {
            frame: Some(frame),
            out,
            capabilities: &self.capabilities,
            header_bytes: self.header_bytes,
            service: self.service,
            written: Written::default(),
        };
        self.interface.poll_ingress_single(now, &mut port, sockets);
        port.written
    }

    /// Sends the data of `sockets`, as far as there is room.
    pub(crate) fn egress(
        &mut self,
        out: &mut dyn Transmit,
        sockets: &mut SocketSet<'static>,
        now: Instant,
    ) -> Written {
        let mut port = Port {
            frame: None,
            out,
            capabilities: &self.capabilities,
            header_bytes: self.header_bytes,
            service: self.service,
            written: Written::default(),
        };
        while self.interface.poll_egress(now, &mut port, sockets) != PollResult::None {}
        port.written
    }

    /// Adds an address.
    pub(crate) fn add_address(&mut self, address: IpCidr) -> Result<()> {
        if !address.address().is_unicast() {
            return Err(Error::Invalid);
        }
        let mut result = Ok(());
        self.interface.update_ip_addrs(|addresses| {
            result = addresses.push(address).map_err(|_| Error::NoMemory);
        });
        result
    }

    /// Replaces the IPv4 address.
    pub(crate) fn set_address4(&mut self, address: Option<IpCidr>) {
        self.interface.update_ip_addrs(|addresses| {
            addresses.retain(|old| matches!(old, IpCidr::Ipv6(_)));
            if let Some(address) = address.filter(|address| address.address().is_unicast()) {
                // It takes the place of the old one, or one of smoltcp's four.
                let _ = addresses.push(address);
            }
        });
    }

    /// Replaces the IPv4 router.
    pub(crate) fn set_gateway4(&mut self, gateway: Option<Ipv4Address>) -> Result<()> {
        let routes = self.interface.routes_mut();
        routes.remove_default_ipv4_route();
        if let Some(gateway) = gateway {
            routes
                .add_default_ipv4_route(gateway)
                .map_err(|_| Error::NoMemory)?;
        }
        Ok(())
    }

    /// Replaces the IPv6 router.
    pub(crate) fn set_gateway6(&mut self, gateway: Option<Ipv6Address>) -> Result<()> {
        let routes = self.interface.routes_mut();
        routes.remove_default_ipv6_route();
        if let Some(gateway) = gateway {
            routes
                .add_default_ipv6_route(gateway)
                .map_err(|_| Error::NoMemory)?;
        }
        Ok(())
    }

    /// Whether `address` is assigned to this side. Addresses that it only answers for do not count.
    pub(crate) fn has_address(&self, address: IpAddress) -> bool {
        let own = self.interface.ip_addrs();
        own.iter().any(|cidr| cidr.address() == address)
    }

    /// Returns the bytes of the largest IP packet.
    pub(crate) fn mtu(&self) -> usize {
        self.capabilities.ip_mtu()
    }
}

/// A transmit path without destination: interfaces are made before there is anything to send.
struct Nowhere;

impl Transmit for Nowhere {
    fn ready(&mut self) -> bool {
        false
    }
    fn send(
        &mut self,
        _bytes: usize,
        _segment: Option<core::num::NonZeroU16>,
        _fill: &mut dyn FnMut(&mut [u8]),
    ) {
    }
}

/// All links with their transmit paths, for one call.
pub(crate) struct Links<'a> {
    pub wire: Option<(&'a mut Link, &'a mut dyn Transmit)>,
    pub local: (&'a mut Link, &'a mut dyn Transmit),
}

impl Links<'_> {
    /// Returns the link of `path`, or none if the image has no device.
    pub(crate) fn get(&mut self, path: Path) -> Option<(&mut Link, &mut dyn Transmit)> {
        match path {
            Path::Wire => self
                .wire
                .as_mut()
                .map(|(link, out)| (&mut **link, &mut **out as &mut dyn Transmit)),
            Path::Local => Some((&mut *self.local.0, &mut *self.local.1)),
        }
    }

    /// Whether `address` belongs to this machine.
    pub(crate) fn is_own(&self, address: IpAddress) -> bool {
        is_loopback(address)
            || self
                .wire
                .as_ref()
                .is_some_and(|(link, _)| link.has_address(address))
    }

    /// Whether this side stands for every address, as a relay does.
    pub(crate) fn relays(&self) -> bool {
        let serves_all = |(link, _): &(&mut Link, _)| link.interface.any_ip();
        self.wire.as_ref().is_some_and(serves_all)
    }

    /// Whether a socket may use `address` as its own.
    pub(crate) fn serves(&self, address: IpAddress) -> bool {
        self.is_own(address) || self.relays()
    }

    /// Returns the path to `address`.
    pub(crate) fn path(&self, address: IpAddress) -> Path {
        if self.is_own(address) {
            Path::Local
        } else {
            Path::Wire
        }
    }

    /// Returns the best source address for `remote`.
    pub(crate) fn source(&self, remote: IpAddress) -> Option<IpAddress> {
        // All of 127.0.0.0/8 has the source 127.0.0.1, as on Linux.
        if matches!(remote, IpAddress::Ipv4(address) if address.is_loopback()) {
            return Some(IpAddress::v4(127, 0, 0, 1));
        }
        if self.is_own(remote) {
            return Some(remote);
        }
        let (link, _) = self.wire.as_ref()?;
        let version = remote.version();
        let has = link.interface.ip_addrs().iter();
        let has = has
            .filter(|cidr| cidr.address().version() == version)
            .count();
        if has == 0 {
            return None;
        }
        link.interface.get_source_address(&remote)
    }

    /// Whether there is a route to `address`.
    pub(crate) fn reaches(&self, address: IpAddress) -> bool {
        if self.is_own(address) || address.is_multicast() || address.is_broadcast() {
            return true;
        }
        let Some((link, _)) = self.wire.as_ref() else {
            return false;
        };
        let interface = &link.interface;
        interface
            .ip_addrs()
            .iter()
            .any(|cidr| cidr.contains_addr(&address))
            || match address {
                IpAddress::Ipv4(_) => interface.routes().get_default_ipv4_route().is_some(),
                IpAddress::Ipv6(_) => interface.routes().get_default_ipv6_route().is_some(),
            }
    }
}

/// Whether `address` is in 127.0.0.0/8 or is ::1.
pub(crate) fn is_loopback(address: IpAddress) -> bool {
    match address {
        IpAddress::Ipv4(address) => address.is_loopback(),
        IpAddress::Ipv6(address) => address.is_loopback(),
    }
}
