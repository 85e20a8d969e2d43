//! The interface of the page source: one shared object. `mod.rs` has
//! its rules, `state.rs` its policy.
//! No reference to the inner state leaves this module.

use super::state::State;
use super::{Contents, GiveBack, Lender, Run, Spare};
use crate::single::{Entered, Single};
use bespoke_abi::stats::PageStats;
use core::cell::Cell;

/// All pages of an image. The crate's rules say why it may be shared.
pub struct PageSource(Single<State>, Cell<Option<Spare>>);

impl core::fmt::Debug for PageSource {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PageSource").finish_non_exhaustive()
    }
}

// SAFETY: the promise of `PageSource::new`.
unsafe impl Sync for PageSource {}

impl PageSource {
    /// Makes a source without pages.
    ///
    /// # Safety
    ///
    /// Calls of the source never overlap (crate rule 2): one thread at a time makes them. The
    /// give-back hook and lenders do not call back; a [`Spare`] may.
    /// With debug assertions an overlap panics.
    pub const unsafe fn new() -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { Single::new(State::EMPTY) }, Cell::new(None))
    }

    #[inline(always)]
    fn state(&self) -> Entered<'_, State> {
        self.0.enter()
    }

    /// Takes over `bytes` bytes at `start` (not 0); both are rounded inwards to pages.
    /// The table takes 1/256 of the memory. One of its pages is touched for each MiB in use.
    /// O(1) in `bytes` if `holds` says that the memory is zero. Otherwise the table is cleared now,
    /// and each page that must be zero is cleared when it is handed out.
    ///
    /// # Safety
    ///
    /// The memory is mapped, has the stated contents and is exclusively owned forever. Called once.
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

    /// Hands out a run of `pages` pages whose start is a multiple of `align_pages` pages (a power
    /// of two); returns `None` when there is none.
    /// O(1) apart from clearing, unless the request would be refused otherwise.
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

    /// Hands out the `pages` pages at the page-aligned `address`; returns
    /// `None` if one of them is not free.
    /// O(n) in the free pages before them.
    pub fn allocate_at(&self, address: usize, pages: usize, contents: Contents) -> Option<Run> {
        self.state().allocate_at(address, pages, contents)
    }

    /// Hands out a run of the pages that [`Spare`] frees, when no others are left.
    #[cold]
    fn allocate_spare(&self, pages: usize, align_pages: usize, contents: Contents) -> Option<Run> {
        let spare = self.1.get()?;
        if !spare() {
            return None;
        }
        self.state().allocate(pages, align_pages, contents)
    }

    /// Sets the function that is called before a request is refused.
    pub fn set_spare(&self, spare: Spare) {
        self.1.set(Some(spare));
    }

    /// Returns where the pages in use from `address` on end: at the first free page that can be
    /// identified, at most at `end`.
    /// Both addresses lie in the source's memory. O(pages).
    pub fn used_reach(&self, address: usize, end: usize) -> usize {
        self.state().used_reach(address, end)
    }

    /// Returns where the free pages that begin at `address` end, as far as this can be determined.
    /// Returns `address` if no free run begins there.
    pub fn free_reach(&self, address: usize) -> usize {
        self.state().free_reach(address)
    }

    /// Takes back a run, which may be any page-aligned part of what
    /// [`PageSource::allocate`] returned. O(1).
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

    /// Extends a run in place by `more` pages if the pages behind it are
    /// free. O(1) apart from clearing.
    /// Always fails for a run from a lender.
    ///
    /// # Safety
    ///
    /// `run` is handed out and ends where its owner's pages end.
    pub unsafe fn extend(&self, run: Run, more: usize, contents: Contents) -> bool {
        let state = &mut *self.state();
        more == 0 || (state.lender_of(run).is_none() && state.extend(run, more, contents))
    }

    /// Returns the host memory behind all free pages that were touched. Returns
    /// the number of pages given back.
    /// O(free runs). The source does this itself for large runs (16 MiB), so a long-running guest
    /// need not call it.
    pub fn give_back(&self) -> usize {
        self.state().give_back_all()
    }

    /// Drops the host memory behind a run that stays handed out;
    /// returns whether the host dropped it.
    ///
    /// # Safety
    ///
    /// The run is handed out, and nothing in it is needed any more.
    pub unsafe fn discard(&self, run: Run) -> bool {
        self.state().discard(run)
    }

    /// Length in pages of the largest run that [`PageSource::allocate`] can serve now, at alignment
    /// 1.
    pub fn largest_free_pages(&self) -> usize {
        self.state().largest_free_pages()
    }

    /// Whether a lender is set. It holds all memory that was left when it started.
    pub fn has_lender(&self) -> bool {
        self.state().has_lender()
    }

    /// Serves requests from `lender` once the source's own pages are used up (see `heaps/buddy`),
    /// and returns pages from its span to it.
    /// The first lender stays: returns `false` when one is already set.
    pub fn set_lender(&self, lender: &'static dyn Lender) -> bool {
        self.state().set_lender(lender)
    }
}
