//! One component of an image, with its heap and its statistics.
//! Preemptive threads must not share a component (crate rule 2).

use crate::single::Entered;
use crate::{
    Block, C_ALIGN, CHeap, Heap, OutOfMemory, PageSource, Pages, Recorder, Silent, Single,
};
use bespoke_abi::stats::ComponentStats;
use core::alloc::{GlobalAlloc, Layout};
use core::marker::PhantomData;
use core::ptr::{NonNull, null_mut};

/// A component (`app`, `libos`, `stack` or `boot`) with the heap `H` and the recorder `R`.
pub struct Component<H: 'static, R = Silent> {
    heap: &'static HeapCell<H>,
    stats: &'static ComponentStats,
    recorder: PhantomData<fn(R)>,
}

impl<H, R> core::fmt::Debug for Component<H, R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Component").finish_non_exhaustive()
    }
}

/// Storage for a component's heap.
/// It is separate from the constant parts, so that the kilobytes of an empty heap are zero memory
/// and not bytes of the image.
pub struct HeapCell<H>(Single<H>);

impl<H> core::fmt::Debug for HeapCell<H> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HeapCell").finish_non_exhaustive()
    }
}

impl<H: Heap> HeapCell<H> {
    /// A heap that has not started.
    pub const fn new() -> Self {
        // SAFETY: only a component enters it, under the promise of `Component::new`.
        Self(unsafe { Single::new(H::EMPTY) })
    }
}

impl<H: Heap> Default for HeapCell<H> {
    fn default() -> Self {
        Self::new()
    }
}

#[inline(always)]
fn start(block: &Option<Block>) -> Option<NonNull<u8>> {
    block.as_ref().map(|block| block.ptr)
}

impl<H: Heap, R: Recorder> Component<H, R> {
    /// Makes a component whose heap lives in `heap` and whose counters live in `stats`.
    ///
    /// # Safety
    ///
    /// No other component uses this `heap`.
    /// Calls of the component never overlap (crate rule 2): one thread at a time makes them, and
    /// neither the heap nor the page source calls back.
    /// With debug assertions an overlap panics.
    pub const unsafe fn new(heap: &'static HeapCell<H>, stats: &'static ComponentStats) -> Self {
        Self {
            heap,
            stats,
            recorder: PhantomData,
        }
    }

    #[inline(always)]
    fn heap(&self) -> Entered<'_, H> {
        self.heap.0.enter()
    }

    /// Starts the heap on pages from `source`. Call this once, before any other method.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] when the heap cannot start with what the source has.
    pub fn start(&self, source: &'static PageSource) -> Result<(), OutOfMemory> {
        self.heap().start(Pages::new(source, self.stats))
    }

    fn granted(&self, requested: usize, block: Option<Block>) -> Option<Block> {
        let stats = self.stats;
        match block {
            Some(block) => {
                stats.allocations.add(1);
                stats.requested_bytes.add(requested as u64);
                stats.granted_bytes.add(block.granted as u64);
                stats.live_bytes.add(block.granted as u64);
                stats.peak_bytes.raise(stats.live_bytes.get());
            }
            None => stats.failures.add(1),
        }
        block
    }

    fn freed(&self, granted: usize) {
        self.stats.frees.add(1);
        self.stats.live_bytes.sub(granted as u64);
    }

    fn resized(&self, requested: usize, resized: Option<(Block, usize)>) -> Option<Block> {
        let stats = self.stats;
        let Some((block, before)) = resized else {
            stats.failures.add(1);
            return None;
        };
        stats.reallocations.add(1);
        stats.requested_bytes.add(requested as u64);
        stats.granted_bytes.add(block.granted as u64);
        stats
            .live_bytes
            .add((block.granted as u64).wrapping_sub(before as u64));
        stats.peak_bytes.raise(stats.live_bytes.get());
        Some(block)
    }

    /// [`Heap::allocate`], counted.
    #[inline]
    pub fn allocate(&self, layout: Layout) -> Option<Block> {
        R::begins();
        let block = self.granted(layout.size(), self.heap().allocate(layout));
        R::allocated(layout.size(), layout.align(), false, start(&block));
        block
    }

    /// [`Heap::allocate_zeroed`], counted.
    #[inline]
    pub fn allocate_zeroed(&self, layout: Layout) -> Option<Block> {
        R::begins();
        let block = self.granted(layout.size(), self.heap().allocate_zeroed(layout));
        R::allocated(layout.size(), layout.align(), true, start(&block));
        block
    }

    /// [`Heap::deallocate`], counted.
    ///
    /// # Safety
    ///
    /// As for [`Heap::deallocate`].
    #[inline]
    pub unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: Layout) {
        R::begins();
        // SAFETY: the caller's promise.
        let granted = unsafe { self.heap().deallocate(ptr, layout) };
        self.freed(granted);
        R::freed(ptr);
    }

    /// [`Heap::reallocate`], counted.
    ///
    /// # Safety
    ///
    /// As for [`Heap::reallocate`].
    #[inline]
    pub unsafe fn reallocate(
        &self,
        ptr: NonNull<u8>,
        old: Layout,
        new_size: usize,
    ) -> Option<Block> {
        R::begins();
        // SAFETY: the caller's promise.
        let resized = unsafe { self.heap().reallocate(ptr, old, new_size) };
        let block = self.resized(new_size, resized);
        R::resized(ptr, new_size, old.align(), start(&block));
        block
    }

    /// [`Heap::trim`].
    pub fn trim(&self) {
        self.heap().trim();
    }
}

