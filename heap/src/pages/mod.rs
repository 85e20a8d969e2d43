//! The page source: hands out runs of pages from all memory above the image.
//!
//! - `source`: the interface, [`PageSource`].
//! - `state`: the policy: what is free, untouched, dirty; when memory goes back to the host.
//! - `table`: 16 bytes a page, which describe free runs out of band.
//! - `bins`: free runs by size class, found in O(1).
//! - `account`: one component's view, with its counters.
//!
//! Rules, each for a reason:
//! 1. Free pages are never written to or read: they may be gone from the host.
//! 2. Nothing is initialised in proportion to RAM: the table relies on memory being zero, and
//!    is touched only as far as pages have been used.
//! 3. What was never touched, or was given back, is known to be zero and not cleared again.

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

/// What fresh pages must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Every byte zero; pages known to be untouched are not cleared again.
    Zero,
    /// Anything.
    Any,
}

/// Drops the host memory behind `bytes` bytes of whole pages at `start`; afterwards they read
/// as zero. Returns whether the host did.
pub type GiveBack = fn(start: usize, bytes: usize) -> bool;

/// Frees pages that are handed out and can be done without; whether there were any. It is called while no call of the source
/// is under way, out of any allocation.
pub type Spare = fn() -> bool;

/// A heap that took all of memory when it started and lends pages to the others.
pub trait Lender: Sync {
    /// Address of the first byte and length in bytes of the memory it lends from; it never
    /// changes, and lies inside one run of the page source.
    fn span(&self) -> (usize, usize);

    /// A run of `pages` pages aligned to `align_pages`, contents arbitrary.
    fn lend(&self, pages: usize, align_pages: usize) -> Option<Run>;

    /// Takes back any page-aligned part of a run that [`Lender::lend`] returned.
    ///
    /// # Safety
    ///
    /// `run` came from [`Lender::lend`] of this lender and nothing refers to it any more.
    unsafe fn take_back(&self, run: Run);

    /// Most pages one [`Lender::lend`] can serve now, alignment 1.
    fn largest_free_pages(&self) -> usize;
}
