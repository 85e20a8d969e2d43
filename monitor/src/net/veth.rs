//! An end of a veth pair of the host, opened as a packet socket with a ring of received frames
//! (`PACKET_RX_RING`, packet_mmap.rst of the kernel).
//! The sender at the other end puts each frame into the ring, on its own core, and the
//! image takes it without a system call.
//!
//! A claim excludes other images. No interface is created, so none is left behind.
//! This process never reads the ring, because the image writes it.

use super::config::InterfaceNetwork;
use super::interface::{configure, own_mac, read_flags, read_mtu, request, result, socket};
use crate::MonitorError;
use bespoke_abi::devices::{NET_OFFLOAD, NET_PACKET, NetInfo, PacketRing};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Address of the ring: far above every image (they lie below 4 GiB)
/// and far below Linux's own mappings.
const RING_ADDRESS: u64 = 0x1000_0000_0000;
/// Frames that wait for a busy image: the default queue length of a TAP device.
const SLOTS: u32 = 1024;
/// Size of a slot: a packet of 1,500 bytes with the slot's headers. Larger frames, which
/// consist of several segments, are read.
const SLOT_BYTES: u32 = 2048;
/// Size that the kernel allocates contiguously if it can.
const BLOCK_BYTES: u32 = 64 << 10;
/// Most bytes of larger frames that wait to be read, by the kernel's count.
const LARGE_FRAMES_BYTES: libc::c_int = 4 << 20;

// Of linux/if_packet.h.
const PACKET_COPY_THRESH: libc::c_int = 7;
const PACKET_VERSION: libc::c_int = 10;
const PACKET_VNET_HDR: libc::c_int = 15;
/// `ETHTOOL_GDRVINFO` of linux/ethtool.h, and the words of its structure; the driver's name is from the second on.
const DRIVER_INFO: u32 = 3;
const DRIVER_INFO_WORDS: usize = 49;
const DRIVER_NAME: std::ops::Range<usize> = 4..36;

/// An end of a veth pair.
pub(super) struct Veth {
    /// The nonblocking packet socket.
    pub socket: OwnedFd,
    pub info: NetInfo,
    pub ring: PacketRing,
    /// See [`claim`].
    pub claim: OwnedFd,
}

/// Opens an interface that was made for an image.
pub(super) fn open(network: &InterfaceNetwork) -> Result<Veth, MonitorError> {
    let name = &network.name;
    let failed = |step| {
        let name = name.clone();
        move |source| MonitorError::Veth { name, step, source }
    };
    let control = socket().map_err(failed("ask for"))?;
    let index = index(&control, name).map_err(failed("find"))?;
    let mac = network.mac.unwrap_or_else(|| own_mac(name));
    check(&control, name, mac)?;
    let claim = claim(index).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => unfit(name, "serves another image", "make another pair"),
        _ => failed("claim")(source),
    })?;
    // SAFETY: a new descriptor, owned from here on. Protocol 0: it receives nothing before it is bound.
    let packet = unsafe {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let fd = libc::socket(libc::AF_PACKET, kind, 0);
        result(fd).map_err(failed("open a packet socket on"))?;
        OwnedFd::from_raw_fd(fd)
    };
    prepare(&packet).map_err(failed("make a ring of frames for"))?;
    attach(&packet, index).map_err(failed("attach to"))?;
    let mut info = network.info(mac);
    info.kind = NET_PACKET;
    info.flags |= NET_OFFLOAD;
    info.mtu = read_mtu(&control, name).map_err(failed("ask for"))?;
    Ok(Veth {
        socket: packet,
        info,
        ring: PacketRing {
            address: RING_ADDRESS,
            slots: SLOTS,
            slot_bytes: SLOT_BYTES,
        },
        claim,
    })
}

/// Rejects interfaces that an image should not take over.
fn check(control: &OwnedFd, name: &str, mac: [u8; 6]) -> Result<(), MonitorError> {
    let failed = |source| MonitorError::Veth {
        name: name.into(),
        step: "ask for",
        source,
    };
    // On another interface, such as the host's own, the image would receive traffic for others.
    if !driver(control, name).is_ok_and(|driver| driver == b"veth") {
        let advice = format!(
            "use a TAP device (--net tap:NAME), or make a pair, as root: \
             ip link add NAME type veth peer name HOST (`ip -d link show {name}` tells what it is)"
        );
        return Err(unfit(name, "is not an end of a veth pair", &advice));
    }
    if read_flags(control, name).map_err(failed)? & libc::IFF_UP == 0 {
        let advice = format!("as root: ip link set {name} up");
        return Err(unfit(name, "is down", &advice));
    }
    let mut request = request(name);
    if configure(control, libc::SIOCGIFADDR, &mut request).is_ok() {
        let advice = format!(
            "the image takes its place: name the other end, or as root: ip address flush dev {name}"
        );
        return Err(unfit(name, "has an address of the host", &advice));
    }
    configure(control, libc::SIOCGIFHWADDR, &mut request).map_err(failed)?;
    // SAFETY: the ioctl just filled this member.
    let own = unsafe { request.ifr_ifru.ifru_hwaddr.sa_data };
    if own.iter().zip(mac).all(|(a, b)| *a as u8 == b) {
        let reason = "has the hardware address that mac= gives to the image";
        return Err(unfit(name, reason, "choose another: both would answer"));
    }
    Ok(())
}

