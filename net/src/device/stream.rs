//! Frames over a stream socket, each after its length in 4 bytes, big endian: the format of the
//! monitor's relay and of QEMU's `-netdev stream`.
//! One read or write transfers many frames.
//! An invalid length ends the stream, because nothing after it can be read.

use super::descriptor::{Description, Io};
use super::{Device, Offload, Receive, Received, Transmit};
use crate::Result;
use crate::memory::{Bytes, Memory};
use crate::packet::ETHERNET_BYTES;
use core::num::NonZeroU16;

const LENGTH_BYTES: usize = 4;
/// Number of frames of the largest size for which each buffer has room.
const FRAMES: usize = 2;
/// Least bytes of a buffer.
const LEAST_BYTES: usize = 16 << 10;

/// A stream of frames.
pub struct Stream<I> {
    receive: StreamReceive<I>,
    transmit: StreamTransmit<I>,
    description: Description,
}

impl<I> core::fmt::Debug for Stream<I> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

/// The receiving half of a [`Stream`].
struct StreamReceive<I> {
    io: I,
    buffer: Bytes,
    /// Unread input lies between these.
    start: usize,
    end: usize,
    broken: bool,
}

/// The transmitting half of a [`Stream`].
struct StreamTransmit<I> {
    io: I,
    buffer: Bytes,
    /// Queued output lies between these.
    start: usize,
    end: usize,
    frame_bytes: usize,
    /// Destination of a frame that finds no room.
    lost: Bytes,
}

impl<I: Io + Clone> Stream<I> {
    /// Makes a stream behind `io`.
    ///
    /// # Errors
    ///
    /// `NoMemory` for its two buffers.
    pub fn new(io: I, description: Description, memory: Memory) -> Result<Self> {
        let frame_bytes = ETHERNET_BYTES + description.mtu;
        let bytes = (FRAMES * (LENGTH_BYTES + frame_bytes)).max(LEAST_BYTES);
        Ok(Self {
            receive: StreamReceive {
                io: io.clone(),
                buffer: Bytes::new(bytes, memory)?,
                start: 0,
                end: 0,
                broken: false,
            },
            transmit: StreamTransmit {
                io,
                buffer: Bytes::new(bytes, memory)?,
                start: 0,
                end: 0,
                frame_bytes,
                lost: Bytes::new(frame_bytes, memory)?,
            },
            description,
        })
    }
}

impl<I: Io> StreamReceive<I> {
    /// Whether a frame has arrived completely.
    fn is_complete(&mut self) -> bool {
        self.complete().is_some()
    }

    /// Returns the bytes of the next complete frame, after its length.
    fn complete(&mut self) -> Option<usize> {
        let waiting = &self.buffer[self.start..self.end];
        let length: [u8; LENGTH_BYTES] = waiting.get(..LENGTH_BYTES)?.try_into().ok()?;
        let bytes = u32::from_be_bytes(length) as usize;
        if bytes > self.buffer.len() - LENGTH_BYTES {
            self.broken = true;
            return None;
        }
        (waiting.len() >= LENGTH_BYTES + bytes).then_some(bytes)
    }
}

impl<I: Io> Receive for StreamReceive<I> {
    fn receive(&mut self) -> Option<Received<'_>> {
        let mut complete = self.complete();
        if complete.is_none() && !self.broken {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            let read = self.io.read(&mut self.buffer[self.end..])?;
            self.end = (self.end + read).min(self.buffer.len());
            complete = self.complete();
        }
        let bytes = complete?;
        let frame = self.start + LENGTH_BYTES;
        self.start = frame + bytes;
        Some(Received {
            frame: &self.buffer[frame..frame + bytes],
            checked: false,
        })
    }
}

impl<I: Io> StreamTransmit<I> {
    fn write(&mut self) {
        while self.start < self.end {
            let waiting = &self.buffer[self.start..self.end];
            match self.io.write(waiting) {
                Some(written) if written > 0 => self.start += written.min(waiting.len()),
                _ => return,
            }
        }
        self.start = 0;
        self.end = 0;
    }

    fn fits(&self, bytes: usize) -> bool {
        self.buffer.len() - self.end >= LENGTH_BYTES + bytes
    }
}

impl<I: Io> Transmit for StreamTransmit<I> {
    fn ready(&mut self) -> bool {
        if !self.fits(self.frame_bytes) {
            self.write();
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.fits(self.frame_bytes)
    }

    fn send(
        &mut self,
        bytes: usize,
        _segment: Option<NonZeroU16>,
        fill: &mut dyn FnMut(&mut [u8]),
    ) {
        if !self.ready() {
            // Only replies come without a `ready` before them; this one is lost.
            fill(&mut self.lost[..bytes]);
            return;
        }
        let frame = self.end + LENGTH_BYTES;
        self.buffer[self.end..frame].copy_from_slice(&(bytes as u32).to_be_bytes());
        fill(&mut self.buffer[frame..frame + bytes]);
        self.end = frame + bytes;
    }

    fn flush(&mut self) {
        self.write();
    }
}

impl<I: Io> Device for Stream<I> {
    fn prepare_to_sleep(&mut self) -> bool {
        self.receive.is_complete()
    }
    fn split(&mut self) -> (&mut dyn Receive, &mut dyn Transmit) {
        (&mut self.receive, &mut self.transmit)
    }
    fn offload(&self) -> Offload {
        Offload::default()
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
