//! The virtio network device (virtio 1.2, section 5.1), driven over two split queues.
//!
//! The device is untrusted: `bespoke_virtio` checks all that it writes. A device that violates a
//! rule counts as a link that is down.
//!
//! Outgoing frames lie in a ring of bytes, each contiguous with its header, so that smoltcp writes
//! them where the device reads them.
//! Received frames lie in buffers of 2 KiB. A frame that spans
//! several buffers is merged by copying.

use super::header::{self, HEADER_BYTES};
use super::{Device, Offload, Receive, Received, Transmit};
use crate::memory::{Bytes, Memory};
use crate::packet::ETHERNET_BYTES;
use crate::{Error, Result};
use bespoke_virtio::{
    Broken, DeviceMemory, Direction, MOST_ENTRIES, Notifier, Part, Queue, Registers, feature,
};
use core::num::NonZeroU16;

const RECEIVE: u32 = 0;
const TRANSMIT: u32 = 1;

const CHECKSUM: u64 = 1 << 0;
const GUEST_CHECKSUM: u64 = 1 << 1;
const MAC: u64 = 1 << 5;
const GUEST_TSO4: u64 = 1 << 7;
const GUEST_TSO6: u64 = 1 << 8;
const HOST_TSO4: u64 = 1 << 11;
const MERGED_BUFFERS: u64 = 1 << 15;

const BUFFER_BYTES: usize = 2048;
/// Largest merged frame: 64 KiB of IP packet.
const MERGED_BYTES: usize = ETHERNET_BYTES + 65_535;
/// Header field with the number of buffers that a frame spans.
const BUFFERS_FIELD: core::ops::Range<usize> = 10..12;
/// For devices whose frames move only on request: the longest time without one.
const EXCHANGE_NANOSECONDS: u64 = 100_000;

/// Description of the device for its driver.
#[derive(Clone, Copy, Debug)]
pub struct VirtioDescription {
    /// Features the device offers.
    pub features: u64,
    /// Hardware address of this side.
    pub hardware_address: [u8; 6],
    /// Bytes of the largest IP packet.
    pub mtu: usize,
    /// Entries of both queues, a power of two.
    pub entries: u16,
    /// Bytes of frames that may be in flight.
    pub transmit_bytes: usize,
    /// Frames move only in notifications and while the image sleeps.
    pub moves_at_exits: bool,
}

impl VirtioDescription {
    fn accepted(&self) -> u64 {
        let mut wanted = feature::EVENT_INDEX | MAC | MERGED_BUFFERS;
        let offload = CHECKSUM | GUEST_CHECKSUM;
        // Both directions or none, because one setting of the stack holds for both.
        if self.features & offload == offload {
            wanted |= offload | HOST_TSO4;
            if self.features & MERGED_BUFFERS != 0 {
                wanted |= GUEST_TSO4 | GUEST_TSO6;
            }
        }
        self.features & wanted
    }

    fn offload(&self) -> Offload {
        let accepted = self.accepted();
        let segment_bytes = if accepted & HOST_TSO4 != 0 {
            (self.transmit_bytes / 4).min(MERGED_BYTES)
        } else {
            0
        };
        Offload {
            checksum: accepted & CHECKSUM != 0,
            segment_bytes,
        }
    }

    fn largest_frame(&self) -> usize {
        (ETHERNET_BYTES + self.mtu).max(self.offload().segment_bytes)
    }

    fn transmit_area(&self) -> usize {
        self.transmit_bytes
            .max(2 * (HEADER_BYTES + self.largest_frame()))
    }

    /// Returns the bytes of device memory that the driver takes.
    pub fn needed_bytes(&self) -> usize {
        2 * Queue::needed_bytes(self.entries)
            + usize::from(self.entries) * BUFFER_BYTES
            + self.transmit_area()
            + 64
    }
}

