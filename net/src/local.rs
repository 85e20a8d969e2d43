//! The loopback link: packets that this machine sends to itself, in a ring of bytes that
//! is allocated at the first packet.
//! It never loses an accepted packet (TCP would wait a second for it), so `ready`
//! returns false while the ring is full.

use crate::Result;
use crate::device::Transmit;
use crate::memory::{Bytes, Memory};
use core::num::NonZeroU16;

/// Bytes of the largest loopback packet.
pub(crate) const LOCAL_MTU: usize = 16 * 1024;
const RING_BYTES: usize = 4 * LOCAL_MTU;
const LENGTH_BYTES: usize = 4;
/// Largest reply to a packet, which `ready` keeps free.
const REPLY_BYTES: usize = 256;

/// The ring.
pub(crate) struct Local {
    memory: Memory,
    buffers: Option<Buffers>,
    head: usize,
    used: usize,
}

struct Buffers {
    ring: Bytes,
    /// The packet being read, which `take` lends out.
    frame: Option<Bytes>,
    /// The packet being written.
    scratch: Bytes,
}

/// A packet that was taken.
pub(crate) struct Packet {
    buffer: Bytes,
    bytes: usize,
}

impl Packet {
    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.bytes]
    }
}

impl Local {
    /// An empty ring; allocates nothing.
    pub(crate) fn new(memory: Memory) -> Self {
        Self {
            memory,
            buffers: None,
            head: 0,
            used: 0,
        }
    }

    /// Whether packets are waiting.
    pub(crate) fn pending(&self) -> bool {
        self.used > 0
    }

    fn start(&mut self) -> Result<()> {
        if self.buffers.is_none() {
            self.buffers = Some(Buffers {
                ring: Bytes::new(RING_BYTES, self.memory)?,
                frame: Some(Bytes::new(LOCAL_MTU, self.memory)?),
                scratch: Bytes::new(LOCAL_MTU, self.memory)?,
            });
        }
        Ok(())
    }

    /// Takes the oldest packet; return its buffer with [`Local::recycle`].
    pub(crate) fn take(&mut self) -> Option<Packet> {
        if self.used == 0 {
            return None;
        }
        let buffers = self.buffers.as_mut()?;
        let mut buffer = buffers.frame.take()?;
        let mut length = [0; LENGTH_BYTES];
        read(&buffers.ring, self.head, &mut length);
        let bytes = u32::from_ne_bytes(length) as usize;
        let start = (self.head + LENGTH_BYTES) % RING_BYTES;
        read(&buffers.ring, start, &mut buffer[..bytes]);
        self.head = (start + bytes) % RING_BYTES;
        self.used -= LENGTH_BYTES + bytes;
        Some(Packet { buffer, bytes })
    }

    /// Takes the buffer of a packet back.
    pub(crate) fn recycle(&mut self, packet: Packet) {
        if let Some(buffers) = &mut self.buffers {
            buffers.frame = Some(packet.buffer);
        }
    }
}

fn read(ring: &[u8], at: usize, to: &mut [u8]) {
    let first = to.len().min(RING_BYTES - at);
    let (start, rest) = to.split_at_mut(first);
    start.copy_from_slice(&ring[at..at + first]);
    rest.copy_from_slice(&ring[..rest.len()]);
}

fn write(ring: &mut [u8], at: usize, from: &[u8]) {
    let first = from.len().min(RING_BYTES - at);
    let (start, rest) = from.split_at(first);
    ring[at..at + first].copy_from_slice(start);
    ring[..rest.len()].copy_from_slice(rest);
}

impl Transmit for Local {
    fn ready(&mut self) -> bool {
        let free = RING_BYTES - self.used;
        self.start().is_ok() && free >= LENGTH_BYTES + LOCAL_MTU + REPLY_BYTES
    }

    fn send(
        &mut self,
        bytes: usize,
        _segment: Option<NonZeroU16>,
        fill: &mut dyn FnMut(&mut [u8]),
    ) {
        // Only replies come without a `ready` before them, and then a packet was taken before:
        // the buffers are there.
        let Some(buffers) = &mut self.buffers else {
            return;
        };
        let frame = &mut buffers.scratch[..bytes];
        fill(frame);
        if RING_BYTES - self.used >= LENGTH_BYTES + bytes {
            let tail = (self.head + self.used) % RING_BYTES;
            write(&mut buffers.ring, tail, &(bytes as u32).to_ne_bytes());
            let start = (tail + LENGTH_BYTES) % RING_BYTES;
            write(&mut buffers.ring, start, frame);
            self.used += LENGTH_BYTES + bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::alloc::Global;

    fn send(local: &mut Local, bytes: usize) {
        local.send(bytes, None, &mut |frame| frame.fill(bytes as u8));
    }

    #[test]
    fn there_is_room_for_a_packet_and_a_reply_or_it_is_not_ready() {
        // 64 KiB, less a packet of 16 KiB and a reply of 256 bytes with a length of 4 bytes.
        for (used, is_ready) in [(48_892, true), (48_893, false)] {
            let mut local = Local::new(&Global);
            assert!(local.ready());
            for bytes in [LOCAL_MTU, LOCAL_MTU, used - 2 * (LOCAL_MTU + 4) - 4] {
                send(&mut local, bytes);
            }
            assert_eq!(local.used, used);
            assert_eq!(local.ready(), is_ready);
            // A reply finds room up to the last byte.
            send(&mut local, LOCAL_MTU - 8);
            let left = RING_BYTES - local.used - LENGTH_BYTES;
            assert!(left < 300);
            send(&mut local, left + 1);
            assert_eq!(local.used, RING_BYTES - LENGTH_BYTES - left);
            send(&mut local, left);
            assert_eq!(local.used, RING_BYTES);
            let mut packets = 0;
            while let Some(packet) = local.take() {
                let expected = packet.bytes().len() as u8;
                assert!(packet.bytes().iter().all(|byte| *byte == expected));
                local.recycle(packet);
                packets += 1;
            }
            assert!(packets == 5 && !local.pending() && local.ready());
        }
    }

    #[test]
    fn before_it_is_ready_for_the_first_time_it_keeps_nothing() {
        let mut local = Local::new(&Global);
        send(&mut local, 10);
        assert!(!local.pending() && local.take().is_none());
        assert_eq!((LOCAL_MTU, RING_BYTES), (16_384, 65_536));
    }
}
