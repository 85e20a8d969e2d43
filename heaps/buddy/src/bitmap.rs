//! One bit for every page: set means allocated.
//! Only pages of its memory can be changed. Queries about other pages are
//! allowed: they count as allocated.

use bespoke_heap::PAGE_BYTES;
use core::ptr::NonNull;

const BITS: usize = u64::BITS as usize;

/// The bitmap of one contiguous memory.
pub(crate) struct Bitmap {
    words: NonNull<u64>,
    first: usize,
    pages: usize,
}

impl Bitmap {
    /// Makes a bitmap of `pages` pages from address `first` on, all allocated; writes all of it.
    ///
    /// # Safety
    ///
    /// `words` has room for a bit for every page and belongs to the bitmap forever.
    pub(crate) unsafe fn all_allocated(words: NonNull<u64>, first: usize, pages: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe { words.write_bytes(0xff, pages.div_ceil(BITS)) };
        Self {
            words,
            first,
            pages,
        }
    }

    /// Whether the page at `address` is allocated, or outside the memory.
    pub(crate) fn is_allocated(&self, address: usize) -> bool {
        let page = address.wrapping_sub(self.first) / PAGE_BYTES;
        if page >= self.pages {
            return true;
        }
        // SAFETY: the page is inside the bitmap.
        let word = unsafe { self.words.add(page / BITS).read() };
        word & 1 << (page % BITS) != 0
    }

    /// Marks `pages` pages from `address` on as allocated.
    pub(crate) fn mark_allocated(&mut self, address: usize, pages: usize) {
        self.change(address, pages, |word, mask| word | mask);
    }

    /// Marks `pages` pages from `address` on as free.
    pub(crate) fn mark_free(&mut self, address: usize, pages: usize) {
        self.change(address, pages, |word, mask| word & !mask);
    }

    fn change(&mut self, address: usize, pages: usize, change: impl Fn(u64, u64) -> u64) {
        let mut page = (address - self.first) / PAGE_BYTES;
        let end = page + pages;
        while page < end {
            let bit = page % BITS;
            let count = (BITS - bit).min(end - page);
            let mask = (u64::MAX >> (BITS - count)) << bit;
            // SAFETY: callers name pages of this memory only.
            unsafe {
                let word = self.words.add(page / BITS);
                word.write(change(word.read(), mask));
            }
            page += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bitmap;
    use bespoke_heap::PAGE_BYTES;
    use core::ptr::NonNull;

    #[test]
    fn marks_exactly_the_pages_named() {
        let mut words = [0u64; 4];
        let at = |page: usize| (1000 + page) * PAGE_BYTES;
        for (from, pages) in [
            (0, 1),
            (3, 64),
            (63, 2),
            (64, 64),
            (0, 200),
            (199, 1),
            (10, 0),
        ] {
            let base = NonNull::new(words.as_mut_ptr()).expect("an array");
            // SAFETY: room for 256 bits, used by this bitmap only.
            let mut bitmap = unsafe { Bitmap::all_allocated(base, at(0), 200) };
            bitmap.mark_free(at(from), pages);
            for page in 0..300 {
                let free = (from..from + pages).contains(&page);
                assert_eq!(
                    bitmap.is_allocated(at(page)),
                    !free,
                    "{page} of {from}+{pages}"
                );
            }
            bitmap.mark_allocated(at(from), pages);
            assert!((0..200).all(|page| bitmap.is_allocated(at(page))));
        }
    }
}
