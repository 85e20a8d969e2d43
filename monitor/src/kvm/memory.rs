//! Guest memory as hypercalls may use it, with the set of closed pages.
//! Closed pages and page tables are never accessed on a guest's request.

#[cfg(test)]
mod tests;

use crate::MonitorError;
use crate::image::{Access, Image};
use crate::layout::Layout;
use crate::memory::{self, Mapping, PAGE_BYTES};
use crate::trace::RING_BYTES;
use bespoke_abi::IMAGE_BASE;
use std::ops::Range;
use std::sync::Arc;

/// Limit of closed ranges: more than the thread stacks of any realistic vCPU.
const MAX_CLOSED: usize = 4096;

/// Data and bss that will probably be written soon.
const POPULATED_DATA_BYTES: u64 = 128 << 10;

/// Access rights of the guest to one of its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rights {
    None,
    Read,
    Write,
}

/// Guest memory with the rights of each part.
pub(super) struct GuestMemory {
    pub mapping: Arc<Mapping>,
    /// Parts that the guest may read, and whether it may write them.
    parts: Vec<(Range<u64>, bool)>,
    /// Pages that are not open to both reading and writing, with their rights.
    closed: Vec<(Range<u64>, Rights)>,
    /// Read by this process at any time, so they must stay open.
    watched: Vec<Range<u64>>,
}

impl GuestMemory {
    /// Maps memory for `layout`; touches nothing yet.
    pub(super) fn new(image: &Image, layout: &Layout) -> Result<Self, MonitorError> {
        let mapping = Mapping::private((layout.all.end - layout.all.start) as usize)?;
        for (range, huge) in layout.advice(image.is_huge()) {
            let start = mapping.at((range.start - IMAGE_BASE) as usize);
            memory::advise(start, (range.end - range.start) as usize, huge);
        }
        let segments = image
            .segments
            .iter()
            .map(|segment| (segment.pages.clone(), segment.access == Access::Write));
        let mut parts: Vec<_> = segments.collect();
        parts.push((layout.stack.clone(), true));
        parts.push((layout.boot.start..layout.all.end, true));
        let stats = image.note.stats..image.note.stats + PAGE_BYTES;
        let ring = image.trace_ring.map(|ring| ring..ring + RING_BYTES);
        Ok(Self {
            mapping: Arc::new(mapping),
            parts,
            closed: Vec::new(),
            watched: std::iter::once(stats).chain(ring).collect(),
        })
    }

    /// Makes the kernel clear and map at once the pages that the image's file fills and those that
    /// the guest will write before `main`.
    /// A page that the guest touches first costs an exit to the kernel; a present page is mapped
    /// with its neighbours; and a page that is first touched by copying takes twice as long.
    pub(super) fn populate(&self, image: &Image, layout: &Layout) {
        let filled = image.segments.iter().map(|segment| {
            let file_end = segment.address + segment.file_bytes;
            let end = match segment.access {
                Access::Write => file_end.max(segment.pages.start + POPULATED_DATA_BYTES),
                _ => file_end,
            };
            segment.pages.start..end.next_multiple_of(PAGE_BYTES).min(segment.pages.end)
        });
        for range in filled.chain(layout.first_writes()) {
            let start = self.mapping.at((range.start - IMAGE_BASE) as usize);
            let bytes = (range.end - range.start) as usize;
            // SAFETY: advice about our own mapping; the contents stay. Kernels before 5.14 refuse it,
            // which costs time only.
            unsafe { libc::madvise(start.cast(), bytes, libc::MADV_POPULATE_WRITE) };
        }
    }

    /// Memory of these parts, for tests without an image.
    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn of_parts(bytes: usize, parts: Vec<(Range<u64>, bool)>) -> Self {
        let mapping = Mapping::private(bytes).expect("a megabyte of memory");
        Self {
            mapping: Arc::new(mapping),
            parts,
            closed: Vec::new(),
            watched: Vec::new(),
        }
    }