/// The device.
pub struct VirtioNet {
    /// Set until the first poll starts the device; frames to be sent wait in their queue.
    /// The start takes a millisecond on some machines, and a server that only
    /// listens so far needs no frame.
    idle: Option<Registers>,
    receive: VirtioReceive,
    transmit: VirtioTransmit,
    description: VirtioDescription,
    /// When frames last moved.
    exchanged: u64,
    slept: bool,
}

impl core::fmt::Debug for VirtioNet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("VirtioNet").finish_non_exhaustive()
    }
}

/// Its receiving half.
struct VirtioReceive {
    queue: Queue,
    notifier: Notifier,
    buffers: Part,
    /// The buffer of the frame that was lent last.
    lent: Option<u16>,
    /// Buffer for merged frames.
    merged: Option<Bytes>,
    merges: bool,
    memory: Memory,
}

/// A frame in flight.
#[derive(Clone, Copy, Default)]
struct Sent {
    start: usize,
    end: usize,
    done: bool,
}

/// Its transmitting half.
struct VirtioTransmit {
    queue: Queue,
    notifier: Notifier,
    area: Part,
    /// Frames in flight, in the order they were sent; buffer k is place k.
    sent: [Sent; MOST_ENTRIES as usize],
    first: u16,
    count: u16,
    largest: usize,
    checksum: bool,
    /// Notifications are redundant: frames move when the image sleeps.
    moves_at_exits: bool,
    /// The device may be notified.
    is_started: bool,
    /// Destination of a frame that finds no room.
    lost: Bytes,
}

impl VirtioNet {
    /// Makes the queues. The device itself is started at its first use.
    /// `device_memory` has [`VirtioDescription::needed_bytes`].
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn new(
        mut registers: Registers,
        description: VirtioDescription,
        mut device_memory: DeviceMemory,
        memory: Memory,
    ) -> Result<Self> {
        let accepted = description.accepted();
        let entries = description.entries;
        let device_memory = &mut device_memory;
        let queue = |device_memory: &mut DeviceMemory| {
            Queue::new(entries, accepted, device_memory).ok_or(Error::NoMemory)
        };
        let mut receive = VirtioReceive {
            queue: queue(device_memory)?,
            notifier: registers.notifier(RECEIVE),
            buffers: device_memory
                .take(usize::from(entries) * BUFFER_BYTES, 16)
                .ok_or(Error::NoMemory)?,
            lent: None,
            merged: None,
            merges: accepted & MERGED_BUFFERS != 0,
            memory,
        };
        let largest = HEADER_BYTES + description.largest_frame();
        let transmit = VirtioTransmit {
            queue: queue(device_memory)?,
            notifier: registers.notifier(TRANSMIT),
            area: device_memory
                .take(description.transmit_area(), 16)
                .ok_or(Error::NoMemory)?,
            sent: [Sent::default(); MOST_ENTRIES as usize],
            first: 0,
            count: 0,
            largest,
            checksum: accepted & CHECKSUM != 0,
            moves_at_exits: description.moves_at_exits,
            is_started: false,
            lost: Bytes::new(ETHERNET_BYTES + description.mtu, memory)?,
        };
        for buffer in 0..entries {
            receive.offer(buffer);
        }
        receive.queue.publish();
        Ok(Self {
            idle: Some(registers),
            receive,
            transmit,
            description,
            exchanged: 0,
            slept: false,
        })
    }

    /// Starts the device if it has not started. A device that refuses
    /// counts as a link that is down.
    #[inline]
    fn start(&mut self) {
        if let Some(mut registers) = self.idle.take() {
            let queues = [&self.receive.queue, &self.transmit.queue];
            let answer = registers.start(self.description.accepted(), &queues);
            if answer.is_err() {
                self.receive.queue.cut();
                self.transmit.queue.cut();
                return;
            }
            self.transmit.is_started = true;
            if self.transmit.count > 0 {
                self.transmit.notifier.notify();
            }
        }
    }
}

