//! `ioctl` about interfaces (netdevice(7)): the loopback, and the one with a device where there is one. They can be asked, not
//! changed. Owns nothing.

use super::super::{Errno, Files, Guest, Host, Result};
use bespoke_net::{IpAddress, Ipv4Address, WireInfo};
use linux_raw_sys::ioctl::*;
use linux_raw_sys::net::AF_INET;

/// Bytes of a `struct ifreq`, and of the name it begins with.
const REQUEST: usize = 40;
const NAME: usize = 16;
/// Numbers of the interfaces.
pub(super) const LOOPBACK: u32 = 1;
pub(super) const WIRE: u32 = 2;
/// `IFF_UP | IFF_LOOPBACK | IFF_RUNNING`, `IFF_UP | IFF_BROADCAST | IFF_RUNNING | IFF_MULTICAST`.
pub(super) const LOOPBACK_FLAGS: u32 = 0x49;
pub(super) const WIRE_FLAGS: u32 = 0x1043;
/// `ARPHRD_LOOPBACK`, `ARPHRD_ETHER`.
pub(super) const LOOPBACK_HARDWARE: u16 = 772;
pub(super) const WIRE_HARDWARE: u16 = 1;
/// Packets that wait for a device at most, as Linux has it.
const QUEUE: u32 = 1000;
const LOOPBACK_MTU: usize = 65_536;

/// An interface as it is told.
pub(super) struct Interface {
    pub index: u32,
    pub name: &'static [u8],
    pub flags: u32,
    pub hardware: u16,
    pub mtu: usize,
    pub mac: [u8; 6],
    /// Its addresses and the lengths of their prefixes in bits.
    pub addresses: [Option<(IpAddress, u8)>; 4],
}

/// The loopback.
pub(super) fn loopback() -> Interface {
    let four = IpAddress::v4(127, 0, 0, 1);
    let six = IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 1);
    Interface {
        index: LOOPBACK,
        name: b"lo",
        flags: LOOPBACK_FLAGS,
        hardware: LOOPBACK_HARDWARE,
        mtu: LOOPBACK_MTU,
        mac: [0; 6],
        addresses: [Some((four, 8)), Some((six, 128)), None, None],
    }
}

/// The one with a device.
pub(super) fn wire(info: WireInfo) -> Interface {
    Interface {
        index: WIRE,
        name: b"eth0",
        flags: WIRE_FLAGS,
        hardware: WIRE_HARDWARE,
        mtu: info.mtu,
        mac: info.mac,
        addresses: info.addresses,
    }
}

impl Interface {
    /// The first address of IPv4.
    fn ipv4(&self) -> Option<(Ipv4Address, u8)> {
        let mut addresses = self.addresses.iter().flatten();
        addresses.find_map(|&(address, bits)| match address {
            IpAddress::Ipv4(address) => Some((address, bits)),
            IpAddress::Ipv6(_) => None,
        })
    }
}

/// The highest address of a network.
pub(super) fn broadcast(address: Ipv4Address, bits: u8) -> [u8; 4] {
    (u32::from(address) | !mask(bits)).to_be_bytes()
}

fn mask(bits: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)
}

/// A `struct sockaddr_in` without a port.
fn internet(octets: [u8; 4]) -> [u8; 16] {
    let mut address = [0; 16];
    address[..2].copy_from_slice(&(AF_INET as u16).to_ne_bytes());
    address[4..8].copy_from_slice(&octets);
    address
}

impl<H: Host> Files<H> {
    /// The interfaces there are.
    #[cold]
    pub(super) fn interfaces(&mut self) -> Result<[Option<Interface>; 2]> {
        let stack = self.objects.net.stack(&self.host)?;
        let wire = stack.wire_info().map(wire);
        Ok([Some(loopback()), wire])
    }

