//! The page source: hands out runs of pages from all memory above the image.
//!
//! - `source`: the interface, [`PageSource`].
//! - `state`: the policy. It tracks which pages are free, untouched or dirty, and when memory goes
//!   back to the host.
//! - `table`: 16 bytes for each page, which describe free runs out of band.
//! - `bins`: free runs by size class, found in O(1).
//! - `account`: one component's view, with its counters.
//!
//! Rules, each with its reason:
//! 1. Free pages are neither read nor written, because the host may have taken them back.
//! 2. Nothing is initialised in proportion to RAM. The table relies on zero memory and is touched
//!    only as far as pages have been used.
//! 3. Pages that were never touched, or were given back, are known to be zero and are not cleared
//!    again.

mod account;
mod bins;
mod source;
mod state;
mod table;

pub use account::Pages;
pub use source::PageSource;

use core::ptr::NonNull;

/// A run of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First byte, aligned to a page.
    pub start: NonNull<u8>,
    /// Length in pages, not 0.
    pub pages: usize,
}

/// Required contents of fresh pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Every byte zero; pages known to be untouched are not cleared again.
    Zero,
    /// Anything.
    Any,
}

/// Drops the host memory behind `bytes` bytes of whole pages at
/// `start`. Afterwards they read as zero.
/// Returns whether the host dropped it.
pub type GiveBack = fn(start: usize, bytes: usize) -> bool;

/// Frees pages that are handed out but dispensable; returns whether there were any.
/// Called outside of any allocation, while no call of the source is in progress.
pub type Spare = fn() -> bool;

/// A heap that takes all of memory at start and lends pages to the others.
pub trait Lender: Sync {
    /// Address of the first byte, and length in bytes, of the memory it lends from.
    /// It never changes, and lies inside one run of the page source.
    fn span(&self) -> (usize, usize);

    /// Lends a run of `pages` pages aligned to `align_pages`, with arbitrary contents.
    fn lend(&self, pages: usize, align_pages: usize) -> Option<Run>;

    /// Takes back a page-aligned part, of any length, of a run that [`Lender::lend`] returned.
    ///
    /// # Safety
    ///
    /// `run` came from [`Lender::lend`] of this lender and nothing refers to it any more.
    unsafe fn take_back(&self, run: Run);

    /// Length in pages of the largest run that [`Lender::lend`] can serve now, at alignment 1.
    fn largest_free_pages(&self) -> usize;
}
