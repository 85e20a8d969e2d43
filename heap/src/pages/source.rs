//! What is free, what is known to be zero, and when memory goes back to the host.
//!
//! ```text
//!   start                                             wilderness          end
//!   | table | handed out | free | handed out | free | dirty .. untouched  |
//!                           in bins               dirty_end
//! ```
//!
//! Free runs are coalesced at once and kept in bins; the last one, up to the end of memory, is
//! the wilderness, kept apart so that starting costs nothing. Single pages, which the file
//! system takes and returns all the time, pass through a small stack before they are coalesced.
//!
//! Memory goes back to the host by itself: when a free run has [`HIGH_PAGES`] dirty pages, all but the first
//! [`LOW_PAGES`] are given back. The distance between the two marks is the hysteresis: a program that
//! frees and takes again less than that never pays twice, and one that swings wider pays for one
//! call and one clearing by the host per 12 MiB freed.

use super::bins::Bins;
use super::table::{ENTRY_BYTES, FreeRun, Page, Table};
use super::{Contents, GiveBack, Lender, Run};
use bespoke_abi::PAGE_BYTES;
use bespoke_abi::stats::PageStats;
use core::cell::UnsafeCell;
use core::ptr::NonNull;

/// Dirty pages of one free run that make the source return memory (16 MiB).
const HIGH_PAGES: u32 = 4096;
/// Dirty pages it keeps then, at the low end, where the next requests are served (4 MiB).
const LOW_PAGES: u32 = 1024;
/// Single pages kept ready.
const SINGLES: usize = 32;

struct State {
    /// Address of page 0.
    base: usize,
    table: Table,
    bins: Bins,
    /// First page of the wilderness.
    wilderness: Page,
    /// End of memory.
    end: Page,
    /// Pages from here on were never handed out, or were given back since; wilderness pages
    /// below are dirty.
    dirty_end: Page,
    /// Highest page ever handed out, plus one.
    touched_end: Page,
    /// Freed single pages, the last one on top; they count as free, the table knows nothing.
    singles: [Page; SINGLES],
    single_count: usize,
    give_back: Option<GiveBack>,
    /// The host refused once: do not ask again unless told to.
    give_back_failed: bool,
    lender: Option<Loan>,
    stats: Option<&'static PageStats>,
}

/// A lender and the addresses it lends.
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

/// All pages of an image. See the crate's rules for why it may be shared.
pub struct PageSource(UnsafeCell<State>);

// SAFETY: crate rule 2.
unsafe impl Sync for PageSource {}

impl Default for PageSource {
    fn default() -> Self {
        Self::new()
    }
}

impl PageSource {
    /// A source with no pages.
    pub const fn new() -> Self {
        Self(UnsafeCell::new(State {
            base: 0,
            table: Table::EMPTY,
            bins: Bins::EMPTY,
            wilderness: 0,
            end: 0,
            dirty_end: 0,
            touched_end: 0,
            singles: [0; SINGLES],
            single_count: 0,
            give_back: None,
            give_back_failed: false,
            lender: None,
            stats: None,
        }))
    }

    #[expect(clippy::mut_from_ref, reason = "crate rule 2: calls never overlap")]
    fn state(&self) -> &mut State {
        // SAFETY: crate rule 2; neither the give-back hook nor a lender calls back.
        unsafe { &mut *self.0.get() }
    }

    /// Takes over `bytes` bytes at `start`; both are rounded inwards to pages. The first 1/256th holds
    /// the table, of which one page is touched for each MiB in use. O(1) in `bytes`.
    ///
    /// # Safety
    ///
    /// The memory is mapped, zero, untouched, and owned by no one else for ever. Called once.
    pub unsafe fn start(
        &self,
        start: usize,
        bytes: usize,
        stats: &'static PageStats,
        give_back: Option<GiveBack>,
    ) {
        let state = self.state();
        let base = start.next_multiple_of(PAGE_BYTES);
        let end = (start + bytes) & !(PAGE_BYTES - 1);
        let pages = end.saturating_sub(base) / PAGE_BYTES;
        let pages = pages.min(Page::MAX as usize - 1);
        let table_pages = (pages * ENTRY_BYTES).div_ceil(PAGE_BYTES);
        state.base = base;
        // SAFETY: the caller's promise; the pages of the table are never handed out.
        state.table = unsafe { Table::at(base) };
        state.wilderness = table_pages as Page;
        state.dirty_end = state.wilderness;
        state.touched_end = state.wilderness;
        state.end = pages as Page;
        state.give_back = give_back;
        state.stats = Some(stats);
        stats.total.set(pages as u64);
        stats.untouched.set((pages - table_pages) as u64);
    }

