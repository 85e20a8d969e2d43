//! The entropy source (virtio 1.2, section 5.4): random bytes on request.
//! It has one buffer and never returns the same bytes twice.

use crate::memory::Part;
use crate::{Broken, DeviceMemory, Direction, Queue, Refused, Registers};

const REQUESTS: u32 = 0;
const ENTRIES: u16 = 2;
const BUFFER_BYTES: usize = 64;

/// The entropy source's driver.
#[derive(Debug)]
pub struct Entropy {
    registers: Registers,
    pub(crate) queue: Queue,
    pub(crate) buffer: Part,
    asked: bool,
}

impl Entropy {
    /// Bytes of memory the driver takes.
    pub const NEEDED_BYTES: usize = Queue::needed_bytes(ENTRIES) + BUFFER_BYTES + 16;

    /// Sets the device up.
    ///
    /// # Errors
    ///
    /// [`Refused`] if the device refuses, or (with status 0) if `memory` has less
    /// than [`Entropy::NEEDED_BYTES`].
    pub fn new(
        mut registers: Registers,
        offered: u64,
        memory: &mut DeviceMemory,
    ) -> Result<Self, Refused> {
        let features = offered & crate::feature::EVENT_INDEX;
        let none = Refused { status: 0 };
        let queue = Queue::new(ENTRIES, features, memory).ok_or(none)?;
        let buffer = memory.take(BUFFER_BYTES, 16).ok_or(none)?;
        registers.start(features, &[&queue])?;
        Ok(Self {
            registers,
            queue,
            buffer,
            asked: false,
        })
    }

    /// Requests bytes, or takes the bytes of an earlier request.
    /// Returns how many were written to `to`: 0 while they are in flight.
    ///
    /// # Errors
    ///
    /// [`Broken`]
    pub fn read(&mut self, to: &mut [u8]) -> Result<usize, Broken> {
        if !self.asked {
            let physical = self.buffer.physical(0);
            self.queue
                .offer(0, physical, BUFFER_BYTES as u32, Direction::FromDevice);
            self.asked = true;
            if self.queue.publish() {
                self.registers.notify(REQUESTS);
            }
        }
        let Some(used) = self.queue.take_used()? else {
            return Ok(0);
        };
        self.asked = false;
        let count = to.len().min(used.bytes as usize);
        // SAFETY: the buffer is not in flight.
        let bytes = unsafe { self.buffer.slice(0, used.bytes as usize) }.ok_or(Broken)?;
        to[..count].copy_from_slice(&bytes[..count]);
        bytes.fill(0);
        Ok(count)
    }
}