impl VirtioReceive {
    fn offer(&mut self, buffer: u16) {
        let physical = self.buffers.physical(usize::from(buffer) * BUFFER_BYTES);
        self.queue
            .offer(buffer, physical, BUFFER_BYTES as u32, Direction::FromDevice);
    }

    fn publish(&mut self) {
        if self.queue.publish() {
            self.notifier.notify();
        }
    }

    /// Merges the frame that begins in `buffer` and continues in others; returns its length.
    fn merge(
        &mut self,
        buffer: u16,
        bytes: usize,
        count: u16,
    ) -> core::result::Result<Option<usize>, Broken> {
        if self.merged.is_none() {
            // Without memory the frame is lost, and its buffers are returned.
            self.merged = Bytes::new(HEADER_BYTES + MERGED_BYTES, self.memory).ok();
        }
        let mut next = Some((buffer, bytes));
        let mut used = 0;
        let mut fits = self.merged.is_some();
        for taken in 1..=count {
            let (buffer, bytes) = match next.take() {
                Some(first) => first,
                None => {
                    // All buffers of a frame arrive at once (section 5.1.6.4).
                    let more = self.queue.take_used()?.ok_or(Broken)?;
                    (more.buffer, more.bytes as usize)
                }
            };
            let start = usize::from(buffer) * BUFFER_BYTES;
            // SAFETY: the device has given the buffer back.
            let part = unsafe { self.buffers.slice(start, bytes) };
            let target = self.merged.as_deref_mut();
            let place = target.and_then(|merged| merged.get_mut(used..used + bytes));
            match (part, place) {
                (Some(part), Some(place)) => place.copy_from_slice(part),
                _ => fits = false,
            }
            used += bytes;
            self.offer(buffer);
            debug_assert!(taken <= count);
        }
        Ok(fits.then_some(used))
    }

    /// Finds the next frame with its header.
    fn next(&mut self) -> core::result::Result<Option<Place>, Broken> {
        loop {
            let Some(used) = self.queue.take_used()? else {
                return Ok(None);
            };
            let (buffer, bytes) = (used.buffer, used.bytes as usize);
            let start = usize::from(buffer) * BUFFER_BYTES;
            // SAFETY: the device has given the buffer back.
            let part = unsafe { self.buffers.slice(start, bytes) }.ok_or(Broken)?;
            let Some(head) = part.get(BUFFERS_FIELD) else {
                self.offer(buffer);
                continue;
            };
            let count = if self.merges {
                u16::from_le_bytes([head[0], head[1]]).max(1)
            } else {
                1
            };
            if count == 1 {
                self.lent = Some(buffer);
                return Ok(Some(Place::Buffer(start, bytes)));
            }
            if let Some(bytes) = self.merge(buffer, bytes, count)? {
                return Ok(Some(Place::Merged(bytes)));
            }
        }
    }
}

/// Position of a received frame.
enum Place {
    Buffer(usize, usize),
    Merged(usize),
}

impl Receive for VirtioReceive {
    fn receive(&mut self) -> Option<Received<'_>> {
        if let Some(buffer) = self.lent.take() {
            self.offer(buffer);
        }
        let place = self.next();
        // At the end of a batch, once for all of it.
        if !matches!(place, Ok(Some(_))) {
            self.publish();
        }
        let bytes = match place {
            Ok(Some(Place::Buffer(start, bytes))) => {
                // SAFETY: the device has given the buffer back, and gets it again at the next call.
                unsafe { self.buffers.slice(start, bytes) }?
            }
            Ok(Some(Place::Merged(bytes))) => self.merged.as_mut()?.get_mut(..bytes)?,
            Ok(None) => return None,
            Err(Broken) => {
                // Also for a frame that ended too early, which the queue cannot detect.
                self.queue.cut();
                return None;
            }
        };
        let (head, frame) = bytes.split_at_checked(HEADER_BYTES)?;
        Some(Received {
            frame,
            checked: header::is_checked(head),
        })
    }
}

