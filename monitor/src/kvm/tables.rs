//! Page tables and task state of a virtual machine, written once before it starts.
//! Owns the layout of [`Layout::tables`]; must never map those pages for the guest, but for the task state
//! segment, which the CPU reads by linear address and CPL 3 cannot reach.
//!
//! ```text
//!   page 0   PML4        one entry
//!   page 1   PDPT        one entry per GiB
//!   page 2.. PD          2 MiB pages of RAM and of large segments, or a table below
//!   then     PT          4 KiB pages: registers of devices, small segments, the stack, the ragged end of memory
//!   last     task state  I/O bitmap: the hypercall port alone is open
//! ```

use crate::image::{Access, Image};
use crate::layout::{DEVICES_BASE, Layout};
use crate::memory::{HUGE_BYTES, PAGE_BYTES};
use bespoke_abi::IMAGE_BASE;
use bespoke_abi::hypercall::PORT;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
/// Accessed and dirty, set beforehand: the CPU then never writes the tables.
const USED: u64 = 1 << 5 | 1 << 6;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
pub(super) const TABLE: u64 = PRESENT | WRITABLE | USER | 1 << 5;
pub(super) const DATA: u64 = PRESENT | WRITABLE | USER | USED | NO_EXECUTE;
const SUPERVISOR: u64 = PRESENT | WRITABLE | USED | NO_EXECUTE;
const GIB: u64 = 1 << 30;
const ENTRIES: u64 = PAGE_BYTES / 8;

/// Offset of the I/O bitmap in the task state segment: right behind its 104 bytes.
const BITMAP: usize = 0x68;
/// An `out` of 32 bits needs the bits of four ports.
const OPEN_PORTS: std::ops::Range<usize> = PORT as usize..PORT as usize + 4;
/// Ports behind the segment's limit are closed; the CPU reads two bytes of bitmap at a time.
const BITMAP_BYTES: usize = (PORT as usize + 4) / 8 + 2;

/// What the vCPU needs to know.
pub(super) struct Tables {
    /// Guest-physical address of the top table.
    pub cr3: u64,
    /// Guest-virtual address of the task state segment.
    pub task_state: u64,
    /// Its limit.
    pub task_state_limit: u32,
}

/// Physical address behind a guest-virtual one.
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
pub(super) unsafe fn write(image: &Image, layout: &Layout, base: *mut u8) -> Tables {
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
                let entry = small_entry(image, layout, task_state, page);
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

fn small_entry(image: &Image, layout: &Layout, task_state: u64, page: u64) -> u64 {
    if layout.stack.contains(&page) || page >= layout.boot.start {
        return DATA;
    }
    if page == task_state {
        return SUPERVISOR;
    }
    image
        .segment_at(page)
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
