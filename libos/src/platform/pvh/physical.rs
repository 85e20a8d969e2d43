//! Physical memory as the boot tables show it. Owns nothing; must never reach beyond what is mapped, whatever
//! address is asked for.

use core::ops::Range;

/// Types of which every bit pattern is a value.
///
/// # Safety
///
/// That is what an implementation promises.
pub unsafe trait Plain: Copy {}

// SAFETY: integers.
unsafe impl Plain for u8 {}

/// Memory that may be read.
#[derive(Clone, Debug)]
pub struct Physical {
    range: Range<u64>,
    /// Where the first byte of it is.
    first: *const u8,
}

impl Physical {
    /// The physical addresses `range`, of which the first is at `first`.
    ///
    /// # Safety
    ///
    /// All of it may be read for ever, and nobody writes to what is read here.
    pub unsafe fn new(range: Range<u64>, first: *const u8) -> Self {
        Self { range, first }
    }

    /// Its first address.
    pub fn start(&self) -> u64 {
        self.range.start
    }

    /// Where `bytes` bytes at `address` are; `None` when one of them is not in the memory.
    fn place(&self, address: u64, bytes: u64) -> Option<*const u8> {
        let end = address.checked_add(bytes)?;
        if address < self.range.start || end > self.range.end {
            return None;
        }
        Some(
            self.first
                .wrapping_add((address - self.range.start) as usize),
        )
    }

    /// The value at `address`, which need not be aligned: 32-bit firmware puts 64-bit words on any multiple of 4.
    pub fn read<T: Plain>(&self, address: u64) -> Option<T> {
        let place = self.place(address, size_of::<T>() as u64)?;
        // SAFETY: inside the memory (`Physical::new`), and any bytes make a `T`.
        Some(unsafe { place.cast::<T>().read_unaligned() })
    }

    /// The `count` values at `address`; `None` when they do not all lie in the memory.
    pub fn read_all<T: Plain>(
        &self,
        address: u64,
        count: u32,
    ) -> Option<impl Iterator<Item = T> + use<T>> {
        let bytes = u64::from(count) * size_of::<T>() as u64;
        let memory = Self {
            range: address..address.checked_add(bytes)?,
            first: self.place(address, bytes)?,
        };
        let places =
            (0..u64::from(count)).map(move |index| address + index * size_of::<T>() as u64);
        Some(places.filter_map(move |place| memory.read(place)))
    }

    /// The bytes from `address` to the first zero; `None` when the memory ends before it.
    pub fn string(&self, address: u64) -> Option<&'static [u8]> {
        let first = self.place(address, 1)?;
        let length = (address..self.range.end).position(|at| self.read(at) == Some(0_u8))?;
        // SAFETY: inside the memory, and nobody writes to it (`Physical::new`).
        Some(unsafe { core::slice::from_raw_parts(first, length) })
    }
}
