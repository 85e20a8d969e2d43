//! The two interfaces of a heap under test: Rust's, with layouts, and C's.
//! Both go through [`Component`], so that its counters are tested too.

use bespoke_abi::stats::ComponentStats;
use bespoke_heap::{Block, C_ALIGN, CHeap, Component, Heap};
use std::alloc::Layout;
use std::ptr::NonNull;

/// A heap behind one of its interfaces.
pub trait Subject: Copy {
    /// The heap.
    type Heap: Heap + 'static;
    /// `rust` or `c`, for messages.
    const INTERFACE: &'static str;

    /// Makes the interface over a started component.
    fn new(component: &'static Component<Self::Heap>, stats: &'static ComponentStats) -> Self;
    /// The component.
    fn component(&self) -> &'static Component<Self::Heap>;
    /// Its counters.
    fn stats(&self) -> &'static ComponentStats;
    /// The layout that this interface can express for the requested one.
    fn layout(layout: Layout, zeroed: bool) -> Layout;
    /// The layout a block has after a resize to `size`.
    fn resized(old: Layout, size: usize) -> Option<Layout>;
    /// Allocates.
    fn allocate(&self, layout: Layout, zeroed: bool) -> Option<Block>;
    /// Allocates as an application does, without querying the granted size.
    fn ask(&self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>>;
    /// Frees.
    ///
    /// # Safety
    ///
    /// The block is live, with this layout.
    unsafe fn free(&self, ptr: NonNull<u8>, layout: Layout);
    /// Resizes.
    ///
    /// # Safety
    ///
    /// The block is live, with this layout.
    unsafe fn resize(&self, ptr: NonNull<u8>, layout: Layout, size: usize) -> Option<Block>;
    /// Resizes like [`Subject::ask`] allocates, without querying the granted size.
    ///
    /// # Safety
    ///
    /// The block is live, with this layout.
    unsafe fn ask_resize(
        &self,
        ptr: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>>;
}

/// The [`Heap`] interface.
#[derive(Debug)]
pub struct RustInterface<H: 'static>(&'static Component<H>, &'static ComponentStats);
/// The [`CHeap`] interface, as `malloc` and its family use it.
#[derive(Debug)]
pub struct CInterface<H: 'static>(&'static Component<H>, &'static ComponentStats);

impl<H> Clone for RustInterface<H> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<H> Copy for RustInterface<H> {}
impl<H> Clone for CInterface<H> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<H> Copy for CInterface<H> {}

impl<H: Heap + 'static> Subject for RustInterface<H> {
    type Heap = H;
    const INTERFACE: &'static str = "rust";

    fn new(component: &'static Component<H>, stats: &'static ComponentStats) -> Self {
        Self(component, stats)
    }
    fn component(&self) -> &'static Component<H> {
        self.0
    }
    fn stats(&self) -> &'static ComponentStats {
        self.1
    }
    fn layout(layout: Layout, _zeroed: bool) -> Layout {
        layout
    }
    fn resized(old: Layout, size: usize) -> Option<Layout> {
        Layout::from_size_align(size, old.align()).ok()
    }
    fn allocate(&self, layout: Layout, zeroed: bool) -> Option<Block> {
        if zeroed {
            self.0.allocate_zeroed(layout)
        } else {
            self.0.allocate(layout)
        }
    }
    fn ask(&self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        Some(self.allocate(layout, zeroed)?.ptr)
    }
    unsafe fn free(&self, ptr: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.0.deallocate(ptr, layout) }
    }
    unsafe fn resize(&self, ptr: NonNull<u8>, layout: Layout, size: usize) -> Option<Block> {
        // SAFETY: the caller's promise.
        unsafe { self.0.reallocate(ptr, layout, size) }
    }
    unsafe fn ask_resize(
        &self,
        ptr: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: the caller's promise.
        Some(unsafe { self.resize(ptr, layout, size) }?.ptr)
    }
}

impl<H: CHeap + 'static> CInterface<H> {
    fn block(&self, ptr: NonNull<u8>) -> Option<Block> {
        // SAFETY: the block was granted just now.
        let granted = unsafe { self.0.c_usable_size(ptr.as_ptr()) };
        Some(Block { ptr, granted })
    }
}

impl<H: CHeap + 'static> Subject for CInterface<H> {
    type Heap = H;
    const INTERFACE: &'static str = "c";

    fn new(component: &'static Component<H>, stats: &'static ComponentStats) -> Self {
        Self(component, stats)
    }
    fn component(&self) -> &'static Component<H> {
        self.0
    }
    fn stats(&self) -> &'static ComponentStats {
        self.1
    }
    fn layout(layout: Layout, zeroed: bool) -> Layout {
        let align = if zeroed {
            C_ALIGN
        } else {
            layout.align().max(C_ALIGN)
        };
        Layout::from_size_align(layout.size(), align)
            .expect("sizes that are laid out are far from the limit")
    }
    fn resized(_old: Layout, size: usize) -> Option<Layout> {
        Layout::from_size_align(size, C_ALIGN).ok()
    }
    fn allocate(&self, layout: Layout, zeroed: bool) -> Option<Block> {
        self.block(self.ask(layout, zeroed)?)
    }
    fn ask(&self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        NonNull::new(if zeroed {
            self.0.c_allocate_zeroed(1, layout.size())
        } else {
            self.0.c_allocate(layout.size(), layout.align())
        })
    }
    unsafe fn free(&self, ptr: NonNull<u8>, _layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.0.c_free(ptr.as_ptr()) }
    }
    unsafe fn resize(&self, ptr: NonNull<u8>, layout: Layout, size: usize) -> Option<Block> {
        // SAFETY: the caller's promise.
        self.block(unsafe { self.ask_resize(ptr, layout, size) }?)
    }
    unsafe fn ask_resize(
        &self,
        ptr: NonNull<u8>,
        _layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: the caller's promise.
        NonNull::new(unsafe { self.0.c_resize(ptr.as_ptr(), size) })
    }
}
