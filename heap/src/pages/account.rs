//! One component's account with the page source: the same operations, counted for it.
//! Owns nothing; must never count pages it did not pass on.

use super::{Contents, PageSource, Run};
use bespoke_abi::stats::ComponentStats;

/// One component's account with the page source.
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
