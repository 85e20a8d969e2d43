//! Page tables and task state of a virtual machine, written once before it starts.
//! The guest has no mapping of these pages, except for the task state segment: the CPU reads it by
//! linear address, and CPL 3 cannot access it.
//!
//! ```text
//!   page 0   PML4        one entry
//!   page 1   PDPT        one entry per GiB
//!   page 2.. PD          2 MiB pages of RAM and of large segments, or a table below
//!   then     PT          4 KiB pages: registers of devices, small segments, the stack, the ragged end of memory
//!   last     task state  I/O bitmap: the hypercall port alone is open
//! ```

use crate::image::{Access, Segment};
use crate::layout::{DEVICES_BASE, Layout};
use crate::memory::{HUGE_BYTES, PAGE_BYTES};
use bespoke_abi::IMAGE_BASE;
use bespoke_abi::hypercall::PORT;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
/// Accessed and dirty are set in advance, so the CPU never writes the tables.
const USED: u64 = 1 << 5 | 1 << 6;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
pub(super) const TABLE: u64 = PRESENT | WRITABLE | USER | 1 << 5;
pub(super) const DATA: u64 = PRESENT | WRITABLE | USER | USED | NO_EXECUTE;
const SUPERVISOR: u64 = PRESENT | WRITABLE | USED | NO_EXECUTE;
const GIB: u64 = 1 << 30;
const ENTRIES: u64 = PAGE_BYTES / 8;

/// Offset of the I/O bitmap in the task state segment: directly behind its 104 bytes.
const BITMAP: usize = 0x68;
/// An `out` of 32 bits needs the bits of four ports.
const OPEN_PORTS: std::ops::Range<usize> = PORT as usize..PORT as usize + 4;
/// Ports beyond the segment's limit are closed. The CPU reads two bytes of the bitmap at a time.
const BITMAP_BYTES: usize = (PORT as usize + 4) / 8 + 2;

/// Values for the vCPU's registers.
pub(super) struct Tables {
    /// Guest-physical address of the top table.
    pub cr3: u64,
    /// Guest-virtual address of the task state segment.
    pub task_state: u64,
    /// Its limit.
    pub task_state_limit: u32,
}

/// Returns the physical address of a guest-virtual one.
pub(super) fn physical(address: u64) -> u64 {
    address - IMAGE_BASE
}

struct Writer {
    base: *mut u8,
    next: u64,
    end: u64,
}

impl Writer {
    /// Takes the next page of the tables' range; returns its guest-virtual address.
    fn page(&mut self) -> u64 {
        assert!(self.next < self.end, "Layout reserved too few table pages");
        let page = self.next;
        self.next += PAGE_BYTES;
        page
    }

    fn set(&self, table: u64, index: u64, entry: u64) {
        assert!(index < ENTRIES);
        // SAFETY: `table` came from `page`, so it lies in guest memory; the index is inside it.
        unsafe {
            self.base
                .add(physical(table) as usize)
                .cast::<u64>()
                .add(index as usize)
                .write(entry)
        };
    }
}

