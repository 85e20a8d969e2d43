//! Memory of the guest at addresses beyond its end: page tables that change while it runs ([`hypercall::MAP`]).
//!
//! A far page shows a page of the guest's own memory, so it takes nothing of the host that `-m` did not give. Tables for it
//! lie in a slot of their own behind all guest-physical addresses, which is made for the first far page.
//!
//! A page that comes needs no flush, for no CPU caches what is absent. One that goes or changes is closed and opened on
//! the host: KVM then forgets every translation to it, whichever way that came about, and flushes the TLB.
//!
//! Owns the tables beyond the end of memory; must never show a page that the guest may not write.

use super::memory::{GuestMemory, Rights};
use super::slots::Slots;
use super::tables::{self, physical};
use crate::layout::Layout;
use crate::memory::{HUGE_BYTES, Mapping, PAGE_BYTES};
use bespoke_abi::hypercall::FAR_END;
use std::ops::Range;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// Tables of four levels: the highest is 3.
const TOP: u32 = 3;
const ENTRIES: u64 = PAGE_BYTES / 8;
/// Room for tables: so much, and as much again as it takes to show each page of the guest alone in a few tables.
const LEAST_BYTES: u64 = 8 << 20;
const PART: u64 = 128;

/// See the module.
pub(super) struct Far {
    /// Far addresses begin here.
    start: u64,
    /// Guest-physical address of the top table.
    root: u64,
    /// Guest-physical addresses for tables.
    pool: Range<u64>,
    memory: Option<Mapping>,
    next: u64,
}

impl Far {
    /// No far pages.
    pub(super) fn new(layout: &Layout, root: u64) -> Self {
        let bytes = (layout.all.end / PART + LEAST_BYTES).next_multiple_of(HUGE_BYTES);
        let memory_end = physical(layout.all.end).max(layout.devices.end);
        let start = memory_end.next_multiple_of(HUGE_BYTES);
        Self {
            start: layout.all.end.next_multiple_of(HUGE_BYTES),
            root,
            pool: start..start + bytes,
            memory: None,
            next: start,
        }
    }

    /// Whether the address is far.
    pub(super) fn contains(&self, address: u64) -> bool {
        (self.start..FAR_END).contains(&address)
    }

    /// Whole far pages `start..start + bytes`.
    fn pages(&self, start: u64, bytes: u64) -> Option<Range<u64>> {
        let aligned = (start | bytes).is_multiple_of(PAGE_BYTES) && bytes != 0;
        let end = start.checked_add(bytes)?;
        (aligned && start >= self.start && end <= FAR_END).then_some(start..end)
    }

    /// Shows the guest's pages from `shown` on at `start`; 0 or `-errno`.
    pub(super) fn map(
        &mut self,
        guest: &GuestMemory,
        slots: &mut Slots,
        [start, bytes, shown]: [u64; 3],
        rights: Rights,
    ) -> i64 {
        let (Some(pages), Some(_)) = (self.pages(start, bytes), guest.pages(shown, bytes)) else {
            return -i64::from(libc::EINVAL);
        };
        if self.memory.is_none() && !self.begin(slots) {
            return -i64::from(libc::ENOMEM);
        }
        for page in pages.clone().step_by(PAGE_BYTES as usize) {
            let place = self.entry(guest, page, true);
            // SAFETY: an entry of a table, which nothing else refers to.
            let is_free = place.is_some_and(|place| unsafe { place.read_volatile() } == 0);
            let (Some(place), true) = (place, is_free) else {
                let done = pages.start..page;
                self.change(guest, done, |_| 0);
                return -i64::from(if place.is_none() {
                    libc::ENOMEM
                } else {
                    libc::EEXIST
                });
            };
            let entry = physical(shown + (page - start)) | bits(rights);
            // SAFETY: as above.
            unsafe { place.write_volatile(entry) };
        }
        0
    }

    /// Shows nothing at these far pages; 0 or `-errno`.
    pub(super) fn unmap(&mut self, guest: &GuestMemory, start: u64, bytes: u64) -> i64 {
        match self.pages(start, bytes) {
            Some(pages) => self.change(guest, pages, |_| 0),
            None => -i64::from(libc::EINVAL),
        }
    }

    /// Gives far pages these rights, where they show something; 0 or `-errno`.
    pub(super) fn protect(
        &mut self,
        guest: &GuestMemory,
        start: u64,
        bytes: u64,
        rights: Rights,
    ) -> i64 {
        match self.pages(start, bytes) {
            Some(pages) => self.change(guest, pages, |entry| (entry & ADDRESS) | bits(rights)),
            None => -i64::from(libc::EINVAL),
        }
    }

