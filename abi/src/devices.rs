//! Devices and the network of an image, as its monitor announces them.
//!
//! A virtual machine gets virtio devices over MMIO (virtio 1.2, section 4.2, modern only). A
//! Linux process gets descriptors instead. Either way the image polls, and sleeps through
//! [`crate::hypercall::WAIT`]; there are no interrupts in the body of an image.

/// Most MMIO devices a monitor announces.
pub const MAX_DEVICES: usize = 4;

/// A virtio device behind a page of MMIO registers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MmioDevice {
    /// Guest-virtual address of the registers; 0: no device.
    pub address: u64,
    /// Features the device offers, so that they need not be read: an exit is dear.
    pub features: u64,
    /// Virtio device identifier (1 network, 3 console, 4 entropy).
    pub kind: u32,
    /// Entries of its largest queue, a power of two.
    pub queue_entries: u32,
}

/// No network.
pub const NET_NONE: u32 = 0;
/// A virtio network device: the entry of the device list with kind 1.
pub const NET_VIRTIO: u32 = 1;
/// `descriptor` is a TAP device: one frame a read or write, each after a 12-byte
/// `virtio_net_hdr_v1` (virtio 1.2, section 5.1.6). It does not block.
pub const NET_TAP: u32 = 2;
/// `descriptor` is a stream socket to the monitor's relay: each frame after its length as 4 bytes, big
/// endian (QEMU's `-netdev stream`). It does not block.
pub const NET_STREAM: u32 = 3;
/// `descriptor` is a packet socket: one frame a write, after a 10-byte `virtio_net_hdr`. Received frames lie in the
/// [`PacketRing`], each after such a header; one that does not fit its slot is the answer to the next read. It does
/// not block.
pub const NET_PACKET: u32 = 4;

/// Ask for the IPv4 address, gateway and name server by DHCP; those given here are not valid.
pub const NET_DHCP: u32 = 1 << 0;
/// The other side of the TAP or packet socket accepts frames without checksums and segments of up to 64 KiB.
pub const NET_OFFLOAD: u32 = 1 << 1;

/// Frames move between the rings of a [`NET_VIRTIO`] device and the host only while the image is in
/// [`crate::hypercall::WAIT`] or in a notification: looking at the rings without either finds nothing new,
/// and a notification right before a wait is a waste. A wait returns with
/// [`crate::hypercall::WAIT_NET`] by the rule of interrupts: the used ring has passed `used_event` (virtio
/// 1.2, section 2.7.7), so the driver sets that to what it has seen before it waits.
pub const NET_AT_EXITS: u32 = 1 << 2;

/// The other side is no network but a relay in the monitor that ends TCP itself: nothing is lost or reordered on the way,
/// so there is no congestion, and no old segment that a new connection could meet.
pub const NET_RELAYED: u32 = 1 << 3;

/// The network of the image.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetInfo {
    /// One of [`NET_NONE`], [`NET_VIRTIO`], [`NET_TAP`], [`NET_STREAM`], [`NET_PACKET`].
    pub kind: u32,
    /// See [`NET_TAP`], [`NET_STREAM`] and [`NET_PACKET`].
    pub descriptor: u32,
    /// Bits [`NET_DHCP`], [`NET_OFFLOAD`], [`NET_AT_EXITS`], [`NET_RELAYED`].
    pub flags: u32,
    /// Bytes of the largest IP packet.
    pub mtu: u16,
    /// Hardware address.
    pub mac: [u8; 6],
    /// IPv4 address; all zero: none.
    pub address4: [u8; 4],
    /// IPv4 router; all zero: none.
    pub gateway4: [u8; 4],
    /// IPv4 name server; all zero: none.
    pub name_server4: [u8; 4],
    /// IPv6 address besides the link-local one; all zero: none.
    pub address6: [u8; 16],
    /// IPv6 router; all zero: none.
    pub gateway6: [u8; 16],
    /// Length of the IPv4 network's prefix in bits.
    pub prefix4: u8,
    /// Length of the IPv6 network's prefix in bits.
    pub prefix6: u8,
    /// Zero, up to the alignment of what follows: a gap there would carry bytes of the monitor's memory.
    pub reserved: [u8; 6],
}

/// Where the received frames of a [`NET_PACKET`] lie: a `PACKET_RX_RING` of Linux with `TPACKET_V2` slots, in memory shared
/// with the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketRing {
    /// Address of the first slot, aligned to a page; 0: no ring.
    pub address: u64,
    /// Number of slots.
    pub slots: u32,
    /// Bytes of a slot, a multiple of 16.
    pub slot_bytes: u32,
}
