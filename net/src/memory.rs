//! Memory for sockets: an allocator that the caller passes in, and blocks lent to smoltcp.
//! This is the only module that extends a borrow. No block is lent twice.

use crate::{Error, Result};
use allocator_api2::alloc::{Allocator, Layout};
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

/// Allocator of all tables, sockets and buffers (the `net` component's heap in an image).
pub type Memory = &'static (dyn Allocator + Sync);

/// A vector on [`Memory`].
pub(crate) type Vec<T> = allocator_api2::vec::Vec<T, Memory>;
/// A box on [`Memory`].
pub(crate) type Box<T> = allocator_api2::boxed::Box<T, Memory>;

/// Allocates a box, or returns `NoMemory`.
pub(crate) fn boxed<T>(value: T, memory: Memory) -> Result<Box<T>> {
    Box::try_new_in(value, memory).map_err(|_| Error::NoMemory)
}

/// Makes room for one more element.
pub(crate) fn push<T>(vector: &mut Vec<T>, value: T) -> Result<()> {
    vector.try_reserve(1).map_err(|_| Error::NoMemory)?;
    vector.push(value);
    Ok(())
}

/// A block of `T`s that is freed when this is dropped.
/// The lent slice has a `'static` lifetime, so a holder of both must drop the
/// borrower first (fields drop in order).
pub(crate) struct Lease<T: 'static> {
    block: NonNull<T>,
    count: usize,
    layout: Layout,
    memory: Memory,
}

impl<T> Lease<T> {
    /// Allocates `count` values made by `make`.
    ///
    /// # Safety
    ///
    /// The slice is not used after the lease is dropped.
    pub(crate) unsafe fn new(
        count: usize,
        make: impl Fn() -> T,
        memory: Memory,
    ) -> Result<(Self, &'static mut [T])> {
        let layout = Layout::array::<T>(count.max(1)).map_err(|_| Error::NoMemory)?;
        let block: NonNull<T> = memory.allocate(layout).map_err(|_| Error::NoMemory)?.cast();
        for index in 0..count {
            // SAFETY: `index` lies inside the block just allocated for `count` values.
            unsafe { block.add(index).write(make()) };
        }
        // SAFETY: `count` initialised values, borrowed by nobody else; the caller keeps the
        // lease alive as long as the slice is used.
        let slice = unsafe { core::slice::from_raw_parts_mut(block.as_ptr(), count) };
        let lease = Self {
            block,
            count,
            layout,
            memory,
        };
        Ok((lease, slice))
    }

    /// Length of the block in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.layout.size()
    }
}

impl Lease<u8> {
    /// Allocates `bytes` bytes with arbitrary contents: clearing them would touch every page.
    ///
    /// # Safety
    ///
    /// As for [`Lease::new`].
    pub(crate) unsafe fn of_bytes(
        bytes: usize,
        memory: Memory,
    ) -> Result<(Self, &'static mut [u8])> {
        let layout = Layout::array::<u8>(bytes.max(1)).map_err(|_| Error::NoMemory)?;
        let block: NonNull<u8> = memory.allocate(layout).map_err(|_| Error::NoMemory)?.cast();
        // SAFETY: no instruction at all; but as far as the compiler knows it may write to the
        // block, so that the bytes have some value from here on and are not undefined.
        unsafe {
            core::arch::asm!("/* {} */", in(reg) block.as_ptr(), options(nostack, preserves_flags))
        };
        // SAFETY: `bytes` bytes with a value, borrowed by nobody else; the caller keeps the lease
        // alive as long as the slice is used.
        let slice = unsafe { core::slice::from_raw_parts_mut(block.as_ptr(), bytes) };
        let lease = Self {
            block,
            count: bytes,
            layout,
            memory,
        };
        Ok((lease, slice))
    }
}

/// A buffer, at first with arbitrary contents.
pub(crate) struct Bytes {
    // First, because it borrows from the lease.
    slice: &'static mut [u8],
    _lease: Lease<u8>,
}

impl Bytes {
    /// Allocates `bytes` bytes.
    pub(crate) fn new(bytes: usize, memory: Memory) -> Result<Self> {
        // SAFETY: the slice is handed out for as long as this is borrowed, and drops first.
        let (lease, slice) = unsafe { Lease::of_bytes(bytes, memory)? };
        Ok(Self {
            slice,
            _lease: lease,
        })
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.slice
    }
}

impl DerefMut for Bytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.slice
    }
}

impl<T> Drop for Lease<T> {
    fn drop(&mut self) {
        let values = core::ptr::slice_from_raw_parts_mut(self.block.as_ptr(), self.count);
        // SAFETY: `count` initialised values that nobody uses any more.
        unsafe { values.drop_in_place() }
        // SAFETY: allocated in `new` with this layout from this allocator; the borrower is gone.
        unsafe { self.memory.deallocate(self.block.cast(), self.layout) }
    }
}
