//! Implements the contract with the C functions.

use crate::ffi;
use bespoke_heap::{Block, C_ALIGN, CHeap, Info, OutOfMemory, Pages, report_corruption};
use core::alloc::Layout;
use core::ptr::NonNull;

/// mallocng, as a handle to the shared instance.
#[derive(Debug)]
pub struct Heap(());

/// For C, without a header: it frees without a size.
pub type AppHeap = Heap;

/// mallocng's usable size is exactly the requested size.
fn block(ptr: *mut u8, size: usize) -> Option<Block> {
    Some(Block {
        ptr: NonNull::new(ptr)?,
        granted: size,
    })
}

/// A freed block's header is marked until its slot is used again. mallocng itself would follow the
/// header to memory that may be unmapped.
#[inline]
fn check_live(ptr: NonNull<u8>) {
    /// No live block has this value in the byte 3 below it.
    const FREED: u8 = 255;
    ffi::about(ptr);
    // SAFETY: the caller promises a block of this heap, which has a 4-byte header before it.
    if unsafe { ptr.sub(3).read() } == FREED {
        report_corruption("double free", ptr.addr().get());
    }
}

// SAFETY: mallocng grants disjoint slots of pages from the adopted account, aligned to 16 or as
// asked; its callbacks do not unwind.
unsafe impl bespoke_heap::Heap for Heap {
    const INFO: Info = crate::INFO;
    const EMPTY: Self = Self(());

    fn start(&mut self, pages: Pages) -> Result<(), OutOfMemory> {
        ffi::adopt(pages);
        Ok(())
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<Block> {
        let ptr = if layout.align() <= C_ALIGN {
            // SAFETY: any size is answered.
            unsafe { ffi::mallocng_malloc(layout.size()) }
        } else {
            // SAFETY: any size and power of two is answered.
            unsafe { ffi::mallocng_aligned_alloc(layout.align(), layout.size()) }
        };
        block(ptr, layout.size())
    }

    fn allocate_zeroed(&mut self, layout: Layout) -> Option<Block> {
        let block = self.allocate(layout)?;
        // SAFETY: the block was granted just now.
        if unsafe { ffi::mallocng_is_allzero(block.ptr.as_ptr()) } == 0 {
            // SAFETY: as above, at least `layout.size()` bytes long.
            unsafe { block.ptr.write_bytes(0, layout.size()) };
        }
        Some(block)
    }

    #[inline]
    unsafe fn deallocate(&mut self, ptr: NonNull<u8>, layout: Layout) -> usize {
        check_live(ptr);
        // SAFETY: the caller's promise.
        unsafe { ffi::mallocng_free(ptr.as_ptr()) };
        layout.size()
    }

    unsafe fn reallocate(
        &mut self,
        ptr: NonNull<u8>,
        old: Layout,
        new_size: usize,
    ) -> Option<(Block, usize)> {
        if old.align() <= C_ALIGN {
            check_live(ptr);
            // SAFETY: the caller's promise.
            let moved = unsafe { ffi::mallocng_realloc(ptr.as_ptr(), new_size) };
            return Some((block(moved, new_size)?, old.size()));
        }
        let layout = Layout::from_size_align(new_size, old.align()).ok()?;
        let block = self.allocate(layout)?;
        // SAFETY: both blocks are live, distinct, and at least the copied length long; the
        // caller's promise about `ptr` and `old`.
        unsafe {
            ptr.copy_to_nonoverlapping(block.ptr, old.size().min(new_size));
            self.deallocate(ptr, old);
        }
        Some((block, old.size()))
    }
}

// SAFETY: as for `Heap`; the header before each block tells its slot and size.
unsafe impl CHeap for Heap {
    #[inline]
    unsafe fn free(&mut self, ptr: NonNull<u8>) -> usize {
        check_live(ptr);
        // SAFETY: the caller's promise.
        unsafe { ffi::mallocng_free_counted(ptr.as_ptr()) }
    }

    #[inline]
    unsafe fn usable_size(&self, ptr: NonNull<u8>) -> usize {
        ffi::about(ptr);
        // SAFETY: the caller's promise.
        unsafe { ffi::mallocng_usable_size(ptr.as_ptr()) }
    }

    unsafe fn resize(&mut self, ptr: NonNull<u8>, new_size: usize) -> Option<(Block, usize)> {
        check_live(ptr);
        // SAFETY: the caller's promise.
        let (before, moved) = unsafe {
            (
                ffi::mallocng_usable_size(ptr.as_ptr()),
                ffi::mallocng_realloc(ptr.as_ptr(), new_size),
            )
        };
        Some((block(moved, new_size)?, before))
    }
}
