//! Implements the contract with the C functions.

use crate::ffi;
use crate::info::{self, NEVER, smallest_pool_bytes};
use bespoke_heap::{Block, C_ALIGN, CHeap, Capabilities, Info, OutOfMemory, Pages};
use core::alloc::Layout;
use core::ptr::NonNull;

/// mimalloc, as a handle to the shared instance. `SEGMENT` is the
/// size that its C was compiled with.
#[derive(Debug)]
pub struct Heap<
    const SEGMENT: usize = { info::SEGMENT.default },
    const RESERVE: usize = { info::RESERVE.default },
    const PURGE_DELAY: usize = { info::PURGE_DELAY.default },
>(());

/// For C, without a header: it frees without a size.
pub type AppHeap<
    const SEGMENT: usize = { info::SEGMENT.default },
    const RESERVE: usize = { info::RESERVE.default },
    const PURGE_DELAY: usize = { info::PURGE_DELAY.default },
> = Heap<SEGMENT, RESERVE, PURGE_DELAY>;

/// mimalloc aligns a block according to its size; sizes below 16 are aligned to 8.
const SMALL_ALIGN: usize = 8;

/// Returns the size to request so that the plain functions give `align`, which is at most 16.
#[inline]
fn padded(size: usize, align: usize) -> usize {
    if align > SMALL_ALIGN {
        size.max(C_ALIGN)
    } else {
        size
    }
}

#[inline]
fn block(ptr: *mut u8, granted: usize) -> Option<Block> {
    Some(Block {
        ptr: NonNull::new(ptr)?,
        granted,
    })
}

/// An over-aligned block may start inside mimalloc's block, so its size is queried.
fn aligned_block(ptr: *mut u8) -> Option<Block> {
    // SAFETY: null or granted just now; both are answered.
    block(ptr, unsafe { ffi::mi_usable_size(ptr) })
}

// SAFETY: mimalloc grants disjoint blocks of segments from the adopted account, aligned as asked;
// its callbacks do not unwind.
unsafe impl<const SEGMENT: usize, const RESERVE: usize, const PURGE_DELAY: usize> bespoke_heap::Heap
    for Heap<SEGMENT, RESERVE, PURGE_DELAY>
{
    const INFO: Info = Info {
        smallest_pool_bytes: smallest_pool_bytes(SEGMENT),
        capabilities: Capabilities {
            // Arenas keep memory that is given up.
            gives_back: RESERVE == 0,
            ..crate::INFO.capabilities
        },
        ..crate::INFO
    };
    const EMPTY: Self = Self(());

    fn start(&mut self, pages: Pages) -> Result<(), OutOfMemory> {
        const {
            assert!(
                SEGMENT == ffi::SEGMENT_BYTES,
                "the C side has another segment size"
            );
        }
        let purge_delay = if PURGE_DELAY == NEVER {
            -1
        } else {
            PURGE_DELAY as i32
        };
        ffi::start(pages, RESERVE, purge_delay);
        Ok(())
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<Block> {
        let (size, align) = (layout.size(), layout.align());
        let mut granted = 0;
        // SAFETY: any size and power of two is answered.
        let ptr = unsafe {
            if align <= C_ALIGN {
                ffi::mi_umalloc(padded(size, align), &mut granted)
            } else {
                return aligned_block(ffi::mi_malloc_aligned(size, align));
            }
        };
        block(ptr, granted)
    }

    #[inline]
    fn allocate_zeroed(&mut self, layout: Layout) -> Option<Block> {
        let (size, align) = (layout.size(), layout.align());
        let mut granted = 0;
        // SAFETY: any size and power of two is answered.
        let ptr = unsafe {
            if align <= C_ALIGN {
                ffi::mi_uzalloc(padded(size, align), &mut granted)
            } else {
                return aligned_block(ffi::mi_zalloc_aligned(size, align));
            }
        };
        block(ptr, granted)
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
        if old.align() <= C_ALIGN {
            // SAFETY: the caller's promise.
            return unsafe { self.resize(ptr, padded(new_size, old.align())) };
        }
        let layout = Layout::from_size_align(new_size, old.align()).ok()?;
        let block = self.allocate(layout)?;
        // SAFETY: both blocks are live, distinct, and at least the copied length long; the
        // caller's promise about `ptr`.
        unsafe {
            ptr.copy_to_nonoverlapping(block.ptr, old.size().min(new_size));
            Some((block, self.free(ptr)))
        }
    }

    fn trim(&mut self) {
        // SAFETY: the instance has started.
        unsafe { ffi::mi_collect(true) };
    }
}

// SAFETY: as for `Heap`; a block's segment and page tell its size.
unsafe impl<const SEGMENT: usize, const RESERVE: usize, const PURGE_DELAY: usize> CHeap
    for Heap<SEGMENT, RESERVE, PURGE_DELAY>
{
    #[inline]
    unsafe fn free(&mut self, ptr: NonNull<u8>) -> usize {
        // SAFETY: the caller's promise.
        unsafe { ffi::mimalloc_free_counted(ptr.as_ptr()) }
    }

    #[inline]
    unsafe fn usable_size(&self, ptr: NonNull<u8>) -> usize {
        // SAFETY: the caller's promise.
        unsafe { ffi::mi_usable_size(ptr.as_ptr()) }
    }

    #[inline]
    unsafe fn resize(&mut self, ptr: NonNull<u8>, new_size: usize) -> Option<(Block, usize)> {
        let (mut before, mut granted) = (0, 0);
        let size = padded(new_size, C_ALIGN);
        // SAFETY: the caller's promise.
        let moved =
            unsafe { ffi::mimalloc_resize_counted(ptr.as_ptr(), size, &mut before, &mut granted) };
        Some((block(moved, granted)?, before))
    }
}
