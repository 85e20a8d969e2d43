//! A split virtqueue, the driver's side (virtio 1.2, section 2.7).
//!
//! ```text
//! descriptors  16 bytes an entry   address, length, flags, next
//! available    flags, index, entries * 2, used_event      written by the driver
//! used         flags, index, entries * 8, avail_event     written by the device
//! ```
//! Every buffer is one descriptor. So a buffer's number is its descriptor's number,
//! and descriptors are not chained.
//! The driver does not trust the used ring: the number of a buffer that is not in flight, or more
//! bytes than the buffer has, makes the device [`Broken`].

use crate::memory::{DeviceMemory, Part};
use crate::{Broken, feature};
use core::sync::atomic::{Ordering::SeqCst, fence};

const DESCRIPTOR_BYTES: usize = 16;
const DEVICE_WRITES: u16 = 2;
/// Bytes before the entries of either ring: flags, index.
const HEAD_BYTES: usize = 4;
const INDEX: usize = 2;
/// Largest number of entries of a queue in this crate.
pub const MOST_ENTRIES: u16 = 256;
const WORDS: usize = MOST_ENTRIES as usize / 64;

/// The side that writes to a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The driver writes, before it offers the buffer.
    ToDevice,
    /// The device writes.
    FromDevice,
}

/// A buffer that the device returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Its number.
    pub buffer: u16,
    /// Bytes the device wrote, at most as many as the buffer has.
    pub bytes: u32,
}

/// The driver's side of a queue.
#[derive(Debug)]
pub struct Queue {
    descriptors: Part,
    available: Part,
    used: Part,
    entries: u16,
    event_index: bool,
    /// Buffers offered since the start.
    offered: u16,
    /// Number of these that the device has been told of.
    published: u16,
    /// Used entries taken since the start.
    taken: u16,
    in_flight: [u64; WORDS],
    /// Bytes of each buffer. Kept here because the device could change the descriptor.
    lengths: [u32; MOST_ENTRIES as usize],
    broken: bool,
}

