//! What an allocator promises. Owns nothing; must never depend on one implementation.

use crate::{Pages, Parameter};
use core::alloc::Layout;
use core::ptr::NonNull;

/// Alignment of every C allocation, in bytes (x86-64 psABI, `max_align_t`).
pub const C_ALIGN: usize = 16;

/// A heap in words and constants: what `bespoke heaps` prints.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// Name on the command line and in recipes; also its folder under `heaps/`.
    pub name: &'static str,
    /// One line: what it is good for and what it costs.
    pub summary: &'static str,
    /// Where the algorithm comes from (paper, project, crate).
    pub origin: &'static str,
    /// What it promises.
    pub capabilities: Capabilities,
    /// Smallest memory with which it serves a first allocation, in bytes.
    pub smallest_pool_bytes: usize,
    /// When it starts it initialises or takes a share of memory that grows with RAM.
    pub eager: bool,
    /// What can be set, in the order of the type's `const` generics; empty: nothing.
    pub parameters: &'static [Parameter],
}

/// Promises of a heap. `true` is checked by the test kit where a test can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Memory that is freed can be allocated again (`false`: bump allocation).
    pub frees: bool,
    /// Every operation takes a bounded number of steps.
    pub bounded_time: bool,
    /// Grows or shrinks a block in place when the neighbourhood allows.
    pub reallocates_in_place: bool,
    /// Returns emptied memory to the page source.
    pub gives_back: bool,
    /// Detects double frees or damage, or keeps its metadata out of reach of overflows.
    pub hardened: bool,
    /// Frees without being told the size (no header added for C).
    pub frees_without_size: bool,
    /// All components that name it share one instance (state in C globals).
    pub shared_instance: bool,
}

/// A block that was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// First byte, aligned as asked.
    pub ptr: NonNull<u8>,
    /// Usable bytes, at least what was asked.
    pub granted: usize,
}

/// A heap could not start in the memory it was given.
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
    /// A heap that owns nothing; costs no instructions at boot.
    const EMPTY: Self;

    /// Takes what the heap must have before its first allocation. Called once, before any
    /// other method; `pages` stays valid for the life of the heap. Heaps that take memory on
    /// demand keep `pages` and return.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] when `pages` cannot provide that.
    fn start(&mut self, pages: Pages) -> Result<(), OutOfMemory>;

    /// Allocates; `None` when memory is exhausted or the size is absurd. `layout.size()` is
    /// not 0. Any alignment that is a power of two is served.
    fn allocate(&mut self, layout: Layout) -> Option<Block>;

    /// Allocates memory that reads as zero over `layout.size()` bytes. A heap that knows
    /// untouched pages overrides this to clear less.
    fn allocate_zeroed(&mut self, layout: Layout) -> Option<Block> {
        let block = self.allocate(layout)?;
        // SAFETY: the block was just granted, at least `layout.size()` bytes long.
        unsafe { block.ptr.write_bytes(0, layout.size()) };
        Some(block)
    }

    /// Frees a block; returns the bytes that had been granted for it.
    ///
    /// # Safety
    ///
    /// `ptr` is live in this heap and `layout` is the one it was last (re)allocated with.
    unsafe fn deallocate(&mut self, ptr: NonNull<u8>, layout: Layout) -> usize;

    /// Resizes a block, moving it if needed; on `None` the block is unchanged.
    /// Returns the new block and the bytes granted before.
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

    /// Returns emptied memory to the page source, as far as the heap can. No-op by default.
    fn trim(&mut self) {}
}

/// A heap that C can use: `free(p)` carries no size. Requests are at least 1 byte (the C shim
/// normalises 0) and alignments at least [`C_ALIGN`].
///
/// # Safety
///
/// As for [`Heap`]; the methods here accept any live pointer this heap returned.
pub unsafe trait CHeap: Heap {
    /// Frees a block; returns the bytes that had been granted. A pointer that is not live is
    /// reported through [`crate::report_corruption`] where the heap can tell.
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

    /// `realloc`: resizes, moving if needed; on `None` the block is unchanged. The result is
    /// aligned to [`C_ALIGN`]. Returns the new block and the bytes granted before.
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
