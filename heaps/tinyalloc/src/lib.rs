//! `tinyalloc`: first fit over a fixed table of blocks, sorted and compacted at every free.
//!
//! Algorithm: as published in thi-ng/tinyalloc (`tinyalloc.c` at commit 1728aca), in the form and
//! with the defaults of its Unikraft port (`unikraft/lib-tinyalloc` at 49f1efc): one contiguous
//! memory `base..limit`, 2048 blocks, splitting from 16 bytes on, compaction on.
//! This implementation differs where the contract requires it:
//! - The alignment is 16 instead of 8.
//! - Blocks aligned beyond 16 are granted longer and start a little after the recorded start, so
//!   freeing looks for the block that contains the address.
//! - An address that no used block contains is reported instead of ignored.
//!
//! ```text
//!   base                                                      top            limit
//!   | table: 2048 x { address, next, size } | block | block |  never used yet  |
//!
//!   every table entry is in one list:  used (newest first)   free (by address)   fresh (blank)
//! ```
//!
//! The start is eager: all table entries are linked into the fresh list, which writes 48 KiB.
//! There is no memory map to grow, so the heap takes a fixed share of the remaining pages: one
//! half. It never takes more and never gives any back.
//!
//! Allocating is O(free blocks), freeing O(used blocks + free blocks). It is unbeaten on short jobs
//! and hopeless on long ones, and refuses requests beyond 2048 blocks.
//! Both numbers are parameters.
#![no_std]

mod parameters;
mod table;

use bespoke_heap::{
    Block, C_ALIGN, CHeap, Capabilities, Contents, Info, OutOfMemory, PAGE_BYTES, Pages,
    report_corruption,
};
use core::alloc::Layout;
use core::ptr::NonNull;
use table::{Entry, Table};

/// The heap, by default as published, with a table of `BLOCKS` blocks
/// in `SHARE` hundredths of memory.
pub struct Heap<
    const BLOCKS: usize = { parameters::BLOCKS.default },
    const SHARE: usize = { parameters::SHARE.default },
>(Table);

/// For C, without a header: it frees without a size.
pub type AppHeap<
    const BLOCKS: usize = { parameters::BLOCKS.default },
    const SHARE: usize = { parameters::SHARE.default },
> = Heap<BLOCKS, SHARE>;

/// Pages of the table and one for blocks.
const fn least_pages(blocks: usize) -> usize {
    (blocks * size_of::<Entry>()).div_ceil(PAGE_BYTES) + 1
}

impl<const BLOCKS: usize, const SHARE: usize> core::fmt::Debug for Heap<BLOCKS, SHARE> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Heap").finish_non_exhaustive()
    }
}

impl<const BLOCKS: usize, const SHARE: usize> Heap<BLOCKS, SHARE> {
    /// Returns the entry whose block contains `ptr`; reports an address that is in no block.
    fn live(&self, ptr: NonNull<u8>) -> (Option<table::Link>, Entry) {
        let address = ptr.addr().get();
        self.0
            .find_used(address)
            .unwrap_or_else(|| report_corruption("free of a block that is not in use", address))
    }
}

// SAFETY: the table's blocks are disjoint parts of one run that is never returned.
unsafe impl<const BLOCKS: usize, const SHARE: usize> bespoke_heap::Heap for Heap<BLOCKS, SHARE> {
    const INFO: Info = Info {
        name: "tinyalloc",
        summary: "first fit over a fixed table of 2048 blocks: short jobs only",
        origin: "thi-ng/tinyalloc; Unikraft lib-tinyalloc",
        capabilities: Capabilities {
            frees: true,
            bounded_time: false,
            reallocates_in_place: false,
            gives_back: false,
            hardened: true,
            frees_without_size: true,
            shared_instance: false,
        },
        smallest_pool_bytes: least_pages(BLOCKS) * PAGE_BYTES,
        eager: true,
        parameters: parameters::ALL,
    };
    const EMPTY: Self = Self(Table::EMPTY);

    fn start(&mut self, pages: Pages) -> Result<(), OutOfMemory> {
        let least = least_pages(BLOCKS);
        let share = (pages.source().largest_free_pages() * SHARE / 100).max(least);
        let run = pages.allocate(share, 1, Contents::Any).ok_or(OutOfMemory {
            needed_bytes: least * PAGE_BYTES,
        })?;
        // SAFETY: the run is ours forever, and at least as long as the table and a page.
        self.0 = unsafe { Table::start(run.start, run.pages * PAGE_BYTES, BLOCKS) };
        Ok(())
    }

    fn allocate(&mut self, layout: Layout) -> Option<Block> {
        // Blocks start at multiples of 16, so that part of the padding is not needed.
        let padding = layout.align().saturating_sub(C_ALIGN);
        let entry = self.0.allocate(layout.size().checked_add(padding)?)?;
        let start = entry.address.next_multiple_of(layout.align());
        let ptr = NonNull::new(start as *mut u8)?;
        Some(Block {
            ptr,
            granted: entry.address + entry.size - start,
        })
    }

    unsafe fn deallocate(&mut self, ptr: NonNull<u8>, _layout: Layout) -> usize {
        // SAFETY: the caller's promise.
        unsafe { self.free(ptr) }
    }
}

// SAFETY: addresses are looked up in the table.
unsafe impl<const BLOCKS: usize, const SHARE: usize> CHeap for Heap<BLOCKS, SHARE> {
    unsafe fn free(&mut self, ptr: NonNull<u8>) -> usize {
        let (before, entry) = self.live(ptr);
        self.0.free(before);
        entry.address + entry.size - ptr.addr().get()
    }

    unsafe fn usable_size(&self, ptr: NonNull<u8>) -> usize {
        let (_, entry) = self.live(ptr);
        entry.address + entry.size - ptr.addr().get()
    }
}