impl VirtioTransmit {
    /// Frees frames that the device has sent, in the order they were sent.
    fn reclaim(&mut self) {
        while let Ok(Some(used)) = self.queue.take_used() {
            self.sent[usize::from(used.buffer)].done = true;
        }
        while self.count > 0 && self.sent[usize::from(self.first)].done {
            self.first = (self.first + 1) % self.queue.entries();
            self.count -= 1;
        }
    }

    /// Returns the position for the next frame of `bytes` bytes and its header.
    fn room(&self, bytes: usize) -> Option<usize> {
        if self.count == 0 {
            return (bytes <= self.area.bytes()).then_some(0);
        }
        if self.count == self.queue.entries() || self.queue.is_broken() {
            return None;
        }
        let last = (self.first + self.count - 1) % self.queue.entries();
        let (tail, head) = (
            self.sent[usize::from(self.first)].start,
            self.sent[usize::from(last)].end,
        );
        if head <= tail {
            return (tail - head > bytes).then_some(head);
        }
        if self.area.bytes() - head >= bytes {
            return Some(head);
        }
        (tail > bytes).then_some(0)
    }
}

impl Transmit for VirtioTransmit {
    fn ready(&mut self) -> bool {
        if self.room(self.largest).is_none() {
            self.reclaim();
            if self.is_started && self.room(self.largest).is_none() {
                // The whole ring is in flight: it must be published now.
                self.queue.publish();
                self.notifier.notify();
                self.reclaim();
            }
        }
        self.room(self.largest).is_some()
    }

    fn send(&mut self, bytes: usize, segment: Option<NonZeroU16>, fill: &mut dyn FnMut(&mut [u8])) {
        self.reclaim();
        let whole = HEADER_BYTES + bytes;
        let place = self.room(whole).filter(|_| !self.queue.is_broken());
        // SAFETY: no frame that is on its way lies there.
        let buffer = place.and_then(|start| unsafe { self.area.slice(start, whole) });
        let (Some(start), Some(buffer)) = (place, buffer) else {
            // Only replies come without a `ready` before them; this one is lost.
            return fill(&mut self.lost[..bytes]);
        };
        let (head, frame) = buffer.split_at_mut(HEADER_BYTES);
        fill(frame);
        head.copy_from_slice(&header::outgoing(frame, self.checksum, segment));
        let buffer = (self.first + self.count) % self.queue.entries();
        self.sent[usize::from(buffer)] = Sent {
            start,
            end: start + whole,
            done: false,
        };
        self.count += 1;
        let physical = self.area.physical(start);
        self.queue
            .offer(buffer, physical, whole as u32, Direction::ToDevice);
        if self.queue.publish() && !self.moves_at_exits && self.is_started {
            self.notifier.notify();
        }
    }
}

impl Device for VirtioNet {
    fn exchange(&mut self, now_nanoseconds: u64) {
        self.start();
        if !self.description.moves_at_exits {
            return;
        }
        let slept = core::mem::replace(&mut self.slept, false);
        if !slept && now_nanoseconds.saturating_sub(self.exchanged) < EXCHANGE_NANOSECONDS {
            return;
        }
        self.exchanged = now_nanoseconds;
        if !slept {
            self.transmit.notifier.notify();
        }
    }

    fn shows_all(&self) -> bool {
        !self.description.moves_at_exits
    }

    fn prepare_to_sleep(&mut self) -> bool {
        self.start();
        if let Some(buffer) = self.receive.lent.take() {
            self.receive.offer(buffer);
        }
        self.receive.publish();
        let news = self.receive.queue.wake_me();
        // Frames move while the image sleeps.
        self.slept = !news;
        news
    }

    fn split(&mut self) -> (&mut dyn Receive, &mut dyn Transmit) {
        (&mut self.receive, &mut self.transmit)
    }
    fn offload(&self) -> Offload {
        self.description.offload()
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
