//! `dlmalloc`: best fit with boundary tags, the tightest of the general heaps.
//!
//! Algorithm: Lea 1987-2012 (the crate `dlmalloc` is a port).
//! Small sizes have exact bins, large ones trees by size. The last remainder and the top of memory
//! are kept apart. Neighbours are coalesced at once.
//! Small requests are O(1), large ones O(size bits).
//!
//! ```text
//!   chunk, a multiple of 16 bytes, at least 32
//!   | (end of the chunk before) | size, flags | payload ...  | (size of the next, when free) |
//!                                 8 bytes       up to and into the first word of the next chunk
//! ```
//!
//! The word before the payload is the only overhead: 24 bytes cost 32, 100 cost 112.
//! This wrapper reads it to get a block's usable size, which the crate does not provide.
//!
//! Memory goes back when 2 MiB lie free at the top, when a segment is empty, and on `trim`.
//! The crate fixes the 2 MiB. With a smaller `TRIM` parameter, this wrapper gives back the free
//! memory at the top each time that many bytes were freed.
#![no_std]

mod growth;
mod parameters;

use bespoke_heap::{Block, C_ALIGN, CHeap, Capabilities, Info, OutOfMemory, Pages, Parameter};
use core::alloc::Layout;
use core::ptr::NonNull;
use dlmalloc::Dlmalloc;
use growth::Growth;

/// The heap.
pub struct Heap<
    const GRANULARITY: usize = { parameters::GRANULARITY.default },
    const TRIM: usize = { parameters::TRIM.default },
    const RUN: usize = { Parameter::RUN.default },
> {
    crates: Dlmalloc<Growth<RUN>>,
    /// Bytes freed since the top was last given back; stays 0 with the default `TRIM`.
    freed_bytes: usize,
}

impl<const GRANULARITY: usize, const TRIM: usize, const RUN: usize> core::fmt::Debug
    for Heap<GRANULARITY, TRIM, RUN>
{
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Heap").finish_non_exhaustive()
    }
}

/// For C, without a header: it frees without a size.
pub type AppHeap<
    const GRANULARITY: usize = { parameters::GRANULARITY.default },
    const TRIM: usize = { parameters::TRIM.default },
    const RUN: usize = { Parameter::RUN.default },
> = Heap<GRANULARITY, TRIM, RUN>;

/// Bits of a chunk's size word that are not part of its size.
const FLAGS: usize = 7;

impl<const GRANULARITY: usize, const TRIM: usize, const RUN: usize> Heap<GRANULARITY, TRIM, RUN> {
    const fn new(growth: Growth<RUN>) -> Self {
        let mut heap = Dlmalloc::new_with_allocator(growth);
        assert!(heap.set_granularity(GRANULARITY));
        Self {
            crates: heap,
            freed_bytes: 0,
        }
    }

    /// Gives the top back when enough was freed since the last time, and
    /// keeps a quarter of the threshold.
    #[inline]
    fn freed(&mut self, bytes: usize) {
        if TRIM == parameters::TRIM.default {
            return;
        }
        self.freed_bytes += bytes;
        if self.freed_bytes >= TRIM {
            self.freed_bytes = 0;
            // SAFETY: no preconditions.
            unsafe { self.crates.trim(TRIM / 4) };
        }
    }
}

/// Usable bytes of a live block.
unsafe fn usable(ptr: NonNull<u8>) -> usize {
    // SAFETY: every live block has its chunk's size word before it.
    let head = unsafe { ptr.cast::<usize>().sub(1).read() };
    (head & !FLAGS) - size_of::<usize>()
}

/// Makes a block from the crate's result; null means refused.
fn block(ptr: *mut u8) -> Option<Block> {
    let ptr = NonNull::new(ptr)?;
    // SAFETY: the block is live.
    let granted = unsafe { usable(ptr) };
    Some(Block { ptr, granted })
}

// SAFETY: `dlmalloc` returns disjoint, aligned blocks inside the runs `Growth` gave it.
unsafe impl<const GRANULARITY: usize, const TRIM: usize, const RUN: usize> bespoke_heap::Heap
    for Heap<GRANULARITY, TRIM, RUN>
{
    const INFO: Info = Info {
        name: "dlmalloc",
        summary: "tightest general heap: best fit, one word of overhead, returns memory",
        origin: "Lea, dlmalloc 2.8; crate dlmalloc 0.2.14",
        capabilities: Capabilities {
            frees: true,
            bounded_time: false,
            reallocates_in_place: true,
            gives_back: true,
            hardened: false,
            frees_without_size: true,
            shared_instance: false,
        },
        smallest_pool_bytes: GRANULARITY,
        eager: false,
        parameters: parameters::ALL,
    };
    const EMPTY: Self = Self::new(Growth::empty());

    fn start(&mut self, pages: Pages) -> Result<(), OutOfMemory> {
        *self = Self::new(Growth::from(pages));
        Ok(())
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<Block> {
        // SAFETY: no preconditions beyond a power-of-two alignment.
        block(unsafe { self.crates.malloc(layout.size(), layout.align()) })
    }

    #[inline]
    unsafe fn deallocate(&mut self, ptr: NonNull<u8>, _layout: Layout) -> usize {
        // SAFETY: the caller's promise.
        unsafe { self.free(ptr) }
    }

    unsafe fn reallocate(
        &mut self,
        ptr: NonNull<u8>,
        old: Layout,
        new_size: usize,
    ) -> Option<(Block, usize)> {
        // SAFETY: the caller promises a live block of this layout.
        let (before, ptr) = unsafe {
            (
                usable(ptr),
                self.crates
                    .realloc(ptr.as_ptr(), old.size(), old.align().max(C_ALIGN), new_size),
            )
        };
        Some((block(ptr)?, before))
    }

    fn trim(&mut self) {
        // SAFETY: no preconditions.
        unsafe { self.crates.trim(0) };
    }
}

// SAFETY: the size word before each block is all the crate needs.
unsafe impl<const GRANULARITY: usize, const TRIM: usize, const RUN: usize> CHeap
    for Heap<GRANULARITY, TRIM, RUN>
{
    #[inline]
    unsafe fn free(&mut self, ptr: NonNull<u8>) -> usize {
        // SAFETY: the caller promises a live block.
        unsafe {
            let granted = usable(ptr);
            self.crates.c_free(ptr.as_ptr());
            self.freed(granted);
            granted
        }
    }

    #[inline]
    unsafe fn usable_size(&self, ptr: NonNull<u8>) -> usize {
        // SAFETY: the caller promises a live block.
        unsafe { usable(ptr) }
    }

    unsafe fn resize(&mut self, ptr: NonNull<u8>, new_size: usize) -> Option<(Block, usize)> {
        // SAFETY: the caller promises a live block.
        let (before, ptr) = unsafe { (usable(ptr), self.crates.c_realloc(ptr.as_ptr(), new_size)) };
        Some((block(ptr)?, before))
    }
}
