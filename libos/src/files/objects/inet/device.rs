//! The network device of this image: what the monitor says it is. Owns its buffers.

use super::memory::{MEMORY, NetMemory};
use crate::platform::{self, boot_info};
use allocator_api2::alloc::Layout;
use allocator_api2::boxed::Box;
use bespoke_abi::PAGE_BYTES;
use bespoke_abi::devices::{
    MmioDevice, NET_AT_EXITS, NET_OFFLOAD, NET_PACKET, NET_STREAM, NET_TAP, NET_VIRTIO, NetInfo,
};
use bespoke_net::device::descriptor::{Description, Io, Tap};
use bespoke_net::device::ring::{Packet, RingMemory};
use bespoke_net::device::stream::Stream;
use bespoke_net::device::virtio::{VirtioDescription, VirtioNet};
use bespoke_net::device::{Device, Offload, Receive, Transmit};
use bespoke_net::{Error, Result};
use bespoke_virtio::DeviceMemory;
use core::ptr::NonNull;

/// Largest frame given to a TAP or packet socket that cuts it into packets.
const SEGMENT_BYTES: usize = 65_000;
/// Virtio identifier of a network device.
const VIRTIO_NETWORK: u32 = 1;
/// An image with less memory than this gets small queues.
const SMALL_BYTES: u64 = 32 << 20;
/// Entries of virtio queues, and bytes on the way out, of small images and of others.
const SMALL: (u32, usize) = (64, 64 << 10);
const LARGE: (u32, usize) = (256, 256 << 10);

/// A descriptor of the process monitor.
#[derive(Clone, Copy)]
pub(super) struct Descriptor(u32);

impl Io for Descriptor {
    fn read(&mut self, to: &mut [u8]) -> Option<usize> {
        usize::try_from(platform::read_from(self.0, to)).ok()
    }

    fn write(&mut self, from: &[u8]) -> Option<usize> {
        usize::try_from(platform::write_to(self.0, from)).ok()
    }
}

/// The device.
pub(super) enum AnyDevice {
    Tap(Tap<Descriptor>),
    Stream(Stream<Descriptor>),
    Packet(Packet<Descriptor>),
    Virtio(Box<VirtioNet, NetMemory>),
}

impl AnyDevice {
    /// The device of `info`, if it has one.
    pub fn open(info: &NetInfo) -> Result<Option<Self>> {
        let io = Descriptor(info.descriptor);
        let segments = matches!(info.kind, NET_TAP | NET_PACKET) && info.flags & NET_OFFLOAD != 0;
        let description = Description {
            hardware_address: info.mac,
            mtu: info.mtu.into(),
            offload: Offload {
                checksum: segments,
                segment_bytes: if segments { SEGMENT_BYTES } else { 0 },
            },
        };
        Ok(Some(match info.kind {
            NET_TAP => Self::Tap(Tap::new(io, description, MEMORY)?),
            NET_STREAM => Self::Stream(Stream::new(io, description, MEMORY)?),
            NET_PACKET => {
                let ring = &boot_info().ring;
                let start = NonNull::new(ring.address as *mut u8).ok_or(Error::Invalid)?;
                // SAFETY: the monitor mapped the ring there for ever, and nobody else drives it.
                let ring = unsafe { RingMemory::new(start, ring.slots, ring.slot_bytes) };
                Self::Packet(Packet::new(io, ring, description, MEMORY)?)
            }
            NET_VIRTIO => {
                let mut devices = boot_info().devices.iter();
                let device = devices.find(|device| device.kind == VIRTIO_NETWORK);
                let driver = virtio(info, device.ok_or(Error::Invalid)?)?;
                let driver = Box::try_new_in(driver, NetMemory);
                Self::Virtio(driver.map_err(|_| Error::NoMemory)?)
            }
            _ => return Ok(None),
        }))
    }

    fn device(&self) -> &dyn Device {
        match self {
            Self::Tap(device) => device,
            Self::Stream(device) => device,
            Self::Packet(device) => device,
            Self::Virtio(device) => &**device,
        }
    }

    #[inline(always)]
    fn device_mut(&mut self) -> &mut dyn Device {
        match self {
            Self::Tap(device) => device,
            Self::Stream(device) => device,
            Self::Packet(device) => device,
            Self::Virtio(device) => &mut **device,
        }
    }
}

fn virtio(info: &NetInfo, device: &MmioDevice) -> Result<VirtioNet> {
    let small = boot_info().total_bytes < SMALL_BYTES;
    let (entries, transmit_bytes) = if small { SMALL } else { LARGE };
    let description = VirtioDescription {
        features: device.features,
        hardware_address: info.mac,
        mtu: info.mtu.into(),
        entries: entries.min(device.queue_entries) as u16,
        transmit_bytes,
        moves_at_exits: info.flags & NET_AT_EXITS != 0,
    };
    let bytes = description.needed_bytes();
    let layout = Layout::from_size_align(bytes, PAGE_BYTES).map_err(|_| Error::NoMemory)?;
    let block = MEMORY.allocate(layout).map_err(|_| Error::NoMemory)?;
    // SAFETY: just granted and never given back; bytes of guest memory have values, whatever
    // they are, because the monitor's zeros or an earlier owner's data lie there.
    let memory = unsafe { DeviceMemory::new(block.cast(), bytes, boot_info().physical_offset) };
    // SAFETY: this is the device's only driver.
    let registers = unsafe { platform::registers(device) };
    VirtioNet::new(
        registers.ok_or(Error::Invalid)?,
        description,
        memory,
        MEMORY,
    )
}

impl Device for AnyDevice {
    fn exchange(&mut self, now_nanoseconds: u64) {
        self.device_mut().exchange(now_nanoseconds);
    }
    fn shows_all(&self) -> bool {
        self.device().shows_all()
    }
    fn prepare_to_sleep(&mut self) -> bool {
        self.device_mut().prepare_to_sleep()
    }
    fn split(&mut self) -> (&mut dyn Receive, &mut dyn Transmit) {
        self.device_mut().split()
    }
    fn offload(&self) -> Offload {
        self.device().offload()
    }
    fn mtu(&self) -> usize {
        self.device().mtu()
    }
    fn hardware_address(&self) -> [u8; 6] {
        self.device().hardware_address()
    }
}
