//! A Linux packet socket whose received frames lie in a ring of memory shared with the kernel
//! (`PACKET_RX_RING`, `TPACKET_V2`; packet_mmap.rst of the kernel).
//! The sender puts a frame into the ring, so taking it needs neither a system call nor a copy.
//! Outgoing frames are written to the descriptor.
//!
//! ```text
//! slot   tpacket2_hdr | ... | virtio_net_hdr | frame
//!        status, lengths      10 bytes         at tp_mac
//! ```
//! Reads never go beyond a slot, whatever its header says.

use super::descriptor::{Description, FrameWriter, Io, MERGED_BYTES};
use super::header;
use super::{Device, Offload, Receive, Received, Transmit};
use crate::Result;
use crate::memory::{Bytes, Memory};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};

/// Bytes of `virtio_net_hdr`: without the number of buffers.
const SHORT_HEADER_BYTES: usize = 10;

/// The slot belongs to the kernel.
const STATUS_KERNEL: u32 = 0;
/// The slot belongs to us.
const STATUS_USER: u32 = 1 << 0;
/// The slot is too short for the frame, which can be read from the descriptor.
const STATUS_COPY: u32 = 1 << 1;
/// The frame has a VLAN tag.
const STATUS_VLAN: u32 = 1 << 4;

/// The ring.
#[derive(Debug)]
pub struct RingMemory {
    start: NonNull<u8>,
    slots: u32,
    slot_bytes: u32,
    next: u32,
    lent: bool,
}

/// A slot's fields, as written by the kernel.
struct Slot {
    status: u32,
    /// Bytes of the frame on the link, and in the slot.
    length: u32,
    captured: u32,
    /// Where the frame starts.
    mac: u16,
}

impl RingMemory {
    /// Makes the ring at `start`, of `slots` slots of `slot_bytes` bytes each.
    ///
    /// # Safety
    ///
    /// The memory is valid forever, aligned to 16 as `slot_bytes` is, and shared only with the
    /// kernel, which writes only to slots with status 0.
    pub unsafe fn new(start: NonNull<u8>, slots: u32, slot_bytes: u32) -> Self {
        Self {
            start,
            slots,
            slot_bytes,
            next: 0,
            lent: false,
        }
    }

    fn slot(&self, index: u32) -> NonNull<u8> {
        // SAFETY: inside the ring, as every index is less than `slots`.
        unsafe { self.start.add(index as usize * self.slot_bytes as usize) }
    }

    fn status(&self, index: u32) -> &AtomicU32 {
        // SAFETY: the first word of a slot, aligned (`new`); kernel and driver use it as an atomic.
        unsafe { self.slot(index).cast::<AtomicU32>().as_ref() }
    }

    /// Returns the slot that was taken last to the kernel.
    fn release(&mut self) {
        if self.lent {
            let last = self.next.checked_sub(1).unwrap_or(self.slots - 1);
            self.status(last).store(STATUS_KERNEL, Ordering::Release);
            self.lent = false;
        }
    }

    fn is_empty(&self) -> bool {
        self.status(self.next).load(Ordering::Acquire) & STATUS_USER == 0
    }

    /// Takes the next slot of ours, which stays ours until [`Self::release`].
    fn take(&mut self) -> Option<(Slot, &[u8])> {
        self.release();
        let index = self.next;
        let status = self.status(index).load(Ordering::Acquire);
        if status & STATUS_USER == 0 {
            return None;
        }
        self.next = (index + 1) % self.slots;
        self.lent = true;
        // SAFETY: a whole slot, which the kernel leaves alone until its status is 0 again (`new`): not while
        // `self` is borrowed.
        let bytes = unsafe {
            core::slice::from_raw_parts(self.slot(index).as_ptr(), self.slot_bytes as usize)
        };
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
        let slot = Slot {
            status,
            length: word(4),
            captured: word(8),
            mac: word(12) as u16,
        };
        Some((slot, bytes))
    }
}

/// A packet socket with its ring.
pub struct Packet<I> {
    receive: RingReceive<I>,
    transmit: FrameWriter<I>,
    description: Description,
}

impl<I> core::fmt::Debug for Packet<I> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Packet").finish_non_exhaustive()
    }
}

/// Its receiving half.
struct RingReceive<I> {
    ring: RingMemory,
    io: I,
    /// Buffer for frames that do not fit into a slot.
    buffer: Bytes,
}

