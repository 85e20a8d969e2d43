//! What carries frames out of the image and into it.
//! Devices own their buffers; must never block and never trust what the other side wrote.

pub mod descriptor;
pub mod header;
pub mod ring;
pub mod stream;
pub mod virtio;

use core::num::NonZeroU16;

/// What a device can leave to the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// TCP and UDP checksums are completed on transmission and are not checked on reception
    /// when the device says they hold.
    pub checksum: bool,
    /// Largest frame of a TCP segment over IPv4 that the device cuts into packets; 0: none.
    pub segment_bytes: usize,
}

/// A received frame, the device's until the next one is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The frame from its Ethernet header on.
    pub frame: &'a [u8],
    /// The other side vouches for the TCP or UDP checksum.
    pub checked: bool,
}

/// The receiving half of a device.
pub trait Receive {
    /// The next frame, or `None` when there is none now.
    fn receive(&mut self) -> Option<Received<'_>>;
}

/// The transmitting half of a device.
pub trait Transmit {
    /// Whether one more frame of the largest size finds room.
    fn ready(&mut self) -> bool;
    /// Lets `fill` write a frame of `bytes` bytes and sends it. `segment`: bytes of TCP payload
    /// per packet, when the device is to cut the frame. Called after `ready` said yes; a device
    /// that cannot send after all drops the frame, as a wire would.
    fn send(&mut self, bytes: usize, segment: Option<NonZeroU16>, fill: &mut dyn FnMut(&mut [u8]));
    /// Hands everything sent so far to the other side.
    fn flush(&mut self) {}
}

/// A network device with Ethernet frames.
pub trait Device {
    /// Called at the start of every poll, at `now_nanoseconds`: a device whose frames move only
    /// when it is asked asks here, if it is time.
    fn exchange(&mut self, _now_nanoseconds: u64) {}
    /// Whether nothing more has come when `receive` finds none: not where frames move only at times, as
    /// many as there are buffers for.
    fn shows_all(&self) -> bool {
        true
    }
    /// Called right before the image sleeps until the device has news: switches its notifications
    /// on. Whether there is news already, so that the image must not sleep.
    fn prepare_to_sleep(&mut self) -> bool {
        false
    }
    /// Both halves at once: a reply is written while the frame it answers is still being read.
    fn split(&mut self) -> (&mut dyn Receive, &mut dyn Transmit);
    /// What it can leave to the other side.
    fn offload(&self) -> Offload;
    /// Bytes of the largest IP packet.
    fn mtu(&self) -> usize;
    /// Hardware address of this side.
    fn hardware_address(&self) -> [u8; 6];
}
