//! The loopback wire: packets this machine sends to itself, in a ring of bytes.
//! Owns the ring, taken from memory at the first packet; must never lose a packet that was
//! accepted (TCP would wait a second for it), so `ready` says no while the ring is full.

use crate::device::Transmit;
use crate::memory::{Memory, Vec};
use core::num::NonZeroU16;

/// Bytes of the largest loopback packet.
pub(crate) const LOCAL_MTU: usize = 16 * 1024;
const RING_BYTES: usize = 4 * LOCAL_MTU;
const LENGTH_BYTES: usize = 4;
/// What a reply to a packet may take, kept free by `ready`.
const REPLY_BYTES: usize = 256;

/// The ring.
pub(crate) struct Local {
    ring: Vec<u8>,
    head: usize,
    used: usize,
    /// The packet being read; lent out by `take`.
    frame: Vec<u8>,
    /// The packet being written.
    scratch: Vec<u8>,
}

impl Local {
    /// An empty ring; allocates nothing.
    pub fn new(memory: Memory) -> Self {
        Self {
            ring: Vec::new_in(memory),
            head: 0,
            used: 0,
            frame: Vec::new_in(memory),
            scratch: Vec::new_in(memory),
        }
    }

    /// Whether packets wait.
    pub fn pending(&self) -> bool {
        self.used > 0
    }

    fn start(&mut self) -> bool {
        if self.ring.is_empty() {
            let room = self.ring.try_reserve_exact(RING_BYTES).is_ok()
                && self.frame.try_reserve_exact(LOCAL_MTU).is_ok()
                && self.scratch.try_reserve_exact(LOCAL_MTU).is_ok();
            if !room {
                return false;
            }
            self.scratch.resize(LOCAL_MTU, 0);
            self.ring.resize(RING_BYTES, 0);
        }
        true
    }

    /// Takes the oldest packet.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        if self.used == 0 {
            return None;
        }
        let mut length = [0; LENGTH_BYTES];
        self.read(&mut length);
        let mut frame = core::mem::replace(&mut self.frame, Vec::new_in(*self.ring.allocator()));
        frame.resize(u32::from_ne_bytes(length) as usize, 0);
        self.read(&mut frame);
        Some(frame)
    }

    /// Gives the buffer of a packet back.
    pub fn recycle(&mut self, frame: Vec<u8>) {
        self.frame = frame;
    }

    fn read(&mut self, to: &mut [u8]) {
        let first = to.len().min(RING_BYTES - self.head);
        let (start, rest) = to.split_at_mut(first);
        start.copy_from_slice(&self.ring[self.head..self.head + first]);
        rest.copy_from_slice(&self.ring[..rest.len()]);
        self.head = (self.head + to.len()) % RING_BYTES;
        self.used -= to.len();
    }

    fn write(&mut self, from: &[u8]) {
        let tail = (self.head + self.used) % RING_BYTES;
        let first = from.len().min(RING_BYTES - tail);
        self.ring[tail..tail + first].copy_from_slice(&from[..first]);
        self.ring[..from.len() - first].copy_from_slice(&from[first..]);
        self.used += from.len();
    }
}

impl Transmit for Local {
    fn ready(&mut self) -> bool {
        self.start() && RING_BYTES - self.used >= LENGTH_BYTES + LOCAL_MTU + REPLY_BYTES
    }

    fn send(
        &mut self,
        bytes: usize,
        _segment: Option<NonZeroU16>,
        fill: &mut dyn FnMut(&mut [u8]),
    ) {
        // Only replies come without a `ready` before them, and then a packet was taken before:
        // the scratch buffer is there.
        let fits = RING_BYTES - self.used >= LENGTH_BYTES + bytes;
        let mut scratch =
            core::mem::replace(&mut self.scratch, Vec::new_in(*self.ring.allocator()));
        let frame = &mut scratch[..bytes];
        fill(frame);
        if fits {
            self.write(&(bytes as u32).to_ne_bytes());
            self.write(frame);
        }
        self.scratch = scratch;
    }
}
