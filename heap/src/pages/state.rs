//! Tracks which pages are free and which are known to be zero. `reclaim` decides
//! when memory goes back to the host.
//!
//! ```text
//!   start                                             wilderness          end
//!   | table | handed out | free | handed out | free | dirty .. untouched  |
//!                           in bins               dirty_end
//!
//!   much RAM, until its head is used up:
//!   start             wilderness       end                     rest
//!   | handed out, free | dirty .. untouched | table | untouched ..        |
//! ```
//!
//! With much RAM the table is large. If everything lay behind it, addresses would differ for every
//! size of RAM, and no monitor could foresee which pages are touched.
//! So the first MiB (the head) comes before the table and is the wilderness until it is used up.
//! What is left of it then goes into the bins.
//!
//! Free runs are coalesced at once and kept in bins.
//! The last free run, up to the end of memory, is the wilderness; it is kept
//! apart so that starting costs nothing.
//! Single pages, which the file system takes and returns all the time, pass through a small
//! stack before they are coalesced.

mod reclaim;

use super::bins::Bins;
use super::table::{ENTRY_BYTES, FreeRun, Page, Table};
use super::{Contents, GiveBack, Lender, Run};
use bespoke_abi::stats::PageStats;
use bespoke_abi::{HEAD_BYTES, LEAST_HEADED_BYTES, PAGE_BYTES};
use core::ptr::NonNull;

/// Single pages kept ready.
const SINGLES: usize = 32;

/// The state of a page source.
pub(super) struct State {
    /// Address that page 0 would have.
    base: usize,
    table: Table,
    bins: Bins,
    /// First page of the wilderness.
    wilderness: Page,
    /// End of the wilderness: the end of memory, unless there is a `rest`.
    end: Page,
    /// Pages that become the wilderness when the head is used up; never
    /// handed out. Empty: they already are.
    rest: (Page, Page),
    /// Pages from here on were never handed out, or were given back since.
    /// Wilderness pages below it are dirty.
    dirty_end: Page,
    /// Pages that were never handed out may hold anything, too.
    is_used: bool,
    /// Highest page ever handed out, plus one.
    touched_end: Page,
    /// Freed single pages, the last one on top. They count as free,
    /// but the table does not list them.
    singles: [Page; SINGLES],
    single_count: usize,
    give_back: Option<GiveBack>,
    /// The host refused once: do not ask again unless requested.
    give_back_failed: bool,
    lender: Option<Loan>,
    stats: Option<&'static PageStats>,
}

/// A lender and the range of addresses it lends.
#[derive(Clone, Copy)]
struct Loan {
    lender: &'static dyn Lender,
    start: usize,
    bytes: usize,
}

impl Loan {
    fn covers(&self, run: Run) -> bool {
        run.start.addr().get().wrapping_sub(self.start) < self.bytes
    }
}

impl State {
    /// A state without pages.
    pub(super) const EMPTY: Self = Self {
        base: 0,
        table: Table::EMPTY,
        bins: Bins::EMPTY,
        wilderness: 0,
        end: 0,
        rest: (0, 0),
        dirty_end: 0,
        is_used: false,
        touched_end: 0,
        singles: [0; SINGLES],
        single_count: 0,
        give_back: None,
        give_back_failed: false,
        lender: None,
        stats: None,
    };

    /// See `PageSource::start`.
    pub(super) unsafe fn start(
        &mut self,
        start: usize,
        bytes: usize,
        holds: Contents,
        stats: &'static PageStats,
        give_back: Option<GiveBack>,
    ) {
        let first = start.next_multiple_of(PAGE_BYTES);
        let last = (start + bytes) & !(PAGE_BYTES - 1);
        let pages = last.saturating_sub(first) / PAGE_BYTES;
        let pages = pages.min(Page::MAX as usize - 1);
        let end = 1 + pages;
        let table_pages = (end * ENTRY_BYTES).div_ceil(PAGE_BYTES).min(pages);
        let head = match pages * PAGE_BYTES {
            ..LEAST_HEADED_BYTES => 0,
            _ => HEAD_BYTES / PAGE_BYTES,
        };
        self.base = first - PAGE_BYTES;
        let table = 1 + head;
        let behind = (table + table_pages) as Page;
        self.is_used = holds == Contents::Any;
        if self.is_used {
            let place = self.address_of(table as Page) as *mut u8;
            // SAFETY: whole pages of the memory, which is the caller's to give.
            unsafe { place.write_bytes(0, table_pages * PAGE_BYTES) };
        }
        // SAFETY: the caller's promise; the pages of the table are never handed out.
        self.table = unsafe { Table::at(self.address_of(table as Page)) };
        (self.wilderness, self.end, self.rest) = match head {
            0 => (behind, end as Page, (0, 0)),
            _ => (1, table as Page, (behind, end as Page)),
        };
        self.dirty_end = self.first_zero();
        self.touched_end = self.wilderness;
        self.give_back = give_back;
        self.stats = Some(stats);
        stats.total.set(pages as u64);
        stats.untouched.set((pages - table_pages) as u64);
    }

