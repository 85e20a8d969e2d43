//! Guest memory for the virtqueue code, by guest-physical address. It contains only the parts that
//! the guest may write and has not closed, so no ring or buffer can lie elsewhere.

use super::super::memory::GuestMemory;
use bespoke_abi::IMAGE_BASE;
use std::iter::once;
use vm_memory::{
    GuestAddress, GuestMemoryBackend, GuestMemoryError, GuestMemoryRegion, GuestMemoryRegionBytes,
    GuestUsize, MemoryRegionAddress, VolatileSlice,
};

/// See the module.
pub(super) struct View<'a>(pub &'a GuestMemory);

impl GuestMemoryRegion for View<'_> {
    type B = ();

    fn len(&self) -> GuestUsize {
        self.0.mapping.bytes() as GuestUsize
    }

    fn start_addr(&self) -> GuestAddress {
        GuestAddress(0)
    }

    fn bitmap(&self) {}

    fn get_slice(
        &self,
        offset: MemoryRegionAddress,
        count: usize,
    ) -> Result<VolatileSlice<'_>, GuestMemoryError> {
        let outside = GuestMemoryError::InvalidGuestAddress(GuestAddress(offset.0));
        let start = offset.0.checked_add(IMAGE_BASE);
        match start.and_then(|start| self.0.open(start, count as u64)) {
            // SAFETY: checked to lie in the mapping, in open pages, which stay open as long as the guest
            // stands still: this borrow keeps it from being served, and only its calls close pages.
            Some(target) => Ok(unsafe { VolatileSlice::new(target, count) }),
            None => Err(outside),
        }
    }
}

impl GuestMemoryRegionBytes for View<'_> {}

impl GuestMemoryBackend for View<'_> {
    type R = Self;

    fn iter(&self) -> impl Iterator<Item = &Self::R> {
        once(self)
    }
}
