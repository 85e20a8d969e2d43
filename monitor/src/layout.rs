//! The layout of a guest's memory. Pure arithmetic.
//!
//! ```text
//!   guest-virtual                                      guest-physical = virtual - 2 MiB
//!   0x000000 .. 0x200000   nothing: null dereferences fault
//!   0x100000               but here registers of devices, where there are any (kvm only)
//!   0x200000 .. image end  the image, segment by segment        W^X
//!            .. tables     page tables, task state (kvm only)   not the guest's
//!            .. stack      one page never mapped, then the main stack   RW
//!            .. boot       boot information, strings, archive   RW
//!            .. ram end    all that the image may hand out      RW
//! ```
//!
//! The segments of a large image lie far apart ([`bespoke_abi::IMAGE_BASE`] and `libos/image.ld`),
//! so that separate 2 MiB pages map them.
//! The tables and the stack then lie in the gap before the data, and boot information and
//! RAM follow the data in its pages.
//! A gap is address space and not memory: nothing backs it, and it does not
//! reduce the memory given with `-m`.
//!
//! The constant offset between virtual and physical makes every byte given with `-m` usable: a
//! hello image runs in a total of 2 MiB.

use crate::MonitorError;
use crate::image::{Access, Segment};
use crate::memory::{HUGE_BYTES, PAGE_BYTES, huge_part};
use bespoke_abi::devices::MAX_DEVICES;
use bespoke_abi::{HEAD_BYTES, IMAGE_BASE, LEAST_HEADED_BYTES, PAGE_ENTRY_BYTES};
use std::ops::Range;

/// Bytes covered by one page directory pointer table, minus the gaps of an image.
const MAX_BYTES: u64 = 507 << 30;
const GIB: u64 = 1 << 30;
const GUARD_BYTES: u64 = PAGE_BYTES;
/// Address of the device registers in a virtual machine, far from null and from the image.
pub(crate) const DEVICES_BASE: u64 = 0x10_0000;
/// One page of registers for each device.
const DEVICES_BYTES: u64 = MAX_DEVICES as u64 * PAGE_BYTES;
/// Upper estimate of an image's allocations before `main`.
const BOOT_ALLOCATIONS_BYTES: u64 = 256 << 10;

const LEAST_FIRST_BYTES: u64 = 32 << 10;
const MOST_FIRST_BYTES: u64 = 256 << 10;
/// Bytes that KVM maps around a page that faults: eight aligned pages, from the
/// first on until the host lacks one.
const WINDOW_BYTES: u64 = 8 * PAGE_BYTES;

/// Part of the stack that shares a window with boot information and the first of RAM,
/// so that one fault maps all three.
/// The guard is wider for it, which takes memory that a small image does not lack.
const STACK_TOP_BYTES: u64 = 3 * PAGE_BYTES;
/// A segment with at least this many bytes in a 2 MiB page of its own gets a huge page.
const LEAST_HUGE_BYTES: u64 = 256 << 10;

/// Guest-virtual ranges; see the picture above.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// From [`IMAGE_BASE`] to the end of memory, gaps included.
    pub all: Range<u64>,
    /// Empty for the process monitor.
    pub tables: Range<u64>,
    /// The main stack; the page below it is never mapped.
    pub stack: Range<u64>,
    pub boot: Range<u64>,
    pub ram: Range<u64>,
    /// Device registers at [`DEVICES_BASE`]: their guest-physical addresses. Empty: none.
    pub devices: Range<u64>,
    /// End of the last segment.
    image_end: u64,
    /// Bytes of the image in memory.
    image_bytes: u64,
    /// Pages of 2 MiB that only one segment uses, with its access rights (RAM may follow data).
    large: Vec<(u64, Access)>,
}

