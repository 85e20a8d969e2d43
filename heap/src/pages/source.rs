//! The page source's interface: one shared object, its rules in `mod.rs`, its policy in `state.rs`.
//! Owns the cell around the state; must never hand out a reference into it.

use super::state::State;
use super::{Contents, GiveBack, Lender, Run, Spare};
use crate::single::{Entered, Single};
use bespoke_abi::stats::PageStats;
use core::cell::Cell;

/// All pages of an image. See the crate's rules for why it may be shared.
pub struct PageSource(Single<State>, Cell<Option<Spare>>);

impl core::fmt::Debug for PageSource {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PageSource").finish_non_exhaustive()
    }
}

// SAFETY: the promise of `PageSource::new`.
unsafe impl Sync for PageSource {}

impl PageSource {
    /// A source with no pages.
    ///
    /// # Safety
    ///
    /// Calls of the source never overlap (crate rule 2): one thread at a time makes them, and neither the give-back hook nor
    /// a lender calls back; a [`Spare`] may. With debug assertions an overlap is a panic.
    pub const unsafe fn new() -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { Single::new(State::EMPTY) }, Cell::new(None))
    }

    #[inline(always)]
    fn state(&self) -> Entered<'_, State> {
        self.0.enter()
    }

    /// Takes over `bytes` bytes at `start`, not 0; both are rounded inwards to pages. 1/256th holds
    /// the table, of which one page is touched for each MiB in use. O(1) in `bytes` if the memory is known to be
    /// zero; what `holds` anything costs the clearing of the table at once, and of each page that is to be zero.
    ///
    /// # Safety
    ///
    /// The memory is mapped, holds what is said, and is owned by no one else for ever. Called once.
    pub unsafe fn start(
        &self,
        start: usize,
        bytes: usize,
        holds: Contents,
        stats: &'static PageStats,
        give_back: Option<GiveBack>,
    ) {
        // SAFETY: the caller's promise.
        unsafe { self.state().start(start, bytes, holds, stats, give_back) }
    }

    /// Hands out a run of `pages` pages whose start is a multiple of `align_pages` pages
    /// (a power of two); `None` when there is none. O(1) but for clearing, unless the request
    /// would be refused otherwise.
    #[inline]
    pub fn allocate(&self, pages: usize, align_pages: usize, contents: Contents) -> Option<Run> {
        self.allocate_free(pages, align_pages, contents)
            .or_else(|| self.allocate_spare(pages, align_pages, contents))
    }

    #[inline(always)]
    fn allocate_free(&self, pages: usize, align_pages: usize, contents: Contents) -> Option<Run> {
        let state = &mut *self.state();
        let recent = (pages == 1 && align_pages == 1)
            .then(|| state.allocate_recent(contents))
            .flatten();
        recent.or_else(|| state.allocate(pages, align_pages, contents))
    }

    /// Hands out the `pages` pages at `address`, which begins one; `None` where one of them is not free. O(pages before them
    /// that are free).
    pub fn allocate_at(&self, address: usize, pages: usize, contents: Contents) -> Option<Run> {
        self.state().allocate_at(address, pages, contents)
    }

    /// A run of what [`Spare`] gives up, when nothing else is left.
    #[cold]
    fn allocate_spare(&self, pages: usize, align_pages: usize, contents: Contents) -> Option<Run> {
        let spare = self.1.get()?;
        if !spare() {
            return None;
        }
        self.state().allocate(pages, align_pages, contents)
    }

    /// Has `spare` asked before a request is refused.
    pub fn set_spare(&self, spare: Spare) {
        self.1.set(Some(spare));
    }

    /// How far pages are handed out from `address` on, at most to `end`, both in the source's memory: up to the first free page
    /// that can be told. One look for each page.
    pub fn used_reach(&self, address: usize, end: usize) -> usize {
        self.state().used_reach(address, end)
    }

    /// Where the free pages end that begin at `address`, as far as can be told; `address` where none begins.
    pub fn free_reach(&self, address: usize) -> usize {
        self.state().free_reach(address)
    }

    /// Takes a run back; it may be any page-aligned part of what [`PageSource::allocate`] returned. O(1).
    ///
    /// # Safety
    ///
    /// Nothing refers to the pages any more, and they were handed out by this source.
    #[inline]
    pub unsafe fn free(&self, run: Run) {
        let state = &mut *self.state();
        match state.lender_of(run) {
            None => state.free(run),
            // SAFETY: the run lies in what the lender lends, so it came from `lend`; the rest is the
            // caller's promise.
            Some(lender) => unsafe { lender.take_back(run) },
        }
    }

    /// Extends a run by `more` pages in place when the pages behind it are free. O(1) but for
    /// clearing. Never for a run that a lender lent.
    ///
    /// # Safety
    ///
    /// `run` is handed out and ends where its owner's pages end.
    pub unsafe fn extend(&self, run: Run, more: usize, contents: Contents) -> bool {
        let state = &mut *self.state();
        more == 0 || (state.lender_of(run).is_none() && state.extend(run, more, contents))
    }

    /// Returns host memory behind all free pages that were touched; returns the pages given back.
    /// O(free runs). The source does this by itself for large runs (16 MiB), so a guest that runs
    /// for ever need not call it.
    pub fn give_back(&self) -> usize {
        self.state().give_back_all()
    }

    /// Drops the host memory behind a run that stays handed out; whether the host did.
    ///
    /// # Safety
    ///
    /// The run is handed out, and nothing in it is needed any more.
    pub unsafe fn discard(&self, run: Run) -> bool {
        self.state().discard(run)
    }

    /// Most pages one [`PageSource::allocate`] can serve now, alignment 1.
    pub fn largest_free_pages(&self) -> usize {
        self.state().largest_free_pages()
    }

    /// Whether a lender is set: it holds what memory was left when it started.
    pub fn has_lender(&self) -> bool {
        self.state().has_lender()
    }

    /// Serves requests from `lender` once own pages are gone (see `heaps/buddy`), and returns to
    /// it what came from its span. The first lender stays: `false` when there is one already.
    pub fn set_lender(&self, lender: &'static dyn Lender) -> bool {
        self.state().set_lender(lender)
    }
}
