//! The console (virtio 1.2, section 5.3): port 0, input and output.
//! It has one buffer for each direction and never blocks: the caller keeps what does not fit.

use crate::memory::Part;
use crate::{Broken, DeviceMemory, Direction, Queue, Refused, Registers};

const RECEIVE: u32 = 0;
const TRANSMIT: u32 = 1;
const ENTRIES: u16 = 2;
const BUFFER_BYTES: usize = 4096;

/// The console's driver.
#[derive(Debug)]
pub struct Console {
    registers: Registers,
    pub(crate) receive: Queue,
    pub(crate) transmit: Queue,
    pub(crate) input: Part,
    pub(crate) output: Part,
    /// Bytes of `input` that were received and not yet read: from, to.
    unread: (usize, usize),
    writing: bool,
}

impl Console {
    /// Bytes of memory the driver takes.
    pub const NEEDED_BYTES: usize = 2 * (Queue::needed_bytes(ENTRIES) + BUFFER_BYTES);

    /// Sets the device up.
    ///
    /// # Errors
    ///
    /// [`Refused`] if the device refuses, or (with status 0) if `memory` has less
    /// than [`Console::NEEDED_BYTES`].
    pub fn new(
        mut registers: Registers,
        offered: u64,
        memory: &mut DeviceMemory,
    ) -> Result<Self, Refused> {
        let features = offered & crate::feature::EVENT_INDEX;
        let none = Refused { status: 0 };
        let mut receive = Queue::new(ENTRIES, features, memory).ok_or(none)?;
        let transmit = Queue::new(ENTRIES, features, memory).ok_or(none)?;
        let input = memory.take(BUFFER_BYTES, 16).ok_or(none)?;
        let output = memory.take(BUFFER_BYTES, 16).ok_or(none)?;
        receive.offer(
            0,
            input.physical(0),
            BUFFER_BYTES as u32,
            Direction::FromDevice,
        );
        receive.publish();
        registers.start(features, &[&receive, &transmit])?;
        registers.notify(RECEIVE);
        Ok(Self {
            registers,
            receive,
            transmit,
            input,
            output,
            unread: (0, 0),
            writing: false,
        })
    }

    /// Writes as many of `bytes` as fit into one buffer; returns 0 while
    /// the previous ones are in flight.
    ///
    /// # Errors
    ///
    /// [`Broken`]
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let count = bytes.len().min(BUFFER_BYTES);
        if !self.is_flushed()? || count == 0 {
            return Ok(0);
        }
        // SAFETY: the buffer is not in flight: `writing` is false.
        let room = unsafe { self.output.slice(0, count) }.ok_or(Broken)?;
        room.copy_from_slice(&bytes[..count]);
        let physical = self.output.physical(0);
        self.transmit
            .offer(0, physical, count as u32, Direction::ToDevice);
        self.writing = true;
        if self.transmit.publish() {
            self.registers.notify(TRANSMIT);
        }
        Ok(count)
    }

    /// Whether the device has taken all written bytes.
    ///
    /// # Errors
    ///
    /// [`Broken`]
    pub fn is_flushed(&mut self) -> Result<bool, Broken> {
        if self.writing {
            self.writing = self.transmit.take_used()?.is_none();
        }
        Ok(!self.writing)
    }

    /// Whether [`Console::read`] has bytes to return. The device's next interrupt
    /// then comes with the next bytes.
    pub fn wake_me(&mut self) -> bool {
        self.unread.0 < self.unread.1 || self.receive.wake_me()
    }

    /// Reads received bytes; returns 0 when there are none.
    ///
    /// # Errors
    ///
    /// [`Broken`]
    pub fn read(&mut self, to: &mut [u8]) -> Result<usize, Broken> {
        let (mut from, mut end) = self.unread;
        if from == end {
            let Some(used) = self.receive.take_used()? else {
                return Ok(0);
            };
            (from, end) = (0, used.bytes as usize);
        }
        let count = to.len().min(end - from);
        // SAFETY: the buffer is not in flight until all of it is read.
        let bytes = unsafe { self.input.slice(from, count) }.ok_or(Broken)?;
        to[..count].copy_from_slice(bytes);
        self.unread = (from + count, end);
        if from + count == end {
            let physical = self.input.physical(0);
            self.receive
                .offer(0, physical, BUFFER_BYTES as u32, Direction::FromDevice);
            if self.receive.publish() {
                self.registers.notify(RECEIVE);
            }
        }
        Ok(count)
    }
}