    /// Hands out a run of `pages` pages whose start is a multiple of `align_pages` pages
    /// (a power of two); `None` when there is none. O(1) but for clearing, unless the request
    /// would be refused otherwise.
    #[inline]
    pub fn allocate(&self, pages: usize, align_pages: usize, contents: Contents) -> Option<Run> {
        let state = self.state();
        if pages == 1 && align_pages == 1 && state.single_count > 0 {
            state.single_count -= 1;
            let page = state.singles[state.single_count];
            return Some(state.hand_out(
                FreeRun {
                    start: page,
                    end: page + 1,
                    dirty_low: page,
                    dirty_high: page + 1,
                },
                contents,
            ));
        }
        state.allocate(pages, align_pages, contents)
    }

    /// Takes a run back; it may be any page-aligned part of what [`PageSource::allocate`] returned. O(1).
    ///
    /// # Safety
    ///
    /// Nothing refers to the pages any more, and they were handed out by this source.
    #[inline]
    pub unsafe fn free(&self, run: Run) {
        let state = self.state();
        if let Some(loan) = state.lender.filter(|loan| loan.covers(run)) {
            // SAFETY: the run lies in what the lender lends, so it came from `lend`; the rest is the
            // caller's promise.
            return unsafe { loan.lender.take_back(run) };
        }
        state.count_held(-(run.pages as i64));
        let start = state.page_of(run);
        if run.pages == 1 && state.single_count < SINGLES {
            state.singles[state.single_count] = start;
            state.single_count += 1;
            return;
        }
        state.release(start, run.pages as u32);
    }

    /// Extends a run by `more` pages in place when the pages behind it are free. O(1) but for
    /// clearing. Never for a run that a lender lent.
    ///
    /// # Safety
    ///
    /// `run` is handed out and ends where its owner's pages end.
    pub unsafe fn extend(&self, run: Run, more: usize, contents: Contents) -> bool {
        let state = self.state();
        if more == 0 || state.lender.is_some_and(|loan| loan.covers(run)) {
            return more == 0;
        }
        let start = state.page_of(run) + run.pages as u32;
        state.extend(start, more, contents)
    }

    /// Returns host memory behind all free pages that were touched; returns the pages given back.
    /// O(free runs). The source does this by itself for large runs; see the module's first lines.
    pub fn give_back(&self) -> usize {
        self.state().give_back_all()
    }

    /// Most pages one [`PageSource::allocate`] can serve now, alignment 1.
    pub fn largest_free_pages(&self) -> usize {
        let state = self.state();
        state.release_singles();
        let recycled = state
            .bins
            .largest(&state.table)
            .map_or(0, |run| run.pages());
        let own = recycled.max(state.end - state.wilderness) as usize;
        own.max(
            state
                .lender
                .map_or(0, |loan| loan.lender.largest_free_pages()),
        )
    }

    /// Whether a lender is set: own pages are gone, it has the rest.
    pub fn has_lender(&self) -> bool {
        self.state().lender.is_some()
    }

    /// Serves requests from `lender` once own pages are gone (see `heaps/buddy`), and returns to
    /// it what came from its span. The first lender stays: `false` when there is one already.
    pub fn set_lender(&self, lender: &'static dyn Lender) -> bool {
        let state = self.state();
        if state.lender.is_some() {
            return false;
        }
        let (start, bytes) = lender.span();
        state.lender = Some(Loan {
            lender,
            start,
            bytes,
        });
        true
    }
}

impl State {
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

