//! The control block: bitmap and chunk lists over one run of memory, and the pages lent from it.
//! It lives in the first page of that memory. It never hands out itself or the bitmap.

use crate::bitmap::Bitmap;
use crate::chunks::{Chunk, Chunks, ORDERS};
use bespoke_heap::{Lender, PAGE_BYTES, Run};
use core::cell::UnsafeCell;
use core::ptr::NonNull;

struct State {
    bitmap: Bitmap,
    chunks: Chunks,
}

/// See the module's first line.
pub(crate) struct Control {
    state: UnsafeCell<State>,
    start: usize,
    bytes: usize,
}

// SAFETY: rule 2 of `bespoke_heap`: one vCPU, no preemption, calls never overlap.
unsafe impl Sync for Control {}

const _: () = assert!(size_of::<Control>() <= PAGE_BYTES);

impl Control {
    /// Takes over `run`: writes the whole bitmap and enters every chunk. O(pages).
    ///
    /// # Safety
    ///
    /// The run belongs to the control block forever and has at least three pages.
    pub(crate) unsafe fn start(run: Run) -> &'static Self {
        let start = run.start.addr().get();
        // Bitmap and pages share the rest: one bit for each remaining page.
        let rest = run.pages - 1;
        let bitmap_pages = rest.div_ceil(8).div_ceil(PAGE_BYTES);
        let pages = rest - bitmap_pages;
        let first = start + (1 + bitmap_pages) * PAGE_BYTES;
        let place = run.start.cast::<Self>();
        // SAFETY: the first page is for the control block, the next ones for the bitmap; it has a bit
        // for every page.
        unsafe {
            let bitmap = Bitmap::all_allocated(run.start.add(PAGE_BYTES).cast(), first, pages);
            let state = UnsafeCell::new(State {
                bitmap,
                chunks: Chunks::EMPTY,
            });
            place.write(Self {
                state,
                start,
                bytes: run.pages * PAGE_BYTES,
            });
            let control = place.as_ref();
            control.state().chunks.link_ends();
            control.add_memory(first, pages);
            control
        }
    }

    #[expect(clippy::mut_from_ref, reason = "calls never overlap")]
    fn state(&self) -> &mut State {
        // SAFETY: see `Sync` above; no method holds this across a call to another.
        unsafe { &mut *self.state.get() }
    }

    /// Adds all pages, in chunks as large as their address and the remaining pages allow.
    fn add_memory(&self, first: usize, pages: usize) {
        let State { bitmap, chunks } = self.state();
        bitmap.mark_free(first, pages);
        for (address, order) in pieces(first, pages) {
            // SAFETY: the pages are ours and free.
            unsafe { chunks.insert(Chunk::at(address), order) };
        }
    }

    /// Allocates pages for a block, rounded up to a power of two.
    pub(crate) fn allocate_pages(&self, pages: usize) -> Option<NonNull<u8>> {
        self.allocate_order(order_of(pages)?)
    }

    fn allocate_order(&self, order: usize) -> Option<NonNull<u8>> {
        let State { bitmap, chunks } = self.state();
        let from = chunks.smallest_from(order)?;
        // SAFETY: the list of `from` is not empty; chunks in lists are free and ours.
        let chunk = unsafe { chunks.split(from, order) };
        bitmap.mark_allocated(chunk.addr().get(), 1 << order);
        Some(chunk.cast())
    }

    /// Frees the result of [`Control::allocate_pages`] for `pages`.
    ///
    /// # Safety
    ///
    /// It is live, and nothing refers to it any more.
    pub(crate) unsafe fn free_pages(&self, base: NonNull<u8>, pages: usize) {
        if let Some(order) = order_of(pages) {
            // SAFETY: the caller's promise; it was allocated with this order.
            unsafe { self.free_order(base.addr().get(), order) };
        }
    }

    /// Frees a chunk and merges it with its buddies as long as they are free and whole.
    ///
    /// # Safety
    ///
    /// The chunk is allocated, and nothing refers to it any more.
    unsafe fn free_order(&self, mut address: usize, mut order: usize) {
        let State { bitmap, chunks } = self.state();
        bitmap.mark_free(address, 1 << order);
        while order + 1 < ORDERS {
            let buddy = address ^ (PAGE_BYTES << order);
            // SAFETY: a page inside the memory that is marked free, at the natural alignment of an
            // order whose other half is free, starts a free chunk.
            if bitmap.is_allocated(buddy) || unsafe { Chunk::at(buddy).as_ref().order } != order {
                break;
            }
            // SAFETY: the buddy is a free chunk, in the list of this order.
            unsafe { Chunks::unlink(Chunk::at(buddy)) };
            address = address.min(buddy);
            order += 1;
        }
        // SAFETY: the chunk is free and ours.
        unsafe { chunks.insert(Chunk::at(address), order) };
    }

    /// Frees pages, chunk by chunk.
    ///
    /// # Safety
    ///
    /// They are allocated, and nothing refers to them any more.
    unsafe fn free_range(&self, first: usize, pages: usize) {
        for (address, order) in pieces(first, pages) {
            // SAFETY: the caller's promise.
            unsafe { self.free_order(address, order) };
        }
    }
}

