//! Memory shared by driver and device.
//! Parts of it are taken and never given back: a device may write
//! to its memory as long as it is on.

use core::ptr::NonNull;

/// Memory for queues and buffers.
#[derive(Debug)]
pub struct DeviceMemory {
    next: NonNull<u8>,
    left: usize,
    physical_offset: u64,
}

/// A part of device memory that the driver reads and writes by copying.
#[derive(Debug)]
pub struct Part {
    start: NonNull<u8>,
    bytes: usize,
    physical: u64,
}

impl DeviceMemory {
    /// Makes device memory of `bytes` bytes from `start`. Physical addresses are virtual
    /// addresses minus `physical_offset`.
    ///
    /// # Safety
    ///
    /// The memory is valid and exclusively owned forever. Its bytes are initialised.
    pub unsafe fn new(start: NonNull<u8>, bytes: usize, physical_offset: u64) -> Self {
        Self {
            next: start,
            left: bytes,
            physical_offset,
        }
    }

    /// Takes `bytes` bytes, aligned to `align`, a power of two; returns
    /// `None` when not enough is left.
    pub fn take(&mut self, bytes: usize, align: usize) -> Option<Part> {
        let skip = self.next.align_offset(align);
        if skip.checked_add(bytes)? > self.left {
            return None;
        }
        // SAFETY: inside the memory, as just checked.
        let start = unsafe { self.next.add(skip) };
        // SAFETY: as above; the end of the memory at most.
        self.next = unsafe { start.add(bytes) };
        self.left -= skip + bytes;
        Some(Part {
            start,
            bytes,
            physical: (start.as_ptr() as u64).wrapping_sub(self.physical_offset),
        })
    }
}

impl DeviceMemory {
    /// Stores `value` here forever. The device does not learn of it.
    /// Returns `None` when there is no room.
    pub fn keep<T>(&mut self, value: T) -> Option<&'static mut T> {
        let place = self
            .take(size_of::<T>(), align_of::<T>())?
            .start
            .cast::<T>();
        // SAFETY: a part of its own, large enough and aligned, which lasts forever (`DeviceMemory::new`).
        unsafe {
            place.write(value);
            Some(&mut *place.as_ptr())
        }
    }
}

impl Part {
    /// Length in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the physical address of byte `at`.
    pub fn physical(&self, at: usize) -> u64 {
        self.physical + at as u64
    }

    /// Returns the bytes `at..at + bytes`, or `None` beyond the end.
    ///
    /// # Safety
    ///
    /// The device does not access the bytes while the slice is used: they are in none of its
    /// queues, or it only reads them.
    pub unsafe fn slice(&mut self, at: usize, bytes: usize) -> Option<&mut [u8]> {
        if at.checked_add(bytes)? > self.bytes {
            return None;
        }
        // SAFETY: inside the part, which is exclusive (`DeviceMemory::new`), for as long as
        // `self` is borrowed; the caller keeps the device away.
        Some(unsafe { core::slice::from_raw_parts_mut(self.start.add(at).as_ptr(), bytes) })
    }

    /// Reads a 16-bit word that the device may write. `at` is even and inside the part.
    pub(crate) fn load(&self, at: usize) -> u16 {
        assert!(at + 2 <= self.bytes && at.is_multiple_of(2));
        // SAFETY: inside the part and aligned, as just checked; parts are aligned to 4 at least.
        unsafe { self.start.add(at).cast::<u16>().read_volatile() }
    }

    /// Writes a 16-bit word that the device may read.
    pub(crate) fn store(&mut self, at: usize, value: u16) {
        assert!(at + 2 <= self.bytes && at.is_multiple_of(2));
        // SAFETY: as in `load`.
        unsafe { self.start.add(at).cast::<u16>().write_volatile(value) }
    }

    /// Reads a 32-bit word.
    pub(crate) fn load32(&self, at: usize) -> u32 {
        assert!(at + 4 <= self.bytes && at.is_multiple_of(4));
        // SAFETY: as in `load`.
        unsafe { self.start.add(at).cast::<u32>().read_volatile() }
    }

    /// Writes a 32-bit word.
    pub(crate) fn store32(&mut self, at: usize, value: u32) {
        assert!(at + 4 <= self.bytes && at.is_multiple_of(4));
        // SAFETY: as in `load`.
        unsafe { self.start.add(at).cast::<u32>().write_volatile(value) }
    }
}
