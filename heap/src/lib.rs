//! The contract between an image and its memory allocators.
//!
//! From the bottom up:
//! - [`PageSource`] hands out runs of pages.
//! - [`Pages`] is one component's account with the page source.
//! - [`Heap`] is what an allocator implements. Its callers know the size when they free, as Rust
//!   and the library OS do.
//! - [`CHeap`] adds what C needs: free without a size.
//! - [`Component`] binds one heap to one component of an image and keeps its statistics.
//!
//! Rules, each with its reason:
//! 1. Dispatch is static, so an image contains only the heaps it names.
//! 2. Nothing here is thread safe. A guest has one vCPU and cooperative threads, and no allocator
//!    call yields. Constructors that rely on this are `unsafe`; [`Single`] checks it in debug
//!    builds.
//! 3. Running out of memory returns `None` and never panics.
//! 4. Memory is owned by address: a component never frees what another component allocated.
//!
//! The page source alone, on memory of the host:
//!
//! ```
//! use bespoke_abi::stats::PageStats;
//! use bespoke_heap::{Contents, PAGE_BYTES, PageSource};
//!
//! let memory = vec![0u8; 64 * PAGE_BYTES].leak();
//! let stats: &'static PageStats = Box::leak(Box::new(PageStats::new()));
//! // SAFETY: this thread alone works with it.
//! let source = unsafe { PageSource::new() };
//! // SAFETY: leaked memory of our own, which is zero.
//! unsafe { source.start(memory.as_mut_ptr().addr(), memory.len(), Contents::Zero, stats, None) };
//!
//! let before = source.largest_free_pages();
//! let run = source.allocate(3, 1, Contents::Zero).expect("three pages");
//! assert!(run.start.addr().get().is_multiple_of(PAGE_BYTES));
//! // SAFETY: handed out just now, and nothing refers to it.
//! unsafe { source.free(run) };
//! assert_eq!(source.largest_free_pages(), before);
//! ```
#![no_std]

#[cfg(test)]
extern crate std;

mod component;
mod contract;
mod corruption;
mod header;
mod pages;
mod parameter;
mod record;
mod single;

pub use bespoke_abi::PAGE_BYTES;
pub use component::{Component, HeapCell};
pub use contract::{Block, C_ALIGN, CHeap, Capabilities, Heap, Info, OutOfMemory};
pub use corruption::{report_corruption, set_corruption_handler};
pub use header::Headed;
pub use pages::{Contents, GiveBack, Lender, PageSource, Pages, Run, Spare};
pub use parameter::{Parameter, Unit};
pub use record::{Recorder, Silent};
pub use single::Single;
