//! The memory of the network: its component's heap. Owns nothing.

use allocator_api2::alloc::{AllocError, Allocator, Layout};
use bespoke_net::Memory;
use core::ptr::NonNull;

unsafe extern "Rust" {
    safe fn bespoke_net_allocate(layout: Layout, zeroed: bool) -> Option<NonNull<u8>>;
    fn bespoke_net_free(start: NonNull<u8>, layout: Layout);
}

/// The heap of the component `net`.
#[derive(Clone, Copy, Debug)]
pub(super) struct NetMemory;

/// The same, as the stack takes it.
pub(super) const MEMORY: Memory = &NetMemory;

fn allocate(layout: Layout, zeroed: bool) -> Result<NonNull<[u8]>, AllocError> {
    let start = if layout.size() == 0 {
        NonNull::without_provenance(layout.align().try_into().map_err(|_| AllocError)?)
    } else {
        bespoke_net_allocate(layout, zeroed).ok_or(AllocError)?
    };
    Ok(NonNull::slice_from_raw_parts(start, layout.size()))
}

// SAFETY: blocks of the component's heap are valid until they are freed, and the heap is one and
// the same for all values of the type.
unsafe impl Allocator for NetMemory {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        allocate(layout, false)
    }

    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        allocate(layout, true)
    }

    unsafe fn deallocate(&self, start: NonNull<u8>, layout: Layout) {
        if layout.size() > 0 {
            // SAFETY: the caller's promise: granted by `allocate` with this layout.
            unsafe { bespoke_net_free(start, layout) }
        }
    }
}
