//! Adapts a heap that needs the size on free to C, with a header before each block.
//! Do not use it for a heap that frees without a size itself.
//!
//! ```text
//!   base            base + prefix
//!   |  ...  | size | align | payload ...
//!            ^ 16 bytes ^    prefix = max(16, align)
//! ```

use crate::{Block, C_ALIGN, CHeap, Heap, Info, OutOfMemory, Pages, report_corruption};
use core::alloc::Layout;
use core::ptr::NonNull;

#[repr(C)]
struct Header {
    /// Payload bytes as requested from the inner heap.
    payload: usize,
    /// Alignment of the inner allocation. It is 0 once freed, which reveals a double free.
    align: usize,
}

const HEADER_BYTES: usize = size_of::<Header>();
const _: () = assert!(HEADER_BYTES == C_ALIGN);

/// `H` with a 16-byte header before each block that stores the layout.
#[derive(Debug)]
pub struct Headed<H>(H);

fn with_header(layout: Layout) -> Option<(Layout, usize)> {
    let prefix = layout.align().max(HEADER_BYTES);
    let inner = Layout::from_size_align(layout.size().checked_add(prefix)?, prefix).ok()?;
    Some((inner, prefix))
}

impl<H: Heap> Headed<H> {
    fn finish(block: Block, prefix: usize) -> Block {
        // SAFETY: the inner block is at least `prefix` bytes longer than the payload.
        let ptr = unsafe { block.ptr.add(prefix) };
        let granted = block.granted - prefix;
        let header = Header {
            payload: granted,
            align: prefix,
        };
        // SAFETY: `prefix >= HEADER_BYTES`, so the header lies inside the block, aligned to 16.
        unsafe { ptr.cast::<Header>().sub(1).write(header) };
        Block { ptr, granted }
    }

    /// Returns the header of a live block; reports corruption if the header
    /// shows a block that is not live.
    unsafe fn header(ptr: NonNull<u8>) -> NonNull<Header> {
        if !ptr.addr().get().is_multiple_of(C_ALIGN) {
            report_corruption(
                "free of a pointer that was never allocated",
                ptr.addr().get(),
            );
        }
        // SAFETY: the caller promises a live block, which has a header before it.
        let header = unsafe { ptr.cast::<Header>().sub(1) };
        // SAFETY: as above.
        let align = unsafe { header.as_ref().align };
        if align < HEADER_BYTES || !align.is_power_of_two() {
            let what = if align == 0 {
                "double free"
            } else {
                "damaged block header"
            };
            report_corruption(what, ptr.addr().get());
        }
        header
    }

    unsafe fn base(ptr: NonNull<u8>) -> (NonNull<u8>, Layout, usize) {
        // SAFETY: the caller promises a live block.
        let (payload, prefix) = unsafe {
            let header = Self::header(ptr).as_ref();
            (header.payload, header.align)
        };
        // SAFETY: `finish` made this block `prefix` bytes after its base, with this layout.
        unsafe {
            let layout = Layout::from_size_align_unchecked(payload + prefix, prefix);
            (ptr.sub(prefix), layout, payload)
        }
    }
}

// SAFETY: blocks are interior parts of disjoint inner blocks, aligned because the prefix is a
// multiple of the alignment.
unsafe impl<H: Heap> Heap for Headed<H> {
    const INFO: Info = H::INFO;
    const EMPTY: Self = Self(H::EMPTY);

    fn start(&mut self, pages: Pages) -> Result<(), OutOfMemory> {
        self.0.start(pages)
    }

    fn allocate(&mut self, layout: Layout) -> Option<Block> {
        let (inner, prefix) = with_header(layout)?;
        Some(Self::finish(self.0.allocate(inner)?, prefix))
    }

    fn allocate_zeroed(&mut self, layout: Layout) -> Option<Block> {
        let (inner, prefix) = with_header(layout)?;
        Some(Self::finish(self.0.allocate_zeroed(inner)?, prefix))
    }

    unsafe fn deallocate(&mut self, ptr: NonNull<u8>, _layout: Layout) -> usize {
        // SAFETY: the caller's promise.
        unsafe { self.free(ptr) }
    }

    fn trim(&mut self) {
        self.0.trim();
    }
}

// SAFETY: the header carries what the inner heap needs.
unsafe impl<H: Heap> CHeap for Headed<H> {
    unsafe fn free(&mut self, ptr: NonNull<u8>) -> usize {
        // SAFETY: the caller promises a live block.
        unsafe {
            let (base, layout, payload) = Self::base(ptr);
            Self::header(ptr).as_mut().align = 0;
            self.0.deallocate(base, layout);
            payload
        }
    }

    unsafe fn usable_size(&self, ptr: NonNull<u8>) -> usize {
        // SAFETY: the caller promises a live block.
        unsafe { Self::header(ptr).as_ref().payload }
    }

    unsafe fn resize(&mut self, ptr: NonNull<u8>, new_size: usize) -> Option<(Block, usize)> {
        // SAFETY: the caller promises a live block.
        unsafe {
            let (base, layout, before) = Self::base(ptr);
            let prefix = layout.align();
            let inner_size = new_size.checked_add(prefix)?;
            let (block, _) = self.0.reallocate(base, layout, inner_size)?;
            Some((Self::finish(block, prefix), before))
        }
    }
}