    fn checked(&self, start: u64, bytes: u64, write: bool) -> Option<*mut u8> {
        let end = start.checked_add(bytes)?;
        let fits = |(part, writable): &(Range<u64>, bool)| {
            part.start <= start && end <= part.end && (*writable || !write)
        };
        self.parts
            .iter()
            .any(fits)
            .then(|| self.mapping.at((start - IMAGE_BASE) as usize))
    }

    /// Returns a pointer to memory that the guest may read. A closed page in it faults, so only
    /// the kernel may dereference it.
    pub(super) fn readable(&self, start: u64, bytes: u64) -> Option<*const u8> {
        self.checked(start, bytes, false).map(<*mut u8>::cast_const)
    }

    /// Returns a pointer to memory that the guest may write; otherwise like [`Self::readable`].
    pub(super) fn writable(&self, start: u64, bytes: u64) -> Option<*mut u8> {
        self.checked(start, bytes, true)
    }

    /// Returns a pointer to memory that the guest may write and has not closed. This process may
    /// dereference it until the guest continues.
    pub(super) fn open(&self, start: u64, bytes: u64) -> Option<*mut u8> {
        self.writable(start, bytes)
            .filter(|_| self.is_open(start, bytes, Rights::Write))
    }

    /// Like [`Self::open`], for memory that the guest may read.
    pub(super) fn open_for_reading(&self, start: u64, bytes: u64) -> Option<*const u8> {
        self.readable(start, bytes)
            .filter(|_| self.is_open(start, bytes, Rights::Read))
    }

    fn is_open(&self, start: u64, bytes: u64, rights: Rights) -> bool {
        !self.closed.iter().any(|(range, allowed)| {
            *allowed < rights && range.start < start.saturating_add(bytes) && start < range.end
        })
    }

    /// Copies a value out of guest memory.
    pub(super) fn read<T: Copy + Default>(&self, start: u64) -> Option<T> {
        let bytes = size_of::<T>() as u64;
        let source = self.open_for_reading(start, bytes)?;
        // SAFETY: checked to lie in the mapping, in open pages; the guest does not run meanwhile.
        // The values read are plain numbers, valid in any bit pattern.
        Some(unsafe { source.cast::<T>().read_unaligned() })
    }

    /// Stores a number in guest memory.
    pub(super) fn write(&self, start: u64, value: i64) -> bool {
        let Some(target) = self.open(start, 8) else {
            return false;
        };
        // SAFETY: as in `read`.
        unsafe { target.cast::<i64>().write_unaligned(value) };
        true
    }

    /// Copies bytes for a report.
    pub(super) fn read_bytes(&self, start: u64, target: &mut [u8]) -> bool {
        let bytes = target.len() as u64;
        let Some(source) = self.open_for_reading(start, bytes) else {
            return false;
        };
        // SAFETY: as in `read`.
        unsafe {
            target
                .as_mut_ptr()
                .copy_from_nonoverlapping(source, target.len())
        };
        true
    }

    /// Returns the whole pages `start..start + bytes` if the guest may write all of them.
    pub(super) fn pages(&self, start: u64, bytes: u64) -> Option<*mut u8> {
        let aligned =
            start.is_multiple_of(PAGE_BYTES) && bytes.is_multiple_of(PAGE_BYTES) && bytes != 0;
        let end = start.saturating_add(bytes);
        let spares_watched = self
            .watched
            .iter()
            .all(|watched| end <= watched.start || watched.end <= start);
        self.writable(start, bytes)
            .filter(|_| aligned && spares_watched)
    }

