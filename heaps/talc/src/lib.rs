//! `talc`: bins, boundary tags and good fit in little code.
//!
//! Algorithm (crate `talc`): chunks are multiples of 32 bytes and end in a one-word tag.
//! Free chunks ("gaps") carry their size at both ends and are kept in bins by size, which a bitmap
//! indexes. Neighbours are coalesced at once.
//! An allocation examines one bin whose chunks are certain to fit, and otherwise searches the bin
//! below. Alignments above 32 bytes search bins chunk by chunk.
//!
//! ```text
//!   | payload ...            tag |  32-byte units; the first heap starts with the table of bins
//! ```
//!
//! A chunk's end is computed from its size, so C needs the 16-byte
//! header of [`bespoke_heap::Headed`].
//! Memory goes back automatically: an empty run as a whole, and the free
//! end of a run in steps of 192 KiB.
#![no_std]

mod bins;
mod growth;
mod parameters;

use bespoke_heap::{
    Block, C_ALIGN, Capabilities, Headed, Info, OutOfMemory, PAGE_BYTES, Pages, Parameter,
};
use bins::Bins;
use core::alloc::Layout;
use core::ptr::NonNull;
use growth::Growth;
use talc::base::{CHUNK_UNIT, Talc};

/// The heap.
pub struct Heap<
    const DIVISIONS: usize = { parameters::DIVISIONS.default },
    const TRIM: usize = { parameters::TRIM.default },
    const RUN: usize = { Parameter::RUN.default },
>(Talc<Growth<TRIM, RUN>, Bins<DIVISIONS>>);

/// For C, with a header: the crate needs the size on free.
pub type AppHeap<
    const DIVISIONS: usize = { parameters::DIVISIONS.default },
    const TRIM: usize = { parameters::TRIM.default },
    const RUN: usize = { Parameter::RUN.default },
> = Headed<Heap<DIVISIONS, TRIM, RUN>>;

/// Bytes of the tag at a chunk's end.
const TAG_BYTES: usize = size_of::<usize>();

/// Usable bytes of a chunk for `size` bytes.
const fn granted(size: usize) -> usize {
    (size + TAG_BYTES).next_multiple_of(CHUNK_UNIT) - TAG_BYTES
}

impl<const DIVISIONS: usize, const TRIM: usize, const RUN: usize> core::fmt::Debug
    for Heap<DIVISIONS, TRIM, RUN>
{
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Heap").finish_non_exhaustive()
    }
}

// SAFETY: `talc` returns disjoint, aligned blocks inside the runs `Growth` claimed for it.
unsafe impl<const DIVISIONS: usize, const TRIM: usize, const RUN: usize> bespoke_heap::Heap
    for Heap<DIVISIONS, TRIM, RUN>
{
    const INFO: Info = Info {
        name: "talc",
        summary: "small code, returns emptied memory; slow for alignments above 32 bytes",
        origin: "crate talc 5.1.1",
        capabilities: Capabilities {
            frees: true,
            bounded_time: false,
            reallocates_in_place: true,
            gives_back: true,
            hardened: false,
            frees_without_size: false,
            shared_instance: false,
        },
        smallest_pool_bytes: PAGE_BYTES,
        eager: false,
        parameters: parameters::ALL,
    };
    const EMPTY: Self = Self(Talc::new(Growth::EMPTY));

    fn start(&mut self, pages: Pages) -> Result<(), OutOfMemory> {
        self.0.source = Growth::from(pages);
        Ok(())
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<Block> {
        let layout = layout.align_to(C_ALIGN).ok()?;
        // SAFETY: the contract says the size is not 0.
        let ptr = unsafe { self.0.allocate(layout) }?;
        Some(Block {
            ptr,
            granted: granted(layout.size()),
        })
    }

    #[inline]
    unsafe fn deallocate(&mut self, ptr: NonNull<u8>, layout: Layout) -> usize {
        // SAFETY: the caller promises a live block of this layout.
        unsafe { self.0.deallocate(ptr.as_ptr(), layout) };
        granted(layout.size())
    }

    unsafe fn reallocate(
        &mut self,
        ptr: NonNull<u8>,
        old: Layout,
        new_size: usize,
    ) -> Option<(Block, usize)> {
        let before = granted(old.size());
        let layout = Layout::from_size_align(new_size, old.align()).ok()?;
        // SAFETY: the caller promises a live block of this layout, and that the size is not 0.
        if unsafe { self.0.try_realloc_in_place(ptr.as_ptr(), old, new_size) } {
            return Some((
                Block {
                    ptr,
                    granted: granted(new_size),
                },
                before,
            ));
        }
        let block = self.allocate(layout)?;
        // SAFETY: growing in place failed, so the new block is the longer one, and disjoint.
        unsafe { ptr.copy_to_nonoverlapping(block.ptr, old.size()) };
        // SAFETY: the caller's promise.
        unsafe { self.deallocate(ptr, old) };
        Some((block, before))
    }
}
