//! The contract of an allocator. It does not depend on any implementation.

use crate::{Pages, Parameter};
use core::alloc::Layout;
use core::ptr::NonNull;

/// Alignment of every C allocation, in bytes (x86-64 psABI, `max_align_t`).
pub const C_ALIGN: usize = 16;

/// Description of a heap, as `bespoke heaps` prints it.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// Name on the command line and in recipes; also its folder under `heaps/`.
    pub name: &'static str,
    /// One line: the workload it suits and its cost.
    pub summary: &'static str,
    /// Where the algorithm comes from (paper, project, crate).
    pub origin: &'static str,
    /// What the heap guarantees.
    pub capabilities: Capabilities,
    /// Smallest memory in which the heap serves a first allocation, in bytes.
    pub smallest_pool_bytes: usize,
    /// At start the heap initialises, or takes, a share of memory that grows with RAM.
    pub eager: bool,
    /// Tunable parameters, in the order of the type's `const` generics. Empty if there are none.
    pub parameters: &'static [Parameter],
}

/// What a heap guarantees. The test kit checks each `true` for which a test exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Freed memory can be allocated again (`false`: bump allocation).
    pub frees: bool,
    /// Every operation takes a bounded number of steps.
    pub bounded_time: bool,
    /// Grows or shrinks a block in place when the neighbouring memory allows it.
    pub reallocates_in_place: bool,
    /// Returns empty memory to the page source.
    pub gives_back: bool,
    /// Detects double frees or damage, or keeps its metadata out of reach of overflows.
    pub hardened: bool,
    /// Frees without the size (needs no header for C).
    pub frees_without_size: bool,
    /// All components that name it share one instance (state in C globals).
    pub shared_instance: bool,
}

/// An allocated block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// First byte, with the requested alignment.
    pub ptr: NonNull<u8>,
    /// Usable bytes, at least as many as requested.
    pub granted: usize,
}

/// Error: a heap could not start in the memory it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Bytes the heap needs to start.
    pub needed_bytes: usize,
}

/// An allocator whose callers know the layout of what they free.
///
/// # Safety
///
/// Implementations return blocks that are aligned, disjoint from every live block, inside memory
/// taken from their [`Pages`], and valid until freed. Contents survive [`Heap::reallocate`]
/// up to the smaller size. Calls never unwind.
pub unsafe trait Heap: Sized {
    /// Description and promises.
    const INFO: Info;
    /// A heap without memory. Constructing it costs no instructions at boot.
    const EMPTY: Self;

    /// Takes the memory the heap needs before its first allocation.
    /// Called once, before any other method. `pages` stays valid for the life of the heap.
    /// A heap that takes memory on demand stores `pages` and returns.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] when `pages` cannot provide that memory.
    fn start(&mut self, pages: Pages) -> Result<(), OutOfMemory>;

    /// Allocates a block; returns `None` when memory is exhausted or the size cannot be served.
    /// `layout.size()` is not 0. Every alignment that is a power of two is served.
    fn allocate(&mut self, layout: Layout) -> Option<Block>;

    /// Allocates memory that reads as zero over `layout.size()` bytes.
    /// A heap that tracks untouched pages overrides this to clear less.
    fn allocate_zeroed(&mut self, layout: Layout) -> Option<Block> {
        let block = self.allocate(layout)?;
        // SAFETY: the block was just granted, at least `layout.size()` bytes long.
        unsafe { block.ptr.write_bytes(0, layout.size()) };
        Some(block)
    }

    /// Frees a block and returns its granted size in bytes.
    ///
    /// # Safety
    ///
    /// `ptr` is live in this heap and `layout` is the one it was last (re)allocated with.
    unsafe fn deallocate(&mut self, ptr: NonNull<u8>, layout: Layout) -> usize;

    /// Resizes a block, moving it if needed. On `None` the block is unchanged.
    /// Returns the new block and the previously granted size in bytes.
    ///
    /// # Safety
    ///
    /// As for [`Heap::deallocate`]; `new_size` is not 0.
    unsafe fn reallocate(
        &mut self,
        ptr: NonNull<u8>,
        old: Layout,
        new_size: usize,
    ) -> Option<(Block, usize)> {
        let layout = Layout::from_size_align(new_size, old.align()).ok()?;
        let block = self.allocate(layout)?;
        // SAFETY: both blocks are live, distinct, and at least the copied length long.
        unsafe { ptr.copy_to_nonoverlapping(block.ptr, old.size().min(new_size)) };
        // SAFETY: the caller's promise about `ptr` and `old`.
        let before = unsafe { self.deallocate(ptr, old) };
        Some((block, before))
    }

    /// Returns empty memory to the page source, as far as the heap can. Does nothing by default.
    fn trim(&mut self) {}
}

/// A heap that C can use: `free(p)` carries no size.
/// Requests are at least 1 byte (the C shim normalises 0), and alignments at least [`C_ALIGN`].
///
/// # Safety
///
/// As for [`Heap`]; the methods here accept any live pointer this heap returned.
pub unsafe trait CHeap: Heap {
    /// Frees a block and returns its granted size in bytes.
    /// If the heap can detect a pointer that is not live, it reports it with
    /// [`crate::report_corruption`].
    ///
    /// # Safety
    ///
    /// `ptr` is live in this heap.
    unsafe fn free(&mut self, ptr: NonNull<u8>) -> usize;

    /// Usable bytes of a live block (`malloc_usable_size`).
    ///
    /// # Safety
    ///
    /// `ptr` is live in this heap.
    unsafe fn usable_size(&self, ptr: NonNull<u8>) -> usize;

    /// `realloc`: resizes a block, moving it if needed. On `None` the block is unchanged.
    /// The result is aligned to [`C_ALIGN`].
    /// Returns the new block and the previously granted size in bytes.
    ///
    /// # Safety
    ///
    /// `ptr` is live in this heap; `new_size` is not 0.
    unsafe fn resize(&mut self, ptr: NonNull<u8>, new_size: usize) -> Option<(Block, usize)> {
        // SAFETY: the caller's promise.
        let before = unsafe { self.usable_size(ptr) };
        let layout = Layout::from_size_align(new_size, C_ALIGN).ok()?;
        let block = self.allocate(layout)?;
        // SAFETY: both blocks are live, distinct, and at least the copied length long.
        unsafe { ptr.copy_to_nonoverlapping(block.ptr, before.min(new_size)) };
        // SAFETY: the caller's promise.
        unsafe { self.free(ptr) };
        Some((block, before))
    }
}
