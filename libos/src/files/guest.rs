//! The application's memory as a system call sees it: addresses become slices here and
//! nowhere else. Owns no memory; must never keep a slice beyond the call it was made for.
//!
//! There is no protection between application and library OS. Addresses that no
//! application can own (the first page, anything beyond the user half) answer `EFAULT`;
//! other bad addresses fault as they would in the application's own code.

use super::error::{Errno, Result};
use linux_raw_sys::general::PATH_MAX;

const LOWEST: usize = 0x1000;
const END: usize = 1 << 47;

/// Proof that addresses come from a system call of the application.
#[derive(Clone, Copy)]
pub(crate) struct Guest(());

impl Guest {
    /// # Safety
    ///
    /// For as long as the value is used, addresses given to its methods are what the
    /// application passed to a system call, and cover memory the call may access.
    pub unsafe fn new() -> Self {
        Self(())
    }

    fn check(self, address: usize, bytes: usize) -> Result<()> {
        if bytes == 0 || (address >= LOWEST && bytes <= END && address <= END - bytes) {
            Ok(())
        } else {
            Err(Errno::FAULT)
        }
    }

    /// Bytes the call reads.
    #[inline]
    pub fn bytes<'a>(self, address: usize, bytes: usize) -> Result<&'a [u8]> {
        self.check(address, bytes)?;
        if bytes == 0 {
            return Ok(&[]);
        }
        // SAFETY: `Guest::new`, and the address is not null.
        Ok(unsafe { core::slice::from_raw_parts(address as *const u8, bytes) })
    }

    /// Bytes the call fills.
    #[inline]
    pub fn bytes_mut<'a>(self, address: usize, bytes: usize) -> Result<&'a mut [u8]> {
        self.check(address, bytes)?;
        if bytes == 0 {
            return Ok(&mut []);
        }
        // SAFETY: `Guest::new`, and the address is not null.
        Ok(unsafe { core::slice::from_raw_parts_mut(address as *mut u8, bytes) })
    }

    /// A C structure the call reads; `T` is plain data for which every bit pattern is valid.
    pub fn read<T: Copy>(self, address: usize) -> Result<T> {
        self.check(address, size_of::<T>())?;
        // SAFETY: `Guest::new`; alignment is not assumed.
        Ok(unsafe { (address as *const T).read_unaligned() })
    }

    /// A C structure the call fills.
    pub fn write<T>(self, address: usize, value: T) -> Result<()> {
        self.check(address, size_of::<T>())?;
        // SAFETY: `Guest::new`; alignment is not assumed.
        unsafe { (address as *mut T).write_unaligned(value) };
        Ok(())
    }

    /// A NUL-terminated path, without its NUL.
    pub fn path<'a>(self, address: usize) -> Result<&'a [u8]> {
        self.check(address, 1)?;
        let start = address as *const u8;
        for length in 0..PATH_MAX as usize {
            // SAFETY: `Guest::new`: the string goes on up to its NUL, which was not met yet.
            if unsafe { start.add(length).read() } == 0 {
                // SAFETY: the bytes before the NUL were just read.
                return Ok(unsafe { core::slice::from_raw_parts(start, length) });
            }
        }
        Err(Errno::NAMETOOLONG)
    }
}
