//! The page tables of an image on a stock monitor: made at CPL 3 right after the start, then out of reach.
//!
//! ```text
//!   virtual = physical
//!   0 .. 1 MiB            nothing: null dereferences fault
//!   1 MiB .. 2 MiB        the stub's memory and these tables            CPL 0 alone
//!   2 MiB .. image end    segment by segment                            W^X
//!   a page                nothing: below the main stack
//!   .. end of RAM         stack, boot information, archive, heaps       RW, 2 MiB pages where whole
//!   registers of devices                                                RW, not cached
//!   FAR ..                pages of RAM that the application sees at an address of its choice, too
//! ```
//! There are two top tables. The usual one maps the tables for nobody at CPL 3. The other maps them, far away,
//! and is in force only while a page is closed or opened; leaving it flushes the TLB. So no stray write of the
//! application can change what it may access. Owns [`stub::TABLES`].

use super::{give_up, stub};
use bespoke_abi::hypercall::FAR_END;
use bespoke_abi::{IMAGE_BASE, PAGE_BYTES};
use core::ops::Range;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
/// Write-through, and not cached at all.
const UNCACHED: u64 = 1 << 3 | 1 << 4;
/// Accessed and dirty, set beforehand: the CPU then never writes the tables.
const USED: u64 = 1 << 5 | 1 << 6;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const TABLE: u64 = PRESENT | WRITABLE | USER | 1 << 5;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Who may do what with a page.
#[derive(Clone, Copy)]
pub struct Rights(u64);

impl Rights {
    /// Reading.
    pub const CONSTANTS: Self = Self(PRESENT | USER | USED | NO_EXECUTE);
    /// Reading and execution.
    pub const TEXT: Self = Self(PRESENT | USER | USED);
    /// Reading and writing.
    pub const DATA: Self = Self(PRESENT | WRITABLE | USER | USED | NO_EXECUTE);
    /// Registers of devices.
    pub const REGISTERS: Self = Self(Self::DATA.0 | UNCACHED);
    /// The stub's.
    const SUPERVISOR: Self = Self(PRESENT | WRITABLE | USED | NO_EXECUTE);
}

const PAGE: usize = PAGE_BYTES;
const HUGE: usize = 2 << 20;
const ENTRIES: usize = 512;
/// Where the second top table maps the first 2 MiB for CPL 3: beyond all memory.
const WINDOW: usize = 1 << 39;
/// Addresses at which `show` may show something: beyond memory, registers and [`WINDOW`].
pub const FAR: Range<usize> = 1 << 40..FAR_END as usize;
/// Highest level: 512 GiB an entry.
const TOP: u32 = 3;
/// Registers lie below: what tables of four levels can map in its lower half.
const HIGHEST: u64 = 1 << 47;
const USUAL: usize = 0;
const EDITING: usize = 1;

/// The tables of this machine.
pub struct Tables {
    /// Physical address of the usual top table.
    root: usize,
    /// The next page for a table that never was one.
    next: usize,
    /// A page that was one and is not needed; its first entry is the next such page. 0: none.
    vacant: usize,
    /// Physical address of the other one.
    editing: usize,
    /// Memory ends here.
    memory_end: usize,
    /// What must be added to a table's physical address to reach it now.
    window: usize,
}

impl Tables {
    /// Tables that map nothing but the stub's memory. Registers of devices lie beyond `memory_end`.
    ///
    /// # Safety
    ///
    /// The boot tables are in force, and nobody else made tables.
    pub unsafe fn new(memory_end: usize) -> Self {
        let mut tables = Self {
            root: 0,
            editing: 0,
            memory_end,
            next: stub::TABLES.start,
            vacant: 0,
            window: 0,
        };
        tables.root = tables.take().unwrap_or_else(|| too_large());
        tables.map(0x10_0000..IMAGE_BASE as usize, Rights::SUPERVISOR);
        tables
    }