impl Layout {
    /// Lays out `given_bytes` of memory for an image of `segments`; `with_tables` for a virtual machine.
    pub(crate) fn new(
        segments: &[Segment],
        stack_bytes: u64,
        boot_bytes: u64,
        given_bytes: u64,
        with_tables: bool,
        with_devices: bool,
    ) -> Result<Self, MonitorError> {
        fits_host(given_bytes)?;
        let total = given_bytes / PAGE_BYTES * PAGE_BYTES;
        let image_end = segments.last().map_or(IMAGE_BASE, |last| last.pages.end);
        let image_bytes = segments.iter().map(segment_bytes).sum::<u64>();
        let gaps_bytes = image_end - IMAGE_BASE - image_bytes;
        let devices_bytes = if with_devices { DEVICES_BYTES } else { 0 };
        let tables_bytes = if with_tables {
            let end = IMAGE_BASE + total + gaps_bytes;
            table_pages(image_end, stack_bytes.min(total), end, devices_bytes) * PAGE_BYTES
        } else {
            0
        };
        let stack_bytes = stack_bytes.checked_next_multiple_of(PAGE_BYTES);
        let gap = match segments {
            [.., before, last] => before.pages.end..last.pages.start,
            _ => image_end..image_end,
        };
        let beside = stack_bytes.and_then(|bytes| bytes.checked_add(tables_bytes + GUARD_BYTES));
        let is_beside = beside.is_some_and(|bytes| bytes <= gap.end - gap.start);
        // Tables and stack lie in the gap before the data, up to its end, else behind the image.
        let tables_start = match beside {
            Some(bytes) if is_beside => gap.end - bytes,
            _ => image_end,
        };
        let tables = tables_start..tables_start + tables_bytes;
        let guard_bytes = if with_tables && !is_beside && total >= LEAST_HEADED_BYTES as u64 {
            let end = tables.end + GUARD_BYTES + stack_bytes.unwrap_or(0);
            GUARD_BYTES + (STACK_TOP_BYTES.wrapping_sub(end)) % WINDOW_BYTES
        } else {
            GUARD_BYTES
        };
        let stack_start = tables.end + guard_bytes;
        let stack_end = stack_bytes.and_then(|bytes| bytes.checked_add(stack_start));
        let unbacked_bytes = match stack_end {
            Some(end) if is_beside => gaps_bytes - (end - stack_start) - tables_bytes,
            _ => gaps_bytes,
        };
        let end = IMAGE_BASE + total + unbacked_bytes;
        let boot_start = stack_end.map(|end| end.max(image_end));
        let boot_end = boot_start
            .and_then(|start| start.checked_add(boot_bytes))
            .and_then(|end| end.checked_next_multiple_of(PAGE_BYTES));
        // One page of RAM: with less, an image cannot even report what it lacks.
        let needed = boot_end
            .and_then(|end| end.checked_add(PAGE_BYTES))
            .unwrap_or(u64::MAX);
        if needed > end {
            return Err(MonitorError::TooLittleMemory {
                needed_bytes: needed - IMAGE_BASE - unbacked_bytes,
                given_bytes,
            });
        }
        let stack = stack_start..stack_end.unwrap_or(stack_start);
        let boot = stack.end.max(image_end)..needed - PAGE_BYTES;
        let memory_end = (end - IMAGE_BASE).next_multiple_of(HUGE_BYTES);
        let mut layout = Self {
            devices: memory_end..memory_end + devices_bytes,
            all: IMAGE_BASE..end,
            ram: boot.end..end,
            tables,
            stack,
            boot,
            image_end,
            image_bytes,
            large: Vec::new(),
        };
        layout.large = layout.large_pages(segments);
        Ok(layout)
    }

    /// The layout of an image on a stock machine of `total` bytes, as far as the image reports it
    /// (else empty ranges); for crash reports.
    pub(crate) fn stock(
        segments: &[Segment],
        stack: Range<u64>,
        ram: Range<u64>,
        total: u64,
    ) -> Self {
        let image_end = segments.last().map_or(IMAGE_BASE, |last| last.pages.end);
        Self {
            all: IMAGE_BASE..total.max(IMAGE_BASE),
            tables: image_end..image_end,
            boot: image_end..stack.start.saturating_sub(GUARD_BYTES).max(image_end),
            stack,
            ram,
            devices: 0..0,
            image_end,
            image_bytes: segments.iter().map(segment_bytes).sum(),
            large: Vec::new(),
        }
    }

