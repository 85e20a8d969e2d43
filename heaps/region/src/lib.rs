//! `region`: bump allocation that never frees. It suits boot, stacks and jobs that end.
//!
//! Algorithm: one pointer moves up through a run of pages, and a block is the bytes that it
//! moved over (region or arena allocation; see Hanson 1990, "Fast allocation and deallocation of
//! memory based on object lifetimes").
//! Freeing does nothing, except that the last block can still be resized
//! in place. Every operation is O(1).
//! Memory above the pointer is zero, because it is requested zeroed and no byte is handed out
//! twice. So zeroed requests cost nothing.
//!
//! ```text
//!   Heap (sizes known)          | block | block | last |  -> next ........ end |
//!   AppHeap (C)          | word | block | word | block |  -> next ........ end |
//!                          8 bytes: what the block was granted
//! ```
//!
//! Rust code knows its layouts, so [`Heap`] has no headers: 16, 24, 100 and 1000
//! bytes take 16, 32, 112 and 1008.
//! C calls `malloc_usable_size` and may write up to its result. So [`AppHeap`] must know it
//! exactly, and has one word before each block.
#![no_std]

mod bump;
mod c;

use bespoke_heap::{Block, Capabilities, Info, OutOfMemory, Pages, Parameter};
use bump::Bump;
use core::alloc::Layout;
use core::ptr::NonNull;

pub use c::AppHeap;

/// Every block's size is a multiple of this, in bytes.
const GRANULE: usize = 16;

const INFO: Info = Info {
    name: "region",
    summary: "bump allocation, never frees: fastest and smallest for boot and one-shot jobs",
    origin: "Hanson 1990, region allocation",
    capabilities: Capabilities {
        frees: false,
        bounded_time: true,
        reallocates_in_place: true,
        gives_back: false,
        hardened: false,
        frees_without_size: false,
        shared_instance: false,
    },
    smallest_pool_bytes: bespoke_heap::PAGE_BYTES,
    eager: false,
    parameters: &[Parameter::RUN],
};

/// A region for callers that know their layouts. It takes pages at most `RUN` bytes ahead of need.
pub struct Heap<const RUN: usize = { Parameter::RUN.default }>(Bump<RUN>);

impl<const RUN: usize> core::fmt::Debug for Heap<RUN> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Heap").finish_non_exhaustive()
    }
}

fn granted(size: usize) -> Option<usize> {
    size.checked_next_multiple_of(GRANULE)
}

// SAFETY: `Bump::take` hands out each byte once, aligned, inside runs it holds forever.
unsafe impl<const RUN: usize> bespoke_heap::Heap for Heap<RUN> {
    const INFO: Info = INFO;
    const EMPTY: Self = Self(Bump::EMPTY);

    fn start(&mut self, pages: Pages) -> Result<(), OutOfMemory> {
        self.0.start(pages);
        Ok(())
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<Block> {
        let granted = granted(layout.size())?;
        let ptr = self.0.take(0, granted, layout.align().max(GRANULE))?;
        Some(Block { ptr, granted })
    }

    #[inline]
    fn allocate_zeroed(&mut self, layout: Layout) -> Option<Block> {
        self.allocate(layout)
    }

    #[inline]
    unsafe fn deallocate(&mut self, _ptr: NonNull<u8>, layout: Layout) -> usize {
        layout.size().next_multiple_of(GRANULE)
    }

    unsafe fn reallocate(
        &mut self,
        ptr: NonNull<u8>,
        old: Layout,
        new_size: usize,
    ) -> Option<(Block, usize)> {
        let before = old.size().next_multiple_of(GRANULE);
        let granted = granted(new_size)?;
        if granted <= before || self.0.stretch_last(ptr, granted) {
            return Some((Block { ptr, granted }, before));
        }
        let block = self.allocate(Layout::from_size_align(new_size, old.align()).ok()?)?;
        // SAFETY: the new block is disjoint from the old one and longer.
        unsafe { ptr.copy_to_nonoverlapping(block.ptr, old.size()) };
        Some((block, before))
    }
}