    /// Sets the rights of pages; returns 0 or `-errno`.
    pub(super) fn protect(&mut self, start: u64, bytes: u64, rights: Rights) -> i64 {
        let Some(host) = self.pages(start, bytes) else {
            return -i64::from(libc::EINVAL);
        };
        if self.closed.len() >= MAX_CLOSED && rights != Rights::Write {
            return -i64::from(libc::ENOMEM);
        }
        let protection = match rights {
            Rights::None => libc::PROT_NONE,
            Rights::Read => libc::PROT_READ,
            Rights::Write => libc::PROT_READ | libc::PROT_WRITE,
        };
        // SAFETY: whole pages of our own mapping, which this process uses only as far as they are open.
        if unsafe { libc::mprotect(host.cast(), bytes as usize, protection) } != 0 {
            return -i64::from(
                std::io::Error::last_os_error()
                    .raw_os_error()
                    .unwrap_or(libc::EIO),
            );
        }
        let range = start..start + bytes;
        let outside = |(old, allowed): (Range<u64>, Rights)| {
            [
                (old.start..old.end.min(range.start), allowed),
                (old.start.max(range.end)..old.end, allowed),
            ]
        };
        let kept = self
            .closed
            .drain(..)
            .flat_map(outside)
            .filter(|(part, _)| part.start < part.end);
        self.closed = kept.collect();
        if rights != Rights::Write {
            self.closed.push((range, rights));
        }
        0
    }

    /// Makes KVM drop its translations to pages, by closing the open ones for a moment.
    pub(super) fn forget(&self, start: u64, bytes: u64) {
        let Some(host) = self.pages(start, bytes) else {
            return;
        };
        let mut at = start;
        while at < start + bytes {
            let is_next = |range: &&Range<u64>| range.end > at && range.start < start + bytes;
            let closed = self.closed.iter().filter(|(range, _)| is_next(&range));
            let next = closed.min_by_key(|(range, _)| range.start);
            let (end, rights) = match next {
                Some((range, rights)) if range.start <= at => (range.end, *rights),
                Some((range, _)) => (range.start, Rights::Write),
                None => (start + bytes, Rights::Write),
            };
            let end = end.min(start + bytes);
            let protection = match rights {
                Rights::None => libc::PROT_NONE,
                Rights::Read => libc::PROT_READ,
                Rights::Write => libc::PROT_READ | libc::PROT_WRITE,
            };
            for protection in [libc::PROT_NONE, protection] {
                // SAFETY: whole pages of our own mapping, which are afterwards as they were; nothing else of this process
                // uses them meanwhile. Where it fails they are as they were, too.
                unsafe {
                    let place = host.add((at - start) as usize);
                    libc::mprotect(place.cast(), (end - at) as usize, protection)
                };
            }
            at = end;
        }
    }

    /// Drops the host memory behind pages; returns 0 or `-errno`.
    pub(super) fn give_back(&self, start: u64, bytes: u64) -> i64 {
        let Some(host) = self.pages(start, bytes) else {
            return -i64::from(libc::EINVAL);
        };
        // SAFETY: whole pages of our own mapping, whose contents the guest gave up.
        match unsafe { libc::madvise(host.cast(), bytes as usize, libc::MADV_DONTNEED) } {
            0 => 0,
            _ => -i64::from(
                std::io::Error::last_os_error()
                    .raw_os_error()
                    .unwrap_or(libc::EIO),
            ),
        }
    }

    /// Returns the first address in `start .. start + bytes` that is closed to some kind of access.
    pub(super) fn first_closed(&self, start: u64, bytes: u64) -> Option<u64> {
        let end = start.saturating_add(bytes);
        let met = self
            .closed
            .iter()
            .filter(|(range, _)| range.start < end && start < range.end);
        met.map(|(range, _)| range.start.max(start)).min()
    }

    /// Returns the closed range nearest to `address`, which an overflowing stack must have hit.
    pub(super) fn closed_near(&self, address: u64) -> Option<u64> {
        let distance = |range: &&Range<u64>| {
            address
                .abs_diff(range.end - 1)
                .min(address.abs_diff(range.start))
        };
        self.closed
            .iter()
            .map(|(range, _)| range)
            .min_by_key(distance)
            .map(|range| address.clamp(range.start, range.end - 1))
    }
}