    #[inline(never)]
    fn allocate(&mut self, pages: usize, align_pages: usize, contents: Contents) -> Option<Run> {
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

    /// Clears and counts what is about to be handed out.
    #[inline]
    fn hand_out(&mut self, part: FreeRun, contents: Contents) -> Run {
        let pages = part.pages();
        if contents == Contents::Zero && part.dirty_pages() > 0 {
            self.clear(self.address_of(part.dirty_low), part.dirty_pages() as usize);
        }
        self.count_held(i64::from(pages));
        let address = self.address_of(part.start);
        // SAFETY: page 0 holds the table, so the address of any other page is above 0.
        let start = unsafe { NonNull::new_unchecked(address as *mut u8) };
        Run {
            start,
            pages: pages as usize,
        }
    }

    fn clear(&self, address: usize, pages: usize) {
        let bytes = pages * PAGE_BYTES;
        // SAFETY: these pages are free, or lent to us just now: nothing refers to them.
        unsafe { (address as *mut u8).write_bytes(0, bytes) };
        self.stats
            .iter()
            .for_each(|stats| stats.zeroed_bytes.add(bytes as u64));
    }

    /// A free run of exactly `pages` pages, out of every list.
    fn take(&mut self, pages: u32, align: u32) -> Option<FreeRun> {
        if pages == 0 || pages >= self.end {
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
        self.release_singles();
        let fits = |run: &FreeRun| self.aligned_part(run, pages, align).is_some();
        match self.bins.search(&self.table, pages, fits) {
            Some(run) => self.carve(&run, pages, align),
            None => self.take_wilderness(pages, align),
        }
    }

    /// Where in `run` an aligned run of `pages` pages starts.
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

    fn take_wilderness(&mut self, pages: u32, align: u32) -> Option<FreeRun> {
        let whole = self.wilderness_run();
        let start = self.aligned_part(&whole, pages, align)?;
        if start > whole.start {
            self.bins
                .insert(&self.table, &whole.part(whole.start, start));
        }
        let part = whole.part(start, start + pages);
        self.wilderness = part.end;
        self.dirty_end = self.dirty_end.max(part.end);
        if part.end > self.touched_end {
            self.touched_end = part.end;
            self.stats
                .iter()
                .for_each(|stats| stats.untouched.set(u64::from(self.end - part.end)));
        }
        Some(part)
    }

    fn extend(&mut self, start: Page, more: usize, contents: Contents) -> bool {
        let Ok(more) = u32::try_from(more) else {
            return false;
        };
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

    /// Puts dirty pages among the free ones, joined with their free neighbours.
    fn release(&mut self, start: Page, pages: u32) {
        let mut run = FreeRun {
            start,
            end: start + pages,
            dirty_low: start,
            dirty_high: start + pages,
        };
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
        if run.dirty_pages() >= HIGH_PAGES && !self.give_back_failed {
            run = self.give_back_run(run, LOW_PAGES);
        }
        self.bins.insert(&self.table, &run);
    }

    /// Joins a run with the wilderness it borders on.
    fn absorb(&mut self, run: FreeRun) {
        let mut whole = run.join(&self.wilderness_run());
        if whole.dirty_pages() >= HIGH_PAGES && !self.give_back_failed {
            whole = self.give_back_run(whole, LOW_PAGES);
        }
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

    /// Returns the run's dirty pages to the host, but for the first `keep`.
    fn give_back_run(&mut self, run: FreeRun, keep: u32) -> FreeRun {
        let Some(hook) = self.give_back else {
            return run;
        };
        let from = run.dirty_low + keep.min(run.dirty_pages());
        let pages = run.dirty_high.saturating_sub(from);
        if pages == 0 {
            return run;
        }
        if !hook(self.address_of(from), pages as usize * PAGE_BYTES) {
            self.give_back_failed = true;
            return run;
        }
        self.give_back_failed = false;
        self.stats
            .iter()
            .for_each(|stats| stats.given_back.add(u64::from(pages)));
        FreeRun {
            dirty_high: from,
            ..run
        }
    }

    fn give_back_all(&mut self) -> usize {
        self.release_singles();
        let before = self.stats.map_or(0, |stats| stats.given_back.get());
        while let Some(run) = self
            .bins
            .search(&self.table, 1, |run| run.dirty_pages() > 0)
        {
            self.bins.remove(&self.table, &run);
            let clean = self.give_back_run(run, 0);
            self.bins.insert(&self.table, &clean);
            if self.give_back_failed || clean.dirty_pages() > 0 {
                break;
            }
        }
        let whole = self.wilderness_run();
        if whole.dirty_pages() > 0 {
            self.dirty_end = self.give_back_run(whole, 0).dirty_high;
        }
        (self.stats.map_or(0, |stats| stats.given_back.get()) - before) as usize
    }
}