fn unfit(name: &str, reason: &str, advice: &str) -> MonitorError {
    MonitorError::VethUnfit {
        name: name.into(),
        reason: reason.into(),
        advice: advice.into(),
    }
}

/// Claims the interface for one image, with a name that only one socket of a network
/// namespace can have, until it is closed.
/// Two packet sockets would both receive every frame.
fn claim(index: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: zero is valid for every member.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let name = format!("\0bespoke-veth-{index}");
    for (target, byte) in address.sun_path.iter_mut().zip(name.bytes()) {
        *target = byte as libc::c_char;
    }
    let bytes = std::mem::offset_of!(libc::sockaddr_un, sun_path) + name.len();
    // SAFETY: a new descriptor, owned from here on, and an address of so many bytes.
    unsafe {
        let fd = libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        result(fd)?;
        let claim = OwnedFd::from_raw_fd(fd);
        result(libc::bind(fd, (&raw const address).cast(), bytes as u32))?;
        Ok(claim)
    }
}

/// Sets everything but the interface.
fn prepare(packet: &OwnedFd) -> io::Result<()> {
    const TPACKET_V2: libc::c_int = libc::tpacket_versions::TPACKET_V2 as libc::c_int;
    set(packet, libc::SOL_PACKET, PACKET_VERSION, &TPACKET_V2)?;
    // A header marks frames without checksums and merged segments.
    set(packet, libc::SOL_PACKET, PACKET_VNET_HDR, &1)?;
    // A frame larger than a slot is queued, too.
    set(packet, libc::SOL_PACKET, PACKET_COPY_THRESH, &1)?;
    // Otherwise it would receive its own frames.
    set(packet, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1)?;
    set(packet, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, &1)?;
    let large = LARGE_FRAMES_BYTES;
    // The first needs CAP_NET_ADMIN; the second is capped at the system's limit.
    let _ = set(packet, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &large)
        .or_else(|_| set(packet, libc::SOL_SOCKET, libc::SO_RCVBUF, &large));
    let ring = libc::tpacket_req {
        tp_block_size: BLOCK_BYTES,
        tp_block_nr: SLOTS * SLOT_BYTES / BLOCK_BYTES,
        tp_frame_size: SLOT_BYTES,
        tp_frame_nr: SLOTS,
    };
    set(packet, libc::SOL_PACKET, libc::PACKET_RX_RING, &ring)
}

/// Receives the frames that arrive at the interface for the image, whose hardware
/// address differs from the interface's.
fn attach(packet: &OwnedFd, index: libc::c_int) -> io::Result<()> {
    // SAFETY: zero is valid for every member.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index;
    let bytes = size_of_val(&address) as u32;
    // SAFETY: an address of so many bytes.
    result(unsafe { libc::bind(packet.as_raw_fd(), (&raw const address).cast(), bytes) })?;
    let all = libc::packet_mreq {
        mr_ifindex: index,
        mr_type: libc::PACKET_MR_PROMISC as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set(packet, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &all)
}

fn set<T>(socket: &OwnedFd, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    let value: *const T = value;
    let bytes = size_of::<T>() as u32;
    // SAFETY: the kernel reads so many bytes.
    result(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value.cast(), bytes) })
}

fn index(control: &OwnedFd, name: &str) -> io::Result<libc::c_int> {
    let mut request = request(name);
    configure(control, libc::SIOCGIFINDEX, &mut request)?;
    // SAFETY: the ioctl just filled this member.
    Ok(unsafe { request.ifr_ifru.ifru_ifindex })
}

/// Returns the name of the interface's driver.
fn driver(control: &OwnedFd, name: &str) -> io::Result<Vec<u8>> {
    let mut words = [0u32; DRIVER_INFO_WORDS];
    words[0] = DRIVER_INFO;
    let mut request = request(name);
    request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
    configure(control, libc::SIOCETHTOOL, &mut request)?;
    let bytes = words.iter().flat_map(|word| word.to_ne_bytes());
    Ok(bytes
        .skip(DRIVER_NAME.start)
        .take(DRIVER_NAME.len())
        .take_while(|byte| *byte != 0)
        .collect())
}