    /// Finds the 2 MiB pages that belong to one segment alone and contain enough of it.
    /// Data counts as a whole, because RAM follows it. Nothing readable
    /// lies behind text and constants.
    fn large_pages(&self, segments: &[Segment]) -> Vec<(u64, Access)> {
        let mut large = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            let others = segments
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index);
            let mut taken: Vec<_> = others.map(|(_, other)| other.pages.clone()).collect();
            taken.push(self.tables.start..self.stack.end);
            if segment.access != Access::Write {
                taken.push(self.boot.start..self.all.end);
            }
            let first = segment.pages.start / HUGE_BYTES * HUGE_BYTES;
            for chunk in (first..segment.pages.end).step_by(HUGE_BYTES as usize) {
                let range = chunk..chunk + HUGE_BYTES;
                let is_alone = range.end <= self.all.end
                    && !taken.iter().any(|other| overlap(&range, other) != 0);
                let own = if segment.access == Access::Write {
                    overlap(&range, &(segment.pages.start..self.all.end)) / HUGE_BYTES * HUGE_BYTES
                } else {
                    overlap(&range, &segment.pages)
                };
                if is_alone && own >= LEAST_HUGE_BYTES {
                    large.push((chunk, segment.access));
                }
            }
        }
        large
    }

    /// Access rights of the 2 MiB page at `chunk`, if only one segment uses it.
    pub(crate) fn large_page(&self, chunk: u64) -> Option<Access> {
        let found = self.large.iter().find(|(start, _)| *start == chunk);
        found.map(|&(_, access)| access)
    }

    /// Whether the 2 MiB at `chunk` hold only RAM.
    pub(crate) fn is_ram(&self, chunk: u64) -> bool {
        chunk >= self.boot.start && chunk + HUGE_BYTES <= self.all.end
    }

    /// Ranges that the guest cannot access: gaps, tables, the page below the stack.
    pub(crate) fn closed(&self, segments: &[Segment]) -> Vec<Range<u64>> {
        let mut open: Vec<_> = segments
            .iter()
            .map(|segment| segment.pages.clone())
            .collect();
        open.extend([self.stack.clone(), self.boot.start..self.all.end]);
        open.sort_by_key(|range| range.start);
        let mut at = self.all.start;
        let mut closed = Vec::new();
        for range in open {
            if at < range.start {
                closed.push(at..range.start);
            }
            at = range.end;
        }
        closed
    }

    /// The RAM to be backed by huge pages.
    /// It excludes the start, up to [`Layout::eager_end`], because the first touch of a huge page
    /// costs as much as a hundred small ones, and this would be before `main`.
    pub(crate) fn huge_ram(&self) -> Range<u64> {
        huge_part(&(self.eager_end()..self.ram.end))
    }

    /// The parts of an image that huge pages should back: its large pages, and, where its segments
    /// lie close together, every range that fills half of a huge page.
    /// Copying 1.4 MiB takes 0.6 ms into small pages and 0.15 ms into one huge page.
    pub(crate) fn huge_image(&self) -> Vec<Range<u64>> {
        let dense_end = if self.tables.start >= self.image_end {
            let bytes = self.image_end - IMAGE_BASE + HUGE_BYTES / 2;
            let end = IMAGE_BASE + bytes / HUGE_BYTES * HUGE_BYTES;
            end.min(self.all.end / HUGE_BYTES * HUGE_BYTES)
        } else {
            IMAGE_BASE
        };
        let large = self
            .large
            .iter()
            .map(|&(start, _)| start..start + HUGE_BYTES);
        let apart = large.filter(|large| large.start >= dense_end);
        apart
            .chain(std::iter::once(IMAGE_BASE..dense_end))
            .filter(|range| !range.is_empty())
            .collect()
    }

    /// Ranges where huge pages should be used and, with `huge_ram` off, where they should not.
    pub(crate) fn advice(&self, huge_ram: bool) -> impl Iterator<Item = (Range<u64>, bool)> {
        let image = self.huge_image().into_iter().map(|range| (range, true));
        image.chain([(self.huge_ram(), huge_ram)])
    }

    /// Memory that an image probably writes before it is ready, behind its data: the top of the
    /// stack; and boot information and the first of RAM, with the first allocations.
    /// It is little for a small program and a quarter of a MiB for a server.
    /// The ranges are whole windows, because KVM stops at a page that is missing.
    pub(crate) fn first_writes(&self) -> [Range<u64>; 2] {
        let bytes = (self.image_bytes / 8).clamp(LEAST_FIRST_BYTES, MOST_FIRST_BYTES);
        let stack = self.stack.end.saturating_sub(bytes / 4);
        let windows = |range: Range<u64>, within: &Range<u64>| {
            let start = range.start / WINDOW_BYTES * WINDOW_BYTES;
            let end = range.end.next_multiple_of(WINDOW_BYTES).min(within.end);
            start.clamp(within.start, end)..end
        };
        let heap = if self.has_head() {
            self.ram.start
        } else {
            self.ram.start + self.page_table_bytes()
        };
        [
            windows(stack..self.stack.end, &self.stack),
            windows(
                self.boot.start..heap + bytes,
                &(self.boot.start..self.ram.end),
            ),
        ]
    }

    /// Whether the first allocations lie before the page source's table.
    fn has_head(&self) -> bool {
        self.ram.end - self.ram.start >= LEAST_HEADED_BYTES as u64
    }

    /// Bytes of the page source's table.
    fn page_table_bytes(&self) -> u64 {
        (self.ram.end - self.ram.start) / PAGE_BYTES * PAGE_ENTRY_BYTES as u64
    }

    /// End of the RAM that an image touches before `main`: the page source's
    /// table and the first allocations.
    pub(crate) fn eager_end(&self) -> u64 {
        let allocations = if self.has_head() {
            HEAD_BYTES as u64
        } else {
            BOOT_ALLOCATIONS_BYTES
        };
        let end = self.ram.start + self.page_table_bytes() + allocations;
        end.min(self.ram.end)
    }
}

