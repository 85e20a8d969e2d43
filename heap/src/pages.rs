//! The page source: hands out runs of pages from all memory above the image.
//! (First version: wilderness only. The interface is settled; recycling comes next.)

use bespoke_abi::PAGE_BYTES;
use bespoke_abi::stats::{ComponentStats, PageStats};
use core::cell::UnsafeCell;
use core::ptr::NonNull;

/// A run of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First byte, aligned to a page.
    pub start: NonNull<u8>,
    /// Length in pages, not 0.
    pub pages: usize,
}

/// What fresh pages must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Every byte zero; pages known to be untouched are not cleared again.
    Zero,
    /// Anything.
    Any,
}

/// Drops the host memory behind `bytes` bytes of whole pages at `start`; afterwards they read
/// as zero. Returns whether the host did.
pub type GiveBack = fn(start: usize, bytes: usize) -> bool;

/// A heap that took all of memory when it started and lends pages to the others.
pub trait Lender: Sync {
    /// A run of `pages` pages aligned to `align_pages`, contents arbitrary.
    fn lend(&self, pages: usize, align_pages: usize) -> Option<Run>;
    /// Takes back a run that [`Lender::lend`] returned, whole.
    ///
    /// # Safety
    ///
    /// `run` came from [`Lender::lend`] of this lender and nothing refers to it any more.
    unsafe fn take_back(&self, run: Run);
}

struct State {
    next: usize,
    end: usize,
    stats: Option<&'static PageStats>,
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
        Self(UnsafeCell::new(State { next: 0, end: 0, stats: None }))
    }

    #[expect(clippy::mut_from_ref, reason = "crate rule 2: calls never overlap")]
    fn state(&self) -> &mut State {
        // SAFETY: crate rule 2.
        unsafe { &mut *self.0.get() }
    }

    /// Takes over `bytes` bytes at `start`; both are rounded inwards to pages. O(1) in `bytes`.
    ///
    /// # Safety
    ///
    /// The memory is mapped, zero, untouched, and owned by no one else for ever. Called once.
    pub unsafe fn start(&self, start: usize, bytes: usize, stats: &'static PageStats, _give_back: Option<GiveBack>) {
        let state = self.state();
        state.next = start.next_multiple_of(PAGE_BYTES);
        state.end = (start + bytes) & !(PAGE_BYTES - 1);
        state.stats = Some(stats);
    }

    /// Hands out a run of `pages` pages whose start is a multiple of `align_pages` pages
    /// (a power of two); `None` when there is none. O(1) but for clearing.
    pub fn allocate(&self, pages: usize, align_pages: usize, _contents: Contents) -> Option<Run> {
        let state = self.state();
        let start = state.next.next_multiple_of(align_pages * PAGE_BYTES);
        let end = start.checked_add(pages.checked_mul(PAGE_BYTES)?)?;
        if end > state.end {
            return None;
        }
        state.next = end;
        Some(Run { start: NonNull::new(start as *mut u8)?, pages })
    }

    /// Takes a run back; it may be any page-aligned part of what [`PageSource::allocate`] returned. O(1).
    ///
    /// # Safety
    ///
    /// Nothing refers to the pages any more, and they were handed out by this source.
    pub unsafe fn free(&self, _run: Run) {}

    /// Extends a run by `more` pages in place when the pages behind it are free.
    ///
    /// # Safety
    ///
    /// `run` is handed out and ends where its owner's pages end.
    pub unsafe fn extend(&self, _run: Run, _more: usize, _contents: Contents) -> bool {
        false
    }

    /// Returns host memory behind free pages that were touched; returns the pages given back.
    pub fn give_back(&self) -> usize {
        0
    }

    /// Most pages one [`PageSource::allocate`] can serve now, alignment 1.
    pub fn largest_free_pages(&self) -> usize {
        let state = self.state();
        (state.end - state.next) / PAGE_BYTES
    }

    /// Serves requests from `lender` once own pages are gone (see `heaps/buddy`).
    pub fn set_lender(&self, _lender: &'static dyn Lender) {}
}

/// One component's account with the page source: same operations, counted for it.
#[derive(Clone, Copy)]
pub struct Pages {
    source: &'static PageSource,
    stats: &'static ComponentStats,
}

impl Pages {
    /// An account of the component counted in `stats`.
    pub const fn new(source: &'static PageSource, stats: &'static ComponentStats) -> Self {
        Self { source, stats }
    }

    /// [`PageSource::allocate`].
    pub fn allocate(&self, pages: usize, align_pages: usize, contents: Contents) -> Option<Run> {
        let run = self.source.allocate(pages, align_pages, contents)?;
        self.grew(pages);
        Some(run)
    }

    /// [`PageSource::free`].
    ///
    /// # Safety
    ///
    /// As for [`PageSource::free`], and the run was allocated on this account.
    pub unsafe fn free(&self, run: Run) {
        // SAFETY: the caller's promise.
        unsafe { self.source.free(run) };
        self.stats.held_pages.sub(run.pages as u64);
    }

    /// [`PageSource::extend`].
    ///
    /// # Safety
    ///
    /// As for [`PageSource::extend`].
    pub unsafe fn extend(&self, run: Run, more: usize, contents: Contents) -> bool {
        // SAFETY: the caller's promise.
        let extended = unsafe { self.source.extend(run, more, contents) };
        if extended {
            self.grew(more);
        }
        extended
    }

    /// The source itself.
    pub fn source(&self) -> &'static PageSource {
        self.source
    }

    fn grew(&self, pages: usize) {
        self.stats.held_pages.add(pages as u64);
        self.stats.peak_pages.raise(self.stats.held_pages.get());
    }
}
