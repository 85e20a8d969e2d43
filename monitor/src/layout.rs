//! Where everything lies in a guest's memory. Pure arithmetic; owns nothing.
//!
//! ```text
//!   guest-virtual                                      guest-physical = virtual - 2 MiB
//!   0x000000 .. 0x200000   nothing: null dereferences fault
//!   0x100000               but here registers of devices, where there are any (kvm only)
//!   0x200000 .. image end  the image, segment by segment        4 KiB pages, W^X
//!            .. tables     page tables, task state (kvm only)   not the guest's
//!            .. stack      one page never mapped, then the main stack   RW
//!            .. boot       boot information, strings, archive   RW
//!            .. ram end    all that the image may hand out      RW, 2 MiB pages where whole
//! ```
//!
//! The constant offset between virtual and physical puts every byte given by `-m` to use: a hello
//! image runs in 2 MiB in all.

use crate::MonitorError;
use crate::memory::{HUGE_BYTES, PAGE_BYTES, huge_part};
use bespoke_abi::IMAGE_BASE;
use std::ops::Range;

/// One page directory pointer table covers this much.
const MAX_BYTES: u64 = 511 << 30;
const GIB: u64 = 1 << 30;
const GUARD_BYTES: u64 = PAGE_BYTES;
/// Where a virtual machine sees the registers of its devices, far from null and from the image.
pub(crate) const DEVICES_BASE: u64 = 0x10_0000;
/// A page of registers for each.
const DEVICES_BYTES: u64 = 3 * PAGE_BYTES;
/// What an image allocates before `main`, with room to spare.
const BOOT_ALLOCATIONS_BYTES: u64 = 256 << 10;

const LEAST_FIRST_BYTES: u64 = 32 << 10;
const MOST_FIRST_BYTES: u64 = 256 << 10;

/// Guest-virtual ranges; see the module's picture.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// From [`IMAGE_BASE`] to the end of memory.
    pub all: Range<u64>,
    /// Empty for the process monitor.
    pub tables: Range<u64>,
    /// The main stack; the page below it is never mapped.
    pub stack: Range<u64>,
    pub boot: Range<u64>,
    pub ram: Range<u64>,
    /// Registers of devices, at [`DEVICES_BASE`]: the guest-physical addresses behind them. Empty: none.
    pub devices: Range<u64>,
}

impl Layout {
    /// Lays out `given_bytes` of memory; `with_tables` for a virtual machine.
    pub(crate) fn new(
        image_end: u64,
        stack_bytes: u64,
        boot_bytes: u64,
        given_bytes: u64,
        with_tables: bool,
        with_devices: bool,
    ) -> Result<Self, MonitorError> {
        let limit_bytes = host_memory_bytes()?.min(MAX_BYTES);
        if given_bytes > limit_bytes {
            return Err(MonitorError::TooMuchMemory {
                given_bytes,
                limit_bytes,
            });
        }
        let total = given_bytes / PAGE_BYTES * PAGE_BYTES;
        let end = IMAGE_BASE + total;
        let devices_bytes = if with_devices { DEVICES_BYTES } else { 0 };
        let tables_bytes = if with_tables {
            table_pages(image_end, stack_bytes.min(total), end, devices_bytes) * PAGE_BYTES
        } else {
            0
        };
        let tables = image_end..image_end + tables_bytes;
        let stack_start = tables.end + GUARD_BYTES;
        let stack_end = stack_bytes
            .checked_add(stack_start)
            .and_then(|end| end.checked_next_multiple_of(PAGE_BYTES));
        let boot_end = stack_end
            .and_then(|end| end.checked_add(boot_bytes))
            .and_then(|end| end.checked_next_multiple_of(PAGE_BYTES));
        // One page of RAM: with less, no image can even say what it lacks.
        let needed = boot_end
            .and_then(|end| end.checked_add(PAGE_BYTES))
            .unwrap_or(u64::MAX);
        if needed > end {
            return Err(MonitorError::TooLittleMemory {
                needed_bytes: needed - IMAGE_BASE,
                given_bytes,
            });
        }
        let stack = stack_start..stack_end.unwrap_or(stack_start);
        let boot = stack.end..needed - PAGE_BYTES;
        let memory_end = total.next_multiple_of(HUGE_BYTES);
        Ok(Self {
            devices: memory_end..memory_end + devices_bytes,
            all: IMAGE_BASE..end,
            ram: boot.end..end,
            tables,
            stack,
            boot,
        })
    }

    /// What image, tables and stack occupy, widened to huge pages: mapped by 4 KiB pages.
    pub(crate) fn small_pages(&self) -> Range<u64> {
        IMAGE_BASE..self.stack.end.next_multiple_of(HUGE_BYTES)
    }

    /// The RAM to be backed by huge pages. Its start, up to [`Layout::eager_end`], is not: the first
    /// touch of a huge page costs as much as a hundred small ones, before `main`.
    pub(crate) fn huge_ram(&self) -> Range<u64> {
        huge_part(&(self.eager_end()..self.ram.end))
    }

