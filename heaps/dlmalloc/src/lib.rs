//! `dlmalloc`: best fit with boundary tags, the tightest of the general heaps.
//!
//! Algorithm: Lea 1987-2012 (the crate `dlmalloc` is a port): exact bins for small sizes, trees
//! by size for large ones, the last remainder and the top of memory apart; neighbours are
//! coalesced at once. Small requests are O(1), large ones O(size bits).
//!
//! ```text
//!   chunk, a multiple of 16 bytes, at least 32
//!   | (end of the chunk before) | size, flags | payload ...  | (size of the next, when free) |
//!                                 8 bytes       up to and into the first word of the next chunk
//! ```
//!
//! The word before the payload is the whole overhead: 24 bytes cost 32, 100 cost 112. It is
//! also what this wrapper reads to know a block's usable size, which the crate does not tell.
//! Memory goes back when 2 MiB lie free at the top, when a segment is empty, and on `trim`.
#![no_std]

mod growth;

use bespoke_heap::{Block, C_ALIGN, CHeap, Capabilities, Info, OutOfMemory, PAGE_BYTES, Pages};
use core::alloc::Layout;
use core::ptr::NonNull;
use dlmalloc::Dlmalloc;
use growth::Growth;

/// The heap.
pub struct Heap(Dlmalloc<Growth>);

/// It frees without a size.
pub type AppHeap = Heap;

/// Bits of a chunk's size word that are not its size.
const FLAGS: usize = 7;

const fn new(growth: Growth) -> Dlmalloc<Growth> {
    let mut heap = Dlmalloc::new_with_allocator(growth);
    assert!(heap.set_granularity(PAGE_BYTES));
    heap
}

/// Usable bytes of a live block.
unsafe fn usable(ptr: NonNull<u8>) -> usize {
    // SAFETY: every live block has its chunk's size word before it.
    let head = unsafe { ptr.cast::<usize>().sub(1).read() };
    (head & !FLAGS) - size_of::<usize>()
}

/// A block the crate returned; null is refusal.
fn block(ptr: *mut u8) -> Option<Block> {
    let ptr = NonNull::new(ptr)?;
    // SAFETY: the block is live.
    let granted = unsafe { usable(ptr) };
    Some(Block { ptr, granted })
}

// SAFETY: `dlmalloc` returns disjoint, aligned blocks inside the runs `Growth` gave it.
unsafe impl bespoke_heap::Heap for Heap {
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
        smallest_pool_bytes: PAGE_BYTES,
        eager: false,
    };
    const EMPTY: Self = Self(new(Growth::empty()));

    fn start(&mut self, pages: Pages) -> Result<(), OutOfMemory> {
        self.0 = new(Growth::from(pages));
        Ok(())
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<Block> {
        // SAFETY: no preconditions beyond a power-of-two alignment.
        block(unsafe { self.0.malloc(layout.size(), layout.align()) })
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
                self.0
                    .realloc(ptr.as_ptr(), old.size(), old.align().max(C_ALIGN), new_size),
            )
        };
        Some((block(ptr)?, before))
    }

    fn trim(&mut self) {
        // SAFETY: no preconditions.
        unsafe { self.0.trim(0) };
    }
}

// SAFETY: the size word before each block is all the crate needs.
unsafe impl CHeap for Heap {
    #[inline]
    unsafe fn free(&mut self, ptr: NonNull<u8>) -> usize {
        // SAFETY: the caller promises a live block.
        unsafe {
            let granted = usable(ptr);
            self.0.c_free(ptr.as_ptr());
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
        let (before, ptr) = unsafe { (usable(ptr), self.0.c_realloc(ptr.as_ptr(), new_size)) };
        Some((block(ptr)?, before))
    }
}
