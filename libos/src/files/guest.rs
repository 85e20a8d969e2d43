//! The application's memory as a system call sees it: addresses become slices here and
//! nowhere else. Owns no memory; must never keep a slice beyond the call it was made for.
//!
//! Addresses that the application has not mapped, or not for this use, answer `EFAULT` (`crate::memory::check`).
//! A transfer that begins well is served up to the first byte that is not there.

use super::error::{Errno, Result};
use crate::memory::{self, Rights};
use linux_raw_sys::general::PATH_MAX;

/// Proof that addresses come from a system call of the application.
#[derive(Clone, Copy)]
pub(crate) struct Guest(());

impl Guest {
    /// # Safety
    ///
    /// For as long as the value is used, addresses given to its methods are what the
    /// application passed to a system call, and what is mapped stays mapped.
    pub unsafe fn new() -> Self {
        Self(())
    }

    #[inline]
    fn check(self, address: usize, bytes: usize, rights: Rights) -> Result<()> {
        if bytes == 0 || memory::allows(address, bytes, rights) {
            Ok(())
        } else {
            Err(Errno::FAULT)
        }
    }

    /// How many of the bytes the call may use: all, or up to the first that it may not.
    ///
    /// # Errors
    ///
    /// `EFAULT` when that is the very first.
    #[inline]
    pub fn reach(self, address: usize, bytes: usize, rights: Rights) -> Result {
        if bytes == 0 || memory::allows(address, bytes, rights) {
            return Ok(bytes);
        }
        match memory::reach(address, bytes, rights) {
            0 => Err(Errno::FAULT),
            reached => Ok(reached),
        }
    }

    /// Whether no program can have memory there, which Linux sees at once.
    pub fn is_outside(self, address: usize, bytes: usize) -> bool {
        const END: usize = 1 << 47;
        address.checked_add(bytes).is_none_or(|end| end > END)
    }

    /// Bytes the call reads.
    #[inline]
    pub fn bytes<'a>(self, address: usize, bytes: usize) -> Result<&'a [u8]> {
        self.check(address, bytes, Rights::Read)?;
        if bytes == 0 {
            return Ok(&[]);
        }
        // SAFETY: `Guest::new`, and the application may read there.
        Ok(unsafe { core::slice::from_raw_parts(address as *const u8, bytes) })
    }

    /// Bytes the call fills.
    #[inline]
    pub fn bytes_mut<'a>(self, address: usize, bytes: usize) -> Result<&'a mut [u8]> {
        self.check(address, bytes, Rights::Write)?;
        if bytes == 0 {
            return Ok(&mut []);
        }
        // SAFETY: `Guest::new`, and the application may write there.
        Ok(unsafe { core::slice::from_raw_parts_mut(address as *mut u8, bytes) })
    }

    /// Bytes of a transfer that reads them, as many as are there.
    #[inline]
    pub fn source<'a>(self, address: usize, bytes: usize) -> Result<&'a [u8]> {
        let bytes = self.reach(address, bytes, Rights::Read)?;
        if bytes == 0 {
            return Ok(&[]);
        }
        // SAFETY: as in `bytes`.
        Ok(unsafe { core::slice::from_raw_parts(address as *const u8, bytes) })
    }

    /// Bytes of a transfer that fills them, as many as are there.
    #[inline]
    pub fn target<'a>(self, address: usize, bytes: usize) -> Result<&'a mut [u8]> {
        let bytes = self.reach(address, bytes, Rights::Write)?;
        if bytes == 0 {
            return Ok(&mut []);
        }
        // SAFETY: as in `bytes_mut`.
        Ok(unsafe { core::slice::from_raw_parts_mut(address as *mut u8, bytes) })
    }

    /// A C structure the call reads; `T` is plain data for which every bit pattern is valid.
    pub fn read<T: Copy>(self, address: usize) -> Result<T> {
        self.check(address, size_of::<T>(), Rights::Read)?;
        // SAFETY: `Guest::new`; alignment is not assumed.
        Ok(unsafe { (address as *const T).read_unaligned() })
    }

    /// A C structure the call fills.
    pub fn write<T>(self, address: usize, value: T) -> Result<()> {
        self.check(address, size_of::<T>(), Rights::Write)?;
        // SAFETY: `Guest::new`; alignment is not assumed.
        unsafe { (address as *mut T).write_unaligned(value) };
        Ok(())
    }

    /// A NUL-terminated path, without its NUL.
    pub fn path<'a>(self, address: usize) -> Result<&'a [u8]> {
        let most = PATH_MAX as usize;
        // What is known to be there most often holds all of it.
        let known = memory::known(address, Rights::Read).min(most);
        // SAFETY: `Guest::new`, and so many bytes may be read.
        if let Some(length) = unsafe { terminated(address, known) } {
            // SAFETY: the bytes before the NUL were just read.
            return Ok(unsafe { core::slice::from_raw_parts(address as *const u8, length) });
        }
        self.long_path(address, most)
    }

    #[cold]
    fn long_path<'a>(self, address: usize, most: usize) -> Result<&'a [u8]> {
        let room = self.reach(address, most, Rights::Read)?;
        // SAFETY: as above.
        match unsafe { terminated(address, room) } {
            Some(length) => {
                // SAFETY: as above.
                Ok(unsafe { core::slice::from_raw_parts(address as *const u8, length) })
            }
            None if room < most => Err(Errno::FAULT),
            None => Err(Errno::NAMETOOLONG),
        }
    }
}

/// Where the NUL is among `room` bytes at `address`.
///
/// # Safety
///
/// So many bytes may be read.
#[inline(always)]
unsafe fn terminated(address: usize, room: usize) -> Option<usize> {
    const WORD: usize = size_of::<u64>();
    if room == 0 {
        return None;
    }
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    // The first word may begin before the path: those bytes count as no NUL.
    let mut at = address & !(WORD - 1);
    let mut before = (1u64 << (8 * (address - at))) - 1;
    while at < address + room {
        // SAFETY: an aligned word lies in one page, of which a byte may be read.
        let word = unsafe { (at as *const u64).read() } | before;
        before = 0;
        // The lowest bit that is set is that of the first byte that is zero (Mycroft, 1987).
        let zeros = word.wrapping_sub(ONES) & !word & HIGHS;
        if zeros != 0 {
            let length = at + zeros.trailing_zeros() as usize / 8 - address;
            return (length < room).then_some(length);
        }
        at += WORD;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::terminated;

    #[test]
    fn nothing_is_read_where_nothing_may_be() {
        // SAFETY: no byte may be read, so none is.
        assert_eq!(unsafe { terminated(usize::MAX, 0) }, None);
    }

    #[test]
    fn the_end_of_a_string_is_found_wherever_it_begins_and_ends() {
        let mut bytes = [0u64; 8].map(|_| u64::MAX);
        let start = (&raw mut bytes).cast::<u8>();
        for from in 0..16 {
            for length in 0..40 {
                // SAFETY: all within the array.
                unsafe {
                    start.add(from + length).write(0);
                    let at = start as usize + from;
                    assert_eq!(terminated(at, 40), Some(length), "{from} {length}");
                    assert_eq!(terminated(at, length), None, "{from} {length}");
                    assert_eq!(terminated(at, length + 1), Some(length));
                    start.add(from + length).write(0x80);
                }
            }
        }
    }
}