fn segment_bytes(segment: &Segment) -> u64 {
    segment.pages.end - segment.pages.start
}

/// Number of bytes in both ranges.
fn overlap(a: &Range<u64>, b: &Range<u64>) -> u64 {
    a.end.min(b.end).saturating_sub(a.start.max(b.start))
}

/// Pages for the tables and the task state: top table, pointers, directories, 4 KiB
/// tables under devices, image and tables themselves (at most these), one for an
/// unaligned end, and the task state segment.
fn table_pages(image_end: u64, stack_bytes: u64, end: u64, devices_bytes: u64) -> u64 {
    let directories = end.div_ceil(GIB);
    let mut tables = 0;
    loop {
        let pages = 2 + directories + tables + devices_bytes.div_ceil(HUGE_BYTES) + 1 + 1;
        let covered =
            image_end + pages * PAGE_BYTES + GUARD_BYTES + stack_bytes + PAGE_BYTES - IMAGE_BASE;
        if covered.div_ceil(HUGE_BYTES) <= tables {
            return pages;
        }
        tables += 1;
    }
}

/// Rejects more memory than the host has.
pub(crate) fn fits_host(given_bytes: u64) -> Result<(), MonitorError> {
    let limit_bytes = host_memory_bytes()?.min(MAX_BYTES);
    if given_bytes > limit_bytes {
        return Err(MonitorError::TooMuchMemory {
            given_bytes,
            limit_bytes,
        });
    }
    Ok(())
}