    /// A zeroed page for a table.
    #[inline(never)]
    fn take(&mut self) -> Option<usize> {
        let page = match (self.vacant, self.next) {
            (0, page) if page == stub::TABLES.end => return None,
            (0, page) => {
                self.next += PAGE;
                page
            }
            (page, _) => {
                self.vacant = self.get(page, 0) as usize;
                page
            }
        };
        for index in 0..ENTRIES {
            self.set(page, index, 0);
        }
        Some(page)
    }

    fn entry(&self, table: usize, index: usize) -> *mut u64 {
        debug_assert!(index < ENTRIES);
        ((table + self.window) as *mut u64).wrapping_add(index)
    }

    fn get(&self, table: usize, index: usize) -> u64 {
        // SAFETY: tables come from `take`, and `window` is where CPL 3 reaches them now.
        unsafe { self.entry(table, index).read_volatile() }
    }

    fn set(&mut self, table: usize, index: usize, entry: u64) {
        // SAFETY: as above.
        unsafe { self.entry(table, index).write_volatile(entry) }
    }

    /// The table of `level` (0: of 4 KiB pages) that maps `address`; one is made where there is none, and 2 MiB
    /// pages on the way are taken apart. `None` when there is no room for a table.
    fn table(&mut self, address: usize, level: u32) -> Option<usize> {
        let mut table = self.root;
        for above in (level + 1..=TOP).rev() {
            let index = index(address, above);
            let entry = self.get(table, index);
            table = if entry & PRESENT == 0 {
                let new = self.take()?;
                self.set(table, index, new as u64 | TABLE);
                new
            } else if entry & LARGE != 0 {
                let new = self.take()?;
                for page in 0..ENTRIES {
                    self.set(new, page, (entry & !LARGE) + (page * PAGE) as u64);
                }
                self.set(table, index, new as u64 | TABLE);
                new
            } else {
                (entry & ADDRESS) as usize
            };
        }
        Some(table)
    }

    /// Maps whole pages to the same physical addresses.
    pub fn map(&mut self, range: Range<usize>, rights: Rights) {
        let mut at = range.start;
        while at < range.end {
            let huge = at.is_multiple_of(HUGE) && range.end - at >= HUGE;
            let (level, kind, step) = if huge { (1, LARGE, HUGE) } else { (0, 0, PAGE) };
            let table = self.table(at, level).unwrap_or_else(|| too_large());
            let until = (range.end / step * step).min((at + 1).next_multiple_of(step * ENTRIES));
            while at < until {
                self.set(table, index(at, level), at as u64 | rights.0 | kind);
                at += step;
            }
        }
    }

    /// Puts the tables in force, and themselves out of reach.
    ///
    /// # Safety
    ///
    /// All that is used from here on is mapped.
    pub unsafe fn seal(&mut self) {
        let mut page = || self.take().unwrap_or_else(|| too_large());
        let (editing, pointers, directory) = (page(), page(), page());
        self.set(editing, 0, self.get(self.root, 0));
        self.set(editing, index(WINDOW, TOP), pointers as u64 | TABLE);
        self.set(pointers, 0, directory as u64 | TABLE);
        self.set(directory, 0, Rights::DATA.0 | LARGE);
        let roots = stub::ROOTS as *mut usize;
        // SAFETY: the boot tables let us write the stub's memory; then the caller's promise.
        unsafe {
            roots.add(USUAL).write_volatile(self.root);
            roots.add(EDITING).write_volatile(editing);
            stub::switch_tables(USUAL);
        }
        self.window = WINDOW;
        self.editing = editing;
    }