impl<I: Io + Clone> Packet<I> {
    /// Makes the device of the packet socket behind `io` with its ring.
    ///
    /// # Errors
    ///
    /// `NoMemory` for its frame buffers.
    pub fn new(io: I, ring: RingMemory, description: Description, memory: Memory) -> Result<Self> {
        Ok(Self {
            receive: RingReceive {
                ring,
                io: io.clone(),
                buffer: Bytes::new(SHORT_HEADER_BYTES + MERGED_BYTES, memory)?,
            },
            transmit: FrameWriter::new(io, SHORT_HEADER_BYTES, &description, memory)?,
            description,
        })
    }
}

impl Slot {
    /// Returns the header and the frame in the slot `bytes`; `None` when they are incomplete.
    fn frame<'a>(&self, bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let mac = usize::from(self.mac);
        let start = mac.checked_sub(SHORT_HEADER_BYTES)?;
        let end = mac.checked_add(self.captured as usize)?;
        let is_whole = self.captured == self.length && self.status & STATUS_VLAN == 0;
        let whole = bytes.get(start..end).filter(|_| is_whole)?;
        whole.split_at_checked(SHORT_HEADER_BYTES)
    }
}

impl<I: Io> Receive for RingReceive<I> {
    fn receive(&mut self) -> Option<Received<'_>> {
        let (slot, bytes) = self.ring.take()?;
        let frame = if slot.status & STATUS_COPY == 0 {
            slot.frame(bytes)
        } else {
            let bytes = self.io.read(&mut self.buffer)?.min(self.buffer.len());
            self.buffer[..bytes].split_at_checked(SHORT_HEADER_BYTES)
        };
        // A bad frame counts as an empty one: more may wait behind it.
        let (header, frame) = frame.unwrap_or_default();
        Some(Received {
            frame,
            checked: header::is_checked(header),
        })
    }
}

impl<I: Io> Device for Packet<I> {
    fn prepare_to_sleep(&mut self) -> bool {
        self.receive.ring.release();
        !self.receive.ring.is_empty()
    }
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
mod tests {
    use super::*;

    const SLOTS: usize = 3;
    const WORDS: usize = 16;
    const SLOT_BYTES: usize = WORDS * 16;
    const MAC: usize = 64;

    /// What the kernel does to the ring; a frame that is too large is read.
    struct Kernel {
        memory: *mut u8,
        next: usize,
    }

    #[derive(Clone)]
    struct Large;

    impl Io for Large {
        fn read(&mut self, to: &mut [u8]) -> Option<usize> {
            to[..SHORT_HEADER_BYTES + 400].fill(7);
            Some(SHORT_HEADER_BYTES + 400)
        }
        fn write(&mut self, _: &[u8]) -> Option<usize> {
            None
        }
    }

    impl Kernel {
        fn word(&self, slot: usize, at: usize) -> *mut u32 {
            // SAFETY: inside the ring.
            unsafe { self.memory.add(slot * SLOT_BYTES + at).cast() }
        }

        fn owns(&self, slot: usize) -> bool {
            // SAFETY: as above; one thread.
            unsafe { *self.word(slot, 0) == STATUS_KERNEL }
        }

        /// Fills the next slot; whether it was free.
        fn put(&mut self, status: u32, length: u32, captured: u32, mac: u16, flags: u8) -> bool {
            if !self.owns(self.next) {
                return false;
            }
            // SAFETY: as above.
            unsafe {
                *self.word(self.next, 4) = length;
                *self.word(self.next, 8) = captured;
                *self.word(self.next, 12) = mac.into();
                let slot = self.memory.add(self.next * SLOT_BYTES);
                *slot.add(MAC - SHORT_HEADER_BYTES) = flags;
                *slot.add(MAC) = length as u8;
                *self.word(self.next, 0) = status | STATUS_USER;
            }
            self.next = (self.next + 1) % SLOTS;
            true
        }

        fn good(&mut self, length: u32) -> bool {
            self.put(0, length, length, MAC as u16, 0)
        }
    }

    fn device() -> (Kernel, Packet<Large>) {
        let memory = std::boxed::Box::leak(std::boxed::Box::new([[0u128; WORDS]; SLOTS]));
        let start = NonNull::from(memory).cast();
        // SAFETY: leaked, and shared with the kernel of this test alone.
        let ring = unsafe { RingMemory::new(start, SLOTS as u32, SLOT_BYTES as u32) };
        let description = Description {
            hardware_address: [2; 6],
            mtu: 1500,
            offload: Offload::default(),
        };
        let device = Packet::new(Large, ring, description, &allocator_api2::alloc::Global);
        let kernel = Kernel {
            memory: start.as_ptr(),
            next: 0,
        };
        (kernel, device.unwrap())
    }

