//! The network device with its link: configured addresses and incoming frames.
//! One turn takes a limited number of frames, so that the application is not starved.

use crate::device::Device;
use crate::dhcp::Dhcp;
use crate::engine::Engine;
use crate::link::{Link, Path};
use crate::memory::Memory;
use crate::stack::{Configuration, Ipv4Configuration};
use crate::{Error, Result};
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, IpCidr, Ipv4Address, Ipv4Cidr, Ipv6Address, Ipv6Cidr,
};

/// Frames taken from the device in one poll. The application runs in between.
pub(crate) const BATCH_FRAMES: usize = 64;

/// See the module.
pub(crate) struct Wire<D> {
    pub(crate) device: D,
    pub(crate) link: Link,
    pub(crate) dhcp: Option<Dhcp>,
    pub(crate) name_server: Option<Ipv4Address>,
    /// The IPv4 address is new and not announced to neighbours yet.
    is_new: bool,
}

impl<D: Device> Wire<D> {
    /// Makes a configured device.
    pub(crate) fn new(
        device: D,
        configuration: &Configuration,
        engine: &mut Engine,
        memory: Memory,
    ) -> Result<Self> {
        let mac = device.hardware_address();
        // smoltcp needs room for headers and a whole segment.
        let mtu = device.mtu().clamp(576, 65_535);
        if mac[0] & 1 != 0 || mac == [0; 6] {
            return Err(Error::Invalid);
        }
        let mut link = Link::wire(mac, mtu, device.offload(), engine.random.next());
        link.relayed = configuration.relayed;
        link.interface.set_any_ip(configuration.serves_all);
        engine.datagram_bytes = mtu;
        let mut dhcp = None;
        let mut name_server = None;
        match configuration.ipv4 {
            Ipv4Configuration::None => {}
            Ipv4Configuration::Dhcp => dhcp = Some(Dhcp::new(memory)?),
            Ipv4Configuration::Static {
                address,
                prefix_bits,
                gateway,
                name_server: server,
            } => {
                if prefix_bits > 32 {
                    return Err(Error::Invalid);
                }
                link.add_address(IpCidr::Ipv4(Ipv4Cidr::new(address, prefix_bits)))?;
                link.set_gateway4(gateway)?;
                name_server = server;
            }
        }
        link.add_address(IpCidr::Ipv6(Ipv6Cidr::new(link_local(mac), 64)))?;
        if let Some(ipv6) = configuration.ipv6 {
            if ipv6.prefix_bits > 128 {
                return Err(Error::Invalid);
            }
            link.add_address(IpCidr::Ipv6(Ipv6Cidr::new(ipv6.address, ipv6.prefix_bits)))?;
            link.set_gateway6(ipv6.gateway)?;
        }
        Ok(Self {
            device,
            link,
            dhcp,
            name_server,
            is_new: !configuration.relayed,
        })
    }

    /// Takes frames from the device; returns how many.
    pub(crate) fn ingress(&mut self, engine: &mut Engine) -> usize {
        if self.is_new {
            self.announce();
        }
        let (receiver, out) = self.device.split();
        let mut taken = 0;
        while taken < BATCH_FRAMES {
            let Some(received) = receiver.receive() else {
                break;
            };
            taken += 1;
            if let Some(dhcp) = &mut self.dhcp
                && Dhcp::is_reply(received.frame)
            {
                dhcp.ingress(&mut self.link, out, received.frame, engine.now);
                continue;
            }
            engine.ingress(
                &mut self.link,
                Path::Wire,
                out,
                received.frame,
                received.checked,
            );
        }
        if let Some(dhcp) = &mut self.dhcp
            && let Some(server) = dhcp.serve(&mut self.link, out, engine.now)
        {
            self.name_server = server;
            self.is_new = true;
            engine.unstick();
        }
        taken
    }

    /// Announces the IPv4 address to all neighbours (an announcement of RFC 5227).
    /// A neighbour that asked before this machine listened would ask again only after a second.
    #[cold]
    fn announce(&mut self) {
        self.is_new = false;
        let Some(address) = self.link.interface.ipv4_addr() else {
            return;
        };
        let mac = EthernetAddress(self.device.hardware_address());
        let (_, out) = self.device.split();
        if !out.ready() {
            self.is_new = true;
            return;
        }
        let ethernet = EthernetRepr {
            src_addr: mac,
            dst_addr: EthernetAddress::BROADCAST,
            ethertype: EthernetProtocol::Arp,
        };
        let question = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: mac,
            source_protocol_addr: address,
            target_hardware_addr: EthernetAddress::default(),
            target_protocol_addr: address,
        };
        let bytes = ethernet.buffer_len() + question.buffer_len();
        out.send(bytes, None, &mut |frame| {
            let mut frame = EthernetFrame::new_unchecked(frame);
            ethernet.emit(&mut frame);
            question.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
        });
    }
}

/// Returns the link-local address for a hardware address (RFC 4291, appendix A).
fn link_local(mac: [u8; 6]) -> Ipv6Address {
    let [a, b, c, d, e, f] = mac;
    Ipv6Address::from([
        0xfe,
        0x80,
        0,
        0,
        0,
        0,
        0,
        0,
        a ^ 2,
        b,
        c,
        0xff,
        0xfe,
        d,
        e,
        f,
    ])
}