    /// `ioctl` about interfaces; `ENOTTY` for what is none. Sockets of the Internet protocols are asked about addresses, too.
    #[cold]
    pub(in super::super) fn interface_control(
        &mut self,
        guest: Guest,
        is_internet: bool,
        request: u32,
        address: usize,
    ) -> Result {
        match request {
            SIOCGIFCONF => return self.addresses_of_interfaces(guest, address),
            SIOCGIFNAME | SIOCGIFFLAGS | SIOCGIFMTU | SIOCGIFHWADDR | SIOCGIFINDEX
            | SIOCGIFMETRIC | SIOCGIFTXQLEN => {}
            SIOCGIFADDR | SIOCGIFDSTADDR | SIOCGIFBRDADDR | SIOCGIFNETMASK if is_internet => {}
            SIOCSIFFLAGS | SIOCSIFADDR | SIOCSIFDSTADDR | SIOCSIFBRDADDR | SIOCSIFNETMASK
            | SIOCSIFMTU | SIOCSIFHWADDR | SIOCSIFNAME | SIOCSIFMETRIC | SIOCSIFTXQLEN
            | SIOCADDMULTI | SIOCDELMULTI => return Err(Errno::PERM),
            _ => return Err(Errno::NOTTY),
        }
        let mut data: [u8; REQUEST] = guest.read(address)?;
        let word =
            |data: &[u8; REQUEST]| u32::from_ne_bytes([data[16], data[17], data[18], data[19]]);
        let name = data[..NAME].split(|&byte| byte == 0 || byte == b':').next();
        let mut interfaces = self.interfaces()?.into_iter().flatten();
        let found = interfaces.find(|interface| match request {
            SIOCGIFNAME => interface.index == word(&data),
            _ => Some(interface.name) == name,
        });
        let interface = found.ok_or(Errno::NODEV)?;
        let (name, value) = data.split_at_mut(NAME);
        let mut put = |bytes: &[u8]| value[..bytes.len()].copy_from_slice(bytes);
        let own = || interface.ipv4().ok_or(Errno::ADDRNOTAVAIL);
        match request {
            SIOCGIFNAME => {
                name.fill(0);
                name[..interface.name.len()].copy_from_slice(interface.name);
            }
            SIOCGIFFLAGS => put(&(interface.flags as u16).to_ne_bytes()),
            SIOCGIFMTU => put(&(interface.mtu as u32).to_ne_bytes()),
            SIOCGIFINDEX => put(&interface.index.to_ne_bytes()),
            SIOCGIFMETRIC => put(&0u32.to_ne_bytes()),
            SIOCGIFTXQLEN => put(&QUEUE.to_ne_bytes()),
            SIOCGIFHWADDR => {
                let mut address = [0; 16];
                address[..2].copy_from_slice(&interface.hardware.to_ne_bytes());
                address[2..8].copy_from_slice(&interface.mac);
                put(&address);
            }
            SIOCGIFADDR | SIOCGIFDSTADDR => put(&internet(own()?.0.octets())),
            SIOCGIFNETMASK => put(&internet(mask(own()?.1).to_be_bytes())),
            _ => {
                let (address, bits) = own()?;
                let none = interface.index == LOOPBACK;
                let highest = broadcast(address, bits);
                put(&internet(if none { [0; 4] } else { highest }));
            }
        }
        guest.write(address, data)?;
        Ok(0)
    }

    /// `SIOCGIFCONF`: the addresses of IPv4, as many as there is room for; without room, how much they take.
    #[cold]
    fn addresses_of_interfaces(&mut self, guest: Guest, at: usize) -> Result {
        let room = guest.read::<i32>(at)?;
        let buffer = guest.read::<usize>(at + 8)?;
        let mut used = 0;
        for interface in self.interfaces()?.into_iter().flatten() {
            let Some((address, _)) = interface.ipv4() else {
                continue;
            };
            if buffer != 0 {
                if room < (used + REQUEST) as i32 {
                    break;
                }
                let mut data = [0; REQUEST];
                data[..interface.name.len()].copy_from_slice(interface.name);
                data[NAME..NAME + 16].copy_from_slice(&internet(address.octets()));
                guest.write(buffer + used, data)?;
            }
            used += REQUEST;
        }
        guest.write(at, used as i32)?;
        Ok(0)
    }
}
