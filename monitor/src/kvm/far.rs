//! Guest memory at addresses beyond its end, with page tables that change while the
//! guest runs ([`hypercall::MAP`]).
//!
//! A far page maps a page of the guest's own memory, so it takes no host memory beyond `-m`.
//! Its tables lie in a separate slot behind all guest-physical addresses,
//! which is made for the first far page.
//!
//! A new page needs no flush, because no CPU caches absent entries.
//! A page that is removed or changed is closed and reopened on the host: KVM then drops every
//! translation to it, however it was made, and flushes the TLB.
//!
//! A page that the guest may not write is never mapped.

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
/// Least room for tables. To it is added the size needed to map each page of
/// the guest once, in a few tables.
const LEAST_BYTES: u64 = 8 << 20;
const PART: u64 = 128;

/// See the module.
pub(super) struct Far {
    /// Start of the far addresses.
    start: u64,
    /// Guest-physical address of the top table.
    root: u64,
    /// Guest-physical addresses of the tables.
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

    /// Returns the whole far pages `start..start + bytes`.
    fn pages(&self, start: u64, bytes: u64) -> Option<Range<u64>> {
        let aligned = (start | bytes).is_multiple_of(PAGE_BYTES) && bytes != 0;
        let end = start.checked_add(bytes)?;
        (aligned && start >= self.start && end <= FAR_END).then_some(start..end)
    }

    /// Maps the guest's pages from `shown` on at `start`; returns 0 or `-errno`.
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

    /// Unmaps these far pages; returns 0 or `-errno`.
    pub(super) fn unmap(&mut self, guest: &GuestMemory, start: u64, bytes: u64) -> i64 {
        match self.pages(start, bytes) {
            Some(pages) => self.change(guest, pages, |_| 0),
            None => -i64::from(libc::EINVAL),
        }
    }

    /// Sets the rights of far pages that are mapped; returns 0 or `-errno`.
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

    /// Changes the entries of mapped pages.
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
                // No table: skip the pages that it would cover.
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

    /// Returns the address in this process of `bytes` bytes at a far address, within one
    /// page, if that access is allowed.
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

    /// Copies bytes from any address that the guest may read.
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

    /// Makes the slot for tables; returns whether there is one.
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

    /// Returns the entry of the page at `address`, and makes its tables if `make`.
    /// Returns `None` if there is no room for one, or something else is mapped.
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
        // Not 0: the page keeps its address.
        Rights::None => tables::DATA & !PRESENT,
        Rights::Read => tables::DATA & !WRITABLE,
        Rights::Write => tables::DATA,
    }
}