    /// The part of a large image that huge pages should back: copying 1.4 MiB into small pages takes
    /// 0.6 ms, into one huge page 0.15. Empty for images that fill less than half of one.
    pub(crate) fn huge_image(&self) -> Range<u64> {
        let bytes = self.image_bytes() + HUGE_BYTES / 2;
        let end = IMAGE_BASE + bytes / HUGE_BYTES * HUGE_BYTES;
        IMAGE_BASE..end.min(self.all.end / HUGE_BYTES * HUGE_BYTES)
    }

    fn image_bytes(&self) -> u64 {
        self.tables.start - IMAGE_BASE
    }

    /// What an image is likely to write before it is ready, behind its data: the top of the stack, boot
    /// information and the first of the page source's table; then the first allocations. Little for a
    /// small program, a quarter of a MiB for a server.
    pub(crate) fn first_writes(&self) -> [Range<u64>; 2] {
        let bytes = (self.image_bytes() / 8).clamp(LEAST_FIRST_BYTES, MOST_FIRST_BYTES);
        let stack = self
            .stack
            .end
            .saturating_sub(bytes / 4)
            .max(self.stack.start);
        let heap = self.ram.start + self.page_table_bytes();
        let pages = |range: Range<u64>| {
            let end = range.end.min(self.ram.end) / PAGE_BYTES * PAGE_BYTES;
            (range.start / PAGE_BYTES * PAGE_BYTES).min(end)..end
        };
        [
            pages(stack..self.ram.start + PAGE_BYTES),
            pages(heap..heap + bytes),
        ]
    }

    /// Bytes of the page source's table: 16 a page.
    fn page_table_bytes(&self) -> u64 {
        (self.ram.end - self.ram.start) / 256
    }

    /// End of the RAM that an image touches before `main`: the page source's table and the first
    /// allocations.
    pub(crate) fn eager_end(&self) -> u64 {
        let end = self.ram.start + self.page_table_bytes() + BOOT_ALLOCATIONS_BYTES;
        end.min(self.ram.end)
    }
}

/// Pages for the tables and the task state: top, pointers, directories, 4 KiB tables under devices, image
/// and tables themselves, one for a ragged end, and the task state segment.
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

    #[test]
    fn parts_follow_each_other_and_fill_the_memory() {
        for megabytes in [2, 3, 64, 256, 1025] {
            for image_end in [0x20_1000, 0x23_0000, 0x3f_f000, 0x40_0000] {
                let given = (megabytes << 20) + 0x1234;
                let Ok(layout) = Layout::new(image_end, 9000, 5000, given, true, true) else {
                    assert!(
                        image_end - IMAGE_BASE + (20 << 12) > given,
                        "{megabytes} {image_end:#x}"
                    );
                    continue;
                };
                assert_eq!(layout.tables.start, image_end);
                assert_eq!(layout.tables.end + GUARD_BYTES, layout.stack.start);
                assert!(layout.stack.end - layout.stack.start >= 9000);
                assert_eq!(layout.stack.end, layout.boot.start);
                for part in layout.first_writes() {
                    assert!(part.start <= part.end && part.end <= layout.ram.end);
                    assert!(
                        part.start.is_multiple_of(PAGE_BYTES)
                            && part.end.is_multiple_of(PAGE_BYTES),
                        "{part:#x?}"
                    );
                }
                let huge = layout.huge_ram();
                assert!(
                    huge.is_empty() || huge.start > layout.ram.start && huge.end <= layout.ram.end
                );
                assert_eq!(layout.boot.end, layout.ram.start);
                assert_eq!(layout.ram.end, layout.all.end);
                assert!(layout.boot.end - layout.boot.start >= 5000 && !layout.ram.is_empty());
                assert!(given - (layout.all.end - layout.all.start) < PAGE_BYTES);
            }
        }
    }

    #[test]
    fn too_little_says_how_much_is_needed_and_that_is_enough() {
        for given in [0, 1, 4096, 0x1_0000] {
            let Err(MonitorError::TooLittleMemory { needed_bytes, .. }) =
                Layout::new(0x24_0000, 0x2_0000, 100, given, true, true)
            else {
                panic!("{given} bytes cannot do");
            };
            assert!(
                Layout::new(0x24_0000, 0x2_0000, 100, needed_bytes, true, true).is_ok(),
                "{needed_bytes:#x}"
            );
        }
    }

    #[test]
    fn absurd_sizes_are_refused() {
        for given in [1 << 50, u64::MAX] {
            assert!(matches!(
                Layout::new(0x24_0000, 0x2_0000, 100, given, true, true),
                Err(MonitorError::TooMuchMemory { .. })
            ));
        }
        assert!(Layout::new(0x24_0000, 0, u64::MAX - 100, 1 << 24, true, true).is_err());
        assert!(Layout::new(0x24_0000, u64::MAX - 100, 100, 1 << 24, true, true).is_err());
    }
}
