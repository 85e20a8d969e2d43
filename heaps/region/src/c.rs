//! The region for C: a word before each block holds its granted size.
//! A block's granted bytes end before the word of the next block.

use crate::bump::Bump;
use crate::{GRANULE, INFO};
use bespoke_heap::{Block, CHeap, Heap, Info, OutOfMemory, Pages, Parameter};
use core::alloc::Layout;
use core::ptr::NonNull;

/// Bytes before each block.
const WORD: usize = size_of::<usize>();

/// A region for `malloc`.
pub struct AppHeap<const RUN: usize = { Parameter::RUN.default }>(Bump<RUN>);

impl<const RUN: usize> core::fmt::Debug for AppHeap<RUN> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AppHeap").finish_non_exhaustive()
    }
}

/// Rounds up so that the granted bytes and the word fill whole granules.
fn granted(size: usize) -> Option<usize> {
    Some(size.checked_add(WORD)?.checked_next_multiple_of(GRANULE)? - WORD)
}

impl<const RUN: usize> AppHeap<RUN> {
    fn mark(ptr: NonNull<u8>, granted: usize) -> Block {
        // SAFETY: `take` reserved `WORD` bytes before the block, which is aligned to 16.
        unsafe { ptr.cast::<usize>().sub(1).write(granted) };
        Block { ptr, granted }
    }
}

// SAFETY: as for the plain region; the words lie between the blocks.
unsafe impl<const RUN: usize> Heap for AppHeap<RUN> {
    const INFO: Info = INFO;
    const EMPTY: Self = Self(Bump::EMPTY);

    fn start(&mut self, pages: Pages) -> Result<(), OutOfMemory> {
        self.0.start(pages);
        Ok(())
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<Block> {
        let granted = granted(layout.size())?;
        let ptr = self.0.take(WORD, granted, layout.align().max(GRANULE))?;
        Some(Self::mark(ptr, granted))
    }

    #[inline]
    fn allocate_zeroed(&mut self, layout: Layout) -> Option<Block> {
        self.allocate(layout)
    }

    #[inline]
    unsafe fn deallocate(&mut self, ptr: NonNull<u8>, _layout: Layout) -> usize {
        // SAFETY: the caller's promise.
        unsafe { self.usable_size(ptr) }
    }
}

// SAFETY: the word before a block is written when it is granted and by nothing else.
unsafe impl<const RUN: usize> CHeap for AppHeap<RUN> {
    #[inline]
    unsafe fn free(&mut self, ptr: NonNull<u8>) -> usize {
        // SAFETY: the caller's promise.
        unsafe { self.usable_size(ptr) }
    }

    #[inline]
    unsafe fn usable_size(&self, ptr: NonNull<u8>) -> usize {
        // SAFETY: the block is live, so `mark` wrote the word before it.
        unsafe { ptr.cast::<usize>().sub(1).read() }
    }

    unsafe fn resize(&mut self, ptr: NonNull<u8>, new_size: usize) -> Option<(Block, usize)> {
        // SAFETY: the caller's promise.
        let before = unsafe { self.usable_size(ptr) };
        let granted = granted(new_size)?;
        if granted <= before || self.0.stretch_last(ptr, granted) {
            return Some((Self::mark(ptr, granted), before));
        }
        let block = self.allocate(Layout::from_size_align(new_size, GRANULE).ok()?)?;
        // SAFETY: the new block is disjoint from the old one and longer.
        unsafe { ptr.copy_to_nonoverlapping(block.ptr, before) };
        Some((block, before))
    }
}

#[cfg(test)]
mod tests {
    use super::granted;

    #[test]
    fn a_grant_and_its_word_fill_granules() {
        assert_eq!(
            [1, 8, 9, 16, 24, 25, 100, 1000].map(granted),
            [8, 8, 24, 24, 24, 40, 104, 1000].map(Some)
        );
        assert_eq!(granted(usize::MAX), None);
    }
}
