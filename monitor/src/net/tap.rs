//! A TAP device of the host. A device that did not exist before disappears when the last copy of
//! its descriptor is closed, however we end.
//! A device that another program made is not changed.

use super::config::InterfaceNetwork;
use super::interface::{configure, own_mac, read_flags, read_mtu, request, result, socket};
use crate::MonitorError;
use bespoke_abi::devices::{NET_OFFLOAD, NET_TAP, NetInfo};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Size of the `virtio_net_hdr_v1` before each frame.
const HEADER_BYTES: libc::c_int = 12;
pub(crate) const TUN_F_CSUM: u32 = 1;
pub(crate) const TUN_F_TSO4: u32 = 2;
pub(crate) const TUN_F_TSO6: u32 = 4;

/// Opens the device with a nonblocking descriptor; creates it if necessary and allowed.
pub(super) fn open(network: &InterfaceNetwork) -> Result<(OwnedFd, NetInfo), MonitorError> {
    let failed = |step| {
        let name = network.name.clone();
        move |source| MonitorError::Tap { name, step, source }
    };
    let control = socket().map_err(failed("ask for"))?;
    let existed = read_flags(&control, &network.name).is_ok();
    // SAFETY: a path with its NUL; the descriptor is owned from here on.
    let tap = unsafe {
        let fd = libc::open(
            c"/dev/net/tun".as_ptr(),
            libc::O_RDWR | libc::O_CLOEXEC | libc::O_NONBLOCK,
        );
        result(fd).map_err(|source| MonitorError::TunDevice { source })?;
        OwnedFd::from_raw_fd(fd)
    };
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    let attached = attach(&tap, &network.name, flags).or_else(|error| match error.raw_os_error() {
        // A multiqueue device accepts only multiqueue users.
        Some(libc::EINVAL) if existed => attach(&tap, &network.name, flags | libc::IFF_MULTI_QUEUE),
        _ => Err(error),
    });
    attached.map_err(failed("attach to"))?;
    // SAFETY: the ioctl reads one int.
    result(unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETVNETHDRSZ as _, &HEADER_BYTES) })
        .map_err(failed("set the frame header of"))?;
    let offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    // SAFETY: the ioctl takes its argument by value.
    let offloads = unsafe {
        libc::ioctl(
            tap.as_raw_fd(),
            libc::TUNSETOFFLOAD as _,
            libc::c_ulong::from(offload),
        )
    } == 0;
    if !existed {
        set_up(&control, network).map_err(failed("set up"))?;
    } else if read_flags(&control, &network.name).map_err(failed("ask for"))? & libc::IFF_UP == 0 {
        return Err(MonitorError::TapDown {
            name: network.name.clone(),
        });
    }
    let mut info = network.info(network.mac.unwrap_or_else(|| own_mac(&network.name)));
    info.kind = NET_TAP;
    info.flags |= if offloads { NET_OFFLOAD } else { 0 };
    info.mtu = read_mtu(&control, &network.name).map_err(failed("ask for"))?;
    Ok((tap, info))
}

/// Returns the information for the image on a device that another program
/// opens, and that exists and is up.
pub(crate) fn existing(network: &InterfaceNetwork) -> Result<NetInfo, MonitorError> {
    let failed = |source| MonitorError::Tap {
        name: network.name.clone(),
        step: "find",
        source,
    };
    let control = socket().map_err(failed)?;
    if read_flags(&control, &network.name).map_err(failed)? & libc::IFF_UP == 0 {
        return Err(MonitorError::TapDown {
            name: network.name.clone(),
        });
    }
    Ok(network.info(network.mac.unwrap_or_else(|| own_mac(&network.name))))
}

/// Frames that the host queues for a busy image.
/// With the default of 1,000, a thousand simultaneous clients lost 1,500 frames in 12 s, and each
/// retransmission takes a second. With 10,000 they lost two.
const QUEUE_FRAMES: libc::c_int = 10_000;

/// A device of our own making: the host's side gets the gateway's address, so that it can be reached
/// with no further command.
fn set_up(control: &OwnedFd, network: &InterfaceNetwork) -> io::Result<()> {
    if let (Some((_, bits)), Some(gateway)) = (network.address4, network.gateway4) {
        let mask = Ipv4Addr::from(u32::MAX << (32 - u32::from(bits)));
        let mut request = request(&network.name);
        request.ifr_ifru.ifru_addr = internet(gateway);
        configure(control, libc::SIOCSIFADDR, &mut request)?;
        request.ifr_ifru.ifru_addr = internet(mask);
        configure(control, libc::SIOCSIFNETMASK, &mut request)?;
    }
    let mut request = request(&network.name);
    // The kernel's name for the length of the queue is the same word.
    request.ifr_ifru.ifru_ifindex = QUEUE_FRAMES;
    configure(control, libc::SIOCSIFTXQLEN, &mut request)?;
    let flags = read_flags(control, &network.name)? | libc::IFF_UP;
    request.ifr_ifru.ifru_flags = flags as i16;
    configure(control, libc::SIOCSIFFLAGS, &mut request)
}

fn internet(address: Ipv4Addr) -> libc::sockaddr {
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: 0,
        sin_addr: libc::in_addr {
            s_addr: u32::from(address).to_be(),
        },
        sin_zero: [0; 8],
    };
    // SAFETY: both are 16 bytes of plain data, the second the general form of the first.
    unsafe { std::mem::transmute(address) }
}

fn attach(tap: &OwnedFd, name: &str, flags: i32) -> io::Result<()> {
    let mut request = request(name);
    request.ifr_ifru.ifru_flags = flags as i16;
    // SAFETY: reads and fills the structure.
    result(unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETIFF as _, &mut request) })
}
