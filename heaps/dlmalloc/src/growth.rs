//! Provides the allocator's segments as runs of pages, and takes them back.
//! The crate merges a run that lies next to a segment into it, and may
//! return whole pages from either end.

use bespoke_heap::{Contents, PAGE_BYTES, Pages, Run};
use core::cell::Cell;
use core::ptr::{NonNull, null_mut};
use dlmalloc::Allocator;

/// Pages for segments, at most `RUN` bytes ahead of need.
pub(crate) struct Growth<const RUN: usize> {
    pages: Option<Pages>,
    end: Cell<usize>,
}

// SAFETY: crate rule 2 of `bespoke_heap`: a guest has one vCPU and no preemption.
unsafe impl<const RUN: usize> Send for Growth<RUN> {}

impl<const RUN: usize> Growth<RUN> {
    /// No pages yet.
    pub(crate) const fn empty() -> Self {
        Self {
            pages: None,
            end: Cell::new(0),
        }
    }

    /// Extends the last run in place.
    fn extend(&self, pages: Pages, needed: usize) -> Option<Run> {
        let end = NonNull::new(self.end.get() as *mut u8)?;
        // SAFETY: the page before `end` is the last of a run of ours.
        unsafe {
            let last = Run {
                start: end.sub(PAGE_BYTES),
                pages: 1,
            };
            let more = pages.extend_ahead::<RUN>(last, needed, Contents::Any);
            (more > 0).then_some(Run {
                start: end,
                pages: more,
            })
        }
    }

    fn release(&self, start: usize, bytes: usize) -> bool {
        let run = NonNull::new(start as *mut u8).map(|start| Run {
            start,
            pages: bytes / PAGE_BYTES,
        });
        let Some((pages, run)) = self.pages.zip(run).filter(|(_, run)| run.pages > 0) else {
            return false;
        };
        if self.end.get() == start + bytes {
            self.end.set(0);
        }
        // SAFETY: the crate returns whole pages of a segment that it no longer uses.
        unsafe { pages.free(run) };
        true
    }
}

impl<const RUN: usize> From<Pages> for Growth<RUN> {
    fn from(pages: Pages) -> Self {
        Self {
            pages: Some(pages),
            end: Cell::new(0),
        }
    }
}

// SAFETY: `alloc` returns runs of our own, `free` and `free_part` return what the crate is done with.
unsafe impl<const RUN: usize> Allocator for Growth<RUN> {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let needed = size.div_ceil(PAGE_BYTES);
        let taken = self.pages.and_then(|pages| {
            self.extend(pages, needed)
                .or_else(|| pages.allocate_ahead::<RUN>(needed, Contents::Any))
        });
        let Some(run) = taken else {
            return (null_mut(), 0, 0);
        };
        let bytes = run.pages * PAGE_BYTES;
        self.end.set(run.start.addr().get() + bytes);
        (run.start.as_ptr(), bytes, 0)
    }

    fn remap(&self, _ptr: *mut u8, _old_size: usize, _new_size: usize, _can_move: bool) -> *mut u8 {
        null_mut()
    }

    fn free_part(&self, ptr: *mut u8, old_size: usize, new_size: usize) -> bool {
        let kept = new_size.next_multiple_of(PAGE_BYTES);
        debug_assert_eq!(kept, new_size, "the granularity is whole pages");
        let was_last = self.end.get() == ptr as usize + old_size;
        let released = self.release(ptr as usize + kept, old_size - kept);
        if released && was_last {
            self.end.set(ptr as usize + kept);
        }
        released
    }

    fn free(&self, ptr: *mut u8, size: usize) -> bool {
        self.release(ptr as usize, size)
    }

    fn can_release_part(&self, _flags: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        false
    }

    fn page_size(&self) -> usize {
        PAGE_BYTES
    }
}