    /// Lets `work` change the tables, sealed or not.
    fn edit<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        if self.window != WINDOW {
            return work(self);
        }
        // SAFETY: both map everything alike, but for the window.
        unsafe { stub::switch_tables(EDITING) };
        let result = work(self);
        // SAFETY: as above.
        unsafe { stub::switch_tables(USUAL) };
        result
    }

    /// Maps `bytes` bytes of devices' registers from each of `starts` to the same addresses: best before the
    /// tables are sealed, when that flushes no TLB. Ends the image rather than map them over its memory.
    pub fn map_registers(&mut self, starts: &[u64], bytes: u32) {
        let memory_end = self.memory_end as u64;
        self.edit(|tables| {
            for &start in starts {
                let end = start.saturating_add(bytes.into());
                if start < memory_end || end > HIGHEST {
                    give_up(format_args!(
                        "a device has its registers at {start:#x}, where none can be"
                    ));
                }
                let pages = start as usize / PAGE * PAGE..(end as usize).next_multiple_of(PAGE);
                tables.map(pages, Rights::REGISTERS);
            }
        });
    }

    /// Shows pages of RAM from `memory` on at `range`, too, where nothing is shown; false when something is, or there is no
    /// room for the tables that takes: then nothing is shown.
    pub fn show(
        &mut self,
        range: Range<usize>,
        memory: usize,
        rights: crate::memory::Rights,
    ) -> bool {
        self.edit(|tables| {
            for page in range.clone().step_by(PAGE) {
                let table = tables.table(page, 0);
                let Some(table) = table.filter(|table| tables.get(*table, index(page, 0)) == 0)
                else {
                    tables.clear(range.start..page);
                    return false;
                };
                let entry = (memory + (page - range.start)) as u64 | bits(rights);
                tables.set(table, index(page, 0), entry);
            }
            // The stack may be there.
            let top = index(range.start, TOP);
            tables.set(tables.editing, top, tables.get(tables.root, top));
            true
        })
    }

    /// Shows nothing at `range`, beyond memory, any more.
    pub fn hide(&mut self, range: Range<usize>) {
        self.edit(|tables| tables.clear(range));
    }

    fn clear(&mut self, range: Range<usize>) {
        for page in range.clone().step_by(PAGE) {
            if let Some(table) = self.find(page, 0) {
                self.set(table, index(page, 0), 0);
            }
        }
        // Tables of nothing, but for those that the top tables name.
        for level in 0..TOP - 1 {
            let covered = PAGE << (9 * (level + 1));
            let first = range.start / covered * covered;
            for at in (first..range.end).step_by(covered) {
                let (table, above) = (self.find(at, level), self.find(at, level + 1));
                if let (Some(table), Some(above)) = (table, above)
                    && (0..ENTRIES).all(|entry| self.get(table, entry) == 0)
                {
                    self.set(above, index(at, level + 1), 0);
                    self.set(table, 0, self.vacant as u64);
                    self.vacant = table;
                }
            }
        }
    }

    /// The table of `level` that maps `address`, if there is one.
    fn find(&self, address: usize, level: u32) -> Option<usize> {
        (level + 1..=TOP).rev().try_fold(self.root, |table, level| {
            let entry = self.get(table, index(address, level));
            (entry & (PRESENT | LARGE) == PRESENT).then_some((entry & ADDRESS) as usize)
        })
    }

    /// Gives pages of RAM, or what [`Tables::show`] shows, other rights; false when there is no room for the tables that takes.
    pub fn protect(&mut self, range: Range<usize>, rights: crate::memory::Rights) -> bool {
        let bits = bits(rights);
        self.edit(|tables| {
            let memory_end = tables.memory_end;
            range.step_by(PAGE).all(|page| {
                let table = match page < memory_end {
                    true => tables.table(page, 0),
                    false => tables.find(page, 0),
                };
                let Some(table) = table else {
                    return false;
                };
                let at = index(page, 0);
                let shown = match page < memory_end {
                    true => page as u64,
                    false => tables.get(table, at) & ADDRESS,
                };
                if shown != 0 {
                    tables.set(table, at, shown | bits);
                }
                true
            })
        })
    }
}

/// The bits of a page of RAM. What may not be used is not absent: the page stays what it is.
fn bits(rights: crate::memory::Rights) -> u64 {
    match rights {
        crate::memory::Rights::None => Rights::DATA.0 & !PRESENT,
        crate::memory::Rights::Read => Rights::CONSTANTS.0,
        crate::memory::Rights::Write => Rights::DATA.0,
    }
}

fn index(address: usize, level: u32) -> usize {
    address >> (12 + 9 * level) & (ENTRIES - 1)
}

fn too_large() -> ! {
    give_up(format_args!(
        "the page tables of this much memory do not fit; give less"
    ))
}
