//! Devices behind a descriptor of the host: a TAP, and a stream to the monitor's relay.
//! Reading and writing are passed in, because in an image they are calls of its platform.
//! A device whose descriptor fails counts as a link that is down: no frames, no errors.

use super::header::{self, HEADER_BYTES};
use super::{Device, Offload, Receive, Received, Transmit};
use crate::Result;
use crate::memory::{Bytes, Memory};
use crate::packet::ETHERNET_BYTES;
use core::num::NonZeroU16;

/// Nonblocking reads and writes of one descriptor.
pub trait Io {
    /// Reads; returns the number of bytes, or `None` when there are none now.
    fn read(&mut self, to: &mut [u8]) -> Option<usize>;
    /// Writes; returns the number of bytes, or `None` when there is no room now.
    fn write(&mut self, from: &[u8]) -> Option<usize>;
}

/// Description common to both devices.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// Hardware address of this side.
    pub hardware_address: [u8; 6],
    /// Bytes of the largest IP packet.
    pub mtu: usize,
    /// Offloads of the other side; a stream has none.
    pub offload: Offload,
}

/// Largest frame when segments are merged: 64 KiB of IP packet.
pub(super) const MERGED_BYTES: usize = ETHERNET_BYTES + 65_535;

/// Frames written to a descriptor, one a write, each after its header.
pub(super) struct FrameWriter<I> {
    io: I,
    buffer: Bytes,
    header_bytes: usize,
    checksum: bool,
}

impl<I: Io> FrameWriter<I> {
    /// Writes frames to `io` as `description` allows, each after the first
    /// `header_bytes` bytes of its header.
    ///
    /// # Errors
    ///
    /// `NoMemory` for the buffer.
    pub(super) fn new(
        io: I,
        header_bytes: usize,
        description: &Description,
        memory: Memory,
    ) -> Result<Self> {
        let offload = description.offload;
        let largest = (ETHERNET_BYTES + description.mtu).max(offload.segment_bytes);
        Ok(Self {
            io,
            buffer: Bytes::new(header_bytes + largest, memory)?,
            header_bytes,
            checksum: offload.checksum,
        })
    }
}

impl<I: Io> Transmit for FrameWriter<I> {
    fn ready(&mut self) -> bool {
        true
    }

    fn send(&mut self, bytes: usize, segment: Option<NonZeroU16>, fill: &mut dyn FnMut(&mut [u8])) {
        let buffer = &mut self.buffer[..self.header_bytes + bytes];
        let (head, frame) = buffer.split_at_mut(self.header_bytes);
        fill(frame);
        let whole: [u8; HEADER_BYTES] = header::outgoing(frame, self.checksum, segment);
        head.copy_from_slice(&whole[..self.header_bytes]);
        // A link whose queue is full loses the frame.
        let _ = self.io.write(buffer);
    }
}

/// A TAP device: a frame per read and write, each after its header.
pub struct Tap<I> {
    receive: TapReceive<I>,
    transmit: FrameWriter<I>,
    description: Description,
}

impl<I> core::fmt::Debug for Tap<I> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tap").finish_non_exhaustive()
    }
}

/// The receiving half of a [`Tap`].
struct TapReceive<I> {
    io: I,
    buffer: Bytes,
}

impl<I: Io + Clone> Tap<I> {
    /// Makes a TAP device behind `io`.
    ///
    /// # Errors
    ///
    /// `NoMemory` for its two frame buffers.
    pub fn new(io: I, description: Description, memory: Memory) -> Result<Self> {
        // A TAP that offloads checksums may also merge segments.
        let largest = if description.offload.checksum {
            MERGED_BYTES
        } else {
            ETHERNET_BYTES + description.mtu
        };
        Ok(Self {
            receive: TapReceive {
                io: io.clone(),
                buffer: Bytes::new(HEADER_BYTES + largest, memory)?,
            },
            transmit: FrameWriter::new(io, HEADER_BYTES, &description, memory)?,
            description,
        })
    }
}

impl<I: Io> Receive for TapReceive<I> {
    fn receive(&mut self) -> Option<Received<'_>> {
        let bytes = self.io.read(&mut self.buffer)?.min(self.buffer.len());
        let (header, frame) = self.buffer[..bytes].split_at_checked(HEADER_BYTES)?;
        Some(Received {
            frame,
            checked: header::is_checked(header),
        })
    }
}

impl<I: Io> Device for Tap<I> {
    fn split(&mut self) -> (&mut dyn Receive, &mut dyn Transmit) {
        (&mut self.receive, &mut self.transmit)
    }
    fn offload(&self) -> Offload {
        self.description.offload
    }
    fn mtu(&self) -> usize {
        self.description.mtu
    }
    fn hardware_address(&self) -> [u8; 6] {
        self.description.hardware_address
    }
}

#[cfg(test)]
mod tests;
