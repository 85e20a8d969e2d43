//! What carries frames out of the image and into it.
//! Devices own their buffers; must never block and never trust what the other side wrote.

pub mod descriptor;
pub mod header;
pub mod stream;

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
    /// Called before the image sleeps: whether a frame has come meanwhile. A device with
    /// notifications switches them on here.
    fn pending(&mut self) -> bool {
        false
    }
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
    /// Its receiving half.
    type Receive: Receive;
    /// Its transmitting half.
    type Transmit: Transmit;

    /// Both halves at once: a reply is written while the frame it answers is still being read.
    fn split(&mut self) -> (&mut Self::Receive, &mut Self::Transmit);
    /// What it can leave to the other side.
    fn offload(&self) -> Offload;
    /// Bytes of the largest IP packet.
    fn mtu(&self) -> usize;
    /// Hardware address of this side.
    fn hardware_address(&self) -> [u8; 6];
}