    fn lengths(device: &mut Packet<Large>) -> std::vec::Vec<usize> {
        let mut lengths = std::vec::Vec::new();
        while let Some(received) = device.receive.receive() {
            lengths.push(received.frame.len());
        }
        lengths
    }

    #[test]
    fn a_slot_is_given_back_when_the_next_is_taken_or_the_image_sleeps() {
        let (mut kernel, mut device) = device();
        assert!(!device.prepare_to_sleep());
        for turn in 0..7 {
            assert!(kernel.good(60 + turn) && device.prepare_to_sleep());
            let received = device.receive.receive().unwrap();
            assert_eq!(received.frame.len(), 60 + turn as usize);
            assert_eq!(received.frame[0], 60 + turn as u8);
            assert!(!kernel.owns(turn as usize % SLOTS));
            assert!(!device.prepare_to_sleep());
            assert!((0..SLOTS).all(|slot| kernel.owns(slot)));
        }
        while kernel.good(80) {}
        assert_eq!(lengths(&mut device), [80; SLOTS]);
        assert!((0..SLOTS).all(|slot| kernel.owns(slot)));
    }

    #[test]
    fn the_sender_vouches_for_a_checksum_in_the_header() {
        let (mut kernel, mut device) = device();
        for (flags, checked) in [(0, false), (1, true), (2, true)] {
            kernel.put(0, 60, 60, MAC as u16, flags);
            assert_eq!(device.receive.receive().unwrap().checked, checked);
        }
    }

    #[test]
    fn a_frame_that_does_not_fit_is_read() {
        let (mut kernel, mut device) = device();
        kernel.put(STATUS_COPY, 400, 100, MAC as u16, 0);
        kernel.good(61);
        assert_eq!(lengths(&mut device), [400, 61]);
    }

    #[test]
    fn nothing_beyond_a_slot_is_read_and_a_bad_frame_is_empty() {
        let (mut kernel, mut device) = device();
        let (mac, end) = (MAC as u16, SLOT_BYTES as u32 - MAC as u32);
        for (status, length, captured, mac, taken) in [
            (0, end, end, mac, end as usize),
            (0, end + 1, end + 1, mac, 0),
            (0, 61, 60, mac, 0),
            (0, u32::MAX, u32::MAX, u16::MAX, 0),
            (0, 60, 60, 9, 0),
            (0, 60, 60, SLOT_BYTES as u16, 0),
            (STATUS_VLAN, 60, 60, mac, 0),
        ] {
            assert!(kernel.put(status, length, captured, mac, 0));
            assert_eq!(lengths(&mut device), [taken], "{length} {captured} {mac}");
        }
    }

    #[test]
    fn frames_are_sent_behind_a_short_header() {
        let script = crate::tests::io::Script::default();
        let memory = std::boxed::Box::leak(std::boxed::Box::new([[0u128; WORDS]; SLOTS]));
        // SAFETY: leaked, and shared with nobody.
        let ring = unsafe {
            RingMemory::new(
                NonNull::from(memory).cast(),
                SLOTS as u32,
                SLOT_BYTES as u32,
            )
        };
        let offload = Offload {
            checksum: true,
            segment_bytes: 9000,
        };
        let description = Description {
            hardware_address: [2, 1, 2, 3, 4, 5],
            mtu: 1500,
            offload,
        };
        let memory = &allocator_api2::alloc::Global;
        let mut device = Packet::new(script.clone(), ring, description, memory).unwrap();
        assert_eq!((device.mtu(), device.offload()), (1500, offload));
        assert_eq!(device.hardware_address(), [2, 1, 2, 3, 4, 5]);
        assert_eq!(device.receive.buffer.len(), 10 + 14 + 65_535);
        let mut fill = |frame: &mut [u8]| frame.fill(9);
        device.transmit.send(9000, None, &mut fill);
        let mut whole = std::vec![0; 10];
        whole.extend([9; 9000]);
        assert!(script.written() == [whole]);
        // A frame that is too large for a slot, and for what is read.
        let slot = device.receive.ring.start.cast::<u32>();
        // SAFETY: the first slot, which is nobody's yet.
        unsafe { slot.write(STATUS_USER | STATUS_COPY) };
        let most = 10 + 14 + 65_535;
        script.give(&std::vec![1; most + 1]);
        let received = device.receive.receive().unwrap();
        assert_eq!(
            (received.frame.len(), received.checked),
            (14 + 65_535, true)
        );
    }
}
