//! The device that smoltcp sees during one call: at most one frame to read, and a transmit
//! path. A frame is given only once.

use crate::device::Transmit;
use crate::packet::{self, Packet};
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
    /// The type of service, or traffic class, of TCP and UDP packets.
    pub service: u8,
    /// Result of the writes.
    pub written: Written,
}

/// Result of one call's writes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    /// Next sequence number and acknowledgement of the last TCP segment.
    pub numbers: Option<(u32, u32)>,
    /// A packet could not be sent because the hardware address of its next hop is not known yet.
    pub stuck: bool,
}

/// The frame.
pub(crate) struct Frame<'a>(&'a [u8]);

/// The transmit path.
pub(crate) struct Way<'a> {
    out: &'a mut dyn Transmit,
    header_bytes: usize,
    service: u8,
    segment: Option<NonZeroU16>,
    written: &'a mut Written,
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
        // Without room, a reply to a frame may be lost, as on any link: a
        // sender without a reply retries.
        let _ = now;
        Some((frame, self.way()))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Way<'_>> {
        if self.out.ready() {
            // Until the packet itself has been written: an unknown neighbour is asked for, or not
            // even that, in its place.
            self.written.stuck = true;
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
            service: self.service,
            segment: None,
            written: &mut self.written,
        }
    }
}

impl phy::RxToken for Frame<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

impl Written {
    fn note(&mut self, frame: &mut [u8], header_bytes: usize, service: u8) {
        let packet = packet::look(frame, header_bytes);
        if service != 0 && matches!(packet, Packet::Tcp(_) | Packet::Udp(_)) {
            packet::set_service(frame, header_bytes, service);
        }
        match packet {
            Packet::Tcp(segment) => {
                self.numbers = Some(segment.next_numbers());
                self.stuck = false;
            }
            Packet::Udp(_) => self.stuck = false,
            Packet::Interface | Packet::Unreachable { .. } | Packet::Unusable => {}
        }
    }
}

impl phy::TxToken for Way<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, bytes: usize, write: F) -> R {
        let mut write = Some(write);
        let mut result = None;
        let (header_bytes, service) = (self.header_bytes, self.service);
        let written = self.written;
        self.out.send(bytes, self.segment, &mut |frame| {
            if let Some(write) = write.take() {
                result = Some(write(frame));
                written.note(frame, header_bytes, service);
            }
        });
        result.expect("devices call `fill` exactly once")
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment = meta.segmentation_offload_size;
    }
}