fn host_memory_bytes() -> Result<u64, MonitorError> {
    let mut info = std::mem::MaybeUninit::<libc::sysinfo>::uninit();
    // SAFETY: sysinfo fills the structure it is given.
    let info = unsafe {
        if libc::sysinfo(info.as_mut_ptr()) != 0 {
            return Err(MonitorError::host("say how much memory it has"));
        }
        info.assume_init()
    };
    Ok(info.totalram * u64::from(info.mem_unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(pages: Range<u64>, access: Access) -> Segment {
        Segment {
            address: pages.start,
            file_offset: 0,
            file_bytes: 0,
            pages,
            access,
        }
    }

    fn dense(image_end: u64) -> Vec<Segment> {
        vec![segment(IMAGE_BASE..image_end, Access::Write)]
    }

    /// Constants, text of 1.5 MiB and data, far from each other.
    fn apart() -> Vec<Segment> {
        vec![
            segment(0x20_0000..0x22_0000, Access::Read),
            segment(0x40_0000..0x58_0000, Access::Execute),
            segment(0x80_0000..0x81_0000, Access::Write),
        ]
    }

    fn check(layout: &Layout, segments: &[Segment], given: u64) {
        assert!(layout.stack.end - layout.stack.start >= 9000);
        let guard = layout.stack.start - layout.tables.end;
        let is_wider = guard > GUARD_BYTES;
        assert!((GUARD_BYTES..GUARD_BYTES + WINDOW_BYTES).contains(&guard));
        assert!(!is_wider || given >= LEAST_HEADED_BYTES as u64);
        assert!(!is_wider || layout.stack.end % WINDOW_BYTES == STACK_TOP_BYTES);
        for part in layout.first_writes() {
            assert!(part.start <= part.end && part.end <= layout.ram.end);
            assert!(
                part.start.is_multiple_of(PAGE_BYTES) && part.end.is_multiple_of(PAGE_BYTES),
                "{part:#x?}"
            );
        }
        let huge = layout.huge_ram();
        assert!(huge.is_empty() || huge.start > layout.ram.start);
        assert!(huge.start <= layout.ram.end && huge.end <= layout.ram.end);
        assert_eq!(layout.boot.end, layout.ram.start);
        assert_eq!(layout.ram.end, layout.all.end);
        assert!(layout.boot.end - layout.boot.start >= 5000 && !layout.ram.is_empty());
        // All that was given is there, and nothing else.
        let closed = layout.closed(segments);
        let bytes = |ranges: &[Range<u64>]| {
            ranges
                .iter()
                .map(|range| range.end - range.start)
                .sum::<u64>()
        };
        let backed = layout.all.end - layout.all.start - bytes(&closed) + layout.tables.end
            - layout.tables.start;
        assert!(
            given - backed <= PAGE_BYTES + guard,
            "{given:#x} {backed:#x}"
        );
        assert!(closed.iter().any(|range| range.end == layout.stack.start));
    }

    #[test]
    fn parts_follow_each_other_and_fill_the_memory() {
        for megabytes in [1, 2, 3, 64, 256, 1025] {
            for image_end in [0x20_1000, 0x23_0000, 0x3f_f000, 0x40_0000] {
                let given = (megabytes << 20) + 0x1234;
                let segments = dense(image_end);
                let Ok(layout) = Layout::new(&segments, 9000, 5000, given, true, true) else {
                    assert!(
                        image_end - IMAGE_BASE + (20 << 12) > given,
                        "{megabytes} {image_end:#x}"
                    );
                    continue;
                };
                assert_eq!(layout.tables.start, image_end);
                assert_eq!(layout.stack.end, layout.boot.start);
                check(&layout, &segments, given);
            }
        }
    }

    #[test]
    fn segments_far_apart_have_large_pages_and_their_gaps_take_no_memory() {
        for (megabytes, is_data_large) in [(2, false), (8, true), (1025, true)] {
            let (segments, given) = (apart(), megabytes << 20);
            let layout = Layout::new(&segments, 9000, 5000, given, true, true).unwrap();
            check(&layout, &segments, given);
            assert_eq!(layout.stack.end, 0x80_0000);
            assert_eq!(layout.boot.start, 0x81_0000);
            let large = |chunk| layout.large_page(chunk);
            assert_eq!(large(0x20_0000), None, "too small");
            assert_eq!(large(0x40_0000), Some(Access::Execute));
            assert_eq!(large(0x60_0000), None, "the stack");
            assert_eq!(large(0x80_0000), is_data_large.then_some(Access::Write));
            assert_eq!(layout.is_ram(0xa0_0000), is_data_large);
        }
    }

    #[test]
    fn a_stack_too_large_for_the_gap_lies_behind_the_image_and_keeps_its_guard() {
        let (segments, given) = (apart(), 64 << 20);
        let layout = Layout::new(&segments, 3 << 20, 5000, given, true, true).unwrap();
        check(&layout, &segments, given);
        assert_eq!(layout.tables.start, 0x81_0000);
        assert_eq!(layout.large_page(0x80_0000), None);
    }

    #[test]
    fn a_large_page_belongs_to_one_segment_alone() {
        let segments = [
            segment(0x20_0000..0x3f_f000, Access::Read),
            segment(0x3f_f000..0x60_0000, Access::Execute),
            segment(0x60_0000..0xa0_1000, Access::Write),
        ];
        let layout = Layout::new(&segments, 9000, 5000, 64 << 20, true, false).unwrap();
        let chunks = (0x20_0000..0xe0_0000).step_by(HUGE_BYTES as usize);
        let large: Vec<_> = chunks
            .filter_map(|chunk| layout.large_page(chunk).map(|access| (chunk, access)))
            .collect();
        let expected = [
            (0x40_0000, Access::Execute),
            (0x60_0000, Access::Write),
            (0x80_0000, Access::Write),
        ];
        assert_eq!(large, expected);
    }

    #[test]
    fn too_little_says_how_much_is_needed_and_that_is_enough() {
        for segments in [dense(0x24_0000), apart()] {
            for given in [0, 1, 4096, 0x1_0000] {
                let Err(MonitorError::TooLittleMemory { needed_bytes, .. }) =
                    Layout::new(&segments, 0x2_0000, 100, given, true, true)
                else {
                    panic!("{given} bytes cannot do");
                };
                assert!(needed_bytes < 2 << 20, "{needed_bytes:#x}");
                assert!(
                    Layout::new(&segments, 0x2_0000, 100, needed_bytes, true, true).is_ok(),
                    "{needed_bytes:#x}"
                );
            }
        }
    }

    #[test]
    fn absurd_sizes_are_refused() {
        for segments in [dense(0x24_0000), apart()] {
            for given in [1 << 50, u64::MAX] {
                assert!(matches!(
                    Layout::new(&segments, 0x2_0000, 100, given, true, true),
                    Err(MonitorError::TooMuchMemory { .. })
                ));
            }
            assert!(Layout::new(&segments, 0, u64::MAX - 100, 1 << 24, true, true).is_err());
            assert!(Layout::new(&segments, u64::MAX - 100, 100, 1 << 24, true, true).is_err());
        }
    }
}