/// Writes all tables.
///
/// # Safety
///
/// `base` is the zeroed memory at [`IMAGE_BASE`], valid for writes over all of `layout`.
pub(super) unsafe fn write(segments: &[Segment], layout: &Layout, base: *mut u8) -> Tables {
    let mut writer = Writer {
        base,
        next: layout.tables.start,
        end: layout.tables.end,
    };
    let top = writer.page();
    let pointers = writer.page();
    writer.set(top, 0, physical(pointers) | TABLE);
    let end = layout.all.end;
    let directories: Vec<u64> = (0..end.div_ceil(GIB)).map(|_| writer.page()).collect();
    for (index, &directory) in directories.iter().enumerate() {
        writer.set(pointers, index as u64, physical(directory) | TABLE);
    }
    let task_state = layout.tables.end - PAGE_BYTES;
    if !layout.devices.is_empty() {
        let table = writer.page();
        writer.set(directories[0], 0, physical(table) | TABLE);
        for offset in (0..layout.devices.end - layout.devices.start).step_by(PAGE_BYTES as usize) {
            let index = (DEVICES_BASE + offset) / PAGE_BYTES;
            writer.set(table, index, (layout.devices.start + offset) | DATA);
        }
    }
    let mut chunk = IMAGE_BASE;
    while chunk < end {
        let directory = directories[(chunk / GIB) as usize];
        let index = chunk / HUGE_BYTES % ENTRIES;
        let ram = layout.is_ram(chunk).then_some(Access::Write);
        if let Some(access) = layout.large_page(chunk).or(ram) {
            writer.set(directory, index, physical(chunk) | rights(access) | LARGE);
        } else {
            let mut table = None;
            for page in (chunk..end.min(chunk + HUGE_BYTES)).step_by(PAGE_BYTES as usize) {
                let entry = small_entry(segments, layout, task_state, page);
                if entry != 0 {
                    let table = *table.get_or_insert_with(|| writer.page());
                    writer.set(table, page / PAGE_BYTES % ENTRIES, physical(page) | entry);
                }
            }
            if let Some(table) = table {
                writer.set(directory, index, physical(table) | TABLE);
            }
        }
        chunk += HUGE_BYTES;
    }
    // SAFETY: the last page of the tables' range, which `Layout` counts apart from the tables.
    unsafe { write_task_state(base.add(physical(task_state) as usize)) };
    Tables {
        cr3: physical(top),
        task_state,
        task_state_limit: (BITMAP + BITMAP_BYTES) as u32,
    }
}

fn small_entry(segments: &[Segment], layout: &Layout, task_state: u64, page: u64) -> u64 {
    if layout.stack.contains(&page) || page >= layout.boot.start {
        return DATA;
    }
    if page == task_state {
        return SUPERVISOR;
    }
    segments
        .iter()
        .find(|segment| segment.pages.contains(&page))
        .map_or(0, |segment| rights(segment.access))
}

fn rights(access: Access) -> u64 {
    match access {
        Access::Read => PRESENT | USER | USED | NO_EXECUTE,
        Access::Execute => PRESENT | USER | USED,
        Access::Write => DATA,
    }
}