/// Whether an index that goes from `old` to `new` passes `event` (section 2.7.7.2).
const fn passes(old: u16, new: u16, event: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

impl Queue {
    /// Most bytes of memory that a queue of `entries` takes.
    pub const fn needed_bytes(entries: u16) -> usize {
        entries as usize * (DESCRIPTOR_BYTES + 2 + 8) + 2 * (HEAD_BYTES + 2) + 32
    }

    /// Makes a queue of `entries`, a power of two up to [`MOST_ENTRIES`].
    /// `features` are those the driver accepts.
    /// Returns `None` if `memory` is too small.
    pub fn new(entries: u16, features: u64, memory: &mut DeviceMemory) -> Option<Self> {
        if !entries.is_power_of_two() || entries > MOST_ENTRIES {
            return None;
        }
        let count = usize::from(entries);
        let mut queue = Self {
            descriptors: memory.take(count * DESCRIPTOR_BYTES, 16)?,
            available: memory.take(HEAD_BYTES + count * 2 + 2, 4)?,
            used: memory.take(HEAD_BYTES + count * 8 + 2, 4)?,
            entries,
            event_index: features & feature::EVENT_INDEX != 0,
            offered: 0,
            published: 0,
            taken: 0,
            in_flight: [0; WORDS],
            lengths: [0; MOST_ENTRIES as usize],
            broken: false,
        };
        for at in 0..queue.available.bytes() / 2 {
            queue.available.store(at * 2, 0);
        }
        for at in 0..queue.used.bytes() / 2 {
            queue.used.store(at * 2, 0);
        }
        Some(queue)
    }

    /// Number of entries.
    pub fn entries(&self) -> u16 {
        self.entries
    }

    /// Returns the physical addresses of the descriptors, the available ring and the used ring.
    pub fn addresses(&self) -> [u64; 3] {
        [&self.descriptors, &self.available, &self.used].map(|part| part.physical(0))
    }

    /// Stops using the queue, as if the device had violated a rule.
    pub fn cut(&mut self) {
        self.broken = true;
    }

    /// Whether the device has violated a rule.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    fn bit(&mut self, buffer: u16) -> (&mut u64, u64) {
        let word = &mut self.in_flight[usize::from(buffer / 64)];
        (word, 1 << (buffer % 64))
    }

    /// Offers buffer `buffer`, which is not in flight. [`Queue::publish`] tells the device.
    ///
    /// # Panics
    ///
    /// When the buffer is in flight or its number is too large. Both are errors of the driver.
    pub fn offer(&mut self, buffer: u16, physical: u64, bytes: u32, direction: Direction) {
        assert!(buffer < self.entries);
        let (word, bit) = self.bit(buffer);
        assert!(*word & bit == 0, "buffer {buffer} is in flight");
        *word |= bit;
        self.lengths[usize::from(buffer)] = bytes;
        let at = usize::from(buffer) * DESCRIPTOR_BYTES;
        self.descriptors.store32(at, physical as u32);
        self.descriptors.store32(at + 4, (physical >> 32) as u32);
        self.descriptors.store32(at + 8, bytes);
        let flags = match direction {
            Direction::ToDevice => 0,
            Direction::FromDevice => DEVICE_WRITES,
        };
        self.descriptors.store32(at + 12, flags.into());
        let slot = usize::from(self.offered % self.entries);
        self.available.store(HEAD_BYTES + slot * 2, buffer);
        self.offered = self.offered.wrapping_add(1);
    }

    /// Tells the device of the offered buffers; returns whether it wants a notification.
    pub fn publish(&mut self) -> bool {
        if self.published == self.offered {
            return false;
        }
        fence(SeqCst);
        self.available.store(INDEX, self.offered);
        fence(SeqCst);
        let old = core::mem::replace(&mut self.published, self.offered);
        if self.event_index {
            let event = self.used.load(HEAD_BYTES + usize::from(self.entries) * 8);
            passes(old, self.offered, event)
        } else {
            self.used.load(0) & 1 == 0
        }
    }

    /// Whether the device has returned a buffer that was not taken yet.
    pub fn has_used(&self) -> bool {
        !self.broken && self.used.load(INDEX) != self.taken
    }

    /// Takes the next buffer that the device returned.
    ///
    /// # Errors
    ///
    /// [`Broken`] when the used ring is invalid, and on every later call.
    pub fn take_used(&mut self) -> Result<Option<Used>, Broken> {
        if self.broken {
            return Err(Broken);
        }
        let waiting = self.used.load(INDEX).wrapping_sub(self.taken);
        if waiting == 0 {
            return Ok(None);
        }
        fence(SeqCst);
        let slot = usize::from(self.taken % self.entries);
        let at = HEAD_BYTES + slot * 8;
        let (buffer, bytes) = (self.used.load32(at), self.used.load32(at + 4));
        let fits = waiting <= self.entries && buffer < u32::from(self.entries);
        let buffer = if fits { buffer as u16 } else { 0 };
        let (word, bit) = self.bit(buffer);
        let in_flight = *word & bit != 0;
        if fits && in_flight {
            *word &= !bit;
        }
        let limit = self.lengths[usize::from(buffer)];
        if !fits || !in_flight || bytes > limit {
            self.broken = true;
            return Err(Broken);
        }
        self.taken = self.taken.wrapping_add(1);
        Ok(Some(Used { buffer, bytes }))
    }

    /// Requests an interrupt for the next returned buffer; returns whether
    /// one has already been returned.
    pub fn wake_me(&mut self) -> bool {
        self.available
            .store(HEAD_BYTES + usize::from(self.entries) * 2, self.taken);
        fence(SeqCst);
        self.has_used()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use core::ptr::NonNull;
    use proptest::prelude::*;
    use std::boxed::Box;
    use std::vec;
    use std::vec::Vec;

    fn memory(bytes: usize) -> DeviceMemory {
        let block = Box::leak(vec![0_u64; bytes / 8].into_boxed_slice());
        // SAFETY: leaked, so it is exclusively ours forever.
        unsafe { DeviceMemory::new(NonNull::from(block).cast(), bytes, 0) }
    }

    /// A device that follows the rules, which works on the same memory.
    pub(crate) struct Device {
        pub seen: u16,
        pub done: u16,
    }

    impl Device {
        /// Takes what was published: buffers and their lengths.
        pub(crate) fn serve(&mut self, queue: &mut Queue) -> Vec<(u16, u32)> {
            let mut served = Vec::new();
            while self.seen != queue.available.load(INDEX) {
                let slot = usize::from(self.seen % queue.entries);
                let buffer = queue.available.load(HEAD_BYTES + slot * 2);
                let at = usize::from(buffer) * DESCRIPTOR_BYTES;
                served.push((buffer, queue.descriptors.load32(at + 8)));
                self.seen = self.seen.wrapping_add(1);
            }
            served
        }

        /// Returns a buffer with `bytes` bytes written.
        pub(crate) fn give_back(&mut self, queue: &mut Queue, buffer: u16, bytes: u32) {
            let at = HEAD_BYTES + usize::from(self.done % queue.entries) * 8;
            queue.used.store32(at, buffer.into());
            queue.used.store32(at + 4, bytes);
            self.done = self.done.wrapping_add(1);
            queue.used.store(INDEX, self.done);
        }
    }

    #[test]
    fn buffers_go_and_come_back_over_many_laps() {
        let mut queue = Queue::new(8, feature::EVENT_INDEX, &mut memory(4096)).unwrap();
        let mut device = Device { seen: 0, done: 0 };
        for lap in 0..40_000_u32 {
            let buffer = (lap % 8) as u16;
            queue.offer(buffer, 0x1000, 64, Direction::FromDevice);
            queue.publish();
            assert_eq!(device.serve(&mut queue), [(buffer, 64)]);
            device.give_back(&mut queue, buffer, lap % 65);
            let used = Used {
                buffer,
                bytes: lap % 65,
            };
            assert!(queue.has_used());
            assert_eq!(queue.take_used(), Ok(Some(used)));
            assert_eq!(queue.take_used(), Ok(None));
        }
    }

    /// Every event, for every step of a queue's length or less, around each place where the index may wrap.
    #[test]
    fn an_event_is_passed_when_the_index_walks_over_it() {
        for old in [0, 1, 0x7fff, 0xff00, 0xff80, 0xffff_u16] {
            let mut walked = vec![false; 1 << 16];
            for step in 0..=MOST_ENTRIES {
                let new = old.wrapping_add(step);
                for (event, &walked) in walked.iter().enumerate() {
                    assert_eq!(
                        passes(old, new, event as u16),
                        walked,
                        "{old} {new} {event}"
                    );
                }
                // Asked for at `new`, it is passed by the next step.
                walked[usize::from(new)] = true;
            }
        }
    }

    /// Full queues of every size, twice around all 65,536 values of the index.
    #[test]
    fn indices_of_every_size_of_queue_wrap() {
        for entries in (0..=8).map(|power| 1_u16 << power) {
            for features in [0, feature::EVENT_INDEX] {
                let mut memory = memory(8192);
                let mut queue = Queue::new(entries, features, &mut memory).unwrap();
                let mut device = Device { seen: 0, done: 0 };
                for lap in 0..(1 << 17) / u32::from(entries) {
                    for buffer in 0..entries {
                        queue.offer(buffer, 0, 64, Direction::FromDevice);
                    }
                    queue.publish();
                    let served = device.serve(&mut queue);
                    assert!(served.iter().map(|it| it.0).eq(0..entries), "lap {lap}");
                    // Back in the other order.
                    for buffer in (0..entries).rev() {
                        device.give_back(&mut queue, buffer, u32::from(buffer % 64));
                    }
                    for buffer in (0..entries).rev() {
                        let bytes = u32::from(buffer % 64);
                        assert_eq!(
                            queue.take_used(),
                            Ok(Some(Used { buffer, bytes })),
                            "lap {lap}"
                        );
                    }
                    assert_eq!(queue.take_used(), Ok(None));
                }
            }
        }
    }

    /// Every index that a device can say, at the start of the ring and where the index wraps.
    #[test]
    fn no_index_gives_more_than_is_in_flight() {
        for before in [0, 0xfffd_u16] {
            for said in 0..=u16::MAX {
                let mut queue = Queue::new(4, 0, &mut memory(256)).unwrap();
                (queue.offered, queue.published, queue.taken) = (before, before, before);
                for buffer in 0..4_u16 {
                    queue.offer(buffer, 0, 64, Direction::FromDevice);
                    let at = HEAD_BYTES + usize::from(before.wrapping_add(buffer) % 4) * 8;
                    queue.used.store32(at, buffer.into());
                }
                queue.publish();
                queue.used.store(INDEX, said);
                let waiting = said.wrapping_sub(before);
                for buffer in 0..waiting.min(4) {
                    let expected = if waiting > 4 {
                        Err(Broken)
                    } else {
                        Ok(Some(Used { buffer, bytes: 0 }))
                    };
                    assert_eq!(queue.take_used(), expected, "{said} after {before}");
                }
                let is_broken = waiting > 4;
                assert_eq!(
                    queue.take_used(),
                    if is_broken { Err(Broken) } else { Ok(None) }
                );
            }
        }
    }

    #[test]
    fn the_device_is_notified_only_when_it_asked() {
        let mut queue = Queue::new(8, feature::EVENT_INDEX, &mut memory(4096)).unwrap();
        let event = HEAD_BYTES + 8 * 8;
        queue.offer(0, 0, 1, Direction::ToDevice);
        assert!(queue.publish(), "the event is the first buffer");
        assert!(!queue.publish(), "nothing new");
        queue.offer(1, 0, 1, Direction::ToDevice);
        assert!(!queue.publish(), "the event has passed");
        queue.used.store(event, 3);
        queue.offer(2, 0, 1, Direction::ToDevice);
        assert!(!queue.publish(), "the event is not yet reached");
        queue.offer(3, 0, 1, Direction::ToDevice);
        assert!(queue.publish());
    }

    #[test]
    fn a_buffer_that_is_not_in_flight_breaks_the_device() {
        for (buffer, bytes) in [(1, 0), (0, 65), (8, 0), (0xffff, 0)] {
            let mut queue = Queue::new(8, 0, &mut memory(4096)).unwrap();
            queue.offer(0, 0x1000, 64, Direction::FromDevice);
            queue.publish();
            Device { seen: 0, done: 0 }.give_back(&mut queue, buffer, bytes);
            assert_eq!(queue.take_used(), Err(Broken));
            assert!(!queue.has_used());
            assert_eq!(queue.take_used(), Err(Broken));
        }
    }

    proptest! {
        /// Whatever the device writes into its ring, the driver gets a buffer back at most as often
        /// as it offered it, never with more bytes than it has, and never panics.
        #[test]
        fn no_device_can_confuse_the_driver(writes in prop::collection::vec((0..140_usize, any::<u16>()), 1..200)) {
            let mut queue = Queue::new(16, feature::EVENT_INDEX, &mut memory(4096)).unwrap();
            let mut offered = [false; 16];
            for (step, (at, value)) in writes.into_iter().enumerate() {
                let buffer = step % 16;
                if !offered[buffer] && !queue.is_broken() {
                    queue.offer(buffer as u16, 0x1000, 100, Direction::FromDevice);
                    queue.publish();
                    offered[buffer] = true;
                }
                let words = queue.used.bytes() / 2;
                // Small values make plausible invalid entries.
                let value = if step % 3 == 0 { value } else { value % 18 };
                queue.used.store(at % words * 2, value);
                while let Ok(Some(used)) = queue.take_used() {
                    prop_assert!(used.bytes <= 100);
                    prop_assert!(std::mem::replace(&mut offered[usize::from(used.buffer)], false));
                }
            }
        }
    }
}
