//! Host memory that backs a guest, and the only access to it by guest address.
//!
//! It never yields a Rust reference to memory that the guest can write while it runs. It never
//! yields a pointer that was not checked against the mapping.

use crate::MonitorError;
use std::ops::Range;
use std::os::fd::RawFd;
use std::ptr::NonNull;

/// Bytes of a huge page.
pub(crate) const HUGE_BYTES: u64 = 2 << 20;
/// Bytes of a page.
pub(crate) const PAGE_BYTES: u64 = bespoke_abi::PAGE_BYTES as u64;

/// Requests huge pages, or none, behind `bytes` bytes at `start` of one of our mappings.
/// A kernel without huge pages refuses, which only costs speed.
pub(crate) fn advise(start: *mut u8, bytes: usize, huge: bool) {
    let advice = if huge {
        libc::MADV_HUGEPAGE
    } else {
        libc::MADV_NOHUGEPAGE
    };
    // SAFETY: advice about our own mapping, whose contents stay.
    unsafe { libc::madvise(start.cast(), bytes, advice) };
}

/// A mapping, unmapped when dropped.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
    /// The whole mapping, if alignment needed extra pages around it.
    whole: (NonNull<u8>, usize),
}

// SAFETY: the mapping is reached through raw pointers and atomics only.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps private zeroed memory aligned to [`HUGE_BYTES`]; it takes no memory until touched.
    pub(crate) fn private(bytes: usize) -> Result<Self, MonitorError> {
        let slack = bytes + HUGE_BYTES as usize;
        let whole = map(
            slack,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
        )?;
        let skip = whole.addr().get().next_multiple_of(HUGE_BYTES as usize) - whole.addr().get();
        // SAFETY: `skip < HUGE_BYTES`, inside what was mapped.
        let start = unsafe { whole.add(skip) };
        Ok(Self {
            start,
            bytes,
            whole: (whole, slack),
        })
    }

    /// Maps zeroed memory that a forked child shares.
    pub(crate) fn shared(bytes: usize) -> Result<Self, MonitorError> {
        let start = map(bytes, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1)?;
        Ok(Self {
            start,
            bytes,
            whole: (start, bytes),
        })
    }

    /// Maps the file behind `descriptor`, which has `bytes` bytes,
    /// shared with all others that map it.
    pub(crate) fn file(descriptor: RawFd, bytes: usize) -> Result<Self, MonitorError> {
        let start = map(bytes, libc::MAP_SHARED, descriptor)?;
        Ok(Self {
            start,
            bytes,
            whole: (start, bytes),
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the pointer `offset` bytes into the mapping, at most one past its end.
    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        assert!(
            offset <= self.bytes,
            "offset {offset:#x} outside a mapping of {:#x} bytes",
            self.bytes
        );
        // SAFETY: just checked.
        unsafe { self.start.as_ptr().add(offset) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this mapping is owned, and views of it hold the `Arc` it lives in.
        unsafe { libc::munmap(self.whole.0.as_ptr().cast(), self.whole.1) };
    }
}

fn map(bytes: usize, flags: i32, descriptor: RawFd) -> Result<NonNull<u8>, MonitorError> {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, prot, flags, descriptor, 0) };
    if start == libc::MAP_FAILED {
        return Err(MonitorError::host("map memory for the guest"));
    }
    NonNull::new(start.cast()).ok_or_else(|| MonitorError::host("map memory for the guest"))
}

/// Returns the part of `ram` (guest or host addresses, aligned alike) that huge pages should back.
///
/// The first touch of a huge page clears 2 MiB (about 0.4 ms), that of
/// a small page 4 KiB (about 5 us).
/// So the first MiB or more stays on small pages, and programs that need little start at once.
pub(crate) fn huge_part(ram: &Range<u64>) -> Range<u64> {
    let start = (ram.start + (1 << 20)).next_multiple_of(HUGE_BYTES);
    let end = ram.end / HUGE_BYTES * HUGE_BYTES;
    start.min(end)..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_memory_is_zero_aligned_and_as_long_as_asked() {
        for bytes in [1, 4096, HUGE_BYTES as usize - 1, HUGE_BYTES as usize + 4096] {
            let mapping = Mapping::private(bytes).expect("memory of the host");
            assert_eq!(mapping.bytes(), bytes);
            assert_eq!(mapping.at(0).addr() as u64 % HUGE_BYTES, 0);
            assert_eq!(mapping.at(bytes).addr() - mapping.at(0).addr(), bytes);
            // SAFETY: the first byte and the last of the mapping.
            unsafe {
                assert_eq!((mapping.at(0).read(), mapping.at(bytes - 1).read()), (0, 0));
                mapping.at(bytes - 1).write(1);
            }
        }
    }

    #[test]
    #[should_panic(expected = "outside a mapping")]
    fn nothing_behind_a_mapping_is_pointed_to() {
        Mapping::private(4096).expect("memory of the host").at(4097);
    }

    #[test]
    fn shared_memory_is_seen_by_a_child() {
        let mapping = Mapping::shared(4096).expect("memory of the host");
        assert_eq!(mapping.bytes(), 4096);
        // SAFETY: the child writes a byte of the mapping and ends.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                mapping.at(100).write(7);
                libc::_exit(0);
            }
            assert!(child > 0);
            assert_eq!(libc::waitpid(child, std::ptr::null_mut(), 0), child);
            assert_eq!(mapping.at(100).read(), 7);
        }
    }

    /// More than a process may have at once.
    #[test]
    fn a_mapping_that_is_dropped_is_gone() {
        for _ in 0..70_000 {
            Mapping::shared(4096).expect("those before are gone");
        }
    }

    /// The first MiB at least stays on small pages, and what is left is whole huge pages.
    #[test]
    fn huge_pages_begin_behind_the_first_mib() {
        const MIB: u64 = 1 << 20;
        for (ram, expected) in [
            (0..8 * MIB, 2 * MIB..8 * MIB),
            (MIB..8 * MIB, 2 * MIB..8 * MIB),
            (MIB + 1..8 * MIB, 4 * MIB..8 * MIB),
            (3 * MIB..9 * MIB, 4 * MIB..8 * MIB),
            (0..4 * MIB - 1, 2 * MIB..2 * MIB),
        ] {
            assert_eq!(huge_part(&ram), expected, "{ram:x?}");
        }
        // None, and no range that ends before it begins.
        let none = huge_part(&(5 * MIB..6 * MIB));
        assert!(none.is_empty() && none.start == none.end);
    }
}