/// The functions behind the C library's `malloc` family. Size 0 counts as 1 byte.
impl<H: CHeap, R: Recorder> Component<H, R> {
    fn c_layout(size: usize, align: usize) -> Option<Layout> {
        Layout::from_size_align(size.max(1), align.max(C_ALIGN)).ok()
    }

    fn c_block(block: Option<Block>) -> *mut u8 {
        block.map_or(null_mut(), |block| block.ptr.as_ptr())
    }

    /// `malloc` and `aligned_alloc`; returns null when memory is
    /// exhausted. `align` is a power of two.
    #[inline]
    pub fn c_allocate(&self, size: usize, align: usize) -> *mut u8 {
        let Some(layout) = Self::c_layout(size, align) else {
            self.stats.failures.add(1);
            R::allocated(size, align, false, None);
            return null_mut();
        };
        Self::c_block(self.allocate(layout))
    }

    /// `calloc`; returns null when `count * size` overflows or memory is exhausted.
    #[inline]
    pub fn c_allocate_zeroed(&self, count: usize, size: usize) -> *mut u8 {
        let layout = count
            .checked_mul(size)
            .and_then(|bytes| Self::c_layout(bytes, C_ALIGN));
        let Some(layout) = layout else {
            self.stats.failures.add(1);
            R::allocated(count.saturating_mul(size), C_ALIGN, true, None);
            return null_mut();
        };
        Self::c_block(self.allocate_zeroed(layout))
    }

    /// `free`; ignores null.
    ///
    /// # Safety
    ///
    /// `ptr` is null or live in this component.
    #[inline]
    pub unsafe fn c_free(&self, ptr: *mut u8) {
        if let Some(ptr) = NonNull::new(ptr) {
            R::begins();
            // SAFETY: the caller's promise.
            let granted = unsafe { self.heap().free(ptr) };
            self.freed(granted);
            R::freed(ptr);
        }
    }

    /// `realloc`; allocates if `ptr` is null. If the result is null, the block is unchanged.
    ///
    /// # Safety
    ///
    /// `ptr` is null or live in this component.
    #[inline]
    pub unsafe fn c_resize(&self, ptr: *mut u8, size: usize) -> *mut u8 {
        let Some(ptr) = NonNull::new(ptr) else {
            return self.c_allocate(size, C_ALIGN);
        };
        let size = size.max(1);
        R::begins();
        // SAFETY: the caller's promise.
        let resized = unsafe { self.heap().resize(ptr, size) };
        let block = self.resized(size, resized);
        R::resized(ptr, size, C_ALIGN, start(&block));
        Self::c_block(block)
    }

    /// `malloc_usable_size`; returns 0 for null.
    ///
    /// # Safety
    ///
    /// `ptr` is null or live in this component.
    pub unsafe fn c_usable_size(&self, ptr: *mut u8) -> usize {
        // SAFETY: the caller's promise.
        NonNull::new(ptr).map_or(0, |ptr| unsafe { self.heap().usable_size(ptr) })
    }
}

// SAFETY: `Heap` promises what `GlobalAlloc` asks for; sizes of 0 do not reach a global allocator.
unsafe impl<H: Heap, R: Recorder> GlobalAlloc for Component<H, R> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.allocate(layout)
            .map_or(null_mut(), |block| block.ptr.as_ptr())
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.allocate_zeroed(layout)
            .map_or(null_mut(), |block| block.ptr.as_ptr())
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if let Some(ptr) = NonNull::new(ptr) {
            // SAFETY: the caller's promise.
            unsafe { self.deallocate(ptr, layout) }
        }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(ptr) = NonNull::new(ptr) else {
            return null_mut();
        };
        // SAFETY: the caller's promise.
        let block = unsafe { self.reallocate(ptr, layout, new_size) };
        block.map_or(null_mut(), |block| block.ptr.as_ptr())
    }
}
