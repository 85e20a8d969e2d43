//! Devices that carry frames into and out of the image.
//! Devices own their buffers. They never block and never trust data from the other side.

pub mod descriptor;
pub mod header;
pub mod ring;
pub mod stream;
pub mod virtio;

use core::num::NonZeroU16;

/// Work that a device can offload to the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// The device completes TCP and UDP checksums on transmission. On reception they are not
    /// checked if the device reports them valid.
    pub checksum: bool,
    /// Largest TCP-over-IPv4 frame that the device splits into packets; 0: none.
    pub segment_bytes: usize,
}

/// A received frame, which belongs to the device until the next call.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The frame from its Ethernet header on.
    pub frame: &'a [u8],
    /// The other side has verified the TCP or UDP checksum.
    pub checked: bool,
}

/// The receiving half of a device.
pub trait Receive {
    /// Takes the next frame, or `None` when there is none now.
    fn receive(&mut self) -> Option<Received<'_>>;
}

/// The transmitting half of a device.
pub trait Transmit {
    /// Whether one more frame of the largest size fits.
    fn ready(&mut self) -> bool;
    /// Lets `fill` write a frame of `bytes` bytes and sends it. Called after `ready` returned true.
    /// `segment`: bytes of TCP payload per packet, if the device must split the frame.
    /// A device that still cannot send drops the frame, as a link would.
    fn send(&mut self, bytes: usize, segment: Option<NonZeroU16>, fill: &mut dyn FnMut(&mut [u8]));
    /// Passes all sent frames to the other side.
    fn flush(&mut self) {}
}

/// A network device with Ethernet frames.
pub trait Device {
    /// Called at the start of every poll, at `now_nanoseconds`. A device whose frames move only on
    /// request makes the request here, when it is time.
    fn exchange(&mut self, _now_nanoseconds: u64) {}
    /// Whether no more frames have arrived when `receive` finds none.
    /// False for devices whose frames move only at times, and only as many as there are buffers.
    fn shows_all(&self) -> bool {
        true
    }
    /// Enables the device's notifications, directly before the image
    /// sleeps until the device has news.
    /// Returns whether there is news already, so that the image must not sleep.
    fn prepare_to_sleep(&mut self) -> bool {
        false
    }
    /// Borrows both halves: a reply is written while the frame that caused it is still being read.
    fn split(&mut self) -> (&mut dyn Receive, &mut dyn Transmit);
    /// Returns the supported offloads.
    fn offload(&self) -> Offload;
    /// Returns the bytes of the largest IP packet.
    fn mtu(&self) -> usize;
    /// Returns the hardware address of this side.
    fn hardware_address(&self) -> [u8; 6];
}
