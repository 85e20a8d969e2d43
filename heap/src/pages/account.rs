//! One component's account with the page source: the same operations, counted for this component.

use super::{Contents, PageSource, Run};
use bespoke_abi::PAGE_BYTES;
use bespoke_abi::stats::ComponentStats;

/// One component's account with the page source.
#[derive(Clone, Copy)]
pub struct Pages {
    source: &'static PageSource,
    stats: &'static ComponentStats,
}

impl core::fmt::Debug for Pages {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

impl Pages {
    /// Makes an account whose component is counted in `stats`.
    pub const fn new(source: &'static PageSource, stats: &'static ComponentStats) -> Self {
        Self { source, stats }
    }

    /// [`PageSource::allocate`].
    pub fn allocate(&self, pages: usize, align_pages: usize, contents: Contents) -> Option<Run> {
        let run = self.source.allocate(pages, align_pages, contents)?;
        self.grew(pages);
        Some(run)
    }

    /// [`PageSource::allocate_at`].
    pub fn allocate_at(&self, address: usize, pages: usize, contents: Contents) -> Option<Run> {
        let run = self.source.allocate_at(address, pages, contents)?;
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

    /// Allocates ahead of need, for heaps that grow: a run of at least `least` pages, or an eighth
    /// of the component's pages if that is more (at most `RUN` bytes).
    /// So large heaps ask seldom and small ones waste little.
    pub fn allocate_ahead<const RUN: usize>(
        &self,
        least: usize,
        contents: Contents,
    ) -> Option<Run> {
        let ahead = self.ahead::<RUN>();
        let ample = (ahead > least)
            .then(|| self.allocate(ahead, 1, contents))
            .flatten();
        ample.or_else(|| self.allocate(least, 1, contents))
    }

    /// Like [`Pages::allocate_ahead`], but in place: extends `run` by at least `least` pages.
    /// Returns the number of pages added, or 0 when the pages behind the run are taken.
    ///
    /// # Safety
    ///
    /// As for [`PageSource::extend`].
    pub unsafe fn extend_ahead<const RUN: usize>(
        &self,
        run: Run,
        least: usize,
        contents: Contents,
    ) -> usize {
        let sizes = [self.ahead::<RUN>().max(least), least];
        // SAFETY: the caller's promise.
        let extended = sizes
            .into_iter()
            .find(|more| unsafe { self.extend(run, *more, contents) });
        extended.unwrap_or(0)
    }

    fn ahead<const RUN: usize>(&self) -> usize {
        (self.stats.held_pages.get() as usize / 8).min(RUN / PAGE_BYTES)
    }

    /// Drops the contents of pages that stay with the component. The host has their
    /// memory until they are touched again.
    /// Returns `true` if they read as zero afterwards, and `false` if the host
    /// refused; they are then unchanged.
    ///
    /// # Safety
    ///
    /// The pages were allocated on this account, and nothing in them is needed.
    pub unsafe fn discard(&self, run: Run) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.source.discard(run) }
    }

    /// Counts pages here that `from`, an account with the same source, has held until now.
    pub fn take_over(&self, from: &Self, pages: usize) {
        from.stats.held_pages.sub(pages as u64);
        self.grew(pages);
    }

    /// Returns the source itself.
    pub fn source(&self) -> &'static PageSource {
        self.source
    }

    fn grew(&self, pages: usize) {
        self.stats.held_pages.add(pages as u64);
        self.stats.peak_pages.raise(self.stats.held_pages.get());
    }
}
