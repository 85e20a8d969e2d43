//! What smoltcp takes for its device during one call: at most one frame to read, and a way to
//! write. Owns nothing; must never give the same frame twice.

use crate::device::Transmit;
use crate::packet;
use core::num::NonZeroU16;
use smoltcp::phy::{self, DeviceCapabilities, PacketMeta};
use smoltcp::time::Instant;

/// One call's device.
pub(crate) struct Port<'a> {
    pub frame: Option<&'a [u8]>,
    pub out: &'a mut dyn Transmit,
    pub capabilities: &'a DeviceCapabilities,
    /// Bytes before the IP header.
    pub header_bytes: usize,
    /// Next sequence number and acknowledgement of the last TCP segment written.
    pub numbers: Option<(u32, u32)>,
}

/// The frame.
pub(crate) struct Frame<'a>(&'a [u8]);

/// The way out.
pub(crate) struct Way<'a> {
    out: &'a mut dyn Transmit,
    header_bytes: usize,
    segment: Option<NonZeroU16>,
    numbers: &'a mut Option<(u32, u32)>,
}

impl phy::Device for Port<'_> {
    type RxToken<'b>
        = Frame<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Way<'b>
    where
        Self: 'b;

    fn receive(&mut self, now: Instant) -> Option<(Frame<'_>, Way<'_>)> {
        let frame = Frame(self.frame.take()?);
        // A reply to a frame may be lost when there is no room, as on any wire: a sender
        // that gets no answer asks again.
        let _ = now;
        Some((frame, self.way()))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Way<'_>> {
        if self.out.ready() {
            Some(self.way())
        } else {
            None
        }
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.capabilities.clone()
    }
}

impl Port<'_> {
    fn way(&mut self) -> Way<'_> {
        Way {
            out: self.out,
            header_bytes: self.header_bytes,
            segment: None,
            numbers: &mut self.numbers,
        }
    }
}

impl phy::RxToken for Frame<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

impl phy::TxToken for Way<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, bytes: usize, write: F) -> R {
        let mut write = Some(write);
        let mut result = None;
        let header_bytes = self.header_bytes;
        let numbers = self.numbers;
        self.out.send(bytes, self.segment, &mut |frame| {
            if let Some(write) = write.take() {
                result = Some(write(frame));
                *numbers = packet::sent_numbers(frame, header_bytes).or(*numbers);
            }
        });
        result.expect("devices call `fill` exactly once")
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment = meta.segmentation_offload_size;
    }
}
