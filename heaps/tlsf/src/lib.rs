//! `tlsf`: two-level segregated fit, the real-time allocator.
//!
//! Algorithm: Masmano, Ripoll, Crespo and Real 2004, "TLSF: a new dynamic memory allocator for
//! real-time systems", as implemented by the crate `rlsf`.
//! Free blocks are kept in lists by power of two and sixteenth of it (or another
//! fraction: `lists`). Two bitmaps find a list whose every block fits, so
//! allocating and freeing are always O(1).
//! Neighbours are coalesced at once.
//!
//! ```text
//!   block, a multiple of 32 bytes         align <= 16: payload at 16 modulo 32
//!   | size, flags | previous | payload ... |
//!     8 bytes       8 bytes               align >= 32: payload at 0 modulo 32
//!   | size, flags | previous | .. | where the header is | payload ... |
//! ```
//!
//! In C, `free` carries no size and no alignment. The address shows which of the two forms a
//! block has, so no header is added.
//! Resizing is in place when the neighbour is free, else O(size).
//! Pages are taken on demand, next to the last ones where possible. The crate cannot return a pool
//! once it is in use, so memory is not given back.
//! 24 bytes cost 64.
#![no_std]

mod growth;
mod lists;
mod parameters;

use bespoke_heap::{
    Block, C_ALIGN, CHeap, Capabilities, Info, OutOfMemory, PAGE_BYTES, Pages, Parameter,
};
use core::alloc::Layout;
use core::ptr::NonNull;
use growth::Growth;
use rlsf::{FlexTlsf, GRANULARITY};

pub use lists::{Lists, PerPower};

/// The crate's heap with these lists.
type Tlsf<const FL: usize, const SL: usize, const RUN: usize> =
    FlexTlsf<Growth<RUN>, u64, <PerPower<SL> as Lists>::Bitmap, FL, SL>;

/// The heap: `SL` lists for each of `FL` powers of two. It takes pages
/// at most `RUN` bytes ahead of need.
pub struct Heap<
    const FL: usize = { parameters::FL.default },
    const SL: usize = { parameters::SL.default },
    const RUN: usize = { Parameter::RUN.default },
>(Tlsf<FL, SL, RUN>)
where
    PerPower<SL>: Lists;

/// For C, without a header: it frees without a size.
pub type AppHeap<
    const FL: usize = { parameters::FL.default },
    const SL: usize = { parameters::SL.default },
    const RUN: usize = { Parameter::RUN.default },
> = Heap<FL, SL, RUN>;

/// Bytes of a block's header.
const HEADER_BYTES: usize = GRANULARITY / 2;

/// Bytes that the crate grants for `size` bytes at an alignment of up to 16.
const fn granted(size: usize) -> usize {
    (size + HEADER_BYTES).next_multiple_of(GRANULARITY) - HEADER_BYTES
}

impl<const FL: usize, const SL: usize, const RUN: usize> core::fmt::Debug for Heap<FL, SL, RUN>
where
    PerPower<SL>: Lists,
{
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Heap").finish_non_exhaustive()
    }
}

/// The alignment class of a block, which is all that the crate needs to know of it.
fn align_of(ptr: NonNull<u8>) -> usize {
    if ptr.addr().get() % GRANULARITY == HEADER_BYTES {
        C_ALIGN
    } else {
        GRANULARITY
    }
}

fn at_least_16(layout: Layout) -> Option<Layout> {
    layout.align_to(C_ALIGN).ok()
}

impl<const FL: usize, const SL: usize, const RUN: usize> Heap<FL, SL, RUN>
where
    PerPower<SL>: Lists,
{
    fn block(ptr: NonNull<u8>, layout: Layout) -> Block {
        let granted = if layout.align() <= C_ALIGN {
            granted(layout.size())
        } else {
            Self::usable(ptr)
        };
        Block { ptr, granted }
    }

    fn usable(ptr: NonNull<u8>) -> usize {
        // SAFETY: called for live blocks only.
        unsafe { Tlsf::<FL, SL, RUN>::allocation_usable_size(ptr) }
    }

    unsafe fn move_or_stay(&mut self, ptr: NonNull<u8>, layout: Layout) -> Option<(Block, usize)> {
        let before = Self::usable(ptr);
        // SAFETY: the caller promises a live block of this alignment class.
        let ptr = unsafe { self.0.reallocate(ptr, layout) }?;
        Some((Self::block(ptr, layout), before))
    }
}

// SAFETY: `rlsf` returns disjoint, aligned blocks inside the runs `Growth` gave it.
unsafe impl<const FL: usize, const SL: usize, const RUN: usize> bespoke_heap::Heap
    for Heap<FL, SL, RUN>
where
    PerPower<SL>: Lists,
{
    const INFO: Info = Info {
        name: "tlsf",
        summary: "bounded time for every operation, little waste above 100 bytes; 24 bytes cost 64",
        origin: "Masmano et al. 2004; crate rlsf 0.2.3",
        capabilities: Capabilities {
            frees: true,
            bounded_time: true,
            reallocates_in_place: true,
            gives_back: false,
            hardened: false,
            frees_without_size: true,
            shared_instance: false,
        },
        smallest_pool_bytes: PAGE_BYTES,
        eager: false,
        parameters: parameters::ALL,
    };
    const EMPTY: Self = Self(Tlsf::new(Growth::EMPTY));

    fn start(&mut self, pages: Pages) -> Result<(), OutOfMemory> {
        // SAFETY: nothing has been allocated from the source.
        unsafe { self.0.source_mut_unchecked() }.start(pages);
        Ok(())
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<Block> {
        let layout = at_least_16(layout)?;
        Some(Self::block(self.0.allocate(layout)?, layout))
    }

    #[inline]
    unsafe fn deallocate(&mut self, ptr: NonNull<u8>, layout: Layout) -> usize {
        let Block { granted, .. } = Self::block(ptr, layout);
        // SAFETY: the caller promises a live block of this layout.
        unsafe { self.0.deallocate(ptr, layout.align().max(C_ALIGN)) };
        granted
    }

    unsafe fn reallocate(
        &mut self,
        ptr: NonNull<u8>,
        old: Layout,
        new_size: usize,
    ) -> Option<(Block, usize)> {
        let layout = Layout::from_size_align(new_size, old.align().max(C_ALIGN)).ok()?;
        // SAFETY: the caller promises a live block of this alignment.
        unsafe { self.move_or_stay(ptr, layout) }
    }
}

// SAFETY: the address of a block tells its alignment class; see the picture above.
unsafe impl<const FL: usize, const SL: usize, const RUN: usize> CHeap for Heap<FL, SL, RUN>
where
    PerPower<SL>: Lists,
{
    #[inline]
    unsafe fn free(&mut self, ptr: NonNull<u8>) -> usize {
        let granted = Self::usable(ptr);
        // SAFETY: the caller promises a live block, and this is its alignment class.
        unsafe { self.0.deallocate(ptr, align_of(ptr)) };
        granted
    }

    #[inline]
    unsafe fn usable_size(&self, ptr: NonNull<u8>) -> usize {
        Self::usable(ptr)
    }

    unsafe fn resize(&mut self, ptr: NonNull<u8>, new_size: usize) -> Option<(Block, usize)> {
        let layout = Layout::from_size_align(new_size, align_of(ptr)).ok()?;
        // SAFETY: the caller promises a live block, and this is its alignment class.
        unsafe { self.move_or_stay(ptr, layout) }
    }
}
