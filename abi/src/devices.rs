//! Devices and the network of an image, as its monitor announces them.
//!
//! A virtual machine gets virtio devices over MMIO (virtio 1.2, section 4.2, modern only).
//! A Linux process gets descriptors instead.
//! In both cases the image polls, and sleeps through [`crate::hypercall::WAIT`]. The body of
//! an image receives no interrupts.

/// Largest number of MMIO devices that a monitor announces.
pub const MAX_DEVICES: usize = 4;

/// A virtio device behind a page of MMIO registers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MmioDevice {
    /// Guest-virtual address of the registers; 0: no device.
    pub address: u64,
    /// Features that the device offers. They are listed here because reading them from
    /// the device would cost an exit.
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
/// `descriptor` is a nonblocking TAP device. Each read or write is one frame after a 12-byte
/// `virtio_net_hdr_v1` (virtio 1.2, section 5.1.6).
pub const NET_TAP: u32 = 2;
/// `descriptor` is a nonblocking stream socket to the monitor's relay. Each frame follows its
/// length as 4 bytes, big endian (QEMU's `-netdev stream`).
pub const NET_STREAM: u32 = 3;
/// `descriptor` is a nonblocking packet socket. Each write is one frame
/// after a 10-byte `virtio_net_hdr`.
/// Received frames lie in the [`PacketRing`], each after such a header. The next read returns a
/// frame that does not fit its slot.
pub const NET_PACKET: u32 = 4;

/// Get the IPv4 address, gateway and name server by DHCP; those given here are not valid.
pub const NET_DHCP: u32 = 1 << 0;
/// The peer of the TAP or packet socket accepts frames without
/// checksums and segments of up to 64 KiB.
pub const NET_OFFLOAD: u32 = 1 << 1;

/// Frames move between the rings of a [`NET_VIRTIO`] device and the host only while the image is in
/// [`crate::hypercall::WAIT`] or in a notification.
/// Polling the rings without either finds nothing new, and a notification
/// directly before a wait is redundant.
/// A wait returns with [`crate::hypercall::WAIT_NET`] by the rule for interrupts: the used ring has
/// passed `used_event` (virtio 1.2, section 2.7.7).
/// So the driver sets `used_event` to the last index it has seen before it waits.
pub const NET_AT_EXITS: u32 = 1 << 2;

/// The peer is not a network but a relay in the monitor that terminates TCP itself.
/// Frames are neither lost nor reordered on the way. So there is no congestion, and no old
/// segment can reach a new connection.
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
    /// Zero padding. An implicit gap would carry bytes of the monitor's memory.
    pub reserved: [u8; 6],
}

/// The ring of received frames of a [`NET_PACKET`]: a Linux `PACKET_RX_RING` with `TPACKET_V2`
/// slots, in memory shared with the kernel.
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