/// # Safety
///
/// `target` is a page to write.
unsafe fn write_task_state(target: *mut u8) {
    const BITMAP_FIELD: usize = 102;
    // SAFETY: all offsets are below a page.
    unsafe {
        target.add(BITMAP_FIELD).cast::<u16>().write(BITMAP as u16);
        let bitmap = std::slice::from_raw_parts_mut(target.add(BITMAP), BITMAP_BYTES + 1);
        bitmap.fill(0xff);
        for port in OPEN_PORTS {
            bitmap[port / 8] &= !(1 << (port % 8));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Mapping;
    use std::ops::Range;

    fn segment(pages: Range<u64>, access: Access) -> Segment {
        Segment {
            address: pages.start,
            file_offset: 0,
            file_bytes: 0,
            pages,
            access,
        }
    }

    /// Walks the tables for `address`: returns the physical address, and the
    /// rights that every level grants.
    fn walk(memory: &Mapping, cr3: u64, address: u64) -> Option<(u64, u64)> {
        const ADDRESS: u64 = 0xf_ffff_ffff_f000;
        let (mut table, mut rights) = (cr3, PRESENT | WRITABLE | USER);
        let mut is_executable = true;
        for level in (0..4).rev() {
            let shift = 12 + 9 * level;
            let index = address >> shift & 511;
            assert!(
                table + PAGE_BYTES <= memory.bytes() as u64,
                "a table outside of memory"
            );
            // SAFETY: an entry of a table in the mapping.
            let entry = unsafe { memory.at((table + index * 8) as usize).cast::<u64>().read() };
            if entry & PRESENT == 0 {
                return None;
            }
            rights &= entry;
            is_executable &= entry & NO_EXECUTE == 0;
            let bytes = 1 << shift;
            if level == 0 || entry & LARGE != 0 {
                assert!(level < 2, "a page of 1 GiB");
                assert_eq!(entry & USED, USED, "the CPU would write the tables");
                let physical = entry & ADDRESS & !(bytes - 1);
                let rights = rights | if is_executable { 0 } else { NO_EXECUTE };
                return Some((physical + address % bytes, rights));
            }
            table = entry & ADDRESS;
        }
        None
    }

    /// Checks every page up to beyond the end of memory, for various layouts.
    #[test]
    fn every_page_is_mapped_as_the_layout_says() {
        let dense = |end| vec![segment(IMAGE_BASE..end, Access::Write)];
        let apart = |data_bytes: u64| {
            vec![
                segment(0x20_0000..0x22_0000, Access::Read),
                segment(0x40_0000..0x58_0000, Access::Execute),
                segment(0x80_0000..0x80_0000 + data_bytes, Access::Write),
            ]
        };
        let mut layouts = 0;
        for segments in [
            dense(0x20_1000),
            dense(0x23_0000),
            dense(0x3f_f000),
            dense(0x40_0000),
            apart(0x1_0000),
            apart(0x48_0000),
        ] {
            for megabytes in [2, 3, 8, 64, 1025] {
                for (stack_bytes, has_devices) in [(9000, true), (1 << 20, false), (3 << 20, true)]
                {
                    let given = (megabytes << 20) + 0x1234;
                    let layout =
                        Layout::new(&segments, stack_bytes, 5000, given, true, has_devices);
                    let Ok(layout) = layout else { continue };
                    layouts += 1;
                    check(&segments, &layout);
                }
            }
        }
        assert!(layouts > 60, "{layouts}");
    }

    fn check(segments: &[Segment], layout: &Layout) {
        let end = layout.all.end;
        let memory = Mapping::private((end - IMAGE_BASE) as usize).expect("address space");
        // SAFETY: zeroed memory for the whole layout.
        let tables = unsafe { write(segments, layout, memory.at(0)) };
        let devices = DEVICES_BASE..DEVICES_BASE + (layout.devices.end - layout.devices.start);
        let behind = (1..512).map(|gib| end.next_multiple_of(GIB) + gib * GIB);
        let pages = (0..end + 2 * HUGE_BYTES).step_by(PAGE_BYTES as usize);
        for page in pages.chain(behind) {
            let found = walk(&memory, tables.cr3, page);
            let chunk = page / HUGE_BYTES * HUGE_BYTES;
            let user = |rights| Some((physical(page), rights));
            let of_segment = || {
                let segment = segments.iter().find(|it| it.pages.contains(&page))?;
                Some(segment.access)
            };
            let of = |access| match access {
                Access::Read => user(PRESENT | USER | NO_EXECUTE),
                Access::Execute => user(PRESENT | USER),
                Access::Write => user(PRESENT | USER | WRITABLE | NO_EXECUTE),
            };
            let expected = if devices.contains(&page) {
                Some((
                    layout.devices.start + page - devices.start,
                    PRESENT | USER | WRITABLE | NO_EXECUTE,
                ))
            } else if page < IMAGE_BASE {
                None
            } else if let Some(access) = layout.large_page(chunk) {
                of(access)
            } else if page >= end {
                None
            } else if layout.stack.contains(&page) || page >= layout.boot.start {
                of(Access::Write)
            } else if page == tables.task_state {
                user(PRESENT | WRITABLE | NO_EXECUTE)
            } else {
                of_segment().and_then(of)
            };
            assert_eq!(found, expected, "{page:#x} of {layout:#x?}");
            if layout.tables.contains(&page) && page != tables.task_state {
                assert_eq!(found, None, "the guest reaches a table");
            }
        }
        assert!(layout.tables.contains(&tables.task_state));
    }
}