/// The order of the smallest chunk with `pages` pages.
fn order_of(pages: usize) -> Option<usize> {
    let order = pages.checked_next_power_of_two()?.ilog2() as usize;
    (order < ORDERS).then_some(order)
}

/// Cuts pages into the largest naturally aligned chunks, upwards: (address, order).
fn pieces(first: usize, pages: usize) -> impl Iterator<Item = (usize, usize)> {
    let end = first + pages * PAGE_BYTES;
    let mut address = first;
    core::iter::from_fn(move || {
        let left = (end - address) / PAGE_BYTES;
        let fits = left.checked_ilog2()? as usize;
        let aligned = (address / PAGE_BYTES).trailing_zeros() as usize;
        let piece = (address, fits.min(aligned));
        address += PAGE_BYTES << piece.1;
        Some(piece)
    })
}

impl Lender for Control {
    fn span(&self) -> (usize, usize) {
        (self.start, self.bytes)
    }

    fn lend(&self, pages: usize, align_pages: usize) -> Option<Run> {
        if pages == 0 {
            return None;
        }
        let order = order_of(pages.max(align_pages))?;
        let start = self.allocate_order(order)?;
        let cut = start.addr().get() + pages * PAGE_BYTES;
        // SAFETY: the rest of the chunk was just allocated and nobody knows of it.
        unsafe { self.free_range(cut, (1 << order) - pages) };
        Some(Run { start, pages })
    }

    unsafe fn take_back(&self, run: Run) {
        // SAFETY: the caller's promise.
        unsafe { self.free_range(run.start.addr().get(), run.pages) };
    }

    fn largest_free_pages(&self) -> usize {
        self.state().chunks.largest().map_or(0, |order| 1 << order)
    }
}

#[cfg(test)]
mod tests {
    use super::{order_of, pieces};
    use bespoke_heap::PAGE_BYTES;

    #[test]
    fn pieces_are_naturally_aligned_and_cover_all() {
        for first in 1..40 {
            for pages in 0..70 {
                let mut next = first * PAGE_BYTES;
                for (address, order) in pieces(first * PAGE_BYTES, pages) {
                    assert_eq!(address, next);
                    assert!(address.is_multiple_of(PAGE_BYTES << order));
                    next += PAGE_BYTES << order;
                }
                assert_eq!(next, (first + pages) * PAGE_BYTES);
            }
        }
    }

    #[test]
    fn orders_round_up() {
        assert_eq!(
            [1, 2, 3, 4, 5, 1024, 1025].map(order_of),
            [0, 1, 2, 2, 3, 10, 11].map(Some)
        );
        assert_eq!(order_of(usize::MAX), None);
    }
}