    /// First zero page of an untouched wilderness.
    fn first_zero(&self) -> Page {
        if self.is_used {
            self.end
        } else {
            self.wilderness
        }
    }

    /// Takes a single page that was freed recently.
    #[inline]
    pub(super) fn allocate_recent(&mut self, contents: Contents) -> Option<Run> {
        self.single_count = self.single_count.checked_sub(1)?;
        let page = self.singles[self.single_count];
        Some(self.hand_out(FreeRun::dirty(page, page + 1), contents))
    }

    /// See `PageSource::free`; only for the source's own pages.
    #[inline]
    pub(super) fn free(&mut self, run: Run) {
        self.count_held(-(run.pages as i64));
        let start = self.page_of(run);
        if run.pages == 1 && self.single_count < SINGLES {
            self.singles[self.single_count] = start;
            self.single_count += 1;
        } else {
            self.release(start, run.pages as u32);
        }
    }

    /// Returns the lender that `run` came from, if any.
    #[inline]
    pub(super) fn lender_of(&self, run: Run) -> Option<&'static dyn Lender> {
        self.lender
            .filter(|loan| loan.covers(run))
            .map(|loan| loan.lender)
    }

    /// See `PageSource::set_lender`.
    pub(super) fn set_lender(&mut self, lender: &'static dyn Lender) -> bool {
        if self.lender.is_some() {
            return false;
        }
        let (start, bytes) = lender.span();
        self.lender = Some(Loan {
            lender,
            start,
            bytes,
        });
        true
    }

    pub(super) fn has_lender(&self) -> bool {
        self.lender.is_some()
    }

    /// See `PageSource::used_reach`.
    pub(super) fn used_reach(&self, address: usize, end: usize) -> usize {
        let first = address.saturating_sub(self.base) / PAGE_BYTES;
        let last = end.saturating_sub(self.base).div_ceil(PAGE_BYTES);
        let is_free = |&page: &usize| {
            let page = page as Page;
            (self.wilderness..self.end).contains(&page)
                || (self.rest.0..self.rest.1).contains(&page)
                || self.table.starting_at(page).is_some()
                || self.table.ending_with(page).is_some()
        };
        match (first..last).find(is_free) {
            Some(page) => self.address_of(page as Page).clamp(address, end),
            None => end,
        }
    }

    /// See `PageSource::free_reach`.
    pub(super) fn free_reach(&self, address: usize) -> usize {
        let page = (address.saturating_sub(self.base) / PAGE_BYTES) as Page;
        let end = match self.table.starting_at(page) {
            _ if (self.wilderness..self.end).contains(&page) => self.end,
            _ if (self.rest.0..self.rest.1).contains(&page) => self.rest.1,
            Some(run) => run.end,
            None => return address,
        };
        self.address_of(end)
    }

    /// See `PageSource::largest_free_pages`.
    pub(super) fn largest_free_pages(&mut self) -> usize {
        self.release_singles();
        let recycled = self.bins.largest(&self.table).map_or(0, |run| run.pages());
        let wild = self.end - self.wilderness;
        let own = recycled.max(wild).max(self.rest.1 - self.rest.0) as usize;
        own.max(
            self.lender
                .map_or(0, |loan| loan.lender.largest_free_pages()),
        )
    }

    fn page_of(&self, run: Run) -> Page {
        ((run.start.addr().get() - self.base) / PAGE_BYTES) as Page
    }

    fn address_of(&self, page: Page) -> usize {
        self.base + page as usize * PAGE_BYTES
    }

    fn count_held(&self, pages: i64) {
        if let Some(stats) = self.stats {
            stats.held.add(pages as u64);
            stats.high_water.raise(stats.held.get());
        }
    }

    /// See `PageSource::allocate`.
    #[inline(never)]
    pub(super) fn allocate(
        &mut self,
        pages: usize,
        align_pages: usize,
        contents: Contents,
    ) -> Option<Run> {
        let own = u32::try_from(pages)
            .ok()
            .zip(u32::try_from(align_pages).ok());
        if let Some(part) = own.and_then(|(pages, align)| self.take(pages, align)) {
            return Some(self.hand_out(part, contents));
        }
        let lent = self
            .lender
            .and_then(|loan| loan.lender.lend(pages, align_pages));
        match lent {
            Some(run) if contents == Contents::Zero => self.clear(run.start.addr().get(), pages),
            None => self.stats.iter().for_each(|stats| stats.failures.add(1)),
            _ => {}
        }
        lent
    }

    /// Clears and counts the pages that are about to be handed out.
    #[inline]
    fn hand_out(&mut self, part: FreeRun, contents: Contents) -> Run {
        let pages = part.pages();
        if contents == Contents::Zero && part.dirty_pages() > 0 {
            self.clear(self.address_of(part.dirty_low), part.dirty_pages() as usize);
        }
        self.count_held(i64::from(pages));
        let address = self.address_of(part.start);
        // SAFETY: pages count from 1, and page 0 would not lie below address 0.
        let start = unsafe { NonNull::new_unchecked(address as *mut u8) };
        Run {
            start,
            pages: pages as usize,
        }
    }

    fn clear(&self, address: usize, pages: usize) {
        let bytes = pages * PAGE_BYTES;
        // SAFETY: these pages are free, or were just lent to us: nothing refers to them.
        unsafe { (address as *mut u8).write_bytes(0, bytes) };
        self.stats
            .iter()
            .for_each(|stats| stats.zeroed_bytes.add(bytes as u64));
    }

    /// Takes a free run of exactly `pages` pages out of all lists.
    fn take(&mut self, pages: u32, align: u32) -> Option<FreeRun> {
        if pages == 0 || pages >= self.end.max(self.rest.1) {
            return None;
        }
        // Any run this long has an aligned part; most often an unpadded one has it too.
        let padded = pages.checked_add(align - 1)?;
        let first = self.bins.find(&self.table, pages);
        let fitting = first.filter(|run| self.aligned_part(run, pages, align).is_some());
        if let Some(run) = fitting.or_else(|| {
            (align > 1)
                .then(|| self.bins.find(&self.table, padded))
                .flatten()
        }) {
            return self.carve(&run, pages, align);
        }
        if let Some(part) = self.take_wilderness(pages, align) {
            return Some(part);
        }
        if self.leave_head() {
            return self.take(pages, align);
        }
        self.release_singles();
        let fits = |run: &FreeRun| self.aligned_part(run, pages, align).is_some();
        match self.bins.search(&self.table, pages, fits) {
            Some(run) => self.carve(&run, pages, align),
            None => self.take_wilderness(pages, align),
        }
    }

    /// Returns where an aligned run of `pages` pages starts in `run`.
    fn aligned_part(&self, run: &FreeRun, pages: u32, align: u32) -> Option<Page> {
        let base = self.base / PAGE_BYTES;
        let start = (base + run.start as usize).next_multiple_of(align as usize) - base;
        (start + pages as usize <= run.end as usize).then_some(start as Page)
    }

    /// Cuts an aligned part out of a run in the bins.
    fn carve(&mut self, run: &FreeRun, pages: u32, align: u32) -> Option<FreeRun> {
        let start = self.aligned_part(run, pages, align)?;
        let end = start + pages;
        self.bins.remove(&self.table, run);
        for rest in [run.part(run.start, start), run.part(end, run.end)] {
            if rest.pages() > 0 {
                self.bins.insert(&self.table, &rest);
            }
        }
        Some(run.part(start, end))
    }

    fn wilderness_run(&self) -> FreeRun {
        FreeRun {
            start: self.wilderness,
            end: self.end,
            dirty_low: self.wilderness,
            dirty_high: self.dirty_end,
        }
    }

    /// Makes the rest of memory the wilderness if it is not yet;
    /// returns whether it changed anything.
    #[cold]
    fn leave_head(&mut self) -> bool {
        let (start, end) = core::mem::take(&mut self.rest);
        if start == end {
            return false;
        }
        let left = self.wilderness_run();
        if left.pages() > 0 {
            self.bins.insert(&self.table, &left);
        }
        (self.wilderness, self.end) = (start, end);
        self.dirty_end = self.first_zero();
        true
    }

    /// See `PageSource::allocate_at`.
    #[cold]
    pub(super) fn allocate_at(
        &mut self,
        address: usize,
        pages: usize,
        contents: Contents,
    ) -> Option<Run> {
        let start = address.checked_sub(self.base)? / PAGE_BYTES;
        let last = self.end.max(self.rest.1);
        let end = Page::try_from(start.checked_add(pages)?).ok()?;
        let start = start as Page;
        if start == 0 || start >= end || end > last {
            return None;
        }
        self.release_singles();
        if (self.rest.0..self.rest.1).contains(&start) {
            self.leave_head();
        }
        if start >= self.wilderness && end <= self.end {
            let part = self.cut_wilderness(start, end - start);
            return Some(self.hand_out(part, contents));
        }
        let mut first = start;
        let run = loop {
            if let Some(run) = self.table.starting_at(first) {
                break run;
            }
            first -= 1;
            if first == 0
                || self
                    .table
                    .ending_with(first)
                    .is_some_and(|run| run.end <= start)
            {
                return None;
            }
        };
        if run.end < end {
            return None;
        }
        self.bins.remove(&self.table, &run);
        for rest in [run.part(run.start, start), run.part(end, run.end)] {
            if rest.pages() > 0 {
                self.bins.insert(&self.table, &rest);
            }
        }
        Some(self.hand_out(run.part(start, end), contents))
    }

    fn take_wilderness(&mut self, pages: u32, align: u32) -> Option<FreeRun> {
        let whole = self.wilderness_run();
        let start = self.aligned_part(&whole, pages, align)?;
        Some(self.cut_wilderness(start, pages))
    }

    fn cut_wilderness(&mut self, start: Page, pages: u32) -> FreeRun {
        let whole = self.wilderness_run();
        if start > whole.start {
            self.bins
                .insert(&self.table, &whole.part(whole.start, start));
        }
        let part = whole.part(start, start + pages);
        self.wilderness = part.end;
        self.dirty_end = self.dirty_end.max(part.end);
        if part.end > self.touched_end {
            let untouched = self.end - part.end + self.rest.1 - self.rest.0;
            self.touched_end = part.end;
            self.stats
                .iter()
                .for_each(|stats| stats.untouched.set(u64::from(untouched)));
        }
        part
    }

    /// See `PageSource::extend`; only for the source's own pages.
    pub(super) fn extend(&mut self, run: Run, more: usize, contents: Contents) -> bool {
        let Ok(more) = u32::try_from(more) else {
            return false;
        };
        let start = self.page_of(run) + run.pages as u32;
        if start > self.wilderness || start >= self.end {
            return false;
        }
        if start < self.wilderness && self.table.starting_at(start).is_none() {
            self.release_singles();
        }
        let part = if start == self.wilderness {
            if more > self.end - start {
                return false;
            }
            self.take_wilderness(more, 1)
        } else {
            match self.table.starting_at(start) {
                Some(run) if run.pages() >= more => self.carve(&run, more, 1),
                _ => None,
            }
        };
        part.map(|part| self.hand_out(part, contents)).is_some()
    }

    /// Adds dirty pages to the free ones and joins them with their free neighbours.
    fn release(&mut self, start: Page, pages: u32) {
        let mut run = FreeRun::dirty(start, start + pages);
        if let Some(before) = self.table.ending_with(run.start - 1) {
            self.bins.remove(&self.table, &before);
            run = before.join(&run);
        }
        if run.end == self.wilderness {
            self.absorb(run);
            return;
        }
        if let Some(behind) = self.table.starting_at(run.end) {
            self.bins.remove(&self.table, &behind);
            run = run.join(&behind);
        }
        let run = self.reclaim(run);
        self.bins.insert(&self.table, &run);
    }

    /// Joins a run with the adjacent wilderness.
    fn absorb(&mut self, run: FreeRun) {
        let whole = self.reclaim(run.join(&self.wilderness_run()));
        self.wilderness = whole.start;
        self.dirty_end = if whole.dirty_pages() > 0 {
            whole.dirty_high
        } else {
            whole.start
        };
    }

    fn release_singles(&mut self) {
        while self.single_count > 0 {
            self.single_count -= 1;
            self.release(self.singles[self.single_count], 1);
        }
    }
}
