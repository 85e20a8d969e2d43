//! The bump pointer and the pages that it moves through. Its runs are never returned,
//! and no byte is handed out twice.

use bespoke_heap::{Contents, PAGE_BYTES, Pages, Run};
use core::ptr::NonNull;

/// A bump pointer over the last run taken. Runs are at most `RUN` bytes ahead of need.
pub(crate) struct Bump<const RUN: usize> {
    pages: Option<Pages>,
    run: Option<Run>,
    /// First byte not handed out.
    next: usize,
    /// End of `run`.
    end: usize,
    /// The block handed out last, which alone can grow.
    last: usize,
}

impl<const RUN: usize> Bump<RUN> {
    /// A pointer without pages.
    pub(crate) const EMPTY: Self = Self {
        pages: None,
        run: None,
        next: 0,
        end: 0,
        last: 0,
    };

    /// Stores where pages come from; takes none yet.
    pub(crate) fn start(&mut self, pages: Pages) {
        self.pages = Some(pages);
    }

    /// Allocates `bytes` zero bytes at a multiple of `align`, with `before` more bytes in front.
    #[inline]
    pub(crate) fn take(
        &mut self,
        before: usize,
        bytes: usize,
        align: usize,
    ) -> Option<NonNull<u8>> {
        loop {
            let start = self
                .next
                .checked_add(before)?
                .checked_next_multiple_of(align)?;
            let end = start.checked_add(bytes)?;
            if end <= self.end {
                self.next = end;
                self.last = start;
                return NonNull::new(start as *mut u8);
            }
            let padding = if before > 0 || align > PAGE_BYTES {
                align
            } else {
                0
            };
            self.grow(end, bytes.checked_add(padding)?)?;
        }
    }

    /// Resizes the last block to `bytes` bytes in place.
    #[inline]
    pub(crate) fn stretch_last(&mut self, ptr: NonNull<u8>, bytes: usize) -> bool {
        let start = ptr.addr().get();
        if start != self.last {
            return false;
        }
        let Some(end) = start.checked_add(bytes) else {
            return false;
        };
        if end > self.end && !self.extend(end - self.end) {
            return false;
        }
        self.next = self.next.max(end);
        true
    }

    /// Makes room: up to address `end` if the run can be extended, else with a
    /// new run of `fresh` bytes or more.
    #[cold]
    fn grow(&mut self, end: usize, fresh: usize) -> Option<()> {
        if self.extend(end - self.end) {
            return Some(());
        }
        let run = self
            .pages?
            .allocate_ahead::<RUN>(fresh.div_ceil(PAGE_BYTES), Contents::Zero)?;
        self.next = run.start.addr().get();
        self.end = self.next + run.pages * PAGE_BYTES;
        self.run = Some(run);
        Some(())
    }

    fn extend(&mut self, bytes: usize) -> bool {
        let (Some(pages), Some(run)) = (self.pages, self.run) else {
            return false;
        };
        // SAFETY: the run is ours, and no part of it was ever returned.
        let more =
            unsafe { pages.extend_ahead::<RUN>(run, bytes.div_ceil(PAGE_BYTES), Contents::Zero) };
        self.run = Some(Run {
            pages: run.pages + more,
            ..run
        });
        self.end += more * PAGE_BYTES;
        more > 0
    }
}
