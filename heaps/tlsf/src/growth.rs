//! Provides the allocator's pools from pages, in place behind the last pool where possible.
//! Pools are never returned, because the crate keeps them all.

use bespoke_heap::{Contents, PAGE_BYTES, Pages, Run};
use core::ptr::NonNull;
use rlsf::FlexSource;

/// Pages for pools, at most `RUN` bytes ahead of need.
pub(crate) struct Growth<const RUN: usize>(Option<Pages>);

impl<const RUN: usize> Growth<RUN> {
    /// No pages.
    pub(crate) const EMPTY: Self = Self(None);

    /// Takes pages from `pages` from now on.
    pub(crate) fn start(&mut self, pages: Pages) {
        self.0 = Some(pages);
    }
}

// SAFETY: runs are whole pages, aligned to a page, and stay with the caller.
unsafe impl<const RUN: usize> FlexSource for Growth<RUN> {
    unsafe fn alloc(&mut self, min_size: usize) -> Option<NonNull<[u8]>> {
        let run = self
            .0?
            .allocate_ahead::<RUN>(min_size.div_ceil(PAGE_BYTES), Contents::Any)?;
        Some(NonNull::slice_from_raw_parts(
            run.start,
            run.pages * PAGE_BYTES,
        ))
    }

    unsafe fn realloc_inplace_grow(
        &mut self,
        pool: NonNull<[u8]>,
        min_new_len: usize,
    ) -> Option<usize> {
        let run = Run {
            start: pool.cast(),
            pages: pool.len() / PAGE_BYTES,
        };
        let missing = (min_new_len - pool.len()).div_ceil(PAGE_BYTES);
        // SAFETY: the pool is a run of ours that was never cut.
        let more = unsafe { self.0?.extend_ahead::<RUN>(run, missing, Contents::Any) };
        (more > 0).then_some(pool.len() + more * PAGE_BYTES)
    }

    fn supports_realloc_inplace_grow(&self) -> bool {
        true
    }

    fn min_align(&self) -> usize {
        PAGE_BYTES
    }
}