    /// Changes the entries that show something.
    fn change(&mut self, guest: &GuestMemory, pages: Range<u64>, new: impl Fn(u64) -> u64) -> i64 {
        let mut changed: Option<Range<u64>> = None;
        let flush = |part: Option<Range<u64>>| {
            if let Some(part) = part {
                guest.forget(part.start, part.end - part.start);
            }
        };
        let mut page = pages.start;
        while page < pages.end {
            let Some(place) = self.entry(guest, page, false) else {
                // No table: nothing for a while.
                page = (page + 1).next_multiple_of(HUGE_BYTES);
                continue;
            };
            page += PAGE_BYTES;
            // SAFETY: an entry of a table, which nothing else refers to.
            let entry = unsafe { place.read_volatile() };
            if entry == 0 || new(entry) == entry {
                continue;
            }
            // SAFETY: as above.
            unsafe { place.write_volatile(new(entry)) };
            if entry & PRESENT == 0 {
                continue;
            }
            let shown = (entry & ADDRESS) + bespoke_abi::IMAGE_BASE;
            changed = match changed.take() {
                Some(run) if run.end == shown => Some(run.start..shown + PAGE_BYTES),
                run => {
                    flush(run);
                    Some(shown..shown + PAGE_BYTES)
                }
            };
        }
        flush(changed);
        0
    }

    /// Where `bytes` bytes at a far address are in this process, within one page, if it may be used so.
    pub(super) fn place(
        &self,
        guest: &GuestMemory,
        address: u64,
        bytes: u64,
        rights: Rights,
    ) -> Option<*mut u8> {
        let within = address % PAGE_BYTES;
        if !self.contains(address) || within + bytes > PAGE_BYTES {
            return None;
        }
        let place = self.find(guest, address)?;
        // SAFETY: an entry of a table, which nothing else refers to.
        let entry = unsafe { place.read_volatile() };
        let needed = if rights == Rights::Write {
            PRESENT | WRITABLE
        } else {
            PRESENT
        };
        if entry & needed != needed {
            return None;
        }
        guest.open((entry & ADDRESS) + bespoke_abi::IMAGE_BASE + within, bytes)
    }

    /// Copies bytes at any address that the guest may read.
    pub(super) fn read(&self, guest: &GuestMemory, address: u64, target: &mut [u8]) -> bool {
        if !self.contains(address) {
            return guest.read_bytes(address, target);
        }
        let mut at = address;
        let mut rest = target;
        while !rest.is_empty() {
            let count = rest.len().min((PAGE_BYTES - at % PAGE_BYTES) as usize);
            let (part, behind) = rest.split_at_mut(count);
            let Some(source) = self.place(guest, at, count as u64, Rights::Read) else {
                return false;
            };
            // SAFETY: `place` found so many bytes of the guest, which does not run meanwhile; its host page is open,
            // or this is no read of a far page.
            unsafe { part.as_mut_ptr().copy_from_nonoverlapping(source, count) };
            at += count as u64;
            rest = behind;
        }
        true
    }

    /// Makes the slot for tables; whether there is one.
    fn begin(&mut self, slots: &mut Slots) -> bool {
        let bytes = (self.pool.end - self.pool.start) as usize;
        let Ok(memory) = Mapping::private(bytes) else {
            return false;
        };
        let made = slots.add_tables(self.pool.start, &memory);
        if made {
            self.memory = Some(memory);
        }
        made
    }

    fn find(&self, guest: &GuestMemory, address: u64) -> Option<*mut u64> {
        let mut table = self.root;
        for level in (1..=TOP).rev() {
            // SAFETY: an entry of a table, which nothing else refers to.
            let entry = unsafe { self.at(guest, table, address, level).read_volatile() };
            if entry & PRESENT == 0 || entry & LARGE != 0 {
                return None;
            }
            table = entry & ADDRESS;
        }
        Some(self.at(guest, table, address, 0))
    }

    /// The entry of the page at `address`; its tables are made if `make`. `None` where there is no room for one, or
    /// something else is mapped.
    fn entry(&mut self, guest: &GuestMemory, address: u64, make: bool) -> Option<*mut u64> {
        let mut table = self.root;
        for level in (1..=TOP).rev() {
            let place = self.at(guest, table, address, level);
            // SAFETY: an entry of a table, which nothing else refers to.
            let entry = unsafe { place.read_volatile() };
            if entry & LARGE != 0 {
                return None;
            }
            table = if entry & PRESENT != 0 {
                entry & ADDRESS
            } else if make && self.next < self.pool.end {
                let new = self.next;
                self.next += PAGE_BYTES;
                // SAFETY: as above; the new table is zero.
                unsafe { place.write_volatile(new | tables::TABLE) };
                new
            } else {
                return None;
            };
        }
        Some(self.at(guest, table, address, 0))
    }

    fn at(&self, guest: &GuestMemory, table: u64, address: u64, level: u32) -> *mut u64 {
        let index = address >> (12 + 9 * level) & (ENTRIES - 1);
        let start = match &self.memory {
            Some(memory) if self.pool.contains(&table) => {
                memory.at((table - self.pool.start) as usize)
            }
            _ => guest.mapping.at(table as usize),
        };
        start.cast::<u64>().wrapping_add(index as usize)
    }
}

fn bits(rights: Rights) -> u64 {
    match rights {
        // Not 0: the page stays what it is.
        Rights::None => tables::DATA & !PRESENT,
        Rights::Read => tables::DATA & !WRITABLE,
        Rights::Write => tables::DATA,
    }
}
