//! Provides the allocator's heaps as runs of pages, and takes them back.
//! Only the last run can be extended.
//!
//! A heap ends where its run of pages ends (pages are whole chunks) and starts directly behind the
//! word that the crate writes at its base.
//! Thus a run is recognised without a record of it.

use bespoke_heap::{Contents, PAGE_BYTES, Pages, Run};
use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;
use talc::base::binning::Binning;
use talc::base::{CHUNK_UNIT, Talc};
use talc::source::Source;

/// Pages for heaps, at most `RUN` bytes ahead of need.
/// A heap shrinks when `TRIM` bytes lie free at its end. It keeps a quarter of them, so that
/// the next allocations need no pages.
pub(crate) struct Growth<const TRIM: usize, const RUN: usize> {
    pages: Option<Pages>,
    /// End of the run that was claimed or extended last.
    end: Option<NonNull<u8>>,
}

impl<const TRIM: usize, const RUN: usize> Growth<TRIM, RUN> {
    /// No pages.
    pub(crate) const EMPTY: Self = Self {
        pages: None,
        end: None,
    };

    /// Returns the pages in `start..end`.
    ///
    /// # Safety
    ///
    /// They are the end of a run that came from `pages`, and nothing is in them.
    unsafe fn release(&self, start: usize, end: usize) {
        let run = NonNull::new(start as *mut u8).map(|start| Run {
            start,
            pages: (end - start.addr().get()) / PAGE_BYTES,
        });
        if let Some((pages, run)) = self.pages.zip(run).filter(|(_, run)| run.pages > 0) {
            // SAFETY: the caller's promise.
            unsafe { pages.free(run) };
        }
    }
}

impl<const TRIM: usize, const RUN: usize> From<Pages> for Growth<TRIM, RUN> {
    fn from(pages: Pages) -> Self {
        Self {
            pages: Some(pages),
            end: None,
        }
    }
}

impl<const TRIM: usize, const RUN: usize> fmt::Debug for Growth<TRIM, RUN> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Growth")
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

/// Number of pages that are certain to make room for `layout`, in a new heap or a full one.
fn needed_pages<B: Binning>(layout: Layout, first: bool) -> Option<usize> {
    let table = if first {
        talc::min_first_heap_size::<B>()
    } else {
        0
    };
    let padding = if layout.align() > CHUNK_UNIT {
        layout.align()
    } else {
        0
    };
    let bytes = layout
        .size()
        .checked_add(padding)?
        .checked_add(table + 3 * CHUNK_UNIT)?;
    Some(bytes.div_ceil(PAGE_BYTES))
}

// SAFETY: memory claimed here is whole runs of our own; `resize` returns only what the crate
// says is free.
unsafe impl<const TRIM: usize, const RUN: usize> Source for Growth<TRIM, RUN> {
    const TRACK_HEAP_END: bool = true;

    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let pages = talc.source.pages.ok_or(())?;
        let needed = needed_pages::<B>(layout, !talc.is_metadata_established()).ok_or(())?;
        if let Some(end) = talc.source.end {
            // SAFETY: `end` is the end of a run of ours, so the page before it is ours.
            let more = unsafe {
                let last = Run {
                    start: end.sub(PAGE_BYTES),
                    pages: 1,
                };
                pages.extend_ahead::<RUN>(last, needed, Contents::Any)
            };
            if more > 0 {
                // SAFETY: `end` is the end of a heap, and the pages behind it are ours now.
                let end = unsafe { talc.extend(end, end.add(more * PAGE_BYTES).as_ptr()) };
                talc.source.end = Some(end);
                return Ok(());
            }
        }
        let run = pages
            .allocate_ahead::<RUN>(needed, Contents::Any)
            .ok_or(())?;
        // SAFETY: the run is ours alone.
        let end = unsafe { talc.claim(run.start.as_ptr(), run.pages * PAGE_BYTES) };
        talc.source.end = Some(end.ok_or(())?);
        Ok(())
    }

    unsafe fn resize(&mut self, free: *mut u8, heap_end: *mut u8, is_heap_base: bool) -> *mut u8 {
        let (from, end) = (free as usize, heap_end as usize);
        let is_last = self.end.is_some_and(|last| last.as_ptr() == heap_end);
        if is_heap_base {
            if is_last {
                self.end = None;
            }
            // SAFETY: the heap is empty; its base lies up to one chunk before `free`, at the start of
            // a page, and it ends with its run.
            unsafe { self.release((from - 1) & !(PAGE_BYTES - 1), end) };
            return free;
        }
        if end - from < TRIM {
            return heap_end;
        }
        let kept = (from + TRIM / 4).next_multiple_of(PAGE_BYTES);
        if is_last {
            self.end = NonNull::new(kept as *mut u8);
        }
        // SAFETY: everything from `free` on is free, and `kept` is above it, at a page.
        unsafe { self.release(kept, end) };
        heap_end.wrapping_sub(end - kept)
    }
}
