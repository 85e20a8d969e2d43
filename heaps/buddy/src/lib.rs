//! `buddy`, the baseline: a binary buddy page allocator over all of memory,
//! and whole pages for each `malloc`.
//!
//! It reproduces Unikraft's published sources and is neither slowed down nor sped up:
//! - `lib/ukallocbbuddy/bbuddy.c` at commit 0c217e2 (its page allocator, from Xen's mini-OS;
//!   Knowlton 1965, "A fast storage allocator"). One bitmap covers all of RAM; it is cleared and
//!   set eagerly at start. Free chunks of power-of-two pages are naturally aligned by address and
//!   entered eagerly. There is a list per order. The head and tail of every free chunk are written
//!   into the chunk. An allocation takes a chunk of the smallest order that has one and splits it
//!   downwards. A free merges upwards by bitmap and order.
//! - `lib/ukalloc/alloc.c` at commit 090b3e9 (malloc on pages). Every request is rounded up to
//!   whole pages, with 16 bytes in front that hold the number of pages and their base. The page
//!   allocator below rounds the pages up to a power of two. Page-aligned blocks keep those 16 bytes
//!   in a separate page in front. `realloc` always allocates, copies and frees. `calloc` always
//!   clears. The usable size ends with the whole pages, not with the power of two.
//!
//! ```text
//!   taken at start: every page the source still has
//!   | control | bitmap, 1 bit a page | chunk | chunk | ...          |
//!
//!   a block     | pages, base | payload ...             | lost to the power of two |
//! ```
//!
//! As in the original, everything else lives in the same memory: the heap is the
//! [`Lender`](bespoke_heap::Lender) of the page source, so file pages, thread
//! stacks and other heaps borrow from it.
//! Lending cuts the power of two to the requested size, because borrowers return parts.
//! A second component that names `buddy` starts after the first has taken all memory. It borrows
//! half of the largest chunk and manages only that.
#![no_std]

mod bitmap;
mod chunks;
mod control;

use bespoke_heap::{
    Block, C_ALIGN, CHeap, Capabilities, Contents, Info, OutOfMemory, PAGE_BYTES, Pages,
};
use control::Control;
use core::alloc::Layout;
use core::ptr::NonNull;

/// The heap: a reference to its control block, which lives in the memory that it manages.
pub struct Heap(Option<&'static Control>);

impl core::fmt::Debug for Heap {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Heap").finish_non_exhaustive()
    }
}

/// For C, without a header: it frees without a size.
pub type AppHeap = Heap;

/// Header in front of every block.
#[repr(C)]
struct Header {
    pages: usize,
    base: NonNull<u8>,
}

const HEADER_BYTES: usize = size_of::<Header>();
const _: () = assert!(HEADER_BYTES == C_ALIGN);

/// One page each: control block, bitmap, block.
const LEAST_PAGES: usize = 3;

/// Address of a block's header: at the start of its page, or of the page before.
fn header(ptr: NonNull<u8>) -> NonNull<Header> {
    let address = ptr.addr().get();
    let page = (address - 1) & !(PAGE_BYTES - 1);
    // SAFETY: every block has at least its header before it, in the same allocation.
    unsafe { ptr.byte_sub(address - page) }.cast()
}

impl Heap {
    /// Pages and padding of a request: `(bytes of pages to take, alignment of the payload)`.
    fn shape(layout: Layout) -> Option<usize> {
        let align = layout.align();
        let overhead = if align <= C_ALIGN {
            HEADER_BYTES
        } else if align < PAGE_BYTES {
            HEADER_BYTES + align
        } else {
            PAGE_BYTES + align
        };
        layout.size().checked_add(overhead)
    }
}

// SAFETY: chunks are disjoint, and a block lies inside the pages its header names.
unsafe impl bespoke_heap::Heap for Heap {
    const INFO: Info = Info {
        name: "buddy",
        summary: "the published baseline: bitmap over all RAM, whole pages for every block",
        origin: "Unikraft ukallocbbuddy and ukalloc, from Xen mini-OS",
        capabilities: Capabilities {
            frees: true,
            bounded_time: false,
            reallocates_in_place: false,
            gives_back: false,
            hardened: false,
            frees_without_size: true,
            shared_instance: false,
        },
        smallest_pool_bytes: LEAST_PAGES * PAGE_BYTES,
        eager: true,
        // The baseline as published has no parameters.
        parameters: &[],
    };
    const EMPTY: Self = Self(None);

    fn start(&mut self, pages: Pages) -> Result<(), OutOfMemory> {
        let source = pages.source();
        let free = source.largest_free_pages();
        let share = if source.has_lender() { free / 2 } else { free };
        let refused = OutOfMemory {
            needed_bytes: LEAST_PAGES * PAGE_BYTES,
        };
        if share < LEAST_PAGES {
            return Err(refused);
        }
        let run = pages.allocate(share, 1, Contents::Any).ok_or(refused)?;
        // SAFETY: the run is ours forever and long enough.
        let control = unsafe { Control::start(run) };
        self.0 = Some(control);
        // Refused if another lender was first. Then this one manages only its share.
        source.set_lender(control);
        Ok(())
    }

    fn allocate(&mut self, layout: Layout) -> Option<Block> {
        let pages = Self::shape(layout)?.div_ceil(PAGE_BYTES);
        let base = self.0?.allocate_pages(pages)?;
        let first = base.addr().get() + HEADER_BYTES;
        let start = first.next_multiple_of(layout.align());
        // SAFETY: `shape` counted the padding, so the block lies inside the pages.
        let ptr = unsafe { base.byte_add(start - base.addr().get()) };
        // SAFETY: the header's place is before the block, in the same pages.
        unsafe { header(ptr).write(Header { pages, base }) };
        let end = base.addr().get() + pages * PAGE_BYTES;
        Some(Block {
            ptr,
            granted: end - start,
        })
    }

    unsafe fn deallocate(&mut self, ptr: NonNull<u8>, _layout: Layout) -> usize {
        // SAFETY: the caller's promise.
        unsafe { self.free(ptr) }
    }
}

// SAFETY: the header holds what freeing needs.
unsafe impl CHeap for Heap {
    unsafe fn free(&mut self, ptr: NonNull<u8>) -> usize {
        // SAFETY: the caller promises a live block, so its header is intact.
        let (granted, Header { pages, base }) =
            unsafe { (self.usable_size(ptr), header(ptr).read()) };
        if let Some(control) = self.0 {
            // SAFETY: `base` came from `allocate_pages` with this number of pages.
            unsafe { control.free_pages(base, pages) };
        }
        granted
    }

    unsafe fn usable_size(&self, ptr: NonNull<u8>) -> usize {
        // SAFETY: the caller promises a live block, so its header is intact.
        let Header { pages, base } = unsafe { header(ptr).read() };
        base.addr().get() + pages * PAGE_BYTES - ptr.addr().get()
    }
}
